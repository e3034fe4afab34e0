//! What was told about each key, as a tag holds it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use chrono::{DateTime, Utc};

use super::MAX_TAG_VALUE_LENGTH;
use crate::keys::AccessKeyId;

/// Stands between a phase and the audiences that were told, where that is not all of them.
const AUDIENCE_MARK: char = '@';
/// Stands between a phase and the day on which it was told.
const DAY_MARK: char = ':';
/// Most audiences of one mark.
const MAX_AUDIENCES: usize = 4;

/// The phases that say that a key will be gone.
const ANNOUNCES_THE_END: [&str; 3] = ["disabled", "delete-ahead", "last-call"];

/// What is forgotten first where a tag has no room: what a key's life has left behind.
const ORDER_OF_LIFE: [&str; 14] = [
    "rotate-due",
    "rotate-ahead",
    "unfinished",
    "failed",
    "cancelled",
    "rotated",
    "in-use",
    "reactivated",
    "retiring",
    "disable-ahead",
    "disabled",
    "delete-ahead",
    "last-call",
    "deleted",
];

/// Days since 1970, in UTC.
fn day_of(time: DateTime<Utc>) -> i64 {
    time.timestamp().div_euclid(86_400)
}

/// To whom it was told, and when.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Mark {
    /// The letters of those who were told; all were, if there are none.
    audiences: BTreeSet<char>,
    /// The day, in days since 1970, where that matters.
    day: Option<i64>,
}

impl Mark {
    /// A phase and its mark: `disabled`, `disabled@ao`, `in-use:20779`, `in-use@o:20779`.
    fn read(text: &str) -> Option<(String, Self)> {
        let (text, day) = match text.split_once(DAY_MARK) {
            Some((text, day)) => (text, Some(day.parse().ok()?)),
            None => (text, None),
        };
        let (phase, letters) = text.split_once(AUDIENCE_MARK).unwrap_or((text, ""));
        let is_read =
            !phase.is_empty() && letters.len() <= MAX_AUDIENCES && letters.bytes().all(|it| it.is_ascii_lowercase());
        is_read.then(|| (phase.to_owned(), Self { audiences: letters.chars().collect(), day }))
    }

    fn write(&self, phase: &str, text: &mut String) {
        text.push_str(phase);
        if !self.audiences.is_empty() {
            text.push(AUDIENCE_MARK);
            text.extend(&self.audiences);
        }
        if let Some(day) = self.day {
            write!(text, "{DAY_MARK}{day}").expect("writing to a string does not fail");
        }
    }

    fn is_after(&self, time: DateTime<Utc>) -> bool {
        self.day.is_some_and(|day| day > day_of(time))
    }
}

type Told = BTreeMap<AccessKeyId, BTreeMap<String, Mark>>;

/// What was told about each key, by phase.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Notified(Told);

impl Notified {
    pub(super) fn read(text: &str) -> Self {
        let mut told = Self::default();
        for entry in text.split(' ') {
            // What cannot be read is dropped: at worst something is told twice.
            let Some((key, phases)) = entry.split_once('=') else { continue };
            let Ok(key) = key.parse() else { continue };
            told.0.insert(key, phases.split('.').filter_map(Mark::read).collect());
        }
        told
    }

    fn mark(&self, key: &AccessKeyId, phase: &str) -> Option<&Mark> {
        self.0.get(key)?.get(phase)
    }

    /// Whether that was told about that key to all who can be told, on whatever day.
    pub fn contains(&self, key: &AccessKeyId, phase: &str) -> bool {
        self.mark(key, phase).is_some_and(|mark| mark.audiences.is_empty())
    }

    /// The same after that time. A mark without a day is older than all times.
    pub fn was_told_after(&self, key: &AccessKeyId, phase: &str, time: DateTime<Utc>) -> bool {
        self.contains(key, phase) && self.mark(key, phase).is_some_and(|mark| mark.is_after(time))
    }

    /// Whether one audience was told, by its letter, while another was not; with a time, after that time.
    pub fn was_told_to(&self, key: &AccessKeyId, phase: &str, audience: char, after: Option<DateTime<Utc>>) -> bool {
        let is_recent = |mark: &&Mark| after.is_none_or(|time| mark.is_after(time));
        self.mark(key, phase).filter(is_recent).is_some_and(|mark| mark.audiences.contains(&audience))
    }

    /// Whether anybody was told that the key will be gone.
    pub fn announces_end(&self, key: &AccessKeyId) -> bool {
        ANNOUNCES_THE_END.iter().any(|phase| self.mark(key, phase).is_some())
    }

    /// The keys that something was told about.
    pub fn keys(&self) -> impl Iterator<Item = &AccessKeyId> {
        self.0.keys()
    }

    /// What was told of keys that are gone, where somebody was told that they will be deleted and not all that they are.
    #[must_use]
    pub fn owed(&self, is_there: impl Fn(&AccessKeyId) -> bool) -> Self {
        let is_owed = |key: &AccessKeyId| !is_there(key) && self.announces_end(key) && !self.contains(key, "deleted");
        Self(self.0.iter().filter(|(key, _)| is_owed(key)).map(|(key, told)| (key.clone(), told.clone())).collect())
    }

    /// Remembers that all were told.
    pub fn insert(&mut self, key: &AccessKeyId, phase: &str) {
        self.put(key, phase, Mark::default());
    }

    /// Remembers that all were told on that day, for what is told again after some time.
    pub fn insert_on(&mut self, key: &AccessKeyId, phase: &str, time: DateTime<Utc>) {
        self.put(key, phase, Mark { day: Some(day_of(time)), ..Mark::default() });
    }

