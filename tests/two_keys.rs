//! Users with two keys, inactive keys and unused keys. In these cases the predecessor locked people out.

use chrono::TimeDelta;
use keywheel::model::{Fault, FaultKind, KeyView};
use serde_json::json;

use crate::harness::{MEMBER, TestStack, done, failures, rehearse, use_key};

#[test]
fn upstream_defect_01_an_unknown_last_use_destroys_nothing() {
    rehearse(async {
        let stage = TestStack::new();
        let (old, _) = stage.add_rotated_user("ci-bot").await;
        use_key(&stage, &old);
        stage.pass_days(10).await;
        let denied = Fault::on("iam", "GetAccessKeyLastUsed", FaultKind::AccessDenied).every();
        let denied = stage.cloud.faults().inject(denied);
        let answer = stage.sweep().await;
        assert_eq!(stage.status("ci-bot", &old), "Active");
        assert!(failures(&answer).contains("last use") && failures(&answer).contains("ci-bot"), "{answer}");
        denied.remove();
        assert_eq!(done(&stage.sweep_well().await, "disable"), 1, "once the last use is known");
        stage.pass_days(11).await;
        let denied = Fault::on("iam", "GetAccessKeyLastUsed", FaultKind::Throttle { times: 1000 });
        stage.cloud.faults().inject(denied);
        let answer = stage.sweep().await;
        assert_eq!(
            stage.status("ci-bot", &old),
            "Inactive",
            "a throttled read does not mean that the key was never used"
        );
        assert!(failures(&answer).contains("last use"), "{answer}");
    });
}

#[test]
fn upstream_defect_02_no_key_is_made_for_a_disabled_user() {
    rehearse(async {
        let stage = TestStack::new();
        let key = stage.add_user("ci-bot", &[200]).remove(0);
        stage.cloud.set_key_status(MEMBER, "ci-bot", &key.access_key_id, "Inactive");
        for _ in 0..3 {
            stage.live().await;
            stage.pass_days(50).await;
        }
        assert_eq!(stage.count("CreateAccessKey"), 0);
        assert_eq!(stage.find_secret("ci-bot"), None, "no secret for a user without an active key");
        assert_eq!(stage.status("ci-bot", &key), "Inactive");
    });
}

#[test]
fn upstream_defect_02_a_user_with_only_disabled_keys_is_kept() {
    rehearse(async {
        let stage = TestStack::new();
        let (old, new) = stage.add_rotated_user("ci-bot").await;
        stage.cloud.set_key_status(MEMBER, "ci-bot", &old.access_key_id, "Inactive");
        stage.cloud.set_key_status(MEMBER, "ci-bot", &new, "Inactive");
        let made = stage.count("CreateAccessKey");
        stage.live_days(1).await;
        assert!(!stage.secret("ci-bot").rotation_enabled, "the schedule is off");
        for _ in 0..4 {
            stage.pass_days(40).await;
            stage.live().await;
        }
        assert_eq!(stage.count("CreateAccessKey"), made);
        assert_eq!(stage.user("ci-bot").keys.len(), 2, "no key is deleted, because no other key would work");
        assert_eq!(stage.mails_with(&["ci-bot", "no active access key"]).len(), 1, "one notice");
    });
}

#[test]
fn upstream_defect_03_two_unused_expired_keys_give_one_new_key() {
    rehearse(async {
        let stage = TestStack::new();
        let keys = stage.add_user("ci-bot", &[120, 100]);
        stage.live().await;
        assert_eq!(stage.count("CreateAccessKey"), 0, "no slot is free");
        for _ in 0..6 {
            stage.live_days(5).await;
            assert!(stage.user("ci-bot").active_keys() >= 1, "a key works at all times");
        }
        assert_eq!(stage.count("CreateAccessKey"), 1);
        assert_eq!(stage.status("ci-bot", &keys[0]), "gone", "the older key was deleted to free its slot");
        let active: Vec<String> =
            stage.user("ci-bot").keys.into_iter().filter(KeyView::is_active).map(|k| k.id).collect();
        assert!(active.contains(&stage.current_key("ci-bot")), "no orphan: {active:?}");
    });
}

#[test]
fn upstream_defect_04_a_used_and_an_unused_key_abort_nothing() {
    rehearse(async {
        let stage = TestStack::new();
        let keys = stage.add_user("ci-bot", &[100, 95]);
        stage.add_user("other", &[90]);
        use_key(&stage, &keys[0]);
        let answer = stage.live().await;
        assert_eq!(failures(&answer), "[]");
        assert_eq!(done(&answer, "rotate"), 1, "only the other user's key");
        stage.live_days(25).await;
        assert_eq!(stage.status("ci-bot", &keys[1]), "gone", "the unused key was deleted to free its slot");
        assert_eq!(stage.status("ci-bot", &keys[0]), "Active", "in its installation grace");
        assert_eq!(stage.user("ci-bot").active_keys(), 2);
    });
}

