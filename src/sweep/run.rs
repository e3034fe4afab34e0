//! One run: what all of its parts share.

use chrono::{DateTime, TimeDelta, Utc};

use super::report::Report;
use crate::aws::SweeperAws;
use crate::error::Error;
use crate::lifecycle;
use crate::notify::Templates;
use crate::provision::Wanted;
use crate::settings::Settings;

/// The part of the function's time in which no account, user or action is begun: it is for sending and recording the
/// notices and for the answer.
const TIME_TO_FINISH: TimeDelta = TimeDelta::seconds(60);

/// Time that one account takes if nothing is due. Most of it is the wait for IAM's credential report; the lists of an
/// account with some dozens of users are about six calls.
const SECONDS_PER_ACCOUNT: i64 = 5;

/// Reported for what a run did not reach.
pub(super) const OUT_OF_TIME: &str = "the function ran out of time before this was reached; it is on the next run's list. \
    Sweep accounts one by one through the state machine, or raise MAX_CONCURRENT_USERS, or MAX_CONCURRENCY for many accounts";

/// One run of the sweeper.
#[expect(clippy::struct_field_names, reason = "`dry_run` is the word of settings and events")]
pub(super) struct Run<'a> {
    pub(super) aws: &'a SweeperAws,
    pub(super) settings: &'a Settings,
    pub(super) templates: &'a Templates,
    pub(super) wanted: Wanted,
    pub(super) dry_run: bool,
    /// Notices that are not urgent are deferred to a digest.
    pub(super) defers_notices: bool,
    /// One time for all decisions of the run, so that planning again makes the same plan.
    pub(super) now: DateTime<Utc>,
    /// When Lambda ends the invocation.
    pub(super) deadline: DateTime<Utc>,
}

impl<'a> Run<'a> {
    /// # Errors
    /// [`Error::InvalidEvent`] if no rotation function is configured.
    pub(super) fn new(
        aws: &'a SweeperAws,
        settings: &'a Settings,
        templates: &'a Templates,
        dry_run: bool,
        deadline: DateTime<Utc>,
    ) -> Result<Self, Error> {
        let wanted = Wanted::from_settings(settings).ok_or_else(|| {
            Error::InvalidEvent(
                "ROTATION_FUNCTION_ARN is not set, so the sweeper has no function to rotate with".to_owned(),
            )
        })?;
        Ok(Self {
            aws,
            settings,
            templates,
            wanted,
            dry_run: dry_run || settings.dry_run,
            defers_notices: false,
            now: aws.now(),
            deadline,
        })
    }

    /// `aws`, `aws-cn`, `aws-us-gov` …
    pub(super) fn partition(&self) -> &str {
        self.wanted.function_arn.split(':').nth(1).unwrap_or("aws")
    }

    /// The Region of the stack.
    pub(super) fn region(&self) -> &str {
        self.wanted.function_arn.split(':').nth(3).unwrap_or_default()
    }

    /// Returns how many keys this run may rotate, disable and delete, each, in an account of `users` users; `None` for
    /// no limit.
    pub(super) fn changes_allowed(&self, users: usize) -> Option<usize> {
        lifecycle::changes_allowed(self.settings.changes_per_run, users, self.settings.periods.rotation)
    }

    /// Whether changes in an account of at least `users` users may have to wait for a later run.
    pub(super) fn is_limited(&self, users: usize) -> bool {
        self.changes_allowed(users).is_some_and(|allowed| allowed < users)
    }

    pub(super) fn is_out_of_time(&self) -> bool {
        self.is_out_of_time_in(TimeDelta::zero())
    }

    /// Whether the time will have run out after `wait`.
    pub(super) fn is_out_of_time_in(&self, wait: TimeDelta) -> bool {
        self.aws.now() + wait + TIME_TO_FINISH >= self.deadline
    }

    /// How many accounts this invocation can sweep in its time, if nothing is due in most of them.
    pub(super) fn accounts_that_fit(&self) -> usize {
        let seconds = (self.deadline - TIME_TO_FINISH - self.aws.now()).num_seconds() / SECONDS_PER_ACCOUNT;
        usize::try_from(seconds).unwrap_or_default().saturating_mul(self.settings.max_concurrency)
    }

    pub(super) fn empty_report(&self) -> Report {
        Report { dry_run: self.dry_run, ..Report::default() }
    }
}
