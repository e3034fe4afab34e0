//! The secret whose user does not exist under its name. If the user was deleted, the schedule is cancelled, the notice
//! is sent, and the secret is scheduled for deletion. If the user has another name now, the secret is kept until the
//! secret of the new name holds a tested key.

use chrono::{DateTime, TimeDelta, Utc};

use super::carry_out::ActionTarget;
use super::ledger::{FRESH_IN_A_SWEEP, Ledger};
use super::observe::present_secret;
use super::outcome::{SentNotice, UserOutcome};
use super::run::Run;
use super::stage::Stage;
use super::user::{carry_out_all, carry_out_one, write_unless_notices_follow};
use super::user_list::UserList;
use crate::aws::{CallFailure, Iam, SecretDescription};
use crate::keys::{SecretName, UserArn, UserRef};
use crate::lifecycle::{
    Action, ActionName, CancelReason, PresentSecret, RenamedUser, UserPlan, plan_for_deleted_user,
    plan_for_renamed_user,
};
use crate::notify::Delivered;
use crate::state::State;

/// How long the deletion of a secret waits for a notice that was deferred: until the digest of the same run, and not
/// until the next one.
const WAITS_FOR_DIGEST: TimeDelta = TimeDelta::hours(20);

/// Why the user of a secret does not exist under its name.
enum Fate {
    Deleted,
    Renamed(RenamedUser),
}

impl Fate {
    /// Recognizes a renamed user by its unique id, which a new name does not change.
    ///
    /// # Errors
    /// The failure to list the account's users or to read the new secret: a user who cannot be found may exist.
    async fn of(
        run: &Run<'_>,
        iam: &dyn Iam,
        users: &UserList,
        secret: &SecretDescription,
    ) -> Result<Self, CallFailure> {
        let Some(reader) = State::read(&secret.tags).reader else { return Ok(Self::Deleted) };
        let Some(user) = users.by_id(run, iam, &reader.id).await? else { return Ok(Self::Deleted) };
        let described = run.aws.secrets().describe(&SecretName::of(user.arn.user()).to_string()).await?;
        let present = described.filter(|secret| secret.deleted.is_none());
        // Under the same name, this very secret is the user's: the first list lagged.
        let is_another = user.arn.user() != secret.name.user();
        let has_tested_key =
            is_another && present.is_some_and(|secret| present_secret(&secret, Vec::new()).tested_key().is_some());
        Ok(Self::Renamed(RenamedUser { user: user.arn.user().clone(), owner: user.owner, has_tested_key }))
    }

    fn plan(&self, user: &UserRef, secret: &PresentSecret) -> UserPlan {
        match self {
            Self::Deleted => plan_for_deleted_user(user, secret),
            Self::Renamed(renamed) if renamed.user == *user => UserPlan::nothing(user),
            Self::Renamed(renamed) => plan_for_renamed_user(user, renamed, secret),
        }
    }
}

/// Sweeps a secret whose user is not in the list; `None` if the time has run out. The secret is deleted later, by
/// [`delete_after_notice`].
pub(super) async fn sweep(
    run: &Run<'_>,
    iam: &dyn Iam,
    users: &UserList,
    listed: &SecretDescription,
) -> Option<UserOutcome> {
    let user = listed.name.user();
    if run.is_out_of_time() {
        return None;
    }
    let stage = Stage::Action(ActionName::DeleteSecret);
    let fate = match Fate::of(run, iam, users, listed).await {
        Ok(fate) => fate,
        Err(failure) => return Some(UserOutcome::failed(user, stage, &failure)),
    };
    let planned = fate.plan(user, &present_secret(listed, Vec::new()));
    if run.dry_run || (planned.actions.is_empty() && planned.notices.is_empty()) {
        return Some(UserOutcome::planned(planned, Ledger::empty(user)));
    }
    let confirmed = confirm_and_carry_out(run, iam, listed, &fate, planned).await;
    Some(confirmed.unwrap_or_else(|failure| UserOutcome::failed(user, stage, &failure)))
}