#[test]
fn upstream_defect_05_an_unused_key_is_rotated_no_more_often() {
    rehearse(async {
        let stage = TestStack::new();
        stage.add_user("ci-bot", &[90]);
        for _ in 0..13 {
            stage.live().await;
            stage.pass_days(7).await;
        }
        assert_eq!(stage.count("CreateAccessKey"), 1, "one key in each period");
        assert_eq!(stage.user("ci-bot").keys.len(), 1);
    });
}

#[test]
fn upstream_defect_06_a_key_disabled_today_is_not_deleted_today() {
    rehearse(async {
        let stage = TestStack::new();
        let key = stage.add_user("ci-bot", &[400]).remove(0);
        stage.sweep_well().await;
        stage.cloud.set_key_status(MEMBER, "ci-bot", &key.access_key_id, "Inactive");
        stage.live().await;
        for _ in 0..5 {
            stage.pass_days(30).await;
            stage.live().await;
        }
        assert_eq!(stage.status("ci-bot", &key), "Inactive", "only a person may delete a user's last key");
        assert_eq!(stage.count("DeleteAccessKey"), 0);
    });
}

#[test]
fn upstream_defect_07_two_inactive_expired_keys_are_both_kept() {
    rehearse(async {
        let stage = TestStack::new();
        let keys = stage.add_user("ci-bot", &[400, 300]);
        for key in &keys {
            stage.cloud.set_key_status(MEMBER, "ci-bot", &key.access_key_id, "Inactive");
        }
        for _ in 0..5 {
            stage.live().await;
            stage.pass_days(30).await;
        }
        assert!(keys.iter().all(|key| stage.status("ci-bot", key) == "Inactive"));
    });
}

#[test]
fn upstream_defect_08_an_inactive_key_keeps_its_whole_recovery() {
    rehearse(async {
        let stage = TestStack::new();
        let keys = stage.add_user("ci-bot", &[300, 91]);
        stage.cloud.set_key_status(MEMBER, "ci-bot", &keys[0].access_key_id, "Inactive");
        use_key(&stage, &keys[1]);
        stage.live().await;
        assert_eq!(stage.mails_with(&["ci-bot", &keys[0].access_key_id]).len(), 1, "a notice to its owner");
        stage.live_days(9).await;
        assert_eq!(stage.status("ci-bot", &keys[0]), "Inactive");
        stage.live_days(2).await;
        assert_eq!(stage.status("ci-bot", &keys[0]), "gone", "its slot is free");
        assert_eq!(stage.user("ci-bot").active_keys(), 2, "the slot holds the new key");
    });
}

#[test]
fn upstream_defect_09_no_used_due_key_is_deleted_unannounced() {
    rehearse(async {
        let stage = TestStack::new();
        let keys = stage.add_user("ci-bot", &[120, 100]);
        for key in &keys {
            use_key(&stage, key);
        }
        stage.live().await;
        assert!(keys.iter().all(|key| stage.status("ci-bot", key) == "Active"), "the announcement comes first");
        assert_eq!(stage.mails_with(&["ci-bot", &keys[0].access_key_id, "will be disabled"]).len(), 1);
        stage.live_days(9).await;
        assert_eq!(stage.status("ci-bot", &keys[0]), "Active");
        stage.live_days(2).await;
        assert_eq!(stage.status("ci-bot", &keys[0]), "Inactive", "the disabling comes first");
        stage.live_days(8).await;
        assert_eq!(stage.status("ci-bot", &keys[0]), "Inactive", "still recoverable");
        assert_eq!(stage.status("ci-bot", &keys[1]), "Active");
    });
}

#[test]
fn upstream_defect_11_a_users_own_pair_is_no_rotation() {
    rehearse(async {
        let stage = TestStack::new();
        let keys = stage.add_user("ci-bot", &[95, 50]);
        for key in &keys {
            use_key(&stage, key);
        }
        let answer = stage.live().await;
        assert_eq!(done(&answer, "disable") + done(&answer, "delete"), 0);
        assert!(keys.iter().all(|key| stage.status("ci-bot", key) == "Active"));
    });
}

#[test]
fn upstream_defect_12_what_is_announced_is_what_happens() {
    rehearse(async {
        let stage = TestStack::new();
        let (old, _) = stage.add_rotated_user("ci-bot").await;
        let day = |days: i64| (stage.now() + TimeDelta::days(days)).date_naive().to_string();
        let (disabled, deleted) = (day(10), day(20));
        stage.live_days(4).await;
        let warned = stage.mails_with(&[&old.access_key_id, "will be disabled on"]);
        assert!(
            !warned.is_empty() && stage.mails_with(&["will be deleted"]).is_empty(),
            "the disabling is announced first"
        );
        assert!(warned.iter().all(|mail| mail.text.as_deref().is_some_and(|text| text.contains(&disabled))));
        stage.live_days(6).await;
        assert_eq!(stage.status("ci-bot", &old), "Inactive", "disabled on the announced day");
        stage.live_days(9).await;
        assert_eq!(
            stage.mails_with(&[&old.access_key_id, "will be deleted on", &deleted]).len(),
            2,
            "told, and told again"
        );
        assert_eq!(stage.status("ci-bot", &old), "Inactive");
        stage.live_days(2).await;
        assert_eq!(stage.status("ci-bot", &old), "gone");
    });
}

