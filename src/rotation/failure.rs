//! Leaves the cause of a failed step on the secret: Secrets Manager's event about it names no cause.

use chrono::TimeDelta;
use tracing::warn;

use super::Job;
use crate::aws::{CallFailure, FailureKind, is_kms_refusal};
use crate::error::Error;
use crate::state::{FailedStep, FailureCause, TagChange};

/// Limits the time for the tag, so that a failed step ends soon. Writing a tag takes a tenth of a second.
const WRITE_WITHIN: TimeDelta = TimeDelta::seconds(5);
/// The time that stays for the error itself before Lambda ends the invocation.
const TIME_FOR_THE_ERROR: TimeDelta = TimeDelta::seconds(1);

/// Writes the tag with the cause of the error.
///
/// If that fails or would take too long, it is logged: the step's own error matters more. Nothing is written in a dry
/// run, or on a secret that is not keywheel's.
pub(super) async fn leave_cause(job: &Job<'_>, error: &Error) {
    if job.settings.dry_run || !job.state.managed {
        return;
    }
    let Some(cause) = cause_of(error) else { return };
    let now = job.aws.now();
    let Ok(time) = (job.deadline - TIME_FOR_THE_ERROR - now).min(WRITE_WITHIN).to_std() else { return };
    let failed = FailedStep::new(cause, job.event.step, &job.event.version, now);
    let change = TagChange::default().failed(&failed);
    tokio::select! {
        written = job.aws.secrets().tag(job.secret(), &change.set) => {
            if let Err(failure) = written {
                warn!(error = %failure, "the cause of the failure could not be left on the secret");
            }
        }
        () = job.aws.sleep(time) => warn!("the time was too short to leave the cause of the failure on the secret"),
    }
}

/// Returns the cause in a form that a remedy can depend on; `None` for errors that say nothing about this rotation.
fn cause_of(error: &Error) -> Option<FailureCause> {
    Some(match error {
        Error::Aws(failure) => cause_of_call(failure),
        Error::NoPendingValue { .. } => FailureCause::NoPendingValue,
        Error::NoCurrentValue(_) => FailureCause::NoCurrentValue,
        Error::ForeignValue { .. } => FailureCause::ForeignValue,
        Error::ForeignKmsKey { .. } => FailureCause::ForeignKmsKey,
        Error::ForeignPolicy { .. } => FailureCause::ForeignPolicy,
        Error::UserGone(_) => FailureCause::UserGone,
        Error::UserExempt { .. } => FailureCause::UserExempt,
        Error::NoActiveKey(_) => FailureCause::NoActiveKey,
        Error::CurrentKeyNotListed { .. } => FailureCause::CurrentKeyNotListed,
        Error::NoFreeSlot { .. } => FailureCause::NoFreeSlot,
        Error::AnnouncementTooSlow(_) => FailureCause::AnnouncementTooSlow,
        Error::PendingKeyUnusable { .. } => FailureCause::PendingKeyUnusable,
        Error::WrongIdentity { .. } => FailureCause::WrongIdentity,
        Error::KeyNotUsableYet { .. } => FailureCause::KeyNotUsableYet,
        // A dry run changes no tag, and a secret that is not keywheel's gets none. The others end the invocation before
        // its secret is known or its version checked.
        Error::DryRun(_)
        | Error::NotManaged(_)
        | Error::InvalidEvent(_)
        | Error::InvalidSettings(_)
        | Error::TooManyAccounts { .. }
        | Error::ForeignStore { .. }
        | Error::SecretGone(_)
        | Error::RotationDisabled(_)
        | Error::NotStaged { .. } => return None,
    })
}

fn cause_of_call(failure: &CallFailure) -> FailureCause {
    let service = failure.operation().split(':').next().unwrap_or_default();
    match (service, failure.kind()) {
        _ if is_kms_refusal(failure) => FailureCause::KmsKeyUnusable,
        (_, FailureKind::Throttled) => FailureCause::Throttled,
        (_, FailureKind::NoAnswer) => FailureCause::NoAnswer,
        ("sts", FailureKind::Denied | FailureKind::NotFound) => FailureCause::MemberRoleDenied,
        ("iam", FailureKind::Denied) => FailureCause::DeniedByIam,
        ("iam", FailureKind::NotFound) => FailureCause::UserGone,
        // CreateAccessKey: a person made a key since the slots were counted.
        ("iam", FailureKind::Conflict) => FailureCause::NoFreeSlot,
        ("secretsmanager", FailureKind::Denied) => FailureCause::DeniedBySecretsManager,
        _ => FailureCause::AwsCallFailed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn on_aws_b1_the_refusals_of_aws_have_causes_with_a_remedy() {
        use FailureCause as Cause;
        use FailureKind as Kind;
        for (operation, kind, code, message, cause) in [
            ("sts:AssumeRole", Kind::Denied, "AccessDenied", "", Cause::MemberRoleDenied),
            ("iam:CreateAccessKey", Kind::Denied, "AccessDenied", "", Cause::DeniedByIam),
            ("iam:CreateAccessKey", Kind::Conflict, "LimitExceeded", "", Cause::NoFreeSlot),
            ("iam:CreateAccessKey", Kind::NotFound, "NoSuchEntity", "", Cause::UserGone),
            ("iam:ListAccessKeys", Kind::Throttled, "Throttling", "", Cause::Throttled),
            ("iam:ListAccessKeys", Kind::NoAnswer, "Timeout", "", Cause::NoAnswer),
            ("iam:ListAccessKeys", Kind::Refused, "ValidationError", "", Cause::AwsCallFailed),
            ("secretsmanager:TagResource", Kind::Denied, "AccessDeniedException", "", Cause::DeniedBySecretsManager),
            ("secretsmanager:PutSecretValue", Kind::Refused, "EncryptionFailure", "", Cause::KmsKeyUnusable),
            ("secretsmanager:GetSecretValue", Kind::Refused, "DecryptionFailure", "", Cause::KmsKeyUnusable),
            (
                "secretsmanager:GetSecretValue",
                Kind::Denied,
                "AccessDeniedException",
                "Access to KMS is not allowed",
                Cause::KmsKeyUnusable,
            ),
            ("secretsmanager:PutSecretValue", Kind::Conflict, "ResourceExistsException", "", Cause::AwsCallFailed),
        ] {
            let failure = CallFailure::new(operation, "it", kind, (code.to_owned(), message.to_owned()), None);
            assert_eq!(cause_of(&Error::Aws(failure)), Some(cause), "{operation} {code}");
        }
    }
}
