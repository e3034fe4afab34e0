//! Benchmarks of the text that keywheel reads and writes: reports, tags, names, events, policies and mails.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::hint::black_box;
use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};
use criterion::{Criterion, Throughput};

use keywheel::aws::CredentialReport;
use keywheel::keys::{AccessKeyId, EmailAddress, SecretArn, SecretName, UserArn, UserRef};
use keywheel::lifecycle::{Notice, NoticeDate, NoticeKind};
use keywheel::notify::{AccountContact, Addressed, Mode, Templates, compose};
use keywheel::provision::policy;
use keywheel::rotation::event::RotationEvent;
use keywheel::settings::{Function, Settings};
use keywheel::state::{Notified, State, tag};

const REPORTED_USERS: usize = 10_000;
const NOTICES: usize = 100;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    credential_report(&mut criterion);
    tags(&mut criterion);
    names(&mut criterion);
    events_and_policies(&mut criterion);
    mails(&mut criterion);
    criterion.final_summary();
}

fn credential_report(criterion: &mut Criterion) {
    let text = report(REPORTED_USERS);
    let read = || CredentialReport::read(black_box(text.as_bytes())).expect("a report");
    assert_eq!(read().users().count(), REPORTED_USERS);
    let mut group = criterion.benchmark_group("credential report");
    group.throughput(Throughput::Bytes(text.len() as u64)).sample_size(20);
    group.bench_function("10,000 users", |bencher| bencher.iter(read));
    group.finish();
}

/// Returns a report as IAM writes it; one user in three has a second key.
fn report(users: usize) -> String {
    let mut text = "user,arn,user_creation_time,password_enabled,password_last_used,password_last_changed,\
        password_next_rotation,mfa_active,access_key_1_active,access_key_1_last_rotated,access_key_1_last_used_date,\
        access_key_1_last_used_region,access_key_1_last_used_service,access_key_2_active,access_key_2_last_rotated,\
        access_key_2_last_used_date,access_key_2_last_used_region,access_key_2_last_used_service,cert_1_active,\
        cert_1_last_rotated,cert_2_active,cert_2_last_rotated\n\
        <root_account>,arn:aws:iam::111122223333:root,2020-01-01T00:00:00+00:00,not_supported,no_information,\
        not_supported,not_supported,true,false,N/A,N/A,N/A,N/A,false,N/A,N/A,N/A,N/A,false,N/A,false,N/A"
        .to_owned();
    let used = "true,2026-09-02T03:04:05+00:00,2026-11-21T05:06:00+00:00,eu-west-1,s3";
    let none = "false,N/A,N/A,N/A,N/A";
    for n in 0..users {
        let second = if n % 3 == 0 { used } else { none };
        write!(
            text,
            "\ndeploy-bot-{n:05},{},2024-05-06T07:08:09+00:00,false,N/A,N/A,N/A,false,{used},{second},false,N/A,false,N/A",
            arn(n)
        )
        .expect("writing to a string does not fail");
    }
    text
}

fn tags(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("tags");
    for (name, tags) in [("idle user", idle_tags()), ("user in recovery", recovery_tags())] {
        assert_eq!(State::read(&tags).malformed, []);
        group.bench_function(name, |bencher| bencher.iter(|| State::read(black_box(&tags))));
    }
    let notified = State::read(&recovery_tags()).notified;
    group.bench_function("what was told, written", |bencher| bencher.iter(|| black_box(&notified).to_tag()));
    group.finish();
}

fn idle_tags() -> BTreeMap<String, String> {
    let (old, new) = (key(1), key(2));
    let told = format!("{old}=deleted.delete-ahead.disable-ahead.disabled.last-call {new}=rotated");
    let own = [
        (tag::MANAGED, "1".to_owned()),
        (tag::VERSION, "7c3e1a52-0c1d-4e0f-9a57-1c2f3d4e5f60".to_owned()),
        (tag::CURRENT_KEY, new.to_string()),
        (tag::PREVIOUS_KEY, old.to_string()),
        (tag::ROTATED_AT, "2026-10-23T09:00:00Z".to_owned()),
        (tag::NOTIFIED, told),
        (tag::KEY_DATES, "2026-10-23T08:59:58Z".to_owned()),
        (tag::READER, "AIDAEXAMPLEEXAMPLE123 /ci/".to_owned()),
    ];
    // Tags that other tools set.
    let others = [("cost-center", "4711".to_owned()), ("aws:cloudformation:stack-name", "platform".to_owned())];
    own.into_iter().chain(others).map(|(name, value)| (name.to_owned(), value)).collect()
}

