//! What keywheel asks SNS.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use super::failure::{CallFailure, FailureKind};

pub(crate) const PUBLISH_BATCH: &str = "sns:PublishBatch";
/// The time of one call with its repetitions. What mail told is written down after it, and must not run out of time.
pub(crate) const PUBLISH_TIMEOUT: Duration = Duration::from_secs(10);

/// Messages of one call.
/// <https://docs.aws.amazon.com/sns/latest/api/API_PublishBatch.html>
pub const MAX_BATCH_MESSAGES: usize = 10;
/// Bytes of one message, and of all messages of one call together, attributes included.
/// <https://docs.aws.amazon.com/sns/latest/api/API_PublishBatch.html>
pub const MAX_BATCH_BYTES: usize = 262_144;

/// A message for all subscribers of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicMessage {
    /// What it says.
    pub body: String,
    /// Texts by name, by which subscriptions filter.
    pub attributes: Vec<(&'static str, String)>,
}

impl TopicMessage {
    /// What it counts for against [`MAX_BATCH_BYTES`]: names, types and values of attributes count, too.
    /// <https://docs.aws.amazon.com/sns/latest/dg/sns-message-attributes.html>
    pub fn size(&self) -> usize {
        let attributes = self.attributes.iter();
        self.body.len() + attributes.map(|(name, value)| name.len() + "String".len() + value.len()).sum::<usize>()
    }
}

/// Publishes to topics.
#[async_trait]
pub trait Topics: fmt::Debug + Send + Sync {
    /// Publishes up to [`MAX_BATCH_MESSAGES`] messages of up to [`MAX_BATCH_BYTES`] together, and says of each, in their
    /// order, whether SNS took it. Repeating it publishes again; SNS itself may deliver a message more than once.
    ///
    /// # Errors
    /// A failure of the whole call: no message was taken, or it is not known whether any was. A failure of one message
    /// stands in its place.
    async fn publish(
        &self,
        topic_arn: &str,
        messages: &[TopicMessage],
    ) -> Result<Vec<Result<(), CallFailure>>, CallFailure>;
}

/// What SNS says of a message of a batch that it did not take.
/// <https://docs.aws.amazon.com/sns/latest/api/API_BatchResultErrorEntry.html>
pub(crate) struct BatchEntryError {
    pub(crate) code: String,
    pub(crate) message: String,
    /// The message is at fault, and not the service.
    pub(crate) is_senders_fault: bool,
}

/// What became of one message of a batch. One that the answer says nothing of may have been taken.
pub(crate) fn publish_result(
    topic_arn: &str,
    was_taken: bool,
    error: Option<BatchEntryError>,
) -> Result<(), CallFailure> {
    match error {
        Some(BatchEntryError { code, message, is_senders_fault }) => {
            let kind = FailureKind::of_answer(if is_senders_fault { 400 } else { 500 }, &code);
            Err(CallFailure::new(PUBLISH_BATCH, topic_arn, kind, (code, message), None))
        }
        None if was_taken => Ok(()),
        None => Err(CallFailure::incomplete(PUBLISH_BATCH, topic_arn, "result for every message")),
    }
}
