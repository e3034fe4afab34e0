//! How much one owner gets: over the ordinary life of a key, in a month of failures, by mail and on a topic.

use chrono::{DateTime, TimeDelta};
use keywheel::model::{Fault, Mail};
use keywheel::rehearsal::PRIMARY_ACCOUNT;
use serde_json::json;

use crate::harness::{MEMBER, OTHER, Stage, failures, refused, rehearse, start};

const OWNER: &str = "jo@example.com";

/// The mails to an address, each with the day of the test on which it came.
fn mails_to(stage: &Stage, address: &str) -> Vec<(i64, Mail)> {
    let day = |at: DateTime<_>| (at - start()).num_days();
    stage.cloud.mails().into_iter().filter(|mail| mail.to == [address]).map(|mail| (day(mail.at), mail)).collect()
}

/// Days and subjects, without the name of the user that all are about.
fn told(stage: &Stage, address: &str) -> Vec<(i64, String)> {
    let of = "Access key of ci-bot (prod, 111122223333) ";
    mails_to(stage, address).into_iter().map(|(day, mail)| (day, mail.subject.replace(of, ""))).collect()
}

fn expected(told: &[(i64, &str)]) -> Vec<(i64, String)> {
    told.iter().map(|(day, subject)| (*day, (*subject).to_owned())).collect()
}

/// A user whose owner is known, with a key made on day 0.
fn owned_user(settings: &[(&str, &str)]) -> Stage {
    let stage = Stage::with(settings);
    stage.add_user("ci-bot", &[0]);
    stage.cloud.tag_user(MEMBER, "ci-bot", "owner", OWNER);
    stage
}

// README quotes these numbers.
#[test]
fn an_owner_gets_seven_mails_over_the_ordinary_life_of_a_key() {
    rehearse(async {
        let stage = owned_user(&[]);
        stage.live_days(120).await;
        let mails = expected(&[
            (83, "will be rotated on 2026-04-01"),
            (90, "was rotated; the old one will be disabled on 2026-04-11"),
            (93, "will be disabled on 2026-04-11"),
            (100, "was disabled and will be deleted on 2026-04-21"),
            (103, "will be deleted on 2026-04-21"),
            (109, "will be deleted within a day, on 2026-04-21"),
            (110, "was deleted"),
        ]);
        assert_eq!(told(&stage, OWNER), mails);
        assert_eq!(told(&stage, "prod@example.com"), mails, "the account's contact gets the same");
        assert_eq!(stage.cloud.mails().len(), 2 * mails.len(), "and nobody else anything");
    });
}

#[test]
fn an_owner_who_goes_on_with_the_old_key_hears_of_it_and_of_the_moment_it_stops_working() {
    rehearse(async {
        let stage = owned_user(&[]);
        let old = stage.user("ci-bot").keys[0].clone();
        for _ in 0..120 {
            stage.pass_days(1).await;
            // An hour before the sweep; it fails once the key is disabled.
            let _ = stage.cloud.use_key(MEMBER, "ci-bot", &old.id, "s3", stage.now() - TimeDelta::hours(1));
            stage.live().await;
        }
        let subjects = told(&stage, OWNER);
        let warned = (94, "was used after its rotation and will be disabled on 2026-04-11".to_owned());
        assert!(subjects.contains(&warned) && subjects.len() == 8, "one more than otherwise: {subjects:#?}");
        let (_, disabled) =
            mails_to(&stage, OWNER).into_iter().find(|(_, mail)| mail.subject.contains("was disabled")).expect("it");
        let text = disabled.text.expect("a text part");
        assert!(
            text.contains("s3 in") && text.contains("update-access-key") && text.contains("--status Active"),
            "{text}"
        );
    });
}

