//! One user: observe → plan → confirm → apply. One user's failure is reported and never stops another's work.

use chrono::{DateTime, TimeDelta, Utc};
use tracing::{info, warn};

use super::Sweep;
use super::apply::{Records, Target};
use super::observe::{self, KEYS_STAY_FRESH, Member, Place, Policy};
use super::report::Failure;
use crate::aws::{Iam, SecretDescription, is_rotation_unfinished};
use crate::keys::{SecretName, UserArn, UserRef};
use crate::lifecycle::{
    Action, ActionName, CancelReason, Drift, Exemption, KeyFacts, Notice, UserFacts, UserPlan, is_reader, key_dates,
    plan, plan_for_deleted_user,
};
use crate::provision;
use crate::state::{KeyDates, Notified, Reader, State, TagChange, tag};

/// What came of one user.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) plan: UserPlan,
    /// How many of the planned actions were begun.
    pub(super) begun: usize,
    /// Names of the actions that were carried out.
    pub(super) done: Vec<ActionName>,
    /// What is to be told.
    pub(super) notices: Vec<Notice>,
    /// What was told before; the actions may have made some of it void.
    pub(super) notified: Notified,
    /// The tags of the secret, and what is to be written into them.
    pub(super) records: Records,
    /// Until when what was read of the secret is taken for what is there.
    pub(super) fresh_until: Option<DateTime<Utc>>,
    /// Since when the secret is marked for a digest, where the mark has to be seen to at the end of the run.
    pub(super) held_since: Option<DateTime<Utc>>,
    /// The secret is to be scheduled for deletion once its notice is out.
    pub(super) secret_to_delete: Option<UserArn>,
    pub(super) failures: Vec<Failure>,
    /// When the oldest key that is to be rotated was made.
    pub(super) oldest_key: Option<DateTime<Utc>>,
}

impl Outcome {
    pub(super) fn new(plan: UserPlan) -> Self {
        Self {
            begun: 0,
            done: Vec::new(),
            notices: plan.notices.clone(),
            notified: Notified::default(),
            records: Records::default(),
            fresh_until: None,
            held_since: None,
            secret_to_delete: None,
            failures: Vec::new(),
            oldest_key: None,
            plan,
        }
    }

    /// With what the secret's tags remember as told, and as held.
    pub(super) fn with_memory_of(self, facts: &UserFacts) -> Self {
        let Some(state) = facts.secret.present().map(|secret| &secret.state) else { return self };
        Self { notified: state.notified.clone(), held_since: state.untold, ..self }
    }

    /// Whether the secret gets a mark of this run if something is left to a digest. A digest of an earlier run that is still
    /// at work leaves a later mark alone. How long a secret waits for its deletion is counted from the first; but a digest
    /// does not find a mark that cannot be read.
    pub(super) fn is_to_be_marked(&self) -> bool {
        let is_deleted = self.plan.actions.contains(&Action::DeleteSecret);
        !is_deleted || self.held_since.is_none_or(|since| since == DateTime::UNIX_EPOCH)
    }

    pub(super) fn failed(user: &UserRef, action: &'static str, error: &(impl ToString + ?Sized)) -> Self {
        let mut outcome = Self::new(UserPlan::nothing(user));
        outcome.failures.push(Failure::of_user(user, action, error));
        outcome
    }

    /// Whether something is left to do once all users were seen.
    pub(super) fn is_unsettled(&self) -> bool {
        !self.notices.is_empty()
            || !self.records.pending.is_empty()
            || self.secret_to_delete.is_some()
            || self.held_since.is_some()
    }
}

