//! Sweeps many accounts, some at the same time, and then sends the notices of all of them together.

use futures_util::StreamExt as _;
use futures_util::stream;

use super::inventory::{self, Inventory, WholeList};
use super::notices::{self, SweptAccount};
use super::report::{Failure, Report, Skipped};
use super::run::{OUT_OF_TIME, Run};
use super::stage::Stage;
use super::totals::SweepTotals;
use super::{account, departed};
use crate::error::Error;
use crate::keys::{AccountId, EmailAddress};
use crate::notify::{AccountContact, Scope};

/// Sweeps all accounts of the organization.
///
/// # Errors
/// [`Error::Aws`] if the accounts cannot be listed; [`Error::TooManyAccounts`] if there are more than the time allows.
pub(super) async fn sweep_all(run: &Run<'_>) -> Result<Report, Error> {
    let mut inventory = inventory::all(run.aws, run.settings).await?;
    let whole = inventory.take_whole();
    let fit = run.accounts_that_fit();
    if inventory.accounts.len() > fit {
        return Err(Error::TooManyAccounts { accounts: inventory.accounts.len(), fit });
    }
    Ok(sweep_inventory(run, inventory, whole).await)
}

/// Sweeps the accounts of a list and then, if the whole list is known, the secrets of accounts that are closed or gone.
pub(super) async fn sweep_inventory(run: &Run<'_>, inventory: Inventory, whole: Option<WholeList>) -> Report {
    let mut totals = SweepTotals::new(run.dry_run);
    inventory.skipped.into_iter().for_each(|skipped| totals.report.add_skipped(skipped));
    totals.add_failures(inventory.failures);
    let accounts = inventory.accounts.into_iter().map(|contact| (contact.id.clone(), Some(contact)));
    sweep(run, accounts.collect(), whole, totals).await
}

/// Sweeps one account. Organizations has its name and address; those of the caller stand in for them.
pub(super) async fn sweep_one(
    run: &Run<'_>,
    id: AccountId,
    name: Option<String>,
    email: Option<EmailAddress>,
) -> Report {
    let mut totals = SweepTotals::new(run.dry_run);
    let known = inventory::contact(run.aws, run.settings, &id).await;
    if let Err(failure) = &known {
        totals.add_failures([Failure::of_account(&id, Stage::Inventory, failure)]);
    }
    let contact = contact_of(&id, known.ok(), name.unwrap_or_default(), email);
    sweep(run, vec![(id, contact)], None, totals).await
}

/// Returns the contact of an account: what Organizations knows, if anything, or else what the caller says.
fn contact_of(
    id: &AccountId,
    known: Option<AccountContact>,
    name: String,
    email: Option<EmailAddress>,
) -> Option<AccountContact> {
    let has_address = |known: &AccountContact| known.email.is_some() || known.malformed_email.is_some();
    let is_known = known.as_ref().is_some_and(has_address);
    let mut contact = match email.filter(|_| !is_known) {
        Some(email) => AccountContact {
            email: Some(email),
            is_confirmed: false,
            ..known.unwrap_or_else(|| AccountContact::without_address(id))
        },
        None => known?,
    };
    if contact.name.is_empty() {
        contact.name = name;
    }
    Some(contact)
}

/// An account has no contact if its address could not be read.
async fn sweep(
    run: &Run<'_>,
    accounts: Vec<(AccountId, Option<AccountContact>)>,
    whole: Option<WholeList>,
    mut totals: SweepTotals,
) -> Report {
    let mut results = stream::iter(accounts)
        .map(|(id, contact)| sweep_account(run, id, contact))
        .buffer_unordered(run.settings.max_concurrency);
    let mut swept = Vec::new();
    while let Some((account, of_account)) = results.next().await {
        totals.merge(of_account);
        swept.extend(account);
    }
    if let Some(whole) = whole {
        swept.extend(departed::sweep(run, &whole, &mut totals).await);
    }
    let mut report = totals.into_report(run.now);
    notices::send_and_record(run, &mut swept, Scope::Run, &mut report).await;
    report.finish()
}

/// Sweeps one account. The first part of the result is what is left to do after the sweep of all accounts.
async fn sweep_account(
    run: &Run<'_>,
    id: AccountId,
    contact: Option<AccountContact>,
) -> (Option<SweptAccount>, SweepTotals) {
    let mut totals = SweepTotals::new(run.dry_run);
    let mut outcomes = Vec::new();
    if run.is_out_of_time() {
        totals.skip(Skipped::new(&id, OUT_OF_TIME));
        return (None, totals);
    }
    match account::sweep(run, &id, &mut totals, &mut outcomes).await {
        Ok(()) => totals.report.accounts += 1,
        Err(failure) => {
            let skipped = Skipped::new(&id, &failure.to_string());
            totals.skip(Skipped { transient: failure.is_transient(), ..skipped });
        }
    }
    (Some(SweptAccount { contact, outcomes }).filter(|swept| !swept.outcomes.is_empty()), totals)
}
