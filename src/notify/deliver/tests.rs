//! Sending, through the SDK to a simulated SES.

mod gains;

use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_async::rt::sleep::{AsyncSleep, SharedAsyncSleep, Sleep};
use aws_smithy_async::time::{SharedTimeSource, StaticTimeSource};
use aws_smithy_runtime_api::client::http::{SharedHttpConnector, http_client_fn};
use aws_smithy_types::retry::RetryConfig;
use chrono::TimeDelta;
use serde_json::json;

use super::fake_ses::{FakeSes, MessageErrors, denied, nothing_suppressed, unlimited, verified};
use super::*;
use crate::aws::Access;
use crate::lifecycle::{Notice, NoticeKind};
use crate::notify::fixtures::{contact, key, notice, now, rotation_ahead, settings, templates, user};
use crate::notify::{AccountContact, Audience, Delivered};
use crate::state::Notified;

/// A sleep that takes no time and keeps the durations.
#[derive(Debug, Clone, Default)]
struct Naps(Arc<Mutex<Vec<Duration>>>);

impl AsyncSleep for Naps {
    fn sleep(&self, duration: Duration) -> Sleep {
        self.0.lock().unwrap().push(duration);
        Sleep::new(std::future::ready(()))
    }
}

/// A mail service, and the circumstances of a delivery through it.
struct MailFixture {
    scope: Scope,
    /// The remaining time of the function.
    time: TimeDelta,
    ses: FakeSes,
    naps: Naps,
    aws: SweeperAws,
}

impl MailFixture {
    fn new(errors: MessageErrors) -> Self {
        let ses = FakeSes {
            errors,
            account: (200, unlimited()),
            identities: vec![("example.com", verified())],
            suppression: nothing_suppressed(),
            asked: Arc::default(),
            accepted: Arc::default(),
            attempts: Arc::default(),
        };
        Self::of(ses)
    }

    /// A fixture with another state of the account.
    fn with_account(change: impl FnOnce(&mut serde_json::Value)) -> Self {
        let mut ses = Self::new(|_, _| None).ses;
        change(&mut ses.account.1);
        Self::of(ses)
    }

    fn of(ses: FakeSes) -> Self {
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
            mail_region: None,
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
        self.deliver_to(settings, mode, &addressed).await
    }

