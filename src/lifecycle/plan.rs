//! Facts about one user, the periods and a time → the plan.

use chrono::{DateTime, TimeDelta, Utc};

use super::action::{Action, CancelReason, Problem, RestoredFacts, UserPlan};
use super::action_name::ActionName;
use super::facts::{Drift, Exemption, KeyFacts, PresentSecret, SecretFacts, UserFacts};
use super::notice::{Notice, NoticeKind};
use super::outgoing::{self, Outgoing};
use super::second_key;
use crate::keys::{AccessKeyId, LastUse, MAX_KEYS_PER_USER, UserRef, VersionId};
use crate::settings::Periods;
use crate::state::{Phase, State, format_time, tag};

/// A rotation that was due for this long and is still not finished does not finish by itself.
const UNFINISHED_IS_NEWS_AFTER: TimeDelta = TimeDelta::days(1);

/// IAM's lists show a change within minutes; so far the clocks of two functions may be apart, too.
pub(super) const KEYS_ARE_LISTED_WITHIN: TimeDelta = TimeDelta::hours(1);

/// Decides what is to be done for one user and what is to be told.
pub fn plan(facts: &UserFacts, periods: &Periods, now: DateTime<Utc>) -> UserPlan {
    let mut planner = Planner::new(facts, periods, now);
    planner.decide();
    planner.plan
}

/// Decides what is to be done with the secret of a user who does not exist any more.
pub fn plan_for_deleted_user(user: &UserRef, secret: &PresentSecret) -> UserPlan {
    let mut plan = UserPlan::nothing(user);
    if !secret.state.managed {
        let error = format!(
            "secret {} has the name of a secret of keywheel's, but {user} does not exist and the secret has no tag \
             keywheel:managed; delete it, or tag it keywheel:managed = 1 to have it deleted",
            secret.arn
        );
        plan.problems.push(Problem { action: ActionName::DeleteSecret, error });
        return plan;
    }
    if secret.rotation_enabled {
        plan.actions.push(Action::CancelSchedule(CancelReason::UserGone));
    }
    plan.actions.push(Action::DeleteSecret);
    if let Some(key) = secret.state.current_key.clone().or(secret.state.previous_key.clone())
        && !secret.state.notified.was_sent(&key, Phase::SecretDeleted)
    {
        let kind = NoticeKind::SecretDeleted;
        let secret_arn = Some(secret.arn.clone());
        plan.notices.push(Notice { user: user.clone(), owner: None, secret_arn, key, created: None, kind });
    }
    plan
}

fn is_forced_and_unfinished(secret: &PresentSecret) -> bool {
    secret.state.managed && secret.state.force && secret.unfinished_version.is_some()
}

pub(super) struct Planner<'a> {
    pub(super) facts: &'a UserFacts,
    pub(super) periods: &'a Periods,
    pub(super) now: DateTime<Utc>,
    pub(super) plan: UserPlan,
    /// When the key on its way out leaves its slot at the earliest.
    pub(super) slot_free_at: Option<DateTime<Utc>>,
}

impl<'a> Planner<'a> {
    fn new(facts: &'a UserFacts, periods: &'a Periods, now: DateTime<Utc>) -> Self {
        Self { facts, periods, now, plan: UserPlan::nothing(facts.user()), slot_free_at: None }
    }

    fn decide(&mut self) {
        match &self.facts.exemption {
            Exemption::Exempt => {
                self.stop_schedule(CancelReason::Exempt);
                second_key::drop_times(self);
            }
            Exemption::Unknown(why) => {
                let error = format!("it is not known whether the user is exempt: {why}; nothing is done until it is");
                self.problem(ActionName::Rotate, error);
            }
            Exemption::NotExempt if self.newest_active().is_none() => self.stop_schedule(CancelReason::NoActiveKey),
            Exemption::NotExempt => self.rotate_user(),
        }
    }

