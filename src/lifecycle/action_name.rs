//! The names of what a plan does. Answers, metrics and logs hold them.

use std::fmt;

use serde::Serialize;

/// The name under which an answer lists and counts an action. The order is that of a life of a secret and its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ActionName {
    /// A secret is made.
    Provision,
    /// The deletion of a secret is taken back.
    Restore,
    /// A secret of the predecessor becomes keywheel's.
    Adopt,
    /// A secret, its tags or a rotation in it is put right.
    Repair,
    /// A rotation is started.
    Rotate,
    /// A second key has to give way.
    Retire,
    /// A key that somebody disabled is recorded as disabled.
    RecordDisabled,
    /// A key that is gone is recorded as deleted.
    RecordDeleted,
    /// The grace of a key starts again.
    RestartGrace,
    /// A key is disabled.
    Disable,
    /// A key is deleted.
    Delete,
    /// A schedule is switched off.
    Cancel,
    /// A secret is scheduled for deletion.
    DeleteSecret,
    /// A warning is sent; counted only.
    Warn,
    /// A notice is sent; listed only.
    Notify,
    /// An action waits for its time; listed only, in dry runs.
    Wait,
}

impl ActionName {
    /// Every name.
    pub const ALL: [Self; 16] = [
        Self::Provision,
        Self::Restore,
        Self::Adopt,
        Self::Repair,
        Self::Rotate,
        Self::Retire,
        Self::RecordDisabled,
        Self::RecordDeleted,
        Self::RestartGrace,
        Self::Disable,
        Self::Delete,
        Self::Cancel,
        Self::DeleteSecret,
        Self::Warn,
        Self::Notify,
        Self::Wait,
    ];

    /// The spelling in answers, metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Provision => "provision",
            Self::Restore => "restore",
            Self::Adopt => "adopt",
            Self::Repair => "repair",
            Self::Rotate => "rotate",
            Self::Retire => "retire",
            Self::RecordDisabled => "record-disabled",
            Self::RecordDeleted => "record-deleted",
            Self::RestartGrace => "restart-grace",
            Self::Disable => "disable",
            Self::Delete => "delete",
            Self::Cancel => "cancel",
            Self::DeleteSecret => "delete-secret",
            Self::Warn => "warn",
            Self::Notify => "notify",
            Self::Wait => "wait",
        }
    }
}

impl fmt::Display for ActionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Alarms, dashboards and those who read an answer depend on these.
    #[test]
    fn every_action_name_keeps_its_spelling() {
        let spellings = [
            "provision",
            "restore",
            "adopt",
            "repair",
            "rotate",
            "retire",
            "record-disabled",
            "record-deleted",
            "restart-grace",
            "disable",
            "delete",
            "cancel",
            "delete-secret",
            "warn",
            "notify",
            "wait",
        ];
        assert_eq!(ActionName::ALL.map(ActionName::as_str), spellings);
        for name in ActionName::ALL {
            assert_eq!(serde_json::to_value(name).unwrap(), name.as_str(), "answers");
        }
    }
}