    async fn deliver_to(&self, settings: &Settings, mode: Mode, addressed: &[Addressed<'_>]) -> Delivery {
        let templates = templates();
        let options = DeliveryOptions {
            mode,
            scope: self.scope,
            defers: false,
            now: now(),
            deadline: now() + self.time,
            settings,
        };
        // Boxed as `Send`, which executors with several threads require.
        let delivery: Pin<Box<dyn Future<Output = Delivery> + Send + '_>> =
            Box::pin(deliver(&self.aws, &options, &templates, addressed));
        delivery.await
    }

    /// The recipients and subjects of the messages that SES accepted, sorted.
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

/// Notices of this number of users, each with its own owner.
fn of_many_owners(count: usize) -> Vec<Notice> {
    (0..count)
        .map(|n| Notice { user: user(&format!("u{n}")), key: key(n), ..owned_by(&format!("owner{n:02}@example.com")) })
        .collect()
}

#[tokio::test]
async fn each_recipient_gets_one_message() {
    let fixture = MailFixture::new(|_, _| None);
    let delivery = fixture.deliver(Mode::Enforced, &of_many_owners(20)).await;
    assert_eq!(
        delivery,
        Delivery { delivered: vec![Delivered::ToAll; 20], mails: 21, failures: Vec::new(), unpublished: Vec::new() }
    );
    let accepted = fixture.accepted();
    assert_eq!(accepted.len(), 21);
    assert_eq!(accepted[20].0, "prod@example.com");
    assert_eq!(accepted[20].1, "keywheel: 20 access keys will be rotated on 2026-11-29 (prod)");
    assert_eq!(accepted[3].1, "Access key of u3 (prod, 111122223333) will be rotated on 2026-11-29");
    let accepted = fixture.ses.accepted.lock().unwrap().clone();
    assert_eq!(accepted[0]["Destination"]["ToAddresses"], json!(["prod@example.com"]), "the account comes first");
    let sent = &accepted[1];
    assert_eq!(sent["FromEmailAddress"], "keys@example.com");
    let body = &sent["Content"]["Simple"]["Body"];
    assert!(body["Html"]["Data"].as_str().unwrap().starts_with("<!doctype html>"));
    assert!(body["Text"]["Data"].as_str().unwrap().starts_with("Access key AKIA"));
}

#[tokio::test]
async fn a_dry_run_says_so() {
    let fixture = MailFixture::new(|_, _| None);
    let delivery = fixture.deliver(Mode::DryRun, &[notice(rotation_ahead())]).await;
    assert_eq!(delivery.mails, 1);
    assert!(fixture.accepted()[0].1.starts_with("[dry run] Access key of ci-bot"), "{:?}", fixture.accepted());
}

#[tokio::test]
async fn upstream_defect_42_a_failed_message_stops_no_other() {
    let fixture = MailFixture::new(|to, _| {
        (to == "jo@example.com").then_some(("MessageRejected", "Email address is not verified: Jo@Example.com"))
    });
    let delivery = fixture.deliver(Mode::Enforced, &[owned_by("jo@example.com"), notice(rotation_ahead())]).await;
    assert_eq!(delivery.delivered, [Delivered::ToSome(vec![Audience::Account]), Delivered::ToAll]);
    assert_eq!(delivery.mails, 1);
    let [failure] = &delivery.failures[..] else { panic!("{:?}", delivery.failures) };
    assert_eq!(failure.user, Some(user("ci-bot").name));
    assert_eq!(
        failure.error,
        "1 notice not mailed: SES is in its sandbox, where only verified addresses get mail; request production access, \
         or verify the recipient's address: ses:SendEmail for a message to j…@example.com failed: MessageRejected: Email address \
         is not verified: (the recipient)"
    );
}

#[tokio::test]
async fn one_of_several_owners_is_enough() {
    let fixture = MailFixture::new(|to, _| (to == "dead@example.com").then_some(("MessageRejected", "no")));
    let delivery = fixture.deliver(Mode::Enforced, &[owned_by("dead@example.com jo@example.com")]).await;
    assert_eq!((delivery.delivered, delivery.mails, delivery.failures.len()), (vec![Delivered::ToAll], 2, 1));
}

#[tokio::test]
async fn throttling_is_waited_out() {
    let fixture = MailFixture::new(|_, attempt| (attempt < 2).then_some(("TooManyRequestsException", "slow")));
    let delivery = fixture.deliver(Mode::Enforced, &[notice(rotation_ahead())]).await;
    assert_eq!((delivery.delivered, delivery.mails), (vec![Delivered::ToAll], 1));
    // The SDK's own time limits sleep on the same clock.
    let mut waits = fixture.naps.0.lock().unwrap().clone();
    waits.retain(|wait| WAITS_WHEN_THROTTLED.contains(wait));
    assert_eq!(waits, WAITS_WHEN_THROTTLED[..2]);

    let fixture = MailFixture::new(|_, _| Some(("TooManyRequestsException", "Maximum sending rate exceeded.")));
    let delivery = fixture.deliver(Mode::Enforced, &[notice(rotation_ahead())]).await;
    assert_eq!((delivery.delivered, delivery.failures.len()), (vec![Delivered::ToNobody], 1));
    assert_eq!(fixture.ses.attempts.load(Ordering::SeqCst), WAITS_WHEN_THROTTLED.len() + 1);
}

#[tokio::test]
async fn only_throttling_is_repeated() {
    let fixture = MailFixture::new(|_, _| Some(("BadRequestException", "no")));
    let delivery = fixture.deliver(Mode::Enforced, &[notice(rotation_ahead())]).await;
    assert_eq!((delivery.mails, delivery.failures.len()), (0, 1));
    assert_eq!(fixture.ses.attempts.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_general_obstacle_stops_all_with_one_failure() {
    for errors in [
        (|_, _| Some(("SendingPausedException", "paused"))) as MessageErrors,
        |_, _| Some(("AccountSuspendedException", "suspended")),
        |_, _| Some(("AccessDeniedException", "not authorized to perform ses:SendEmail")),
        |_, _| Some(("MailFromDomainNotVerifiedException", "not verified")),
        |_, _| Some(("TooManyRequestsException", "Daily message quota exceeded.")),
    ] {
        let fixture = MailFixture::new(errors);
        let delivery = fixture.deliver(Mode::Enforced, &of_many_owners(40)).await;
        assert_eq!((delivery.delivered, delivery.mails), (vec![Delivered::ToNobody; 40], 0));
        let [failure] = &delivery.failures[..] else { panic!("{:?}", delivery.failures) };
        assert!(failure.error.starts_with("41 messages not sent: "), "{}", failure.error);
        assert!(fixture.ses.attempts.load(Ordering::SeqCst) <= CONCURRENT_MESSAGES);
    }
}

#[tokio::test]
async fn messages_sent_before_an_obstacle_count() {
    let fixture = MailFixture::new(|_, attempt| (attempt > 0).then_some(("SendingPausedException", "paused")));
    let delivery = fixture.deliver(Mode::Enforced, &of_many_owners(3)).await;
    assert_eq!((delivery.delivered, delivery.mails), (vec![Delivered::ToSome(vec![Audience::Account]); 3], 1));
    assert!(delivery.failures[0].error.starts_with("3 messages not sent"), "{:?}", delivery.failures);
}

#[tokio::test]
async fn without_a_sender_one_failure_says_so() {
    let fixture = MailFixture::new(|_, _| None);
    let settings = settings(&[("SENDER_EMAIL", "")]);
    let account = contact("prod", Some("prod@example.com"));
    let notices = [owned_by("nobody"), notice(rotation_ahead())];
    let delivery = fixture.deliver_as(&settings, Mode::Enforced, &account, &notices).await;
    assert_eq!((delivery.delivered, delivery.mails), (vec![Delivered::ToNobody, Delivered::ToNobody], 0));
    let [failure] = &delivery.failures[..] else { panic!("{:?}", delivery.failures) };
    assert_eq!(failure.error, "2 notices not mailed: SENDER_EMAIL is not set");
    assert_eq!(fixture.ses.attempts.load(Ordering::SeqCst), 0);
    let nothing = fixture.deliver_as(&settings, Mode::Enforced, &account, &[]).await;
    assert_eq!(nothing, Delivery { delivered: Vec::new(), mails: 0, failures: Vec::new(), unpublished: Vec::new() });
}

#[tokio::test]
async fn an_account_without_an_address_uses_the_recipient() {
    let fixture = MailFixture::new(|_, _| None);
    let settings = settings(&[("RECIPIENT_EMAIL", "security@example.com")]);
    fixture.deliver_as(&settings, Mode::Enforced, &contact("prod", None), &[notice(rotation_ahead())]).await;
    assert_eq!(fixture.accepted()[0].0, "security@example.com");
}

fn slept(fixture: &MailFixture, spacing: Duration) -> usize {
    fixture.naps.0.lock().unwrap().iter().filter(|nap| **nap >= spacing && **nap < Duration::from_secs(3)).count()
}

#[tokio::test]
async fn a_run_reads_the_limits_of_ses_once_and_an_event_none() {
    let mut fixture = MailFixture::new(|_, _| None);
    fixture.deliver(Mode::Enforced, &of_many_owners(5)).await;
    let list = "suppression/addresses?PageSize=1000";
    let asked = ["account", "identities/keys%40example.com", "identities/example.com", list];
    assert_eq!(*fixture.ses.asked.lock().unwrap(), asked);
    fixture.deliver(Mode::Enforced, &[]).await;
    assert_eq!(fixture.ses.asked.lock().unwrap().len(), asked.len(), "nothing is due");
    fixture.scope = Scope::Event;
    fixture.deliver(Mode::Enforced, &of_many_owners(1)).await;
    assert_eq!(fixture.ses.asked.lock().unwrap()[asked.len()..], [list]);
    assert_eq!(fixture.accepted().len(), 8);
}

fn suppressing(addresses: &[(&str, &str)]) -> FakeSes {
    let listed = |(address, reason)| json!({"EmailAddress": address, "Reason": reason, "LastUpdateTime": 1});
    let listed: Vec<_> = addresses.iter().copied().map(listed).collect();
    let suppression = (200, json!({ "SuppressedDestinationSummaries": listed }));
    FakeSes { suppression, ..MailFixture::new(|_, _| None).ses }
}

#[tokio::test]
async fn reported_c3_a_suppressed_owner_is_replaced_and_reported() {
    let settings = settings(&[("RECIPIENT_EMAIL", "security@example.com")]);
    let account = contact("prod", Some("prod@example.com"));
    let notices = [owned_by("Jo@example.com")];
    for scope in [Scope::Run, Scope::Event] {
        let mut fixture = MailFixture::of(suppressing(&[("jo@EXAMPLE.com", "BOUNCE")]));
        fixture.scope = scope;
        let delivery = fixture.deliver_as(&settings, Mode::Enforced, &account, &notices).await;
        let to: Vec<String> = fixture.accepted().into_iter().map(|(to, _)| to).collect();
        assert_eq!(to, ["prod@example.com", "security@example.com"], "{scope:?}");
        assert_eq!(delivery.delivered, [Delivered::ToAll]);
        let [failure] = &delivery.failures[..] else { panic!("{:?}", delivery.failures) };
        assert!(failure.error.contains("J…@example.com") && failure.error.contains("(BOUNCE)"), "{failure:?}");
        assert!(failure.error.contains("RECIPIENT_EMAIL gets its notices"), "{failure:?}");
        assert_eq!(failure.user, Some(notices[0].user.name.clone()));
    }
}

#[tokio::test]
async fn reported_c3_without_anybody_else_a_notice_stays_due() {
    let account = contact("prod", Some("prod@example.com"));
    let fixture = MailFixture::of(suppressing(&[("jo@example.com", "COMPLAINT"), ("prod@example.com", "BOUNCE")]));
    let delivery = fixture.deliver_as(&settings(&[]), Mode::Enforced, &account, &[owned_by("jo@example.com")]).await;
    assert_eq!((delivery.mails, delivery.delivered), (0, vec![Delivered::ToNobody]));
    assert_eq!(delivery.failures.len(), 2);
    assert!(delivery.failures.iter().all(|failure| failure.error.contains("nobody gets its notices")));
}

#[tokio::test]
async fn reported_c3_a_list_for_other_reasons_drops_no_mail() {
    let account = contact("prod", Some("prod@example.com"));
    for (reasons, mails) in [(json!([]), 2), (json!(["COMPLAINT"]), 2), (json!(["BOUNCE"]), 1)] {
        for scope in [Scope::Run, Scope::Event] {
            let mut ses = suppressing(&[("jo@example.com", "BOUNCE")]);
            ses.account.1["SuppressionAttributes"] = json!({ "SuppressedReasons": reasons });
            let mut fixture = MailFixture::of(ses);
            fixture.scope = scope;
            let notices = [owned_by("jo@example.com")];
            let delivery = fixture.deliver_as(&settings(&[]), Mode::Enforced, &account, &notices).await;
            assert_eq!(delivery.mails, mails, "{reasons} {scope:?}");
        }
    }
}

#[tokio::test]
async fn reported_c3_an_unknown_list_is_one_report_and_mail_goes_on() {
    for (suppression, is_denied) in [(denied("*"), true), ((500, json!({})), false)] {
        let mut fixture = MailFixture::of(FakeSes { suppression, ..MailFixture::new(|_, _| None).ses });
        let delivery = fixture.deliver(Mode::Enforced, &of_many_owners(3)).await;
        assert_eq!((delivery.delivered, delivery.mails), (vec![Delivered::ToAll; 3], 4));
        let [failure] = &delivery.failures[..] else { panic!("{:?}", delivery.failures) };
        assert!(failure.error.contains("suppression list could not be read"), "{failure:?}");
        assert_eq!(failure.error.contains("needs ses:ListSuppressedDestinations"), is_denied, "{failure:?}");
        fixture.scope = Scope::Event;
        let delivery = fixture.deliver(Mode::Enforced, &of_many_owners(1)).await;
        assert_eq!((delivery.mails, delivery.failures), (2, Vec::new()), "an event only logs it");
    }
}

#[tokio::test]
async fn reported_c3_a_list_without_end_is_read_in_part() {
    let mut ses = suppressing(&[("jo@example.com", "BOUNCE")]);
    ses.suppression.1["NextToken"] = "again".into();
    let fixture = MailFixture::of(ses);
    let delivery = fixture.deliver(Mode::Enforced, &[owned_by("jo@example.com")]).await;
    assert_eq!(delivery.mails, 1, "only the account");
    let said: String = delivery.failures.iter().map(|failure| failure.error.as_str()).collect();
    assert!(said.contains("more than 20 pages") && said.contains("j…@example.com"), "{said}");
    let pages = fixture.ses.asked.lock().unwrap().iter().filter(|path| path.starts_with("suppression")).count();
    assert_eq!(pages, 20);
}

#[tokio::test]
async fn an_obstacle_known_beforehand_is_one_failure() {
    let shut = MailFixture::with_account(|account| account["EnforcementStatus"] = "SHUTDOWN".into());
    let paused = MailFixture::with_account(|account| account["SendingEnabled"] = false.into());
    let mut unverified = MailFixture::new(|_, _| None).ses;
    unverified.identities = vec![("example.com", (200, json!({"IdentityType": "DOMAIN"})))];
    for (fixture, reason) in
        [(shut, "SHUTDOWN"), (paused, "is paused"), (MailFixture::of(unverified), "is not verified in SES")]
    {
        let delivery = fixture.deliver(Mode::Enforced, &of_many_owners(40)).await;
        assert_eq!((delivery.delivered, delivery.mails), (vec![Delivered::ToNobody; 40], 0));
        let [failure] = &delivery.failures[..] else { panic!("{:?}", delivery.failures) };
        assert!(failure.error.starts_with("41 messages not sent: ") && failure.error.contains(reason), "{failure:?}");
        assert_eq!(fixture.ses.attempts.load(Ordering::SeqCst), 0);
    }
}

#[tokio::test]
async fn the_sandbox_and_a_review_are_reported_and_mail_is_sent() {
    let sandbox = MailFixture::with_account(|account| account["ProductionAccessEnabled"] = false.into());
    let review = MailFixture::with_account(|account| account["EnforcementStatus"] = "PROBATION".into());
    for (fixture, text) in [(sandbox, "SES is in its sandbox"), (review, "PROBATION")] {
        let delivery = fixture.deliver(Mode::Enforced, &of_many_owners(3)).await;
        assert_eq!(delivery.mails, 4);
        let [failure] = &delivery.failures[..] else { panic!("{:?}", delivery.failures) };
        assert!(failure.error.contains(text), "{failure:?}");
    }
}

#[tokio::test]
async fn unreadable_limits_are_reported_once_and_stop_nothing() {
    let fixtures = [
        (
            denied("*"),
            vec![("keys@example.com", denied("identity/keys@example.com")), ("example.com", denied("x"))],
            true,
        ),
        ((500, json!({})), vec![("example.com", verified())], false),
        // A response without the flags: a missing flag does not mean "no".
        ((200, json!({})), vec![("example.com", (200, json!({})))], false),
        ((200, unlimited()), vec![("keys@example.com", (500, json!({})))], false),
    ];
    for (account, identities, is_denied) in fixtures {
        let fixture =
            MailFixture::of(FakeSes { account: account.clone(), identities, ..MailFixture::new(|_, _| None).ses });
        let delivery = fixture.deliver(Mode::Enforced, &of_many_owners(3)).await;
        assert_eq!((delivery.delivered, delivery.mails), (vec![Delivered::ToAll; 3], 4), "{account:?}");
        let [failure] = &delivery.failures[..] else { panic!("{:?}", delivery.failures) };
        assert!(failure.error.starts_with("some of SES's limits could not be read"), "{failure:?}");
        assert_eq!(failure.error.contains("the sweeper's role needs ses:GetAccount"), is_denied, "{failure:?}");
        assert!(!failure.error.contains("keys@example.com"), "{failure:?}");
        let is_cautious = slept(&fixture, Duration::from_millis(900)) > 0;
        assert_eq!(is_cautious, account.1 != unlimited(), "{account:?}");
    }
}

#[tokio::test]
async fn any_verified_domain_above_is_enough() {
    let fixture = MailFixture::of(FakeSes {
        identities: vec![("mail.example.com", denied("x")), ("example.com", verified())],
        ..MailFixture::new(|_, _| None).ses
    });
    let settings = settings(&[("SENDER_EMAIL", "keys@mail.example.com"), ("SES_DOMAIN", "example.com")]);
    let account = contact("prod", Some("prod@example.com"));
    let delivery = fixture.deliver_as(&settings, Mode::Enforced, &account, &[notice(rotation_ahead())]).await;
    assert_eq!((delivery.mails, delivery.failures), (1, Vec::new()));
}

#[tokio::test]
async fn the_quota_goes_to_the_most_urgent() {
    let fixture = MailFixture::with_account(|account| {
        account["SendQuota"] = json!({"Max24HourSend": 200.0, "MaxSendRate": 1000.0, "SentLast24Hours": 197.0});
    });
    let mut notices = of_many_owners(10);
    notices[7].kind = NoticeKind::RotationFailed { failed: None, keys: Vec::new() };
    notices[8].kind = NoticeKind::Deleted;
    let delivery = fixture.deliver(Mode::Enforced, &notices).await;
    assert_eq!(delivery.mails, 3);
    let to: Vec<String> = fixture.accepted().into_iter().map(|(to, _)| to).collect();
    assert_eq!(to, ["owner07@example.com", "prod@example.com", "prod@example.com"], "both messages to the account");
    let [failure] = &delivery.failures[..] else { panic!("{:?}", delivery.failures) };
    assert!(failure.error.starts_with("9 messages not sent: SES takes 200 messages in 24 hours"), "{failure:?}");
    assert_eq!(delivery.delivered[7], Delivered::ToAll);
    assert_eq!(delivery.delivered[8], Delivered::ToSome(vec![Audience::Account]), "the next run sends it to the owner");
}

#[tokio::test]
async fn messages_keep_to_the_rate() {
    let fixture = MailFixture::with_account(|account| account["SendQuota"]["MaxSendRate"] = 2.0.into());
    let delivery = fixture.deliver(Mode::Enforced, &of_many_owners(4)).await;
    assert_eq!((delivery.mails, delivery.failures), (5, Vec::new()));
    // The clock stands still: every turn is half a second after the one before.
    let naps = fixture.naps.0.lock().unwrap().clone();
    for half_seconds in 1..5 {
        assert!(naps.contains(&Duration::from_millis(500 * half_seconds)), "{half_seconds}: {naps:?}");
    }
}

#[tokio::test]
async fn no_message_is_started_without_time_to_record_it() {
    let mut fixture = MailFixture::with_account(|account| account["SendQuota"]["MaxSendRate"] = 1.0.into());
    // The last message and the last record need 35 s, and 40 more records another second.
    fixture.time = TimeDelta::seconds(40);
    let delivery = fixture.deliver(Mode::Enforced, &of_many_owners(40)).await;
    assert_eq!(delivery.mails, 4);
    let [failure] = &delivery.failures[..] else { panic!("{:?}", delivery.failures) };
    assert!(failure.error.starts_with("37 messages not sent: the function's time is nearly over"), "{failure:?}");
    assert_eq!(delivery.delivered.iter().filter(|one| **one == Delivered::ToAll).count(), 3);

    fixture.time = TimeDelta::seconds(20);
    let before = fixture.ses.attempts.load(Ordering::SeqCst);
    let delivery = fixture.deliver(Mode::Enforced, &of_many_owners(2)).await;
    assert_eq!((delivery.mails, fixture.ses.attempts.load(Ordering::SeqCst)), (0, before));
}

#[tokio::test]
async fn settings_of_mail_go_with_every_message() {
    let fixture = MailFixture::new(|_, _| None);
    let settings = settings(&[("REPLY_TO_EMAIL", "help@example.com"), ("SES_CONFIGURATION_SET", "notices")]);
    let account = contact("prod", Some("prod@example.com"));
    fixture.deliver_as(&settings, Mode::Enforced, &account, &[notice(rotation_ahead())]).await;
    let sent = fixture.ses.accepted.lock().unwrap()[0].clone();
    assert_eq!(sent["ReplyToAddresses"], json!(["help@example.com"]));
    assert_eq!(sent["ConfigurationSetName"], "notices");
}
