//! The forms of values that no type of `keys` checks. Pure.

use crate::keys::{AccountId, EmailAddress, is_arn_word};

/// The longest text of `NOTICE_CONTACT`, in characters: it stands on one line of a mail.
const MAX_CONTACT_LENGTH: usize = 200;

pub(super) fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte)
}

pub(super) fn is_organization_id(text: &str) -> bool {
    text.strip_prefix("o-").is_some_and(|id| {
        (10..=32).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    })
}

pub(super) fn is_function_arn(text: &str) -> bool {
    let parts: Vec<&str> = text.splitn(7, ':').collect();
    matches!(parts[..], ["arn", partition, "lambda", region, account, "function", name]
        if is_arn_word(partition) && is_arn_word(region) && account.parse::<AccountId>().is_ok()
            && !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_:$".contains(&byte)))
}

pub(super) fn is_role_arn(text: &str) -> bool {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    matches!(parts[..], ["arn", partition, "iam", "", account, role]
        if is_arn_word(partition) && account.parse::<AccountId>().is_ok()
            && role.strip_prefix("role/").is_some_and(|name| !name.is_empty() && !name.ends_with('/'))
            && role.bytes().all(|byte| byte.is_ascii_graphic()))
}

pub(super) fn is_kms_key(text: &str) -> bool {
    let id = |id: &str| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/_-".contains(&byte));
    match text.strip_prefix("arn:") {
        Some(arn) => arn.split(':').nth(1) == Some("kms") && arn.rsplit(':').next().is_some_and(id),
        None => id(text),
    }
}

/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_tags.html>
pub(super) fn is_tag_key(text: &str) -> bool {
    let fits = |character: char| character.is_alphanumeric() || " _.:/=+-@".contains(character);
    (1..=128).contains(&text.chars().count()) && text.chars().all(fits)
}

pub(super) fn is_domain(text: &str) -> bool {
    format!("postmaster@{text}").parse::<EmailAddress>().is_ok()
}

pub(super) fn is_contact(text: &str) -> bool {
    text.chars().count() <= MAX_CONTACT_LENGTH && !text.chars().any(char::is_control)
}

/// Whether the text has the form of a Region's name: words and a number, such as `us-gov-west-1`. SES may not exist in
/// that Region, which the first call to it shows.
/// <https://docs.aws.amazon.com/ses/latest/dg/regions.html>
pub(super) fn is_region(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let is_word = |part: &&str| part.len() >= 2 && part.bytes().all(|byte| byte.is_ascii_lowercase());
    let [words @ .., number] = &parts[..] else { return false };
    let is_number = (1..=2).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit());
    words.len() >= 2 && words.iter().all(is_word) && is_number
}

/// <https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_CreateConfigurationSet.html>
pub(super) fn is_configuration_set(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

/// Whether the text is the ARN of a standard topic. A FIFO topic needs a message group and drops messages of equal
/// content.
/// <https://docs.aws.amazon.com/sns/latest/api/API_CreateTopic.html>
pub(super) fn is_topic_arn(text: &str) -> bool {
    let parts: Vec<&str> = text.split(':').collect();
    matches!(parts[..], ["arn", partition, "sns", region, account, name]
        if is_arn_word(partition) && is_arn_word(region) && account.parse::<AccountId>().is_ok()
            && (1..=256).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)))
}
