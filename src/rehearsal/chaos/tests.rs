//! Tests of the random runs: they find, shorten and print a violation, and a seed always gives the same story.

use chrono::{DateTime, TimeDelta, Utc};

use super::acts::Act;
use super::judge::Judge;
use super::story::{Story, StoryEntry, Whom, day_0};
use super::{ChaosOptions, live_alone, shrink, story_of};
use crate::model::{Clock, Cloud, KeyChange, Observer, paused_runtime};
use crate::rehearsal::deployment::{Deployment, PRIMARY_ACCOUNT};
use crate::rehearsal::leaks::Leaks;
use crate::settings::Settings;

const SWEEPER: &str = "arn:aws:sts::999988887777:assumed-role/execution-role/session";
const ROTATION: &str = "arn:aws:sts::999988887777:assumed-role/execution-role-rotation/session";

/// Deletes a key as keywheel's sweeper.
pub(super) fn delete_as_keywheel(cloud: &Cloud, account: &str, user: &str, key: &str) {
    let now = cloud.clock().now();
    let mut world = cloud.world();
    if let Some(key) = world.remove_key(account, user, key, now) {
        world.note_key(account, user, &key, KeyChange::Deleted, Some(SWEEPER), now);
    }
}

fn script(users: usize, days: i64) -> ChaosOptions {
    ChaosOptions { seed: 7, days, users, shard: None }
}

#[test]
fn a_violation_is_found_shortened_and_printed() {
    let mut story = story_of(&script(5, 100), 0);
    let number = story.people.iter().position(|person| !person.secret().is_empty()).expect("somebody is there");
    let at = day_0() + TimeDelta::days(20);
    let make = StoryEntry { at, whom: Whom::User(number), act: Act::MakeKey };
    let sabotage = StoryEntry { at: at + TimeDelta::days(1), whom: Whom::User(number), act: Act::Sabotage };
    story.entries.extend([make, sabotage]);
    story.entries.sort_by_key(|entry| entry.at);
    let found = live_alone(&story, None).expect_err("an active key was deleted");
    // Neither disabled before, nor for the whole recovery period.
    assert!("ab".contains(found.violation.invariant), "{found:?}");
    let short = shrink::shrink(&story, &found);
    assert_eq!(short.found.violation.invariant, found.violation.invariant);
    assert!(short.entries <= 2, "{} acts are left", short.entries);
    let trace = short.found.trace.expect("it was told").to_string();
    assert!(trace.contains("sabotage") && trace.contains("deleted by sweeper"), "{trace}");
}

#[test]
fn the_same_seed_gives_the_same_story_and_counts() {
    let lived = |seed| {
        let story = Story::of(seed, 3, 3, 60);
        let counts = live_alone(&story, None).unwrap_or_else(|found| panic!("{found:?}"));
        (format!("{:?}", story.entries), format!("{counts:?}"))
    };
    let (once, again, other) = (lived(5), lived(5), lived(6));
    assert!(once.0 == again.0, "the same acts");
    assert_eq!(once.1, again.1, "the same counts");
    assert_ne!(once.0, other.0);
}

#[test]
fn a_random_run_shows_no_secret() {
    let leaks = Leaks::watch();
    live_alone(&story_of(&script(10, 150), 0), None).unwrap_or_else(|found| panic!("{found:?}"));
    assert_eq!(leaks.found(), []);
    assert!(leaks.lines() > 100 && leaks.texts() > 10, "{} lines, {} texts", leaks.lines(), leaks.texts());
}

/// A model with one user and a judge that watches it.
struct Court {
    cloud: Cloud,
    judge: std::sync::Arc<std::sync::Mutex<Judge>>,
}

const USER: &str = "ci-bot";

impl Court {
    fn new() -> Self {
        let cloud = Cloud::new(Clock::starting_at(day_0()), 1);
        let judge = std::sync::Arc::new(std::sync::Mutex::new(Judge::default()));
        let keywheel = Deployment::new(&cloud, &[]).expect("settings that are right");
        keywheel.prepare_groups(PRIMARY_ACCOUNT);
        cloud.add_user(PRIMARY_ACCOUNT, USER, "/");
        let court = Self { cloud, judge };
        court.deployed(keywheel.settings());
        let observing = court.judge.clone();
        court.cloud.observe_keys(Observer::new(move |world, event| observing.lock().unwrap().observe(world, event)));
        court
    }

