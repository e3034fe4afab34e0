//! What the sweeps of single accounts held, told at the end of a run: one message per recipient over all accounts, or over
//! as many as the function has time and memory for. Changes no key; the secret of a deleted user is scheduled for deletion
//! once that is told.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::StreamExt as _;
use futures_util::stream;
use tracing::warn;

use super::apply::Records;
use super::inventory::{self, Inventory};
use super::observe::Member;
use super::report::{Failure, Report};
use super::tally::Tally;
use super::tell::{Swept, tell as tell_swept};
use super::user::{self, Outcome, STAYS_FRESH};
use super::{Sweep, observe};
use crate::aws::{AccountDetails, Iam};
use crate::error::Error;
use crate::keys::{AccountId, SecretName, UserName};
use crate::lifecycle::{Notice, UserFacts, UserPlan, plan};
use crate::notify::{AccountContact, Scope};
use crate::state::{UNTOLD_PREFIX, tag};

/// So many users are told of in one digest, as many as IAM allows in one account and one message describes: each takes some
/// kilobytes of memory, may take a mail of its own, of which SES commonly sends 14 in a second, and one of the 50 changes of
/// tags that Secrets Manager makes in a second.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>
/// <https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html>
const MOST_USERS: usize = 5_000;

/// So many accounts are planned for in one digest of a dry run, if the time is enough for them.
const MOST_ACCOUNTS: usize = 1_000;

/// Tells what is held, in the order of the accounts: of those after the one that is named, or of all. The report says after
/// which account another digest has to go on, if one has to. Safe to repeat: what was told is recorded, and what could not
/// be told stays held.
///
/// # Errors
/// [`Error::Aws`] when the marked secrets could not be listed. What goes wrong with one account or user is in the report.
pub(super) async fn tell(sweep: &Sweep<'_>, after: Option<&AccountId>) -> Result<Report, Error> {
    let mut held: BTreeMap<AccountId, Vec<SecretName>> = BTreeMap::new();
    for name in sweep.aws.secrets().names_with_tag(tag::UNTOLD, UNTOLD_PREFIX).await? {
        let account = &name.user().account;
        if is_after(account, after) {
            held.entry(account.clone()).or_default().push(name);
        }
    }
    let digest_after = keep_first(&mut held, MOST_USERS);
    let contacts = inventory::listed_contacts(sweep, &held.keys().cloned().collect()).await;
    let mut tally = Tally::new(sweep.dry_run);
    let mut accounts = stream::iter(held)
        .map(|(id, secrets)| {
            let contact = contacts.get(&id).cloned();
            account(sweep, id, secrets, contact)
        })
        .buffer_unordered(sweep.settings.max_concurrency);
    let mut swept = Vec::new();
    while let Some(account) = accounts.next().await {
        tally.report.accounts += 1;
        match account {
            Ok(account) => {
                account.outcomes.iter().for_each(|outcome| tally.add(outcome));
                swept.push(account);
            }
            Err(failure) => tally.failures([failure]),
        }
    }
    let mut report = Report { digest_after, ..tally.into_report(sweep.now) };
    tell_swept(sweep, &mut swept, Scope::Run, &mut report).await;
    Ok(report.finish())
}

/// The same in a dry run, where nothing is held, because nothing may be written down: what there is to tell is planned once
/// more.
///
/// # Errors
/// [`Error::Aws`] when the accounts could not be listed.
pub(super) async fn plan_again(sweep: &Sweep<'_>, after: Option<&AccountId>) -> Result<Report, Error> {
    let Inventory { mut accounts, mut skipped, mut failures } = inventory::all(sweep.aws, sweep.settings).await?;
    accounts.retain(|account| is_after(&account.id, after));
    accounts.sort_by(|a, b| a.id.cmp(&b.id));
    if after.is_some() {
        // The first digest says so.
        skipped.clear();
        failures.clear();
    }
    let later = accounts.split_off(accounts.len().min(sweep.accounts_that_fit().clamp(1, MOST_ACCOUNTS)));
    let last = accounts.last().map(|account| account.id.clone());
    let report = sweep.inventory(Inventory { accounts, skipped, failures }).await;
    Ok(Report { digest_after: last.filter(|_| !later.is_empty()), ..report })
}

fn is_after(account: &AccountId, after: Option<&AccountId>) -> bool {
    after.is_none_or(|after| account > after)
}

/// Drops the accounts beyond so many users, but never the first one. Answers the last account that is kept if any is
/// dropped.
fn keep_first(held: &mut BTreeMap<AccountId, Vec<SecretName>>, most: usize) -> Option<AccountId> {
    let mut users = 0;
    let beyond = held.iter().find_map(|(account, secrets)| {
        let is_first = users == 0;
        users += secrets.len();
        (!is_first && users > most).then(|| account.clone())
    })?;
    held.split_off(&beyond);
    held.last_key_value().map(|(account, _)| account.clone())
}

