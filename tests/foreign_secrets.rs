//! A secret that is not keywheel's gets no key: attacks by a person who may write secrets in the store's account (AWS's
//! managed policy `SecretsManagerReadWrite`) and may use no KMS key except the one that Secrets Manager makes itself.
//!
//! Each test leaves one wall standing and opens the others.

use aws_sdk_secretsmanager::Client as SecretsClient;
use aws_sdk_secretsmanager::types::Tag;
use keywheel::model::{Fault, FaultKind};
use keywheel::provision::policy;
use keywheel::rehearsal::PRIMARY_ACCOUNT;
use serde_json::{Value, json};

use crate::harness::{MEMBER, TestStack, rehearse, secret_name};

const DEFAULT_KEY: &str = "alias/aws/secretsmanager";
const VICTIM: &str = "victim";

/// A client of the attacker.
fn attacker(stage: &TestStack) -> SecretsClient {
    SecretsClient::new(&stage.cloud.sdk_config(PRIMARY_ACCOUNT, "SecretsManagerReadWrite"))
}

/// Lets the rotation function encrypt under every key, as if its role lacked the denial.
fn open_the_role(stage: &TestStack) {
    let role = stage.keywheel.settings().rotation_execution_role();
    stage.cloud.deny_other_kms_keys(PRIMARY_ACCOUNT, &role, None);
}

fn arn(account: &str, user: &str) -> String {
    format!("arn:aws:iam::{account}:user/{user}")
}

/// keywheel's policy for the user.
fn own_policy(account: &str, user: &str) -> String {
    policy::for_user(&arn(account, user).parse().expect("an ARN")).to_string()
}

/// The attacker makes the secret of a user without one, with keywheel's policy and these tags, and has it rotated.
async fn plant(stage: &TestStack, account: &str, tags: &[(&str, &str)]) {
    let (client, name) = (attacker(stage), secret_name(account, VICTIM));
    let value = json!({"Version": 1, "AccessKeyId": "AKIAIOSFODNN7EXAMPLE", "UserName": VICTIM, "AccountId": account,
        "UserArn": arn(account, VICTIM), "CreateDate": "2026-01-01T00:00:00Z", "Status": "AwaitingFirstRotation"});
    let tags = tags.iter().map(|(key, value)| Tag::builder().key(*key).value(*value).build()).collect();
    let made = client.create_secret().name(&name).set_tags(Some(tags)).secret_string(value.to_string());
    made.send().await.expect("created under the AWS managed key");
    let put = client.put_resource_policy().secret_id(&name).resource_policy(own_policy(account, VICTIM));
    put.send().await.expect("put");
    let function = stage.keywheel.settings().rotation_function_arn.clone().expect("a function");
    let rules = aws_sdk_secretsmanager::types::RotationRulesType::builder().automatically_after_days(90).build();
    let rotate = client.rotate_secret().secret_id(&name).rotation_lambda_arn(function).rotation_rules(rules);
    rotate.send().await.expect("begun");
    stage.cloud.run_rotations().await;
}

/// Whether the client reads a key of the user that works, in the current or in the pending version.
async fn reads_a_working_key(stage: &TestStack, client: &SecretsClient, account: &str) -> bool {
    let user = stage.cloud.user(account, VICTIM).expect("the victim is there");
    for label in ["AWSCURRENT", "AWSPENDING"] {
        let read = client.get_secret_value().secret_id(secret_name(account, VICTIM)).version_stage(label).send().await;
        let Ok(answer) = read else { continue };
        let value: Value = serde_json::from_str(answer.secret_string().unwrap_or_default()).unwrap_or_default();
        let id = value["AccessKeyId"].as_str().unwrap_or_default();
        let key = stage.cloud.user_key(account, VICTIM, id);
        let is_active = user.key(id).is_some_and(keywheel::model::KeyView::is_active);
        if is_active && key.is_some_and(|key| value["SecretAccessKey"] == json!(key.secret)) {
            return true;
        }
    }
    false
}

/// The error of the last rotation of the victim's secret, which must have failed without a new key.
fn refusal(stage: &TestStack, account: &str) -> String {
    let secret = stage.cloud.secret(&secret_name(account, VICTIM)).expect("the secret is there");
    secret.last_rotation.expect("a rotation ended").expect_err("refused")
}

/// Starts a rotation as the attacker may, and runs it.
async fn rotate(stage: &TestStack, account: &str) {
    let begun = attacker(stage).rotate_secret().secret_id(secret_name(account, VICTIM)).send().await;
    begun.expect("begun");
    stage.cloud.run_rotations().await;
}

