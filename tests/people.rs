//! People interfere: they enable, disable and delete keys, delete users and create them again.

use keywheel::model::{AccessKeyPair, Fault, FaultKind, KeyView};
use serde_json::json;

use crate::harness::{MEMBER, TestStack, done, failures, refused, rehearse, use_key};

const EXEMPT: &str = "ASAIAMExemptionsGroup";

/// Returns a stage with a user whose old key keywheel has disabled, that key, and the new key's id.
async fn disabled() -> (TestStack, AccessKeyPair, String) {
    let stage = TestStack::new();
    let (old, new) = stage.add_rotated_user("ci-bot").await;
    stage.pass_days(10).await;
    stage.live().await;
    assert_eq!(stage.status("ci-bot", &old), "Inactive");
    (stage, old, new)
}

#[test]
fn a_key_that_a_person_enables_again_gets_a_new_grace() {
    rehearse(async {
        let (stage, old, _) = disabled().await;
        stage.pass_days(5).await;
        stage.cloud.set_key_status(MEMBER, "ci-bot", &old.access_key_id, "Active");
        let answer = stage.live().await;
        assert_eq!(done(&answer, "restart-grace"), 1);
        assert_eq!(stage.mails_with(&[&old.access_key_id, "enabled again"]).len(), 1);
        stage.live_days(9).await;
        assert_eq!(stage.status("ci-bot", &old), "Active");
        stage.live_days(2).await;
        assert_eq!(stage.status("ci-bot", &old), "Inactive", "disabled again");
        stage.live_days(8).await;
        assert_eq!(stage.status("ci-bot", &old), "Inactive", "the whole recovery period again");
        stage.live_days(3).await;
        assert_eq!(stage.status("ci-bot", &old), "gone");
        assert_eq!(
            stage.mails_with(&[&old.access_key_id, "was disabled and will be deleted"]).len(),
            2,
            "a second notice"
        );
    });
}

#[test]
fn a_key_whose_recovery_restarts_is_warned_of_again() {
    rehearse(async {
        let (stage, old, _) = disabled().await;
        stage.live_days(5).await;
        let warnings = || stage.mails_with(&[&old.access_key_id, "will be deleted on"]).len();
        let told = warnings();
        stage.pass_days(1).await;
        // Enabled, used and disabled again between two sweeps.
        stage.cloud.set_key_status(MEMBER, "ci-bot", &old.access_key_id, "Active");
        stage.pass_days(1).await;
        use_key(&stage, &old);
        stage.cloud.set_key_status(MEMBER, "ci-bot", &old.access_key_id, "Inactive");
        assert_eq!(done(&stage.live().await, "record-disabled"), 1);
        assert_eq!(warnings(), told + 1, "a notice with the new date");
        stage.live_days(9).await;
        assert_eq!(stage.status("ci-bot", &old), "Inactive", "the whole recovery period again");
        assert_eq!(warnings(), told + 2, "a warning ahead, as the first time");
    });
}

#[test]
fn upstream_defect_06_recovery_starts_when_the_owner_disables() {
    rehearse(async {
        let stage = TestStack::new();
        let (old, _) = stage.add_rotated_user("ci-bot").await;
        stage.live_days(3).await;
        stage.cloud.set_key_status(MEMBER, "ci-bot", &old.access_key_id, "Inactive");
        assert_eq!(done(&stage.live().await, "record-disabled"), 1);
        stage.live_days(9).await;
        assert_eq!(stage.status("ci-bot", &old), "Inactive");
        stage.live_days(2).await;
        assert_eq!(stage.status("ci-bot", &old), "gone");
    });
}

#[test]
fn the_old_key_stays_if_a_person_removes_the_new_one() {
    rehearse(async {
        for delete in [true, false] {
            let stage = TestStack::new();
            let (old, new) = stage.add_rotated_user("ci-bot").await;
            if delete {
                stage.cloud.delete_key(MEMBER, "ci-bot", &new);
            } else {
                stage.cloud.set_key_status(MEMBER, "ci-bot", &new, "Inactive");
            }
            for _ in 0..10 {
                stage.pass_days(3).await;
                stage.live().await;
                let user = stage.user("ci-bot");
                assert!(user.active_keys() >= 1, "delete: {delete}");
                // The old key may be deleted once a later rotation has put another working key into the secret.
                let successor = user.key(&stage.current_key("ci-bot")).is_some_and(keywheel::model::KeyView::is_active);
                assert!(stage.status("ci-bot", &old) == "Active" || successor, "delete: {delete}, {:?}", user.keys);
            }
        }
    });
}

