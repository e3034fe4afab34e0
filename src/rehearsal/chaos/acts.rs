//! The acts of a story: what people, other tools and AWS do, and how often.

use std::fmt;
use std::time::Duration;

use chrono::TimeDelta;
use fastrand::Rng;

use super::cast::ShardAccount;
use super::trouble;
use crate::model::{Fault, KmsKeyState, Switches};
use crate::rehearsal::deployment::{Clocks, PRIMARY_ACCOUNT};

/// A number that selects one of a user's keys, modulo their count.
type Which = usize;

/// A value that a person puts into a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Put {
    /// The id and secret of one of the user's keys, as another tool stores them.
    OwnKey(Which),
    /// Text that is no key.
    Rubbish,
    /// A value of keywheel's form that names another user.
    AnothersValue,
}

/// One thing that happens in a story.
#[derive(Clone, Debug)]
pub(super) enum Act {
    MakeKey,
    DisableKey(Which),
    EnableKey(Which),
    DeleteKey(Which),
    UseKey(Which),
    JoinExempt,
    LeaveExempt,
    DeleteUser,
    RenameUser,
    MakeUserAgain,
    TagOwner(&'static str),
    LeaveReaders,
    FillGroups,
    PutValue(Put),
    RollBack,
    CancelRotation,
    RotateNow,
    Force,
    RemoveTag(Which),
    SpoilTag(Which),
    RemoveSpoiledTags,
    DeleteSecret,
    PurgeSecret,
    RestoreSecret,
    RemovePending,
    SpoilPolicy,
    SpoilSchedule,
    RemoveRole {
        account: String,
        rotation: bool,
    },
    RestoreRoles {
        account: String,
    },
    Suspend {
        account: String,
    },
    Reopen {
        account: String,
    },
    LeaveOrganization {
        account: String,
    },
    JoinOrganization {
        account: String,
    },
    SetKmsKey(KmsKeyState),
    DeleteGroup {
        account: String,
        readers: bool,
    },
    MakeGroups {
        account: String,
    },
    Behave(Box<Switches>),
    MailDown,
    MailUp,
    Fault {
        fault: Fault,
        lasts: TimeDelta,
    },
    StormBegins {
        most_ms: u64,
    },
    StormEnds,
    SetClocks(Clocks),
    Deploy(Vec<(&'static str, String)>),
    Sweep,
    /// A sweep in a calm period. Its result is judged as a whole, so that a story is never shortened by it.
    CalmSweep,
    SweeperDown,
    SweeperUp,
    CalmBegins,
    FollowAdvice,
    CalmEnds,
    /// keywheel deletes a key that is in use, for the test that the judge finds it.
    #[cfg(test)]
    Sabotage,
}

impl Act {
    /// Whether the act removes or outdates the facts in the secret's tags.
    pub(super) fn changes_facts(&self) -> bool {
        matches!(
            self,
            Self::RemoveTag(_)
                | Self::SpoilTag(_)
                | Self::RemoveSpoiledTags
                | Self::PutValue(_)
                | Self::RollBack
                | Self::DeleteSecret
                | Self::PurgeSecret
        )
    }

    /// Whether the act belongs to a calm period, which is judged as a whole.
    pub(super) fn is_of_calm(&self) -> bool {
        matches!(self, Self::CalmBegins | Self::CalmSweep | Self::FollowAdvice | Self::CalmEnds)
    }

    /// The name under which the act is counted and traced.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::MakeKey => "key made by hand",
            Self::DisableKey(_) => "key disabled by hand",
            Self::EnableKey(_) => "key enabled by hand",
            Self::DeleteKey(_) => "key deleted by hand",
            Self::UseKey(_) => "key used once",
            Self::JoinExempt => "user made exempt",
            Self::LeaveExempt => "user exempt no more",
            Self::DeleteUser => "user deleted",
            Self::RenameUser => "user renamed",
            Self::MakeUserAgain => "user made again",
            Self::TagOwner(_) => "owner tag changed",
            Self::LeaveReaders => "reader taken out of the group",
            Self::FillGroups => "user put into ten groups",
            Self::PutValue(_) => "value put by hand",
            Self::RollBack => "secret rolled back",
            Self::CancelRotation => "rotation cancelled",
            Self::RotateNow => "rotated by hand",
            Self::Force => "rotated by force",
            Self::RemoveTag(_) => "state tag removed",
            Self::SpoilTag(_) => "state tag spoiled",
            Self::RemoveSpoiledTags => "spoiled tags removed",
            Self::DeleteSecret => "secret deleted",
            Self::PurgeSecret => "secret deleted without recovery",
            Self::RestoreSecret => "secret restored",
            Self::RemovePending => "pending label removed",
            Self::SpoilPolicy => "resource policy changed",
            Self::SpoilSchedule => "schedule changed",
            Self::RemoveRole { .. } => "member role removed",
            Self::RestoreRoles { .. } => "member roles restored",
            Self::Suspend { .. } => "account suspended",
            Self::Reopen { .. } => "account reopened",
            Self::LeaveOrganization { .. } => "account left the organization",
            Self::JoinOrganization { .. } => "account joined again",
            Self::SetKmsKey(KmsKeyState::Enabled) => "KMS key repaired",
            Self::SetKmsKey(_) => "KMS key out of use",
            Self::DeleteGroup { .. } => "group deleted",
            Self::MakeGroups { .. } => "groups made again",
            Self::Behave(_) => "AWS behaves differently",
            Self::MailDown => "mail down",
            Self::MailUp => "mail up",
            Self::Fault { .. } => "fault planted",
            Self::StormBegins { .. } => "storm",
            Self::StormEnds => "storm over",
            Self::SetClocks(_) => "clocks set wrong",
            Self::Deploy(_) => "settings deployed",
            Self::Sweep | Self::CalmSweep => "sweep",
            Self::SweeperDown => "sweeper down",
            Self::SweeperUp => "sweeper up",
            Self::CalmBegins => "calm begins",
            Self::FollowAdvice => "advice followed",
            Self::CalmEnds => "calm judged",
            #[cfg(test)]
            Self::Sabotage => "sabotage",
        }
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::DisableKey(which) | Self::EnableKey(which) | Self::DeleteKey(which) | Self::UseKey(which) => {
                write!(f, ": key {which}")
            }
            Self::RemoveTag(which) | Self::SpoilTag(which) => write!(f, ": the first from {} on", tag_name(*which)),
            Self::TagOwner(owner) => write!(f, ": `{owner}`"),
            Self::PutValue(put) => write!(f, ": {put:?}"),
            Self::RemoveRole { account, rotation } => {
                write!(f, ": the {} role in {account}", if *rotation { "rotation function's" } else { "sweeper's" })
            }
            Self::DeleteGroup { account, readers } => {
                write!(f, ": {} in {account}", if *readers { "readers" } else { "exemptions" })
            }
            Self::RestoreRoles { account }
            | Self::Suspend { account }
            | Self::Reopen { account }
            | Self::LeaveOrganization { account }
            | Self::JoinOrganization { account }
            | Self::MakeGroups { account } => write!(f, ": {account}"),
            Self::Fault { fault, lasts } => {
                let Fault { service, operation, account, about, nth, kind } = fault;
                let whose = account.as_deref().or(about.as_deref()).unwrap_or("anybody");
                write!(f, ": {service}:{operation} for {whose}, {nth:?}, {kind:?}, for {} min", lasts.num_minutes())
            }
            Self::StormBegins { most_ms } => write!(f, ": every call takes up to {most_ms} ms"),
            Self::SetClocks(clocks) => {
                let (sweeper, rotation) = (clocks.sweeper.num_seconds(), clocks.rotation.num_seconds());
                write!(f, ": sweeper {sweeper} s, rotation function {rotation} s")
            }
            Self::Deploy(settings) => settings.iter().try_for_each(|(name, value)| write!(f, " {name}={value}")),
            Self::SetKmsKey(state) => write!(f, ": {state:?}"),
            Self::Behave(switches) => write!(f, ": {switches:?}"),
            _ => Ok(()),
        }
    }
}

