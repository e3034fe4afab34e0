//! The result of one user: what was planned, done and sent, and what is left to record.

use chrono::{DateTime, Utc};

use super::ledger::{Ledger, Reread};
use super::report::Failure;
use super::run::Run;
use super::stage::Stage;
use crate::aws::CallFailure;
use crate::keys::{UserArn, UserRef};
use crate::lifecycle::{Action, ActionName, Notice, UserPlan};
use crate::notify::Delivered;

/// The result of one user.
#[derive(Debug)]
pub(super) struct UserOutcome {
    pub(super) plan: UserPlan,
    /// Names of the actions that were carried out.
    pub(super) done: Vec<ActionName>,
    /// Names of the actions that failed without an answer: they may have been carried out.
    pub(super) in_doubt: Vec<ActionName>,
    /// The notices that are to be sent.
    pub(super) notices: Vec<Notice>,
    /// The tags of the user's secret.
    pub(super) ledger: Ledger,
    /// The user is gone, and its secret is to be scheduled for deletion after its notice.
    pub(super) secret_to_delete: Option<UserArn>,
    pub(super) failures: Vec<Failure>,
    /// Whether the owner could not be read, so that nobody else's notice counts for the owner.
    pub(super) is_owner_unknown: bool,
    /// When the oldest key that keywheel rotates was made.
    pub(super) oldest_key: Option<DateTime<Utc>>,
}

/// A notice, and who has got it.
pub(super) type SentNotice = (Notice, Delivered);

impl UserOutcome {
    /// Nothing is done yet; the notices of the plan are to be sent.
    pub(super) fn planned(plan: UserPlan, ledger: Ledger) -> Self {
        Self {
            done: Vec::new(),
            in_doubt: Vec::new(),
            notices: plan.notices.clone(),
            ledger,
            secret_to_delete: None,
            failures: Vec::new(),
            is_owner_unknown: false,
            oldest_key: None,
            plan,
        }
    }

    /// There is nothing to do for this user.
    pub(super) fn nothing(user: &UserRef) -> Self {
        Self::planned(UserPlan::nothing(user), Ledger::empty(user))
    }

    pub(super) fn failed(user: &UserRef, stage: Stage, error: &(impl ToString + ?Sized)) -> Self {
        let mut outcome = Self::nothing(user);
        outcome.add_failure(stage, error);
        outcome
    }

    pub(super) fn add_failure(&mut self, stage: Stage, error: &(impl ToString + ?Sized)) {
        self.failures.push(Failure::of_user(&self.plan.user, stage, error));
    }

    /// Whether the action was carried out, or may have been.
    pub(super) fn may_have_done(&self, action: ActionName) -> bool {
        self.done.contains(&action) || self.in_doubt.contains(&action)
    }

    /// Whether something is left to do when all users are swept.
    pub(super) fn is_unfinished(&self) -> bool {
        !self.notices.is_empty()
            || self.ledger.has_pending()
            || self.secret_to_delete.is_some()
            || self.ledger.mark.is_some()
    }

    /// Whether deferring a notice renews the secret's mark, so that a digest of an earlier run that is still at work
    /// does not remove it. The first mark of a deleted user's secret stays, because the wait for its deletion counts
    /// from it. A mark that cannot be read (its time is the epoch) is renewed, because no digest finds it.
    pub(super) fn renews_mark(&self) -> bool {
        let is_deleted = self.plan.actions.contains(&Action::DeleteSecret);
        !is_deleted || self.ledger.mark.is_none_or(|since| since == DateTime::UNIX_EPOCH)
    }

    /// Records which notices were sent and which are deferred, together with the changes that waited for them. Safe to
    /// repeat.
    ///
    /// # Errors
    /// The failure of a read or write of the tags.
    pub(super) async fn record(&mut self, run: &Run<'_>, notices: &[SentNotice]) -> Result<(), CallFailure> {
        let is_any_sent = notices.iter().any(|(_, sent)| *sent != Delivered::ToNobody);
        let is_all_sent = notices.iter().all(|(_, sent)| *sent == Delivered::ToAll);
        let mut removes_mark = self.ledger.mark.is_some() && is_all_sent;
        if is_any_sent || self.ledger.has_pending() {
            match self.ledger.refresh(run).await? {
                Reread::Gone => return Ok(()),
                Reread::SameMark => {}
                Reread::OtherMark => removes_mark = false,
            }
        }
        if is_any_sent {
            for (notice, sent) in notices {
                let sent = if self.is_owner_unknown { sent.clone().without_owner() } else { sent.clone() };
                sent.record(&mut self.ledger.notified, notice, run.now);
            }
            self.ledger.add_notified();
        }
        if run.defers_notices && !is_all_sent && self.renews_mark() {
            self.ledger.add_mark(run.now);
        }
        if removes_mark { self.ledger.remove_mark(run).await } else { self.ledger.write(run).await }
    }
}
