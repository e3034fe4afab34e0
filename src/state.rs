//! keywheel's state: tags on the secret, nowhere else. Pure.
//!
//! Written by the rotation function and the sweeper, read by both. Tag values hold letters, digits, spaces and
//! `_.:/=+-@`, at most 256 characters, so every format here keeps to these.
//! <https://docs.aws.amazon.com/secretsmanager/latest/userguide/managing-secrets_tagging.html>

mod intent;
mod notified;
mod phase;
mod seen;

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use crate::keys::{AccessKeyId, KeyUse, VersionId};
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
    /// The key that the last rotation replaced.
    pub const PREVIOUS_KEY: &str = "keywheel:previous-key";
    /// When AWSCURRENT moved to the current key.
    pub const ROTATED_AT: &str = "keywheel:rotated-at";
    /// When the outgoing key was observed disabled.
    pub const DISABLED_AT: &str = "keywheel:disabled-at";
    /// A key on its way out whose grace began at another time than the rotation: `<key> <time>`.
    pub const RETIRING: &str = "keywheel:retiring";
    /// The rotation that is about to make a key: `<version> <time>`, and ` <key>` where its key is known and did not come
    /// into the secret.
    pub const INTENT: &str = "keywheel:intent";
    /// What owners were told: `<key>=<phase>.<phase> <key>=<phase>`.
    pub const NOTIFIED: &str = "keywheel:notified";
    /// There is something to tell of that a sweep held back for the digest: `untold:<time>`. Secrets are found by how this
    /// value begins, so that it can be taken back in the same call that records what was told.
    pub const UNTOLD: &str = "keywheel:untold";
    /// `true`: the next rotation may retire the other key at once.
    pub const FORCE: &str = "keywheel:force";
    /// When the user's keys were made, as last seen: `<time of the current key> <time>`.
    pub const KEY_DATES: &str = "keywheel:key-dates";
    /// Whom the resource policy was last seen to be for: `<unique id> <path>`.
    pub const READER: &str = "keywheel:reader";
    /// The version that the secret was made with, whose value is keywheel's placeholder.
    pub const PLACEHOLDER: &str = "keywheel:placeholder";
}

/// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_Tag.html>
const MAX_TAG_VALUE_LENGTH: usize = 256;

/// How the value of [`tag::UNTOLD`] begins, and that of no other tag.
pub const UNTOLD_PREFIX: &str = "untold:";

/// Use this long after the disabling means that the key was enabled in between. IAM needs a moment to disable a key
/// everywhere, and records uses to a quarter of an hour.
/// <https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetAccessKeyLastUsed.html>
const DISABLED_EVERYWHERE_AFTER: TimeDelta = TimeDelta::minutes(15);

/// Whether a key that was disabled at that time and last used at the other one was enabled in between.
pub fn was_enabled_since(disabled_at: DateTime<Utc>, last_use: &KeyUse) -> bool {
    last_use.time > disabled_at + DISABLED_EVERYWHERE_AFTER
}

/// A key on its way out, and since when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retiring {
    /// The key.
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
    /// The secret is keywheel's.
    pub managed: bool,
    /// The version that these facts describe.
    pub version: Option<VersionId>,
    /// The key in the current version.
    pub current_key: Option<AccessKeyId>,
    /// The key that the last rotation replaced.
    pub previous_key: Option<AccessKeyId>,
    /// When AWSCURRENT moved to the current key: that key was tested.
    pub rotated_at: Option<DateTime<Utc>>,
    /// When the outgoing key was observed disabled.
    pub disabled_at: Option<DateTime<Utc>>,
    /// A key on its way out whose grace began at another time than the rotation.
    pub retiring: Option<Retiring>,
    /// The rotation that is about to make a key.
    pub intent: Option<Intent>,
    /// What was told.
    pub notified: Notified,
    /// Since when there is something to tell that was left to a digest; 1970 where the mark cannot be read.
    pub untold: Option<DateTime<Utc>>,
    /// The next rotation may retire the other key at once.
    pub force: bool,
    /// When the user's keys were made, as last seen.
    pub key_dates: Option<KeyDates>,
    /// Whom the resource policy was last seen to be for.
    pub reader: Option<Reader>,
    /// Tags that cannot be read. While there are any, nothing destructive is done.
    pub malformed: Vec<MalformedTag>,
}

