//! The accounts of the organization.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tracing::warn;

use super::Sweep;
use super::report::{Failure, Skipped};
use crate::aws::{AccountPage, AccountState, CallFailure, ListedAccount, SweeperAws, cannot_list_accounts};
use crate::error::Error;
use crate::keys::AccountId;
use crate::notify::AccountContact;
use crate::settings::Settings;

/// Accounts to sweep, and those that are not, with the reason.
#[derive(Debug, Default)]
pub(super) struct Inventory {
    pub(super) accounts: Vec<AccountContact>,
    pub(super) skipped: Vec<Skipped>,
    pub(super) failures: Vec<Failure>,
}

impl Inventory {
    fn add(&mut self, account: ListedAccount) {
        match &account.state {
            AccountState::Active => self.accounts.push(contact_of(account)),
            AccountState::Other(state) => {
                self.skipped.push(Skipped::new(&account.id, &format!("its state is {state}")));
            }
        }
    }
}

/// All accounts, over all pages. Where this account may not list them, itself alone.
///
/// # Errors
/// Any other failure, on any page: a part of the accounts would look like all of them.
pub(super) async fn all(aws: &SweeperAws, settings: &Settings) -> Result<Inventory, Error> {
    let mut inventory = Inventory::default();
    let mut next_token = None;
    loop {
        let page = match page(aws, next_token, usize::MAX).await? {
            Page::Listed(page) => page,
            Page::NotPermitted(why) => return Ok(own_account_alone(aws, settings, &why)),
        };
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
pub(super) async fn one_page(
    aws: &SweeperAws,
    settings: &Settings,
    mut next_token: Option<String>,
    limit: usize,
) -> Result<Value, Error> {
    let mut inventory = Inventory::default();
    loop {
        match page(aws, next_token, limit - inventory.accounts.len()).await? {
            // A state machine sees accounts and nothing else: it must not take one for all of them.
            Page::NotPermitted(why) if settings.organization_id.is_some() => return Err(why.into()),
            Page::NotPermitted(why) => {
                inventory = own_account_alone(aws, settings, &why);
                next_token = None;
            }
            Page::Listed(page) => {
                page.accounts.into_iter().for_each(|account| inventory.add(account));
                next_token = page.next_token;
            }
        }
        if next_token.is_none() || inventory.accounts.len() >= limit {
            break;
        }
    }
    let accounts: Vec<Value> = inventory
        .accounts
        .iter()
        .map(|AccountContact { id, name, email, malformed_email: _ }| json!({"account": id, "name": name, "email": email}))
        .collect();
    Ok(
        json!({"accounts": accounts, "next_token": next_token, "skipped": inventory.skipped, "failures": inventory.failures}),
    )
}

/// One account's name and address. Where Organizations cannot be asked there are none, and notices go to
/// `RECIPIENT_EMAIL`.
///
/// # Errors
/// Any other failure: not knowing the address is not having none.
pub(super) async fn contact(aws: &SweeperAws, id: &AccountId) -> Result<AccountContact, CallFailure> {
    let unknown = AccountContact::without_address(id);
    match aws.organizations().await?.account(id).await {
        Ok(account) => Ok(contact_of(account)),
        Err(failure) if cannot_list_accounts(&failure) || failure.is_not_found() => Ok(unknown),
        Err(failure) => Err(failure),
    }
}

/// The names and addresses of many accounts from the list, a page of which is a call for twenty accounts, each of which takes
/// one alone: Organizations is throttled for the whole organization. Nobody knows on which pages they are, so a quarter as
/// many pages are read as accounts are wanted. Who is not found so is to be asked for alone, or all are if there is no list
/// to be had.
pub(super) async fn listed_contacts(
    sweep: &Sweep<'_>,
    wanted: &BTreeSet<AccountId>,
) -> BTreeMap<AccountId, AccountContact> {
    let (mut found, mut next_token) = (BTreeMap::new(), None);
    for _ in 0..wanted.len() / 4 {
        if sweep.is_out_of_time() {
            break;
        }
        let page = match page(sweep.aws, next_token, usize::MAX).await {
            Ok(Page::Listed(page)) => page,
            Ok(Page::NotPermitted(_)) => break,
            Err(error) => {
                warn!(%error, "accounts are asked for one by one");
                break;
            }
        };
        let those = page.accounts.into_iter().filter(|account| wanted.contains(&account.id));
        found.extend(those.map(|account| (account.id.clone(), contact_of(account))));
        next_token = page.next_token;
        if next_token.is_none() || found.len() == wanted.len() {
            break;
        }
    }
    found
}

fn contact_of(account: ListedAccount) -> AccountContact {
    let ListedAccount { id, name, email, malformed_email, state: _ } = account;
    AccountContact { id, name, email, malformed_email }
}

/// What came of asking for a page.
enum Page {
    Listed(AccountPage),
    /// This account may not list, and what it was answered.
    NotPermitted(CallFailure),
}

async fn page(aws: &SweeperAws, next_token: Option<String>, at_most: usize) -> Result<Page, Error> {
    match aws.organizations().await?.accounts(next_token, at_most).await {
        Err(failure) if cannot_list_accounts(&failure) => Ok(Page::NotPermitted(failure)),
        page => Ok(Page::Listed(page?)),
    }
}

/// Without an organization in the settings this is how keywheel is meant to run. With one, a permission is missing, and
/// that is said on every run: one account must not look like all of them.
fn own_account_alone(aws: &SweeperAws, settings: &Settings, why: &CallFailure) -> Inventory {
    let own = AccountContact::without_address(aws.primary_account());
    let failures = settings.organization_id.iter().map(|organization| {
        let error = format!("only this account is swept, not organization {organization} (AWS_ORG_ID): {why}");
        Failure { account: None, user: None, action: "inventory", error }
    });
    Inventory { failures: failures.collect(), accounts: vec![own], ..Inventory::default() }
}
