//! The answer of a run, for people and for the state machine. Pure.

use std::collections::BTreeMap;

use serde::Serialize;
use tracing::{info, warn};

use super::stage::Stage;
use crate::keys::{AccountId, UserName, UserRef};
use crate::lifecycle::{ActionName, UserPlan, Wait};
use crate::metrics::SweepCounts;

/// Most entries of each list in the answer: more would not fit. The rest is counted, and the log has all.
const MAX_LISTED: usize = 400;
/// Longest text of one entry, in characters: one error must not fill the answer.
const MAX_TEXT_LENGTH: usize = 400;
/// Longest answer, in bytes. A state machine passes on 256 KiB, its own data included. A longer answer ends its
/// execution, and no catch of the state machine applies.
/// <https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html>
const MAX_ANSWER_LENGTH: usize = 192 * 1024;

/// The answer of a sweep.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
pub struct Report {
    /// Accounts that were swept.
    pub accounts: usize,
    /// Users that were observed, or that the lists proved to be quiet.
    pub users: usize,
    /// Users in the exemption group, whose keys nobody rotates.
    #[serde(skip_serializing_if = "is_zero")]
    pub exempt: usize,
    /// Users that the time did not reach. The next run reaches them sooner, because nothing is due for the others.
    #[serde(skip_serializing_if = "is_zero")]
    pub left: usize,
    /// The last account of a digest, if accounts after it have deferred notices: `{"digest":{"after":"…"}}` continues
    /// there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest_after: Option<AccountId>,
    /// How often each action was carried out, or planned in a dry run.
    pub actions: BTreeMap<ActionName, usize>,
    /// How many due changes of keys wait for their turn in a later run, by action: a run changes a limited number of
    /// keys in an account (`CHANGES_PER_RUN`).
    pub postponed: BTreeMap<ActionName, usize>,
    /// Mails that SES accepted.
    pub mails: usize,
    /// Age in whole days of the oldest active key of a user who is not exempt.
    pub oldest_active_key_days: Option<i64>,
    /// The failures. One failure never stops the work for others.
    pub failures: Vec<Failure>,
    /// Failures beyond those that are listed.
    #[serde(skip_serializing_if = "is_zero")]
    pub failures_omitted: usize,
    /// Accounts that were not swept, and why.
    pub skipped: Vec<Skipped>,
    /// Skipped accounts beyond those that are listed.
    #[serde(skip_serializing_if = "is_zero")]
    pub skipped_omitted: usize,
    /// Whether this was a dry run, which changes nothing.
    pub dry_run: bool,
    /// The planned actions and notices.
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

/// A failure of one stage for the organization, an account or a user. The next run tries again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// The account; `None` for a failure of the organization.
    pub account: Option<AccountId>,
    /// The user; `None` for a failure of a whole account.
    pub user: Option<UserName>,
    /// The stage that failed.
    pub action: Stage,
    /// The error, and the remedy if there is one.
    pub error: String,
}

impl Failure {
    /// A failure of one user.
    pub(super) fn of_user(user: &UserRef, stage: Stage, error: &(impl ToString + ?Sized)) -> Self {
        let UserRef { account, name } = user.clone();
        Self { account: Some(account), user: Some(name), action: stage, error: error.to_string() }
    }

    /// A failure of one account.
    pub(super) fn of_account(account: &AccountId, stage: Stage, error: &(impl ToString + ?Sized)) -> Self {
        Self { account: Some(account.clone()), user: None, action: stage, error: error.to_string() }
    }
}

/// An account that was not swept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// The account's id.
    pub account: AccountId,
    /// Why it was not swept.
    pub reason: String,
    /// Whether the reason may pass within minutes, so that another try is worth it.
    #[serde(skip_serializing_if = "is_false")]
    pub transient: bool,
}

impl Skipped {
    /// An account that another try within minutes would not help.
    pub(super) fn new(account: &AccountId, reason: &str) -> Self {
        Self { account: account.clone(), reason: reason.to_owned(), transient: false }
    }
}

/// One planned action or notice, in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Planned {
    /// The user's account.
    pub account: AccountId,
    /// The user's name.
    pub user: UserName,
    /// The action's name; `notify` for a notice, `wait` for an action whose time is not here yet.
    pub action: ActionName,
    /// The action or notice in words, with key and dates.
    pub detail: String,
}

