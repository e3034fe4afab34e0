//! Facts about one user, the periods and a time → the plan. This file holds the order of the decisions.

use chrono::{DateTime, TimeDelta, Utc};

use super::action::{Action, RestoredFacts};
use super::action_name::ActionName;
use super::allowance::Allowance;
use super::facts::{CancelReason, Drift, Exemption, KeyFacts, PLAN_TRUSTS_KEY_LIST_AFTER};
use super::facts::{PresentSecret, ReadObstacle, SecretFacts, UserFacts};
use super::gone_keys;
use super::notice::NoticeKind;
use super::notice_date::NoticeDate;
use super::outgoing::Outgoing;
use super::planner::Planner;
use super::rotation_day;
use super::second_key;
use super::user_plan::{UserPlan, Wait};
use crate::calendar::{due, midnight};
use crate::keys::{AccessKeyId, LastUse, MAX_KEYS_PER_USER, VersionId};
use crate::settings::Periods;
use crate::state::{Phase, State, format_time, tag};

/// Limits how long a rotation may take after its due date before it is reported as unfinished. Secrets Manager repeats
/// a failed step within a day.
const UNFINISHED_IS_NEWS_AFTER: TimeDelta = TimeDelta::days(1);

/// Limits how long a rotation may take to announce its key. Then it is abandoned, because AWS does not document whether
/// Secrets Manager attempts it again. The function announces the key within minutes. Secrets Manager repeats a failed
/// rotation within its window, a day at most, and the next day's sweep must be able to abandon the rotation.
/// <https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotate-secrets_schedule.html>
const ABANDONED_WITHOUT_KEY_AFTER: TimeDelta = TimeDelta::hours(20);

/// Limits how long a rotation is left to Secrets Manager if it announced its key: three days longer than a rotation
/// without a key, because the next rotation makes another key.
const ABANDONED_WITH_KEY_AFTER: TimeDelta = TimeDelta::days(4);

/// Returns the plan for one user: what to do, which notices to send, which problems to report, and what is not done
/// yet. The same facts, periods and time always give the same plan.
///
/// ```
/// use keywheel::keys::KeyStatus;
/// use keywheel::lifecycle::{Exemption, KeyFacts, LastUse, SecretFacts, UserFacts, plan};
/// use keywheel::settings::Periods;
/// use chrono::TimeDelta;
///
/// let user = UserFacts {
///     arn: "arn:aws:iam::111122223333:user/ci-bot".parse()?,
///     id: "AIDAEXAMPLE".to_owned(),
///     owner: None,
///     exemption: Exemption::NotExempt,
///     keys: vec![KeyFacts {
///         id: "AKIAIOSFODNN7EXAMPLE".parse()?,
///         status: KeyStatus::Active,
///         created: "2026-08-31T07:30:00Z".parse()?,
///         last_use: LastUse::Never,
///     }],
///     secret: SecretFacts::Missing,
///     unreadable: None,
/// };
/// let periods = Periods {
///     rotation: TimeDelta::days(90),
///     installation_grace: TimeDelta::days(10),
///     recovery_grace: TimeDelta::days(10),
///     warn: TimeDelta::days(7),
///     repeat: None,
/// };
/// let plan = plan(&user, &periods, "2026-11-22T09:00:00Z".parse()?);
/// assert_eq!(
///     plan.to_string(),
///     "user `ci-bot` in account 111122223333:\n  \
///      provision a secret for AKIAIOSFODNN7EXAMPLE, made 2026-08-31\n  \
///      notify: AKIAIOSFODNN7EXAMPLE: will be rotated on 2026-11-29"
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn plan(facts: &UserFacts, periods: &Periods, now: DateTime<Utc>) -> UserPlan {
    plan_within(facts, periods, now, Allowance::UNLIMITED)
}

