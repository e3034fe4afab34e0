//! Unknown is not no. While a read fails for one user or account, no action that depends on it is taken there, the
//! report says so, and everything else continues. Once the read works again, the missing actions follow.
//!
//! The cases are generated: every read of a clean run is refused for good, throttled, and left without an answer.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;

use chrono::{DateTime, TimeDelta, Utc};
use keywheel::model::{Fault, FaultHandle, FaultKind, KeyEvent};
use keywheel::rehearsal::Transport;
use serde_json::{Value, json};

use crate::fault_matrix::is_read;
use crate::harness::{MEMBER, OTHER, TestStack, rehearse, secret_name};

/// The user for whom reads fail.
const VICTIM: &str = "victim";
/// All users: the victim, another user of its account, and a user of another account.
const USERS: [(&str, &str); 3] = [(MEMBER, VICTIM), (MEMBER, "neighbour"), (OTHER, "stranger")];

/// A stage on which the same action is due for all users, and the time when it is due.
struct Due {
    name: &'static str,
    stage: TestStack,
    at: DateTime<Utc>,
    /// The action that the sweep takes for each user; none if the native schedule has to act.
    action: Option<&'static str>,
}

/// A read of the clean run, under the names that faults use.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Read {
    service: String,
    operation: String,
}

/// The extent of a failed read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// One user.
    User,
    /// All users of one account.
    Account,
    /// All accounts.
    All,
}

impl Read {
    fn reach(&self) -> Reach {
        match self.operation.as_str() {
            "ListAccounts" => Reach::All,
            "AssumeRole" | "GetAccountAuthorizationDetails" | "ListSecrets" => Reach::Account,
            _ => Reach::User,
        }
    }

    /// The text in this read's input that names the victim or its account.
    fn about(&self, stage: &TestStack) -> Vec<Fault> {
        let fault = || Fault::on(&self.service, &self.operation, FaultKind::AccessDenied).every();
        match self.operation.as_str() {
            "ListAccounts" => vec![fault()],
            "AssumeRole" => vec![fault().about(&format!("::{MEMBER}:"))],
            "ListSecrets" => vec![fault().about(&format!("Account_{MEMBER}_"))],
            "GetAccountAuthorizationDetails" => vec![fault().in_account(MEMBER)],
            "GetAccessKeyLastUsed" => {
                let keys = stage.user(VICTIM).keys;
                keys.iter().map(|key| fault().about(&key.id)).collect()
            }
            _ => vec![fault().about(VICTIM)],
        }
    }
}

