//! Notices by mail: each is sent once and complete, without secrets, even if the mail service fails.

use keywheel::model::{Fault, FaultKind, KeyView};
use keywheel::rehearsal::PRIMARY_ACCOUNT;
use serde_json::json;

use crate::harness::{MEMBER, OTHER, TestStack, done, failures, refused, rehearse};

/// All mails so far, as one text.
fn all_mail(stage: &TestStack) -> String {
    format!("{:?}", stage.cloud.mails())
}

#[test]
fn upstream_defect_27_work_goes_on_while_mail_is_down() {
    rehearse(async {
        let stage = TestStack::new();
        let (old, _) = stage.add_rotated_user("ci-bot").await;
        stage.pass_days(10).await;
        stage.cloud.switch(|aws| aws.mail_down = true);
        let answer = stage.sweep().await;
        assert_eq!(done(&answer, "disable"), 1, "the work is done");
        assert!(failures(&answer).contains("\"mail\""), "and the failure is reported: {answer}");
        stage.cloud.switch(|aws| aws.mail_down = false);
        stage.pass_days(1).await;
        stage.sweep_well().await;
        assert_eq!(stage.mails_with(&[&old.access_key_id, "was disabled"]).len(), 1, "sent on the next run");
        stage.live_days(1).await;
        assert_eq!(stage.mails_with(&[&old.access_key_id, "was disabled"]).len(), 1, "and only once");
    });
}

#[test]
fn upstream_defect_27_a_rotation_is_sent_once_mail_works_again() {
    rehearse(async {
        let stage = TestStack::new();
        stage.cloud.switch(|aws| aws.mail_down = true);
        let (_, new) = stage.add_rotated_user("ci-bot").await;
        assert_eq!(stage.cloud.mails(), []);
        stage.cloud.switch(|aws| aws.mail_down = false);
        stage.live_days(2).await;
        assert_eq!(stage.mails_with(&[&new, "was rotated"]).len(), 1);
    });
}

#[test]
fn upstream_defect_42_any_failure_of_mail_is_reported() {
    rehearse(async {
        for kind in [
            refused("MessageRejected"),
            refused("MailFromDomainNotVerifiedException"),
            refused("BadRequestException"),
            refused("SendingPausedException"),
            FaultKind::AccessDenied,
            FaultKind::Throttle { times: 100 },
            FaultKind::Hang,
        ] {
            let stage = TestStack::new();
            stage.add_user("ci-bot", &[85]);
            stage.cloud.faults().inject(Fault::on("ses", "SendEmail", kind.clone()).every());
            let answer = stage.sweep().await;
            assert_eq!(done(&answer, "provision"), 1, "{kind:?}");
            assert_eq!(answer["failures"][0]["action"], "mail", "{kind:?}: {answer}");
            assert!(!failures(&answer).contains("prod@example.com"), "addresses are masked: {answer}");
            stage.cloud.faults().clear();
            stage.sweep_well().await;
            assert_eq!(stage.mails_with(&["ci-bot", "will be rotated"]).len(), 1, "{kind:?}");
        }
    });
}

#[test]
fn a_refused_recipient_does_not_stop_the_others() {
    rehearse(async {
        let stage = TestStack::new();
        stage.add_member(OTHER, "other");
        stage.add_user("ci-bot", &[85]);
        stage.add_user_in(OTHER, "ci-bot", &[85]);
        let fault = Fault::on("ses", "SendEmail", refused("MessageRejected")).about("prod@example.com").every();
        stage.cloud.faults().inject(fault);
        let answer = stage.sweep().await;
        assert_eq!((answer["mails"].clone(), answer["failures"][0]["account"].clone()), (json!(1), json!(MEMBER)));
        assert_eq!(stage.cloud.mails()[0].to, ["other@example.com"]);
    });
}

/// IAM takes `Owner` and `owner` for one tag.
#[test]
fn reported_c4_the_owner_tag_is_found_in_any_capitals() {
    rehearse(async {
        for (setting, tag) in [("owner", "Owner"), ("Team:Owner", "team:OWNER"), ("Ägare", "ägare")] {
            let stage = TestStack::with(&[("RESOURCE_OWNER_TAG", setting)]);
            stage.add_user("ci-bot", &[85]);
            stage.cloud.tag_user(MEMBER, "ci-bot", tag, "team-a@example.com");
            stage.sweep_well().await;
            assert!(stage.cloud.mails().iter().any(|mail| mail.to == ["team-a@example.com"]), "{setting}, {tag}");
        }
    });
}

#[test]
fn upstream_defect_37_the_owner_and_the_account_get_mail() {
    rehearse(async {
        let stage = TestStack::new();
        stage.add_user("ci-bot", &[85]);
        stage.add_user("ownerless", &[85]);
        stage.cloud.tag_user(MEMBER, "ci-bot", "owner", "team-a@example.com");
        let answer = stage.sweep_well().await;
        assert_eq!(answer["mails"], 2, "one for each recipient");
        let to = |address: &str| {
            let mail = stage.cloud.mails().into_iter().find(|mail| mail.to == [address]).expect("a mail");
            mail.text.expect("a text part")
        };
        assert!(to("prod@example.com").contains("ownerless") && to("prod@example.com").contains("ci-bot"));
        assert!(to("team-a@example.com").contains("ci-bot") && !to("team-a@example.com").contains("ownerless"));
    });
}

