//! The steps one by one, each in a process that has just started: the calls that they make, and the changes between two
//! steps that they notice.

use std::time::Duration;

use chrono::TimeDelta;
use keywheel::model::{Clock, Cloud, Fault, FaultKind};
use keywheel::rehearsal::{PRIMARY_ACCOUNT, Transport};
use serde_json::json;

use crate::harness::{MEMBER, TestStack, rehearse, secret_name, start};
use crate::one_rotation::{Rotation, STEPS};

/// The most calls of a rotation whose key works at once, each step in its own process and the user in a member account.
const CALLS_OF_A_ROTATION: usize = 29;

#[test]
fn a_rotation_makes_29_calls_if_each_step_starts_a_process() {
    rehearse(async {
        let rotation = Rotation::first("ci-bot").await;
        let mut calls = Vec::new();
        for step in STEPS {
            calls.push(rotation.steps(&[step]).await);
        }
        insta::assert_snapshot!(calls.iter().map(|calls| calls.join(" ")).collect::<Vec<_>>().join("\n"), @r"
        DescribeSecret GetSecretValue AssumeRole ListGroupsForUser ListAccessKeys GetResourcePolicy GetSecretValue TagResource CreateAccessKey PutSecretValue
        DescribeSecret GetSecretValue GetSecretValue AssumeRole ListAccessKeys
        DescribeSecret GetSecretValue GetCallerIdentity GetCallerIdentity GetCallerIdentity
        DescribeSecret GetSecretValue GetCallerIdentity GetCallerIdentity GetCallerIdentity AssumeRole ListAccessKeys UpdateSecretVersionStage TagResource
        ");
        assert_eq!(calls.iter().map(Vec::len).sum::<usize>(), CALLS_OF_A_ROTATION);
    });
}

/// A process keeps its sessions in member accounts, so only its first step assumes the role.
#[test]
fn a_rotation_within_one_process_makes_27_calls_each_time() {
    rehearse(async {
        let stage = TestStack::new();
        stage.cloud.switch(|aws| aws.key_propagation = Duration::ZERO);
        stage.add_user("ci-bot", &[90]);
        stage.live().await;
        stage.live_days(89).await;
        assert!(stage.tag("ci-bot", "notified").is_some(), "the coming rotation was announced");
        stage.pass_days(1).await;
        let before = stage.cloud.calls().len();
        stage.cloud.fire_due_rotations().await;
        let calls: Vec<String> = stage.cloud.calls().split_off(before).into_iter().map(|call| call.operation).collect();
        assert_eq!(stage.secret("ci-bot").last_rotation, Some(Ok(())));
        assert_eq!((stage.count("CreateAccessKey"), calls.len()), (2, CALLS_OF_A_ROTATION - 2), "{calls:#?}");
    });
}

#[test]
fn a_user_whose_path_is_in_no_tag_is_read_from_iam() {
    rehearse(async {
        let rotation = Rotation::first("ci-bot").await;
        rotation.stage.tag_secret("ci-bot", "keywheel:reader", "").await;
        let before = rotation.stage.count("GetUser");
        rotation.steps(&["createSecret"]).await;
        assert_eq!(rotation.stage.count("GetUser"), before + 1);
    });
}

#[test]
fn a_new_key_that_somebody_disables_or_deletes_is_refused() {
    rehearse(async {
        for found in ["not active", "missing"] {
            let rotation = Rotation::first("ci-bot").await;
            rotation.steps(&["createSecret"]).await;
            let (stage, new) = (&rotation.stage, rotation.new_key());
            match found {
                "missing" => stage.cloud.delete_key(MEMBER, "ci-bot", &new),
                _ => stage.cloud.set_key_status(MEMBER, "ci-bot", &new, "Inactive"),
            }
            rotation.expect_refusal("setSecret", found).await;
            assert_eq!(stage.secret("ci-bot").json("AWSCURRENT").expect("a value")["Status"], "AwaitingFirstRotation");
        }
    });
}

fn value_of(user: &str) -> String {
    json!({"Version": 1, "AccessKeyId": "AKIAIOSFODNN7EXAMPLE", "SecretAccessKey": "x", "UserName": user,
        "AccountId": MEMBER, "UserArn": format!("arn:aws:iam::{MEMBER}:user/{user}"),
        "CreateDate": "2026-01-01T00:00:00Z", "Status": "Active"})
    .to_string()
}

#[test]
fn a_value_of_another_user_is_not_replaced() {
    rehearse(async {
        for done in 1..STEPS.len() {
            let rotation = Rotation::first("ci-bot").await;
            rotation.steps(&STEPS[..done]).await;
            let stage = &rotation.stage;
            // Otherwise the rotation would be refused before, because its version is not pending any more.
            stage.cloud.switch(|aws| aws.put_abandons_rotation = false);
            let put = stage.operator().put_secret_value().secret_id(&rotation.secret);
            put.secret_string(value_of("root")).send().await.expect("put");
            let mut refused = Ok(());
            for step in &STEPS[done..] {
                refused = refused.and(rotation.step(step).await);
            }
            let why = refused.expect_err("refused");
            assert!(why.contains("it is a key of user `root`"), "after {done}: {why}");
            assert_eq!(stage.secret("ci-bot").json("AWSCURRENT").expect("a value")["UserName"], "root", "after {done}");
            assert_eq!(stage.tag("ci-bot", "rotated-at"), None, "after {done}");
        }
    });
}

#[test]
fn a_value_of_another_user_is_refused_if_adopted_or_put_later() {
    rehearse(async {
        let stage = TestStack::new();
        stage.add_user("ci-bot", &[90]);
        let made = stage.now() - TimeDelta::days(90);
        stage.cloud.put_secret(PRIMARY_ACCOUNT, &secret_name(MEMBER, "ci-bot"), &value_of("root"), made);
        stage.sweep().await;
        assert!(stage.tag("ci-bot", "version").is_some() && stage.tag("ci-bot", "current-key").is_some(), "adopted");
        let why = stage.rotate("ci-bot").await.expect_err("refused");
        assert!(why.contains("it is a key of user `root`"), "{why}");
        assert_eq!(stage.count("CreateAccessKey"), 0);
        let stage = TestStack::new();
        stage.add_rotated_user("ci-bot").await;
        stage.pass_days(1).await;
        let put = stage.operator().put_secret_value().secret_id(secret_name(MEMBER, "ci-bot"));
        put.secret_string(value_of("root")).send().await.expect("put");
        let why = stage.rotate("ci-bot").await.expect_err("refused");
        assert!(why.contains("it is a key of user `root`"), "{why}");
        assert_eq!(stage.count("CreateAccessKey"), 1);
    });
}

#[test]
fn a_step_is_refused_once_the_rotation_is_cancelled() {
    rehearse(async {
        for done in 1..STEPS.len() {
            let rotation = Rotation::first("ci-bot").await;
            rotation.steps(&STEPS[..done]).await;
            let cancel = rotation.stage.operator().cancel_rotate_secret().secret_id(&rotation.secret);
            cancel.send().await.expect("cancelled");
            rotation.expect_refusal(STEPS[done], "rotation is not enabled").await;
            assert_ne!(rotation.stage.current_key("ci-bot"), rotation.new_key(), "after {done}");
        }
    });
}

#[test]
fn a_step_is_refused_once_the_pending_label_is_taken_off() {
    rehearse(async {
        for done in 1..STEPS.len() {
            let rotation = Rotation::first("ci-bot").await;
            rotation.steps(&STEPS[..done]).await;
            let remove = rotation.stage.operator().update_secret_version_stage().secret_id(&rotation.secret);
            let remove = remove.version_stage("AWSPENDING").remove_from_version_id(&rotation.version);
            remove.send().await.expect("taken off");
            rotation.expect_refusal(STEPS[done], "works on a version staged AWSPENDING").await;
            assert_ne!(rotation.stage.current_key("ci-bot"), rotation.new_key(), "after {done}");
        }
    });
}

#[test]
fn a_label_that_could_not_be_moved_is_moved_by_the_next_attempt() {
    rehearse(async {
        for kind in [FaultKind::AccessDenied, FaultKind::LostAnswer] {
            let rotation = Rotation::first("ci-bot").await;
            rotation.steps(&STEPS[..3]).await;
            let stage = &rotation.stage;
            let fault = Fault::on("secretsmanager", "UpdateSecretVersionStage", kind.clone());
            let fault = stage.cloud.faults().inject(fault.every());
            rotation.step("finishSecret").await.expect_err("failed");
            fault.remove();
            rotation.steps(&["finishSecret"]).await;
            let current = stage.current_key("ci-bot");
            assert_eq!(stage.tag("ci-bot", "current-key"), Some(current.clone()), "{kind:?}");
            assert_eq!(rotation.new_key(), current, "{kind:?}");
        }
    });
}

#[test]
fn a_notice_that_was_sent_during_a_rotation_is_not_owed_again() {
    rehearse(async {
        let rotation = Rotation::first("ci-bot").await;
        let (stage, gone) = (&rotation.stage, "AKIAIOSFODNN7EXAMPLE");
        stage.tag_secret("ci-bot", "keywheel:notified", &format!("{gone}=disabled")).await;
        rotation.steps(&STEPS[..3]).await;
        // A sweep sends the notice that was owed.
        stage.tag_secret("ci-bot", "keywheel:notified", &format!("{gone}=deleted.disabled")).await;
        rotation.steps(&["finishSecret"]).await;
        assert_eq!(stage.tag("ci-bot", "notified"), None);
    });
}

#[test]
fn the_creation_dates_of_both_keys_are_recorded() {
    rehearse(async {
        let rotation = Rotation::first("ci-bot").await;
        let stage = &rotation.stage;
        let old = stage.user("ci-bot").keys[0].created;
        rotation.steps(&STEPS).await;
        let new = stage.user("ci-bot").keys[1].created;
        let text = |time: chrono::DateTime<chrono::Utc>| time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
        assert_eq!(stage.tag("ci-bot", "key-dates"), Some(format!("{} {}", text(new), text(old))));
        assert_eq!((stage.tag("ci-bot", "intent"), stage.tag("ci-bot", "placeholder")), (None, None));
    });
}

#[test]
fn a_user_of_the_same_name_in_other_capitals_gets_no_key() {
    rehearse(async {
        for transport in [Transport::Sdk, Transport::Direct] {
            let stage = TestStack::through(transport, Cloud::new(Clock::starting_at(start()), 1), &[]);
            stage.add_user("ci-bot", &[90]);
            stage.sweep_well().await;
            stage.cloud.delete_user(MEMBER, "ci-bot");
            stage.add_user("CI-Bot", &[10]);
            let asked = stage.count("GetUser");
            stage.cloud.run_rotations().await;
            let why = stage.secret("ci-bot").last_rotation.expect("a rotation ended").expect_err("refused");
            assert!(why.contains("user `ci-bot` in account") && why.contains("does not exist"), "{transport:?}: {why}");
            let counts = (stage.count("CreateAccessKey"), stage.count("GetUser"));
            assert_eq!(counts, (0, asked), "{transport:?}: the list of its keys names the user");
        }
    });
}

/// Anybody who may tag could exchange the keys in the tags: an order for an incident goes by the value.
#[test]
fn a_forced_rotation_spares_the_key_in_the_value() {
    rehearse(async {
        let stage = TestStack::new();
        let (old, new) = stage.add_rotated_user("ci-bot").await;
        stage.tag_secret("ci-bot", "keywheel:current-key", &old.access_key_id).await;
        stage.tag_secret("ci-bot", "keywheel:previous-key", &new).await;
        stage.tag_secret("ci-bot", "keywheel:force", "true").await;
        stage.operator().rotate_secret().secret_id(secret_name(MEMBER, "ci-bot")).send().await.expect("begun");
        let rotation = Rotation::of(stage, "ci-bot");
        rotation.steps(&["createSecret"]).await;
        assert_eq!(rotation.stage.status("ci-bot", &old), "gone");
        assert!(rotation.stage.user("ci-bot").key(&new).is_some_and(keywheel::model::KeyView::is_active));
    });
}

/// An event that nobody but Secrets Manager should send calls the last step at once.
#[test]
fn nobody_gains_12_finish_alone_makes_no_untested_key_current() {
    rehearse(async {
        for forges_record in [false, true] {
            let rotation = Rotation::first("ci-bot").await;
            let stage = &rotation.stage;
            stage.cloud.switch(|aws| aws.key_propagation = Duration::from_hours(1));
            rotation.steps(&["createSecret"]).await;
            if forges_record {
                stage.tag_secret("ci-bot", "keywheel:version", &rotation.version).await;
            }
            rotation.expect_refusal("finishSecret", "did not work 3 times in a row").await;
            let current = stage.secret("ci-bot").json("AWSCURRENT").expect("a value");
            assert_eq!(current["Status"], "AwaitingFirstRotation", "{forges_record}");
            assert_eq!(stage.tag("ci-bot", "rotated-at"), None, "{forges_record}");
            stage.cloud.clock().advance(Duration::from_hours(1)).await;
            let calls = rotation.steps(&["finishSecret"]).await;
            assert_eq!(stage.current_key("ci-bot"), rotation.new_key(), "{forges_record}: {calls:?}");
            let again = rotation.steps(&["finishSecret"]).await;
            assert!(!again.iter().any(|call| call == "GetCallerIdentity"), "{again:?}: the label has moved");
        }
    });
}