    fn deployed(&self, settings: &Settings) {
        self.judge.lock().unwrap().deployed(settings, self.now());
    }

    fn now(&self) -> DateTime<Utc> {
        self.cloud.clock().now()
    }

    async fn pass_days(&self, days: u64) {
        self.cloud.clock().advance(std::time::Duration::from_hours(24 * days)).await;
    }

    /// A key that a person makes.
    fn key(&self) -> String {
        self.cloud.add_access_key(PRIMARY_ACCOUNT, USER, self.now()).access_key_id
    }

    /// A key that a rotation makes.
    fn make(&self) -> String {
        let now = self.now();
        let mut world = self.cloud.world();
        let key = world.make_key(PRIMARY_ACCOUNT, USER, now);
        world.note_key(PRIMARY_ACCOUNT, USER, &key, KeyChange::Created, Some(ROTATION), now);
        key.id
    }

    fn disable(&self, id: &str) {
        let now = self.now();
        let mut world = self.cloud.world();
        let user = world.expect_user(PRIMARY_ACCOUNT, USER);
        let key = user.keys.iter_mut().find(|key| key.id == id).expect("the key is there");
        let was = key.clone();
        key.set_status("Inactive", now);
        world.note_key(PRIMARY_ACCOUNT, USER, &was, KeyChange::Disabled, Some(SWEEPER), now);
    }

    fn delete(&self, id: &str) {
        delete_as_keywheel(&self.cloud, PRIMARY_ACCOUNT, USER, id);
    }

    /// The letter of the first rule that was broken.
    fn broken(&self) -> Option<char> {
        self.judge.lock().unwrap().found.as_ref().map(|(violation, ..)| violation.invariant)
    }
}

fn in_court(case: impl AsyncFnOnce(&Court)) -> Option<char> {
    paused_runtime().expect("a runtime").block_on(async {
        let court = Court::new();
        case(&court).await;
        court.broken()
    })
}

#[test]
fn the_judge_finds_each_violation() {
    let user_of_keys = |court: &Court| (court.key(), court.key());
    let deleted_early = in_court(async |court| {
        let (old, _) = user_of_keys(court);
        court.cloud.set_key_status(PRIMARY_ACCOUNT, USER, &old, "Inactive");
        court.pass_days(9).await;
        court.delete(&old);
    });
    assert_eq!(deleted_early, Some('b'));
    let deleted_in_time = in_court(async |court| {
        let (old, _) = user_of_keys(court);
        court.cloud.set_key_status(PRIMARY_ACCOUNT, USER, &old, "Inactive");
        court.pass_days(10).await;
        court.delete(&old);
    });
    assert_eq!(deleted_in_time, None);
    let active = in_court(async |court| {
        let (old, _) = user_of_keys(court);
        court.pass_days(1).await;
        court.delete(&old);
    });
    assert_eq!(active, Some('a'));
    let last = in_court(async |court| {
        let only = court.key();
        court.pass_days(1).await;
        court.disable(&only);
    });
    assert_eq!(last, Some('i'));
    let without_successor = in_court(async |court| {
        let (old, _) = user_of_keys(court);
        court.pass_days(1).await;
        court.disable(&old);
    });
    assert_eq!(without_successor, Some('d'), "no tag announces its retirement");
    let from_nothing = in_court(async |court| {
        court.make();
    });
    assert_eq!(from_nothing, Some('f'));
    let third = in_court(async |court| {
        user_of_keys(court);
        court.pass_days(1).await;
        court.make();
    });
    assert_eq!(third, Some('i'));
    let exempt = in_court(async |court| {
        court.key();
        court.cloud.add_to_group(PRIMARY_ACCOUNT, "ASAIAMExemptionsGroup", USER);
        court.pass_days(1).await;
        court.make();
    });
    assert_eq!(exempt, Some('k'));
    let in_a_dry_run = in_court(async |court| {
        court.key();
        let dry = Deployment::new(&court.cloud, &[("DRY_RUN_FLAG", "true")]).expect("settings that are right");
        court.deployed(dry.settings());
        court.pass_days(1).await;
        court.make();
    });
    assert_eq!(in_a_dry_run, Some('l'));
}
