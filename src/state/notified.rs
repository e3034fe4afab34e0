//! The notices of each key that were sent, and their audiences, as a tag. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use chrono::{DateTime, Utc};

use super::MAX_TAG_VALUE_LENGTH;
use super::phase::{Phase, RecordedPhase};
use crate::keys::AccessKeyId;

/// Separates a phase from the letters of the audiences that have the notice, if others still lack it.
const BEFORE_AUDIENCES: char = '@';
/// Separates a phase from its day.
const BEFORE_DAY: char = ':';
/// Follows a day that a notice named as the first possible one.
const AT_THE_EARLIEST: char = '+';
/// Limits the letters after one phase: account, owner, copy and topic. More letters are not keywheel's writing.
const MAX_AUDIENCES: usize = 4;
/// Stands in place of the audiences if the rotation function recorded the notice and nobody has it yet.
const ROTATION: char = 'r';

/// Days since 1970, in UTC.
fn day_of(time: DateTime<Utc>) -> i64 {
    time.timestamp().div_euclid(86_400)
}

/// The audiences that have one notice, and the day on which it was sent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct SentTo {
    /// Letters of the audiences that have the notice while others lack it; empty if all have it.
    audiences: BTreeSet<char>,
    /// Days since 1970: the day that the notice named or, of a notice that is repeated while its trouble lasts, the day
    /// on which it was sent. `None` for other notices, and for records of versions that kept no day.
    day: Option<i64>,
    /// Whether the notice named the day as the first possible one.
    is_earliest: bool,
}

impl SentTo {
    /// Reads a phase and who has its notice: `deleted`, `deleted@ao`, `in-use@o:20779`, `rotate-ahead:20779+`.
    fn read(text: &str) -> Option<(RecordedPhase, Self)> {
        let (text, day) = text.split_once(BEFORE_DAY).map_or((text, None), |(text, day)| (text, Some(day)));
        let is_earliest = day.is_some_and(|day| day.ends_with(AT_THE_EARLIEST));
        let day = match day {
            Some(day) => Some(day.strip_suffix(AT_THE_EARLIEST).unwrap_or(day).parse().ok()?),
            None => None,
        };
        let (phase, letters) = text.split_once(BEFORE_AUDIENCES).unwrap_or((text, ""));
        let is_read =
            !phase.is_empty() && letters.len() <= MAX_AUDIENCES && letters.bytes().all(|it| it.is_ascii_lowercase());
        is_read.then(|| (RecordedPhase::read(phase), Self { audiences: letters.chars().collect(), day, is_earliest }))
    }

    fn write(&self, phase: &RecordedPhase, text: &mut String) {
        text.push_str(phase.as_str());
        if !self.audiences.is_empty() {
            text.push(BEFORE_AUDIENCES);
            text.extend(&self.audiences);
        }
        if let Some(day) = self.day {
            write!(text, "{BEFORE_DAY}{day}").expect("writing to a string does not fail");
            if self.is_earliest {
                text.push(AT_THE_EARLIEST);
            }
        }
    }

    fn is_after(&self, time: DateTime<Utc>) -> bool {
        self.day.is_some_and(|day| day > day_of(time))
    }
}

type ByKey = BTreeMap<AccessKeyId, BTreeMap<RecordedPhase, SentTo>>;

/// The notices of each key that were sent, by phase.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Notified(ByKey);

impl Notified {
    /// Reads the tag's value. Unreadable parts are dropped: their notices are sent again. An unknown phase is kept.
    pub(super) fn read(text: &str) -> Self {
        let mut notified = Self::default();
        for entry in text.split(' ') {
            let Some((key, phases)) = entry.split_once('=') else { continue };
            let Ok(key) = key.parse() else { continue };
            notified.0.insert(key, phases.split('.').filter_map(SentTo::read).collect());
        }
        notified
    }

