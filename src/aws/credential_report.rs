//! IAM's credential report: CSV with a row for the root user and one for each user of an account. Pure.
//!
//! # What a report proves
//!
//! One call covers all users, but its facts are old and coarse:
//!
//! - IAM makes a report at most every four hours and returns the earlier one until then. It knows nothing of later
//!   changes. <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_getting-report.html>
//! - It has no key ids. Its key 1 need not be the first key of another list, or key 1 of an earlier report.
//! - `access_key_N_last_rotated` is when the key was made **or last changed**. An active key is at least that old. It
//!   may be older, because disabling and enabling a key sets this time anew.
//! - It is `N/A` for an inactive key, so a slot without an active key may be empty or hold an inactive key.
//! - IAM records a use once in 15 minutes, and recorded none before 22 April 2015. `N/A` means never used, not recorded
//!   or no such key.
//!
//! A report alone proves that a key is due, and that a user has no active key. Together with the secret's tags it
//! proves that nothing is due: the tags say which key is current, since when, and that no key is being retired. A
//! report never proves that a key may be disabled or deleted, and no such action may rest on it.
//!
//! # How it is read
//!
//! Columns are found by their names, because IAM has added columns and may add more. A row that is not understood is
//! odd: the report then says nothing about the users that the row names, and everything about the others. A user
//! without a row is observed by itself, so a row that is lost proves nothing.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use csv::{ByteRecord, ReaderBuilder, StringRecord};

use crate::keys::{KeyUse, MAX_KEYS_PER_USER, UserArn, UserName};
use crate::redact;

/// Name in the row of the root user, which keywheel never touches.
const ROOT: &str = "<root_account>";
/// The value does not exist or is unknown.
const NOT_APPLICABLE: &str = "N/A";
/// IAM has no record, although there may have been a use.
const NO_INFORMATION: &str = "no_information";
/// This user cannot have the value.
const NOT_SUPPORTED: &str = "not_supported";

/// Why a report cannot be read: the line, from 1, and the column.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the credential report is not as IAM makes it: line {line}: {what}")]
pub struct MalformedReport {
    line: u64,
    what: String,
}

impl MalformedReport {
    fn new(line: u64, what: impl Into<String>) -> Self {
        Self { line, what: what.into() }
    }
}

/// The users of a report and their keys, without the root user.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CredentialReport {
    users: BTreeMap<UserName, ReportedKeys>,
    odd_rows: usize,
    first_odd_row: Option<MalformedReport>,
}

/// Key 1 and key 2 of one user.
pub type ReportedKeys = [ReportedKey; MAX_KEYS_PER_USER];

/// One of a user's two key slots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportedKey {
    /// When the active key was made or last changed: the key is at least that old. `None` if the slot has no active
    /// key; it may be empty or hold an inactive key.
    pub active_since: Option<DateTime<Utc>>,
    /// The last recorded use; `None` proves nothing.
    pub last_use: Option<KeyUse>,
}

impl CredentialReport {
    /// Reads the content of `GetCredentialReport`, decoded from base64.
    ///
    /// A row is odd, and its users are left out, if IAM's documentation does not describe it: more or fewer fields than
    /// the header, a field with a line break, a value of another form, a user that is listed twice, a user name that
    /// its ARN contradicts. Bytes that are not UTF-8 count as characters that no value has.
    ///
    /// # Errors
    /// [`MalformedReport`] if the first line is not the header: a column is missing or repeated.
    pub fn read(content: &[u8]) -> Result<Self, MalformedReport> {
        let content = content.strip_prefix(BYTE_ORDER_MARK).unwrap_or(content);
        let malformed = |error: csv::Error| MalformedReport::new(1, error.to_string());
        let mut reader = ReaderBuilder::new().flexible(true).from_reader(content);
        let columns = Columns::find(&lossy(reader.byte_headers().map_err(malformed)?))?;
        let (mut report, mut odd) = (Self::default(), BTreeSet::new());
        for record in reader.byte_records() {
            report.add(&lossy(&record.map_err(malformed)?), &columns, &mut odd);
        }
        report.users.retain(|name, _| !odd.contains(name.as_str()));
        Ok(report)
    }

    /// Adds a row, or the users that an odd row names.
    fn add(&mut self, fields: &StringRecord, columns: &Columns, odd: &mut BTreeSet<String>) {
        let row = Row { fields, columns };
        if row.text("user") == ROOT {
            return;
        }
        let read = row.check().and_then(|()| row.user());
        let read = read.and_then(|(name, keys)| match self.users.insert(name, keys) {
            None => Ok(()),
            Some(_) => Err(row.malformed("user", "a user for the first time")),
        });
        if let Err(why) = read {
            // An odd name of one user may be the right name of another.
            let in_arn = row.text("arn").rsplit('/').next().unwrap_or_default();
            odd.extend([row.text("user").to_owned(), in_arn.to_owned()]);
            self.odd_rows += 1;
            self.first_odd_row.get_or_insert(why);
        }
    }

    /// How many rows could not be read, and the reason for the first of them; `None` if all could.
    pub fn odd_rows(&self) -> Option<(usize, &MalformedReport)> {
        self.first_odd_row.as_ref().map(|first| (self.odd_rows, first))
    }

    /// The keys of that user; `None` if the report has no row for the user, or an odd one.
    pub fn keys_of(&self, user: &UserName) -> Option<&ReportedKeys> {
        self.users.get(user)
    }