#[test]
fn no_notice_is_sent_about_an_old_key_that_its_owner_deletes() {
    rehearse(async {
        let stage = TestStack::new();
        let (old, _) = stage.add_rotated_user("ci-bot").await;
        stage.cloud.delete_key(MEMBER, "ci-bot", &old.access_key_id);
        let mails = stage.cloud.mails().len();
        stage.live_days(25).await;
        assert_eq!(stage.cloud.mails().len(), mails);
        assert_eq!(stage.user("ci-bot").keys.len(), 1);
    });
}

#[test]
fn a_second_key_stays_until_a_rotation_needs_its_slot() {
    rehearse(async {
        let stage = TestStack::new();
        stage.add_rotated_user("ci-bot").await;
        stage.live_days(22).await;
        let own = stage.cloud.add_access_key(MEMBER, "ci-bot", stage.now());
        stage.pass_days(40).await;
        stage.live().await;
        assert_eq!(stage.status("ci-bot", &own), "Active");
        let current = stage.current_key("ci-bot");
        stage.live_days(35).await;
        assert_eq!(stage.status("ci-bot", &own), "gone", "deleted after the announcement");
        assert_eq!(stage.mails_with(&[&own.access_key_id, "blocks the next rotation"]).len(), 1);
        assert_ne!(stage.current_key("ci-bot"), current, "rotated on time");
        let age = stage.now() - stage.user("ci-bot").keys.last().expect("a key").created;
        assert!(age.num_days() >= 5, "rotated on day 90, not later: {age}");
    });
}

#[test]
fn upstream_defect_19_a_deleted_users_secret_is_cleaned_up() {
    rehearse(async {
        let stage = TestStack::new();
        stage.add_rotated_user("ci-bot").await;
        stage.cloud.delete_user(MEMBER, "ci-bot");
        let answer = stage.live().await;
        assert_eq!((done(&answer, "cancel"), done(&answer, "delete-secret")), (1, 1), "{answer:#}");
        let secret = stage.secret("ci-bot");
        assert_eq!(secret.deletion_date.map(|date| (date - stage.now()).num_days()), Some(30), "30 days to recover");
        assert_eq!(stage.mails_with(&["ci-bot", "deleted user"]).len(), 1);
        stage.live_days(2).await;
        assert_eq!(stage.mails_with(&["ci-bot", "deleted user"]).len(), 1, "one notice");
        stage.pass_days(30).await;
        assert_eq!(stage.find_secret("ci-bot"), None);
        assert_eq!(stage.sweep_well().await["actions"], json!({}));
    });
}

#[test]
fn a_deleted_users_secret_waits_one_run_for_its_mail() {
    rehearse(async {
        let stage = TestStack::new();
        stage.add_rotated_user("ci-bot").await;
        stage.cloud.delete_user(MEMBER, "ci-bot");
        stage.cloud.switch(|aws| aws.mail_down = true);
        let answer = stage.sweep().await;
        assert!(failures(&answer).contains("mail"), "{answer}");
        assert_eq!(stage.secret("ci-bot").deletion_date, None, "no notice was sent yet");
        assert!(!stage.secret("ci-bot").rotation_enabled);
        stage.pass_days(1).await;
        stage.cloud.switch(|aws| aws.mail_down = false);
        assert_eq!(done(&stage.sweep_well().await, "delete-secret"), 1);
        assert_eq!(stage.mails_with(&["ci-bot", "deleted user"]).len(), 1);
    });
}

#[test]
fn a_foreign_secret_is_not_deleted_with_its_namesake() {
    rehearse(async {
        let stage = TestStack::new();
        let name = crate::harness::secret_name(MEMBER, "nobody");
        stage.cloud.put_secret(keywheel::rehearsal::PRIMARY_ACCOUNT, &name, "{}", stage.now());
        let answer = stage.sweep().await;
        assert!(failures(&answer).contains("keywheel:managed"), "{answer}");
        assert_eq!(stage.secret("nobody").deletion_date, None);
    });
}

