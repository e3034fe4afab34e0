//! Every state of two keys, with what the rotation function decides and why, without and with the tag for incidents.
//!
//! What is expected is said by the rules below, once more and in other words; the snapshot is for reading: a square for
//! each pair of parts that two keys can play, and the decisions that its letters stand for.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::tests::{id, key, now, used, version};
use super::*;
use crate::state::{Intent, Retiring};

/// What a key is to the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// In the secret; a rotation made and tested it.
    Managed,
    /// A person made it.
    Foreign,
    /// The last rotation replaced it; where it is inactive, keywheel disabled it that many days ago.
    Replaced(i64),
    /// A person's that has to give way, where it is inactive since that many days.
    Retiring(i64),
    /// A rotation made and tested it, and did not finish: its version names it.
    Pending,
    /// Made when a rotation announced a key that did not come into the secret.
    Announced,
    /// Named by the intent: it did not come into the secret.
    Named,
}

use Part::{Announced, Foreign, Managed, Named, Pending, Replaced, Retiring as Leaving};

const PARTS: [(&str, [Part; 2]); 16] = [
    ("a placeholder in the secret", [Foreign, Foreign]),
    ("1 in the secret, 2 a person's", [Managed, Foreign]),
    ("1 a person's, 2 in the secret", [Foreign, Managed]),
    ("1 replaced and, if inactive, past its recovery period; 2 in the secret", [Replaced(20), Managed]),
    ("1 replaced and, if inactive, in its recovery period; 2 in the secret", [Replaced(5), Managed]),
    ("1 in the secret; 2 has to give way and, if inactive, is past its recovery period", [Managed, Leaving(20)]),
    ("1 in the secret; 2 has to give way and, if inactive, is in its recovery period", [Managed, Leaving(5)]),
    ("1 has to give way and, if inactive, is past its recovery period; 2 a person's", [Leaving(20), Foreign]),
    ("1 in the secret, 2 of a rotation that stopped after its test", [Managed, Pending]),
    ("1 a person's, 2 of the first rotation, which stopped after its test", [Foreign, Pending]),
    ("1 in the secret, 2 announced and not in it", [Managed, Announced]),
    ("1 announced and not in the secret, 2 in it", [Announced, Managed]),
    ("1 a person's, 2 announced by the first rotation", [Foreign, Announced]),
    ("1 announced by the first rotation, 2 a person's", [Announced, Foreign]),
    ("both made when the first rotation announced a key", [Announced, Announced]),
    ("1 in the secret, 2 named by the intent", [Managed, Named]),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    Used,
    Never,
    Unknown,
}

/// Every state of one key.
const STATES: [(bool, Use); 6] = [
    (true, Use::Used),
    (true, Use::Never),
    (true, Use::Unknown),
    (false, Use::Used),
    (false, Use::Never),
    (false, Use::Unknown),
];

fn name((active, last_use): (bool, Use)) -> String {
    let status = if active { "active" } else { "inactive" };
    let last_use = match last_use {
        Use::Used => "used",
        Use::Never => "never",
        Use::Unknown => "unknown",
    };
    format!("{status} {last_use}")
}

/// One state of two keys.
#[derive(Debug)]
struct Case {
    parts: [Part; 2],
    states: [(bool, Use); 2],
    force: bool,
}

fn number(n: usize) -> u8 {
    [1, 2][n]
}

impl Case {
    fn key(&self, n: usize) -> UserKey {
        let (active, last_use) = self.states[n];
        let status = if active { KeyStatus::Active } else { KeyStatus::Inactive };
        let last_use = match (last_use, self.parts[n]) {
            (Use::Never, _) => LastUse::Never,
            (Use::Unknown, _) => LastUse::Unknown("throttled".to_owned()),
            // By its own test.
            (Use::Used, Pending) => used("sts", TimeDelta::days(40)),
            (Use::Used, _) => used("s3", TimeDelta::days(30)),
        };
        let both_announced = self.parts == [Announced, Announced];
        UserKey { last_use, ..key(number(n), status, if both_announced { 50 } else { [95, 50][n] }) }
    }

    fn place(&self, is: impl Fn(Part) -> bool) -> Option<usize> {
        self.parts.iter().position(|part| is(*part))
    }

    fn managed(&self) -> Option<usize> {
        self.place(|part| part == Managed)
    }

    fn state(&self) -> State {
        let day = |ago| now() - TimeDelta::days(ago);
        let mut state = State { managed: true, version: Some(version(1)), force: self.force, ..State::default() };
        for (n, part) in self.parts.into_iter().enumerate() {
            let (id, active) = (id(number(n)), self.states[n].0);
            match part {
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
                    state.intent = Some(if part == Named { intent.naming(&id) } else { intent });
                }
            }
        }
        state
    }

    fn decide(&self) -> Decision {
        let (keys, state) = ([self.key(0), self.key(1)], self.state());
        let in_value = self.managed().map(|n| id(number(n)));
        let announced = self.place(|part| part == Pending).map(|n| id(number(n)));
        Slots {
            keys: &keys,
            state: &state,
            current_version: Some(&version(1)),
            in_value: in_value.as_ref(),
            in_versions: &[],
            announced: announced.as_ref(),
            recovery_grace: TimeDelta::days(10),
            now: now(),
        }
        .decide()
    }

    fn is_active(&self, n: usize) -> bool {
        self.states[n].0
    }

    fn last_use(&self, n: usize) -> Use {
        self.states[n].1
    }

    /// The key that a rotation made and nobody has.
    fn orphan(&self) -> Option<usize> {
        let one = self.parts != [Announced, Announced];
        self.place(|part| matches!(part, Pending | Announced | Named)).filter(|n| {
            let tested = self.parts[*n] == Pending && self.last_use(*n) == Use::Used;
            one && (tested || self.last_use(*n) == Use::Never)
        })
    }
}