#[test]
fn a_month_of_failing_rotations_is_five_mails_and_of_a_failing_mail_service_at_most_two_after_it() {
    rehearse(async {
        let stage = Stage::new();
        stage.add_user("ci-bot", &[89]);
        stage.cloud.tag_user(MEMBER, "ci-bot", "owner", OWNER);
        stage.live().await;
        let before = mails_to(&stage, OWNER).len();
        stage.cloud.remove_role(MEMBER, &stage.keywheel.settings().rotation_member_role());
        stage.live_days(30).await;
        let told = told(&stage, OWNER).split_off(before);
        let days: Vec<i64> = told.iter().map(|(day, _)| *day).collect();
        assert_eq!(days, [1, 8, 15, 22, 29], "{told:#?}");
        assert!(told.iter().all(|(_, subject)| subject == "could not be rotated"), "{told:#?}");
    });
    rehearse(async {
        let stage = Stage::new();
        stage.add_user("ci-bot", &[84]);
        stage.cloud.tag_user(MEMBER, "ci-bot", "owner", OWNER);
        stage.cloud.switch(|aws| aws.mail_down = true);
        stage.live_days(30).await;
        assert_eq!(stage.cloud.mails(), [], "nothing got out");
        stage.cloud.switch(|aws| aws.mail_down = false);
        stage.live_days(1).await;
        let told = told(&stage, OWNER);
        assert!((1..=2).contains(&told.len()), "one message of what is urgent, one of the rest: {told:#?}");
        stage.cloud.drain_mails();
        stage.live().await;
        assert_eq!(stage.cloud.mails(), [], "and nothing twice");
    });
}

#[test]
fn a_trouble_is_told_once_where_the_settings_say_so() {
    rehearse(async {
        let stage = Stage::with(&[("NOTICE_REPEAT_PERIOD", "0")]);
        stage.add_user("ci-bot", &[89]);
        stage.live().await;
        stage.cloud.remove_role(MEMBER, &stage.keywheel.settings().rotation_member_role());
        stage.live_days(30).await;
        assert_eq!(stage.mails_with(&["ci-bot", "could not be rotated"]).len(), 1);
    });
}

#[test]
fn the_recipient_in_copy_gets_everything_in_one_message() {
    rehearse(async {
        let copy = [("RECIPIENT_EMAIL", "audit@example.com"), ("RECIPIENT_EMAIL_IN_COPY", "true")];
        let stage = Stage::with(&copy);
        stage.add_member(OTHER, "test");
        stage.add_user_in(MEMBER, "ci-bot", &[85]);
        stage.add_user_in(OTHER, "deployer", &[85]);
        assert_eq!(stage.sweep_well().await["mails"], 3);
        let (_, mail) = mails_to(&stage, "audit@example.com").remove(0);
        assert!(["ci-bot", "deployer"].iter().all(|user| mail.text.as_deref().is_some_and(|text| text.contains(user))));
        assert_eq!(stage.sweep_well().await["mails"], 0);
    });
}

#[test]
fn an_account_whose_address_is_none_is_reported_and_its_notices_reach_the_recipient() {
    rehearse(async {
        for event in [json!({}), json!({"account": OTHER})] {
            let stage = Stage::with(&[("RECIPIENT_EMAIL", "audit@example.com")]);
            stage.cloud.add_account(OTHER, "test", Some("test at example"));
            stage.keywheel.prepare_member(OTHER);
            stage.add_user_in(OTHER, "deployer", &[85]);
            let answer = stage.keywheel.sweep(event).await.expect("an answer");
            assert!(failures(&answer).contains("`test at example`"), "{answer}");
            assert_eq!(mails_to(&stage, "audit@example.com").len(), 1);
        }
    });
}

/// What the topic got: users and phases.
fn published(stage: &Stage, topic: &str) -> Vec<String> {
    let messages = stage.cloud.topic_messages(topic);
    messages.iter().map(|message| format!("{} {}", message.json()["user"], message.json()["phase"])).collect()
}

