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
    plan.actions.push(Action::DeleteSecret);
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

/// Adds a problem to the plan of a secret that is not keywheel's, and returns whether it did.
pub(super) fn refuse_foreign(plan: &mut UserPlan, secret: &PresentSecret) -> bool {
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
