//! Defects of the predecessor that the policy prevents, by their numbers.

use super::*;
use crate::lifecycle::plan_for_deleted_user;

fn has_destructive(line: &str) -> bool {
    line.split(" | ").any(|part| part.starts_with("disable ") || part.starts_with("delete "))
}

#[test]
fn upstream_defect_01_an_unreadable_last_use_is_not_never() {
    let old = key(1, days(130)).unknown();
    let active = user([old.clone(), key(2, days(40))]).with(rotated(2, Some(1), days(40)));
    let decided = decide(&active);
    assert!(!has_destructive(&decided), "{decided}");
    assert!(decided.contains("problem disable: the last use of access key 1 is not known: throttled"), "{decided}");
    let disabled = user([old.inactive(), key(2, days(40))]).with(rotated(2, Some(1), days(40)).disabled(days(20)));
    assert!(decide(&disabled).contains("problem delete: the last use of access key 1 is not known"));
}

#[test]
fn a_last_use_that_was_not_read_is_not_never() {
    let not_asked = |key| KeyFacts { last_use: LastUse::NotAsked, ..key };
    let keys = [not_asked(key(1, days(130))), not_asked(key(2, days(40)))];
    let decided = decide(&user(keys.clone()).with(rotated(2, Some(1), days(40))));
    assert!(!has_destructive(&decided) && decided.contains("it was not asked for"), "{decided}");
    let second = decide(&user(keys).with(placeholder(1)));
    assert!(second.contains("problem retire: the last use of the user's two keys is not known"), "{second}");
}

#[test]
fn upstream_defect_02_nothing_is_made_for_a_disabled_key() {
    assert_eq!(decide(&user([key(1, days(200)).inactive()])), "");
    let managed = user([key(1, days(200)).inactive()]).with(placeholder(1));
    assert_eq!(
        decide(&managed),
        "cancel the schedule: the user has no active key | notify 1: is not rotated any more: the user has no active key"
    );
}

#[test]
fn upstream_defect_03_two_unused_old_keys_do_not_get_a_third() {
    let decided = decide(&user([key(1, days(200)), key(2, days(150))]).with(placeholder(2)));
    assert!(decided.contains("announce that 1 has to give way") && !decided.contains("rotate 2"), "{decided}");
}

#[test]
fn upstream_defect_04_a_rotation_waits_for_a_free_slot() {
    let facts = user([key(1, days(200)), key(2, days(150)).used(days(1))]).with(placeholder(2));
    let decided = decide(&facts);
    assert!(decided.starts_with("announce that 1 has to give way"), "{decided}");
    assert!(!decided.contains("| rotate"), "{decided}");
}

