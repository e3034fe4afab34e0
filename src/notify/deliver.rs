//! Sends the messages of a run. Never fails as a whole: a message that cannot be sent is reported and tried again on
//! the next run.

use std::sync::OnceLock;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};

use super::dispatch::{Dispatch, Envelope};
use super::message::{Message, compose};
use super::phrases::counted;
use super::{Addressed, Delivery, MailFailure, Mode, Templates};
use crate::aws::{Aws, Failure, FailureKind, OutgoingMail};
use crate::keys::EmailAddress;
use crate::settings::Settings;

/// Messages under way at the same time. A production account starts with 14 messages a second.
/// <https://docs.aws.amazon.com/ses/latest/dg/request-production-access.html>
const CONCURRENT_MESSAGES: usize = 8;

/// How long to wait before each further attempt at a message that SES throttled, after the SDK's own retries.
const WAITS_WHEN_THROTTLED: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];

/// Sends the notices of a run: one message per recipient. Those told before are left out, so it is safe to repeat once
/// [`super::remember`] has been called for what is returned.
///
/// An owner tag with several addresses counts as told once one of them took the message: otherwise a single dead
/// address would have the others mailed on every run. The failure of the other one is reported.
pub async fn deliver(
    aws: &Aws,
    settings: &Settings,
    templates: &Templates,
    mode: Mode,
    addressed: &[Addressed<'_>],
) -> Delivery {
    let dispatch = Dispatch::of(mode, addressed, settings.recipient.as_ref());
    let Some(sender) = settings.sender.as_ref() else {
        let failures = if dispatch.is_empty() { Vec::new() } else { vec![no_sender(addressed.len())] };
        return Delivery { told: dispatch.settle(&[]), mails: 0, failures };
    };
    let post = Post { aws, templates, mode, sender, halted: OnceLock::new() };
    let sending = dispatch.envelopes.iter().map(|envelope| post.send(envelope));
    // `buffered` keeps the order, by which outcomes are matched to envelopes.
    let outcomes: Vec<Outcome> = stream::iter(sending).buffered(CONCURRENT_MESSAGES).collect().await;
    conclude(dispatch, outcomes, post.halted.into_inner())
}

fn conclude(mut dispatch: Dispatch<'_>, outcomes: Vec<Outcome>, halted: Option<String>) -> Delivery {
    let was_sent: Vec<bool> = outcomes.iter().map(|outcome| matches!(outcome, Outcome::Sent)).collect();
    let mut failures = std::mem::take(&mut dispatch.failures);
    if let Some(reason) = halted {
        let unsent = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Halted)).count();
        failures.push(general(format!("{} not sent: {reason}", counted(unsent, "message"))));
    }
    failures.extend(outcomes.into_iter().filter_map(|outcome| match outcome {
        Outcome::Failed(failure) => Some(failure),
        Outcome::Sent | Outcome::Halted => None,
    }));
    let mails = was_sent.iter().filter(|was_sent| **was_sent).count();
    Delivery { told: dispatch.settle(&was_sent), mails, failures }
}

fn no_sender(notices: usize) -> MailFailure {
    general(format!("{} not mailed: SENDER_EMAIL is not set", counted(notices, "notice")))
}

fn general(error: String) -> MailFailure {
    MailFailure { account: None, user: None, error }
}

/// What became of one message.
enum Outcome {
    Sent,
    Failed(MailFailure),
    /// Not sent, for the reason that no message of this run can be.
    Halted,
}

struct Post<'a> {
    aws: &'a Aws,
    templates: &'a Templates,
    mode: Mode,
    sender: &'a EmailAddress,
    /// Why no message can be sent any more.
    halted: OnceLock<String>,
}

impl Post<'_> {
    async fn send(&self, envelope: &Envelope<'_>) -> Outcome {
        if self.halted.get().is_some() {
            return Outcome::Halted;
        }
        let items = envelope.items();
        let message = match compose(self.templates, self.mode, self.aws.now(), &envelope.to, &items) {
            Ok(message) => message,
            Err(error) => return Outcome::Failed(envelope.failure(&error.to_string())),
        };
        let Err(failure) = self.hand_over(&self.mail(&envelope.to, message)).await else { return Outcome::Sent };
        let reason = without_address(&failure.to_string(), &envelope.to);
        if concerns_every_message(&failure) {
            self.halted.get_or_init(|| reason);
            return Outcome::Halted;
        }
        Outcome::Failed(envelope.failure(&reason))
    }

    fn mail(&self, to: &EmailAddress, message: Message) -> OutgoingMail {
        let Message { subject, html, text } = message;
        OutgoingMail { from: self.sender.clone(), to: to.clone(), subject, html, text }
    }

    /// Repeats only what SES throttled, and so did not accept: after a timeout, a repetition might be a second mail.
    async fn hand_over(&self, mail: &OutgoingMail) -> Result<(), Failure> {
        for wait in WAITS_WHEN_THROTTLED {
            match self.aws.mailer().send(mail).await {
                Err(failure) if failure.kind() == FailureKind::Throttled && !concerns_every_message(&failure) => {
                    self.aws.sleep(wait).await;
                }
                result => return result,
            }
        }
        self.aws.mailer().send(mail).await
    }
}

/// Whether every further message would fail in the same way: sending is switched off or not permitted, the sender is
/// not verified, or the day's quota is used up.
/// <https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html>
/// <https://docs.aws.amazon.com/ses/latest/dg/manage-sending-quotas-errors.html>
fn concerns_every_message(failure: &Failure) -> bool {
    let code = failure.code();
    failure.kind() == FailureKind::Denied
        || ["SendingPausedException", "AccountSuspendedException", "MailFromDomainNotVerifiedException"].contains(&code)
        || failure.message().starts_with("Daily message quota exceeded")
}

/// The text without the recipient's address, which SES repeats in some of its answers. Who it was stands masked in
/// every [`Failure`] of the mailer.
fn without_address(text: &str, address: &EmailAddress) -> String {
    let (lower, needle) = (text.to_ascii_lowercase(), address.as_str().to_ascii_lowercase());
    let mut shown = String::new();
    let mut end = 0;
    for (start, found) in lower.match_indices(&needle) {
        shown.push_str(&text[end..start]);
        shown.push_str("(the recipient)");
        end = start + found.len();
    }
    shown + &text[end..]
}
