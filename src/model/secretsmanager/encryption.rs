//! The KMS keys of secrets: under which keys a version is encrypted, and what is refused to a caller who cannot use
//! them.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use crate::model::answer::ServiceError;
use crate::model::kms::{DEFAULT_KEY, KmsKeyState, KmsUse};
use crate::model::secret::{CURRENT, PENDING, PREVIOUS, Secret, SecretLocation, Version};
use crate::model::signature::Caller;
use crate::model::state::World;

/// The key that a secret names: the ARN of a key, or the name of the key that Secrets Manager makes itself.
pub(super) fn key_of(world: &World, secret: &Secret) -> String {
    let named = secret
        .kms_key_id
        .as_deref()
        .and_then(|id| world.kms_keys.keys().find(|arn| *arn == id || arn.rsplit('/').next() == Some(id)).cloned());
    named.unwrap_or_else(|| DEFAULT_KEY.to_owned())
}

/// Fails unless the caller can encrypt a value of the secret. Returns the key.
pub(super) fn check_encrypt(world: &World, caller: &Caller, secret: &Secret) -> Result<String, ServiceError> {
    let key = key_of(world, secret);
    match world.kms_key_for(caller, &secret.account, &key, KmsUse::Encrypt) {
        KmsKeyState::Enabled => Ok(key),
        KmsKeyState::Denied => Err(denied()),
        KmsKeyState::Disabled | KmsKeyState::PendingDeletion => Err(ServiceError::new(
            400,
            "EncryptionFailure",
            "Secrets Manager can't encrypt the protected secret text using the provided KMS key. Check that the KMS key \
             is available, enabled, and not in an invalid state.",
        )),
    }
}

/// Fails unless the caller can decrypt the version with one of its keys.
/// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html>
pub(super) fn check_decrypt(
    world: &World,
    caller: &Caller,
    secret: &Secret,
    version: &Version,
) -> Result<(), ServiceError> {
    let found = |key: &String| world.kms_key_for(caller, &secret.account, key, KmsUse::Decrypt);
    let states: Vec<KmsKeyState> = version.kms_keys.iter().map(found).collect();
    if states.contains(&KmsKeyState::Enabled) {
        return Ok(());
    }
    if states.contains(&KmsKeyState::Denied) {
        return Err(denied());
    }
    let message = "Secrets Manager can't decrypt the protected secret text using the provided KMS key.";
    Err(ServiceError::new(400, "DecryptionFailure", message))
}

/// Encrypts the labelled versions under the secret's key as well; they stay readable under the keys before. A version
/// that the caller cannot decrypt, or not encrypt under the new key, stays as it is, and the call succeeds all the
/// same.
/// <https://docs.aws.amazon.com/secretsmanager/latest/userguide/manage_update-encryption-key.html>
/// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_UpdateSecret.html>
pub(super) fn encrypt_again(world: &mut World, caller: &Caller, location: &SecretLocation, now: DateTime<Utc>) {
    let Some(secret) = world.secret_at(location) else { return };
    let Ok(key) = check_encrypt(world, caller, secret) else { return };
    let is_labelled = |version: &Version| [CURRENT, PENDING, PREVIOUS].iter().any(|it| version.stages.contains(*it));
    let readable = secret.versions.iter().filter(|version| is_labelled(version));
    let readable = readable.filter(|version| check_decrypt(world, caller, secret, version).is_ok());
    let readable: Vec<String> = readable.map(|version| version.id.clone()).collect();
    let Some(secret) = world.change_secret(location, now) else { return };
    for version in secret.versions.iter_mut().filter(|version| readable.contains(&version.id)) {
        version.kms_keys.insert(key.clone());
    }
}

/// The keys of a new version of a secret with this key.
pub(super) fn keys_of_new_version(key: String) -> BTreeSet<String> {
    BTreeSet::from([key])
}

fn denied() -> ServiceError {
    ServiceError::new(400, "AccessDeniedException", "Access to KMS is not allowed")
}
