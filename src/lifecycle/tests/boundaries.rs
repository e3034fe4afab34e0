//! Decisions one second before a limit, at the limit, and after it.

use super::*;
use crate::calendar::midnight;
use crate::lifecycle::{ActionName, Allowance, GrantedTurns, NoticeDate, NoticeKind, Wait, plan_within};

/// The time since the last second of the day that many days of the calendar ago. A fact of one second later dates from
/// the next day.
fn day_ago(days_ago: i64) -> TimeDelta {
    now() - midnight(now()) + days(days_ago - 1) + SECOND
}

/// Asserts that a decision begins at the limit; `facts` gets the time that has passed.
fn around(limit: TimeDelta, facts: impl Fn(TimeDelta) -> UserFacts) -> [String; 3] {
    [limit - SECOND, limit, limit + SECOND].map(|passed| decide(&facts(passed)))
}

fn assert_begins_at(limit: TimeDelta, what: &str, facts: impl Fn(TimeDelta) -> UserFacts) {
    let [before, at, after] = around(limit, facts);
    assert!(!before.contains(what), "too early: {before}");
    assert!(at.contains(what), "not at the limit: {at}");
    assert!(after.contains(what), "not after the limit: {after}");
}

/// Key 2 replaced key 1; both work.
fn replaced(passed: TimeDelta) -> UserFacts {
    user([key(1, passed + days(90)).used(days(20)), key(2, passed).used(days(1))]).with(rotated(2, Some(1), passed))
}

#[test]
fn a_rotation_starts_when_the_key_is_ninety_days_old() {
    assert_begins_at(day_ago(90), "rotate 1", |age| user([key(1, age)]).with(placeholder(1)));
    assert_begins_at(day_ago(90), "rotate 1", |age| user([key(1, age)]));
    assert_begins_at(day_ago(90), "rotate 2", |age| user([key(2, age)]).with(rotated(2, Some(1), age)));
}

#[test]
fn a_rotation_is_announced_from_seven_days_ahead_until_due() {
    let facts = |age| user([key(1, age)]).with(placeholder(1));
    assert_begins_at(day_ago(83), "notify 1: will be rotated on", facts);
    assert!(!decide(&facts(day_ago(90))).contains("will be rotated"));
}

#[test]
fn a_replaced_key_is_disabled_after_its_installation_grace() {
    assert_begins_at(day_ago(10), "disable 1", replaced);
    assert_begins_at(day_ago(3), "notify 1: will be disabled on 2026-11-29", replaced);
}

#[test]
fn a_disabled_key_is_deleted_after_its_recovery_grace() {
    let disabled = |passed: TimeDelta| {
        let keys = [key(1, days(130)).inactive(), key(2, days(40)).used(days(1))];
        user(keys).with(rotated(2, Some(1), days(40)).disabled(passed))
    };
    assert_begins_at(day_ago(10), "delete 1 |", disabled);
    assert_begins_at(day_ago(3), "notify 1: will be deleted on", disabled);
}

#[test]
fn the_recovery_grace_counts_from_the_recorded_disabling() {
    let keys = [key(1, days(400)).inactive(), key(2, days(80)).used(days(1))];
    let decided = decide(&user(keys).with(rotated(2, Some(1), days(80)).disabled(days(9))));
    assert!(!decided.contains("delete 1 |"), "{decided}");
}

#[test]
fn use_of_the_old_key_is_news_three_days_after_the_rotation() {
    let facts = |after_rotation: TimeDelta| {
        let keys = [key(1, days(94)).used(days(4) - after_rotation), key(2, days(4))];
        user(keys).with(rotated(2, Some(1), days(4)))
    };
    assert!(!decide(&facts(days(3))).contains("was used after its rotation"));
    assert!(decide(&facts(days(3) + SECOND)).contains("notify 1: was used after its rotation: s3 in eu-west-1"));
}

