//! What keywheel asks Secrets Manager: the central store.

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use zeroize::Zeroizing;

use super::failure::CallFailure;
use crate::keys::{AccountId, SecretName, VersionId};

/// The staging label of the value that readers get.
pub(crate) const CURRENT: &str = "AWSCURRENT";
/// The staging label of the value that is being prepared.
pub(crate) const PENDING: &str = "AWSPENDING";
/// The staging label of the value before the current one; moved by the service.
pub(crate) const PREVIOUS: &str = "AWSPREVIOUS";

/// What a secret is, without its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretDescription {
    /// The whole ARN.
    pub arn: String,
    /// The name, and with it the user.
    pub name: SecretName,
    /// The KMS key as it was given; `None` for the AWS managed key.
    pub kms_key: Option<String>,
    /// Whether the native schedule runs.
    pub rotation_enabled: bool,
    /// The schedule and the function, whether it runs or not.
    pub schedule: RotationSchedule,
    /// When the schedule rotates at the latest; may lie in the past after failures.
    pub next_rotation: Option<DateTime<Utc>>,
    /// When it was scheduled for deletion to take place, or marked for it.
    pub deleted: Option<DateTime<Utc>>,
    /// Tags by name; those without a value, which say nothing, are left out.
    pub tags: BTreeMap<String, String>,
    /// Version ids with their staging labels.
    pub stages: BTreeMap<String, Vec<String>>,
}

impl SecretDescription {
    /// The version that holds a staging label.
    pub fn version_at(&self, stage: &str) -> Option<VersionId> {
        let holder = self.stages.iter().find(|(_, stages)| stages.iter().any(|label| label == stage))?;
        holder.0.parse().ok()
    }

    /// The version that is being prepared, if that is another than the current one.
    pub fn unfinished_version(&self) -> Option<VersionId> {
        self.version_at(PENDING).filter(|pending| Some(pending) != self.version_at(CURRENT).as_ref())
    }

    /// Whether it has a tag of that name whose value begins so.
    pub fn has_tag(&self, name: &str, prefix: &str) -> bool {
        self.tags.get(name).is_some_and(|value| value.starts_with(prefix))
    }

    /// Whether a version holds a staging label.
    pub fn is_staged(&self, version: &VersionId, stage: &str) -> bool {
        self.stages.get(version.as_str()).is_some_and(|stages| stages.iter().any(|label| label == stage))
    }
}

/// One page of a list of secrets. It may be empty and not the last one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SecretPage {
    /// Secrets.
    pub secrets: Vec<SecretDescription>,
    /// Where the next page starts; `None` after the last one.
    pub next: Option<String>,
}

/// How a secret is rotated.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RotationSchedule {
    /// The ARN of the rotation function.
    pub function: Option<String>,
    /// `AutomaticallyAfterDays`.
    pub days: Option<i64>,
    /// `ScheduleExpression`, which excludes the days.
    pub expression: Option<String>,
}

/// A secret to be made.
#[derive(Debug)]
pub struct NewSecret<'a> {
    /// Its name.
    pub name: &'a SecretName,
    /// The id of its first version.
    pub version: &'a VersionId,
    /// One line for people.
    pub description: String,
    /// The KMS key; the AWS managed key without one.
    pub kms_key: Option<&'a str>,
    /// Its first value. Not a secret: a placeholder.
    pub placeholder: String,
    /// Tags by name.
    pub tags: BTreeMap<String, String>,
}

/// The central store.
#[async_trait]
pub trait SecretStore: fmt::Debug + Send + Sync {
    /// What a secret is; `None` if there is none of that name or ARN. Also shows secrets scheduled for deletion.
    ///
    /// # Errors
    /// Any failure but "no such secret".
    async fn describe(&self, id: &str) -> Result<Option<SecretDescription>, CallFailure>;

    /// Secrets of one account's users, those scheduled for deletion too: a page, from the start or from where the page
    /// before ended. Whoever does not read on to the last page does not know of all. The list lags behind writes by up to
    /// five minutes.
    ///
    /// # Errors
    /// Any failure.
    async fn of_account(&self, account: &AccountId, from: Option<String>) -> Result<SecretPage, CallFailure>;

