//! What a plan consists of: actions, notices and problems. Values that print themselves; a dry run prints them and
//! stops.

use std::fmt;

use chrono::{DateTime, Utc};

use super::action_name::ActionName;
use super::facts::Drift;
use super::notice::Notice;
use crate::keys::{AccessKeyId, UserRef, VersionId};
use crate::state::{Notified, Phase, TagChange, format_time, tag};

/// What is to be done for one user, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserPlan {
    /// Who it is about.
    pub user: UserRef,
    /// To do, in order; the first failure stops the rest.
    pub actions: Vec<Action>,
    /// To tell.
    pub notices: Vec<Notice>,
    /// What keeps actions from being planned.
    pub problems: Vec<Problem>,
}

impl UserPlan {
    /// A plan to do nothing.
    pub fn nothing(user: &UserRef) -> Self {
        Self { user: user.clone(), actions: Vec::new(), notices: Vec::new(), problems: Vec::new() }
    }

    /// Whether there is nothing to do, tell or report.
    pub fn is_empty(&self) -> bool {
        let Self { user: _, actions, notices, problems } = self;
        actions.is_empty() && notices.is_empty() && problems.is_empty()
    }
}

impl fmt::Display for UserPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { user, actions, notices, problems } = self;
        write!(f, "{user}:")?;
        for action in actions {
            write!(f, "\n  {action}")?;
        }
        for notice in notices {
            write!(f, "\n  tell: {notice}")?;
        }
        for problem in problems {
            write!(f, "\n  problem: {problem}")?;
        }
        Ok(())
    }
}

/// Something that keeps an action from being planned. Reported, never guessed around.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The action that it prevents.
    pub action: ActionName,
    /// What is wrong, and the way out.
    pub error: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.action, self.error)
    }
}

/// Why a schedule is cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelReason {
    /// The user joined the exemption group.
    Exempt,
    /// The user has no active key.
    NoActiveKey,
    /// The user was deleted.
    UserGone,
}

impl fmt::Display for CancelReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Exempt => "the user is exempt",
            Self::NoActiveKey => "the user has no active key",
            Self::UserGone => "the user was deleted",
        })
    }
}

/// Facts about a version that the rotation function did not get to write down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoredFacts {
    /// The version that readers get.
    pub version: VersionId,
    /// The key in it, if that can be known.
    pub current_key: Option<AccessKeyId>,
    /// When that key was made.
    pub created: Option<DateTime<Utc>>,
    /// The key that it replaced, if that can be known.
    pub previous_key: Option<AccessKeyId>,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Make the secret with its placeholder, policy and schedule.
    Provision {
        /// The key that the placeholder names.
        key: AccessKeyId,
        /// When that key was made.
        created: DateTime<Utc>,
        /// The schedule is left to the rotation that follows at once.
        then_rotate: bool,
    },
    /// Take a scheduled deletion back: the user is there again.
    Restore,
    /// Take over a secret with the right name: the predecessor's.
    Adopt {
        /// The version that readers get.
        version: VersionId,
        /// The newest active key.
        key: AccessKeyId,
    },
    /// Write down what the tags do not say about the current version.
    RestoreFacts(RestoredFacts),
    /// Forget the intent of a rotation that is finished and written down.
    DropIntent,
    /// Put one part of the secret right.
    Repair(Drift),
    /// Give up a rotation that does not come to its end and keeps the schedule from being put right: the service goes on
    /// with it by the function that it was begun with, which may be gone.
    AbandonRotation {
        /// The version that it prepares.
        version: VersionId,
    },
    /// Start a rotation.
    Rotate {
        /// The key that is due.
        key: AccessKeyId,
        /// When it was made.
        created: DateTime<Utc>,
        /// Function and schedule are set by the same call.
        configure: bool,
    },
    /// Announce that a second key has to give way to a rotation that comes due.
    Retire {
        /// The key.
        key: AccessKeyId,
        /// It is inactive already: its recovery period starts now.
        inactive: bool,
    },
    /// Take an announcement back: the slot is not needed after all.
    StopRetiring {
        /// The key.
        key: AccessKeyId,
    },
    /// Write down that an outgoing key was observed disabled: its recovery period starts now.
    RecordDisabled {
        /// The key.
        key: AccessKeyId,
    },
    /// Write down that an outgoing key is gone: its times are void. Its deletion was cut short of that.
    RecordDeleted {
        /// The key.
        key: AccessKeyId,
    },
    /// A person enabled a disabled key: its installation grace starts again.
    RestartGrace {
        /// The key.
        key: AccessKeyId,
    },
    /// Disable an outgoing key.
    Disable {
        /// The key.
        key: AccessKeyId,
    },
    /// Delete an outgoing key for good.
    Delete {
        /// The key.
        key: AccessKeyId,
    },
    /// Switch the native schedule off.
    CancelSchedule(CancelReason),
    /// Schedule the secret of a deleted user for deletion. Carried out after the mail, so that what was told can be
    /// written down before.
    DeleteSecret,
}

