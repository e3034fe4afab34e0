//! Single rules. `table` has every state of two keys.

use super::*;
use crate::calendar::midnight;
use crate::keys::KeyUse;
use crate::state::{Intent, Retiring, tag};
pub(super) use crate::testing::{key as id, now, version};

pub(super) fn used(service: &str, ago: TimeDelta) -> LastUse {
    LastUse::At(KeyUse { time: now() - ago, service: service.to_owned(), region: "eu-west-1".to_owned() })
}

pub(super) fn key(n: u8, status: KeyStatus, age_days: i64) -> SlotKey {
    let created = now() - TimeDelta::days(age_days);
    SlotKey { listed: ListedKey { id: id(n), status, created }, last_use: LastUse::Never }
}

fn active(n: u8, age_days: i64) -> SlotKey {
    key(n, KeyStatus::Active, age_days)
}

fn inactive(n: u8, age_days: i64) -> SlotKey {
    key(n, KeyStatus::Inactive, age_days)
}

fn state() -> State {
    State { managed: true, version: Some(version(1)), ..State::default() }
}

fn forced() -> State {
    State { force: true, ..state() }
}

fn disabled(previous: u8, ago: TimeDelta) -> State {
    let rotated_at = Some(now() - TimeDelta::days(30));
    State { previous_key: Some(id(previous)), rotated_at, disabled_at: Some(now() - ago), ..state() }
}

/// Decides with key 1 in the current value, which the tags describe.
fn decide(keys: &[SlotKey], state: &State) -> Decision {
    decide_with(keys, state, KeyInValue::Key(&id(1)))
}

fn decide_with(keys: &[SlotKey], state: &State, in_value: KeyInValue<'_>) -> Decision {
    decide_unread(keys, state, in_value, None)
}

fn decide_unread(keys: &[SlotKey], state: &State, in_value: KeyInValue<'_>, unread: Option<&str>) -> Decision {
    Slots {
        keys,
        state,
        current_version: Some(&version(1)),
        in_value,
        in_versions: &[],
        unread,
        announced: None,
        recovery_grace: TimeDelta::days(10),
        now: now(),
    }
    .decide()
}

fn refusal(decision: Decision) -> String {
    let Decision::NoFreeSlot(why) = decision else { panic!("not refused: {decision:?}") };
    why
}

#[test]
fn one_key_leaves_a_slot_free() {
    assert_eq!(decide(&[active(1, 90)], &state()), Decision::Remove(vec![]));
}

#[test]
fn upstream_defect_02_no_key_for_a_user_with_inactive_keys() {
    let expired = key(1, KeyStatus::Other("Expired".to_owned()), 90);
    for keys in [vec![], vec![inactive(1, 90)], vec![inactive(1, 90), inactive(2, 10)], vec![expired]] {
        assert_eq!(decide(&keys, &forced()), Decision::NoActiveKey, "{keys:?}");
    }
}

#[test]
fn upstream_defect_09_two_active_keys_are_both_kept() {
    assert_eq!(refusal(decide(&[active(1, 95), active(2, 95)], &state())), "neither was disabled by keywheel");
}

#[test]
fn upstream_defect_08_an_inactive_key_of_unknown_origin_is_kept() {
    let keys = [active(1, 95), inactive(2, 200)];
    for state in [state(), disabled(9, TimeDelta::days(50))] {
        assert_eq!(refusal(decide(&keys, &state)), "neither was disabled by keywheel");
    }
}

#[test]
fn a_key_that_keywheel_disabled_gives_way_after_its_grace() {
    let keys = [active(1, 50), inactive(2, 120)];
    // The last second of the day that is ten days of the calendar ago.
    let today = now() - midnight(now());
    let last = today + TimeDelta::days(9) + TimeDelta::seconds(1);
    assert_eq!(decide(&keys, &disabled(2, last)), Decision::Remove(vec![id(2)]));
    let why = refusal(decide(&keys, &disabled(2, last - TimeDelta::seconds(1))));
    assert!(why.contains("can be recovered until 2026-11-23"), "{why}");
    let stale = State { version: Some(version(9)), ..disabled(2, TimeDelta::days(10)) };
    refusal(decide(&keys, &stale));
}

