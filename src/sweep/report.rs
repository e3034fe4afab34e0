//! What a sweep did, for people and for the state machine. Pure.

use std::collections::BTreeMap;

use serde::Serialize;
use tracing::{info, warn};

use crate::keys::{AccountId, UserName, UserRef};
use crate::lifecycle::{ActionName, UserPlan};
use crate::metrics::SweepCounts;

/// The answer names so many of each and counts the rest; the log has all.
const MAX_LISTED: usize = 400;
/// Longest text of one entry, in characters.
const MAX_TEXT_LENGTH: usize = 400;
/// Longest answer, in bytes. A state machine passes on 256 KiB, with its own data around it, and an answer that is longer
/// ends its execution, whatever that would catch.
/// <https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html>
const MAX_ANSWER_LENGTH: usize = 192 * 1024;

/// The answer of a sweep.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
pub struct Report {
    /// Accounts that were swept.
    pub accounts: usize,
    /// Users that were seen.
    pub users: usize,
    /// Users that the time did not reach. The next run comes to them sooner: for those who are done there is nothing to do.
    #[serde(skip_serializing_if = "is_zero")]
    pub left: usize,
    /// The last account of a digest after which there are more to tell of: `{"digest":{"after":"…"}}` goes on there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest_after: Option<AccountId>,
    /// Actions by name: carried out, or planned in a dry run.
    pub actions: BTreeMap<ActionName, usize>,
    /// Mails that were sent.
    pub mails: usize,
    /// Age in whole days of the oldest active key of a user who is not exempt.
    pub oldest_active_key_days: Option<i64>,
    /// What went wrong. One failure never stops the work for others.
    pub failures: Vec<Failure>,
    /// Failures beyond those that are listed.
    #[serde(skip_serializing_if = "is_zero")]
    pub failures_omitted: usize,
    /// Accounts that were not swept, and why.
    pub skipped: Vec<Skipped>,
    /// Such accounts beyond those that are listed.
    #[serde(skip_serializing_if = "is_zero")]
    pub skipped_omitted: usize,
    /// Nothing was changed.
    pub dry_run: bool,
    /// What was planned.
    pub plan: Vec<Planned>,
    /// Plan entries beyond those that are listed.
    #[serde(skip_serializing_if = "is_zero")]
    pub plan_omitted: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// Something that went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// In which account, if in one.
    pub account: Option<AccountId>,
    /// For which user, if for one.
    pub user: Option<UserName>,
    /// What was attempted.
    pub action: &'static str,
    /// What went wrong.
    pub error: String,
}

impl Failure {
    /// About a user.
    pub(super) fn of_user(user: &UserRef, action: &'static str, error: &(impl ToString + ?Sized)) -> Self {
        let UserRef { account, name } = user.clone();
        Self { account: Some(account), user: Some(name), action, error: error.to_string() }
    }

    /// About an account.
    pub(super) fn of_account(account: &AccountId, action: &'static str, error: &(impl ToString + ?Sized)) -> Self {
        Self { account: Some(account.clone()), user: None, action, error: error.to_string() }
    }
}

/// An account that was not swept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// Which.
    pub account: AccountId,
    /// Why.
    pub reason: String,
    /// What kept it from being swept passes: some minutes later it may well be.
    #[serde(skip_serializing_if = "is_false")]
    pub transient: bool,
}

impl Skipped {
    /// For a reason that does not pass within minutes.
    pub(super) fn new(account: &AccountId, reason: &str) -> Self {
        Self { account: account.clone(), reason: reason.to_owned(), transient: false }
    }
}

/// One planned action or notice, in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Planned {
    /// In which account.
    pub account: AccountId,
    /// For which user.
    pub user: UserName,
    /// The action's name; `notify` for a notice, `wait` for an action whose time is not here yet.
    pub action: ActionName,
    /// What exactly.
    pub detail: String,
}

