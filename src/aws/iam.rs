//! The calls to IAM, in one account.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use zeroize::ZeroizeOnDrop;

use super::credential_report::CredentialReport;
use super::failure::CallFailure;
use crate::keys::{AccessKeyId, AccountId, KeyStatus, KeyUse, SecretKey, UserArn, UserName};

/// A user, as GetAccountAuthorizationDetails or GetUser returns it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedUser {
    /// The user's ARN; it includes the path.
    pub arn: UserArn,
    /// Unique id, `AIDA…`. A user that is deleted and created again gets a new one.
    pub id: String,
    /// Tag values by tag name.
    pub tags: BTreeMap<String, String>,
    /// Names of the groups that the user is in; always empty from [`Iam::find_user`], which does not read them.
    pub groups: BTreeSet<String>,
}

impl ListedUser {
    /// Returns the value of a tag, whose name is compared ignoring case: IAM takes `Owner` and `owner` for one name.
    /// <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_tags.html>
    pub(crate) fn tag(&self, name: &str) -> Option<&str> {
        let name = name.to_lowercase();
        self.tags.iter().find(|(known, _)| known.to_lowercase() == name).map(|(_, value)| value.as_str())
    }
}

/// A user in a list whose entry cannot be read, for example because its ARN holds a control character.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadableUser {
    /// The user's name; `None` if it cannot be read either.
    pub name: Option<UserName>,
    /// The reason, for the report.
    pub why: CallFailure,
}

/// One page of an account's users and groups.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AccountDetails {
    /// Users of this page; may be empty on any page.
    pub users: Vec<ListedUser>,
    /// Users of this page whose entry cannot be read. They exist, and nothing else is known of them.
    pub unreadable: Vec<UnreadableUser>,
    /// Names of the account's groups on this page.
    pub groups: BTreeSet<String>,
    /// Marker of the next page; `None` on the last page only.
    pub next: Option<String>,
}

/// A credential report and its age.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatedReport {
    /// When IAM generated the report. It shows no later change.
    pub made_at: DateTime<Utc>,
    /// Users with the dates and last uses of their keys.
    pub content: CredentialReport,
}

/// Whether a group is among these, ignoring case. Names of IAM groups are unique regardless of case, and a setting may
/// spell the name differently.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>
pub(crate) fn has_group(groups: &BTreeSet<String>, name: &str) -> bool {
    groups.iter().any(|group| group.eq_ignore_ascii_case(name))
}

/// Whether `GetCredentialReport` failed because no report exists, the last one is too old, or IAM is still generating
/// it.
/// <https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetCredentialReport.html>
pub(crate) fn is_report_unavailable(failure: &CallFailure) -> bool {
    ["ReportNotPresent", "ReportExpired", "ReportInProgress"].iter().any(|code| failure.code().contains(code))
}

/// Whether `GenerateCredentialReport` failed because IAM cannot generate any more reports at the moment ("No more
/// capacity to launch new report generation tasks"). The limit is not documented, and the SDK does not treat it as
/// throttling.
/// <https://docs.aws.amazon.com/IAM/latest/APIReference/API_GenerateCredentialReport.html>
pub(crate) fn is_report_capacity_exhausted(failure: &CallFailure) -> bool {
    failure.code().starts_with("LimitExceeded")
}

/// An access key, as ListAccessKeys returns it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedKey {
    /// `AKIA…`.
    pub id: AccessKeyId,
    /// Active, inactive, or a status that keywheel does not know.
    pub status: KeyStatus,
    /// Creation time by IAM's clock, in whole seconds.
    pub created: DateTime<Utc>,
}

/// A new access key, as CreateAccessKey returns it. IAM returns the secret key this one time only.
#[derive(Debug)]
pub struct NewKey {
    /// `AKIA…`.
    pub id: AccessKeyId,
    /// The secret key; wiped from memory on drop.
    pub secret: SecretKey,
    /// Creation time by IAM's clock; `None` if the response has none.
    pub created: Option<DateTime<Utc>>,
}

/// `secret` is the only field that has to be wiped, and it wipes itself.
impl ZeroizeOnDrop for NewKey {}

/// IAM in one account. Errors name the call and the resource; each method documents only its own cases.
#[async_trait]
pub trait Iam: fmt::Debug + Send + Sync {
    /// The account in which these calls are made.
    fn account(&self) -> &AccountId;

