//! Random runs of keywheel's real handlers. People and other tools interfere, AWS fails, the sweeper is down and clocks
//! are wrong; the rules must hold after every step.
//!
//! - `story` derives from the seed what will happen to a shard of users. `cast` makes the users, `acts` lists what can
//!   happen and how often, `trouble` lists what fails.
//! - `life` carries the story out: `people` and `owners` act, `sweeping` invokes the sweeper, the native schedule
//!   rotates.
//! - `judge` checks every change of a key against the `rules`. `calm` checks the state at the end of a calm period.
//! - `shrink` shortens a story that breaks a rule, and `trace` prints it.

mod acts;
mod calm;
mod cast;
mod glance;
mod judge;
mod life;
mod owners;
mod people;
mod rules;
mod shrink;
mod story;
mod sweeping;
mod trace;
mod trouble;

#[cfg(test)]
mod tests;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::{num::NonZero, sync::PoisonError};

use chrono::{DateTime, Utc};

use self::judge::Who;
use self::life::NamedCounts;
use self::story::Story;
use self::trace::Trace;
use super::deployment::{Deployment, Transport};
use super::invariants::Violation;
use crate::error::Error;
use crate::model::{Cloud, paused_runtime};

pub use rules::RULES;

/// Users of one shard. A shard has a model of AWS of its own, so that shards run on all cores.
const USERS_PER_SHARD: usize = 25;

/// The size of a random run, and its seed.
#[derive(Clone, Debug)]
pub struct ChaosOptions {
    /// The only source of randomness: the same seed gives the same run.
    pub seed: u64,
    /// Days of the model's clock.
    pub days: i64,
    /// Users, over all shards.
    pub users: usize,
    /// Run only the shard of this number; `None` runs all.
    pub shard: Option<usize>,
}

/// Counts of what happened in a run.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Steps of the story. The rules are checked after each.
    pub steps: u64,
    /// Acts of people, tools and AWS by kind. An act that was impossible at its time is not counted.
    pub acts: NamedCounts,
    /// Calls that a fault hit, by the fault's kind.
    pub faults: NamedCounts,
    /// Sweeps of all accounts, dry runs not included.
    pub sweeps: u64,
    /// EventBridge events that invoked the sweeper.
    pub events: u64,
    /// Rotations that succeeded.
    pub rotations: u64,
    /// Rotations that failed after all their attempts.
    pub failed_rotations: u64,
    /// Keys that keywheel made.
    pub made: u64,
    /// Keys that keywheel disabled.
    pub disables: u64,
    /// Keys that keywheel deleted.
    pub deletes: u64,
    /// Mails that SES accepted.
    pub mails: u64,
    /// Calls to the model of AWS.
    pub calls: u64,
    /// How often each rule was checked.
    pub checks: std::collections::BTreeMap<char, u64>,
}

impl Counts {
    fn add(&mut self, other: &Self) {
        let Self {
            steps,
            acts,
            faults,
            sweeps,
            events,
            rotations,
            failed_rotations,
            made,
            disables,
            deletes,
            mails,
            calls,
            checks,
        } = other;
        self.steps += steps;
        self.sweeps += sweeps;
        self.events += events;
        self.rotations += rotations;
        self.failed_rotations += failed_rotations;
        self.made += made;
        self.disables += disables;
        self.deletes += deletes;
        self.mails += mails;
        self.calls += calls;
        for (name, count) in acts {
            *self.acts.entry(name).or_default() += count;
        }
        for (name, count) in faults {
            *self.faults.entry(name).or_default() += count;
        }
        for (letter, count) in checks {
            *self.checks.entry(*letter).or_default() += count;
        }
    }
}

/// A violation as the run of a shard found it.
#[derive(Clone, Debug)]
struct FoundViolation {
    violation: Violation,
    who: Who,
    at: DateTime<Utc>,
    trace: Option<Trace>,
    counts: Counts,
}

/// A violation with the shortest story that was found to cause it.
#[derive(Clone, Debug)]
pub struct Broken {
    /// The broken rule and the event that broke it.
    pub violation: Violation,
    /// The number of the shard, for `--shard`.
    pub shard: usize,
    /// Acts in the shortened story.
    pub acts: usize,
    /// Runs that the search for a shorter story took.
    pub runs: usize,
    /// The shortened story, one line per event.
    pub trace: String,
}

/// The result of a random run.
#[derive(Clone, Debug, Default)]
pub struct ChaosOutcome {
    /// Shards that were run.
    pub shards: usize,
    /// The counts of all shards together.
    pub counts: Counts,
    /// Shards that broke a rule.
    pub violations: usize,
    /// The violation of the shard with the lowest number.
    pub broken: Option<Broken>,
}

/// Runs the shards on all cores. After a violation no further shard is started.
///
/// # Errors
/// When the operating system refuses a runtime.
pub fn run(script: &ChaosOptions) -> std::io::Result<ChaosOutcome> {
    let shards = script.users.div_ceil(USERS_PER_SHARD);
    let numbers: Vec<usize> = script.shard.map_or_else(|| (0..shards).collect(), |shard| vec![shard]);
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get).min(numbers.len());
    let (next, is_broken) = (AtomicUsize::new(0), AtomicBool::new(false));
    let outcome = Mutex::new((ChaosOutcome { shards: numbers.len(), ..ChaosOutcome::default() }, None));
    paused_runtime()?;
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(shard) = numbers.get(next.fetch_add(1, Ordering::Relaxed))
                    && !is_broken.load(Ordering::Relaxed)
                {
                    let lived = live_alone(&story_of(script, *shard), None);
                    is_broken.fetch_or(lived.is_err(), Ordering::Relaxed);
                    let mut outcome = outcome.lock().unwrap_or_else(PoisonError::into_inner);
                    match lived {
                        Ok(counts) => outcome.0.counts.add(&counts),
                        Err(found) => {
                            outcome.0.violations += 1;
                            outcome.0.counts.add(&found.counts);
                            // Keep the lowest number, so that the result does not depend on the threads' speed.
                            let earlier = outcome.1.take().filter(|(first, _)| first < shard);
                            outcome.1 = earlier.or(Some((*shard, found)));
                        }
                    }
                }
            });
        }
    });
    let (mut outcome, first) = outcome.into_inner().unwrap_or_else(PoisonError::into_inner);
    outcome.broken = first.map(|(shard, found)| explain(script, shard, &found));
    Ok(outcome)
}

fn story_of(script: &ChaosOptions, shard: usize) -> Story {
    let users = script.users.saturating_sub(shard * USERS_PER_SHARD).min(USERS_PER_SHARD);
    Story::of(script.seed, shard, users, script.days)
}

fn explain(script: &ChaosOptions, shard: usize, found: &FoundViolation) -> Broken {
    let shrink::Shrunk { entries, found, runs } = shrink::shrink(&story_of(script, shard), found);
    let trace = found.trace.as_ref().map(ToString::to_string).unwrap_or_default();
    Broken { violation: found.violation, shard, acts: entries, runs, trace }
}

/// Runs a story on a clock of its own.
fn live_alone(story: &Story, trace: Option<Trace>) -> Result<Counts, Box<FoundViolation>> {
    let runtime = paused_runtime().expect("a runtime could be made before");
    tokio::task::LocalSet::new().block_on(&runtime, life::live(story, trace))
}

/// Deploys keywheel on that model.
fn deploy(cloud: &Cloud, settings: &[(&str, &str)]) -> Result<Deployment, Error> {
    Deployment::through(Transport::Direct, cloud, settings)
}
