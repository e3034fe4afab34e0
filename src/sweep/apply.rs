//! Carries a plan out. Decides nothing.

use super::Sweep;
use crate::aws::{Failure, Iam};
use crate::keys::{SecretName, UserArn};
use crate::lifecycle::Action;
use crate::provision::{self, Reach};
use crate::state::Notified;

/// What an action is carried out on.
pub(super) struct Target<'a> {
    pub(super) sweep: &'a Sweep<'a>,
    pub(super) iam: &'a dyn Iam,
    pub(super) arn: &'a UserArn,
    pub(super) reach: Reach,
}

impl Target<'_> {
    /// Carries one action out, then writes down the facts that it made. Safe to repeat after a failure in between.
    /// Answers what failed beside it without keeping anything from going on.
    ///
    /// `notified` is what was told before; what is void with the action is forgotten.
    pub(super) async fn apply(&self, action: &Action, notified: &mut Notified) -> Result<Option<Failure>, Failure> {
        // By name: in the store's own account it is enough, and it is known before the secret is there.
        let secret = SecretName::of(self.arn.user()).to_string();
        let store = self.sweep.aws.secrets();
        if let Some(change) = action.change_before(notified) {
            store.untag(&secret, &change.remove).await?;
            store.tag(&secret, &change.set).await?;
            action.forget_void(notified);
        }
        let beside = self.carry_out(action, &secret).await?;
        // Times count from the fact: they are taken after the call, not before.
        let change = action.tag_change(self.sweep.aws.now(), notified);
        action.forget_void(notified);
        if change.removals_last {
            store.tag(&secret, &change.set).await?;
        }
        // What is outdated goes first: beside a new fact it could be taken for belonging to it.
        store.untag(&secret, &change.remove).await?;
        if !change.removals_last {
            store.tag(&secret, &change.set).await?;
        }
        Ok(beside)
    }

    async fn carry_out(&self, action: &Action, secret: &str) -> Result<Option<Failure>, Failure> {
        let Self { sweep, iam, arn, .. } = *self;
        let (aws, wanted, name) = (sweep.aws, &sweep.wanted, &arn.user().name);
        match action {
            Action::Provision { key, created, then_rotate } => {
                return provision::provision(aws, iam, wanted, arn, (key, *created), &self.reach, !then_rotate).await;
            }
            Action::Repair(drift) => provision::repair(aws, iam, wanted, secret, arn, *drift).await,
            Action::AbandonRotation { version } => aws.secrets().remove_pending(secret, version).await,
            Action::Rotate { configure: true, .. } => provision::configure(aws, wanted, secret, true).await,
            Action::Rotate { configure: false, .. } => provision::rotate(aws, secret).await,
            Action::Disable { key } => iam.disable_access_key(name, key).await,
            Action::Delete { key } => iam.delete_access_key(name, key).await,
            Action::CancelSchedule(_) => aws.secrets().cancel_rotation(secret).await,
            Action::Restore => aws.secrets().restore(secret).await,
            Action::DeleteSecret => aws.secrets().schedule_deletion(secret, SECRET_RECOVERY_WINDOW_DAYS).await,
            Action::Adopt { .. }
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

/// The longest that Secrets Manager gives.
/// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_DeleteSecret.html>
const SECRET_RECOVERY_WINDOW_DAYS: i64 = 30;