/// Returns the plan for one user if only the changes of that allowance have their turn. A change that has to wait for
/// its turn is in [`UserPlan::waiting`], and everything else is planned as without a limit.
pub fn plan_within(facts: &UserFacts, periods: &Periods, now: DateTime<Utc>, allowance: Allowance) -> UserPlan {
    let marked = facts.with_mark();
    let mut planner = Planner::new(marked.as_ref().unwrap_or(facts), periods, now, allowance);
    if marked.is_some() {
        planner.act(Action::RestoreMark);
    }
    planner.decide();
    planner.plan
}

fn is_forced_and_unfinished(secret: &PresentSecret) -> bool {
    secret.state.managed && secret.state.force && secret.unfinished_version.is_some()
}

impl<'a> Planner<'a> {
    fn decide(&mut self) {
        if let Some(secret) = self.facts.secret.present()
            && let Some(region) = &secret.replica_of
        {
            return self.leave_replica(secret, region);
        }
        match &self.facts.exemption {
            Exemption::Exempt => {
                self.stop_schedule(CancelReason::Exempt);
                second_key::drop_times(self);
            }
            Exemption::Unknown(why) => {
                let error = format!("it is not known whether the user is exempt: {why}; nothing is done until it is");
                self.problem(ActionName::Rotate, error);
            }
            Exemption::NotExempt if self.facts.newest_active_key().is_none() => {
                self.stop_schedule(CancelReason::NoActiveKey);
            }
            Exemption::NotExempt => match self.facts.unreadable {
                Some(why) => self.leave_alone(why),
                None => self.rotate_user(),
            },
        }
    }

    /// Reports a secret that takes no writes here. The stack in the Region of the primary secret rotates its key.
    fn leave_replica(&mut self, secret: &PresentSecret, region: &str) {
        if self.facts.exemption == Exemption::Exempt || self.facts.newest_active_key().is_none() {
            return;
        }
        let error = format!(
            "secret {} is a replica of the secret in {region}, which another stack works with; it takes no writes here, \
             and nothing is done for this user. Sweep the account from one of the two stacks only",
            secret.arn
        );
        self.problem(ActionName::Repair, error);
    }

    fn rotate_user(&mut self) {
        match &self.facts.secret {
            SecretFacts::Missing => self.provision(),
            SecretFacts::PendingDeletion => self.act(Action::Restore),
            SecretFacts::Present(secret) => self.maintain(secret),
        }
    }

    /// Leaves all keys alone if the user cannot read its secret: nobody could fetch a new key, and after the graces
    /// nobody would have a key that works. The schedule is switched off, because it would rotate all the same. When
    /// the user can read the secret again, the schedule is repaired, and an outgoing key gets its whole grace.
    fn leave_alone(&mut self, why: ReadObstacle) {
        self.stop_schedule(CancelReason::Unreadable(why));
        second_key::drop_times(self);
        self.problem(ActionName::Rotate, why.remedy().to_owned());
    }

    fn provision(&mut self) {
        let Some(key) = self.facts.newest_active_key() else { return };
        let then_rotate = self.is_due() && self.has_free_slot() && self.allowance.turns.rotate;
        self.act(Action::Provision { key: key.id.clone(), created: key.created, then_rotate });
        self.retire_keys();
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
        let switches_on = self.switches_schedule_on(secret);
        if switches_on && !secret.drift.contains(&Drift::Schedule) {
            self.act(Action::Repair(Drift::Schedule));
        }
        if !secret.state.malformed.is_empty() {
            return;
        }
        match &secret.current_version {
            version if !secret.state.managed => self.adopt(version.clone()),
            // The tags describe a version that is not there any more, so they prove nothing.
            None if secret.state.version.is_some() => {
                self.adopt(None);
                return self.wait(ActionName::Rotate, None, Wait::Tags, None);
            }
            // A secret without a value needs no facts. Its next rotation puts the first value.
            None => {}
            Some(_) if secret.facts_are_fresh() => {
                self.drop_finished_intent(&secret.state);
                self.notify_of_rotation(secret);
            }
            Some(version) => return self.restore_facts(secret, version.clone()),
        }
        if !switches_on {
            rotation_day::leave_early_schedule_off(self, secret);
        }
        gone_keys::notify_of_forced(self);
        let forced = is_forced_and_unfinished(secret);
        // The forced rotation itself retires the other key. It may refuse that if the secret holds no tested key,
        // because then nothing shows which of the two keys is needed.
        let is_decided = forced && self.facts.tested_key().is_some();
        if !resumed && !is_decided {
            self.retire_keys();
        }
        self.report_unclear_orphan();
        self.notify_of_failure(secret);
        self.rotate_if_due(switches_on || !secret.rotation_enabled);
        if forced {
            self.resume_forced_rotation();
        }
        let repair = self.plan.actions.iter().position(|action| *action == Action::Repair(Drift::Schedule));
        if let Some(repair) = repair {
            self.abandon_stuck_rotation(repair);
        }
        self.wait_for_rotation(secret);
    }

