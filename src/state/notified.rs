//! What was told about each key, as a tag holds it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use chrono::{DateTime, Utc};

use super::MAX_TAG_VALUE_LENGTH;
use crate::keys::AccessKeyId;

/// Stands between a phase and the day on which it was told.
const DAY_MARK: char = ':';

/// Days since 1970, in UTC.
fn day_of(time: DateTime<Utc>) -> i64 {
    time.timestamp().div_euclid(86_400)
}

/// What was told about each key, by phase.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Notified(BTreeMap<AccessKeyId, BTreeSet<String>>);

impl Notified {
    pub(super) fn read(text: &str) -> Self {
        let mut told = Self::default();
        for entry in text.split(' ') {
            // An entry that cannot be read is dropped: at worst something is told twice.
            let Some((key, phases)) = entry.split_once('=') else { continue };
            let Ok(key) = key.parse() else { continue };
            told.0.insert(key, phases.split('.').filter(|phase| !phase.is_empty()).map(str::to_owned).collect());
        }
        told
    }

    /// Whether that was told about that key, on whatever day.
    pub fn contains(&self, key: &AccessKeyId, phase: &str) -> bool {
        self.marks(key).any(|(told, _)| told == phase)
    }

    /// Whether that was told about that key after that time. A mark without a day is older than all times.
    pub fn was_told_after(&self, key: &AccessKeyId, phase: &str, time: DateTime<Utc>) -> bool {
        self.marks(key).any(|(told, told_on)| told == phase && told_on.is_some_and(|day| day > day_of(time)))
    }

    /// What was told about a key, and on which day where that matters.
    fn marks(&self, key: &AccessKeyId) -> impl Iterator<Item = (&str, Option<i64>)> {
        self.0.get(key).into_iter().flatten().map(|mark| match mark.split_once(DAY_MARK) {
            Some((phase, day)) => (phase, day.parse().ok()),
            None => (mark.as_str(), None),
        })
    }

    /// The keys that something was told about.
    pub fn keys(&self) -> impl Iterator<Item = &AccessKeyId> {
        self.0.keys()
    }

    /// What was told of keys that are gone, where their owners were told that they will be deleted and not that they are.
    #[must_use]
    pub fn owed(&self, is_there: impl Fn(&AccessKeyId) -> bool) -> Self {
        let owes = |phases: &BTreeSet<String>| {
            let announced = ["disabled", "delete-ahead", "last-call"];
            !phases.contains("deleted") && announced.iter().any(|phase| phases.contains(*phase))
        };
        let owed = self.0.iter().filter(|(key, phases)| !is_there(key) && owes(phases));
        Self(owed.map(|(key, phases)| (key.clone(), phases.clone())).collect())
    }

    /// Remembers that it was told.
    pub fn insert(&mut self, key: &AccessKeyId, phase: &str) {
        self.0.entry(key.clone()).or_default().insert(phase.to_owned());
    }

    /// Remembers that it was told on that day, for what is told again after some time.
    pub fn insert_on(&mut self, key: &AccessKeyId, phase: &str, time: DateTime<Utc>) {
        let phases = self.0.entry(key.clone()).or_default();
        phases.retain(|mark| mark.split(DAY_MARK).next() != Some(phase));
        phases.insert(format!("{phase}{DAY_MARK}{}", day_of(time)));
    }

    /// Forgets that it was told.
    pub fn remove(&mut self, key: &AccessKeyId, phase: &str) {
        if let Some(phases) = self.0.get_mut(key) {
            phases.remove(phase);
        }
    }

    /// Forgets that it was told about that key or, without one, about any: to all or to one audience of it.
    pub fn forget_phase(&mut self, key: Option<&AccessKeyId>, phase: &str) {
        let is_other = |told: &String| told.split(['@', DAY_MARK]).next() != Some(phase);
        for (_, phases) in self.0.iter_mut().filter(|(told_of, _)| key.is_none_or(|key| key == *told_of)) {
            phases.retain(is_other);
        }
        self.0.retain(|_, phases| !phases.is_empty());
    }

    /// Forgets all about a key: what comes for it is news again.
    pub fn forget(&mut self, key: &AccessKeyId) {
        self.0.remove(key);
    }