    fn rotate_user(&mut self) {
        match &self.facts.secret {
            SecretFacts::Missing => self.provision(),
            SecretFacts::PendingDeletion => self.act(Action::Restore),
            SecretFacts::Present(secret) => self.maintain(secret),
        }
    }

    fn provision(&mut self) {
        let Some(key) = self.newest_active() else { return };
        let then_rotate = self.is_due() && self.has_free_slot();
        self.act(Action::Provision { key: key.id.clone(), created: key.created, then_rotate });
        self.lead_keys_out();
        self.rotate_if_due(true);
    }

    fn maintain(&mut self, secret: &'a PresentSecret) {
        for malformed in &secret.state.malformed {
            self.problem(ActionName::Rotate, malformed.to_string());
        }
        let resumed = self.resume_grace(secret);
        for drift in &secret.drift {
            self.act(Action::Repair(*drift));
        }
        if !secret.state.malformed.is_empty() {
            return;
        }
        if !secret.state.managed {
            let Some(version) = secret.current_version.clone() else {
                return self.problem(ActionName::Adopt, format!("secret {} has no current version", secret.arn));
            };
            self.adopt(version);
        } else if secret.facts_are_fresh() {
            self.drop_finished_intent(&secret.state);
            self.tell_of_rotation(secret);
        } else {
            return self.restore_facts(secret);
        }
        let forced = is_forced_and_unfinished(secret);
        // The order decides what becomes of the other key, unless it may be refused: without a tested key in the secret,
        // nothing may say which of the two is needed.
        let is_decided = forced && self.proven_current().is_some();
        if !resumed && !is_decided {
            self.lead_keys_out();
        }
        self.report_unclear_orphan();
        self.rotate_if_due(secret.drift.contains(&Drift::Schedule));
        if forced {
            self.take_up_rotation();
        }
    }

    /// The schedule was switched off, for an exemption or for want of an active key, and that is over: no grace ran
    /// meanwhile. Goes before the schedule is switched on again, which is the only trace of it.
    fn resume_grace(&mut self, secret: &PresentSecret) -> bool {
        let state = &secret.state;
        if secret.rotation_enabled || !state.managed || !state.malformed.is_empty() || !secret.facts_are_fresh() {
            return false;
        }
        let outgoing = state.previous_key.as_ref().and_then(|id| self.key(id)).filter(|key| key.is_active());
        let Some(key) = outgoing.map(|key| key.id.clone()) else { return false };
        self.act(Action::RestartGrace { key: key.clone() });
        let at = self.now + self.periods.installation_grace;
        self.tell_again(&key, NoticeKind::DisableAhead { at, last_use: None });
        true
    }

    /// The rotation finished, and failed to say so.
    fn drop_finished_intent(&mut self, state: &State) {
        if state.intent.as_ref().is_some_and(|intent| Some(&intent.version) == state.version.as_ref()) {
            self.act(Action::DropIntent);
        }
    }

    fn tell_of_rotation(&mut self, secret: &PresentSecret) {
        let Some(current) = self.proven_current().filter(|current| !self.was_told(&current.id, Phase::Rotated)) else {
            return;
        };
        let old_key = secret.state.previous_key.clone().filter(|old| self.key(old).is_some());
        // Told late, the old key may be disabled already, or have got another grace.
        let outgoing = Outgoing::replaced(self).filter(|outgoing| outgoing.key.is_active());
        let disable_at = outgoing.map(|outgoing| outgoing.disable_at()).filter(|at| self.now < *at);
        self.tell(&current.id, NoticeKind::Rotated { old_key, disable_at });
    }

    /// A secret of the predecessor's: nothing is known of it but its user. It is rotated when its user's key is due.
    fn adopt(&mut self, version: VersionId) {
        let Some(key) = self.newest_active().map(|key| key.id.clone()) else { return };
        self.act(Action::Adopt { version, key });
    }

