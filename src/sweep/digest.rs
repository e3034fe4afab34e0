//! The digest: the notices that the sweeps of single accounts deferred, one message per recipient over all accounts, or
//! over as many as the function's time and memory allow. Changes no key. The secret of a deleted user is scheduled for
//! deletion once its notice is sent.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::StreamExt as _;
use futures_util::stream;
use tracing::warn;

use super::account_user::AccountUser;
use super::accounts;
use super::inventory::{self, Inventory};
use super::ledger::{FRESH_IN_A_SWEEP, Ledger};
use super::notices::{self, SweptAccount};
use super::outcome::UserOutcome;
use super::report::{Failure, Report};
use super::run::{OUT_OF_TIME, Run};
use super::stage::Stage;
use super::totals::SweepTotals;
use super::user_list::UserList;
use super::user_pages::{LARGEST_PAGE, UserPages};
use super::{departed, gone, observe};
use crate::aws::{CallFailure, Iam};
use crate::error::Error;
use crate::keys::{AccountId, SecretName, UserName};
use crate::lifecycle::{Allowance, GrantedTurns, Notice, UserFacts, UserPlan, plan_within};
use crate::notify::{AccountContact, Scope};
use crate::state::{UNTOLD_PREFIX, tag};

/// Limits the users of one digest; its first account is always complete. IAM allows this many users in one account, and
/// one message describes this many notices.
///
/// Each user takes some kilobytes of memory, one change of tags, and in the worst case a mail of its own. Secrets
/// Manager accepts 50 changes of tags in a second. SES commonly sends 14 mails in a second.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>
/// <https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html>
const MAX_USERS: usize = 5_000;

/// Most accounts in one digest of a dry run, if the time allows them: their plans have to fit into memory.
const MAX_ACCOUNTS: usize = 1_000;

/// Sends the deferred notices in the order of the accounts: of all, or of those after the named account. The report
/// says after which account another digest has to continue, if any. Safe to repeat: sent notices are recorded, and a
/// secret whose notice could not be sent keeps its mark.
///
/// # Errors
/// [`Error::Aws`] if the marked secrets could not be listed. Failures of one account or user are in the report.
pub(super) async fn send(run: &Run<'_>, after: Option<&AccountId>) -> Result<Report, Error> {
    let mut marked: BTreeMap<AccountId, Vec<SecretName>> = BTreeMap::new();
    for name in run.aws.secrets().names_with_tag(tag::UNTOLD, UNTOLD_PREFIX).await? {
        let account = &name.user().account;
        if is_after(account, after) {
            marked.entry(account.clone()).or_default().push(name);
        }
    }
    let digest_after = keep_first(&mut marked, MAX_USERS);
    // The last digest also looks after the secrets of closed and gone accounts, for which it needs the whole list.
    let listed = if digest_after.is_none() { inventory::whole(run).await } else { None };
    let active = listed.as_ref().map(|(active, _)| &active[..]);
    let contacts = contacts(run, &marked.keys().cloned().collect(), active).await;
    let mut totals = SweepTotals::new(run.dry_run);
    let mut accounts = stream::iter(marked)
        .map(|(id, secrets)| {
            let contact = contacts.get(&id).cloned();
            observe_account(run, id, secrets, contact)
        })
        .buffer_unordered(run.settings.max_concurrency);
    let mut observed = Vec::new();
    while let Some(account) = accounts.next().await {
        totals.report.accounts += 1;
        match account {
            Ok(account) => {
                account.outcomes.iter().for_each(|outcome| totals.add(outcome));
                observed.push(account);
            }
            Err(failure) => totals.add_failures([failure]),
        }
    }
    if let Some((_, whole)) = &listed {
        observed.extend(departed::sweep(run, whole, &mut totals).await);
    }
    let mut report = Report { digest_after, ..totals.into_report(run.now) };
    notices::send_and_record(run, &mut observed, Scope::Run, &mut report).await;
    Ok(report.finish())
}

/// Returns the names and addresses of the wanted accounts, as far as a list shows them. `active` are the active
/// accounts of the whole list, if it was read.
async fn contacts(
    run: &Run<'_>,
    wanted: &BTreeSet<AccountId>,
    active: Option<&[AccountContact]>,
) -> BTreeMap<AccountId, AccountContact> {
    let Some(active) = active else { return inventory::listed_contacts(run, wanted).await };
    let wanted = active.iter().filter(|account| wanted.contains(&account.id));
    wanted.map(|account| (account.id.clone(), account.clone())).collect()
}

