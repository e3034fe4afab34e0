//! What can go wrong, in words that say what, for whom, and what to do.

use lambda_runtime::Diagnostic;

use crate::aws::CallFailure;
use crate::keys::{AccessKeyId, UserRef, VersionId};
use crate::settings::InvalidSettings;

/// The library's error.
///
/// # Design
/// [`Error::name`] is stable: Lambda reports it as the error's type, and state machines and alarms branch on it.
/// Messages name the identifier and the way out, never a secret.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The event is not one that the function takes.
    #[error("the event is not valid: {0}")]
    InvalidEvent(String),
    /// The settings are wrong.
    #[error(transparent)]
    InvalidSettings(#[from] InvalidSettings),
    /// There are more accounts than one invocation of the sweeper can sweep in its time. None was.
    #[error(
        "{accounts} accounts are more than fit into one invocation, which are {fit}: none was swept. Sweep them one by one \
         with the state machine that the template makes, or raise MAX_CONCURRENCY"
    )]
    TooManyAccounts {
        /// How many there are.
        accounts: usize,
        /// How many fit.
        fit: usize,
    },
    /// A call to AWS failed.
    #[error(transparent)]
    Aws(#[from] CallFailure),
    /// A dry run was asked to change something.
    #[error(
        "DRY_RUN_FLAG is true, so the key of {0} is not rotated and nothing is changed; set it to false to enforce"
    )]
    DryRun(UserRef),
    /// The secret is not in the central store of this stack.
    #[error("secret {arn} is not in account {primary}, the store of this stack (PRIMARY_ACCOUNT_ID)")]
    ForeignStore {
        /// The secret.
        arn: String,
        /// The account of the store.
        primary: String,
    },
    /// The secret does not exist.
    #[error("secret {0} does not exist")]
    SecretGone(String),
    /// The secret's rotation is switched off.
    #[error("rotation is not enabled for secret {0}; the sweeper switches it on for every user that is to be rotated")]
    RotationDisabled(String),
    /// The version is not one that is being rotated.
    #[error("version {version} of secret {secret} is {found}; a rotation works on a version staged AWSPENDING")]
    NotStaged {
        /// The secret.
        secret: String,
        /// The version of the event.
        version: VersionId,
        /// What the version is instead.
        found: String,
    },
    /// A version of the secret has no value where one is needed.
    #[error("version {version} of secret {secret} has no value; createSecret has to put one first")]
    NoPendingValue {
        /// The secret.
        secret: String,
        /// The version of the event.
        version: VersionId,
    },
    /// The value in the secret is not this user's.
    #[error(
        "the {which} value of secret {secret} is not a key of {user}: {why}; put a value of that user's, or delete the \
         secret with --force-delete-without-recovery and let the sweeper make a new one"
    )]
    ForeignValue {
        /// `current` or `pending`.
        which: &'static str,
        /// The secret.
        secret: String,
        /// Whose it must be.
        user: UserRef,
        /// What is wrong with it.
        why: String,
    },
    /// The user does not exist.
    #[error("{0} does not exist; the sweeper schedules the secret for deletion")]
    UserGone(UserRef),
    /// The user is to be left alone.
    #[error("{user} is in group {group} and exempt from rotation; take the user out of the group to rotate its key")]
    UserExempt {
        /// The user.
        user: UserRef,
        /// The exemption group.
        group: String,
    },
    /// Nothing is made for a user whose keys are all inactive.
    #[error("{0} has no active access key, so none is made; enable or make a key by hand, then rotate again")]
    NoActiveKey(UserRef),
    /// IAM does not list the key that was just made current.
    #[error(
        "access key {key} in the secret was made a moment ago and is not among those of {user} yet; if it was deleted, \
         rotate again in some minutes"
    )]
    CurrentKeyNotListed {
        /// The user.
        user: UserRef,
        /// The key in the value that readers get.
        key: AccessKeyId,
    },
    /// Both key slots are taken by keys that may be needed.
    #[error(
        "{user} already has 2 access keys ({keys}) and none can be removed without loss: {why}; delete one by hand, or tag \
         the secret keywheel:force = true to retire the other key at once, then rotate again"
    )]
    NoFreeSlot {
        /// The user.
        user: UserRef,
        /// Both keys with their status.
        keys: String,
        /// What stands in the way.
        why: String,
    },
    /// The announcement of a key took so long that the key would not be known by it.
    #[error(
        "no key was made: writing the tag keywheel:intent of secret {0} took several seconds each time it was tried, and a \
         key is made only right after its announcement; Secrets Manager tries the rotation again"
    )]
    AnnouncementTooSlow(String),
    /// The key of the pending version is not on the user any more, or not active.
    #[error(
        "access key {key} of the pending version {version} is {found} on {user}; remove the label with `aws secretsmanager \
         update-secret-version-stage --secret-id {secret} --version-stage AWSPENDING --remove-from-version-id {version}` \
         and rotate again"
    )]
    PendingKeyUnusable {
        /// The secret.
        secret: String,
        /// The version.
        version: VersionId,
        /// The key.
        key: AccessKeyId,
        /// The user.
        user: UserRef,
        /// `missing` or `not active`.
        found: String,
    },
    /// The new key answers as somebody else.
    #[error("access key {key} answers as {got} in account {account}, not as {user}")]
    WrongIdentity {
        /// The key.
        key: AccessKeyId,
        /// Whose it must be.
        user: UserRef,
        /// The ARN that STS answered.
        got: String,
        /// The account that STS answered.
        account: String,
    },
    /// The new key did not work within the time left.
    #[error(
        "access key {key} of {user} did not work {wanted} times in a row within the time left: {attempts} attempt(s), \
         {successes} successful, last failure: {last}; Secrets Manager tries the rotation again"
    )]
    KeyNotUsableYet {
        /// The key.
        key: AccessKeyId,
        /// The user.
        user: UserRef,
        /// Successes in a row that are wanted.
        wanted: u32,
        /// Calls made.
        attempts: u32,
        /// How many of them succeeded.
        successes: u32,
        /// What the last failed one got.
        last: String,
    },
}

impl Error {
    /// A stable name of the kind of error.
    pub fn name(&self) -> &'static str {
        match self {
            Self::InvalidEvent(_) => "InvalidEvent",
            Self::InvalidSettings(_) => "InvalidSettings",
            Self::TooManyAccounts { .. } => "TooManyAccounts",
            Self::Aws(_) => "AwsCallFailed",
            Self::DryRun(_) => "DryRun",
            Self::ForeignStore { .. } => "ForeignStore",
            Self::SecretGone(_) => "SecretGone",
            Self::RotationDisabled(_) => "RotationDisabled",
            Self::NotStaged { .. } => "NotStaged",
            Self::NoPendingValue { .. } => "NoPendingValue",
            Self::ForeignValue { .. } => "ForeignValue",
            Self::UserGone(_) => "UserGone",
            Self::UserExempt { .. } => "UserExempt",
            Self::NoActiveKey(_) => "NoActiveKey",
            Self::CurrentKeyNotListed { .. } => "CurrentKeyNotListed",
            Self::NoFreeSlot { .. } => "NoFreeSlot",
            Self::AnnouncementTooSlow(_) => "AnnouncementTooSlow",
            Self::PendingKeyUnusable { .. } => "PendingKeyUnusable",
            Self::WrongIdentity { .. } => "WrongIdentity",
            Self::KeyNotUsableYet { .. } => "KeyNotUsableYet",
        }
    }
}

impl From<Error> for Diagnostic {
    fn from(error: Error) -> Self {
        Self { error_type: error.name().to_owned(), error_message: error.to_string() }
    }
}
