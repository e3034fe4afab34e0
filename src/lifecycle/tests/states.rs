//! Wrong secrets and facts: which are repaired, restored or refused.

use std::collections::BTreeMap;

use super::*;
use crate::lifecycle::{Action, CancelReason, RestoredFacts};
use crate::state::{Notified, TagChange, tag};

fn pair() -> [KeyFacts; 2] {
    [key(1, days(150)).used(days(1)), key(2, days(60)).used(days(1))]
}

#[test]
fn each_cancelled_schedule_of_an_exempt_user_has_a_notice() {
    let facts = |secret| user([key(1, days(200))]).with(secret).exempt(Exemption::Exempt);
    let first = decide(&facts(placeholder(1)));
    assert_eq!(
        first,
        "cancel the schedule: the user is exempt | notify 1: is not rotated any more: the user is exempt"
    );
    let off = || PresentSecret { rotation_enabled: false, ..placeholder(1) };
    assert_eq!(
        decide(&facts(off()).clone()),
        "notify 1: is not rotated any more: the user is exempt",
        "the mail was lost"
    );
    assert_eq!(decide(&facts(off().sent(1, &[Phase::Cancelled]))), "");
    let exempt_again = decide(&facts(placeholder(1).sent(1, &[Phase::Cancelled])));
    assert_eq!(exempt_again, first, "the schedule ran in between");
}

#[test]
fn another_tools_secret_of_an_exempt_user_is_not_touched() {
    let foreign = placeholder(1).state(|state| (state.managed, state.version) = (false, None));
    assert_eq!(decide(&user([key(1, days(200))]).with(foreign).exempt(Exemption::Exempt)), "");
}

#[test]
fn a_secret_pending_deletion_is_restored_for_an_active_key() {
    let facts = |key| UserFacts { secret: SecretFacts::PendingDeletion, ..user([key]) };
    assert_eq!(decide(&facts(key(1, days(200)))), "restore the secret, which is scheduled for deletion");
    assert_eq!(decide(&facts(key(1, days(200)).inactive())), "");
}

#[test]
fn drift_is_repaired_and_a_rotation_repairs_the_schedule_itself() {
    let facts = |age, drift| user([key(1, age)]).with(placeholder(1).drift(drift));
    assert_eq!(decide(&facts(days(1), Drift::Policy)), "repair the resource policy");
    assert_eq!(decide(&facts(days(1), Drift::Schedule)), "repair the rotation schedule");
    let due = plan(&facts(days(90), Drift::Schedule), &periods(), now());
    let created = now() - days(90);
    assert_eq!(due.actions, [Action::Rotate { key: id(1), created, configure: true }]);
}

#[test]
fn the_schedule_is_left_only_to_a_rotation_that_follows() {
    for keys in [vec![key(1, days(1))], vec![key(1, days(90))], vec![key(1, days(200)), key(2, days(100))]] {
        let plan = plan(&user(keys), &periods(), now());
        let follows = plan.actions.iter().any(|action| matches!(action, Action::Rotate { configure: true, .. }));
        assert!(matches!(plan.actions[0], Action::Provision { then_rotate, .. } if then_rotate == follows), "{plan}");
    }
}

#[test]
fn malformed_tags_stop_everything_but_repairs() {
    let tags = BTreeMap::from([
        (tag::MANAGED.to_owned(), "1".to_owned()),
        (tag::VERSION.to_owned(), version(1).to_string()),
        (tag::CURRENT_KEY.to_owned(), id(2).to_string()),
        (tag::PREVIOUS_KEY.to_owned(), id(1).to_string()),
        (tag::ROTATED_AT.to_owned(), "in spring".to_owned()),
    ]);
    let secret = PresentSecret { state: State::read(&tags), ..placeholder(2) }.drift(Drift::KmsKey);
    let decided = decide(&user([key(1, days(400)), key(2, days(200))]).with(secret));
    assert!(
        decided.starts_with("repair the KMS key | problem rotate: tag keywheel:rotated-at is `in spring`"),
        "{decided}"
    );
    assert_eq!(decided.split(" | ").count(), 2, "{decided}");
}

