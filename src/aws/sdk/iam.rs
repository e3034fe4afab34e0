//! The calls to IAM in one account, through the SDK.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_iam::types::{AccessKeyMetadata, EntityType, ReportStateType, StatusType, Tag, UserDetail};
use chrono::{DateTime, Utc};

use super::failure::OrFailure;
use super::retry::own_quota;
use super::time::{ServerClock, utc};
use super::whole::WholeAnswer;
use crate::aws::credential_report::CredentialReport;
use crate::aws::failure::CallFailure;
use crate::aws::iam::{
    AccountDetails, DatedReport, Iam, ListedKey, ListedUser, NewKey, UnreadableUser, is_report_capacity_exhausted,
    is_report_unavailable,
};
use crate::aws::pages::PageTokens;
use crate::keys::{AccessKeyId, AccountId, InvalidName, KeyStatus, KeyUse, SecretKey, UserArn, UserName, UserRef};

/// Items of one page: the maximum that IAM accepts, to make few calls.
/// <https://docs.aws.amazon.com/IAM/latest/APIReference/API_ListGroupsForUser.html>
const PAGE_SIZE: i32 = 1000;

#[derive(Debug, Clone)]
pub(super) struct SdkIam {
    client: aws_sdk_iam::Client,
    account: AccountId,
    clock: ServerClock,
}

impl SdkIam {
    pub(super) fn new(config: &SdkConfig, account: AccountId) -> Self {
        let clock = ServerClock::new(config.time_source().unwrap_or_default());
        let quota = own_quota(format!("iam-{account}"));
        let config = aws_sdk_iam::config::Builder::from(config).retry_partition(quota);
        let config = config.interceptor(clock.clone()).interceptor(WholeAnswer::Xml).build();
        Self { client: aws_sdk_iam::Client::from_conf(config), account, clock }
    }

    fn user(&self, name: &UserName) -> UserRef {
        UserRef { account: self.account.clone(), name: name.clone() }
    }

    /// Fails if a user is in another account than expected. With a wrong `PRIMARY_ACCOUNT_ID` keywheel would assume no
    /// role and would take one account's users for another's.
    fn check_account(&self, operation: &'static str, arn: &UserArn) -> Result<(), CallFailure> {
        if arn.user().account == self.account {
            return Ok(());
        }
        let missing = format!("user: {arn} is in another account; check PRIMARY_ACCOUNT_ID");
        Err(CallFailure::incomplete(operation, format!("account {}", self.account), &missing))
    }

    /// A key in the list of the user with exactly this name.
    fn listed_key(&self, name: &UserName, key: AccessKeyMetadata) -> Result<ListedKey, CallFailure> {
        const OPERATION: &str = "iam:ListAccessKeys";
        let incomplete = |missing| CallFailure::incomplete(OPERATION, self.user(name), missing);
        let owner = key.user_name.as_deref().ok_or_else(|| incomplete("user name"))?;
        if owner != name.as_str() {
            return Err(CallFailure::other_user(OPERATION, self.user(name), owner));
        }
        let id = key.access_key_id.as_deref().and_then(|id| id.parse().ok());
        let created = key.create_date.as_ref().and_then(utc);
        Ok(ListedKey {
            id: id.ok_or_else(|| incomplete("access key id"))?,
            status: key.status.map(status).ok_or_else(|| incomplete("key status"))?,
            created: created.ok_or_else(|| incomplete("creation date"))?,
        })
    }
}

#[async_trait]
impl Iam for SdkIam {
    fn account(&self) -> &AccountId {
        &self.account
    }

    fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    async fn account_details(&self, from: Option<String>, at_most: usize) -> Result<AccountDetails, CallFailure> {
        const OPERATION: &str = "iam:GetAccountAuthorizationDetails";
        let about = format!("account {}", self.account);
        let page = self
            .client
            .get_account_authorization_details()
            .filter(EntityType::User)
            .filter(EntityType::Group)
            .max_items(i32::try_from(at_most).unwrap_or(PAGE_SIZE).clamp(1, PAGE_SIZE))
            .set_marker(from)
            .send()
            .await
            .or_failure(OPERATION, &about)?;
        let mut details = AccountDetails::default();
        for user in page.user_detail_list() {
            match listed(OPERATION, user) {
                Ok(user) => {
                    self.check_account(OPERATION, &user.arn)?;
                    details.users.push(user);
                }
                Err(why) => {
                    let name = user.user_name().and_then(|name| name.parse().ok());
                    details.unreadable.push(UnreadableUser { name, why });
                }
            }
        }
        details.groups.extend(page.group_detail_list().iter().filter_map(|group| group.group_name.clone()));
        details.next = next(OPERATION, about, page.is_truncated, page.marker)?;
        Ok(details)
    }

