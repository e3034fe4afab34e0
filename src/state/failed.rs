//! The cause of a rotation's last failed step. Pure.
//!
//! Secrets Manager's event about a failed rotation names the step and nothing else, so the rotation function leaves the
//! cause on the secret. The cause is information for people, and no change depends on it: a sweep reads the resource
//! policy that a rotation refused. If the tag cannot be read, it counts as absent.

use std::fmt;

use chrono::{DateTime, SubsecRound as _, Utc};

use super::{format_time, parse_time};
use crate::keys::VersionId;

/// The four steps of a rotation. Any other step is an error.
/// <https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotate-secrets_lambda-functions.html>
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Create the new key and put it into the pending version.
    CreateSecret,
    /// Check that the pending key is on the user and active.
    SetSecret,
    /// Check that the pending key works.
    TestSecret,
    /// Make the pending version current.
    FinishSecret,
}

impl Step {
    /// Every step, in the order of a rotation.
    pub const ALL: [Self; 4] = [Self::CreateSecret, Self::SetSecret, Self::TestSecret, Self::FinishSecret];

    /// The spelling in events and tags.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CreateSecret => "createSecret",
            Self::SetSecret => "setSecret",
            Self::TestSecret => "testSecret",
            Self::FinishSecret => "finishSecret",
        }
    }

    /// Returns the step with this spelling.
    pub fn read(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|step| step.as_str() == text)
    }
}

/// Why a step failed, as far as a remedy depends on it.
///
/// The names are those of keywheel's errors. If a call to AWS failed, a name of its own says which part of AWS refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureCause {
    /// The pending version has no value.
    NoPendingValue,
    /// The secret had no value at all.
    NoCurrentValue,
    /// A value of the secret is unreadable or of another user.
    ForeignValue,
    /// The secret is encrypted with another KMS key than the stack's.
    ForeignKmsKey,
    /// The secret's resource policy is not keywheel's.
    ForeignPolicy,
    /// The user was deleted from IAM.
    UserGone,
    /// The user is in the exemption group.
    UserExempt,
    /// The user has no active key.
    NoActiveKey,
    /// IAM's list lacks the current key, although it is new.
    CurrentKeyNotListed,
    /// Both key slots are taken, and no key can be removed without loss.
    NoFreeSlot,
    /// The intent took too long to write.
    AnnouncementTooSlow,
    /// The pending key is missing on the user, or not active.
    PendingKeyUnusable,
    /// The pending key belongs to somebody else.
    WrongIdentity,
    /// The pending key did not work within the time left.
    KeyNotUsableYet,
    /// The role in the user's account cannot be assumed: it is missing, or it does not trust the function.
    MemberRoleDenied,
    /// Secrets Manager could not use the KMS key of the secret.
    KmsKeyUnusable,
    /// IAM denied a call in the user's account.
    DeniedByIam,
    /// Secrets Manager denied a call in the account of the store.
    DeniedBySecretsManager,
    /// AWS throttled every attempt of a call.
    Throttled,
    /// A call was not answered, or the service failed.
    NoAnswer,
    /// A call to AWS failed in any other way.
    AwsCallFailed,
}

impl FailureCause {
    /// Every cause.
    pub const ALL: [Self; 21] = [
        Self::NoPendingValue,
        Self::NoCurrentValue,
        Self::ForeignValue,
        Self::ForeignKmsKey,
        Self::ForeignPolicy,
        Self::UserGone,
        Self::UserExempt,
        Self::NoActiveKey,
        Self::CurrentKeyNotListed,
        Self::NoFreeSlot,
        Self::AnnouncementTooSlow,
        Self::PendingKeyUnusable,
        Self::WrongIdentity,
        Self::KeyNotUsableYet,
        Self::MemberRoleDenied,
        Self::KmsKeyUnusable,
        Self::DeniedByIam,
        Self::DeniedBySecretsManager,
        Self::Throttled,
        Self::NoAnswer,
        Self::AwsCallFailed,
    ];

