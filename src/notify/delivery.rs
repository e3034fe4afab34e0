//! How a run delivers its notices, and the result. Pure.

use chrono::{DateTime, Utc};

use super::delivered::Delivered;
use super::mode::Mode;
use crate::keys::{AccountId, UserName};
use crate::settings::Settings;

/// The occasion on which notices are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// A run over accounts. The delivery first reads what SES allows.
    Run,
    /// One event about one secret. Its one or two messages are sent without reading what SES allows.
    Event,
}

/// The circumstances of a delivery.
#[derive(Debug, Clone, Copy)]
pub struct DeliveryOptions<'a> {
    /// Whether the run changes anything.
    pub mode: Mode,
    /// The occasion.
    pub scope: Scope,
    /// Whether audiences that need not learn of a notice at once get it in the digest of a later run.
    pub defers: bool,
    /// The time of the run.
    pub now: DateTime<Utc>,
    /// The time at which the function is stopped. Sent notices must be recorded before it.
    pub deadline: DateTime<Utc>,
    /// Recipients, sender, topic and repetition.
    pub settings: &'a Settings,
}

/// The result of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The audiences that got each notice, in the order in which the notices were passed.
    pub delivered: Vec<Delivered>,
    /// The number of messages that SES accepted.
    pub mails: usize,
    /// Failures of mail. They never stop key work, and the next run sends what was not sent.
    pub failures: Vec<MailFailure>,
    /// Failures of the topic, with the same consequences.
    pub unpublished: Vec<MailFailure>,
}

/// A failure to send or to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailFailure {
    /// The account concerned; absent if there are several.
    pub account: Option<AccountId>,
    /// The user concerned; absent if there are several.
    pub user: Option<UserName>,
    /// The failure and its remedy. Addresses are masked.
    pub error: String,
}
