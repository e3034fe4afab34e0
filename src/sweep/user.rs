//! One user: observe → plan → confirm → apply. One user's failure is reported and never stops another's work.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use tracing::{info, warn};

use super::apply::Target;
use super::report::Failure;
use super::{Sweep, observe};
use crate::aws::{Iam, ListedUser, SecretDescription, is_rotation_unfinished};
use crate::keys::{SecretName, UserArn, UserRef};
use crate::lifecycle::{
    Action, CancelReason, Drift, Exemption, Notice, NoticeKind, Problem, UserFacts, UserPlan, plan,
    plan_for_deleted_user,
};
use crate::state::{Notified, State};

/// What came of one user.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) plan: UserPlan,
    /// Names of the actions that were carried out.
    pub(super) done: Vec<&'static str>,
    /// What is to be told.
    pub(super) notices: Vec<Notice>,
    /// What was told before; the actions may have made some of it void.
    pub(super) notified: Notified,
    /// When the secret was read, where nothing else was done since.
    pub(super) observed_at: Option<DateTime<Utc>>,
    /// Since when the secret is marked for a digest: something was left to it.
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
            done: Vec::new(),
            notices: plan.notices.clone(),
            notified: Notified::default(),
            observed_at: None,
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

    pub(super) fn failed(user: &UserRef, action: &'static str, error: &(impl ToString + ?Sized)) -> Self {
        let mut outcome = Self::new(UserPlan::nothing(user));
        outcome.failures.push(Failure::of_user(user, action, error));
        outcome
    }
}

/// Sweeps one user.
pub(super) async fn sweep(sweep: &Sweep<'_>, account: &observe::Account, listed: &ListedUser) -> Outcome {
    let _permit = sweep.permit().await;
    let user = listed.arn.user();
    if sweep.is_out_of_time() {
        return Outcome::failed(user, "observe", OUT_OF_TIME);
    }
    let secret = account.secrets.get(&user.name);
    let facts = match observe::user(sweep, &*account.iam, Some(&account.groups), listed, secret).await {
        Ok(facts) => facts,
        Err(failure) => return Outcome::failed(user, "observe", &failure),
    };
    let oldest_key = oldest_key(&facts);
    let planned = refuse_unreachable(sweep, plan(&facts, &sweep.settings.periods, sweep.now), secret);
    if sweep.dry_run || (planned.actions.is_empty() && planned.notices.is_empty()) {
        return Outcome { oldest_key, ..Outcome::new(planned) }.with_memory_of(&facts);
    }
    match confirm(sweep, account, listed, planned).await {
        Ok(outcome) => Outcome { oldest_key, ..outcome },
        Err(failure) => Outcome { oldest_key, ..Outcome::failed(user, "confirm", &failure) },
    }
}

/// Keys of exempt users are old on purpose.
fn oldest_key(facts: &UserFacts) -> Option<DateTime<Utc>> {
    let is_rotated = facts.exemption != Exemption::Exempt;
    facts.keys.iter().filter(|key| is_rotated && key.is_active()).map(|key| key.created).min()
}

pub(super) const OUT_OF_TIME: &str = "the function ran out of time before this was reached; it is on the next run's list. \
    Sweep accounts one by one through the state machine, or raise MAX_CONCURRENCY or the function's timeout";

/// A secret of another account's user that is encrypted with the AWS managed key cannot be read by that user: none is
/// made, and one that is there is not rotated, since the old key would be disabled and nobody could fetch the new one.
fn refuse_unreachable(sweep: &Sweep<'_>, mut plan: UserPlan, secret: Option<&SecretDescription>) -> UserPlan {
    let is_foreign = plan.user.account != *sweep.aws.primary_account();
    let is_readable = sweep.wanted.kms_key.is_some() || secret.is_some_and(|secret| secret.kms_key.is_some());
    let stops = |action: &Action| matches!(action, Action::CancelSchedule(_));
    if is_foreign && !is_readable && !plan.actions.iter().all(stops) {
        plan.actions.retain(stops);
        plan.notices.clear();
        let error = "SECRETS_KMS_KEY_ID is not set, and a secret under the AWS managed key cannot be read from another \
                     account; set it to a customer managed key";
        plan.problems.push(Problem { action: "provision", error: error.to_owned() });
    }
    plan
}

/// Reads everything again and applies what is in both plans: lists lag, and people work at the same time.
async fn confirm(
    sweep: &Sweep<'_>,
    account: &observe::Account,
    listed: &ListedUser,
    planned: UserPlan,
) -> Result<Outcome, crate::aws::Failure> {
    let name = &listed.arn.user().name;
    let again = observe::user_again(sweep, &*account.iam, Some(&account.groups), name).await?;
    let Some(facts) = again else {
        info!(user = %planned.user, "the user was deleted during the sweep");
        return Ok(Outcome::new(UserPlan::nothing(&planned.user)));
    };
    let mut confirmed = plan(&facts, &sweep.settings.periods, sweep.now);
    let reach = observe::reach(sweep, &account.groups, listed);
    // What comes after a dropped action may count on it. That a person enabled a key is heeded at first sight.
    let is_agreed =
        |action: &&Action| planned.actions.contains(action) || matches!(action, Action::RestartGrace { .. });
    let agreed = confirmed.actions.iter().take_while(is_agreed).count();
    let dropped = confirmed.actions.split_off(agreed);
    for action in &dropped {
        info!(user = %planned.user, %action, "left to the next sweep: the facts changed meanwhile");
    }
    let target = Target { sweep, iam: &*account.iam, arn: &facts.arn, reach };
    let mut outcome = Outcome::new(confirmed).with_memory_of(&facts);
    outcome.notices.retain(|notice| !notice.kind.is_for_dry_run_only());
    apply_all(&target, &mut outcome).await;
    let not_done = |notice: &Notice| dropped.iter().any(|action| follow_from(&notice.kind).contains(&action.name()));
    outcome.notices.retain(|notice| !not_done(notice));
    Ok(outcome)
}

