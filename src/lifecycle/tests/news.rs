//! The notices that tags explain: one second before, at and after their limits.

use super::waiting::in_grace;
use super::*;
use crate::lifecycle::{News, NoticeKind, notices_of};
use crate::state::{FailedStep, FailureCause, Notified, Step};

fn failed(step: Step, of: u64, ago: TimeDelta) -> FailedStep {
    FailedStep::new(FailureCause::NoFreeSlot, step, &version(of), now() - ago)
}

/// A user with a placeholder, and a rotation of that version that failed in that step.
fn failing(step: Step, of: u64, ago: TimeDelta) -> UserFacts {
    let mut secret = placeholder(1);
    secret.state.failed = Some(failed(step, of, ago));
    user([key(1, days(10))]).with(secret)
}

fn pending(facts: UserFacts, of: u64) -> UserFacts {
    let SecretFacts::Present(secret) = facts.secret else { panic!("a secret") };
    UserFacts { secret: SecretFacts::Present(secret.unfinished(of)), ..facts }
}

#[test]
fn reported_c3_a_failure_is_told_by_the_next_sweep() {
    let told = "notify 1: its rotation failed: NoFreeSlot in createSecret";
    let hour = TimeDelta::hours(1);
    for (ago, is_told) in [(hour - SECOND, false), (hour, true), (days(3), true)] {
        let decided = decide(&pending(failing(Step::CreateSecret, 2, ago), 2));
        assert_eq!(decided.contains(told), is_told, "{ago}: {decided}");
    }
    let past = decide(&failing(Step::CreateSecret, 2, days(3)));
    assert!(!past.contains("its rotation failed"), "that version is not pending any more: {past}");
    let other = decide(&pending(failing(Step::CreateSecret, 2, days(3)), 3));
    assert!(!other.contains("its rotation failed"), "another rotation is under way: {other}");
}

#[test]
fn reported_c3_a_failure_is_told_again_after_the_period() {
    for (sent, is_told) in [(days(6), false), (days(7), true)] {
        let mut facts = pending(failing(Step::CreateSecret, 2, hour()), 2);
        let SecretFacts::Present(secret) = &mut facts.secret else { panic!("a secret") };
        secret.state.notified = Notified::default();
        secret.state.notified.record_on(&id(1), Phase::Failed, now() - sent);
        assert_eq!(decide(&facts).contains("its rotation failed"), is_told, "{sent}");
    }
}

fn hour() -> TimeDelta {
    TimeDelta::hours(1)
}

#[test]
fn on_aws_b8_a_failed_test_says_that_the_next_rotation_fails() {
    let decided = decide(&failing(Step::TestSecret, 2, hour()));
    assert!(decided.contains("the test of its rotation failed: NoFreeSlot"), "{decided}");
    let young = decide(&failing(Step::TestSecret, 2, hour() - SECOND));
    assert!(!young.contains("the test of its rotation"), "{young}");
}

#[test]
fn on_aws_b1_an_event_takes_its_cause_from_the_tag() {
    let of = |facts: &UserFacts, news| {
        let secret = facts.secret.present().expect("a secret");
        notices_of(secret, news, &[], &periods(), now()).pop().map(|(_, kind)| kind)
    };
    let known = pending(failing(Step::CreateSecret, 2, SECOND), 2);
    let failed = Some(failed(Step::CreateSecret, 2, SECOND));
    assert_eq!(of(&known, News::RotationFailed), Some(NoticeKind::RotationFailed { failed, keys: Vec::new() }));
    let unknown = pending(failing(Step::CreateSecret, 3, SECOND), 2);
    let without = NoticeKind::RotationFailed { failed: None, keys: Vec::new() };
    assert_eq!(of(&unknown, News::RotationFailed), Some(without), "the cause is of another rotation");
    assert_eq!(of(&known, News::RotationAbandoned), Some(NoticeKind::RotationAbandoned));
    assert_eq!(of(&known, News::LabelMoved), None, "nothing was rotated");
}

#[test]
fn on_aws_b8_more_than_two_keys_are_one_problem() {
    let keys = || [key(1, days(95)), key(2, days(50)).inactive(), key(3, days(1))];
    let expected = "problem rotate: the user has 3 access keys, more than IAM allows: \
                    1 (active, made 2026-08-19), 2 (inactive, made 2026-10-03), \
                    3 (active, made 2026-11-21); none is rotated, disabled or deleted. Delete \
                    unused keys until two are left";
    assert_eq!(decide(&user(keys()).with(placeholder(1))), expected);
    let in_use = decide(&UserFacts { keys: keys().to_vec(), ..in_grace() });
    assert_eq!(in_use.matches("problem").count(), 1, "{in_use}");
    assert!(!in_use.contains("disable ") && !in_use.contains("delete AKIA"), "{in_use}");
}
