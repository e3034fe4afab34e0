//! The calls to Secrets Manager, which is the central store of secrets.

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use zeroize::Zeroizing;

use super::failure::{CallFailure, FailureKind};
use crate::keys::{AccountId, SecretName, VersionId};

/// Staging label of the version that readers get.
pub(crate) const CURRENT: &str = "AWSCURRENT";
/// Staging label of the version that a rotation prepares.
pub(crate) const PENDING: &str = "AWSPENDING";
/// Staging label of the version before the current one. Secrets Manager moves it whenever AWSCURRENT moves.
pub(crate) const PREVIOUS: &str = "AWSPREVIOUS";

/// A secret without its value, as DescribeSecret or ListSecrets returns it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretDescription {
    /// Complete ARN, with the random suffix of six characters.
    pub arn: String,
    /// Name, which contains the account and the user.
    pub name: SecretName,
    /// KMS key in the form in which it was set (ARN, id or alias); `None` for the AWS managed key.
    pub kms_key: Option<String>,
    /// Whether the native rotation schedule is on.
    pub rotation_enabled: bool,
    /// Rotation schedule and function; both stay on record while the schedule is off.
    pub schedule: RotationSchedule,
    /// Latest time of the next rotation; may be in the past after failed rotations. `None` if none is planned.
    pub next_rotation: Option<DateTime<Utc>>,
    /// `DeletedDate`, which is set while the secret is scheduled for deletion. `None` for a secret in use.
    pub deleted: Option<DateTime<Utc>>,
    /// Other Regions with a replica of this secret; no list shows them.
    pub replicas: Vec<String>,
    /// Region of the primary secret; `None` if the secret is not replicated.
    pub primary_region: Option<String>,
    /// Tag values by tag name; tags with an empty value are left out, because keywheel writes none.
    pub tags: BTreeMap<String, String>,
    /// Staging labels by version id.
    pub stages: BTreeMap<String, Vec<String>>,
}

impl SecretDescription {
    /// Returns the version with a staging label; `None` if no version has it.
    pub fn version_at(&self, stage: &str) -> Option<VersionId> {
        let holder = self.stages.iter().find(|(_, stages)| stages.iter().any(|label| label == stage))?;
        holder.0.parse().ok()
    }

    /// Returns the version of an unfinished rotation: the pending version, unless it is the current one too.
    pub fn unfinished_version(&self) -> Option<VersionId> {
        self.version_at(PENDING).filter(|pending| Some(pending) != self.version_at(CURRENT).as_ref())
    }

    /// Returns the Region of the primary secret if this secret is its replica, which takes no writes.
    pub fn replica_of(&self) -> Option<&str> {
        self.primary_region.as_deref().filter(|primary| self.arn.split(':').nth(3) != Some(*primary))
    }

    /// Whether the secret has a tag with this name and a value that starts with `prefix`.
    pub fn has_tag(&self, name: &str, prefix: &str) -> bool {
        self.tags.get(name).is_some_and(|value| value.starts_with(prefix))
    }

    /// Whether a version has a staging label.
    pub fn is_staged(&self, version: &VersionId, stage: &str) -> bool {
        self.stages.get(version.as_str()).is_some_and(|stages| stages.iter().any(|label| label == stage))
    }
}

/// One page of a list of secrets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SecretPage {
    /// Secrets of this page; may be empty on any page.
    pub secrets: Vec<SecretDescription>,
    /// Names of secrets whose entry cannot be read. They exist, and nothing else is known of them.
    pub unreadable: Vec<SecretName>,
    /// Token of the next page; `None` on the last page only.
    pub next: Option<String>,
}

/// When a secret is rotated, and by which function.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RotationSchedule {
    /// ARN of the rotation function; `None` if rotation was never configured.
    pub function: Option<String>,
    /// `AutomaticallyAfterDays`; `None` if the schedule is an expression.
    pub days: Option<i64>,
    /// `ScheduleExpression`; `None` if the schedule is a number of days.
    pub expression: Option<String>,
}

/// A secret to create.
#[derive(Debug)]
pub struct NewSecret<'a> {
    /// Name, made from the account and the user.
    pub name: &'a SecretName,
    /// Id of the first version, and the idempotency token of the request.
    pub version: &'a VersionId,
    /// Description that the console shows.
    pub description: String,
    /// KMS key; `None` for the AWS managed key.
    pub kms_key: Option<&'a str>,
    /// First value: a placeholder, which contains no secret key.
    pub placeholder: String,
    /// Tag values by tag name.
    pub tags: BTreeMap<String, String>,
}