#[test]
fn a_disabled_key_that_was_used_later_is_kept() {
    let disabled = disabled(2, TimeDelta::days(20));
    let with_use = |last_use| decide(&[active(1, 50), SlotKey { last_use, ..inactive(2, 120) }], &disabled);
    assert_eq!(with_use(used("s3", TimeDelta::days(21))), Decision::Remove(vec![id(2)]));
    assert!(refusal(with_use(used("s3", TimeDelta::days(19)))).contains("was used after it was disabled"));
    assert!(refusal(with_use(LastUse::Unknown("denied".to_owned()))).contains("is unknown: denied"));
}

#[test]
fn a_key_that_was_enabled_again_is_kept() {
    refusal(decide(&[active(1, 50), active(2, 120)], &disabled(2, TimeDelta::days(20))));
}

#[test]
fn a_retired_second_key_gives_way_too() {
    let retiring = Some(Retiring { key: id(2), since: now() - TimeDelta::days(20) });
    let state = State { retiring, disabled_at: Some(now() - TimeDelta::days(10)), ..state() };
    assert_eq!(decide(&[active(1, 90), inactive(2, 120)], &state), Decision::Remove(vec![id(2)]));
}

#[test]
fn the_disable_time_of_another_key_frees_no_slot() {
    let keys = [active(1, 90), inactive(2, 120)];
    let other = Retiring { key: id(1), since: now() - TimeDelta::days(20) };
    refusal(decide(&keys, &State { retiring: Some(other), ..disabled(2, TimeDelta::days(15)) }));
    let before_rotation = Retiring { key: id(2), since: now() - TimeDelta::days(90) };
    let left_over = State {
        retiring: Some(before_rotation),
        rotated_at: Some(now() - TimeDelta::days(5)),
        ..disabled(2, TimeDelta::days(60))
    };
    refusal(decide(&keys, &left_over));
}

#[test]
fn nothing_is_removed_while_a_tag_is_unreadable() {
    let mut tags = std::collections::BTreeMap::from([
        (tag::VERSION.to_owned(), version(1).to_string()),
        (tag::PREVIOUS_KEY.to_owned(), id(2).to_string()),
        (tag::ROTATED_AT.to_owned(), "2026-10-01T09:00:00Z".to_owned()),
        (tag::DISABLED_AT.to_owned(), "2026-10-12T09:00:00Z".to_owned()),
    ]);
    let keys = [active(1, 50), inactive(2, 120)];
    assert_eq!(decide(&keys, &State::read(&tags)), Decision::Remove(vec![id(2)]));
    // A person enabled it again, and the unreadable tag says that its grace began anew.
    tags.insert(tag::RETIRING.to_owned(), "in spring".to_owned());
    for force in ["false", "true"] {
        tags.insert(tag::FORCE.to_owned(), force.to_owned());
        let why = refusal(decide(&keys, &State::read(&tags)));
        assert!(why.contains("keywheel:retiring is `in spring`"), "{why}");
    }
}

#[test]
fn upstream_defect_10_force_removes_the_key_not_in_the_secret() {
    let both_active = [active(1, 95), active(2, 1)];
    assert_eq!(decide(&both_active, &forced()), Decision::Remove(vec![id(2)]));
    let mixed = [inactive(1, 95), active(2, 1)];
    assert_eq!(decide(&mixed, &forced()), Decision::Remove(vec![id(1)]), "the only active key stays");
}

