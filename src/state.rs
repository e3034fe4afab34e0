//! keywheel's state: tags on the secret, and no database. Pure.
//!
//! The rotation function and the sweeper write and read these tags. A tag's value can hold letters, digits, spaces and
//! `_.:/=+-@`, at most 256 characters, so every format here uses only those.
//! <https://docs.aws.amazon.com/secretsmanager/latest/userguide/managing-secrets_tagging.html>

mod failed;
mod intent;
mod notified;
mod phase;
mod seen;

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use crate::keys::{AccessKeyId, KeyUse, VersionId};
pub use failed::{FailedStep, FailureCause, Step};
pub use intent::{CREATE_KEY_WITHIN, Intent};
pub use notified::Notified;
pub use phase::{Phase, UnknownPhase};
pub use seen::{KeyDates, Reader};

/// The names of the tags.
pub mod tag {
    /// `1`: the secret is keywheel's.
    pub const MANAGED: &str = "keywheel:managed";
    /// The version that the other facts describe.
    pub const VERSION: &str = "keywheel:version";
    /// The key in the current version.
    pub const CURRENT_KEY: &str = "keywheel:current-key";
    /// The key that the last rotation replaced; absent before the first rotation.
    pub const PREVIOUS_KEY: &str = "keywheel:previous-key";
    /// When AWSCURRENT moved to the current key.
    pub const ROTATED_AT: &str = "keywheel:rotated-at";
    /// When the outgoing key was observed disabled.
    pub const DISABLED_AT: &str = "keywheel:disabled-at";
    /// An outgoing key whose grace began at another time than the rotation: `<key> <time>`.
    pub const RETIRING: &str = "keywheel:retiring";
    /// The intent of a rotation that is about to make a key: `<version> <time>`, or `<version> <time> <key>` if the key
    /// was made and could not be put into the secret.
    pub const INTENT: &str = "keywheel:intent";
    /// The cause of the last failed step of a rotation: `<cause> <step> <version> <time>`. Removed by a rotation that
    /// succeeds.
    pub const FAILED: &str = "keywheel:failed";
    /// The notices that were sent: `<key>=<phase>.<phase> <key>=<phase>`.
    pub const NOTIFIED: &str = "keywheel:notified";
    /// The mark: a sweep deferred a notice to the digest, `untold:<time>`. A digest lists the secrets with this prefix.
    /// An empty value is no mark, so one call can remove the mark and record what was sent.
    pub const UNTOLD: &str = "keywheel:untold";
    /// The order of an incident, `true`: the next rotation may delete the other key at once.
    pub const FORCE: &str = "keywheel:force";
    /// When the user's keys were made, as last observed: `<time of the current key> <time>`.
    pub const KEY_DATES: &str = "keywheel:key-dates";
    /// The user whom the resource policy allowed when it was last read or made: `<unique id> <path>`.
    pub const READER: &str = "keywheel:reader";
    /// The key for which the schedule is left off, because it would rotate the key before it is due.
    pub const SCHEDULE_OFF: &str = "keywheel:schedule-off";
    /// Since when the user's account is known to be closed, or to have left the organization, with the schedule off.
    /// The deletion of the secret counts from it.
    pub const DEPARTED: &str = "keywheel:departed";
    /// The version with keywheel's placeholder. If that version is the current one and cannot be decrypted, it is known
    /// that no key is in it.
    pub const PLACEHOLDER: &str = "keywheel:placeholder";
}

/// Longest value of a tag, in characters.
/// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_Tag.html>
const MAX_TAG_VALUE_LENGTH: usize = 256;

/// Limits how far two records of the same moment may differ: IAM dates keys in whole seconds, tags hold whole seconds,
/// and the clocks of AWS's hosts differ by less.
pub(crate) const WHOLE_SECOND: TimeDelta = TimeDelta::seconds(1);

/// The prefix of the value of [`tag::UNTOLD`]. No other tag's value begins with it, so a search for it finds marks
/// only.
pub const UNTOLD_PREFIX: &str = "untold:";

/// Limits how long after its disabling a key's last use may be recorded although nobody enabled the key. IAM needs a
/// moment to disable a key everywhere, and records the first use in every 15 minutes.
/// <https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetAccessKeyLastUsed.html>
const DISABLED_EVERYWHERE_AFTER: TimeDelta = TimeDelta::minutes(15);

/// Whether a key must have been enabled after `disabled_at`, judging by its last use.
pub fn was_enabled_since(disabled_at: DateTime<Utc>, last_use: &KeyUse) -> bool {
    last_use.time > disabled_at + DISABLED_EVERYWHERE_AFTER
}

