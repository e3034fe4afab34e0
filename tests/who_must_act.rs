//! The people who must act get a notice, even if an address gets no mail, a role is missing, or a user cannot read its
//! secret.

use keywheel::model::{AccessKeyPair, Fault, FaultKind};
use serde_json::{Value, json};

use crate::harness::{MEMBER, TestStack, failures, rehearse};

const OWNER: &str = "jo@example.com";
const TEAM: &str = "platform@example.com";

fn recipients(stage: &TestStack) -> Vec<String> {
    let mut to: Vec<String> = stage.cloud.mails().into_iter().flat_map(|mail| mail.to).collect();
    to.sort();
    to
}

#[test]
fn reported_c3_a_suppressed_owner_is_not_told_in_vain() {
    rehearse(async {
        let stage = TestStack::new();
        stage.add_user("ci-bot", &[85]);
        stage.cloud.tag_user(MEMBER, "ci-bot", "owner", OWNER);
        stage.cloud.switch(|aws| aws.suppressed_addresses = [("JO@example.com".to_owned(), "BOUNCE")].into());
        let answer = stage.live().await;
        assert_eq!(recipients(&stage), [TEAM, "prod@example.com"], "{answer:#}");
        assert!(failures(&answer).contains("j…@example.com, which is on its suppression list"), "{answer:#}");
        stage.pass_days(5).await;
        stage.live().await;
        assert_eq!(stage.mails_with(&["was rotated"]).len(), 1, "an event asks the list, too");
        assert_eq!(stage.live().await["mails"], json!(1), "the account finds the rotation in the next run's list");
        assert_eq!(stage.mails_with(&["was rotated"]).len(), 2);
        assert!(!recipients(&stage).contains(&OWNER.to_owned()));
        assert_eq!(stage.live().await["mails"], json!(0), "and nothing is sent twice");
    });
}

/// Puts a user into ten groups. None of them lets it read its secret.
fn fill_groups(stage: &TestStack, user: &str) {
    for n in 0..10 {
        let group = format!("team-{n}");
        stage.cloud.add_group(MEMBER, &group);
        stage.cloud.add_to_group(MEMBER, &group, user);
    }
}

/// Adds a rotated user and takes it out of the readers' group. Returns its old key and that group.
async fn add_rotated_user_outside_readers(stage: &TestStack) -> (AccessKeyPair, String) {
    let (old, _) = stage.add_rotated_user("ci-bot").await;
    let readers = stage.keywheel.settings().reader_group.clone().expect("a group");
    stage.cloud.remove_from_group(MEMBER, &readers, "ci-bot");
    stage.cloud.drain_mails();
    (old, readers)
}

#[test]
fn reported_c3_a_user_in_ten_groups_keeps_its_key() {
    rehearse(async {
        let stage = TestStack::new();
        let key = stage.add_user("ci-bot", &[90]).remove(0);
        fill_groups(&stage, "ci-bot");
        for _ in 0..40 {
            let answer = stage.live().await;
            assert!(failures(&answer).contains("it is in ten groups"), "{answer:#}");
            stage.pass_days(1).await;
        }
        assert_eq!(stage.status("ci-bot", &key), "Active");
        assert_eq!(stage.user("ci-bot").keys.len(), 1, "a new key would be of no use");
        assert_eq!(stage.mails_with(&["etch the new key"]).len(), 0);
        stage.cloud.remove_from_group(MEMBER, "team-3", "ci-bot");
        stage.live().await;
        assert_ne!(stage.current_key("ci-bot"), key.access_key_id, "rotated once it can be read");
    });
}

#[test]
fn reported_c3_an_owner_learns_that_its_secret_is_unreadable() {
    rehearse(async {
        let stage = TestStack::new();
        let (old, readers) = add_rotated_user_outside_readers(&stage).await;
        fill_groups(&stage, "ci-bot");
        stage.live_days(13).await;
        assert_eq!(stage.status("ci-bot", &old), "Active", "the new key cannot be fetched");
        assert!(!stage.secret("ci-bot").rotation_enabled);
        let mails = stage.cloud.mails();
        assert_eq!(mails.len(), 2, "told, and told again after a week: {mails:#?}");
        for mail in mails {
            let text = mail.text.unwrap_or_default();
            assert!(mail.subject.contains("is no longer rotated"), "{}", mail.subject);
            assert!(text.contains("it is in ten groups") && text.contains("list-groups-for-user"), "{text}");
        }
        stage.cloud.remove_from_group(MEMBER, "team-0", "ci-bot");
        stage.live_days(1).await;
        assert!(stage.secret("ci-bot").rotation_enabled && stage.user("ci-bot").groups.contains(&readers));
        stage.live_days(9).await;
        assert_eq!(stage.status("ci-bot", &old), "Active", "its grace began again");
        stage.live_days(3).await;
        assert_eq!(stage.status("ci-bot", &old), "Inactive");
    });
}

