//! Sends the messages of a run. Never fails as a whole: a message that cannot be sent is reported and tried again on
//! the next run.
//!
//! `readiness` asks SES what it allows, `pace` keeps to that and to the function's time, `refusal` says what a refused
//! message means.

mod pace;
mod readiness;
mod refusal;

#[cfg(test)]
mod tests;

use std::sync::OnceLock;
use std::time::Duration;

use futures_util::future::join;
use futures_util::stream::{self, StreamExt};

use super::dispatch::{Dispatch, Envelope};
use super::message::{MAX_ROWS, Message, compose};
use super::phrases::counted;
use super::topic::{Publication, publish};
use super::{Addressed, Delivery, MailFailure, Mode, Scope, Telling, Templates};
use crate::aws::{Attachment, CallFailure, FailureKind, OutgoingMail, SweeperAws};
use crate::keys::EmailAddress;
use crate::settings::Settings;
use pace::Pace;
pub(super) use pace::last_start;
use readiness::{Readiness, Room};
use refusal::{Refusal, without_address};

/// Messages under way at the same time. Each takes a tenth of a second or so: what SES takes in a second is kept by
/// their pace.
const CONCURRENT_MESSAGES: usize = 8;

/// How long to wait before each further attempt at a message that SES throttled: another process sends, too.
const WAITS_WHEN_THROTTLED: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];

