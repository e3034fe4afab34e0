//! A topic, and the messages that were published to it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::Value;

/// A message that SNS accepted in a PublishBatch. Refused messages are not kept.
#[derive(Clone, Debug, PartialEq)]
pub struct PublishedMessage {
    /// When SNS accepted it.
    pub at: DateTime<Utc>,
    /// The body, as it was sent.
    pub body: String,
    /// Its attributes of type `String`.
    pub attributes: BTreeMap<String, String>,
}

impl PublishedMessage {
    /// The body as JSON; null if it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Topic {
    pub(crate) messages: Vec<PublishedMessage>,
}