fn recovery_tags() -> BTreeMap<String, String> {
    let mut tags = idle_tags();
    let told = format!("{}=disable-ahead.disabled@ao.in-use@o:20779 {}=rotated", key(1), key(2));
    for (name, value) in [
        (tag::NOTIFIED, told),
        (tag::DISABLED_AT, "2026-11-18T09:00:00Z".to_owned()),
        (tag::RETIRING, format!("{} 2026-11-08T09:00:00Z", key(1))),
        (tag::INTENT, "0123456789abcdef0123456789abcdef 2026-10-23T08:59:57Z".to_owned()),
    ] {
        tags.insert(name.to_owned(), value);
    }
    tags
}

fn names(criterion: &mut Criterion) {
    let user_arn = arn(1);
    let secret_arn = secret_arn(arn(1).user());
    let secret_name = SecretName::of(arn(1).user());
    let mut group = criterion.benchmark_group("names");
    group.bench_function("user ARN", |bencher| bencher.iter(|| UserArn::from_str(black_box(user_arn.as_str()))));
    group.bench_function("secret ARN", |bencher| bencher.iter(|| SecretArn::from_str(black_box(&secret_arn))));
    let text = secret_name.to_string();
    group.bench_function("secret name", |bencher| bencher.iter(|| SecretName::from_str(black_box(&text))));
    group.bench_function("secret name, written", |bencher| bencher.iter(|| black_box(&secret_name).to_string()));
    group.finish();
}

fn events_and_policies(criterion: &mut Criterion) {
    let event = serde_json::json!({
        "Step": "testSecret",
        "SecretId": secret_arn(arn(1).user()),
        "ClientRequestToken": "7c3e1a52-0c1d-4e0f-9a57-1c2f3d4e5f60",
        "RotationToken": "00000000-0000-4000-8000-000000000000",
    })
    .to_string();
    let read = || RotationEvent::read(serde_json::from_str(black_box(&event)).expect("JSON")).expect("an event");
    criterion.bench_function("rotation event", |bencher| bencher.iter(read));

    let user = arn(1);
    let policy = policy::for_user(&user).to_string();
    let fits = || policy::is_for_user(black_box(&policy), black_box(&user));
    assert!(fits());
    criterion.bench_function("resource policy", |bencher| bencher.iter(fits));
}

/// A mail with one notice, and a digest of many notices of one account.
fn mails(criterion: &mut Criterion) {
    let settings = Settings::read(Function::Rotation, |variable| match variable {
        "PRIMARY_ACCOUNT_ID" => Some("999988887777".to_owned()),
        _ => None,
    });
    let settings = settings.expect("settings");
    let templates = Templates::load(&settings, |_| None).expect("the built-in templates");
    let recipient: EmailAddress = "owner@example.com".parse().expect("an address");
    let account = AccountContact { name: "prod".to_owned(), ..AccountContact::without_address(&arn(1).user().account) };
    let notices: Vec<Notice> = (0..NOTICES).map(notice).collect();
    let notified = Notified::default();
    let addressed: Vec<Addressed<'_>> =
        notices.iter().map(|notice| Addressed { notice, account: &account, notified: &notified }).collect();
    let all: Vec<&Addressed<'_>> = addressed.iter().collect();
    let mut group = criterion.benchmark_group("mail");
    for (name, items) in [("one notice", &all[..1]), ("digest of 100 notices", &all[..])] {
        let rendered = || compose(&templates, Mode::Enforced, now(), &recipient, black_box(items)).expect("a mail");
        assert!(rendered().html.contains(&arn(0).user().name.to_string()), "{name}");
        group.throughput(Throughput::Elements(items.len() as u64));
        group.bench_function(name, |bencher| bencher.iter(rendered));
    }
    group.finish();
}

fn notice(n: usize) -> Notice {
    let user = arn(n).user().clone();
    let at = NoticeDate::On(now() + TimeDelta::days(5));
    let kind = match n % 4 {
        0 => NoticeKind::RotationAhead { at },
        1 => NoticeKind::DisableAhead { at, last_use: None },
        2 => NoticeKind::Disabled { delete_at: at, last_use: None },
        _ => NoticeKind::Deleted,
    };
    Notice {
        owner: None,
        secret_arn: Some(secret_arn(&user)),
        key: key(n),
        created: Some(now() - TimeDelta::days(85)),
        kind,
        tells_of: None,
        user,
    }
}

fn arn(n: usize) -> UserArn {
    format!("arn:aws:iam::111122223333:user/ci/deploy-bot-{n:05}").parse().expect("an ARN")
}

fn secret_arn(user: &UserRef) -> String {
    format!("arn:aws:secretsmanager:eu-west-1:999988887777:secret:{}-a1B2c3", SecretName::of(user))
}

fn key(n: usize) -> AccessKeyId {
    format!("AKIA{n:016}").parse().expect("a key id")
}

fn now() -> DateTime<Utc> {
    "2026-11-22T09:00:00Z".parse().expect("a time")
}
