//! The findings of a user's last observation: with them, lists can show later whether another observation is needed.
//! Pure.

use std::fmt;

use chrono::{DateTime, SubsecRound as _, Utc};

use super::{format_time, parse_time};
use crate::keys::{MAX_KEYS_PER_USER, UserArn};

/// When the user's keys were made. As a tag: `<time> <time>`, the key of the current version first; `-` if the user
/// lacks that key.
///
/// IAM's credential report names no key, but it dates each active key by its last change. If a key was neither disabled
/// nor enabled since it was made, that second identifies it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyDates {
    /// When the key in the current version was made; `None` if the user lacks that key, or if it is not known.
    pub current: Option<DateTime<Utc>>,
    /// When the user's other keys were made, oldest first.
    pub others: Vec<DateTime<Utc>>,
}

const NO_KEY: &str = "-";

impl KeyDates {
    /// These dates in whole seconds, as a tag and the report hold them.
    pub fn new(current: Option<DateTime<Utc>>, others: impl IntoIterator<Item = DateTime<Utc>>) -> Self {
        let whole = |time: DateTime<Utc>| time.trunc_subsecs(0);
        Self { current: current.map(whole), others: others.into_iter().map(whole).collect() }
    }

    pub(super) fn read(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let current = match words.next()? {
            NO_KEY => None,
            time => Some(parse_time(time)?),
        };
        let others: Vec<_> = words.map(parse_time).collect::<Option<_>>()?;
        (others.len() + usize::from(current.is_some()) <= MAX_KEYS_PER_USER).then_some(Self { current, others })
    }

    /// The dates of all keys, the current key first.
    pub fn all(&self) -> impl Iterator<Item = DateTime<Utc>> {
        self.current.iter().chain(&self.others).copied()
    }
}

impl fmt::Display for KeyDates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.current {
            Some(time) => f.write_str(&format_time(time))?,
            None => f.write_str(NO_KEY)?,
        }
        self.others.iter().try_for_each(|time| write!(f, " {}", format_time(*time)))
    }
}

/// The user for whom the secret's resource policy was, when it was last read or made. As a tag: `<unique id> <path>`.
///
/// No list shows a resource policy. But the list of users shows if the user was deleted and made again, which changes
/// the id, or moved, which changes the path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reader {
    /// `AIDA…`.
    pub id: String,
    /// The user's path, with both of its slashes.
    pub path: String,
}

impl Reader {
    /// The user with this id and ARN; `None` if a tag cannot hold its path.
    /// <https://docs.aws.amazon.com/secretsmanager/latest/userguide/managing-secrets_tagging.html>
    pub fn of(id: &str, arn: &UserArn) -> Option<Self> {
        let is_tag_text = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || "_.:/=+-@".contains(c));
        let reader = Self { id: id.to_owned(), path: arn.path().to_owned() };
        let fits = !id.is_empty() && reader.to_string().len() <= super::MAX_TAG_VALUE_LENGTH;
        (fits && is_tag_text(id) && is_tag_text(&reader.path)).then_some(reader)
    }

    pub(super) fn read(text: &str) -> Option<Self> {
        let (id, path) = text.split_once(' ')?;
        let is_path = path.starts_with('/') && path.ends_with('/') && !path.contains(' ');
        (!id.is_empty() && is_path).then(|| Self { id: id.to_owned(), path: path.to_owned() })
    }
}

impl fmt::Display for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.id, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::time;

    #[test]
    fn the_dates_of_keys_are_read_back() {
        let (a, b) = (time("2026-01-02T03:04:05Z"), time("2026-04-02T03:04:05Z"));
        for (dates, text) in [
            (KeyDates { current: Some(a), others: vec![] }, "2026-01-02T03:04:05Z"),
            (KeyDates { current: Some(b), others: vec![a] }, "2026-04-02T03:04:05Z 2026-01-02T03:04:05Z"),
            (KeyDates { current: None, others: vec![a, b] }, "- 2026-01-02T03:04:05Z 2026-04-02T03:04:05Z"),
            (KeyDates::default(), "-"),
        ] {
            assert_eq!(dates.to_string(), text);
            assert_eq!(KeyDates::read(text), Some(dates));
        }
        for unreadable in ["", "yesterday", "- - -", "2026-01-02T03:04:05Z ", "- 2026-01-02T03:04:05Z x"] {
            assert_eq!(KeyDates::read(unreadable), None, "{unreadable:?}");
        }
        let three = format!("{a} {a} {b}", a = format_time(a), b = format_time(b));
        assert_eq!(KeyDates::read(&three), None, "no user has three keys");
    }

    #[test]
    fn a_reader_is_read_back_or_left_out() {
        let arn = |path: &str| format!("arn:aws:iam::111122223333:user{path}bot").parse::<UserArn>().unwrap();
        for path in ["/", "/ci/", "/a/b_c.d/"] {
            let reader = Reader::of("AIDAEXAMPLE", &arn(path)).unwrap();
            assert_eq!(reader.path, path);
            assert_eq!(Reader::read(&reader.to_string()), Some(reader));
        }
        assert_eq!(Reader::of("AIDAEXAMPLE", &arn("/what?/")), None, "no tag can hold it");
        assert_eq!(Reader::of("AIDAEXAMPLE", &arn(&format!("/{}/", "x".repeat(300)))), None, "too long for a tag");
        assert_eq!(Reader::of("", &arn("/")), None);
        for unreadable in ["", "AIDA", "AIDA ci", " /ci/", "AIDA /c i/"] {
            assert_eq!(Reader::read(unreadable), None, "{unreadable:?}");
        }
    }
}
