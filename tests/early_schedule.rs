//! A schedule counts from the last rotation or change of the value: it must not rotate a younger key, nor a key before
//! the day that was announced.

use chrono::TimeDelta;
use keywheel::model::{Fault, FaultKind};
use serde_json::json;

use crate::harness::{MEMBER, TestStack, done, failures, rehearse};

/// A user whose key was rotated on day 0, who was exempt from day 23, and who made a key on day 80 in place of it.
/// Returns that key. The exemption is over.
async fn young_key_under_an_old_schedule(stage: &TestStack) -> String {
    stage.add_rotated_user("ci-bot").await;
    stage.live_days(23).await;
    let group = stage.keywheel.settings().exemption_group.clone();
    stage.cloud.add_to_group(MEMBER, &group, "ci-bot");
    stage.live_days(1).await;
    assert!(!stage.secret("ci-bot").rotation_enabled, "exempt");
    stage.pass_days(56).await;
    let made = stage.cloud.add_access_key(MEMBER, "ci-bot", stage.now());
    let replaced = stage.current_key("ci-bot");
    stage.cloud.delete_key(MEMBER, "ci-bot", &replaced);
    stage.cloud.remove_from_group(MEMBER, &group, "ci-bot");
    made.access_key_id
}

#[test]
fn on_aws_b3_a_young_key_is_not_rotated_by_an_old_schedule() {
    rehearse(async {
        let stage = TestStack::new();
        let young = young_key_under_an_old_schedule(&stage).await;
        stage.live().await;
        let (secret, mails) = (stage.secret("ci-bot"), stage.cloud.mails().len());
        assert!(!secret.rotation_enabled, "its next rotation would have been on day 90");
        assert_eq!(stage.tag("ci-bot", "schedule-off"), Some(young.clone()));
        stage.cloud.forget_calls();
        for _ in 0..20 {
            stage.pass_days(1).await;
            assert_eq!(stage.live().await["actions"], json!({}), "a schedule that is off on purpose is no drift");
        }
        assert_eq!(stage.count("RotateSecret") + stage.count("CancelRotateSecret"), 0);
        assert_eq!(stage.cloud.mails().len(), mails, "nothing failed, and nothing is announced yet");
        assert_eq!(stage.user("ci-bot").keys.len(), 1, "the young key alone");
        stage.pass_days(70).await;
        assert_eq!(done(&stage.live().await, "rotate"), 1, "due: 90 days after it was made");
        assert_ne!(stage.current_key("ci-bot"), young);
        assert!(stage.secret("ci-bot").rotation_enabled, "from now on the schedule is right");
        stage.live_days(21).await;
        let keys = stage.user("ci-bot").keys;
        assert!(keys.len() == 1 && keys[0].id != young, "led out like any other: {keys:?}");
    });
}

/// Without the tag, the next sweep would take the schedule for one that a person cancelled, and switch it on.
#[test]
fn on_aws_b3_without_its_tag_no_schedule_is_left_off() {
    rehearse(async {
        let stage = TestStack::new();
        let young = young_key_under_an_old_schedule(&stage).await;
        let denied = Fault::on("secretsmanager", "TagResource", FaultKind::AccessDenied).about("schedule-off").every();
        let denied = stage.cloud.faults().inject(denied);
        let answer = stage.sweep().await;
        assert!(denied.fired() > 0 && failures(&answer).contains("TagResource"), "{answer}");
        assert!(stage.secret("ci-bot").rotation_enabled, "not cancelled before the tag is there");
        denied.remove();
        // Secrets Manager first ends its test of the schedule.
        stage.cloud.run_rotations().await;
        stage.live_days(1).await;
        assert!(!stage.secret("ci-bot").rotation_enabled);
        assert_eq!(stage.tag("ci-bot", "schedule-off"), Some(young));
    });
}

#[test]
fn on_aws_b3_a_schedule_in_time_is_switched_on_again() {
    rehearse(async {
        let stage = TestStack::new();
        stage.add_rotated_user("ci-bot").await;
        stage.live_days(30).await;
        let next = stage.secret("ci-bot").next_rotation;
        stage.cancel_schedule("ci-bot").await;
        assert_eq!(done(&stage.live().await, "repair"), 1);
        let secret = stage.secret("ci-bot");
        assert!(secret.rotation_enabled && secret.next_rotation == next, "{:?} is not {next:?}", secret.next_rotation);
        assert_eq!(stage.tag("ci-bot", "schedule-off"), None);
    });
}

#[test]
fn on_aws_b3_a_key_made_by_hand_lives_its_whole_period() {
    rehearse(async {
        let stage = TestStack::new();
        let (_, replaced) = stage.add_rotated_user("ci-bot").await;
        stage.live_days(80).await;
        let young = stage.cloud.add_access_key(MEMBER, "ci-bot", stage.now()).access_key_id;
        stage.cloud.delete_key(MEMBER, "ci-bot", &replaced);
        assert!(stage.secret("ci-bot").rotation_enabled, "it would rotate on day 90");
        stage.live_days(1).await;
        assert!(!stage.secret("ci-bot").rotation_enabled);
        assert_eq!(stage.tag("ci-bot", "schedule-off"), Some(young.clone()));
        let mails = stage.cloud.mails().len();
        stage.cloud.forget_calls();
        stage.live_days(80).await;
        assert_eq!(stage.count("RotateSecret") + stage.count("CancelRotateSecret"), 0, "it stays off");
        assert_eq!(stage.cloud.mails().len(), mails, "nothing failed, and nothing is announced yet");
        assert_eq!(stage.user("ci-bot").keys.len(), 1, "the young key alone");
        stage.live_days(8).await;
        assert!(!stage.mails_with(&["will be rotated on"]).is_empty(), "announced");
        assert_eq!(stage.current_key("ci-bot"), replaced, "readers get the key of before until day 170");
        stage.live_days(1).await;
        let current = stage.current_key("ci-bot");
        assert!(current != replaced && current != young, "rotated 90 days after the key was made");
        assert!(stage.secret("ci-bot").rotation_enabled, "from now on the schedule is right");
        stage.cloud.forget_calls();
        stage.live_days(30).await;
        assert_eq!(stage.count("CancelRotateSecret"), 0);
    });
}

#[test]
fn on_aws_b3_a_shorter_period_keeps_the_announced_day() {
    rehearse(async {
        let mut stage = TestStack::new();
        let (_, current) = stage.add_rotated_user("ci-bot").await;
        stage.live_days(84).await;
        let announced = (stage.now() + TimeDelta::days(6)).date_naive().to_string();
        assert!(!stage.mails_with(&["will be rotated on", &announced]).is_empty(), "day 90");
        stage.keywheel = stage.keywheel.redeployed(&[("ROTATION_PERIOD", "60")]).expect("settings");
        for day in 85..90 {
            stage.live_days(1).await;
            assert_eq!(stage.current_key("ci-bot"), current, "day {day}");
        }
        stage.live_days(1).await;
        assert_ne!(stage.current_key("ci-bot"), current);
        assert!(stage.secret("ci-bot").rotation_enabled);
    });
}
