//! A model of one user with its keys and its secret, as far as the policy reads and changes them.
//!
//! A simulated sweep observes, plans, confirms and applies as `sweep` does, with faults in between. A simulated
//! rotation can stop wherever the rotation function can. Each forbidden act is asserted at the place where it would
//! happen.

mod lists;
mod people;
mod plan_work;
mod rotation;

use std::collections::BTreeMap;

use super::checks::check_plan;
use super::*;
use crate::calendar::due;
use crate::lifecycle::{Action, Notice, NoticeDate, Sighting};
use crate::state::{TagChange, tag};

pub(super) use people::PersonAct;

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

    fn present(&mut self) -> &mut SimSecret {
        self.secret.as_mut().expect("the plan acts on a secret that is there")
    }

    fn next_version(&mut self) -> VersionId {
        self.next += 1;
        version(self.next)
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
}
