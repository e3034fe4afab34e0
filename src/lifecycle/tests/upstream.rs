//! What the predecessor gets wrong and the policy prevents, by the number in the list of its defects.

use super::*;
use crate::lifecycle::plan_for_deleted_user;

fn has_destructive(line: &str) -> bool {
    line.split(" | ").any(|part| part.starts_with("disable ") || part.starts_with("delete "))
}

#[test]
fn upstream_defect_01_a_last_use_that_cannot_be_read_is_not_never() {
    let old = key(1, days(130)).unknown();
    let active = user([old.clone(), key(2, days(40))]).with(rotated(2, Some(1), days(40)));
    let decided = decide(&active);
    assert!(!has_destructive(&decided), "{decided}");
    assert!(decided.contains("problem disable: the last use of access key 1 is not known: throttled"), "{decided}");
    let disabled = user([old.inactive(), key(2, days(40))]).with(rotated(2, Some(1), days(40)).disabled(days(20)));
    assert!(decide(&disabled).contains("problem delete: the last use of access key 1 is not known"));
}

#[test]
fn a_last_use_that_was_not_asked_for_is_not_never_either() {
    let not_asked = |key| KeyFacts { last_use: LastUse::NotAsked, ..key };
    let keys = [not_asked(key(1, days(130))), not_asked(key(2, days(40)))];
    let decided = decide(&user(keys.clone()).with(rotated(2, Some(1), days(40))));
    assert!(!has_destructive(&decided) && decided.contains("it was not asked for"), "{decided}");
    let second = decide(&user(keys).with(placeholder(1)));
    assert!(second.contains("problem retire: the last use of the user's two keys is not known"), "{second}");
}

#[test]
fn upstream_defect_02_nothing_is_made_for_a_key_that_an_administrator_disabled() {
    assert_eq!(decide(&user([key(1, days(200)).inactive()])), "");
    let managed = user([key(1, days(200)).inactive()]).with(placeholder(1));
    assert_eq!(
        decide(&managed),
        "cancel the schedule: the user has no active key | tell 1: is not rotated any more: the user has no active key"
    );
}

#[test]
fn upstream_defect_03_two_unused_expired_keys_do_not_get_a_third() {
    let decided = decide(&user([key(1, days(200)), key(2, days(150))]).with(placeholder(2)));
    assert!(decided.contains("announce that 1 has to give way") && !decided.contains("rotate 2"), "{decided}");
}

#[test]
fn upstream_defect_04_one_unused_and_one_used_key_wait_for_a_free_slot() {
    let facts = user([key(1, days(200)), key(2, days(150)).used(days(1))]).with(placeholder(2));
    let decided = decide(&facts);
    assert!(decided.starts_with("announce that 1 has to give way"), "{decided}");
    assert!(!decided.contains("| rotate"), "{decided}");
}

#[test]
fn upstream_defect_05_an_unused_key_is_rotated_and_its_predecessor_goes_so_that_keys_do_not_pile_up() {
    assert!(decide(&user([key(1, days(90))]).with(placeholder(1))).starts_with("rotate 1"));
    let replaced = user([key(1, days(100)), key(2, days(10))]).with(rotated(2, Some(1), days(10)));
    assert!(decide(&replaced).starts_with("disable 1"));
    let disabled = user([key(1, days(110)).inactive(), key(2, days(20))]);
    assert!(decide(&disabled.with(rotated(2, Some(1), days(20)).disabled(days(10)))).starts_with("delete 1"));
}

#[test]
fn upstream_defect_06_a_lone_inactive_key_is_never_deleted() {
    for secret in [placeholder(1), rotated(1, None, days(300)), rotated(2, Some(1), days(300)).disabled(days(200))] {
        let decided = decide(&user([key(1, days(400)).inactive()]).with(secret));
        assert!(!has_destructive(&decided), "{decided}");
    }
}

#[test]
fn upstream_defect_07_two_inactive_keys_are_both_left() {
    let keys = [key(1, days(400)).inactive(), key(2, days(300)).inactive()];
    assert_eq!(decide(&user(keys.clone())), "");
    let decided = decide(&user(keys).with(rotated(2, Some(1), days(300)).disabled(days(200))));
    assert!(!has_destructive(&decided), "{decided}");
}

