//! The organization of the scenario: three accounts, and a cast of users who demonstrate every case.

use chrono::{DateTime, TimeDelta, Utc};

use crate::rehearsal::deployment::{Deployment, PRIMARY_ACCOUNT};

/// How an owner uses keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CastHabit {
    /// Works with the newest key it has fetched, and fetches the new key this many days after a rotation.
    InstallsAfter(i64),
    /// Uses no key at all.
    NeverUses,
    /// Works with the old key until AWS refuses it, enables it again, and fetches the new key a week later.
    Stubborn,
}

/// An act of a person on a day of the scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ScriptedAct {
    /// The user is deleted.
    DeleteUser,
    /// The user joins the exemption group.
    JoinExempt,
    /// The user leaves the exemption group.
    LeaveExempt,
    /// Somebody makes a second key by hand.
    MakeSecondKey,
    /// The owner disables the old key before keywheel does.
    DisableOldKey,
    /// An incident: the secret is tagged keywheel:force and rotated at once.
    ForceRotation,
    /// The member template reaches the account.
    DeployRoles,
}

/// A key that a user has on day 0.
#[derive(Clone, Copy, Debug)]
pub(super) struct CastKey {
    age_days: i64,
    active: bool,
    used_days_ago: Option<i64>,
}

const fn used(age_days: i64) -> CastKey {
    CastKey { age_days, active: true, used_days_ago: Some(1) }
}

const fn unused(age_days: i64) -> CastKey {
    CastKey { age_days, active: true, used_days_ago: None }
}

const fn inactive(age_days: i64) -> CastKey {
    CastKey { age_days, active: false, used_days_ago: Some(age_days / 2) }
}

/// A user of the cast.
#[derive(Clone, Debug)]
pub(super) struct CastMember {
    pub(super) account: String,
    pub(super) name: String,
    path: &'static str,
    owner: Option<&'static str>,
    keys: Vec<CastKey>,
    pub(super) habit: CastHabit,
    pub(super) acts: Vec<(i64, ScriptedAct)>,
    /// The case that the user demonstrates.
    pub(super) shows: &'static str,
}

impl CastMember {
    fn new(account: &str, name: &str, shows: &'static str, keys: &[CastKey]) -> Self {
        Self {
            account: account.to_owned(),
            name: name.to_owned(),
            path: "/",
            owner: None,
            keys: keys.to_vec(),
            habit: CastHabit::InstallsAfter(2),
            acts: Vec::new(),
            shows,
        }
    }

    fn path(self, path: &'static str) -> Self {
        Self { path, ..self }
    }

    fn owned_by(self, owner: &'static str) -> Self {
        Self { owner: Some(owner), ..self }
    }

    fn with(self, habit: CastHabit) -> Self {
        Self { habit, ..self }
    }

    fn on(mut self, day: i64, act: ScriptedAct) -> Self {
        self.acts.push((day, act));
        self
    }
}

const PROD: &str = "111122223333";
const DEV: &str = "444455556666";
/// The day on which the roles reach the last account.
const ROLES_ARRIVE: i64 = 30;

/// An account of the scenario.
#[derive(Clone, Debug)]
pub(super) struct Unit {
    pub(super) id: String,
    pub(super) name: String,
}

/// The accounts: the stack's own, a production account, an account whose roles arrive late, and further ones up to
/// `count`.
pub(super) fn accounts(count: usize) -> Vec<Unit> {
    let named = [(PRIMARY_ACCOUNT, "security"), (PROD, "prod"), (DEV, "dev")];
    let mut units: Vec<Unit> =
        named.iter().map(|(id, name)| Unit { id: (*id).to_owned(), name: (*name).to_owned() }).collect();
    units.truncate(count.max(1));
    units.extend((3..count).map(|n| Unit { id: format!("7{n:011}"), name: format!("team-{n}") }));
    units
}

/// The users: the cast, then ordinary users with keys of random age, spread over the accounts.
pub(super) fn users(count: usize, units: &[Unit]) -> Vec<CastMember> {
    let mut people: Vec<CastMember> = cast();
    people.retain(|person| units.iter().any(|unit| unit.id == person.account));
    people.truncate(count);
    for n in people.len()..count {
        let unit = &units[n % units.len()];
        let age = fastrand::i64(0..100);
        let person = CastMember::new(&unit.id, &format!("service-{n:04}"), "an ordinary user", &[used(age)]);
        people.push(person.with(CastHabit::InstallsAfter(fastrand::i64(0..9))));
    }
    people
}

