//! Versions that nobody can decrypt: such a value may hold the key that an interrupted rotation made, and then the key
//! must stay.

use keywheel::model::{Fault, FaultKind, KmsKeyState};
use serde_json::json;

use crate::harness::{TestStack, refused, rehearse};

/// The setting of a stage.
const STACKS: &str = "arn:aws:kms:us-east-1:999988887777:key/7f1c2d3e-0000-4000-8000-000000000001";
const FORMER: &str = "arn:aws:kms:us-east-1:999988887777:key/00000000-0000-4000-8000-00000000000f";
const LATER: &str = "arn:aws:kms:us-east-1:999988887777:key/00000000-0000-4000-8000-000000000001";

/// A user with one key, which keywheel made, on a stage where each rotation is tried once. Returns that key.
async fn with_one_key(settings: &[(&str, &str)]) -> (TestStack, String) {
    let stage = TestStack::with(settings);
    stage.cloud.switch(|aws| aws.rotation_attempts = 1);
    for key in [FORMER, LATER] {
        stage.cloud.add_kms_key(key);
    }
    let (_, first) = stage.add_rotated_user("ci-bot").await;
    stage.live_days(25).await;
    assert_eq!(keys(&stage), [first.as_str()]);
    (stage, first)
}

fn keys(stage: &TestStack) -> Vec<String> {
    stage.user("ci-bot").keys.into_iter().map(|key| key.id).collect()
}

/// A rotation stops after it has made its key. Returns the key.
async fn stop_after_the_key(stage: &TestStack) -> String {
    let stop = stage.cloud.faults().inject(Fault::on("secretsmanager", "PutSecretValue", FaultKind::Stop));
    stage.rotate("ci-bot").await.expect_err("stopped");
    assert_eq!(stop.fired(), 1);
    keys(stage).pop().expect("made")
}

async fn encrypt_under(stage: &TestStack, kms_key: &str) {
    let update = stage.operator().update_secret().secret_id(stage.secret("ci-bot").arn).kms_key_id(kms_key);
    update.send().await.expect("changed");
}

async fn put_by_hand(stage: &TestStack, key: &str, label: &str) {
    let value = json!({"AccessKeyId": key, "SecretAccessKey": "x"}).to_string();
    let put = stage.operator().put_secret_value().secret_id(stage.secret("ci-bot").arn).secret_string(value);
    put.version_stages(label).send().await.expect("put");
}

/// Nobody can use the former KMS key any more, and the stack encrypts under another one.
async fn lose_the_former_kms_key(stage: TestStack) -> TestStack {
    stage.cloud.set_kms_key_state(FORMER, KmsKeyState::Disabled);
    let keywheel = stage.keywheel.redeployed(&[("SECRETS_KMS_KEY_ID", LATER)]).expect("settings");
    let stage = TestStack { keywheel, cloud: stage.cloud.clone() };
    stage.sweep_well().await;
    stage
}

async fn expect_both_stay(stage: &TestStack, first: &str, made: &str, context: &str) {
    let rotated = stage.rotate("ci-bot").await;
    assert_eq!(keys(stage), [first, made], "{context}: {rotated:?}");
    let why = rotated.expect_err("refused");
    assert!(why.contains(&format!("{made} was created when a rotation announced a key")), "{context}: {why}");
    assert!(why.contains("cannot be read (secretsmanager:GetSecretValue"), "{context}: {why}");
}

/// A person put the announced key into the secret by hand, and later another value in its place.
#[test]
fn reported_c1_an_announced_key_in_an_older_value_stays() {
    rehearse(async {
        for label in ["AWSCURRENT", "by-hand"] {
            let (stage, first) = with_one_key(&[]).await;
            let made = stop_after_the_key(&stage).await;
            encrypt_under(&stage, FORMER).await;
            put_by_hand(&stage, &made, label).await;
            stage.cloud.set_kms_key_state(FORMER, KmsKeyState::Disabled);
            // A rotation refuses a secret under any other key.
            encrypt_under(&stage, STACKS).await;
            if label == "AWSCURRENT" {
                put_by_hand(&stage, &first, label).await;
            }
            expect_both_stay(&stage, &first, &made, label).await;
        }
    });
}

/// A person gave up the rotation that had put the announced key.
#[test]
fn reported_c1_an_announced_value_that_is_unreadable_stays() {
    rehearse(async {
        let (stage, first) = with_one_key(&[("SECRETS_KMS_KEY_ID", FORMER)]).await;
        let denied = Fault::on("sts", "GetCallerIdentity", refused("AccessDenied")).every();
        let denied = stage.cloud.faults().inject(denied);
        stage.rotate("ci-bot").await.expect_err("testSecret fails");
        denied.remove();
        let made = keys(&stage).pop().expect("made");
        let secret = stage.secret("ci-bot");
        let pending = secret.version_with("AWSPENDING").expect("put").id.clone();
        let give_up = stage.operator().update_secret_version_stage().secret_id(&secret.arn).version_stage("AWSPENDING");
        give_up.remove_from_version_id(pending).send().await.expect("given up");
        let stage = lose_the_former_kms_key(stage).await;
        expect_both_stay(&stage, &first, &made, "given up").await;
    });
}

/// The tags name the key in the current version, so that version and the one before it are older than the orphan.
#[test]
fn reported_c1_older_unreadable_values_hide_no_orphan() {
    rehearse(async {
        let (stage, first) = with_one_key(&[("SECRETS_KMS_KEY_ID", FORMER)]).await;
        assert_eq!(stage.rotate("ci-bot").await, Ok(()));
        stage.live_days(25).await;
        let stage = lose_the_former_kms_key(stage).await;
        let second = keys(&stage).remove(0);
        let orphan = stop_after_the_key(&stage).await;
        assert!(![&first, &second].contains(&&orphan));
        assert_eq!(stage.rotate("ci-bot").await, Ok(()));
        let left = keys(&stage);
        assert_eq!((left.len(), &left[0]), (2, &second));
        assert_ne!(left[1], orphan);
        assert_eq!(stage.current_key("ci-bot"), left[1]);
    });
}
