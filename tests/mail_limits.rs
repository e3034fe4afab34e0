//! The limits of SES: a run sends as much as SES allows, reports the rest, and leaves it to a later run.

use keywheel::model::{Clock, Cloud, Fault, FaultKind, Switches};
use keywheel::rehearsal::Transport;
use serde_json::json;

use crate::harness::{MEMBER, TestStack, done, failures, rehearse, start};

/// A stage with one user, and a change of the mail service before the first sweep.
fn stage_with(settings: &[(&str, &str)], change: impl FnOnce(&mut Switches)) -> TestStack {
    let stage = TestStack::with(settings);
    stage.add_user("ci-bot", &[85]);
    stage.cloud.switch(change);
    stage
}

#[test]
fn in_the_sandbox_only_verified_addresses_get_mail() {
    rehearse(async {
        let stage = stage_with(&[("OWNER_DOMAINS", "*")], |aws| {
            aws.mail_sandbox = true;
            aws.verified_identities = ["example.com".to_owned(), "verified@else.org".to_owned()].into();
        });
        stage.add_user("other", &[85]);
        stage.cloud.tag_user(MEMBER, "ci-bot", "owner", "someone@else.org");
        stage.cloud.tag_user(MEMBER, "other", "owner", "verified@else.org");
        let answer = stage.sweep().await;
        assert_eq!(answer["mails"], 2, "{answer}");
        let said = failures(&answer);
        assert!(
            said.contains("SES is in its sandbox in this account in Region us-east-1: only verified addresses"),
            "{said}"
        );
        assert!(said.contains("at most 200 messages in 24 hours"), "{said}");
        assert!(
            said.contains("or verify the recipient's address: ses:SendEmail for a message to s…@else.org"),
            "{said}"
        );
        assert!(!said.contains("someone@else.org"), "{said}");
    });
}

#[test]
fn on_aws_b8_mail_is_sent_from_the_region_of_the_identity() {
    rehearse(async {
        let elsewhere = |aws: &mut Switches| aws.mail_region = Some("eu-west-1".to_owned());
        let stage = stage_with(&[], elsewhere);
        let answer = stage.sweep().await;
        let said = failures(&answer);
        assert!(said.contains("not verified in SES in this account in Region us-east-1"), "{said}");
        for transport in [Transport::Sdk, Transport::Direct] {
            let cloud = Cloud::new(Clock::starting_at(start()), 1);
            cloud.switch(elsewhere);
            let stage = TestStack::through(transport, cloud, &[("SES_REGION", "eu-west-1")]);
            stage.add_user("ci-bot", &[85]);
            stage.sweep_well().await;
            assert_eq!(stage.mails_with(&["ci-bot"]).len(), 1, "{transport:?}");
            assert!(stage.cloud.mails().iter().all(|mail| mail.region == "eu-west-1"), "{transport:?}");
        }
    });
}

/// A change of the mail service.
type Change = fn(&mut Switches);

#[test]
fn an_obstacle_to_all_mail_is_one_failure() {
    rehearse(async {
        let none_verified = |aws: &mut Switches| {
            aws.verified_identities = ["elsewhere.com".to_owned()].into();
        };
        let changes: [(Change, &str); 3] = [
            (none_verified, "SENDER_EMAIL is not verified"),
            (|aws| aws.mail_paused = true, "sending is paused"),
            (|aws| aws.mail_enforcement = "SHUTDOWN", "SHUTDOWN"),
        ];
        for (change, reason) in changes {
            let stage = stage_with(&[], change);
            let answer = stage.sweep().await;
            assert_eq!((done(&answer, "provision"), stage.count("SendEmail")), (1, 0), "{answer}");
            assert_eq!(answer["failures"].as_array().map(Vec::len), Some(1), "{answer}");
            assert_eq!(answer["failures"][0]["action"], "mail");
            assert!(failures(&answer).contains(reason), "{answer}");
            stage.cloud.switch(|aws| *aws = Switches::default());
            stage.sweep_well().await;
            assert_eq!(stage.mails_with(&["ci-bot", "will be rotated"]).len(), 1, "{reason}");
        }
    });
}

#[test]
fn a_role_that_may_not_read_limits_sends_slowly() {
    rehearse(async {
        let stage = stage_with(&[], |_| ());
        stage.cloud.tag_user(MEMBER, "ci-bot", "owner", "team-a@example.com team-b@example.com");
        for operation in ["GetAccount", "GetEmailIdentity"] {
            stage.cloud.faults().inject(Fault::on("ses", operation, FaultKind::AccessDenied).every());
        }
        let answer = stage.sweep().await;
        assert_eq!((answer["mails"].clone(), answer["failures"].as_array().map(Vec::len)), (json!(3), Some(1)));
        assert!(failures(&answer).contains("the sweeper's role needs ses:GetAccount"), "{answer}");
        let times: Vec<_> = stage.cloud.mails().iter().map(|mail| mail.at).collect();
        let is_slow = |pair: &[chrono::DateTime<chrono::Utc>]| pair[1] - pair[0] >= chrono::TimeDelta::seconds(1);
        assert!(times.windows(2).all(is_slow), "{times:?}");
    });
}