impl Action {
    /// The name under which the report counts it.
    pub fn name(&self) -> ActionName {
        match self {
            Self::Provision { .. } => ActionName::Provision,
            Self::Restore => ActionName::Restore,
            Self::Adopt { .. } => ActionName::Adopt,
            Self::RestoreFacts(_)
            | Self::DropIntent
            | Self::Repair(_)
            | Self::AbandonRotation { .. }
            | Self::StopRetiring { .. } => ActionName::Repair,
            Self::Rotate { .. } => ActionName::Rotate,
            Self::Retire { .. } => ActionName::Retire,
            Self::RecordDisabled { .. } => ActionName::RecordDisabled,
            Self::RecordDeleted { .. } => ActionName::RecordDeleted,
            Self::RestartGrace { .. } => ActionName::RestartGrace,
            Self::Disable { .. } => ActionName::Disable,
            Self::Delete { .. } => ActionName::Delete,
            Self::CancelSchedule(_) => ActionName::Cancel,
            Self::DeleteSecret => ActionName::DeleteSecret,
        }
    }

    /// What the tags say once the action was carried out, at that time. `notified` is what was told before.
    pub fn tag_change(&self, done_at: DateTime<Utc>, notified: &Notified) -> TagChange {
        self.with_void_forgotten(self.facts_change(done_at), notified)
    }

    /// What the tags have to say before the action is carried out: once the schedule is switched, no later run would know
    /// that there is something to forget.
    pub fn change_before(&self, notified: &Notified) -> Option<TagChange> {
        let switches = matches!(
            self,
            Self::CancelSchedule(_) | Self::Repair(Drift::Schedule) | Self::Rotate { configure: true, .. }
        );
        let change = self.with_void_forgotten(TagChange::default(), notified);
        Some(change).filter(|change| switches && *change != TagChange::default())
    }

    /// Whether its record may wait a moment for the notices that tell of it, and be written with what was told: if it is lost
    /// meanwhile, the next run comes to the same. That a key is or was disabled is written down at once: without it, nothing
    /// would tell a key that a person enables then from one that was never disabled.
    pub fn can_be_observed_again(&self) -> bool {
        matches!(self, Self::Delete { .. } | Self::Retire { .. })
    }

    /// Whether it is a record and nothing else.
    pub fn is_record(&self) -> bool {
        matches!(
            self,
            Self::Adopt { .. }
                | Self::RestoreFacts(_)
                | Self::DropIntent
                | Self::Retire { .. }
                | Self::StopRetiring { .. }
                | Self::RecordDisabled { .. }
                | Self::RecordDeleted { .. }
                | Self::RestartGrace { .. }
        )
    }

    fn with_void_forgotten(&self, change: TagChange, notified: &Notified) -> TagChange {
        let mut still_told = notified.clone();
        self.forget_void(&mut still_told);
        if still_told == *notified {
            return change;
        }
        let still_told = still_told.to_tag();
        change.set_or_remove(tag::NOTIFIED, Some(still_told).filter(|told| !told.is_empty()))
    }

    /// Forgets what was told before and is void with the action: what comes is news.
    pub fn forget_void(&self, notified: &mut Notified) {
        match self {
            // The key's way out begins, with a rotation that was not written down or otherwise, or is taken back.
            Self::Retire { key, .. }
            | Self::StopRetiring { key }
            | Self::RestartGrace { key }
            | Self::RestoreFacts(RestoredFacts { previous_key: Some(key), .. }) => notified.forget(key),
            // It was told with another date, if it was told.
            Self::RecordDisabled { key } => {
                notified.forget_phase(Some(key), Phase::Disabled);
                notified.forget_phase(Some(key), Phase::DeleteAhead);
                notified.forget_phase(Some(key), Phase::LastCall);
            }
            // It was told of an earlier time without a schedule.
            Self::CancelSchedule(_) | Self::Repair(Drift::Schedule) | Self::Rotate { configure: true, .. } => {
                notified.forget_phase(None, Phase::Cancelled);
            }
            _ => {}
        }
    }

