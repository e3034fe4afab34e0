//! Sweeps of large accounts and of a large organization on the embedded AWS: calls, time on its clock at 40 ms a call,
//! and memory. Only the last column measures the machine.
//!
//! `cargo bench --bench fleet` runs the sizes of one account; `-- due` an account in which every user gets a notice;
//! `-- organization` the organization, which takes minutes.

use std::env;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::StreamExt as _;
use futures_util::stream;
use keywheel::model::{Clock, Cloud, Fault, FaultKind, paused_runtime};
use keywheel::rehearsal::{Deployment, PRIMARY_ACCOUNT, Transport};
use peak_alloc::PeakAlloc;
use serde_json::{Value, json};

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

const LATENCY: Duration = Duration::from_millis(40);
const MEMBER: &str = "111122223333";
/// How many accounts the state machine sweeps at the same time.
const ACCOUNTS_AT_ONCE: usize = 50;
const ACCOUNTS_A_PAGE: usize = 1_000;
/// Users of one account. By default IAM allows 5,000.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>
const SIZES: [usize; 3] = [1_000, 5_000, 10_000];
/// The keys of an account's users are 0 to 59 days old, so that nothing is due.
const AGES: i64 = 60;

fn main() {
    let asked: Vec<String> = env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let wants = |what: &str| asked.is_empty() || asked.iter().any(|argument| argument == what);
    let runtime = paused_runtime().expect("a runtime");
    if wants("account") {
        print_heading("One account, on a day on which nothing is due");
        for users in SIZES {
            runtime.block_on(account(users));
        }
    }
    if wants("due") {
        print_heading("One account, on a day on which every user gets a notice, as the state machine sweeps it");
        for users in [1_000, 5_000] {
            runtime.block_on(all_due(users));
        }
    }
    if asked.iter().any(|argument| argument == "organization") {
        print_heading("10,000 accounts with 20 users each, 50 accounts at a time, as the state machine sweeps them");
        runtime.block_on(organization(10_000, 20));
    } else if asked.is_empty() {
        print_heading("200 accounts with 20 users each, 50 accounts at a time (all 10,000: -- organization)");
        runtime.block_on(organization(200, 20));
    }
}

fn print_heading(text: &str) {
    print(&format!(
        "\n{text}\n{:<34} {:>9} {:>9} {:>11} {:>14} {:>12} {:>11}",
        "run", "users", "calls", "calls/user", "time at 40 ms", "peak memory", "real time"
    ));
}

#[expect(clippy::print_stdout, reason = "a benchmark reports on standard output")]
fn print(line: &str) {
    println!("{line}");
}

/// The calls, time and memory of a run.
struct Cost {
    calls: usize,
    time: TimeDelta,
    peak_bytes: usize,
    real: Duration,
}