    async fn request_report(&self) -> Result<bool, CallFailure> {
        let about = format!("account {}", self.account);
        let answer = self.client.generate_credential_report().send().await;
        match answer.or_failure("iam:GenerateCredentialReport", about) {
            Err(failure) if is_report_capacity_exhausted(&failure) => Ok(false),
            answer => Ok(answer?.state == Some(ReportStateType::Complete)),
        }
    }

    async fn credential_report(&self) -> Result<Option<DatedReport>, CallFailure> {
        const OPERATION: &str = "iam:GetCredentialReport";
        let about = format!("account {}", self.account);
        let answer = match self.client.get_credential_report().send().await.or_failure(OPERATION, &about) {
            Err(failure) if is_report_unavailable(&failure) => return Ok(None),
            answer => answer?,
        };
        let made_at = answer.generated_time.as_ref().and_then(utc);
        let made_at = made_at.ok_or_else(|| CallFailure::incomplete(OPERATION, &about, "time of the report"))?;
        let content = answer.content.ok_or_else(|| CallFailure::incomplete(OPERATION, &about, "content"))?;
        let content = CredentialReport::read(content.as_ref())
            .map_err(|error| CallFailure::incomplete(OPERATION, &about, &format!("content ({error})")))?;
        Ok(Some(DatedReport { made_at, content }))
    }

    async fn find_user(&self, name: &UserName) -> Result<Option<ListedUser>, CallFailure> {
        const OPERATION: &str = "iam:GetUser";
        let answer = self.client.get_user().user_name(name.as_str()).send().await;
        let answer = match answer.or_failure(OPERATION, self.user(name)) {
            Err(failure) if failure.is_not_found() => return Ok(None),
            answer => answer?,
        };
        let user = answer.user.ok_or_else(|| CallFailure::incomplete(OPERATION, self.user(name), "user"))?;
        let arn = parse(OPERATION, Some(name.as_str()), Some(user.arn()))?;
        if arn.user().name != *name {
            return Ok(None);
        }
        if user.user_id.is_empty() {
            return Err(CallFailure::incomplete(OPERATION, self.user(name), "user id"));
        }
        let found = ListedUser {
            arn,
            id: user.user_id,
            tags: tags(user.tags.as_deref().unwrap_or_default()),
            groups: BTreeSet::new(),
        };
        Ok(Some(found))
    }

    async fn groups_of(&self, name: &UserName) -> Result<BTreeSet<String>, CallFailure> {
        const OPERATION: &str = "iam:ListGroupsForUser";
        let (mut groups, mut pages, mut from) = (BTreeSet::new(), PageTokens::default(), None);
        loop {
            let request = self.client.list_groups_for_user().user_name(name.as_str()).max_items(PAGE_SIZE);
            let page = request.set_marker(from).send().await.or_failure(OPERATION, self.user(name))?;
            groups.extend(page.groups.into_iter().map(|group| group.group_name));
            let next = next(OPERATION, self.user(name), page.is_truncated, page.marker)?;
            from = pages.next(OPERATION, self.user(name), next)?;
            if from.is_none() {
                return Ok(groups);
            }
        }
    }

    async fn access_keys(&self, name: &UserName) -> Result<Vec<ListedKey>, CallFailure> {
        const OPERATION: &str = "iam:ListAccessKeys";
        let (mut keys, mut pages, mut from) = (Vec::new(), PageTokens::default(), None);
        loop {
            let request = self.client.list_access_keys().user_name(name.as_str()).set_marker(from);
            let page = request.send().await.or_failure(OPERATION, self.user(name))?;
            for key in page.access_key_metadata {
                keys.push(self.listed_key(name, key)?);
            }
            let next = next(OPERATION, self.user(name), page.is_truncated, page.marker)?;
            from = pages.next(OPERATION, self.user(name), next)?;
            if from.is_none() {
                break;
            }
        }
        keys.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
        Ok(keys)
    }

    async fn last_use(&self, id: &AccessKeyId) -> Result<Option<KeyUse>, CallFailure> {
        const OPERATION: &str = "iam:GetAccessKeyLastUsed";
        let about = format!("access key {id} in account {}", self.account);
        let answer = self
            .client
            .get_access_key_last_used()
            .access_key_id(id.as_str())
            .send()
            .await
            .or_failure(OPERATION, &about)?;
        // IAM sends `N/A` as the service of a key that was never used.
        let used = answer.access_key_last_used.filter(|used| !used.service_name.is_empty());
        let used = used.ok_or_else(|| CallFailure::incomplete(OPERATION, &about, "last use"))?;
        let Some(date) = used.last_used_date else { return Ok(None) };
        let time = utc(&date).ok_or_else(|| CallFailure::incomplete(OPERATION, &about, "date of last use"))?;
        Ok(Some(KeyUse { time, service: used.service_name, region: used.region }))
    }