#[test]
fn use_of_a_disabled_key_proves_that_it_was_enabled_in_between() {
    let facts = |after_disabling: TimeDelta| {
        let keys = [key(1, days(130)).inactive().used(days(12) - after_disabling), key(2, days(40))];
        user(keys).with(rotated(2, Some(1), days(40)).disabled(days(12)))
    };
    let quarter = TimeDelta::minutes(15);
    assert!(decide(&facts(quarter)).contains("delete 1"));
    let decided = decide(&facts(quarter + SECOND));
    assert!(decided.contains("record that 1 is disabled") && !decided.contains("delete 1"), "{decided}");
    assert!(decided.contains("notify 1: is disabled and will be deleted on 2026-12-02"), "{decided}");
}

/// Key 1 is in the secret and tested; a person made key 2.
fn with_second_key(age: TimeDelta) -> UserFacts {
    user([key(1, age).used(days(1)), key(2, days(20)).used(days(1))]).with(rotated(1, None, age))
}

#[test]
fn a_second_key_is_left_alone_until_the_rotation_needs_its_slot() {
    // Before the rotation: ten days of announcement, ten of recovery, and two in reserve.
    assert_begins_at(day_ago(68), "announce that 2 has to give way", with_second_key);
    assert_eq!(decide(&with_second_key(day_ago(68) - SECOND)), "notify 1: is the new key");
}

#[test]
fn a_second_key_is_disabled_when_the_announced_time_is_over() {
    assert_begins_at(day_ago(10), "disable 2", |passed| {
        let secret = rotated(1, None, days(80)).retiring(2, passed);
        user([key(1, days(80)), key(2, days(20)).used(days(1))]).with(secret)
    });
}

#[test]
fn a_second_key_is_deleted_and_the_rotation_follows_at_once() {
    let facts = |passed: TimeDelta| {
        let secret = rotated(1, None, days(90)).retiring(2, days(10) + passed).disabled(passed);
        user([key(1, days(90)), key(2, days(20)).inactive()]).with(secret)
    };
    assert_begins_at(day_ago(10), "delete 2 | rotate 1", facts);
}

#[test]
fn an_unfinished_rotation_is_news_a_day_after_it_was_due() {
    assert_begins_at(day_ago(91), "its rotation is not finished", |age| {
        user([key(1, age)]).with(placeholder(1).unfinished(2))
    });
}

#[test]
fn a_rotation_is_announced_for_the_day_of_its_free_slot() {
    let secret = rotated(1, None, days(120)).retiring(2, days(15)).disabled(days(4)).sent(2, &[Phase::Disabled]);
    let facts = user([key(1, days(120)), key(2, days(60)).inactive()]).with(secret.sent(1, &[Phase::Rotated]));
    assert_eq!(
        decide(&facts),
        "notify 2: will be deleted on 2026-11-28 | notify 1: will be rotated from 2026-11-28 on"
    );
}

#[test]
fn on_aws_a1_the_last_call_is_on_the_day_before_in_any_run() {
    let disabled = |hour: i64| {
        let keys = [key(1, days(130)).inactive(), key(2, days(40)).used(days(1))];
        let disabled_at = midnight(now()) - days(9) + TimeDelta::hours(hour);
        user(keys).with(rotated(2, Some(1), days(40)).state(|state| state.disabled_at = Some(disabled_at)))
    };
    for hour in [0, 6, 23] {
        let decided = decide(&disabled(hour));
        assert!(decided.contains("notify 1: will be deleted tomorrow, on 2026-11-23"), "{decided}");
    }
}

#[test]
fn on_aws_a2_a_doubt_makes_a_date_the_first_possible() {
    let facts = |known: bool| {
        let old = key(1, days(98)).used(days(20));
        let old = if known { old } else { old.unknown() };
        user([old, key(2, days(8)).used(days(1))]).with(rotated(2, Some(1), days(8)))
    };
    assert!(decide(&facts(true)).contains("notify 1: will be disabled on 2026-11-24"), "{}", decide(&facts(true)));
    assert!(decide(&facts(false)).contains("notify 1: will be disabled from 2026-11-24 on"));
}

