//! Benchmarks of the planner: for one user in each state, and for a fleet of users.

use std::hint::black_box;

use chrono::{DateTime, TimeDelta, Utc};
use criterion::{Criterion, Throughput};

use keywheel::keys::{AccessKeyId, KeyStatus, KeyUse, LastUse, SecretName, UserArn, VersionId};
use keywheel::lifecycle::{Action, ActionName, Exemption, KeyFacts, PresentSecret, SecretFacts, UserFacts, plan};
use keywheel::settings::Periods;
use keywheel::state::{KeyDates, Phase, Reader, State};

const FLEET: u32 = 100_000;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    by_state(&mut criterion);
    fleet(&mut criterion);
    criterion.final_summary();
}

/// One user in each state.
fn by_state(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("plan");
    group.throughput(Throughput::Elements(1));
    for case in STATES {
        let facts = (case.facts)(1);
        case.check(&facts);
        group.bench_function(case.name, |bencher| bencher.iter(|| plan(black_box(&facts), &periods(), now())));
    }
    group.finish();
}

/// Plans a fleet of users in the states of an ordinary day. Nearly all plans are empty.
fn fleet(criterion: &mut Criterion) {
    let shares: Vec<&BenchedState> =
        STATES.iter().flat_map(|case| std::iter::repeat_n(case, case.in_a_hundred)).collect();
    assert_eq!(shares.len(), 100);
    // 37 and 100 have no common factor, so neighbours differ and every share is kept.
    let facts: Vec<UserFacts> = (0..FLEET).map(|n| (shares[n as usize * 37 % 100].facts)(n)).collect();
    let mut group = criterion.benchmark_group("fleet");
    group.throughput(Throughput::Elements(FLEET.into())).sample_size(20);
    group.bench_function("100,000 users", |bencher| {
        bencher.iter(|| facts.iter().filter(|facts| plan(black_box(facts), &periods(), now()).is_empty()).count());
    });
    group.finish();
}

/// A state of a user whose plan is measured.
struct BenchedState {
    name: &'static str,
    /// Number of users in this state among a hundred.
    in_a_hundred: usize,
    /// Returns the facts of the n-th user, in this state.
    facts: fn(u32) -> UserFacts,
    /// Expected actions, to prove that the benchmark measures this state.
    actions: &'static [ActionName],
    /// Expected number of notices.
    notices: usize,
}

const STATES: [BenchedState; 8] = [
    BenchedState { name: "idle", in_a_hundred: 70, facts: idle, actions: &[], notices: 0 },
    BenchedState { name: "before its first rotation", in_a_hundred: 10, facts: unrotated, actions: &[], notices: 0 },
    BenchedState { name: "installation grace", in_a_hundred: 7, facts: in_grace, actions: &[], notices: 0 },
    BenchedState { name: "recovery", in_a_hundred: 7, facts: in_recovery, actions: &[], notices: 0 },
    BenchedState {
        name: "to be disabled",
        in_a_hundred: 1,
        facts: to_be_disabled,
        actions: &[ActionName::Disable],
        notices: 1,
    },
    BenchedState { name: "due", in_a_hundred: 1, facts: due, actions: &[ActionName::Rotate], notices: 1 },
    BenchedState { name: "two keys of a person's", in_a_hundred: 2, facts: two_keys, actions: &[], notices: 0 },
    BenchedState { name: "exempt", in_a_hundred: 2, facts: exempt, actions: &[], notices: 0 },
];

impl BenchedState {
    fn check(&self, facts: &UserFacts) {
        let plan = plan(facts, &periods(), now());
        let actions: Vec<ActionName> = plan.actions.iter().map(Action::name).collect();
        let found = (&actions[..], plan.notices.len(), plan.problems.len());
        assert_eq!(found, (self.actions, self.notices, 0), "{}: {plan}", self.name);
    }
}

const OLD: u32 = 0;
const NEW: u32 = 1;

fn idle(n: u32) -> UserFacts {
    user(n, vec![key(n, NEW, 30)], after_recovery(n, 30))
}

fn unrotated(n: u32) -> UserFacts {
    user(n, vec![key(n, OLD, 40)], provisioned(n, OLD))
}

fn in_grace(n: u32) -> UserFacts {
    let secret = told(rotated(n, 5), &id(n, OLD), &[Phase::DisableAhead]);
    user(n, vec![used(key(n, OLD, 95), 6), key(n, NEW, 5)], secret)
}

fn in_recovery(n: u32) -> UserFacts {
    let mut secret = told(rotated(n, 14), &id(n, OLD), &[Phase::DisableAhead, Phase::Disabled]);
    secret.state.disabled_at = Some(now() - days(2));
    let old = KeyFacts { status: KeyStatus::Inactive, ..used(key(n, OLD, 104), 15) };
    user(n, vec![old, key(n, NEW, 14)], secret)
}