/// Sends the notices of a run: at most two messages per recipient, the most urgent first. Those told before are left out, so it is
/// safe to repeat once [`super::remember`] has been called for what is returned.
///
/// No more messages are sent than SES takes in a second and in a day, and none is begun when there would be no time left
/// to write down that it was sent: the others are reported by their number, and due again.
///
/// An owner tag with several addresses counts as told once one of them took the message: otherwise a single dead
/// address would have the others mailed on every run. The failure of the other one is reported.
pub async fn deliver(
    aws: &SweeperAws,
    telling: &Telling<'_>,
    templates: &Templates,
    addressed: &[Addressed<'_>],
) -> Delivery {
    let mut dispatch = Dispatch::of(telling, addressed);
    dispatch.envelopes.sort_by_key(Envelope::urgency);
    // Neither waits for the other, nor fails with it.
    let (posted, published) =
        join(post(aws, telling, templates, &dispatch), publish_due(aws, telling, templates, &dispatch)).await;
    let mut failures = posted.failures;
    // What is wrong with addresses matters once there is mail.
    if telling.settings.sender.is_some() {
        failures.append(&mut dispatch.failures);
    }
    Delivery {
        mails: posted.was_sent.iter().filter(|was_sent| **was_sent).count(),
        told: dispatch.settle(&posted.was_sent, &published.positions),
        failures,
        unpublished: published.failures,
    }
}

/// What became of the notices for the topic.
#[derive(Default)]
struct Published {
    /// Of those that it took.
    positions: Vec<usize>,
    failures: Vec<MailFailure>,
}

async fn publish_due(
    aws: &SweeperAws,
    telling: &Telling<'_>,
    templates: &Templates,
    dispatch: &Dispatch<'_>,
) -> Published {
    let (positions, due): (Vec<usize>, Vec<&Addressed<'_>>) = dispatch.for_topic().into_iter().unzip();
    let Some(topic_arn) = telling.settings.notices.topic_arn.as_ref().filter(|_| !due.is_empty()) else {
        return Published::default();
    };
    let Publication { taken, failures } = publish(aws, telling, topic_arn, templates, &due).await;
    let taken = positions.into_iter().zip(taken).filter_map(|(position, was_taken)| was_taken.then_some(position));
    Published { positions: taken.collect(), failures }
}

/// What became of the messages.
#[derive(Default)]
struct Posted {
    /// In the order of the envelopes; the last ones may be missing.
    was_sent: Vec<bool>,
    failures: Vec<MailFailure>,
}

async fn post(aws: &SweeperAws, telling: &Telling<'_>, templates: &Templates, dispatch: &Dispatch<'_>) -> Posted {
    let Telling { mode, scope, deadline, settings, now: _ } = *telling;
    let Some(sender) = settings.sender.as_ref() else {
        let unset = |due| general(format!("{} not mailed: SENDER_EMAIL is not set", counted(due, "notice")));
        let failures = Some(dispatch.due_by_mail()).filter(|due| *due > 0).map(unset);
        return Posted { failures: failures.into_iter().collect(), ..Posted::default() };
    };
    let messages = dispatch.envelopes.len();
    let readiness = match scope {
        Scope::Run if messages > 0 => Readiness::ask(aws, sender).await,
        Scope::Run | Scope::Event => Readiness::unasked(),
    };
    let mut failures: Vec<MailFailure> = readiness.reports.iter().cloned().map(general).collect();
    let pace = Pace::new(aws, readiness.spacing, deadline, settings.max_concurrency);
    let halted = readiness.obstacle.map(OnceLock::from).unwrap_or_default();
    let post = Post { aws, settings, templates, mode, sender, pace, halted };
    let room = readiness.room.of(messages);
    // Collected, since a closure that is kept while waiting would keep this function from being `Send`.
    let sending: Vec<_> = dispatch.envelopes.iter().take(room).map(|envelope| post.send(envelope)).collect();
    // `buffered` keeps the order, by which outcomes are matched to envelopes.
    let outcomes: Vec<Outcome> = stream::iter(sending).buffered(CONCURRENT_MESSAGES).collect().await;
    let was_sent = outcomes.iter().map(|outcome| matches!(outcome, Outcome::Sent)).collect();
    failures.extend(unsent(messages, outcomes, post.halted.get(), &readiness.room));
    Posted { was_sent, failures }
}

/// Why messages were not sent: each on its own, or many for one reason.
fn unsent(messages: usize, outcomes: Vec<Outcome>, halted: Option<&String>, room: &Room) -> Vec<MailFailure> {
    let count = |is_so: fn(&Outcome) -> bool| outcomes.iter().filter(|outcome| is_so(outcome)).count();
    let late = "the function's time is nearly over; they are due on the next run".to_owned();
    let together = [
        (count(|outcome| matches!(outcome, Outcome::Halted)), halted.cloned().unwrap_or_default()),
        (count(|outcome| matches!(outcome, Outcome::Late)), late),
        (messages - outcomes.len(), room.exceeded()),
    ];
    let together = together.into_iter().filter(|(count, _)| *count > 0);
    let together = together.map(|(count, why)| general(format!("{} not sent: {why}", counted(count, "message"))));
    let singly = outcomes.into_iter().filter_map(|outcome| match outcome {
        Outcome::Failed(failure) => Some(failure),
        Outcome::Sent | Outcome::Halted | Outcome::Late => None,
    });
    together.chain(singly).collect()
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
    /// Not begun, for want of time.
    Late,
}

struct Post<'a> {
    aws: &'a SweeperAws,
    settings: &'a Settings,
    templates: &'a Templates,
    mode: Mode,
    sender: &'a EmailAddress,
    pace: Pace<'a>,
    /// Why no message can be sent, or can be any more.
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
        let failure = match self.hand_over(&self.mail(&envelope.to, message), items.len().min(MAX_ROWS)).await {
            Ok(()) => return Outcome::Sent,
            Err(NotSent::Halted) => return Outcome::Halted,
            Err(NotSent::Late) => return Outcome::Late,
            Err(NotSent::Failed(failure)) => failure,
        };
        let Refusal { concerns_every_message, words } = Refusal::of(&failure, self.sender);
        let said = without_address(&failure.to_string(), &envelope.to, "(the recipient)");
        let reason = format!("{words}: {}", without_address(&said, self.sender, "(the sender)"));
        if concerns_every_message {
            self.halted.get_or_init(|| reason);
            return Outcome::Halted;
        }
        Outcome::Failed(envelope.failure(&reason))
    }

    fn mail(&self, to: &EmailAddress, message: Message) -> OutgoingMail {
        let Message { subject, html, text, attachment } = message;
        let attachments = attachment.into_iter().map(|file| Attachment {
            file_name: file.file_name,
            content_type: "text/csv; charset=utf-8",
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

    /// Repeats only what SES throttled, and so did not accept: after a timeout, a repetition might be a second mail.
    async fn hand_over(&self, mail: &OutgoingMail, notices: usize) -> Result<(), NotSent> {
        if !self.pace.turn(notices).await {
            return Err(NotSent::Late);
        }
        // Others may have found out meanwhile.
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
    failure.kind() == FailureKind::Throttled && !Refusal::of(failure, sender).concerns_every_message
}

/// Why a message was not taken.
enum NotSent {
    Halted,
    Late,
    Failed(CallFailure),
}
