//! The sweep of one user: observe → plan → confirm → carry out. One user's failure is reported and never stops the
//! sweep of others.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use tracing::{info, warn};

use super::account_user::AccountUser;
use super::carry_out::ActionTarget;
use super::ledger::{FRESH_IN_A_SWEEP, Ledger};
use super::observe::{AccountContext, KEYS_STAY_FRESH, PolicyCheck};
use super::outcome::UserOutcome;
use super::run::{OUT_OF_TIME, Run};
use super::stage::Stage;
use crate::aws::{CallFailure, FailureKind, SecretDescription, is_rotation_unfinished};
use crate::calendar::midnight;
use crate::keys::UserRef;
use crate::lifecycle::{
    Action, ActionName, Allowance, Change, Drift, Exemption, GrantedTurns, KeyFacts, UserFacts, UserPlan, is_reader,
    key_dates, plan_within,
};
use crate::provision;
use crate::state::{KeyDates, Reader, TagChange, tag};

/// The result of looking at one user.
pub(super) enum Swept {
    /// The user is done.
    Done(Box<UserOutcome>),
    /// Keys are to be changed, and the account's oldest changes come first.
    Waits(Box<WaitingUser>),
}

/// A user whose changes wait for their turn. Nothing of its plan is done yet.
pub(super) struct WaitingUser {
    pub(super) user: AccountUser,
    first: FirstPlan,
}

impl WaitingUser {
    /// The changes that wait.
    pub(super) fn changes(&self) -> &[Change] {
        &self.first.plan.changes
    }
}

/// Sweeps one user; `None` if the time has run out.
pub(super) async fn sweep(
    context: &AccountContext<'_>,
    user: &AccountUser,
    secret: Option<&SecretDescription>,
    check: PolicyCheck,
) -> Option<Swept> {
    let run = context.run;
    if run.is_out_of_time() {
        return None;
    }
    let name = user.arn.user();
    let done = |outcome| Some(Swept::Done(Box::new(outcome)));
    let observed_at = run.aws.now();
    let facts = match context.observe(user, secret, check).await {
        Ok(Some(facts)) => facts,
        Ok(None) => return done(deleted_meanwhile(name)),
        Err(failure) => return done(UserOutcome::failed(name, Stage::Observe, &failure)),
    };
    let turns = GrantedTurns::ALL;
    let first = FirstPlan { plan: decide(context, &facts, turns), facts, observed_at, turns };
    if context.is_limited && !first.plan.changes.is_empty() {
        return Some(Swept::Waits(Box::new(WaitingUser { user: user.clone(), first })));
    }
    done(conclude(context, user, first).await)
}

/// Sweeps a user whose changes waited, with these turns; `None` if the time has run out.
pub(super) async fn sweep_in_turn(
    context: &AccountContext<'_>,
    waiting: WaitingUser,
    turns: GrantedTurns,
) -> Option<UserOutcome> {
    if context.run.is_out_of_time() {
        return None;
    }
    let WaitingUser { user, first } = waiting;
    let plan = if turns == first.turns { first.plan } else { decide(context, &first.facts, turns) };
    Some(conclude(context, &user, FirstPlan { plan, turns, ..first }).await)
}

/// Confirms the plan and carries it out. A dry run stops before.
async fn conclude(context: &AccountContext<'_>, user: &AccountUser, first: FirstPlan) -> UserOutcome {
    let (run, name) = (context.run, user.arn.user());
    let FirstPlan { facts, plan: planned, .. } = &first;
    let oldest_key = oldest_key(facts);
    let is_idle = planned.actions.is_empty() && planned.notices.is_empty();
    if run.dry_run || (is_idle && observations(facts, planned, run.now).is_empty()) {
        let ledger = Ledger::listed(name, facts.secret.present().map(|secret| &secret.state));
        return UserOutcome { oldest_key, ..UserOutcome::planned(first.plan, ledger) };
    }
    let outcome = match confirm(context, user, first).await {
        Ok(Some(confirmed)) => carry_out(context, user, confirmed).await,
        Ok(None) => deleted_meanwhile(name),
        Err(failure) => UserOutcome::failed(name, Stage::Confirm, &failure),
    };
    UserOutcome { oldest_key, ..outcome }
}

fn deleted_meanwhile(user: &UserRef) -> UserOutcome {
    info!(%user, "the user was deleted during the sweep");
    UserOutcome::nothing(user)
}

/// When the oldest key that keywheel rotates was made. Keys of exempt users are old on purpose.
fn oldest_key(facts: &UserFacts) -> Option<DateTime<Utc>> {
    let is_rotated = facts.exemption != Exemption::Exempt;
    facts.keys.iter().filter(|key| is_rotated && key.is_active()).map(|key| key.created).min()
}

fn decide(context: &AccountContext<'_>, facts: &UserFacts, turns: GrantedTurns) -> UserPlan {
    let AccountContext { run, is_limited, .. } = *context;
    plan_within(facts, &run.settings.periods, run.now, Allowance { turns, is_limited })
}

