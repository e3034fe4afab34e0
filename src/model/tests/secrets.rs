//! Secrets: tokens, stages, deletion, lists and their lag.

use std::time::Duration;

use aws_sdk_secretsmanager::types::{Filter, FilterNameStringType, Tag};
use chrono::TimeDelta;

use super::*;

const TOKEN_1: &str = "11111111-1111-1111-1111-111111111111";
const TOKEN_2: &str = "22222222-2222-2222-2222-222222222222";

async fn created(cloud: &Cloud, name: &str) -> aws_sdk_secretsmanager::Client {
    let client = secrets_client(cloud);
    client.create_secret().name(name).client_request_token(TOKEN_1).secret_string("one").send().await.expect("created");
    client
}

#[tokio::test(start_paused = true)]
async fn a_repeated_put_is_idempotent_and_a_changed_put_is_refused() {
    let cloud = cloud();
    let client = created(&cloud, "s").await;
    let put = |value: &str| client.put_secret_value().secret_id("s").client_request_token(TOKEN_2).secret_string(value);
    put("two").send().await.expect("put");
    put("two").send().await.expect("the same again");
    assert_eq!(code(put("other").send().await), "ResourceExistsException");
    let secret = cloud.secret("s").expect("there");
    assert_eq!(secret.versions.len(), 2);
    assert_eq!(secret.text("AWSCURRENT"), Some("two"));
    assert_eq!(secret.version_with("AWSPREVIOUS").map(|it| it.id.as_str()), Some(TOKEN_1));
    let event = cloud.drain_events().pop().expect("an event");
    assert_eq!(event["detail-type"], "Secret Label Updated");
    assert_eq!(event["detail"]["versionId"], TOKEN_2);
    assert_eq!(event["resources"][0], secret.arn);
}

