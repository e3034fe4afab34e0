//! The accounts of the organization.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tracing::warn;

use super::report::{Failure, Skipped};
use super::run::Run;
use super::stage::Stage;
use crate::aws::{AccountPage, AccountState, CallFailure, ListedAccount, PageTokens, SweeperAws, cannot_list_accounts};
use crate::error::Error;
use crate::keys::AccountId;
use crate::notify::AccountContact;
use crate::settings::Settings;

/// The accounts to sweep, and the skipped ones with the reason.
#[derive(Debug, Default)]
pub(super) struct Inventory {
    pub(super) accounts: Vec<AccountContact>,
    pub(super) skipped: Vec<Skipped>,
    pub(super) failures: Vec<Failure>,
    /// Every account so far, with its state. A list that changes while it is read may show an account twice.
    listed: BTreeMap<AccountId, AccountState>,
    /// The organization, as the entries of its accounts name it; `None` if they do not all name the same.
    organization: Option<String>,
    /// Whether the list was read through its last page, and every entry of it.
    is_whole: bool,
}

/// The whole list of the organization's accounts.
#[derive(Debug)]
pub(super) struct WholeList {
    pub(super) states: BTreeMap<AccountId, AccountState>,
    pub(super) organization: Option<String>,
}

impl Inventory {
    /// An inventory of these accounts, from another source than the list of the organization.
    pub(super) fn of(accounts: Vec<AccountContact>, skipped: Vec<Skipped>, failures: Vec<Failure>) -> Self {
        Self { accounts, skipped, failures, ..Self::default() }
    }

    /// Takes the whole list; `None` if a part of it is missing or cannot be read, and if accounts cannot be listed.
    pub(super) fn take_whole(&mut self) -> Option<WholeList> {
        let states = std::mem::take(&mut self.listed);
        self.is_whole.then(|| WholeList { states, organization: self.organization.take() })
    }

    fn add_page(&mut self, page: AccountPage) {
        let is_first = self.listed.is_empty();
        if let Some(first) = page.accounts.first().filter(|_| is_first) {
            self.organization.clone_from(&first.organization);
        }
        page.accounts.into_iter().for_each(|account| self.add(account));
        if page.unreadable > 0 {
            let error = format!("{} account(s) in {LIST} have no readable id and are not swept", page.unreadable);
            self.failures.push(Failure { account: None, user: None, action: Stage::Inventory, error });
        }
    }

    fn add(&mut self, account: ListedAccount) {
        if account.organization != self.organization {
            self.organization = None;
        }
        if self.listed.insert(account.id.clone(), account.state.clone()).is_some() {
            return;
        }
        match &account.state {
            AccountState::Active => self.accounts.push(contact_of(account)),
            AccountState::Other(state) => {
                self.skipped.push(Skipped::new(&account.id, &format!("its state is {state}")));
            }
        }
    }
}

const LIST: &str = "organizations:ListAccounts";
const ORGANIZATION: &str = "the organization";

/// All accounts, over all pages; only this account if it may not list them.
///
/// # Errors
/// Any other failure, and any failure on a later page: some of the accounts would look like all of them.
pub(super) async fn all(aws: &SweeperAws, settings: &Settings) -> Result<Inventory, Error> {
    let (mut inventory, mut tokens, mut next_token) = (Inventory::default(), PageTokens::default(), None);
    loop {
        let page = match page(aws, next_token, usize::MAX).await? {
            PageAnswer::Listed(page) => page,
            PageAnswer::NotPermitted(why) => return Ok(own_account_alone(aws, settings, &why)),
        };
        next_token = tokens.next(LIST, ORGANIZATION, page.next_token.clone())?;
        inventory.add_page(page);
        if next_token.is_none() {
            refuse_nobody(&inventory)?;
            inventory.is_whole = inventory.failures.is_empty();
            return Ok(inventory);
        }
    }
}

/// The active accounts, and the whole list; `None` if the accounts cannot be listed, or if a part of the list is
/// missing or cannot be read.
pub(super) async fn whole(run: &Run<'_>) -> Option<(Vec<AccountContact>, WholeList)> {
    match all(run.aws, run.settings).await {
        Ok(mut inventory) => inventory.take_whole().map(|whole| (inventory.accounts, whole)),
        Err(error) => {
            // The state machine lists the accounts before, and reports if it cannot.
            warn!(%error, "secrets of closed and gone accounts are left to the next run");
            None
        }
    }
}

/// Fails if a whole list has no account at all: the management account is always in it.
/// <https://docs.aws.amazon.com/organizations/latest/APIReference/API_ListAccounts.html>
fn refuse_nobody(inventory: &Inventory) -> Result<(), CallFailure> {
    if inventory.listed.is_empty() && inventory.failures.is_empty() {
        return Err(CallFailure::incomplete(LIST, ORGANIZATION, "list: not even the management account is in it"));
    }
    Ok(())
}