    /// The tags describe another version than readers get. Nothing else is done before that is put right.
    fn restore_facts(&mut self, secret: &PresentSecret) {
        let Some(version) = secret.current_version.clone() else {
            return self.problem(ActionName::Repair, format!("secret {} has no current version", secret.arn));
        };
        let state = &secret.state;
        let finished = state.intent.as_ref().filter(|intent| intent.version == version);
        let replaced: Vec<&AccessKeyId> = state.current_key.iter().collect();
        let made = finished.map(|intent| intent.candidates(self.keys_with_dates(), &replaced)).unwrap_or_default();
        if made.is_empty() && finished.is_some_and(|intent| self.now < intent.at + KEYS_ARE_LISTED_WITHIN) {
            // Not listed yet. Taken for unknown, it would never be known again.
            return;
        }
        // The rotation moved the label and stopped before its records; exactly one key can be the one that it made.
        let new_key = if let [new_key] = made[..] { Some(new_key.clone()) } else { None };
        let replaced = state.current_key.clone().filter(|old| self.key(old).is_some());
        let previous_key = new_key.as_ref().and(replaced);
        let created = new_key.as_ref().and_then(|id| self.key(id)).map(|key| key.created);
        self.act(Action::RestoreFacts(RestoredFacts { version, current_key: new_key, created, previous_key }));
    }

    fn stop_schedule(&mut self, reason: CancelReason) {
        let Some(secret) = self.facts.secret.present().filter(|secret| secret.state.managed) else { return };
        let named = secret.state.current_key.clone();
        let key = named.or_else(|| self.facts.keys.last().map(|key| key.id.clone()));
        if secret.rotation_enabled {
            self.act(Action::CancelSchedule(reason));
        }
        match key {
            // What was told about an earlier time without a schedule does not tell of this one.
            Some(key) if secret.rotation_enabled => self.tell_again(&key, NoticeKind::ScheduleCancelled(reason)),
            Some(key) => self.tell(&key, NoticeKind::ScheduleCancelled(reason)),
            None => {}
        }
    }

    fn lead_keys_out(&mut self) {
        outgoing::lead_out(self);
    }

    fn rotate_if_due(&mut self, configure: bool) {
        if self.lists_lag() {
            return;
        }
        let Some(key) = self.reference_key() else { return self.report_orphan() };
        let due = key.created + self.periods.rotation;
        if self.now < due || !self.has_free_slot() {
            return self.tell_of_rotation_ahead(key, due);
        }
        // A rotation that was started by the last run or just now may be on its way.
        let is_late = self.now >= due + UNFINISHED_IS_NEWS_AFTER;
        let unfinished = self.secret().and_then(|secret| secret.unfinished_version.clone()).filter(|_| is_late);
        if configure {
            self.plan.actions.retain(|action| *action != Action::Repair(Drift::Schedule));
            if let Some(version) = unfinished.clone().filter(|version| !self.was_announced_lately(version)) {
                self.act(Action::AbandonRotation { version });
            }
        }
        self.act(Action::Rotate { key: key.id.clone(), created: key.created, configure });
        let kind = if unfinished.is_some() {
            NoticeKind::RotationUnfinished { since: due }
        } else {
            NoticeKind::RotationDue { since: due }
        };
        self.tell(&key.id, kind);
    }

    /// A rotation that was ordered for an incident and did not come to its end: nobody else would take it up again before
    /// the key is due.
    fn take_up_rotation(&mut self) {
        let rotates = self.plan.actions.iter().any(|action| matches!(action, Action::Rotate { .. }));
        let Some(key) = self.reference_key().filter(|_| !rotates) else { return };
        self.act(Action::Rotate { key: key.id.clone(), created: key.created, configure: false });
    }

    /// A rotation waits for its slot: the other key is on its way out, and its owner is told so. A key that is on its
    /// way out itself is not rotated.
    fn tell_of_rotation_ahead(&mut self, key: &KeyFacts, due: DateTime<Utc>) {
        let at = self.slot_free_at.map_or(due, |free| free.max(due));
        if self.now < at && self.now >= at - self.periods.warn && !self.is_retiring(&key.id) {
            self.tell(&key.id, NoticeKind::RotationAhead { at });
        }
    }

