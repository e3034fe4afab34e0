//! Which callers may read a secret: policies, principals that AWS stores as ids, and other accounts.

use serde_json::{Value, json};

use super::*;
use crate::model::AccessKeyPair;

const BOT: &str = "arn:aws:iam::444455556666:user/bot";

fn policy(principal: &Value, condition: &Value) -> String {
    json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow",
        "Principal": principal,
        "Action": "secretsmanager:GetSecretValue",
        "Resource": "*",
        "Condition": condition,
    }]})
    .to_string()
}

fn for_bot() -> String {
    policy(&json!({ "AWS": BOT }), &json!({ "ArnEquals": { "aws:PrincipalArn": BOT } }))
}

/// A member's user with a key, and a secret in the central account. Returns the secret's ARN.
async fn stage(cloud: &Cloud, kms: Option<&str>) -> (AccessKeyPair, String) {
    cloud.add_user(MEMBER, "bot", "/");
    let key = cloud.add_access_key(MEMBER, "bot", day() - chrono::TimeDelta::days(1));
    let client = secrets_client(cloud);
    let made = client.create_secret().name("s").set_kms_key_id(kms.map(ToOwned::to_owned)).secret_string("x");
    let arn = made.send().await.expect("created").arn().expect("an ARN").to_owned();
    client.put_resource_policy().secret_id("s").resource_policy(for_bot()).send().await.expect("allowed");
    (key, arn)
}

async fn read(cloud: &Cloud, key: &AccessKeyPair, id: &str) -> Result<(), String> {
    let client = aws_sdk_secretsmanager::Client::new(&cloud.user_config(key));
    match client.get_secret_value().secret_id(id).send().await {
        Ok(_) => Ok(()),
        refused => Err(message(refused)),
    }
}

#[tokio::test(start_paused = true)]
async fn reads_across_accounts_need_policy_group_key_and_full_arn() {
    let cloud = cloud();
    let (key, arn) = stage(&cloud, Some(KMS)).await;
    let denied = read(&cloud, &key, &arn).await.expect_err("no identity policy");
    assert!(denied.contains("no identity-based policy allows"), "{denied}");
    cloud.add_group(MEMBER, "readers");
    cloud.add_to_group(MEMBER, "readers", "bot");
    assert!(read(&cloud, &key, &arn).await.is_err(), "the group grants nothing yet");
    cloud.allow_reader_group(MEMBER, "readers");
    read(&cloud, &key, &arn).await.expect("everything is in place");
    let partial = &arn[..arn.len() - 7];
    assert!(read(&cloud, &key, partial).await.is_err_and(|it| it.contains("full ARN")));
    assert!(read(&cloud, &key, "s").await.is_err(), "a name means the own account");
    secrets_client(&cloud).delete_resource_policy().secret_id("s").send().await.expect("taken away");
    assert!(read(&cloud, &key, &arn).await.is_err_and(|it| it.contains("no resource-based policy")));
}

#[tokio::test(start_paused = true)]
async fn the_default_key_does_not_serve_other_accounts() {
    let cloud = cloud();
    let (key, arn) = stage(&cloud, None).await;
    cloud.add_group(MEMBER, "readers");
    cloud.add_to_group(MEMBER, "readers", "bot");
    cloud.allow_reader_group(MEMBER, "readers");
    assert!(read(&cloud, &key, &arn).await.is_err_and(|it| it.contains("default KMS service key")));
}

#[tokio::test(start_paused = true)]
async fn a_resource_policy_lets_one_user_of_the_account_read() {
    let cloud = cloud();
    let client = secrets_client(&cloud);
    client.create_secret().name("s").secret_string("x").send().await.expect("created");
    let mut keys = Vec::new();
    for name in ["bot", "other"] {
        cloud.add_user(CENTRAL, name, "/");
        keys.push(cloud.add_access_key(CENTRAL, name, day() - chrono::TimeDelta::days(1)));
    }
    let own = "arn:aws:iam::111122223333:user/bot";
    let allowed = policy(&json!("*"), &json!({ "StringEquals": { "aws:PrincipalArn": own } }));
    let put = client.put_resource_policy().secret_id("s").resource_policy(allowed).block_public_policy(true);
    put.send().await.expect("narrowed by the condition");
    read(&cloud, &keys[0], "s").await.expect("named");
    assert!(read(&cloud, &keys[1], "s").await.is_err());
    let user = aws_sdk_secretsmanager::Client::new(&cloud.user_config(&keys[0]));
    let put = user.put_secret_value().secret_id("s").secret_string("y").send().await;
    assert_eq!(code(put), "AccessDeniedException");
}

#[tokio::test(start_paused = true)]
async fn a_principal_does_not_match_a_user_made_again() {
    let cloud = cloud();
    let (_, _) = stage(&cloud, Some(KMS)).await;
    let shown = || cloud.secret("s").and_then(|it| it.policy).expect("a policy");
    let id = cloud.users(MEMBER)[0].id.clone();
    assert_eq!(shown()["Statement"][0]["Principal"]["AWS"], BOT);
    cloud.delete_user(MEMBER, "bot");
    assert_eq!(shown()["Statement"][0]["Principal"]["AWS"], id);
    cloud.add_user(MEMBER, "bot", "/");
    let client = secrets_client(&cloud);
    let policy = client.get_resource_policy().secret_id("s").send().await.expect("there");
    let policy: Value = serde_json::from_str(policy.resource_policy().expect("a policy")).expect("JSON");
    assert_eq!(policy["Statement"][0]["Principal"]["AWS"], id, "the new user has another id");
    assert_eq!(policy["Statement"][0]["Condition"]["ArnEquals"]["aws:PrincipalArn"], BOT);
}

#[tokio::test(start_paused = true)]
async fn policies_are_checked_when_saved() {
    let cloud = cloud();
    stage(&cloud, None).await;
    let client = secrets_client(&cloud);
    let put =
        |text: &str| client.put_resource_policy().secret_id("s").resource_policy(text).block_public_policy(true).send();
    let nobody = policy(&json!({ "AWS": "arn:aws:iam::444455556666:user/nobody" }), &json!({}));
    assert_eq!(code(put(&nobody).await), "MalformedPolicyDocumentException");
    assert_eq!(code(put("{").await), "MalformedPolicyDocumentException");
    for everybody in [json!("*"), json!({ "AWS": ["*"] })] {
        assert_eq!(code(put(&policy(&everybody, &json!({}))).await), "PublicPolicyException");
    }
    let wide = policy(&json!("*"), &json!({ "ArnLike": { "aws:PrincipalArn": "*" } }));
    assert_eq!(code(put(&wide).await), "PublicPolicyException");
    let checked =
        client.validate_resource_policy().secret_id("s").resource_policy(&wide).send().await.expect("checked");
    assert!(!checked.policy_validation_passed());
    assert_eq!(cloud.secret("s").and_then(|it| it.policy).map(|it| it.to_string()), {
        let saved: Value = serde_json::from_str(&for_bot()).expect("JSON");
        Some(saved.to_string())
    });
}

#[tokio::test(start_paused = true)]
async fn a_role_of_another_account_is_denied() {
    let cloud = cloud();
    let (_, arn) = stage(&cloud, Some(KMS)).await;
    let client = aws_sdk_secretsmanager::Client::new(&cloud.sdk_config(MEMBER, "sweeper"));
    assert_eq!(code(client.describe_secret().secret_id(arn).send().await), "AccessDeniedException");
}