/// One page for a state machine: up to `limit` accounts, and where the next page starts.
///
/// # Errors
/// As [`all`].
pub(super) async fn one_page(
    aws: &SweeperAws,
    settings: &Settings,
    from: Option<String>,
    limit: usize,
) -> Result<Value, Error> {
    let is_first = from.is_none();
    let (mut inventory, mut tokens) = (Inventory::default(), PageTokens::default());
    let mut next_token = tokens.next(LIST, ORGANIZATION, from)?;
    loop {
        match page(aws, next_token, limit - inventory.accounts.len()).await? {
            // A state machine sees accounts and nothing else: one account must not look like all of them.
            PageAnswer::NotPermitted(why) if settings.organization_id.is_some() => return Err(why.into()),
            PageAnswer::NotPermitted(why) => {
                inventory = own_account_alone(aws, settings, &why);
                next_token = None;
            }
            PageAnswer::Listed(page) => {
                next_token = tokens.next(LIST, ORGANIZATION, page.next_token.clone())?;
                inventory.add_page(page);
            }
        }
        if next_token.is_none() || inventory.accounts.len() >= limit {
            break;
        }
    }
    if is_first && next_token.is_none() {
        refuse_nobody(&inventory)?;
    }
    let accounts: Vec<Value> = inventory
        .accounts
        .iter()
        .map(|AccountContact { id, name, email, malformed_email: _, is_confirmed: _ }| json!({"account": id, "name": name, "email": email}))
        .collect();
    Ok(
        json!({"accounts": accounts, "next_token": next_token, "skipped": inventory.skipped, "failures": inventory.failures}),
    )
}

/// One account's name and address. An account that may not ask Organizations gets neither, and notices go to
/// `RECIPIENT_EMAIL`. In an organization this means that a permission is missing, which is logged.
///
/// # Errors
/// Any other failure: an unknown address is not the same as none.
pub(super) async fn contact(
    aws: &SweeperAws,
    settings: &Settings,
    id: &AccountId,
) -> Result<AccountContact, CallFailure> {
    let unknown = AccountContact::without_address(id);
    match aws.organizations().await?.account(id).await {
        Ok(account) => Ok(contact_of(account)),
        Err(failure) if cannot_list_accounts(&failure) => {
            if settings.organization_id.is_some() {
                warn!(account = %id, error = %failure, "notices of the account go to RECIPIENT_EMAIL");
            }
            Ok(unknown)
        }
        Err(failure) if failure.is_not_found() => Ok(unknown),
        Err(failure) => Err(failure),
    }
}

/// The names and addresses of the wanted accounts, as far as the list shows them. A page is one call for twenty
/// accounts; without it each account takes a call, and Organizations is throttled for the whole organization. The
/// wanted accounts may be on any page, so at most a quarter as many pages are read as accounts are wanted. The caller
/// reads the others one by one.
pub(super) async fn listed_contacts(
    run: &Run<'_>,
    wanted: &BTreeSet<AccountId>,
) -> BTreeMap<AccountId, AccountContact> {
    let (mut found, mut next_token) = (BTreeMap::new(), None);
    // The number of pages is limited, so their tokens need no check.
    for _ in 0..wanted.len() / 4 {
        if run.is_out_of_time() {
            break;
        }
        let page = match page(run.aws, next_token, usize::MAX).await {
            Ok(PageAnswer::Listed(page)) => page,
            Ok(PageAnswer::NotPermitted(_)) => break,
            Err(error) => {
                warn!(%error, "accounts are read one by one");
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
    let ListedAccount { id, name, email, malformed_email, state: _, organization: _ } = account;
    AccountContact { id, name, email, malformed_email, is_confirmed: true }
}

/// The answer to a request for a page.
enum PageAnswer {
    Listed(AccountPage),
    /// This account may not list accounts, with the failure of the first page. A later page that is denied is an error:
    /// the organization is there, and the list is not whole.
    NotPermitted(CallFailure),
}

async fn page(aws: &SweeperAws, next_token: Option<String>, at_most: usize) -> Result<PageAnswer, Error> {
    let is_first = next_token.is_none();
    match aws.organizations().await?.accounts(next_token, at_most).await {
        Err(failure) if is_first && cannot_list_accounts(&failure) => Ok(PageAnswer::NotPermitted(failure)),
        page => Ok(PageAnswer::Listed(page?)),
    }
}

/// Only this account. Without `AWS_ORG_ID` that is intended. With it a permission is missing, which every run reports:
/// one account must not look like all of them.
fn own_account_alone(aws: &SweeperAws, settings: &Settings, why: &CallFailure) -> Inventory {
    let own = AccountContact::without_address(aws.primary_account());
    let listed = BTreeMap::from([(own.id.clone(), AccountState::Active)]);
    let failures = settings.organization_id.iter().map(|organization| {
        let error = format!("only this account is swept, not organization {organization} (AWS_ORG_ID): {why}");
        Failure { account: None, user: None, action: Stage::Inventory, error }
    });
    Inventory { failures: failures.collect(), accounts: vec![own], listed, ..Inventory::default() }
}
