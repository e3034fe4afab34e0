//! Refusals of the rotation function: the error names the remedy, and the remedy works.

use keywheel::model::{Fault, FaultKind, KeyView};

use crate::harness::{MEMBER, TestStack, rehearse, secret_name, use_key};

/// Returns a stage with a user who has a managed secret and two keys of these ages in days, so that no slot is free.
async fn two_keys(ages: [i64; 2]) -> (TestStack, Vec<keywheel::model::AccessKeyPair>) {
    let stage = TestStack::new();
    let keys = stage.add_user("ci-bot", &ages);
    stage.sweep().await;
    stage.cloud.run_rotations().await;
    (stage, keys)
}

fn assert_refused(result: Result<(), String>, parts: &[&str]) {
    let why = result.expect_err("refused");
    for part in parts {
        assert!(why.contains(part), "{part} is missing in: {why}");
    }
}

#[test]
fn upstream_defect_09_no_active_key_is_deleted_to_free_a_slot() {
    rehearse(async {
        let (stage, keys) = two_keys([30, 20]).await;
        let refused = stage.rotate("ci-bot").await;
        let (one, two) = (keys[0].access_key_id.as_str(), keys[1].access_key_id.as_str());
        assert_refused(refused, &[one, two, "2 access keys", "keywheel:force", "delete one by hand"]);
        assert_eq!(stage.user("ci-bot").active_keys(), 2);
        assert_eq!(stage.count("CreateAccessKey") + stage.count("DeleteAccessKey"), 0);
    });
}

#[test]
fn the_remedy_for_two_keys_is_to_delete_one() {
    rehearse(async {
        let (stage, keys) = two_keys([30, 20]).await;
        stage.rotate("ci-bot").await.expect_err("no slot");
        stage.cloud.delete_key(MEMBER, "ci-bot", &keys[0].access_key_id);
        assert_eq!(stage.rotate("ci-bot").await, Ok(()));
        let user = stage.user("ci-bot");
        assert!(user.key(&keys[1].access_key_id).is_some_and(KeyView::is_active), "the remaining key works");
        assert_eq!(user.active_keys(), 2);
    });
}

#[test]
fn upstream_defect_50_a_forced_rotation_retires_a_key_at_once() {
    rehearse(async {
        let (stage, keys) = two_keys([30, 20]).await;
        let in_secret = stage.current_key("ci-bot");
        stage.tag_secret("ci-bot", "keywheel:force", "true").await;
        assert_eq!(stage.rotate("ci-bot").await, Ok(()));
        let user = stage.user("ci-bot");
        let other = keys.iter().find(|key| key.access_key_id != in_secret).expect("there were two");
        assert!(user.key(&other.access_key_id).is_none(), "the incident's key is deleted");
        assert!(user.key(&in_secret).is_some_and(KeyView::is_active), "readers' key works on");
        assert!(user.key(&stage.current_key("ci-bot")).is_some_and(KeyView::is_active));
        assert_eq!(stage.tag("ci-bot", "force"), None, "the order is for one rotation only");
        let calls = stage.cloud.calls();
        let place = |operation: &str| calls.iter().position(|call| call.operation == operation).expect("called");
        assert!(place("UpdateAccessKey") < place("DeleteAccessKey"), "disabled before it was deleted");
    });
}

#[test]
fn upstream_defect_10_a_rotation_by_hand_deletes_no_fresh_key() {
    rehearse(async {
        let (stage, keys) = two_keys([80, 1]).await;
        stage.cloud.use_key(MEMBER, "ci-bot", &keys[1].access_key_id, "s3", stage.now()).expect("used");
        stage.rotate("ci-bot").await.expect_err("no slot");
        assert!(keys.iter().all(|key| stage.status("ci-bot", key) == "Active"));
    });
}