impl Outcome {
    /// Reads the secret's tags again, if what was read of them is not of this moment any more: others may have told and
    /// recorded something meanwhile. Answers whether the secret is still there, and since when it is marked for a digest.
    pub(super) async fn refresh(
        &mut self,
        sweep: &Sweep<'_>,
    ) -> Result<Option<Option<DateTime<Utc>>>, crate::aws::CallFailure> {
        if self.fresh_until.is_some_and(|until| sweep.aws.now() < until) {
            return Ok(Some(self.held_since));
        }
        let secret = SecretName::of(&self.plan.user).to_string();
        let Some(described) = sweep.aws.secrets().describe(&secret).await? else { return Ok(None) };
        let State { mut notified, untold, .. } = State::read(&described.tags);
        // What became void with an action is void still, also where its record could not be written.
        for action in self.plan.actions.iter().take(self.begun) {
            action.forget_void(&mut notified);
        }
        if self.records.pending.set.contains_key(tag::NOTIFIED) || self.records.pending.remove.contains(&tag::NOTIFIED)
        {
            self.records.add(TagChange::default().set(tag::NOTIFIED, notified.to_tag()));
        }
        self.notified = notified;
        self.records.tags = described.tags;
        self.fresh_until = Some(sweep.aws.now() + STAYS_FRESH);
        Ok(Some(untold))
    }
}

/// For so long what was read of a secret just before it was changed is taken for what is there when the notices are
/// recorded: reading it again is a call per user.
pub(super) const STAYS_FRESH: TimeDelta = TimeDelta::seconds(60);

/// Sweeps one user; `None` if the time did not reach so far.
pub(super) async fn sweep(
    place: &Place<'_>,
    member: &Member,
    secret: Option<&SecretDescription>,
    policy: Policy,
) -> Option<Outcome> {
    let sweep = place.sweep;
    if sweep.is_out_of_time() {
        return None;
    }
    let user = member.arn.user();
    let looked_at = sweep.aws.now();
    let facts = match place.user(member, secret, policy).await {
        Ok(Some(facts)) => facts,
        Ok(None) => return Some(deleted_meanwhile(user)),
        Err(failure) => return Some(Outcome::failed(user, "observe", &failure)),
    };
    let oldest_key = oldest_key(&facts);
    let planned = plan(&facts, &sweep.settings.periods, sweep.now);
    let is_idle = planned.actions.is_empty() && planned.notices.is_empty();
    if sweep.dry_run || (is_idle && seen(&facts, &planned, sweep.now).is_empty()) {
        return Some(Outcome { oldest_key, ..Outcome::new(planned) }.with_memory_of(&facts));
    }
    let outcome = match confirm(place, member, facts, planned, looked_at).await {
        Ok(outcome) => outcome,
        Err(failure) => Outcome::failed(user, "confirm", &failure),
    };
    Some(Outcome { oldest_key, ..outcome })
}

fn deleted_meanwhile(user: &UserRef) -> Outcome {
    info!(%user, "the user was deleted during the sweep");
    Outcome::new(UserPlan::nothing(user))
}

/// Keys of exempt users are old on purpose.
fn oldest_key(facts: &UserFacts) -> Option<DateTime<Utc>> {
    let is_rotated = facts.exemption != Exemption::Exempt;
    facts.keys.iter().filter(|key| is_rotated && key.is_active()).map(|key| key.created).min()
}

/// What a look at the user has to leave in the tags, so that lists alone can tell later whether another is needed.
fn seen(facts: &UserFacts, plan: &UserPlan, now: DateTime<Utc>) -> TagChange {
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
        Some(reader) if is_rotated && !is_reader(secret, &facts.id, &facts.arn) && secret.rotation_enabled => {
            change.set(tag::READER, reader.to_string())
        }
        _ => change,
    }
}

pub(super) const OUT_OF_TIME: &str = "the function ran out of time before this was reached; it is on the next run's list. \
    Sweep accounts one by one through the state machine, or raise MAX_CONCURRENT_USERS, or MAX_CONCURRENCY for many accounts";