#[test]
fn a_rotation_without_records_is_restored_from_its_intent() {
    let keys = [key(1, days(95)).used(days(1)), key(2, days(1))];
    let secret = placeholder(1).current(2).intent(2, days(1));
    let plan = plan(&user(keys).with(secret), &periods(), now());
    let created = Some(now() - days(1));
    let restored = RestoredFacts { version: version(2), current_key: Some(id(2)), created, previous_key: Some(id(1)) };
    assert_eq!(plan.actions, [Action::RestoreFacts(restored)]);
    let change = plan.actions[0].tag_change(now(), &Notified::default());
    assert_eq!(change.set[tag::ROTATED_AT], "2026-11-22T09:00:00Z", "the grace counts from now");
}

/// IAM's list of keys lags by minutes. A second rotation would leave the user without a slot for twenty days.
#[test]
fn a_current_key_that_is_not_listed_yet_is_not_rotated_again() {
    let facts = |ago| user([key(1, days(90)).used(days(1))]).with(rotated(2, Some(1), ago).sent(2, &[Phase::Rotated]));
    assert_eq!(decide(&facts(TimeDelta::minutes(5))), "");
    assert_eq!(decide(&facts(-TimeDelta::minutes(5))), "", "the clocks of two functions");
    let deleted = decide(&facts(days(1)));
    assert!(deleted.starts_with("rotate 1"), "a person deleted it: {deleted}");
}

#[test]
fn facts_are_not_restored_without_a_key_that_is_not_listed_yet() {
    let facts = |ago| user([key(1, days(90))]).with(placeholder(1).current(2).intent(2, ago));
    assert_eq!(decide(&facts(TimeDelta::minutes(5))), "");
    let gone = decide(&facts(days(1)));
    assert!(gone.ends_with("is not keywheel's"), "a person deleted it: {gone}");
}

/// The sweeper's clock is minutes behind IAM's, and the rotation stopped seconds ago. A rotation dated before its key
/// was made would never make that key count as tested.
#[test]
fn facts_that_are_restored_are_no_older_than_their_key() {
    let ahead = -TimeDelta::minutes(5);
    let keys = [key(1, days(90)).used(days(1)), key(2, ahead)];
    let facts = user(keys).with(placeholder(1).current(2).intent(2, ahead));
    let [restore] = &plan(&facts, &periods(), now()).actions[..] else { panic!("{}", decide(&facts)) };
    let state = State::read(&restore.tag_change(now(), &Notified::default()).set);
    let restored = placeholder(1).current(2).state(|is| *is = State { managed: true, ..state });
    assert_eq!(decide(&facts.with(restored)), "notify 2: is the new key and replaces 1");
}

#[test]
fn of_two_keys_in_the_intents_window_none_counts_as_ours() {
    let keys = [key(1, days(1)), key(2, days(1) - SECOND)];
    let decided = decide(&user(keys).with(placeholder(9).current(2).intent(2, days(1))));
    assert_eq!(decided, format!("record that version {} is not keywheel's", version(2)));
}

#[test]
fn a_foreign_version_makes_the_facts_stale() {
    let secret = rotated(2, Some(1), days(50)).current(7);
    let plan = plan(&user([key(1, days(400)), key(2, days(200))]).with(secret), &periods(), now());
    let foreign = RestoredFacts { version: version(7), current_key: None, created: None, previous_key: None };
    assert_eq!(plan.actions, [Action::RestoreFacts(foreign)]);
    assert!(plan.notices.is_empty());
    let change = plan.actions[0].tag_change(now(), &Notified::default());
    for gone in [tag::CURRENT_KEY, tag::PREVIOUS_KEY, tag::ROTATED_AT, tag::DISABLED_AT, tag::RETIRING] {
        assert!(change.remove.contains(&gone), "{gone}");
    }
}

#[test]
fn reported_c1_a_secret_without_a_value_is_rotated_when_due() {
    let without = |managed: bool, described: bool| {
        let secret = PresentSecret { current_version: None, ..placeholder(1) };
        secret.state(|state| {
            state.managed = managed;
            state.version = state.version.take().filter(|_| described);
        })
    };
    let actions = |secret, age| plan(&user([key(1, days(age))]).with(secret), &periods(), now()).actions;
    let adopt = Action::Adopt { version: None, key: id(1) };
    let rotate = Action::Rotate { key: id(1), created: now() - days(200), configure: false };
    assert_eq!(actions(without(false, false), 200), [adopt.clone(), rotate.clone()]);
    assert_eq!(actions(without(true, false), 200), [rotate]);
    assert_eq!(actions(without(true, false), 20), []);
    // Tags of a version that is gone prove nothing, and the graces in them least of all.
    let stale = without(true, true).retiring(2, days(40)).disabled(days(30));
    let stale = plan(&user([key(1, days(200)), key(2, days(100)).inactive()]).with(stale), &periods(), now());
    assert_eq!(stale.actions, [Action::Adopt { version: None, key: id(1) }]);
    let change = stale.actions[0].tag_change(now(), &Notified::default());
    for gone in [tag::VERSION, tag::RETIRING, tag::DISABLED_AT] {
        assert!(change.remove.contains(&gone), "{gone}");
    }
}

