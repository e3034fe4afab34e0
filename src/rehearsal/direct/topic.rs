//! Calls to the model's SNS.

use async_trait::async_trait;
use serde_json::{Value, json};

use super::Actor;
use crate::aws::{BatchEntryError, CallFailure, PUBLISH_BATCH, PUBLISH_TIMEOUT, TopicMessage, Topics, publish_result};
use crate::model::Xml;

#[derive(Debug)]
pub(super) struct DirectTopics(Actor);

impl DirectTopics {
    pub(super) fn new(actor: &Actor) -> Self {
        Self(actor.clone())
    }
}

#[async_trait]
impl Topics for DirectTopics {
    async fn publish(
        &self,
        topic_arn: &str,
        messages: &[TopicMessage],
    ) -> Result<Vec<Result<(), CallFailure>>, CallFailure> {
        let entries: Vec<Value> = messages.iter().enumerate().map(entry).collect();
        let input = json!({ "TopicArn": topic_arn, "PublishBatchRequestEntries": entries });
        let answer = self.0.ask_within(PUBLISH_TIMEOUT, PUBLISH_BATCH, topic_arn, input).await?.xml()?;
        let result = |position: usize| {
            let id = position.to_string();
            let is_this = |entry: &&Xml| entry.text_of("Id") == Some(&id);
            let was_taken = answer.items("Successful").iter().any(|entry| is_this(&entry));
            publish_result(topic_arn, was_taken, answer.items("Failed").iter().find(is_this).map(said))
        };
        Ok((0..messages.len()).map(result).collect())
    }
}

fn said(entry: &Xml) -> BatchEntryError {
    let text = |name: &str| entry.text_of(name).unwrap_or_default().to_owned();
    BatchEntryError { code: text("Code"), message: text("Message"), is_senders_fault: text("SenderFault") == "true" }
}

fn entry((position, message): (usize, &TopicMessage)) -> Value {
    let attributes = message.attributes.iter();
    let attributes =
        attributes.map(|(name, value)| json!({"Name": name, "Value": {"DataType": "String", "StringValue": value}}));
    json!({
        "Id": position.to_string(),
        "Message": message.body,
        "MessageAttributes": attributes.collect::<Vec<_>>(),
    })
}