#[test]
fn force_goes_by_use_if_the_secret_holds_neither_key() {
    let use_of = |last_use: &LastUse, n| SlotKey { last_use: last_use.clone(), ..active(n, 50) };
    let (in_use, never) = (used("s3", TimeDelta::days(1)), LastUse::Never);
    let unknown = LastUse::Unknown("throttled".to_owned());
    // A person deleted the key in the secret and made another: the value names a key that is not there.
    for in_value in [KeyInValue::NoKey, KeyInValue::Key(&id(9))] {
        let decide = |older, newer| decide_with(&[use_of(older, 1), use_of(newer, 2)], &forced(), in_value);
        assert_eq!(decide(&in_use, &never), Decision::Remove(vec![id(2)]));
        assert_eq!(decide(&never, &in_use), Decision::Remove(vec![id(1)]));
        assert_eq!(decide(&never, &never), Decision::Remove(vec![id(1)]), "the newer one stays");
        assert_eq!(refusal(decide(&in_use, &in_use)), "both are used and the secret holds neither");
        for (older, newer) in [(&unknown, &in_use), (&in_use, &unknown), (&never, &unknown)] {
            assert!(refusal(decide(older, newer)).contains("is unknown: throttled"));
        }
    }
}

fn announced(at: DateTime<Utc>) -> State {
    State { intent: Some(Intent::new(&version(2), at)), current_key: Some(id(1)), ..state() }
}

fn made_at(n: u8, seconds: i64) -> SlotKey {
    let made = active(n, 0);
    SlotKey { listed: ListedKey { created: now() + TimeDelta::seconds(seconds), ..made.listed }, ..made }
}

#[test]
fn an_orphan_is_removed_even_if_its_slot_is_not_needed() {
    assert_eq!(decide(&[active(1, 95), made_at(2, 0)], &announced(now())), Decision::Remove(vec![id(2)]));
    let inactive = State { current_key: None, ..announced(now()) };
    let gone = [made_at(2, 0)];
    assert_eq!(decide(&gone, &inactive), Decision::NoActiveKey, "an orphan is no reason for another key");
}

#[test]
fn an_orphan_is_in_no_version_and_within_the_intents_window() {
    let found = |keys: &[SlotKey], state: &State, in_versions: &[AccessKeyId]| {
        let slots = Slots {
            keys,
            state,
            current_version: Some(&version(1)),
            in_value: KeyInValue::NoKey,
            in_versions,
            unread: None,
            announced: None,
            recovery_grace: TimeDelta::days(10),
            now: now(),
        };
        slots.orphan().map(|key| key.listed.id.clone())
    };
    let keys = [active(1, 90), made_at(2, 1)];
    assert_eq!(found(&keys, &announced(now()), &[]), Some(id(2)));
    assert_eq!(found(&keys, &announced(now()), &[id(2)]), None, "it is in a version");
    assert_eq!(found(&keys, &state(), &[]), None, "no rotation was announced");
    for seconds in [-60, -2, 10, 30, 60] {
        assert_eq!(
            found(&[active(1, 90), made_at(2, seconds)], &announced(now()), &[]),
            None,
            "made {seconds} s after"
        );
    }
    let none_known = State { current_key: None, ..announced(now()) };
    assert_eq!(found(&[made_at(1, 1), made_at(2, 2)], &none_known, &[]), None, "one of the two is a person's");
    let in_tags = State { previous_key: Some(id(2)), ..announced(now()) };
    assert_eq!(found(&keys, &in_tags, &[]), None, "the tags know it");
    let settled = State { intent: Some(Intent::new(&version(1), now())), ..state() };
    assert_eq!(found(&keys, &settled, &[]), None, "the announced key is the one in the current version");
}

#[test]
fn only_the_key_that_the_intent_names_is_the_orphan() {
    let named = |n| State { intent: announced(now()).intent.map(|intent| intent.naming(&id(n))), ..announced(now()) };
    let keys = [active(1, 90), made_at(2, 1)];
    assert_eq!(decide(&keys, &named(2)), Decision::Remove(vec![id(2)]));
    refusal(decide(&keys, &named(3)));
    let long_after = [active(1, 90), made_at(2, 3600)];
    assert_eq!(decide(&long_after, &named(2)), Decision::Remove(vec![id(2)]), "the name is proof, whatever the clocks");
}

