//! The calls to Amazon SES.

use std::fmt;

use async_trait::async_trait;

use super::failure::CallFailure;
use crate::keys::EmailAddress;

/// A message to one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutgoingMail {
    /// Sender; SES must have verified the address or its domain.
    pub from: EmailAddress,
    /// The only recipient.
    pub to: EmailAddress,
    /// Address for replies; `None` for the sender's address.
    pub reply_to: Option<EmailAddress>,
    /// SES configuration set to send with; `None` for the identity's default.
    pub configuration_set: Option<String>,
    /// Subject, without line breaks.
    pub subject: String,
    /// Body as HTML.
    pub html: String,
    /// The same body as plain text.
    pub text: String,
    /// Attached files; may be empty.
    pub attachments: Vec<Attachment>,
}

/// A file attached to a message. SES rejects executable file types, file names over 255 characters, and messages over
/// 40 MB after encoding.
/// <https://docs.aws.amazon.com/ses/latest/dg/attachments.html>
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// File name with its extension, as the recipient sees it.
    pub file_name: String,
    /// Media type without parameters, such as `text/csv`: SES documents no others.
    /// <https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_Attachment.html>
    pub content_type: &'static str,
    /// Bytes of the file, not yet encoded.
    pub content: Vec<u8>,
}

/// The state of the sending account in its Region, as GetAccount returns it.
/// <https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_GetAccount.html>
#[derive(Debug, Clone, PartialEq)]
pub struct SendingAccount {
    /// Whether the account is out of the sandbox. In the sandbox only verified recipients get mail.
    pub has_production_access: bool,
    /// Whether sending is enabled.
    pub is_sending_enabled: bool,
    /// `HEALTHY`, `PROBATION` or `SHUTDOWN`; `None` if SES returned none.
    pub enforcement: Option<String>,
    /// Sending quota and its use.
    pub quota: SendQuota,
    /// The reasons, such as `BOUNCE`, for which SES drops mail to addresses on its suppression list. Empty if the list
    /// is switched off; `None` if SES returned none.
    pub suppressed_reasons: Option<Vec<String>>,
}

/// An address or a domain that SES knows as an identity of the account.
/// <https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_GetEmailIdentity.html>
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MailIdentity {
    /// Whether it is verified and may send.
    pub is_verified: bool,
    /// Whether its mail passes DMARC: SES signs it by DKIM for that domain, or its MAIL FROM domain is below that
    /// domain. `None` if SES does not know or does not say.
    pub is_aligned: Option<bool>,
}

impl MailIdentity {
    /// Returns an identity with the status of its DKIM, whether DKIM signs, and the status of its MAIL FROM domain; an
    /// absent status has no domain.
    pub(crate) fn of(is_verified: bool, dkim: Option<(&str, bool)>, mail_from: Option<&str>) -> Self {
        const CERTAIN: [&str; 4] = ["SUCCESS", "FAILED", "PENDING", "NOT_STARTED"];
        let is_certain = |status: &str| CERTAIN.contains(&status);
        let is_aligned = match (dkim, mail_from) {
            (Some(("SUCCESS", true)), _) | (_, Some("SUCCESS")) => Some(true),
            (Some((status, signs)), from) if (is_certain(status) || !signs) && from.is_none_or(is_certain) => {
                Some(false)
            }
            _ => None,
        };
        Self { is_verified, is_aligned }
    }
}

/// An address on the suppression list of the account and Region. SES accepts mail to it and delivers none.
/// <https://docs.aws.amazon.com/ses/latest/dg/sending-email-suppression-list.html>
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuppressedAddress {
    /// The address in the spelling of the list.
    pub address: String,
    /// `BOUNCE` or `COMPLAINT`.
    pub reason: String,
}

/// One page of the suppression list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SuppressedPage {
    /// Its addresses; may be empty although the list goes on.
    pub addresses: Vec<SuppressedAddress>,
    /// Where the next page starts; `None` at the end of the list.
    pub next: Option<String>,
}

/// An account's sending quota. A message counts once for each recipient.
/// <https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendQuota.html>
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SendQuota {
    /// Messages in 24 hours; any negative number means no limit.
    pub per_24_hours: f64,
    /// Messages per second.
    pub per_second: f64,
    /// Messages sent in the last 24 hours.
    pub sent_in_24_hours: f64,
}

/// Amazon SES in one Region.
#[async_trait]
pub trait Mailer: fmt::Debug + Send + Sync {
    /// Sends one message. Not safe to repeat: each success sends a mail. The SDK does not retry it, because SES may
    /// have accepted a message although its response was lost.
    ///
    /// # Errors
    /// Any failure. After `NoAnswer` SES may have accepted the message; after any other kind it has not.
    async fn send(&self, mail: &OutgoingMail) -> Result<(), CallFailure>;

    /// Returns the state of the sending account. Safe to repeat.
    ///
    /// # Errors
    /// Any failure; the state is unknown then.
    async fn account(&self) -> Result<SendingAccount, CallFailure>;

    /// Returns the identity of an address or a domain; `None` if it is none. An address that is no identity may still
    /// send if its domain or a parent domain is one. Safe to repeat.
    /// <https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_GetEmailIdentity.html>
    ///
    /// # Errors
    /// Any failure except "no such identity".
    async fn identity(&self, identity: &str) -> Result<Option<MailIdentity>, CallFailure>;

    /// Returns one page of the suppression list, from its start or from where the page before ended. Safe to repeat.
    /// <https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_ListSuppressedDestinations.html>
    ///
    /// # Errors
    /// Any failure; the list is unknown then.
    async fn suppressed(&self, from: Option<String>) -> Result<SuppressedPage, CallFailure>;
}

/// Most addresses on one page of the suppression list.
pub(crate) const SUPPRESSED_PAGE_SIZE: i32 = 1000;

/// Returns an address for a log: its first character and its domain.
pub(crate) fn masked(address: &EmailAddress) -> String {
    let (local, domain) = address.as_str().rsplit_once('@').unwrap_or_default();
    format!("{}…@{domain}", local.chars().next().unwrap_or_default())
}

/// Returns an identity for a log: the domain, and whether the identity is an address in that domain.
pub(crate) fn masked_identity(identity: &str) -> String {
    match identity.rsplit_once('@') {
        Some((_, domain)) => format!("the sender's address at {domain}"),
        None => format!("the domain {identity}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// <https://docs.aws.amazon.com/ses/latest/dg/send-email-authentication-dmarc.html>
    #[test]
    fn nobody_gains_14_dkim_or_mail_from_aligns() {
        for (dkim, mail_from, is_aligned) in [
            (Some(("SUCCESS", true)), None, Some(true)),
            (Some(("SUCCESS", true)), Some("FAILED"), Some(true)),
            (Some(("SUCCESS", false)), None, Some(false)),
            (Some(("NOT_STARTED", false)), Some("SUCCESS"), Some(true)),
            (Some(("PENDING", true)), Some("PENDING"), Some(false)),
            (Some(("FAILED", true)), None, Some(false)),
            (Some(("TEMPORARY_FAILURE", true)), None, None),
            (Some(("NOT_STARTED", false)), Some("TEMPORARY_FAILURE"), None),
            (None, None, None),
            (None, Some("FAILED"), None),
            (None, Some("SUCCESS"), Some(true)),
            (Some(("SOMETHING_NEW", true)), None, None),
        ] {
            assert_eq!(MailIdentity::of(true, dkim, mail_from).is_aligned, is_aligned, "{dkim:?} {mail_from:?}");
        }
    }
}
