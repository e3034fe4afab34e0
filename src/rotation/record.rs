//! What the tags tell of the current value, so that it need not be read. Pure.
//!
//! No version's value can be changed, so a record of what a version holds is true for as long as that version is the current
//! one. Where somebody else put a value, or moved the label, the tags tell of another version, and count for nothing.
//! <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_PutSecretValue.html>

use chrono::{DateTime, TimeDelta, Utc};

use super::Job;
use crate::aws::{CURRENT, ListedKey};
use crate::keys::{AccessKeyId, VersionId};
use crate::state::State;
use crate::value::{StoredKey, StoredValue};

/// Tags hold whole seconds.
const WHOLE_SECOND: TimeDelta = TimeDelta::seconds(1);

/// The current value, as far as something depends on it. Its key is this user's, or not said to be another's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CurrentValue {
    /// The key that it names.
    pub(super) key: AccessKeyId,
    pub(super) holds: Holds,
}

/// What it holds of its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Holds {
    /// The id alone: a placeholder.
    Name,
    /// A key of keywheel's making, which was made at that time or before it.
    KeyOf(DateTime<Utc>),
    /// A key that another tool put there.
    Foreign,
}

impl CurrentValue {
    /// The key that readers get.
    pub(super) fn key_of_readers(&self) -> Option<&AccessKeyId> {
        Some(&self.key).filter(|_| self.holds != Holds::Name)
    }
}

impl From<&StoredValue> for CurrentValue {
    fn from(value: &StoredValue) -> Self {
        let holds = match value {
            StoredValue::Key(StoredKey { identity, .. }) => Holds::KeyOf(identity.created),
            StoredValue::Placeholder(_) => Holds::Name,
            StoredValue::Foreign(_) => Holds::Foreign,
        };
        Self { key: value.key_id().clone(), holds }
    }
}

/// The current value by keywheel's own record, if there is one of that very version.
pub(super) fn of_current(job: &Job<'_>) -> Option<CurrentValue> {
    of_version(&job.state, &job.description.version_at(CURRENT)?)
}

/// The same, if the list of the user's keys does not speak against it.
pub(super) fn of_current_among(job: &Job<'_>, keys: &[ListedKey]) -> Option<CurrentValue> {
    of_current(job).filter(|current| is_possible(current, keys))
}

fn of_version(state: &State, version: &VersionId) -> Option<CurrentValue> {
    let is_fresh = state.managed && state.malformed.is_empty() && state.version.as_ref() == Some(version);
    let key = state.current_key.clone().filter(|_| is_fresh)?;
    let holds = match state.rotated_at {
        // Written down together with the version. A time without a change of keys is left over.
        Some(rotated_at) if state.previous_key.as_ref() != Some(&key) => Holds::KeyOf(rotated_at),
        None if state.placeholder.as_ref() == Some(version) => Holds::Name,
        // A secret that was taken over: nobody has looked into it yet.
        _ => return None,
    };
    Some(CurrentValue { key, holds })
}

/// A key that is younger than the rotation that is told of was not made by it.
fn is_possible(current: &CurrentValue, keys: &[ListedKey]) -> bool {
    let Holds::KeyOf(rotated_at) = current.holds else { return true };
    keys.iter().all(|key| key.id != current.key || key.created < rotated_at + WHOLE_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::KeyStatus;
    use crate::state::MalformedTag;

    fn key(n: usize) -> AccessKeyId {
        format!("AKIA{n:016}").parse().unwrap()
    }

    fn version(n: usize) -> VersionId {
        format!("{n:032}").parse().unwrap()
    }

    fn rotated_at() -> DateTime<Utc> {
        "2026-11-22T09:00:00Z".parse().unwrap()
    }

    fn rotated() -> State {
        State {
            managed: true,
            version: Some(version(1)),
            current_key: Some(key(2)),
            previous_key: Some(key(1)),
            rotated_at: Some(rotated_at()),
            ..State::default()
        }
    }

    fn malformed() -> Vec<MalformedTag> {
        let tags = [(crate::state::tag::RETIRING.to_owned(), "soon".to_owned())];
        State::read(&tags.into()).malformed
    }

    #[test]
    fn what_a_rotation_wrote_down_is_known_and_so_is_the_placeholder() {
        let current = CurrentValue { key: key(2), holds: Holds::KeyOf(rotated_at()) };
        assert_eq!(of_version(&rotated(), &version(1)), Some(current.clone()));
        assert_eq!(current.key_of_readers(), Some(&key(2)));
        let fresh = State { previous_key: None, rotated_at: None, placeholder: Some(version(1)), ..rotated() };
        let placeholder = of_version(&fresh, &version(1)).unwrap();
        assert_eq!((placeholder.key_of_readers(), &placeholder.holds), (None, &Holds::Name));
    }

    #[test]
    fn what_may_be_anothers_value_is_not_known() {
        let untested = State { rotated_at: None, ..rotated() };
        for (state, why) in [
            (State { managed: false, ..rotated() }, "not keywheel's"),
            (State { version: Some(version(2)), ..rotated() }, "of another version"),
            (State { version: None, ..rotated() }, "of no version"),
            (State { current_key: None, ..rotated() }, "of a value that nobody knows"),
            (State { malformed: malformed(), ..rotated() }, "a tag that cannot be read"),
            (State { previous_key: Some(key(2)), ..rotated() }, "the time of another rotation"),
            (untested.clone(), "of a secret that was taken over"),
            (State { placeholder: Some(version(2)), ..untested }, "the placeholder was replaced"),
            (State::default(), "nothing"),
        ] {
            assert_eq!(of_version(&state, &version(1)), None, "{why}");
        }
    }

    #[test]
    fn a_key_that_is_younger_than_its_rotation_is_not_the_one_that_it_made() {
        let current = of_version(&rotated(), &version(1)).unwrap();
        let listed = |ms| ListedKey {
            id: key(2),
            status: KeyStatus::Active,
            created: rotated_at() + TimeDelta::milliseconds(ms),
        };
        for (ms, possible) in [(-60_000, true), (0, true), (999, true), (1000, false)] {
            assert_eq!(is_possible(&current, &[listed(ms)]), possible, "{ms}");
        }
        assert!(is_possible(&current, &[]), "a list may lag");
    }
}
