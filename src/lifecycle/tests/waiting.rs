//! The events that a plan waits for, and their times.

use super::*;
use crate::lifecycle::{Allowance, GrantedTurns, ReadObstacle, plan_within};

/// The waits of a plan, keys by their number.
fn waits(facts: &UserFacts) -> String {
    let plan = plan(facts, &periods(), now());
    by_number(&plan.waiting.iter().map(ToString::to_string).collect::<Vec<_>>().join(" | "))
}

pub(super) fn in_grace() -> UserFacts {
    let secret = rotated(2, Some(1), days(5)).sent(2, &[Phase::Rotated]).sent(1, &[Phase::DisableAhead]);
    user([key(1, days(95)), key(2, days(5))]).with(secret)
}

#[test]
fn a_key_in_its_grace_waits_for_the_end_of_it() {
    assert_eq!(waits(&in_grace()), "disable 1 waits until 2026-11-27 for the installation grace to end");
    let secret = rotated(2, Some(1), days(14)).disabled(days(4)).sent(2, &[Phase::Rotated]);
    let disabled = user([key(1, days(104)).inactive(), key(2, days(14))]).with(secret);
    assert_eq!(waits(&disabled), "delete 1 waits until 2026-11-28 for the recovery grace to end");
}

/// The notices of a plan in which no change has its turn, keys by their number.
fn notices_out_of_turn(facts: &UserFacts) -> String {
    let allowance = Allowance { turns: GrantedTurns::NONE, is_limited: true };
    let plan = plan_within(facts, &periods(), now(), allowance);
    assert_eq!(plan.actions, []);
    by_number(&plan.notices.iter().map(ToString::to_string).collect::<Vec<_>>().join(" | "))
}

#[test]
fn on_aws_b7_a_postponed_disabling_is_warned_of_once() {
    let due = rotated(2, Some(1), days(12)).sent(2, &[Phase::Rotated]);
    let keys = [key(1, days(102)), key(2, days(12))];
    let facts = |secret: &PresentSecret| user(keys.clone()).with(secret.clone());
    assert_eq!(notices_out_of_turn(&facts(&due)), "1: will be disabled from 2026-11-22 on");
    assert_eq!(notices_out_of_turn(&facts(&due.clone().sent(1, &[Phase::DisableAhead]))), "");
}

#[test]
fn on_aws_b7_a_postponed_deletion_is_warned_of_once() {
    let due = rotated(2, Some(1), days(22)).disabled(days(12)).sent(2, &[Phase::Rotated]);
    let keys = [key(1, days(112)).inactive(), key(2, days(22))];
    let facts = |secret: &PresentSecret, told: &[Phase]| user(keys.clone()).with(secret.clone().sent(1, told));
    assert_eq!(notices_out_of_turn(&facts(&due, &[Phase::Disabled])), "1: will be deleted from 2026-11-22 on");
    assert_eq!(notices_out_of_turn(&facts(&due, &[Phase::Disabled, Phase::DeleteAhead])), "");
}

#[test]
fn a_due_rotation_waits_for_its_slot() {
    let secret = rotated(1, None, days(120)).retiring(2, days(15)).disabled(days(4)).sent(2, &[Phase::Disabled]);
    let facts = user([key(1, days(120)), key(2, days(60)).inactive()]).with(secret);
    assert_eq!(
        waits(&facts),
        "delete 2 waits until 2026-11-28 for the recovery grace to end | \
         rotate 1 waits until 2026-11-28 for the slot of 2"
    );
    let unknown = user([key(1, days(95)).unknown(), key(2, days(50))]).with(placeholder(1));
    assert_eq!(waits(&unknown), "rotate 1 waits for the slot of 2", "until somebody solves the problem");
}

#[test]
fn a_rotation_waits_for_lists_tags_and_another_rotation() {
    let unlisted = user([key(1, days(90))]).with(rotated(2, Some(1), TimeDelta::minutes(30)));
    assert_eq!(
        waits(&unlisted),
        "rotate 2 waits until 2026-11-22T09:30:00Z for IAM to list the key that a rotation has just made"
    );
    let other_version = user([key(1, days(30))]).with(placeholder(1).current(2));
    assert_eq!(waits(&other_version), "rotate waits for the tags to describe the current version");
    let announced = other_version.secret.present().expect("a secret").clone().intent(2, SECOND);
    assert_eq!(
        waits(&user([key(1, days(30))]).with(announced)),
        "repair waits until 2026-11-22T09:59:59Z for IAM to list the key that a rotation has just made"
    );
    let under_way = user([key(1, days(30))]).with(placeholder(1).intent(2, days(1)).unfinished(2));
    let version = version(2);
    assert_eq!(waits(&under_way), format!("rotate 1 waits for the rotation of version {version} to finish"));
}

#[test]
fn a_plan_that_only_waits_is_empty() {
    let plan = plan(&in_grace(), &periods(), now());
    assert!(plan.is_empty() && !plan.waiting.is_empty(), "{plan}");
    assert_eq!(waits(&user([key(1, days(30))]).with(placeholder(1))), "", "nothing is near");
}

#[test]
fn reported_c3_nothing_is_done_while_the_secret_is_unreadable() {
    let why = [ReadObstacle::ManagedKey, ReadObstacle::NoRoomInGroups];
    for (why, refused) in why.into_iter().zip(["SECRETS_KMS_KEY_ID is not the ARN", "the user cannot read its secret"])
    {
        let unreadable = |facts: UserFacts| decide(&UserFacts { unreadable: Some(why), ..facts });
        let problem = format!("problem rotate: {refused}");
        let decided = unreadable(user([key(1, days(90))]));
        assert!(decided.starts_with(&problem) && !decided.contains(" | "), "no secret is made: {decided}");
        let told = "notify 1: is not rotated any more: the user cannot read its secret";
        for facts in [
            user([key(1, days(10))]).with(placeholder(1)),
            user([key(1, days(85))]).with(placeholder(1)),
            user([key(1, days(90))]).with(placeholder(1).drift(Drift::Policy)),
        ] {
            let decided = unreadable(facts);
            let planned: Vec<&str> = decided.split(" | ").collect();
            assert_eq!(planned[..2], ["cancel the schedule: the user cannot read its secret", told], "{decided}");
            assert!(planned[2].starts_with(&problem) && planned.len() == 3, "{decided}");
        }
        let outgoing = unreadable(in_grace());
        assert!(!outgoing.contains("disable ") && !outgoing.contains("will be disabled"), "{outgoing}");
        let exempt = user([key(1, days(10))]).with(placeholder(1)).exempt(Exemption::Exempt);
        assert!(unreadable(exempt).starts_with("cancel the schedule: the user is exempt"));
    }
}