    /// Returns the time by IAM's clock, which also sets the keys' creation times: from the `Date` header of the last
    /// response, or by our own clock before the first response. It is never ahead of IAM's clock, and at most one
    /// second behind it.
    fn now(&self) -> DateTime<Utc>;

    /// Returns a page of at most `at_most` users and groups, 1 to 1,000, users with their tags and group names. `from`
    /// is the marker of the page before; `None` starts the list. Only a caller that reads the last page knows all
    /// users. Safe to repeat.
    /// <https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetAccountAuthorizationDetails.html>
    ///
    /// # Errors
    /// Any failure; also a response about another account, which means that `PRIMARY_ACCOUNT_ID` is wrong. An entry of
    /// one user that cannot be read is no failure of the page.
    async fn account_details(&self, from: Option<String>, at_most: usize) -> Result<AccountDetails, CallFailure>;

    /// Starts the generation of a credential report and returns whether a report can be read now. Generation takes
    /// seconds, so the caller repeats this call. IAM keeps a report for four hours before it generates another. Returns
    /// `false` also while IAM has no capacity for more reports. Safe to repeat.
    /// <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_getting-report.html>
    ///
    /// # Errors
    /// Any failure except the missing capacity.
    async fn request_report(&self) -> Result<bool, CallFailure>;

    /// Returns the credential report; `None` if there is none, it has expired, or IAM is still generating it. Safe to
    /// repeat.
    ///
    /// # Errors
    /// Any other failure; also a report that cannot be read.
    async fn credential_report(&self) -> Result<Option<DatedReport>, CallFailure>;

    /// Returns a user with its tags and without its groups; `None` if no user has exactly this name. Safe to repeat.
    ///
    /// IAM ignores case when it looks up a user. A user with the same name in different case was created after the
    /// named user was deleted, and has a secret of its own.
    /// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>
    ///
    /// # Errors
    /// Any failure except "no such user".
    async fn find_user(&self, name: &UserName) -> Result<Option<ListedUser>, CallFailure>;

    /// Returns the names of all groups that a user is in. Safe to repeat.
    ///
    /// # Errors
    /// Any failure; "no such user" is one.
    async fn groups_of(&self, name: &UserName) -> Result<BTreeSet<String>, CallFailure>;

    /// Returns the access keys of the user with exactly this name, oldest first. Safe to repeat.
    ///
    /// Keys of a user whose name differs in case belong to another user, as [`Iam::find_user`] explains, and are an
    /// error. Without keys the response does not show the user's spelling, and the list is empty.
    ///
    /// # Errors
    /// Any failure; "no such user" is one.
    async fn access_keys(&self, name: &UserName) -> Result<Vec<ListedKey>, CallFailure>;

    /// Returns the last use of an access key; `None` if IAM has recorded none. Safe to repeat.
    /// <https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetAccessKeyLastUsed.html>
    ///
    /// # Errors
    /// Any failure. The last use is unknown then, which is not the same as "never".
    async fn last_use(&self, id: &AccessKeyId) -> Result<Option<KeyUse>, CallFailure>;

    /// Creates an access key in a single attempt that times out after `within`. Not safe to repeat: each success
    /// creates a key. The SDK does not retry it, because a retry after a lost response would create a second key.
    ///
    /// # Errors
    /// Any failure. After [`NoAnswer`](super::FailureKind::NoAnswer) a key may exist. `Conflict` means that the user
    /// has two keys already.
    async fn create_access_key(&self, name: &UserName, within: Duration) -> Result<NewKey, CallFailure>;

    /// Sets an access key to inactive. Safe to repeat.
    ///
    /// # Errors
    /// Any failure; "no such key" is one. After `NoAnswer` the key may be inactive.
    async fn disable_access_key(&self, name: &UserName, id: &AccessKeyId) -> Result<(), CallFailure>;

    /// Deletes an access key permanently. Safe to repeat: a key that does not exist counts as deleted.
    ///
    /// # Errors
    /// Any failure except "no such key". After `NoAnswer` the key may be deleted.
    async fn delete_access_key(&self, name: &UserName, id: &AccessKeyId) -> Result<(), CallFailure>;

    /// Adds a user to a group. Safe to repeat.
    ///
    /// # Errors
    /// Any failure; "no such group" and "no such user" are failures. After `NoAnswer` the user may be in the group.
    async fn add_to_group(&self, group: &str, name: &UserName) -> Result<(), CallFailure>;
}