/// The same for a secret with the mark, in a digest.
pub(super) async fn sweep_marked(
    run: &Run<'_>,
    iam: &dyn Iam,
    users: &UserList,
    secret: &SecretName,
) -> Option<UserOutcome> {
    match run.aws.secrets().describe(&secret.to_string()).await {
        Ok(Some(secret)) => sweep(run, iam, users, &secret).await,
        Ok(None) => Some(UserOutcome::nothing(secret.user())),
        Err(failure) => Some(UserOutcome::failed(secret.user(), Stage::Digest, &failure)),
    }
}

/// Reads the secret and the user again: lists lag, and the user may exist.
async fn confirm_and_carry_out(
    run: &Run<'_>,
    iam: &dyn Iam,
    listed: &SecretDescription,
    fate: &Fate,
    planned: UserPlan,
) -> Result<UserOutcome, CallFailure> {
    let user = listed.name.user();
    let described = run.aws.secrets().describe(&SecretName::of(user).to_string()).await?;
    let present = described.filter(|secret| secret.deleted.is_none());
    let (Some(secret), None) = (present, iam.find_user(&user.name).await?) else {
        return Ok(UserOutcome::nothing(user));
    };
    let mut confirmed = fate.plan(user, &present_secret(&secret, Vec::new()));
    // No list shows replicas.
    let is_new = |action: &Action| matches!(action, Action::RemoveReplicas { .. });
    confirmed.actions.retain(|action| planned.actions.contains(action) || is_new(action));
    // The user's ARN without its path, which does not matter here.
    let arn = format!("arn:{}:iam::{}:user/{}", run.partition(), user.account, user.name);
    let arn = arn.parse().expect("an ARN made of a checked account id and user name");
    let target = ActionTarget::gone(run, iam, &arn);
    let state = State::read(&secret.tags);
    let ledger = Ledger::read(user, secret.tags, Some(&state), run.aws.now() + FRESH_IN_A_SWEEP);
    let mut outcome = UserOutcome::planned(confirmed, ledger);
    carry_out_all(&target, &mut outcome).await;
    write_unless_notices_follow(run, &mut outcome).await;
    Ok(outcome)
}

/// Schedules the secret for deletion once its notice is sent, and returns whether it did. Nothing can be written to the
/// secret after that. A notice that cannot be sent postpones the deletion by one run and no longer: the schedule was
/// cancelled by then. Safe to repeat.
///
/// # Errors
/// The failure of a call; if the secret still exists, the notice is recorded, so that it is not sent on every run.
pub(super) async fn delete_after_notice(
    run: &Run<'_>,
    outcome: &mut UserOutcome,
    arn: &UserArn,
    notices: &[SentNotice],
) -> Result<bool, CallFailure> {
    let is_any_unsent = notices.iter().any(|(_, sent)| *sent == Delivered::ToNobody);
    if run.defers_notices && is_any_unsent {
        // The digest sends the notice first, so the deletion waits. Without a notice there is nothing to wait for.
        return outcome.record(run, notices).await.map(|()| false);
    }
    if (is_any_unsent && !was_postponed(outcome, run.now)) || !outcome.failures.is_empty() {
        return Ok(false);
    }
    let iam = run.aws.iam(&arn.user().account, run.partition()).await?;
    let target = ActionTarget::gone(run, &*iam, arn);
    let deleted = async {
        outcome.ledger.remove_mark_before_deletion(run).await?;
        carry_out_one(&target, &mut outcome.ledger, &Action::DeleteSecret).await
    };
    match deleted.await {
        Ok(_) => Ok(true),
        Err(failure) => {
            outcome.record(run, notices).await?;
            Err(failure)
        }
    }
}

/// Whether an earlier run postponed the deletion, so that its notice had a chance.
fn was_postponed(outcome: &UserOutcome, now: DateTime<Utc>) -> bool {
    match outcome.ledger.mark {
        Some(since) => now >= since + WAITS_FOR_DIGEST,
        None => !outcome.plan.actions.contains(&Action::CancelSchedule(CancelReason::UserGone)),
    }
}