impl Report {
    /// Adds what is planned for one user. The log has all of it; the answer as much as it holds.
    pub(super) fn add_plan(&mut self, plan: &UserPlan) {
        let UserPlan { user, actions, notices, problems, waiting } = plan;
        let dry_run = self.dry_run;
        let mut add = |action: ActionName, detail: String| {
            let UserRef { account, name } = user;
            info!(%account, user = %name, action = action.as_str(), detail, dry_run, "planned");
            if self.plan.len() < MAX_LISTED {
                let detail = cut(detail);
                self.plan.push(Planned { account: account.clone(), user: name.clone(), action, detail });
            } else {
                self.plan_omitted += 1;
            }
        };
        for action in actions {
            add(action.name(), action.to_string());
        }
        for notice in notices {
            add(ActionName::Notify, notice.to_string());
        }
        // In an enforced run, most users that are observed wait for something, and nobody asked.
        for wait in waiting.iter().filter(|_| dry_run) {
            add(ActionName::Wait, wait.to_string());
        }
        for problem in problems {
            self.add_failure(Failure::of_user(user, problem.action.as_str(), &problem.error));
        }
    }

    /// Adds what went wrong. The log has all of it; the answer as much as it holds.
    pub(super) fn add_failure(&mut self, mut failure: Failure) {
        let Failure { account, user, action, error } = &failure;
        let account = account.as_ref().map(ToString::to_string);
        let user = user.as_ref().map(ToString::to_string);
        warn!(account, user, action, error, "failed");
        if self.failures.len() < MAX_LISTED {
            failure.error = cut(failure.error);
            self.failures.push(failure);
        } else {
            self.failures_omitted += 1;
        }
    }

    /// Adds an account that was not swept. The log has all of it; the answer as much as it holds.
    pub(super) fn add_skipped(&mut self, mut skipped: Skipped) {
        let Skipped { account, reason, transient } = &skipped;
        info!(%account, reason, transient, "skipped");
        if self.skipped.len() < MAX_LISTED {
            skipped.reason = cut(skipped.reason);
            self.skipped.push(skipped);
        } else {
            self.skipped_omitted += 1;
        }
    }

    /// Adds what came of other accounts.
    pub(super) fn merge(&mut self, other: Self) {
        let Self { accounts, users, left, actions, mails, oldest_active_key_days: _, dry_run: _, .. } = other;
        self.accounts += accounts;
        self.users += users;
        self.left += left;
        self.mails += mails;
        for (action, count) in actions {
            *self.actions.entry(action).or_default() += count;
        }
        self.skipped.extend(other.skipped);
        self.failures.extend(other.failures);
        self.plan.extend(other.plan);
        self.skipped_omitted += other.skipped_omitted + cut_list(&mut self.skipped, MAX_LISTED);
        self.failures_omitted += other.failures_omitted + cut_list(&mut self.failures, MAX_LISTED);
        self.plan_omitted += other.plan_omitted + cut_list(&mut self.plan, MAX_LISTED);
    }

    /// The part of it that is about telling.
    pub(super) fn of_telling(&self) -> Self {
        let is_telling = |failure: &&Failure| ["mail", "topic", "record", "digest"].contains(&failure.action);
        Self {
            mails: self.mails,
            actions: self.actions.iter().filter(|_| !self.dry_run).map(|(name, count)| (*name, *count)).collect(),
            failures: self.failures.iter().filter(is_telling).cloned().collect(),
            dry_run: self.dry_run,
            ..Self::default()
        }
    }

    /// The counts that become metrics.
    pub(super) fn counts(&self) -> SweepCounts {
        let count = |name| self.actions.get(&name).copied().unwrap_or_default();
        let mails_failed = self.failures.iter().filter(|failure| failure.action == "mail").count();
        SweepCounts {
            accounts: self.accounts,
            skipped: self.skipped.len() + self.skipped_omitted,
            users: self.users,
            failures: self.failures.len() + self.failures_omitted - mails_failed,
            provisioned: count(ActionName::Provision),
            rotations: count(ActionName::Rotate),
            disabled: count(ActionName::Disable),
            deleted: count(ActionName::Delete),
            warnings: count(ActionName::Warn),
            mails: self.mails,
            mails_failed,
            oldest_active_key_days: self.oldest_active_key_days,
        }
    }

