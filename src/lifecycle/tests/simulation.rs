//! A model of one user with its keys and its secret, as far as the policy reads and changes them.
//!
//! A simulated sweep observes, plans, confirms and applies as `sweep` does, with faults in between. A simulated
//! rotation can stop wherever the rotation function can. Each forbidden act is asserted at the place where it would
//! happen.

mod lists;
mod rotation;

use std::collections::BTreeMap;

use super::checks::check_plan;
use super::*;
use crate::calendar::due;
use crate::lifecycle::{Action, Notice, NoticeDate, Sighting};
use crate::state::{TagChange, tag};

/// A key as IAM lists it, and what the model knows about it.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct SimKey {
    pub(super) id: AccessKeyId,
    pub(super) active: bool,
    pub(super) created: DateTime<Utc>,
    pub(super) last_use: Option<DateTime<Utc>>,
    /// Whether its owner's programs use it while it is active.
    pub(super) in_service: bool,
    tested: bool,
    /// Whether anybody has its secret half. A rotation that stopped may have lost it.
    usable: bool,
    /// When an undisturbed sweep last found it active.
    seen_active: DateTime<Utc>,
    /// When it was last disabled or enabled.
    changed: Option<DateTime<Utc>>,
}

impl SimKey {
    fn set_active(&mut self, active: bool, now: DateTime<Utc>) {
        self.active = active;
        self.changed = Some(now);
    }
}

#[derive(Debug, Clone, Default)]
pub(super) struct SimSecret {
    deletion_scheduled: bool,
    rotation_enabled: bool,
    /// The key in each version; `None` for a foreign or missing value.
    versions: BTreeMap<VersionId, Option<AccessKeyId>>,
    current: Option<VersionId>,
    pending: Option<VersionId>,
    pub(super) tags: BTreeMap<String, String>,
    last_rotated: DateTime<Utc>,
    /// Whether the tags were removed or a foreign value was put, so that no tested key is known any more.
    pub(super) facts_lost: bool,
}

impl SimSecret {
    /// Whether the schedule runs, or is left off on purpose.
    fn is_schedule_right(&self) -> bool {
        self.rotation_enabled || self.tags.contains_key(tag::SCHEDULE_OFF)
    }
}

/// Where a rotation stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RotationEnd {
    Success,
    BeforeKey,
    KeyMadeNotPut,
    PutNotFinished,
    LabelMovedNotRecorded,
    RecordedNotUntagged,
}

/// Where the work on a plan stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StopAt {
    None,
    /// Before the n-th action.
    Before(usize),
    /// After the n-th action's effect and before its tags.
    BeforeTags(usize),
    /// After tags were removed and before the others are set.
    BetweenTags(usize),
}

/// The facts that a sweep cannot read.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Unread {
    pub(super) exemption: bool,
    pub(super) older: bool,
    pub(super) newer: bool,
}

/// An act of a person or of a user's program.
#[derive(Debug, Clone, Copy)]
pub(super) enum PersonAct {
    MakeKey,
    Use(usize),
    PutInService(usize),
    Disable(usize),
    Enable(usize),
    Delete(usize),
    JoinExemption,
    LeaveExemption,
    DeleteUser,
    RecreateUser,
    RotateNow,
    PutForeignValue,
    RemoveManagedTag,
}

/// One run of the sweeper.
#[derive(Debug, Clone, Copy)]
pub(super) struct SimSweep {
    pub(super) unknown: Unread,
    pub(super) between: Option<PersonAct>,
    pub(super) fault: StopAt,
    pub(super) mail_lost: bool,
    pub(super) rotation: RotationEnd,
}

impl SimSweep {
    pub(super) fn undisturbed() -> Self {
        let rotation = RotationEnd::Success;
        Self { unknown: Unread::default(), between: None, fault: StopAt::None, mail_lost: false, rotation }
    }
}

/// A notice that was sent.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) at: DateTime<Utc>,
    pub(super) key: AccessKeyId,
    pub(super) phase: Phase,
    pub(super) date: Option<NoticeDate>,
}

/// An action that took effect.
#[derive(Debug, Clone)]
pub(super) struct Done {
    pub(super) at: DateTime<Utc>,
    pub(super) action: Action,
}

