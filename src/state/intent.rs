//! The intent: a rotation's announcement that it is about to make a key. Pure.
//!
//! IAM does not record who made a key. Only the intent, written before, distinguishes a rotation's orphan from a
//! person's key: by its time or, once the key's id is known, by that id.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, DurationRound, TimeDelta, Utc};

use super::{WHOLE_SECOND, format_time, parse_time};
use crate::keys::{AccessKeyId, VersionId};

/// How many seconds after the intent's time CreateAccessKey may still be sent. Writing the tag takes a tenth of that; a
/// function that needed longer writes a new intent.
const FRESH_SECONDS: i64 = 3;

/// How many seconds the only attempt of CreateAccessKey may take. IAM needs half a second.
const CREATE_KEY_SECONDS: i64 = 5;

/// How long the only attempt of CreateAccessKey may take. A key that is made later would be outside the intent's
/// window.
pub const CREATE_KEY_WITHIN: Duration = Duration::from_secs(CREATE_KEY_SECONDS.unsigned_abs());

/// The window: how far before and after the intent's time the announced key can have been made, by IAM's clock. The
/// intent's time is from IAM's clock, too, and never ahead of it, so no other clock matters.
///
/// One case cannot be decided. A person makes a key within this window, from one second before to nine seconds after
/// the intent's time. The rotation's own key was not made, because the function was stopped, or got no readable answer,
/// before CreateAccessKey took effect. And the person's key was never used when the rotation is tried again, minutes
/// later or, after the last attempt, a day or more. That key is taken for the orphan and deleted. If the function is
/// not stopped, it lists the keys at once, and the window is only as long as its attempt.
const WINDOW_BEFORE: TimeDelta = WHOLE_SECOND;
const WINDOW_AFTER: TimeDelta = TimeDelta::seconds(FRESH_SECONDS + CREATE_KEY_SECONDS + WHOLE_SECOND.num_seconds());

/// The announcement that a rotation is about to make a key. As a tag: `<version> <time>`, and ` <key>` once its id is
/// known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// The version that will hold the key.
    pub version: VersionId,
    /// When the intent was written, by IAM's clock if that was known; whole seconds.
    pub at: DateTime<Utc>,
    /// The key that was made; `None` unless it could not be put into the secret.
    pub key: Option<AccessKeyId>,
}

impl Intent {
    /// The intent to make a key for that version, at that time.
    pub fn new(version: &VersionId, at: DateTime<Utc>) -> Self {
        let whole = at.duration_trunc(WHOLE_SECOND).unwrap_or(at);
        Self { version: version.clone(), at: whole, key: None }
    }

    /// The same intent with the key that was made. From then on, only that key is a candidate.
    #[must_use]
    pub fn naming(&self, key: &AccessKeyId) -> Self {
        Self { key: Some(key.clone()), ..self.clone() }
    }

    /// Whether CreateAccessKey may still be sent at that time, by the clock of the intent's time.
    pub fn is_fresh(&self, now: DateTime<Utc>) -> bool {
        (TimeDelta::zero()..=TimeDelta::seconds(FRESH_SECONDS)).contains(&(now - self.at))
    }

    /// Returns the keys that can be the announced one, out of `keys` with their creation dates and without the `known`
    /// ones. If there are two, at least one is a person's, and nothing shows which.
    pub fn candidates<'k>(
        &self,
        keys: impl IntoIterator<Item = (&'k AccessKeyId, DateTime<Utc>)>,
        known: &[&AccessKeyId],
    ) -> Vec<&'k AccessKeyId> {
        let others = keys.into_iter().filter(|(id, _)| !known.contains(id));
        others.filter(|(id, created)| self.can_be(id, *created)).map(|(id, _)| id).collect()
    }

    fn can_be(&self, id: &AccessKeyId, created: DateTime<Utc>) -> bool {
        match &self.key {
            Some(named) => named == id,
            None => (self.at - WINDOW_BEFORE..=self.at + WINDOW_AFTER).contains(&created),
        }
    }

    pub(super) fn read(text: &str) -> Option<Self> {
        let mut parts = text.split(' ');
        let intent = Self {
            version: parts.next()?.parse().ok()?,
            at: parse_time(parts.next()?)?,
            key: parts.next().map(str::parse).transpose().ok()?,
        };
        parts.next().is_none().then_some(intent)
    }
}

