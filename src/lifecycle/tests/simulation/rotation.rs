//! A simulated rotation, which can stop wherever the rotation function can.

use super::*;
use crate::state::{KeyDates, format_time};

impl Simulation {
    /// Does the work of `rotation` up to that point. Returns the reason if it refuses.
    pub(super) fn rotate(&mut self, end: RotationEnd) -> Option<&'static str> {
        if !self.exists || self.exempt {
            return Some("no such user, or exempt");
        }
        if self.secret.as_ref().is_none_or(|secret| secret.deletion_scheduled || !secret.rotation_enabled) {
            return Some("rotation is off");
        }
        let pending = self.present().pending.clone();
        let target = pending.unwrap_or_else(|| self.next_version());
        let secret = self.present();
        secret.pending = Some(target.clone());
        if !secret.versions.get(&target).is_some_and(Option::is_some) {
            secret.versions.insert(target.clone(), None);
            if let Some(refused) = self.create(&target, end) {
                return Some(refused);
            }
        }
        self.test_and_finish(&target, end);
        None
    }

    /// createSecret, with the decision of `rotation::slots` but without the tag for incidents.
    fn create(&mut self, target: &VersionId, end: RotationEnd) -> Option<&'static str> {
        let state = self.state();
        let orphan = self.orphan(&state);
        let kept: Vec<SimKey> = self.keys.iter().filter(|key| Some(&key.id) != orphan.as_ref()).cloned().collect();
        if !kept.iter().any(|key| key.active) {
            return Some("no active key");
        }
        let spent = if kept.len() < 2 { None } else { Some(kept.iter().find(|key| self.is_spent(key, &state))) };
        match spent {
            Some(None) => return Some("no free slot"),
            Some(Some(spent)) => self.remove_spent(&spent.id),
            None => {}
        }
        self.keys.retain(|key| Some(&key.id) != orphan.as_ref());
        let left = self.keys[0].id.to_string();
        let at = format_time(self.now);
        let change = TagChange::default()
            .set(tag::INTENT, format!("{target} {at}"))
            .set(tag::CURRENT_KEY, left)
            .remove(tag::KEY_DATES);
        self.write(&change, true);
        if end == RotationEnd::BeforeKey {
            return None;
        }
        assert!(self.keys.iter().any(|key| key.active), "nothing is made for a user without an active key");
        let made = self.add_key(TimeDelta::zero(), false);
        self.keys.iter_mut().find(|key| key.id == made).expect("just made").usable = false;
        if end == RotationEnd::KeyMadeNotPut {
            return None;
        }
        self.present().versions.insert(target.clone(), Some(made));
        None
    }

    /// The dates of this key, which is the current one now, and of the others.
    fn dates_beside(&self, current: &AccessKeyId) -> String {
        let (current, others): (Vec<_>, Vec<_>) = self.keys.iter().partition(|key| key.id == *current);
        KeyDates::new(current.first().map(|key| key.created), others.iter().map(|key| key.created)).to_string()
    }

    fn orphan(&self, state: &State) -> Option<AccessKeyId> {
        let secret = self.secret.as_ref()?;
        let intent = state.unsettled_intent(secret.current.as_ref())?;
        let in_current = secret.current.as_ref().and_then(|current| secret.versions.get(current)?.clone());
        let known: Vec<&AccessKeyId> = in_current.iter().chain(&state.current_key).chain(&state.previous_key).collect();
        let candidates = intent.candidates(self.keys.iter().map(|key| (&key.id, key.created)), &known);
        let [candidate] = candidates[..] else { return None };
        self.key(candidate).filter(|key| key.last_use.is_none()).map(|key| key.id.clone())
    }

    fn is_spent(&self, key: &SimKey, state: &State) -> bool {
        let fresh =
            self.secret.as_ref().is_some_and(|secret| state.version.is_some() && state.version == secret.current);
        let since = match &state.retiring {
            Some(retiring) if retiring.key == key.id => Some(retiring.since),
            // During the retirement of another key, the recorded time belongs to that key.
            None if state.previous_key.as_ref() == Some(&key.id) => state.rotated_at,
            _ => None,
        };
        let disabled_at = since.and_then(|since| state.disabled_since(since)).filter(|_| fresh && !key.active);
        let used_since = |at| key.last_use.is_some_and(|time| time > at + TimeDelta::minutes(15));
        disabled_at.is_some_and(|at| due(at, self.periods.recovery_grace) <= self.now && !used_since(at))
    }

    fn test_and_finish(&mut self, target: &VersionId, end: RotationEnd) {
        let now = self.now;
        let Some(made) = self.present().versions.get(target).cloned().flatten() else { return };
        let Some(key) = self.keys.iter_mut().find(|key| key.id == made && key.active) else { return };
        key.last_use = Some(now);
        if end == RotationEnd::PutNotFinished {
            return;
        }
        (key.tested, key.usable, key.in_service) = (true, true, true);
        let old = self.state().current_key.filter(|old| *old != made && self.key(old).is_some());
        let secret = self.present();
        secret.current = Some(target.clone());
        secret.pending = None;
        secret.last_rotated = now;
        secret.facts_lost = false;
        if end == RotationEnd::LabelMovedNotRecorded {
            return;
        }
        let record = TagChange::default()
            .set(tag::MANAGED, "1")
            .set(tag::VERSION, target.as_str())
            .set(tag::CURRENT_KEY, made.as_str())
            .set(tag::ROTATED_AT, format_time(now))
            .set_or_remove(tag::PREVIOUS_KEY, old)
            .set(tag::KEY_DATES, self.dates_beside(&made));
        self.write(&record, true);
        if end == RotationEnd::RecordedNotUntagged {
            return;
        }
        let outdated = [tag::NOTIFIED, tag::DISABLED_AT, tag::RETIRING, tag::INTENT, tag::FORCE];
        self.write(&outdated.into_iter().fold(TagChange::default(), TagChange::remove), true);
    }

    /// The native schedule, which rotates without regard to slots, at any hour of the day on which it is due.
    pub(in crate::lifecycle::tests) fn run_schedule(&mut self, end: RotationEnd) {
        let is_due = self.secret.as_ref().is_some_and(|secret| {
            secret.rotation_enabled
                && (secret.pending.is_some() || due(secret.last_rotated, self.periods.rotation) <= self.now)
        });
        if is_due {
            self.rotate(end);
        }
    }
}
