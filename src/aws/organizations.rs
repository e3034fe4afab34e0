//! What keywheel asks Organizations.

use std::fmt;

use async_trait::async_trait;

use super::failure::CallFailure;
use crate::keys::{AccountId, EmailAddress};

/// State of an account. Roles can be assumed in an active account only.
/// <https://docs.aws.amazon.com/organizations/latest/APIReference/API_Account.html>
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccountState {
    /// `ACTIVE`.
    Active,
    /// Any other state as Organizations spells it, such as `SUSPENDED`; `UNKNOWN` if it returned none.
    Other(String),
}

/// An account of the organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedAccount {
    /// Its id.
    pub id: AccountId,
    /// Its name; empty if Organizations gives none.
    pub name: String,
    /// Its address, if that is one.
    pub email: Option<EmailAddress>,
    /// What stands there as its address, where that is none.
    pub malformed_email: Option<String>,
    /// Its state; only active accounts are swept.
    pub state: AccountState,
}

/// One page of accounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountPage {
    /// The accounts; may be empty in the middle of the list.
    pub accounts: Vec<ListedAccount>,
    /// Where the next page starts; `None` at the end of the list and only there.
    pub next_token: Option<String>,
}

/// An address as Organizations has it: as one that mail can be sent to, or as the text that is none.
pub(crate) fn read_email(text: Option<String>) -> (Option<EmailAddress>, Option<String>) {
    match text.filter(|text| !text.is_empty()).map(|text| text.parse().map_err(|_| text)) {
        None => (None, None),
        Some(Ok(address)) => (Some(address), None),
        Some(Err(text)) => (None, Some(text)),
    }
}

/// The organization that the account is in.
#[async_trait]
pub trait Organizations: fmt::Debug + Send + Sync {
    /// The page of accounts that starts at the token; at the list's start without one. It holds at most so many.
    ///
    /// # Errors
    /// Any failure; `cannot_list_accounts` tells whether this account can never list.
    async fn accounts(&self, next_token: Option<String>, at_most: usize) -> Result<AccountPage, CallFailure>;

    /// One account.
    ///
    /// # Errors
    /// Any failure, "no such account" included.
    async fn account(&self, id: &AccountId) -> Result<ListedAccount, CallFailure>;
}

/// Whether a failure means that this account cannot ask Organizations at all: it is in none, or not permitted to.
pub(crate) fn cannot_list_accounts(failure: &CallFailure) -> bool {
    failure.kind() == super::FailureKind::Denied || failure.code() == "AWSOrganizationsNotInUseException"
}