#[test]
fn a_used_candidate_is_kept_unless_our_own_test_used_it() {
    let decide = |last_use: &LastUse, in_announced: Option<&AccessKeyId>| {
        let keys = [active(1, 95), SlotKey { last_use: last_use.clone(), ..made_at(2, 0) }];
        let state = announced(now());
        let slots = Slots {
            keys: &keys,
            state: &state,
            current_version: Some(&version(1)),
            in_value: KeyInValue::Key(&id(1)),
            in_versions: &[],
            unread: None,
            announced: in_announced,
            recovery_grace: TimeDelta::days(10),
            now: now(),
        };
        slots.decide()
    };
    let (tested, by_owner) = (used("sts", TimeDelta::zero()), used("s3", TimeDelta::zero()));
    assert_eq!(decide(&tested, Some(&id(2))), Decision::Remove(vec![id(2)]), "put, tested, never handed out");
    for (last_use, in_announced) in
        [(&tested, None), (&tested, Some(&id(3))), (&by_owner, None), (&by_owner, Some(&id(2)))]
    {
        refusal(decide(last_use, in_announced));
    }
    refusal(decide(&LastUse::Unknown("denied".to_owned()), None));
}

#[test]
fn a_force_order_is_carried_out_once() {
    let keys = [active(1, 90), active(2, 50)];
    let spent = State { intent: Some(Intent::new(&version(1), now())), version: Some(version(9)), ..forced() };
    refusal(decide(&keys, &spent));
}

#[test]
fn reported_c1_force_beside_an_unreadable_value_needs_two_signs() {
    let (in_use, never) = (used("s3", TimeDelta::days(1)), LastUse::Never);
    let decide = |older: &LastUse, newer: &LastUse, named: Option<u8>, fresh: bool| {
        let use_of = |last_use: &LastUse, n| SlotKey { last_use: last_use.clone(), ..active(n, 50) };
        let described = if fresh { version(1) } else { version(9) };
        let state = State { current_key: named.map(id), version: Some(described), ..forced() };
        decide_with(&[use_of(older, 1), use_of(newer, 2)], &state, KeyInValue::Unreadable)
    };
    assert_eq!(decide(&in_use, &never, Some(1), true), Decision::Remove(vec![id(2)]));
    assert_eq!(decide(&never, &never, Some(2), true), Decision::Remove(vec![id(1)]));
    for (older, newer, named, fresh) in [
        (&in_use, &never, Some(2), true),
        (&in_use, &never, None, true),
        (&in_use, &never, Some(1), false),
        (&never, &never, Some(1), true),
        (&in_use, &in_use, Some(1), true),
    ] {
        refusal(decide(older, newer, named, fresh));
    }
    // Without force nothing depends on the value.
    let keys = [active(1, 50), inactive(2, 120)];
    let decided = decide_with(&keys, &disabled(2, TimeDelta::days(10)), KeyInValue::Unreadable);
    assert_eq!(decided, Decision::Remove(vec![id(2)]));
}

#[test]
fn reported_c1_no_orphan_is_guessed_beside_an_unread_version() {
    let keys = [active(1, 95), made_at(2, 0)];
    let decide = |keys: &[SlotKey], unread| decide_unread(keys, &announced(now()), KeyInValue::Unreadable, unread);
    assert_eq!(decide(&keys, None), Decision::Remove(vec![id(2)]), "the tags name the keys in the versions");
    let why = refusal(decide(&keys, Some("DecryptionFailure")));
    let remedy = format!("{} was created when a rotation announced a key", id(2));
    assert!(why.contains(&remedy) && why.contains("DecryptionFailure") && why.contains("keywheel:intent"), "{why}");
    assert_eq!(decide(&keys[..1], Some("DecryptionFailure")), Decision::Remove(vec![]), "there is no candidate");
}