#[test]
fn nobody_gains_1a_a_role_without_other_keys_leaves_no_key() {
    rehearse(async {
        // Without the setting, nothing but the role's denial protects a secret that looks like keywheel's.
        let stage = TestStack::new();
        let without = stage.keywheel.redeployed(&[("SECRETS_KMS_KEY_ID", "")]).expect("settings");
        let stage = TestStack { keywheel: without, cloud: stage.cloud.clone() };
        stage.add_user(VICTIM, &[90]);
        plant(&stage, MEMBER, &[("keywheel:managed", "1")]).await;
        assert!(refusal(&stage, MEMBER).contains("Access to KMS is not allowed"));
        assert!(!reads_a_working_key(&stage, &attacker(&stage), MEMBER).await);
        assert_eq!(stage.user(VICTIM).keys.len(), 1, "the key that could not be put is deleted");
    });
}

#[test]
fn nobody_gains_1b_a_planted_secret_gets_no_key() {
    rehearse(async {
        for (settings, tags, cause) in [
            // The KMS key alone.
            (&[][..], &[("keywheel:managed", "1")][..], "is encrypted with the AWS managed key"),
            // The tag alone.
            (&[("SECRETS_KMS_KEY_ID", "")], &[], "lacks the tag keywheel:managed"),
        ] {
            for account in [MEMBER, PRIMARY_ACCOUNT] {
                let stage = TestStack::with(settings);
                open_the_role(&stage);
                stage.add_user_in(account, VICTIM, &[10]);
                plant(&stage, account, tags).await;
                assert!(!reads_a_working_key(&stage, &attacker(&stage), account).await, "{cause}: {account}");
                assert!(refusal(&stage, account).contains(cause), "{}", refusal(&stage, account));
                assert_eq!(stage.count("CreateAccessKey"), 0, "{cause}: {account}");
            }
        }
    });
}

#[test]
fn nobody_gains_1b_a_moved_secret_gets_no_key_until_repaired() {
    rehearse(async {
        for account in [MEMBER, PRIMARY_ACCOUNT] {
            let stage = TestStack::new();
            open_the_role(&stage);
            stage.add_user_in(account, VICTIM, &[90]);
            stage.live().await;
            stage.live_days(30).await;
            let made = stage.count("CreateAccessKey");
            let moved =
                attacker(&stage).update_secret().secret_id(secret_name(account, VICTIM)).kms_key_id(DEFAULT_KEY);
            moved.send().await.expect("moved");
            rotate(&stage, account).await;
            assert!(!reads_a_working_key(&stage, &attacker(&stage), account).await, "{account}");
            assert!(refusal(&stage, account).contains("is encrypted with alias/aws/secretsmanager"), "{account}");
            assert_eq!(stage.count("CreateAccessKey"), made, "{account}");
            stage.live_days(1).await;
            let secret = stage.cloud.secret(&secret_name(account, VICTIM)).expect("there");
            assert_eq!(secret.kms_key_id, stage.keywheel.settings().kms_key, "{account}: the sweep repaired it");
            // AWS says that the rotation will be reattempted.
            let _ = attacker(&stage).rotate_secret().secret_id(&secret.arn).send().await;
            stage.cloud.run_rotations().await;
            assert_eq!(stage.count("CreateAccessKey"), made + 1, "{account}: the rotation goes on");
            assert!(!reads_a_working_key(&stage, &attacker(&stage), account).await, "{account}");
        }
    });
}

#[test]
fn nobody_gains_1b_a_removed_tag_is_repaired_before_a_key() {
    rehearse(async {
        let stage = TestStack::new();
        stage.add_user(VICTIM, &[90]);
        stage.live().await;
        stage.live_days(85).await;
        let untag = attacker(&stage).untag_resource().secret_id(secret_name(MEMBER, VICTIM));
        untag.tag_keys("keywheel:managed").send().await.expect("removed");
        rotate(&stage, MEMBER).await;
        assert!(refusal(&stage, MEMBER).contains("lacks the tag keywheel:managed"));
        assert_eq!(stage.count("CreateAccessKey"), 1);
        stage.live_days(7).await;
        assert_eq!((stage.tag(VICTIM, "managed"), stage.count("CreateAccessKey")), (Some("1".to_owned()), 2));
    });
}