    /// The tag's value; what does not fit is forgotten, and at worst told twice.
    pub fn to_tag(&self) -> String {
        let mut kept = self.0.clone();
        loop {
            let mut text = String::new();
            for (key, phases) in &kept {
                let gap = if text.is_empty() { "" } else { " " };
                let phases = phases.iter().map(String::as_str).collect::<Vec<_>>().join(".");
                write!(text, "{gap}{key}={phases}").expect("writing to a string does not fail");
            }
            if text.len() <= MAX_TAG_VALUE_LENGTH {
                return text;
            }
            let Some(largest) = kept.values_mut().max_by_key(|phases| phases.len()) else { return String::new() };
            if largest.pop_first().is_none() {
                kept.pop_first();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;
    use proptest::prelude::*;

    fn key(n: usize) -> AccessKeyId {
        format!("AKIA{n:016}").parse().unwrap()
    }

    #[test]
    fn what_was_told_on_a_day_is_told_again_after_so_many_days() {
        let told_at: DateTime<Utc> = "2026-11-22T23:00:00Z".parse().unwrap();
        let week = TimeDelta::days(7);
        let mut notified = Notified::default();
        notified.insert(&key(1), "in-use");
        assert!(notified.contains(&key(1), "in-use"), "told by a version that kept no day");
        assert!(!notified.was_told_after(&key(1), "in-use", told_at - week));
        notified.insert_on(&key(1), "in-use", told_at);
        let read = Notified::read(&notified.to_tag());
        assert_eq!(read, notified);
        for (now, is_recent) in
            [("2026-11-22T23:00:00Z", true), ("2026-11-28T23:59:59Z", true), ("2026-11-29T00:00:00Z", false)]
        {
            let now: DateTime<Utc> = now.parse().unwrap();
            assert_eq!(read.was_told_after(&key(1), "in-use", now - week), is_recent, "{now}");
        }
        assert!(read.contains(&key(1), "in-use") && !read.contains(&key(1), "in") && !read.contains(&key(2), "in-use"));
        notified.insert_on(&key(1), "in-use", told_at + week);
        assert_eq!(notified.to_tag().matches("in-use").count(), 1, "one day, the last");
        notified.forget_phase(None, "in-use");
        assert_eq!(notified, Notified::default());
    }

    proptest! {
        #[test]
        fn what_was_told_fits_into_a_tag_and_is_read_back(
            told in prop::collection::vec((0usize..6, "[a-z]{2,6}(-[a-z]{2,6})?"), 0..40),
        ) {
            let mut notified = Notified::default();
            for (n, phase) in &told {
                notified.insert(&key(*n), phase);
            }
            let text = notified.to_tag();
            prop_assert!(text.len() <= MAX_TAG_VALUE_LENGTH);
            prop_assert!(text.chars().all(|c| c.is_ascii_alphanumeric() || " _.:/=+-@".contains(c)));
            let read = Notified::read(&text);
            for (key, phases) in &read.0 {
                for phase in phases {
                    prop_assert!(notified.contains(key, phase));
                }
            }
        }

        #[test]
        fn nothing_that_was_told_is_forgotten_while_there_is_room(
            told in prop::collection::btree_set((0usize..3, prop::sample::select(PHASES.to_vec())), 0..9),
        ) {
            let mut notified = Notified::default();
            for (n, phase) in &told {
                notified.insert(&key(*n), phase);
            }
            let whole: usize = notified.0.values().map(|phases| 22 + phases.iter().map(|phase| phase.len() + 1).sum::<usize>()).sum();
            prop_assume!(whole <= MAX_TAG_VALUE_LENGTH);
            prop_assert_eq!(Notified::read(&notified.to_tag()), notified);
        }

        #[test]
        fn no_tag_of_what_was_told_makes_the_reader_panic(value in any::<String>()) {
            let read = Notified::read(&value);
            prop_assert!(read.to_tag().len() <= MAX_TAG_VALUE_LENGTH);
        }
    }

    const PHASES: [&str; 6] =
        ["rotated", "rotation-ahead", "disable-ahead", "disabled@owner", "disabled@account", "delete-ahead"];
}