    fn sent(&self, key: &AccessKeyId, phase: Phase) -> Option<&SentTo> {
        self.0.get(key)?.get(&RecordedPhase::Known(phase))
    }

    /// Whether all audiences have the notice of that key, sent on any day.
    pub fn was_sent(&self, key: &AccessKeyId, phase: Phase) -> bool {
        self.sent(key, phase).is_some_and(|sent| sent.audiences.is_empty())
    }

    /// Whether all audiences have the notice of that key, sent on a day after `time`. Without a recorded day: `false`.
    pub fn was_sent_after(&self, key: &AccessKeyId, phase: Phase, time: DateTime<Utc>) -> bool {
        self.was_sent(key, phase) && self.sent(key, phase).is_some_and(|sent| sent.is_after(time))
    }

    /// Whether one audience, by its letter, has a notice that another audience lacks. With `after`, only if it was sent
    /// on a day after that time.
    pub fn was_sent_to(&self, key: &AccessKeyId, phase: Phase, audience: char, after: Option<DateTime<Utc>>) -> bool {
        let is_recent = |sent: &&SentTo| after.is_none_or(|time| sent.is_after(time));
        self.sent(key, phase).filter(is_recent).is_some_and(|sent| sent.audiences.contains(&audience))
    }

    /// Whether any audience has a notice that the key will be gone.
    pub fn announces_end(&self, key: &AccessKeyId) -> bool {
        let announces = |phase: &RecordedPhase| matches!(phase, RecordedPhase::Known(phase) if phase.announces_end());
        self.0.get(key).is_some_and(|phases| phases.keys().any(announces))
    }

    /// Records that a forced rotation removes the key. Its notice is owed to everybody until it is recorded as sent.
    /// Safe to repeat.
    pub fn owe_forced(&mut self, key: &AccessKeyId) {
        self.put(key, Phase::Forced, SentTo { audiences: BTreeSet::from([ROTATION]), ..SentTo::default() });
    }

    /// Whether a forced rotation removed the key, and somebody still lacks the notice about it.
    pub fn owes_forced(&self, key: &AccessKeyId) -> bool {
        self.sent(key, Phase::Forced).is_some_and(|sent| !sent.audiences.is_empty())
    }

    /// Returns the keys that a forced rotation removed, and whose notice somebody still lacks.
    pub fn owed_forced(&self) -> impl Iterator<Item = &AccessKeyId> {
        self.0.keys().filter(|key| self.owes_forced(key))
    }

    /// The keys about which any notice was sent.
    pub fn keys(&self) -> impl Iterator<Item = &AccessKeyId> {
        self.0.keys()
    }

    /// Returns the records of keys that are gone and whose deletion was announced or forced, if somebody still lacks
    /// the notice that the key is deleted.
    #[must_use]
    pub fn owed(&self, is_there: impl Fn(&AccessKeyId) -> bool) -> Self {
        let lacks_deletion = |key: &AccessKeyId| {
            let was_told = self.was_sent(key, Phase::Deleted) || self.was_sent(key, Phase::Forced);
            self.announces_end(key) && !was_told
        };
        let is_owed = |key: &AccessKeyId| !is_there(key) && (lacks_deletion(key) || self.owes_forced(key));
        Self(self.0.iter().filter(|(key, _)| is_owed(key)).map(|(key, sent)| (key.clone(), sent.clone())).collect())
    }

    /// Records a notice that all audiences have. Safe to repeat.
    pub fn record(&mut self, key: &AccessKeyId, phase: Phase) {
        self.put(key, phase, SentTo::default());
    }

    /// Records a notice that all audiences have, with the day: it is repeated while its trouble lasts.
    pub fn record_on(&mut self, key: &AccessKeyId, phase: Phase, time: DateTime<Utc>) {
        self.put(key, phase, SentTo { day: Some(day_of(time)), ..SentTo::default() });
    }