#[test]
fn a_key_in_recovery_is_named_with_the_end_of_its_recovery() {
    rehearse(async {
        let stage = TestStack::new();
        let (old, _) = stage.add_rotated_user("ci-bot").await;
        stage.pass_days(10).await;
        stage.live().await;
        let until = (stage.now() + chrono::TimeDelta::days(10)).date_naive().to_string();
        stage.pass_days(1).await;
        assert_refused(stage.rotate("ci-bot").await, &[&old.access_key_id, "can be recovered until", &until]);
        assert_eq!(stage.status("ci-bot", &old), "Inactive");
    });
}

#[test]
fn upstream_defect_20_forcing_an_inactive_key_is_refused() {
    rehearse(async {
        let stage = TestStack::new();
        let key = stage.add_user("ci-bot", &[30]).remove(0);
        stage.sweep_well().await;
        stage.cloud.run_rotations().await;
        stage.cloud.set_key_status(MEMBER, "ci-bot", &key.access_key_id, "Inactive");
        stage.tag_secret("ci-bot", "keywheel:force", "true").await;
        assert_refused(stage.rotate("ci-bot").await, &["ci-bot", "no active access key", "none is created"]);
        assert_eq!(stage.user("ci-bot").keys.len(), 1);
        stage.cloud.set_key_status(MEMBER, "ci-bot", &key.access_key_id, "Active");
        assert_eq!(stage.rotate("ci-bot").await, Ok(()), "the remedy works");
    });
}

#[test]
fn upstream_defect_26_the_second_key_is_deleted_last() {
    rehearse(async {
        let (stage, keys) = two_keys([30, 20]).await;
        stage.tag_secret("ci-bot", "keywheel:force", "true").await;
        stage.cloud.remove_role(MEMBER, &stage.keywheel.settings().rotation_member_role());
        stage.rotate("ci-bot").await.expect_err("no role");
        assert!(keys.iter().all(|key| stage.status("ci-bot", key) == "Active"), "nothing was deleted");
        stage.keywheel.prepare_member(MEMBER);
        stage.cloud.faults().inject(Fault::on("iam", "CreateAccessKey", FaultKind::AccessDenied).every());
        stage.rotate("ci-bot").await.expect_err("no right to make keys");
        let in_secret = stage.current_key("ci-bot");
        assert!(stage.user("ci-bot").key(&in_secret).is_some_and(KeyView::is_active), "readers' key works on");
    });
}

#[test]
fn a_dry_run_refuses_to_rotate_and_changes_nothing() {
    rehearse(async {
        let stage = TestStack::new();
        stage.add_user("ci-bot", &[30]);
        stage.sweep_well().await;
        stage.cloud.run_rotations().await;
        let _redeployed = stage.keywheel.redeployed(&[("DRY_RUN_FLAG", "true")]).expect("settings");
        let keys = stage.user("ci-bot").keys;
        assert_refused(stage.rotate("ci-bot").await, &["DRY_RUN_FLAG", "ci-bot"]);
        assert_eq!(stage.user("ci-bot").keys, keys);
        assert_eq!(stage.count("CreateAccessKey"), 0);
    });
}

#[test]
fn a_user_who_became_exempt_after_the_sweep_is_not_rotated() {
    rehearse(async {
        let stage = TestStack::new();
        stage.add_user("ci-bot", &[90]);
        stage.sweep_well().await;
        stage.cloud.add_to_group(MEMBER, "ASAIAMExemptionsGroup", "ci-bot");
        stage.cloud.run_rotations().await;
        let refused = stage.secret("ci-bot").last_rotation.expect("it ended");
        assert_refused(refused, &["ci-bot", "ASAIAMExemptionsGroup", "exempt"]);
        assert_eq!(stage.count("CreateAccessKey"), 0);
    });
}

#[test]
fn upstream_defect_41_a_user_with_unreadable_groups_is_kept() {
    rehearse(async {
        let stage = TestStack::new();
        stage.add_user("ci-bot", &[90]);
        stage.sweep_well().await;
        stage.cloud.faults().inject(Fault::on("iam", "ListGroupsForUser", FaultKind::AccessDenied).every());
        stage.cloud.run_rotations().await;
        assert_refused(stage.secret("ci-bot").last_rotation.expect("it ended"), &["ListGroupsForUser", "AccessDenied"]);
        assert_eq!(stage.count("CreateAccessKey"), 0);
    });
}

