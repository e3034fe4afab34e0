//! The fault matrix: every call of every scenario gets every kind of fault, and the result is always the same.
//!
//! The matrix is generated. A clean run of a scenario's action records its calls. Then, for each call and each kind of
//! fault (`kinds`), the scenario runs again with that fault; Secrets Manager retries, and the sweeps of the following
//! days run. The invariants hold at every step, and at the end the state is that of the clean run (`standing`).

mod kinds;
mod scenarios;
mod standing;

use std::collections::BTreeSet;
use std::io::Write as _;

use chrono::{DateTime, TimeDelta, Utc};
use keywheel::model::{Call, Fault};
use keywheel::rehearsal::Transport;
use keywheel::rehearsal::invariants::Watch;
use serde_json::{Value, json};

use crate::harness::{TestStack, rehearse};
pub(crate) use kinds::is_read;

use kinds::Kind;
use standing::{comes_days_later, difference, standing};

/// The most sweeps after the action until the state is that of the clean run.
const SWEEPS_TO_CONVERGE: usize = 2;
/// The most daily sweeps after the action if Secrets Manager never attempts an unfinished rotation again.
const SWEEPS_WITHOUT_REATTEMPTS: usize = 4;
/// The days of the sweeps in such a run, counted from the action: four daily ones, and enough of them later to disable
/// and delete a key that was rotated four days late.
const DAYS_WITHOUT_REATTEMPTS: &[i64] = &[1, 2, 3, 4, 8, 12, 14, 18, 26, 27];
/// The most exceptions of a matrix that are described one by one.
const MOST_DESCRIBED: usize = 12;

/// The action during which the fault occurs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// A sweep, the rotations that the sweep or a person starts, and the events of these rotations.
    Day,
    /// The native schedule, without a sweep.
    Schedule,
    /// The rotations that are queued.
    Rotations,
    /// The events that are waiting.
    Events,
    /// The sweep of the account, which defers notices that are not urgent, and the digest after it.
    AccountAndDigest,
}

/// One scenario, prepared up to its action.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) stage: TestStack,
    /// The time of the action.
    pub(crate) at: DateTime<Utc>,
    pub(crate) act: Act,
    /// The days of the following sweeps, counted from the action.
    pub(crate) days: &'static [i64],
    /// The users whose secret was tagged for an incident.
    pub(crate) forced: bool,
    /// The most sweeps after the action until the state is that of the clean run.
    pub(crate) sweeps: usize,
}

impl Scenario {
    /// The same scenario on an AWS that never attempts an unfinished rotation again.
    fn without_reattempts(&self) -> Self {
        let stage = self.stage.fork_at(self.at, Transport::Direct);
        stage.cloud.switch(|switches| switches.never_reattempts = true);
        let (days, sweeps) = (DAYS_WITHOUT_REATTEMPTS, SWEEPS_WITHOUT_REATTEMPTS);
        Self { name: self.name, stage, at: self.at, act: self.act, days, forced: self.forced, sweeps }
    }
}

/// The result of one run.
struct Run {
    /// The number of sweeps after which `early` was read.
    sweeps: usize,
    calls: Vec<Call>,
    early: BTreeSet<String>,
    end: BTreeSet<String>,
    complaints: Vec<String>,
}

/// Runs the matrix of one scenario and prints its size.
pub(crate) fn survive(prepare: impl AsyncFnOnce() -> Scenario) {
    rehearse(async {
        let scenario = prepare().await;
        let direct = every_call_gets(&scenario, Transport::Direct, |_| kinds::without_retries()).await;
        let retried = every_call_gets(&scenario, Transport::Sdk, |call| {
            if kinds::is_read(&call.operation) { kinds::of_reads() } else { kinds::with_retries() }
        })
        .await;
        assert_eq!(difference(&direct.standing, &retried.standing), Vec::<String>::new(), "one story on both ways");
        let mut exceptions = [direct.exceptions, retried.exceptions].concat();
        if direct.rotates {
            let alone = scenario.without_reattempts();
            exceptions
                .extend(every_call_gets(&alone, Transport::Direct, |_| kinds::without_retries()).await.exceptions);
        }
        let described = exceptions.iter().take(MOST_DESCRIBED).cloned().collect::<Vec<_>>().join("\n");
        assert!(exceptions.is_empty(), "{}: {} exceptions\n{described}", scenario.name, exceptions.len());
    });
}

/// The result of a matrix.
struct Outcome {
    /// The state after the clean run.
    standing: BTreeSet<String>,
    exceptions: Vec<String>,
    /// Whether the action makes a secret or rotates a key.
    rotates: bool,
}

async fn every_call_gets(scenario: &Scenario, transport: Transport, kinds: fn(&Call) -> Vec<Kind>) -> Outcome {
    let clean = run(scenario, transport, None).await;
    assert_eq!(clean.complaints, Vec::<String>::new(), "{}: the clean run", scenario.name);
    let again = run(scenario, transport, None).await;
    assert!(clean.calls == again.calls && clean.end == again.end, "{}: each run is the same run", scenario.name);
    assert!(!clean.calls.is_empty(), "{}: the action makes calls", scenario.name);
    let (mut runs, mut exceptions) = (0, Vec::new());
    for (n, call) in (1..).zip(&clean.calls) {
        for kind in kinds(call) {
            runs += 1;
            let other = run(scenario, transport, Some(kind.on(n))).await;
            let complaints = other.against(&clean);
            if !complaints.is_empty() {
                let (service, operation, name) = (&call.service, &call.operation, kind.name);
                exceptions.push(format!("call {n} {service}:{operation}, {name}: {complaints:#?}"));
            }
        }
    }
    report(scenario, transport, clean.calls.len(), runs, exceptions.len());
    let rotates = clean.calls.iter().any(|call| ["RotateSecret", "CreateAccessKey"].contains(&call.operation.as_str()));
    Outcome { standing: clean.end, exceptions, rotates }
}