    /// Whether the schedule is set anew. A schedule that is left off for a key stays off until that key is due: a
    /// rotation then switches it on.
    fn switches_schedule_on(&self, secret: &PresentSecret) -> bool {
        let key = self.facts.reference_key().map(|key| &key.id);
        let is_for_another_key = secret.schedule_off_for().is_some_and(|off_for| Some(off_for) != key);
        secret.drift.contains(&Drift::Schedule) || is_for_another_key
    }

    /// Gives the outgoing key its whole grace again after a time without a schedule: no grace ran meanwhile. An exempt
    /// user or a user without an active key has no schedule. This is decided before the schedule is repaired, because
    /// the missing schedule is the only trace of that time. Returns whether there is an outgoing key to which this
    /// applies.
    fn resume_grace(&mut self, secret: &PresentSecret) -> bool {
        let state = &secret.state;
        let had_schedule = secret.rotation_enabled || state.schedule_off.is_some();
        if had_schedule || !state.managed || !state.malformed.is_empty() || !secret.facts_are_fresh() {
            return false;
        }
        let outgoing = state.previous_key.as_ref().and_then(|id| self.facts.key(id)).filter(|key| key.is_active());
        let Some(key) = outgoing.map(|key| key.id.clone()) else { return false };
        self.act(Action::RestartGrace { key: key.clone() });
        let at = NoticeDate::On(due(self.now, self.periods.installation_grace));
        self.notify_again_of(ActionName::RestartGrace, &key, NoticeKind::DisableAhead { at, last_use: None });
        true
    }

    /// Drops the intent of a rotation that finished and could not remove it.
    fn drop_finished_intent(&mut self, state: &State) {
        if state.intent.as_ref().is_some_and(|intent| Some(&intent.version) == state.version.as_ref()) {
            self.act(Action::DropIntent);
        }
    }

    fn notify_of_rotation(&mut self, secret: &PresentSecret) {
        let tested = self.facts.tested_key();
        let Some(current) = tested.filter(|current| !self.is_recorded(&current.id, Phase::Rotated)) else { return };
        let old_key = secret.state.previous_key.clone().filter(|old| self.facts.key(old).is_some());
        // In a late notice, the old key may be disabled already, or have another grace.
        let outgoing = Outgoing::replaced(self).filter(|outgoing| outgoing.key.is_active());
        let disable_at = outgoing.map(|outgoing| outgoing.disable_date(self)).filter(|date| self.now < date.at());
        let forced = secret.state.notified.owed_forced().find(|id| self.facts.key(id).is_none()).cloned();
        self.notify(&current.id, NoticeKind::Rotated { old_key, disable_at, forced });
    }

    /// Adopts a secret that the predecessor made. It proves only whose secret it is; its value, if it has one, was
    /// never tested. The key is rotated when it is due.
    fn adopt(&mut self, version: Option<VersionId>) {
        let Some(key) = self.facts.key_to_adopt().map(|key| key.id.clone()) else { return };
        self.act(Action::Adopt { version, key });
    }