fn to_be_disabled(n: u32) -> UserFacts {
    let secret = told(rotated(n, 10), &id(n, OLD), &[Phase::DisableAhead]);
    user(n, vec![used(key(n, OLD, 100), 11), key(n, NEW, 10)], secret)
}

fn due(n: u32) -> UserFacts {
    user(n, vec![key(n, NEW, 90)], told(after_recovery(n, 90), &id(n, NEW), &[Phase::RotateAhead]))
}

fn two_keys(n: u32) -> UserFacts {
    user(n, vec![used(key(n, OLD, 50), 1), used(key(n, NEW, 20), 1)], provisioned(n, NEW))
}

fn exempt(n: u32) -> UserFacts {
    let secret = told(provisioned(n, OLD), &id(n, OLD), &[Phase::Cancelled]);
    let secret = PresentSecret { rotation_enabled: false, ..secret };
    UserFacts { exemption: Exemption::Exempt, ..user(n, vec![key(n, OLD, 400)], secret) }
}

fn user(n: u32, keys: Vec<KeyFacts>, secret: PresentSecret) -> UserFacts {
    UserFacts {
        arn: arn(n),
        id: "AIDAEXAMPLE".to_owned(),
        owner: Some("team@example.com".to_owned()),
        exemption: Exemption::NotExempt,
        keys,
        secret: SecretFacts::Present(secret),
        unreadable: None,
    }
}

/// Returns an active key. The last use of the old key was not read, as for a user's only key; the new one was never
/// used.
fn key(n: u32, which: u32, age: i64) -> KeyFacts {
    KeyFacts {
        id: id(n, which),
        status: KeyStatus::Active,
        created: now() - days(age),
        last_use: if which == OLD { LastUse::NotAsked } else { LastUse::Never },
    }
}

fn used(key: KeyFacts, ago: i64) -> KeyFacts {
    let last_use = KeyUse { time: now() - days(ago), service: "s3".to_owned(), region: "eu-west-1".to_owned() };
    KeyFacts { last_use: LastUse::At(last_use), ..key }
}

/// Returns a secret whose placeholder names the key.
fn provisioned(n: u32, which: u32) -> PresentSecret {
    let version = version(n);
    let state = State {
        managed: true,
        version: Some(version.clone()),
        current_key: Some(id(n, which)),
        reader: Reader::of(&format!("AIDA{n:016}"), &arn(n)),
        ..State::default()
    };
    PresentSecret {
        arn: format!("arn:aws:secretsmanager:eu-west-1:999988887777:secret:{}-a1B2c3", SecretName::of(arn(n).user())),
        rotation_enabled: true,
        next_rotation: Some(now() + days(90)),
        current_version: Some(version),
        unfinished_version: None,
        unfinished_since: None,
        replicas: Vec::new(),
        replica_of: None,
        state,
        drift: Vec::new(),
    }
}

/// Returns a secret with the new key, which replaced the old one `ago` days ago.
fn rotated(n: u32, ago: i64) -> PresentSecret {
    let mut secret = provisioned(n, NEW);
    secret.state.previous_key = Some(id(n, OLD));
    secret.state.rotated_at = Some(now() - days(ago));
    secret.state.key_dates = Some(KeyDates { current: Some(now() - days(ago)), others: Vec::new() });
    told(secret, &id(n, NEW), &[Phase::Rotated])
}

/// Returns a secret with the new key, after the old one was disabled and deleted.
fn after_recovery(n: u32, rotated_ago: i64) -> PresentSecret {
    let phases = [Phase::DisableAhead, Phase::Disabled, Phase::DeleteAhead, Phase::LastCall, Phase::Deleted];
    told(rotated(n, rotated_ago), &id(n, OLD), &phases)
}

fn told(mut secret: PresentSecret, key: &AccessKeyId, phases: &[Phase]) -> PresentSecret {
    for &phase in phases {
        secret.state.notified.record(key, phase);
    }
    secret
}

fn arn(n: u32) -> UserArn {
    format!("arn:aws:iam::111122223333:user/ci/deploy-bot-{n:06}").parse().expect("an ARN")
}

fn id(n: u32, which: u32) -> AccessKeyId {
    format!("AKIA{n:015}{which}").parse().expect("a key id")
}

fn version(n: u32) -> VersionId {
    format!("{n:032x}").parse().expect("a version id")
}

fn periods() -> Periods {
    Periods {
        rotation: days(90),
        installation_grace: days(10),
        recovery_grace: days(10),
        warn: days(7),
        repeat: Some(days(7)),
    }
}

fn days(days: i64) -> TimeDelta {
    TimeDelta::days(days)
}

/// 2026-11-22T09:00:00Z
fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_338_000, 0).expect("a time")
}
