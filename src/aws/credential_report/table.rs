//! The lines of a report in little memory: names in one text, and words that many lines share written once.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::{MalformedReport, ReportedKey, ReportedUser};
use crate::keys::{KeyUse, MAX_KEYS_PER_USER, UserName};

/// Users and their keys; by name once it is finished.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Table {
    names: String,
    rows: Vec<Row>,
    keys: Vec<Key>,
    words: Words,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Row {
    /// The line of the report.
    line: u32,
    /// Where the name starts, and how long it is.
    name: u32,
    length: u16,
    /// Where the keys start, and in which places there is one that the report tells something of.
    key: u32,
    told: [bool; MAX_KEYS_PER_USER],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key {
    active_since: Option<DateTime<Utc>>,
    last_use: Option<Use>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Use {
    time: DateTime<Utc>,
    service: Word,
    region: Word,
}

impl Table {
    pub(super) fn add(&mut self, line: usize, user: &ReportedUser) -> Result<(), MalformedReport> {
        let name = user.name.as_str();
        self.rows.push(Row {
            line: short(line, line)?,
            name: short(line, self.names.len())?,
            length: short(line, name.len())?,
            key: short(line, self.keys.len())?,
            told: user.keys.each_ref().map(is_told),
        });
        self.names.push_str(name);
        for key in user.keys.iter().filter(|key| is_told(key)) {
            let key = self.key(line, key)?;
            self.keys.push(key);
        }
        Ok(())
    }

    fn key(&mut self, line: usize, key: &ReportedKey) -> Result<Key, MalformedReport> {
        let last_use = match &key.last_use {
            None => None,
            Some(KeyUse { time, service, region }) => {
                let (service, region) = (self.words.number(line, service)?, self.words.number(line, region)?);
                Some(Use { time: *time, service, region })
            }
        };
        Ok(Key { active_since: key.active_since, last_use })
    }

    /// Brings the users in order, and gives back the memory that was kept for more.
    ///
    /// # Errors
    /// The line of a user who is there for the second time.
    pub(super) fn finish(&mut self) -> Result<(), MalformedReport> {
        let Self { names, rows, keys, words: _ } = self;
        names.shrink_to_fit();
        keys.shrink_to_fit();
        rows.shrink_to_fit();
        // In place: there may be many.
        rows.sort_unstable_by(|one, other| (one.name(names), one.line).cmp(&(other.name(names), other.line)));
        match rows.windows(2).find(|rows| rows[0].name(names) == rows[1].name(names)) {
            None => Ok(()),
            Some(twice) => {
                let (line, name) = (place(twice[1].line), twice[1].name(names));
                Err(MalformedReport::value(line, "user", name, "a user for the first time"))
            }
        }
    }

    pub(super) fn keys_of(&self, user: &UserName) -> Option<[ReportedKey; MAX_KEYS_PER_USER]> {
        let found = self.rows.binary_search_by(|row| row.name(&self.names).cmp(user.as_str())).ok()?;
        Some(self.keys(&self.rows[found]))
    }

    pub(super) fn users(&self) -> impl Iterator<Item = ReportedUser> {
        self.rows.iter().filter_map(|row| {
            let name = row.name(&self.names).parse().ok()?;
            Some(ReportedUser { name, keys: self.keys(row) })
        })
    }

    fn keys(&self, row: &Row) -> [ReportedKey; MAX_KEYS_PER_USER] {
        let mut told = self.keys[place(row.key)..].iter();
        let mut next = |is_told: bool| if is_told { told.next() } else { None };
        row.told.map(|is_told| match next(is_told) {
            Some(key) => self.reported(*key),
            None => ReportedKey { active_since: None, last_use: None },
        })
    }

    fn reported(&self, Key { active_since, last_use }: Key) -> ReportedKey {
        let used = |Use { time, service, region }| KeyUse {
            time,
            service: self.words.word(service),
            region: self.words.word(region),
        };
        ReportedKey { active_since, last_use: last_use.map(used) }
    }
}

/// Whether the report tells something of the key in that place.
fn is_told(key: &ReportedKey) -> bool {
    key.active_since.is_some() || key.last_use.is_some()
}

impl Row {
    fn name<'a>(&self, names: &'a str) -> &'a str {
        &names[place(self.name)..][..usize::from(self.length)]
    }
}

/// A number that is small in any report that a function could hold.
fn short<T: TryFrom<usize>>(line: usize, number: usize) -> Result<T, MalformedReport> {
    T::try_from(number).map_err(|_| MalformedReport::new(line, "the report is too long"))
}

/// A number as it was before it was made short.
fn place(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// The number of a service or a Region.
type Word = u16;

/// AWS has some hundreds of services and some dozens of Regions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Words {
    words: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, Word>,
}

impl Words {
    fn number(&mut self, line: usize, word: &str) -> Result<Word, MalformedReport> {
        if let Some(number) = self.numbers.get(word) {
            return Ok(*number);
        }
        let number = Word::try_from(self.words.len());
        let number = number.map_err(|_| MalformedReport::new(line, "there are too many services and Regions"))?;
        let word: Arc<str> = word.into();
        self.words.push(Arc::clone(&word));
        self.numbers.insert(word, number);
        Ok(number)
    }

    fn word(&self, number: Word) -> String {
        self.words.get(usize::from(number)).map(ToString::to_string).unwrap_or_default()
    }
}