#[test]
fn an_adopted_secrets_old_tags_prove_nothing() {
    let of_another_version = |state: &mut State| (state.managed, state.version) = (false, Some(version(9)));
    let secret = rotated(1, None, days(50)).state(of_another_version).retiring(2, days(40));
    let keys = [key(1, days(100)).used(days(1)), key(2, days(10)).used(days(1))];
    let plan = plan(&user(keys).with(secret), &periods(), now());
    assert_eq!(plan.actions[0], Action::Adopt { version: Some(version(1)), key: id(2) });
    assert_eq!(plan.actions[1], Action::Retire { key: id(1), inactive: false }, "announced from the beginning");
    assert_eq!(plan.actions.len(), 2);
    let change = plan.actions[0].tag_change(now(), &Notified::default());
    assert!(change.remove.contains(&tag::ROTATED_AT), "the adopted key was not tested");
}

#[test]
fn a_removed_mark_is_set_again_and_the_facts_stay() {
    let secret = rotated(1, None, days(50)).state(|state| state.managed = false);
    // The newer key is a person's, or the key of a rotation that has not put its value.
    for secret in [secret.clone(), secret.intent(9, TimeDelta::minutes(1))] {
        let keys = [key(1, days(85)).used(days(1)), key(2, TimeDelta::minutes(1))];
        let plan = plan(&user(keys).with(secret), &periods(), now());
        assert_eq!(plan.actions[0], Action::RestoreMark);
        let others = plan.actions[1..].iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        assert!(!others.contains(id(1).as_str()) && !others.contains("adopt"), "{others}");
        assert_eq!(plan.notices[0].key, id(1), "its owner hears of the rotation");
        let change = plan.actions[0].tag_change(now(), &Notified::default());
        assert_eq!(change, TagChange::default().set(tag::MANAGED, "1"));
    }
}

#[test]
fn a_key_that_a_rotation_left_behind_is_not_adopted() {
    let secret = placeholder(1).state(|state| (state.managed, state.version) = (false, None));
    let keys = [key(1, days(50)).used(days(1)), key(2, TimeDelta::minutes(1))];
    let plan = plan(&user(keys).with(secret.intent(9, TimeDelta::minutes(1))), &periods(), now());
    assert_eq!(plan.actions, [Action::Adopt { version: Some(version(1)), key: id(1) }]);
}

#[test]
fn a_key_that_a_person_enabled_gets_a_new_grace() {
    let secret = rotated(2, Some(1), days(12)).disabled(days(2)).sent(1, &[Phase::Disabled, Phase::DisableAhead]);
    let plan = plan(&user(pair()).with(secret.clone()), &periods(), now());
    assert_eq!(plan.actions, [Action::RestartGrace { key: id(1) }]);
    assert!(plan.to_string().contains("was enabled again and will be disabled on 2026-12-02"), "{plan}");
    let change = plan.actions[0].tag_change(now(), &secret.state.notified);
    assert!(change.remove.contains(&tag::NOTIFIED), "what was sent is void");
    assert!(!change.remove.contains(&tag::DISABLED_AT), "a stop after the removal would disable the key again at once");
    let after = rotated(2, Some(1), days(12)).disabled(days(2)).retiring(1, days(0)).sent(2, &[Phase::Rotated]);
    let decided = decide(&user(pair()).with(after.sent(1, &[Phase::Reactivated, Phase::InUse])));
    assert_eq!(decided, "", "the new grace runs");
}

#[test]
fn a_grace_from_before_the_rotation_does_not_count() {
    // Key 1 was a second key once, disabled and enabled; then it was rotated. The old tags are still there.
    let secret = rotated(2, Some(1), days(2)).retiring(1, days(30)).disabled(days(25)).sent(2, &[Phase::Rotated]);
    assert_eq!(decide(&user(pair()).with(secret.clone().sent(1, &[Phase::InUse]))), "");
    let [old, new] = pair();
    let decided = decide(&user([old.inactive(), new]).with(secret));
    assert!(decided.starts_with("record that 1 is disabled"), "{decided}");
}

