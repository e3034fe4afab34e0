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

/// Messages under way at the same time. How many SES takes in a second differs by account, one in the sandbox: what is
/// too much is throttled, and waited out.
/// <https://docs.aws.amazon.com/ses/latest/dg/quotas.html>
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
        let failures = match dispatch.due() {
            0 => Vec::new(),
            due => vec![general(format!("{} not mailed: SENDER_EMAIL is not set", counted(due, "notice")))],
        };
        return Delivery { told: dispatch.settle(&[]), mails: 0, failures };
    };
    let post = Post { aws, settings, templates, mode, sender, halted: OnceLock::new() };
    // Collected, since a closure that is kept while waiting would keep this function from being `Send`.
    let sending: Vec<_> = dispatch.envelopes.iter().map(|envelope| post.send(envelope)).collect();
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
    settings: &'a Settings,
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
        OutgoingMail {
            from: self.sender.clone(),
            to: to.clone(),
            reply_to: self.settings.notices.reply_to.clone(),
            configuration_set: self.settings.notices.configuration_set.clone(),
            subject,
            html,
            text,
            attachments: Vec::new(),
        }
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

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};

    use aws_config::{BehaviorVersion, Region, SdkConfig};
    use aws_credential_types::Credentials;
    use aws_credential_types::provider::SharedCredentialsProvider;
    use aws_smithy_async::rt::sleep::{AsyncSleep, SharedAsyncSleep, Sleep};
    use aws_smithy_async::time::{SharedTimeSource, StaticTimeSource};
    use aws_smithy_runtime_api::client::http::{
        HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
    };
    use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
    use aws_smithy_types::body::SdkBody;
    use aws_smithy_types::retry::RetryConfig;

    use super::*;
    use crate::aws::Access;
    use crate::lifecycle::Notice;
    use crate::notify::fixtures::{contact, key, notice, now, rotation_ahead, settings, templates, user};
    use crate::notify::{AccountContact, Audience, Told};
    use crate::state::Notified;

    /// How SES answers a message: by its recipient and the number of the attempt, `None` for success.
    type Answers = fn(&str, usize) -> Option<(&'static str, &'static str)>;

    /// SES at the wire: keeps what it accepted.
    #[derive(Clone)]
    struct Ses {
        answers: Answers,
        accepted: Arc<Mutex<Vec<serde_json::Value>>>,
        attempts: Arc<AtomicUsize>,
    }

    impl std::fmt::Debug for Ses {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("Ses")
        }
    }

    impl HttpConnector for Ses {
        fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
            let sent: serde_json::Value = serde_json::from_slice(request.body().bytes().unwrap()).unwrap();
            let attempt = self.attempts.fetch_add(1, Ordering::SeqCst);
            let to = sent["Destination"]["ToAddresses"][0].as_str().unwrap().to_owned();
            let (status, error, body) = match (self.answers)(&to, attempt) {
                None => {
                    self.accepted.lock().unwrap().push(sent);
                    (200, None, r#"{"MessageId":"1"}"#.to_owned())
                }
                Some((code, message)) => (400, Some(code), serde_json::json!({ "message": message }).to_string()),
            };
            let mut response = HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body));
            if let Some(code) = error {
                response.headers_mut().insert("x-amzn-errortype", code);
            }
            HttpConnectorFuture::ready(Ok(response))
        }
    }

    /// A sleep that takes no time and counts.
    #[derive(Debug, Clone, Default)]
    struct Naps(Arc<Mutex<Vec<Duration>>>);

    impl AsyncSleep for Naps {
        fn sleep(&self, duration: Duration) -> Sleep {
            self.0.lock().unwrap().push(duration);
            Sleep::new(std::future::ready(()))
        }
    }

    struct World {
        ses: Ses,
        naps: Naps,
        aws: Aws,
    }

    impl World {
        fn new(answers: Answers) -> Self {
            let ses = Ses { answers, accepted: Arc::default(), attempts: Arc::default() };
            let (naps, connector) = (Naps::default(), SharedHttpConnector::new(ses.clone()));
            let config = SdkConfig::builder()
                .behavior_version(BehaviorVersion::v2026_01_12())
                .region(Region::new("eu-west-1"))
                .credentials_provider(SharedCredentialsProvider::new(Credentials::new("AKIA", "x", None, None, "test")))
                .time_source(SharedTimeSource::new(StaticTimeSource::new(now().into())))
                .sleep_impl(SharedAsyncSleep::new(naps.clone()))
                .retry_config(RetryConfig::disabled())
                .http_client(http_client_fn(move |_, _| connector.clone()))
                .build();
            let access = Access {
                primary_account: "999988887777".parse().unwrap(),
                member_role: "member".to_owned(),
                session_name: "session".to_owned(),
                org_list_role_arn: None,
            };
            Self { ses, naps, aws: Aws::new(config, access) }
        }

        async fn deliver(&self, mode: Mode, notices: &[Notice]) -> Delivery {
            self.deliver_as(&settings(&[]), mode, &contact("prod", Some("prod@example.com")), notices).await
        }

        async fn deliver_as(
            &self,
            settings: &Settings,
            mode: Mode,
            account: &AccountContact,
            notices: &[Notice],
        ) -> Delivery {
            let notified = Notified::default();
            let addressed: Vec<Addressed<'_>> =
                notices.iter().map(|notice| Addressed { notice, account, notified: &notified }).collect();
            let templates = templates();
            // Boxed as what executors take that move tasks between threads.
            let delivery: Pin<Box<dyn Future<Output = Delivery> + Send + '_>> =
                Box::pin(deliver(&self.aws, settings, &templates, mode, &addressed));
            delivery.await
        }

        /// Recipient and subject of what SES accepted, sorted.
        fn accepted(&self) -> Vec<(String, String)> {
            let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
            let mut accepted: Vec<_> = self
                .ses
                .accepted
                .lock()
                .unwrap()
                .iter()
                .map(|sent| {
                    (text(&sent["Destination"]["ToAddresses"][0]), text(&sent["Content"]["Simple"]["Subject"]["Data"]))
                })
                .collect();
            accepted.sort();
            accepted
        }
    }

    fn owned_by(owner: &str) -> Notice {
        Notice { owner: Some(owner.to_owned()), ..notice(rotation_ahead()) }
    }

    /// Notices of so many users, each with an owner of its own.
    fn of_many_owners(count: usize) -> Vec<Notice> {
        (0..count)
            .map(|n| Notice {
                user: user(&format!("u{n}")),
                key: key(n),
                ..owned_by(&format!("owner{n:02}@example.com"))
            })
            .collect()
    }

    #[tokio::test]
    async fn each_recipient_gets_one_message() {
        let world = World::new(|_, _| None);
        let delivery = world.deliver(Mode::Enforced, &of_many_owners(20)).await;
        assert_eq!(delivery, Delivery { told: vec![Told::Fully; 20], mails: 21, failures: Vec::new() });
        let accepted = world.accepted();
        assert_eq!(accepted.len(), 21);
        assert_eq!(accepted[20].0, "prod@example.com");
        assert_eq!(accepted[20].1, "keywheel: 20 access keys will be rotated on 2026-11-29 (prod)");
        assert_eq!(accepted[3].1, "Access key of u3 (prod, 111122223333) will be rotated on 2026-11-29");
        let sent = &world.ses.accepted.lock().unwrap()[0];
        assert_eq!(sent["FromEmailAddress"], "keys@example.com");
        let body = &sent["Content"]["Simple"]["Body"];
        assert!(body["Html"]["Data"].as_str().unwrap().starts_with("<!doctype html>"));
        assert!(body["Text"]["Data"].as_str().unwrap().starts_with("Access key AKIA"));
    }

    #[tokio::test]
    async fn a_dry_run_says_so() {
        let world = World::new(|_, _| None);
        let delivery = world.deliver(Mode::DryRun, &[notice(rotation_ahead())]).await;
        assert_eq!(delivery.mails, 1);
        assert!(world.accepted()[0].1.starts_with("[dry run] Access key of ci-bot"), "{:?}", world.accepted());
    }

    #[tokio::test]
    async fn upstream_defect_42_a_failed_message_is_reported_and_stops_no_other() {
        let world = World::new(|to, _| {
            (to == "jo@example.com").then_some(("MessageRejected", "Email address is not verified: Jo@Example.com"))
        });
        let delivery = world.deliver(Mode::Enforced, &[owned_by("jo@example.com"), notice(rotation_ahead())]).await;
        assert_eq!(delivery.told, [Told::Partly(vec![Audience::Account]), Told::Fully]);
        assert_eq!(delivery.mails, 1);
        let [failure] = &delivery.failures[..] else { panic!("{:?}", delivery.failures) };
        assert_eq!(failure.user, Some(user("ci-bot").name));
        assert_eq!(
            failure.error,
            "1 notice not mailed: ses:SendEmail for a message to j…@example.com failed: MessageRejected: \
             Email address is not verified: (the recipient)"
        );
    }

    #[tokio::test]
    async fn one_of_several_owners_is_enough() {
        let world = World::new(|to, _| (to == "dead@example.com").then_some(("MessageRejected", "no")));
        let delivery = world.deliver(Mode::Enforced, &[owned_by("dead@example.com jo@example.com")]).await;
        assert_eq!((delivery.told, delivery.mails, delivery.failures.len()), (vec![Told::Fully], 2, 1));
    }

    #[tokio::test]
    async fn throttling_is_waited_out() {
        let world = World::new(|_, attempt| (attempt < 2).then_some(("TooManyRequestsException", "slow")));
        let delivery = world.deliver(Mode::Enforced, &[notice(rotation_ahead())]).await;
        assert_eq!((delivery.told, delivery.mails), (vec![Told::Fully], 1));
        // The SDK's own time limits sleep on the same clock.
        let mut waits = world.naps.0.lock().unwrap().clone();
        waits.retain(|wait| WAITS_WHEN_THROTTLED.contains(wait));
        assert_eq!(waits, WAITS_WHEN_THROTTLED[..2]);

        let world = World::new(|_, _| Some(("TooManyRequestsException", "Maximum sending rate exceeded.")));
        let delivery = world.deliver(Mode::Enforced, &[notice(rotation_ahead())]).await;
        assert_eq!((delivery.told, delivery.failures.len()), (vec![Told::Not], 1));
        assert_eq!(world.ses.attempts.load(Ordering::SeqCst), WAITS_WHEN_THROTTLED.len() + 1);
    }

    #[tokio::test]
    async fn only_throttling_is_repeated() {
        let world = World::new(|_, _| Some(("BadRequestException", "no")));
        let delivery = world.deliver(Mode::Enforced, &[notice(rotation_ahead())]).await;
        assert_eq!((delivery.mails, delivery.failures.len()), (0, 1));
        assert_eq!(world.ses.attempts.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn what_concerns_every_message_stops_them_with_one_failure() {
        for answers in [
            (|_, _| Some(("SendingPausedException", "paused"))) as Answers,
            |_, _| Some(("AccountSuspendedException", "suspended")),
            |_, _| Some(("AccessDeniedException", "not authorized to perform ses:SendEmail")),
            |_, _| Some(("MailFromDomainNotVerifiedException", "not verified")),
            |_, _| Some(("TooManyRequestsException", "Daily message quota exceeded.")),
        ] {
            let world = World::new(answers);
            let delivery = world.deliver(Mode::Enforced, &of_many_owners(40)).await;
            assert_eq!((delivery.told, delivery.mails), (vec![Told::Not; 40], 0));
            let [failure] = &delivery.failures[..] else { panic!("{:?}", delivery.failures) };
            assert!(failure.error.starts_with("41 messages not sent: ses:SendEmail"), "{}", failure.error);
            assert!(world.ses.attempts.load(Ordering::SeqCst) <= CONCURRENT_MESSAGES);
        }
    }

    #[tokio::test]
    async fn what_was_sent_before_the_stop_counts() {
        let world = World::new(|_, attempt| (attempt > 0).then_some(("SendingPausedException", "paused")));
        let delivery = world.deliver(Mode::Enforced, &of_many_owners(3)).await;
        let told = [Told::Partly(vec![Audience::Owner]), Told::Not, Told::Not];
        assert_eq!((delivery.told.as_slice(), delivery.mails), (&told[..], 1));
        assert!(delivery.failures[0].error.starts_with("3 messages not sent"), "{:?}", delivery.failures);
    }

    #[tokio::test]
    async fn without_a_sender_nothing_is_sent_and_one_failure_says_so() {
        let world = World::new(|_, _| None);
        let settings = settings(&[("SENDER_EMAIL", "")]);
        let account = contact("prod", Some("prod@example.com"));
        let notices = [owned_by("nobody"), notice(rotation_ahead())];
        let delivery = world.deliver_as(&settings, Mode::Enforced, &account, &notices).await;
        assert_eq!((delivery.told, delivery.mails), (vec![Told::Not, Told::Not], 0));
        let [failure] = &delivery.failures[..] else { panic!("{:?}", delivery.failures) };
        assert_eq!(failure.error, "2 notices not mailed: SENDER_EMAIL is not set");
        assert_eq!(world.ses.attempts.load(Ordering::SeqCst), 0);
        let nothing = world.deliver_as(&settings, Mode::Enforced, &account, &[]).await;
        assert_eq!(nothing, Delivery { told: Vec::new(), mails: 0, failures: Vec::new() });
    }

    #[tokio::test]
    async fn an_account_without_an_address_is_told_through_the_recipient_of_the_settings() {
        let world = World::new(|_, _| None);
        let settings = settings(&[("RECIPIENT_EMAIL", "security@example.com")]);
        world.deliver_as(&settings, Mode::Enforced, &contact("prod", None), &[notice(rotation_ahead())]).await;
        assert_eq!(world.accepted()[0].0, "security@example.com");
    }
}
