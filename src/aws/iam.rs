//! What keywheel asks IAM of one account.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use zeroize::ZeroizeOnDrop;

use super::credential_report::CredentialReport;
use super::failure::CallFailure;
use crate::keys::{AccessKeyId, AccountId, KeyStatus, KeyUse, SecretKey, UserArn, UserName};

/// A user, with what GetAccountAuthorizationDetails or GetUser tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedUser {
    /// The user's ARN, path included.
    pub arn: UserArn,
    /// `AIDA…`: another one after the user was deleted and made again.
    pub id: String,
    /// Tags by name.
    pub tags: BTreeMap<String, String>,
    /// Names of the groups that the user is in; empty when they were not asked for.
    pub groups: BTreeSet<String>,
}

/// One page of an account's users and groups.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AccountDetails {
    /// Users.
    pub users: Vec<ListedUser>,
    /// Names of groups.
    pub groups: BTreeSet<String>,
    /// Where the next page starts; `None` after the last one.
    pub next: Option<String>,
}

/// A credential report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatedReport {
    /// When it was made. It tells nothing of what happened after that.
    pub made_at: DateTime<Utc>,
    /// What is in it.
    pub content: CredentialReport,
}

/// Whether a group is among these. IAM does not tell groups apart by the capitals of their names, and a setting that
/// names one may be written otherwise.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>
pub(crate) fn has_group(groups: &BTreeSet<String>, name: &str) -> bool {
    groups.iter().any(|group| group.eq_ignore_ascii_case(name))
}

/// Whether `GetCredentialReport` failed because there is no report that can be read, yet or any more.
/// <https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetCredentialReport.html>
pub(crate) fn is_report_unavailable(failure: &CallFailure) -> bool {
    ["ReportNotPresent", "ReportExpired", "ReportInProgress"].iter().any(|code| failure.code().contains(code))
}

/// Whether `GenerateCredentialReport` failed because IAM makes as many reports as it can at the moment ("No more capacity
/// to launch new report generation tasks"). That limit has no number, and the SDK does not take it for throttling.
/// <https://docs.aws.amazon.com/IAM/latest/APIReference/API_GenerateCredentialReport.html>
pub(crate) fn is_report_capacity_exhausted(failure: &CallFailure) -> bool {
    failure.code().starts_with("LimitExceeded")
}

/// A key as ListAccessKeys shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedKey {
    /// Its id.
    pub id: AccessKeyId,
    /// Whether it can be used.
    pub status: KeyStatus,
    /// When it was made.
    pub created: DateTime<Utc>,
}

/// A key just made. The only moment at which IAM tells its secret.
#[derive(Debug)]
pub struct NewKey {
    /// Its id.
    pub id: AccessKeyId,
    /// Its secret.
    pub secret: SecretKey,
    /// When it was made.
    pub created: Option<DateTime<Utc>>,
}

/// Its only secret wipes itself.
impl ZeroizeOnDrop for NewKey {}

/// IAM of one account.
#[async_trait]
pub trait Iam: fmt::Debug + Send + Sync {
    /// The account that these calls act in.
    fn account(&self) -> &AccountId;

    /// The time by IAM's own clock, which dates the keys: as its last answer told it, and by our clock before the first
    /// one. Never ahead of IAM's, and behind it by a second at most.
    fn now(&self) -> DateTime<Utc>;

    /// Users with their tags and groups, and groups: a page of up to 1,000 of them, from the start or from where the page
    /// before ended. Whoever does not read on to the last page does not know of all.
    ///
    /// # Errors
    /// Any failure.
    async fn account_details(&self, from: Option<String>) -> Result<AccountDetails, CallFailure>;

    /// Asks IAM for a credential report and answers whether there is one to read. IAM makes one at most every four hours,
    /// within seconds; until then it is asked again, as it is where IAM makes too many others to begin with this one. Safe
    /// to repeat.
    /// <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_getting-report.html>
    ///
    /// # Errors
    /// Any failure but that there are too many others.
    async fn request_report(&self) -> Result<bool, CallFailure>;

    /// The credential report; `None` while there is none that IAM gives out.
    ///
    /// # Errors
    /// Any failure but "not present", "expired" and "not ready"; a report that cannot be read.
    async fn credential_report(&self) -> Result<Option<DatedReport>, CallFailure>;

    /// One user with its tags, without its groups; `None` if there is none of exactly that name.
    ///
    /// IAM finds a user whatever the capitals. One that is written otherwise was made after the one that is asked for
    /// was deleted, and has a secret of its own.
    /// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>
    ///
    /// # Errors
    /// Any failure but "no such user".
    async fn find_user(&self, name: &UserName) -> Result<Option<ListedUser>, CallFailure>;

    /// The names of all groups that a user is in.
    ///
    /// # Errors
    /// Any failure, "no such user" included.
    async fn groups_of(&self, name: &UserName) -> Result<BTreeSet<String>, CallFailure>;

    /// The keys of the user of exactly that name, oldest first.
    ///
    /// Keys of a user who is written otherwise are another's, as [`Iam::find_user`] says. Where there is no key, nothing
    /// tells the spelling.
    ///
    /// # Errors
    /// Any failure, "no such user" included.
    async fn access_keys(&self, name: &UserName) -> Result<Vec<ListedKey>, CallFailure>;

    /// The last use of the key on record; `None` if there is none.
    ///
    /// # Errors
    /// Any failure: not knowing is not "never".
    async fn last_use(&self, id: &AccessKeyId) -> Result<Option<KeyUse>, CallFailure>;

    /// Makes a key, in one attempt that is given up after that time. Never retried below this: a second attempt after a
    /// lost answer would make a second key.
    ///
    /// # Errors
    /// Any failure. After [`super::FailureKind::NoAnswer`] a key may exist.
    async fn create_access_key(&self, name: &UserName, within: Duration) -> Result<NewKey, CallFailure>;

    /// Disables a key. Safe to repeat.
    ///
    /// # Errors
    /// Any failure, "no such key" included.
    async fn disable_access_key(&self, name: &UserName, id: &AccessKeyId) -> Result<(), CallFailure>;

    /// Deletes a key for good. A key that is gone already is success.
    ///
    /// # Errors
    /// Any failure but "no such key".
    async fn delete_access_key(&self, name: &UserName, id: &AccessKeyId) -> Result<(), CallFailure>;

    /// Puts a user into a group. Safe to repeat.
    ///
    /// # Errors
    /// Any failure, "no such group" included.
    async fn add_to_group(&self, group: &str, name: &UserName) -> Result<(), CallFailure>;
}
