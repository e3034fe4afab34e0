//! Reports that are too long for an answer, and reports of digests.

use super::*;
use crate::lifecycle::{Action, Problem, Wait, Waiting};

fn user(n: usize) -> UserRef {
    UserRef { account: "111122223333".parse().unwrap(), name: format!("user-{n:04}").parse().unwrap() }
}

#[test]
fn upstream_defect_36_every_planned_action_is_in_the_report() {
    let mut report = Report::default();
    let key: crate::keys::AccessKeyId = "AKIAIOSFODNN7EXAMPLE".parse().unwrap();
    let actions = vec![Action::Disable { key: key.clone() }, Action::Delete { key }, Action::DeleteSecret];
    report.add_plan(&UserPlan { actions, ..UserPlan::nothing(&user(1)) });
    let listed: Vec<_> = report.plan.iter().map(|planned| planned.action).collect();
    assert_eq!(listed, [ActionName::Disable, ActionName::Delete, ActionName::DeleteSecret]);
}

#[test]
fn a_digest_does_not_count_users_and_keys_again() {
    let failure = |stage| Failure { account: None, user: None, action: stage, error: String::new() };
    let report = Report {
        accounts: 3,
        users: 20,
        mails: 2,
        oldest_active_key_days: Some(80),
        actions: BTreeMap::from([(ActionName::Warn, 4)]),
        failures: vec![failure(Stage::Mail), failure(Stage::Sweep)],
        ..Report::default()
    };
    let sending = report.of_digest();
    assert_eq!((sending.accounts, sending.users, sending.mails, sending.oldest_active_key_days), (0, 0, 2, None));
    assert_eq!((sending.failures, sending.actions[&ActionName::Warn]), (vec![failure(Stage::Mail)], 4));
    assert!(
        Report { dry_run: true, ..report }.of_digest().actions.is_empty(),
        "the sweeps that planned the actions have counted them"
    );
}

#[test]
fn mails_that_failed_are_counted_apart() {
    let failure = |stage| Failure { account: None, user: None, action: stage, error: String::new() };
    let report = Report {
        actions: BTreeMap::from([(ActionName::Provision, 2), (ActionName::Warn, 4)]),
        failures: vec![failure(Stage::Mail), failure(Stage::Sweep)],
        failures_omitted: 3,
        ..Report::default()
    };
    let counts = report.counts();
    assert_eq!((counts.failures, counts.mails_failed, counts.provisioned, counts.warnings), (4, 1, 2, 4));
}

#[test]
fn only_a_dry_run_lists_what_waits() {
    let waiting = vec![Waiting { action: ActionName::Disable, key: None, wait: Wait::InstallationGrace, until: None }];
    let plan = UserPlan { waiting, ..UserPlan::nothing(&user(1)) };
    for (dry_run, listed) in [(true, vec![ActionName::Wait]), (false, vec![])] {
        let mut report = Report { dry_run, ..Report::default() };
        report.add_plan(&plan);
        assert_eq!(report.plan.iter().map(|planned| planned.action).collect::<Vec<_>>(), listed);
        assert!(report.actions.is_empty());
    }
}

#[test]
fn a_long_report_is_cut_with_a_count() {
    let mut report = Report::default();
    for n in 0..1000 {
        let actions = vec![Action::DeleteSecret];
        let problems = vec![Problem { action: ActionName::Rotate, error: "denied".to_owned() }];
        report.add_plan(&UserPlan { actions, problems, ..UserPlan::nothing(&user(n)) });
    }
    let report = report.finish();
    assert_eq!((report.plan.len(), report.plan_omitted), (400, 600));
    assert_eq!((report.failures.len(), report.failures_omitted), (400, 600));
}

/// With every text as long as it can be, entries that are left out are counted, and the plan is left out first.
#[test]
fn the_longest_report_fits_into_a_state_machine() {
    let long_name = |n: usize| format!("{n:04}{}", "u".repeat(60)).parse().unwrap();
    let mut report = Report::default();
    for n in 0..1000 {
        let user = UserRef { name: long_name(n), ..user(n) };
        let problems = vec![Problem { action: ActionName::Rotate, error: "\"ü\"".repeat(1_000) }];
        report.add_plan(&UserPlan { actions: vec![Action::DeleteSecret], problems, ..UserPlan::nothing(&user) });
        let reason = "no".repeat(1_000);
        report.add_skipped(Skipped::new(&user.account, &reason));
    }
    let report = report.into_answer();
    assert!(report.length() <= MAX_ANSWER_LENGTH, "{}", report.length());
    assert_eq!((report.plan.len(), report.plan_omitted), (0, 1000), "the log has it");
    assert_eq!(report.failures.len() + report.failures_omitted, 1000);
    assert_eq!(report.skipped.len() + report.skipped_omitted, 1000);
    assert!(
        report.failures.len().min(report.skipped.len()) >= 100,
        "{} and {}",
        report.failures.len(),
        report.skipped.len()
    );
}
