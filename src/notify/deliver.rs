//! Sends the messages of a run. It never fails as a whole: a message that cannot be sent is reported, and the next run
//! sends it.
//!
//! `readiness` reads from SES what it allows, `suppression` where it delivers nothing, `order` shares the quota among
//! accounts, `pace` keeps to the rate and to the function's time, and `refusal` finds the remedy for a refused message.

mod order;
mod pace;
mod readiness;
mod refusal;
mod suppression;

#[cfg(test)]
mod fake_ses;
#[cfg(test)]
mod tests;

use std::sync::OnceLock;
use std::time::Duration;

use futures_util::future::join;
use futures_util::stream::{self, StreamExt};

use super::addressed::Addressed;
use super::delivery::{Delivery, DeliveryOptions, MailFailure, Scope};
use super::dispatch::{Dispatch, Envelope};
use super::message::{MAX_ROWS, Message, compose};
use super::mode::Mode;
use super::phrases::counted;
use super::publish::{Publication, publish};
use super::suppressed::Suppressed;
use super::template::Templates;
use crate::aws::{Attachment, CallFailure, FailureKind, OutgoingMail, SweeperAws};
use crate::keys::EmailAddress;
use crate::settings::Settings;
use order::HeldBack;
use pace::Pace;
use readiness::{Readiness, RemainingQuota};
use refusal::{MailRefusal, without_address};

/// The most messages that are sent at the same time. Each takes about 0.1 s. [`Pace`] keeps to SES's rate.
const CONCURRENT_MESSAGES: usize = 8;

/// The waiting times before further attempts at a message that SES throttled. Another process may be sending, too.
const WAITS_WHEN_THROTTLED: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];