#[test]
fn nobody_gains_1c_a_changed_policy_gets_no_key_until_repaired() {
    rehearse(async {
        for is_deleted in [false, true] {
            let stage = TestStack::new();
            stage.add_user(VICTIM, &[90]);
            stage.live().await;
            stage.live_days(30).await;
            let mallory = stage.add_user_in(PRIMARY_ACCOUNT, "mallory", &[10]).remove(0);
            let mallory = SecretsClient::new(&stage.cloud.user_config(&mallory));
            let name = secret_name(MEMBER, VICTIM);
            if is_deleted {
                attacker(&stage).delete_resource_policy().secret_id(&name).send().await.expect("deleted");
            } else {
                let mut open: Value = serde_json::from_str(&own_policy(MEMBER, VICTIM)).expect("JSON");
                let mut added = open["Statement"][0].clone();
                added["Principal"]["AWS"] = json!(arn(PRIMARY_ACCOUNT, "mallory"));
                added["Condition"]["ArnEquals"]["aws:PrincipalArn"] = json!(arn(PRIMARY_ACCOUNT, "mallory"));
                open["Statement"].as_array_mut().expect("a list").push(added);
                let put = attacker(&stage).put_resource_policy().secret_id(&name).resource_policy(open.to_string());
                put.send().await.expect("put");
            }
            let before = stage.current_key(VICTIM);
            rotate(&stage, MEMBER).await;
            let why = refusal(&stage, MEMBER);
            assert!(why.contains("the resource policy of secret"), "{why}");
            assert_eq!((stage.current_key(VICTIM), stage.count("CreateAccessKey")), (before, 1));
            assert!(stage.tag(VICTIM, "failed").is_some_and(|cause| cause.starts_with("ForeignPolicy createSecret")));
            stage.live_days(1).await;
            let _ = attacker(&stage).rotate_secret().secret_id(&name).send().await;
            stage.cloud.run_rotations().await;
            assert_eq!(stage.count("CreateAccessKey"), 2, "the sweep repaired the policy, and the rotation goes on");
            assert!(!reads_by_arn(&stage, &mallory).await);
        }
    });
}

async fn reads_by_arn(stage: &TestStack, client: &SecretsClient) -> bool {
    client.get_secret_value().secret_id(stage.secret(VICTIM).arn).send().await.is_ok()
}

/// The principal of the policy has become the id of the user who is gone.
#[test]
fn nobody_gains_1c_a_user_made_again_waits_for_its_policy() {
    rehearse(async {
        let stage = TestStack::new();
        stage.add_user(VICTIM, &[90]);
        stage.live().await;
        stage.live_days(5).await;
        stage.cloud.delete_user(MEMBER, VICTIM);
        stage.add_user(VICTIM, &[10]);
        rotate(&stage, MEMBER).await;
        assert!(refusal(&stage, MEMBER).contains("the resource policy of secret"), "{}", refusal(&stage, MEMBER));
        assert_eq!(stage.count("CreateAccessKey"), 1);
        stage.live_days(3).await;
        assert_eq!(stage.count("CreateAccessKey"), 2, "the sweep repaired the policy");
    });
}

#[test]
fn nobody_gains_1c_an_unreadable_policy_is_not_a_right_one() {
    rehearse(async {
        for kind in [FaultKind::AccessDenied, FaultKind::LostAnswer] {
            let stage = TestStack::new();
            stage.cloud.switch(|aws| aws.rotation_attempts = 1);
            stage.add_user(VICTIM, &[90]);
            stage.sweep_well().await;
            let fault = Fault::on("secretsmanager", "GetResourcePolicy", kind.clone()).every();
            let fault = stage.cloud.faults().inject(fault);
            stage.cloud.run_rotations().await;
            let why = refusal(&stage, MEMBER);
            assert!(why.contains("secretsmanager:GetResourcePolicy"), "{kind:?}: {why}");
            assert_eq!(stage.count("CreateAccessKey"), 0, "{kind:?}");
            fault.remove();
            stage.live().await;
            assert_eq!(stage.count("CreateAccessKey"), 1, "{kind:?}: afterwards the rotation goes on");
        }
    });
}

/// The sweeper adopts a predecessor's secret and starts its rotation at once, which must not fail.
#[test]
fn nobody_gains_1b_a_tag_that_lags_fails_no_rotation() {
    rehearse(async {
        let stage = TestStack::new();
        stage.cloud.switch(|aws| {
            aws.describe_tags_lag = std::time::Duration::from_secs(3);
            aws.rotation_attempts = 1;
        });
        stage.add_user(VICTIM, &[90]);
        let made = stage.now() - chrono::TimeDelta::days(30);
        let value = r#"{"AccessKeyId":"AKIAIOSFODNN7EXAMPLE","SecretAccessKey":"x"}"#;
        stage.cloud.put_secret(PRIMARY_ACCOUNT, &secret_name(MEMBER, VICTIM), value, made);
        stage.live().await;
        assert_eq!(stage.secret(VICTIM).last_rotation, Some(Ok(())));
        assert_eq!(stage.count("CreateAccessKey"), 1);
    });
}