async fn account(
    sweep: &Sweep<'_>,
    id: AccountId,
    held: Vec<SecretName>,
    listed: Option<AccountContact>,
) -> Result<Swept, Failure> {
    let failed = |failure: &crate::aws::CallFailure| Failure::of_account(&id, "digest", failure);
    if sweep.is_out_of_time() {
        return Err(Failure::of_account(&id, "digest", user::OUT_OF_TIME));
    }
    let contact = match listed {
        Some(contact) => contact,
        None => inventory::contact(sweep.aws, &id).await.map_err(|failure| failed(&failure))?,
    };
    let iam = sweep.aws.iam(&id, sweep.partition()).await.map_err(|failure| failed(&failure))?;
    let members = listed_users(sweep, &*iam, &held).await;
    let outcomes = stream::iter(&held)
        .map(|secret| user(sweep, &*iam, secret, members.get(&secret.user().name)))
        .buffer_unordered(sweep.settings.max_concurrent_users)
        .collect()
        .await;
    Ok(Swept { contact: Some(contact), outcomes })
}

/// The users of these secrets from the account's list, a page of which is a call for what takes two for each user. Who is
/// not found so is asked for alone, or all are if there is no list to be had.
async fn listed_users(sweep: &Sweep<'_>, iam: &dyn Iam, held: &[SecretName]) -> BTreeMap<UserName, Member> {
    let wanted: BTreeSet<&UserName> = held.iter().map(|secret| &secret.user().name).collect();
    let (mut found, mut from) = (BTreeMap::new(), None);
    loop {
        let page = iam.account_details(from).await.unwrap_or_else(|failure| {
            warn!(account = %iam.account(), error = %failure, "users are asked for one by one");
            AccountDetails::default()
        });
        let members = page.users.into_iter().map(|listed| Member::of(sweep, listed));
        let members = members.filter(|member| wanted.contains(member.name()));
        found.extend(members.map(|member| (member.name().clone(), member)));
        from = page.next;
        let is_last_missing_cheaper = found.len() + 1 >= wanted.len();
        if from.is_none() || is_last_missing_cheaper {
            return found;
        }
    }
}

async fn user(sweep: &Sweep<'_>, iam: &dyn Iam, held: &SecretName, listed: Option<&Member>) -> Outcome {
    let user = held.user();
    let late = || Outcome::failed(user, "digest", user::OUT_OF_TIME);
    if sweep.is_out_of_time() {
        return late();
    }
    let fresh_until = Some(sweep.aws.now() + STAYS_FRESH);
    match observe::user_alone(sweep, iam, &user.name, listed).await {
        Ok(Some((facts, tags))) => Outcome { records: Records::of(tags), fresh_until, ..outcome(sweep, &facts) },
        Ok(None) => deleted_user(sweep, iam, held).await.unwrap_or_else(late),
        Err(failure) => Outcome::failed(user, "digest", &failure),
    }
}

/// The secret of a deleted user is scheduled for deletion once that is told; `None` if the time did not reach so far.
async fn deleted_user(sweep: &Sweep<'_>, iam: &dyn Iam, held: &SecretName) -> Option<Outcome> {
    match sweep.aws.secrets().describe(&held.to_string()).await {
        Ok(Some(secret)) => user::sweep_without_user(sweep, iam, &secret).await,
        Ok(None) => Some(Outcome::new(UserPlan::nothing(held.user()))),
        Err(failure) => Some(Outcome::failed(held.user(), "digest", &failure)),
    }
}

/// What is true of the user now. What the next sweep is to do is that one's to tell.
fn outcome(sweep: &Sweep<'_>, facts: &UserFacts) -> Outcome {
    let planned = plan(facts, &sweep.settings.periods, sweep.now);
    let is_true = |notice: &Notice| notice.tells_of.is_none() && !notice.kind.is_for_dry_run_only();
    let notices = planned.notices.into_iter().filter(is_true).collect();
    Outcome { notices, ..Outcome::new(UserPlan::nothing(facts.user())) }.with_memory_of(facts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::UserRef;

    fn account(text: &str) -> AccountId {
        text.parse().unwrap()
    }

    #[test]
    fn a_digest_takes_whole_accounts_in_their_order_and_says_where_another_goes_on() {
        let [a, b, c] = ["111111111111", "222222222222", "333333333333"].map(account);
        let held = |users: [usize; 3]| -> BTreeMap<AccountId, Vec<SecretName>> {
            let accounts = [&a, &b, &c].into_iter().zip(users).filter(|(_, users)| *users > 0);
            let of = |account: &AccountId, n: usize| {
                SecretName::of(&UserRef { account: account.clone(), name: format!("user-{n}").parse().unwrap() })
            };
            accounts.map(|(account, users)| (account.clone(), (0..users).map(|n| of(account, n)).collect())).collect()
        };
        for (users, most, kept, last) in [
            ([2, 2, 2], 6, 3, None),
            ([2, 2, 2], 5, 2, Some(&b)),
            ([2, 2, 2], 4, 2, Some(&b)),
            ([2, 2, 2], 3, 1, Some(&a)),
            // An account is never divided, nor passed over for its size.
            ([9, 1, 1], 3, 1, Some(&a)),
            ([1, 9, 1], 3, 1, Some(&a)),
            ([9, 0, 0], 3, 1, None),
            ([0, 0, 0], 3, 0, None),
        ] {
            let mut held = held(users);
            assert_eq!(keep_first(&mut held, most).as_ref(), last, "{users:?}, {most}");
            assert_eq!(held.len(), kept, "{users:?}, {most}");
        }
    }

    #[test]
    fn a_digest_goes_on_behind_the_account_that_it_is_given() {
        let [a, b] = ["111111111111", "222222222222"].map(account);
        assert!(is_after(&a, None));
        assert_eq!([is_after(&a, Some(&a)), is_after(&b, Some(&a)), is_after(&a, Some(&b))], [false, true, false]);
    }
}
