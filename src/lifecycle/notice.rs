//! Notices: what the owner of a key and its account have to learn.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};

use super::action_name::ActionName;
use super::facts::CancelReason;
use super::named_key::NamedKey;
use super::notice_date::NoticeDate;
use crate::calendar::midnight;
use crate::keys::{AccessKeyId, KeyUse, UserRef};
use crate::state::{FailedStep, Notified, Phase, format_time};

/// A notice to the owner of a key and to the account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The user whose key the notice is about.
    pub user: UserRef,
    /// The value of the tag that names the owner; `None` if the user lacks the tag or the settings name none.
    pub owner: Option<String>,
    /// The ARN of the secret; `None` before it is made.
    pub secret_arn: Option<String>,
    /// The key that the notice is about.
    pub key: AccessKeyId,
    /// When that key was made; `None` if IAM does not list the key any more.
    pub created: Option<DateTime<Utc>>,
    /// The event that happened, or is about to happen.
    pub kind: NoticeKind,
    /// The action of the same plan that the notice reports. If that action is not carried out, the notice is not sent.
    /// `None` if the notice is true whatever the run does.
    pub tells_of: Option<ActionName>,
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.kind)
    }
}

/// The event that a notice reports: it happened, or is about to happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoticeKind {
    /// The key will be rotated.
    RotationAhead {
        /// When it is rotated.
        at: NoticeDate,
    },
    /// The key is due and this run would start its rotation. Sent in dry runs only: a rotation sends its own notice.
    RotationDue {
        /// The date at which the key became due.
        since: DateTime<Utc>,
    },
    /// The key is due, and a rotation that was started does not finish.
    RotationUnfinished {
        /// The date at which the key became due.
        since: DateTime<Utc>,
    },
    /// A rotation failed.
    RotationFailed {
        /// The failed step, as the rotation function left it on the secret; `None` if it left none.
        failed: Option<FailedStep>,
        /// The user's keys, oldest first; empty if they are not known.
        keys: Vec<NamedKey>,
    },
    /// Somebody put a version into the secret by hand, which ended an unfinished rotation.
    RotationAbandoned,
    /// The test of a rotation's configuration failed: the next rotation will fail, too.
    RotationTestFailed {
        /// The failed step, as the rotation function left it on the secret; `None` if it left none.
        failed: Option<FailedStep>,
    },
    /// The key is new and can be fetched.
    Rotated {
        /// The key that it replaced; `None` if that key is gone or unknown.
        old_key: Option<AccessKeyId>,
        /// When the old key is disabled; `None` if it is disabled already or its date is unknown.
        disable_at: Option<NoticeDate>,
        /// The key that the rotation disabled and deleted at once, because a person had ordered that.
        forced: Option<AccessKeyId>,
    },
    /// A forced rotation disabled and deleted the key, whatever was announced before.
    Forced,
    /// The old key was used after the rotation.
    StillInUse {
        /// The last use on record.
        last_use: KeyUse,
        /// When the old key is disabled.
        disable_at: NoticeDate,
    },
    /// The old key will be disabled.
    DisableAhead {
        /// When it is disabled.
        at: NoticeDate,
        /// The last use on record, if it was after the rotation.
        last_use: Option<KeyUse>,
    },
    /// The old key was disabled.
    Disabled {
        /// When it is deleted.
        delete_at: NoticeDate,
        /// The last use on record, if it was after the rotation.
        last_use: Option<KeyUse>,
    },
    /// The old key will be deleted.
    DeleteAhead {
        /// When it is deleted.
        at: NoticeDate,
    },
    /// The old key will be deleted within a day: the last moment to enable it again.
    LastCall {
        /// When it is deleted.
        at: NoticeDate,
    },
    /// The old key was deleted.
    Deleted,
    /// A second key has to give way to a rotation that comes due.
    Retiring {
        /// When it is disabled; `None` if it is inactive already.
        disable_at: Option<NoticeDate>,
        /// When it is deleted.
        delete_at: NoticeDate,
    },
    /// A person enabled a disabled key, and its grace starts again.
    Reactivated {
        /// When it is disabled again.
        disable_at: NoticeDate,
    },
    /// The key is not rotated any more.
    ScheduleCancelled(CancelReason),
    /// The secret of a deleted user is scheduled for deletion.
    SecretDeleted,
}

