//! What keywheel asks SES.

use std::fmt;

use async_trait::async_trait;

use super::failure::Failure;
use crate::keys::EmailAddress;

/// A message to one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutgoingMail {
    /// Who sends it.
    pub from: EmailAddress,
    /// Who gets it.
    pub to: EmailAddress,
    /// One line.
    pub subject: String,
    /// The message as HTML.
    pub html: String,
    /// The same as plain text.
    pub text: String,
}

/// Sends mail.
#[async_trait]
pub trait Mailer: fmt::Debug + Send + Sync {
    /// Sends one message. Not safe to repeat: each success is a mail. Never retried below this: SES
    /// may have taken what its answer did not come for.
    ///
    /// # Errors
    /// Any failure; the message was not accepted, or it is not known whether it was.
    async fn send(&self, mail: &OutgoingMail) -> Result<(), Failure>;
}

/// An address as it may stand in a log: the first character and the domain.
pub(crate) fn masked(address: &EmailAddress) -> String {
    let (local, domain) = address.as_str().rsplit_once('@').unwrap_or_default();
    format!("{}…@{domain}", local.chars().next().unwrap_or_default())
}