#[test]
fn a_topic_gets_the_same_notices_and_neither_way_repeats_for_the_other() {
    rehearse(async {
        let topic = format!("arn:aws:sns:us-east-1:{PRIMARY_ACCOUNT}:notices");
        let stage = Stage::with(&[("NOTICE_TOPIC_ARN", &topic)]);
        assert_eq!(stage.cloud.add_topic(PRIMARY_ACCOUNT, "notices"), topic);
        stage.add_user("ci-bot", &[85]);
        stage.cloud.faults().inject(Fault::on("sns", "PublishBatch", refused("InternalError")));
        let answer = stage.sweep().await;
        assert!(failures(&answer).contains("\"topic\"") && answer["mails"] == 1, "the mail goes out: {answer}");
        stage.cloud.faults().clear();
        let answer = stage.sweep_well().await;
        assert_eq!(
            (&answer["mails"], published(&stage, &topic)),
            (&json!(0), vec!["\"ci-bot\" \"rotate-ahead\"".to_owned()])
        );

        stage.cloud.switch(|aws| aws.mail_down = true);
        stage.add_user("deployer", &[85]);
        assert!(failures(&stage.sweep().await).contains("\"mail\""));
        stage.cloud.switch(|aws| aws.mail_down = false);
        assert_eq!(stage.sweep_well().await["mails"], 1);
        assert_eq!(published(&stage, &topic).len(), 2, "published once, and mailed once");
        assert_eq!(stage.sweep_well().await["mails"], 0);
        assert_eq!(published(&stage, &topic).len(), 2);
    });
}

#[test]
fn with_a_topic_and_without_a_sender_the_topic_alone_is_told() {
    rehearse(async {
        let topic = format!("arn:aws:sns:us-east-1:{PRIMARY_ACCOUNT}:notices");
        let stage = Stage::with(&[("NOTICE_TOPIC_ARN", &topic), ("SENDER_EMAIL", ""), ("SES_DOMAIN", "")]);
        stage.cloud.add_topic(PRIMARY_ACCOUNT, "notices");
        stage.add_user("ci-bot", &[90]);
        for _ in 0..2 {
            let answer = stage.live().await;
            assert_eq!(failures(&answer), "[]");
        }
        assert_eq!(published(&stage, &topic), ["\"ci-bot\" \"rotated\""]);
    });
}

#[test]
fn an_owner_hears_all_of_it_although_the_account_s_address_takes_nothing() {
    rehearse(async {
        let stage = owned_user(&[]);
        stage.cloud.switch(|aws| {
            aws.mail_sandbox = true;
            let sender = stage.keywheel.settings().sender.clone().expect("a sender");
            aws.verified_identities.extend([OWNER.to_owned(), sender.to_string()]);
        });
        let mut reported = String::new();
        for _ in 0..112 {
            stage.pass_days(1).await;
            reported += &failures(&stage.sweep_and_hold(MEMBER).await);
            stage.cloud.run_rotations().await;
            stage.cloud.fire_due_rotations().await;
            stage.hand_over_events().await;
            reported += &failures(&stage.digest().await);
        }
        let subjects: Vec<String> = told(&stage, OWNER).into_iter().map(|(_, subject)| subject).collect();
        assert_eq!(subjects.len(), 7, "each once: {subjects:#?}");
        assert!(subjects.last().is_some_and(|subject| subject == "was deleted"), "{subjects:#?}");
        assert!(mails_to(&stage, "prod@example.com").is_empty() && reported.contains("sandbox"));
    });
}

#[test]
fn a_rotation_that_is_told_late_promises_nothing_that_is_past() {
    rehearse(async {
        let stage = Stage::new();
        stage.cloud.switch(|aws| aws.mail_down = true);
        let (old, _) = stage.add_rotated_user("ci-bot").await;
        stage.live_days(12).await;
        stage.cloud.switch(|aws| aws.mail_down = false);
        stage.live().await;
        let rotated = stage.mails_with(&["was rotated"]).remove(0);
        assert!(rotated.text.as_deref().is_some_and(|text| text.contains(&old.access_key_id)), "{rotated:?}");
        assert!(!rotated.subject.contains("will be disabled"), "it is: {}", rotated.subject);
    });
}
