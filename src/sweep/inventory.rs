//! The accounts of the organization.

use serde_json::{Value, json};

use super::report::{Failure, Skipped};
use crate::aws::{Aws, ListedAccount, Usability, may_not_list};
use crate::error::Error;
use crate::keys::AccountId;
use crate::notify::AccountContact;

/// Accounts to sweep, and those that are not, with the reason.
#[derive(Debug, Default)]
pub(super) struct Inventory {
    pub(super) accounts: Vec<AccountContact>,
    pub(super) skipped: Vec<Skipped>,
    pub(super) failures: Vec<Failure>,
}

impl Inventory {
    fn add(&mut self, account: ListedAccount) {
        let ListedAccount { id, name, email, usability } = account;
        match usability {
            Usability::Usable => self.accounts.push(AccountContact { id, name, email }),
            Usability::Unusable(state) => {
                self.skipped.push(Skipped { account: id, reason: format!("its state is {state}") });
            }
        }
    }
}

/// All accounts, over all pages. Where this account may not list them, itself alone.
///
/// # Errors
/// Any other failure, on any page: a part of the accounts would look like all of them.
pub(super) async fn all(aws: &Aws) -> Result<Inventory, Error> {
    let mut inventory = Inventory::default();
    let mut next_token = None;
    loop {
        let Some(page) = page(aws, next_token).await? else { return Ok(own_account_alone(aws)) };
        page.accounts.into_iter().for_each(|account| inventory.add(account));
        next_token = page.next_token;
        if next_token.is_none() {
            return Ok(inventory);
        }
    }
}

/// One page for a state machine: up to `limit` accounts, and where the next page starts.
///
/// # Errors
/// As [`all`].
pub(super) async fn one_page(aws: &Aws, mut next_token: Option<String>, limit: usize) -> Result<Value, Error> {
    /// The service's own page: stop while another one still fits.
    /// <https://docs.aws.amazon.com/organizations/latest/APIReference/API_ListAccounts.html>
    const SERVICE_PAGE: usize = 20;
    let mut inventory = Inventory::default();
    loop {
        match page(aws, next_token).await? {
            None => {
                inventory = own_account_alone(aws);
                next_token = None;
            }
            Some(page) => {
                page.accounts.into_iter().for_each(|account| inventory.add(account));
                next_token = page.next_token;
            }
        }
        if next_token.is_none() || inventory.accounts.len() + SERVICE_PAGE > limit {
            break;
        }
    }
    let accounts: Vec<Value> = inventory
        .accounts
        .iter()
        .map(|AccountContact { id, name, email }| json!({"account": id, "name": name, "email": email}))
        .collect();
    Ok(json!({"accounts": accounts, "next_token": next_token, "skipped": inventory.skipped}))
}

/// One account's name and address, where they can be had: notices go to `RECIPIENT_EMAIL` without.
pub(super) async fn contact(aws: &Aws, id: &AccountId) -> AccountContact {
    let unknown = AccountContact { id: id.clone(), name: String::new(), email: None };
    let Ok(organizations) = aws.organizations().await else { return unknown };
    match organizations.account(id).await {
        Ok(ListedAccount { id, name, email, .. }) => AccountContact { id, name, email },
        Err(_) => unknown,
    }
}

/// A page of accounts; `None` where this account may not list them.
async fn page(aws: &Aws, next_token: Option<String>) -> Result<Option<crate::aws::AccountPage>, Error> {
    let page = aws.organizations().await?.accounts(next_token).await;
    match page {
        Err(failure) if may_not_list(&failure) => Ok(None),
        page => Ok(Some(page?)),
    }
}

fn own_account_alone(aws: &Aws) -> Inventory {
    let own = AccountContact { id: aws.primary_account().clone(), name: String::new(), email: None };
    Inventory { accounts: vec![own], ..Inventory::default() }
}
