//! The changes of every access key: the change, its author, and the user's other keys at that moment.

use chrono::{DateTime, Utc};

tokio::task_local! {
    /// The token of the rotation whose step runs.
    pub(crate) static ROTATION: String;
}

/// The token of the rotation that the current call belongs to; `None` outside a rotation step.
pub(crate) fn rotation_under_way() -> Option<String> {
    ROTATION.try_with(Clone::clone).ok()
}

/// A kind of change of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyChange {
    /// It was made, and is `Active`.
    Created,
    /// Its status was set to `Active`, perhaps from `Active`.
    Enabled,
    /// Its status was set to `Inactive` or `Expired`.
    Disabled,
    /// It was deleted, alone or with its user.
    Deleted,
}

impl KeyChange {
    /// The change that sets this status.
    pub(crate) fn to_status(status: &str) -> Self {
        if status == "Active" { Self::Enabled } else { Self::Disabled }
    }
}

/// One change of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyEvent {
    /// The model's time.
    pub at: DateTime<Utc>,
    /// The user's account.
    pub account: String,
    /// The user's name.
    pub user: String,
    /// The access key id.
    pub key: String,
    /// The kind of change.
    pub change: KeyChange,
    /// The ARN of the caller; `None` for a person.
    pub by: Option<String>,
    /// The token of the rotation, if a rotation step made the change.
    pub rotation: Option<String>,
    /// The key's status before the change; `Active` for a new key.
    pub status_before: String,
    /// Whether the key was ever used.
    pub used: bool,
    /// The service of the last use.
    pub last_service: Option<String>,
    /// The user's other keys: id, status, and whether it was ever used.
    pub others: Vec<(String, String, bool)>,
}

impl KeyEvent {
    /// Whether another key of the user was active at that moment.
    pub fn another_was_active(&self) -> bool {
        self.others.iter().any(|(_, status, _)| status == "Active")
    }
}