/// The central store of secrets. Each `id` is the name or the ARN of a secret.
///
/// Every write may have taken effect although it failed with [`NoAnswer`](super::FailureKind::NoAnswer). For seconds
/// after CreateSecret, calls on the new secret may fail with `NotFound`.
#[async_trait]
pub trait SecretStore: fmt::Debug + Send + Sync {
    /// Returns a secret without its value, also while it is scheduled for deletion; `None` if it does not exist. Safe
    /// to repeat.
    ///
    /// # Errors
    /// Any failure except "no such secret".
    async fn describe(&self, id: &str) -> Result<Option<SecretDescription>, CallFailure>;

    /// Returns a page of the secrets of one account's users, including secrets scheduled for deletion. `from` is the
    /// token in the page before; `None` starts the list. Only a caller that reads the last page knows all secrets. The
    /// list lags up to five minutes behind writes. Safe to repeat.
    /// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_ListSecrets.html>
    ///
    /// # Errors
    /// Any failure.
    async fn of_account(&self, account: &AccountId, from: Option<String>) -> Result<SecretPage, CallFailure>;

    /// Returns a page of the secrets of all accounts' users, without secrets scheduled for deletion. `from` and the lag
    /// are as for [`SecretStore::of_account`]. Safe to repeat.
    /// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_ListSecrets.html>
    ///
    /// # Errors
    /// Any failure.
    async fn of_all_accounts(&self, from: Option<String>) -> Result<SecretPage, CallFailure>;

    /// Returns the names of all keywheel secrets that have a tag with this name and a value that starts with `prefix`,
    /// without secrets scheduled for deletion. The list lags up to five minutes behind writes. Safe to repeat.
    /// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_ListSecrets.html>
    ///
    /// # Errors
    /// The failure of any page; a part of the list is never returned.
    async fn names_with_tag(&self, tag: &str, prefix: &str) -> Result<Vec<SecretName>, CallFailure>;

    /// Returns the value of a version, chosen by id, by staging label, or by both; `None` if the secret or the version
    /// does not exist, or if the version has no value yet. Safe to repeat.
    ///
    /// # Errors
    /// Any failure except "not found". A secret scheduled for deletion fails. `is_binary_value` recognizes a binary
    /// value, and `is_kms_refusal` a value that no usable KMS key decrypts.
    async fn value(
        &self,
        id: &str,
        version: Option<&VersionId>,
        stage: Option<&str>,
    ) -> Result<Option<Zeroizing<String>>, CallFailure>;

    /// Returns when a version with a staging label was registered, which for a pending version is when its rotation
    /// began; `None` if no such version has a label. Safe to repeat.
    /// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_ListSecretVersionIds.html>
    ///
    /// # Errors
    /// Any failure.
    async fn registered_at(&self, id: &str, version: &VersionId) -> Result<Option<DateTime<Utc>>, CallFailure>;

    /// Puts a value into the pending version of a rotation. Repeating it with the same value changes nothing; another
    /// value for the same version fails with `Conflict`. The rotation token is required if Secrets Manager sent one.
    /// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_PutSecretValue.html>
    ///
    /// # Errors
    /// Any failure. After `NoAnswer` the version may have the value.
    async fn put_pending(
        &self,
        id: &str,
        version: &VersionId,
        value: &Zeroizing<String>,
        rotation_token: Option<&str>,
    ) -> Result<(), CallFailure>;

    /// Puts the first value of a secret that has none, which becomes the current one. Repeating it with the same value
    /// changes nothing.
    /// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_PutSecretValue.html>
    ///
    /// # Errors
    /// Any failure. After `NoAnswer` the value may have been put.
    async fn put_first(&self, id: &str, version: &VersionId, placeholder: &str) -> Result<(), CallFailure>;

    /// Moves AWSCURRENT from one version to another; Secrets Manager then moves AWSPREVIOUS.
    /// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_UpdateSecretVersionStage.html>
    ///
    /// # Errors
    /// Any failure; also if `from` does not have the label, as on a repetition. After `NoAnswer` the label may have
    /// moved.
    async fn move_current(&self, id: &str, from: Option<&VersionId>, to: &VersionId) -> Result<(), CallFailure>;

    /// Removes AWSPENDING from the version of a rotation that was cancelled or abandoned.
    ///
    /// # Errors
    /// Any failure; also if the version does not have the label.
    async fn remove_pending(&self, id: &str, version: &VersionId) -> Result<(), CallFailure>;

