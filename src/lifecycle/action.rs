//! One thing that a plan does.

use std::fmt;

use chrono::{DateTime, Utc};

use super::action_name::ActionName;
use super::facts::{CancelReason, Drift};
use crate::keys::{AccessKeyId, VersionId};

/// Facts about a version that the rotation function could not record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoredFacts {
    /// The version that readers get.
    pub version: VersionId,
    /// The key in it; `None` if that cannot be known.
    pub current_key: Option<AccessKeyId>,
    /// When that key was made.
    pub created: Option<DateTime<Utc>>,
    /// The key that it replaced; `None` if that cannot be known, or if the key is gone.
    pub previous_key: Option<AccessKeyId>,
}

/// One thing to do for a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Make the secret with its placeholder, policy and schedule.
    Provision {
        /// The key that the placeholder names.
        key: AccessKeyId,
        /// When that key was made.
        created: DateTime<Utc>,
        /// Whether the rotation that follows in this plan sets the schedule.
        then_rotate: bool,
    },
    /// Cancel the scheduled deletion of the secret: the user exists again.
    Restore,
    /// Adopt a secret with the right name that lacks keywheel's tag: the predecessor's.
    Adopt {
        /// The version that readers get; `None` if the secret has no value yet.
        version: Option<VersionId>,
        /// The newest active key that no unfinished rotation has announced.
        key: AccessKeyId,
    },
    /// Set the tag `keywheel:managed`, which is missing although the other tags describe the current version: a person
    /// removed it. An adoption would forget that the key in that version was tested.
    RestoreMark,
    /// Record the facts about the current version, which the tags do not describe.
    RestoreFacts(RestoredFacts),
    /// Remove the intent of a rotation that is finished and recorded.
    DropIntent,
    /// Correct one part of the secret.
    Repair(Drift),
    /// Remove AWSPENDING from the version of a rotation that makes no progress. While the label is there, no other
    /// rotation begins. AWS does not document whether Secrets Manager attempts the unfinished rotation again.
    AbandonRotation {
        /// The version that the rotation prepares.
        version: VersionId,
    },
    /// Start a rotation.
    Rotate {
        /// The key that is due.
        key: AccessKeyId,
        /// When that key was made.
        created: DateTime<Utc>,
        /// Whether the same call sets function and schedule.
        configure: bool,
    },
    /// Announce that a second key has to give way to a rotation that comes due.
    Retire {
        /// The second key.
        key: AccessKeyId,
        /// Whether the key is inactive already, so that its recovery grace starts now.
        inactive: bool,
    },
    /// Take an announcement back: the slot is not needed after all.
    StopRetiring {
        /// The key that stays.
        key: AccessKeyId,
    },
    /// Record that an outgoing key was observed disabled: its recovery grace starts now.
    RecordDisabled {
        /// The outgoing key.
        key: AccessKeyId,
    },
    /// Record that an outgoing key is gone, after a deletion that stopped before its record.
    RecordDeleted {
        /// The key that is gone.
        key: AccessKeyId,
    },
    /// Start the installation grace of a key again: a person enabled it, or its successor was out of service.
    RestartGrace {
        /// The outgoing key.
        key: AccessKeyId,
    },
    /// Disable an outgoing key.
    Disable {
        /// The outgoing key.
        key: AccessKeyId,
    },
    /// Delete an outgoing key for good.
    Delete {
        /// The outgoing key.
        key: AccessKeyId,
    },
    /// Switch the native schedule off.
    CancelSchedule(CancelReason),
    /// Switch the native schedule off until a key is due, because the schedule would rotate the key before.
    LeaveScheduleOff {
        /// The key that the sweeper rotates when it is due.
        key: AccessKeyId,
        /// The day on which the key is due.
        until: DateTime<Utc>,
    },
    /// Record that the schedule is off because the account is closed or has left the organization: the recovery grace
    /// of its secret starts now.
    RecordDeparture,
    /// Remove the record of a departure, because the account is active again.
    ForgetDeparture,
    /// Delete the replicas of a secret: while it has any, it cannot be deleted.
    RemoveReplicas {
        /// The Regions of the replicas.
        regions: Vec<String>,
    },
    /// Schedule the secret for deletion. For a deleted user it is carried out after the mail, because the notice cannot
    /// be recorded afterwards.
    DeleteSecret,
}

impl Action {
    /// The name under which answers and metrics count the action.
    pub fn name(&self) -> ActionName {
        match self {
            Self::Provision { .. } => ActionName::Provision,
            Self::Restore => ActionName::Restore,
            Self::Adopt { .. } => ActionName::Adopt,
            Self::RestoreMark
            | Self::RestoreFacts(_)
            | Self::DropIntent
            | Self::Repair(_)
            | Self::AbandonRotation { .. }
            | Self::LeaveScheduleOff { .. }
            | Self::RecordDeparture
            | Self::ForgetDeparture
            | Self::RemoveReplicas { .. }
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
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Provision { key, created, .. } => {
                write!(f, "provision a secret for {key}, made {}", created.date_naive())
            }
            Self::Restore => f.write_str("restore the secret, which is scheduled for deletion"),
            Self::Adopt { key, .. } => write!(f, "adopt the secret that is there, with {key} as its key"),
            Self::RestoreMark => f.write_str("set keywheel:managed again, since the other tags are of this version"),
            Self::RestoreFacts(facts) => match &facts.current_key {
                Some(key) => write!(f, "record that version {} holds {key}", facts.version),
                None => write!(f, "record that version {} is not keywheel's", facts.version),
            },
            Self::DropIntent => f.write_str("remove the intent of a rotation that is finished"),
            Self::Repair(Drift::KmsKey) => f.write_str("repair the KMS key"),
            Self::Repair(Drift::Policy) => f.write_str("repair the resource policy"),
            Self::Repair(Drift::Schedule) => f.write_str("repair the rotation schedule"),
            Self::Repair(Drift::Tags) => f.write_str("set the tags of SECRET_TAGS"),
            Self::Repair(Drift::ReaderGroup) => f.write_str("add the user to the reader group"),
            Self::AbandonRotation { version } => write!(f, "abandon the unfinished rotation of version {version}"),
            Self::Rotate { key, created, .. } => write!(f, "rotate {key}, made {}", created.date_naive()),
            Self::Retire { key, inactive: false } => write!(f, "announce that {key} has to give way"),
            Self::Retire { key, inactive: true } => write!(f, "announce that {key}, inactive, has to give way"),
            Self::StopRetiring { key } => write!(f, "withdraw that {key} has to give way"),
            Self::RecordDisabled { key } => write!(f, "record that {key} is disabled"),
            Self::RecordDeleted { key } => write!(f, "record that {key} is gone"),
            Self::RestartGrace { key } => write!(f, "start the grace of {key} again"),
            Self::Disable { key } => write!(f, "disable {key}"),
            Self::Delete { key } => write!(f, "delete {key}"),
            Self::CancelSchedule(reason) => write!(f, "cancel the schedule: {reason}"),
            Self::LeaveScheduleOff { key, until } => {
                write!(f, "leave the schedule off until {key} is due on {}", until.date_naive())
            }
            Self::RecordDeparture => f.write_str("record that the account is closed or has left the organization"),
            Self::ForgetDeparture => f.write_str("record that the account is active again"),
            Self::RemoveReplicas { regions } => write!(f, "delete the secret's replicas in {}", regions.join(", ")),
            Self::DeleteSecret => f.write_str("schedule the secret for deletion"),
        }
    }
}
