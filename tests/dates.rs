//! Dates that hold: an action happens on the day that its notice named, and never before.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use keywheel::model::{Clock, Cloud, Fault, FaultKind, paused_runtime};
use keywheel::rehearsal::scenario::{
    self, ScenarioOptions, ScenarioOutcome, TimelineEntry, TimelineSource, TimelineStep,
};
use keywheel::state::Phase;
use serde_json::{Value, json};

use crate::harness::{MEMBER, TestStack, done, rehearse};

/// Returns the beginning of the n-th day after 2026-01-01.
fn day(days: i64) -> DateTime<Utc> {
    "2026-01-01T00:00:00Z".parse::<DateTime<Utc>>().expect("a time") + TimeDelta::days(days)
}

/// A stage whose runs come at this time of day, with a user whose key was made in the last second of 2026-01-01.
async fn key_of_the_last_second(run: TimeDelta) -> TestStack {
    let stage = TestStack::on(Cloud::new(Clock::starting_at(day(0) + run), 1), &[]);
    stage.cloud.add_user(MEMBER, "ci-bot", "/");
    stage.cloud.clock().advance_to(day(1) - TimeDelta::seconds(1)).await;
    stage.cloud.add_access_key(MEMBER, "ci-bot", stage.now());
    stage.cloud.clock().advance_to(day(1) + run).await;
    stage.live().await;
    stage
}

/// The days on which the first mail with these words was sent, counted from 2026-01-01.
fn day_of_mail(stage: &TestStack, words: &str) -> Option<i64> {
    let mails = stage.mails_with(&[words]);
    mails.first().map(|mail| (mail.at.date_naive() - day(0).date_naive()).num_days())
}

#[test]
fn on_aws_a1_dates_hold_at_any_time_of_the_run() {
    for (hour, schedule) in [(0, None), (6, Some(0)), (12, Some(23)), (23, Some(0))] {
        rehearse(async move {
            let stage = key_of_the_last_second(TimeDelta::hours(hour)).await;
            stage.cloud.switch(|switches| switches.schedule_hour = schedule);
            stage.live_days(115).await;
            let days = ["was rotated; the old key will be disabled on 2026-04-11", "was disabled", "was deleted"]
                .map(|words| day_of_mail(&stage, words));
            assert_eq!(days, [Some(90), Some(100), Some(110)], "runs at {hour}, schedule at {schedule:?}");
            for said in
                ["will be rotated on 2026-04-01", "will be disabled on 2026-04-11", "will be deleted on 2026-04-21"]
            {
                assert!(!stage.mails_with(&[said]).is_empty(), "{said}");
            }
        });
    }
}

#[test]
fn on_aws_a1_a_run_over_midnight_counts_for_the_later_day() {
    rehearse(async {
        let stage = TestStack::new();
        let (old, _) = stage.add_rotated_user("ci-bot").await;
        stage.live_days(9).await;
        let next = stage.now() + TimeDelta::days(1);
        let before_midnight = next.date_naive().and_hms_opt(23, 59, 50).expect("a time").and_utc();
        stage.cloud.clock().advance_to(before_midnight).await;
        let slow = FaultKind::Latency(Duration::from_secs(8));
        stage.cloud.faults().inject(Fault::on("iam", "UpdateAccessKey", slow.clone()).every());
        stage.cloud.faults().inject(Fault::on("iam", "ListAccessKeys", slow).every());
        let answer = stage.sweep().await;
        stage.cloud.faults().clear();
        assert_eq!(done(&answer, "disable"), 1, "{answer:#}");
        assert_eq!(stage.now().date_naive(), before_midnight.date_naive() + TimeDelta::days(1));
        let deleted = (stage.now() + TimeDelta::days(10)).date_naive();
        let told = stage.mails_with(&["was disabled and will be deleted on", &deleted.to_string()]);
        assert!(!told.is_empty(), "{:?}", stage.cloud.mails().iter().map(|mail| &mail.subject).collect::<Vec<_>>());
        while stage.now().date_naive() < deleted {
            assert_eq!(stage.status("ci-bot", &old), "Inactive", "{}", stage.now());
            stage.live_days(1).await;
        }
        assert_eq!(stage.status("ci-bot", &old), "gone", "on the day that the notice named");
    });
}

#[test]
fn on_aws_a1_no_new_setting_makes_an_announced_date_earlier() {
    rehearse(async {
        let mut stage = TestStack::new();
        let (old, _) = stage.add_rotated_user("ci-bot").await;
        let shorter = [("INSTALLATION_GRACE_PERIOD", "2"), ("RECOVERY_GRACE_PERIOD", "2")];
        stage.keywheel = stage.keywheel.redeployed(&shorter).expect("settings");
        stage.live_days(9).await;
        assert_eq!(stage.status("ci-bot", &old), "Active", "the mail named the tenth day");
        stage.keywheel = stage.keywheel.redeployed(&[]).expect("settings");
        stage.live_days(1).await;
        assert_eq!(stage.status("ci-bot", &old), "Inactive");
        stage.keywheel = stage.keywheel.redeployed(&shorter).expect("settings");
        stage.live_days(9).await;
        assert_eq!(stage.status("ci-bot", &old), "Inactive", "the mail named the twentieth day");
        stage.live_days(1).await;
        assert_eq!(stage.status("ci-bot", &old), "gone");
    });
}

