//! The KMS keys of secrets: under which keys a version is encrypted, and what is refused once they cannot be used.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::answer::ServiceError;
use crate::model::secret::{CURRENT, KmsKeyState, PENDING, PREVIOUS, Secret, Version};
use crate::model::state::World;

/// The key that Secrets Manager makes itself; it cannot serve other accounts.
pub(super) const DEFAULT_KEY: &str = "alias/aws/secretsmanager";

/// The ARN of the key that a secret names; `None` for the key that Secrets Manager makes itself.
pub(super) fn key_of(world: &World, secret: &Secret) -> Option<String> {
    let id = secret.kms_key_id.as_deref().filter(|id| *id != DEFAULT_KEY)?;
    world.kms_keys.keys().find(|arn| *arn == id || arn.rsplit('/').next() == Some(id)).cloned()
}

/// Fails unless a value can be encrypted under the key. A key that the model does not know is the default key.
pub(super) fn check_encrypt(world: &World, key: Option<&str>) -> Result<(), ServiceError> {
    match state(world, key) {
        KmsKeyState::Enabled => Ok(()),
        KmsKeyState::Denied => Err(denied()),
        KmsKeyState::Disabled | KmsKeyState::PendingDeletion => Err(ServiceError::new(
            400,
            "EncryptionFailure",
            "Secrets Manager can't encrypt the protected secret text using the provided KMS key. Check that the KMS key \
             is available, enabled, and not in an invalid state.",
        )),
    }
}

/// Fails unless one of the version's keys can decrypt its value.
/// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html>
pub(super) fn check_decrypt(world: &World, version: &Version) -> Result<(), ServiceError> {
    let states: Vec<KmsKeyState> = version.kms_keys.iter().map(|key| state(world, Some(key))).collect();
    if states.is_empty() || states.contains(&KmsKeyState::Enabled) {
        return Ok(());
    }
    if states.contains(&KmsKeyState::Denied) {
        return Err(denied());
    }
    let message = "Secrets Manager can't decrypt the protected secret text using the provided KMS key.";
    Err(ServiceError::new(400, "DecryptionFailure", message))
}

/// Encrypts the labelled versions under one more key. A version that cannot be decrypted stays as it is, and the call
/// succeeds all the same.
/// <https://docs.aws.amazon.com/secretsmanager/latest/userguide/manage_update-encryption-key.html>
pub(super) fn encrypt_again(secret: &mut Secret, key: Option<&str>, keys: &BTreeMap<String, KmsKeyState>) {
    let is_labelled = |version: &Version| [CURRENT, PENDING, PREVIOUS].iter().any(|it| version.stages.contains(*it));
    let works = |key: &String| keys.get(key).is_none_or(|state| *state == KmsKeyState::Enabled);
    for version in secret.versions.iter_mut().filter(|version| is_labelled(version)) {
        match key {
            // The default key decrypts what it could read.
            None if version.kms_keys.iter().any(works) => version.kms_keys.clear(),
            Some(key) if version.kms_keys.iter().any(works) => drop(version.kms_keys.insert(key.to_owned())),
            _ => {}
        }
    }
}

/// The keys of a new version of a secret with this key.
pub(super) fn keys_of_new_version(key: Option<String>) -> BTreeSet<String> {
    key.into_iter().collect()
}

fn state(world: &World, key: Option<&str>) -> KmsKeyState {
    key.and_then(|key| world.kms_keys.get(key)).copied().unwrap_or(KmsKeyState::Enabled)
}

fn denied() -> ServiceError {
    ServiceError::new(400, "AccessDeniedException", "Access to KMS is not allowed")
}