impl Cost {
    fn print(&self, run: &str, users: usize) {
        let per_user = ratio(self.calls, users);
        let (seconds, megabytes) = (self.time.num_milliseconds(), self.peak_bytes / 100_000);
        print(&format!(
            "{run:<34} {users:>9} {:>9} {per_user:>11.3} {:>12}.{} s {:>9}.{} MB {:>9.1} s",
            self.calls,
            seconds / 1000,
            seconds % 1000 / 100,
            megabytes / 10,
            megabytes % 10,
            self.real.as_secs_f64(),
        ));
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of calls and users are far below 2^52")]
fn ratio(calls: usize, users: usize) -> f64 {
    calls as f64 / users as f64
}

/// Runs it and measures. Memory that the model holds before the run is not counted.
async fn measured(cloud: &Cloud, run: impl Future<Output = ()>) -> Cost {
    #[expect(clippy::disallowed_methods, reason = "how long the machine takes, beside the time on the model's clock")]
    let real = Instant::now();
    let (calls, began) = (cloud.call_count(), cloud.clock().now());
    let held = HEAP.current_usage();
    HEAP.reset_peak_usage();
    run.await;
    Cost {
        calls: cloud.call_count() - calls,
        time: cloud.clock().now() - began,
        peak_bytes: HEAP.peak_usage().saturating_sub(held),
        real: real.elapsed(),
    }
}

fn deployed(start: &str) -> (Cloud, Deployment) {
    let start: DateTime<Utc> = start.parse().expect("a time");
    let cloud = Cloud::new(Clock::starting_at(start), 1);
    cloud.switch(|aws| {
        aws.counts_only = true;
        aws.mail_headers_only = true;
        aws.key_propagation = Duration::ZERO;
    });
    cloud.add_account(PRIMARY_ACCOUNT, "security", Some("security@example.com"));
    cloud.set_management_account(PRIMARY_ACCOUNT);
    let keywheel = Deployment::through(Transport::Direct, &cloud, &[]).expect("settings that are right");
    keywheel.prepare_groups(PRIMARY_ACCOUNT);
    (cloud, keywheel)
}

/// Adds an account whose users' keys have that many ages, from 0 days on. Each account begins at another age.
fn add_account(cloud: &Cloud, keywheel: &Deployment, account: &str, users: usize, ages: i64) {
    // No two accounts of an organization have the same address.
    cloud.add_account(account, "member", Some(&format!("{account}@example.com")));
    keywheel.prepare_member(account);
    let youngest = account.bytes().map(i64::from).sum::<i64>() * 7;
    for (n, age) in (0..users).zip((youngest..).step_by(3).map(|age| age % ages)) {
        let name = format!("user-{n:06}");
        cloud.add_user(account, &name, "/");
        cloud.add_access_key(account, &name, cloud.clock().now() - TimeDelta::days(age));
    }
}

async fn account(users: usize) {
    let (cloud, keywheel) = deployed("2026-01-01T06:00:00Z");
    add_account(&cloud, &keywheel, MEMBER, users, AGES);
    let event = json!({"account": MEMBER, "name": "member", "email": "member@example.com"});
    provision(&keywheel, &event, users).await;
    cloud.clock().advance(Duration::from_hours(24)).await;
    let slow = cloud.faults().inject(Fault::on("*", "*", FaultKind::Latency(LATENCY)).every());
    let quiet_sweep = async || {
        let answer = sweep(&keywheel, event.clone()).await;
        assert_eq!((answer["users"].as_u64(), &answer["plan"]), (u64::try_from(users).ok(), &json!([])), "{answer:#}");
    };
    let mut cost = measured(&cloud, quiet_sweep()).await;
    // The model makes its credential report in the first sweep, and keeps it.
    cloud.clock().advance(Duration::from_hours(1)).await;
    cost.peak_bytes = measured(&cloud, quiet_sweep()).await.peak_bytes;
    cost.print("nothing due", users);
    slow.remove();
}

async fn all_due(users: usize) {
    let (cloud, keywheel) = deployed("2026-01-01T06:00:00Z");
    add_account(&cloud, &keywheel, MEMBER, users, 1);
    let event = json!({"account": MEMBER, "name": "member", "email": "member@example.com", "notices": "later"});
    provision(&keywheel, &event, users).await;
    // The model makes its credential report in the first sweep of a day, and keeps it.
    cloud.clock().advance(Duration::from_hours(82 * 24)).await;
    sweep(&keywheel, event.clone()).await;
    cloud.clock().advance(Duration::from_hours(24)).await;
    let slow = cloud.faults().inject(Fault::on("*", "*", FaultKind::Latency(LATENCY)).every());
    measured(&cloud, async { drop(sweep(&keywheel, event).await) }).await.print("all are warned: the sweep", users);
    cloud.clock().advance(Duration::from_mins(5)).await;
    let digest = async {
        let answer = sweep(&keywheel, json!({"digest": {}})).await;
        assert_eq!(answer["actions"]["warn"].as_u64(), u64::try_from(users).ok(), "{answer:#}");
    };
    measured(&cloud, digest).await.print("its digest", users);
    slow.remove();
}

/// Sweeps until every user has a secret: a large account takes several runs.
async fn provision(keywheel: &Deployment, event: &Value, users: usize) {
    let mut provisioned = 0;
    while provisioned < u64::try_from(users).expect("a number of users") {
        provisioned += sweep(keywheel, event.clone()).await["actions"]["provision"].as_u64().unwrap_or_default();
    }
}

async fn sweep(keywheel: &Deployment, event: Value) -> Value {
    let answer = keywheel.sweep(event).await.expect("the sweeper answers");
    assert_eq!(answer["failures"], json!([]), "{answer:#}");
    answer
}

async fn organization(accounts: usize, users: usize) {
    let (cloud, keywheel) = deployed("2026-01-01T06:00:00Z");
    for n in 0..accounts {
        add_account(&cloud, &keywheel, &format!("{}", 100_000_000_000 + n), users, AGES);
    }
    run_state_machine(&keywheel).await;
    let slow = cloud.faults().inject(Fault::on("*", "*", FaultKind::Latency(LATENCY)).every());
    let all = accounts * users;
    cloud.clock().advance(Duration::from_hours(24)).await;
    measured(&cloud, run_state_machine(&keywheel)).await.print("nothing due", all);
    // The first of these days makes up for the month before it; the second is an ordinary day.
    cloud.clock().advance(Duration::from_hours(28 * 24)).await;
    measured(&cloud, run_state_machine(&keywheel)).await.print("first sweep after four weeks", all);
    cloud.clock().advance(Duration::from_hours(24)).await;
    measured(&cloud, run_state_machine(&keywheel)).await.print("an ordinary day", all);
    slow.remove();
}

/// Pages of accounts, each account in an invocation of its own, and the digest at the end.
async fn run_state_machine(keywheel: &Deployment) {
    let mut next_token = Value::Null;
    loop {
        let asked = json!({"inventory": {"next_token": next_token, "limit": ACCOUNTS_A_PAGE}});
        let page = keywheel.sweep(asked).await.expect("a page of accounts");
        let listed = page["accounts"].as_array().cloned().unwrap_or_default();
        let mut swept = stream::iter(listed)
            .map(async |mut event: Value| {
                event["notices"] = json!("later");
                sweep(keywheel, event).await
            })
            .buffer_unordered(ACCOUNTS_AT_ONCE);
        while swept.next().await.is_some() {}
        drop(swept);
        // The service tests the schedules that were set.
        keywheel.cloud().run_rotations().await;
        next_token = page["next_token"].clone();
        if next_token.is_null() {
            break;
        }
    }
    // Lists of secrets lag behind marks.
    keywheel.cloud().clock().advance(Duration::from_mins(5)).await;
    let mut event = json!({"digest": {}});
    loop {
        let after = sweep(keywheel, event).await["digest_after"].take();
        if after.is_null() {
            break;
        }
        event = json!({"digest": {"after": after}});
    }
}
