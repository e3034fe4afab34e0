//! Typed calls to Organizations.

use aws_config::SdkConfig;
use aws_sdk_organizations::types::{Account, AccountState, AccountStatus};

use super::failure::{Failure, OrFailure};
use crate::keys::{AccountId, EmailAddress};

/// Accounts of one page: the most that ListAccounts gives.
/// <https://docs.aws.amazon.com/organizations/latest/APIReference/API_ListAccounts.html>
const PAGE_SIZE: usize = 20;

/// Whether roles can be assumed and users worked on in an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Usability {
    /// The account is active.
    Usable,
    /// It is not, with the state that says why; an unknown state is not taken for active.
    Unusable(String),
}

/// An account of the organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedAccount {
    /// Its id.
    pub id: AccountId,
    /// Its name; empty if Organizations gives none.
    pub name: String,
    /// The address that it was made with, if that is one.
    pub email: Option<EmailAddress>,
    /// Whether it can be worked on.
    pub usability: Usability,
}

/// One page of accounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountPage {
    /// The accounts; may be empty in the middle of the list.
    pub accounts: Vec<ListedAccount>,
    /// Where the next page starts; `None` at the end of the list and only there.
    pub next_token: Option<String>,
}

/// The organization that the account is in.
#[derive(Debug, Clone)]
pub struct Organizations {
    client: aws_sdk_organizations::Client,
}

impl Organizations {
    pub(super) fn new(config: &SdkConfig) -> Self {
        Self { client: aws_sdk_organizations::Client::new(config) }
    }

    /// The page of accounts that starts at the token; at the list's start without one. It holds at most so many.
    ///
    /// # Errors
    /// Any failure; `may_not_list` tells whether this account can never list.
    pub async fn accounts(&self, next_token: Option<String>, at_most: usize) -> Result<AccountPage, Failure> {
        const OPERATION: &str = "organizations:ListAccounts";
        let answer = self
            .client
            .list_accounts()
            .max_results(i32::try_from(at_most.clamp(1, PAGE_SIZE)).unwrap_or(i32::MAX))
            .set_next_token(next_token)
            .send()
            .await
            .or_failure(OPERATION, "the organization")?;
        let accounts = answer.accounts.unwrap_or_default().into_iter().map(|account| listed(OPERATION, account));
        Ok(AccountPage {
            accounts: accounts.collect::<Result<_, _>>()?,
            next_token: answer.next_token.filter(|token| !token.is_empty()),
        })
    }

    /// One account.
    ///
    /// # Errors
    /// Any failure, "no such account" included.
    pub async fn account(&self, id: &AccountId) -> Result<ListedAccount, Failure> {
        const OPERATION: &str = "organizations:DescribeAccount";
        let about = format!("account {id}");
        let answer =
            self.client.describe_account().account_id(id.as_str()).send().await.or_failure(OPERATION, &about)?;
        listed(OPERATION, answer.account.ok_or_else(|| Failure::incomplete(OPERATION, about, "account"))?)
    }
}

/// Whether a failure means that this account cannot ask Organizations at all: it is in none, or not permitted to.
pub(crate) fn may_not_list(failure: &Failure) -> bool {
    failure.kind() == super::FailureKind::Denied || failure.code() == "AWSOrganizationsNotInUseException"
}

fn listed(operation: &'static str, account: Account) -> Result<ListedAccount, Failure> {
    let usability = usability(&account);
    let id = account.id.as_deref().and_then(|id| id.parse().ok());
    Ok(ListedAccount {
        id: id.ok_or_else(|| Failure::incomplete(operation, "the organization", "account id"))?,
        name: account.name.unwrap_or_default(),
        email: account.email.and_then(|email| email.parse().ok()),
        usability,
    })
}

/// `State` replaces `Status`, which retired in September 2026: the old field counts only where the new one is absent.
/// <https://docs.aws.amazon.com/organizations/latest/APIReference/API_Account.html>
fn usability(account: &Account) -> Usability {
    let unusable = |state: &str| Usability::Unusable(state.to_owned());
    match (&account.state, &account.status) {
        (Some(AccountState::Active), _) | (None, Some(AccountStatus::Active)) => Usability::Usable,
        (Some(other), _) => unusable(other.as_str()),
        (None, Some(other)) => unusable(other.as_str()),
        (None, None) => unusable("UNKNOWN"),
    }
}
