//! Runs the story of one shard on one model of AWS with keywheel's real handlers: the acts at their times, and sweeps,
//! the native schedule and events between them.

mod changes;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use tokio::task::{AbortHandle, JoinSet};

use super::acts::{self, Act};
use super::cast::{self, Person, ShardAccount};
use super::glance;
use super::judge::{Judge, Who};
use super::owners::Owners;
use super::people;
use super::rules::Rule;
use super::story::{Story, StoryEntry, Whom, day_0};
use super::sweeping::{self, Ended};
use super::trace::Trace;
use super::{Counts, FoundViolation, calm};
use crate::error::Error;
use crate::model::{AccountStatus, Clock, Cloud, Fault, FaultHandle, FaultKind, KmsKeyState, Observer, Switches};
use crate::rehearsal::deployment::{Clocks, Deployment, KMS_KEY, PRIMARY_ACCOUNT};

/// The shortest time between two checks of the native schedule.
const SCHEDULE_PACE: TimeDelta = TimeDelta::hours(1);

/// A fault, and when somebody repairs it.
struct TemporaryFault {
    until: DateTime<Utc>,
    kind: &'static str,
    handle: FaultHandle,
}

/// The state of a shard while its story runs.
pub(super) struct Life {
    pub(super) cloud: Cloud,
    pub(super) keywheel: Deployment,
    pub(super) accounts: Vec<ShardAccount>,
    pub(super) people: Vec<Person>,
    pub(super) judge: Arc<Mutex<Judge>>,
    pub(super) trace: Option<Trace>,
    pub(super) counts: Counts,
    /// The failures in the report of the last whole sweep.
    pub(super) failures: Vec<Value>,
    owners: Owners,
    planted: Vec<TemporaryFault>,
    clocks: Clocks,
    is_storm: bool,
    is_down: bool,
    is_calm: bool,
    tasks: JoinSet<Ended>,
    rotations: AbortHandle,
    /// The secrets that were marked for deletion at the last check.
    given_up: BTreeSet<String>,
    schedule_asked: DateTime<Utc>,
    rng: fastrand::Rng,
}

/// Runs a story to its end or to its first violation. Needs a runtime with paused time.
///
/// # Errors
/// Returns the first violation.
pub(super) async fn live(story: &Story, trace: Option<Trace>) -> Result<Counts, Box<FoundViolation>> {
    fastrand::seed(story.seed);
    let mut life = Life::begin(story, trace).expect("the settings of a story are right");
    for entry in &story.entries {
        life.pass_until(entry.at).await;
        life.step(entry).await;
        if let Some(found) = life.found() {
            return Err(Box::new(found));
        }
    }
    Ok(life.end())
}

impl Life {
    fn begin(story: &Story, trace: Option<Trace>) -> Result<Self, Error> {
        let cloud = Cloud::new(Clock::starting_at(day_0()), story.seed);
        cloud.switch(|switches| {
            switches.counts_only = trace.is_none();
            switches.rotation_attempts = 2;
        });
        let judge = Arc::new(Mutex::new(Judge::default()));
        let keywheel = super::deploy(&cloud, &[])?;
        let observing = Arc::clone(&judge);
        cloud.observe_keys(Observer::new(move |world, event| {
            observing.lock().unwrap_or_else(PoisonError::into_inner).observe(world, event);
        }));
        cast::make(&keywheel, &story.accounts, &story.people);
        judge.lock().unwrap_or_else(PoisonError::into_inner).deployed(keywheel.settings(), day_0());
        let mut tasks = JoinSet::new();
        let rotations = tasks.spawn_local(sweeping::serve_rotations(cloud.clone()));
        Ok(Self {
            owners: Owners::of(&story.people),
            accounts: story.accounts.clone(),
            people: story.people.clone(),
            rng: fastrand::Rng::with_seed(story.seed),
            cloud,
            keywheel,
            judge,
            trace,
            counts: Counts::default(),
            failures: Vec::new(),
            planted: Vec::new(),
            clocks: Clocks::default(),
            is_storm: false,
            is_down: false,
            is_calm: false,
            tasks,
            rotations,
            given_up: BTreeSet::new(),
            schedule_asked: day_0(),
        })
    }

    pub(super) fn now(&self) -> DateTime<Utc> {
        self.cloud.clock().now()
    }