#[test]
fn a_user_who_is_created_again_gets_the_secret_back() {
    rehearse(async {
        let stage = TestStack::new();
        stage.add_rotated_user("ci-bot").await;
        stage.cloud.delete_user(MEMBER, "ci-bot");
        stage.live().await;
        assert!(stage.secret("ci-bot").deletion_date.is_some());
        stage.pass_days(5).await;
        let key = stage.add_user("ci-bot", &[0]).remove(0);
        assert_eq!(done(&stage.live().await, "restore"), 1);
        assert_eq!(stage.secret("ci-bot").deletion_date, None);
        stage.live_days(1).await;
        assert!(stage.secret("ci-bot").rotation_enabled);
        assert_ne!(
            stage.current_key("ci-bot"),
            key.access_key_id,
            "the key of the user before was dead: rotated at once"
        );
        stage.live_days(9).await;
        assert_eq!(stage.status("ci-bot", &key), "Active", "in its grace");
        stage.live_days(24).await;
        assert_eq!(stage.status("ci-bot", &key), "gone", "rotated like any other");
        assert_eq!(stage.user("ci-bot").keys.len(), 1);
    });
}

#[test]
fn upstream_defect_17_a_user_deleted_in_mid_scan_stops_nobody() {
    rehearse(async {
        let stage = TestStack::new();
        for user in ["aaa", "mmm", "zzz"] {
            stage.add_user(user, &[90]);
        }
        let gone = Fault::on("iam", "ListAccessKeys", refused("NoSuchEntity")).about("mmm").every();
        stage.cloud.faults().inject(gone);
        let answer = stage.sweep().await;
        assert_eq!(done(&answer, "rotate"), 2);
        assert_eq!(answer["failures"], json!([]), "no failures");
        assert_eq!(stage.find_secret("mmm"), None);
    });
}

#[test]
fn a_value_put_by_a_person_ends_the_old_keys_retirement() {
    rehearse(async {
        let stage = TestStack::new();
        let (old, _) = stage.add_rotated_user("ci-bot").await;
        stage.live_days(5).await;
        let value = json!({"AccessKeyId": old.access_key_id, "SecretAccessKey": old.secret}).to_string();
        let arn = stage.secret("ci-bot").arn;
        stage.operator().put_secret_value().secret_id(arn).secret_string(value).send().await.expect("put");
        stage.live_days(1).await;
        assert_eq!(stage.tag("ci-bot", "rotated-at"), None, "readers no longer get the rotated value");
        stage.live_days(8).await;
        assert_eq!(stage.status("ci-bot", &old), "Active", "after the end of the old grace");
    });
}

#[test]
fn a_user_created_again_in_other_case_is_another_user() {
    rehearse(async {
        let stage = TestStack::new();
        stage.add_rotated_user("ci-bot").await;
        stage.cloud.delete_user(MEMBER, "ci-bot");
        let key = stage.add_user("CI-Bot", &[0]).remove(0);
        stage.live().await;
        assert!(stage.secret("ci-bot").deletion_date.is_some(), "the user of this secret is gone");
        assert!(stage.secret("CI-Bot").rotation_enabled);
        for _ in 0..4 {
            stage.pass_days(31).await;
            stage.live().await;
        }
        assert_eq!(stage.find_secret("ci-bot"), None);
        assert_eq!(stage.count("CreateAccessKey"), 2, "one key for each of the two users");
        assert_ne!(stage.current_key("CI-Bot"), key.access_key_id);
    });
}

#[test]
fn a_secret_that_a_person_deletes_is_restored() {
    rehearse(async {
        for forever in [false, true] {
            let stage = TestStack::new();
            let (old, new) = stage.add_rotated_user("ci-bot").await;
            let request = stage.operator().delete_secret().secret_id(stage.secret("ci-bot").arn);
            request.force_delete_without_recovery(forever).send().await.expect("deleted");
            stage.live_days(2).await;
            assert!(stage.secret("ci-bot").rotation_enabled, "forever: {forever}");
            assert_eq!(stage.current_key("ci-bot"), new, "forever: {forever}");
            assert_eq!(stage.status("ci-bot", &old), "Active", "forever: {forever}");
        }
    });
}

