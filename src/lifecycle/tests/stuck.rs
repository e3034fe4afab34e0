//! Rotations that make no progress: when they are abandoned, and when they are left to Secrets Manager.

use super::*;

const ABANDONS: &str = "abandon the unfinished rotation of version 00000000000000000000000000000002";

/// The key is due since a day, and the pending version names no key.
fn without_key(begun: Option<TimeDelta>) -> UserFacts {
    let secret = placeholder(1).unfinished(2);
    user([key(1, days(91))]).with(PresentSecret { unfinished_since: begun.map(|ago| now() - ago), ..secret })
}

/// The rotation announced its key and made it.
fn with_key(ago: TimeDelta, made: KeyFacts) -> UserFacts {
    let secret = placeholder(1).unfinished(2).intent(2, ago).begun(ago);
    user([key(1, days(95)), KeyFacts { created: now() - ago, ..made }]).with(secret)
}

fn abandons(facts: &UserFacts) -> bool {
    let decided = decide(facts);
    assert!(decided.contains("rotate 1"), "{decided}");
    let first = format!("{ABANDONS} | rotate 1");
    assert_eq!(decided.contains(ABANDONS), decided.contains(&first), "the rotation follows at once: {decided}");
    decided.contains(&first)
}

#[test]
fn on_aws_b4_a_rotation_without_a_key_is_abandoned_within_a_day() {
    let limit = TimeDelta::hours(20);
    for (begun, expected) in [(limit - SECOND, false), (limit, true), (limit + SECOND, true), (days(60), true)] {
        assert_eq!(abandons(&without_key(Some(begun))), expected, "{begun}");
    }
    assert!(!abandons(&without_key(None)), "unknown is not long ago");
}

#[test]
fn on_aws_b4_a_rotation_with_a_key_is_abandoned_on_day_four() {
    let made = || key(2, days(0));
    let midnight = TimeDelta::hours(9);
    for (ago, expected) in [(days(3) + midnight, false), (days(3) + midnight + SECOND, true), (days(4), true)] {
        assert_eq!(abandons(&with_key(ago, made())), expected, "{ago}");
    }
    let tested = KeyFacts { last_use: used_by_test(), ..made() };
    assert!(abandons(&with_key(days(4), tested)), "only its test used it");
    let gone = user([key(1, days(95))]).with(placeholder(1).unfinished(2).intent(2, days(4)).begun(days(4)));
    assert!(abandons(&gone), "nobody has the key any more");
}

#[test]
fn on_aws_b4_in_doubt_a_rotation_with_a_key_is_not_abandoned() {
    let left = |made: KeyFacts| assert!(!decide(&with_key(days(30), made)).contains("abandon"));
    left(key(2, days(0)).used(days(1)));
    left(key(2, days(0)).unknown());
    left(KeyFacts { last_use: LastUse::NotAsked, ..key(2, days(0)) });
}

#[test]
fn on_aws_b4_a_forced_rotation_that_is_stuck_begins_anew() {
    let keys = [key(1, days(100)), key(2, days(11))];
    let sent = rotated(2, Some(1), days(11)).sent(2, &[Phase::Rotated]).sent(1, &[Phase::DisableAhead]);
    let ordered = sent.state(|state| state.force = true).unfinished(3).begun(days(1));
    let decided = decide(&user(keys).with(ordered));
    assert_eq!(decided, format!("{} | rotate 2, made 2026-11-11", ABANDONS.replace("02", "03")));
}

/// The schedule cannot be set while a version is pending.
#[test]
fn on_aws_b4_a_stuck_rotation_does_not_stop_a_repair() {
    let facts = |begun| user([key(1, days(30))]).with(placeholder(1).unfinished(2).begun(begun).drift(Drift::Schedule));
    assert_eq!(decide(&facts(days(1))), format!("{ABANDONS} | repair the rotation schedule"));
    assert_eq!(decide(&facts(days(0))), "repair the rotation schedule", "it may be running");
    let no_drift = user([key(1, days(30))]).with(placeholder(1).unfinished(2).begun(days(1)));
    assert_eq!(decide(&no_drift), "", "somebody ordered it, and the key is not due");
}

/// The label is off, the function failed again before it announced a key, and the key of the first rotation is there.
#[test]
fn on_aws_b4_the_key_of_an_abandoned_rotation_is_in_flight() {
    let keys = [key(1, days(95)), KeyFacts { last_use: used_by_test(), ..key(2, days(4)) }];
    let secret = placeholder(1).intent(2, days(4)).unfinished(3).begun(days(1));
    let decided = decide(&user(keys).with(secret));
    assert!(decided.contains("rotate 1") && !decided.contains("give way"), "{decided}");
}

fn used_by_test() -> LastUse {
    LastUse::At(KeyUse { time: now() - days(3), service: "sts".to_owned(), region: "us-east-1".to_owned() })
}