#[test]
fn a_key_that_replaced_itself_is_not_outgoing() {
    // A person deleted key 9, which had replaced key 1; then a rotation announced itself, found key 1 and failed.
    let secret = rotated(1, Some(1), days(20)).sent(1, &[Phase::Rotated]);
    let decided = decide(&user(pair()).with(secret));
    assert!(!decided.contains("disable 1 |"), "{decided}");
    assert!(
        decided.starts_with("announce that 1 has to give way"),
        "it is any two keys, the older goes first: {decided}"
    );
}

#[test]
fn a_key_younger_than_the_rotation_was_not_tested_by_it() {
    // The failed rotation found key 2, which a person made; it is not the key that was tested 50 days ago.
    let secret = rotated(2, None, days(50));
    let keys = [key(1, days(100)).used(days(1)), key(2, days(10))];
    let decided = decide(&user(keys).with(secret));
    assert!(decided.contains("announce that 2 has to give way"), "the used key stays: {decided}");
}

#[test]
fn an_old_key_disabled_by_its_owner_gets_its_recovery_grace() {
    let [old, new] = pair();
    let plan = plan(&user([old.inactive(), new]).with(rotated(2, Some(1), days(2))), &periods(), now());
    assert_eq!(plan.actions, [Action::RecordDisabled { key: id(1) }]);
    assert!(plan.to_string().contains("is disabled and will be deleted on 2026-12-02"), "{plan}");
}

#[test]
fn the_time_of_disabling_is_dropped_if_the_key_is_needed_again() {
    // The successor was disabled by a person, who enabled the old key; its slot is not needed.
    let keys = [key(1, days(60)).used(days(0)), key(2, days(25)).inactive()];
    let secret = rotated(2, Some(1), days(25)).disabled(days(9)).sent(2, &[Phase::Rotated]);
    let both = plan(&user(keys.clone()).with(secret.clone()), &periods(), now());
    assert_eq!(both.actions, [Action::StopRetiring { key: id(1) }]);
    let [old, _] = keys;
    let alone = plan(&user([old]).with(secret), &periods(), now());
    assert_eq!(alone.actions, [Action::StopRetiring { key: id(1) }]);
}

#[test]
fn an_enabled_second_key_gets_a_new_grace_without_a_choice() {
    let keys = [key(1, days(100)).used(days(1)), key(2, days(60)).unknown()];
    let plan = plan(&user(keys).with(placeholder(2).retiring(1, days(20)).disabled(days(5))), &periods(), now());
    assert_eq!(plan.actions, [Action::RestartGrace { key: id(1) }]);
}

#[test]
fn an_exempt_user_has_no_outgoing_key() {
    let [old, new] = pair();
    let secret = rotated(2, Some(1), days(30)).disabled(days(9)).sent(2, &[Phase::Rotated, Phase::Cancelled]);
    let secret = PresentSecret { rotation_enabled: false, ..secret };
    let exempt =
        plan(&user([old.clone().inactive(), new.clone()]).with(secret).exempt(Exemption::Exempt), &periods(), now());
    assert_eq!(exempt.actions, [Action::StopRetiring { key: id(1) }]);
    let after = decide(&user([old.inactive(), new]).with(rotated(2, Some(1), days(30)).sent(2, &[Phase::Rotated])));
    assert!(after.starts_with("record that 1 is disabled"), "the whole recovery period, from then on: {after}");
}

#[test]
fn an_old_key_gets_its_grace_again_after_its_successor_failed() {
    // Key 2 was disabled by a person and had to give way; now it is enabled, and key 1 may still be in use.
    let secret = rotated(2, Some(1), days(30)).retiring(2, days(5)).disabled(days(5)).sent(2, &[Phase::Rotated]);
    let active = plan(&user(pair()).with(secret.clone()), &periods(), now());
    assert_eq!(active.actions, [Action::RestartGrace { key: id(1) }]);
    assert!(active.to_string().contains("AKIA0000000000000001: will be disabled on 2026-12-02"), "{active}");
    // The key was not used since the recorded time. Only the name of the other key shows whose time it is.
    let [old, new] = [key(1, days(150)).used(days(40)), key(2, days(60))];
    let inactive = plan(&user([old.inactive(), new]).with(secret), &periods(), now());
    let expected = [Action::StopRetiring { key: id(2) }, Action::RecordDisabled { key: id(1) }];
    assert_eq!(inactive.actions, expected, "the stored time is the other key's");
}

