//! The part of a sweep in which something failed. Pure.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::lifecycle::ActionName;

/// The part of a sweep in which something failed: the field `action` of the answer's failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The accounts, or the address of one, were listed.
    Inventory,
    /// An account was swept.
    Sweep,
    /// IAM's credential report was read.
    CredentialReport,
    /// The group of exempt users was looked up in an account's groups.
    ExemptionGroup,
    /// The group through which users read their secrets was looked up or joined.
    ReaderGroup,
    /// A user was observed.
    Observe,
    /// The facts about a user were read again before a change.
    Confirm,
    /// One of the user's planned actions was carried out, or could not be planned.
    Action(ActionName),
    /// The secrets of accounts that are closed, or have left the organization, were looked at.
    DepartedAccount,
    /// A mail was sent.
    Mail,
    /// A notice was published on the topic.
    Topic,
    /// A carried-out action or a sent notice was recorded in the secret's tags.
    Record,
    /// Deferred notices were collected.
    Digest,
    /// The notice of an event of Secrets Manager was prepared.
    Notify,
}

impl Stage {
    /// The spelling in answers and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inventory => "inventory",
            Self::Sweep => "sweep",
            Self::CredentialReport => "credential-report",
            Self::ExemptionGroup => "exemption-group",
            Self::ReaderGroup => "reader-group",
            Self::Observe => "observe",
            Self::Confirm => "confirm",
            Self::Action(name) => name.as_str(),
            Self::DepartedAccount => "departed-account",
            Self::Mail => "mail",
            Self::Topic => "topic",
            Self::Record => "record",
            Self::Digest => "digest",
            Self::Notify => "notify",
        }
    }

    /// Whether it is the work of a digest: sending and recording notices, and accounts that no sweep reaches.
    pub(super) const fn is_of_digest(self) -> bool {
        matches!(self, Self::Mail | Self::Topic | Self::Record | Self::Digest | Self::DepartedAccount)
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Stage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_spelled_in_answers_as_they_always_were() {
        for (stage, spelled) in [
            (Stage::Inventory, "inventory"),
            (Stage::Sweep, "sweep"),
            (Stage::CredentialReport, "credential-report"),
            (Stage::ExemptionGroup, "exemption-group"),
            (Stage::ReaderGroup, "reader-group"),
            (Stage::Observe, "observe"),
            (Stage::Confirm, "confirm"),
            (Stage::Action(ActionName::DeleteSecret), "delete-secret"),
            (Stage::DepartedAccount, "departed-account"),
            (Stage::Mail, "mail"),
            (Stage::Topic, "topic"),
            (Stage::Record, "record"),
            (Stage::Digest, "digest"),
            (Stage::Notify, "notify"),
        ] {
            assert_eq!(serde_json::to_value(stage).unwrap(), spelled);
            assert_eq!(stage.to_string(), spelled);
        }
    }
}
