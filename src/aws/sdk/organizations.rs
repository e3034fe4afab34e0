//! The calls to AWS Organizations, through the SDK.

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_organizations::types::{self, Account, AccountStatus};

use super::failure::OrFailure;
use super::retry::own_quota;
use super::whole::WholeAnswer;
use crate::aws::failure::CallFailure;
use crate::aws::organizations::{AccountPage, AccountState, ListedAccount, Organizations, organization_of, read_email};
use crate::keys::AccountId;

/// Accounts of one page: the maximum that ListAccounts accepts.
/// <https://docs.aws.amazon.com/organizations/latest/APIReference/API_ListAccounts.html>
const PAGE_SIZE: usize = 20;

#[derive(Debug, Clone)]
pub(super) struct SdkOrganizations {
    client: aws_sdk_organizations::Client,
}

impl SdkOrganizations {
    pub(super) fn new(config: &SdkConfig) -> Self {
        let quota = own_quota("organizations".to_owned());
        let config = aws_sdk_organizations::config::Builder::from(config).retry_partition(quota);
        Self { client: aws_sdk_organizations::Client::from_conf(config.interceptor(WholeAnswer::Json).build()) }
    }
}

#[async_trait]
impl Organizations for SdkOrganizations {
    async fn accounts(&self, next_token: Option<String>, at_most: usize) -> Result<AccountPage, CallFailure> {
        const OPERATION: &str = "organizations:ListAccounts";
        let answer = self
            .client
            .list_accounts()
            .max_results(i32::try_from(at_most.clamp(1, PAGE_SIZE)).unwrap_or(i32::MAX))
            .set_next_token(next_token)
            .send()
            .await
            .or_failure(OPERATION, "the organization")?;
        let listed = answer.accounts.ok_or_else(|| CallFailure::incomplete(OPERATION, "the organization", "list"))?;
        let count = listed.len();
        let accounts: Vec<_> = listed.into_iter().filter_map(read).collect();
        Ok(AccountPage {
            unreadable: count - accounts.len(),
            accounts,
            next_token: answer.next_token.filter(|token| !token.is_empty()),
        })
    }

    async fn account(&self, id: &AccountId) -> Result<ListedAccount, CallFailure> {
        const OPERATION: &str = "organizations:DescribeAccount";
        let about = format!("account {id}");
        let answer =
            self.client.describe_account().account_id(id.as_str()).send().await.or_failure(OPERATION, &about)?;
        answer.account.and_then(read).ok_or_else(|| CallFailure::incomplete(OPERATION, about, "account"))
    }
}

/// Returns the account; `None` if its id cannot be read.
fn read(account: Account) -> Option<ListedAccount> {
    let state = state(&account);
    let (email, malformed_email) = read_email(account.email);
    let id = account.id.as_deref().and_then(|id| id.parse().ok());
    let organization = account.arn.as_deref().and_then(organization_of);
    Some(ListedAccount { id: id?, name: account.name.unwrap_or_default(), email, malformed_email, state, organization })
}

/// Returns the account's `State`, or its `Status` if the response has no `State`. AWS replaced `Status` by `State` and
/// retired it in September 2026.
/// <https://docs.aws.amazon.com/organizations/latest/APIReference/API_Account.html>
fn state(account: &Account) -> AccountState {
    let other = |state: &str| AccountState::Other(state.to_owned());
    match (&account.state, &account.status) {
        (Some(types::AccountState::Active), _) | (None, Some(AccountStatus::Active)) => AccountState::Active,
        (Some(state), _) => other(state.as_str()),
        (None, Some(status)) => other(status.as_str()),
        (None, None) => other("UNKNOWN"),
    }
}
