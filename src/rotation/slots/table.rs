//! Every state of two keys, with the decision of the rotation function and its reason, without and with the tag for
//! incidents.
//!
//! The rules below state the expected decisions a second time, in other words. The snapshot is for reading: one square
//! for each pair of roles that two keys can have, and the decisions that its letters stand for.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::tests::{id, key, now, used, version};
use super::*;
use crate::state::{Intent, Retiring};

/// The role of a key for the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeyRole {
    /// In the secret. A rotation created and tested it.
    Managed,
    /// Created by a person.
    Foreign,
    /// Replaced by the last rotation. If it is inactive, keywheel disabled it that many days ago.
    Replaced(i64),
    /// A person's key that has to give way. If it is inactive, keywheel disabled it that many days ago.
    Retiring(i64),
    /// Created and tested by a rotation that did not finish. Its version names it.
    Pending,
    /// Created when a rotation announced a key that did not get into the secret.
    Announced,
    /// Named by the intent, because it did not get into the secret.
    Named,
}

use KeyRole::{Announced, Foreign, Managed, Named, Pending, Replaced, Retiring as Leaving};

const ROLES: [(&str, [KeyRole; 2]); 16] = [
    ("a placeholder in the secret", [Foreign, Foreign]),
    ("1 in the secret, 2 a person's", [Managed, Foreign]),
    ("1 a person's, 2 in the secret", [Foreign, Managed]),
    ("1 replaced and, if inactive, past its recovery grace; 2 in the secret", [Replaced(20), Managed]),
    ("1 replaced and, if inactive, in its recovery grace; 2 in the secret", [Replaced(5), Managed]),
    ("1 in the secret; 2 has to give way and, if inactive, is past its recovery grace", [Managed, Leaving(20)]),
    ("1 in the secret; 2 has to give way and, if inactive, is in its recovery grace", [Managed, Leaving(5)]),
    ("1 has to give way and, if inactive, is past its recovery grace; 2 a person's", [Leaving(20), Foreign]),
    ("1 in the secret, 2 of a rotation that stopped after its test", [Managed, Pending]),
    ("1 a person's, 2 of the first rotation, which stopped after its test", [Foreign, Pending]),
    ("1 in the secret, 2 announced and not in it", [Managed, Announced]),
    ("1 announced and not in the secret, 2 in it", [Announced, Managed]),
    ("1 a person's, 2 announced by the first rotation", [Foreign, Announced]),
    ("1 announced by the first rotation, 2 a person's", [Announced, Foreign]),
    ("both created when the first rotation announced a key", [Announced, Announced]),
    ("1 in the secret, 2 named by the intent", [Managed, Named]),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SlotUse {
    Used,
    Never,
    Unknown,
}

/// Every state of one key.
const STATES: [(bool, SlotUse); 6] = [
    (true, SlotUse::Used),
    (true, SlotUse::Never),
    (true, SlotUse::Unknown),
    (false, SlotUse::Used),
    (false, SlotUse::Never),
    (false, SlotUse::Unknown),
];

fn name((active, last_use): (bool, SlotUse)) -> String {
    let status = if active { "active" } else { "inactive" };
    let last_use = match last_use {
        SlotUse::Used => "used",
        SlotUse::Never => "never",
        SlotUse::Unknown => "unknown",
    };
    format!("{status} {last_use}")
}

/// One state of two keys.
#[derive(Debug)]
struct SlotCase {
    roles: [KeyRole; 2],
    states: [(bool, SlotUse); 2],
    force: bool,
}

fn number(n: usize) -> u8 {
    [1, 2][n]
}

impl SlotCase {
    fn key(&self, n: usize) -> SlotKey {
        let (active, last_use) = self.states[n];
        let status = if active { KeyStatus::Active } else { KeyStatus::Inactive };
        let last_use = match (last_use, self.roles[n]) {
            (SlotUse::Never, _) => LastUse::Never,
            (SlotUse::Unknown, _) => LastUse::Unknown("throttled".to_owned()),
            // testSecret used it.
            (SlotUse::Used, Pending) => used("sts", TimeDelta::days(40)),
            (SlotUse::Used, _) => used("s3", TimeDelta::days(30)),
        };
        let both_announced = self.roles == [Announced, Announced];
        SlotKey { last_use, ..key(number(n), status, if both_announced { 50 } else { [95, 50][n] }) }
    }

    fn position(&self, is: impl Fn(KeyRole) -> bool) -> Option<usize> {
        self.roles.iter().position(|role| is(*role))
    }

    fn managed(&self) -> Option<usize> {
        self.position(|role| role == Managed)
    }

    fn state(&self) -> State {
        let day = |ago| now() - TimeDelta::days(ago);
        let mut state = State { managed: true, version: Some(version(1)), force: self.force, ..State::default() };
        for (n, role) in self.roles.into_iter().enumerate() {
            let (id, active) = (id(number(n)), self.states[n].0);
            match role {
                Managed => (state.current_key, state.rotated_at) = (Some(id), Some(day(50))),
                Foreign if self.managed().is_none() => state.current_key = Some(id),
                Foreign => {}
                Replaced(days) => {
                    state.previous_key = Some(id);
                    state.disabled_at = (!active).then(|| day(days));
                }
                Leaving(days) => {
                    state.retiring = Some(Retiring { key: id, since: day(30) });
                    state.disabled_at = (!active).then(|| day(days));
                }
                Pending | Announced | Named => {
                    let intent = Intent::new(&version(2), self.key(n).listed.created);
                    state.intent = Some(if role == Named { intent.naming(&id) } else { intent });
                }
            }
        }
        state
    }

    fn decide(&self) -> Decision {
        let (keys, state) = ([self.key(0), self.key(1)], self.state());
        let in_value = self.managed().map(|n| id(number(n)));
        let announced = self.position(|role| role == Pending).map(|n| id(number(n)));
        Slots {
            keys: &keys,
            state: &state,
            current_version: Some(&version(1)),
            in_value: in_value.as_ref().map_or(KeyInValue::NoKey, KeyInValue::Key),
            in_versions: &[],
            unread: None,
            announced: announced.as_ref(),
            recovery_grace: TimeDelta::days(10),
            now: now(),
        }
        .decide()
    }

    fn is_active(&self, n: usize) -> bool {
        self.states[n].0
    }

    fn last_use(&self, n: usize) -> SlotUse {
        self.states[n].1
    }

    /// Returns the number of the key that a rotation created and nobody has.
    fn orphan(&self) -> Option<usize> {
        let one = self.roles != [Announced, Announced];
        self.position(|role| matches!(role, Pending | Announced | Named)).filter(|n| {
            let tested = self.roles[*n] == Pending && self.last_use(*n) == SlotUse::Used;
            one && (tested || self.last_use(*n) == SlotUse::Never)
        })
    }
}

/// The expected decision. `Goes` holds the number of the key that is removed.
#[derive(Debug, PartialEq, Eq)]
enum ExpectedDecision {
    Goes(usize),
    NoKeyIsMade,
    Refused,
}

fn expected(case: &SlotCase) -> (ExpectedDecision, &'static str) {
    use ExpectedDecision::{Goes, NoKeyIsMade, Refused};
    let orphan = case.orphan();
    if !(0..2).any(|n| case.is_active(n) && Some(n) != orphan) {
        return (NoKeyIsMade, "nobody has an active key: no key is created for this user");
    }
    if let Some(orphan) = orphan {
        return (Goes(orphan), "a rotation created it and nobody has it");
    }
    let inactive = (0..2).find(|n| !case.is_active(*n));
    if case.force {
        return forced(case, inactive);
    }
    let Some(inactive) = inactive else { return (Refused, "both are active: no active key is removed") };
    match (case.roles[inactive], case.last_use(inactive)) {
        (Replaced(20) | Leaving(20), SlotUse::Unknown) => (Refused, "its last use is unknown, so it may be needed"),
        (Replaced(20) | Leaving(20), _) => (Goes(inactive), "keywheel disabled it, and its recovery grace is over"),
        (Replaced(_) | Leaving(_), _) => (Refused, "it can still be recovered"),
        _ => (Refused, "a person disabled it, so it is that person's"),
    }
}

/// In an incident the other key goes at once, whatever it is used for.
fn forced(case: &SlotCase, inactive: Option<usize>) -> (ExpectedDecision, &'static str) {
    use ExpectedDecision::{Goes, Refused};
    if let Some(inactive) = inactive {
        return (Goes(inactive), "by order: the active key stays");
    }
    if let Some(managed) = case.managed() {
        return (Goes(1 - managed), "by order: the key in the secret stays");
    }
    match (case.last_use(0), case.last_use(1)) {
        (SlotUse::Unknown, _) | (_, SlotUse::Unknown) => {
            (Refused, "the secret holds neither, and it is unknown which one is used")
        }
        (SlotUse::Used, SlotUse::Used) => (Refused, "the secret holds neither, and both are used"),
        (SlotUse::Used, SlotUse::Never) => (Goes(1), "by order: the used key stays"),
        (SlotUse::Never, _) => (Goes(0), "by order: the used key stays or, if neither is used, the newer key"),
    }
}

/// Checks the invariants of every row, whatever the rules say.
fn check(case: &SlotCase, decision: &Decision) {
    let Decision::Remove(removed) = decision else { return };
    assert_eq!(removed.len(), 1, "one free slot is enough: {case:?}");
    let n = usize::from(removed[0] == id(2));
    assert!(case.is_active(1 - n), "an active key stays: {case:?}");
    let by_order = case.force && case.orphan().is_none();
    assert!(by_order || !case.is_active(n) || case.orphan() == Some(n), "no active key is removed: {case:?}");
    assert!(by_order || case.last_use(n) != SlotUse::Unknown, "unknown is not no: {case:?}");
    assert!(case.managed() != Some(n) || (by_order && !case.is_active(n)), "the key in the secret stays: {case:?}");
    let is_a_persons = matches!(case.roles[n], Foreign) || case.roles == [Announced, Announced];
    assert!(by_order || !is_a_persons, "a person's key goes by order alone: {case:?}");
}

fn square(table: &mut String, roles: [KeyRole; 2], force: bool) {
    let mut letters: BTreeMap<(String, &str), char> = BTreeMap::new();
    let mut legend = String::new();
    write!(table, "\n  {:16}", "1 \\ 2").expect("text");
    for newer in STATES {
        write!(table, "{:>17}", name(newer)).expect("text");
    }
    for older in STATES {
        write!(table, "\n  {:16}", name(older)).expect("text");
        for newer in STATES {
            let case = SlotCase { roles, states: [older, newer], force };
            let decision = case.decide();
            check(&case, &decision);
            let (expected, why) = expected(&case);
            let (decided, found) = match decision {
                Decision::NoActiveKey => ("no key is created".to_owned(), ExpectedDecision::NoKeyIsMade),
                Decision::NoFreeSlot(why) => (format!("refused: {why}"), ExpectedDecision::Refused),
                Decision::Remove(ids) => {
                    let n = usize::from(ids[0] == id(2));
                    (format!("{} is disabled if active, then deleted", n + 1), ExpectedDecision::Goes(n))
                }
            };
            assert_eq!(found, expected, "{why}: {case:?}");
            let decided = (1..=2).fold(decided, |text, n| text.replace(id(n).as_str(), &n.to_string()));
            let next = char::from(b'A' + u8::try_from(letters.len()).expect("few decisions"));
            let letter = *letters.entry((decided.clone(), why)).or_insert_with(|| {
                write!(legend, "\n  {next}: {decided}\n     {why}").expect("text");
                next
            });
            write!(table, "{letter:>17}").expect("text");
        }
    }
    writeln!(table, "{legend}").expect("text");
}

#[test]
fn every_state_of_two_keys() {
    let mut table = String::new();
    for (title, roles) in ROLES {
        for (force, order) in [(false, ""), (true, "; forced")] {
            write!(table, "\n## {title}{order}").expect("text");
            square(&mut table, roles, force);
        }
    }
    insta::with_settings!({ snapshot_path => "../snapshots", prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("every_state_of_two_keys", table);
    });
}
