//! The old value is not needed to make a key: a secret whose value nobody can decrypt is rotated, and so is a secret
//! without any value.

use std::time::Duration;

use aws_sdk_secretsmanager::primitives::Blob;
use chrono::TimeDelta;
use keywheel::model::{Fault, FaultKind, KmsKeyState};
use serde_json::json;

use crate::harness::{MEMBER, TestStack, failures, rehearse, secret_name};

const FORMER: &str = "arn:aws:kms:us-east-1:999988887777:key/00000000-0000-4000-8000-00000000000f";
const STATES: [KmsKeyState; 3] = [KmsKeyState::Disabled, KmsKeyState::PendingDeletion, KmsKeyState::Denied];

/// A stage whose user has a key of that many days and a secret that another tool made, under a KMS key of its own.
async fn with_adopted(key_age: i64) -> TestStack {
    let stage = TestStack::new();
    stage.add_user("ci-bot", &[key_age]);
    let value = r#"{"AccessKeyId":"AKIAIOSFODNN7EXAMPLE","SecretAccessKey":"x"}"#;
    stage.cloud.add_kms_key(FORMER);
    let create = stage.operator().create_secret().name(secret_name(MEMBER, "ci-bot")).kms_key_id(FORMER);
    create.secret_string(value).send().await.expect("created");
    stage
}

/// The old key works on, and the new one is current, tested and recorded.
fn expect_one_rotation(stage: &TestStack, context: &str) {
    let user = stage.user("ci-bot");
    assert_eq!((user.keys.len(), user.active_keys(), stage.count("CreateAccessKey")), (2, 2, 1), "{context}");
    assert_eq!(stage.current_key("ci-bot"), user.keys[1].id, "{context}");
    assert_eq!(stage.tag("ci-bot", "current-key"), Some(user.keys[1].id.clone()), "{context}");
    assert_eq!(stage.tag("ci-bot", "previous-key"), Some(user.keys[0].id.clone()), "{context}");
    assert!(stage.tag("ci-bot", "rotated-at").is_some(), "{context}");
}

#[test]
fn reported_c1_an_adopted_value_that_nobody_can_decrypt() {
    rehearse(async {
        for state in STATES {
            let stage = with_adopted(90).await;
            stage.cloud.set_kms_key_state(FORMER, state);
            let answer = stage.live().await;
            assert_eq!(failures(&answer), "[]", "{state:?}");
            stage.live_days(1).await;
            expect_one_rotation(&stage, &format!("{state:?}"));
        }
    });
}

#[test]
fn reported_c1_a_managed_value_under_a_former_kms_key() {
    rehearse(async {
        for state in STATES {
            let stage = TestStack::with(&[("SECRETS_KMS_KEY_ID", FORMER)]);
            let (old, first) = stage.add_rotated_user("ci-bot").await;
            stage.live_days(25).await;
            assert_eq!(stage.status("ci-bot", &old), "gone");
            stage.cloud.set_kms_key_state(FORMER, state);
            let ours = "arn:aws:kms:us-east-1:999988887777:key/00000000-0000-4000-8000-000000000001";
            stage.cloud.add_kms_key(ours);
            let keywheel = stage.keywheel.redeployed(&[("SECRETS_KMS_KEY_ID", ours)]).expect("settings");
            let stage = TestStack { keywheel, cloud: stage.cloud.clone() };
            stage.live_days(66).await;
            let second = stage.current_key("ci-bot");
            assert_ne!(second, first, "{state:?}");
            assert_eq!(stage.tag("ci-bot", "previous-key"), Some(first), "{state:?}");
            // The value of the version before stays undecryptable, and stops nothing either.
            stage.tag_secret("ci-bot", "keywheel:force", "true").await;
            assert_eq!(stage.rotate("ci-bot").await, Ok(()), "{state:?}");
            assert_ne!(stage.current_key("ci-bot"), second, "{state:?}");
        }
    });
}

#[test]
fn reported_c1_a_secret_without_any_value() {
    rehearse(async {
        for retries in [1, 5] {
            let stage = TestStack::new();
            stage.cloud.switch(|aws| aws.rotation_attempts = retries);
            stage.add_user("ci-bot", &[90]);
            let create = stage.operator().create_secret().name(secret_name(MEMBER, "ci-bot"));
            create.send().await.expect("created without a value");
            stage.live_days(2).await;
            expect_one_rotation(&stage, &format!("{retries} attempts"));
            let secret = stage.secret("ci-bot");
            let before = secret.json("AWSPREVIOUS").expect("a placeholder");
            assert_eq!(before["Status"], "AwaitingFirstRotation", "no untested key was ever current");
        }
    });
}

#[test]
fn reported_c1_a_young_key_beside_no_value_waits_for_its_day() {
    rehearse(async {
        let without = TestStack::new();
        without.add_user("ci-bot", &[20]);
        let create = without.operator().create_secret().name(secret_name(MEMBER, "ci-bot"));
        create.send().await.expect("created without a value");
        let undecryptable = with_adopted(20).await;
        undecryptable.cloud.set_kms_key_state(FORMER, KmsKeyState::Disabled);
        for stage in [without, undecryptable] {
            for _ in 0..3 {
                assert_eq!(failures(&stage.live().await), "[]");
                stage.pass_days(1).await;
            }
            assert_eq!(stage.secret("ci-bot").last_test, Some(Ok(())), "the configuration works");
            assert_eq!(stage.count("CreateAccessKey"), 0);
        }
    });
}

