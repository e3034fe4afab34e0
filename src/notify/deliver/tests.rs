//! Sending, over SES at the wire.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_async::rt::sleep::{AsyncSleep, SharedAsyncSleep, Sleep};
use aws_smithy_async::time::{SharedTimeSource, StaticTimeSource};
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::retry::RetryConfig;
use chrono::TimeDelta;
use serde_json::json;

use super::*;
use crate::aws::Access;
use crate::lifecycle::{Notice, NoticeKind};
use crate::notify::fixtures::{contact, key, notice, now, rotation_ahead, settings, templates, user};
use crate::notify::{AccountContact, Audience, Told};
use crate::state::Notified;

/// How SES answers a message: by its recipient and the number of the attempt, `None` for success.
type Answers = fn(&str, usize) -> Option<(&'static str, &'static str)>;

/// What SES answers when it is asked what it allows: a status and a body.
type Standing = (u16, serde_json::Value);

/// SES at the wire: keeps what it accepted.
#[derive(Clone)]
struct Ses {
    answers: Answers,
    account: Standing,
    /// By address or domain; what is not named does not exist.
    identities: Vec<(&'static str, Standing)>,
    asked: Arc<Mutex<Vec<String>>>,
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
        let path = request.uri().split_once("/v2/email/").unwrap().1.to_owned();
        if path != "outbound-emails" {
            return HttpConnectorFuture::ready(Ok(self.standing(path)));
        }
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

impl Ses {
    fn standing(&self, path: String) -> HttpResponse {
        let (status, body) = match path.strip_prefix("identities/") {
            None => self.account.clone(),
            Some(identity) => {
                let identity = identity.replace("%40", "@");
                let known = self.identities.iter().find(|(name, _)| *name == identity);
                known.map_or((404, json!({"message": "no such identity"})), |(_, standing)| standing.clone())
            }
        };
        self.asked.lock().unwrap().push(path);
        let mut response = HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body.to_string()));
        let code = match status {
            403 => Some("AccessDeniedException"),
            404 => Some("NotFoundException"),
            500 => Some("InternalFailure"),
            _ => None,
        };
        if let Some(code) = code {
            response.headers_mut().insert("x-amzn-errortype", code);
        }
        response
    }
}

/// An account in production that may send as much as it likes, a thousand messages a second.
fn unlimited() -> serde_json::Value {
    json!({
        "ProductionAccessEnabled": true,
        "SendingEnabled": true,
        "EnforcementStatus": "HEALTHY",
        "SendQuota": { "Max24HourSend": -1.0, "MaxSendRate": 1000.0, "SentLast24Hours": 12.0 },
    })
}

fn verified() -> Standing {
    (200, json!({"IdentityType": "DOMAIN", "VerifiedForSendingStatus": true}))
}

fn denied(resource: &str) -> Standing {
    (403, json!({"message": format!("User: arn:x is not authorized to perform: ses:Get on resource: {resource}")}))
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
    scope: Scope,
    /// What is left of the function's time.
    time: TimeDelta,
    ses: Ses,
    naps: Naps,
    aws: SweeperAws,
}

impl World {
    fn new(answers: Answers) -> Self {
        let ses = Ses {
            answers,
            account: (200, unlimited()),
            identities: vec![("example.com", verified())],
            asked: Arc::default(),
            accepted: Arc::default(),
            attempts: Arc::default(),
        };
        Self::of(ses)
    }

    /// With another state of the account.
    fn with_account(change: impl FnOnce(&mut serde_json::Value)) -> Self {
        let mut ses = Self::new(|_, _| None).ses;
        change(&mut ses.account.1);
        Self::of(ses)
    }

