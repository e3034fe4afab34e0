//! The cause of a failed rotation in keywheel's own words. Pure.
//!
//! The rotation function leaves the cause on the secret. A message holds no text of an event.

use crate::keys::AccountId;
use crate::lifecycle::NamedKey;
use crate::state::{FailedStep, FailureCause};

/// Returns why the step failed, in one sentence.
pub(super) fn cause(failed: Option<&FailedStep>, keys: &[NamedKey], account: &AccountId) -> String {
    let Some(failed) = failed else {
        return "The cause is in the log of the rotation function.".to_owned();
    };
    let words = match failed.cause {
        FailureCause::NoFreeSlot => return no_free_slot(keys),
        FailureCause::MemberRoleDenied => {
            return format!("The rotation function cannot use its role in account {account}.");
        }
        FailureCause::DeniedByIam => return format!("IAM denied the rotation function a call in account {account}."),
        FailureCause::NoPendingValue => "The new version of the secret has no value yet.",
        FailureCause::NoCurrentValue => "The secret had no value at all, so its placeholder was put first.",
        FailureCause::ForeignValue => "The secret holds a value that is not a key of this user.",
        FailureCause::ForeignKmsKey => "Somebody encrypted the secret with another KMS key than keywheel's.",
        FailureCause::ForeignPolicy => {
            "The secret's resource policy is not keywheel's, so others might read the secret."
        }
        FailureCause::UserGone => "The user no longer exists.",
        FailureCause::UserExempt => "The user is in the exemption group.",
        FailureCause::NoActiveKey => "The user has no active access key, so no new key is made.",
        FailureCause::CurrentKeyNotListed => "IAM does not list the user's current key yet.",
        FailureCause::AnnouncementTooSlow => "AWS answered too slowly for a key to be made safely.",
        FailureCause::PendingKeyUnusable => {
            "The key of an earlier attempt was deleted or disabled before it became current."
        }
        FailureCause::WrongIdentity => "The key in the new version belongs to somebody else.",
        FailureCause::KeyNotUsableYet => "The new key did not work in time.",
        FailureCause::KmsKeyUnusable => "The KMS key of the secret cannot be used.",
        FailureCause::DeniedBySecretsManager => "Secrets Manager denied the rotation function a call.",
        FailureCause::Throttled => "AWS throttled the rotation function.",
        FailureCause::NoAnswer => "AWS did not answer the rotation function.",
        FailureCause::AwsCallFailed => "The log of the rotation function names the call to AWS that failed.",
    };
    words.to_owned()
}

/// Returns the cause with the names of all keys. IAM allows a user two, but users with more have been seen.
fn no_free_slot(keys: &[NamedKey]) -> String {
    let named: Vec<String> = keys.iter().map(ToString::to_string).collect();
    let keys = if named.is_empty() { String::new() } else { format!(": {}", named.join(" and ")) };
    format!("The user has as many access keys as IAM allows, and none can be removed without loss{keys}.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::KeyStatus;
    use crate::notify::fixtures::{account, key, now};
    use crate::state::Step;
    use crate::testing::version;

    #[test]
    fn on_aws_b1_every_cause_has_words_of_its_own() {
        let words: std::collections::BTreeSet<String> = FailureCause::ALL
            .into_iter()
            .map(|it| cause(Some(&FailedStep::new(it, Step::CreateSecret, &version(1), now())), &[], &account()))
            .chain([cause(None, &[], &account())])
            .collect();
        assert_eq!(words.len(), FailureCause::ALL.len() + 1, "{words:#?}");
        assert!(words.iter().all(|words| words.ends_with('.') && words.len() < 120), "{words:#?}");
    }

    #[test]
    fn on_aws_b1_a_full_user_has_its_keys_named() {
        let held = |n, status| NamedKey { id: key(n), status, created: now() };
        let keys = [held(1, KeyStatus::Active), held(2, KeyStatus::Other("`rm -rf /`".to_owned()))];
        let failed = FailedStep::new(FailureCause::NoFreeSlot, Step::CreateSecret, &version(1), now());
        assert_eq!(
            cause(Some(&failed), &keys, &account()),
            "The user has as many access keys as IAM allows, and none can be removed without loss: \
             AKIA0000000000000001 (active, made 2026-11-22) and AKIA0000000000000002 (of another status, made 2026-11-22)."
        );
    }
}
