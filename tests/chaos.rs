//! A short random run, as `keywheel rehearse --chaos` makes them: people interfere, AWS fails, and all rules hold.

use std::io::Write as _;

use keywheel::rehearsal::chaos::{ChaosOptions, RULES, run};

#[test]
fn whatever_happens_the_rules_hold() {
    let script = ChaosOptions { seed: 2031, days: 150, users: 50, shard: None };
    let outcome = run(&script).expect("the system gives a runtime");
    let (counts, faults) = (&outcome.counts, outcome.counts.faults.values().sum::<u64>());
    let _ = writeln!(
        std::io::stderr(),
        "chaos: seed {}, {} users × {} days: {} steps, {} calls, {faults} faults, {} violations",
        script.seed,
        script.users,
        script.days,
        counts.steps,
        counts.calls,
        outcome.violations
    );
    if let Some(broken) = outcome.broken {
        panic!("{}\n({}) {}", broken.trace, broken.violation.invariant, broken.violation.what);
    }
    // A run without any check would pass, too, so the checks are counted.
    for (letter, words) in RULES {
        assert!(counts.checks.get(&letter).is_some_and(|checks| *checks > 0), "({letter}) {words}: never checked");
    }
    assert!(faults > 100 && counts.rotations > 50 && counts.deletes > 20, "{counts:?}");
}