fn cast() -> Vec<CastMember> {
    let prod = |name, shows, keys: &[CastKey]| CastMember::new(PROD, name, shows, keys);
    let dev = |name, shows, keys: &[CastKey]| CastMember::new(DEV, name, shows, keys);
    vec![
        prod("ci-bot", "a fresh key, an owner of its own", &[used(0)]).owned_by("ci-team@example.com"),
        prod("deploy", "due on day 0", &[used(90)]),
        prod("legacy-erp", "overdue by years", &[used(800)]).with(CastHabit::InstallsAfter(6)),
        prod("break-glass", "exempt", &[used(200)]).on(0, ScriptedAct::JoinExempt),
        prod("vendor-sync", "two active keys, both used", &[used(95), used(50)]),
        prod("reporting", "two active keys, the newer never used", &[used(80), unused(20)]),
        prod("import", "one active and one inactive key", &[inactive(300), used(30)]),
        prod("retired-app", "only an inactive key", &[inactive(400)]),
        prod("ghost", "a key that nobody ever used", &[unused(120)]).with(CastHabit::NeverUses),
        prod("stubborn", "goes on with the old key", &[used(85)]).with(CastHabit::Stubborn).owned_by("erp@example.com"),
        prod("build,cache", "a comma in the name", &[used(60)]),
        prod("etl", "a path", &[used(70)]).path("/teams/data/"),
        prod("leaving", "deleted on day 60", &[used(10)]).on(60, ScriptedAct::DeleteUser),
        prod("console-only", "no key at all", &[]).with(CastHabit::NeverUses),
        prod("crosscheck", "a second key made by hand on day 40", &[used(45)]).on(40, ScriptedAct::MakeSecondKey),
        prod("incident", "rotated by force on day 55", &[used(20), unused(5)]).on(55, ScriptedAct::ForceRotation),
        prod("early-bird", "disables the old key itself", &[used(88)]).on(5, ScriptedAct::DisableOldKey),
        CastMember::new(PRIMARY_ACCOUNT, "backup-agent", "in the stack's own account", &[used(89)]),
        CastMember::new(PRIMARY_ACCOUNT, "audit-export", "becomes exempt on day 50", &[used(15)])
            .on(50, ScriptedAct::JoinExempt),
        CastMember::new(PRIMARY_ACCOUNT, "siem", "exempt until day 45", &[used(100)])
            .on(0, ScriptedAct::JoinExempt)
            .on(45, ScriptedAct::LeaveExempt),
        dev("scanner", "in an account without the roles", &[used(95)]).on(ROLES_ARRIVE, ScriptedAct::DeployRoles),
        dev("sandbox", "in an account without the roles", &[used(5)]),
    ]
}

/// Makes the organization as it is before day 0.
pub(super) fn make(keywheel: &Deployment, units: &[Unit], people: &[CastMember], day_0: DateTime<Utc>) {
    let cloud = keywheel.cloud();
    for unit in units {
        if !cloud.account_ids().contains(&unit.id) {
            cloud.add_account(&unit.id, &unit.name, Some(&format!("{}@example.com", unit.name)));
        }
        if unit.id == PRIMARY_ACCOUNT {
            cloud.set_management_account(&unit.id);
            keywheel.prepare_groups(&unit.id);
        } else if unit.id != DEV {
            keywheel.prepare_member(&unit.id);
        }
    }
    for person in people {
        cloud.add_user(&person.account, &person.name, person.path);
        if let Some(owner) = person.owner {
            cloud.tag_user(&person.account, &person.name, "owner", owner);
        }
        for key in &person.keys {
            give_key(keywheel, person, *key, day_0);
        }
    }
}

fn give_key(keywheel: &Deployment, person: &CastMember, key: CastKey, day_0: DateTime<Utc>) {
    let cloud = keywheel.cloud();
    let (account, user) = (&person.account, &person.name);
    let made = cloud.add_access_key(account, user, day_0 - TimeDelta::days(key.age_days));
    if let Some(ago) = key.used_days_ago.filter(|ago| *ago < key.age_days) {
        let used = cloud.use_key(account, user, &made.access_key_id, "s3", day_0 - TimeDelta::days(ago));
        used.expect("an active key is not refused");
    }
    if !key.active {
        cloud.set_key_status(account, user, &made.access_key_id, "Inactive");
    }
}
