//! The calls to AWS Organizations.

use std::fmt;

use async_trait::async_trait;

use super::failure::{CallFailure, FailureKind};
use crate::keys::{AccountId, EmailAddress};

/// State of an account. Roles can be assumed in an active account only.
/// <https://docs.aws.amazon.com/organizations/latest/APIReference/API_Account.html>
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccountState {
    /// `ACTIVE`, in the field `State` or, in older responses, in `Status`.
    Active,
    /// Any other state as Organizations spells it, such as `SUSPENDED`; `UNKNOWN` if it returned none.
    Other(String),
}

impl AccountState {
    /// Returns the state if the account is closed or about to be: no role of it can be assumed, now or soon. A state
    /// that is missing or new does not count.
    /// <https://docs.aws.amazon.com/organizations/latest/userguide/orgs_manage_accounts_account_state.html>
    pub fn closed(&self) -> Option<&str> {
        match self {
            Self::Other(state) => Some(state.as_str()).filter(|it| CLOSED_STATES.contains(it)),
            Self::Active => None,
        }
    }
}

const CLOSED_STATES: [&str; 3] = ["SUSPENDED", "PENDING_CLOSURE", "CLOSED"];

/// An account of the organization, as ListAccounts or DescribeAccount returns it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedAccount {
    /// Twelve digits.
    pub id: AccountId,
    /// Name; empty if Organizations returned none.
    pub name: String,
    /// Address of the account's root user; `None` if absent or malformed.
    pub email: Option<EmailAddress>,
    /// The address as Organizations returned it, if it is malformed.
    pub malformed_email: Option<String>,
    /// State; only active accounts are swept.
    pub state: AccountState,
    /// Id of the organization, `o-…`, from the account's ARN; `None` if the ARN is absent or of another form.
    pub organization: Option<String>,
}

/// One response of ListAccounts: at most 20 accounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountPage {
    /// Accounts of this page; may be empty on any page.
    pub accounts: Vec<ListedAccount>,
    /// How many accounts of this page have no readable id.
    pub unreadable: usize,
    /// Token of the next page; `None` on the last page only.
    pub next_token: Option<String>,
}

/// Returns the organization in an account's ARN: `arn:aws:organizations::<account>:account/<organization>/<account>`.
/// <https://docs.aws.amazon.com/organizations/latest/APIReference/API_Account.html>
pub(crate) fn organization_of(arn: &str) -> Option<String> {
    let (_, path) = arn.split_once(":account/")?;
    path.split_once('/').map(|(organization, _)| organization.to_owned())
}

/// Parses an account's address. Returns the address, or the text if it is malformed, or neither if there is no text.
pub(crate) fn read_email(text: Option<String>) -> (Option<EmailAddress>, Option<String>) {
    match text.filter(|text| !text.is_empty()).map(|text| text.parse().map_err(|_| text)) {
        None => (None, None),
        Some(Ok(address)) => (Some(address), None),
        Some(Err(text)) => (None, Some(text)),
    }
}

/// The organization of the account in which the calls are made.
#[async_trait]
pub trait Organizations: fmt::Debug + Send + Sync {
    /// Returns a page of at most `at_most` accounts, and never more than 20. `next_token` is the token in the page
    /// before; `None` starts the list. Safe to repeat.
    /// <https://docs.aws.amazon.com/organizations/latest/APIReference/API_ListAccounts.html>
    ///
    /// # Errors
    /// Any failure; `cannot_list_accounts` says whether it is a lasting one.
    async fn accounts(&self, next_token: Option<String>, at_most: usize) -> Result<AccountPage, CallFailure>;

    /// Returns one account. Safe to repeat.
    ///
    /// # Errors
    /// Any failure; "no such account" is one.
    async fn account(&self, id: &AccountId) -> Result<ListedAccount, CallFailure>;
}

/// Whether a failure means that this account cannot read the organization at all: it is in none, or lacks the
/// permission. On a later page of a list it means neither: the list is not whole.
pub(crate) fn cannot_list_accounts(failure: &CallFailure) -> bool {
    failure.kind() == FailureKind::Denied || failure.code() == "AWSOrganizationsNotInUseException"
}
