//! The notices that one owner gets: over the usual life of a key, in a month of failures, by mail and on a topic.

use chrono::{DateTime, TimeDelta};
use keywheel::model::{Fault, Mail};
use keywheel::rehearsal::PRIMARY_ACCOUNT;
use serde_json::json;

use crate::harness::{MEMBER, OTHER, TestStack, failures, refused, rehearse, start};

const OWNER: &str = "jo@example.com";

/// The mails to an address, each with the day of the test on which it was sent.
fn mails_to(stage: &TestStack, address: &str) -> Vec<(i64, Mail)> {
    let day = |at: DateTime<_>| (at - start()).num_days();
    stage.cloud.mails().into_iter().filter(|mail| mail.to == [address]).map(|mail| (day(mail.at), mail)).collect()
}

/// The days and subjects of the mails to an address, without the user that all are about.
fn subjects_to(stage: &TestStack, address: &str) -> Vec<(i64, String)> {
    let of = "Access key of ci-bot (prod, 111122223333) ";
    mails_to(stage, address).into_iter().map(|(day, mail)| (day, mail.subject.replace(of, ""))).collect()
}

fn expected(mails: &[(i64, &str)]) -> Vec<(i64, String)> {
    mails.iter().map(|(day, subject)| (*day, (*subject).to_owned())).collect()
}

/// A user with an owner and with a key that was created on day 0.
fn owned_user(settings: &[(&str, &str)]) -> TestStack {
    let stage = TestStack::with(settings);
    stage.add_user("ci-bot", &[0]);
    stage.cloud.tag_user(MEMBER, "ci-bot", "owner", OWNER);
    stage
}

// README quotes these numbers.
#[test]
fn an_owner_gets_seven_mails_over_the_usual_life_of_a_key() {
    rehearse(async {
        let stage = owned_user(&[]);
        stage.live_days(120).await;
        let mails = expected(&[
            (83, "will be rotated on 2026-04-01"),
            (90, "was rotated; the old key will be disabled on 2026-04-11"),
            (93, "will be disabled on 2026-04-11"),
            (100, "was disabled and will be deleted on 2026-04-21"),
            (103, "will be deleted on 2026-04-21"),
            (109, "will be deleted tomorrow, on 2026-04-21"),
            (110, "was deleted"),
        ]);
        assert_eq!(subjects_to(&stage, OWNER), mails);
        // The key is the owner's to install; the account finds it in the next day's list.
        let later = |(day, subject): &(i64, String)| (if *day == 90 { 91 } else { *day }, subject.clone());
        let of_account: Vec<(i64, String)> = mails.iter().map(later).collect();
        assert_eq!(subjects_to(&stage, "prod@example.com"), of_account, "the account's contact gets the same");
        assert_eq!(stage.cloud.mails().len(), 2 * mails.len(), "and nobody else gets mail");
    });
}

#[test]
fn an_owner_who_uses_the_old_key_is_warned() {
    rehearse(async {
        let stage = owned_user(&[]);
        let old = stage.user("ci-bot").keys[0].clone();
        for _ in 0..120 {
            stage.pass_days(1).await;
            // The use is an hour before the sweep. It fails once the key is disabled.
            let _ = stage.cloud.use_key(MEMBER, "ci-bot", &old.id, "s3", stage.now() - TimeDelta::hours(1));
            stage.live().await;
        }
        let subjects = subjects_to(&stage, OWNER);
        let warned = (94, "was used after its rotation and will be disabled on 2026-04-11".to_owned());
        assert!(subjects.contains(&warned) && subjects.len() == 8, "one more mail than usual: {subjects:#?}");
        let (_, disabled) = mails_to(&stage, OWNER)
            .into_iter()
            .find(|(_, mail)| mail.subject.contains("was disabled"))
            .expect("a mail");
        let text = disabled.text.expect("a text part");
        assert!(
            text.contains("s3 in") && text.contains("update-access-key") && text.contains("--status Active"),
            "{text}"
        );
    });
}

#[test]
fn a_month_of_failures_is_five_mails() {
    rehearse(async {
        let stage = TestStack::new();
        stage.add_user("ci-bot", &[89]);
        stage.cloud.tag_user(MEMBER, "ci-bot", "owner", OWNER);
        stage.live().await;
        let before = mails_to(&stage, OWNER).len();
        stage.cloud.remove_role(MEMBER, &stage.keywheel.settings().rotation_member_role());
        stage.live_days(30).await;
        let mails = subjects_to(&stage, OWNER).split_off(before);
        let days: Vec<i64> = mails.iter().map(|(day, _)| *day).collect();
        assert_eq!(days, [1, 8, 15, 22, 29], "{mails:#?}");
        assert!(mails.iter().all(|(_, subject)| subject == "could not be rotated"), "{mails:#?}");
    });
}

