//! A key as notices and reports name it.

use std::fmt;

use chrono::{DateTime, Utc};

use crate::keys::{AccessKeyId, KeyStatus};

/// A key that a user holds, as far as a notice names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedKey {
    /// `AKIA…`.
    pub id: AccessKeyId,
    /// Whether requests can be signed with it.
    pub status: KeyStatus,
    /// By IAM's clock, in whole seconds.
    pub created: DateTime<Utc>,
}

impl NamedKey {
    pub(super) fn is_active(&self) -> bool {
        self.status == KeyStatus::Active
    }
}

impl fmt::Display for NamedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = match &self.status {
            KeyStatus::Active => "active",
            KeyStatus::Inactive => "inactive",
            KeyStatus::Other(_) => "of another status",
        };
        write!(f, "{} ({status}, made {})", self.id, self.created.date_naive())
    }
}
