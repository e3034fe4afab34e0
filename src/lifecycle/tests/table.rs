//! Every state of two keys with what is decided, as a table to be read by a person.

use std::fmt::Write as _;

use super::*;

const STATUSES: [&str; 2] = ["active", "inactive"];
const USES: [&str; 3] = ["used", "never", "unknown"];

/// Whose the two keys are. The older one is past the period in all of them.
type Role = (&'static str, fn([KeyFacts; 2]) -> UserFacts);

const ROLES: [Role; 5] = [
    ("no secret; older 95 days, newer 50 days", |keys| user(keys)),
    ("secret with a placeholder, nothing rotated yet; older 95 days, newer 50 days", |keys| {
        user(keys).with(placeholder(2))
    }),
    ("older is current and due, newer is somebody's; older 95 days, newer 50 days", |keys| {
        user(keys).with(rotated(1, None, days(95)).told(1, &["rotated"]))
    }),
    ("newer is current, older was replaced 50 days ago, an inactive one disabled 20 days ago", |keys| {
        let secret = rotated(2, Some(1), days(50)).told(2, &["rotated"]);
        let disabled = !keys[0].is_active();
        user(keys).with(if disabled { secret.disabled(days(20)) } else { secret })
    }),
    ("older is current and due, newer is pending: made by a rotation that is not finished", |[older, newer]| {
        let newer = KeyFacts { created: now() - days(1), ..newer };
        let secret = rotated(1, None, days(95)).told(1, &["rotated"]);
        user([older, newer]).with(secret.intent(2, days(1)).unfinished(2))
    }),
];

fn keys_of(n: u64, age: TimeDelta) -> Vec<(String, KeyFacts)> {
    let mut keys = Vec::new();
    for status in STATUSES {
        for last_use in USES {
            let key = if status == "active" { key(n, age) } else { key(n, age).inactive() };
            let key = match last_use {
                "used" => key.used(days(30)),
                "never" => key,
                _ => key.unknown(),
            };
            keys.push((format!("{status} {last_use}"), key));
        }
    }
    keys
}

#[test]
fn every_state_of_two_keys() {
    let mut table = String::new();
    for (role, facts) in ROLES {
        writeln!(table, "\n## {role}").expect("writing to a string");
        for (older, older_key) in keys_of(1, days(95)) {
            for (newer, newer_key) in keys_of(2, days(50)) {
                let decided = decide(&facts([older_key.clone(), newer_key]));
                let decided = if decided.is_empty() { "nothing".to_owned() } else { decided };
                writeln!(table, "{older:16} + {newer:16} -> {decided}").expect("writing to a string");
            }
        }
    }
    insta::with_settings!({ snapshot_path => "../snapshots", prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("every_state_of_two_keys", table);
    });
}