/// The state tags that people remove and spoil.
pub(super) fn tag_name(which: Which) -> &'static str {
    use crate::state::tag;
    const TAGS: [&str; 9] = [
        tag::MANAGED,
        tag::VERSION,
        tag::CURRENT_KEY,
        tag::PREVIOUS_KEY,
        tag::ROTATED_AT,
        tag::DISABLED_AT,
        tag::RETIRING,
        tag::INTENT,
        tag::NOTIFIED,
    ];
    TAGS[which % TAGS.len()]
}

/// How often an act happens in 100,000 days of one user, and the act.
type Frequency = (u32, fn(&mut Rng) -> Act);

fn which(rng: &mut Rng) -> Which {
    rng.usize(..1000)
}

const OF_USER: [Frequency; 27] = [
    (400, |_| Act::MakeKey),
    (400, |rng| Act::DisableKey(which(rng))),
    (500, |rng| Act::EnableKey(which(rng))),
    (200, |rng| Act::DeleteKey(which(rng))),
    (400, |rng| Act::UseKey(which(rng))),
    (150, |_| Act::JoinExempt),
    (700, |_| Act::LeaveExempt),
    (80, |_| Act::DeleteUser),
    (1500, |_| Act::MakeUserAgain),
    (100, |rng| {
        Act::TagOwner(rng.choice(["", "nobody", "jo@example.com", "a@example.com b@example.com"]).unwrap_or(""))
    }),
    (100, |_| Act::LeaveReaders),
    (60, |_| Act::FillGroups),
    (50, |rng| Act::PutValue(Put::OwnKey(which(rng)))),
    (30, |_| Act::PutValue(Put::Rubbish)),
    (20, |_| Act::PutValue(Put::AnothersValue)),
    (100, |_| Act::RollBack),
    (100, |_| Act::CancelRotation),
    (200, |_| Act::RotateNow),
    (80, |_| Act::Force),
    (200, |rng| Act::RemoveTag(which(rng))),
    (80, |rng| Act::SpoilTag(which(rng))),
    (1500, |_| Act::RemoveSpoiledTags),
    (60, |rng| if rng.bool() { Act::DeleteSecret } else { Act::PurgeSecret }),
    (300, |_| Act::RestoreSecret),
    (100, |_| Act::RemovePending),
    (100, |rng| if rng.bool() { Act::SpoilPolicy } else { Act::SpoilSchedule }),
    (40, |_| Act::RenameUser),
];