#[test]
fn upstream_defect_43_the_subject_names_the_event() {
    rehearse(async {
        let stage = TestStack::new();
        stage.add_user("ci-bot", &[85]);
        stage.keywheel.sweep(json!({"dry_run": true})).await.expect("an answer");
        stage.sweep_well().await;
        let subjects: Vec<String> = stage.cloud.mails().into_iter().map(|mail| mail.subject).collect();
        assert!(subjects.iter().all(|subject| !subject.contains("Violation")), "{subjects:?}");
        assert!(subjects[0].starts_with("[dry run] ") && subjects[0].contains("would be rotated"), "{subjects:?}");
        assert!(
            !subjects[1].contains("dry run") && subjects[1].contains("will be rotated on 2026-01-06"),
            "{subjects:?}"
        );
    });
}

#[test]
fn upstream_defect_53_names_are_escaped_only_in_html() {
    rehearse(async {
        let stage = TestStack::new();
        let name = "<script>alert('x')</script> & sons";
        stage.cloud.add_account(OTHER, name, Some("o@example.com"));
        stage.keywheel.prepare_member(OTHER);
        stage.add_user_in(OTHER, "ci-bot", &[85]);
        stage.keywheel.sweep(json!({"account": OTHER})).await.expect("an answer");
        let mail = stage.cloud.mails().remove(0);
        let (html, text) = (mail.html.expect("html"), mail.text.expect("text"));
        assert!(!html.contains("<script>") && html.contains("&lt;script&gt;"), "{html}");
        assert!(text.contains(name), "{text}");
        assert!(
            !text.contains("<p") && !text.contains("</"[..].repeat(2).as_str()) && !text.contains("<html"),
            "{text}"
        );
    });
}

#[test]
fn upstream_defect_60_a_warning_is_mailed_once() {
    rehearse(async {
        let stage = TestStack::new();
        stage.add_user("ci-bot", &[80]);
        stage.live().await;
        assert_eq!(stage.cloud.mails().len(), 0, "the warning is due after 83 days");
        stage.live_days(9).await;
        assert_eq!(stage.mails_with(&["will be rotated"]).len(), 1);
        assert_eq!(stage.cloud.mails().len(), 1);
    });
}

#[test]
fn a_notice_whose_record_fails_is_reported() {
    rehearse(async {
        let stage = TestStack::new();
        stage.add_user("ci-bot", &[10]);
        stage.live().await;
        stage.pass_days(75).await;
        let fault = Fault::on("secretsmanager", "TagResource", FaultKind::AccessDenied).every();
        stage.cloud.faults().inject(fault);
        let answer = stage.sweep().await;
        assert_eq!(answer["failures"][0]["action"], "record", "{answer}");
        assert_eq!(stage.mails_with(&["will be rotated"]).len(), 1);
    });
}

#[test]
fn without_a_sender_every_run_reports_it() {
    rehearse(async {
        let stage = TestStack::with(&[("SENDER_EMAIL", ""), ("SES_DOMAIN", "")]);
        stage.add_user("ci-bot", &[85]);
        for _ in 0..2 {
            let answer = stage.sweep().await;
            assert!(failures(&answer).contains("SENDER_EMAIL"), "{answer}");
        }
        assert!(stage.secret("ci-bot").rotation_enabled, "the work is done");
    });
}

#[test]
#[expect(clippy::print_stdout, reason = "the number is for a run with --nocapture")]
fn an_event_sends_a_rotation_once_with_few_calls() {
    rehearse(async {
        let stage = TestStack::new();
        stage.add_user("ci-bot", &[90]);
        stage.sweep_well().await;
        stage.cloud.run_rotations().await;
        let moved = |event: &serde_json::Value| event["detail"]["labelUpdated"] == "AWSCURRENT";
        let events: Vec<_> = stage.cloud.drain_events().into_iter().filter(moved).collect();
        let event = events.last().expect("the label moved").clone();
        stage.cloud.forget_calls();
        assert_eq!(stage.keywheel.sweep(event.clone()).await.expect("an answer")["mails"], 1);
        let calls: Vec<_> = stage.cloud.calls().iter().map(|call| call.operation.clone()).collect();
        println!("the event of one rotation made {} calls: {}", calls.len(), calls.join(", "));
        assert!(calls.len() <= 7, "{calls:?}");
        assert_eq!(stage.keywheel.sweep(event).await.expect("an answer")["mails"], 0, "the same event again");
        assert_eq!(stage.live().await["mails"], 0, "nor does the next sweep send it again");
    });
}

