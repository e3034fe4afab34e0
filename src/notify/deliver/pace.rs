//! Spreads the messages of a run over time.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::aws::Aws;
use crate::notify::last_start::last_start;

/// Gives each message a turn, with the same time between any two turns.
pub(super) struct Pace<'a> {
    aws: &'a Aws,
    spacing: TimeDelta,
    deadline: DateTime<Utc>,
    concurrency: usize,
    turns: Mutex<Turns>,
}

struct Turns {
    next: DateTime<Utc>,
    /// The notices to record for the messages that got a turn.
    notices: usize,
}

impl<'a> Pace<'a> {
    /// `deadline` is the end of the function's time, and `concurrency` the number of notices that are recorded at
    /// once.
    pub(super) fn new(aws: &'a Aws, spacing: Duration, deadline: DateTime<Utc>, concurrency: usize) -> Self {
        let spacing = TimeDelta::from_std(spacing).unwrap_or(TimeDelta::MAX);
        Self { aws, spacing, deadline, concurrency, turns: Mutex::new(Turns { next: aws.now(), notices: 0 }) }
    }

    /// Waits for the turn of a message with this number of notices. Returns `false` at once if the turn would be too
    /// late. Turns are given in the order of the calls.
    pub(super) async fn turn(&self, notices: usize) -> bool {
        let now = self.aws.now();
        let Some(at) = self.reserve(now, notices) else { return false };
        if let Some(wait) = (at - now).to_std().ok().filter(|wait| !wait.is_zero()) {
            self.aws.sleep(wait).await;
        }
        true
    }

    fn reserve(&self, now: DateTime<Utc>, notices: usize) -> Option<DateTime<Utc>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        let at = now.max(turns.next);
        let notices = turns.notices.saturating_add(notices);
        if at > last_start(self.deadline, notices, self.concurrency) {
            return None;
        }
        *turns = Turns { next: at.checked_add_signed(self.spacing).unwrap_or(DateTime::<Utc>::MAX_UTC), notices };
        Some(at)
    }
}
