//! The secrets of accounts that are closed or have left the organization. No sweep of an account reaches them: no role
//! can be assumed there, or no list names the account. If the whole list of accounts is known, one pass over all
//! secrets finds them.
//!
//! An account that the list lacks, or shows as closed, is read once more by itself, because lists lag. An account
//! counts as gone only if `AWS_ORG_ID` is set and the list is that organization's. Otherwise nothing shows that the
//! account ever belonged to it.

use std::collections::BTreeMap;

use futures_util::StreamExt as _;
use futures_util::stream;
use tracing::info;

use super::carry_out::on_secret;
use super::inventory::WholeList;
use super::ledger::{FRESH_IN_A_SWEEP, Ledger};
use super::notices::SweptAccount;
use super::observe::present_secret;
use super::outcome::UserOutcome;
use super::report::Failure;
use super::run::{OUT_OF_TIME, Run};
use super::stage::Stage;
use super::totals::SweepTotals;
use crate::aws::{AccountState, CallFailure, PageTokens, SecretDescription};
use crate::calendar::due;
use crate::keys::{AccountId, SecretName};
use crate::lifecycle::{
    Action, ActionName, Departure, PresentSecret, UserPlan, is_own_secret, plan_for_departed_account,
    plan_for_returned_account,
};
use crate::notify::AccountContact;
use crate::state::State;

/// Looks after the secrets of closed and gone accounts. Returns their outcomes with what is left to send and record.
/// Safe to repeat.
pub(super) async fn sweep(run: &Run<'_>, whole: &WholeList, totals: &mut SweepTotals) -> Vec<SweptAccount> {
    let found = match find(run, whole).await {
        Ok(found) => found,
        Err(failure) => {
            let error = failure.to_string();
            totals.add_failures([Failure { account: None, user: None, action: Stage::DepartedAccount, error }]);
            return Vec::new();
        }
    };
    let mut swept = Vec::new();
    for (id, secrets) in found {
        let failed = |error: &str| Failure::of_account(&id, Stage::DepartedAccount, error);
        if run.is_out_of_time() {
            totals.add_failures([failed(OUT_OF_TIME)]);
            continue;
        }
        let fate = match AccountFate::of(run, whole, &id).await {
            Ok(Some(fate)) => fate,
            Ok(None) => continue,
            Err(failure) => {
                totals.add_failures([failed(&failure.to_string())]);
                continue;
            }
        };
        let outcomes = sweep_account(run, &fate, secrets).await;
        for outcome in &outcomes {
            totals.add_work(outcome);
        }
        totals.add_failures(fate.report(run, &outcomes).map(|error| failed(&error)));
        let outcomes: Vec<_> = outcomes.into_iter().filter(UserOutcome::is_unfinished).collect();
        if !outcomes.is_empty() {
            // The account's own address may be dead.
            swept.push(SweptAccount { contact: Some(AccountContact::without_address(&id)), outcomes });
        }
    }
    swept
}

/// Lists the secrets, a call for each hundred. Returns the secrets whose account is not known to be active, and the
/// secrets that record a departure, in the order of their names.
async fn find(
    run: &Run<'_>,
    whole: &WholeList,
) -> Result<BTreeMap<AccountId, BTreeMap<SecretName, SecretDescription>>, CallFailure> {
    let (mut found, mut tokens, mut from) = (BTreeMap::<_, BTreeMap<_, _>>::new(), PageTokens::default(), None);
    loop {
        let page = run.aws.secrets().of_all_accounts(from).await?;
        for secret in page.secrets {
            let account = &secret.name.user().account;
            let present = present_secret(&secret, Vec::new());
            let is_active = whole.states.get(account) == Some(&AccountState::Active);
            if is_own_secret(&present) && (!is_active || present.state.departed.is_some()) {
                found.entry(account.clone()).or_default().insert(secret.name.clone(), secret);
            }
        }
        from = tokens.next("secretsmanager:ListSecrets", "all accounts", page.next)?;
        // A later run finds the others.
        if from.is_none() || run.is_out_of_time() {
            return Ok(found);
        }
    }
}

/// The present state of an account that has secrets.
enum AccountFate {
    Departed(Departure),
    /// The account is active.
    Returned,
}

impl AccountFate {
    /// Returns the state of the account; `None` if the list and the account's own entry disagree, or prove nothing.
    ///
    /// # Errors
    /// The failure to read the account: it is unknown then, and nothing is done.
    async fn of(run: &Run<'_>, whole: &WholeList, id: &AccountId) -> Result<Option<Self>, CallFailure> {
        let listed = whole.states.get(id);
        if listed == Some(&AccountState::Active) {
            return Ok(Some(Self::Returned));
        }
        let is_closed = listed.and_then(AccountState::closed).is_some();
        let is_absent = listed.is_none() && is_of_organization(run, whole);
        if !is_closed && !is_absent {
            return Ok(None);
        }
        let departure = match run.aws.organizations().await?.account(id).await {
            Ok(account) if is_closed => account.state.closed().map(|state| Departure::Closed(state.to_owned())),
            Err(failure) if failure.is_not_found() && is_absent => Some(Departure::Left),
            Err(failure) if !failure.is_not_found() => return Err(failure),
            Ok(_) | Err(_) => None,
        };
        if departure.is_none() {
            info!(account = %id, "the list of accounts and the account's entry disagree: nothing is done for its secrets");
        }
        Ok(departure.map(Self::Departed))
    }