    fn was_announced_lately(&self, version: &VersionId) -> bool {
        let intent = self.state().and_then(|state| state.intent.as_ref()).filter(|intent| intent.version == *version);
        intent.is_some_and(|intent| self.now < intent.at + UNFINISHED_IS_NEWS_AFTER)
    }

    /// Whether the key that a rotation has just made current is not in the list of keys yet.
    fn lists_lag(&self) -> bool {
        let Some(state) = self.state().filter(|_| self.secret().is_some_and(PresentSecret::facts_are_fresh)) else {
            return false;
        };
        let is_missing = state.current_key.as_ref().is_some_and(|current| self.key(current).is_none());
        is_missing && state.rotated_at.is_some_and(|rotated_at| self.now < rotated_at + KEYS_ARE_LISTED_WITHIN)
    }

    /// The rotation function makes no key for a user whose only active key is its own orphan.
    fn report_orphan(&mut self) {
        if let Some(orphan) = self.key_in_flight() {
            let error = format!(
                "the user's only active key {} is one that a rotation made and did not finish with; enable or make \
                 another key, or delete this one",
                orphan.id
            );
            self.problem(ActionName::Rotate, error);
        }
    }

    /// An announced key that cannot be told from a person's is kept, for good: only a person can say which it is.
    fn report_unclear_orphan(&mut self) {
        let candidates = self.announced_candidates();
        let Some(intent) = self.state().and_then(|state| state.intent.as_ref()) else { return };
        let doubt = match candidates[..] {
            [one, other] => {
                format!("{one} and {other} were both made then, and nothing tells which of them is that key")
            }
            [one] => match self.key(one).and_then(|key| key.last_use.unknown()) {
                Some(why) => format!("whether {one} is that key cannot be told, as its last use is not known: {why}"),
                None => return,
            },
            _ => return,
        };
        if self.is_announced_under_way() {
            return;
        }
        let error = format!(
            "a rotation announced a key at {} and did not finish; {doubt}. No key is deleted for that: delete the one that \
             nobody has or, if there is none, remove the tag {} from the secret",
            format_time(intent.at),
            tag::INTENT
        );
        self.problem(ActionName::Rotate, error);
    }

    /// Whether the key has to give way to the rotation of another one.
    fn is_retiring(&self, id: &AccessKeyId) -> bool {
        let planned = self.plan.actions.iter().rev().find_map(|action| match action {
            Action::Retire { key, .. } => Some(Some(key)),
            Action::StopRetiring { .. } => Some(None),
            _ => None,
        });
        let written = self.state().and_then(|state| state.retiring.as_ref()).map(|retiring| &retiring.key);
        planned.unwrap_or(written) == Some(id)
    }

    pub(super) fn is_due(&self) -> bool {
        self.reference_key().is_some_and(|key| self.now >= key.created + self.periods.rotation)
    }

    /// Whether a rotation started now finds or makes room for its key.
    fn has_free_slot(&self) -> bool {
        let deleted = self.plan.actions.iter().any(|action| matches!(action, Action::Delete { .. }));
        self.facts.keys.len() < MAX_KEYS_PER_USER || deleted || self.key_in_flight().is_some()
    }