/// The dates of a notice, the next one first. A macro, because one list serves `&NoticeKind` and `&mut NoticeKind`.
macro_rules! dates_of {
    ($kind:expr) => {
        match $kind {
            Self::RotationAhead { at }
            | Self::DisableAhead { at, .. }
            | Self::DeleteAhead { at }
            | Self::LastCall { at }
            | Self::StillInUse { disable_at: at, .. }
            | Self::Reactivated { disable_at: at }
            | Self::Disabled { delete_at: at, .. }
            | Self::Rotated { disable_at: Some(at), .. }
            | Self::Retiring { disable_at: None, delete_at: at } => [Some(at), None],
            Self::Retiring { disable_at: Some(at), delete_at } => [Some(at), Some(delete_at)],
            Self::Rotated { disable_at: None, .. }
            | Self::RotationDue { .. }
            | Self::RotationUnfinished { .. }
            | Self::RotationFailed { .. }
            | Self::RotationAbandoned
            | Self::RotationTestFailed { .. }
            | Self::Forced
            | Self::Deleted
            | Self::ScheduleCancelled(_)
            | Self::SecretDeleted => [None, None],
        }
    };
}

impl NoticeKind {
    /// The phase under which the notice is recorded.
    pub fn phase(&self) -> Phase {
        match self {
            Self::RotationAhead { .. } => Phase::RotateAhead,
            Self::RotationDue { .. } => Phase::RotateDue,
            Self::RotationUnfinished { .. } => Phase::Unfinished,
            Self::RotationFailed { .. } => Phase::Failed,
            Self::RotationAbandoned => Phase::Abandoned,
            Self::RotationTestFailed { .. } => Phase::TestFailed,
            Self::Rotated { .. } => Phase::Rotated,
            Self::Forced => Phase::Forced,
            Self::StillInUse { .. } => Phase::InUse,
            Self::DisableAhead { .. } => Phase::DisableAhead,
            Self::Disabled { .. } => Phase::Disabled,
            Self::DeleteAhead { .. } => Phase::DeleteAhead,
            Self::LastCall { .. } => Phase::LastCall,
            Self::Deleted => Phase::Deleted,
            Self::Retiring { .. } => Phase::Retiring,
            Self::Reactivated { .. } => Phase::Reactivated,
            Self::ScheduleCancelled(_) => Phase::Cancelled,
            Self::SecretDeleted => Phase::SecretDeleted,
        }
    }

    /// Returns the next date in the key's life; `None` if the notice names no date.
    pub fn date(&self) -> Option<NoticeDate> {
        let [next, _] = dates_of!(self);
        next.copied()
    }

    /// Changes every date of the notice to a first possible day. Something beyond this user's facts, such as the limit
    /// of its account, may put the action off.
    pub fn put_off(&mut self) {
        self.change_dates(NoticeDate::at_the_earliest);
    }

    /// Moves every date of the notice by whole days, because the action from which the dates count was carried out
    /// later than planned.
    pub fn delay(&mut self, days: TimeDelta) {
        self.change_dates(|date| match date {
            NoticeDate::On(at) => NoticeDate::On(at + days),
            NoticeDate::From(at) => NoticeDate::From(at + days),
        });
    }

    fn change_dates(&mut self, change: impl Fn(NoticeDate) -> NoticeDate) {
        dates_of!(self).into_iter().flatten().for_each(|date| *date = change(*date));
    }

    /// Whether the notice is repeated, because its trouble lasts until somebody acts.
    pub fn lasts(&self) -> bool {
        matches!(
            self,
            Self::RotationUnfinished { .. }
                | Self::RotationFailed { .. }
                | Self::StillInUse { .. }
                | Self::ScheduleCancelled(CancelReason::Unreadable(_) | CancelReason::AccountDeparted)
        )
    }

    /// Whether the notice is sent at once and in a message of its own. Its reader may have to act today, because a key
    /// changed or a rotation failed.
    pub fn is_urgent(&self) -> bool {
        matches!(
            self,
            Self::Rotated { .. }
                | Self::Forced
                | Self::RotationFailed { .. }
                | Self::RotationAbandoned
                | Self::Disabled { last_use: Some(_), .. }
        )
    }

    /// Whether the notice about that key was sent and is not due again.
    pub fn was_sent(
        &self,
        key: &AccessKeyId,
        notified: &Notified,
        repeat: Option<TimeDelta>,
        now: DateTime<Utc>,
    ) -> bool {
        let was_sent = |phase, longer| match repeat.filter(|_| self.lasts()) {
            Some(period) => notified.was_sent_after(key, phase, now - period - longer),
            None => notified.was_sent(key, phase),
        };
        // Both notices are about the same trouble, and the event knows its cause. So the event gets a day to repeat its
        // notice first.
        let is_covered_by_event =
            || matches!(self, Self::RotationUnfinished { .. }) && was_sent(Phase::Failed, TimeDelta::days(1));
        let is_recorded = was_sent(self.phase(), TimeDelta::zero()) && self.keeps_its_date(key, notified);
        is_recorded || is_covered_by_event()
    }

