//! The errors that end an invocation. Each says what failed, for which identifier, and the remedy.

use lambda_runtime::Diagnostic;

use crate::aws::CallFailure;
use crate::keys::{AccessKeyId, UserRef, VersionId};
use crate::settings::InvalidSettings;

/// An error that ends an invocation of the rotation function or the sweeper.
///
/// # Design
/// [`Error::name`] is stable: Lambda reports it as the error's type, and state machines and alarms branch on it. A
/// message names the identifier and the remedy, and never holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The event is not one of the function's events. The text names the field.
    #[error("the event is not valid: {0}")]
    InvalidEvent(String),
    /// The environment has wrong settings. The function does not start.
    #[error(transparent)]
    InvalidSettings(#[from] InvalidSettings),
    /// The organization has more accounts than one invocation of the sweeper can sweep in its time. None is swept.
    #[error(
        "no account was swept: one invocation can sweep {fit} accounts, and there are {accounts}. Sweep them one by one with \
         the state machine of the template, or raise MAX_CONCURRENCY"
    )]
    TooManyAccounts {
        /// The number of accounts in the organization.
        accounts: usize,
        /// The number of accounts that fit into one invocation.
        fit: usize,
    },
    /// A call to AWS failed. The text names the operation and its subject.
    #[error(transparent)]
    Aws(#[from] CallFailure),
    /// A rotation was started although dry runs are on.
    #[error(
        "DRY_RUN_FLAG is true, so the key of {0} is not rotated and nothing is changed; set it to false to enforce"
    )]
    DryRun(UserRef),
    /// The secret is in another account than the store of this stack.
    #[error("secret {arn} is not in account {primary}, the store of this stack (PRIMARY_ACCOUNT_ID)")]
    ForeignStore {
        /// The secret's ARN.
        arn: String,
        /// The account of the store.
        primary: String,
    },
    /// The secret does not exist.
    #[error("secret {0} does not exist")]
    SecretGone(String),
    /// The secret has no rotation schedule, or it is disabled.
    #[error("rotation is not enabled for secret {0}; the sweeper enables it for every user that is to be rotated")]
    RotationDisabled(String),
    /// The version of the event is not staged AWSPENDING.
    #[error("version {version} of secret {secret} is {found}; a rotation works on a version staged AWSPENDING")]
    NotStaged {
        /// The secret's ARN.
        secret: String,
        /// The version of the event.
        version: VersionId,
        /// The state of the version, such as `staged AWSPREVIOUS`.
        found: String,
    },
    /// A step after createSecret finds no value in the version.
    #[error("version {version} of secret {secret} has no value; createSecret has to put one first")]
    NoPendingValue {
        /// The secret's ARN.
        secret: String,
        /// The version of the event.
        version: VersionId,
    },
    /// No version of the secret is current.
    #[error(
        "secret {0} had no value at all, so its placeholder was put first: a first value becomes current by itself, and a \
         new key has to be tested before; Secrets Manager tries the rotation again, or the next sweep starts it"
    )]
    NoCurrentValue(String),
    /// A value of the secret is unreadable or of another user.
    #[error(
        "the {which} value of secret {secret} is not a key of {user}: {why}; put a value of this user, or delete the \
         secret with --force-delete-without-recovery and let the sweeper create a new one"
    )]
    ForeignValue {
        /// `current` or `pending`.
        which: &'static str,
        /// The secret's ARN.
        secret: String,
        /// The user of the secret.
        user: UserRef,
        /// The reason, without any part of the value.
        why: String,
    },
    /// The secret lacks keywheel's tag.
    #[error(
        "secret {0} lacks the tag keywheel:managed, so no key is made for it; the sweeper adopts the secret of a user that is \
         to be rotated: run it, then rotate again"
    )]
    NotManaged(String),
    /// The secret is encrypted with another KMS key than that of the settings.
    #[error(
        "secret {secret} is encrypted with {found} and not with {wanted} (SECRETS_KMS_KEY_ID), so no key is made: others may \
         use that KMS key; find out who changed it, and run the sweeper, which changes it back; then rotate again"
    )]
    ForeignKmsKey {
        /// The secret's ARN.
        secret: String,
        /// The KMS key of the secret.
        found: String,
        /// `SECRETS_KMS_KEY_ID`.
        wanted: String,
    },
    /// The secret's resource policy is missing, or not keywheel's.
    #[error(
        "the resource policy of secret {secret} is not the one that lets {user} read it, and nobody else, so no key is made; \
         find out who changed the policy, and run the sweeper, which puts it back; then rotate again"
    )]
    ForeignPolicy {
        /// The secret's ARN.
        secret: String,
        /// The user of the secret.
        user: UserRef,
    },
    /// The user was deleted from IAM.
    #[error("{0} does not exist; the sweeper schedules the secret for deletion")]
    UserGone(UserRef),
    /// The user is in the exemption group.
    #[error("{user} is in group {group} and exempt from rotation; take the user out of the group to rotate its key")]
    UserExempt {
        /// The exempt user.
        user: UserRef,
        /// `IAM_EXEMPTION_GROUP`.
        group: String,
    },
    /// The user has no active key, so no key is created.
    #[error("{0} has no active access key, so none is created; enable or create a key by hand, then rotate again")]
    NoActiveKey(UserRef),
    /// IAM's list lacks the current key, although it is new.
    #[error(
        "access key {key} in the secret is a few minutes old and not yet in IAM's list of the keys of {user}; if it was \
         deleted, rotate again in ten minutes"
    )]
    CurrentKeyNotListed {
        /// The user of the secret.
        user: UserRef,
        /// The key in the current value.
        key: AccessKeyId,
    },
    /// Both key slots are taken, and no key can be removed without loss.
    #[error(
        "{user} already has 2 access keys ({keys}) and none can be removed without loss: {why}; delete one by hand, or tag \
         the secret keywheel:force = true to retire the other key at once, then rotate again"
    )]
    NoFreeSlot {
        /// The user of the secret.
        user: UserRef,
        /// Both keys with their status and creation date.
        keys: String,
        /// The reason why neither key can be removed.
        why: String,
    },
    /// The intent took so long to write that a key could not be identified by its time.
    #[error(
        "no key was created: each attempt to write the tag keywheel:intent of secret {0} took several seconds, and a key is \
         created only right after its announcement; Secrets Manager tries the rotation again"
    )]
    AnnouncementTooSlow(String),
    /// The pending key is missing on the user, or not active.
    #[error(
        "access key {key} of the pending version {version} is {found} on {user}; remove the label with `aws secretsmanager \
         update-secret-version-stage --secret-id {secret} --version-stage AWSPENDING --remove-from-version-id {version}` \
         and rotate again"
    )]
    PendingKeyUnusable {
        /// The secret's ARN.
        secret: String,
        /// The version of the event.
        version: VersionId,
        /// The key in the pending value.
        key: AccessKeyId,
        /// The user of the secret.
        user: UserRef,
        /// `missing` or `not active`.
        found: String,
    },
    /// The pending key belongs to somebody else.
    #[error("access key {key} belongs to {got} in account {account}, not to {user}")]
    WrongIdentity {
        /// The key in the pending value.
        key: AccessKeyId,
        /// The user of the secret.
        user: UserRef,
        /// The ARN that STS returned.
        got: String,
        /// The account that STS returned.
        account: String,
    },
    /// The pending key did not work within the time left.
    #[error(
        "access key {key} of {user} did not work {wanted} times in a row within the time left: {attempts} attempt(s) by \
         {asked}, {successes} successful, last failure: {last}; Secrets Manager tries the rotation again"
    )]
    KeyNotUsableYet {
        /// The key in the pending value.
        key: AccessKeyId,
        /// The user of the secret.
        user: UserRef,
        /// The successful calls in a row that prove a key.
        wanted: u32,
        /// The calls that were made.
        attempts: u32,
        /// The calls that succeeded.
        successes: u32,
        /// The failure of the last call that failed, or `none`.
        last: String,
        /// The endpoints that were asked, such as `STS of eu-south-1 and of us-east-1`.
        asked: String,
    },
}

