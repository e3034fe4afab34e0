//! The settings of mail and of the topic: further recipients, the sender's details, and how often notices are sent.

use super::format::{is_configuration_set, is_contact, is_region, is_topic_arn};
use super::reader::SettingsReader;
use crate::keys::EmailAddress;

/// Limits `AUDIT_NOTICE_PERIOD` to a year.
const AUDIT_DAYS: std::ops::RangeInclusive<i64> = 1..=365;

/// How notices are sent. Every setting is optional.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoticeSettings {
    /// `REPLY_TO_EMAIL`: the address that replies to notices go to. Without it they go to the sender.
    pub reply_to: Option<EmailAddress>,
    /// `NOTICE_CONTACT`: the person, channel or page that every notice names for questions. Without it, the address
    /// that replies go to, or `RECIPIENT_EMAIL`.
    pub contact: Option<String>,
    /// `RECIPIENT_EMAIL_IN_COPY`: `RECIPIENT_EMAIL` gets the notices of every account, besides the usual recipients.
    pub recipient_in_copy: bool,
    /// `SES_CONFIGURATION_SET`: the SES configuration set that mail is sent with.
    pub configuration_set: Option<String>,
    /// `SES_REGION`: the Region of SES that mail is sent from. Without it, the functions' own.
    pub ses_region: Option<String>,
    /// `NOTICE_TOPIC_ARN`: the SNS topic that gets every notice as JSON.
    pub topic_arn: Option<String>,
    /// `AUDIT_NOTICE_PERIOD`: the interval of mails from dry runs, in days of the UTC calendar.
    pub audit_every_days: i64,
}

impl NoticeSettings {
    pub(super) fn read(read: &mut SettingsReader<'_>, recipient: Option<&EmailAddress>) -> Self {
        let reply_to: Option<EmailAddress> = read.optional("REPLY_TO_EMAIL", "an address, local@domain.tld");
        let recipient_in_copy = read.flag("RECIPIENT_EMAIL_IN_COPY", false);
        if recipient_in_copy && read.is_unset("RECIPIENT_EMAIL") {
            read.mistake("RECIPIENT_EMAIL_IN_COPY", "true", "false while RECIPIENT_EMAIL is not set");
        }
        let contact = read.text("NOTICE_CONTACT", is_contact, "one line of at most 200 characters");
        Self {
            contact: contact.or_else(|| reply_to.as_ref().or(recipient).map(ToString::to_string)),
            reply_to,
            recipient_in_copy,
            configuration_set: read.text(
                "SES_CONFIGURATION_SET",
                is_configuration_set,
                "1 to 64 letters, digits, _ and -",
            ),
            ses_region: read.text("SES_REGION", is_region, "the name of a Region, such as eu-west-1"),
            topic_arn: read.text(
                "NOTICE_TOPIC_ARN",
                is_topic_arn,
                "arn:<partition>:sns:<region>:<account>:<name>, not FIFO",
            ),
            audit_every_days: read.number("AUDIT_NOTICE_PERIOD", 1, AUDIT_DAYS),
        }
    }
}
