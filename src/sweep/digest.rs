//! What the sweeps of single accounts held, told at the end of a run: one message per recipient over all accounts.
//! Changes no key and no schedule.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::StreamExt as _;
use futures_util::stream;

use super::report::{Failure, Report};
use super::tally::Tally;
use super::tell::{Swept, tell as tell_swept};
use super::user::{self, Outcome};
use super::{Sweep, inventory, observe};
use crate::aws::{Iam, SecretDescription};
use crate::error::Error;
use crate::keys::AccountId;
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
    let outcomes = stream::iter(&held)
        .map(|secret| user(sweep, &*iam, secret))
        .buffer_unordered(sweep.settings.max_concurrent_users)
        .collect()
        .await;
    Ok(Swept { contact: Some(contact), outcomes })
}

async fn user(sweep: &Sweep<'_>, iam: &dyn Iam, held: &SecretDescription) -> Outcome {
    let user = held.name.user();
    let late = || Outcome::failed(user, "digest", user::OUT_OF_TIME);
    if sweep.is_out_of_time() {
        return late();
    }
    match observe::user_alone(sweep, iam, &user.name).await {
        Ok(Some(facts)) => outcome(sweep, &facts),
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