/// Reads the secret again, and the user where the list of users is not of this moment, and applies what is in both plans:
/// lists lag, and people work at the same time.
async fn confirm(
    place: &Place<'_>,
    member: &Member,
    facts: UserFacts,
    planned: UserPlan,
    looked_at: DateTime<Utc>,
) -> Result<Outcome, crate::aws::CallFailure> {
    let sweep = place.sweep;
    let Some((mut facts, tags)) = place.again(member, facts).await? else {
        return Ok(deleted_meanwhile(&planned.user));
    };
    let fresh_until = Some(sweep.aws.now() + STAYS_FRESH);
    let decide = |facts: &UserFacts| plan(facts, &sweep.settings.periods, sweep.now);
    let mut confirmed = decide(&facts);
    // The keys were listed before the secret was read: another sweep may have disabled one of them in between, and a call
    // may take long.
    let is_surprising =
        |action: &Action| matches!(action, Action::RestartGrace { .. }) && !planned.actions.contains(action);
    if sweep.aws.now() >= looked_at + KEYS_STAY_FRESH || confirmed.actions.iter().any(is_surprising) {
        match place.with_keys_again(member, facts).await? {
            Some(again) => facts = again,
            None => return Ok(deleted_meanwhile(&planned.user)),
        }
        confirmed = decide(&facts);
    }
    // What comes after a dropped action may count on it. That a person enabled a key is heeded at first sight.
    let is_agreed =
        |action: &&Action| planned.actions.contains(action) || matches!(action, Action::RestartGrace { .. });
    let agreed = confirmed.actions.iter().take_while(is_agreed).count();
    let dropped = confirmed.actions.split_off(agreed);
    for action in &dropped {
        info!(user = %planned.user, %action, "left to the next sweep: the facts changed meanwhile");
    }
    let target = Target::user(place, member, &facts);
    let seen = seen(&facts, &confirmed, sweep.now);
    let mut outcome =
        Outcome { records: Records::of(tags), fresh_until, ..Outcome::new(confirmed).with_memory_of(&facts) };
    outcome.notices.retain(|notice| !notice.kind.is_for_dry_run_only());
    // What is not told now is marked with the first record, which saves a call.
    if sweep.holds_notices && outcome.is_to_be_marked() && outcome.notices.iter().any(|notice| !notice.kind.is_urgent())
    {
        outcome.records.rider = TagChange::default().untold(sweep.now);
    }
    apply_all(&target, &mut outcome).await;
    if outcome.failures.is_empty() && dropped.is_empty() {
        outcome.records.add(seen);
    }
    write_what_cannot_wait(&target, &mut outcome).await;
    Ok(outcome)
}

/// Records wait for the notices of the run, unless there are none, or all are left to a digest: then nothing is kept of
/// the user but the mark. They do not wait where something went wrong, which may go on.
async fn write_what_cannot_wait(target: &Target<'_>, outcome: &mut Outcome) {
    let is_left_to_digest = target.sweep.holds_notices
        && !outcome.notices.is_empty()
        && !outcome.notices.iter().any(|notice| notice.kind.is_urgent())
        && outcome.secret_to_delete.is_none();
    if is_left_to_digest {
        outcome.records.add(TagChange::default().untold(target.sweep.now));
    } else if !outcome.notices.is_empty() && outcome.failures.is_empty() {
        return;
    }
    match outcome.records.write(target.sweep, &target.secret()).await {
        Ok(()) if is_left_to_digest => {
            outcome.notices.clear();
            outcome.held_since = None;
        }
        Ok(()) => {}
        Err(failure) => outcome.failures.push(Failure::of_user(&outcome.plan.user, "record", &failure)),
    }
}