#[test]
fn a_key_in_flight_is_the_rotations_and_both_keys_are_left() {
    let keys = [key(1, days(95)).used(days(1)), key(2, days(1))];
    let secret = || placeholder(1).intent(2, days(1));
    let decided = decide(&user(keys.clone()).with(secret().unfinished(2)));
    assert!(decided.starts_with("rotate 1") && !decided.contains("give way"), "{decided}");
    let orphan = decide(&user(keys.clone()).with(secret()));
    assert!(orphan.starts_with("rotate 1"), "the rotation function deletes its orphan: {orphan}");
}

#[test]
fn a_used_key_is_no_orphan_and_keeps_its_slot() {
    let keys = [key(1, days(95)).used(days(1)), key(2, days(1)).used(days(0))];
    let decided = decide(&user(keys).with(placeholder(1).intent(2, days(1))));
    assert!(decided.starts_with("announce that 1 has to give way"), "{decided}");
    assert!(!decided.contains("rotate 1,"), "{decided}");
}

#[test]
fn an_orphan_alone_is_no_key_to_rotate() {
    let keys = [key(1, days(95)).inactive(), key(2, days(1))];
    let decided = decide(&user(keys).with(placeholder(1).intent(2, days(1))));
    assert!(decided.starts_with("problem rotate: the user's only active key 2"), "{decided}");
}

#[test]
fn an_announcement_is_withdrawn_if_its_key_stays() {
    let taken_back = |facts: &UserFacts| {
        let plan = plan(facts, &periods(), now());
        assert_eq!(plan.actions, [Action::StopRetiring { key: id(1) }], "{plan}");
    };
    taken_back(&user([key(1, days(30))]).with(placeholder(1).retiring(1, days(5))));
    let not_needed = placeholder(2).retiring(1, days(5));
    taken_back(&user([key(1, days(30)).inactive(), key(2, days(5)).used(days(1))]).with(not_needed));
}

#[test]
fn after_a_withdrawal_a_key_is_announced_anew() {
    let keys = [key(1, days(95)).used(days(1)), key(2, days(50)).used(days(1))];
    let decided = decide(&user(keys).with(placeholder(2).sent(1, &[Phase::Retiring])));
    assert!(decided.contains("notify 1: has to give way"), "{decided}");
    let retire = Action::Retire { key: id(1), inactive: false };
    let change = retire.tag_change(now(), &placeholder(2).sent(1, &[Phase::Retiring]).state.notified);
    assert!(change.remove.contains(&tag::NOTIFIED), "sent before its retirement began: void");
}

#[test]
fn the_choice_of_the_second_key_follows_use() {
    // The older key was announced when neither was used; then its owner began to use it.
    let secret = || placeholder(2).retiring(1, days(9));
    let older_used = decide(&user([key(1, days(95)).used(days(1)), key(2, days(50))]).with(secret()));
    assert!(older_used.starts_with("announce that 2 has to give way"), "{older_used}");
    let both_unused = decide(&user([key(1, days(95)), key(2, days(50))]).with(secret().sent(1, &[Phase::Retiring])));
    assert_eq!(both_unused, "");
}

#[test]
fn a_key_of_unknown_status_is_reported_and_left_alone() {
    let expired = |key| KeyFacts { status: KeyStatus::Other("Expired".to_owned()), ..key };
    let [old, new] = pair();
    let replaced = decide(
        &user([expired(old.clone()), new.clone()]).with(rotated(2, Some(1), days(50)).sent(2, &[Phase::Rotated])),
    );
    assert_eq!(replaced, "problem disable: access key 1 has the unknown status Expired; nothing is done to it");
    let second = decide(&user([expired(old), KeyFacts { created: now() - days(80), ..new }]).with(placeholder(2)));
    assert!(second.starts_with("problem retire: access key 1 has the unknown status Expired"), "{second}");
}

#[test]
fn a_deletion_is_notified_once_whichever_tag_names_the_key() {
    let facts = |secret: PresentSecret| user([key(2, days(30))]).with(secret.sent(2, &[Phase::Rotated]));
    let gone = rotated(2, Some(1), days(30)).retiring(1, days(25)).sent(1, &[Phase::Disabled]);
    assert_eq!(decide(&facts(gone.clone())), "record that 1 is gone | notify 1: is deleted");
    let recorded = gone.state(|state| state.retiring = None);
    assert_eq!(decide(&facts(recorded.clone())), "notify 1: is deleted");
    assert_eq!(decide(&facts(recorded.sent(1, &[Phase::Deleted]))), "");
    assert_eq!(decide(&facts(rotated(2, Some(1), days(5)))), "", "its owner deleted it in the grace: no news");
}