    fn plan(&self, run: &Run<'_>, secret: &SecretDescription, present: &PresentSecret, tells: bool) -> UserPlan {
        let user = secret.name.user();
        match self {
            Self::Departed(_) => plan_for_departed_account(user, present, tells, &run.settings.periods, run.now),
            Self::Returned => plan_for_returned_account(user, present),
        }
    }

    /// Returns the report of a closed or gone account, one line for all of its secrets; `None` for an active account.
    fn report(&self, run: &Run<'_>, outcomes: &[UserOutcome]) -> Option<String> {
        let Self::Departed(why) = self else { return None };
        let (deleted, kept): (Vec<_>, Vec<_>) =
            outcomes.iter().partition(|outcome| outcome.plan.actions.contains(&Action::DeleteSecret));
        let waits = kept.iter().flat_map(|outcome| &outcome.plan.waiting).filter_map(|waiting| waiting.until);
        let from = waits.min().unwrap_or_else(|| due(run.now, run.settings.periods.recovery_grace));
        let (mut kept_line, mut deleted_line) = (String::new(), String::new());
        if !kept.is_empty() {
            let (count, is) = (kept.len(), if run.dry_run { "would not be" } else { "are not" });
            let day = from.date_naive();
            kept_line = format!(
                " {count} secret(s) {is} rotated any more; their deletion is due from {day} on, unless the account is \
                 active again"
            );
        }
        if !deleted.is_empty() {
            let (count, is) = (deleted.len(), if run.dry_run { "would be" } else { "are" });
            deleted_line = format!(" {count} secret(s) {is} scheduled for deletion, with 30 days to restore");
        }
        Some(format!("{why}, so nothing in it can be rotated.{kept_line}{deleted_line}"))
    }
}

/// Whether the list is that of the organization of the settings, and has the store's own account.
fn is_of_organization(run: &Run<'_>, whole: &WholeList) -> bool {
    let wanted = run.settings.organization_id.as_ref();
    wanted.is_some() && whole.organization.as_ref() == wanted && whole.states.contains_key(run.aws.primary_account())
}

/// Looks after the secrets of one account, a bounded number at the same time.
async fn sweep_account(
    run: &Run<'_>,
    fate: &AccountFate,
    secrets: BTreeMap<SecretName, SecretDescription>,
) -> Vec<UserOutcome> {
    stream::iter(secrets.into_values().enumerate())
        .map(|(position, listed)| async move {
            let user = listed.name.user();
            let planned = fate.plan(run, &listed, &present_secret(&listed, Vec::new()), position == 0);
            if run.dry_run || (planned.actions.is_empty() && planned.notices.is_empty()) {
                return UserOutcome::planned(planned, Ledger::empty(user));
            }
            if run.is_out_of_time() {
                return UserOutcome::failed(user, Stage::DepartedAccount, OUT_OF_TIME);
            }
            let done = confirm_and_carry_out(run, fate, &listed, planned).await;
            done.unwrap_or_else(|failure| UserOutcome::failed(user, Stage::DepartedAccount, &failure))
        })
        .buffered(run.settings.max_concurrent_users)
        .collect()
        .await
}

/// Reads the secret again, because the list lags, and carries out the actions that both plans have.
async fn confirm_and_carry_out(
    run: &Run<'_>,
    fate: &AccountFate,
    listed: &SecretDescription,
    planned: UserPlan,
) -> Result<UserOutcome, CallFailure> {
    let user = listed.name.user();
    let described = run.aws.secrets().describe(&listed.name.to_string()).await?;
    let Some(secret) = described.filter(|secret| secret.deleted.is_none()) else {
        return Ok(UserOutcome::nothing(user));
    };
    let tells = !planned.notices.is_empty();
    let mut confirmed = fate.plan(run, &secret, &present_secret(&secret, Vec::new()), tells);
    // No list shows replicas.
    let is_agreed =
        |action: &Action| planned.actions.contains(action) || matches!(action, Action::RemoveReplicas { .. });
    confirmed.actions.retain(is_agreed);
    let state = State::read(&secret.tags);
    let ledger = Ledger::read(user, secret.tags, Some(&state), run.aws.now() + FRESH_IN_A_SWEEP);
    let mut outcome = UserOutcome::planned(confirmed, ledger);
    carry_out(run, &mut outcome).await;
    Ok(outcome)
}

/// Carries the actions out in order; the first failure stops the rest. Nothing is sent about what was not done, and
/// nothing can be recorded in a secret that is scheduled for deletion.
async fn carry_out(run: &Run<'_>, outcome: &mut UserOutcome) {
    let user = outcome.plan.user.clone();
    for action in outcome.plan.actions.clone() {
        let done = async {
            outcome.ledger.begin(run, &action).await?;
            on_secret(run, &user, &action).await?;
            outcome.ledger.complete(run, &action).await
        };
        if let Err(failure) = done.await {
            outcome.add_failure(Stage::Action(action.name()), &failure);
            break;
        }
        info!(%user, %action, "done");
        outcome.done.push(action.name());
    }
    // Recording the departure has removed the mark.
    outcome.ledger.leave_mark_to_digest();
    let done = outcome.done.clone();
    let is_deleted = done.contains(&ActionName::DeleteSecret);
    outcome.notices.retain(|notice| !is_deleted && notice.tells_of.is_none_or(|action| done.contains(&action)));
}
