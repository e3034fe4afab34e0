//! What must hold whatever happens: the invariants a to i, judged by what really happened to every key.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;

use crate::keys::SecretName;
use crate::model::{Cloud, KeyChange, KeyEvent, KeyView, SecretView};
use crate::settings::Settings;

/// The invariants, with their words.
pub const INVARIANTS: [(char, &str); 9] = [
    ('a', "no active key is ever deleted; disable comes first"),
    ('b', "no key is deleted before its whole recovery period has passed"),
    ('c', "while something is unknown, nothing is destroyed"),
    ('d', "an old key is disabled only when a newer, tested one can be used"),
    ('e', "every key that a rotation made is in its secret, or gone"),
    ('f', "nothing is made for a user whose keys are all inactive"),
    ('g', "one user's error never stops another's work"),
    ('h', "the plan of a dry run is the plan that is enforced"),
    ('i', "never more than two keys, and never none that works because of us"),
];

/// One violation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// The invariant's letter.
    pub invariant: char,
    /// What happened.
    pub what: String,
}

/// Watches one model of AWS.
#[derive(Debug, Default)]
pub struct Watch {
    seen: usize,
    /// When a key was last disabled, by whomever.
    disabled_at: BTreeMap<String, DateTime<Utc>>,
    /// Keys that rotations made.
    made: BTreeSet<String>,
    /// Those of them that are there, with the token of their rotation.
    alive: BTreeMap<String, Option<String>>,
    /// Keys that a person disabled or deleted.
    taken_by_people: BTreeSet<String>,
    /// Users whose secret was tagged for an incident: their other key goes at once, by order.
    forced: BTreeSet<(String, String)>,
    /// Users about whom something cannot be read right now.
    unknown: BTreeSet<(String, String)>,
    /// How often each invariant was checked.
    pub checks: BTreeMap<char, usize>,
    /// What did not hold.
    pub violations: Vec<Violation>,
}

impl Watch {
    /// Nothing is seen yet; the first [`Watch::judge`] sees all that happened before it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says that the user's secret was tagged for an incident.
    pub fn force(&mut self, account: &str, user: &str) {
        self.forced.insert((account.to_owned(), user.to_owned()));
    }

    /// Says of which users something cannot be read from now on.
    pub fn unknown(&mut self, users: impl IntoIterator<Item = (String, String)>) {
        self.unknown = users.into_iter().collect();
    }

    /// Counts a check; one that does not hold is a violation.
    pub fn check(&mut self, invariant: char, holds: bool, what: impl FnOnce() -> String) {
        *self.checks.entry(invariant).or_default() += 1;
        if !holds {
            self.violations.push(Violation { invariant, what: what() });
        }
    }

    /// Judges what happened since the last call.
    pub fn judge(&mut self, cloud: &Cloud, settings: &Settings) {
        let events = cloud.key_history(self.seen);
        self.seen += events.len();
        for event in &events {
            if event.by.is_some() {
                self.judge_ours(cloud, settings, event);
            }
            match event.change {
                KeyChange::Disabled => {
                    self.disabled_at.insert(event.key.clone(), event.at);
                }
                KeyChange::Enabled | KeyChange::Created => {
                    self.disabled_at.remove(&event.key);
                }
                KeyChange::Deleted => {
                    self.alive.remove(&event.key);
                }
            }
            self.note_people(event);
        }
    }

    fn note_people(&mut self, event: &KeyEvent) {
        match (event.change, &event.by) {
            (KeyChange::Disabled | KeyChange::Deleted, None) => self.taken_by_people.insert(event.key.clone()),
            (KeyChange::Enabled, None) => self.taken_by_people.remove(&event.key),
            _ => false,
        };
    }

    fn judge_ours(&mut self, cloud: &Cloud, settings: &Settings, event: &KeyEvent) {
        let who = (event.account.clone(), event.user.clone());
        let what = format!("{} of {} in {} at {}", event.key, event.user, event.account, event.at);
        match event.change {
            KeyChange::Created => {
                let twin = self.alive.values().any(|token| token.is_some() && *token == event.rotation);
                self.check('e', !twin, || format!("{what} was made beside another key of the same rotation"));
                self.made.insert(event.key.clone());
                self.alive.insert(event.key.clone(), event.rotation.clone());
                self.check('f', event.another_was_active(), || format!("{what} was made beside no active key"));
                self.check('i', event.others.len() < 2, || format!("{what} was a third key"));
            }
            KeyChange::Disabled => {
                self.check('i', event.another_was_active(), || format!("{what} was the last active key"));
                self.check('c', !self.unknown.contains(&who), || {
                    format!("{what} was disabled while its use was unknown")
                });
                let successor = self.successor_works(cloud, event);
                self.check('d', successor, || format!("{what} was disabled without a tested successor"));
            }
            KeyChange::Deleted => {
                self.check('a', event.status_before == "Inactive", || {
                    format!("{what} was deleted while {}", event.status_before)
                });
                self.check('c', !self.unknown.contains(&who), || {
                    format!("{what} was deleted while its use was unknown")
                });
                let recovered = self.recovery_is_over(settings, event);
                self.check('b', recovered, || format!("{what} was deleted within its recovery period"));
            }
            KeyChange::Enabled => self.check('f', false, || format!("{what} was enabled by keywheel")),
        }
    }