    /// Corrects tags that do not describe the current version. All other decisions wait for the correction.
    fn restore_facts(&mut self, secret: &PresentSecret, version: VersionId) {
        let state = &secret.state;
        let finished = state.intent.as_ref().filter(|intent| intent.version == version);
        let replaced: Vec<&AccessKeyId> = state.current_key.iter().collect();
        let made = finished.map(|intent| intent.candidates(self.facts.keys_with_dates(), &replaced));
        let made = made.unwrap_or_default();
        if made.is_empty()
            && let Some(listed_by) = finished.map(|intent| intent.at + PLAN_TRUSTS_KEY_LIST_AFTER)
            && self.now < listed_by
        {
            // If the key were recorded as unknown now, no later run could find it.
            return self.wait(ActionName::Repair, None, Wait::KeyList, Some(listed_by));
        }
        // The rotation moved the label and stopped before it wrote its records. A single candidate is the key that it
        // made.
        let new_key = if let [new_key] = made[..] { Some(new_key.clone()) } else { None };
        let replaced = state.current_key.clone().filter(|old| self.facts.key(old).is_some());
        let previous_key = new_key.as_ref().and(replaced);
        let created = new_key.as_ref().and_then(|id| self.facts.key(id)).map(|key| key.created);
        self.act(Action::RestoreFacts(RestoredFacts { version, current_key: new_key, created, previous_key }));
        self.wait(ActionName::Rotate, None, Wait::Tags, None);
    }

    fn stop_schedule(&mut self, reason: CancelReason) {
        let Some(secret) = self.facts.secret.present().filter(|secret| secret.state.managed) else { return };
        let named = secret.state.current_key.clone();
        let key = named.or_else(|| self.facts.keys.last().map(|key| key.id.clone()));
        let had_schedule = secret.rotation_enabled || secret.state.schedule_off.is_some();
        if had_schedule {
            self.act(Action::CancelSchedule(reason));
        }
        let kind = NoticeKind::ScheduleCancelled(reason);
        match key {
            // An earlier notice was about an earlier time without a schedule, so it is sent again.
            Some(key) if had_schedule => self.notify_again_of(ActionName::Cancel, &key, kind),
            Some(key) => self.notify(&key, kind),
            None => {}
        }
    }

    /// Decides about the keys that have to go: those that are gone already, and the outgoing key.
    fn retire_keys(&mut self) {
        gone_keys::finish(self);
        if self.facts.key_in_flight().is_some() {
            return;
        }
        if self.has_too_many_keys() {
            return self.report_too_many_keys();
        }
        if self.facts.keys.len() < MAX_KEYS_PER_USER {
            return second_key::drop_announcement(self);
        }
        match Outgoing::replaced(self) {
            Some(replaced) => replaced.retire(self),
            None => second_key::retire(self),
        }
    }

    /// Whether the user has more keys than IAM allows. Keys that are made at the same moment pass IAM's check together.
    fn has_too_many_keys(&self) -> bool {
        self.facts.keys.len() > MAX_KEYS_PER_USER
    }

    /// Reports all keys of a user with more than two. All rules about keys are rules about two, so none is touched.
    fn report_too_many_keys(&mut self) {
        let named: Vec<String> = self.facts.keys.iter().map(|key| key.named().to_string()).collect();
        let error = format!(
            "the user has {} access keys, more than IAM allows: {}; none is rotated, disabled or deleted. Delete \
             unused keys until two are left",
            named.len(),
            named.join(", ")
        );
        self.problem(ActionName::Rotate, error);
    }