#[test]
fn a_key_with_an_unknown_status_is_kept_and_reported() {
    rehearse(async {
        let stage = TestStack::new();
        let (old, _) = stage.add_rotated_user("ci-bot").await;
        stage.cloud.set_key_status(MEMBER, "ci-bot", &old.access_key_id, "Expired");
        for _ in 0..3 {
            stage.pass_days(10).await;
            let answer = stage.live().await;
            assert!(failures(&answer).contains("Expired"), "{answer}");
        }
        assert_eq!(stage.status("ci-bot", &old), "Expired");
    });
}

#[test]
fn broken_tags_stop_all_actions_and_are_reported() {
    rehearse(async {
        let stage = TestStack::new();
        let (old, _) = stage.add_rotated_user("ci-bot").await;
        stage.tag_secret("ci-bot", "keywheel:rotated-at", "last week").await;
        stage.pass_days(30).await;
        let answer = stage.live().await;
        assert!(
            failures(&answer).contains("keywheel:rotated-at") && failures(&answer).contains("last week"),
            "{answer}"
        );
        assert_eq!(stage.status("ci-bot", &old), "Active");
    });
}

#[test]
fn the_key_in_the_secret_survives_a_rollback_by_hand() {
    rehearse(async {
        let stage = TestStack::new();
        let (_, new) = stage.add_rotated_user("ci-bot").await;
        // A second rotation, so that the previous version holds a complete key.
        stage.live_days(25).await;
        stage.pass_days(70).await;
        stage.live().await;
        let newest = stage.current_key("ci-bot");
        assert_ne!(newest, new);
        let secret = stage.secret("ci-bot");
        let id = |stage| secret.version_with(stage).map(|version| version.id.clone());
        let rollback = stage.operator().update_secret_version_stage().secret_id(&secret.arn);
        let rollback = rollback.version_stage("AWSCURRENT").set_remove_from_version_id(id("AWSCURRENT"));
        rollback.set_move_to_version_id(id("AWSPREVIOUS")).send().await.expect("moved back");
        let mut reported = false;
        for _ in 0..40 {
            stage.pass_days(3).await;
            let answer = stage.live().await;
            reported |= failures(&answer).contains("it is not known which of");
            let user = stage.user("ci-bot");
            let in_secret =
                user.key(&stage.current_key("ci-bot")).expect("the key in the secret is on the user").clone();
            assert!(in_secret.is_active(), "readers get a working key: {answer}");
        }
        assert!(reported, "the report asks a person which key is needed");
    });
}

/// The steps in `docs/explanation/threats.md`: the thief could read the next key with the stolen key, and afterwards
/// only the user can.
#[test]
fn after_a_theft_a_key_made_by_hand_leads_to_a_new_one() {
    rehearse(async {
        for both_slots_are_taken in [false, true] {
            let context = format!("both slots are taken: {both_slots_are_taken}");
            let stage = TestStack::new();
            let (old, stolen) = stage.add_rotated_user("ci-bot").await;
            if both_slots_are_taken {
                stage.cloud.set_key_status(MEMBER, "ci-bot", &old.access_key_id, "Inactive");
                stage.cloud.delete_key(MEMBER, "ci-bot", &old.access_key_id);
            } else {
                stage.live_days(22).await;
            }
            assert_eq!(stage.status("ci-bot", &old), "gone", "{context}");
            let by_hand = stage.cloud.add_access_key(MEMBER, "ci-bot", stage.now());
            stage.cloud.set_key_status(MEMBER, "ci-bot", &stolen, "Inactive");
            stage.live_days(3).await;
            let user = stage.user("ci-bot");
            assert_eq!(user.key(&stolen).map(|key| key.status.as_str()), Some("Inactive"), "{context}: left alone");
            assert!(user.key(&by_hand.access_key_id).is_some_and(KeyView::is_active), "{context}: left alone");

            stage.tag_secret("ci-bot", "keywheel:force", "true").await;
            stage.rotate("ci-bot").await.expect("rotated");
            let user = stage.user("ci-bot");
            assert_eq!(user.key(&stolen), None, "{context}: the stolen key is deleted");
            assert!(
                user.key(&by_hand.access_key_id).is_some_and(KeyView::is_active),
                "{context}: it fetches the new one"
            );
            assert!(user.key(&stage.current_key("ci-bot")).is_some_and(KeyView::is_active), "{context}");
            stage.live_days(9).await;
            assert_eq!(stage.status("ci-bot", &by_hand), "Active", "{context}: in its grace");
            stage.live_days(1).await;
            assert_eq!(stage.status("ci-bot", &by_hand), "Inactive", "{context}");
        }
    });
}