#[test]
fn reported_c3_who_cannot_join_the_readers_loses_no_key() {
    rehearse(async {
        let stage = TestStack::new();
        let (old, _) = add_rotated_user_outside_readers(&stage).await;
        stage.cloud.faults().inject(Fault::on("iam", "AddUserToGroup", FaultKind::AccessDenied).every());
        for _ in 0..14 {
            stage.pass_days(1).await;
            let answer = stage.live().await;
            assert!(failures(&answer).contains("\"reader-group\""), "{answer:#}");
        }
        assert_eq!(stage.status("ci-bot", &old), "Active");
        assert_eq!(stage.mails_with(&["will be disabled"]), [], "nothing is promised");
        stage.add_user("other", &[90]);
        stage.live().await;
        assert!(stage.find_secret("other").is_some_and(|secret| secret.last_rotation.is_none()), "no key is made");
        stage.cloud.faults().clear();
        stage.live_days(1).await;
        assert_eq!(stage.status("ci-bot", &old), "Inactive", "its grace was long over");
        assert_ne!(stage.user("other").keys.len(), 1);
    });
}

/// Fails the rotation of an overdue key, and returns the event of Secrets Manager about it.
async fn failed_rotation(stage: &TestStack, user: &str) -> Value {
    stage.add_user(user, &[90]);
    stage.cloud.tag_user(MEMBER, user, "owner", OWNER);
    stage.sweep_well().await;
    stage.cloud.remove_role(MEMBER, &stage.keywheel.settings().rotation_member_role());
    stage.cloud.run_rotations().await;
    let failed = |event: &Value| event["detail"]["eventName"] == "RotationFailed";
    stage.cloud.drain_events().into_iter().find(failed).expect("it failed")
}

#[test]
fn on_aws_b1_a_failed_rotation_is_told_with_its_cause() {
    rehearse(async {
        let stage = TestStack::new();
        let event = failed_rotation(&stage, "ci-bot").await;
        let said = event["detail"]["errorMessage"].as_str().expect("a text").to_owned();
        assert!(said.starts_with("Error when executing lambda"), "{said}");
        assert_eq!(stage.keywheel.sweep(event).await.expect("an answer")["mails"], 2);
        let mails = stage.mails_with(&["could not be rotated", "cannot use its role in account 111122223333"]);
        assert_eq!(mails.len(), 2, "owner and account");
        assert!(stage.mails_with(&["Error when executing"]).is_empty(), "an event's text is not repeated");
    });
}

#[test]
fn on_aws_b1_an_event_of_another_account_is_ignored() {
    rehearse(async {
        let stage = TestStack::new();
        let event = failed_rotation(&stage, "ci-bot").await;
        for (field, value) in [("account", "444455556666"), ("region", "eu-west-1")] {
            let mut forwarded = event.clone();
            forwarded[field] = json!(value);
            let answer = stage.keywheel.sweep(forwarded).await.expect("an answer");
            assert_eq!((&answer["mails"], &answer["failures"]), (&json!(0), &json!([])), "{field}");
        }
        assert_eq!(stage.cloud.mails(), []);
    });
}

#[test]
fn on_aws_b1_a_mail_about_full_slots_names_both_keys() {
    rehearse(async {
        let stage = TestStack::new();
        let mut keys = stage.add_user("ci-bot", &[95]);
        stage.sweep_well().await;
        keys.extend([stage.cloud.add_access_key(MEMBER, "ci-bot", stage.now())]);
        stage.cloud.run_rotations().await;
        stage.hand_over_events().await;
        let [mail] = &stage.mails_with(&["could not be rotated"])[..] else { panic!("{:#?}", stage.cloud.mails()) };
        let text = mail.text.as_deref().unwrap_or_default();
        assert!(keys.iter().all(|key| text.contains(&format!("{} (active, made ", key.access_key_id))), "{text}");
    });
}

