//! Every state of two keys, with what is decided and why.
//!
//! The rules below state the expected decisions independently of the plan. The snapshot is for readers: a square for
//! each pair of roles that two keys can have, and a legend of the decisions.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::checks::check_plan;
use super::*;
use crate::lifecycle::{Action, UserPlan};

/// The role of a key for the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeyPart {
    /// A rotation made it, tested it and put it into the secret.
    Managed,
    /// A person made it.
    Foreign,
    /// The last rotation replaced it.
    Replaced,
    /// A rotation that is under way made it.
    Pending,
    /// It was made when a rotation announced a key that it could not put into the secret.
    Announced,
}

/// The secret, if it holds no key that a rotation made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Store {
    NoSecret,
    Placeholder,
    /// A person put a value with an unknown key.
    AnothersValue,
    Rotated,
}

use KeyPart::{Announced, Foreign, Managed, Pending, Replaced};

const PARTS: [(&str, Store, [KeyPart; 2]); 15] = [
    ("no secret yet", Store::NoSecret, [Foreign, Foreign]),
    ("a placeholder in the secret", Store::Placeholder, [Foreign, Foreign]),
    ("somebody else's value in the secret", Store::AnothersValue, [Foreign, Foreign]),
    ("1 in the secret, 2 a person's", Store::Rotated, [Managed, Foreign]),
    ("1 a person's, 2 in the secret", Store::Rotated, [Foreign, Managed]),
    ("1 replaced by a rotation, 2 in the secret", Store::Rotated, [Replaced, Managed]),
    ("1 in the secret, 2 replaced by a rotation", Store::Rotated, [Managed, Replaced]),
    ("1 in the secret, 2 of a rotation under way", Store::Rotated, [Managed, Pending]),
    ("1 of a rotation under way, 2 in the secret", Store::Rotated, [Pending, Managed]),
    ("1 in the secret, 2 announced and not in it", Store::Rotated, [Managed, Announced]),
    ("1 announced and not in the secret, 2 in it", Store::Rotated, [Announced, Managed]),
    ("1 a person's, 2 of the first rotation, under way", Store::Placeholder, [Foreign, Pending]),
    ("1 of the first rotation, under way, 2 a person's", Store::Placeholder, [Pending, Foreign]),
    ("1 a person's, 2 announced by the first rotation", Store::Placeholder, [Foreign, Announced]),
    ("1 announced by the first rotation, 2 a person's", Store::Placeholder, [Announced, Foreign]),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum UseOnRecord {
    Used,
    Never,
    Unknown,
}

/// Every state of one key.
const STATES: [(bool, UseOnRecord); 6] = [
    (true, UseOnRecord::Used),
    (true, UseOnRecord::Never),
    (true, UseOnRecord::Unknown),
    (false, UseOnRecord::Used),
    (false, UseOnRecord::Never),
    (false, UseOnRecord::Unknown),
];

fn name((active, last_use): (bool, UseOnRecord)) -> String {
    let status = if active { "active" } else { "inactive" };
    let last_use = match last_use {
        UseOnRecord::Used => "used",
        UseOnRecord::Never => "never",
        UseOnRecord::Unknown => "unknown",
    };
    format!("{status} {last_use}")
}

/// One state of two keys.
#[derive(Debug)]
struct KeyPair {
    store: Store,
    parts: [KeyPart; 2],
    states: [(bool, UseOnRecord); 2],
    /// Whether both keys are past their rotation period; otherwise neither is near it.
    due: bool,
}

impl KeyPair {
    fn age(&self, n: usize) -> TimeDelta {
        match (self.parts, n, self.due) {
            ([_, Pending | Announced], 1, _) => days(1),
            (_, 0, true) => days(180),
            (_, 0, false) => days(65),
            (_, _, true) => days(95),
            (_, _, false) => days(40),
        }
    }

    fn key(&self, n: usize) -> KeyFacts {
        let (active, last_use) = self.states[n];
        let key = key([1, 2][n], self.age(n));
        let key = if active { key } else { key.inactive() };
        match (last_use, self.parts[n]) {
            (UseOnRecord::Never, _) => key,
            (UseOnRecord::Unknown, _) => key.unknown(),
            // By its own test.
            (UseOnRecord::Used, Pending) => {
                let service = "sts".to_owned();
                let time = now() - TimeDelta::hours(1);
                KeyFacts { last_use: LastUse::At(KeyUse { time, service, region: "us-east-1".to_owned() }), ..key }
            }
            (UseOnRecord::Used, Announced) => key.used(TimeDelta::hours(1)),
            (UseOnRecord::Used, _) => key.used(days(30)),
        }
    }

    fn place(&self, part: KeyPart) -> Option<usize> {
        self.parts.iter().position(|it| *it == part)
    }

    fn secret(&self) -> Option<PresentSecret> {
        let number = |n: usize| [1, 2][n];
        let announced = self.place(Pending).or(self.place(Announced));
        let secret = match self.store {
            Store::NoSecret => return None,
            Store::AnothersValue => placeholder(1).state(|state| state.current_key = None),
            // The first rotation names the key that it found.
            Store::Placeholder => placeholder(number(announced.map_or(1, |n| 1 - n))),
            Store::Rotated => {
                let managed = self.place(Managed).expect("one key is in the secret");
                let replaced = self.place(Replaced);
                let since = self.age(managed);
                let secret =
                    rotated(number(managed), replaced.map(number), since).sent(number(managed), &[Phase::Rotated]);
                // Disabled after its grace, and its recovery period is over.
                let was_disabled = replaced.is_some_and(|n| !self.states[n].0);
                if was_disabled { secret.disabled(days(25)) } else { secret }
            }
        };
        let secret = match announced {
            Some(n) => secret.intent(2, self.age(n)),
            None => secret,
        };
        Some(if self.place(Pending).is_some() { secret.unfinished(2) } else { secret })
    }

    fn facts(&self) -> UserFacts {
        let facts = user([self.key(0), self.key(1)]);
        match self.secret() {
            Some(secret) => facts.with(secret),
            None => facts,
        }
    }

    fn is_active(&self, n: usize) -> bool {
        self.states[n].0
    }

    fn last_use(&self, n: usize) -> UseOnRecord {
        self.states[n].1
    }

    fn is_due(&self, n: usize) -> bool {
        self.age(n) >= periods().rotation
    }

    fn is_known(&self, n: usize) -> bool {
        self.last_use(n) != UseOnRecord::Unknown
    }
}

/// Returns the expected decisions, keys by their numbers, and the reason.
type ExpectedPlan = (String, &'static str);

fn expected(case: &KeyPair) -> ExpectedPlan {
    let say = |verb: &str, n: usize| format!("{verb} {}", n + 1);
    let Some(working) = (0..2).find(|n| case.is_active(*n)) else {
        let cancel = if case.store == Store::NoSecret { "" } else { "cancel" };
        return (cancel.to_owned(), "the user has no active key: nothing is made and nothing destroyed");
    };
    let rotations_own =
        case.place(Pending).or(case.place(Announced).filter(|n| case.last_use(*n) == UseOnRecord::Never));
    if let Some(own) = rotations_own {
        let other = 1 - own;
        return match (case.is_active(other), case.is_due(other)) {
            (false, _) => ("problem".to_owned(), "the only active key is one that nobody has: a person has to act"),
            (true, true) if case.place(Pending).is_some() && case.is_known(own) && case.age(own) >= days(4) => (
                format!("abandon the unfinished rotation of version {}, {}", version(2), say("rotate", other)),
                "the rotation makes no progress: another one begins and clears its key away",
            ),
            (true, true) => (say("rotate", other), "the rotation is repeated and clears its own key away"),
            (true, false) => {
                (String::new(), "nothing is due, and the key that nobody has is the rotation's to clear away")
            }
        };
    }
    let is_in_doubt = case.place(Announced).is_some_and(|n| !case.is_known(n));
    let (decided, why) = of_two_keys(case, working);
    match (is_in_doubt, decided.as_str()) {
        (false, _) => (decided, why),
        (true, "" | "problem") => {
            ("problem".to_owned(), "whether nobody has the announced key is not known: it is no orphan")
        }
        (true, _) => (
            format!("{decided}, problem"),
            "not known to be an orphan, so that it is a person's; and a person is asked",
        ),
    }
}

/// The decisions if no key is known to be an orphan.
fn of_two_keys(case: &KeyPair, working: usize) -> ExpectedPlan {
    let say = |verb: &str, n: usize| format!("{verb} {}", n + 1);
    if let Some(managed) = case.place(Managed).filter(|n| case.is_active(*n)) {
        let other = 1 - managed;
        return match (case.parts[other], case.is_active(other), case.is_known(other)) {
            (Replaced, _, false) => ("problem".to_owned(), "its last use is not known: it is left as it is"),
            (Replaced, true, true) => (say("disable", other), "replaced, and its installation grace is over"),
            (Replaced, false, true) if case.is_due(managed) => (
                format!("{}, {}", say("delete", other), say("rotate", managed)),
                "recovery is over; its slot is needed at once",
            ),
            (Replaced, false, true) => (say("delete", other), "replaced and disabled, and its recovery period is over"),
            _ if case.is_due(managed) => {
                (say("retire", other), "the key in the secret is due and needs the other's slot")
            }
            _ => (String::new(), "a person's key stays until its slot is needed"),
        };
    }
    if !case.is_due(working) {
        return (String::new(), "nothing is due");
    }
    if !case.is_active(1 - working) {
        return (
            say("retire", 1 - working),
            "the other one is due and needs its slot, and nothing uses an inactive key",
        );
    }
    if case.store == Store::AnothersValue {
        return ("problem".to_owned(), "not known which key readers get: both are left");
    }
    match (case.last_use(0), case.last_use(1)) {
        (UseOnRecord::Unknown, _) | (_, UseOnRecord::Unknown) => {
            ("problem".to_owned(), "not known which one is in use: both are left")
        }
        (UseOnRecord::Used, UseOnRecord::Never) => {
            (say("retire", 1), "nothing was tested; the one that is in use stays")
        }
        _ => (say("retire", 0), "nothing was tested, and use tells nothing: the older one goes"),
    }
}

/// Returns the plan in the words of the rules.
fn outcome(plan: &UserPlan) -> String {
    let number = |key: &AccessKeyId| if *key == id(1) { 1 } else { 2 };
    let actions = plan.actions.iter().filter_map(|action| match action {
        Action::Retire { key, .. } => Some(format!("retire {}", number(key))),
        Action::Disable { key } => Some(format!("disable {}", number(key))),
        Action::Delete { key } => Some(format!("delete {}", number(key))),
        Action::Rotate { key, .. } => Some(format!("rotate {}", number(key))),
        Action::CancelSchedule(_) => Some("cancel".to_owned()),
        Action::Provision { .. } => None,
        other => Some(other.to_string()),
    });
    let problem = (!plan.problems.is_empty()).then(|| "problem".to_owned());
    actions.chain(problem).collect::<Vec<_>>().join(", ")
}

/// Asserts what holds in every row, independently of the rules.
fn check(case: &KeyPair, plan: &UserPlan) {
    let facts = case.facts();
    check_plan(&facts, plan, &periods(), now());
    for action in &plan.actions {
        let (Action::Disable { key } | Action::Delete { key }) = action else { continue };
        let n = usize::from(*key == id(2));
        assert_eq!(case.parts[n], Replaced, "only what a rotation replaced is destroyed without an announcement");
        assert!(case.is_known(n) && case.is_active(1 - n), "unknown is not no, and another key works: {case:?}");
        assert!(!case.is_active(n) || matches!(action, Action::Disable { .. }), "no active key is deleted: {case:?}");
        assert_eq!(case.parts[1 - n], Managed, "what stays was tested: {case:?}");
    }
}

fn square(table: &mut String, store: Store, parts: [KeyPart; 2], due: bool) {
    let mut letters: BTreeMap<(String, &str), char> = BTreeMap::new();
    let mut legend = String::new();
    write!(table, "\n  {:16}", "1 \\ 2").expect("text");
    for newer in STATES {
        write!(table, "{:>17}", name(newer)).expect("text");
    }
    for older in STATES {
        write!(table, "\n  {:16}", name(older)).expect("text");
        for newer in STATES {
            let case = KeyPair { store, parts, states: [older, newer], due };
            let facts = case.facts();
            let plan = plan(&facts, &periods(), now());
            check(&case, &plan);
            let (keys, why) = expected(&case);
            assert_eq!(outcome(&plan), keys, "{why}: {case:?}\n{plan}");
            let decided = decide(&facts);
            let next = char::from(b'A' + u8::try_from(letters.len()).expect("few decisions"));
            let letter = *letters.entry((decided.clone(), why)).or_insert_with(|| {
                let decided = if decided.is_empty() { "nothing" } else { &decided };
                write!(legend, "\n  {next}: {why}\n     {}", decided.replace(" | ", "\n     ")).expect("text");
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
    for (title, store, parts) in PARTS {
        for (due, ages) in [(false, "neither is due"), (true, "both are past the period")] {
            write!(table, "\n## {title}; {ages}").expect("text");
            square(&mut table, store, parts, due);
        }
    }
    insta::with_settings!({ snapshot_path => "../snapshots", prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("every_state_of_two_keys", table);
    });
}