    /// The name in the tag.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoPendingValue => "NoPendingValue",
            Self::NoCurrentValue => "NoCurrentValue",
            Self::ForeignValue => "ForeignValue",
            Self::ForeignKmsKey => "ForeignKmsKey",
            Self::ForeignPolicy => "ForeignPolicy",
            Self::UserGone => "UserGone",
            Self::UserExempt => "UserExempt",
            Self::NoActiveKey => "NoActiveKey",
            Self::CurrentKeyNotListed => "CurrentKeyNotListed",
            Self::NoFreeSlot => "NoFreeSlot",
            Self::AnnouncementTooSlow => "AnnouncementTooSlow",
            Self::PendingKeyUnusable => "PendingKeyUnusable",
            Self::WrongIdentity => "WrongIdentity",
            Self::KeyNotUsableYet => "KeyNotUsableYet",
            Self::MemberRoleDenied => "MemberRoleDenied",
            Self::KmsKeyUnusable => "KmsKeyUnusable",
            Self::DeniedByIam => "DeniedByIam",
            Self::DeniedBySecretsManager => "DeniedBySecretsManager",
            Self::Throttled => "Throttled",
            Self::NoAnswer => "NoAnswer",
            Self::AwsCallFailed => "AwsCallFailed",
        }
    }
}

/// The last failed step of a rotation. As a tag: `<cause> <step> <version> <time>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedStep {
    /// Why the step failed.
    pub cause: FailureCause,
    /// The step that failed.
    pub step: Step,
    /// The version that was being rotated. If it is no longer the pending version, the failure is past.
    pub version: VersionId,
    /// When the step failed, by the function's clock; whole seconds.
    pub at: DateTime<Utc>,
}

impl FailedStep {
    /// The failure of this step at this time.
    pub fn new(cause: FailureCause, step: Step, version: &VersionId, at: DateTime<Utc>) -> Self {
        Self { cause, step, version: version.clone(), at: at.trunc_subsecs(0) }
    }

    /// Reads a tag's value; `None` unless all four words are keywheel's.
    pub(super) fn read(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let name = words.next()?;
        let failed = Self {
            cause: FailureCause::ALL.into_iter().find(|cause| cause.as_str() == name)?,
            step: Step::read(words.next()?)?,
            version: words.next()?.parse().ok()?,
            at: parse_time(words.next()?)?,
        };
        words.next().is_none().then_some(failed)
    }
}

impl fmt::Display for FailedStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cause, step, version, at } = self;
        write!(f, "{} {} {version} {}", cause.as_str(), step.as_str(), format_time(*at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::state::MAX_TAG_VALUE_LENGTH;
    use crate::testing::{now, version};

    #[test]
    fn on_aws_b1_every_failure_is_read_back_from_its_tag() {
        for cause in FailureCause::ALL {
            for step in Step::ALL {
                let failed = FailedStep::new(cause, step, &version(1), now() + chrono::TimeDelta::milliseconds(999));
                let text = failed.to_string();
                assert!(text.len() <= MAX_TAG_VALUE_LENGTH, "{text}");
                assert_eq!(FailedStep::read(&text), Some(failed), "{text}");
            }
        }
        let failed = FailedStep::new(FailureCause::NoFreeSlot, Step::CreateSecret, &version(1), now());
        assert_eq!(failed.to_string(), "NoFreeSlot createSecret 00000000000000000000000000000001 2026-11-22T09:00:00Z");
    }

    #[test]
    fn on_aws_b1_a_tag_of_others_is_no_failure() {
        let good = FailedStep::new(FailureCause::NoFreeSlot, Step::CreateSecret, &version(1), now()).to_string();
        for text in [
            String::new(),
            "NoFreeSlot".to_owned(),
            format!("{good} more"),
            good.replace("NoFreeSlot", "Visit-example.com"),
            good.replace("createSecret", "CreateSecret"),
            good.replace("2026", "in 2026"),
            good.replace("00000000000000000000000000000001", "1"),
        ] {
            assert_eq!(FailedStep::read(&text), None, "{text}");
        }
    }

    #[test]
    fn on_aws_b1_the_names_of_causes_are_names_of_errors() {
        let of_aws =
            ["MemberRoleDenied", "KmsKeyUnusable", "DeniedByIam", "DeniedBySecretsManager", "Throttled", "NoAnswer"];
        for cause in FailureCause::ALL {
            let name = cause.as_str();
            assert_ne!(Error::NAMES.contains(&name), of_aws.contains(&name), "{name}");
        }
    }
}