    fn of(ses: Ses) -> Self {
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
        Self { scope: Scope::Run, time: TimeDelta::minutes(10), ses, naps, aws: SweeperAws::new(config, access) }
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
        let telling = Telling { mode, scope: self.scope, now: now(), deadline: now() + self.time, settings };
        // Boxed as what executors take that move tasks between threads.
        let delivery: Pin<Box<dyn Future<Output = Delivery> + Send + '_>> =
            Box::pin(deliver(&self.aws, &telling, &templates, &addressed));
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
        .map(|n| Notice { user: user(&format!("u{n}")), key: key(n), ..owned_by(&format!("owner{n:02}@example.com")) })
        .collect()
}

#[tokio::test]
async fn each_recipient_gets_one_message() {
    let world = World::new(|_, _| None);
    let delivery = world.deliver(Mode::Enforced, &of_many_owners(20)).await;
    assert_eq!(
        delivery,
        Delivery { told: vec![Told::Fully; 20], mails: 21, failures: Vec::new(), unpublished: Vec::new() }
    );
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
        "1 notice not mailed: SES is in its sandbox, where only verified addresses get mail; request production access, \
         or verify the recipient's: ses:SendEmail for a message to j…@example.com failed: MessageRejected: Email address \
         is not verified: (the recipient)"
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
        assert!(failure.error.starts_with("41 messages not sent: "), "{}", failure.error);
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
    assert_eq!(nothing, Delivery { told: Vec::new(), mails: 0, failures: Vec::new(), unpublished: Vec::new() });
}

#[tokio::test]
async fn an_account_without_an_address_is_told_through_the_recipient_of_the_settings() {
    let world = World::new(|_, _| None);
    let settings = settings(&[("RECIPIENT_EMAIL", "security@example.com")]);
    world.deliver_as(&settings, Mode::Enforced, &contact("prod", None), &[notice(rotation_ahead())]).await;
    assert_eq!(world.accepted()[0].0, "security@example.com");
}

fn slept(world: &World, spacing: Duration) -> usize {
    world.naps.0.lock().unwrap().iter().filter(|nap| **nap >= spacing && **nap < Duration::from_secs(3)).count()
}

#[tokio::test]
async fn a_run_asks_once_what_ses_allows_and_an_event_does_not() {
    let mut world = World::new(|_, _| None);
    world.deliver(Mode::Enforced, &of_many_owners(5)).await;
    let asked = ["account", "identities/keys%40example.com", "identities/example.com"];
    assert_eq!(*world.ses.asked.lock().unwrap(), asked);
    world.deliver(Mode::Enforced, &[]).await;
    assert_eq!(world.ses.asked.lock().unwrap().len(), asked.len(), "there is nothing to send");
    world.scope = Scope::Event;
    world.deliver(Mode::Enforced, &of_many_owners(1)).await;
    assert_eq!(world.ses.asked.lock().unwrap().len(), asked.len());
    assert_eq!(world.accepted().len(), 8);
}

#[tokio::test]
async fn where_sending_cannot_work_nothing_is_sent_and_one_failure_says_why() {
    let shut = World::with_account(|account| account["EnforcementStatus"] = "SHUTDOWN".into());
    let paused = World::with_account(|account| account["SendingEnabled"] = false.into());
    let mut unverified = World::new(|_, _| None).ses;
    unverified.identities = vec![("example.com", (200, json!({"IdentityType": "DOMAIN"})))];
    for (world, reason) in
        [(shut, "SHUTDOWN"), (paused, "is paused"), (World::of(unverified), "is not verified in SES")]
    {
        let delivery = world.deliver(Mode::Enforced, &of_many_owners(40)).await;
        assert_eq!((delivery.told, delivery.mails), (vec![Told::Not; 40], 0));
        let [failure] = &delivery.failures[..] else { panic!("{:?}", delivery.failures) };
        assert!(failure.error.starts_with("41 messages not sent: ") && failure.error.contains(reason), "{failure:?}");
        assert_eq!(world.ses.attempts.load(Ordering::SeqCst), 0);
    }
}

#[tokio::test]
async fn the_sandbox_and_a_review_are_told_and_mail_goes_out() {
    let sandbox = World::with_account(|account| account["ProductionAccessEnabled"] = false.into());
    let review = World::with_account(|account| account["EnforcementStatus"] = "PROBATION".into());
    for (world, told) in [(sandbox, "SES is in its sandbox"), (review, "PROBATION")] {
        let delivery = world.deliver(Mode::Enforced, &of_many_owners(3)).await;
        assert_eq!(delivery.mails, 4);
        let [failure] = &delivery.failures[..] else { panic!("{:?}", delivery.failures) };
        assert!(failure.error.contains(told), "{failure:?}");
    }
}

#[tokio::test]
async fn what_ses_does_not_tell_is_reported_once_and_stops_nothing() {
    let worlds = [
        (
            denied("*"),
            vec![("keys@example.com", denied("identity/keys@example.com")), ("example.com", denied("x"))],
            true,
        ),
        ((500, json!({})), vec![("example.com", verified())], false),
        // Not an answer of SES's: the flags that are missing are not "no".
        ((200, json!({})), vec![("example.com", (200, json!({})))], false),
        ((200, unlimited()), vec![("keys@example.com", (500, json!({})))], false),
    ];
    for (account, identities, is_denied) in worlds {
        let world = World::of(Ses { account: account.clone(), identities, ..World::new(|_, _| None).ses });
        let delivery = world.deliver(Mode::Enforced, &of_many_owners(3)).await;
        assert_eq!((delivery.told, delivery.mails), (vec![Told::Fully; 3], 4), "{account:?}");
        let [failure] = &delivery.failures[..] else { panic!("{:?}", delivery.failures) };
        assert!(failure.error.starts_with("what SES allows is not fully known"), "{failure:?}");
        assert_eq!(failure.error.contains("the sweeper's role needs ses:GetAccount"), is_denied, "{failure:?}");
        assert!(!failure.error.contains("keys@example.com"), "{failure:?}");
        let is_cautious = slept(&world, Duration::from_millis(900)) > 0;
        assert_eq!(is_cautious, account.1 != unlimited(), "{account:?}");
    }
}

#[tokio::test]
async fn any_verified_domain_above_is_enough() {
    let world = World::of(Ses {
        identities: vec![("mail.example.com", denied("x")), ("example.com", verified())],
        ..World::new(|_, _| None).ses
    });
    let settings = settings(&[("SENDER_EMAIL", "keys@mail.example.com"), ("SES_DOMAIN", "example.com")]);
    let account = contact("prod", Some("prod@example.com"));
    let delivery = world.deliver_as(&settings, Mode::Enforced, &account, &[notice(rotation_ahead())]).await;
    assert_eq!((delivery.mails, delivery.failures), (1, Vec::new()));
}

#[tokio::test]
async fn the_quota_goes_to_the_most_urgent() {
    let world = World::with_account(|account| {
        account["SendQuota"] = json!({"Max24HourSend": 200.0, "MaxSendRate": 1000.0, "SentLast24Hours": 198.0});
    });
    let mut notices = of_many_owners(10);
    notices[7].kind = NoticeKind::RotationFailed { reason: String::new() };
    notices[8].kind = NoticeKind::Deleted;
    let delivery = world.deliver(Mode::Enforced, &notices).await;
    assert_eq!(delivery.mails, 2);
    let to: Vec<String> = world.accepted().into_iter().map(|(to, _)| to).collect();
    assert_eq!(to, ["owner07@example.com", "prod@example.com"], "the account hears of the failed rotation, too");
    let [failure] = &delivery.failures[..] else { panic!("{:?}", delivery.failures) };
    assert!(failure.error.starts_with("10 messages not sent: SES takes 200 messages in 24 hours"), "{failure:?}");
    assert_eq!(delivery.told[7], Told::Fully);
    assert_eq!(delivery.told[8], Told::Not, "it is told on the next run");
}

#[tokio::test]
async fn messages_keep_to_the_rate() {
    let world = World::with_account(|account| account["SendQuota"]["MaxSendRate"] = 2.0.into());
    let delivery = world.deliver(Mode::Enforced, &of_many_owners(4)).await;
    assert_eq!((delivery.mails, delivery.failures), (5, Vec::new()));
    // The clock stands still: every turn is half a second after the one before.
    let naps = world.naps.0.lock().unwrap().clone();
    for half_seconds in 1..5 {
        assert!(naps.contains(&Duration::from_millis(500 * half_seconds)), "{half_seconds}: {naps:?}");
    }
}

#[tokio::test]
async fn no_message_is_begun_that_could_not_be_recorded() {
    let mut world = World::with_account(|account| account["SendQuota"]["MaxSendRate"] = 1.0.into());
    // 35 s are for the last message and the last record, another second for 40 more records.
    world.time = TimeDelta::seconds(40);
    let delivery = world.deliver(Mode::Enforced, &of_many_owners(40)).await;
    assert_eq!(delivery.mails, 5);
    let [failure] = &delivery.failures[..] else { panic!("{:?}", delivery.failures) };
    assert!(failure.error.starts_with("36 messages not sent: the function's time is nearly over"), "{failure:?}");
    assert_eq!(delivery.told.iter().filter(|told| **told != Told::Not).count(), 5);

    world.time = TimeDelta::seconds(20);
    let before = world.ses.attempts.load(Ordering::SeqCst);
    let delivery = world.deliver(Mode::Enforced, &of_many_owners(2)).await;
    assert_eq!((delivery.mails, world.ses.attempts.load(Ordering::SeqCst)), (0, before));
}

#[tokio::test]
async fn settings_of_mail_go_with_every_message() {
    let world = World::new(|_, _| None);
    let settings = settings(&[("REPLY_TO_EMAIL", "help@example.com"), ("SES_CONFIGURATION_SET", "notices")]);
    let account = contact("prod", Some("prod@example.com"));
    world.deliver_as(&settings, Mode::Enforced, &account, &[notice(rotation_ahead())]).await;
    let sent = world.ses.accepted.lock().unwrap()[0].clone();
    assert_eq!(sent["ReplyToAddresses"], json!(["help@example.com"]));
    assert_eq!(sent["ConfigurationSetName"], "notices");
}