#[test]
fn a_month_without_mail_is_at_most_two_mails_after_it() {
    rehearse(async {
        let stage = TestStack::new();
        stage.add_user("ci-bot", &[84]);
        stage.cloud.tag_user(MEMBER, "ci-bot", "owner", OWNER);
        stage.cloud.switch(|aws| aws.mail_down = true);
        stage.live_days(30).await;
        assert_eq!(stage.cloud.mails(), [], "nothing was sent");
        stage.cloud.switch(|aws| aws.mail_down = false);
        stage.live_days(1).await;
        let mails = subjects_to(&stage, OWNER);
        assert!((1..=2).contains(&mails.len()), "one urgent message and one of the rest: {mails:#?}");
        stage.cloud.drain_mails();
        stage.live().await;
        assert_eq!(stage.cloud.mails(), [], "nothing is sent twice");
    });
}

#[test]
fn without_a_repeat_period_a_problem_is_sent_once() {
    rehearse(async {
        let stage = TestStack::with(&[("NOTICE_REPEAT_PERIOD", "0")]);
        stage.add_user("ci-bot", &[89]);
        stage.live().await;
        stage.cloud.remove_role(MEMBER, &stage.keywheel.settings().rotation_member_role());
        stage.live_days(30).await;
        assert_eq!(stage.mails_with(&["ci-bot", "could not be rotated"]).len(), 1);
    });
}

#[test]
fn a_recipient_in_copy_gets_everything_in_one_message() {
    rehearse(async {
        let copy = [("RECIPIENT_EMAIL", "audit@example.com"), ("RECIPIENT_EMAIL_IN_COPY", "true")];
        let stage = TestStack::with(&copy);
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
fn an_account_with_an_invalid_address_uses_the_recipient() {
    rehearse(async {
        for event in [json!({}), json!({"account": OTHER})] {
            let stage = TestStack::with(&[("RECIPIENT_EMAIL", "audit@example.com")]);
            stage.cloud.add_account(OTHER, "test", Some("test at example"));
            stage.keywheel.prepare_member(OTHER);
            stage.add_user_in(OTHER, "deployer", &[85]);
            let answer = stage.keywheel.sweep(event).await.expect("an answer");
            assert!(failures(&answer).contains("`test at example`"), "{answer}");
            assert_eq!(mails_to(&stage, "audit@example.com").len(), 1);
        }
    });
}

/// The users and phases of the messages on the topic.
fn published(stage: &TestStack, topic: &str) -> Vec<String> {
    let messages = stage.cloud.topic_messages(topic);
    messages.iter().map(|message| format!("{} {}", message.json()["user"], message.json()["phase"])).collect()
}

#[test]
fn topic_and_mail_get_the_same_notices_once() {
    rehearse(async {
        let topic = format!("arn:aws:sns:us-east-1:{PRIMARY_ACCOUNT}:notices");
        let stage = TestStack::with(&[("NOTICE_TOPIC_ARN", &topic)]);
        assert_eq!(stage.cloud.add_topic(PRIMARY_ACCOUNT, "notices"), topic);
        stage.add_user("ci-bot", &[85]);
        stage.cloud.faults().inject(Fault::on("sns", "PublishBatch", refused("InternalError")));
        let answer = stage.sweep().await;
        assert!(failures(&answer).contains("\"topic\"") && answer["mails"] == 1, "the mail is sent: {answer}");
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
fn without_a_sender_notices_go_to_the_topic_alone() {
    rehearse(async {
        let topic = format!("arn:aws:sns:us-east-1:{PRIMARY_ACCOUNT}:notices");
        let stage = TestStack::with(&[("NOTICE_TOPIC_ARN", &topic), ("SENDER_EMAIL", ""), ("SES_DOMAIN", "")]);
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
fn an_owner_gets_all_although_the_account_is_refused() {
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
        let subjects: Vec<String> = subjects_to(&stage, OWNER).into_iter().map(|(_, subject)| subject).collect();
        assert_eq!(subjects.len(), 7, "each once: {subjects:#?}");
        assert!(subjects.last().is_some_and(|subject| subject == "was deleted"), "{subjects:#?}");
        assert!(mails_to(&stage, "prod@example.com").is_empty() && reported.contains("sandbox"));
    });
}

#[test]
fn a_late_notice_of_a_rotation_names_no_past_date() {
    rehearse(async {
        let stage = TestStack::new();
        stage.cloud.switch(|aws| aws.mail_down = true);
        let (old, _) = stage.add_rotated_user("ci-bot").await;
        stage.live_days(12).await;
        stage.cloud.switch(|aws| aws.mail_down = false);
        stage.live().await;
        let rotated = stage.mails_with(&["was rotated"]).remove(0);
        assert!(rotated.text.as_deref().is_some_and(|text| text.contains(&old.access_key_id)), "{rotated:?}");
        assert!(!rotated.subject.contains("will be disabled"), "the key is disabled: {}", rotated.subject);
    });
}
