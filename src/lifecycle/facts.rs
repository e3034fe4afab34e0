//! What is known about one user: the input of the plan.

use chrono::{DateTime, TimeDelta, Utc};

use crate::keys::{AccessKeyId, KeyStatus, LastUse, UserArn, UserRef, VersionId};
use crate::state::State;

/// One user, as observed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserFacts {
    /// The user's ARN, path included.
    pub arn: UserArn,
    /// The user's unique id, `AIDA…`.
    pub id: String,
    /// The value of the tag that names the owner.
    pub owner: Option<String>,
    /// Whether the user is to be left alone.
    pub exemption: Exemption,
    /// The user's keys, oldest first.
    pub keys: Vec<KeyFacts>,
    /// The user's secret.
    pub secret: SecretFacts,
}

impl UserFacts {
    /// The user.
    pub fn user(&self) -> &UserRef {
        self.arn.user()
    }
}

/// Whether a user is to be left alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exemption {
    /// A member of the exemption group.
    Exempt,
    /// Not a member.
    NotExempt,
    /// Not known, and why: nothing is made or destroyed.
    Unknown(String),
}

/// One access key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFacts {
    /// Its id.
    pub id: AccessKeyId,
    /// Whether it can be used.
    pub status: KeyStatus,
    /// When it was made.
    pub created: DateTime<Utc>,
    /// When it was last used.
    pub last_use: LastUse,
}

impl KeyFacts {
    /// Whether it can be used.
    pub fn is_active(&self) -> bool {
        self.status == KeyStatus::Active
    }
}

/// The user's secret.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "nearly every user has a secret that is present")]
pub enum SecretFacts {
    /// There is none.
    Missing,
    /// It is scheduled for deletion and can be restored.
    PendingDeletion,
    /// It is there.
    Present(PresentSecret),
}

impl SecretFacts {
    /// The secret, if it is there.
    pub fn present(&self) -> Option<&PresentSecret> {
        match self {
            Self::Present(secret) => Some(secret),
            Self::Missing | Self::PendingDeletion => None,
        }
    }
}

/// A secret that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresentSecret {
    /// Its ARN.
    pub arn: String,
    /// Whether the native schedule runs.
    pub rotation_enabled: bool,
    /// The version that readers get.
    pub current_version: Option<VersionId>,
    /// A version that a rotation prepares or left behind.
    pub unfinished_version: Option<VersionId>,
    /// The facts in its tags.
    pub state: State,
    /// What is not as it should be.
    pub drift: Vec<Drift>,
}

impl PresentSecret {
    /// Whether the facts in the tags describe the version that readers get.
    pub fn facts_are_fresh(&self) -> bool {
        self.state.version.is_some() && self.state.version == self.current_version
    }

    /// The key that keywheel made, tested and put into the version that readers get, and when it became the current one.
    /// Whether the user still has it, the user's keys tell.
    ///
    /// A rotation that is announced and not finished names the key that it found on the user as the current one, beside
    /// the time of the rotation before: that key is the replaced one or younger than that time, and was not tested.
    pub fn tested_key(&self) -> Option<(&AccessKeyId, DateTime<Utc>)> {
        let state = Some(&self.state).filter(|state| state.managed && self.facts_are_fresh())?;
        let current = state.current_key.as_ref().filter(|current| state.previous_key.as_ref() != Some(*current))?;
        Some((current, state.rotated_at?))
    }

    /// Whether that is the tested key, by its id and its creation date.
    pub fn is_tested(&self, id: &AccessKeyId, created: DateTime<Utc>) -> bool {
        // Tags hold whole seconds.
        self.tested_key().is_some_and(|(key, rotated_at)| key == id && created < rotated_at + TimeDelta::seconds(1))
    }
}

/// A part of a secret that is not as the settings want it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Drift {
    /// Encrypted with another KMS key.
    KmsKey,
    /// The resource policy is missing, names somebody else, or names a user that was deleted.
    Policy,
    /// The rotation schedule is off, has another period or another function.
    Schedule,
    /// The user is not in the group that lets it read its secret from another account.
    ReaderGroup,
}
