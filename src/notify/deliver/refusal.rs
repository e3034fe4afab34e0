//! The meaning of a refused message, and the remedy. Pure.

use crate::aws::{CallFailure, FailureKind};
use crate::keys::EmailAddress;

/// The meaning of a failure to send one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MailRefusal {
    /// Whether every further message would fail in the same way.
    pub(super) concerns_every_message: bool,
    /// The meaning and the remedy.
    pub(super) remedy: &'static str,
}

impl MailRefusal {
    /// Returns the meaning of a failure.
    ///
    /// <https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html>
    /// <https://docs.aws.amazon.com/ses/latest/dg/troubleshoot-error-messages.html>
    /// <https://docs.aws.amazon.com/ses/latest/dg/manage-sending-quotas-errors.html>
    pub(super) fn of(failure: &CallFailure, sender: &EmailAddress) -> Self {
        let all = |remedy| Self { concerns_every_message: true, remedy };
        let one = |remedy| Self { concerns_every_message: false, remedy };
        let message = failure.message().to_ascii_lowercase();
        let is_unknown_set = message.contains("configuration set") && message.contains("does not exist");
        match (failure.kind(), failure.code()) {
            // In the sandbox, SES also requires a permission for the recipient's identity.
            (FailureKind::Denied, _) if names_another_identity(&message, sender) => one(IN_SANDBOX),
            (FailureKind::Denied, _) => all(
                "the sweeper's role lacks ses:SendEmail for the sender or for SES_CONFIGURATION_SET; deploy the template",
            ),
            (_, "SendingPausedException") => {
                all("sending is paused, for the account or the configuration set; see SES's account dashboard")
            }
            (_, "AccountSuspendedException") => {
                all("AWS has suspended sending for this account; reply to the case in AWS Support")
            }
            (_, "MailFromDomainNotVerifiedException") => {
                all("the sender's MAIL FROM domain is not verified; correct its MX record")
            }
            (FailureKind::NotFound, _) => all(UNKNOWN_SET),
            (FailureKind::Refused, _) if is_unknown_set => all(UNKNOWN_SET),
            (FailureKind::Throttled, _) if message.starts_with("daily message quota exceeded") => {
                all("SES's quota of 24 hours is used up; the next run sends them; ask AWS for a higher quota")
            }
            (FailureKind::Throttled, _) => one("SES throttles mail; the next run sends it"),
            (FailureKind::NoAnswer, _) => {
                one("SES may or may not have accepted it; the next run sends it again, so it may come twice")
            }
            (_, "MessageRejected") if message.contains("address is not verified") => {
                if addresses(&message).any(|address| address.eq_ignore_ascii_case(sender.as_str())) {
                    all(
                        "SENDER_EMAIL is not verified in SES; verify it, or its domain, in the Region that mail is sent from",
                    )
                } else {
                    one(IN_SANDBOX)
                }
            }
            (FailureKind::Conflict, _) => one("a limit of SES is reached; the next run sends it"),
            (FailureKind::Refused, _) => {
                one("SES refuses the message; correct the address of the account or in the owner tag")
            }
        }
    }
}

/// Returns the words of a message that may be addresses.
fn addresses(message: &str) -> impl Iterator<Item = &str> {
    message.split(|c: char| c.is_whitespace() || ",;<>".contains(c)).map(|word| word.trim_end_matches('.'))
}

/// Whether the missing permission is for an identity other than the sender's address and its domains.
fn names_another_identity(message: &str, sender: &EmailAddress) -> bool {
    let sender = sender.as_str().to_ascii_lowercase();
    let is_of_sender = |identity: &str| {
        let before = sender.strip_suffix(identity);
        before.is_some_and(|before| before.is_empty() || before.ends_with(['@', '.']))
    };
    let named = message.split("identity/").skip(1);
    let mut named =
        named.map(|rest| rest.split(|c: char| c.is_whitespace() || "'`\",".contains(c)).next().unwrap_or_default());
    named.next().is_some_and(|identity| !is_of_sender(identity))
}

const IN_SANDBOX: &str = "SES is in its sandbox, where only verified addresses get mail; request production access, or verify \
                          the recipient's address";