#[test]
fn upstream_defect_08_an_inactive_key_beside_an_expired_one_gets_its_recovery_period() {
    let decided = decide(&user([key(1, days(95)).used(days(1)), key(2, days(50)).inactive()]).with(placeholder(1)));
    assert_eq!(
        decided,
        "announce that 2, inactive, has to give way | tell 2: has to give way and will be deleted on 2026-12-02"
    );
}

#[test]
fn upstream_defect_09_two_expired_active_keys_are_announced_disabled_and_recoverable_not_deleted() {
    let keys = [key(1, days(200)).used(days(2)), key(2, days(150)).used(days(1))];
    let first = decide(&user(keys.clone()).with(placeholder(2)));
    assert!(first.starts_with("announce that 1 has to give way") && !has_destructive(&first), "{first}");
    let later = decide(&user(keys).with(placeholder(2).retiring(1, days(10))));
    assert!(later.starts_with("disable 1"), "{later}");
}

#[test]
fn upstream_defect_10_a_fresh_key_in_use_is_not_taken_by_a_rotation_not_even_a_forced_one() {
    let secret = rotated(1, None, days(95)).state(|state| state.force = true);
    let decided = decide(&user([key(1, days(95)).used(days(1)), key(2, days(5)).used(days(0))]).with(secret));
    assert!(decided.starts_with("announce that 2 has to give way"), "{decided}");
    assert!(!has_destructive(&decided) && !decided.contains("rotate 1,"), "{decided}");
}

#[test]
fn upstream_defect_11_a_pair_that_its_user_manages_is_announced_before_anything_is_disabled() {
    let decided = decide(&user([key(1, days(95)).used(days(1)), key(2, days(50)).used(days(1))]));
    insta::assert_snapshot!(decided, @"provision a secret for 2, made 2026-10-03 | announce that 1 has to give way | tell 1: has to give way and will be disabled on 2026-12-02");
}

#[test]
fn upstream_defect_12_and_13_the_notice_says_what_the_action_does() {
    let disabled = decide(
        &user([key(1, days(100)), key(2, days(10))]).with(rotated(2, Some(1), days(10)).told(2, &[Phase::Rotated])),
    );
    assert_eq!(disabled, "disable 1 | tell 1: is disabled and will be deleted on 2026-12-02");
    let secret = rotated(1, None, days(90)).retiring(2, days(20)).disabled(days(10)).told(1, &[Phase::Rotated]);
    let both = decide(&user([key(1, days(90)), key(2, days(20)).inactive()]).with(secret));
    insta::assert_snapshot!(both, @"delete 2 | rotate 1, made 2026-08-24 | tell 2: is deleted | tell 1: is due for rotation since 2026-11-22");
}

#[test]
fn upstream_defect_14_a_key_that_has_to_give_way_is_not_announced_for_rotation_too() {
    let keys = [key(1, days(85)).used(days(1)), key(2, days(10)).used(days(1))];
    let announced = decide(&user(keys.clone()).with(placeholder(2)));
    assert_eq!(
        announced,
        "announce that 1 has to give way | tell 1: has to give way and will be disabled on 2026-12-02"
    );
    let under_way = placeholder(2).retiring(1, days(2)).told(1, &[Phase::Retiring]);
    assert_eq!(decide(&user(keys).with(under_way)), "");
}

#[test]
fn upstream_defect_17_facts_that_cannot_be_known_are_a_problem_of_that_user() {
    let facts = user([key(1, days(95))]).exempt(Exemption::Unknown("denied".to_owned()));
    assert_eq!(
        decide(&facts),
        "problem rotate: it is not known whether the user is exempt: denied; nothing is done until it is"
    );
}

#[test]
fn upstream_defect_18_the_phase_of_a_key_follows_from_stored_times_alone() {
    let keys = [key(1, days(500)).inactive(), key(2, days(400)).used(days(1))];
    let observed = decide(&user(keys).with(rotated(2, Some(1), days(40)).told(2, &[Phase::Rotated])));
    assert_eq!(
        observed.split(" | ").next(),
        Some("write down that 1 is disabled"),
        "without a stored time the recovery period starts now: {observed}"
    );
}

