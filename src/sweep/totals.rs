//! Adds up the results of users and accounts: all counts, and as many entries as an answer holds. Pure.

use chrono::{DateTime, Utc};

use super::account_user::AccountUser;
use super::outcome::UserOutcome;
use super::report::{Failure, Report, Skipped};
use super::stage::Stage;
use crate::keys::AccountId;
use crate::lifecycle::{Exemption, Sighting};

/// The report of one account or of several, as it grows.
#[derive(Debug, Default)]
pub(super) struct SweepTotals {
    pub(super) report: Report,
    /// When the oldest key that keywheel rotates was made.
    oldest_key: Option<DateTime<Utc>>,
}

impl SweepTotals {
    pub(super) fn new(dry_run: bool) -> Self {
        Self { report: Report { dry_run, ..Report::default() }, oldest_key: None }
    }

    /// Adds the result of one user.
    pub(super) fn add(&mut self, outcome: &UserOutcome) {
        self.report.users += 1;
        self.age(outcome.oldest_key);
        self.add_work(outcome);
    }

    /// Adds what was planned and done for a secret whose user is not counted: its account is gone.
    pub(super) fn add_work(&mut self, outcome: &UserOutcome) {
        self.report.add_plan(&outcome.plan);
        self.add_failures(outcome.failures.iter().cloned());
        if self.report.dry_run {
            outcome.plan.actions.iter().for_each(|action| self.report.count(action.name()));
        } else {
            outcome.done.iter().for_each(|action| self.report.count(*action));
        }
    }

    /// Adds a user for whom the lists prove that nothing is due.
    pub(super) fn add_quiet(&mut self, user: &AccountUser, sighting: Option<&Sighting>) {
        self.report.users += 1;
        // Keys of exempt users are old on purpose. The report's date of a quiet user's key is when the key was made.
        let is_rotated = user.exemption != Exemption::Exempt;
        let active = sighting.into_iter().flat_map(|sighting| &sighting.active).filter(|_| is_rotated);
        self.age(active.map(|key| key.since).min());
    }

    /// Takes back a quiet user who is observed after all, and then counted.
    pub(super) fn take_back_user(&mut self) {
        self.report.users -= 1;
    }

    fn age(&mut self, key: Option<DateTime<Utc>>) {
        self.oldest_key = self.oldest_key.into_iter().chain(key).min();
    }

    /// Logs these failures and adds them to the report, which lists a limited number and counts the rest.
    pub(super) fn add_failures(&mut self, failures: impl IntoIterator<Item = Failure>) {
        failures.into_iter().for_each(|failure| self.report.add_failure(failure));
    }

    /// Adds users that the time did not reach.
    pub(super) fn leave(&mut self, users: usize) {
        self.report.left += users;
    }

    /// Reports the users that the time did not reach, if any.
    pub(super) fn report_left(&mut self, account: &AccountId, why: &str) {
        let left = self.report.left;
        if left > 0 {
            self.add_failures([Failure::of_account(account, Stage::Sweep, &format!("{left} user(s) are left: {why}"))]);
        }
    }

    /// Adds an account that is not swept, or not to its end.
    pub(super) fn skip(&mut self, skipped: Skipped) {
        self.add_failures([Failure::of_account(&skipped.account, Stage::Sweep, &skipped.reason)]);
        self.report.add_skipped(skipped);
    }

    /// Adds the results of other accounts.
    pub(super) fn merge(&mut self, other: Self) {
        self.age(other.oldest_key);
        self.report.merge(other.report);
    }

    /// The report; the age of the oldest key is at that time.
    pub(super) fn into_report(mut self, now: DateTime<Utc>) -> Report {
        self.report.oldest_active_key_days = self.oldest_key.map(|created| (now - created).num_days());
        self.report
    }
}