/// An outgoing key whose grace began at another time than the rotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retiring {
    /// The outgoing key.
    pub key: AccessKeyId,
    /// When its grace began.
    pub since: DateTime<Utc>,
}

/// A tag of keywheel's that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "tag {name} is `{value}`, which is not {expected}; remove the tag, and the next sweep restores what can be known"
)]
pub struct MalformedTag {
    name: &'static str,
    value: String,
    expected: &'static str,
}

/// All facts that the tags hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct State {
    /// Whether the secret is keywheel's.
    pub managed: bool,
    /// The version that these facts describe.
    pub version: Option<VersionId>,
    /// The key in the current version.
    pub current_key: Option<AccessKeyId>,
    /// The key that the last rotation replaced; `None` before the first rotation.
    pub previous_key: Option<AccessKeyId>,
    /// When AWSCURRENT moved to the current key: that key was tested.
    pub rotated_at: Option<DateTime<Utc>>,
    /// When the outgoing key was observed disabled.
    pub disabled_at: Option<DateTime<Utc>>,
    /// An outgoing key whose grace began at another time than the rotation.
    pub retiring: Option<Retiring>,
    /// The rotation that is about to make a key.
    pub intent: Option<Intent>,
    /// The last failed step, until a rotation succeeds. Information for people: no action depends on it.
    pub failed: Option<FailedStep>,
    /// The notices that were sent.
    pub notified: Notified,
    /// When a sweep first deferred a notice to the digest; 1970 if the mark cannot be read, `None` without a mark.
    pub mark: Option<DateTime<Utc>>,
    /// Whether the next rotation may delete the other key at once.
    pub force: bool,
    /// The version with keywheel's placeholder.
    pub placeholder: Option<VersionId>,
    /// When the user's keys were made, as last observed.
    pub key_dates: Option<KeyDates>,
    /// The user whom the resource policy allowed when it was last read or made.
    pub reader: Option<Reader>,
    /// The key for which the schedule is left off.
    pub schedule_off: Option<AccessKeyId>,
    /// Since when the account is known to be closed, or to have left the organization.
    pub departed: Option<DateTime<Utc>>,
    /// Tags that cannot be read. While there is one, nothing destructive is done.
    pub malformed: Vec<MalformedTag>,
}

impl State {
    /// Reads the tags of a secret. Tags that are not keywheel's are ignored; unreadable tags are in `malformed`.
    pub fn read(tags: &BTreeMap<String, String>) -> Self {
        let mut malformed = Vec::new();
        let mut read = TagReader { tags, malformed: &mut malformed };
        let state = Self {
            managed: read.flag(tag::MANAGED, "1", "1"),
            version: read.parse(tag::VERSION, "a version id", |text| text.parse().ok()),
            current_key: read.parse(tag::CURRENT_KEY, "an access key id", |text| text.parse().ok()),
            previous_key: read.parse(tag::PREVIOUS_KEY, "an access key id", |text| text.parse().ok()),
            rotated_at: read.parse(tag::ROTATED_AT, TIME, parse_time),
            disabled_at: read.parse(tag::DISABLED_AT, TIME, parse_time),
            retiring: read.parse(tag::RETIRING, "an access key id and a time", |text| {
                let (key, since) = text.split_once(' ')?;
                Some(Retiring { key: key.parse().ok()?, since: parse_time(since)? })
            }),
            intent: read.parse(tag::INTENT, "a version id, a time and, perhaps, an access key id", Intent::read),
            // It is information only: if it cannot be read, no cause is known.
            failed: read.text(tag::FAILED).and_then(FailedStep::read),
            // Any mark leads to an observation of the user. Its time only decides how long a deletion waits.
            mark: read
                .text(tag::UNTOLD)
                .map(|text| text.strip_prefix(UNTOLD_PREFIX).and_then(parse_time).unwrap_or(DateTime::UNIX_EPOCH)),
            notified: tags.get(tag::NOTIFIED).map(|text| Notified::read(text)).unwrap_or_default(),
            force: read.flag(tag::FORCE, "true", "true (or no tag)"),
            // It only shows that an unreadable value holds no key. If it cannot be read, it shows nothing.
            placeholder: read.text(tag::PLACEHOLDER).and_then(|text| text.parse().ok()),
            // These two only save calls. If one cannot be read, it saves none.
            key_dates: read.text(tag::KEY_DATES).and_then(KeyDates::read),
            reader: read.text(tag::READER).and_then(Reader::read),
            // If it cannot be read, the schedule is tried once more.
            schedule_off: read.text(tag::SCHEDULE_OFF).and_then(|text| text.parse().ok()),
            // If it cannot be read, the time begins again.
            departed: read.text(tag::DEPARTED).and_then(parse_time),
            malformed: Vec::new(),
        };
        Self { malformed, ..state }
    }