#[test]
fn a_restarted_recovery_period_is_announced_with_its_new_date() {
    rehearse(async {
        let stage = TestStack::new();
        let (old, _) = stage.add_rotated_user("ci-bot").await;
        stage.live_days(12).await;
        assert_eq!(stage.mails_with(&["was disabled", "deleted on 2026-01-21"]).len(), 1);
        stage.pass_days(1).await;
        stage.cloud.set_key_status(MEMBER, "ci-bot", &old.access_key_id, "Active");
        use_key(&stage, &old);
        stage.cloud.set_key_status(MEMBER, "ci-bot", &old.access_key_id, "Inactive");
        stage.live_days(1).await;
        assert_eq!(stage.mails_with(&["was disabled", "deleted on 2026-01-25"]).len(), 1, "{:?}", stage.cloud.mails());
        stage.live_days(10).await;
        assert_eq!(stage.status("ci-bot", &old), "gone");
        assert_eq!(
            stage.mails_with(&["will be deleted on 2026-01-25"]).len(),
            2,
            "one with the disabling, one ahead of the deletion"
        );
    });
}

#[test]
fn each_cancellation_of_the_schedule_is_announced() {
    rehearse(async {
        let stage = TestStack::new();
        stage.add_rotated_user("ci-bot").await;
        for time in 1..=3 {
            stage.cloud.add_to_group(MEMBER, EXEMPT, "ci-bot");
            stage.live_days(2).await;
            assert_eq!(stage.mails_with(&["ci-bot", "is no longer rotated"]).len(), time);
            stage.cloud.remove_from_group(MEMBER, EXEMPT, "ci-bot");
            stage.live_days(2).await;
            assert!(stage.secret("ci-bot").rotation_enabled, "the schedule is on again");
        }
    });
}

/// A notice and the time that it names are recorded in the same call.
#[test]
fn a_date_that_was_not_recorded_is_announced_again() {
    rehearse(async {
        let stage = TestStack::new();
        let (old, _) = stage.add_rotated_user("ci-bot").await;
        stage.live_days(1).await;
        stage.cloud.set_key_status(MEMBER, "ci-bot", &old.access_key_id, "Inactive");
        let refuse = Fault::on("secretsmanager", "TagResource", refused("InvalidRequestException")).every();
        let refused = stage.cloud.faults().inject(refuse);
        let answer = stage.sweep().await;
        assert!(failures(&answer).contains("TagResource"), "{answer}");
        refused.remove();
        stage.live_days(1).await;
        assert_eq!(stage.mails_with(&["was disabled", "deleted on 2026-01-13"]).len(), 1);
        stage.live_days(9).await;
        assert_eq!(stage.status("ci-bot", &old), "Inactive", "not on the first announced day");
        stage.live_days(1).await;
        assert_eq!(stage.status("ci-bot", &old), "gone");
    });
}

#[test]
fn a_secret_that_cannot_be_deleted_is_announced_once() {
    rehearse(async {
        let stage = TestStack::new();
        stage.add_rotated_user("ci-bot").await;
        stage.cloud.delete_user(MEMBER, "ci-bot");
        let told = "its secret is scheduled for deletion";
        let cancel = Fault::on("secretsmanager", "CancelRotateSecret", FaultKind::AccessDenied).every();
        let cancel = stage.cloud.faults().inject(cancel);
        stage.live().await;
        assert_eq!(stage.mails_with(&[told]).len(), 0, "the secret is not deleted today");
        cancel.remove();
        stage.cloud.faults().inject(Fault::on("secretsmanager", "DeleteSecret", FaultKind::AccessDenied).every());
        stage.live_days(3).await;
        assert_eq!(stage.mails_with(&[told]).len(), 1, "one notice, not one a day");
        stage.cloud.faults().clear();
        stage.live().await;
        assert!(stage.secret("ci-bot").deletion_date.is_some());
        assert_eq!(stage.mails_with(&[told]).len(), 1);
    });
}