#[test]
fn a_new_user_with_a_young_key_gets_a_secret_and_a_schedule() {
    let plan = plan(&user([key(1, days(5))]), &periods(), now());
    let created = now() - days(5);
    assert_eq!(plan.actions, [Action::Provision { key: id(1), created, then_rotate: false }]);
    assert!(plan.notices.is_empty() && plan.problems.is_empty());
    assert_eq!(decide(&user([])), "", "no key, no secret");
    assert_eq!(CancelReason::UserGone.to_string(), "the user was deleted");
}

#[test]
fn no_active_key_gives_way_while_the_readers_key_is_unknown() {
    let rolled_back = || placeholder(1).state(|state| state.current_key = None);
    let decided = decide(&user(pair()).with(rolled_back()));
    assert!(decided.contains("it is not known which of") && !decided.contains("announce"), "{decided}");
    let one_inactive = [key(1, days(150)).inactive(), key(2, days(85)).used(days(1))];
    assert!(decide(&user(one_inactive).with(rolled_back())).contains("announce that 1"));
}

#[test]
fn after_an_exemption_the_old_key_gets_its_whole_grace() {
    let keys = || [key(1, days(200)).used(days(1)), key(2, days(60)).used(days(1))];
    let off = PresentSecret { rotation_enabled: false, ..rotated(2, Some(1), days(60)).drift(Drift::Schedule) };
    let plan = plan(&user(keys()).with(off), &periods(), now());
    assert_eq!(plan.actions, [Action::RestartGrace { key: id(1) }, Action::Repair(Drift::Schedule)]);
    let sent: Vec<String> = plan.notices.iter().map(ToString::to_string).collect();
    assert!(sent.iter().any(|notice| notice.contains("will be disabled on 2026-12-02")), "{sent:?}");
}

#[test]
fn the_intent_of_a_finished_rotation_is_removed() {
    let keys = [key(1, days(100)), key(2, days(5))];
    let left = rotated(2, Some(1), days(2)).sent(2, &[Phase::Rotated]).intent(1, days(2));
    let cleared = "remove the intent of a rotation that is finished";
    assert_eq!(decide(&user(keys.clone()).with(left.clone())), cleared);
    let other = left.intent(2, days(2)).unfinished(2);
    assert!(!decide(&user(keys).with(other)).contains(cleared), "that one is not finished");
    let gone = rotated(2, Some(1), days(30)).sent(2, &[Phase::Rotated]).sent(1, &[Phase::Deleted]).disabled(days(15));
    assert_eq!(decide(&user([key(2, days(30))]).with(gone)), "record that 1 is gone");
}

#[test]
fn a_forced_rotation_that_failed_is_started_again() {
    let keys = [key(1, days(100)), key(2, days(11))];
    let sent = |secret: PresentSecret| secret.sent(2, &[Phase::Rotated]).sent(1, &[Phase::DisableAhead]);
    let ordered = sent(rotated(2, Some(1), days(11))).state(|state| state.force = true);
    assert_eq!(decide(&user(keys.clone()).with(ordered.clone().unfinished(2))), "rotate 2, made 2026-11-11");
    assert!(decide(&user(keys.clone()).with(ordered)).starts_with("disable 1"), "not started: the owner's to start");
    let unforced = sent(rotated(2, Some(1), days(11))).unfinished(2);
    assert!(
        !decide(&user(keys).with(unforced)).contains("rotate"),
        "a rotation by hand that was refused stays refused"
    );
}

#[test]
fn a_restarted_grace_is_blamed_on_a_person_only_if_true() {
    let keys = [key(1, days(200)), key(2, days(60))];
    let resumed = rotated(2, Some(1), days(60)).sent(2, &[Phase::Rotated]).retiring(1, days(1));
    assert_eq!(decide(&user(keys.clone()).with(resumed.clone())), "notify 1: will be disabled on 2026-12-01");
    let enabled = decide(&user(keys).with(resumed.disabled(days(5))));
    assert_eq!(enabled, "notify 1: was enabled again and will be disabled on 2026-12-01");
}
