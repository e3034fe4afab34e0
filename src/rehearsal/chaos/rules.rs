//! The rules that random runs check: the invariants `a` to `i` of the rehearsal, and six more.

/// Each rule's letter and its text, as the command line prints them.
pub const RULES: [(char, &str); 15] = [
    ('a', "no active key is deleted; it is disabled first"),
    ('b', "no key is deleted before its whole recovery grace has passed"),
    ('c', "no key is disabled or deleted while a fact about it is unknown"),
    ('d', "an old key is disabled only when a newer, tested key works"),
    ('e', "a rotation makes at most one key, which is in its secret or deleted"),
    ('f', "no key is made or enabled for a user whose keys are all inactive"),
    ('g', "a failure for one user never stops the work for others"),
    ('h', "a dry run plans exactly what the next run does"),
    ('i', "keywheel leaves no user with three keys or without a working key"),
    ('k', "no key of an exempt user is changed"),
    ('l', "a dry run changes nothing"),
    ('n', "owners get a notice before a key is disabled and before it is deleted"),
    ('p', "a key that a person enables again gets its whole grace again, if its disabling was recorded"),
    ('s', "no secret of an existing user in an open account is marked for deletion"),
    ('z', "after a calm period everything is in order"),
];

/// One of [`RULES`], for the code that checks it.
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
    /// The letter under which [`RULES`] lists it.
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