#[test]
fn messages_beyond_rate_and_quota_need_several_runs() {
    rehearse(async {
        let stage = TestStack::new();
        for n in 0..6 {
            let name = format!("bot-{n}");
            stage.add_user(&name, &[85]);
            stage.cloud.tag_user(MEMBER, &name, "owner", &format!("owner-{n}@example.com"));
        }
        stage.cloud.switch(|aws| {
            aws.mails_per_day = Some(4);
            aws.mails_per_second = Some(2);
        });
        let answer = stage.sweep().await;
        assert_eq!((answer["mails"].clone(), stage.count("SendEmail")), (json!(4), 4), "no message is refused");
        assert!(failures(&answer).contains("3 messages not sent: SES takes 4 messages in 24 hours"), "{answer}");
        let times: Vec<_> = stage.cloud.mails().iter().map(|mail| mail.at).collect();
        assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= chrono::TimeDelta::milliseconds(500)), "{times:?}");
        stage.pass_days(1).await;
        let answer = stage.sweep_well().await;
        assert_eq!(answer["mails"], 3, "the rest");
        let mut to: Vec<_> = stage.cloud.mails().into_iter().flat_map(|mail| mail.to).collect();
        to.sort();
        let everybody: Vec<String> = (0..6).map(|n| format!("owner-{n}@example.com")).collect();
        assert_eq!(to, [everybody, vec!["prod@example.com".to_owned()]].concat(), "each once");
    });
}

#[test]
fn a_run_near_its_deadline_leaves_mail_to_the_next_run() {
    rehearse(async {
        let cloud = Cloud::new(Clock::starting_at(start()), 1);
        let stage =
            TestStack::through(Transport::Direct, cloud, &[("MAX_CONCURRENCY", "1"), ("MAX_CONCURRENT_USERS", "1")]);
        for n in 0..30 {
            let name = format!("bot-{n}");
            stage.add_user(&name, &[85]);
            stage.cloud.tag_user(MEMBER, &name, "owner", &format!("owner-{n}@example.com"));
        }
        // The work needs all but the last minute.
        let slow = FaultKind::Latency(std::time::Duration::from_millis(27_700));
        stage.cloud.faults().inject(Fault::on("secretsmanager", "CreateSecret", slow).every());
        stage.cloud.switch(|aws| aws.mails_per_second = Some(1));
        let begun = stage.now();
        let answer = stage.sweep().await;
        let taken = stage.now() - begun;
        assert!(taken <= chrono::TimeDelta::minutes(15), "{taken}");
        let sent = stage.cloud.mails().len();
        assert!(failures(&answer).contains("the function's time is nearly over"), "{sent} sent: {answer}");
        assert!(!failures(&answer).contains("\"record\""), "{answer}");
        stage.cloud.faults().clear();
        for _ in 0..2 {
            stage.sweep().await;
        }
        let mut to: Vec<_> = stage.cloud.mails().into_iter().flat_map(|mail| mail.to).collect();
        to.retain(|address| address.starts_with("owner-"));
        let all = to.len();
        to.sort();
        to.dedup();
        assert_eq!((to.len(), all), (30, 30), "each owner once");
    });
}

#[test]
fn an_unknown_configuration_set_stops_mail_with_one_failure() {
    rehearse(async {
        let settings = [("SES_CONFIGURATION_SET", "notices"), ("REPLY_TO_EMAIL", "help@example.com")];
        let stage = stage_with(&settings, |_| ());
        stage.cloud.tag_user(MEMBER, "ci-bot", "owner", "team-a@example.com team-b@example.com");
        let answer = stage.sweep().await;
        assert_eq!(answer["failures"].as_array().map(Vec::len), Some(1), "{answer}");
        let said = failures(&answer);
        assert!(said.contains("3 messages not sent: SES_CONFIGURATION_SET is not a configuration set"), "{said}");
        stage.cloud.switch(|aws| aws.configuration_sets = ["notices".to_owned()].into());
        stage.sweep_well().await;
        for mail in stage.cloud.mails() {
            assert_eq!(
                (mail.configuration_set.as_deref(), mail.reply_to),
                (Some("notices"), vec!["help@example.com".to_owned()])
            );
        }
    });
}
