//! What owners and accounts are told.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};

use super::action::CancelReason;
use crate::keys::{AccessKeyId, KeyUse, UserRef};
use crate::state::{Notified, Phase, format_time};

/// Something to tell the owner and the account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Whose key it is about.
    pub user: UserRef,
    /// The value of the tag that names the owner.
    pub owner: Option<String>,
    /// The secret, once there is one.
    pub secret_arn: Option<String>,
    /// The key that it is about.
    pub key: AccessKeyId,
    /// When that key was made, while it is there.
    pub created: Option<DateTime<Utc>>,
    /// What happened, or is about to.
    pub kind: NoticeKind,
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.kind)
    }
}

/// What happened, or is about to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoticeKind {
    /// The key will be rotated.
    RotationAhead {
        /// When.
        at: DateTime<Utc>,
    },
    /// The key is due and its rotation is started by this run. Told in a dry run only: the rotation tells of itself.
    RotationDue {
        /// Since when.
        since: DateTime<Utc>,
    },
    /// The key is due, a rotation was started, and it does not come to its end.
    RotationUnfinished {
        /// Since when it is due.
        since: DateTime<Utc>,
    },
    /// Secrets Manager reported that a rotation failed or was given up.
    RotationFailed {
        /// What the event says.
        reason: String,
    },
    /// The key is new and can be fetched.
    Rotated {
        /// The key that it replaced.
        old_key: Option<AccessKeyId>,
        /// When that one is disabled.
        disable_at: Option<DateTime<Utc>>,
    },
    /// The old key was used after the rotation.
    StillInUse {
        /// Its last use.
        last_use: KeyUse,
        /// When it is disabled.
        disable_at: DateTime<Utc>,
    },
    /// The old key will be disabled.
    DisableAhead {
        /// When.
        at: DateTime<Utc>,
        /// Its last use, if it is known to have been used since the rotation.
        last_use: Option<KeyUse>,
    },
    /// The old key was disabled.
    Disabled {
        /// When it is deleted.
        delete_at: DateTime<Utc>,
        /// Its last use, if it is known to have been used since the rotation.
        last_use: Option<KeyUse>,
    },
    /// The old key will be deleted.
    DeleteAhead {
        /// When.
        at: DateTime<Utc>,
    },
    /// The old key will be deleted within a day: the last moment to enable it again.
    LastCall {
        /// When.
        at: DateTime<Utc>,
    },
    /// The old key was deleted.
    Deleted,
    /// A second key has to give way to a rotation that comes due.
    Retiring {
        /// When it is disabled; `None` if it is inactive already.
        disable_at: Option<DateTime<Utc>>,
        /// When it is deleted at the earliest.
        delete_at: DateTime<Utc>,
    },
    /// A person enabled a disabled key, and its grace starts again.
    Reactivated {
        /// When it is disabled again.
        disable_at: DateTime<Utc>,
    },
    /// The key is not rotated any more.
    ScheduleCancelled(CancelReason),
    /// The secret of a deleted user is scheduled for deletion.
    SecretDeleted,
}

impl NoticeKind {
    /// The phase under which the notice is recorded.
    pub fn phase(&self) -> Phase {
        match self {
            Self::RotationAhead { .. } => Phase::RotateAhead,
            Self::RotationDue { .. } => Phase::RotateDue,
            Self::RotationUnfinished { .. } => Phase::Unfinished,
            Self::RotationFailed { .. } => Phase::Failed,
            Self::Rotated { .. } => Phase::Rotated,
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

    /// Whether it tells of a trouble that lasts until somebody does something: it is told again from time to time.
    pub fn lasts(&self) -> bool {
        matches!(self, Self::RotationUnfinished { .. } | Self::RotationFailed { .. } | Self::StillInUse { .. })
    }

    /// Whether it is told apart from all others of a run, and at once: something was changed that its reader may have to
    /// act upon, or does not work.
    pub fn is_urgent(&self) -> bool {
        matches!(self, Self::Rotated { .. } | Self::RotationFailed { .. } | Self::Disabled { last_use: Some(_), .. })
    }

    /// Whether it was told about that key and is not to be told again yet.
    pub fn is_told(
        &self,
        key: &AccessKeyId,
        notified: &Notified,
        repeat: Option<TimeDelta>,
        now: DateTime<Utc>,
    ) -> bool {
        let is_told = |phase, longer| match repeat.filter(|_| self.lasts()) {
            Some(period) => notified.was_sent_after(key, phase, now - period - longer),
            None => notified.was_sent(key, phase),
        };
        // Both tell of the same trouble, and an event says more of it than a sweep sees: it gets a day to be the one that
        // repeats it.
        let is_said_better =
            || matches!(self, Self::RotationUnfinished { .. }) && is_told(Phase::Failed, TimeDelta::days(1));
        is_told(self.phase(), TimeDelta::zero()) || is_said_better()
    }

    /// Whether it tells of something that is still to come.
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

    /// Whether it is told in a dry run only.
    pub fn is_for_dry_run_only(&self) -> bool {
        matches!(self, Self::RotationDue { .. })
    }
}

impl fmt::Display for NoticeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RotationAhead { at } => write!(f, "will be rotated on {}", at.date_naive()),
            Self::RotationDue { since } => write!(f, "is due for rotation since {}", since.date_naive()),
            Self::RotationUnfinished { since } => {
                write!(f, "is due since {} and its rotation is not finished", since.date_naive())
            }
            Self::RotationFailed { reason } => write!(f, "its rotation failed: {reason}"),
            Self::Rotated { old_key: Some(old), .. } => write!(f, "is the new key and replaces {old}"),
            Self::Rotated { old_key: None, .. } => f.write_str("is the new key"),
            Self::StillInUse { last_use, .. } => {
                write!(
                    f,
                    "was used after its rotation: {} in {}, {}",
                    last_use.service,
                    last_use.region,
                    format_time(last_use.time)
                )
            }
            Self::DisableAhead { at, .. } => write!(f, "will be disabled on {}", at.date_naive()),
            Self::Disabled { delete_at, .. } => {
                write!(f, "is disabled and will be deleted on {}", delete_at.date_naive())
            }
            Self::DeleteAhead { at } => write!(f, "will be deleted on {}", at.date_naive()),
            Self::LastCall { at } => write!(f, "will be deleted within a day, on {}", at.date_naive()),
            Self::Deleted => f.write_str("is deleted"),
            Self::Retiring { disable_at: Some(at), .. } => {
                write!(f, "has to give way and will be disabled on {}", at.date_naive())
            }
            Self::Retiring { disable_at: None, delete_at } => {
                write!(f, "has to give way and will be deleted on {}", delete_at.date_naive())
            }
            Self::Reactivated { disable_at } => {
                write!(f, "was enabled again and will be disabled on {}", disable_at.date_naive())
            }
            Self::ScheduleCancelled(reason) => write!(f, "is not rotated any more: {reason}"),
            Self::SecretDeleted => f.write_str("belonged to a deleted user, and its secret is scheduled for deletion"),
        }
    }
}
