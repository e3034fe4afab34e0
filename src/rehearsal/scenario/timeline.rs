//! The lines of a rehearsal: what happened when, to whom, for people and as JSON.

use std::fmt;

use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;

use crate::lifecycle::{Notice, NoticeDate, NoticeKind};
use crate::state::Phase;

/// The origin of an entry of the timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TimelineSource {
    /// A key that exists on day 0.
    Key,
    /// An act of a person.
    Person,
    /// An action of keywheel.
    Keywheel,
    /// A failure that keywheel reported.
    Problem,
    /// A mail that keywheel sent.
    Mail,
}

/// One line of the timeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TimelineEntry {
    /// Whether keywheel is deployed with `DRY_RUN_FLAG=true`: its actions are plans.
    pub dry_run: bool,
    /// The day, counted from 0.
    pub day: i64,
    /// The model's time.
    pub at: DateTime<Utc>,
    /// The origin: a key, a person, keywheel, a failure or a mail.
    pub source: TimelineSource,
    /// The account's name and the user, or the recipient.
    pub who: String,
    /// The act, action or failure in words, or the mail's subject.
    pub what: String,
    /// The step, its key and its order; `None` unless keywheel took the step or plans it.
    #[serde(flatten)]
    pub step: Option<TimelineStep>,
    /// The key that exists on day 0; `None` in all other lines.
    #[serde(flatten)]
    pub held: Option<HeldKey>,
    /// The notices in a mail.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<MailedNotice>,
}

/// A step of keywheel's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Default)]
pub struct TimelineStep {
    /// The action's name in answers; `start-rotation` where the sweeper starts a rotation, and `rotate` where the
    /// rotation makes its key.
    pub action: String,
    /// The key that is rotated, disabled, deleted or otherwise concerned; absent where the step concerns the secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The key that a rotation made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_key: Option<String>,
    /// Whether a person's order, `keywheel:force`, caused the step.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub forced: bool,
}

/// A key as a rehearsal lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HeldKey {
    /// The access key id.
    pub key: String,
    /// `Active` or `Inactive`.
    pub status: String,
    /// When it was made.
    pub created: DateTime<Utc>,
}

impl fmt::Display for HeldKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.key, self.status.to_lowercase())
    }
}

/// A notice in a mail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MailedNotice {
    /// The phase of the notice.
    pub kind: Phase,
    /// The key that the notice is about.
    pub key: String,
    /// The old key, if the notice is about a rotation: the date is the day on which that key is disabled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old_key: Option<String>,
    /// The user's name.
    pub user: String,
    /// The user's account.
    pub account: String,
    /// The day that the notice names; `null` if it names none.
    pub date: Option<NaiveDate>,
    /// Whether the action happens on that day; `false` if it is only the first possible day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exact: Option<bool>,
}

impl MailedNotice {
    /// Returns the notice as a line shows it.
    pub(super) fn of(notice: &Notice) -> Self {
        let date = notice.kind.date();
        let old_key = match &notice.kind {
            NoticeKind::Rotated { old_key, .. } => old_key.as_ref().map(ToString::to_string),
            _ => None,
        };
        Self {
            kind: notice.kind.phase(),
            key: notice.key.to_string(),
            old_key,
            user: notice.user.name.to_string(),
            account: notice.user.account.to_string(),
            date: date.map(|date| date.at().date_naive()),
            exact: date.map(NoticeDate::is_exact),
        }
    }
}