#[test]
fn reported_c1_a_read_that_is_denied_is_not_an_absent_value() {
    rehearse(async {
        for kind in [FaultKind::AccessDenied, FaultKind::LostAnswer] {
            let stage = TestStack::new();
            stage.add_user("ci-bot", &[90]);
            stage.sweep_well().await;
            let fault = Fault::on("secretsmanager", "GetSecretValue", kind.clone()).about("AWSCURRENT").every();
            let fault = stage.cloud.faults().inject(fault);
            let why = stage.rotate("ci-bot").await.expect_err("refused");
            assert!(why.contains("secretsmanager:GetSecretValue"), "{kind:?}: {why}");
            assert_eq!((stage.count("CreateAccessKey"), fault.fired() > 0), (0, true), "{kind:?}");
        }
    });
}

#[test]
fn reported_c1_a_binary_value_is_refused_with_the_way_out() {
    rehearse(async {
        let stage = TestStack::new();
        stage.add_user("ci-bot", &[90]);
        let create = stage.operator().create_secret().name(secret_name(MEMBER, "ci-bot"));
        create.secret_binary(Blob::new("a key store")).send().await.expect("created");
        stage.live().await;
        let why = stage.secret("ci-bot").last_rotation.expect("a rotation ended").expect_err("refused");
        assert!(why.contains("it is binary") && why.contains("--force-delete-without-recovery"), "{why}");
        assert_eq!(stage.count("CreateAccessKey"), 0);
    });
}

/// A person puts the announced key into the secret by hand, and its KMS key is then disabled. Nothing shows that the
/// key is in use, so it must not be taken for an orphan.
#[test]
fn reported_c1_an_announced_key_in_an_unreadable_value_stays() {
    rehearse(async {
        let stage = TestStack::new();
        stage.cloud.switch(|aws| aws.rotation_attempts = 1);
        let old = stage.add_user("ci-bot", &[90]).remove(0);
        stage.sweep_well().await;
        let stop = Fault::on("secretsmanager", "PutSecretValue", FaultKind::Stop);
        stage.cloud.faults().inject(stop);
        stage.cloud.run_rotations().await;
        let made = stage.user("ci-bot").keys.pop().expect("made").id;
        stage.cloud.add_kms_key(FORMER);
        let secret = secret_name(MEMBER, "ci-bot");
        let operator = stage.operator();
        operator.update_secret().secret_id(&secret).kms_key_id(FORMER).send().await.expect("changed");
        let value = json!({"AccessKeyId": made, "SecretAccessKey": "x"}).to_string();
        operator.put_secret_value().secret_id(&secret).secret_string(value).send().await.expect("put");
        stage.cloud.set_kms_key_state(FORMER, KmsKeyState::Disabled);
        stage.pass_days(1).await;
        stage.live_days(2).await;
        let keys: Vec<String> = stage.user("ci-bot").keys.into_iter().map(|key| key.id).collect();
        assert_eq!(keys, [old.access_key_id, made]);
        assert!(stage.now() > crate::harness::start() + TimeDelta::days(2));
    });
}

/// The tags of before show no announcement, so finishSecret asks whether the new value is a copy of the current one.
#[test]
fn reported_c1_tags_that_lag_beside_an_unreadable_value() {
    rehearse(async {
        for lag in [33, 40] {
            let stage = with_adopted(90).await;
            stage.cloud.set_kms_key_state(FORMER, KmsKeyState::Disabled);
            stage.sweep_well().await;
            stage.cloud.switch(|aws| {
                aws.rotation_attempts = 1;
                aws.describe_tags_lag = Duration::from_secs(lag);
            });
            stage.cloud.run_rotations().await;
            assert_eq!(stage.secret("ci-bot").last_rotation, Some(Ok(())), "{lag}");
            expect_one_rotation(&stage, &format!("{lag}"));
            assert_eq!(stage.tag("ci-bot", "intent"), None, "{lag}");
        }
    });
}

/// A list from before the last rotation makes the replaced key look like the current one. The value cannot correct
/// that, but its tags can.
#[test]
fn reported_c1_a_list_that_lags_beside_an_unreadable_value() {
    rehearse(async {
        let stage = TestStack::with(&[("SECRETS_KMS_KEY_ID", FORMER)]);
        let (old, new) = stage.add_rotated_user("ci-bot").await;
        stage.cloud.set_kms_key_state(FORMER, KmsKeyState::Disabled);
        let before = stage.secret("ci-bot").tags;
        stage.cloud.switch(|aws| {
            aws.rotation_attempts = 1;
            aws.list_access_keys_lag = Duration::from_mins(5);
        });
        let why = stage.rotate("ci-bot").await.expect_err("refused");
        assert_eq!(stage.tag("ci-bot", "current-key"), Some(new.clone()), "{why}");
        assert_eq!(stage.tag("ci-bot", "previous-key"), Some(old.access_key_id), "{why}");
        assert_eq!(stage.secret("ci-bot").tags.get("keywheel:rotated-at"), before.get("keywheel:rotated-at"), "{why}");
        assert!(why.contains(&format!("access key {new} in the secret is a few minutes old")), "{why}");
    });
}