/// The number of the key that goes, if one does, or none is made; and why.
#[derive(Debug, PartialEq, Eq)]
enum Expected {
    Goes(usize),
    NoKeyIsMade,
    Refused,
}

fn expected(case: &Case) -> (Expected, &'static str) {
    use Expected::{Goes, NoKeyIsMade, Refused};
    let orphan = case.orphan();
    if !(0..2).any(|n| case.is_active(n) && Some(n) != orphan) {
        return (NoKeyIsMade, "no active key that somebody has: nothing is made for this user");
    }
    if let Some(orphan) = orphan {
        return (Goes(orphan), "a rotation made it and nobody has it");
    }
    let inactive = (0..2).find(|n| !case.is_active(*n));
    if case.force {
        return forced(case, inactive);
    }
    let Some(inactive) = inactive else { return (Refused, "both are active: no active key is removed") };
    match (case.parts[inactive], case.last_use(inactive)) {
        (Replaced(20) | Leaving(20), Use::Unknown) => (Refused, "its last use is not known, so that it may be needed"),
        (Replaced(20) | Leaving(20), _) => (Goes(inactive), "keywheel disabled it, and its recovery period is over"),
        (Replaced(_) | Leaving(_), _) => (Refused, "it can be recovered still"),
        _ => (Refused, "a person disabled it: it is theirs"),
    }
}

/// An incident: the other key goes at once, whatever it is used for.
fn forced(case: &Case, inactive: Option<usize>) -> (Expected, &'static str) {
    use Expected::{Goes, Refused};
    if let Some(inactive) = inactive {
        return (Goes(inactive), "by order: the one that works stays");
    }
    if let Some(managed) = case.managed() {
        return (Goes(1 - managed), "by order: the one in the secret stays");
    }
    match (case.last_use(0), case.last_use(1)) {
        (Use::Unknown, _) | (_, Use::Unknown) => {
            (Refused, "the secret holds neither, and which one is used is not known")
        }
        (Use::Used, Use::Used) => (Refused, "the secret holds neither, and both are used"),
        (Use::Used, Use::Never) => (Goes(1), "by order: the one that is used stays"),
        (Use::Never, _) => (Goes(0), "by order: the one that is used or, where neither is, the newer stays"),
    }
}

/// What holds in every row, whatever the rules say.
fn check(case: &Case, decision: &Decision) {
    let Decision::Remove(removed) = decision else { return };
    assert_eq!(removed.len(), 1, "both slots are taken, and one is enough: {case:?}");
    let n = usize::from(removed[0] == id(2));
    assert!(case.is_active(1 - n), "a key that works stays: {case:?}");
    let by_order = case.force && case.orphan().is_none();
    assert!(by_order || !case.is_active(n) || case.orphan() == Some(n), "no active key is removed: {case:?}");
    assert!(by_order || case.last_use(n) != Use::Unknown, "unknown is not no: {case:?}");
    assert!(case.managed() != Some(n) || (by_order && !case.is_active(n)), "readers' key stays: {case:?}");
    let is_a_persons = matches!(case.parts[n], Foreign) || case.parts == [Announced, Announced];
    assert!(by_order || !is_a_persons, "a person's key goes by order alone: {case:?}");
}

fn square(table: &mut String, parts: [Part; 2], force: bool) {
    let mut letters: BTreeMap<(String, &str), char> = BTreeMap::new();
    let mut legend = String::new();
    write!(table, "\n  {:16}", "1 \\ 2").expect("text");
    for newer in STATES {
        write!(table, "{:>17}", name(newer)).expect("text");
    }
    for older in STATES {
        write!(table, "\n  {:16}", name(older)).expect("text");
        for newer in STATES {
            let case = Case { parts, states: [older, newer], force };
            let decision = case.decide();
            check(&case, &decision);
            let (expected, why) = expected(&case);
            let (decided, found) = match decision {
                Decision::NoActiveKey => ("no key is made".to_owned(), Expected::NoKeyIsMade),
                Decision::NoFreeSlot(why) => (format!("refused: {why}"), Expected::Refused),
                Decision::Remove(ids) => {
                    let n = usize::from(ids[0] == id(2));
                    (format!("{} is disabled, where active, and deleted", n + 1), Expected::Goes(n))
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
    for (title, parts) in PARTS {
        for (force, order) in [(false, ""), (true, "; forced")] {
            write!(table, "\n## {title}{order}").expect("text");
            square(&mut table, parts, force);
        }
    }
    insta::with_settings!({ snapshot_path => "../snapshots", prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("every_state_of_two_keys", table);
    });
}