/// The digest of a dry run. A dry run may not mark secrets, so the notices are planned again.
///
/// # Errors
/// [`Error::Aws`] if the accounts could not be listed.
pub(super) async fn plan_again(run: &Run<'_>, after: Option<&AccountId>) -> Result<Report, Error> {
    let mut inventory = inventory::all(run.aws, run.settings).await?;
    let whole = inventory.take_whole();
    let Inventory { mut accounts, mut skipped, mut failures, .. } = inventory;
    accounts.retain(|account| is_after(&account.id, after));
    accounts.sort_by(|a, b| a.id.cmp(&b.id));
    if after.is_some() {
        // The first digest has reported them.
        skipped.clear();
        failures.clear();
    }
    let rest = accounts.split_off(accounts.len().min(run.accounts_that_fit().clamp(1, MAX_ACCOUNTS)));
    let last = accounts.last().map(|account| account.id.clone());
    let digest_after = last.filter(|_| !rest.is_empty());
    let whole = whole.filter(|_| digest_after.is_none());
    let report = accounts::sweep_inventory(run, Inventory::of(accounts, skipped, failures), whole).await;
    Ok(Report { digest_after, ..report })
}

fn is_after(account: &AccountId, after: Option<&AccountId>) -> bool {
    after.is_none_or(|after| account > after)
}

/// Drops the accounts beyond that many users, but never the first account. Returns the last account that is kept if any
/// is dropped.
fn keep_first(marked: &mut BTreeMap<AccountId, Vec<SecretName>>, max_users: usize) -> Option<AccountId> {
    let mut users = 0;
    let beyond = marked.iter().find_map(|(account, secrets)| {
        let is_first = users == 0;
        users += secrets.len();
        (!is_first && users > max_users).then(|| account.clone())
    })?;
    marked.split_off(&beyond);
    marked.last_key_value().map(|(account, _)| account.clone())
}

async fn observe_account(
    run: &Run<'_>,
    id: AccountId,
    marked: Vec<SecretName>,
    listed: Option<AccountContact>,
) -> Result<SweptAccount, Failure> {
    let failed = |failure: &CallFailure| Failure::of_account(&id, Stage::Digest, failure);
    if run.is_out_of_time() {
        return Err(Failure::of_account(&id, Stage::Digest, OUT_OF_TIME));
    }
    let contact = match listed {
        Some(contact) => contact,
        None => inventory::contact(run.aws, run.settings, &id).await.map_err(|failure| failed(&failure))?,
    };
    let iam = run.aws.iam(&id, run.partition()).await.map_err(|failure| failed(&failure))?;
    let (users, is_limited) = listed_users(run, &*iam, &marked).await;
    let all_users = UserList::first(run.aws.now(), 1, LARGEST_PAGE);
    let outcomes = stream::iter(&marked)
        .map(|secret| {
            let listed = users.get(&secret.user().name);
            observe_user(run, &*iam, &all_users, secret, listed, is_limited)
        })
        .buffer_unordered(run.settings.max_concurrent_users)
        .collect()
        .await;
    Ok(SweptAccount { contact: Some(contact), outcomes })
}

/// The users of these secrets from the account's list: a page is one call, and a user alone is two. Users who are
/// missing here are read one by one, as are all users if there is no list. Also returns whether the account has more
/// users than a run may change keys of; if that is not known, it may have.
async fn listed_users(run: &Run<'_>, iam: &dyn Iam, marked: &[SecretName]) -> (BTreeMap<UserName, AccountUser>, bool) {
    let wanted: BTreeSet<&UserName> = marked.iter().map(|secret| &secret.user().name).collect();
    let (mut found, mut pages) = (BTreeMap::new(), UserPages::of(iam, LARGEST_PAGE));
    let has_limit = run.settings.changes_per_run > 0;
    let mut seen = 0;
    loop {
        let page = match pages.next().await {
            Ok(Some(page)) => page,
            Ok(None) => return (found, run.is_limited(seen)),
            Err(failure) => {
                warn!(account = %iam.account(), error = %failure, "users are read one by one");
                return (found, has_limit);
            }
        };
        seen += page.users.len();
        let users = page.users.into_iter().map(|listed| AccountUser::of(run, listed));
        let users = users.filter(|user| wanted.contains(user.name()));
        found.extend(users.map(|user| (user.name().clone(), user)));
        let is_last_missing_cheaper = found.len() + 1 >= wanted.len();
        let is_limited = run.is_limited(seen);
        if is_last_missing_cheaper && (is_limited || !has_limit) {
            return (found, is_limited);
        }
    }
}