/// Sends the notices of a run: at most two messages per recipient, to accounts before owners. Recorded notices are left
/// out, so repeating is safe after [`super::Delivered::record`] for every notice of the result.
///
/// The number of messages keeps to SES's limits per second and per day. No message is started without time to record
/// it afterwards. Messages that are not sent are counted in a failure, and their notices stay due.
///
/// If an owner tag has several addresses, a notice counts as sent once one address has got it. Otherwise a single dead
/// address would cause mail to the others on every run. The failure of the dead address is reported.
pub async fn deliver(
    aws: &SweeperAws,
    options: &DeliveryOptions<'_>,
    templates: &Templates,
    addressed: &[Addressed<'_>],
) -> Delivery {
    let mut dispatch = Dispatch::of(options, addressed, &Suppressed::default());
    let readiness = ask(aws, options, &dispatch).await;
    if readiness.suppressed != Suppressed::default() {
        dispatch = Dispatch::of(options, addressed, &readiness.suppressed);
    }
    let held = order::sort(&mut dispatch.envelopes, readiness.quota.share_of_owners());
    // Mail and topic do not wait for each other, nor fail with each other.
    let (sent, published) = join(
        send_due(aws, options, templates, &dispatch, readiness, &held),
        publish_due(aws, options, templates, &dispatch),
    )
    .await;
    let mut failures = sent.failures;
    // Problems with addresses matter only if there is mail.
    if options.settings.sender.is_some() {
        failures.append(&mut dispatch.failures);
    }
    Delivery {
        mails: sent.was_sent.iter().filter(|was_sent| **was_sent).count(),
        delivered: dispatch.result(&sent.was_sent, &published.positions),
        failures,
        unpublished: published.failures,
    }
}

/// Reads what SES allows and where it delivers nothing, if there is mail to send.
async fn ask(aws: &SweeperAws, options: &DeliveryOptions<'_>, dispatch: &Dispatch<'_>) -> Readiness {
    let DeliveryOptions { scope, settings, .. } = options;
    let mailboxes = dispatch.mailboxes(settings.recipient.as_ref());
    match (scope, settings.sender.as_ref().filter(|_| !mailboxes.is_empty())) {
        (_, None) => Readiness::unasked(),
        (Scope::Run, Some(sender)) => {
            Readiness::ask(aws, sender, settings.mail_region().unwrap_or_default(), &mailboxes).await
        }
        (Scope::Event, Some(_)) => Readiness::for_event(aws, &mailboxes).await,
    }
}

/// The result for the topic.
#[derive(Default)]
struct PublishedNotices {
    /// The positions of the notices that the topic accepted.
    positions: Vec<usize>,
    failures: Vec<MailFailure>,
}

async fn publish_due(
    aws: &SweeperAws,
    options: &DeliveryOptions<'_>,
    templates: &Templates,
    dispatch: &Dispatch<'_>,
) -> PublishedNotices {
    let (positions, due): (Vec<usize>, Vec<&Addressed<'_>>) = dispatch.for_topic().into_iter().unzip();
    let Some(topic_arn) = options.settings.notices.topic_arn.as_ref().filter(|_| !due.is_empty()) else {
        return PublishedNotices::default();
    };
    let Publication { accepted, failures } = publish(aws, options, topic_arn, templates, &due).await;
    let accepted = positions.into_iter().zip(accepted).filter(|(_, is_accepted)| *is_accepted);
    PublishedNotices { positions: accepted.map(|(position, _)| position).collect(), failures }
}

/// The result for the mail.
#[derive(Default)]
struct SentMessages {
    /// Whether each message was sent, in the order of the envelopes. The last ones may be missing.
    was_sent: Vec<bool>,
    failures: Vec<MailFailure>,
}

async fn send_due(
    aws: &SweeperAws,
    options: &DeliveryOptions<'_>,
    templates: &Templates,
    dispatch: &Dispatch<'_>,
    readiness: Readiness,
    held: &HeldBack,
) -> SentMessages {
    let DeliveryOptions { mode, scope: _, deadline, settings, defers: _, now: _ } = *options;
    let Some(sender) = settings.sender.as_ref() else {
        let unset = |due| general(format!("{} not mailed: SENDER_EMAIL is not set", counted(due, "notice")));
        let failures = Some(dispatch.due_by_mail()).filter(|due| *due > 0).map(unset);
        return SentMessages { failures: failures.into_iter().collect(), ..SentMessages::default() };
    };
    let messages = dispatch.envelopes.len() - held.messages();
    let mut failures: Vec<MailFailure> = readiness.reports.iter().cloned().map(general).collect();
    let pace = Pace::new(aws, readiness.spacing, deadline, settings.max_concurrency);
    let halted = readiness.obstacle.map(OnceLock::from).unwrap_or_default();
    let mailing = Mailing { aws, settings, templates, mode, sender, pace, halted };
    let allowed = readiness.quota.allows(messages);
    // Collected, because a closure that lives across an `await` would make this function's future not `Send`.
    let sending: Vec<_> = dispatch.envelopes.iter().take(allowed).map(|envelope| mailing.send(envelope)).collect();
    // `buffered` keeps the order, so that results match their envelopes.
    let results: Vec<MessageResult> = stream::iter(sending).buffered(CONCURRENT_MESSAGES).collect().await;
    let was_sent = results.iter().map(|result| matches!(result, MessageResult::Sent)).collect();
    failures.extend(unsent(messages, results, mailing.halted.get(), &readiness.quota));
    failures.extend(held.failures());
    SentMessages { was_sent, failures }
}

/// Returns why messages were not sent: one failure for each reason that concerns many messages, and one for each other
/// unsent message.
fn unsent(
    messages: usize,
    results: Vec<MessageResult>,
    halted: Option<&String>,
    quota: &RemainingQuota,
) -> Vec<MailFailure> {
    let count = |is_so: fn(&MessageResult) -> bool| results.iter().filter(|result| is_so(result)).count();
    let late = "the function's time is nearly over; the next run sends them".to_owned();
    let together = [
        (count(|result| matches!(result, MessageResult::Halted)), halted.cloned().unwrap_or_default()),
        (count(|result| matches!(result, MessageResult::Late)), late),
        (messages - results.len(), quota.exceeded()),
    ];
    let together = together.into_iter().filter(|(count, _)| *count > 0);
    let together = together.map(|(count, why)| general(format!("{} not sent: {why}", counted(count, "message"))));
    let singly = results.into_iter().filter_map(|result| match result {
        MessageResult::Failed(failure) => Some(failure),
        MessageResult::Sent | MessageResult::Halted | MessageResult::Late => None,
    });
    together.chain(singly).collect()
}

fn general(error: String) -> MailFailure {
    MailFailure { account: None, user: None, error }
}

/// The result of one message. Its notices are recorded after `Sent` only, and stay due after every other result.
enum MessageResult {
    Sent,
    Failed(MailFailure),
    /// Not sent, because no message of this run can be sent.
    Halted,
    /// Not started, because the time is nearly over.
    Late,
}

/// Sends the messages of one run.
struct Mailing<'a> {
    aws: &'a SweeperAws,
    settings: &'a Settings,
    templates: &'a Templates,
    mode: Mode,
    sender: &'a EmailAddress,
    pace: Pace<'a>,
    /// Why no message can be sent, once that is known.
    halted: OnceLock<String>,
}

impl Mailing<'_> {
    async fn send(&self, envelope: &Envelope<'_>) -> MessageResult {
        if self.halted.get().is_some() {
            return MessageResult::Halted;
        }
        let items = envelope.items();
        let message = match compose(self.templates, self.mode, self.aws.now(), &envelope.to, &items) {
            Ok(message) => message,
            Err(error) => return MessageResult::Failed(envelope.failure(&error.to_string())),
        };
        let mail = self.mail(&envelope.to, message);
        let failure = match self.hand_over(&mail, items.len().min(MAX_ROWS)).await {
            Ok(()) => {
                #[cfg(feature = "rehearsal")]
                super::witness::note(&mail.to, &mail.subject, &items);
                return MessageResult::Sent;
            }
            Err(NotSent::Halted) => return MessageResult::Halted,
            Err(NotSent::Late) => return MessageResult::Late,
            Err(NotSent::Failed(failure)) => failure,
        };
        let MailRefusal { concerns_every_message, remedy } = MailRefusal::of(&failure, self.sender);
        let said = without_address(&failure.to_string(), &envelope.to, "(the recipient)");
        let reason = format!("{remedy}: {}", without_address(&said, self.sender, "(the sender)"));
        if concerns_every_message {
            self.halted.get_or_init(|| reason);
            return MessageResult::Halted;
        }
        MessageResult::Failed(envelope.failure(&reason))
    }

    fn mail(&self, to: &EmailAddress, message: Message) -> OutgoingMail {
        let Message { subject, html, text, attachment } = message;
        let attachments = attachment.into_iter().map(|file| Attachment {
            file_name: file.file_name,
            content_type: "text/csv",
            content: file.csv.into_bytes(),
        });
        OutgoingMail {
            from: self.sender.clone(),
            to: to.clone(),
            reply_to: self.settings.notices.reply_to.clone(),
            configuration_set: self.settings.notices.configuration_set.clone(),
            subject,
            html,
            text,
            attachments: attachments.collect(),
        }
    }

    /// Sends one mail. Repeats only a throttled attempt, which SES did not accept: after a timeout, a repetition could
    /// cause a second mail.
    async fn hand_over(&self, mail: &OutgoingMail, notices: usize) -> Result<(), NotSent> {
        if !self.pace.turn(notices).await {
            return Err(NotSent::Late);
        }
        // Another message may have found the obstacle meanwhile.
        if self.halted.get().is_some() {
            return Err(NotSent::Halted);
        }
        let mut result = self.aws.mailer().send(mail).await;
        for wait in WAITS_WHEN_THROTTLED {
            match result {
                Err(failure) if is_passing_throttle(&failure, self.sender) => {
                    self.aws.sleep(wait).await;
                    if !self.pace.turn(0).await {
                        return Err(NotSent::Failed(failure));
                    }
                    result = self.aws.mailer().send(mail).await;
                }
                result => return result.map_err(NotSent::Failed),
            }
        }
        result.map_err(NotSent::Failed)
    }
}

fn is_passing_throttle(failure: &CallFailure, sender: &EmailAddress) -> bool {
    failure.kind() == FailureKind::Throttled && !MailRefusal::of(failure, sender).concerns_every_message
}

/// Why a message was not sent.
enum NotSent {
    Halted,
    Late,
    Failed(CallFailure),
}