#[test]
fn reported_c3_a_failure_without_mail_is_told_by_the_next_sweep() {
    rehearse(async {
        let stage = TestStack::new();
        let event = failed_rotation(&stage, "ci-bot").await;
        stage.cloud.switch(|aws| aws.mail_down = true);
        let answer = stage.keywheel.sweep(event).await.expect("an answer");
        assert!(failures(&answer).contains("\"mail\""), "{answer:#}");
        stage.cloud.switch(|aws| aws.mail_down = false);
        stage.pass_days(1).await;
        let answer = stage.sweep().await;
        let mails = stage.mails_with(&["could not be rotated", "cannot use its role in account 111122223333"]);
        assert_eq!(mails.len(), 2, "{answer:#}");
        assert_eq!(stage.mails_with(&["is not rotated yet"]), [], "one notice about one failure");
        stage.sweep().await;
        assert_eq!(stage.mails_with(&["could not be rotated"]).len(), 2, "once");
    });
}

#[test]
fn reported_c3_without_the_members_role_the_account_is_told() {
    rehearse(async {
        let stage = TestStack::new();
        let event = failed_rotation(&stage, "ci-bot").await;
        stage.cloud.remove_role(MEMBER, &stage.keywheel.settings().member_role);
        for mails in [1, 0] {
            let answer = stage.keywheel.sweep(event.clone()).await.expect("an answer");
            assert_eq!(answer["mails"], mails, "{answer:#}");
            assert_eq!(failures(&answer).contains("the owner is not"), mails == 1, "{answer:#}");
        }
        assert_eq!(recipients(&stage), ["prod@example.com"]);
        stage.keywheel.prepare_roles(MEMBER);
        stage.cloud.remove_role(MEMBER, &stage.keywheel.settings().rotation_member_role());
        stage.pass_days(1).await;
        stage.sweep().await;
        assert_eq!(recipients(&stage), [OWNER, "prod@example.com"], "the next sweep tells the owner alone");
    });
}

#[test]
fn on_aws_b8_a_value_put_by_hand_has_words_of_its_own() {
    rehearse(async {
        let stage = TestStack::new();
        let old = stage.add_user("ci-bot", &[90]).remove(0);
        stage.sweep_well().await;
        stage.cloud.faults().inject(Fault::on("sts", "GetCallerIdentity", FaultKind::AccessDenied).every());
        stage.cloud.run_rotations().await;
        stage.cloud.drain_events();
        let orphan = stage.user("ci-bot").keys[1].id.clone();
        let value = json!({"AccessKeyId": old.access_key_id, "SecretAccessKey": old.secret}).to_string();
        let put = stage.operator().put_secret_value().secret_id(&stage.secret("ci-bot").arn);
        put.secret_string(value).send().await.expect("put");
        stage.hand_over_events().await;
        let [mail] = &stage.mails_with(&["somebody put another value into its secret"])[..] else {
            panic!("{:#?}", stage.cloud.mails())
        };
        assert!(mail.text.as_deref().is_some_and(|text| text.contains("put by hand, which keywheel has not tested")));
        stage.cloud.faults().clear();
        stage.live_days(4).await;
        let user = stage.user("ci-bot");
        assert!(user.key(&orphan).is_none(), "the announced key is removed as the orphan: {:?}", user.keys);
        assert!(stage.secret("ci-bot").last_rotation == Some(Ok(())) && user.keys.len() == 2);
    });
}

#[test]
fn on_aws_b8_a_failed_test_says_that_the_next_rotation_fails() {
    rehearse(async {
        let stage = TestStack::new();
        stage.add_user("ci-bot", &[10]);
        stage.cloud.remove_role(MEMBER, &stage.keywheel.settings().rotation_member_role());
        stage.live().await;
        let mails =
            stage.mails_with(&["its next rotation will not work", "cannot use its role in account 111122223333"]);
        assert_eq!(mails.len(), 1, "{:#?}", stage.cloud.mails());
    });
}

#[test]
fn on_aws_b8_three_keys_are_one_problem_that_names_them() {
    rehearse(async {
        let stage = TestStack::new();
        let mut keys = stage.add_user("ci-bot", &[95, 50]);
        keys.push(stage.cloud.add_access_key(MEMBER, "ci-bot", stage.now()));
        let answer = stage.live().await;
        let said = failures(&answer);
        assert!(keys.iter().all(|key| said.contains(&key.access_key_id)), "{answer:#}");
        assert_eq!(answer["failures"].as_array().map(Vec::len), Some(1), "{answer:#}");
        for _ in 0..30 {
            stage.live_days(1).await;
        }
        assert!(keys.iter().all(|key| stage.status("ci-bot", key) == "Active"), "none is touched");
        stage.cloud.delete_key(MEMBER, "ci-bot", &keys[1].access_key_id);
        assert_eq!(failures(&stage.live().await), "[]");
    });
}
