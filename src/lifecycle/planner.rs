//! Gathers a plan while decisions are made.

use chrono::{DateTime, Utc};

use super::action::Action;
use super::action_name::ActionName;
use super::allowance::{Allowance, Change};
use super::facts::{KeyFacts, UserFacts};
use super::notice::{Notice, NoticeKind};
use super::user_plan::{Problem, UserPlan, Wait, Waiting};
use crate::keys::{AccessKeyId, MAX_KEYS_PER_USER};
use crate::settings::Periods;
use crate::state::Phase;

/// The facts about one user, the time, and the plan as far as it is decided.
pub(super) struct Planner<'a> {
    pub(super) facts: &'a UserFacts,
    pub(super) periods: &'a Periods,
    pub(super) now: DateTime<Utc>,
    pub(super) plan: UserPlan,
    pub(super) allowance: Allowance,
    /// The earliest day on which the outgoing key leaves its slot; `None` if no key is in retirement.
    pub(super) slot_free_at: Option<DateTime<Utc>>,
}

impl<'a> Planner<'a> {
    pub(super) fn new(facts: &'a UserFacts, periods: &'a Periods, now: DateTime<Utc>, allowance: Allowance) -> Self {
        Self { facts, periods, now, allowance, plan: UserPlan::nothing(facts.user()), slot_free_at: None }
    }

    pub(super) fn act(&mut self, action: Action) {
        self.plan.actions.push(action);
    }

    /// Whether a change of that key has its turn. If so, the plan counts the change; if not, it waits. `since` decides
    /// which changes of an account come first.
    pub(super) fn takes_turn(&mut self, action: ActionName, key: &KeyFacts, since: DateTime<Utc>) -> bool {
        let has_turn = self.allowance.turns.has(action);
        if has_turn {
            self.plan.changes.push(Change { action, since });
        } else {
            self.wait(action, Some(&key.id), Wait::Turn, None);
        }
        has_turn
    }

    pub(super) fn problem(&mut self, action: ActionName, error: String) {
        self.plan.problems.push(Problem { action, error });
    }

    pub(super) fn wait(
        &mut self,
        action: ActionName,
        key: Option<&AccessKeyId>,
        wait: Wait,
        until: Option<DateTime<Utc>>,
    ) {
        self.plan.waiting.push(Waiting { action, key: key.cloned(), wait, until });
    }

    /// Plans a notice of something that is true already, unless it was sent and is not due again.
    pub(super) fn notify(&mut self, key: &AccessKeyId, kind: NoticeKind) {
        if !self.was_sent(key, &kind) {
            self.push_notice(key, kind, None);
        }
    }

    /// Plans a notice that the limit of changes puts an action off. It is not needed if a notice of one of these phases
    /// named a first possible day: its reader knows that the day may pass.
    pub(super) fn notify_of_wait(&mut self, key: &AccessKeyId, kind: NoticeKind, phases: &[Phase]) {
        let notified = self.facts.state().map(|state| &state.notified);
        let mut named = phases.iter().filter_map(|phase| notified?.announced(key, *phase));
        if named.all(|(_, is_exact)| is_exact) {
            self.notify(key, kind);
        }
    }

    /// Plans a notice of an action of this plan, unless it was sent and is not due again. If the action is not carried
    /// out, the notice is not sent.
    pub(super) fn notify_of(&mut self, action: ActionName, key: &AccessKeyId, kind: NoticeKind) {
        if !self.was_sent(key, &kind) {
            self.push_notice(key, kind, Some(action));
        }
    }

    /// Plans a notice of an action of this plan, even if a notice of the same phase was sent. The earlier notice was
    /// about an earlier grace or announcement.
    pub(super) fn notify_again_of(&mut self, action: ActionName, key: &AccessKeyId, kind: NoticeKind) {
        self.push_notice(key, kind, Some(action));
    }

    fn was_sent(&self, key: &AccessKeyId, kind: &NoticeKind) -> bool {
        let notified = self.facts.secret.present().map(|secret| &secret.state.notified);
        notified.is_some_and(|notified| kind.was_sent(key, notified, self.periods.repeat, self.now))
    }

    /// Whether a notice of that phase was sent, on any day.
    pub(super) fn is_recorded(&self, key: &AccessKeyId, phase: Phase) -> bool {
        self.facts.secret.present().is_some_and(|secret| secret.state.notified.was_sent(key, phase))
    }

    fn push_notice(&mut self, key: &AccessKeyId, mut kind: NoticeKind, tells_of: Option<ActionName>) {
        if self.allowance.is_limited {
            kind.put_off();
        }
        self.plan.notices.push(Notice {
            user: self.facts.user().clone(),
            owner: self.facts.owner.clone(),
            secret_arn: self.facts.secret.present().map(|secret| secret.arn.clone()),
            key: key.clone(),
            created: self.facts.key(key).map(|key| key.created),
            kind,
            tells_of,
        });
    }

    /// Returns the latest day that notices of these phases named for the key.
    pub(super) fn announced(&self, key: &AccessKeyId, phases: &[Phase]) -> Option<DateTime<Utc>> {
        self.facts.announced(key, phases)
    }

    /// Returns the day on which the key is rotated: after its period, and never before the day that was announced.
    pub(super) fn rotation_day(&self, key: &KeyFacts) -> DateTime<Utc> {
        self.facts.rotation_day(key, self.periods)
    }

    pub(super) fn is_due(&self) -> bool {
        self.facts.reference_key().is_some_and(|key| self.now >= self.rotation_day(key))
    }

    /// Whether a rotation that starts now finds a slot for its key, or frees one by itself.
    pub(super) fn has_free_slot(&self) -> bool {
        let deletes = self.plan.actions.iter().any(|action| matches!(action, Action::Delete { .. }));
        self.facts.keys.len() < MAX_KEYS_PER_USER || deletes || self.facts.key_in_flight().is_some()
    }

    /// Whether the key has to give way to the rotation of another key, counting what this plan does.
    pub(super) fn is_retiring(&self, id: &AccessKeyId) -> bool {
        let planned = self.plan.actions.iter().rev().find_map(|action| match action {
            Action::Retire { key, .. } => Some(Some(key)),
            Action::StopRetiring { .. } => Some(None),
            _ => None,
        });
        let recorded = self.facts.state().and_then(|state| state.retiring.as_ref()).map(|retiring| &retiring.key);
        planned.unwrap_or(recorded) == Some(id)
    }
}