#[test]
fn upstream_defect_05_keys_do_not_pile_up() {
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
fn upstream_defect_08_an_inactive_key_gets_its_recovery_grace() {
    let decided = decide(&user([key(1, days(95)).used(days(1)), key(2, days(50)).inactive()]).with(placeholder(1)));
    assert_eq!(
        decided,
        "announce that 2, inactive, has to give way | notify 2: has to give way and will be deleted on 2026-12-02"
    );
}

#[test]
fn upstream_defect_09_two_old_active_keys_are_not_deleted_now() {
    let keys = [key(1, days(200)).used(days(2)), key(2, days(150)).used(days(1))];
    let first = decide(&user(keys.clone()).with(placeholder(2)));
    assert!(first.starts_with("announce that 1 has to give way") && !has_destructive(&first), "{first}");
    let later = decide(&user(keys).with(placeholder(2).retiring(1, days(10))));
    assert!(later.starts_with("disable 1"), "{later}");
}

#[test]
fn upstream_defect_10_no_rotation_takes_a_new_key_in_use() {
    let secret = rotated(1, None, days(95)).state(|state| state.force = true);
    let decided = decide(&user([key(1, days(95)).used(days(1)), key(2, days(5)).used(days(0))]).with(secret));
    assert!(decided.starts_with("announce that 2 has to give way"), "{decided}");
    assert!(!has_destructive(&decided) && !decided.contains("rotate 1,"), "{decided}");
}

#[test]
fn upstream_defect_11_a_users_own_pair_is_announced_first() {
    let decided = decide(&user([key(1, days(95)).used(days(1)), key(2, days(50)).used(days(1))]));
    insta::assert_snapshot!(decided, @"provision a secret for 2, made 2026-10-03 | announce that 1 has to give way | notify 1: has to give way and will be disabled on 2026-12-02");
}

#[test]
fn upstream_defect_12_and_13_each_notice_matches_its_action() {
    let disabled = decide(
        &user([key(1, days(100)), key(2, days(10))]).with(rotated(2, Some(1), days(10)).sent(2, &[Phase::Rotated])),
    );
    assert_eq!(disabled, "disable 1 | notify 1: is disabled and will be deleted on 2026-12-02");
    let secret = rotated(1, None, days(90)).retiring(2, days(20)).disabled(days(10)).sent(1, &[Phase::Rotated]);
    let both = decide(&user([key(1, days(90)), key(2, days(20)).inactive()]).with(secret));
    insta::assert_snapshot!(both, @"delete 2 | rotate 1, made 2026-08-24 | notify 2: is deleted | notify 1: is due for rotation since 2026-11-22");
}

#[test]
fn upstream_defect_14_a_retiring_key_gets_no_rotation_notice() {
    let keys = [key(1, days(85)).used(days(1)), key(2, days(10)).used(days(1))];
    let announced = decide(&user(keys.clone()).with(placeholder(2)));
    assert_eq!(
        announced,
        "announce that 1 has to give way | notify 1: has to give way and will be disabled on 2026-12-02"
    );
    let under_way = placeholder(2).retiring(1, days(2)).sent(1, &[Phase::Retiring]);
    assert_eq!(decide(&user(keys).with(under_way)), "");
}

#[test]
fn upstream_defect_17_unknown_facts_are_a_problem_of_one_user() {
    let facts = user([key(1, days(95))]).exempt(Exemption::Unknown("denied".to_owned()));
    assert_eq!(
        decide(&facts),
        "problem rotate: it is not known whether the user is exempt: denied; nothing is done until it is"
    );
}

#[test]
fn upstream_defect_18_stored_times_alone_decide_the_next_step() {
    let keys = [key(1, days(500)).inactive(), key(2, days(400)).used(days(1))];
    let observed = decide(&user(keys).with(rotated(2, Some(1), days(40)).sent(2, &[Phase::Rotated])));
    assert_eq!(
        observed.split(" | ").next(),
        Some("record that 1 is disabled"),
        "without a stored time the recovery period starts now: {observed}"
    );
}

#[test]
fn upstream_defect_19_a_deleted_users_secret_is_deleted() {
    let gone = user([]);
    let plan = plan_for_deleted_user(gone.user(), &rotated(2, Some(1), days(40)));
    insta::assert_snapshot!(plan, @"
    user `ci-bot` in account 111122223333:
      cancel the schedule: the user was deleted
      schedule the secret for deletion
      notify: AKIA0000000000000002: belonged to a deleted user, and its secret is scheduled for deletion
    ");
    let cancelled = PresentSecret { rotation_enabled: false, ..rotated(2, None, days(40)) };
    let again = plan_for_deleted_user(gone.user(), &cancelled.sent(2, &[Phase::SecretDeleted]));
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
fn upstream_defect_20_a_forced_inactive_key_gets_a_notice() {
    let secret = placeholder(1).state(|state| state.force = true);
    let decided = decide(&user([key(1, days(200)).inactive()]).with(secret));
    assert!(decided.contains("notify 1: is not rotated any more: the user has no active key"), "{decided}");
}

#[test]
fn upstream_defect_26_the_old_key_waits_for_its_successor() {
    // An unfinished rotation has made a successor.
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
fn upstream_defect_40_and_41_exempt_users_are_left_alone() {
    let facts = || user([key(1, days(500)), key(2, days(400)).inactive()]);
    assert_eq!(decide(&facts().exempt(Exemption::Exempt)), "");
    for secret in [SecretFacts::Missing, SecretFacts::PendingDeletion, SecretFacts::Present(placeholder(1))] {
        let plan =
            plan(&UserFacts { secret, ..facts().exempt(Exemption::Unknown("denied".to_owned())) }, &periods(), now());
        assert!(plan.actions.is_empty() && plan.notices.is_empty() && plan.problems.len() == 1, "{plan}");
    }
}

#[test]
fn upstream_defect_60_no_notice_is_sent_twice() {
    let facts = |secret| user([key(1, days(85))]).with(secret);
    assert!(decide(&facts(placeholder(1))).contains("will be rotated"));
    assert_eq!(decide(&facts(placeholder(1).sent(1, &[Phase::RotateAhead]))), "");
}
