//! The story of one shard, decided before it runs: the accounts, the people, and every act with its time.
//!
//! A story depends only on the seed and on the numbers of shard, user and day. It can run again without some users or
//! acts, and the rest stays the same.

use chrono::{DateTime, TimeDelta, TimeZone as _, Utc};
use fastrand::Rng;

use super::acts::{self, Act};
use super::cast::{self, Person, ShardAccount};

/// Days of the calm period at the end of a cycle: nobody interferes, nothing fails, and everything must get into order.
pub(super) const CALM_DAYS: i64 = 50;
/// The shortest cycle that ends with a calm period.
const SHORTEST_CYCLE_DAYS: i64 = 80;
/// The approximate length of a cycle.
const CYCLE_DAYS: i64 = 250;

/// The subject of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whom {
    /// The whole shard: its accounts, its AWS, its keywheel.
    Shard,
    /// The user of this number.
    User(usize),
}

/// An act and its time.
#[derive(Clone, Debug)]
pub(super) struct StoryEntry {
    pub(super) at: DateTime<Utc>,
    pub(super) whom: Whom,
    pub(super) act: Act,
}

/// The story of a shard.
#[derive(Clone, Debug)]
pub(super) struct Story {
    /// The seed for ids, jitter and the owners' work.
    pub(super) seed: u64,
    pub(super) accounts: Vec<ShardAccount>,
    pub(super) people: Vec<Person>,
    pub(super) entries: Vec<StoryEntry>,
}

impl Story {
    /// The story of shard `shard`, with this many users and days.
    pub(super) fn of(seed: u64, shard: usize, users: usize, days: i64) -> Self {
        let mut rng = rng(seed, shard, 0);
        let accounts = cast::accounts(&mut rng);
        let people = (0..users).map(|n| cast::person(&mut self::rng(seed, shard, n + 1), n, &accounts)).collect();
        let mut story = Self { seed: rng.u64(..), accounts, people, entries: Vec::new() };
        for (from, to) in cycles(days) {
            let calm_from = if to - from >= SHORTEST_CYCLE_DAYS { to - CALM_DAYS } else { to };
            story.add_restless(&mut rng, (seed, shard), from, calm_from);
            if calm_from < to {
                story.add_calm(&mut rng, calm_from, to);
            }
        }
        story.entries.sort_by_key(|entry| entry.at);
        story
    }

    fn add(&mut self, at: DateTime<Utc>, whom: Whom, act: Act) {
        self.entries.push(StoryEntry { at, whom, act });
    }

    fn add_restless(&mut self, rng: &mut Rng, (seed, shard): (u64, usize), from: i64, to: i64) {
        self.add(day(from), Whom::Shard, acts::deploy(rng));
        self.add_sweeps(rng, from, to);
        self.add_storms(rng, from, to);
        // Some organizations are livelier than others.
        let busy = *rng.choice(&[1, 2, 5, 12]).unwrap_or(&1);
        for number in from..to {
            acts::of_shard(rng, &self.accounts, &mut |second, act| {
                self.entries.push(StoryEntry { at: day(number) + TimeDelta::seconds(second), whom: Whom::Shard, act });
            });
        }
        for user in 0..self.people.len() {
            let mut rng = self::rng(seed, shard, 1_000_000 * (user + 1) + usize::try_from(from).unwrap_or_default());
            for number in from..to {
                for act in std::iter::repeat_with(|| acts::of_user(&mut rng)).take(busy).flatten().collect::<Vec<_>>() {
                    self.add(moment(&mut rng, number), Whom::User(user), act);
                }
            }
        }
    }

    /// The sweeper runs daily, more often or every few days, and is down for weeks at times.
    fn add_sweeps(&mut self, rng: &mut Rng, from: i64, to: i64) {
        let (mut at, end) = (day(from) + TimeDelta::hours(6), day(to));
        while at < end {
            let regime_end = end.min(at + TimeDelta::days(rng.i64(5..30)));
            let hours = match rng.u32(..100) {
                0..25 => 24,
                25..28 => 6,
                28..88 => rng.i64(2..5) * 24,
                _ => {
                    self.add(at, Whom::Shard, Act::SweeperDown);
                    at = end.min(at + TimeDelta::days(rng.i64(8..40)));
                    self.add(at, Whom::Shard, Act::SweeperUp);
                    continue;
                }
            };
            while at < regime_end {
                self.add(at, Whom::Shard, Act::Sweep);
                at += TimeDelta::hours(hours) + TimeDelta::seconds(rng.i64(0..600));
            }
        }
    }

    /// Hours in which every call takes a random time, so that acts and invocations interleave.
    fn add_storms(&mut self, rng: &mut Rng, from: i64, to: i64) {
        let mut number = from + rng.i64(3..30);
        while number < to {
            let at = moment(rng, number);
            let most_ms = *rng.choice(&[200, 1000, 3000, 8000]).unwrap_or(&1000);
            self.add(at, Whom::Shard, Act::StormBegins { most_ms });
            let soon = |rng: &mut Rng| at + TimeDelta::milliseconds(rng.i64(0..120_000));
            for _ in 0..rng.u32(1..4) {
                let when = soon(rng);
                self.add(when, Whom::Shard, Act::Sweep);
            }
            for _ in 0..rng.u32(0..7).min(u32::try_from(self.people.len()).unwrap_or(u32::MAX)) {
                let (when, user) = (soon(rng), Whom::User(rng.usize(..self.people.len())));
                let act = if rng.bool() { Act::RotateNow } else { acts::any_of_user(rng) };
                self.add(when, user, act);
            }
            self.add(at + TimeDelta::hours(1), Whom::Shard, Act::StormEnds);
            number += rng.i64(7..40);
        }
    }

    fn add_calm(&mut self, rng: &mut Rng, from: i64, to: i64) {
        self.add(day(from), Whom::Shard, Act::CalmBegins);
        for number in from..to {
            self.add(
                day(number) + TimeDelta::hours(6) + TimeDelta::seconds(rng.i64(0..600)),
                Whom::Shard,
                Act::CalmSweep,
            );
            if (2..30).contains(&(number - from)) {
                self.add(day(number) + TimeDelta::hours(9), Whom::Shard, Act::FollowAdvice);
            }
        }
        self.add(day(to) - TimeDelta::seconds(1), Whom::Shard, Act::CalmEnds);
    }
}

/// Midnight (UTC) of a story's first day.
pub(super) fn day_0() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 1, 5, 0, 0, 0).single().expect("a time that exists once")
}

fn day(number: i64) -> DateTime<Utc> {
    day_0() + TimeDelta::days(number)
}

fn moment(rng: &mut Rng, number: i64) -> DateTime<Utc> {
    day(number) + TimeDelta::seconds(rng.i64(0..86_400))
}

/// The first day of each cycle, and the day after its last.
fn cycles(days: i64) -> Vec<(i64, i64)> {
    let count = (days / CYCLE_DAYS).max(1);
    (0..count).map(|n| (n * days / count, (n + 1) * days / count)).collect()
}

/// A generator of its own for every part of every shard.
pub(super) fn rng(seed: u64, shard: usize, part: usize) -> Rng {
    let mut mixed = seed;
    for number in [shard as u64, part as u64] {
        // The step of splitmix64, whose outputs for neighbouring numbers have nothing in common.
        mixed = mixed.wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
    }
    Rng::with_seed(mixed)
}