    /// Counts an action.
    pub(super) fn count(&mut self, action: ActionName) {
        *self.actions.entry(action).or_default() += 1;
    }

    /// Puts the entries in order.
    pub(super) fn finish(mut self) -> Self {
        self.failures.sort_by(|a, b| (&a.account, &a.user, a.action).cmp(&(&b.account, &b.user, b.action)));
        self.skipped.sort_by(|a, b| a.account.cmp(&b.account));
        // Stable: the order of one user's actions is the order of the plan.
        self.plan.sort_by(|a, b| (&a.account, &a.user).cmp(&(&b.account, &b.user)));
        self
    }

    /// Leaves out what an answer has no room for.
    pub(super) fn into_answer(mut self) -> Self {
        while self.length() > MAX_ANSWER_LENGTH && self.shorten() {}
        self
    }

    /// Of the answer, in bytes.
    fn length(&self) -> usize {
        serde_json::to_string(self).map_or(0, |answer| answer.len())
    }

    /// Halves a list: the plan for as long as there is one, which the log has in the same words, and then the longer of the
    /// others. False where nothing is left to leave out.
    fn shorten(&mut self) -> bool {
        let Self { plan, failures, skipped, .. } = self;
        if !plan.is_empty() {
            self.plan_omitted += cut_list(plan, plan.len() / 2);
        } else if !failures.is_empty() && failures.len() >= skipped.len() {
            self.failures_omitted += cut_list(failures, failures.len() / 2);
        } else if !skipped.is_empty() {
            self.skipped_omitted += cut_list(skipped, skipped.len() / 2);
        } else {
            return false;
        }
        true
    }
}

/// Cuts a list down to so many, and answers how many those are that are left out.
fn cut_list<T>(list: &mut Vec<T>, most: usize) -> usize {
    let omitted = list.len().saturating_sub(most);
    list.truncate(most);
    omitted
}

fn cut(text: String) -> String {
    if text.chars().count() <= MAX_TEXT_LENGTH {
        return text;
    }
    text.chars().take(MAX_TEXT_LENGTH - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
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
    fn what_a_digest_looks_at_again_is_not_counted_again() {
        let failure = |action| Failure { account: None, user: None, action, error: String::new() };
        let report = Report {
            accounts: 3,
            users: 20,
            mails: 2,
            oldest_active_key_days: Some(80),
            actions: BTreeMap::from([(ActionName::Warn, 4)]),
            failures: vec![failure("mail"), failure("sweep")],
            ..Report::default()
        };
        let told = report.of_telling();
        assert_eq!((told.accounts, told.users, told.mails, told.oldest_active_key_days), (0, 0, 2, None));
        assert_eq!((told.failures, told.actions[&ActionName::Warn]), (vec![failure("mail")], 4));
        assert!(Report { dry_run: true, ..report }.of_telling().actions.is_empty(), "planned, and counted, before");
    }

    #[test]
    fn mails_that_failed_are_counted_apart() {
        let failure = |action| Failure { account: None, user: None, action, error: String::new() };
        let report = Report {
            actions: BTreeMap::from([(ActionName::Provision, 2), (ActionName::Warn, 4)]),
            failures: vec![failure("mail"), failure("sweep")],
            failures_omitted: 3,
            ..Report::default()
        };
        let counts = report.counts();
        assert_eq!((counts.failures, counts.mails_failed, counts.provisioned, counts.warnings), (4, 1, 2, 4));
    }

    #[test]
    fn only_a_dry_run_lists_what_waits() {
        let waiting =
            vec![Waiting { action: ActionName::Disable, key: None, wait: Wait::InstallationGrace, until: None }];
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

    /// Where everything is as long as it can be, whatever is left out is counted, and the plan is left out first.
    #[test]
    fn the_longest_report_is_an_answer_that_a_state_machine_passes_on() {
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
}