/// Gives every variant its stable name. A variant without a name does not compile.
macro_rules! names {
    ($($variant:ident => $name:literal),+ $(,)?) => {
        impl Error {
            /// The names of all errors, in the order of the variants.
            pub const NAMES: &[&str] = &[$($name),+];

            /// Returns the stable name of the kind of error, which is one of [`Error::NAMES`].
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant { .. } => $name),+
                }
            }
        }
    };
}

names! {
    InvalidEvent => "InvalidEvent",
    InvalidSettings => "InvalidSettings",
    TooManyAccounts => "TooManyAccounts",
    Aws => "AwsCallFailed",
    DryRun => "DryRun",
    ForeignStore => "ForeignStore",
    SecretGone => "SecretGone",
    RotationDisabled => "RotationDisabled",
    NotStaged => "NotStaged",
    NoPendingValue => "NoPendingValue",
    NoCurrentValue => "NoCurrentValue",
    ForeignValue => "ForeignValue",
    NotManaged => "NotManaged",
    ForeignKmsKey => "ForeignKmsKey",
    ForeignPolicy => "ForeignPolicy",
    UserGone => "UserGone",
    UserExempt => "UserExempt",
    NoActiveKey => "NoActiveKey",
    CurrentKeyNotListed => "CurrentKeyNotListed",
    NoFreeSlot => "NoFreeSlot",
    AnnouncementTooSlow => "AnnouncementTooSlow",
    PendingKeyUnusable => "PendingKeyUnusable",
    WrongIdentity => "WrongIdentity",
    KeyNotUsableYet => "KeyNotUsableYet",
}

impl From<Error> for Diagnostic {
    fn from(error: Error) -> Self {
        Self { error_type: error.name().to_owned(), error_message: error.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_listed_once() {
        let distinct: std::collections::BTreeSet<_> = Error::NAMES.iter().collect();
        assert_eq!(distinct.len(), Error::NAMES.len());
        assert!(Error::NAMES.contains(&Error::SecretGone(String::new()).name()));
    }
}
