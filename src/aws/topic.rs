//! The calls to Amazon SNS.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use super::failure::{CallFailure, FailureKind};

/// Name of the call in failures.
pub(crate) const PUBLISH_BATCH: &str = "sns:PublishBatch";
/// Time limit of one call including its retries. Notices that went out by mail are recorded only after this call, so it
/// must leave time for that.
pub(crate) const PUBLISH_TIMEOUT: Duration = Duration::from_secs(10);

/// Maximum number of messages in one call.
/// <https://docs.aws.amazon.com/sns/latest/api/API_PublishBatch.html>
pub const MAX_BATCH_MESSAGES: usize = 10;
/// Maximum size in bytes of one message, and of all messages of one call together; attributes count.
/// <https://docs.aws.amazon.com/sns/latest/api/API_PublishBatch.html>
pub const MAX_BATCH_BYTES: usize = 262_144;

/// A message to all subscribers of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicMessage {
    /// Text that subscribers get.
    pub body: String,
    /// String attributes as name and value; subscriptions filter by them.
    pub attributes: Vec<(&'static str, String)>,
}

impl TopicMessage {
    /// Returns the size in bytes that counts towards [`MAX_BATCH_BYTES`]: the body, and each attribute's name, type and
    /// value.
    /// <https://docs.aws.amazon.com/sns/latest/dg/sns-message-attributes.html>
    pub fn size(&self) -> usize {
        let attributes = self.attributes.iter();
        self.body.len() + attributes.map(|(name, value)| name.len() + "String".len() + value.len()).sum::<usize>()
    }
}

/// Amazon SNS.
#[async_trait]
pub trait Topics: fmt::Debug + Send + Sync {
    /// Publishes up to [`MAX_BATCH_MESSAGES`] messages with a total size up to [`MAX_BATCH_BYTES`]. Returns a result
    /// for each message, in the same order. Not safe to repeat: each success publishes again. SNS itself may deliver a
    /// message more than once.
    ///
    /// # Errors
    /// A failure of the whole call: SNS accepted no message, or after `NoAnswer` possibly some. The failure of a single
    /// message is in the returned list.
    async fn publish(
        &self,
        topic_arn: &str,
        messages: &[TopicMessage],
    ) -> Result<Vec<Result<(), CallFailure>>, CallFailure>;
}

/// The error of one message in a batch, as PublishBatch returns it.
/// <https://docs.aws.amazon.com/sns/latest/api/API_BatchResultErrorEntry.html>
pub(crate) struct BatchEntryError {
    pub(crate) code: String,
    pub(crate) message: String,
    /// Whether the message caused the error; otherwise the service failed.
    pub(crate) is_senders_fault: bool,
}

/// Returns the result of one message in a batch. A message that the response does not mention fails with `NoAnswer`,
/// because SNS may have accepted it.
pub(crate) fn publish_result(
    topic_arn: &str,
    was_accepted: bool,
    error: Option<BatchEntryError>,
) -> Result<(), CallFailure> {
    match error {
        Some(BatchEntryError { code, message, is_senders_fault }) => {
            let kind = FailureKind::of_answer(if is_senders_fault { 400 } else { 500 }, &code);
            Err(CallFailure::new(PUBLISH_BATCH, topic_arn, kind, (code, message), None))
        }
        None if was_accepted => Ok(()),
        None => Err(CallFailure::incomplete(PUBLISH_BATCH, topic_arn, "result for every message")),
    }
}
