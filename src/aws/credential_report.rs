//! IAM's credential report: one line for the root user and one for each user of an account, as CSV. Pure.
//!
//! # What it can prove
//!
//! One call tells about all users, which is why it is worth reading; what it tells is old and coarse:
//!
//! - A report is made at most every four hours; until then IAM answers the earlier one. Of what happened after it was
//!   made it tells nothing. <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_getting-report.html>
//! - It has no ids of keys. The key that is called 1 here need not be the first of another list, or of an earlier report.
//! - `access_key_N_last_rotated` is when the key was made **or last changed**. An active key is at least that old, and may
//!   be older: one that was disabled and enabled again starts anew here, and nowhere else.
//! - It is `N/A` for a key that is not active: a place without an active key may be empty or hold an inactive key.
//! - A use is recorded once in 15 minutes, and not at all before 22 April 2015; `N/A` is "never" or "not recorded" or
//!   "there is no such key".
//!
//! So by itself it proves that a key is due, and that a user has no active key. That nothing is due, it proves together
//! with what the tags of the secrets tell: which key is current and since when, and that none is on its way out. Never
//! does it prove that something may be disabled or deleted, and nothing of that kind may rest on it.
//!
//! # How it is read
//!
//! By the names in its first line: IAM has added columns and may add more. A report with a line or a value that is not
//! understood is refused as a whole, because a part of the users is not an answer.

mod csv;
mod table;

use chrono::{DateTime, Utc};

use crate::keys::{KeyUse, MAX_KEYS_PER_USER, UserArn, UserName};
use crate::redact;
use csv::{Record, Records};
use table::Table;

/// The name in the line of the root user, which keywheel never touches.
const ROOT: &str = "<root_account>";
/// There is none, or none is known.
const NOT_APPLICABLE: &str = "N/A";
/// IAM has no record, although there may be something to tell.
const NO_INFORMATION: &str = "no_information";
/// Not a thing that this user can have.
const NOT_SUPPORTED: &str = "not_supported";

/// Why a report cannot be read: the line, from 1, and the column.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the credential report is not as IAM makes it: line {line}: {what}")]
pub struct MalformedReport {
    line: usize,
    what: String,
}

impl MalformedReport {
    fn new(line: usize, what: impl Into<String>) -> Self {
        Self { line, what: what.into() }
    }

    fn value(line: usize, column: &str, value: &str, expected: &str) -> Self {
        let value: String = value.chars().take(200).collect();
        Self::new(line, format!("column {column} is `{}`, which is not {expected}", redact::secret_like(&value)))
    }
}

/// What a report tells, in some 60 bytes a user: an account may have many.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CredentialReport {
    table: Table,
}

/// One user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportedUser {
    /// The user's name.
    pub name: UserName,
    /// Key 1 and key 2. A place without an active key says nothing: it may be empty or hold an inactive key.
    pub keys: [ReportedKey; MAX_KEYS_PER_USER],
}

/// One of the two places for a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportedKey {
    /// When the active key was made or last changed: it is at least that old. `None` where there is no active key.
    pub active_since: Option<DateTime<Utc>>,
    /// The last use on record; `None` proves nothing.
    pub last_use: Option<KeyUse>,
}

impl CredentialReport {
    /// Reads the content of `GetCredentialReport`, decoded from base64.
    ///
    /// # Errors
    /// As [`ReportReader::finish`].
    pub fn read(content: &[u8]) -> Result<Self, MalformedReport> {
        let mut reader = ReportReader::default();
        content.chunks(PIECE).for_each(|piece| reader.push(piece));
        reader.finish()
    }

    /// The keys of that user; `None` if the report has no line of it.
    pub fn keys_of(&self, user: &UserName) -> Option<[ReportedKey; MAX_KEYS_PER_USER]> {
        self.table.keys_of(user)
    }

    /// Every user but the root user, by name.
    pub fn users(&self) -> impl Iterator<Item = ReportedUser> {
        self.table.users()
    }
}

/// What is read of a text that is there as a whole is copied, but not the whole at once.
const PIECE: usize = 16 * 1024;

/// Reads a report piece by piece, as it arrives: the text of it is never there as a whole.
#[derive(Debug, Default)]
pub struct ReportReader {
    columns: Option<Columns>,
    table: Table,
    /// Lines that were read.
    lines: usize,
    /// The start of a record whose end has not come yet.
    rest: Vec<u8>,
    /// Whether the rest ends inside of quotes.
    is_quoted: bool,
    mistake: Option<MalformedReport>,
}

impl ReportReader {
    /// Takes the next piece, which may end anywhere.
    pub fn push(&mut self, piece: &[u8]) {
        if self.mistake.is_some() {
            return;
        }
        let mut end = None;
        for (at, byte) in (self.rest.len()..).zip(piece) {
            match byte {
                b'"' => self.is_quoted = !self.is_quoted,
                b'\n' if !self.is_quoted => end = Some(at + 1),
                _ => {}
            }
        }
        self.rest.extend_from_slice(piece);
        if let Some(end) = end {
            let after = self.rest.split_off(end);
            let records = std::mem::replace(&mut self.rest, after);
            self.mistake = self.read(&records).err();
        }
    }