/// The plan that the first observation of a user leads to.
struct FirstPlan {
    facts: UserFacts,
    plan: UserPlan,
    observed_at: DateTime<Utc>,
    turns: GrantedTurns,
}

/// A plan whose actions two observations agree on.
struct ConfirmedPlan {
    facts: UserFacts,
    plan: UserPlan,
    /// The first action that is only in the second plan, and all actions after it.
    dropped: Vec<Action>,
    tags: BTreeMap<String, String>,
    tags_fresh_until: DateTime<Utc>,
}

/// Observes the user again and keeps the actions that are in both plans: lists lag, and people work at the same time.
/// `None` if the user was deleted meanwhile.
async fn confirm(
    context: &AccountContext<'_>,
    user: &AccountUser,
    first: FirstPlan,
) -> Result<Option<ConfirmedPlan>, CallFailure> {
    let run = context.run;
    let FirstPlan { facts, plan: planned, observed_at, turns } = first;
    let Some((mut facts, tags)) = context.again(user, facts).await? else { return Ok(None) };
    let tags_fresh_until = run.aws.now() + FRESH_IN_A_SWEEP;
    let mut plan = decide(context, &facts, turns);
    // The keys were listed before the secret was read: another sweep may have disabled one of them in between, and a
    // call may take long.
    let is_surprising =
        |action: &Action| matches!(action, Action::RestartGrace { .. }) && !planned.actions.contains(action);
    if run.aws.now() >= observed_at + KEYS_STAY_FRESH || plan.actions.iter().any(is_surprising) {
        let Some(again) = context.with_keys_again(user, facts).await? else { return Ok(None) };
        facts = again;
        plan = decide(context, &facts, turns);
    }
    // An action after a dropped one may depend on it. A key that a person enabled needs no second observation.
    let is_agreed =
        |action: &&Action| planned.actions.contains(action) || matches!(action, Action::RestartGrace { .. });
    let agreed = plan.actions.iter().take_while(is_agreed).count();
    let dropped = plan.actions.split_off(agreed);
    for action in &dropped {
        info!(user = %plan.user, %action, "left to the next sweep: the facts changed meanwhile");
    }
    Ok(Some(ConfirmedPlan { facts, plan, dropped, tags, tags_fresh_until }))
}

/// Carries a confirmed plan out and leaves the notices to be sent.
async fn carry_out(context: &AccountContext<'_>, user: &AccountUser, confirmed: ConfirmedPlan) -> UserOutcome {
    let run = context.run;
    let ConfirmedPlan { facts, plan, dropped, tags, tags_fresh_until } = confirmed;
    let target = ActionTarget::user(context, user, &facts);
    let observations = observations(&facts, &plan, run.now);
    let state = facts.secret.present().map(|secret| &secret.state);
    let ledger = Ledger::read(facts.user(), tags, state, tags_fresh_until);
    let mut outcome = UserOutcome::planned(plan, ledger);
    outcome.notices.retain(|notice| !notice.kind.is_for_dry_run_only());
    if run.defers_notices && outcome.renews_mark() && outcome.notices.iter().any(|notice| !notice.kind.is_urgent()) {
        outcome.ledger.mark_with_next_change(run.now);
    }
    carry_out_all(&target, &mut outcome).await;
    if outcome.failures.is_empty() && dropped.is_empty() {
        outcome.ledger.add(observations);
    }
    write_unless_notices_follow(run, &mut outcome).await;
    outcome
}

/// Carries the actions out in order. The first failure stops the rest, and the notices of actions that were not carried
/// out are not sent. A user who could not join the reader group cannot read its secret, so nothing is announced either.
pub(super) async fn carry_out_all(target: &ActionTarget<'_>, outcome: &mut UserOutcome) {
    let actions = outcome.plan.actions.clone();
    for action in &actions {
        if target.run.is_out_of_time() {
            // Lambda would end the function during the action, and the report and all mails would be lost.
            outcome.add_failure(Stage::Action(action.name()), OUT_OF_TIME);
            break;
        }
        if *action == Action::DeleteSecret {
            outcome.secret_to_delete = Some(target.arn.clone());
            continue;
        }
        match carry_out_one(target, &mut outcome.ledger, action).await {
            Ok(beside) => {
                info!(user = %outcome.plan.user, %action, "done");
                outcome.done.push(action.name());
                delay_notices(target.run, outcome, action.name());
                if let Some(failure) = beside {
                    outcome.add_failure(Stage::ReaderGroup, &failure);
                    outcome.notices.retain(|notice| !notice.kind.needs_reader());
                    break;
                }
            }
            Err(failure) if matches!(action, Action::Provision { .. }) && provision::exists(&failure) => {
                info!(user = %outcome.plan.user, "the secret exists already: the next sweep finds it in the list");
                outcome.notices.clear();
                break;
            }
            Err(failure) => {
                warn!(user = %outcome.plan.user, %action, error = %failure, "failed");
                outcome.add_failure(stage_of(action), &failure);
                if *action == Action::Repair(Drift::ReaderGroup) {
                    outcome.notices.retain(|notice| !notice.kind.needs_reader());
                }
                if failure.kind() == FailureKind::NoAnswer {
                    outcome.in_doubt.push(action.name());
                }
                if !is_beside_the_keys(action, &failure) {
                    break;
                }
            }
        }
    }
    let (done, deletes) = (&outcome.done, outcome.secret_to_delete.is_some());
    let is_done = |action| done.contains(&action) || (action == ActionName::DeleteSecret && deletes);
    outcome.notices.retain(|notice| notice.tells_of.is_none_or(is_done));
}

