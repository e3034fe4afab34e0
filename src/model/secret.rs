//! A secret with its versions, labels, schedule and policy: plain data.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::rules::Rules;
use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use serde_json::Value;

pub(crate) const CURRENT: &str = "AWSCURRENT";
pub(crate) const PENDING: &str = "AWSPENDING";
pub(crate) const PREVIOUS: &str = "AWSPREVIOUS";

/// The value of a version. Its `Debug` does not show it.
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
    /// The KMS keys, each of which decrypts the value: ARNs, and the name of the key that Secrets Manager makes itself.
    /// Empty without a value.
    pub(crate) kms_keys: BTreeSet<String>,
    pub(crate) created: DateTime<Utc>,
    /// When the value was put, which may be later than the registration.
    pub(crate) put_at: DateTime<Utc>,
    /// The rotation function for which the value was put during its rotation; `None` if somebody else put it.
    pub(crate) put_by: Option<String>,
    /// Whether it was ever under AWSCURRENT.
    pub(crate) was_current: bool,
}

impl Version {
    pub(crate) fn new(id: &str, value: Option<Plain>, now: DateTime<Utc>) -> Self {
        Self {
            id: id.to_owned(),
            value,
            stages: BTreeSet::new(),
            kms_keys: BTreeSet::new(),
            created: now,
            put_at: now,
            put_by: None,
            was_current: false,
        }
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct RotationStatus {
    pub(crate) enabled: bool,
    pub(crate) function: Option<String>,
    pub(crate) rules: Option<Rules>,
    pub(crate) last_rotated: Option<DateTime<Utc>>,
    /// The start of the interval to the next rotation: the last rotation, a change by hand, or the start of the
    /// schedule.
    pub(crate) counted_from: Option<DateTime<Utc>>,
    /// After a failure, the earliest time of the schedule's next attempt.
    pub(crate) not_before: Option<DateTime<Utc>>,
    /// The version under rotation, and its rotation token.
    pub(crate) under_way: Option<(String, String)>,
    /// The version that lost AWSPENDING because somebody put another version.
    pub(crate) abandoned: Option<String>,
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
    /// The other Regions that have a replica of this secret.
    pub(crate) replicas: BTreeSet<String>,
    /// The Region of the primary secret, if this secret is a replica.
    pub(crate) replica_of: Option<String>,
    pub(crate) deletion_date: Option<DateTime<Utc>>,
    pub(crate) deleted: Option<DateTime<Utc>>,
    /// The states before recent changes, for lists that lag. `None`: the secret did not exist.
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

    /// The id of the version under AWSPENDING, unless it is the current version.
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

    /// The time of the schedule's next attempt, including the pause after a failure. With `hour`, it is at that hour of
    /// its day.
    pub(crate) fn next_attempt(&self, hour: Option<u8>) -> Option<DateTime<Utc>> {
        let next = self.next_rotation().filter(|_| self.deletion_date.is_none())?;
        let day = next.date_naive().and_time(NaiveTime::MIN).and_utc();
        let next = hour.map_or(next, |hour| day + TimeDelta::hours(i64::from(hour)));
        Some(self.rotation.not_before.map_or(next, |earliest| earliest.max(next)))
    }
}

/// The account and the name of a secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SecretLocation {
    pub(crate) account: String,
    pub(crate) name: String,
}