fn rehearsed(script: &ScenarioOptions) -> (Vec<TimelineEntry>, ScenarioOutcome) {
    let mut entries = Vec::new();
    let mut tell = |entry| entries.push(entry);
    let run = scenario::run(script, &mut tell);
    let (_, outcome) = paused_runtime().expect("a runtime").block_on(run).expect("a rehearsal");
    (entries, outcome)
}

fn steps<'a>(
    entries: &'a [TimelineEntry],
    action: &'a str,
) -> impl Iterator<Item = (&'a TimelineEntry, &'a TimelineStep)> {
    entries
        .iter()
        .filter_map(|entry| Some((entry, entry.step.as_ref()?)))
        .filter(move |(_, step)| step.action == action)
}

/// The action that a notice announces, and the key that the action is about.
fn announced(notice: &scenario::MailedNotice) -> Option<(&'static str, &String)> {
    match notice.kind {
        Phase::RotateAhead => Some(("rotate", &notice.key)),
        Phase::Rotated => Some(("disable", notice.old_key.as_ref()?)),
        Phase::DisableAhead | Phase::InUse | Phase::Reactivated | Phase::Retiring => Some(("disable", &notice.key)),
        Phase::Disabled | Phase::DeleteAhead | Phase::LastCall => Some(("delete", &notice.key)),
        _ => None,
    }
}

#[test]
fn on_aws_a4_every_announced_date_of_the_rehearsal_holds() {
    let (entries, outcome) = rehearsed(&ScenarioOptions::default());
    assert_eq!(outcome.violations, []);
    let mut dates: BTreeMap<(&str, &String), (NaiveDate, bool)> = BTreeMap::new();
    let mut wrong = Vec::new();
    let mut kept = BTreeMap::new();
    for entry in &entries {
        for notice in &entry.notices {
            if notice.kind == Phase::Cancelled {
                // The user is not rotated any more: what was announced is void.
                dates.retain(|(_, key), _| **key != notice.key);
            }
            if let (Some(announced), Some(date), Some(exact)) = (announced(notice), notice.date, notice.exact) {
                dates.insert(announced, (date, exact));
            }
        }
        let Some(TimelineStep { action, key: Some(key), forced, .. }) = entry.step.as_ref() else { continue };
        let Some((date, exact)) = dates.get(&(action.as_str(), key)).filter(|_| !forced) else { continue };
        let day = entry.at.date_naive();
        *kept.entry(action.as_str()).or_insert(0) += 1;
        if day < *date || (*exact && day != *date) {
            wrong.push(format!("{action} {key} on {day}, announced for {date} (exact: {exact})"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    for (action, least) in [("rotate", 10), ("disable", 15), ("delete", 10)] {
        assert!(kept.get(action).is_some_and(|count| *count >= least), "{action}: {kept:?}");
    }
}

#[test]
fn on_aws_a4_steps_in_lines_and_in_counts_are_as_many() {
    let (entries, outcome) = rehearsed(&ScenarioOptions::default());
    let count = |action| steps(&entries, action).count();
    assert_eq!(
        [count("rotate"), count("disable"), count("delete")],
        [outcome.rotations, outcome.disables, outcome.deletes]
    );
    let mails = entries.iter().filter(|entry| entry.source == TimelineSource::Mail);
    assert_eq!(mails.clone().count(), outcome.mails);
    assert!(mails.clone().all(|mail| !mail.notices.is_empty()), "every mail has its notices");
    for (entry, step) in ["rotate", "disable", "delete"].into_iter().flat_map(|action| steps(&entries, action)) {
        assert!(step.key.is_some(), "{entry:?}");
    }
    let forced: Vec<&str> = entries
        .iter()
        .filter_map(|entry| entry.step.as_ref())
        .filter(|it| it.forced)
        .map(|it| it.action.as_str())
        .collect();
    assert!(forced.contains(&"rotate") && forced.contains(&"delete"), "the incident: {forced:?}");
    let told = mails.flat_map(|mail| &mail.notices).filter(|notice| notice.kind == Phase::Forced).count();
    assert!(told > 0, "and its notice");
    let held = entries.iter().filter(|entry| entry.held.is_some()).count();
    let users: usize = outcome.summaries.len();
    assert!(held >= users && outcome.summaries.iter().any(|user| user.deleted), "{held} keys of {users} users");
}

#[test]
fn on_aws_a4_every_line_says_whether_it_is_a_dry_run() {
    for dry_run in [false, true] {
        let (entries, _) = rehearsed(&ScenarioOptions { days: 2, dry_run, ..ScenarioOptions::default() });
        let lines: Vec<Value> = entries.iter().map(|entry| serde_json::to_value(entry).expect("JSON")).collect();
        assert!(lines.iter().all(|line| line["dry_run"] == json!(dry_run)));
        let of = |source: &str| lines.iter().filter(|line| line["source"] == source).cloned().collect::<Vec<_>>();
        assert!(of("keywheel").iter().all(|line| line["action"].is_string()));
        assert!(of("key").iter().all(|line| line["key"].is_string() && line["created"].is_string()));
        for notice in of("mail").iter().flat_map(|mail| mail["notices"].as_array().expect("a list")) {
            for member in ["kind", "key", "user", "account"] {
                assert!(notice[member].is_string(), "{member}: {notice}");
            }
            assert!(notice["date"].is_string() || notice["date"].is_null(), "{notice}");
        }
    }
}