/// Prints past libtest's capture, because the size of the matrix is a result.
fn report(scenario: &Scenario, transport: Transport, calls: usize, runs: usize, exceptions: usize) {
    let name = scenario.name;
    let way = match transport {
        Transport::Direct if scenario.sweeps == SWEEPS_WITHOUT_REATTEMPTS => "without reattempts",
        Transport::Direct => "as the caller sees it",
        Transport::Sdk => "with the SDK's retries",
    };
    let line = format!("{name}, {way}: {calls} calls, {runs} runs, {exceptions} exceptions");
    writeln!(std::io::stderr(), "fault matrix: {line}").expect("standard error can be written");
}

impl Run {
    /// Returns how the run differs from the clean run and which invariants it violates.
    fn against(self, clean: &Self) -> Vec<String> {
        let mut complaints = self.complaints;
        let early = difference(&clean.early, &self.early);
        if !early.is_empty() {
            complaints.push(format!("not converged within {} sweeps: {early:#?}", self.sweeps));
        }
        let end = difference(&clean.end, &self.end);
        if !end.is_empty() {
            complaints.push(format!("another end: {end:#?}"));
        }
        complaints
    }
}

/// Runs the scenario on a fork of its stage.
async fn run(scenario: &Scenario, transport: Transport, fault: Option<Fault>) -> Run {
    fastrand::seed(1);
    let mut stage = scenario.stage.fork_at(scenario.at, transport);
    let mut witness = Witness::new(scenario.forced);
    stage.cloud.forget_calls();
    let planted = fault.map(|fault| stage.cloud.faults().inject(fault));
    witness.act(&stage, scenario.act).await;
    stage.cloud.faults().clear();
    let calls = stage.cloud.calls();
    if planted.is_some_and(|planted| planted.fired() == 0) {
        witness.complaints.push("the fault hit nothing".to_owned());
    }
    // The following days are the same with and without the fault.
    stage.leave_the_sdk();
    let mut early = BTreeSet::new();
    let mut last = Vec::new();
    for (sweeps, day) in scenario.days.iter().enumerate() {
        stage.cloud.clock().advance_to(scenario.at + TimeDelta::days(*day)).await;
        last = witness.act(&stage, Act::Day).await;
        if sweeps + 1 == scenario.sweeps {
            early = standing(&stage);
            if scenario.sweeps == SWEEPS_WITHOUT_REATTEMPTS {
                early.retain(|line| !comes_days_later(line));
            }
        }
    }
    witness.end(&stage, &last);
    Run { sweeps: scenario.sweeps, calls, early, end: standing(&stage), complaints: witness.complaints }
}

/// Carries out a run and collects what is wrong with it.
struct Witness {
    watch: Watch,
    complaints: Vec<String>,
}

impl Witness {
    fn new(forced: bool) -> Self {
        let mut watch = Watch::new();
        if forced {
            watch.force(crate::harness::MEMBER, "ci-bot");
        }
        Self { watch, complaints: Vec::new() }
    }

    /// Returns the sweeper's answers, if there are any.
    async fn act(&mut self, stage: &TestStack, act: Act) -> Vec<Value> {
        let mut answers = Vec::new();
        if act == Act::Day {
            answers.extend(sweep(stage, json!({})).await);
        }
        if act == Act::AccountAndDigest {
            answers.extend(sweep(stage, json!({"account": crate::harness::MEMBER, "notices": "later"})).await);
            answers.extend(sweep(stage, json!({"digest": {}})).await);
        }
        if matches!(act, Act::Day | Act::Rotations) {
            stage.cloud.run_rotations().await;
        }
        if matches!(act, Act::Day | Act::Schedule) {
            stage.cloud.fire_due_rotations().await;
        }
        for event in stage.cloud.drain_events() {
            answers.extend(sweep(stage, event).await);
        }
        self.watch.judge(&stage.cloud, stage.keywheel.settings());
        answers
    }

    fn end(&mut self, stage: &TestStack, last: &[Value]) {
        self.watch.judge_end(&stage.cloud);
        self.complaints.extend(self.watch.violations.iter().map(|it| format!("({}) {}", it.invariant, it.what)));
        let failures = last.iter().filter(|answer| answer["failures"] != json!([]));
        self.complaints.extend(failures.map(|answer| format!("still reported: {}", answer["failures"])));
    }
}

/// Invokes the sweeper, which a fault may stop. An error of the whole invocation is reported like a failure.
async fn sweep(stage: &TestStack, event: Value) -> Option<Value> {
    let answer = Box::pin(stage.cloud.until_stopped(stage.keywheel.sweep(event))).await.ok()?;
    Some(answer.unwrap_or_else(|error| json!({"failures": [error.to_string()]})))
}

/// Returns the next time at which the native schedule rotates.
pub(crate) fn next_rotation(stage: &TestStack) -> DateTime<Utc> {
    stage.cloud.next_rotation_due().expect("there is a schedule")
}
