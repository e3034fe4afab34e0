//! What keywheel asks SES.

use std::fmt;

use async_trait::async_trait;

use super::failure::CallFailure;
use crate::keys::EmailAddress;

/// A message to one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutgoingMail {
    /// Who sends it.
    pub from: EmailAddress,
    /// Who gets it.
    pub to: EmailAddress,
    /// Where answers go; to the sender without it.
    pub reply_to: Option<EmailAddress>,
    /// The configuration set that it is sent with.
    pub configuration_set: Option<String>,
    /// One line.
    pub subject: String,
    /// The message as HTML.
    pub html: String,
    /// The same as plain text.
    pub text: String,
    /// Files that go with it.
    pub attachments: Vec<Attachment>,
}

/// A file that goes with a message. SES refuses the extensions of programs, names beyond 255 characters, and messages
/// that are encoded larger than 40 MB in all.
/// <https://docs.aws.amazon.com/ses/latest/dg/attachments.html>
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// Its name with the extension, as the recipient sees it.
    pub file_name: String,
    /// Its media type, such as `text/csv; charset=utf-8`.
    pub content_type: &'static str,
    /// What is in it.
    pub content: Vec<u8>,
}

/// What SES says of the account that sends, in the Region that it sends from.
#[derive(Debug, Clone, PartialEq)]
pub struct SendingAccount {
    /// Outside the sandbox, in which only verified addresses get mail.
    pub has_production_access: bool,
    /// Sending is switched on.
    pub is_sending_enabled: bool,
    /// `HEALTHY`, `PROBATION` or `SHUTDOWN`; `None` where SES does not say.
    pub enforcement: Option<String>,
    /// How much it may send.
    pub quota: SendQuota,
}

/// How much an account may send; a message counts once for each recipient.
/// <https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendQuota.html>
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SendQuota {
    /// Messages in 24 hours; any negative number stands for no limit.
    pub per_24_hours: f64,
    /// Messages in a second.
    pub per_second: f64,
    /// Messages sent in the last 24 hours.
    pub sent_in_24_hours: f64,
}

/// Sends mail.
#[async_trait]
pub trait Mailer: fmt::Debug + Send + Sync {
    /// Sends one message. Not safe to repeat: each success is a mail. Never retried below this: SES
    /// may have taken what its answer did not come for.
    ///
    /// # Errors
    /// Any failure; the message was not accepted, or it is not known whether it was.
    async fn send(&self, mail: &OutgoingMail) -> Result<(), CallFailure>;

    /// What SES says of the account that sends.
    ///
    /// # Errors
    /// Any failure; nothing is known then.
    async fn account(&self) -> Result<SendingAccount, CallFailure>;

    /// Whether an address or a domain is an identity that SES knows and lets send. An address may send without being one
    /// if its domain, or the domain above that, is.
    ///
    /// # Errors
    /// Any failure but "no such identity"; nothing is known then.
    async fn is_verified(&self, identity: &str) -> Result<bool, CallFailure>;
}

/// An address as it may stand in a log: the first character and the domain.
pub(crate) fn masked(address: &EmailAddress) -> String {
    let (local, domain) = address.as_str().rsplit_once('@').unwrap_or_default();
    format!("{}…@{domain}", local.chars().next().unwrap_or_default())
}

/// The domain of an identity, and whether it is that of an address: what a log may name.
pub(crate) fn masked_identity(identity: &str) -> String {
    match identity.rsplit_once('@') {
        Some((_, domain)) => format!("the sender's address at {domain}"),
        None => format!("the domain {identity}"),
    }
}
