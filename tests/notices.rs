//! How much one owner gets: over the ordinary life of a key, in a month of failures, and as one digest across accounts.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta};
use keywheel::rehearsal::{AccountState, Fault, FaultKind, Mail, PRIMARY_ACCOUNT};
use serde_json::{Value, json};

use crate::harness::{MEMBER, OTHER, Stage, failures, refused, rehearse, start, use_key};

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

/// Sweeps one account as the state machine does.
async fn sweep_and_hold(stage: &Stage, account: &str) -> Value {
    let event = json!({"account": account, "notices": "later"});
    stage.keywheel.sweep(event).await.expect("the sweep answers")
}

async fn digest(stage: &Stage) -> Value {
    stage.keywheel.sweep(json!({"digest": {}})).await.expect("the digest answers")
}

/// The secrets that are marked for a digest.
fn held(stage: &Stage) -> usize {
    stage.cloud.secrets().iter().filter(|secret| secret.tags.contains_key("keywheel:untold")).count()
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
fn a_month_of_failing_rotations_is_five_mails_and_of_a_failing_mail_service_one_after_it() {
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
fn sweeps_of_single_accounts_end_in_one_digest_per_recipient() {
    rehearse(async {
        let stage = Stage::new();
        stage.add_member(OTHER, "test");
        for (account, user) in [(MEMBER, "ci-bot"), (OTHER, "deployer"), (OTHER, "backup")] {
            stage.add_user_in(account, user, &[85]);
            stage.cloud.tag_user(account, user, "owner", OWNER);
        }
        for account in [MEMBER, OTHER] {
            let answer = sweep_and_hold(&stage, account).await;
            assert_eq!((failures(&answer).as_str(), &answer["mails"]), ("[]", &json!(0)), "{answer}");
        }
        assert_eq!((held(&stage), stage.cloud.mails().len()), (3, 0));

        let answer = digest(&stage).await;
        assert_eq!((failures(&answer).as_str(), &answer["accounts"], &answer["users"]), ("[]", &json!(2), &json!(3)));
        let mut recipients: Vec<_> = stage.cloud.mails().into_iter().map(|mail| mail.to.join(" ")).collect();
        recipients.sort();
        assert_eq!(recipients, [OWNER, "prod@example.com", "test@example.com"], "one message each");
        let text = mails_to(&stage, OWNER).remove(0).1.text.expect("a text part");
        assert!(["ci-bot", "deployer", "backup", MEMBER, OTHER].iter().all(|part| text.contains(part)), "{text}");
        assert_eq!(held(&stage), 0);

        stage.cloud.forget_calls();
        assert_eq!(digest(&stage).await["mails"], 0, "the same digest again");
        assert_eq!(stage.cloud.call_count(), 1, "and it looks at nobody: {:#?}", stage.cloud.calls());
        assert_eq!(stage.sweep_well().await["mails"], 0, "nor does a sweep tell it again");
    });
}

#[test]
fn what_is_urgent_is_not_held() {
    rehearse(async {
        let stage = Stage::new();
        let (old, _) = stage.add_rotated_user("ci-bot").await;
        stage.pass_days(5).await;
        use_key(&stage, &old);
        stage.pass_days(5).await;
        stage.cloud.drain_mails();
        let answer = sweep_and_hold(&stage, MEMBER).await;
        assert_eq!((&answer["actions"]["disable"], &answer["mails"]), (&json!(1), &json!(1)), "{answer}");
        let mails = stage.cloud.drain_mails();
        assert!(mails[0].subject.contains("was disabled"), "{}", mails[0].subject);
        digest(&stage).await;
        assert!(!stage.cloud.mails().iter().any(|mail| mail.subject.contains("was disabled")), "told once");
        assert_eq!(held(&stage), 0);
    });
}

#[test]
fn what_a_digest_cannot_send_stays_held_and_a_plain_sweep_may_tell_it() {
    rehearse(async {
        for by_sweep in [false, true] {
            let stage = owned_user(&[]);
            stage.pass_days(84).await;
            sweep_and_hold(&stage, MEMBER).await;
            stage.cloud.switch(|aws| aws.mail_down = true);
            assert!(failures(&digest(&stage).await).contains("mail"));
            assert_eq!(held(&stage), 1);
            stage.cloud.switch(|aws| aws.mail_down = false);
            let answer = if by_sweep { stage.sweep_well().await } else { digest(&stage).await };
            assert_eq!((&answer["mails"], held(&stage)), (&json!(2), 0), "{answer}");
            assert_eq!(digest(&stage).await["mails"], 0);
        }
    });
}

#[test]
fn a_user_that_cannot_be_looked_at_for_the_digest_keeps_nobody_from_it() {
    rehearse(async {
        let stage = Stage::new();
        stage.add_member(OTHER, "test");
        stage.add_user_in(MEMBER, "ci-bot", &[85]);
        stage.add_user_in(OTHER, "deployer", &[85]);
        sweep_and_hold(&stage, MEMBER).await;
        sweep_and_hold(&stage, OTHER).await;
        stage.cloud.faults().inject(Fault::on("iam", "ListAccessKeys", FaultKind::AccessDenied));
        let answer = digest(&stage).await;
        assert!(failures(&answer).contains("\"digest\""), "{answer}");
        assert_eq!((&answer["mails"], held(&stage)), (&json!(1), 1));
        stage.cloud.faults().clear();
        assert_eq!(digest(&stage).await["mails"], 1);
        stage.cloud.faults().inject(Fault::on("secretsmanager", "ListSecrets", refused("InternalServiceError")));
        let error =
            stage.keywheel.sweep(json!({"digest": {}})).await.expect_err("a list that is not whole is no answer");
        assert!(error.to_string().contains("ListSecrets"), "{error}");
    });
}

#[test]
fn a_digest_goes_on_behind_an_account_and_leaves_the_ones_before_it() {
    rehearse(async {
        let stage = Stage::new();
        stage.add_member(OTHER, "test");
        for account in [MEMBER, OTHER] {
            stage.add_user_in(account, "ci-bot", &[85]);
            sweep_and_hold(&stage, account).await;
        }
        let answer = stage.keywheel.sweep(json!({"digest": {"after": MEMBER}})).await.expect("the digest answers");
        assert_eq!((&answer["accounts"], &answer["mails"], held(&stage)), (&json!(1), &json!(1), 1), "{answer}");
        assert_eq!(answer.get("digest_after"), None, "it was the last account");
        assert!(stage.secret("ci-bot").tags.contains_key("keywheel:untold"), "the account before is left alone");
        let answer = stage.keywheel.sweep(json!({"digest": {"after": OTHER}})).await.expect("the digest answers");
        assert_eq!((&answer["accounts"], &answer["mails"], held(&stage)), (&json!(0), &json!(0), 1), "{answer}");
        assert_eq!((&digest(&stage).await["mails"], held(&stage)), (&json!(1), 0));
    });
}

#[test]
fn the_digest_of_a_dry_run_plans_for_any_number_of_accounts_in_parts() {
    rehearse(async {
        let stage = Stage::with(&[("MAX_CONCURRENCY", "1"), ("DRY_RUN_FLAG", "true")]);
        stage.add_user_in(MEMBER, "first", &[200]);
        for n in 0..200_u64 {
            stage.cloud.add_account(&format!("{}", 300_000_000_000 + n), "many", None);
        }
        stage.add_member("888877776666", "last");
        stage.add_user_in("888877776666", "last", &[200]);
        stage.cloud.add_account("888877775555", "suspended", None);
        stage.cloud.set_account_state("888877775555", AccountState::Suspended);
        let refused = stage.keywheel.sweep(json!({})).await.expect_err("203 accounts one after another");
        assert_eq!(refused.name(), "TooManyAccounts");
        let planned_for = |answer: &Value| -> BTreeSet<String> {
            let plan = answer["plan"].as_array().into_iter().flatten();
            plan.filter_map(|entry| entry["user"].as_str().map(str::to_owned)).collect()
        };
        let (mut event, mut users, mut suspended, mut digests) = (json!({"digest": {}}), Vec::new(), 0, 0);
        loop {
            let mut answer = stage.keywheel.sweep(event).await.expect("the digest answers");
            users.extend(planned_for(&answer));
            let skipped = answer["skipped"].as_array().into_iter().flatten();
            suspended += skipped.filter(|skipped| skipped["account"] == "888877775555").count();
            digests += 1;
            let after = answer["digest_after"].take();
            if after.is_null() {
                break;
            }
            event = json!({"digest": {"after": after}});
        }
        assert_eq!(users, ["first", "last"], "each in one of the parts");
        assert_eq!((digests, suspended), (2, 1), "said once");
    });
}

#[test]
fn for_the_digest_users_of_one_account_are_listed_or_asked_for_one_by_one() {
    rehearse(async {
        for (is_refused, asked) in [(false, 2), (true, 4)] {
            let stage = Stage::new();
            for name in ["ann", "bob", "gone"] {
                stage.add_user(name, &[85]);
            }
            sweep_and_hold(&stage, MEMBER).await;
            stage.cloud.delete_user(MEMBER, "gone");
            if is_refused {
                stage.cloud.faults().inject(Fault::on(
                    "iam",
                    "GetAccountAuthorizationDetails",
                    FaultKind::AccessDenied,
                ));
            }
            let before = stage.cloud.calls().len();
            let answer = digest(&stage).await;
            assert_eq!((failures(&answer), held(&stage)), ("[]".to_owned(), 0), "{answer}");
            for name in ["ann", "bob"] {
                assert!(stage.secret(name).tags["keywheel:notified"].contains("rotate-ahead"), "{name}");
            }
            assert!(stage.secret("gone").deletion_date.is_some(), "who is not in the list is asked for");
            let calls = stage.cloud.calls().split_off(before);
            assert_eq!(calls.iter().filter(|call| call.operation == "GetUser").count(), asked);
        }
    });
}

/// A user with a secret who was deleted, which a sweep has seen that holds what it could tell.
async fn deleted_and_held() -> Stage {
    let stage = Stage::new();
    stage.add_user("ci-bot", &[10]);
    stage.live().await;
    stage.cloud.delete_user(MEMBER, "ci-bot");
    sweep_and_hold(&stage, MEMBER).await;
    stage
}

#[test]
fn the_secret_of_a_deleted_user_waits_for_its_digest() {
    rehearse(async {
        let stage = deleted_and_held().await;
        assert!(stage.secret("ci-bot").deletion_date.is_none(), "nothing can be written to it after that");
        let answer = digest(&stage).await;
        assert_eq!(answer["actions"]["delete-secret"], 1, "{answer}");
        assert!(stage.secret("ci-bot").deletion_date.is_some());
        assert_eq!(stage.mails_with(&["ci-bot", "scheduled for deletion"]).len(), 1);
        assert_eq!(digest(&stage).await["mails"], 0);
    });
}

#[test]
fn a_digest_changes_no_key_and_tells_nothing_that_is_not_done() {
    rehearse(async {
        let stage = Stage::new();
        let (old, _) = stage.add_rotated_user("ci-bot").await;
        stage.pass_days(4).await;
        sweep_and_hold(&stage, MEMBER).await;
        assert_eq!(held(&stage), 1, "the disabling is announced");
        stage.pass_days(7).await;
        stage.cloud.drain_mails();
        digest(&stage).await;
        assert_eq!(stage.status("ci-bot", &old), "Active", "though it is due to be disabled");
        assert_eq!(stage.mails_with(&["was disabled"]).len(), 0);
    });
}

#[test]
fn the_digest_of_a_dry_run_is_one_message_per_recipient_and_writes_nothing_down() {
    rehearse(async {
        let stage = Stage::with(&[("DRY_RUN_FLAG", "true")]);
        stage.add_member(OTHER, "test");
        stage.add_user_in(MEMBER, "ci-bot", &[95]);
        stage.add_user_in(OTHER, "deployer", &[95]);
        let before = stage.snapshot();
        for account in [MEMBER, OTHER] {
            assert_eq!(sweep_and_hold(&stage, account).await["mails"], 0);
        }
        assert_eq!(digest(&stage).await["mails"], 2);
        assert!(stage.cloud.mails().iter().all(|mail| mail.subject.starts_with("[dry run]")));
        assert_eq!(stage.snapshot(), before);
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
fn a_secret_whose_deletion_failed_after_its_notice_is_deleted_by_the_next_sweep_that_holds() {
    rehearse(async {
        let stage = deleted_and_held().await;
        stage
            .cloud
            .faults()
            .inject(Fault::on("secretsmanager", "DeleteSecret", refused("InternalServiceError")).every());
        assert!(failures(&digest(&stage).await).contains("DeleteSecret"));
        stage.cloud.faults().clear();
        assert!(stage.secret("ci-bot").deletion_date.is_none());
        stage.pass_days(1).await;
        let answer = sweep_and_hold(&stage, MEMBER).await;
        assert_eq!(answer["actions"]["delete-secret"], 1, "there is nothing left to tell: {answer}");
        assert!(stage.secret("ci-bot").deletion_date.is_some());
        assert_eq!(stage.mails_with(&["ci-bot", "scheduled for deletion"]).len(), 1);
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
            reported += &failures(&sweep_and_hold(&stage, MEMBER).await);
            stage.cloud.run_rotations().await;
            stage.cloud.fire_due_rotations().await;
            stage.hand_over_events().await;
            reported += &failures(&digest(&stage).await);
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
