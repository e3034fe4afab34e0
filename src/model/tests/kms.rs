//! Which caller may use which KMS key through Secrets Manager.

use super::*;

const OTHER_KMS: &str = "arn:aws:kms:us-east-1:111122223333:key/00000000-0000-0000-0000-00000000000f";

fn client_as(cloud: &Cloud, role: &str) -> aws_sdk_secretsmanager::Client {
    aws_sdk_secretsmanager::Client::new(&cloud.sdk_config(CENTRAL, role))
}

async fn read(cloud: &Cloud, role: &str, stage: &str) -> Result<String, String> {
    let answer = client_as(cloud, role).get_secret_value().secret_id("s").version_stage(stage).send().await;
    match answer {
        Ok(answer) => Ok(answer.secret_string().unwrap_or_default().to_owned()),
        refused => Err(message(refused)),
    }
}

fn only_execution(cloud: &Cloud) {
    cloud.admit_to_kms_key(KMS, &["arn:aws:iam::111122223333:role/execution".to_owned()]);
}

#[tokio::test(start_paused = true)]
async fn a_key_serves_the_callers_of_its_policy() {
    let cloud = cloud();
    only_execution(&cloud);
    let made = secrets_client(&cloud).create_secret().name("s").kms_key_id(KMS).secret_string("one");
    made.send().await.expect("created");
    read(&cloud, "execution", "AWSCURRENT").await.expect("admitted");
    read(&cloud, "operator", "AWSCURRENT").await.expect("a person with all rights");
    let refused = read(&cloud, "other", "AWSCURRENT").await.expect_err("not admitted");
    assert_eq!(refused, "Access to KMS is not allowed");
    let put = client_as(&cloud, "other").put_secret_value().secret_id("s").secret_string("two").send().await;
    assert_eq!(code(put), "AccessDeniedException");
    let made = client_as(&cloud, "other").create_secret().name("t").kms_key_id(KMS).secret_string("one").send().await;
    assert_eq!(code(made), "AccessDeniedException");
}

#[tokio::test(start_paused = true)]
async fn the_default_key_serves_everybody_in_the_account() {
    let cloud = cloud();
    secrets_client(&cloud).create_secret().name("s").secret_string("one").send().await.expect("created");
    read(&cloud, "other", "AWSCURRENT").await.expect("through Secrets Manager");
}

/// A caller who cannot decrypt a value cannot move it to another key. But values that others put later are under that
/// key.
#[tokio::test(start_paused = true)]
async fn a_caller_without_the_key_moves_only_later_values() {
    let cloud = cloud();
    only_execution(&cloud);
    let client = secrets_client(&cloud);
    client.create_secret().name("s").kms_key_id(KMS).secret_string("one").send().await.expect("created");
    let moved = client_as(&cloud, "other").update_secret().secret_id("s").kms_key_id("alias/aws/secretsmanager");
    moved.send().await.expect("the call needs no use of the former key");
    read(&cloud, "other", "AWSCURRENT").await.expect_err("still under the former key alone");
    client.put_secret_value().secret_id("s").secret_string("two").send().await.expect("put");
    assert_eq!(read(&cloud, "other", "AWSCURRENT").await, Ok("two".to_owned()));
    read(&cloud, "other", "AWSPREVIOUS").await.expect_err("an older value");
}

#[tokio::test(start_paused = true)]
async fn a_value_stays_readable_under_a_former_key() {
    let cloud = cloud();
    only_execution(&cloud);
    let client = secrets_client(&cloud);
    client.create_secret().name("s").secret_string("one").send().await.expect("under the default key");
    client.update_secret().secret_id("s").kms_key_id(KMS).send().await.expect("moved");
    assert_eq!(read(&cloud, "other", "AWSCURRENT").await, Ok("one".to_owned()), "under the former key");
    client.put_secret_value().secret_id("s").secret_string("two").send().await.expect("put");
    read(&cloud, "other", "AWSCURRENT").await.expect_err("a new value is under the new key alone");
    assert_eq!(read(&cloud, "other", "AWSPREVIOUS").await, Ok("one".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_denial_of_other_keys_leaves_decryption() {
    let cloud = cloud();
    cloud.add_kms_key(OTHER_KMS);
    cloud.deny_other_kms_keys(CENTRAL, "execution", Some(&[KMS]));
    let client = secrets_client(&cloud);
    for key in [None, Some(OTHER_KMS)] {
        let made = client_as(&cloud, "other").create_secret().name("s").set_kms_key_id(key.map(str::to_owned));
        made.secret_string("one").send().await.expect("created");
        let put = client.put_secret_value().secret_id("s").secret_string("two").send().await;
        assert_eq!(code(put), "AccessDeniedException", "{key:?}");
        read(&cloud, "execution", "AWSCURRENT").await.expect("a value under a former key is still read");
        client.update_secret().secret_id("s").kms_key_id(KMS).send().await.expect("moved");
        client.put_secret_value().secret_id("s").secret_string("two").send().await.expect("under its own key");
        let gone = client.delete_secret().secret_id("s").force_delete_without_recovery(true);
        gone.send().await.expect("deleted");
    }
    cloud.deny_other_kms_keys(CENTRAL, "execution", None);
    client.create_secret().name("s").secret_string("one").send().await.expect("no denial any more");
}