    /// Takes it that what came is no report.
    pub(crate) fn refuse(&mut self, why: &str) {
        self.mistake.get_or_insert_with(|| MalformedReport::new(self.lines + 1, why));
    }

    /// The report, when all pieces are there.
    ///
    /// # Errors
    /// [`MalformedReport`] with line and column for anything that IAM's documentation does not describe: another text
    /// than UTF-8, a column that is missing or there twice, a line with more or fewer fields than the first, a value of
    /// another form, a user that is there twice or whose name and ARN contradict each other.
    pub fn finish(mut self) -> Result<CredentialReport, MalformedReport> {
        if let Some(mistake) = self.mistake {
            return Err(mistake);
        }
        let rest = std::mem::take(&mut self.rest);
        self.read(&rest)?;
        if self.columns.is_none() {
            return Err(MalformedReport::new(1, "it is empty"));
        }
        self.table.finish()?;
        Ok(CredentialReport { table: self.table })
    }

    fn read(&mut self, records: &[u8]) -> Result<(), MalformedReport> {
        let text = std::str::from_utf8(records).map_err(|error| {
            let before = String::from_utf8_lossy(&records[..error.valid_up_to()]);
            MalformedReport::new(self.lines + before.matches('\n').count() + 1, "it is not UTF-8")
        })?;
        let mut records = Records::after(self.lines, text);
        for record in records.by_ref() {
            let record = record?;
            let Some(columns) = &self.columns else {
                self.columns = Some(Columns::find(&record)?);
                continue;
            };
            let row = Row { record, columns };
            row.check_width()?;
            if row.text("user") != ROOT {
                self.table.add(row.record.line, &row.user()?)?;
            }
        }
        self.lines = records.lines();
        Ok(())
    }
}

/// The columns that are read, of the documented ones. The others are about passwords, MFA and certificates.
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

/// Where each of [`COLUMNS`] stands, and how many there are.
#[derive(Debug)]
struct Columns {
    places: [usize; COLUMNS.len()],
    width: usize,
}

impl Columns {
    fn find(header: &Record<'_>) -> Result<Self, MalformedReport> {
        let mut places = [0; COLUMNS.len()];
        for (place, name) in places.iter_mut().zip(COLUMNS) {
            let mut found = header.fields.iter().enumerate().filter(|(_, field)| *field == name);
            let (Some((at, _)), None) = (found.next(), found.next()) else {
                return Err(MalformedReport::new(header.line, format!("column {name} is missing or there twice")));
            };
            *place = at;
        }
        Ok(Self { places, width: header.fields.len() })
    }
}

struct Row<'a, 'b> {
    record: Record<'a>,
    columns: &'b Columns,
}

impl Row<'_, '_> {
    fn check_width(&self) -> Result<(), MalformedReport> {
        let wanted = self.columns.width;
        let found = self.record.fields.len();
        if found == wanted {
            return Ok(());
        }
        Err(MalformedReport::new(self.record.line, format!("it has {found} fields, and the first line has {wanted}")))
    }

    /// The field of one of [`COLUMNS`]; there is one once the width is checked.
    fn text(&self, column: &str) -> &str {
        let place = COLUMNS.iter().position(|name| *name == column).map(|at| self.columns.places[at]);
        place.and_then(|place| self.record.fields.get(place)).map(AsRef::as_ref).unwrap_or_default()
    }

    fn malformed(&self, column: &str, expected: &str) -> MalformedReport {
        MalformedReport::value(self.record.line, column, self.text(column), expected)
    }

    fn user(&self) -> Result<ReportedUser, MalformedReport> {
        let arn: UserArn = self.text("arn").parse().map_err(|_| self.malformed("arn", "the ARN of a user"))?;
        if arn.user().name.as_str() != self.text("user") {
            return Err(self.malformed("user", "the name at the end of the ARN"));
        }
        if self.time("user_creation_time")?.is_none() {
            return Err(self.malformed("user_creation_time", TIME));
        }
        Ok(ReportedUser { name: arn.user().name.clone(), keys: [self.key(KEY_COLUMNS[0])?, self.key(KEY_COLUMNS[1])?] })
    }

    fn key(&self, [active, changed, date, region, service]: [&'static str; 5]) -> Result<ReportedKey, MalformedReport> {
        let active_since = match (self.text(active), self.time(changed)?) {
            ("true", Some(since)) => Some(since),
            // An active key of unknown age must not pass for none.
            ("true", None) => return Err(self.malformed(changed, "a time, although the key is active")),
            // The documentation says `N/A` here; a time would tell nothing that is asked for.
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

const TIME: &str = "a time in ISO 8601, such as 2026-11-22T09:00:00+00:00";

const KEY_COLUMNS: [[&str; 5]; MAX_KEYS_PER_USER] = [
    [COLUMNS[3], COLUMNS[4], COLUMNS[5], COLUMNS[6], COLUMNS[7]],
    [COLUMNS[8], COLUMNS[9], COLUMNS[10], COLUMNS[11], COLUMNS[12]],
];

#[cfg(test)]
mod tests;