    fn rotate_if_due(&mut self, configure: bool) {
        if self.has_too_many_keys() {
            return;
        }
        if let Some(listed_by) = self.facts.current_key_is_listed_by(self.now) {
            let current = self.facts.state().and_then(|state| state.current_key.as_ref());
            return self.wait(ActionName::Rotate, current, Wait::KeyList, Some(listed_by));
        }
        let Some(key) = self.facts.reference_key() else { return self.report_orphan() };
        let due = self.rotation_day(key);
        let holds_dead_key = self.facts.is_made_again(self.now);
        if holds_dead_key && !self.has_free_slot() {
            self.report_dead_key();
        }
        if (self.now < due && !holds_dead_key) || !self.has_free_slot() {
            return self.announce_rotation(key, due);
        }
        // Before this limit, a rotation that the last run or this run started may still be under way.
        let is_late = self.now >= due + UNFINISHED_IS_NEWS_AFTER;
        let unfinished = self.facts.secret.present().and_then(|secret| secret.unfinished_version.clone());
        let unfinished = unfinished.filter(|_| is_late);
        if configure {
            self.plan.actions.retain(|action| *action != Action::Repair(Drift::Schedule));
        }
        if !self.is_ordered_or_begun() && !self.takes_turn(ActionName::Rotate, key, key.created) {
            return self.postpone_rotation(key);
        }
        self.abandon_stuck_rotation(self.plan.actions.len());
        self.act(Action::Rotate { key: key.id.clone(), created: key.created, configure });
        if unfinished.is_some() && self.knows_cause() {
            // Its own notice says more.
        } else if unfinished.is_some() {
            self.notify(&key.id, NoticeKind::RotationUnfinished { since: due });
        } else {
            self.notify_of(ActionName::Rotate, &key.id, NoticeKind::RotationDue { since: due });
        }
    }

    /// Reports that readers get a key of a user who was deleted, and that no rotation can end that yet.
    fn report_dead_key(&mut self) {
        let error = "the user was deleted and made again, and its secret still holds a key of the deleted user, which \
                     does not exist any more; the user has two keys, so no new key can be made. Delete the key that is \
                     not needed";
        self.problem(ActionName::Rotate, error.to_owned());
    }

    /// Whether the limit of changes does not apply: a person ordered this rotation by force, or an earlier run or the
    /// schedule began it.
    fn is_ordered_or_begun(&self) -> bool {
        let Some(secret) = self.facts.secret.present() else { return false };
        secret.unfinished_version.is_some() || (secret.state.managed && secret.state.force)
    }

    /// Puts a due rotation off to the next run. Drift of the schedule stays until then: if the schedule were set now,
    /// Secrets Manager itself might rotate the overdue key at once.
    fn postpone_rotation(&mut self, key: &KeyFacts) {
        self.plan.actions.retain(|action| *action != Action::Repair(Drift::Schedule));
        // Another run of this day may have room.
        self.notify(&key.id, NoticeKind::RotationAhead { at: NoticeDate::From(midnight(self.now)) });
    }

    /// Announces a rotation that comes, with the date from which its slot is free. A key that has to give way itself is
    /// not rotated.
    fn announce_rotation(&mut self, key: &KeyFacts, due: DateTime<Utc>) {
        if self.is_retiring(&key.id) {
            return;
        }
        let at = self.slot_free_at.map_or(due, |free| free.max(due));
        if let Some(other) = self.facts.key_beside(&key.id).filter(|_| at > due || self.now >= due) {
            let wait = Wait::Slot(other.id.clone());
            self.wait(ActionName::Rotate, Some(&key.id), wait, self.slot_free_at);
        }
        // If an earlier day was announced and cannot be kept, the owner gets a notice at once.
        let announced = self.announced(&key.id, &[Phase::RotateAhead]);
        let is_coming = announced.is_some_and(|day| day >= midnight(self.now));
        if self.now < at && (is_coming || self.now >= at - self.periods.warn) {
            // The key in the slot may stay longer, for example because a person enables it.
            let at = if at > due { NoticeDate::From(at) } else { NoticeDate::On(at) };
            self.notify(&key.id, NoticeKind::RotationAhead { at });
        }
    }