    /// Returns the intent of a rotation that has not finished. Once its version is the current one, the announced key
    /// is in that version, and there is no orphan.
    pub fn unsettled_intent(&self, current: Option<&VersionId>) -> Option<&Intent> {
        self.intent.as_ref().filter(|intent| Some(&intent.version) != current)
    }

    /// Returns when the outgoing key was disabled, if that was in the grace that began at `since`. An older time is
    /// left over from an earlier key and proves nothing.
    pub fn disabled_since(&self, since: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.disabled_at.filter(|disabled_at| *disabled_at >= since)
    }
}

const TIME: &str = "an RFC 3339 time in UTC, such as 2026-11-22T09:00:00Z";

struct TagReader<'a> {
    tags: &'a BTreeMap<String, String>,
    malformed: &'a mut Vec<MalformedTag>,
}

impl<'a> TagReader<'a> {
    /// An empty tag means the same as no tag.
    fn text(&self, name: &str) -> Option<&'a str> {
        self.tags.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    fn parse<T>(&mut self, name: &'static str, expected: &'static str, parse: fn(&str) -> Option<T>) -> Option<T> {
        let value = self.text(name)?;
        let parsed = parse(value);
        if parsed.is_none() {
            self.malformed.push(MalformedTag { name, value: value.to_owned(), expected });
        }
        parsed
    }

    fn flag(&mut self, name: &'static str, yes: &str, expected: &'static str) -> bool {
        match self.tags.get(name).map(String::as_str) {
            None | Some("" | "false") => false,
            Some(value) if value.eq_ignore_ascii_case(yes) => true,
            Some(value) => {
                self.malformed.push(MalformedTag { name, value: value.to_owned(), expected });
                false
            }
        }
    }
}

/// Returns a time as tags hold it: RFC 3339, UTC, whole seconds.
pub fn format_time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Tags to set and to remove.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TagChange {
    /// Names and values to set.
    pub set: BTreeMap<String, String>,
    /// Names to remove. Removing a tag that is not there is no error.
    pub remove: Vec<&'static str>,
}

impl TagChange {
    /// Sets a tag.
    #[must_use]
    pub fn set(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.set.insert(name.to_owned(), value.into());
        self
    }

    /// Sets a tag, or removes it for `None`.
    #[must_use]
    pub fn set_or_remove(self, name: &'static str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.set(name, value.to_string()),
            None => self.remove(name),
        }
    }

    /// Returns this change followed by a later one.
    #[must_use]
    pub fn then(mut self, later: Self) -> Self {
        self.remove.retain(|name| !later.set.contains_key(*name) && !later.remove.contains(name));
        self.set.retain(|name, _| !later.remove.iter().any(|removed| removed == name));
        self.set.extend(later.set);
        self.remove.extend(later.remove);
        self
    }

    /// Whether there is nothing to set and nothing to remove.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.remove.is_empty()
    }

    /// Applies the change to a copy of the secret's tags.
    pub fn apply_to(&self, tags: &mut BTreeMap<String, String>) {
        tags.retain(|name, _| !self.remove.iter().any(|removed| removed == name));
        tags.extend(self.set.clone());
        tags.retain(|_, value| !value.is_empty());
    }

    /// Returns the same change as one call for a secret with the `present` tags. If any tag is set, the tags to remove
    /// are set to an empty value, which means the same as no tag. So nobody reads a half-written change.
    #[must_use]
    pub fn at_once(mut self, present: &BTreeMap<String, String>) -> Self {
        self.remove.retain(|name| present.get(*name).is_some_and(|value| !value.is_empty()));
        self.set.retain(|name, value| present.get(name) != Some(value));
        if !self.set.is_empty() {
            self.set.extend(self.remove.drain(..).map(|name| (name.to_owned(), String::new())));
        }
        self
    }

    /// Removes a tag.
    #[must_use]
    pub fn remove(mut self, name: &'static str) -> Self {
        self.remove.push(name);
        self
    }

    /// Sets the outgoing key, with the beginning of its grace.
    #[must_use]
    pub fn retiring(self, key: &AccessKeyId, since: DateTime<Utc>) -> Self {
        self.set(tag::RETIRING, format!("{key} {}", format_time(since)))
    }

    /// Sets the mark for a digest.
    #[must_use]
    pub fn mark(self, since: DateTime<Utc>) -> Self {
        self.set(tag::UNTOLD, format!("{UNTOLD_PREFIX}{}", format_time(since)))
    }

    /// Sets the cause of a failed step.
    #[must_use]
    pub fn failed(self, failed: &FailedStep) -> Self {
        self.set(tag::FAILED, failed.to_string())
    }

    /// Sets the intent to make a key.
    #[must_use]
    pub fn intent(self, intent: &Intent) -> Self {
        self.set(tag::INTENT, intent.to_string())
    }
}

