//! Carries one action out by calls to AWS. Decides nothing.

use chrono::{DateTime, Utc};

use super::account_user::AccountUser;
use super::observe::AccountContext;
use super::run::Run;
use crate::aws::{CallFailure, FailureKind, Iam};
use crate::keys::{AccessKeyId, KeyStatus, SecretName, UserArn, UserName, UserRef};
use crate::lifecycle::{Action, SecretFacts, UserFacts};
use crate::provision::{self, NewUser, Reach};
use crate::state::KeyDates;

/// The longest recovery window of Secrets Manager, so that a deletion by mistake can be taken back for as long as
/// possible.
/// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_DeleteSecret.html>
const SECRET_RECOVERY_WINDOW_DAYS: i64 = 30;

/// The user whose keys and secret actions are carried out on.
pub(super) struct ActionTarget<'a> {
    pub(super) run: &'a Run<'a>,
    pub(super) iam: &'a dyn Iam,
    pub(super) arn: &'a UserArn,
    /// `AIDA…`; empty for a user who is gone.
    id: &'a str,
    /// When the user's keys were made.
    dates: KeyDates,
    /// The key that the schedule is for, and when it is due.
    due: Option<(&'a AccessKeyId, DateTime<Utc>)>,
    reach: Reach,
    /// Whether this run makes the secret.
    is_new: bool,
}

impl<'a> ActionTarget<'a> {
    /// An existing user.
    pub(super) fn user(context: &AccountContext<'a>, user: &AccountUser, facts: &'a UserFacts) -> Self {
        // A new secret names the newest active key.
        let named = facts.keys.iter().rfind(|key| key.is_active());
        let others = facts.keys.iter().filter(|key| Some(&key.id) != named.map(|named| &named.id));
        let dates = KeyDates::new(named.map(|key| key.created), others.map(|key| key.created));
        let reach = context.reach(user);
        let is_new = facts.secret == SecretFacts::Missing;
        let due = facts.rotation_due(&context.run.settings.periods);
        Self { run: context.run, iam: context.iam, arn: &facts.arn, id: &facts.id, dates, due, reach, is_new }
    }

    /// A deleted user: only its secret is left.
    pub(super) fn gone(run: &'a Run<'a>, iam: &'a dyn Iam, arn: &'a UserArn) -> Self {
        Self { run, iam, arn, id: "", dates: KeyDates::default(), due: None, reach: Reach::Given, is_new: false }
    }

    /// Carries one action out, without its record. Returns a failure to join the reader group of an action
    /// that is carried out otherwise.
    /// Safe to repeat.
    ///
    /// # Errors
    /// The failure of a call. A part of the action may be done.
    pub(super) async fn carry_out(&self, action: &Action) -> Result<Option<CallFailure>, CallFailure> {
        let Self { run, iam, arn, .. } = *self;
        let (aws, wanted, name) = (run.aws, &run.wanted, &arn.user().name);
        // By name: in the store's own account it is enough, and it is known before the secret exists.
        let secret = &SecretName::of(arn.user()).to_string();
        match action {
            Action::Provision { key, created, then_rotate } => {
                let user = NewUser { arn, id: self.id, key, created: *created, dates: &self.dates, reach: self.reach };
                return provision::provision(aws, iam, wanted, &user, !then_rotate).await;
            }
            Action::Repair(drift) => provision::repair(aws, iam, wanted, secret, arn, *drift, self.due).await,
            Action::AbandonRotation { version } => aws.secrets().remove_pending(secret, version).await,
            Action::Rotate { configure: true, .. } if self.is_new => provision::rotate_new(aws, wanted, secret).await,
            Action::Rotate { configure: true, .. } => provision::configure(aws, wanted, secret, true).await,
            Action::Rotate { configure: false, .. } => provision::rotate(aws, secret).await,
            Action::Disable { key } => disable(iam, name, key).await,
            Action::Delete { key } => iam.delete_access_key(name, key).await,
            Action::LeaveScheduleOff { .. } => aws.secrets().cancel_rotation(secret).await,
            Action::Restore => aws.secrets().restore(secret).await,
            Action::RemoveReplicas { .. } | Action::CancelSchedule(_) | Action::DeleteSecret => {
                on_secret(run, arn.user(), action).await
            }
            Action::RecordDeparture
            | Action::ForgetDeparture
            | Action::Adopt { .. }
            | Action::RestoreMark
            | Action::RestoreFacts(_)
            | Action::DropIntent
            | Action::Retire { .. }
            | Action::StopRetiring { .. }
            | Action::RecordDisabled { .. }
            | Action::RecordDeleted { .. }
            | Action::RestartGrace { .. } => Ok(()),
        }
        .map(|()| None)
    }
}

/// Carries out an action that ends the use of a secret, without its record. It makes no call in the user's account,
/// which may be closed. Actions of any other kind change nothing. Safe to repeat.
///
/// # Errors
/// The failure of a call.
pub(super) async fn on_secret(run: &Run<'_>, user: &UserRef, action: &Action) -> Result<(), CallFailure> {
    let (store, secret) = (run.aws.secrets(), &SecretName::of(user).to_string());
    match action {
        Action::RemoveReplicas { regions } => provision::remove_replicas(run.aws, secret, regions).await,
        Action::CancelSchedule(_) => store.cancel_rotation(secret).await,
        Action::DeleteSecret => store.schedule_deletion(secret, SECRET_RECOVERY_WINDOW_DAYS).await,
        _ => Ok(()),
    }
}

/// Disables a key. If the call got no answer, the key's status shows whether it was disabled.
///
/// A disabled key must be recorded as such. Without the record, a later run would disable it again although a person
/// has enabled it meanwhile.
async fn disable(iam: &dyn Iam, user: &UserName, key: &AccessKeyId) -> Result<(), CallFailure> {
    match iam.disable_access_key(user, key).await {
        Err(failure) if failure.kind() == FailureKind::NoAnswer => {
            let listed = iam.access_keys(user).await.unwrap_or_default();
            let is_done = listed.iter().any(|listed| listed.id == *key && listed.status == KeyStatus::Inactive);
            if is_done { Ok(()) } else { Err(failure) }
        }
        answered => answered,
    }
}