    /// Records a notice that only these audiences have, by their letters; with the day if the notice is repeated.
    /// Changes nothing without an audience.
    pub fn record_for(
        &mut self,
        key: &AccessKeyId,
        phase: Phase,
        audiences: BTreeSet<char>,
        on: Option<DateTime<Utc>>,
    ) {
        if !audiences.is_empty() {
            self.put(key, phase, SentTo { audiences, day: on.map(day_of), is_earliest: false });
        }
    }

    /// Records a notice with the day that it named, as the day itself or as the first possible one. `audiences` are the
    /// letters of those who have it while others lack it; without letters, all have it.
    pub fn record_dated(
        &mut self,
        key: &AccessKeyId,
        phase: Phase,
        audiences: BTreeSet<char>,
        day: DateTime<Utc>,
        is_exact: bool,
    ) {
        self.put(key, phase, SentTo { audiences, day: Some(day_of(day)), is_earliest: !is_exact });
    }

    /// Returns the day that a notice of this phase named to anybody, and whether as the day itself. `None` without a
    /// record or its day. Of notices that are repeated, the day is the one on which they were sent.
    pub fn announced(&self, key: &AccessKeyId, phase: Phase) -> Option<(DateTime<Utc>, bool)> {
        let sent = self.sent(key, phase)?;
        let day = DateTime::from_timestamp(sent.day?.checked_mul(86_400)?, 0)?;
        Some((day, !sent.is_earliest))
    }

    fn put(&mut self, key: &AccessKeyId, phase: Phase, sent: SentTo) {
        self.0.entry(key.clone()).or_default().insert(RecordedPhase::Known(phase), sent);
    }

    /// Forgets a phase of one key or, with `None`, of all keys: the notice is due again.
    pub fn forget_phase(&mut self, key: Option<&AccessKeyId>, phase: Phase) {
        for (_, phases) in self.0.iter_mut().filter(|(id, _)| key.is_none_or(|key| key == *id)) {
            phases.remove(&RecordedPhase::Known(phase));
        }
        self.0.retain(|_, phases| !phases.is_empty());
    }

    /// Forgets all phases of a key: each of its notices is due again.
    pub fn forget(&mut self, key: &AccessKeyId) {
        self.0.remove(key);
    }

    /// The tag's value. If it would be too long, the key with the most phases loses the phase that is first in the
    /// order of life: at worst, an old notice is sent twice.
    pub fn to_tag(&self) -> String {
        let mut kept = self.0.clone();
        loop {
            let text = text(&kept);
            if text.len() <= MAX_TAG_VALUE_LENGTH {
                return text;
            }
            let Some(most) = kept.values_mut().max_by_key(|phases| phases.len()) else { return String::new() };
            if most.pop_first().is_none() {
                return String::new();
            }
            kept.retain(|_, phases| !phases.is_empty());
        }
    }
}

