//! The plan for one user: a value that prints itself. A dry run prints it and stops.

use std::fmt;

use chrono::{DateTime, Utc};

use super::action::Action;
use super::action_name::ActionName;
use super::allowance::Change;
use super::notice::Notice;
use crate::keys::{AccessKeyId, UserRef, VersionId};
use crate::state::format_time;

/// Everything that is decided about one user in one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserPlan {
    /// The user whom the plan is about.
    pub user: UserRef,
    /// Actions in the order in which they are carried out; the first failure stops the rest.
    pub actions: Vec<Action>,
    /// The changes of keys among the actions that the limit of changes per run counts, in the same order.
    pub changes: Vec<Change>,
    /// Notices to send to the owner and the account.
    pub notices: Vec<Notice>,
    /// Reasons for which actions were not planned, and their remedies.
    pub problems: Vec<Problem>,
    /// Actions that are to come and whose time is not here yet. A plan that only waits is empty.
    pub waiting: Vec<Waiting>,
}

impl UserPlan {
    /// A plan to do nothing.
    pub fn nothing(user: &UserRef) -> Self {
        Self {
            user: user.clone(),
            actions: Vec::new(),
            changes: Vec::new(),
            notices: Vec::new(),
            problems: Vec::new(),
            waiting: Vec::new(),
        }
    }

    /// Whether there is nothing to do, to send or to report. Waiting is none of these.
    pub fn is_empty(&self) -> bool {
        let Self { user: _, actions, changes: _, notices, problems, waiting: _ } = self;
        actions.is_empty() && notices.is_empty() && problems.is_empty()
    }
}

impl fmt::Display for UserPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { user, actions, changes: _, notices, problems, waiting } = self;
        write!(f, "{user}:")?;
        for action in actions {
            write!(f, "\n  {action}")?;
        }
        for notice in notices {
            write!(f, "\n  notify: {notice}")?;
        }
        for problem in problems {
            write!(f, "\n  problem: {problem}")?;
        }
        for wait in waiting {
            write!(f, "\n  wait: {wait}")?;
        }
        Ok(())
    }
}

/// A reason for which an action was not planned. It is reported; keywheel never acts on a guess instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The action that it prevents.
    pub action: ActionName,
    /// The mistake, its key or secret, and the remedy.
    pub error: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.action, self.error)
    }
}

/// An action whose time is not here yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The action that waits.
    pub action: ActionName,
    /// The key that the action is about; `None` if it is about the secret or if the key is not known yet.
    pub key: Option<AccessKeyId>,
    /// The event that the action waits for.
    pub wait: Wait,
    /// The earliest time of that event; `None` if it has no date.
    pub until: Option<DateTime<Utc>>,
}

/// An event that an action waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wait {
    /// A user can hold two keys, and this other key has to leave its slot first.
    Slot(AccessKeyId),
    /// The grace from the rotation, or from an announcement, to the disabling.
    InstallationGrace,
    /// The grace from the disabling to the deletion.
    RecoveryGrace,
    /// IAM's list of keys does not show yet the key that a rotation has just made.
    KeyList,
    /// The rotation that prepares this version is under way.
    Rotation(VersionId),
    /// A run changes a limited number of keys in an account, and older changes come first.
    Turn,
    /// The tags describe another version than the current one, and are corrected first.
    Tags,
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { action, key, wait, until } = self;
        write!(f, "{action}")?;
        if let Some(key) = key {
            write!(f, " {key}")?;
        }
        f.write_str(" waits")?;
        match (until, wait) {
            (Some(until), Wait::KeyList) => write!(f, " until {}", format_time(*until))?,
            (Some(until), _) => write!(f, " until {}", until.date_naive())?,
            (None, _) => {}
        }
        match wait {
            Wait::Slot(key) => write!(f, " for the slot of {key}"),
            Wait::InstallationGrace => f.write_str(" for the installation grace to end"),
            Wait::RecoveryGrace => f.write_str(" for the recovery grace to end"),
            Wait::KeyList => f.write_str(" for IAM to list the key that a rotation has just made"),
            Wait::Rotation(version) => write!(f, " for the rotation of version {version} to finish"),
            Wait::Turn => f.write_str(" for its turn: a run makes at most so many changes (CHANGES_PER_RUN)"),
            Wait::Tags => f.write_str(" for the tags to describe the current version"),
        }
    }
}