/// Applies the actions in order; the first failure stops the rest and takes their notices back.
async fn apply_all(target: &Target<'_>, outcome: &mut Outcome) {
    let actions = outcome.plan.actions.clone();
    let mut rest = actions.iter();
    for action in rest.by_ref() {
        if target.sweep.is_out_of_time() {
            // An action cut short would take the report and all mails with it.
            outcome.failures.push(Failure::of_user(&outcome.plan.user, action.name().as_str(), OUT_OF_TIME));
            break;
        }
        if *action == Action::DeleteSecret {
            outcome.begun += 1;
            outcome.secret_to_delete = Some(target.arn.clone());
            continue;
        }
        outcome.begun += 1;
        match target.apply(action, &mut outcome.notified, &mut outcome.records).await {
            Ok(beside) => {
                info!(user = %outcome.plan.user, %action, "done");
                let user = &outcome.plan.user;
                outcome.failures.extend(beside.map(|failure| Failure::of_user(user, "reader-group", &failure)));
                outcome.done.push(action.name());
                if matches!(action, Action::Rotate { .. }) {
                    // The rotation writes into the same tags, and so does the event that tells of it.
                    outcome.fresh_until = None;
                }
            }
            Err(failure) if matches!(action, Action::Provision { .. }) && provision::exists(&failure) => {
                info!(user = %outcome.plan.user, "the secret is there already: the next sweep sees it in the list");
                outcome.notices.clear();
                break;
            }
            Err(failure) => {
                warn!(user = %outcome.plan.user, %action, error = %failure, "failed");
                outcome.failures.push(Failure::of_user(&outcome.plan.user, action.name().as_str(), &failure));
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

/// Whether the rest may follow although this failed: the user's way to the secret does not decide what becomes of keys,
/// while a secret with a wrong policy or KMS key must not get a new one. A schedule that cannot be put right before an
/// unfinished rotation ends must not keep a key from being led out whose slot that rotation waits for.
fn is_beside_the_keys(action: &Action, failure: &crate::aws::CallFailure) -> bool {
    match action {
        Action::Repair(Drift::ReaderGroup) => true,
        Action::Repair(Drift::Schedule) => is_rotation_unfinished(failure),
        _ => false,
    }
}

/// Sweeps the secret of a user who is not in the list; `None` if the time did not reach so far.
pub(super) async fn sweep_without_user(
    sweep: &Sweep<'_>,
    iam: &dyn Iam,
    listed: &SecretDescription,
) -> Option<Outcome> {
    let user = listed.name.user();
    if sweep.is_out_of_time() {
        return None;
    }
    let planned = plan_for_deleted_user(user, &observe::without_drift(listed, Vec::new()));
    if sweep.dry_run || planned.actions.is_empty() {
        return Some(Outcome::new(planned));
    }
    let confirmed = confirm_gone(sweep, iam, listed, planned).await;
    Some(confirmed.unwrap_or_else(|failure| Outcome::failed(user, "delete-secret", &failure)))
}

async fn confirm_gone(
    sweep: &Sweep<'_>,
    iam: &dyn Iam,
    listed: &SecretDescription,
    planned: UserPlan,
) -> Result<Outcome, crate::aws::CallFailure> {
    let user = listed.name.user();
    let described = sweep.aws.secrets().describe(&SecretName::of(user).to_string()).await?;
    let still_there = described.filter(|secret| secret.deleted.is_none());
    let (Some(secret), None) = (still_there, iam.find_user(&user.name).await?) else {
        return Ok(Outcome::new(UserPlan::nothing(user)));
    };
    let mut confirmed = plan_for_deleted_user(user, &observe::without_drift(&secret, Vec::new()));
    confirmed.actions.retain(|action| planned.actions.contains(action));
    // The ARN that the user had; its path does not matter here.
    let arn = format!("arn:{}:iam::{}:user/{}", sweep.partition(), user.account, user.name);
    let arn = arn.parse().expect("an ARN made of a checked account id and user name");
    let target = Target::gone(sweep, iam, &arn);
    let State { notified, untold, .. } = State::read(&secret.tags);
    let mut outcome = Outcome {
        notified,
        held_since: untold,
        records: Records::of(secret.tags),
        fresh_until: Some(sweep.aws.now() + STAYS_FRESH),
        ..Outcome::new(confirmed)
    };
    apply_all(&target, &mut outcome).await;
    write_what_cannot_wait(&target, &mut outcome).await;
    Ok(outcome)
}

/// For so long the deletion of a secret waits for its notice, where that was left to a digest: for the digest of that run
/// and no other.
const WAITS_FOR_DIGEST: TimeDelta = TimeDelta::hours(20);

/// Whether the deletion of the secret was put off before this run, so that its notice had a chance.
pub(super) fn was_put_off(outcome: &Outcome, now: DateTime<Utc>) -> bool {
    match outcome.held_since {
        Some(since) => now >= since + WAITS_FOR_DIGEST,
        None => !outcome.plan.actions.contains(&Action::CancelSchedule(CancelReason::UserGone)),
    }
}