fn text(by_key: &ByKey) -> String {
    let mut text = String::new();
    for (key, phases) in by_key {
        let gap = if text.is_empty() { "" } else { " " };
        write!(text, "{gap}{key}=").expect("writing to a string does not fail");
        for (n, (phase, sent)) in phases.iter().enumerate() {
            text.push_str(if n == 0 { "" } else { "." });
            sent.write(phase, &mut text);
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
    fn a_notice_with_a_day_is_due_again_after_its_period() {
        let sent_at: DateTime<Utc> = "2026-11-22T23:00:00Z".parse().unwrap();
        let week = TimeDelta::days(7);
        let mut notified = Notified::default();
        notified.record(&key(1), Phase::InUse);
        assert!(notified.was_sent(&key(1), Phase::InUse), "recorded by a version that kept no day");
        assert!(!notified.was_sent_after(&key(1), Phase::InUse, sent_at - week));
        notified.record_on(&key(1), Phase::InUse, sent_at);
        let read = Notified::read(&notified.to_tag());
        assert_eq!(read, notified);
        for (now, is_recent) in
            [("2026-11-22T23:00:00Z", true), ("2026-11-28T23:59:59Z", true), ("2026-11-29T00:00:00Z", false)]
        {
            let now: DateTime<Utc> = now.parse().unwrap();
            assert_eq!(read.was_sent_after(&key(1), Phase::InUse, now - week), is_recent, "{now}");
        }
        assert!(read.was_sent(&key(1), Phase::InUse) && !read.was_sent(&key(2), Phase::InUse));
        assert!(
            !Notified::read(&format!("{}=in", key(1))).was_sent(&key(1), Phase::InUse),
            "no phase by its beginning"
        );
        notified.record_on(&key(1), Phase::InUse, sent_at + week);
        assert_eq!(notified.to_tag().matches("in-use").count(), 1, "one day, the last");
        notified.forget_phase(None, Phase::InUse);
        assert_eq!(notified, Notified::default());
    }

    #[test]
    fn a_full_tag_keeps_the_deletion_of_the_secret() {
        let at: DateTime<Utc> = "2026-11-22T09:00:00Z".parse().unwrap();
        let mut notified = Notified::default();
        for phase in Phase::ALL {
            notified.record_for(&key(1), phase, BTreeSet::from(['a', 'o', 't']), Some(at));
        }
        notified.record(&key(1), Phase::SecretDeleted);
        let tag = notified.to_tag();
        let read = Notified::read(&tag);
        assert!(read.was_sent(&key(1), Phase::SecretDeleted) && read != notified, "{tag}");
    }

    #[test]
    fn an_unknown_phase_is_kept_until_the_tag_is_full() {
        let tag = format!("{}=fetched@o:20779.rotated", key(1));
        let mut notified = Notified::read(&tag);
        assert_eq!(notified.to_tag(), tag);
        notified.record(&key(1), Phase::InUse);
        assert_eq!(notified.to_tag(), format!("{tag}.in-use"));
        let long = format!("{}={}.rotated", key(1), "x".repeat(240));
        assert_eq!(Notified::read(&long).to_tag(), format!("{}=rotated", key(1)), "the unknown phase goes first");
    }

    #[test]
    fn on_aws_a1_the_day_that_a_notice_named_is_kept() {
        let day: DateTime<Utc> = "2026-12-02T00:00:00Z".parse().unwrap();
        let mut notified = Notified::default();
        notified.record_dated(&key(1), Phase::DisableAhead, BTreeSet::new(), day, true);
        notified.record_dated(&key(1), Phase::DeleteAhead, BTreeSet::from(['o']), day, false);
        notified.record(&key(1), Phase::Deleted);
        assert_eq!(notified.to_tag(), format!("{}=disable-ahead:20789.delete-ahead@o:20789+.deleted", key(1)));
        let read = Notified::read(&notified.to_tag());
        assert_eq!(read, notified);
        let announced = [Phase::DisableAhead, Phase::DeleteAhead, Phase::Deleted].map(|it| read.announced(&key(1), it));
        assert_eq!(announced, [Some((day, true)), Some((day, false)), None]);
        assert!(read.was_sent(&key(1), Phase::DisableAhead) && !read.was_sent(&key(1), Phase::DeleteAhead));
        let forged = Notified::read(&format!("{}=disable-ahead:{}", key(1), i64::MAX));
        assert_eq!(forged.announced(&key(1), Phase::DisableAhead), None, "a day that no calendar has");
    }

    fn any_phase() -> impl Strategy<Value = Phase> {
        prop::sample::select(Phase::ALL.to_vec())
    }

    proptest! {
        #[test]
        fn any_tag_that_is_read_is_written_without_additions(
            sent in prop::collection::vec((0usize..6, "[a-z]{2,6}(-[a-z]{2,6})?"), 0..40),
        ) {
            let tag = sent.iter().map(|(n, phase)| format!("{}={phase}", key(*n))).collect::<Vec<_>>().join(" ");
            let notified = Notified::read(&tag);
            let text = notified.to_tag();
            prop_assert!(text.len() <= MAX_TAG_VALUE_LENGTH);
            prop_assert!(text.chars().all(|c| c.is_ascii_alphanumeric() || " _.:/=+-@".contains(c)));
            for (key, phases) in &Notified::read(&text).0 {
                for (phase, sent) in phases {
                    prop_assert_eq!(notified.0[key].get(phase), Some(sent));
                }
            }
        }

        #[test]
        fn every_record_is_read_back_while_there_is_room(
            sent in prop::collection::vec((0usize..3, any_phase(), any_audiences()), 0..9),
        ) {
            let mut notified = Notified::default();
            for (n, phase, sent) in sent {
                notified.put(&key(n), phase, sent);
            }
            prop_assume!(text(&notified.0).len() <= MAX_TAG_VALUE_LENGTH);
            prop_assert_eq!(Notified::read(&notified.to_tag()), notified);
        }

        // Otherwise a notice would be sent on every run.
        #[test]
        fn the_newest_record_of_a_life_fits_beside_another_key(
            sent in prop::collection::vec(any_audiences(), Phase::ALL.len()), rotated in any_audiences(),
        ) {
            let mut notified = Notified::default();
            notified.put(&key(2), Phase::Rotated, rotated);
            for (phase, sent) in Phase::ALL.into_iter().zip(sent) {
                notified.put(&key(1), phase, sent.clone());
                notified = Notified::read(&notified.to_tag());
                prop_assert_eq!(notified.sent(&key(1), phase), Some(&sent), "{}", phase);
            }
        }

        #[test]
        fn no_value_of_the_tag_makes_the_reader_panic(value in any::<String>()) {
            let read = Notified::read(&value);
            prop_assert!(read.to_tag().len() <= MAX_TAG_VALUE_LENGTH);
        }
    }

    fn any_audiences() -> impl Strategy<Value = SentTo> {
        let audiences = prop::collection::btree_set(prop::sample::select(vec!['a', 'c', 'o', 't']), 0..4);
        let day = prop::option::of(20_000i64..99_999);
        (audiences, day, any::<bool>()).prop_map(|(audiences, day, is_earliest)| {
            let is_earliest = is_earliest && day.is_some();
            SentTo { audiences, day, is_earliest }
        })
    }

    #[test]
    fn audiences_are_read_back_and_unreadable_records_dropped() {
        let mut notified = Notified::default();
        let at: DateTime<Utc> = "2026-11-22T09:00:00Z".parse().unwrap();
        notified.record_for(&key(1), Phase::Disabled, BTreeSet::from(['a', 'o']), None);
        notified.record_for(&key(1), Phase::InUse, BTreeSet::from(['o']), Some(at));
        notified.record_for(&key(1), Phase::Deleted, BTreeSet::new(), None);
        assert_eq!(notified.to_tag(), format!("{}=in-use@o:20779.disabled@ao", key(1)), "in the order of life");
        let read = Notified::read(&notified.to_tag());
        assert!(read == notified && !read.was_sent(&key(1), Phase::Disabled) && read.announces_end(&key(1)));
        let was_sent_to = |audience| read.was_sent_to(&key(1), Phase::Disabled, audience, None);
        assert!(was_sent_to('a') && !was_sent_to('c'));
        let in_use = |ago: i64| read.was_sent_to(&key(1), Phase::InUse, 'o', Some(at + TimeDelta::days(ago - 7)));
        assert!(in_use(6) && !in_use(7));
        assert_eq!(read.owed(|_| false), read, "the owner still lacks the notice that the key is deleted");
        for text in ["disabled@account", "disabled@", "disabled:today", "@o", ""] {
            let read = Notified::read(&format!("{}={text}", key(1)));
            assert!(!read.was_sent(&key(1), Phase::Disabled) || text == "disabled@", "{text}");
        }
    }
}
