//! What must hold, with its letter: the invariants a to i, and what belongs to them.

/// The rules and their words.
pub const RULES: [(char, &str); 15] = [
    ('a', "no active key is ever deleted; disable comes first"),
    ('b', "no key is deleted before its whole recovery period has passed"),
    ('c', "while something is unknown, nothing is destroyed"),
    ('d', "an old key is disabled only when a newer, tested one can be used"),
    ('e', "one key per rotation at most, and each is in its secret, or gone"),
    ('f', "nothing is made or enabled for a user whose keys are all inactive"),
    ('g', "one user's error never stops another's work"),
    ('h', "the plan of a dry run is the plan that is enforced"),
    ('i', "never more than two keys, and never none that works because of us"),
    ('k', "exempt users are left alone"),
    ('l', "a dry run changes nothing"),
    ('n', "owners are told before a key is disabled, and before it is deleted"),
    ('p', "a key whose disabling is written down gets its whole grace again where a person enables it"),
    ('s', "no secret of a user who is there is given up"),
    ('z', "after a calm time everything is in order"),
];

/// A rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    DisabledFirst,
    Recovery,
    Unknown,
    Successor,
    OnePerToken,
    NothingMinted,
    Isolation,
    SamePlan,
    TwoKeys,
    Exempt,
    DryRun,
    Told,
    Heeded,
    SecretKept,
    InOrder,
}

impl Rule {
    /// Its letter in [`RULES`].
    pub(super) fn letter(self) -> char {
        match self {
            Self::DisabledFirst => 'a',
            Self::Recovery => 'b',
            Self::Unknown => 'c',
            Self::Successor => 'd',
            Self::OnePerToken => 'e',
            Self::NothingMinted => 'f',
            Self::Isolation => 'g',
            Self::SamePlan => 'h',
            Self::TwoKeys => 'i',
            Self::Exempt => 'k',
            Self::DryRun => 'l',
            Self::Told => 'n',
            Self::Heeded => 'p',
            Self::SecretKept => 's',
            Self::InOrder => 'z',
        }
    }
}