    // Without retries: after a lost response the SDK would create a second key.
    async fn create_access_key(&self, name: &UserName, within: Duration) -> Result<NewKey, CallFailure> {
        const OPERATION: &str = "iam:CreateAccessKey";
        let limit = TimeoutConfig::builder().operation_timeout(within).operation_attempt_timeout(within).build();
        let once = aws_sdk_iam::config::Config::builder().retry_config(RetryConfig::disabled()).timeout_config(limit);
        let answer = self
            .client
            .create_access_key()
            .user_name(name.as_str())
            .customize()
            .config_override(once)
            .send()
            .await
            .or_failure(OPERATION, self.user(name))?;
        let key = answer.access_key.ok_or_else(|| CallFailure::incomplete(OPERATION, self.user(name), "access key"))?;
        // Before the checks, so that it is wiped even if the rest of the response is unusable.
        let secret = SecretKey::new(key.secret_access_key);
        let id = key.access_key_id.parse().ok().filter(|_| !secret.expose().is_empty());
        Ok(NewKey {
            id: id.ok_or_else(|| CallFailure::incomplete(OPERATION, self.user(name), "access key"))?,
            secret,
            created: key.create_date.as_ref().and_then(utc),
        })
    }

    async fn disable_access_key(&self, name: &UserName, id: &AccessKeyId) -> Result<(), CallFailure> {
        self.client
            .update_access_key()
            .user_name(name.as_str())
            .access_key_id(id.as_str())
            .status(StatusType::Inactive)
            .send()
            .await
            .or_failure("iam:UpdateAccessKey", format_args!("access key {id} of {}", self.user(name)))?;
        Ok(())
    }

    async fn delete_access_key(&self, name: &UserName, id: &AccessKeyId) -> Result<(), CallFailure> {
        let answer = self
            .client
            .delete_access_key()
            .user_name(name.as_str())
            .access_key_id(id.as_str())
            .send()
            .await
            .or_failure("iam:DeleteAccessKey", format_args!("access key {id} of {}", self.user(name)));
        match answer {
            Err(failure) if !failure.is_not_found() => Err(failure),
            _ => Ok(()),
        }
    }

    async fn add_to_group(&self, group: &str, name: &UserName) -> Result<(), CallFailure> {
        self.client
            .add_user_to_group()
            .group_name(group)
            .user_name(name.as_str())
            .send()
            .await
            .or_failure("iam:AddUserToGroup", format_args!("group `{group}` and {}", self.user(name)))?;
        Ok(())
    }
}

/// Returns the marker of the next page; `None` on the last page.
fn next(
    operation: &'static str,
    about: impl fmt::Display,
    is_truncated: bool,
    marker: Option<String>,
) -> Result<Option<String>, CallFailure> {
    match marker.filter(|_| is_truncated) {
        None if is_truncated => Err(CallFailure::incomplete(operation, about, "marker of the next page")),
        marker => Ok(marker),
    }
}

fn listed(operation: &'static str, user: &UserDetail) -> Result<ListedUser, CallFailure> {
    let arn = parse(operation, user.user_name(), user.arn())?;
    let id = user.user_id().filter(|id| !id.is_empty());
    let id = id.ok_or_else(|| CallFailure::incomplete(operation, arn.user(), "user id"))?.to_owned();
    let groups = user.group_list().iter().cloned().collect();
    Ok(ListedUser { arn, id, tags: tags(user.tags()), groups })
}

fn parse(operation: &'static str, user: Option<&str>, arn: Option<&str>) -> Result<UserArn, CallFailure> {
    let about = format!("user `{}`", user.unwrap_or_default());
    let parsed = arn.unwrap_or_default().parse();
    parsed.map_err(|invalid: InvalidName| CallFailure::incomplete(operation, about, &format!("user ARN ({invalid})")))
}

fn tags(tags: &[Tag]) -> BTreeMap<String, String> {
    tags.iter().map(|tag| (tag.key.clone(), tag.value.clone())).collect()
}

fn status(status: StatusType) -> KeyStatus {
    match status {
        StatusType::Active => KeyStatus::Active,
        StatusType::Inactive => KeyStatus::Inactive,
        other => KeyStatus::Other(other.as_str().to_owned()),
    }
}