#[derive(Debug, Clone)]
pub(super) struct Simulation {
    pub(super) now: DateTime<Utc>,
    pub(super) periods: Periods,
    exists: bool,
    exempt: bool,
    pub(super) keys: Vec<SimKey>,
    next: u64,
    pub(super) secret: Option<SimSecret>,
    pub(super) sent: Vec<Sent>,
    pub(super) done: Vec<Done>,
    pub(super) problems: Vec<(DateTime<Utc>, String)>,
    /// The user in IAM's credential report.
    report: Option<Sighting>,
    /// How many sweeps left the user out as quiet.
    pub(super) left_out: usize,
}

impl Simulation {
    pub(super) fn new(periods: Periods) -> Self {
        Self {
            now: now(),
            periods,
            exists: true,
            exempt: false,
            keys: Vec::new(),
            next: 1,
            secret: None,
            sent: Vec::new(),
            done: Vec::new(),
            problems: Vec::new(),
            report: None,
            left_out: 0,
        }
    }

    pub(super) fn add_key(&mut self, age: TimeDelta, in_service: bool) -> AccessKeyId {
        let (key, created) = (id(self.next), self.now - age);
        self.next += 1;
        let new = SimKey {
            id: key.clone(),
            active: true,
            created,
            last_use: None,
            in_service,
            tested: false,
            usable: true,
            seen_active: created,
            changed: None,
        };
        self.keys.push(new);
        assert!(self.keys.len() <= 2, "IAM gives a user two keys");
        self.keys.sort_by_key(|key| key.created);
        key
    }

    /// Lets time pass; programs use their keys.
    pub(super) fn pass(&mut self, time: TimeDelta) {
        self.now += time;
        let used = self.now - TimeDelta::minutes(30).min(time / 2);
        for key in self.keys.iter_mut().filter(|key| key.active && key.in_service && key.usable && key.created < used) {
            key.last_use = Some(used);
        }
    }

    fn key(&self, id: &AccessKeyId) -> Option<&SimKey> {
        self.keys.iter().find(|key| key.id == *id)
    }

    fn state(&self) -> State {
        self.secret.as_ref().map(|secret| State::read(&secret.tags)).unwrap_or_default()
    }

    /// The key that readers get, if it was tested, exists and is active.
    pub(super) fn working_current(&self) -> Option<&SimKey> {
        let secret = self.secret.as_ref()?;
        let id = secret.versions.get(secret.current.as_ref()?)?.as_ref()?;
        self.key(id).filter(|key| key.active && key.tested)
    }

    fn observe(&self, unknown: Unread) -> UserFacts {
        let asked = self.keys.len() == 2;
        let mut keys = Vec::new();
        for (n, key) in self.keys.iter().enumerate() {
            let hidden = if n == 0 { unknown.older } else { unknown.newer };
            let last_use = match key.last_use {
                _ if !asked => LastUse::NotAsked,
                _ if hidden => LastUse::Unknown("throttled".to_owned()),
                None => LastUse::Never,
                Some(time) => used_at(time),
            };
            let status = if key.active { KeyStatus::Active } else { KeyStatus::Inactive };
            keys.push(KeyFacts { id: key.id.clone(), status, created: key.created, last_use });
        }
        let exemption = match (unknown.exemption, self.exempt) {
            (true, _) => Exemption::Unknown("denied".to_owned()),
            (_, true) => Exemption::Exempt,
            _ => Exemption::NotExempt,
        };
        let secret = match &self.secret {
            None => SecretFacts::Missing,
            Some(secret) if secret.deletion_scheduled => SecretFacts::PendingDeletion,
            Some(secret) => SecretFacts::Present(PresentSecret {
                rotation_enabled: secret.rotation_enabled,
                next_rotation: secret.rotation_enabled.then(|| secret.last_rotated + self.periods.rotation),
                current_version: secret.current.clone(),
                unfinished_version: secret.pending.clone(),
                state: State::read(&secret.tags),
                drift: if secret.is_schedule_right() { Vec::new() } else { vec![Drift::Schedule] },
                ..placeholder(1)
            }),
        };
        UserFacts { exemption, secret, ..user(keys) }
    }

