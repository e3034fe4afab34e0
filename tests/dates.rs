//! Dates that hold: an action happens on the day that its notice named, and never before.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use keywheel::model::{Clock, Cloud, Fault, FaultKind};

use crate::harness::{MEMBER, TestStack, done, rehearse};

/// The beginning of the day that is so many days after 2026-01-01.
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