fn drawn(rng: &mut Rng, point: u32) -> Option<Act> {
    let mut below = 0;
    OF_USER.iter().find_map(|(rate, act)| {
        below += rate;
        (point < below).then(|| act(rng))
    })
}

/// The act of one user's day; most days have none.
pub(super) fn of_user(rng: &mut Rng) -> Option<Act> {
    let point = rng.u32(..100_000);
    drawn(rng, point)
}

/// Draws an act, by their frequencies.
pub(super) fn any_of_user(rng: &mut Rng) -> Act {
    let all: u32 = OF_USER.iter().map(|(rate, _)| rate).sum();
    let point = rng.u32(..all);
    drawn(rng, point).unwrap_or(Act::MakeKey)
}

/// Passes each act of one day of a shard to `tell`, with its second of the day.
pub(super) fn of_shard(rng: &mut Rng, accounts: &[ShardAccount], tell: &mut dyn FnMut(i64, Act)) {
    let mut now_and_then = |rng: &mut Rng, in_a_thousand: u32, act: &mut dyn FnMut(&mut Rng) -> Act| {
        if rng.u32(..1000) < in_a_thousand {
            let second = rng.i64(0..86_400);
            tell(second, act(rng));
        }
    };
    now_and_then(rng, 8, &mut |rng| deploy(rng));
    now_and_then(rng, 25, &mut |rng| Act::Behave(Box::new(trouble::behaviour(rng))));
    now_and_then(rng, 10, &mut |_| Act::MailDown);
    now_and_then(rng, 120, &mut |_| Act::MailUp);
    now_and_then(rng, 12, &mut |rng| Act::SetClocks(clocks(rng)));
    now_and_then(rng, 20, &mut |rng| trouble::blindness(rng));
    for _ in 0..2 {
        now_and_then(rng, 120, &mut |rng| trouble::fault(rng, accounts));
    }
    now_and_then(rng, 3, &mut |rng| {
        let states = [KmsKeyState::Disabled, KmsKeyState::PendingDeletion, KmsKeyState::Denied];
        Act::SetKmsKey(states[rng.usize(..states.len())])
    });
    now_and_then(rng, 200, &mut |_| Act::SetKmsKey(KmsKeyState::Enabled));
    for ShardAccount { id } in accounts {
        let account = || id.clone();
        now_and_then(rng, 3, &mut |rng| Act::DeleteGroup { account: account(), readers: rng.bool() });
        now_and_then(rng, 60, &mut |_| Act::MakeGroups { account: account() });
        if id != PRIMARY_ACCOUNT {
            now_and_then(rng, 4, &mut |rng| Act::RemoveRole { account: account(), rotation: rng.bool() });
            now_and_then(rng, 80, &mut |_| Act::RestoreRoles { account: account() });
            now_and_then(rng, 2, &mut |_| Act::Suspend { account: account() });
            now_and_then(rng, 60, &mut |_| Act::Reopen { account: account() });
            now_and_then(rng, 2, &mut |_| Act::LeaveOrganization { account: account() });
            now_and_then(rng, 60, &mut |_| Act::JoinOrganization { account: account() });
        }
    }
}

