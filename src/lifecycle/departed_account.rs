//! The plan for a secret whose account is closed or has left the organization. Nothing can be rotated there, and no
//! list of users names the secret any more.

use std::fmt;

use chrono::{DateTime, Utc};

use super::action::Action;
use super::action_name::ActionName;
use super::deleted_user::delete_secret;
use super::facts::{CancelReason, PresentSecret};
use super::notice::{Notice, NoticeKind};
use super::user_plan::{UserPlan, Wait, Waiting};
use crate::calendar::due;
use crate::keys::UserRef;
use crate::settings::Periods;

/// Why nothing can be rotated in an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Departure {
    /// The account is closed or being closed, with its state as Organizations spells it.
    Closed(String),
    /// The account is not in the organization any more.
    Left,
}

impl fmt::Display for Departure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(state) => write!(f, "the account is closed (its state is {state})"),
            Self::Left => f.write_str("the account has left the organization (AWS_ORG_ID)"),
        }
    }
}

/// Whether the secret belongs to this stack and may be changed: it has keywheel's tag, and is no replica of another
/// stack's secret.
pub fn is_own_secret(secret: &PresentSecret) -> bool {
    secret.state.managed && secret.replica_of.is_none()
}

/// Returns the plan for the secret of `user` in an account that is known to be closed or gone. The schedule is switched
/// off, which can be undone. After the recovery grace, the secret is scheduled for deletion. The grace is needed
/// because lists of accounts lag, and because a closed account may be reopened.
///
/// `tells` is set for one secret of each account, whose notice stands for all of them.
pub fn plan_for_departed_account(
    user: &UserRef,
    secret: &PresentSecret,
    tells: bool,
    periods: &Periods,
    now: DateTime<Utc>,
) -> UserPlan {
    let mut plan = UserPlan::nothing(user);
    if !is_own_secret(secret) {
        return plan;
    }
    let delete_at = secret.state.departed.map(|since| due(since, periods.recovery_grace));
    match delete_at.filter(|_| !secret.rotation_enabled) {
        Some(at) if now >= at => delete_secret(&mut plan, secret),
        Some(at) => plan.waiting.push(Waiting {
            action: ActionName::DeleteSecret,
            key: None,
            wait: Wait::RecoveryGrace,
            until: Some(at),
        }),
        None => {
            if secret.rotation_enabled {
                plan.actions.push(Action::CancelSchedule(CancelReason::AccountDeparted));
            }
            plan.actions.push(Action::RecordDeparture);
        }
    }
    if tells && !plan.actions.contains(&Action::DeleteSecret) {
        plan.notices.extend(notice(user, secret, periods, now));
    }
    plan
}

/// Returns the plan for a secret whose account is active. The record of a departure is removed, so that another
/// departure begins a new recovery grace. The account's own sweep repairs the schedule.
pub fn plan_for_returned_account(user: &UserRef, secret: &PresentSecret) -> UserPlan {
    let mut plan = UserPlan::nothing(user);
    if is_own_secret(secret) && secret.state.departed.is_some() {
        plan.actions.push(Action::ForgetDeparture);
    }
    plan
}

/// Returns the notice of the account; `None` if it was sent and is not due again. A schedule that this plan cancels
/// always has its notice.
fn notice(user: &UserRef, secret: &PresentSecret, periods: &Periods, now: DateTime<Utc>) -> Option<Notice> {
    let kind = NoticeKind::ScheduleCancelled(CancelReason::AccountDeparted);
    let key = secret.state.current_key.clone().or(secret.state.previous_key.clone())?;
    if !secret.rotation_enabled && kind.was_sent(&key, &secret.state.notified, periods.repeat, now) {
        return None;
    }
    Some(Notice {
        user: user.clone(),
        owner: None,
        secret_arn: Some(secret.arn.clone()),
        key,
        created: None,
        kind,
        tells_of: secret.rotation_enabled.then_some(ActionName::Cancel),
    })
}
