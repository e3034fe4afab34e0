//! The invariants `a` to `i`, judged by the model's record of what happened to every key.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;

use crate::calendar::due;
use crate::keys::SecretName;
use crate::model::{Cloud, KeyChange, KeyEvent, KeyView, SecretView, VersionView};
use crate::settings::Settings;

/// Each invariant's letter and its text, as the command line prints them.
pub const INVARIANTS: [(char, &str); 9] = [
    ('a', "no active key is deleted; it is disabled first"),
    ('b', "no key is deleted before its recovery grace or the announced date"),
    ('c', "no key is disabled or deleted while a fact about it is unknown"),
    ('d', "an old key is disabled only when a newer, tested key works"),
    ('e', "every key that a rotation made is in its secret or deleted"),
    ('f', "no key is made for a user whose keys are all inactive"),
    ('g', "a failure for one user never stops the work for others"),
    ('h', "a dry run plans exactly what the next run does"),
    ('i', "keywheel leaves no user with three keys or without a working key"),
];

/// A check that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// The invariant's letter.
    pub invariant: char,
    /// The event that broke it, with key, user and time.
    pub what: String,
}

/// Judges one model of AWS. It remembers how much of the model's history it has seen.
#[derive(Debug, Default)]
pub struct Watch {
    seen: usize,
    /// When each disabled key was disabled, by keywheel or by a person.
    disabled_at: BTreeMap<String, DateTime<Utc>>,
    /// Keys that rotations made.
    made: BTreeSet<String>,
    /// The keys in `made` that still exist, each with the token of its rotation.
    alive: BTreeMap<String, Option<String>>,
    /// Keys that a person disabled or deleted: readers may then get a key that does not work.
    taken_by_people: BTreeSet<String>,
    /// Users whose secret a person tagged `keywheel:force`: their other key may go at once.
    forced: BTreeSet<(String, String)>,
    /// Users about whom a fact cannot be read at the moment.
    unknown: BTreeSet<(String, String)>,
    /// How often each invariant was checked.
    pub checks: BTreeMap<char, usize>,
    /// The checks that failed, in order.
    pub violations: Vec<Violation>,
}

impl Watch {
    /// A judge that has seen nothing: its first [`Watch::judge`] covers the whole history.
    pub fn new() -> Self {
        Self::default()
    }

    /// Records that a person tagged the user's secret `keywheel:force`.
    pub fn force(&mut self, account: &str, user: &str) {
        self.forced.insert((account.to_owned(), user.to_owned()));
    }

    /// Replaces the set of users about whom a fact cannot be read.
    pub fn unknown(&mut self, users: impl IntoIterator<Item = (String, String)>) {
        self.unknown = users.into_iter().collect();
    }

    /// Counts a check, and records a violation if it failed.
    pub fn check(&mut self, invariant: char, holds: bool, what: impl FnOnce() -> String) {
        *self.checks.entry(invariant).or_default() += 1;
        if !holds {
            self.violations.push(Violation { invariant, what: what() });
        }
    }

    /// Judges every change of a key since the last call.
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
                let recovered = self.recovery_is_over(cloud, settings, event);
                self.check('b', recovered, || format!("{what} was deleted within its recovery period"));
            }
            KeyChange::Enabled => self.check('f', false, || format!("{what} was enabled by keywheel")),
        }
    }

    /// Whether no grace applies: the key is an orphan of an interrupted rotation, or its user's rotation was forced.
    /// Nobody but its own test used an orphan, and readers never got it.
    fn may_go_at_once(&self, cloud: &Cloud, event: &KeyEvent) -> bool {
        let is_only_tested = event.last_service.as_deref() == Some("sts") && was_never_current(cloud, event);
        let orphan = self.made.contains(&event.key) && (!event.used || is_only_tested);
        orphan || self.forced.contains(&(event.account.clone(), event.user.clone()))
    }

    fn recovery_is_over(&self, cloud: &Cloud, settings: &Settings, event: &KeyEvent) -> bool {
        let disabled_at = self.disabled_at.get(&event.key);
        self.may_go_at_once(cloud, event)
            || disabled_at.is_some_and(|disabled_at| event.at >= due(*disabled_at, settings.periods.recovery_grace))
    }

    /// Whether another key works: it is active, and it is in the secret and tested. Before a user's first rotation no
    /// key is tested; then the other key must have been used, or neither key.
    fn successor_works(&self, cloud: &Cloud, event: &KeyEvent) -> bool {
        if self.may_go_at_once(cloud, event) {
            return true;
        }
        let current = current_key(cloud, &event.account, &event.user);
        event.others.iter().any(|(id, status, used)| {
            let tested = self.made.contains(id) && current.as_deref() == Some(id);
            status == "Active" && (tested || *used || !event.used)
        })
    }

    /// Judges the state at the end of the run.
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
    /// Checks that the key in each value exists and that the current key works, unless a person disabled or deleted it.
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
            self.check('e', found.is_some(), || format!("{stage} of {name} holds {key}, which does not exist"));
            if stage == "AWSCURRENT" {
                let works = found.is_some_and(KeyView::is_active);
                self.check('i', works, || format!("readers of {name} get {key}, which does not work"));
            }
        }
    }
}

/// Whether the value holds a secret key; a placeholder does not.
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

/// Whether a version holds the key, and none that holds it was ever current.
fn was_never_current(cloud: &Cloud, event: &KeyEvent) -> bool {
    let versions = secret_of(cloud, &event.account, &event.user).map(|secret| secret.versions).unwrap_or_default();
    let holds_it = |version: &&VersionView| version.text().and_then(key_in).as_deref() == Some(&*event.key);
    let holders: Vec<&VersionView> = versions.iter().filter(holds_it).collect();
    !holders.is_empty() && !holders.iter().any(|version| version.was_current)
}

fn is_stored(cloud: &Cloud, account: &str, user: &str, key: &str) -> bool {
    let versions = secret_of(cloud, account, user).map(|secret| secret.versions).unwrap_or_default();
    versions.iter().filter_map(|version| key_in(version.text()?)).any(|stored| stored == key)
}