/// Returns a stage whose rotation made its key and then stopped, and the id of that key.
async fn stuck_in_the_middle() -> (TestStack, String) {
    let stage = TestStack::new();
    stage.add_user("ci-bot", &[90]);
    stage.sweep_well().await;
    stage.cloud.switch(|aws| aws.rotation_attempts = 1);
    stage.cloud.faults().inject(Fault::on("sts", "GetCallerIdentity", FaultKind::Stop));
    stage.cloud.run_rotations().await;
    let pending = stage.secret("ci-bot").json("AWSPENDING").expect("a pending value");
    (stage, pending["AccessKeyId"].as_str().expect("a key").to_owned())
}

/// Applies the remedy that the error for an unusable pending key names.
async fn remove_the_pending_label(stage: &TestStack) {
    let secret = stage.secret("ci-bot");
    let version = &secret.version_with("AWSPENDING").expect("it is there").id;
    let request = stage.operator().update_secret_version_stage().secret_id(&secret.arn);
    let request = request.version_stage("AWSPENDING").remove_from_version_id(version);
    request.send().await.expect("removed");
}

#[test]
fn a_deleted_pending_key_is_named_and_the_remedy_works() {
    rehearse(async {
        let (stage, pending) = stuck_in_the_middle().await;
        stage.cloud.delete_key(MEMBER, "ci-bot", &pending);
        let refused = stage.rotate("ci-bot").await;
        assert_refused(refused, &[&pending, "missing", "update-secret-version-stage", "--remove-from-version-id"]);
        remove_the_pending_label(&stage).await;
        assert_eq!(stage.rotate("ci-bot").await, Ok(()));
        assert_eq!(stage.user("ci-bot").active_keys(), 2);
    });
}

#[test]
fn a_disabled_pending_key_is_named_and_the_remedy_works() {
    rehearse(async {
        let (stage, pending) = stuck_in_the_middle().await;
        stage.cloud.set_key_status(MEMBER, "ci-bot", &pending, "Inactive");
        assert_refused(stage.rotate("ci-bot").await, &[&pending, "not active", "update-secret-version-stage"]);
        remove_the_pending_label(&stage).await;
        assert_eq!(stage.rotate("ci-bot").await, Ok(()));
        let user = stage.user("ci-bot");
        assert_eq!((user.keys.len(), user.active_keys()), (2, 2), "{:?}", user.keys);
    });
}

#[test]
fn a_key_that_was_tested_but_never_handed_out_is_deleted() {
    rehearse(async {
        let stage = TestStack::new();
        stage.add_user("ci-bot", &[90]);
        stage.sweep_well().await;
        stage.cloud.switch(|aws| aws.rotation_attempts = 1);
        stage.cloud.faults().inject(Fault::on("secretsmanager", "UpdateSecretVersionStage", FaultKind::Stop));
        stage.cloud.run_rotations().await;
        let tested = stage.user("ci-bot").keys.remove(1);
        assert_eq!(tested.last_use.map(|used| used.service), Some("sts".to_owned()), "the use by keywheel's test");
        remove_the_pending_label(&stage).await;
        assert_eq!(stage.rotate("ci-bot").await, Ok(()));
        assert!(stage.user("ci-bot").key(&tested.id).is_none(), "no version of the secret holds it");
        assert_eq!(stage.user("ci-bot").active_keys(), 2);
    });
}

#[test]
fn a_persons_used_key_is_never_taken_for_an_orphan() {
    rehearse(async {
        let stage = TestStack::new();
        stage.add_user("ci-bot", &[90]);
        stage.sweep_well().await;
        stage.cloud.switch(|aws| aws.rotation_attempts = 1);
        stage.cloud.faults().inject(Fault::on("iam", "CreateAccessKey", FaultKind::Stop));
        stage.cloud.run_rotations().await;
        let own = stage.cloud.add_access_key(MEMBER, "ci-bot", stage.now());
        stage.pass_days(1).await;
        for service in ["sts", "s3"] {
            stage.cloud.use_key(MEMBER, "ci-bot", &own.access_key_id, service, stage.now()).expect("it works");
            stage.rotate("ci-bot").await.expect_err("no slot");
            assert_eq!(stage.status("ci-bot", &own), "Active", "used with {service}");
            stage.pass_days(1).await;
        }
    });
}