    /// Starts a forced rotation again that did not finish: nothing else would do so before the key is due.
    fn resume_forced_rotation(&mut self) {
        let rotates = self.rotates() || self.has_too_many_keys();
        let Some(key) = self.facts.reference_key().filter(|_| !rotates) else { return };
        self.abandon_stuck_rotation(self.plan.actions.len());
        self.act(Action::Rotate { key: key.id.clone(), created: key.created, configure: false });
    }

    fn wait_for_rotation(&mut self, secret: &PresentSecret) {
        let pending = secret.unfinished_version.clone().filter(|_| self.facts.is_rotation_under_way());
        let Some(version) = pending.filter(|_| !self.rotates()) else { return };
        let key = self.facts.reference_key().map(|key| &key.id);
        self.wait(ActionName::Rotate, key, Wait::Rotation(version), None);
    }

    fn rotates(&self) -> bool {
        self.plan.actions.iter().any(|action| matches!(action, Action::Rotate { .. }))
    }

    /// Plans to abandon an unfinished rotation that makes no progress, before the action at index `before`. While its
    /// version is pending, no other rotation can begin, and no schedule can be set.
    fn abandon_stuck_rotation(&mut self, before: usize) {
        let abandons = |action: &Action| matches!(action, Action::AbandonRotation { .. });
        let Some(secret) = self.facts.secret.present().filter(|_| self.is_rotation_stuck()) else { return };
        if let Some(version) = secret.unfinished_version.clone().filter(|_| !self.plan.actions.iter().any(abandons)) {
            self.plan.actions.insert(before, Action::AbandonRotation { version });
        }
    }

    /// Whether the unfinished rotation makes no progress, and nobody loses anything if another one begins.
    fn is_rotation_stuck(&self) -> bool {
        if !self.facts.is_rotation_under_way() {
            let since = self.facts.secret.present().and_then(|secret| secret.unfinished_since);
            return since.is_some_and(|since| self.now >= since + ABANDONED_WITHOUT_KEY_AFTER);
        }
        let announced_at = self.facts.state().and_then(|state| state.intent.as_ref()).map(|intent| intent.at);
        // A key that somebody uses may be the key of a rotation that Secrets Manager still finishes.
        let is_unused = |key: &KeyFacts| !matches!(key.last_use, LastUse::Unknown(_) | LastUse::NotAsked);
        let loses_nothing =
            self.facts.announced_candidates().is_empty() || self.facts.key_in_flight().is_some_and(is_unused);
        loses_nothing && announced_at.is_some_and(|at| self.now >= due(at, ABANDONED_WITH_KEY_AFTER))
    }

    /// Reports an orphan that is the user's only active key: the rotation function makes no key beside it.
    fn report_orphan(&mut self) {
        if let Some(orphan) = self.facts.key_in_flight() {
            let error = format!(
                "the user's only active key {} was made by a rotation that did not finish; enable or make \
                 another key, or delete this one",
                orphan.id
            );
            self.problem(ActionName::Rotate, error);
        }
    }

    /// Reports an announced key that cannot be distinguished from a person's. It is kept for good: only a person can
    /// say which key it is.
    fn report_unclear_orphan(&mut self) {
        let candidates = self.facts.announced_candidates();
        let Some(intent) = self.facts.state().and_then(|state| state.intent.as_ref()) else { return };
        let doubt = match candidates[..] {
            [one, other] => {
                format!("{one} and {other} were both made then, and it is unknown which of them is that key")
            }
            [one] => match self.facts.key(one).and_then(|key| key.last_use.unknown()) {
                Some(why) => format!("it is unknown whether {one} is that key, because its last use is unknown: {why}"),
                None => return,
            },
            _ => return,
        };
        if self.facts.is_rotation_under_way() {
            return;
        }
        let error = format!(
            "a rotation announced a key at {} and did not finish; {doubt}. In doubt, keywheel deletes no key: delete \
             the key that nobody has or, if there is none, remove the tag {} from the secret",
            format_time(intent.at),
            tag::INTENT
        );
        self.problem(ActionName::Rotate, error);
    }
}