    /// The key whose age decides when the next rotation is due: the one in the secret if that was tested; otherwise
    /// the oldest active one, because nothing says which of the user's keys is in use.
    pub(super) fn reference_key(&self) -> Option<&'a KeyFacts> {
        let in_flight = self.key_in_flight().map(|key| &key.id);
        let mut active = self.facts.keys.iter().filter(|key| key.is_active() && Some(&key.id) != in_flight);
        self.proven_current().filter(|key| key.is_active()).or_else(|| active.next())
    }

    /// The key in the secret, if keywheel made and tested it and it is still there.
    pub(super) fn proven_current(&self) -> Option<&'a KeyFacts> {
        let secret = self.secret()?;
        self.facts.keys.iter().find(|key| secret.is_tested(&key.id, key.created))
    }

    /// A key that a rotation has made and not finished with, or left behind: the rotation function's, whatever becomes
    /// of it. Recognised as the rotation function does it, which frees its slot.
    pub(super) fn key_in_flight(&self) -> Option<&'a KeyFacts> {
        // Two of them: one is a person's, and nothing tells which.
        let [candidate] = self.announced_candidates()[..] else { return None };
        let key = self.key(candidate)?;
        let is_ours = match &key.last_use {
            LastUse::Never => true,
            // A left-behind key is known by its not being used; the key of a rotation under way is used by its test.
            LastUse::At(last_use) => self.is_announced_under_way() && last_use.can_be_the_test(),
            // Left alone, in either case, as long as the rotation may be at work with it.
            LastUse::Unknown(_) | LastUse::NotAsked => self.is_announced_under_way(),
        };
        is_ours.then_some(key)
    }

    /// The keys that can be the one that a rotation announced and did not finish with. No clock of ours is needed: IAM
    /// dates the keys, and the intent's time is from IAM.
    fn announced_candidates(&self) -> Vec<&'a AccessKeyId> {
        let (Some(state), Some(secret)) = (self.state(), self.secret()) else { return Vec::new() };
        let Some(intent) = state.unsettled_intent(secret.current_version.as_ref()) else { return Vec::new() };
        let known: Vec<&AccessKeyId> = state.current_key.iter().chain(&state.previous_key).collect();
        intent.candidates(self.keys_with_dates(), &known)
    }

    fn is_announced_under_way(&self) -> bool {
        let announced = self.state().and_then(|state| state.intent.as_ref()).map(|intent| &intent.version);
        announced.is_some() && announced == self.secret().and_then(|secret| secret.unfinished_version.as_ref())
    }

    fn keys_with_dates(&self) -> impl Iterator<Item = (&'a AccessKeyId, DateTime<Utc>)> + use<'a> {
        self.facts.keys.iter().map(|key| (&key.id, key.created))
    }

    pub(super) fn newest_active(&self) -> Option<&'a KeyFacts> {
        self.facts.keys.iter().rfind(|key| key.is_active())
    }

    pub(super) fn key(&self, id: &AccessKeyId) -> Option<&'a KeyFacts> {
        self.facts.keys.iter().find(|key| key.id == *id)
    }

    pub(super) fn secret(&self) -> Option<&'a PresentSecret> {
        self.facts.secret.present()
    }

    /// The facts in the tags of a secret of keywheel's. What stands in the tags of another secret proves nothing.
    pub(super) fn state(&self) -> Option<&'a State> {
        self.secret().map(|secret| &secret.state).filter(|state| state.managed)
    }

    pub(super) fn act(&mut self, action: Action) {
        self.plan.actions.push(action);
    }

    pub(super) fn problem(&mut self, action: ActionName, error: String) {
        self.plan.problems.push(Problem { action, error });
    }

    /// Plans a notice, unless it was told before and is not to be told again yet.
    pub(super) fn tell(&mut self, key: &AccessKeyId, kind: NoticeKind) {
        let notified = self.secret().map(|secret| &secret.state.notified);
        if !notified.is_some_and(|notified| kind.is_told(key, notified, self.periods.repeat, self.now)) {
            self.tell_again(key, kind);
        }
    }

    pub(super) fn was_told(&self, key: &AccessKeyId, phase: Phase) -> bool {
        self.secret().is_some_and(|secret| secret.state.notified.was_sent(key, phase))
    }

    /// Plans a notice, whatever was told before.
    pub(super) fn tell_again(&mut self, key: &AccessKeyId, kind: NoticeKind) {
        self.plan.notices.push(Notice {
            user: self.facts.user().clone(),
            owner: self.facts.owner.clone(),
            secret_arn: self.secret().map(|secret| secret.arn.clone()),
            key: key.clone(),
            created: self.key(key).map(|key| key.created),
            kind,
        });
    }
}
