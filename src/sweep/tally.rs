//! What a sweep adds up while it goes: numbers, and as much of the rest as an answer holds. Pure.

use chrono::{DateTime, Utc};

use super::observe::Member;
use super::report::{Failure, Report, Skipped};
use super::user::Outcome;
use crate::keys::AccountId;
use crate::lifecycle::{Exemption, Sighting};

/// Counts of one account or of several.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) report: Report,
    /// When the oldest key that is to be rotated was made.
    oldest_key: Option<DateTime<Utc>>,
}

impl Tally {
    pub(super) fn new(dry_run: bool) -> Self {
        Self { report: Report { dry_run, ..Report::default() }, oldest_key: None }
    }

    /// Adds what came of one user.
    pub(super) fn add(&mut self, outcome: &Outcome) {
        self.report.users += 1;
        self.age(outcome.oldest_key);
        self.report.add_plan(&outcome.plan);
        self.failures(outcome.failures.iter().cloned());
        if self.report.dry_run {
            outcome.plan.actions.iter().for_each(|action| self.report.count(action.name()));
        } else {
            outcome.done.iter().for_each(|action| self.report.count(*action));
        }
    }

    /// Adds a user who was not looked at.
    pub(super) fn add_quiet(&mut self, member: &Member, sighting: Option<&Sighting>) {
        self.report.users += 1;
        // Keys of exempt users are old on purpose. Quiet users' dates in the report are those at which keys were made.
        let is_rotated = member.exemption != Exemption::Exempt;
        let active = sighting.into_iter().flat_map(|sighting| &sighting.active).filter(|_| is_rotated);
        self.age(active.map(|key| key.since).min());
    }

    /// A user is looked at once more, and counted then.
    pub(super) fn take_back_user(&mut self) {
        self.report.users -= 1;
    }

    fn age(&mut self, key: Option<DateTime<Utc>>) {
        self.oldest_key = self.oldest_key.into_iter().chain(key).min();
    }

    pub(super) fn failures(&mut self, failures: impl IntoIterator<Item = Failure>) {
        failures.into_iter().for_each(|failure| self.report.add_failure(failure));
    }

    /// So many users were not come to.
    pub(super) fn leave(&mut self, users: usize) {
        self.report.left += users;
    }

    /// Says that users were not come to, if there are any.
    pub(super) fn report_left(&mut self, account: &AccountId, why: &str) {
        let left = self.report.left;
        if left > 0 {
            self.failures([Failure::of_account(account, "sweep", &format!("{left} user(s) are left: {why}"))]);
        }
    }

    /// An account is not swept, or not to its end.
    pub(super) fn skip(&mut self, skipped: Skipped) {
        self.failures([Failure::of_account(&skipped.account, "sweep", &skipped.reason)]);
        self.report.add_skipped(skipped);
    }

    /// Adds another tally to this one.
    pub(super) fn merge(&mut self, other: Self) {
        self.age(other.oldest_key);
        self.report.merge(other.report);
    }

    /// The report at that time.
    pub(super) fn into_report(mut self, now: DateTime<Utc>) -> Report {
        self.report.oldest_active_key_days = self.oldest_key.map(|created| (now - created).num_days());
        self.report
    }
}
