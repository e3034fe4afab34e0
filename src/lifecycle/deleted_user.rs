//! The plan for the secret of a user who was deleted.

use super::action::Action;
use super::action_name::ActionName;
use super::facts::{CancelReason, PresentSecret};
use super::notice::{Notice, NoticeKind};
use super::user_plan::{Problem, UserPlan};
use crate::keys::UserRef;
use crate::state::Phase;

/// Returns the plan for the secret of a user who was deleted: the schedule is switched off, the account is notified,
/// and the secret is scheduled for deletion. A secret without the tag `keywheel:managed` is a problem instead.
pub fn plan_for_deleted_user(user: &UserRef, secret: &PresentSecret) -> UserPlan {
    let mut plan = UserPlan::nothing(user);
    if refuse_foreign(&mut plan, secret) {
        return plan;
    }
    if secret.rotation_enabled {
        plan.actions.push(Action::CancelSchedule(CancelReason::UserGone));
    }
    delete_secret(&mut plan, secret);
    if let Some(key) = secret.state.current_key.clone().or(secret.state.previous_key.clone())
        && !secret.state.notified.was_sent(&key, Phase::SecretDeleted)
    {
        plan.notices.push(Notice {
            user: user.clone(),
            owner: None,
            secret_arn: Some(secret.arn.clone()),
            key,
            created: None,
            kind: NoticeKind::SecretDeleted,
            tells_of: Some(ActionName::DeleteSecret),
        });
    }
    plan
}

/// Plans the deletion of a secret. Its replicas go first, because a secret with replicas cannot be deleted.
/// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_DeleteSecret.html>
pub(super) fn delete_secret(plan: &mut UserPlan, secret: &PresentSecret) {
    if !secret.replicas.is_empty() {
        plan.actions.push(Action::RemoveReplicas { regions: secret.replicas.clone() });
    }
    plan.actions.push(Action::DeleteSecret);
}

/// Whether the secret is not this stack's: nothing is planned for a replica, and a problem for a secret without
/// keywheel's tag.
pub(super) fn refuse_foreign(plan: &mut UserPlan, secret: &PresentSecret) -> bool {
    if secret.replica_of.is_some() {
        return true;
    }
    if secret.state.managed {
        return false;
    }
    let error = format!(
        "secret {} has the name of a secret of keywheel's, but {} does not exist and the secret has no tag \
         keywheel:managed; delete it, or tag it keywheel:managed = 1 to have it deleted",
        secret.arn, plan.user
    );
    plan.problems.push(Problem { action: ActionName::DeleteSecret, error });
    true
}