#[test]
fn a_rotation_of_a_deleted_user_fails_with_a_clear_error() {
    rehearse(async {
        let stage = TestStack::new();
        stage.add_user("ci-bot", &[90]);
        stage.sweep_well().await;
        stage.cloud.delete_user(MEMBER, "ci-bot");
        stage.cloud.run_rotations().await;
        let secret = stage.cloud.secret(&secret_name(MEMBER, "ci-bot")).expect("there");
        assert_refused(secret.last_rotation.expect("it ended"), &["ci-bot", "does not exist"]);
    });
}

#[test]
fn a_role_that_cannot_be_assumed_is_named() {
    rehearse(async {
        let stage = TestStack::new();
        stage.add_user("ci-bot", &[90]);
        stage.sweep_well().await;
        let role = stage.keywheel.settings().rotation_member_role();
        stage.cloud.remove_role(MEMBER, &role);
        stage.cloud.run_rotations().await;
        let refused = stage.secret("ci-bot").last_rotation.expect("it ended");
        assert_refused(refused, &["sts:AssumeRole", MEMBER, &role, "AccessDenied"]);
    });
}

#[test]
fn a_value_of_another_user_is_not_replaced() {
    rehearse(async {
        let stage = TestStack::new();
        stage.add_user("ci-bot", &[90]);
        stage.add_user("mallory", &[1]);
        stage.sweep_well().await;
        let foreign = stage.secret("mallory").text("AWSCURRENT").expect("a value").to_owned();
        for (value, why) in [(foreign.as_str(), "mallory"), ("hunter2", "neither keywheel's document")] {
            let name = secret_name(MEMBER, "ci-bot");
            stage.operator().put_secret_value().secret_id(&name).secret_string(value).send().await.expect("put");
            let refused = stage.rotate("ci-bot").await.expect_err("refused");
            assert!(refused.contains("current value") && refused.contains(why), "{refused}");
            assert!(!refused.contains("hunter2"), "the value is not repeated: {refused}");
            assert_eq!(stage.count("CreateAccessKey"), 0);
        }
    });
}

#[test]
fn a_persons_key_made_after_ours_was_refused_is_kept() {
    rehearse(async {
        let stage = TestStack::new();
        stage.add_user("ci-bot", &[90]);
        stage.sweep_well().await;
        stage.cloud.switch(|aws| aws.rotation_attempts = 1);
        let (code, message) = ("LimitExceeded".to_owned(), "Cannot exceed quota".to_owned());
        let refusal = FaultKind::ErrorBefore { status: 409, code, message };
        stage.cloud.faults().inject(Fault::on("iam", "CreateAccessKey", refusal).nth(1));
        stage.cloud.run_rotations().await;
        let key = stage.cloud.add_access_key(MEMBER, "ci-bot", stage.cloud.clock().now());
        stage.live_days(2).await;
        assert_eq!(stage.status("ci-bot", &key), "Active", "nothing proves that keywheel made it, and a person did");
    });
}

#[test]
fn force_takes_no_used_key_before_the_first_rotation() {
    rehearse(async {
        let stage = TestStack::new();
        let keys = stage.add_user("ci-bot", &[40, 20]);
        for key in &keys {
            use_key(&stage, key);
        }
        stage.live().await;
        stage.tag_secret("ci-bot", "keywheel:force", "true").await;
        let rotated = stage.operator().rotate_secret().secret_id(stage.secret("ci-bot").arn).send().await;
        rotated.expect("started");
        stage.cloud.run_rotations().await;
        let error = format!("{:?}", stage.secret("ci-bot").last_rotation);
        assert!(error.contains("both are used and the secret holds neither"), "{error}");
        assert_eq!(stage.user("ci-bot").active_keys(), 2);
    });
}