impl Report {
    /// Adds the plan for one user. The log has all of it, the answer as much as fits.
    pub(super) fn add_plan(&mut self, plan: &UserPlan) {
        let UserPlan { user, actions, changes: _, notices, problems, waiting } = plan;
        for postponed in waiting.iter().filter(|waiting| waiting.wait == Wait::Turn) {
            *self.postponed.entry(postponed.action).or_default() += 1;
        }
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
            self.add_failure(Failure::of_user(user, Stage::Action(problem.action), &problem.error));
        }
    }

    /// Adds a failure. The log has all of them, the answer as many as fit.
    pub(super) fn add_failure(&mut self, mut failure: Failure) {
        let Failure { account, user, action, error } = &failure;
        let account = account.as_ref().map(ToString::to_string);
        let user = user.as_ref().map(ToString::to_string);
        warn!(account, user, action = action.as_str(), error, "failed");
        if self.failures.len() < MAX_LISTED {
            failure.error = cut(failure.error);
            self.failures.push(failure);
        } else {
            self.failures_omitted += 1;
        }
    }

    /// Adds an account that was not swept. The log has all of them, the answer as many as fit.
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

    /// Adds the report of other accounts.
    pub(super) fn merge(&mut self, other: Self) {
        let Self {
            accounts,
            users,
            exempt,
            left,
            actions,
            postponed,
            mails,
            oldest_active_key_days: _,
            dry_run: _,
            ..
        } = other;
        self.accounts += accounts;
        self.users += users;
        self.exempt += exempt;
        self.left += left;
        self.mails += mails;
        for (action, count) in actions {
            *self.actions.entry(action).or_default() += count;
        }
        for (action, count) in postponed {
            *self.postponed.entry(action).or_default() += count;
        }
        self.skipped.extend(other.skipped);
        self.failures.extend(other.failures);
        self.plan.extend(other.plan);
        self.skipped_omitted += other.skipped_omitted + cut_list(&mut self.skipped, MAX_LISTED);
        self.failures_omitted += other.failures_omitted + cut_list(&mut self.failures, MAX_LISTED);
        self.plan_omitted += other.plan_omitted + cut_list(&mut self.plan, MAX_LISTED);
    }

    /// The part of the report that no sweep of an account has reported: sending and recording notices, and accounts
    /// that no sweep reaches.
    pub(super) fn of_digest(&self) -> Self {
        let is_of_digest = |failure: &&Failure| failure.action.is_of_digest();
        Self {
            mails: self.mails,
            actions: self.actions.iter().filter(|_| !self.dry_run).map(|(name, count)| (*name, *count)).collect(),
            failures: self.failures.iter().filter(is_of_digest).cloned().collect(),
            dry_run: self.dry_run,
            ..Self::default()
        }
    }

    /// The counts that become metrics.
    pub(super) fn counts(&self) -> SweepCounts {
        let count = |name| self.actions.get(&name).copied().unwrap_or_default();
        let mails_failed = self.failures.iter().filter(|failure| failure.action == Stage::Mail).count();
        SweepCounts {
            accounts: self.accounts,
            skipped: self.skipped.len() + self.skipped_omitted,
            users: self.users,
            exempt: self.exempt,
            failures: self.failures.len() + self.failures_omitted - mails_failed,
            provisioned: count(ActionName::Provision),
            rotations: count(ActionName::Rotate),
            disabled: count(ActionName::Disable),
            deleted: count(ActionName::Delete),
            postponed: self.postponed.values().sum(),
            warnings: count(ActionName::Warn),
            mails: self.mails,
            mails_failed,
            oldest_active_key_days: self.oldest_active_key_days,
        }
    }

    /// Adds one to the number of this action: planned actions in a dry run, otherwise actions that succeeded.
    pub(super) fn count(&mut self, action: ActionName) {
        *self.actions.entry(action).or_default() += 1;
    }

    /// Sorts the entries by account and user.
    pub(super) fn finish(mut self) -> Self {
        self.failures
            .sort_by(|a, b| (&a.account, &a.user, a.action.as_str()).cmp(&(&b.account, &b.user, b.action.as_str())));
        self.skipped.sort_by(|a, b| a.account.cmp(&b.account));
        // Stable: the order of one user's actions is the order of the plan.
        self.plan.sort_by(|a, b| (&a.account, &a.user).cmp(&(&b.account, &b.user)));
        self
    }

    /// Shortens the report until it fits into an answer.
    pub(super) fn into_answer(mut self) -> Self {
        while self.length() > MAX_ANSWER_LENGTH && self.shorten() {}
        self
    }

    /// Length of the answer in bytes.
    fn length(&self) -> usize {
        serde_json::to_string(self).map_or(0, |answer| answer.len())
    }

    /// Halves a list: first the plan, which the log has in the same words, then the longer of the others. Returns false
    /// if all lists are empty.
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

/// Cuts a list to that length, and returns how many entries were left out.
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
mod tests;