    /// Remembers that these audiences were told, by their letters, and nobody else; on that day, if that matters.
    pub fn insert_for(&mut self, key: &AccessKeyId, phase: &str, audiences: BTreeSet<char>, on: Option<DateTime<Utc>>) {
        if !audiences.is_empty() {
            self.put(key, phase, Mark { audiences, day: on.map(day_of) });
        }
    }

    fn put(&mut self, key: &AccessKeyId, phase: &str, mark: Mark) {
        self.0.entry(key.clone()).or_default().insert(phase.to_owned(), mark);
    }

    /// Forgets that it was told about that key or, without one, about any.
    pub fn forget_phase(&mut self, key: Option<&AccessKeyId>, phase: &str) {
        for (_, told) in self.0.iter_mut().filter(|(told_of, _)| key.is_none_or(|key| key == *told_of)) {
            told.remove(phase);
        }
        self.0.retain(|_, told| !told.is_empty());
    }

    /// Forgets all about a key: what comes for it is news again.
    pub fn forget(&mut self, key: &AccessKeyId) {
        self.0.remove(key);
    }

    /// The tag's value; what does not fit is forgotten, of the key of which most is remembered what is longest past, and at
    /// worst told twice.
    pub fn to_tag(&self) -> String {
        let mut kept = self.0.clone();
        loop {
            let text = text(&kept);
            if text.len() <= MAX_TAG_VALUE_LENGTH {
                return text;
            }
            let Some(most) = kept.values_mut().max_by_key(|told| told.len()) else { return String::new() };
            let place = |phase: &String| ORDER_OF_LIFE.iter().position(|other| other == phase);
            let Some(past) = most.keys().min_by_key(|phase| place(phase)).cloned() else { return String::new() };
            most.remove(&past);
            kept.retain(|_, told| !told.is_empty());
        }
    }
}

fn text(told: &Told) -> String {
    let mut text = String::new();
    for (key, phases) in told {
        let gap = if text.is_empty() { "" } else { " " };
        write!(text, "{gap}{key}=").expect("writing to a string does not fail");
        for (n, (phase, mark)) in phases.iter().enumerate() {
            text.push_str(if n == 0 { "" } else { "." });
            mark.write(phase, &mut text);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::key;
    use chrono::TimeDelta;
    use proptest::prelude::*;

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
                for phase in phases.keys() {
                    prop_assert!(notified.contains(key, phase));
                }
            }
        }

        #[test]
        fn nothing_that_was_told_is_forgotten_while_there_is_room(
            told in prop::collection::vec((0usize..3, prop::sample::select(ORDER_OF_LIFE.to_vec()), any_mark()), 0..9),
        ) {
            let mut notified = Notified::default();
            for (n, phase, mark) in told {
                notified.put(&key(n), phase, mark);
            }
            prop_assume!(text(&notified.0).len() <= MAX_TAG_VALUE_LENGTH);
            prop_assert_eq!(Notified::read(&notified.to_tag()), notified);
        }

        // Otherwise it would be told on every run.
        #[test]
        fn the_life_of_a_key_beside_another_fits_whoever_was_told(
            marks in prop::collection::vec(any_mark(), ORDER_OF_LIFE.len()), rotated in any_mark(),
        ) {
            let mut notified = Notified::default();
            notified.put(&key(2), "rotated", rotated);
            for (phase, mark) in ORDER_OF_LIFE.into_iter().zip(marks) {
                notified.put(&key(1), phase, mark.clone());
                notified = Notified::read(&notified.to_tag());
                prop_assert_eq!(notified.mark(&key(1), phase), Some(&mark), "{}", phase);
            }
        }

        #[test]
        fn no_tag_of_what_was_told_makes_the_reader_panic(value in any::<String>()) {
            let read = Notified::read(&value);
            prop_assert!(read.to_tag().len() <= MAX_TAG_VALUE_LENGTH);
        }
    }

    fn any_mark() -> impl Strategy<Value = Mark> {
        let audiences = prop::collection::btree_set(prop::sample::select(vec!['a', 'c', 'o', 't']), 0..4);
        let day = prop::option::of(20_000i64..99_999);
        (audiences, day).prop_map(|(audiences, day)| Mark { audiences, day })
    }

    #[test]
    fn who_was_told_is_read_back_and_what_no_one_wrote_is_told_again() {
        let mut notified = Notified::default();
        let at: DateTime<Utc> = "2026-11-22T09:00:00Z".parse().unwrap();
        notified.insert_for(&key(1), "disabled", BTreeSet::from(['a', 'o']), None);
        notified.insert_for(&key(1), "in-use", BTreeSet::from(['o']), Some(at));
        notified.insert_for(&key(1), "deleted", BTreeSet::new(), None);
        assert_eq!(notified.to_tag(), format!("{}=disabled@ao.in-use@o:20779", key(1)));
        let read = Notified::read(&notified.to_tag());
        assert!(read == notified && !read.contains(&key(1), "disabled") && read.announces_end(&key(1)));
        assert!(read.was_told_to(&key(1), "disabled", 'a', None) && !read.was_told_to(&key(1), "disabled", 'c', None));
        let week = |ago: i64| Some(at + TimeDelta::days(ago - 7));
        assert!(
            read.was_told_to(&key(1), "in-use", 'o', week(6)) && !read.was_told_to(&key(1), "in-use", 'o', week(7))
        );
        assert_eq!(read.owed(|_| false), read, "somebody is owed the word that it is gone");
        for text in ["disabled@account", "disabled@", "disabled:today", "@o", ""] {
            let read = Notified::read(&format!("{}={text}", key(1)));
            assert!(!read.contains(&key(1), "disabled") || text == "disabled@", "{text}");
        }
    }
}
