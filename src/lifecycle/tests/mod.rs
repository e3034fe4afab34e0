//! Tests of the policy, with short ways to write facts and to compare decisions.

mod boundaries;
mod checks;
mod departed_account;
mod display;
mod early_schedule;
mod news;
mod properties;
mod simulation;
mod states;
mod stuck;
mod table;
mod upstream;
mod waiting;

use chrono::{DateTime, TimeDelta, Utc};

use super::{Drift, Exemption, KeyFacts, LastUse, PresentSecret, SecretFacts, UserFacts, plan};
use crate::keys::{AccessKeyId, KeyStatus, KeyUse, VersionId};
use crate::settings::Periods;
use crate::state::{Intent, Phase, Retiring, State};
use crate::testing::{key as id, now, version};

const SECOND: TimeDelta = TimeDelta::seconds(1);

fn days(days: i64) -> TimeDelta {
    TimeDelta::days(days)
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

fn used_at(time: DateTime<Utc>) -> LastUse {
    LastUse::At(KeyUse { time, service: "s3".to_owned(), region: "eu-west-1".to_owned() })
}

/// An active key of that age that was never used.
fn key(n: u64, age: TimeDelta) -> KeyFacts {
    KeyFacts { id: id(n), status: KeyStatus::Active, created: now() - age, last_use: LastUse::Never }
}

impl KeyFacts {
    fn inactive(self) -> Self {
        Self { status: KeyStatus::Inactive, ..self }
    }

    fn used(self, ago: TimeDelta) -> Self {
        Self { last_use: used_at(now() - ago), ..self }
    }

    fn unknown(self) -> Self {
        Self { last_use: LastUse::Unknown("throttled".to_owned()), ..self }
    }
}

/// A user that is not exempt and has no secret; keys oldest first.
fn user(keys: impl Into<Vec<KeyFacts>>) -> UserFacts {
    UserFacts {
        arn: "arn:aws:iam::111122223333:user/ci-bot".parse().expect("an ARN"),
        id: "AIDACIBOT".to_owned(),
        owner: None,
        exemption: Exemption::NotExempt,
        keys: keys.into(),
        secret: SecretFacts::Missing,
        unreadable: None,
    }
}

impl UserFacts {
    fn with(self, secret: PresentSecret) -> Self {
        Self { secret: SecretFacts::Present(secret), ..self }
    }

    fn exempt(self, exemption: Exemption) -> Self {
        Self { exemption, ..self }
    }
}

/// A secret as provisioning makes it: its placeholder names that key.
fn placeholder(current: u64) -> PresentSecret {
    let state = State { managed: true, version: Some(version(1)), current_key: Some(id(current)), ..State::default() };
    PresentSecret {
        arn: "arn:aws:secretsmanager:eu-west-1:111122223333:secret:Account_111122223333_User_ci-bot_AccessKey-AbCdEf"
            .to_owned(),
        rotation_enabled: true,
        next_rotation: None,
        current_version: Some(version(1)),
        unfinished_version: None,
        unfinished_since: None,
        replicas: Vec::new(),
        replica_of: None,
        state,
        drift: Vec::new(),
    }
}

/// A secret whose current key a rotation made and tested `ago`.
fn rotated(current: u64, previous: Option<u64>, ago: TimeDelta) -> PresentSecret {
    let secret = placeholder(current);
    secret.state(|state| {
        state.previous_key = previous.map(id);
        state.rotated_at = Some(now() - ago);
    })
}

impl PresentSecret {
    fn state(mut self, change: impl FnOnce(&mut State)) -> Self {
        change(&mut self.state);
        self
    }

    fn sent(self, n: u64, phases: &[Phase]) -> Self {
        self.state(|state| {
            for &phase in phases {
                match phase {
                    Phase::InUse | Phase::Failed | Phase::Unfinished => state.notified.record_on(&id(n), phase, now()),
                    phase => state.notified.record(&id(n), phase),
                }
            }
        })
    }

    fn disabled(self, ago: TimeDelta) -> Self {
        self.state(|state| state.disabled_at = Some(now() - ago))
    }

    fn retiring(self, n: u64, ago: TimeDelta) -> Self {
        self.state(|state| state.retiring = Some(Retiring { key: id(n), since: now() - ago }))
    }

    fn intent(self, of: u64, ago: TimeDelta) -> Self {
        self.state(|state| state.intent = Some(Intent::new(&version(of), now() - ago)))
    }

    fn unfinished(self, of: u64) -> Self {
        Self { unfinished_version: Some(version(of)), ..self }
    }

    fn begun(self, ago: TimeDelta) -> Self {
        Self { unfinished_since: Some(now() - ago), ..self }
    }

    fn current(self, of: u64) -> Self {
        Self { current_version: Some(version(of)), ..self }
    }

    fn drift(self, drift: Drift) -> Self {
        Self { drift: vec![drift], ..self }
    }
}

/// The plan in one line: its actions, notices and problems, keys by their number.
fn decide(facts: &UserFacts) -> String {
    let plan = plan(facts, &periods(), now());
    let actions = plan.actions.iter().map(ToString::to_string);
    let notices = plan.notices.iter().map(|notice| format!("notify {notice}"));
    let problems = plan.problems.iter().map(|problem| format!("problem {problem}"));
    let line = actions.chain(notices).chain(problems).collect::<Vec<_>>().join(" | ");
    by_number(&line)
}

/// The text with the ids of keys 1 to 9 cut down to their numbers.
fn by_number(text: &str) -> String {
    (1..=9).fold(text.to_owned(), |text, n| text.replace(&format!("AKIA{n:016}"), &n.to_string()))
}