fn parse_time(text: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(text).ok().map(|time| time.with_timezone(&Utc))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{key, now, time, version};
    use proptest::prelude::*;

    #[test]
    fn every_tag_that_is_written_is_read_back() {
        let version: VersionId = "0123456789abcdef0123456789abcdef".parse().unwrap();
        let at = time("2026-11-22T09:00:00Z");
        let change = TagChange::default()
            .set(tag::MANAGED, "1")
            .set(tag::VERSION, version.as_str())
            .set(tag::ROTATED_AT, format_time(at))
            .retiring(&key(1), at)
            .intent(&Intent::new(&version, at))
            .set(tag::FORCE, "true");
        let state = State::read(&change.set);
        assert!(state.managed && state.force && state.malformed.is_empty());
        assert_eq!(state.version, Some(version.clone()));
        assert_eq!(state.rotated_at, Some(at));
        assert_eq!(state.retiring, Some(Retiring { key: key(1), since: at }));
        assert_eq!(state.intent, Some(Intent::new(&version, at)));
        let done = State { intent: state.intent, ..State::default() };
        assert_eq!(done.unsettled_intent(Some(&version)), None, "the announced key is in the current version");
        assert_eq!(done.unsettled_intent(None), done.intent.as_ref());
    }

    #[test]
    fn a_tag_that_cannot_be_read_is_named() {
        let tags = BTreeMap::from([(tag::DISABLED_AT.to_owned(), "yesterday".to_owned())]);
        let state = State::read(&tags);
        insta::assert_snapshot!(state.malformed[0], @"tag keywheel:disabled-at is `yesterday`, which is not an RFC 3339 time in UTC, such as 2026-11-22T09:00:00Z; remove the tag, and the next sweep restores what can be known");
    }

    #[test]
    fn any_mark_is_read_and_a_right_one_is_found_by_its_prefix() {
        let at = time("2026-11-22T09:00:00Z");
        let mark = TagChange::default().mark(at).set[tag::UNTOLD].clone();
        assert!(mark.starts_with(UNTOLD_PREFIX), "{mark}");
        for (value, marked_at) in [
            (mark.as_str(), Some(at)),
            ("2026-11-22T09:00:00Z", Some(DateTime::UNIX_EPOCH)),
            ("untold:yesterday", Some(DateTime::UNIX_EPOCH)),
            ("", None),
        ] {
            let state = State::read(&BTreeMap::from([(tag::UNTOLD.to_owned(), value.to_owned())]));
            assert_eq!((state.mark, state.malformed), (marked_at, Vec::new()), "{value}");
        }
    }

    #[test]
    fn on_aws_b1_an_unreadable_failure_stops_nothing() {
        let failed = FailedStep::new(FailureCause::KmsKeyUnusable, Step::SetSecret, &version(1), now());
        let tags = TagChange::default().failed(&failed).set;
        assert_eq!(State::read(&tags).failed, Some(failed));
        let unreadable = BTreeMap::from([(tag::FAILED.to_owned(), "it just fails".to_owned())]);
        assert_eq!(State::read(&unreadable), State::default());
    }

    #[test]
    fn a_change_at_once_needs_one_call() {
        let present: BTreeMap<String, String> = [(tag::MANAGED, "1"), (tag::FORCE, "true"), (tag::RETIRING, "")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        let removes = |change: TagChange| change.remove(tag::FORCE).remove(tag::RETIRING).remove(tag::INTENT);
        let both = removes(TagChange::default().set(tag::MANAGED, "1").set(tag::VERSION, "v")).at_once(&present);
        let set = [(tag::FORCE, ""), (tag::VERSION, "v")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!((both.set, both.remove), (set.into(), vec![]));
        let removals = removes(TagChange::default().set(tag::MANAGED, "1")).at_once(&present);
        assert_eq!((removals.set, removals.remove), (BTreeMap::new(), vec![tag::FORCE]), "alone they are removals");
    }

    #[test]
    fn a_disable_before_the_grace_began_proves_nothing() {
        let state = State { disabled_at: Some(time("2026-01-01T00:00:00Z")), ..State::default() };
        assert_eq!(state.disabled_since(time("2026-01-01T00:00:01Z")), None);
        assert!(state.disabled_since(time("2026-01-01T00:00:00Z")).is_some());
    }

    proptest! {
        #[test]
        fn every_fact_is_read_back_from_its_tag(
            version in "[a-z0-9-]{32,64}", keys in ("[A-Z0-9]{16,128}", "[A-Z0-9]{16,40}", "[A-Z0-9]{16,40}"),
            times in prop::array::uniform4(0i64..250_000_000_000), flags in (any::<bool>(), any::<bool>()),
        ) {
            let [rotated, disabled, since, at] = times.map(|seconds| DateTime::from_timestamp(seconds, 0).unwrap());
            let version: VersionId = version.parse().unwrap();
            let (current, previous, retiring): (AccessKeyId, AccessKeyId, AccessKeyId) =
                (keys.0.parse().unwrap(), keys.1.parse().unwrap(), keys.2.parse().unwrap());
            let intent = Intent { version: version.clone(), at, key: flags.1.then(|| previous.clone()) };
            let change = TagChange::default()
                .set_or_remove(tag::MANAGED, flags.0.then_some("1"))
                .set(tag::VERSION, version.as_str())
                .set(tag::CURRENT_KEY, current.as_str())
                .set_or_remove(tag::PREVIOUS_KEY, Some(&previous))
                .set(tag::ROTATED_AT, format_time(rotated))
                .set(tag::DISABLED_AT, format_time(disabled))
                .retiring(&retiring, since)
                .intent(&intent)
                .set(tag::SCHEDULE_OFF, current.as_str())
                .set(tag::DEPARTED, format_time(disabled))
                .set_or_remove(tag::FORCE, flags.1.then_some("true"));
            let fits = |value: &String| value.len() <= MAX_TAG_VALUE_LENGTH
                && value.chars().all(|c| c.is_ascii_alphanumeric() || " _.:/=+-@".contains(c));
            prop_assert!(change.set.values().all(fits), "{:?}", change.set);
            let expected = State {
                managed: flags.0,
                version: Some(version.clone()),
                current_key: Some(current.clone()),
                previous_key: Some(previous),
                rotated_at: Some(rotated),
                disabled_at: Some(disabled),
                retiring: Some(Retiring { key: retiring, since }),
                intent: Some(intent),
                failed: None,
                notified: Notified::default(),
                mark: None,
                force: flags.1,
                placeholder: None,
                key_dates: None,
                reader: None,
                schedule_off: Some(current),
                departed: Some(disabled),
                malformed: Vec::new(),
            };
            prop_assert_eq!(State::read(&change.set), expected);
        }

        #[test]
        fn every_tag_is_read_or_reported(
            name in prop::sample::select(ALL.to_vec()),
            value in prop_oneof![any::<String>(), "[A-Z0-9]{16}", "[a-z0-9]{32}( 2026-01-01T00:00:00Z)?", "[A-Z0-9]{16} [0-9:TZ-]{0,20}",
                "2026-[0-9]{2}-[0-9]{2}T[0-9]{2}:00:00(Z|\\+02:00|\\.5Z)", "(?i)true|false|1|0| "],
        ) {
            let state = State::read(&BTreeMap::from([(name.to_owned(), value.clone())]));
            let says_nothing = State { malformed: Vec::new(), ..state.clone() } == State::default();
            match &state.malformed[..] {
                [] => prop_assert_eq!(says_nothing, value.is_empty() || ([tag::MANAGED, tag::FORCE].contains(&name) && value == "false")),
                [malformed] => {
                    prop_assert!(says_nothing && malformed.name == name);
                    prop_assert!(malformed.to_string().contains(&value));
                }
                several => prop_assert!(false, "{several:?}"),
            }
        }

    }

    /// All tags whose unreadable values are reported.
    const ALL: [&str; 9] = [
        tag::MANAGED,
        tag::VERSION,
        tag::CURRENT_KEY,
        tag::PREVIOUS_KEY,
        tag::ROTATED_AT,
        tag::DISABLED_AT,
        tag::RETIRING,
        tag::INTENT,
        tag::FORCE,
    ];
}