const UNKNOWN_SET: &str =
    "SES_CONFIGURATION_SET is not a configuration set of this account in the Region that mail is sent from; correct it";

/// Returns the text with the address replaced. SES repeats the address in some of its errors, and every
/// [`CallFailure`] of the mailer already contains it masked.
pub(super) fn without_address(text: &str, address: &EmailAddress, instead: &str) -> String {
    let (lower, needle) = (text.to_ascii_lowercase(), address.as_str().to_ascii_lowercase());
    let mut shown = String::new();
    let mut end = 0;
    for (start, found) in lower.match_indices(&needle) {
        shown.push_str(&text[end..start]);
        shown.push_str(instead);
        end = start + found.len();
    }
    shown + &text[end..]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::fixtures::email;

    fn refusal(status: u16, code: &str, message: &str) -> MailRefusal {
        let kind = FailureKind::of_answer(status, code);
        let failure = CallFailure::new("ses:SendEmail", "a message", kind, (code.to_owned(), message.to_owned()), None);
        MailRefusal::of(&failure, &email("keys@example.com"))
    }

    #[test]
    fn lasting_and_temporary_refusals_are_distinguished() {
        let of_recipient = "Email address is not verified. The following identities failed the check in region \
                            EU-WEST-1: jo@example.com";
        let of_sender = "Email address is not verified. The following identities failed the check in region \
                         EU-WEST-1: Keys@Example.com, jo@example.com";
        for (status, code, message, is_general, words) in [
            (400, "MessageRejected", of_recipient, false, "sandbox"),
            (400, "MessageRejected", of_sender, true, "verify it, or its domain"),
            (400, "MessageRejected", "Illegal content", false, "correct the address"),
            (400, "MessageRejected", "Email address is not verified. Failed: monkeys@example.com", false, "sandbox"),
            (
                403,
                "AccessDeniedException",
                "User `arn:aws:sts::1:x` is not authorized to perform `ses:SendEmail' on resource \
              `arn:aws:ses:eu-west-1:999988887777:identity/jo@corp.example'",
                false,
                "sandbox",
            ),
            (
                403,
                "AccessDeniedException",
                "not authorized on resource `arn:aws:ses:eu-west-1:999988887777:identity/example.com'",
                true,
                "role lacks ses:SendEmail",
            ),
            (
                403,
                "AccessDeniedException",
                "not authorized on resource `arn:aws:ses:eu-west-1:999988887777:identity/ample.com'",
                false,
                "sandbox",
            ),
            (400, "BadRequestException", "Local address contains control or whitespace", false, "correct the address"),
            (400, "BadRequestException", "Configuration set <x> does not exist.", true, "SES_CONFIGURATION_SET"),
            (404, "NotFoundException", "Configuration set <x> does not exist.", true, "SES_CONFIGURATION_SET"),
            (403, "AccessDeniedException", "not authorized", true, "role lacks ses:SendEmail"),
            (400, "SendingPausedException", "paused", true, "dashboard"),
            (400, "AccountSuspendedException", "suspended", true, "AWS Support"),
            (400, "MailFromDomainNotVerifiedException", "no MX", true, "MX record"),
            (400, "LimitExceededException", "limit", false, "next run"),
            (429, "TooManyRequestsException", "Maximum sending rate exceeded.", false, "next run"),
            (429, "TooManyRequestsException", "Daily message quota exceeded.", true, "next run"),
            (500, "InternalFailure", "", false, "may come twice"),
            (503, "ServiceUnavailable", "", false, "may come twice"),
        ] {
            let refusal = refusal(status, code, message);
            assert_eq!(refusal.concerns_every_message, is_general, "{code} {message}");
            assert!(refusal.remedy.contains(words), "{code} {message}: {}", refusal.remedy);
        }
    }

    #[test]
    fn an_address_is_removed_in_any_spelling() {
        let shown = without_address("To: Jo@Example.com, jo@example.com.", &email("jo@example.com"), "(it)");
        assert_eq!(shown, "To: (it), (it).");
    }
}
