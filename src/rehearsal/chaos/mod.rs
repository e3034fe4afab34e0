//! Randomized runs of keywheel's real handlers: people and other tools interfere, AWS fails in every way, the sweeper is
//! down, clocks are wrong; and whatever happens, the rules hold.
//!
//! `story` writes down what will happen to a shard of users, from the seed alone: `cast` says who is there, `acts` what
//! can happen and how often, `trouble` what fails. `life` lives it: `people` and `owners` act, `sweeping` invokes the
//! sweeper, the native schedule rotates. `judge` is told of every change of a key and knows the `rules`; `calm` judges
//! the order after a calm time. A story that breaks a rule is made short by `shrink` and told by `trace`.

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

/// Users of one shard: so many live in one model of AWS.
const USERS_PER_SHARD: usize = 25;

/// What to run.
#[derive(Clone, Debug)]
pub struct ChaosOptions {
    /// Everything random comes from it.
    pub seed: u64,
    /// How many days pass.
    pub days: i64,
    /// How many users there are.
    pub users: usize,
    /// Runs this shard alone.
    pub shard: Option<usize>,
}

/// What happened, in numbers.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Moments at which something happened: after each, all rules are judged.
    pub steps: u64,
    /// What people, tools and AWS did, by kind; what could not be done is not counted.
    pub acts: NamedCounts,
    /// Calls that a fault hit, by its kind.
    pub faults: NamedCounts,
    /// Sweeps.
    pub sweeps: u64,
    /// Events handed to the sweeper.
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
    /// Mails that went out.
    pub mails: u64,
    /// Calls to AWS.
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

/// A violation as a shard found it.
#[derive(Clone, Debug)]
struct FoundViolation {
    violation: Violation,
    who: Who,
    at: DateTime<Utc>,
    trace: Option<Trace>,
    counts: Counts,
}

/// A violation, made short.
#[derive(Clone, Debug)]
pub struct Broken {
    /// What does not hold.
    pub violation: Violation,
    /// The shard.
    pub shard: usize,
    /// The acts that are left of its story.
    pub acts: usize,
    /// How often the story was told again to make it short.
    pub runs: usize,
    /// What happened, day by day.
    pub trace: String,
}

/// How it ended.
#[derive(Clone, Debug, Default)]
pub struct ChaosOutcome {
    /// How many shards there were.
    pub shards: usize,
    /// What happened.
    pub counts: Counts,
    /// Shards that broke a rule.
    pub violations: usize,
    /// The first of them.
    pub broken: Option<Broken>,
}

/// Runs the script on all cores. After a violation no further shard is begun.
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
                            // The lowest number, whichever thread was faster.
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

/// Lives a story on a clock of its own.
fn live_alone(story: &Story, trace: Option<Trace>) -> Result<Counts, Box<FoundViolation>> {
    let runtime = paused_runtime().expect("a runtime could be made before");
    tokio::task::LocalSet::new().block_on(&runtime, life::live(story, trace))
}

/// keywheel on that model.
fn deploy(cloud: &Cloud, settings: &[(&str, &str)]) -> Result<Deployment, Error> {
    Deployment::through(Transport::Direct, cloud, settings)
}
