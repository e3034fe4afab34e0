//! The accounts and users of a shard at the start of its story.

use chrono::TimeDelta;
use fastrand::Rng;
use serde_json::json;

use super::story::day_0;
use crate::keys::{SecretName, UserRef};
use crate::rehearsal::deployment::{Deployment, PRIMARY_ACCOUNT};

/// An account of the shard's organization.
#[derive(Clone, Debug)]
pub(super) struct ShardAccount {
    pub(super) id: String,
}

/// A key that a user has on day 0.
#[derive(Clone, Copy, Debug)]
struct FirstKey {
    age_days: i64,
    active: bool,
    used: bool,
}

/// How an owner uses keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Habit {
    /// Works with a key, and fetches the new key `days` days after noticing it.
    InstallsAfter {
        /// Days from noticing the new key to using it.
        days: i64,
    },
    /// Works with a key until it is refused.
    UntilRefused,
    /// Uses no key.
    UsesNone,
}

/// An owner's reaction to a key that AWS refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OnRefusal {
    /// Fetches the key from the secret.
    Fetches,
    /// Enables the old key again.
    Enables,
    /// Does nothing that day.
    Waits,
}

/// A user and its owner.
#[derive(Clone, Debug)]
pub(super) struct Person {
    pub(super) account: String,
    pub(super) name: String,
    path: &'static str,
    owner: Option<String>,
    exempt: bool,
    /// The predecessor left a secret for the user.
    has_old_secret: bool,
    keys: Vec<FirstKey>,
    pub(super) habit: Habit,
    pub(super) refused: OnRefusal,
    pub(super) seed: u64,
}

impl Person {
    /// The name of the user's secret.
    pub(super) fn secret(&self) -> String {
        let account = self.account.parse().expect("an account id of the cast");
        let name = self.name.parse().expect("a user name of the cast");
        SecretName::of(&UserRef { account, name }).to_string()
    }
}

/// The stack's own account and one or two members.
pub(super) fn accounts(rng: &mut Rng) -> Vec<ShardAccount> {
    let members = rng.u64(1..3);
    let member = |n| ShardAccount { id: format!("{:012}", 111_122_223_333 + n * 111_111_111_111) };
    [ShardAccount { id: PRIMARY_ACCOUNT.to_owned() }].into_iter().chain((0..members).map(member)).collect()
}

/// The user of this number, drawn from `rng`.
pub(super) fn person(rng: &mut Rng, number: usize, accounts: &[ShardAccount]) -> Person {
    let stem = *rng.choice(&["svc", "Bot", "ci,build", "etl.job", "vendor+x", "app_"]).unwrap_or(&"svc");
    let keys = (0..*rng.choice(&[0, 1, 1, 1, 1, 1, 2, 2]).unwrap_or(&1)).map(|_| first_key(rng)).collect();
    Person {
        account: accounts[rng.usize(..accounts.len())].id.clone(),
        name: format!("{stem}{number}"),
        path: if rng.u32(..5) == 0 { "/teams/data/" } else { "/" },
        owner: rng.bool().then(|| format!("owner{number}@example.com")),
        exempt: rng.u32(..12) == 0,
        has_old_secret: rng.u32(..10) == 0,
        keys,
        habit: habit(rng),
        refused: *rng
            .choice(&[OnRefusal::Fetches, OnRefusal::Fetches, OnRefusal::Enables, OnRefusal::Waits])
            .unwrap_or(&OnRefusal::Waits),
        seed: rng.u64(..),
    }
}

fn first_key(rng: &mut Rng) -> FirstKey {
    let age_days = if rng.u32(..4) == 0 { rng.i64(90..800) } else { rng.i64(0..100) };
    FirstKey { age_days, active: rng.u32(..8) != 0, used: rng.u32(..4) != 0 }
}

fn habit(rng: &mut Rng) -> Habit {
    match rng.u32(..10) {
        0..6 => Habit::InstallsAfter { days: rng.i64(0..5) },
        6 => Habit::InstallsAfter { days: rng.i64(5..40) },
        7 | 8 => Habit::UntilRefused,
        _ => Habit::UsesNone,
    }
}

/// Makes the accounts, roles, groups and users of day 0.
pub(super) fn make(keywheel: &Deployment, accounts: &[ShardAccount], people: &[Person]) {
    let cloud = keywheel.cloud();
    cloud.set_management_account(PRIMARY_ACCOUNT);
    keywheel.prepare_groups(PRIMARY_ACCOUNT);
    for ShardAccount { id } in accounts.iter().filter(|account| account.id != PRIMARY_ACCOUNT) {
        cloud.add_account(id, "member", Some("member@example.com"));
        keywheel.prepare_member(id);
    }
    for person in people {
        make_person(keywheel, person);
    }
}

fn make_person(keywheel: &Deployment, person: &Person) {
    let (cloud, account, name) = (keywheel.cloud(), person.account.as_str(), person.name.as_str());
    cloud.add_user(account, name, person.path);
    if let Some(owner) = &person.owner {
        cloud.tag_user(account, name, "owner", owner);
    }
    if person.exempt {
        cloud.add_to_group(account, &keywheel.settings().exemption_group, name);
    }
    for key in &person.keys {
        let made = cloud.add_access_key(account, name, day_0() - TimeDelta::days(key.age_days));
        if key.used {
            // A key made today is too new to have been used.
            let _ = cloud.use_key(account, name, &made.access_key_id, "s3", day_0() - TimeDelta::hours(5));
        }
        if person.has_old_secret && cloud.secret(&person.secret()).is_none() {
            let value = json!({"AccessKeyId": made.access_key_id, "SecretAccessKey": made.secret}).to_string();
            cloud.put_secret(PRIMARY_ACCOUNT, &person.secret(), &value, day_0());
        }
        if !key.active {
            cloud.set_key_status(account, name, &made.access_key_id, "Inactive");
        }
    }
}

/// Makes a deleted user again, with one key.
pub(super) fn make_again(keywheel: &Deployment, person: &Person) {
    let (cloud, account, name) = (keywheel.cloud(), person.account.as_str(), person.name.as_str());
    cloud.add_user(account, name, person.path);
    cloud.add_access_key(account, name, cloud.clock().now());
}
