//! What the sweeps of single accounts held, told at the end of a run: one message per recipient over all accounts.
//! Changes no key and no schedule.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::StreamExt as _;
use futures_util::stream;
use tracing::warn;

use super::apply::Records;
use super::observe::Member;
use super::report::{Failure, Report};
use super::tally::Tally;
use super::tell::{Swept, tell as tell_swept};
use super::user::{self, Outcome, STAYS_FRESH};
use super::{Sweep, inventory, observe};
use crate::aws::{AccountDetails, Iam, SecretDescription};
use crate::error::Error;
use crate::keys::{AccountId, UserName};
use crate::lifecycle::{Action, Notice, UserFacts, UserPlan, plan};
use crate::notify::Scope;
use crate::state::tag;

/// Tells what is held. Safe to repeat: what was told is recorded, and what could not be told stays held.
///
/// # Errors
/// [`Error::Aws`] when the marked secrets could not be listed. What goes wrong with one account or user is in the report.
pub(super) async fn tell(sweep: &Sweep<'_>) -> Result<Report, Error> {
    let mut by_account: BTreeMap<AccountId, Vec<SecretDescription>> = BTreeMap::new();
    for secret in sweep.aws.secrets().with_tag(tag::UNTOLD).await? {
        by_account.entry(secret.name.user().account.clone()).or_default().push(secret);
    }
    let mut tally = Tally::new(sweep.dry_run);
    let mut accounts = stream::iter(by_account)
        .map(|(id, secrets)| account(sweep, id, secrets))
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
    let mut report = tally.into_report(sweep.now);
    tell_swept(sweep, &mut swept, Scope::Run, &mut report).await;
    Ok(report.finish())
}

async fn account(sweep: &Sweep<'_>, id: AccountId, held: Vec<SecretDescription>) -> Result<Swept, Failure> {
    let failed = |failure: &crate::aws::Failure| Failure::of_account(&id, "digest", failure);
    let contact = inventory::contact(sweep.aws, &id).await.map_err(|failure| failed(&failure))?;
    let iam = sweep.aws.iam(&id, sweep.partition()).await.map_err(|failure| failed(&failure))?;
    let listed = listed(sweep, &*iam, held.len()).await;
    let outcomes = stream::iter(&held)
        .map(|secret| user(sweep, &*iam, secret, listed.get(&secret.name.user().name)))
        .buffer_unordered(sweep.settings.max_concurrent_users)
        .collect()
        .await;
    Ok(Swept { contact: Some(contact), outcomes })
}

/// The users on the first page of the account's list, which most accounts have no second of: a call for what takes two for
/// each user. Who is not on it, or all if it cannot be had, are asked for one by one.
async fn listed(sweep: &Sweep<'_>, iam: &dyn Iam, held: usize) -> BTreeMap<UserName, Member> {
    if held < USERS_WORTH_A_LIST {
        return BTreeMap::new();
    }
    let page = iam.account_details(None).await.unwrap_or_else(|failure| {
        warn!(account = %iam.account(), error = %failure, "users are asked for one by one");
        AccountDetails::default()
    });
    let members = page.users.into_iter().map(|listed| Member::of(sweep, listed));
    members.map(|member| (member.name().clone(), member)).collect()
}

/// So many users are asked for in more calls than a page of the list takes.
const USERS_WORTH_A_LIST: usize = 2;

async fn user(sweep: &Sweep<'_>, iam: &dyn Iam, held: &SecretDescription, listed: Option<&Member>) -> Outcome {
    let user = held.name.user();
    let late = || Outcome::failed(user, "digest", user::OUT_OF_TIME);
    if sweep.is_out_of_time() {
        return late();
    }
    let fresh_until = Some(sweep.aws.now() + STAYS_FRESH);
    match observe::user_alone(sweep, iam, &user.name, listed).await {
        Ok(Some((facts, tags))) => Outcome { records: Records::of(tags), fresh_until, ..outcome(sweep, &facts) },
        // The secret of a deleted user is scheduled for deletion once that is told.
        Ok(None) => user::sweep_without_user(sweep, iam, held).await.unwrap_or_else(late),
        Err(failure) => Outcome::failed(user, "digest", &failure),
    }
}

/// What is true of the user now. What the next sweep is to do is that one's to tell.
fn outcome(sweep: &Sweep<'_>, facts: &UserFacts) -> Outcome {
    let planned = plan(facts, &sweep.settings.periods, sweep.now);
    let to_do: BTreeSet<&str> = planned.actions.iter().map(Action::name).collect();
    let is_true = |notice: &Notice| {
        let is_done = user::follow_from(&notice.kind).iter().all(|action| !to_do.contains(action));
        is_done && !notice.kind.is_for_dry_run_only()
    };
    let notices = planned.notices.into_iter().filter(is_true).collect();
    Outcome { notices, ..Outcome::new(UserPlan::nothing(facts.user())) }.with_memory_of(facts)
}