/// Records that a notice of this phase named the day that many days ahead.
fn named(secret: PresentSecret, n: u64, phase: Phase, in_days: i64) -> PresentSecret {
    let day = midnight(now()) + days(in_days);
    secret.state(|state| state.notified.record_dated(&id(n), phase, std::collections::BTreeSet::new(), day, true))
}

#[test]
fn on_aws_a1_a_shorter_period_keeps_the_announced_date() {
    let keys = [key(1, days(130)).used(days(30)), key(2, days(40)).used(days(1))];
    for (phase, n) in [(Phase::Rotated, 2), (Phase::DisableAhead, 1), (Phase::Reactivated, 1)] {
        let facts = |in_days| user(keys.clone()).with(named(rotated(2, Some(1), days(40)), n, phase, in_days));
        assert!(!decide(&facts(1)).contains("disable 1"), "{phase}: {}", decide(&facts(1)));
        assert!(decide(&facts(0)).contains("disable 1"), "{phase}: {}", decide(&facts(0)));
    }
    let [old, new] = keys;
    for phase in [Phase::Disabled, Phase::DeleteAhead, Phase::LastCall] {
        let secret = |in_days| named(rotated(2, Some(1), days(40)).disabled(days(20)), 1, phase, in_days);
        let facts = |in_days| user([old.clone().inactive(), new.clone()]).with(secret(in_days));
        assert!(!decide(&facts(1)).contains("delete 1"), "{phase}: {}", decide(&facts(1)));
        assert!(decide(&facts(0)).contains("delete 1"), "{phase}: {}", decide(&facts(0)));
    }
    let facts = |in_days| user([key(1, days(95))]).with(named(placeholder(1), 1, Phase::RotateAhead, in_days));
    assert!(!decide(&facts(1)).contains("rotate 1") && decide(&facts(0)).contains("rotate 1"));
    assert!(decide(&facts(100)).contains("rotate 1"), "a forged day stops no rotation");
}

#[test]
fn on_aws_a2_a_date_that_moves_is_news() {
    let secret =
        |in_days| named(rotated(2, Some(1), days(5)), 1, Phase::DisableAhead, in_days).sent(2, &[Phase::Rotated]);
    let facts = |in_days| user([key(1, days(95)), key(2, days(5))]).with(secret(in_days));
    assert_eq!(decide(&facts(5)), "");
    assert_eq!(decide(&facts(3)), "notify 1: will be disabled on 2026-11-27", "the period became longer");
}

#[test]
fn on_aws_a2_a_rotation_that_loses_its_slot_is_told_at_once() {
    let secret = |named_for| named(rotated(1, None, days(85)), 1, Phase::RotateAhead, named_for);
    let facts = |secret: PresentSecret| {
        let retiring = secret.retiring(2, days(2)).sent(1, &[Phase::Rotated]).sent(2, &[Phase::Retiring]);
        user([key(1, days(85)).used(days(1)), key(2, days(2))]).with(retiring)
    };
    assert_eq!(decide(&facts(secret(5))), "notify 1: will be rotated from 2026-12-10 on", "though it is far ahead");
}

/// A key that a run disables is deleted a grace after that, and a run may be missed.
#[test]
fn on_aws_a2_a_second_key_is_deleted_from_its_first_day_on() {
    let retiring = |second: KeyFacts| {
        let facts = user([key(1, days(75)).used(days(1)), second]).with(rotated(1, None, days(75)));
        let planned = plan(&facts, &periods(), now()).notices.into_iter().map(|notice| notice.kind);
        planned.filter(|kind| kind.phase() == Phase::Retiring).collect::<Vec<_>>()
    };
    let in_days = |count: i64| midnight(now()) + days(count);
    let (on, from) = (|count| NoticeDate::On(in_days(count)), |count| NoticeDate::From(in_days(count)));
    let active = NoticeKind::Retiring { disable_at: Some(on(10)), delete_at: from(20) };
    assert_eq!(retiring(key(2, days(40))), [active]);
    let inactive = NoticeKind::Retiring { disable_at: None, delete_at: on(10) };
    assert_eq!(retiring(key(2, days(40)).inactive()), [inactive]);
}