impl fmt::Display for Intent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.version, format_time(self.at))?;
        self.key.as_ref().map_or(Ok(()), |key| write!(f, " {key}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{key, now};

    fn intent() -> Intent {
        Intent::new(&"0123456789abcdef0123456789abcdef".parse().unwrap(), now() + TimeDelta::milliseconds(999))
    }

    #[test]
    fn an_intent_covers_only_its_window() {
        for (seconds, covered) in
            [(-60, false), (-2, false), (-1, true), (0, true), (9, true), (10, false), (60, false)]
        {
            let made = now() + TimeDelta::seconds(seconds);
            assert_eq!(intent().candidates([(&key(1), made)], &[]).len(), usize::from(covered), "{seconds}");
        }
    }

    /// In tenths of a second: IAM's clock is `ahead` of the time in its last answer, the intent is written `waited`
    /// after that answer, the request is sent `sent` after that, and IAM makes the key `took` later.
    #[test]
    fn a_key_that_was_made_in_time_is_always_in_the_window() {
        let tenths = |count: i64| TimeDelta::milliseconds(100 * count);
        let mut made_in_time = 0;
        for (ahead, waited) in (0..10).flat_map(|ahead| (0..10).map(move |waited| (ahead, waited))) {
            let announced = Intent::new(&intent().version, now() + tenths(waited));
            let in_time = |sent: &i64| announced.is_fresh(now() + tenths(waited + sent));
            for sent in (0..FRESH_SECONDS * 10 + 10).filter(in_time) {
                for took in 0..=CREATE_KEY_SECONDS * 10 {
                    let made = now() + tenths(ahead + waited + sent + took);
                    let date = made.duration_trunc(TimeDelta::seconds(1)).unwrap();
                    assert_eq!(announced.candidates([(&key(1), date)], &[]).len(), 1, "{ahead} {waited} {sent} {took}");
                    made_in_time += 1;
                }
            }
        }
        assert!(made_in_time > 100_000, "{made_in_time}");
    }

    #[test]
    fn a_named_key_is_the_only_candidate() {
        let named = intent().naming(&key(1));
        let long_ago = now() - TimeDelta::days(1);
        assert_eq!(named.candidates([(&key(1), long_ago), (&key(2), now())], &[]), [&key(1)]);
        assert!(named.candidates([(&key(2), now())], &[]).is_empty());
        assert!(named.candidates([(&key(1), now())], &[&key(1)]).is_empty(), "it is in the secret");
    }

    #[test]
    fn a_key_may_be_made_while_the_intent_is_fresh() {
        for (ms, fresh) in [(-1, false), (0, true), (3000, true), (3001, false)] {
            assert_eq!(intent().is_fresh(now() + TimeDelta::milliseconds(ms)), fresh, "{ms}");
        }
    }

    #[test]
    fn an_intent_is_read_back_with_and_without_a_key() {
        for intent in [intent(), intent().naming(&key(1))] {
            assert_eq!(Intent::read(&intent.to_string()), Some(intent));
        }
        assert_eq!(intent().to_string(), "0123456789abcdef0123456789abcdef 2026-11-22T09:00:00Z");
        for wrong in ["", "x", "0123456789abcdef0123456789abcdef", "0123456789abcdef0123456789abcdef soon"] {
            assert_eq!(Intent::read(wrong), None, "{wrong}");
        }
        assert_eq!(Intent::read(&format!("{} mine", intent())), None);
        assert_eq!(Intent::read(&format!("{} and more", intent().naming(&key(1)))), None);
    }
}