    pub(super) fn judge(&self) -> MutexGuard<'_, Judge> {
        self.judge.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn found(&mut self) -> Option<FoundViolation> {
        let (violation, who, at) = self.judge().found.clone()?;
        let trace = self.trace.take().map(|trace| trace.finished(&self.cloud));
        Some(FoundViolation { violation, who, at, trace, counts: self.end() })
    }

    fn end(&mut self) -> Counts {
        self.rotations.abort();
        let kinds: Vec<(&'static str, u64)> = self.planted.drain(..).map(|it| (it.kind, it.handle.fired())).collect();
        for (kind, fired) in kinds {
            self.counts.add_fault(kind, fired);
        }
        let judge = self.judge();
        let checks = judge.checks.clone();
        let (made, disables, deletes) = (judge.made_count, judge.disabled_count, judge.deleted_count);
        drop(judge);
        let calls = self.cloud.call_count() as u64;
        Counts { made, disables, deletes, calls, checks, ..self.counts.clone() }
    }

    /// Advances the clock to `at`. Meanwhile the native schedule starts due rotations, and faults are repaired.
    async fn pass_until(&mut self, at: DateTime<Utc>) {
        while let Some(next) = self.cloud.next_rotation_due().map(|next| next.max(self.schedule_asked + SCHEDULE_PACE))
            && next < at
            && !self.is_storm
        {
            self.cloud.clock().advance_to(next).await;
            self.schedule_asked = self.now();
            self.repair();
            self.cloud.start_due_rotations();
            self.counts.steps += 1;
            self.linger().await;
            self.settle().await;
        }
        self.cloud.clock().advance_to(at).await;
        self.repair();
    }

    /// Removes the faults whose time is over.
    fn repair(&mut self) {
        let now = self.now();
        let (over, planted) =
            std::mem::take(&mut self.planted).into_iter().partition(|it: &TemporaryFault| it.until <= now);
        self.planted = planted;
        self.remove(over);
    }

    fn remove(&mut self, over: Vec<TemporaryFault>) {
        for it in over {
            self.counts.add_fault(it.kind, it.handle.fired());
            it.handle.remove();
        }
        if self.planted.is_empty() {
            self.judge().unreadable.clear();
        }
    }

    /// Waits up to three minutes for the rotations that were started.
    async fn linger(&self) {
        for _ in 0..12 {
            tokio::task::yield_now().await;
            let busy = {
                let world = self.cloud.world();
                !world.rotations.is_empty() || !world.running.is_empty()
            };
            if !busy {
                return;
            }
            self.cloud.clock().advance(Duration::from_secs(15)).await;
        }
    }

    async fn step(&mut self, entry: &StoryEntry) {
        self.counts.steps += 1;
        let done = match entry.whom {
            Whom::User(number) => self.act_on(number, &entry.act),
            Whom::Shard => self.act(&entry.act).await,
        };
        if done {
            *self.counts.acts.entry(entry.act.name()).or_default() += 1;
        }
        if let Some(trace) = self.trace.as_mut().filter(|_| done && !matches!(entry.act, Act::Sweep | Act::CalmSweep)) {
            let whom = match entry.whom {
                Whom::User(number) => Some(&self.people[number]),
                Whom::Shard => None,
            };
            trace.act(self.cloud.clock().now(), whom, &entry.act);
        }
        if !self.is_storm {
            self.linger().await;
        }
        self.settle().await;
    }

    fn act_on(&mut self, number: usize, act: &Act) -> bool {
        if matches!(act, Act::RenameUser) {
            return self.rename(number);
        }
        let person = &self.people[number];
        let who = (person.account.clone(), person.name.clone());
        // Recorded before the act, because the judge sees the changes while they happen.
        if act.changes_facts() {
            self.judge().tamper(who.clone(), self.now());
        }
        self.judge().touch(who, self.now());
        let done = people::carry_out(&self.keywheel, person, act);
        if done {
            self.note_given_up(false);
        }
        done
    }

    async fn act(&mut self, act: &Act) -> bool {
        match act {
            Act::Sweep | Act::CalmSweep => return self.sweep().await,
            Act::SweeperDown => self.is_down = true,
            Act::SweeperUp => self.is_down = false,
            Act::Fault { fault, lasts } => self.plant(fault.clone(), *lasts),
            Act::StormBegins { most_ms } => {
                let jitter = FaultKind::Jitter(Duration::from_millis(*most_ms));
                self.is_storm = true;
                self.plant(Fault::on("*", "*", jitter).every(), TimeDelta::hours(1));
                self.cloud.start_due_rotations();
            }
            Act::StormEnds => self.is_storm = false,
            Act::SetClocks(clocks) => self.set_clocks(*clocks),
            Act::Deploy(settings) => self.deploy(settings),
            Act::CalmBegins => self.calm_down().await,
            Act::FollowAdvice => return calm::follow_advice(self),
            Act::CalmEnds => {
                calm::judge(self);
                self.is_calm = false;
            }
            other => return self.change_account(other),
        }
        true
    }

    /// Begins a calm period: repairs everything; people interfere no more.
    async fn calm_down(&mut self) {
        self.is_storm = false;
        let all = std::mem::take(&mut self.planted);
        self.remove(all);
        while self.tasks.len() > 1 {
            self.cloud.clock().advance(Duration::from_mins(5)).await;
            self.settle().await;
        }
        (self.is_calm, self.is_down, self.clocks) = (true, false, Clocks::default());
        self.behave(&Switches { rotation_attempts: 2, ..Switches::default() });
        self.cloud.switch(|switches| switches.mail_down = false);
        self.cloud.set_kms_key_state(KMS_KEY, KmsKeyState::Enabled);
        self.deploy(&acts::calm_settings());
        for ShardAccount { id } in self.accounts.clone() {
            self.cloud.set_account_state(&id, AccountStatus::Active);
            self.cloud.set_membership(&id, true);
            self.make_groups(&id);
            if id != PRIMARY_ACCOUNT {
                self.keywheel.prepare_roles(&id);
            }
        }
    }

    async fn sweep(&mut self) -> bool {
        if self.is_down {
            return false;
        }
        let now = self.now();
        for number in self.owners.work(&self.cloud, &self.people, self.is_calm) {
            let who = (self.people[number].account.clone(), self.people[number].name.clone());
            self.judge().touch(who, now);
        }
        if self.is_storm {
            self.tasks.spawn_local(sweeping::invoke(self.keywheel.clone(), json!({}), now));
            return true;
        }
        if self.is_quiet() && self.rng.u32(..25) == 0 {
            self.compare_with_dry_run().await;
        }
        let ended = sweeping::invoke(self.keywheel.clone(), json!({}), now).await;
        self.after_sweep(&ended);
        true
    }

    /// Whether no other invocation runs and no fault is active.
    pub(super) fn is_quiet(&self) -> bool {
        let world = self.cloud.world();
        let busy = !world.rotations.is_empty() || !world.running.is_empty() || world.switches.mail_down;
        self.planted.is_empty() && !self.is_storm && self.tasks.len() <= 1 && !busy
    }

    /// Checks that a dry run changes nothing, and that it plans what the next sweep does.
    async fn compare_with_dry_run(&mut self) {
        let before = sweeping::snapshot(&self.cloud);
        let now = self.now();
        sweeping::invoke(self.keywheel.clone(), json!({"dry_run": true}), now).await;
        let same = before == sweeping::snapshot(&self.cloud);
        let nobody = Who::default();
        self.judge().check(Rule::DryRun, &nobody, now, same, || "a dry run changed users or secrets".to_owned());
        let lists_lag = {
            let world = self.cloud.world();
            let switches = &world.switches;
            !switches.list_secrets_lag.is_zero() || !switches.list_access_keys_lag.is_zero()
        };
        // The two plans are comparable only if no time passes between them: mails and IAM's credential report take
        // time.
        let now = self.now();
        let dry = sweeping::invoke(self.keywheel.clone(), json!({"dry_run": true}), now).await;
        let is_of_this_moment = self.now() == now;
        let again = sweeping::invoke(self.keywheel.clone(), json!({}), self.now()).await;
        if let (Ok(dry), Ok(enforced), false, true) = (&dry.answer, &again.answer, lists_lag, is_of_this_moment) {
            let (planned, done) = (&dry["plan"], &enforced["plan"]);
            let differing = sweeping::first_difference(planned, done);
            let who = differing.as_ref().map(|(who, _)| who.clone()).unwrap_or_default();
            self.judge().check(Rule::SamePlan, &who, now, differing.is_none(), || {
                differing.map(|(_, what)| what).unwrap_or_default()
            });
        }
        self.after_sweep(&again);
    }

    fn after_sweep(&mut self, ended: &Ended) {
        // The sweep of an event changes no key, and nobody follows its report.
        if !ended.is_whole {
            return;
        }
        self.counts.sweeps += 1;
        self.note_given_up(true);
        self.take_mails();
        let now = self.now();
        let answer = match &ended.answer {
            Ok(answer) => answer,
            Err(why) => {
                if let Some(trace) = &mut self.trace {
                    trace.sweep_failed(now, why);
                }
                return;
            }
        };
        if let Some(trace) = &mut self.trace {
            trace.sweep(now, answer);
        }
        self.failures = answer["failures"].as_array().cloned().unwrap_or_default();
        self.judge().not_written_down(ended.started, &sweeping::not_written_down(answer));
        // A sweep that began while a fault was active may have missed something.
        let was_loud = self.judge().is_slow_until.is_some_and(|until| until >= ended.started);
        if self.is_quiet() && !was_loud && answer["dry_run"] == false {
            self.judge_good_sweep(ended, answer);
        }
    }

    fn judge_good_sweep(&mut self, ended: &Ended, answer: &Value) {
        let now = self.now();
        let mut failed = sweeping::failed_users(answer);
        failed.extend(sweeping::left_alone(&self.cloud, &self.keywheel));
        failed.extend(sweeping::restored(answer));
        let reached = sweeping::reached_accounts(&self.cloud, &self.keywheel, &self.accounts);
        let users: usize = reached.iter().map(|account| glance::user_count(&self.cloud, account)).sum();
        let swept = answer["users"].as_u64().unwrap_or_default();
        let mut judge = self.judge();
        judge.check(Rule::Isolation, &Who::default(), now, swept >= users as u64, || {
            format!("{swept} of {users} users were swept")
        });
        for account in reached.iter().filter(|account| !sweeping::is_untold(answer, account)) {
            judge.swept_well(account, ended.started, &failed);
        }
    }

    /// Checks the secrets that were marked for deletion since the last call: keywheel marks none of an existing user
    /// in an account that is not closed.
    fn note_given_up(&mut self, by_keywheel: bool) {
        let marked = sweeping::marked_for_deletion(&self.cloud);
        if marked == self.given_up {
            return;
        }
        let now = self.now();
        for name in marked.difference(&self.given_up).filter(|_| by_keywheel) {
            let person = self.people.iter().find(|person| person.secret() == *name);
            let Some(person) = person else { continue };
            let is_open = sweeping::is_open(&self.cloud.world().accounts[&person.account]);
            let there = is_open && self.cloud.user(&person.account, &person.name).is_some();
            let who = (person.account.clone(), person.name.clone());
            // In a storm, this check may be an hour later than the call.
            let called = sweeping::marked_at(&self.cloud, name).unwrap_or(now).min(now);
            let mut judge = self.judge();
            let excused = judge.was_touched(&who, called);
            judge.check(Rule::SecretKept, &who, now, !there || excused, || format!("{name} is marked for deletion"));
        }
        self.given_up = marked;
    }

    fn take_mails(&mut self) {
        for mail in self.cloud.drain_mails() {
            self.counts.mails += 1;
            self.judge().tell(mail.text.as_deref().unwrap_or_default(), mail.at);
        }
    }

    /// Handles the invocations that have ended and the events that they caused.
    async fn settle(&mut self) {
        while let Some(ended) = self.tasks.try_join_next() {
            if let Ok(ended) = ended {
                self.after_sweep(&ended);
            }
        }
        for event in self.cloud.drain_events() {
            match event["detail"]["eventName"].as_str() {
                Some("RotationSucceeded") => self.counts.rotations += 1,
                Some("RotationFailed") => self.counts.failed_rotations += 1,
                _ => {}
            }
            if let Some(trace) = &mut self.trace {
                trace.event(self.cloud.clock().now(), &event);
            }
            if !self.is_down && sweeping::is_for_sweeper(&event) {
                let now = self.now();
                self.counts.events += 1;
                let invocation = sweeping::invoke(self.keywheel.clone(), event, now);
                if self.is_storm {
                    self.tasks.spawn_local(invocation);
                } else {
                    let ended = invocation.await;
                    self.after_sweep(&ended);
                }
            }
        }
        self.take_mails();
    }
}

impl Counts {
    fn add_fault(&mut self, kind: &'static str, fired: u64) {
        if fired > 0 {
            *self.faults.entry(kind).or_default() += fired;
        }
    }
}

/// Counts by the name of the kind.
pub(super) type NamedCounts = BTreeMap<&'static str, u64>;