#[test]
fn an_event_of_a_failed_rotation_is_sent_once() {
    rehearse(async {
        let stage = TestStack::new();
        stage.add_user("ci-bot", &[90]);
        stage.sweep_well().await;
        stage.cloud.remove_role(MEMBER, &stage.keywheel.settings().rotation_member_role());
        stage.cloud.run_rotations().await;
        let failed = |event: &serde_json::Value| event["detail"]["eventName"] == "RotationFailed";
        let event = stage.cloud.drain_events().into_iter().find(failed).expect("it failed");
        for mails in [1, 0] {
            let answer = stage.keywheel.sweep(event.clone()).await.expect("an answer");
            assert_eq!(answer["mails"], mails, "{answer}");
        }
        assert_eq!(stage.mails_with(&["ci-bot", "could not be rotated"]).len(), 1);
    });
}

#[test]
fn an_event_changes_no_key_and_no_schedule() {
    rehearse(async {
        let stage = TestStack::new();
        let (old, _) = stage.add_rotated_user("ci-bot").await;
        stage.pass_days(10).await;
        let detail = json!({"name": stage.secret("ci-bot").name, "labelUpdated": "AWSCURRENT", "versionId": "x"});
        let before = stage.snapshot();
        let event = json!({"detail-type": "Secret Label Updated", "source": "aws.secretsmanager",
            "account": PRIMARY_ACCOUNT, "region": "us-east-1", "detail": detail});
        stage.keywheel.sweep(event).await.expect("an answer");
        assert_eq!(stage.snapshot(), before);
        assert_eq!(stage.status("ci-bot", &old), "Active", "although it is due to be disabled");
    });
}

#[test]
fn no_secret_is_in_any_mail_report_or_error() {
    rehearse(async {
        let stage = TestStack::new();
        stage.add_user("ci-bot", &[90]);
        let mut said = String::new();
        for day in 0..24 {
            if day == 1 {
                // The error of a failing rotation must not contain a secret either.
                stage.tag_secret("ci-bot", "keywheel:force", "true").await;
                stage.cloud.faults().inject(Fault::on("sts", "GetCallerIdentity", FaultKind::AccessDenied).every());
                let refused = stage.rotate("ci-bot").await.expect_err("the key cannot be tested");
                said += &refused;
                stage.cloud.faults().clear();
                stage.rotate("ci-bot").await.expect("rotated");
            }
            said += &stage.live().await.to_string();
            for answer in stage.hand_over_events().await {
                said += &answer.to_string();
            }
            stage.pass_days(1).await;
        }
        said += &all_mail(&stage);
        let secret = stage.secret("ci-bot");
        let values: Vec<_> = secret.versions.iter().filter_map(|version| version.text()).collect();
        let secrets = values.iter().filter_map(|text| {
            let value: serde_json::Value = serde_json::from_str(text).ok()?;
            Some(value["SecretAccessKey"].as_str()?.to_owned())
        });
        let secrets: Vec<String> = secrets.collect();
        assert!(secrets.len() >= 2, "{}", secrets.len());
        for secret in &secrets {
            assert!(secret.len() > 30 && !said.contains(secret), "a secret key was sent");
        }
        assert!(said.contains("was rotated"), "something was sent");
        assert!(stage.user("ci-bot").keys.iter().any(KeyView::is_active));
    });
}

#[test]
fn a_mail_with_a_lost_answer_is_not_repeated_in_the_run() {
    rehearse(async {
        let stage = TestStack::new();
        stage.add_user("ci-bot", &[85]);
        stage.cloud.faults().inject(Fault::on("ses", "SendEmail", FaultKind::LostAnswer).every());
        let answer = stage.sweep().await;
        assert_eq!(stage.cloud.mails().len(), 1, "SES may have accepted it: {answer}");
        assert!(failures(&answer).contains("SendEmail"), "{answer}");
    });
}

#[test]
fn an_unreadable_address_is_not_a_missing_address() {
    rehearse(async {
        let stage = TestStack::new();
        stage.add_user("ci-bot", &[84]);
        stage.add_user("gone", &[10]);
        stage.live().await;
        let sent_before = stage.cloud.mails().len();
        stage.add_user("other", &[84]);
        stage.cloud.delete_user(MEMBER, "gone");
        let throttled = FaultKind::Throttle { times: 100 };
        stage.cloud.faults().inject(Fault::on("organizations", "DescribeAccount", throttled));
        let answer = stage.keywheel.sweep(json!({"account": MEMBER})).await.expect("the sweep answers");
        assert!(failures(&answer).contains("DescribeAccount"), "{answer}");
        assert_eq!(done(&answer, "provision"), 1, "the work is done");
        assert_eq!(done(&answer, "delete-secret"), 0, "its notice could not be sent afterwards");
        assert_eq!(stage.cloud.mails().len(), sent_before, "the address of the settings is not the account's");
        stage.cloud.faults().clear();
        stage.keywheel.sweep(json!({"account": MEMBER})).await.expect("the sweep answers");
        for words in [["other", "will be rotated"], ["gone", "deleted"]] {
            let [mail] = &stage.mails_with(&words)[..] else { panic!("{words:?}: {}", all_mail(&stage)) };
            assert_eq!(mail.to, ["prod@example.com"]);
        }
    });
}