    /// Creates a secret. Repeating it with the same version id and placeholder changes nothing.
    /// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_CreateSecret.html>
    ///
    /// # Errors
    /// Any failure; `Conflict` if a secret of this name exists.
    async fn create(&self, secret: NewSecret<'_>) -> Result<(), CallFailure>;

    /// Sets tags and keeps all others. Makes no call without tags. Safe to repeat.
    ///
    /// # Errors
    /// Any failure.
    async fn tag(&self, id: &str, tags: &BTreeMap<String, String>) -> Result<(), CallFailure>;

    /// Removes tags; a missing tag is no error. Makes no call without names. Safe to repeat.
    ///
    /// # Errors
    /// Any failure.
    async fn untag(&self, id: &str, names: &[&str]) -> Result<(), CallFailure>;

    /// Returns the resource policy as JSON; `None` if the secret has none. Safe to repeat.
    ///
    /// # Errors
    /// Any failure; "no such secret" is one.
    async fn policy(&self, id: &str) -> Result<Option<String>, CallFailure>;

    /// Sets the resource policy. Secrets Manager rejects a policy that grants public access (`BlockPublicPolicy`). Safe
    /// to repeat.
    ///
    /// # Errors
    /// Any failure.
    async fn put_policy(&self, id: &str, policy: &str) -> Result<(), CallFailure>;

    /// Sets the rotation function and a schedule in days. With `rotate_now` it starts a rotation; without it Secrets
    /// Manager only runs testSecret. A repetition may start another rotation.
    /// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_RotateSecret.html>
    ///
    /// # Errors
    /// Any failure; `is_rotation_unfinished` recognizes an earlier rotation that is not finished.
    async fn configure_rotation(
        &self,
        id: &str,
        function: &str,
        days: i64,
        rotate_now: bool,
    ) -> Result<(), CallFailure>;

    /// Starts a rotation and keeps function and schedule. A repetition may start another rotation.
    ///
    /// # Errors
    /// Any failure; `is_rotation_unfinished` recognizes an earlier rotation that is not finished.
    async fn rotate(&self, id: &str) -> Result<(), CallFailure>;

    /// Turns the native schedule off and cancels a rotation that is under way. Safe to repeat.
    /// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_CancelRotateSecret.html>
    ///
    /// # Errors
    /// Any failure.
    async fn cancel_rotation(&self, id: &str) -> Result<(), CallFailure>;

    /// Sets the KMS key, and re-encrypts the current, pending and previous versions with it. Safe to repeat.
    /// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_UpdateSecret.html>
    ///
    /// # Errors
    /// Any failure.
    async fn set_kms_key(&self, id: &str, kms_key: &str) -> Result<(), CallFailure>;

    /// Deletes the replicas of a secret in these Regions. Secrets Manager does so within seconds. Safe to repeat.
    /// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_RemoveRegionsFromReplication.html>
    ///
    /// # Errors
    /// Any failure.
    async fn remove_replicas(&self, id: &str, regions: &[String]) -> Result<(), CallFailure>;

    /// Schedules a secret for deletion. It can be restored for `recovery_window_days` days, 7 to 30.
    /// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_DeleteSecret.html>
    ///
    /// # Errors
    /// Any failure.
    async fn schedule_deletion(&self, id: &str, recovery_window_days: i64) -> Result<(), CallFailure>;

    /// Cancels a scheduled deletion. Safe to repeat.
    ///
    /// # Errors
    /// Any failure.
    async fn restore(&self, id: &str) -> Result<(), CallFailure>;
}

/// Whether RotateSecret failed because an earlier rotation is not finished; Secrets Manager then retries that rotation.
/// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_RotateSecret.html>
pub(crate) fn is_rotation_unfinished(failure: &CallFailure) -> bool {
    failure.code() == "InvalidRequestException" && failure.message().contains("previous rotation")
}

const BINARY_VALUE: &str = "BinaryValue";

/// The failure for a version whose value is binary: keywheel's values are text.
pub(crate) fn binary_value(operation: &'static str, id: &str) -> CallFailure {
    let error = (BINARY_VALUE.to_owned(), "the value is binary, not text".to_owned());
    CallFailure::new(operation, id, FailureKind::Refused, error, None)
}

/// Whether a value could not be read because it is binary.
pub(crate) fn is_binary_value(failure: &CallFailure) -> bool {
    failure.code() == BINARY_VALUE
}

/// Whether Secrets Manager could not use the KMS key of the secret: the key is disabled, pending deletion, deleted, or
/// its policy does not allow the caller.
///
/// The API reference names `DecryptionFailure` and `EncryptionFailure`. AWS also returns errors of other codes, whose
/// text names KMS or the key, such as `Access to KMS is not allowed`.
/// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html>
pub(crate) fn is_kms_refusal(failure: &CallFailure) -> bool {
    let (code, message) = (failure.code(), failure.message());
    let is_named =
        code.starts_with("DecryptionFailure") || code.starts_with("EncryptionFailure") || code.starts_with("KMS");
    let is_described = message.contains("KMS") || message.contains("kms:");
    failure.operation().starts_with("secretsmanager:") && (is_named || is_described)
}
