//! What happened to every access key, who did it, and which other keys the user had at that moment.

use chrono::{DateTime, Utc};

tokio::task_local! {
    /// The token of the rotation whose step runs.
    pub(crate) static ROTATION: String;
}

/// The token of the rotation that the call under way belongs to.
pub(crate) fn rotation_under_way() -> Option<String> {
    ROTATION.try_with(Clone::clone).ok()
}

/// What happened to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyChange {
    /// It was made.
    Created,
    /// It was switched on.
    Enabled,
    /// It was switched off.
    Disabled,
    /// It was deleted.
    Deleted,
}

impl KeyChange {
    /// The change that sets that status.
    pub(crate) fn to_status(status: &str) -> Self {
        if status == "Active" { Self::Enabled } else { Self::Disabled }
    }
}

/// One change of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyEvent {
    /// When.
    pub at: DateTime<Utc>,
    /// The user's account.
    pub account: String,
    /// The user.
    pub user: String,
    /// The key.
    pub key: String,
    /// What happened to it.
    pub change: KeyChange,
    /// The ARN of the caller; `None` for a person.
    pub by: Option<String>,
    /// The token of the rotation whose step it happened in.
    pub rotation: Option<String>,
    /// The key's status before; `Active` for one just made.
    pub status_before: String,
    /// Whether the key was ever used.
    pub used: bool,
    /// The user's other keys: id, status, and whether it was ever used.
    pub others: Vec<(String, String, bool)>,
}

impl KeyEvent {
    /// Whether another key of the user was active at that moment.
    pub fn another_was_active(&self) -> bool {
        self.others.iter().any(|(_, status, _)| status == "Active")
    }
}
