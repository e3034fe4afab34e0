//! The phases of a key's life: the names under which notices are recorded. Pure.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// The name under which a notice is recorded, in the order of a key's life. Tags, topic messages and their filters hold
/// these spellings, so a phase never changes its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// The key is due and this run would start its rotation. Sent in dry runs only, and never recorded.
    RotateDue,
    /// The key will be rotated.
    RotateAhead,
    /// A rotation was started and has not finished.
    Unfinished,
    /// A rotation failed.
    Failed,
    /// The test of a rotation's configuration failed.
    TestFailed,
    /// Somebody put a version by hand, which ended an unfinished rotation.
    Abandoned,
    /// The schedule is off: the key is not rotated any more.
    Cancelled,
    /// The key is new and can be fetched.
    Rotated,
    /// A forced rotation disabled and deleted the key.
    Forced,
    /// The outgoing key was used after the rotation.
    InUse,
    /// A person enabled the outgoing key again.
    Reactivated,
    /// A second key has to give way to a rotation.
    Retiring,
    /// The outgoing key will be disabled.
    DisableAhead,
    /// The outgoing key is disabled.
    Disabled,
    /// The outgoing key will be deleted.
    DeleteAhead,
    /// The outgoing key will be deleted within a day.
    LastCall,
    /// The outgoing key is deleted.
    Deleted,
    /// The user is deleted, and the secret is scheduled for deletion.
    SecretDeleted,
}

impl Phase {
    /// Every phase, in the order of a key's life.
    pub const ALL: [Self; 18] = [
        Self::RotateDue,
        Self::RotateAhead,
        Self::Unfinished,
        Self::Failed,
        Self::TestFailed,
        Self::Abandoned,
        Self::Cancelled,
        Self::Rotated,
        Self::Forced,
        Self::InUse,
        Self::Reactivated,
        Self::Retiring,
        Self::DisableAhead,
        Self::Disabled,
        Self::DeleteAhead,
        Self::LastCall,
        Self::Deleted,
        Self::SecretDeleted,
    ];

    /// The spelling in tags and topic messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RotateDue => "rotate-due",
            Self::RotateAhead => "rotate-ahead",
            Self::Unfinished => "unfinished",
            Self::Failed => "failed",
            Self::TestFailed => "test-failed",
            Self::Abandoned => "abandoned",
            Self::Cancelled => "cancelled",
            Self::Rotated => "rotated",
            Self::Forced => "forced",
            Self::InUse => "in-use",
            Self::Reactivated => "reactivated",
            Self::Retiring => "retiring",
            Self::DisableAhead => "disable-ahead",
            Self::Disabled => "disabled",
            Self::DeleteAhead => "delete-ahead",
            Self::LastCall => "last-call",
            Self::Deleted => "deleted",
            Self::SecretDeleted => "secret-deleted",
        }
    }

    /// Whether a notice of this phase says that the key will be gone.
    pub const fn announces_end(self) -> bool {
        matches!(self, Self::Disabled | Self::DeleteAhead | Self::LastCall)
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no phase of this version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no phase `{0}`")]
pub struct UnknownPhase(String);

impl FromStr for Phase {
    type Err = UnknownPhase;

    fn from_str(text: &str) -> Result<Self, UnknownPhase> {
        Self::ALL.into_iter().find(|phase| phase.as_str() == text).ok_or_else(|| UnknownPhase(text.to_owned()))
    }
}

/// A phase as the tag holds it. Another version of keywheel may have recorded a phase that this version does not know;
/// its text is kept, so that an upgrade after a rollback sends nothing twice.
///
/// The order is the order in which a full tag forgets. Unknown phases are forgotten first, because this version never
/// reads them, while forgetting a known phase makes this version send a notice twice.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum RecordedPhase {
    /// Text that names no phase of this version.
    Unknown(String),
    /// A phase of this version.
    Known(Phase),
}

impl RecordedPhase {
    pub(super) fn read(text: &str) -> Self {
        text.parse().map_or_else(|_| Self::Unknown(text.to_owned()), Self::Known)
    }

    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::Unknown(text) => text,
            Self::Known(phase) => phase.as_str(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tags in the field, subscribers' filters and docs/notice-schema.json hold these.
    #[test]
    fn every_phase_keeps_its_spelling_and_its_place_in_a_life() {
        let spellings = [
            "rotate-due",
            "rotate-ahead",
            "unfinished",
            "failed",
            "test-failed",
            "abandoned",
            "cancelled",
            "rotated",
            "forced",
            "in-use",
            "reactivated",
            "retiring",
            "disable-ahead",
            "disabled",
            "delete-ahead",
            "last-call",
            "deleted",
            "secret-deleted",
        ];
        assert_eq!(Phase::ALL.map(Phase::as_str), spellings);
        assert!(Phase::ALL.is_sorted());
        for phase in Phase::ALL {
            assert_eq!(phase.to_string().parse(), Ok(phase));
            assert_eq!(serde_json::to_value(phase).unwrap(), phase.as_str(), "topic messages");
            assert_eq!(RecordedPhase::read(phase.as_str()), RecordedPhase::Known(phase));
        }
        assert_eq!("Rotated".parse::<Phase>().unwrap_err().to_string(), "there is no phase `Rotated`");
    }

    #[test]
    fn an_unknown_phase_keeps_its_text_and_is_forgotten_first() {
        let unknown = RecordedPhase::read("fetched");
        assert_eq!(unknown.as_str(), "fetched");
        assert!(Phase::ALL.into_iter().all(|phase| unknown < RecordedPhase::Known(phase)));
    }
}