/// A notice that named the first possible day stays true while the limit puts the change off.
#[test]
fn on_aws_b7_a_change_put_off_is_announced_unless_it_was() {
    let allowance = Allowance { turns: GrantedTurns::NONE, is_limited: true };
    let told = |facts: &UserFacts| {
        let planned = plan_within(facts, &periods(), now(), allowance);
        assert_eq!(planned.waiting.iter().filter(|waiting| waiting.wait == Wait::Turn).count(), 1, "{planned}");
        by_number(&planned.notices.iter().map(ToString::to_string).collect::<Vec<_>>().join(" | "))
    };
    let keys = [key(1, days(130)).used(days(30)), key(2, days(40)).used(days(1))];
    let secret = || rotated(2, Some(1), days(40)).sent(2, &[Phase::Rotated]);
    let named = |phase, in_days: i64, is_exact| {
        let day = midnight(now()) + days(in_days);
        secret()
            .state(|state| state.notified.record_dated(&id(1), phase, std::collections::BTreeSet::new(), day, is_exact))
    };
    let disabling = "1: will be disabled from 2026-11-22 on";
    for (secret, is_told) in [
        (secret(), true),
        (named(Phase::DisableAhead, -1, true), true),
        (named(Phase::DisableAhead, 0, true), false),
        (named(Phase::DisableAhead, -9, false), false),
        (named(Phase::Reactivated, -9, false), false),
    ] {
        assert_eq!(told(&user(keys.clone()).with(secret)), if is_told { disabling } else { "" });
    }
    let [old, new] = keys;
    let deletion = "1: will be deleted from 2026-11-22 on";
    for (secret, is_told) in [
        (secret().sent(1, &[Phase::Disabled]), true),
        (named(Phase::LastCall, -1, true), true),
        (named(Phase::DeleteAhead, 0, true), false),
        (named(Phase::DeleteAhead, -9, false), false),
        // Not a warning: it was sent a whole grace ago.
        (named(Phase::Disabled, -9, false), true),
    ] {
        let facts = user([old.clone().inactive(), new.clone()]).with(secret.disabled(days(20)));
        assert_eq!(told(&facts), if is_told { deletion } else { "" });
    }
}

/// If the schedule were set while the rotation waits, Secrets Manager might rotate the overdue key at once.
#[test]
fn on_aws_b7_an_overdue_keys_schedule_waits_with_its_rotation() {
    let facts = user([key(1, days(95))]).with(placeholder(1).drift(Drift::Schedule));
    for (turns, actions) in [(GrantedTurns::ALL, 1), (GrantedTurns::NONE, 0)] {
        let planned = plan_within(&facts, &periods(), now(), Allowance { turns, is_limited: true });
        assert_eq!(planned.actions.len(), actions, "{planned}");
    }
}

/// A rotation that a person ordered by force, or that began before, waits for no turn.
#[test]
fn on_aws_b7_ordered_and_begun_rotations_wait_for_no_turn() {
    let allowance = Allowance { turns: GrantedTurns::NONE, is_limited: true };
    let due = |secret: PresentSecret| plan_within(&user([key(1, days(90))]).with(secret), &periods(), now(), allowance);
    let forced = placeholder(1).state(|state| state.force = true);
    for (secret, is_rotated) in [(placeholder(1), false), (forced, true), (placeholder(1).unfinished(2), true)] {
        let planned = due(secret);
        assert_eq!(planned.actions.iter().any(|action| action.name() == ActionName::Rotate), is_rotated, "{planned}");
        assert_eq!(planned.waiting.iter().any(|waiting| waiting.wait == Wait::Turn), !is_rotated, "{planned}");
    }
}
