//! The scenarios, each prepared up to its action.

use chrono::TimeDelta;

use super::{Act, SWEEPS_TO_CONVERGE, Scenario, next_rotation, survive};
use crate::harness::{MEMBER, TestStack, secret_name};

/// The days of sweeps after a rotation, until the old key is deleted.
const WHOLE_WAY_OUT: &[i64] = &[1, 2, 3, 5, 12, 16, 23, 24];
/// The days of sweeps after the disabling of a key, until it is deleted.
const RECOVERY: &[i64] = &[1, 2, 3, 5, 12, 13];
/// No sweep follows the action.
const QUIET: &[i64] = &[1, 2, 3, 4];

/// Adds a user of the member account with an owner, and keys of these ages in days.
fn add_bot(stage: &TestStack, key_ages: &[i64]) {
    stage.add_user("ci-bot", key_ages);
    stage.cloud.tag_user(MEMBER, "ci-bot", "owner", "owner@example.com");
}

/// A stage with one user.
fn stage(key_ages: &[i64]) -> TestStack {
    let stage = TestStack::new();
    add_bot(&stage, key_ages);
    stage
}

/// A user whose key was rotated by the sweep of this day.
async fn rotated() -> TestStack {
    let stage = stage(&[90]);
    stage.live().await;
    assert_eq!(stage.user("ci-bot").active_keys(), 2, "rotated");
    stage
}

/// A user whose key was rotated, on a later day, after sweeps on these days.
async fn rotated_ago(days: &[i64]) -> TestStack {
    let stage = rotated().await;
    live_on(&stage, days).await;
    stage
}

/// Sweeps on these days, counted from now.
async fn live_on(stage: &TestStack, days: &[i64]) {
    let start = stage.now();
    for day in days {
        stage.cloud.clock().advance_to(start + TimeDelta::days(*day)).await;
        stage.live().await;
    }
}

async fn pass(stage: &TestStack, days: u64) {
    stage.pass_days(days).await;
}

fn scenario(name: &'static str, stage: TestStack, act: Act, days: &'static [i64]) -> Scenario {
    // A short history makes the model cheaper to fork.
    stage.cloud.forget_calls();
    let at = stage.now();
    Scenario { name, stage, at, act, days, forced: false, sweeps: SWEEPS_TO_CONVERGE }
}

#[test]
fn provisioning_and_first_rotation_of_a_due_user() {
    survive(async || scenario("first rotation", stage(&[90]), Act::Day, WHOLE_WAY_OUT));
}

#[test]
fn first_rotation_of_a_user_provisioned_long_ago() {
    survive(async || {
        let stage = stage(&[10]);
        live_on(&stage, &[0, 74]).await;
        pass(&stage, 6).await;
        scenario("first rotation, provisioned long ago", stage, Act::Day, WHOLE_WAY_OUT)
    });
}

#[test]
fn scheduled_rotation_after_an_old_key_was_led_out() {
    survive(async || {
        let stage = rotated_ago(&[5, 12, 16, 23, 84]).await;
        stage.cloud.clock().advance_to(next_rotation(&stage)).await;
        scenario("scheduled rotation", stage, Act::Schedule, WHOLE_WAY_OUT)
    });
}

#[test]
fn rotation_that_finds_a_full_slot_to_free() {
    survive(async || {
        let stage = rotated_ago(&[5, 12]).await;
        stage.cloud.clock().advance_to(next_rotation(&stage)).await;
        scenario("rotation that frees a slot", stage, Act::Schedule, WHOLE_WAY_OUT)
    });
}

#[test]
fn forced_rotation_of_two_active_keys() {
    survive(async || {
        let stage = stage(&[30, 20]);
        stage.live().await;
        stage.tag_secret("ci-bot", "keywheel:force", "true").await;
        order_rotation(&stage).await;
        let scenario = scenario("forced rotation", stage, Act::Rotations, WHOLE_WAY_OUT);
        Scenario { forced: true, ..scenario }
    });
}

