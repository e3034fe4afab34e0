//! Short random runs, as `keywheel rehearse --chaos` makes them: people interfere, AWS fails, and all rules hold.

use std::collections::BTreeSet;
use std::io::Write as _;

use keywheel::rehearsal::chaos::{ChaosOptions, RULES, run};

/// The runs at most: one story need not come to every rule.
const SEEDS: [u64; 4] = [2031, 2032, 2033, 2034];

#[test]
fn whatever_happens_the_rules_hold() {
    let mut unchecked: BTreeSet<_> = RULES.into_iter().collect();
    for seed in SEEDS {
        let script = ChaosOptions { seed, days: 150, users: 50, shard: None };
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
        assert!(faults > 100 && counts.rotations > 50 && counts.deletes > 20, "{counts:?}");
        // A run without any check would pass, too, so the checks are counted.
        unchecked.retain(|(letter, _)| counts.checks.get(letter).is_none_or(|checks| *checks == 0));
        if unchecked.is_empty() {
            return;
        }
    }
    panic!("never checked: {unchecked:?}");
}