#[test]
fn upstream_defect_13_each_phase_has_a_mail_of_its_own() {
    rehearse(async {
        let stage = TestStack::new();
        stage.add_rotated_user("ci-bot").await;
        stage.live_days(25).await;
        let subjects: Vec<String> = stage.cloud.mails().into_iter().map(|mail| mail.subject).collect();
        for phase in ["was rotated", "will be disabled", "was disabled", "will be deleted", "tomorrow", "was deleted"] {
            assert!(subjects.iter().any(|subject| subject.contains(phase)), "{phase}: {subjects:#?}");
        }
        assert_eq!(subjects.len(), 6, "{subjects:#?}");
    });
}

#[test]
fn upstream_defect_14_an_unused_key_is_announced_once() {
    rehearse(async {
        let stage = TestStack::new();
        let key = stage.add_user("ci-bot", &[84]).remove(0);
        stage.live().await;
        stage.live_days(5).await;
        assert_eq!(stage.mails_with(&[&key.access_key_id]).len(), 1);
        assert_eq!(stage.mails_with(&[&key.access_key_id, "will be rotated"]).len(), 1);
    });
}

#[test]
fn upstream_defect_21_the_grace_is_as_long_as_the_setting_says() {
    rehearse(async {
        let stage = TestStack::with(&[("INSTALLATION_GRACE_PERIOD", "3"), ("RECOVERY_GRACE_PERIOD", "2")]);
        let (old, _) = stage.add_rotated_user("ci-bot").await;
        stage.live_days(2).await;
        assert_eq!(stage.status("ci-bot", &old), "Active");
        stage.live_days(2).await;
        assert_eq!(stage.status("ci-bot", &old), "Inactive");
        stage.live_days(3).await;
        assert_eq!(stage.status("ci-bot", &old), "gone");
    });
}

#[test]
fn a_key_that_is_still_used_after_its_rotation_is_reported() {
    rehearse(async {
        let stage = TestStack::new();
        let (old, _) = stage.add_rotated_user("ci-bot").await;
        stage.pass_days(4).await;
        use_key(&stage, &old);
        stage.live().await;
        assert_eq!(stage.mails_with(&[&old.access_key_id, "used after its rotation"]).len(), 1);
    });
}

#[test]
fn upstream_defect_18_downtime_does_not_shorten_the_recovery() {
    rehearse(async {
        let stage = TestStack::new();
        let (old, _) = stage.add_rotated_user("ci-bot").await;
        stage.pass_days(60).await;
        let answer = stage.sweep_well().await;
        assert_eq!((done(&answer, "disable"), done(&answer, "delete")), (1, 0));
        stage.pass_days(9).await;
        assert_eq!(done(&stage.sweep_well().await, "delete"), 0);
        stage.pass_days(2).await;
        assert_eq!(done(&stage.sweep_well().await, "delete"), 1);
        assert_eq!(stage.status("ci-bot", &old), "gone");
    });
}

#[test]
fn upstream_defect_36_a_dry_run_plans_all_and_changes_nothing() {
    rehearse(async {
        let stage = TestStack::new();
        stage.add_rotated_user("ci-bot").await;
        stage.live_days(10).await;
        stage.pass_days(11).await;
        stage.add_user("new", &[90]);
        stage.add_user("pair", &[95, 50]);
        let before = stage.snapshot();
        let dry = stage.keywheel.sweep(json!({"dry_run": true})).await.expect("an answer");
        assert_eq!(stage.snapshot(), before, "nothing changed");
        let enforced = stage.sweep().await;
        for (action, times) in [("provision", 2), ("rotate", 1), ("delete", 1), ("retire", 1)] {
            assert_eq!(done(&dry, action), times, "{action}: {dry:#}");
            assert_eq!(done(&dry, action), done(&enforced, action), "{action}");
        }
        let actions = |answer: &serde_json::Value| {
            let plan = answer["plan"].as_array().expect("a plan").clone();
            plan.into_iter()
                .filter(|entry| entry["action"] != "notify" && entry["action"] != "wait")
                .collect::<Vec<_>>()
        };
        assert_eq!(actions(&dry), actions(&enforced), "the plan equals the actions");
        assert_eq!(dry["dry_run"], true);
    });
}