#[tokio::test(start_paused = true)]
async fn creating_is_idempotent_by_token_and_exclusive_by_name() {
    let cloud = cloud();
    let client = created(&cloud, "s").await;
    let create = |token: &str| client.create_secret().name("s").client_request_token(token).secret_string("one").send();
    create(TOKEN_1).await.expect("the same again");
    assert_eq!(code(create(TOKEN_2).await), "ResourceExistsException");
    assert_eq!(code(client.create_secret().name("a,b").secret_string("x").send().await), "ValidationException");
    let kms = client.create_secret().name("k").kms_key_id("unknown").secret_string("x").send().await;
    assert_eq!(code(kms), "InvalidParameterException");
    let long = "x".repeat(65_537);
    assert_eq!(code(client.create_secret().name("l").secret_string(long).send().await), "ValidationException");
    assert_eq!(cloud.secrets().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_stage_moves_only_from_its_holder() {
    let cloud = cloud();
    let client = created(&cloud, "s").await;
    client
        .put_secret_value()
        .secret_id("s")
        .client_request_token(TOKEN_2)
        .secret_string("two")
        .version_stages("AWSPENDING")
        .send()
        .await
        .expect("put");
    assert!(cloud.events().is_empty(), "AWSCURRENT did not move");
    let stage = || client.update_secret_version_stage().secret_id("s").version_stage("AWSCURRENT");
    let refused = stage().move_to_version_id(TOKEN_2).send().await;
    assert!(message(refused).starts_with("The parameter RemoveFromVersionId can't be empty."));
    let wrong = stage().move_to_version_id(TOKEN_2).remove_from_version_id(TOKEN_2).send().await;
    assert_eq!(code(wrong), "InvalidParameterException");
    assert_eq!(
        code(stage().remove_from_version_id(TOKEN_1).send().await),
        "InvalidParameterException",
        "AWSCURRENT cannot go away"
    );
    stage().move_to_version_id(TOKEN_2).remove_from_version_id(TOKEN_1).send().await.expect("moved");
    let secret = cloud.secret("s").expect("there");
    assert_eq!(secret.versions[1].stages, ["AWSCURRENT", "AWSPENDING"]);
    assert_eq!(secret.versions[0].stages, ["AWSPREVIOUS"]);
    let again = stage().move_to_version_id(TOKEN_2).remove_from_version_id(TOKEN_1).send().await;
    assert_eq!(code(again), "InvalidParameterException", "the label is no longer there");
}

#[tokio::test(start_paused = true)]
async fn a_version_that_lost_its_labels_is_deprecated() {
    let cloud = cloud();
    let client = created(&cloud, "s").await;
    for value in ["two", "three"] {
        client.put_secret_value().secret_id("s").secret_string(value).send().await.expect("put");
    }
    let listed = client.list_secret_version_ids().secret_id("s").send().await.expect("listed");
    assert_eq!(listed.versions().len(), 2);
    let all = client.list_secret_version_ids().secret_id("s").include_deprecated(true).send().await;
    assert_eq!(all.expect("listed").versions().len(), 3);
    let old = client.get_secret_value().secret_id("s").version_id(TOKEN_1).send().await;
    assert_eq!(old.expect("still readable by id").secret_string(), Some("one"));
    let missing = client.get_secret_value().secret_id("s").version_stage("AWSPENDING").send().await;
    assert_eq!(message(missing), "Secrets Manager can't find the specified secret value for staging label: AWSPENDING");
    let disagreeing =
        client.get_secret_value().secret_id("s").version_id(TOKEN_1).version_stage("AWSCURRENT").send().await;
    assert_eq!(code(disagreeing), "InvalidRequestException");
}

#[tokio::test(start_paused = true)]
async fn a_deleted_secret_refuses_calls_until_it_is_restored() {
    let cloud = cloud();
    let client = created(&cloud, "s").await;
    let delete = |days: i64| client.delete_secret().secret_id("s").recovery_window_in_days(days).send();
    assert_eq!(code(delete(6).await), "InvalidParameterException");
    delete(7).await.expect("deleted");
    let refused = client.get_secret_value().secret_id("s").send().await;
    assert_eq!(message(refused), "You can't perform this operation on the secret because it was marked for deletion.");
    assert_eq!(code(client.create_secret().name("s").secret_string("x").send().await), "InvalidRequestException");
    assert!(client.list_secrets().send().await.expect("listed").secret_list().is_empty());
    let planned = client.list_secrets().include_planned_deletion(true).send().await.expect("listed");
    assert!(planned.secret_list()[0].deleted_date().is_some());
    client.restore_secret().secret_id("s").send().await.expect("restored");
    client.get_secret_value().secret_id("s").send().await.expect("readable");
    delete(7).await.expect("deleted again");
    cloud.clock().advance_to(day() + TimeDelta::days(7) + TimeDelta::seconds(1)).await;
    assert_eq!(code(client.describe_secret().secret_id("s").send().await), "ResourceNotFoundException");
    assert!(cloud.secrets().is_empty());
}

#[tokio::test(start_paused = true)]
async fn tags_keep_to_their_alphabet_and_number() {
    let cloud = cloud();
    let client = created(&cloud, "s").await;
    let tag = |key: &str, value: &str| {
        client.tag_resource().secret_id("s").tags(Tag::builder().key(key).value(value).build()).send()
    };
    tag("keywheel:rotated-at", "2026-11-22T09:00:00Z").await.expect("legal");
    for (key, value) in [("a;b", ""), ("a", "b,c"), ("aws:x", "y"), ("a", "{}")] {
        assert_eq!(code(tag(key, value).await), "InvalidParameterException", "{key}={value}");
    }
    assert_eq!(code(tag("a", &"x".repeat(257)).await), "ValidationException");
    for n in 0..49 {
        tag(&format!("t{n}"), "").await.expect("up to 50");
    }
    assert_eq!(code(tag("one more", "").await), "InvalidParameterException");
    tag("t1", "changed").await.expect("an existing tag can change");
    client.untag_resource().secret_id("s").tag_keys("t1").send().await.expect("untagged");
    let secret = cloud.secret("s").expect("there");
    assert_eq!(secret.tags.len(), 49);
    assert_eq!(secret.tags["keywheel:rotated-at"], "2026-11-22T09:00:00Z");
}

#[tokio::test(start_paused = true)]
async fn lists_are_filtered_by_prefix_paged_and_may_lag() {
    let cloud = cloud();
    let client = secrets_client(&cloud);
    for n in 0..5 {
        let name = format!("Account_{n}");
        client.create_secret().name(name).secret_string("x").send().await.expect("created");
    }
    client.create_secret().name("other").secret_string("x").send().await.expect("created");
    let by_name = Filter::builder().key(FilterNameStringType::Name).values("Account_").build();
    let (mut names, mut token) = (Vec::new(), None);
    loop {
        let page = client.list_secrets().filters(by_name.clone()).max_results(2).set_next_token(token).send().await;
        let page = page.expect("a page");
        names.extend(page.secret_list().iter().filter_map(|it| it.name()).map(ToOwned::to_owned));
        token = page.next_token().map(ToOwned::to_owned);
        if token.is_none() {
            break;
        }
    }
    names.sort();
    assert_eq!(names, ["Account_0", "Account_1", "Account_2", "Account_3", "Account_4"]);
    let lower = Filter::builder().key(FilterNameStringType::Name).values("account_").build();
    assert!(client.list_secrets().filters(lower).send().await.expect("listed").secret_list().is_empty());
    let mark = Tag::builder().key("t").value("mark:1").build();
    client.tag_resource().secret_id("other").tags(mark).send().await.expect("tagged");
    for (prefix, found) in [("mark:", 1), ("Mark:", 0), ("1", 0)] {
        let by_value = Filter::builder().key(FilterNameStringType::TagValue).values(prefix).build();
        let page = client.list_secrets().filters(by_value).send().await.expect("listed");
        assert_eq!(page.secret_list().len(), found, "{prefix}");
    }
    let all = Filter::builder().key(FilterNameStringType::All).values("x").build();
    assert_eq!(code(client.list_secrets().filters(all).send().await), "InvalidParameterException");

    cloud.switch(|it| it.list_secrets_lag = Duration::from_mins(5));
    cloud.clock().advance(Duration::from_secs(301)).await;
    client.create_secret().name("late").secret_string("x").send().await.expect("created");
    client.update_secret().secret_id("other").description("new").send().await.expect("updated");
    let shown = || async {
        let list = client.list_secrets().send().await.expect("listed");
        let described = list.secret_list().iter().any(|it| it.description() == Some("new"));
        (list.secret_list().len(), described)
    };
    assert_eq!(shown().await, (6, false));
    cloud.clock().advance(Duration::from_secs(301)).await;
    assert_eq!(shown().await, (7, true));
}

#[tokio::test(start_paused = true)]
async fn a_pending_value_may_be_unreadable_for_a_while() {
    let cloud = cloud();
    let client = created(&cloud, "s").await;
    cloud.switch(|it| it.pending_read_lag = Duration::from_secs(3));
    client
        .put_secret_value()
        .secret_id("s")
        .secret_string("two")
        .version_stages("AWSPENDING")
        .send()
        .await
        .expect("put");
    let read = || client.get_secret_value().secret_id("s").version_stage("AWSPENDING").send();
    assert_eq!(code(read().await), "ResourceNotFoundException");
    cloud.clock().advance(Duration::from_secs(3)).await;
    assert_eq!(read().await.expect("there now").secret_string(), Some("two"));
}

#[tokio::test(start_paused = true)]
async fn versions_of_a_day_are_never_removed_to_make_room() {
    let cloud = cloud();
    let client = created(&cloud, "s").await;
    let put = |n: u32| client.put_secret_value().secret_id("s").secret_string(format!("v{n}")).send();
    for n in 0..99 {
        put(n).await.expect("up to 100");
    }
    assert_eq!(code(put(99).await), "LimitExceededException");
    cloud.clock().advance(Duration::from_hours(25)).await;
    put(100).await.expect("an old version goes");
    assert_eq!(cloud.secret("s").map(|it| it.versions.len()), Some(100));
}

/// Secrets Manager re-encrypts what it can decrypt, and keeps the former key beside the new one.
#[tokio::test(start_paused = true)]
async fn a_value_is_readable_while_one_of_its_kms_keys_works() {
    let other = "arn:aws:kms:us-east-1:111122223333:key/00000000-0000-0000-0000-00000000000f";
    for (state, refusal) in [
        (KmsKeyState::Disabled, "DecryptionFailure"),
        (KmsKeyState::PendingDeletion, "DecryptionFailure"),
        (KmsKeyState::Denied, "AccessDeniedException"),
    ] {
        for is_too_late in [false, true] {
            let cloud = cloud();
            cloud.add_kms_key(other);
            let client = secrets_client(&cloud);
            client.create_secret().name("s").kms_key_id(other).secret_string("one").send().await.expect("created");
            let read = || client.get_secret_value().secret_id("s").send();
            if is_too_late {
                cloud.set_kms_key_state(other, state);
                assert_eq!(code(read().await), refusal);
                let put = client.put_secret_value().secret_id("s").secret_string("two").send().await;
                assert_ne!(code(put), "ResourceNotFoundException", "nothing is encrypted under that key");
            }
            client.update_secret().secret_id("s").kms_key_id(KMS).send().await.expect("another key is named");
            cloud.set_kms_key_state(other, state);
            if is_too_late {
                assert_eq!(code(read().await), refusal, "{state:?}");
            } else {
                read().await.expect("re-encrypted");
            }
            client.put_secret_value().secret_id("s").secret_string("two").send().await.expect("under the new key");
            read().await.expect("the new value");
            let before = client.get_secret_value().secret_id("s").version_stage("AWSPREVIOUS").send().await;
            assert_eq!(before.is_err(), is_too_late);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_value_of_a_secret_becomes_current_by_itself() {
    let cloud = cloud();
    let client = secrets_client(&cloud);
    client.create_secret().name("s").send().await.expect("created without a value");
    assert_eq!(code(client.get_secret_value().secret_id("s").send().await), "ResourceNotFoundException");
    let put = client.put_secret_value().secret_id("s").client_request_token(TOKEN_1).secret_string("one");
    put.version_stages("AWSPENDING").send().await.expect("put");
    assert_eq!(cloud.secret("s").expect("there").versions[0].stages, ["AWSCURRENT", "AWSPENDING"]);
}
