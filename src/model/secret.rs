//! A secret with its versions, labels, schedule and policy: plain data.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::rules::Rules;
use chrono::{DateTime, Utc};
use serde_json::Value;

pub(crate) const CURRENT: &str = "AWSCURRENT";
pub(crate) const PENDING: &str = "AWSPENDING";
pub(crate) const PREVIOUS: &str = "AWSPREVIOUS";

/// A value, kept from `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Plain {
    Text(String),
    Binary(String),
}

impl fmt::Debug for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Plain(…)")
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Version {
    pub(crate) id: String,
    pub(crate) value: Option<Plain>,
    pub(crate) stages: BTreeSet<String>,
    pub(crate) created: DateTime<Utc>,
    /// When the value came, which may be later than the registration.
    pub(crate) put_at: DateTime<Utc>,
    /// Readers got it at some time.
    pub(crate) was_current: bool,
}

impl Version {
    pub(crate) fn new(id: &str, value: Option<Plain>, now: DateTime<Utc>) -> Self {
        Self { id: id.to_owned(), value, stages: BTreeSet::new(), created: now, put_at: now, was_current: false }
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct RotationStatus {
    pub(crate) enabled: bool,
    pub(crate) function: Option<String>,
    pub(crate) rules: Option<Rules>,
    pub(crate) last_rotated: Option<DateTime<Utc>>,
    /// From when the interval to the next rotation counts: the last rotation, manual change, or start of the schedule.
    pub(crate) counted_from: Option<DateTime<Utc>>,
    /// After a failure, the schedule does not try again before this.
    pub(crate) not_before: Option<DateTime<Utc>>,
    /// The version under rotation and the token that its function puts it with.
    pub(crate) under_way: Option<(String, String)>,
    pub(crate) last_test: Option<Result<(), String>>,
    pub(crate) last_result: Option<Result<(), String>>,
}

#[derive(Clone, Debug)]
pub(crate) struct Secret {
    pub(crate) account: String,
    pub(crate) name: String,
    pub(crate) arn: String,
    pub(crate) serial: u64,
    pub(crate) description: Option<String>,
    pub(crate) kms_key_id: Option<String>,
    pub(crate) created: DateTime<Utc>,
    pub(crate) changed: DateTime<Utc>,
    pub(crate) accessed: Option<DateTime<Utc>>,
    pub(crate) versions: Vec<Version>,
    pub(crate) tags: BTreeMap<String, String>,
    /// The policy with unique ids in place of the ARNs of users and roles.
    pub(crate) policy: Option<Value>,
    pub(crate) rotation: RotationStatus,
    pub(crate) deletion_date: Option<DateTime<Utc>>,
    pub(crate) deleted: Option<DateTime<Utc>>,
    /// The states before recent changes, for lists that lag; `None`: it did not exist.
    pub(crate) past: Vec<(DateTime<Utc>, Option<Box<Secret>>)>,
}

impl Secret {
    pub(crate) fn version(&self, id: &str) -> Option<&Version> {
        self.versions.iter().find(|it| it.id == id)
    }

    pub(crate) fn version_mut(&mut self, id: &str) -> Option<&mut Version> {
        self.versions.iter_mut().find(|it| it.id == id)
    }

    pub(crate) fn staged(&self, stage: &str) -> Option<&Version> {
        self.versions.iter().find(|it| it.stages.contains(stage))
    }

    /// The id of the version under AWSPENDING, unless that is the current one.
    pub(crate) fn unfinished(&self) -> Option<String> {
        let pending = self.staged(PENDING)?;
        (!pending.stages.contains(CURRENT)).then(|| pending.id.clone())
    }

    /// The latest time for the next rotation, if the schedule is on.
    pub(crate) fn next_rotation(&self) -> Option<DateTime<Utc>> {
        let rotation = &self.rotation;
        let interval = rotation.rules.as_ref()?.interval;
        let from = rotation.counted_from.unwrap_or(self.created);
        rotation.enabled.then(|| from + interval)
    }

    /// When the schedule will act next: not before the pause after a failure.
    pub(crate) fn next_attempt(&self) -> Option<DateTime<Utc>> {
        let next = self.next_rotation().filter(|_| self.deletion_date.is_none())?;
        Some(self.rotation.not_before.map_or(next, |earliest| earliest.max(next)))
    }
}

/// Where a secret is: its account and name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SecretLocation {
    pub(crate) account: String,
    pub(crate) name: String,
}