#[test]
fn forced_rotation_with_a_key_in_the_secret() {
    survive(async || {
        let stage = rotated_ago(&[1]).await;
        stage.tag_secret("ci-bot", "keywheel:force", "true").await;
        order_rotation(&stage).await;
        let scenario = scenario("forced rotation in a grace period", stage, Act::Rotations, WHOLE_WAY_OUT);
        Scenario { forced: true, ..scenario }
    });
}

/// A person starts a rotation, which runs later.
async fn order_rotation(stage: &TestStack) {
    let request = stage.operator().rotate_secret().secret_id(secret_name(MEMBER, "ci-bot"));
    request.send().await.expect("ordered");
}

#[test]
fn provisioning_of_a_user_who_is_not_due() {
    survive(async || scenario("provisioning", stage(&[10]), Act::Day, QUIET));
}

#[test]
fn test_of_the_configuration() {
    survive(async || {
        let stage = stage(&[10]);
        stage.sweep_well().await;
        scenario("test of the configuration", stage, Act::Rotations, QUIET)
    });
}

#[test]
fn adoption_of_a_predecessors_secret() {
    survive(async || {
        let stage = TestStack::new();
        let key = stage.add_user("ci-bot", &[90]).remove(0);
        stage.cloud.tag_user(MEMBER, "ci-bot", "owner", "owner@example.com");
        let value = format!(r#"{{"AccessKeyId":"{}","SecretAccessKey":"{}"}}"#, key.access_key_id, key.secret);
        let account = keywheel::rehearsal::PRIMARY_ACCOUNT;
        let made = stage.now() - TimeDelta::days(90);
        stage.cloud.put_secret(account, &secret_name(MEMBER, "ci-bot"), &value, made);
        scenario("adoption", stage, Act::Day, WHOLE_WAY_OUT)
    });
}

#[test]
fn disabling_of_a_replaced_key() {
    survive(async || {
        let stage = rotated_ago(&[5]).await;
        pass(&stage, 6).await;
        scenario("disable", stage, Act::Day, RECOVERY)
    });
}

#[test]
fn deletion_of_a_disabled_key() {
    survive(async || {
        let stage = rotated_ago(&[5, 12, 16]).await;
        pass(&stage, 7).await;
        scenario("delete", stage, Act::Day, QUIET)
    });
}

#[test]
fn clean_up_after_a_deleted_user() {
    survive(async || {
        let stage = rotated_ago(&[1]).await;
        stage.cloud.delete_user(MEMBER, "ci-bot");
        pass(&stage, 1).await;
        scenario("clean-up after a deleted user", stage, Act::Day, QUIET)
    });
}

#[test]
fn cancelling_for_an_exempt_user() {
    survive(async || {
        let stage = rotated_ago(&[5, 12]).await;
        exempt(&stage);
        pass(&stage, 1).await;
        scenario("exemption", stage, Act::Day, QUIET)
    });
}

fn exempt(stage: &TestStack) {
    let group = &stage.keywheel.settings().exemption_group;
    stage.cloud.add_to_group(MEMBER, group, "ci-bot");
}

#[test]
fn cancelling_for_a_user_who_is_exempt_once_more() {
    survive(async || {
        let stage = rotated_ago(&[5, 12, 16, 23]).await;
        let group = stage.keywheel.settings().exemption_group.clone();
        exempt(&stage);
        live_on(&stage, &[1]).await;
        stage.cloud.remove_from_group(MEMBER, &group, "ci-bot");
        live_on(&stage, &[1, 2]).await;
        exempt(&stage);
        pass(&stage, 1).await;
        scenario("second exemption", stage, Act::Day, QUIET)
    });
}

#[test]
fn end_of_an_exemption() {
    survive(async || {
        let stage = rotated_ago(&[5]).await;
        exempt(&stage);
        live_on(&stage, &[1, 30]).await;
        let group = stage.keywheel.settings().exemption_group.clone();
        stage.cloud.remove_from_group(MEMBER, &group, "ci-bot");
        pass(&stage, 1).await;
        scenario("end of an exemption", stage, Act::Day, WHOLE_WAY_OUT)
    });
}

#[test]
fn cancelling_for_a_user_without_an_active_key() {
    survive(async || {
        let stage = rotated_ago(&[5, 12, 16, 23]).await;
        let key = stage.current_key("ci-bot");
        stage.cloud.set_key_status(MEMBER, "ci-bot", &key, "Inactive");
        pass(&stage, 1).await;
        scenario("no active key", stage, Act::Day, QUIET)
    });
}

#[test]
fn a_person_enables_a_disabled_key() {
    survive(async || {
        let stage = rotated_ago(&[5, 12, 14]).await;
        let old = stage.user("ci-bot").keys[0].id.clone();
        stage.cloud.set_key_status(MEMBER, "ci-bot", &old, "Active");
        pass(&stage, 1).await;
        scenario("re-enabled key", stage, Act::Day, WHOLE_WAY_OUT)
    });
}

#[test]
fn a_second_key_has_to_give_way() {
    survive(async || {
        let stage = stage(&[60, 30]);
        live_on(&stage, &[0]).await;
        pass(&stage, 9).await;
        scenario("second key", stage, Act::Day, WHOLE_WAY_OUT)
    });
}

#[test]
fn the_users_secret_is_restored() {
    survive(async || {
        let stage = rotated_ago(&[5, 12, 16, 23]).await;
        stage.cloud.delete_user(MEMBER, "ci-bot");
        pass(&stage, 1).await;
        stage.live().await;
        assert!(stage.secret("ci-bot").deletion_date.is_some(), "cleaned up");
        add_bot(&stage, &[10]);
        pass(&stage, 1).await;
        let scenario = scenario("restored secret", stage, Act::Day, WHOLE_WAY_OUT);
        // The key of the user before is dead: the second sweep rotates, and the third tells the account.
        Scenario { sweeps: SWEEPS_TO_CONVERGE + 1, ..scenario }
    });
}

#[test]
fn repair_of_drift() {
    survive(async || {
        let stage = rotated_ago(&[5, 12, 16, 23]).await;
        let (operator, secret) = (stage.operator(), secret_name(MEMBER, "ci-bot"));
        operator.delete_resource_policy().secret_id(&secret).send().await.expect("deleted");
        stage.cancel_schedule("ci-bot").await;
        let other = "arn:aws:kms:us-east-1:999988887777:key/7f1c2d3e-0000-4000-8000-00000000000f";
        stage.cloud.add_kms_key(other);
        operator.update_secret().secret_id(&secret).kms_key_id(other).send().await.expect("changed");
        let readers = stage.keywheel.settings().reader_group.clone().expect("a group");
        stage.cloud.remove_from_group(MEMBER, &readers, "ci-bot");
        pass(&stage, 1).await;
        scenario("drift", stage, Act::Day, QUIET)
    });
}

#[test]
fn an_event_is_told() {
    survive(async || {
        let stage = stage(&[90]);
        stage.sweep_well().await;
        stage.cloud.run_rotations().await;
        scenario("event", stage, Act::Events, WHOLE_WAY_OUT)
    });
}

#[test]
fn what_a_sweep_held_is_told_by_the_digest() {
    survive(async || {
        let stage = rotated_ago(&[5]).await;
        pass(&stage, 5).await;
        scenario("digest", stage, Act::AccountAndDigest, RECOVERY)
    });
}

#[test]
fn the_digest_schedules_the_deletion_of_a_gone_users_secret() {
    survive(async || {
        let stage = rotated_ago(&[5, 12, 16, 23]).await;
        stage.cloud.delete_user(MEMBER, "ci-bot");
        pass(&stage, 1).await;
        scenario("digest of a deleted user", stage, Act::AccountAndDigest, QUIET)
    });
}