    fn facts_change(&self, done_at: DateTime<Utc>) -> TagChange {
        let change = TagChange::default();
        match self {
            Self::Adopt { version, key } => {
                [tag::ROTATED_AT, tag::PREVIOUS_KEY, tag::DISABLED_AT, tag::RETIRING, tag::KEY_DATES]
                    .into_iter()
                    // Left over from an earlier life of the secret, they would pass that key off as tested.
                    .fold(change, TagChange::remove)
                    .set(tag::MANAGED, "1")
                    .set(tag::VERSION, version.as_str())
                    .set(tag::CURRENT_KEY, key.as_str())
            }
            Self::RestoreFacts(RestoredFacts { version, current_key, created, previous_key }) => {
                let change = match current_key {
                    // An order for an incident was for the rotation that made this key.
                    Some(_) => change.remove(tag::FORCE),
                    None => change,
                };
                change
                    .set(tag::VERSION, version.as_str())
                    .set_or_remove(tag::CURRENT_KEY, current_key.as_ref())
                    .set_or_remove(tag::PREVIOUS_KEY, previous_key.as_ref())
                    // Later than the fact: the old key gets more of its grace, never less. And no earlier than the new
                    // key, which IAM's clock dates: it would not count as tested.
                    .set_or_remove(tag::ROTATED_AT, created.map(|created| format_time(done_at.max(created))))
                    .remove(tag::DISABLED_AT)
                    .remove(tag::RETIRING)
                    .remove(tag::KEY_DATES)
            }
            Self::Retire { key, inactive: true } => {
                change.set(tag::DISABLED_AT, format_time(done_at)).retiring(key, done_at)
            }
            Self::Retire { key, inactive: false } => change.remove(tag::DISABLED_AT).retiring(key, done_at),
            Self::StopRetiring { .. } => change.remove(tag::RETIRING).remove(tag::DISABLED_AT),
            Self::RecordDisabled { .. } | Self::Disable { .. } => change.set(tag::DISABLED_AT, format_time(done_at)),
            // The time of the disabling stays: it is before the new grace and proves nothing any more. Were it removed
            // and the new grace not yet written, the old one would be over and the key disabled again at once.
            Self::RestartGrace { key } => change.retiring(key, done_at),
            Self::RecordDeleted { .. } | Self::Delete { .. } => change.remove(tag::DISABLED_AT).remove(tag::RETIRING),
            Self::DropIntent => change.remove(tag::INTENT),
            Self::Provision { .. }
            | Self::Restore
            | Self::Repair(_)
            | Self::AbandonRotation { .. }
            | Self::Rotate { .. }
            | Self::CancelSchedule(_)
            | Self::DeleteSecret => change,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Provision { key, created, .. } => {
                write!(f, "provision a secret for {key}, made {}", created.date_naive())
            }
            Self::Restore => f.write_str("restore the secret, which is scheduled for deletion"),
            Self::Adopt { key, .. } => write!(f, "adopt the secret that is there, with {key} as its key"),
            Self::RestoreFacts(facts) => match &facts.current_key {
                Some(key) => write!(f, "write down that version {} holds {key}", facts.version),
                None => write!(f, "write down that version {} is not keywheel's", facts.version),
            },
            Self::DropIntent => f.write_str("forget the intent of a rotation that is finished"),
            Self::Repair(Drift::KmsKey) => f.write_str("repair the KMS key"),
            Self::Repair(Drift::Policy) => f.write_str("repair the resource policy"),
            Self::Repair(Drift::Schedule) => f.write_str("repair the rotation schedule"),
            Self::Repair(Drift::ReaderGroup) => f.write_str("add the user to the reader group"),
            Self::AbandonRotation { version } => write!(f, "give up the unfinished rotation of version {version}"),
            Self::Rotate { key, created, .. } => write!(f, "rotate {key}, made {}", created.date_naive()),
            Self::Retire { key, inactive: false } => write!(f, "announce that {key} has to give way"),
            Self::Retire { key, inactive: true } => write!(f, "announce that {key}, inactive, has to give way"),
            Self::StopRetiring { key } => write!(f, "take back that {key} has to give way"),
            Self::RecordDisabled { key } => write!(f, "write down that {key} is disabled"),
            Self::RecordDeleted { key } => write!(f, "write down that {key} is gone"),
            Self::RestartGrace { key } => write!(f, "give {key}, enabled again, a new grace period"),
            Self::Disable { key } => write!(f, "disable {key}"),
            Self::Delete { key } => write!(f, "delete {key}"),
            Self::CancelSchedule(reason) => write!(f, "cancel the schedule: {reason}"),
            Self::DeleteSecret => f.write_str("schedule the secret for deletion"),
        }
    }
}