fn kinds() -> [(&'static str, FaultKind); 3] {
    [
        ("denied", FaultKind::AccessDenied),
        ("throttled", FaultKind::Throttle { times: 1 }),
        ("left without an answer", FaultKind::Hang),
    ]
}

fn add_users(stage: &TestStack, key_ages: &[i64]) {
    for (account, user) in USERS {
        stage.add_user_in(account, user, key_ages);
    }
}

/// A stage with two member accounts, and users with keys of these ages.
fn stage(key_ages: &[i64]) -> TestStack {
    let stage = TestStack::new();
    stage.add_member(OTHER, "test");
    add_users(&stage, key_ages);
    stage
}

async fn rotated_ago(days: &[i64]) -> TestStack {
    let stage = stage(&[90]);
    let start = stage.now();
    for day in [&[0], days].concat() {
        stage.cloud.clock().advance_to(start + TimeDelta::days(day)).await;
        stage.live().await;
    }
    stage
}

fn due(name: &'static str, stage: TestStack, action: &'static str) -> Due {
    let at = stage.now();
    Due { name, stage, at, action: Some(action) }
}

/// The changes of keys that keywheel made, and the state of the user's secret. A failed read must not change them.
#[derive(Debug, PartialEq)]
struct Deeds {
    keys: Vec<KeyEvent>,
    secret: Option<SecretStands>,
}

/// The part of a secret that only actions change.
#[derive(Debug, PartialEq)]
struct SecretStands {
    tags: BTreeMap<String, String>,
    current: Option<String>,
    is_scheduled: bool,
    is_deleted: bool,
}

fn deeds(stage: &TestStack, account: &str, user: &str) -> Deeds {
    let keys = stage.cloud.key_history(0).into_iter().filter(|event| event.user == user && event.by.is_some());
    let secret = stage.cloud.secret(&secret_name(account, user)).map(|secret| SecretStands {
        current: secret.version_with("AWSCURRENT").map(|version| version.id.clone()),
        is_scheduled: secret.rotation_enabled,
        is_deleted: secret.deletion_date.is_some(),
        tags: secret.tags,
    });
    Deeds { keys: keys.collect(), secret }
}

fn is_reported(answer: &Value, reach: Reach) -> bool {
    let failures = answer["failures"].as_array().expect("a list");
    failures.iter().any(|failure| {
        let of_account = failure["account"] == MEMBER;
        let in_words = failure["error"].as_str().is_some_and(|error| error.len() > 20);
        let of_whom = match reach {
            Reach::User => of_account && failure["user"] == VICTIM,
            Reach::Account => of_account,
            Reach::All => true,
        };
        of_whom && in_words
    })
}

/// The users who are outside the extent of a failed read.
fn others(reach: Reach) -> Vec<(&'static str, &'static str)> {
    USERS
        .into_iter()
        .filter(|(account, user)| match reach {
            Reach::User => *user != VICTIM,
            Reach::Account => *account != MEMBER,
            Reach::All => false,
        })
        .collect()
}

/// The users who are within the extent of a failed read.
fn concerned(reach: Reach) -> Vec<(&'static str, &'static str)> {
    let others = others(reach);
    USERS.into_iter().filter(|user| !others.contains(user)).collect()
}

fn plant(stage: &TestStack, read: &Read, kind: &FaultKind) -> Vec<FaultHandle> {
    let faults = read.about(stage).into_iter();
    faults.map(|fault| stage.cloud.faults().inject(Fault { kind: kind.clone(), ..fault })).collect()
}

/// Returns the reads of a clean sweep.
async fn reads_of(due: &Due) -> BTreeSet<Read> {
    let stage = due.stage.fork_at(due.at, Transport::Direct);
    stage.cloud.forget_calls();
    let answer = stage.sweep_well().await;
    let done = due.action.map_or(0, |action| answer["actions"][action].as_u64().unwrap_or_default());
    assert_eq!(done, 3, "{}: due for all: {answer}", due.name);
    reads(&stage)
}

fn reads(stage: &TestStack) -> BTreeSet<Read> {
    // Reads of SES concern mail only: a failed one delays neither work on keys nor mail, as `mail` shows.
    let calls = stage.cloud.calls().into_iter().filter(|call| is_read(&call.operation) && call.service != "ses");
    calls.map(|call| Read { service: call.service, operation: call.operation }).collect()
}

/// Runs one sweep during which a read fails, and one sweep after it.
async fn sweep_without(due: &Due, read: &Read, kind: &FaultKind, context: &str) {
    let stage = due.stage.fork_at(due.at, Transport::Direct);
    let action = due.action.expect("a sweep's action");
    let reach = read.reach();
    let before: Vec<Deeds> = concerned(reach).iter().map(|(account, user)| deeds(&stage, account, user)).collect();
    let planted = plant(&stage, read, kind);
    let answer = stage.keywheel.sweep(json!({})).await;
    assert!(planted.iter().any(|fault| fault.fired() > 0), "{context}: it is made");
    match &answer {
        Err(_) => assert_eq!(reach, Reach::All, "{context}: the sweep as a whole failed"),
        Ok(answer) => {
            assert!(is_reported(answer, reach), "{context}: not reported: {answer:#}");
            let done = answer["actions"][action].as_u64().unwrap_or_default();
            assert_eq!(done, others(reach).len() as u64, "{context}: the others go on: {answer:#}");
        }
    }
    let after: Vec<Deeds> = concerned(reach).iter().map(|(account, user)| deeds(&stage, account, user)).collect();
    assert_eq!(after, before, "{context}: nothing is done without it");
    stage.cloud.faults().clear();
    // The rotations of the other users end, so that they are not started again.
    stage.cloud.run_rotations().await;
    let answer = stage.sweep_well().await;
    let done = answer["actions"][action].as_u64().unwrap_or_default();
    assert_eq!(done, concerned(reach).len() as u64, "{context}: made up for: {answer:#}");
}

fn without_every_read(prepare: impl AsyncFnOnce() -> Due) {
    rehearse(async {
        let due = prepare().await;
        let reads = reads_of(&due).await;
        for read in &reads {
            for (how, kind) in kinds() {
                let context = format!("{}: {}:{} {how}", due.name, read.service, read.operation);
                sweep_without(&due, read, &kind, &context).await;
            }
        }
        report(due.name, reads.len());
    });
}

/// Prints past libtest's capture.
fn report(name: &str, reads: usize) {
    let kinds = kinds().len();
    writeln!(std::io::stderr(), "unknown is not no: {name}: {reads} reads x {kinds} kinds, none taken for no")
        .expect("standard error can be written");
}

#[test]
fn nothing_is_provisioned() {
    without_every_read(async || due("provisioning", stage(&[10]), "provision"));
}

#[test]
fn no_rotation_is_started() {
    without_every_read(async || {
        let stage = stage(&[20]);
        stage.live().await;
        stage.pass_days(70).await;
        due("start of a rotation", stage, "rotate")
    });
}

#[test]
fn no_key_is_disabled() {
    without_every_read(async || {
        let stage = rotated_ago(&[5]).await;
        stage.pass_days(6).await;
        due("disable", stage, "disable")
    });
}

#[test]
fn no_key_is_deleted() {
    without_every_read(async || {
        let stage = rotated_ago(&[5, 12, 16]).await;
        stage.pass_days(7).await;
        due("delete", stage, "delete")
    });
}

#[test]
fn no_second_key_is_retired() {
    without_every_read(async || {
        let stage = stage(&[60, 30]);
        stage.live().await;
        stage.pass_days(9).await;
        due("second key", stage, "retire")
    });
}

#[test]
fn no_secret_of_a_deleted_user_is_deleted() {
    without_every_read(async || {
        let stage = rotated_ago(&[1]).await;
        for (account, user) in USERS {
            stage.cloud.delete_user(account, user);
        }
        stage.pass_days(1).await;
        due("clean-up", stage, "delete-secret")
    });
}

#[test]
fn no_schedule_is_cancelled() {
    without_every_read(async || {
        let stage = rotated_ago(&[5, 12, 16, 23]).await;
        let group = stage.keywheel.settings().exemption_group.clone();
        for (account, user) in USERS {
            stage.cloud.add_to_group(account, &group, user);
        }
        stage.pass_days(1).await;
        due("exemption", stage, "cancel")
    });
}

/// The native schedule rotates all users; every read of the rotation function fails for one of them.
#[test]
fn no_rotation_goes_on() {
    rehearse(async {
        let stage = rotated_ago(&[5, 12, 16, 23, 84]).await;
        stage.cloud.clock().advance_to(stage.cloud.next_rotation_due().expect("a schedule")).await;
        stage.cloud.clock().advance(std::time::Duration::from_mins(1)).await;
        let at = stage.now();
        let clean = stage.fork_at(at, Transport::Direct);
        clean.cloud.forget_calls();
        clean.cloud.fire_due_rotations().await;
        let mut reads = reads(&clean);
        // Excluded, because the new key itself makes this call, which is the test.
        reads.retain(|read| read.operation != "GetCallerIdentity");
        for read in &reads {
            for (how, kind) in kinds() {
                rotate_without(&stage, at, read, &kind, &format!("{}:{} {how}", read.service, read.operation)).await;
            }
        }
        report("native rotation", reads.len());
    });
}

async fn rotate_without(due: &TestStack, at: DateTime<Utc>, read: &Read, kind: &FaultKind, context: &str) {
    let stage = due.fork_at(at, Transport::Direct);
    let reach = read.reach();
    let before: Vec<_> = USERS.iter().map(|(account, user)| current(&stage, account, user)).collect();
    let planted = plant(&stage, read, kind);
    stage.cloud.fire_due_rotations().await;
    assert!(planted.iter().any(|fault| fault.fired() > 0), "{context}: it is made");
    for ((account, user), before) in USERS.iter().zip(&before) {
        let secret = stage.cloud.secret(&secret_name(account, user)).expect("a secret");
        let is_rotated = current(&stage, account, user) != *before;
        if others(reach).contains(&(account, user)) {
            assert!(is_rotated && secret.last_rotation == Some(Ok(())), "{context}: {user} goes on");
            continue;
        }
        let why = secret.last_rotation.expect("a rotation").expect_err("it failed");
        assert!(why.len() > 20 && !is_rotated, "{context}: {why}");
        let view = stage.cloud.user(account, user).expect("a user");
        let old = before.as_deref().and_then(|id| view.key(id));
        assert!(old.is_some_and(keywheel::model::KeyView::is_active), "{context}: readers' key works on");
    }
    stage.cloud.faults().clear();
    for _ in 0..2 {
        stage.pass_days(1).await;
        stage.live().await;
    }
    for ((account, user), before) in USERS.iter().zip(&before) {
        assert_ne!(current(&stage, account, user), *before, "{context}: {user} is made up for");
        let keys = stage.cloud.user(account, user).expect("a user").keys;
        assert_eq!(keys.len(), 2, "{context}: {user} has the old one and the new one: {keys:?}");
    }
}

fn current(stage: &TestStack, account: &str, user: &str) -> Option<String> {
    let value = stage.cloud.secret(&secret_name(account, user))?.json("AWSCURRENT")?;
    Some(value["AccessKeyId"].as_str()?.to_owned())
}