    /// Every user but the root user, by name.
    pub fn users(&self) -> impl Iterator<Item = (&UserName, &ReportedKeys)> {
        self.users.iter()
    }
}

/// The documented columns that are read. The others are about passwords, MFA and certificates.
const COLUMNS: [&str; 13] = [
    "user",
    "arn",
    "user_creation_time",
    "access_key_1_active",
    "access_key_1_last_rotated",
    "access_key_1_last_used_date",
    "access_key_1_last_used_region",
    "access_key_1_last_used_service",
    "access_key_2_active",
    "access_key_2_last_rotated",
    "access_key_2_last_used_date",
    "access_key_2_last_used_region",
    "access_key_2_last_used_service",
];

const KEY_COLUMNS: [[&str; 5]; MAX_KEYS_PER_USER] = [
    [COLUMNS[3], COLUMNS[4], COLUMNS[5], COLUMNS[6], COLUMNS[7]],
    [COLUMNS[8], COLUMNS[9], COLUMNS[10], COLUMNS[11], COLUMNS[12]],
];

const TIME: &str = "a time in ISO 8601, such as 2026-11-22T09:00:00+00:00";

/// Some programs write it before UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Returns the fields as text, with a replacement character for what is not UTF-8.
fn lossy(record: &ByteRecord) -> StringRecord {
    let mut fields: StringRecord = record.iter().map(String::from_utf8_lossy).collect();
    fields.set_position(record.position().cloned());
    fields
}

/// The position of each of [`COLUMNS`] in a row.
#[derive(Debug)]
struct Columns {
    positions: [usize; COLUMNS.len()],
    width: usize,
}

impl Columns {
    fn find(header: &StringRecord) -> Result<Self, MalformedReport> {
        if header.is_empty() {
            return Err(MalformedReport::new(1, "it is empty"));
        }
        let mut positions = [0; COLUMNS.len()];
        for (position, name) in positions.iter_mut().zip(COLUMNS) {
            let mut found = header.iter().enumerate().filter(|(_, field)| *field == name);
            let (Some((at, _)), None) = (found.next(), found.next()) else {
                return Err(MalformedReport::new(1, format!("column {name} is missing or there twice")));
            };
            *position = at;
        }
        Ok(Self { positions, width: header.len() })
    }
}

/// The fields of one user.
struct Row<'a> {
    fields: &'a StringRecord,
    columns: &'a Columns,
}

impl Row<'_> {
    fn line(&self) -> u64 {
        self.fields.position().map_or(1, csv::Position::line)
    }

    /// Checks that there are as many fields as in the header, each of one line. No value of IAM has a line break: a
    /// quote without its end has made one field of several rows.
    fn check(&self) -> Result<(), MalformedReport> {
        if self.fields.iter().any(|field| field.contains(['\r', '\n'])) {
            return Err(MalformedReport::new(self.line(), "a field has more than one line"));
        }
        if self.fields.len() != self.columns.width {
            let what = format!("it has {} fields, and the first line has {}", self.fields.len(), self.columns.width);
            return Err(MalformedReport::new(self.line(), what));
        }
        Ok(())
    }

    /// The field of one of [`COLUMNS`].
    fn text(&self, column: &str) -> &str {
        let position = COLUMNS.iter().position(|name| *name == column).map(|at| self.columns.positions[at]);
        position.and_then(|at| self.fields.get(at)).unwrap_or_default()
    }

    fn malformed(&self, column: &str, expected: &str) -> MalformedReport {
        let value: String = self.text(column).chars().take(200).collect();
        let value = redact::secret_like(&value);
        MalformedReport::new(self.line(), format!("column {column} is `{value}`, which is not {expected}"))
    }

    fn user(&self) -> Result<(UserName, ReportedKeys), MalformedReport> {
        let arn: UserArn = self.text("arn").parse().map_err(|_| self.malformed("arn", "the ARN of a user"))?;
        if arn.user().name.as_str() != self.text("user") {
            return Err(self.malformed("user", "the name at the end of the ARN"));
        }
        if self.time("user_creation_time")?.is_none() {
            return Err(self.malformed("user_creation_time", TIME));
        }
        Ok((arn.user().name.clone(), [self.key(KEY_COLUMNS[0])?, self.key(KEY_COLUMNS[1])?]))
    }

    fn key(&self, [active, changed, date, region, service]: [&str; 5]) -> Result<ReportedKey, MalformedReport> {
        let active_since = match (self.text(active), self.time(changed)?) {
            ("true", Some(since)) => Some(since),
            // An active key of unknown age must not look like an empty slot.
            ("true", None) => return Err(self.malformed(changed, "a time, although the key is active")),
            // The documentation says `N/A` here, and nothing depends on the time of an inactive key.
            ("false", _) => None,
            _ => return Err(self.malformed(active, "true or false")),
        };
        let last_use = self.time(date)?.map(|time| KeyUse {
            time,
            service: self.text(service).to_owned(),
            region: self.text(region).to_owned(),
        });
        Ok(ReportedKey { active_since, last_use })
    }

    fn time(&self, column: &str) -> Result<Option<DateTime<Utc>>, MalformedReport> {
        match self.text(column) {
            NOT_APPLICABLE | NO_INFORMATION | NOT_SUPPORTED => Ok(None),
            text => {
                let time = DateTime::parse_from_rfc3339(text).map_err(|_| self.malformed(column, TIME))?;
                Ok(Some(time.with_timezone(&Utc)))
            }
        }
    }
}

#[cfg(test)]
mod tests;