    /// The names of all secrets of keywheel's that have a tag of that name whose value begins so, over all pages, without
    /// those scheduled for deletion. The list lags behind writes by up to five minutes.
    /// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_ListSecrets.html>
    ///
    /// # Errors
    /// Any page's failure: a part of the secrets is not an answer.
    async fn names_with_tag(&self, tag: &str, prefix: &str) -> Result<Vec<SecretName>, CallFailure>;

    /// The value of one version at one stage; `None` if that version has no value (yet) or does not exist.
    ///
    /// # Errors
    /// Any failure but "no such value". A secret scheduled for deletion is a failure.
    async fn value(
        &self,
        id: &str,
        version: Option<&VersionId>,
        stage: Option<&str>,
    ) -> Result<Option<Zeroizing<String>>, CallFailure>;

    /// Puts a value into the version that a rotation prepares. The same value again is no change.
    ///
    /// # Errors
    /// Any failure; the version may hold the value all the same.
    async fn put_pending(
        &self,
        id: &str,
        version: &VersionId,
        value: &Zeroizing<String>,
        rotation_token: Option<&str>,
    ) -> Result<(), CallFailure>;

    /// Moves AWSCURRENT from one version to another. AWSPREVIOUS follows by itself.
    ///
    /// # Errors
    /// Any failure; the label may have moved all the same.
    async fn move_current(&self, id: &str, from: Option<&VersionId>, to: &VersionId) -> Result<(), CallFailure>;

    /// Takes AWSPENDING off a version that a cancelled rotation left behind.
    ///
    /// # Errors
    /// Any failure.
    async fn remove_pending(&self, id: &str, version: &VersionId) -> Result<(), CallFailure>;

    /// Makes a secret.
    ///
    /// # Errors
    /// Any failure; of kind `Conflict` if it exists already.
    async fn create(&self, secret: NewSecret<'_>) -> Result<(), CallFailure>;

    /// Sets tags; others stay. Safe to repeat.
    ///
    /// # Errors
    /// Any failure.
    async fn tag(&self, id: &str, tags: &BTreeMap<String, String>) -> Result<(), CallFailure>;

    /// Removes tags; missing ones are no error. Safe to repeat.
    ///
    /// # Errors
    /// Any failure.
    async fn untag(&self, id: &str, names: &[&str]) -> Result<(), CallFailure>;

    /// The resource policy; `None` if there is none.
    ///
    /// # Errors
    /// Any failure.
    async fn policy(&self, id: &str) -> Result<Option<String>, CallFailure>;

    /// Sets the resource policy; one that grants public access is refused. Safe to repeat.
    ///
    /// # Errors
    /// Any failure.
    async fn put_policy(&self, id: &str, policy: &str) -> Result<(), CallFailure>;

    /// Sets function and schedule, and starts a rotation at once if asked to. Without that, the service only tests
    /// the configuration.
    ///
    /// # Errors
    /// Any failure; `is_rotation_unfinished` tells that a rotation is under way already.
    async fn configure_rotation(
        &self,
        id: &str,
        function: &str,
        days: i64,
        rotate_now: bool,
    ) -> Result<(), CallFailure>;

    /// Starts a rotation at once. Function and schedule stay.
    ///
    /// # Errors
    /// Any failure; `is_rotation_unfinished` tells that a rotation is under way already.
    async fn rotate(&self, id: &str) -> Result<(), CallFailure>;

    /// Switches the native schedule off. Safe to repeat.
    ///
    /// # Errors
    /// Any failure.
    async fn cancel_rotation(&self, id: &str) -> Result<(), CallFailure>;

    /// Re-encrypts with another KMS key.
    ///
    /// # Errors
    /// Any failure.
    async fn set_kms_key(&self, id: &str, kms_key: &str) -> Result<(), CallFailure>;

    /// Schedules a secret for deletion; it can be restored for that many days.
    ///
    /// # Errors
    /// Any failure.
    async fn schedule_deletion(&self, id: &str, recovery_window_days: i64) -> Result<(), CallFailure>;

    /// Takes a scheduled deletion back. Safe to repeat.
    ///
    /// # Errors
    /// Any failure.
    async fn restore(&self, id: &str) -> Result<(), CallFailure>;
}

/// Whether RotateSecret was refused because an earlier rotation is not finished; the service tries that one again.
/// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_RotateSecret.html>
pub(crate) fn is_rotation_unfinished(failure: &CallFailure) -> bool {
    failure.code() == "InvalidRequestException" && failure.message().contains("previous rotation")
}
