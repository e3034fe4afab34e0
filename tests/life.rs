//! The ordinary life of a key, day by day, and the rehearsal as a whole.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use keywheel::model::{Clock, Cloud, paused_runtime};
use keywheel::rehearsal::invariants::INVARIANTS;
use keywheel::rehearsal::scenario::{self, ScenarioOptions, ScenarioOutcome, TimelineEntry};
use keywheel::rehearsal::{Deployment, PRIMARY_ACCOUNT};
use serde_json::{Value, json};

const MEMBER: &str = "111122223333";

fn start() -> DateTime<Utc> {
    "2026-01-01T06:00:00Z".parse().expect("a time")
}

/// Sweeps daily, an hour after the previous day's rotations, from day 0 to the last. Returns the actions of each day.
async fn live(keywheel: &Deployment, last_day: i64) -> BTreeMap<i64, Vec<String>> {
    let cloud = keywheel.cloud();
    let mut done: BTreeMap<i64, Vec<String>> = BTreeMap::new();
    for day in 0..=last_day {
        cloud.clock().advance_to(start() + TimeDelta::days(day) + TimeDelta::hours(1)).await;
        let answer = keywheel.sweep(json!({})).await.expect("a sweep");
        assert_eq!(answer["failures"], json!([]), "day {day}");
        let actions = answer["actions"].as_object().expect("an object").keys().cloned();
        done.entry(day).or_default().extend(actions);
        // The rotation takes some seconds, so it ends later in the day than the sweep that started it.
        cloud.run_rotations().await;
        for event in cloud.drain_events() {
            keywheel.sweep(event).await.expect("an event");
        }
    }
    done.retain(|_, actions| !actions.is_empty());
    done
}

#[test]
fn on_aws_a1_each_step_of_a_life_is_on_its_very_day() {
    paused_runtime().expect("a runtime").block_on(async {
        let cloud = Cloud::new(Clock::starting_at(start()), 1);
        let keywheel = Deployment::new(&cloud, &[]).expect("settings");
        cloud.set_management_account(PRIMARY_ACCOUNT);
        keywheel.prepare_groups(PRIMARY_ACCOUNT);
        cloud.add_account(MEMBER, "prod", Some("prod@example.com"));
        keywheel.prepare_member(MEMBER);
        cloud.add_user(MEMBER, "ci-bot", "/");
        let old = cloud.add_access_key(MEMBER, "ci-bot", start());

        let done = live(&keywheel, 115).await;

        let words = |actions: &[&str]| actions.iter().map(|action| (*action).to_owned()).collect::<Vec<_>>();
        let expected = BTreeMap::from([
            (0, words(&["provision"])),
            (83, words(&["warn"])),
            (90, words(&["rotate"])),
            (93, words(&["warn"])),
            (100, words(&["disable"])),
            (103, words(&["warn"])),
            (109, words(&["warn"])),
            (110, words(&["delete"])),
        ]);
        assert_eq!(done, expected);
        let subjects: Vec<String> = cloud.mails().iter().map(|mail| mail.subject.clone()).collect();
        assert_eq!(subjects.len(), 7, "{subjects:#?}");
        let user = cloud.user(MEMBER, "ci-bot").expect("the user");
        let secret = cloud.secret("Account_111122223333_User_ci-bot_AccessKey").expect("the secret");
        let value = secret.json("AWSCURRENT").expect("a value");
        assert_eq!(user.keys.len(), 1);
        assert_ne!(user.keys[0].id, old.access_key_id);
        assert_eq!(value["AccessKeyId"], Value::from(user.keys[0].id.as_str()));
        assert_eq!(value["Status"], "Active");
    });
}

fn rehearse(script: &ScenarioOptions, tell: &mut dyn FnMut(TimelineEntry)) -> (Cloud, ScenarioOutcome) {
    paused_runtime().expect("a runtime").block_on(scenario::run(script, tell)).expect("a rehearsal")
}

#[test]
fn the_rehearsal_holds_every_invariant_and_checks_each() {
    let script = ScenarioOptions { days: 112, ..ScenarioOptions::default() };
    let mut entries = 0;
    let (cloud, outcome) = rehearse(&script, &mut |_| entries += 1);
    assert_eq!(outcome.violations, []);
    for (letter, words) in INVARIANTS {
        assert!(outcome.checks.get(&letter).is_some_and(|checks| *checks > 0), "({letter}) {words}: never checked");
    }
    assert!(entries > 100 && outcome.rotations > 20 && outcome.deletes > 10, "{outcome:?}");
    let secrets: Vec<String> = cloud
        .secrets()
        .iter()
        .filter_map(|secret| Some(secret.json("AWSCURRENT")?["SecretAccessKey"].as_str()?.to_owned()))
        .collect();
    for mail in cloud.mails() {
        let text = format!("{}{}{}", mail.subject, mail.html.unwrap_or_default(), mail.text.unwrap_or_default());
        assert!(!secrets.iter().any(|secret| text.contains(secret)), "a secret in a mail");
    }
}

#[test]
fn a_rehearsal_in_dry_run_changes_nothing() {
    let script = ScenarioOptions { days: 3, dry_run: true, ..ScenarioOptions::default() };
    let (cloud, outcome) = rehearse(&script, &mut |_| {});
    assert_eq!((outcome.rotations, outcome.disables, outcome.deletes), (0, 0, 0));
    assert_eq!(cloud.secrets().len(), 0);
    assert!(!cloud.mails().is_empty() && cloud.mails().iter().all(|mail| mail.subject.starts_with("[dry run]")));
}
