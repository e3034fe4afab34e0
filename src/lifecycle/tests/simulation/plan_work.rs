//! The work on a plan, as `sweep` does it. It asserts that no action is forbidden.

use super::*;

impl Simulation {
    /// Returns whether a fault stopped the work.
    pub(super) fn apply(&mut self, actions: &[Action], facts: &UserFacts, run: SimSweep) -> bool {
        let notified = facts.secret.present().map(|secret| secret.state.notified.clone()).unwrap_or_default();
        for (n, action) in actions.iter().enumerate() {
            if run.fault == StopAt::Before(n) {
                return true;
            }
            if let Some(before) = action.change_before(&notified) {
                self.write(&before, true);
            }
            self.carry_out(action, facts, run);
            self.done.push(Done { at: self.now, action: action.clone() });
            if run.fault == StopAt::BeforeTags(n) {
                return true;
            }
            let change = action.tag_change(self.now, &notified);
            let between = run.fault == StopAt::BetweenTags(n);
            self.write(&change, !between);
            if between {
                return true;
            }
        }
        false
    }

    fn carry_out(&mut self, action: &Action, facts: &UserFacts, run: SimSweep) {
        match action {
            Action::Provision { key, .. } => self.provision(key),
            Action::Restore => self.present().deletion_scheduled = false,
            Action::Rotate { .. } => self.rotate_as_planned(run.rotation),
            Action::Disable { key } => self.disable(key, facts),
            Action::Delete { key } => self.delete(key, facts),
            Action::CancelSchedule(_) | Action::LeaveScheduleOff { .. } => self.present().rotation_enabled = false,
            Action::Repair(_) => self.switch_on(facts),
            Action::AbandonRotation { .. } => self.present().pending = None,
            Action::RestoreFacts(restored) => self.present().facts_lost |= restored.current_key.is_none(),
            Action::RemoveReplicas { .. }
            | Action::Adopt { .. }
            | Action::RestoreMark
            | Action::Retire { .. }
            | Action::StopRetiring { .. }
            | Action::RecordDisabled { .. }
            | Action::RecordDeleted { .. }
            | Action::DropIntent
            | Action::RestartGrace { .. }
            | Action::RecordDeparture
            | Action::ForgetDeparture
            | Action::DeleteSecret => {}
        }
    }

    /// Sets the schedule, and leaves it off if it would rotate the key before its day.
    fn switch_on(&mut self, facts: &UserFacts) {
        let next = self.present().last_rotated + self.periods.rotation;
        let is_early = |(_, day): &(&AccessKeyId, DateTime<Utc>)| next.date_naive() < day.date_naive();
        let young = facts.rotation_due(&self.periods).filter(is_early).map(|(key, _)| key.to_string());
        let secret = self.present();
        secret.rotation_enabled = young.is_none();
        secret.tags.extend(young.map(|key| (tag::SCHEDULE_OFF.to_owned(), key)));
    }

    fn provision(&mut self, key: &AccessKeyId) {
        assert!(self.secret.is_none() && self.key(key).is_some_and(|key| key.active));
        let first = self.next_version();
        let mut secret = SimSecret { rotation_enabled: true, last_rotated: self.now, ..SimSecret::default() };
        secret.versions.insert(first.clone(), None);
        secret.tags.insert(tag::MANAGED.to_owned(), "1".to_owned());
        secret.tags.insert(tag::VERSION.to_owned(), first.to_string());
        secret.tags.insert(tag::CURRENT_KEY.to_owned(), key.to_string());
        secret.current = Some(first);
        self.secret = Some(secret);
    }

    fn disable(&mut self, id: &AccessKeyId, facts: &UserFacts) {
        let other = self.keys.iter().find(|key| key.id != *id && key.active);
        let other = other.unwrap_or_else(|| panic!("{id} is the only working key"));
        let known = |id: &AccessKeyId| facts.keys.iter().find(|key| key.id == *id).map(|key| key.last_use.unknown());
        assert_eq!(known(id), Some(None), "disabled while its last use is unknown");
        let lost = self.secret.as_ref().is_none_or(|secret| secret.facts_lost);
        match self.working_current() {
            Some(current) if !lost => assert_eq!(current.id, other.id, "the tested key in the secret stays"),
            _ => {
                let key = self.key(id).expect("the key is there");
                let works = other.last_use.is_some() || key.last_use.is_none();
                assert!(works || other.tested, "what stays is known to work");
            }
        }
        let now = self.now;
        self.keys.iter_mut().find(|key| key.id == *id).expect("the key is there").set_active(false, now);
    }

    fn delete(&mut self, id: &AccessKeyId, facts: &UserFacts) {
        let known = facts.keys.iter().find(|key| key.id == *id).map(|key| key.last_use.unknown());
        assert_eq!(known, Some(None), "deleted while its last use is unknown");
        assert!(self.keys.iter().any(|key| key.id != *id && key.active), "another key works");
        self.remove_spent(id);
    }

    /// Deletes a key after its recovery grace, as the sweep or the rotation does.
    pub(super) fn remove_spent(&mut self, id: &AccessKeyId) {
        let key = self.key(id).expect("the key is there");
        let disabled_at = self.state().disabled_at.expect("the time of the disabling is stored");
        assert!(!key.active, "an active key is never deleted");
        assert!(due(disabled_at, self.periods.recovery_grace) <= self.now, "its recovery period is over");
        // A tag holds whole seconds, and a use within a quarter of an hour does not count.
        assert!(key.seen_active <= disabled_at + SECOND, "{id} was inactive all the time: {self:#?}");
        self.keys.retain(|key| key.id != *id);
    }

    /// Asserts that a rotation finds the state that the sweep found when it started it.
    fn rotate_as_planned(&mut self, end: RotationEnd) {
        self.present().rotation_enabled = true;
        let refused = self.rotate(end);
        // A lone key is an orphan only if it was never used, and only the rotation function reads its last use.
        let lone_orphan = refused == Some("no active key") && self.keys.len() == 1;
        assert!(refused.is_none() || lone_orphan, "a rotation was planned that cannot be, {refused:?}: {self:#?}");
    }
}
