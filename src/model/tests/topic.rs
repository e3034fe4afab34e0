//! Topics, on the wire.

use aws_sdk_sns::types::{MessageAttributeValue, PublishBatchRequestEntry};

use super::*;

fn sns(cloud: &Cloud) -> aws_sdk_sns::Client {
    aws_sdk_sns::Client::new(&cloud.sdk_config(CENTRAL, "execution"))
}

fn entry(id: usize, message: &str) -> PublishBatchRequestEntry {
    let phase = MessageAttributeValue::builder().data_type("String").string_value("rotated").build().expect("a value");
    let entry = PublishBatchRequestEntry::builder().id(id.to_string()).message(message);
    entry.message_attributes("phase", phase).build().expect("an entry")
}

#[tokio::test(start_paused = true)]
async fn each_published_entry_is_kept_and_has_its_own_result() {
    let cloud = cloud();
    let topic = cloud.add_topic(CENTRAL, "notices");
    cloud.switch(|it| it.topic_refuses = Some("bad".to_owned()));
    let batch = |messages: &[&str]| {
        let entries = messages.iter().enumerate().map(|(id, message)| entry(id, message)).collect();
        sns(&cloud).publish_batch().topic_arn(&topic).set_publish_batch_request_entries(Some(entries)).send()
    };
    let twelve: Vec<String> = (0..10).map(|n| format!("{{\"n\": {n}}} & <more>")).collect();
    let answer = batch(&twelve.iter().map(String::as_str).collect::<Vec<_>>()).await.expect("taken");
    assert_eq!((answer.successful().len(), answer.failed().len()), (10, 0));
    let answer = batch(&["good", "bad", "good"]).await.expect("an answer");
    let [refused] = answer.failed() else { panic!("{answer:?}") };
    assert_eq!((refused.id(), refused.code(), refused.sender_fault()), ("1", "InternalError", false));
    let kept = cloud.topic_messages(&topic);
    assert_eq!(kept.len(), 12);
    assert_eq!((kept[9].body.as_str(), kept[9].attributes["phase"].as_str()), ("{\"n\": 9} & <more>", "rotated"));
    let call = cloud.calls().pop().expect("logged");
    assert_eq!((call.service.as_str(), call.resource), ("sns", topic.clone()));

    assert_eq!(code(batch(&[]).await), "EmptyBatchRequest");
    assert_eq!(code(batch(&["x"; 11]).await), "TooManyEntriesInBatchRequest");
    assert_eq!(code(batch(&["x".repeat(200_000).as_str(); 2]).await), "BatchRequestTooLong");
}

#[tokio::test(start_paused = true)]
async fn a_missing_or_foreign_topic_accepts_no_message() {
    let cloud = cloud();
    let to = |arn: &str| sns(&cloud).publish_batch().topic_arn(arn).publish_batch_request_entries(entry(0, "x")).send();
    assert_eq!(code(to("arn:aws:sns:us-east-1:111122223333:none").await), "NotFound");
    let of_another = cloud.add_topic(MEMBER, "notices");
    assert_eq!(code(to(&of_another).await), "AuthorizationError");
}