async fn observe_user(
    run: &Run<'_>,
    iam: &dyn Iam,
    all_users: &UserList,
    marked: &SecretName,
    listed: Option<&AccountUser>,
    is_limited: bool,
) -> UserOutcome {
    let user = marked.user();
    let late = || UserOutcome::failed(user, Stage::Digest, OUT_OF_TIME);
    if run.is_out_of_time() {
        return late();
    }
    let fresh_until = run.aws.now() + FRESH_IN_A_SWEEP;
    match observe::observe_alone(run, iam, &user.name, listed).await {
        Ok(Some((facts, tags))) => {
            let state = facts.secret.present().map(|secret| &secret.state);
            let ledger = Ledger::read(user, tags, state, fresh_until);
            let notices = notices_of_today(run, &facts, is_limited);
            UserOutcome { notices, ..UserOutcome::planned(UserPlan::nothing(user), ledger) }
        }
        Ok(None) => gone::sweep_marked(run, iam, all_users, marked).await.unwrap_or_else(late),
        Err(failure) => UserOutcome::failed(user, Stage::Digest, &failure),
    }
}

/// The notices that are true of the user now. The next sweep sends those of actions that it has yet to carry out.
fn notices_of_today(run: &Run<'_>, facts: &UserFacts, is_limited: bool) -> Vec<Notice> {
    // The sweep decided which changes have their turn, and a digest changes no key.
    let allowance = Allowance { turns: GrantedTurns::NONE, is_limited };
    let planned = plan_within(facts, &run.settings.periods, run.now, allowance);
    let is_true = |notice: &Notice| notice.tells_of.is_none() && !notice.kind.is_for_dry_run_only();
    planned.notices.into_iter().filter(is_true).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::UserRef;

    fn account(text: &str) -> AccountId {
        text.parse().unwrap()
    }

    #[test]
    fn digests_divide_accounts_by_whole_and_say_where_to_continue() {
        let [a, b, c] = ["111111111111", "222222222222", "333333333333"].map(account);
        let marked = |users: [usize; 3]| -> BTreeMap<AccountId, Vec<SecretName>> {
            let accounts = [&a, &b, &c].into_iter().zip(users).filter(|(_, users)| *users > 0);
            let of = |account: &AccountId, n: usize| {
                SecretName::of(&UserRef { account: account.clone(), name: format!("user-{n}").parse().unwrap() })
            };
            accounts.map(|(account, users)| (account.clone(), (0..users).map(|n| of(account, n)).collect())).collect()
        };
        for (users, max_users, kept, last) in [
            ([2, 2, 2], 6, 3, None),
            ([2, 2, 2], 5, 2, Some(&b)),
            ([2, 2, 2], 4, 2, Some(&b)),
            ([2, 2, 2], 3, 1, Some(&a)),
            // An account is never divided, and never left out for its size.
            ([9, 1, 1], 3, 1, Some(&a)),
            ([1, 9, 1], 3, 1, Some(&a)),
            ([9, 0, 0], 3, 1, None),
            ([0, 0, 0], 3, 0, None),
        ] {
            let mut marked = marked(users);
            assert_eq!(keep_first(&mut marked, max_users).as_ref(), last, "{users:?}, {max_users}");
            assert_eq!(marked.len(), kept, "{users:?}, {max_users}");
        }
    }

    #[test]
    fn a_digest_continues_after_the_account_that_it_is_given() {
        let [a, b] = ["111111111111", "222222222222"].map(account);
        assert!(is_after(&a, None));
        assert_eq!([is_after(&a, Some(&a)), is_after(&b, Some(&a)), is_after(&a, Some(&b))], [false, true, false]);
    }
}