impl State {
    /// Reads the tags of a secret. Tags of others are ignored.
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
            // Whatever the mark says, the user is looked at; nothing else depends on it but for how long to wait.
            untold: read
                .text(tag::UNTOLD)
                .map(|text| text.strip_prefix(UNTOLD_PREFIX).and_then(parse_time).unwrap_or(DateTime::UNIX_EPOCH)),
            notified: tags.get(tag::NOTIFIED).map(|text| Notified::read(text)).unwrap_or_default(),
            force: read.flag(tag::FORCE, "true", "true (or no tag)"),
            // What was seen saves a look, and unreadable it saves none: nothing else depends on it.
            key_dates: read.text(tag::KEY_DATES).and_then(KeyDates::read),
            reader: read.text(tag::READER).and_then(Reader::read),
            malformed: Vec::new(),
        };
        Self { malformed, ..state }
    }

    /// The intent of a rotation that has not come to its end. Once its version is the current one, the key in that is
    /// the announced one, and there is no orphan.
    pub fn unsettled_intent(&self, current: Option<&VersionId>) -> Option<&Intent> {
        self.intent.as_ref().filter(|intent| Some(&intent.version) != current)
    }

    /// When the outgoing key was disabled, if that is known to belong to the grace that began at `since`: an older
    /// time is left over from an earlier key and proves nothing.
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
    /// A tag without a value says nothing, like one that is not there.
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

/// A time as tags hold it: RFC 3339, UTC, whole seconds.
pub fn format_time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// A change of tags: what to set, what to remove.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TagChange {
    /// To set.
    pub set: BTreeMap<String, String>,
    /// To remove; missing ones are no error.
    pub remove: Vec<&'static str>,
}

impl TagChange {
    /// Sets a tag.
    #[must_use]
    pub fn set(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.set.insert(name.to_owned(), value.into());
        self
    }

    /// Sets a tag, or removes it where there is nothing to say.
    #[must_use]
    pub fn set_or_remove(self, name: &'static str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.set(name, value.to_string()),
            None => self.remove(name),
        }
    }

    /// This change, and then that one.
    #[must_use]
    pub fn then(mut self, later: Self) -> Self {
        self.remove.retain(|name| !later.set.contains_key(*name) && !later.remove.contains(name));
        self.set.retain(|name, _| !later.remove.iter().any(|removed| removed == name));
        self.set.extend(later.set);
        self.remove.extend(later.remove);
        self
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.remove.is_empty()
    }

    /// What these tags are after the change.
    pub fn apply_to(&self, tags: &mut BTreeMap<String, String>) {
        tags.retain(|name, _| !self.remove.iter().any(|removed| removed == name));
        tags.extend(self.set.clone());
        tags.retain(|_, value| !value.is_empty());
    }

    /// The same change in one call, of a secret that has these tags now: beside something that is set, what is to go is
    /// set to nothing, which says as much as no tag. So nobody who reads in between sees half of it.
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

    /// Sets the key on its way out.
    #[must_use]
    pub fn retiring(self, key: &AccessKeyId, since: DateTime<Utc>) -> Self {
        self.set(tag::RETIRING, format!("{key} {}", format_time(since)))
    }

    /// Marks the secret for a digest.
    #[must_use]
    pub fn untold(self, since: DateTime<Utc>) -> Self {
        self.set(tag::UNTOLD, format!("{UNTOLD_PREFIX}{}", format_time(since)))
    }

    /// Announces that a key is about to be made.
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
    use crate::testing::{key, time};
    use proptest::prelude::*;

    #[test]
    fn what_is_written_is_read_back() {
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
    fn a_mark_for_a_digest_is_found_by_its_beginning_and_read_whatever_it_says() {
        let at = time("2026-11-22T09:00:00Z");
        let mark = TagChange::default().untold(at).set[tag::UNTOLD].clone();
        assert!(mark.starts_with(UNTOLD_PREFIX), "{mark}");
        for (value, untold) in [
            (mark.as_str(), Some(at)),
            ("2026-11-22T09:00:00Z", Some(DateTime::UNIX_EPOCH)),
            ("untold:yesterday", Some(DateTime::UNIX_EPOCH)),
            ("", None),
        ] {
            let state = State::read(&BTreeMap::from([(tag::UNTOLD.to_owned(), value.to_owned())]));
            assert_eq!((state.untold, state.malformed), (untold, Vec::new()), "{value}");
        }
    }

    #[test]
    fn a_change_at_once_is_one_call_and_touches_nothing_else() {
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
        fn every_fact_survives_the_way_through_the_tags(
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
                .set_or_remove(tag::FORCE, flags.1.then_some("true"));
            let fits = |value: &String| value.len() <= MAX_TAG_VALUE_LENGTH
                && value.chars().all(|c| c.is_ascii_alphanumeric() || " _.:/=+-@".contains(c));
            prop_assert!(change.set.values().all(fits), "{:?}", change.set);
            let expected = State {
                managed: flags.0,
                version: Some(version.clone()),
                current_key: Some(current),
                previous_key: Some(previous),
                rotated_at: Some(rotated),
                disabled_at: Some(disabled),
                retiring: Some(Retiring { key: retiring, since }),
                intent: Some(intent),
                notified: Notified::default(),
                untold: None,
                force: flags.1,
                key_dates: None,
                reader: None,
                malformed: Vec::new(),
            };
            prop_assert_eq!(State::read(&change.set), expected);
        }

        #[test]
        fn a_tag_is_read_as_it_is_or_named_and_never_passed_over(
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

    /// All tags but `keywheel:notified`, of which what cannot be read is told again.
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