fn clocks(rng: &mut Rng) -> Clocks {
    let skew = |rng: &mut Rng| if rng.bool() { TimeDelta::zero() } else { TimeDelta::seconds(rng.i64(-300..=300)) };
    Clocks { sweeper: skew(rng), rotation: skew(rng) }
}

/// Rotation period, installation grace, recovery grace and warning, in days, as organizations choose them.
const PERIODS: [[&str; 4]; 7] = [
    ["90", "10", "10", "7"],
    ["80", "10", "10", "7"],
    ["30", "5", "5", "3"],
    ["45", "14", "7", "10"],
    ["14", "3", "3", "2"],
    ["20", "0", "1", "0"],
    ["180", "30", "30", "14"],
];

/// A deployment with other settings.
pub(super) fn deploy(rng: &mut Rng) -> Act {
    let periods = PERIODS[rng.usize(..PERIODS.len())];
    let mut settings = with_periods(periods);
    let mut set = |name, value: &str| settings.push((name, value.to_owned()));
    set("DRY_RUN_FLAG", if rng.u32(..10) == 0 { "true" } else { "false" });
    set("CHANGES_PER_RUN", rng.choice(["0", "1", "3", "25"]).unwrap_or("25"));
    set("MAX_CONCURRENCY", rng.choice(["1", "4", "16"]).unwrap_or("16"));
    if rng.u32(..10) == 0 {
        set("IAM_EXEMPTION_GROUP", "SomeOtherGroup");
    }
    if rng.u32(..10) == 0 {
        set("READER_GROUP", "");
    }
    if rng.u32(..5) == 0 {
        set("RESOURCE_OWNER_TAG", "");
    }
    // The model's SES and its policy of tags follow these two.
    if rng.u32(..3) == 0 {
        set("SES_REGION", "eu-central-1");
    }
    if rng.u32(..3) == 0 {
        set("SECRET_TAGS", "team=platform");
    }
    Act::Deploy(settings)
}

/// The settings of a calm period: so short that a key's whole life fits into it.
pub(super) fn calm_settings() -> Vec<(&'static str, String)> {
    with_periods(["20", "4", "4", "3"])
}

fn with_periods([rotation, installation, recovery, warn]: [&str; 4]) -> Vec<(&'static str, String)> {
    vec![
        ("ROTATION_PERIOD", rotation.to_owned()),
        ("INSTALLATION_GRACE_PERIOD", installation.to_owned()),
        ("RECOVERY_GRACE_PERIOD", recovery.to_owned()),
        ("PENDING_ACTION_WARN_PERIOD", warn.to_owned()),
    ]
}

/// A random wait of at most `seconds`.
pub(super) fn up_to(rng: &mut Rng, seconds: u64) -> Duration {
    Duration::from_millis(rng.u64(0..=seconds * 1000))
}
