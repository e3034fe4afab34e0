//! The plan for the secret that a renamed user left under its old name.

use super::action::Action;
use super::action_name::ActionName;
use super::deleted_user::{delete_secret, refuse_foreign};
use super::facts::{CancelReason, PresentSecret};
use super::notice::{Notice, NoticeKind};
use super::user_plan::UserPlan;
use crate::keys::UserRef;
use crate::state::Phase;

/// A user who has another name now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenamedUser {
    /// The account and the present name.
    pub user: UserRef,
    /// The value of the tag that names the owner, if there is one.
    pub owner: Option<String>,
    /// Whether the secret of the new name holds a key that keywheel made and tested.
    pub has_tested_key: bool,
}

/// Returns the plan for the secret of `old`, the name that the user had before. The schedule is switched off, because a
/// rotation finds no user of that name. The secret may hold the only copy of a key that works, so it is kept until the
/// secret of the new name holds a tested key. The user's keys are left alone.
pub fn plan_for_renamed_user(old: &UserRef, renamed: &RenamedUser, secret: &PresentSecret) -> UserPlan {
    let mut plan = UserPlan::nothing(old);
    if refuse_foreign(&mut plan, secret) {
        return plan;
    }
    if secret.rotation_enabled {
        plan.actions.push(Action::CancelSchedule(CancelReason::UserRenamed));
    }
    if renamed.has_tested_key {
        delete_secret(&mut plan, secret);
    }
    let told = &secret.state.notified;
    let key = secret.state.current_key.clone().or(secret.state.previous_key.clone());
    let key = key.filter(|key| secret.rotation_enabled || !told.was_sent(key, Phase::Cancelled));
    if let Some(key) = key.filter(|_| !renamed.has_tested_key) {
        plan.notices.push(Notice {
            user: old.clone(),
            owner: renamed.owner.clone(),
            secret_arn: Some(secret.arn.clone()),
            key,
            created: None,
            kind: NoticeKind::ScheduleCancelled(CancelReason::UserRenamed),
            tells_of: secret.rotation_enabled.then_some(ActionName::Cancel),
        });
    }
    plan
}