    /// Our own orphan of an interrupted rotation goes at once, and so does the other key in an incident.
    fn is_by_order(&self, event: &KeyEvent) -> bool {
        let orphan = self.made.contains(&event.key) && !event.used;
        orphan || self.forced.contains(&(event.account.clone(), event.user.clone()))
    }

    fn recovery_is_over(&self, settings: &Settings, event: &KeyEvent) -> bool {
        let disabled_at = self.disabled_at.get(&event.key);
        self.is_by_order(event)
            || disabled_at.is_some_and(|disabled_at| event.at - *disabled_at >= settings.periods.recovery_grace)
    }

    /// The key in the secret is another one, active and tested; before a first rotation, the key that stays was used, or
    /// neither was.
    fn successor_works(&self, cloud: &Cloud, event: &KeyEvent) -> bool {
        if self.is_by_order(event) {
            return true;
        }
        let current = current_key(cloud, &event.account, &event.user);
        event.others.iter().any(|(id, status, used)| {
            let tested = self.made.contains(id) && current.as_deref() == Some(id);
            status == "Active" && (tested || *used || !event.used)
        })
    }

    /// Judges the world as it is at the end.
    pub fn judge_end(&mut self, cloud: &Cloud) {
        for secret in cloud.secrets() {
            self.judge_values(cloud, &secret);
        }
        for account in cloud.account_ids() {
            for user in cloud.users(&account) {
                let too_many = user.keys.len() > 2;
                self.check('i', !too_many, || format!("{} in {account} has {} keys", user.name, user.keys.len()));
                for key in user.keys.iter().filter(|key| self.made.contains(&key.id)).cloned().collect::<Vec<_>>() {
                    let stored = is_stored(cloud, &account, &user.name, &key.id);
                    self.check('e', stored, || {
                        format!("{} of {} in {account} is in no version of its secret", key.id, user.name)
                    });
                }
            }
        }
    }
}

impl Watch {
    /// The key in every value that can be fetched is there, and readers' works, unless people took it away.
    fn judge_values(&mut self, cloud: &Cloud, secret: &SecretView) {
        let Ok(name) = secret.name.parse::<SecretName>() else { return };
        let owner = name.user();
        let Some(user) = cloud.user(owner.account.as_str(), owner.name.as_str()) else { return };
        for stage in ["AWSCURRENT", "AWSPENDING"] {
            let Some(key) = secret.text(stage).filter(|text| is_key(text)).and_then(key_in) else { continue };
            if self.taken_by_people.contains(&key) {
                continue;
            }
            let found = user.key(&key);
            self.check('e', found.is_some(), || format!("{stage} of {name} holds {key}, which is gone"));
            if stage == "AWSCURRENT" {
                let works = found.is_some_and(KeyView::is_active);
                self.check('i', works, || format!("readers of {name} get {key}, which does not work"));
            }
        }
    }
}

/// A placeholder holds no secret key.
fn is_key(text: &str) -> bool {
    serde_json::from_str::<Value>(text).is_ok_and(|value| value["SecretAccessKey"].is_string())
}

fn secret_of(cloud: &Cloud, account: &str, user: &str) -> Option<SecretView> {
    let user = crate::keys::UserRef { account: account.parse().ok()?, name: user.parse().ok()? };
    cloud.secret(&SecretName::of(&user).to_string())
}

fn key_in(text: &str) -> Option<String> {
    let value: Value = serde_json::from_str(text).ok()?;
    Some(value["AccessKeyId"].as_str()?.to_owned())
}

fn current_key(cloud: &Cloud, account: &str, user: &str) -> Option<String> {
    key_in(secret_of(cloud, account, user)?.text("AWSCURRENT")?)
}

fn is_stored(cloud: &Cloud, account: &str, user: &str, key: &str) -> bool {
    let versions = secret_of(cloud, account, user).map(|secret| secret.versions).unwrap_or_default();
    versions.iter().filter_map(|version| key_in(version.text()?)).any(|stored| stored == key)
}
