//! The settings of mail and of the topic: who else is told, in whose name, and how often.

use super::{Reader, is_arn_word};
use crate::keys::{AccountId, EmailAddress};

const AUDIT_DAYS: std::ops::RangeInclusive<i64> = 1..=365;
/// Longest text of `NOTICE_CONTACT`, in characters.
const MAX_CONTACT_LENGTH: usize = 200;

/// How notices are told. All of it is optional.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoticeSettings {
    /// `REPLY_TO_EMAIL`: where answers to notices go; to the sender without it.
    pub reply_to: Option<EmailAddress>,
    /// `NOTICE_CONTACT`: whom to ask, as every notice says it: a person, a channel, a page. The address that answers go
    /// to, or `RECIPIENT_EMAIL`, where it is not set.
    pub contact: Option<String>,
    /// `RECIPIENT_EMAIL_IN_COPY`: `RECIPIENT_EMAIL` gets the notices of every account, beside those that are told anyway.
    pub recipient_in_copy: bool,
    /// `SES_CONFIGURATION_SET`: the configuration set that mail is sent with.
    pub configuration_set: Option<String>,
    /// `NOTICE_TOPIC_ARN`: SNS topic that gets every notice as JSON.
    pub topic_arn: Option<String>,
    /// `AUDIT_NOTICE_PERIOD`: dry runs mail on every so many days of the calendar, in UTC.
    pub audit_every_days: i64,
}

impl NoticeSettings {
    pub(super) fn read(read: &mut Reader<'_>, recipient: Option<&EmailAddress>) -> Self {
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
            topic_arn: read.text(
                "NOTICE_TOPIC_ARN",
                is_topic_arn,
                "arn:<partition>:sns:<region>:<account>:<name>, not FIFO",
            ),
            audit_every_days: read.number("AUDIT_NOTICE_PERIOD", 1, AUDIT_DAYS),
        }
    }
}

fn is_contact(text: &str) -> bool {
    text.chars().count() <= MAX_CONTACT_LENGTH && !text.chars().any(char::is_control)
}

/// <https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_CreateConfigurationSet.html>
fn is_configuration_set(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

/// A standard topic: messages to a FIFO topic would need a group, and be told apart by their content.
/// <https://docs.aws.amazon.com/sns/latest/api/API_CreateTopic.html>
fn is_topic_arn(text: &str) -> bool {
    let parts: Vec<&str> = text.split(':').collect();
    matches!(parts[..], ["arn", partition, "sns", region, account, name]
        if is_arn_word(partition) && is_arn_word(region) && account.parse::<AccountId>().is_ok()
            && (1..=256).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)))
}