    /// Whether the notice names the recorded day or, if a first possible day is recorded, a later day. A notice with
    /// any other day is news. A record of an earlier version, which has no day, counts as the same notice.
    pub fn keeps_its_date(&self, key: &AccessKeyId, notified: &Notified) -> bool {
        match (self.dated(), notified.announced(key, self.phase())) {
            (Some(date), Some((day, is_exact))) => day == midnight(date.at()) || (!is_exact && day < date.at()),
            _ => true,
        }
    }

    /// Returns the date to record with the notice; `None` for a notice that is repeated, whose record has the day on
    /// which it was sent.
    pub fn dated(&self) -> Option<NoticeDate> {
        self.date().filter(|_| !self.lasts())
    }

    /// Whether the notice announces something that is still to come.
    pub fn is_warning(&self) -> bool {
        matches!(
            self,
            Self::RotationAhead { .. }
                | Self::DisableAhead { .. }
                | Self::DeleteAhead { .. }
                | Self::LastCall { .. }
                | Self::Retiring { .. }
        )
    }

    /// Whether the notice promises an action that keywheel leaves undone while the user cannot read its secret.
    pub fn needs_reader(&self) -> bool {
        self.is_warning() || matches!(self, Self::StillInUse { .. })
    }

    /// Whether the notice is sent in dry runs only.
    pub fn is_for_dry_run_only(&self) -> bool {
        matches!(self, Self::RotationDue { .. })
    }
}

impl fmt::Display for NoticeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RotationAhead { at } => write!(f, "will be rotated {at}"),
            Self::RotationDue { since } => write!(f, "is due for rotation since {}", since.date_naive()),
            Self::RotationUnfinished { since } => {
                write!(f, "is due since {} and its rotation is not finished", since.date_naive())
            }
            Self::RotationFailed { failed: Some(failed), .. } => {
                write!(f, "its rotation failed: {} in {}", failed.cause.as_str(), failed.step.as_str())
            }
            Self::RotationFailed { failed: None, .. } => f.write_str("its rotation failed"),
            Self::RotationAbandoned => f.write_str("its rotation was abandoned: a version was put by hand"),
            Self::RotationTestFailed { failed: Some(failed) } => {
                write!(f, "the test of its rotation failed: {}", failed.cause.as_str())
            }
            Self::RotationTestFailed { failed: None } => f.write_str("the test of its rotation failed"),
            Self::Rotated { old_key, disable_at: _, forced } => {
                f.write_str("is the new key")?;
                if let Some(old) = old_key {
                    write!(f, " and replaces {old}")?;
                }
                if let Some(removed) = forced {
                    write!(f, "; {removed} was deleted by force")?;
                }
                Ok(())
            }
            Self::Forced => f.write_str("is deleted by a forced rotation"),
            Self::StillInUse { last_use, .. } => {
                write!(
                    f,
                    "was used after its rotation: {} in {}, {}",
                    last_use.service,
                    last_use.region,
                    format_time(last_use.time)
                )
            }
            Self::DisableAhead { at, .. } => write!(f, "will be disabled {at}"),
            Self::Disabled { delete_at, .. } => {
                write!(f, "is disabled and will be deleted {delete_at}")
            }
            Self::DeleteAhead { at } => write!(f, "will be deleted {at}"),
            Self::LastCall { at } if at.is_exact() => write!(f, "will be deleted tomorrow, {at}"),
            Self::LastCall { at } => write!(f, "will be deleted tomorrow or later, {at}"),
            Self::Deleted => f.write_str("is deleted"),
            Self::Retiring { disable_at: Some(at), .. } => {
                write!(f, "has to give way and will be disabled {at}")
            }
            Self::Retiring { disable_at: None, delete_at } => {
                write!(f, "has to give way and will be deleted {delete_at}")
            }
            Self::Reactivated { disable_at } => {
                write!(f, "was enabled again and will be disabled {disable_at}")
            }
            Self::ScheduleCancelled(reason) => write!(f, "is not rotated any more: {reason}"),
            Self::SecretDeleted => f.write_str("belonged to a deleted user, and its secret is scheduled for deletion"),
        }
    }
}
