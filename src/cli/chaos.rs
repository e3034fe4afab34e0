//! `keywheel rehearse --chaos`: the counts of random runs, and the shortest way to the first broken rule.

use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Rehearse, Result};
use crate::rehearsal::chaos::{self, ChaosOptions, ChaosOutcome, Counts, RULES};

pub(super) fn run(arguments: &Rehearse) -> Result<ExitCode> {
    let script = ChaosOptions {
        seed: arguments.seed,
        days: arguments.days,
        users: arguments.users.try_into()?,
        shard: arguments.shard,
    };
    let started = now();
    let outcome = chaos::run(&script)?;
    let took = now().duration_since(started);
    let mut out = std::io::stdout();
    if arguments.json {
        writeln!(out, "{}", as_json(&script, &outcome, took))?;
    } else {
        print(&mut out, &script, &outcome, took)?;
    }
    Ok(if outcome.violations == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[expect(clippy::disallowed_methods, reason = "only the command line reports real time")]
fn now() -> Instant {
    Instant::now()
}

/// Returns the command that repeats the shard in which a rule broke.
fn reproduction(script: &ChaosOptions, shard: usize) -> String {
    let ChaosOptions { seed, days, users, .. } = script;
    format!("keywheel rehearse --chaos --seed {seed} --days {days} --users {users} --shard {shard}")
}

fn print(out: &mut dyn Write, script: &ChaosOptions, outcome: &ChaosOutcome, took: Duration) -> Result<()> {
    let Counts { acts, faults, checks, .. } = &outcome.counts;
    let ChaosOptions { seed, days, users, .. } = script;
    writeln!(out, "seed {seed}: {users} users in {} shards, {days} days\n", outcome.shards)?;
    let mut table = |title: &str, rows: Vec<(String, u64)>| -> Result<()> {
        writeln!(out, "{title}: {}", rows.iter().map(|(_, count)| count).sum::<u64>())?;
        rows.iter().try_for_each(|(name, count)| writeln!(out, "  {count:>10}  {name}"))?;
        Ok(writeln!(out)?)
    };
    let rows = |tally: &std::collections::BTreeMap<&'static str, u64>| {
        tally.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect::<Vec<_>>()
    };
    table("acts", rows(acts))?;
    table("calls hit by faults", rows(faults))?;
    table("keywheel's work", work(&outcome.counts))?;
    let checked = |(letter, words): &(char, &str)| {
        (format!("({letter}) {words}"), checks.get(letter).copied().unwrap_or_default())
    };
    table("checks", RULES.iter().map(checked).collect())?;
    if let Some(broken) = &outcome.broken {
        writeln!(out, "{}", broken.trace)?;
        writeln!(out, "BROKEN ({}): {}", broken.violation.invariant, broken.violation.what)?;
        writeln!(out, "{} acts of shard {} are left after {} runs", broken.acts, broken.shard, broken.runs)?;
        writeln!(out, "again: {}\n", reproduction(script, broken.shard))?;
    }
    let seconds = took.as_secs_f64();
    let Counts { steps, .. } = &outcome.counts;
    writeln!(
        out,
        "seed {seed}: {users} users × {days} days, {steps} steps, {} faults, {} violations, {seconds:.1} s",
        faults.values().sum::<u64>(),
        outcome.violations
    )?;
    Ok(())
}

fn work(counts: &Counts) -> Vec<(String, u64)> {
    let Counts { sweeps, events, rotations, failed_rotations, made, disables, deletes, mails, calls, .. } = counts;
    [
        ("sweeps", sweeps),
        ("events", events),
        ("rotations that succeeded", rotations),
        ("rotations that failed", failed_rotations),
        ("keys made", made),
        ("keys disabled", disables),
        ("keys deleted", deletes),
        ("mails", mails),
        ("API calls", calls),
    ]
    .map(|(name, count)| (name.to_owned(), *count))
    .into()
}

fn as_json(script: &ChaosOptions, outcome: &ChaosOutcome, took: Duration) -> Value {
    let Counts {
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
    } = &outcome.counts;
    let broken = outcome.broken.as_ref().map(|broken| {
        json!({"invariant": broken.violation.invariant, "what": broken.violation.what, "shard": broken.shard,
            "acts": broken.acts, "trace": broken.trace, "again": reproduction(script, broken.shard)})
    });
    let checks: std::collections::BTreeMap<String, u64> =
        checks.iter().map(|(letter, count)| (letter.to_string(), *count)).collect();
    json!({"seed": script.seed, "users": script.users, "days": script.days, "shards": outcome.shards, "steps": steps,
        "acts": acts, "faults": faults, "sweeps": sweeps, "events": events, "rotations": rotations,
        "failed_rotations": failed_rotations, "made": made, "disables": disables, "deletes": deletes, "mails": mails,
        "api_calls": calls, "checks": checks, "violations": outcome.violations, "first_violation": broken,
        "seconds": took.as_secs_f64()})
}