/// Applies the actions in order; the first failure stops the rest and takes their notices back.
async fn apply_all(target: &Target<'_>, outcome: &mut Outcome) {
    let actions = outcome.plan.actions.clone();
    let mut rest = actions.iter();
    for action in rest.by_ref() {
        if target.sweep.is_out_of_time() {
            // An action cut short would take the report and all mails with it.
            outcome.failures.push(Failure::of_user(&outcome.plan.user, action.name(), OUT_OF_TIME));
            break;
        }
        if *action == Action::DeleteSecret {
            outcome.secret_to_delete = Some(target.arn.clone());
            continue;
        }
        match target.apply(action, &mut outcome.notified).await {
            Ok(beside) => {
                info!(user = %outcome.plan.user, %action, "done");
                let user = &outcome.plan.user;
                outcome.failures.extend(beside.map(|failure| Failure::of_user(user, "reader-group", &failure)));
                outcome.done.push(action.name());
            }
            Err(failure) => {
                warn!(user = %outcome.plan.user, %action, error = %failure, "failed");
                outcome.failures.push(Failure::of_user(&outcome.plan.user, action.name(), &failure));
                if !is_beside_the_keys(action, &failure) {
                    break;
                }
            }
        }
    }
    let done = &outcome.done;
    let planned: BTreeSet<&str> = actions.iter().map(Action::name).collect();
    let deletes = outcome.secret_to_delete.is_some();
    outcome.notices.retain(|notice| {
        if notice.kind == NoticeKind::SecretDeleted {
            return deletes;
        }
        let mut actions = follow_from(&notice.kind).iter().filter(|action| planned.contains(*action));
        actions.all(|action| done.contains(action))
    });
}

/// Whether the rest may follow although this failed: the user's way to the secret does not decide what becomes of keys,
/// while a secret with a wrong policy or KMS key must not get a new one. A schedule that cannot be put right before an
/// unfinished rotation ends must not keep a key from being led out whose slot that rotation waits for.
fn is_beside_the_keys(action: &Action, failure: &crate::aws::Failure) -> bool {
    match action {
        Action::Repair(Drift::ReaderGroup) => true,
        Action::Repair(Drift::Schedule) => is_rotation_unfinished(failure),
        _ => false,
    }
}

/// The actions that a notice can tell of, where one is planned in the same run.
pub(super) fn follow_from(kind: &NoticeKind) -> &'static [&'static str] {
    match kind {
        NoticeKind::Disabled { .. } => &["disable", "record-disabled"],
        NoticeKind::Deleted => &["delete"],
        NoticeKind::Retiring { .. } => &["retire"],
        NoticeKind::Reactivated { .. } | NoticeKind::DisableAhead { .. } => &["restart-grace"],
        NoticeKind::ScheduleCancelled(_) => &["cancel"],
        NoticeKind::RotationDue { .. } => &["rotate"],
        NoticeKind::RotationAhead { .. }
        | NoticeKind::RotationUnfinished { .. }
        | NoticeKind::RotationFailed { .. }
        | NoticeKind::Rotated { .. }
        | NoticeKind::StillInUse { .. }
        | NoticeKind::DeleteAhead { .. }
        | NoticeKind::LastCall { .. }
        | NoticeKind::SecretDeleted => &[],
    }
}

/// Sweeps the secret of a user who is not in the list.
pub(super) async fn sweep_without_user(sweep: &Sweep<'_>, iam: &dyn Iam, listed: &SecretDescription) -> Outcome {
    let _permit = sweep.permit().await;
    let user = listed.name.user();
    if sweep.is_out_of_time() {
        return Outcome::failed(user, "observe", OUT_OF_TIME);
    }
    let planned = plan_for_deleted_user(user, &observe::without_drift(listed, Vec::new()));
    if sweep.dry_run || planned.actions.is_empty() {
        return Outcome::new(planned);
    }
    match confirm_gone(sweep, iam, listed, planned).await {
        Ok(outcome) => outcome,
        Err(failure) => Outcome::failed(user, "delete-secret", &failure),
    }
}

async fn confirm_gone(
    sweep: &Sweep<'_>,
    iam: &dyn Iam,
    listed: &SecretDescription,
    planned: UserPlan,
) -> Result<Outcome, crate::aws::Failure> {
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
    let target = Target { sweep, iam, arn: &arn, reach: crate::provision::Reach::Given };
    let State { notified, untold, .. } = State::read(&secret.tags);
    let mut outcome = Outcome { notified, held_since: untold, ..Outcome::new(confirmed) };
    apply_all(&target, &mut outcome).await;
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