/// The stage under which the failure of an action is reported.
fn stage_of(action: &Action) -> Stage {
    match action {
        Action::Repair(Drift::ReaderGroup) => Stage::ReaderGroup,
        action => Stage::Action(action.name()),
    }
}

/// Moves the dates in the notices of an action that was planned on one day and carried out on a later one: the graces
/// that begin with it count from the fact.
fn delay_notices(run: &Run<'_>, outcome: &mut UserOutcome, action: ActionName) {
    let late = midnight(run.aws.now()) - midnight(run.now);
    for notice in outcome.notices.iter_mut().filter(|notice| notice.tells_of == Some(action)) {
        notice.kind.delay(late);
    }
}

/// Carries one action out, with its records before and after it. Returns a failure that does not stop later actions.
///
/// # Errors
/// The failure of the action or of a record.
pub(super) async fn carry_out_one(
    target: &ActionTarget<'_>,
    ledger: &mut Ledger,
    action: &Action,
) -> Result<Option<CallFailure>, CallFailure> {
    ledger.begin(target.run, action).await?;
    let beside = target.carry_out(action).await?;
    ledger.complete(target.run, action).await?;
    Ok(beside)
}

/// Whether the actions after a failed action may still be carried out. No decision about keys depends on tags that are
/// not keywheel's. A schedule that cannot be repaired before an unfinished rotation ends must not stop the retirement
/// of the key whose slot that rotation waits for. A new key must not be made for a secret with a wrong policy or KMS
/// key, or for a secret that its user cannot read.
fn is_beside_the_keys(action: &Action, failure: &CallFailure) -> bool {
    match action {
        Action::Repair(Drift::Tags) => true,
        Action::Repair(Drift::Schedule) => is_rotation_unfinished(failure),
        _ => false,
    }
}

/// Writes the pending changes now, unless one call can record them together with notices that are sent at the end of
/// the run. After a failure they are always written now. If all notices are deferred, the mark is written with them.
pub(super) async fn write_unless_notices_follow(run: &Run<'_>, outcome: &mut UserOutcome) {
    let are_all_deferred = run.defers_notices
        && !outcome.notices.is_empty()
        && !outcome.notices.iter().any(|notice| notice.kind.is_urgent())
        && outcome.secret_to_delete.is_none();
    if are_all_deferred {
        outcome.ledger.add_mark(run.now);
    } else if !outcome.notices.is_empty() && outcome.failures.is_empty() {
        return;
    }
    match outcome.ledger.write(run).await {
        Ok(()) if are_all_deferred => {
            outcome.notices.clear();
            outcome.ledger.leave_mark_to_digest();
        }
        Ok(()) => {}
        Err(failure) => outcome.add_failure(Stage::Record, &failure),
    }
}

/// Returns the change of tags that records this observation, so that later sweeps can see from lists alone whether the
/// user has to be observed again.
fn observations(facts: &UserFacts, plan: &UserPlan, now: DateTime<Utc>) -> TagChange {
    let change = TagChange::default();
    let rotates = plan.actions.iter().any(|action| matches!(action, Action::Rotate { .. }));
    let (Some(secret), Some(mut dates)) = (facts.secret.present().filter(|_| !rotates), key_dates(facts, now)) else {
        return change;
    };
    for action in &plan.actions {
        if let Action::Delete { key } = action {
            let left = facts
                .keys
                .iter()
                .filter(|listed| listed.id != *key && Some(&listed.id) != secret.state.current_key.as_ref());
            dates = KeyDates::new(dates.current, left.map(|listed| listed.created));
        }
    }
    let change = if secret.state.key_dates.as_ref() == Some(&dates) {
        change
    } else {
        change.set(tag::KEY_DATES, dates.to_string())
    };
    let is_rotated = facts.exemption == Exemption::NotExempt && facts.keys.iter().any(KeyFacts::is_active);
    match Reader::of(&facts.id, &facts.arn) {
        // The tag still names the deleted user, which shows that the secret holds a dead key.
        Some(_) if facts.is_made_again(now) => change,
        Some(reader) if is_rotated && !is_reader(secret, &facts.id, &facts.arn) && secret.rotation_enabled => {
            change.set(tag::READER, reader.to_string())
        }
        _ => change,
    }
}
