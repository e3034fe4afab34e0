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
    words: Words,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Row {
    /// Where the name starts, and how long it is.
    name: usize,
    length: u16,
    /// The line of the report.
    line: usize,
    keys: [Key; MAX_KEYS_PER_USER],
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
        let length = u16::try_from(name.len()).map_err(|_| MalformedReport::new(line, "its name is too long"))?;
        let [first, second] = &user.keys;
        let keys = [self.key(line, first)?, self.key(line, second)?];
        self.rows.push(Row { name: self.names.len(), length, line, keys });
        self.names.push_str(name);
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

    /// Brings the users in order.
    ///
    /// # Errors
    /// The line of a user who is there for the second time.
    pub(super) fn finish(&mut self) -> Result<(), MalformedReport> {
        let Self { names, rows, words: _ } = self;
        rows.sort_by(|one, other| one.name(names).cmp(other.name(names)));
        match rows.windows(2).find(|rows| rows[0].name(names) == rows[1].name(names)) {
            None => Ok(()),
            Some(twice) => {
                let expected = "a user for the first time";
                Err(MalformedReport::value(twice[1].line, "user", twice[1].name(names), expected))
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
        row.keys.map(|Key { active_since, last_use }| ReportedKey {
            active_since,
            last_use: last_use.map(|Use { time, service, region }| KeyUse {
                time,
                service: self.words.word(service),
                region: self.words.word(region),
            }),
        })
    }
}

impl Row {
    fn name<'a>(&self, names: &'a str) -> &'a str {
        &names[self.name..self.name + usize::from(self.length)]
    }
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
