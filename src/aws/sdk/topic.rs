//! The calls to Amazon SNS, through the SDK.

use std::collections::HashMap;

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_sns::config::Config;
use aws_sdk_sns::types::{BatchResultErrorEntry, MessageAttributeValue, PublishBatchRequestEntry};
use aws_smithy_types::error::operation::BuildError;

use super::failure::OrFailure;
use super::whole::WholeAnswer;
use crate::aws::failure::CallFailure;
use crate::aws::topic::{BatchEntryError, PUBLISH_BATCH, PUBLISH_TIMEOUT, TopicMessage, Topics, publish_result};

#[derive(Debug, Clone)]
pub(super) struct SdkTopics {
    client: aws_sdk_sns::Client,
}

impl SdkTopics {
    pub(super) fn new(config: &SdkConfig) -> Self {
        let config = aws_sdk_sns::config::Builder::from(config).interceptor(WholeAnswer::Xml);
        Self { client: aws_sdk_sns::Client::from_conf(config.build()) }
    }
}

#[async_trait]
impl Topics for SdkTopics {
    async fn publish(
        &self,
        topic_arn: &str,
        messages: &[TopicMessage],
    ) -> Result<Vec<Result<(), CallFailure>>, CallFailure> {
        let entries = messages.iter().enumerate().map(entry).collect::<Result<Vec<_>, _>>();
        let entries = entries.map_err(|_| CallFailure::incomplete(PUBLISH_BATCH, topic_arn, "entry"))?;
        let limits = TimeoutConfig::builder().operation_timeout(PUBLISH_TIMEOUT).build();
        let request = self.client.publish_batch().topic_arn(topic_arn).set_publish_batch_request_entries(Some(entries));
        let request = request.customize().config_override(Config::builder().timeout_config(limits));
        let answer = request.send().await.or_failure(PUBLISH_BATCH, topic_arn)?;
        let accepted: Vec<String> =
            answer.successful.unwrap_or_default().into_iter().filter_map(|entry| entry.id).collect();
        let rejected = answer.failed.unwrap_or_default();
        let result = |position: usize| {
            let id = position.to_string();
            let error = rejected.iter().find(|entry| entry.id == id).map(entry_error);
            publish_result(topic_arn, accepted.contains(&id), error)
        };
        Ok((0..messages.len()).map(result).collect())
    }
}

fn entry_error(entry: &BatchResultErrorEntry) -> BatchEntryError {
    let BatchResultErrorEntry { code, message, sender_fault, .. } = entry.clone();
    BatchEntryError { code, message: message.unwrap_or_default(), is_senders_fault: sender_fault }
}

/// Each entry's id is its position in the call; SNS returns it with the result.
fn entry((position, message): (usize, &TopicMessage)) -> Result<PublishBatchRequestEntry, BuildError> {
    let attributes = message.attributes.iter().map(|(name, value)| {
        let value = MessageAttributeValue::builder().data_type("String").string_value(value).build()?;
        Ok((String::from(*name), value))
    });
    PublishBatchRequestEntry::builder()
        .id(position.to_string())
        .message(&message.body)
        .set_message_attributes(Some(attributes.collect::<Result<HashMap<_, _>, BuildError>>()?))
        .build()
}