    pub(super) fn sweep(&mut self, run: SimSweep) {
        if !self.exists {
            if let Some(secret) = &mut self.secret {
                secret.deletion_scheduled = true;
                secret.rotation_enabled = false;
            }
            return;
        }
        if self.is_left_out() {
            return;
        }
        let facts = self.observe(run.unknown);
        let planned = plan(&facts, &self.periods, self.now);
        check_plan(&facts, &planned, &self.periods, self.now);
        if let Some(person) = run.between {
            self.interfere(person);
        }
        if !self.exists {
            return;
        }
        let facts = self.observe(run.unknown);
        // A change between the two readings is left to the next sweep, and may have changed back by then.
        if run.between.is_none() && run.fault == StopAt::None && !run.unknown.exemption {
            self.keys.iter_mut().filter(|key| key.active).for_each(|key| key.seen_active = self.now);
        }
        let mut confirmed = plan(&facts, &self.periods, self.now);
        check_plan(&facts, &confirmed, &self.periods, self.now);
        let dropped = confirmed.actions.iter().any(|action| !planned.actions.contains(action));
        confirmed.actions.retain(|action| planned.actions.contains(action));
        let stopped = self.apply(&confirmed.actions, &facts, run);
        for problem in &confirmed.problems {
            self.problems.push((self.now, problem.error.clone()));
        }
        // Notices of actions that did not happen are not sent.
        let kept = |notice: &&Notice| !(stopped || dropped) || notice.kind.is_warning();
        if !run.mail_lost {
            let sent: Vec<Notice> = confirmed.notices.iter().filter(kept).cloned().collect();
            self.tell(&sent);
        }
        if !stopped && !dropped {
            self.remember();
        }
    }

    fn tell(&mut self, notices: &[Notice]) {
        let mut notified = self.state().notified;
        for notice in notices.iter().filter(|notice| !notice.kind.is_for_dry_run_only()) {
            if notice.kind.lasts() {
                notified.record_on(&notice.key, notice.kind.phase(), self.now);
            } else if let Some(date) = notice.kind.dated() {
                let everybody = std::collections::BTreeSet::new();
                notified.record_dated(&notice.key, notice.kind.phase(), everybody, date.at(), date.is_exact());
            } else {
                notified.record(&notice.key, notice.kind.phase());
            }
            let (key, phase, date) = (notice.key.clone(), notice.kind.phase(), notice.kind.date());
            self.sent.push(Sent { at: self.now, key, phase, date });
        }
        if let Some(secret) = self.secret.as_mut().filter(|secret| !secret.deletion_scheduled) {
            secret.tags.insert(tag::NOTIFIED.to_owned(), notified.to_tag());
        }
    }

    /// Returns whether a fault stopped the work.
    fn apply(&mut self, actions: &[Action], facts: &UserFacts, run: SimSweep) -> bool {
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

    fn write(&mut self, change: &TagChange, set: bool) {
        let Some(secret) = &mut self.secret else { return };
        for name in &change.remove {
            secret.tags.remove(*name);
        }
        if set {
            secret.tags.extend(change.set.clone());
        }
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

    fn present(&mut self) -> &mut SimSecret {
        self.secret.as_mut().expect("the plan acts on a secret that is there")
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

    fn next_version(&mut self) -> VersionId {
        self.next += 1;
        version(self.next)
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
    fn remove_spent(&mut self, id: &AccessKeyId) {
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

    pub(super) fn interfere(&mut self, person: PersonAct) {
        let now = self.now;
        let there = self.keys.len();
        match person {
            PersonAct::MakeKey if self.exists && self.keys.len() < 2 => {
                self.add_key(TimeDelta::zero(), false);
            }
            PersonAct::Use(n) if n < there && self.keys[n].active && self.keys[n].usable => {
                self.keys[n].last_use = Some(now);
            }
            PersonAct::PutInService(n) if n < there => self.keys[n].in_service = true,
            PersonAct::Disable(n) if n < there => self.keys[n].set_active(false, self.now),
            PersonAct::Enable(n) if n < there => self.keys[n].set_active(true, self.now),
            PersonAct::Delete(n) if n < there => {
                self.keys.remove(n);
            }
            PersonAct::JoinExemption => self.exempt = true,
            PersonAct::LeaveExemption => self.exempt = false,
            PersonAct::DeleteUser => {
                self.exists = false;
                self.keys.clear();
            }
            PersonAct::RecreateUser => self.exists = true,
            PersonAct::RotateNow => {
                self.rotate(RotationEnd::Success);
            }
            PersonAct::PutForeignValue => self.put_foreign_value(),
            PersonAct::RemoveManagedTag => {
                if let Some(secret) = &mut self.secret {
                    secret.tags.remove(tag::MANAGED);
                    secret.facts_lost = true;
                }
            }
            _ => {}
        }
    }

    fn put_foreign_value(&mut self) {
        let foreign = self.next_version();
        if let Some(secret) = self.secret.as_mut().filter(|secret| !secret.deletion_scheduled) {
            secret.versions.insert(foreign.clone(), None);
            secret.current = Some(foreign);
            secret.pending = None;
            secret.last_rotated = self.now;
            secret.facts_lost = true;
        }
    }
}