#[test]
fn upstream_defect_19_the_secret_of_a_deleted_user_is_scheduled_for_deletion() {
    let gone = user([]);
    let plan = plan_for_deleted_user(gone.user(), &rotated(2, Some(1), days(40)));
    insta::assert_snapshot!(plan, @"
    user `ci-bot` in account 111122223333:
      cancel the schedule: the user was deleted
      schedule the secret for deletion
      tell: AKIA0000000000000002: belonged to a deleted user, and its secret is scheduled for deletion
    ");
    let cancelled = PresentSecret { rotation_enabled: false, ..rotated(2, None, days(40)) };
    let again = plan_for_deleted_user(gone.user(), &cancelled.told(2, &[Phase::SecretDeleted]));
    insta::assert_snapshot!(again, @"
    user `ci-bot` in account 111122223333:
      schedule the secret for deletion
    ");
    let foreign = plan_for_deleted_user(gone.user(), &placeholder(1).state(|state| state.managed = false));
    assert!(foreign.actions.is_empty() && foreign.notices.is_empty());
    insta::assert_snapshot!(foreign, @"
    user `ci-bot` in account 111122223333:
      problem: delete-secret: secret arn:aws:secretsmanager:eu-west-1:111122223333:secret:Account_111122223333_User_ci-bot_AccessKey-AbCdEf has the name of a secret of keywheel's, but user `ci-bot` in account 111122223333 does not exist and the secret has no tag keywheel:managed; delete it, or tag it keywheel:managed = 1 to have it deleted
    ");
}

#[test]
fn upstream_defect_20_a_forced_rotation_of_an_inactive_key_is_answered() {
    let secret = placeholder(1).state(|state| state.force = true);
    let decided = decide(&user([key(1, days(200)).inactive()]).with(secret));
    assert!(decided.contains("tell 1: is not rotated any more: the user has no active key"), "{decided}");
}

#[test]
fn upstream_defect_26_the_old_key_goes_only_after_its_successor_is_current() {
    // A successor is on its way, made by a rotation that is not finished.
    let secret = rotated(1, None, days(95)).intent(2, days(0)).unfinished(2);
    let decided = decide(&user([key(1, days(95)).used(days(1)), key(2, days(0))]).with(secret));
    assert!(!has_destructive(&decided), "{decided}");
}

#[test]
fn upstream_defect_36_a_plan_prints_rotation_and_deletion() {
    let secret = rotated(1, None, days(90)).retiring(2, days(20)).disabled(days(10));
    let plan = plan(&user([key(1, days(90)), key(2, days(20)).inactive()]).with(secret), &periods(), now());
    let printed = plan.to_string();
    for action in &plan.actions {
        assert!(printed.contains(&action.to_string()), "{printed}");
    }
    assert_eq!(plan.actions.len(), 2);
}

#[test]
fn upstream_defect_40_and_41_exempt_users_and_those_who_may_be_exempt_are_left_alone() {
    let facts = || user([key(1, days(500)), key(2, days(400)).inactive()]);
    assert_eq!(decide(&facts().exempt(Exemption::Exempt)), "");
    for secret in [SecretFacts::Missing, SecretFacts::PendingDeletion, SecretFacts::Present(placeholder(1))] {
        let plan =
            plan(&UserFacts { secret, ..facts().exempt(Exemption::Unknown("denied".to_owned())) }, &periods(), now());
        assert!(plan.actions.is_empty() && plan.notices.is_empty() && plan.problems.len() == 1, "{plan}");
    }
}

#[test]
fn upstream_defect_60_nothing_is_told_twice() {
    let facts = |secret| user([key(1, days(85))]).with(secret);
    assert!(decide(&facts(placeholder(1))).contains("will be rotated"));
    assert_eq!(decide(&facts(placeholder(1).told(1, &[Phase::RotateAhead]))), "");
}
