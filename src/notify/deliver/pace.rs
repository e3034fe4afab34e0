//! When each message may be begun.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::aws::Aws;

/// How long the last message takes at most, which is the time limit of one attempt, and the answer after it.
const LAST_MESSAGE: TimeDelta = TimeDelta::seconds(15);
/// How long the last record takes that has to be repeated.
const LAST_RECORD: TimeDelta = TimeDelta::seconds(20);
/// Reading and writing the tags of one secret, each a tenth of a second or two.
const RECORD_MS: usize = 400;
/// What many records take each, however many are made at once: Secrets Manager takes 50 changes of tags in a second.
/// <https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html>
const LEAST_RECORD_MS: usize = 25;

/// When the last message may be begun, so that afterwards there is time to write down what so many notices were told.
pub(in crate::notify) fn last_start(deadline: DateTime<Utc>, notices: usize, concurrency: usize) -> DateTime<Utc> {
    let each = (RECORD_MS / concurrency.max(1)).max(LEAST_RECORD_MS);
    let records = i64::try_from(notices.saturating_mul(each)).unwrap_or(i64::MAX);
    let reserve = TimeDelta::try_milliseconds(records).and_then(|it| it.checked_add(&(LAST_MESSAGE + LAST_RECORD)));
    reserve.and_then(|reserve| deadline.checked_sub_signed(reserve)).unwrap_or(DateTime::<Utc>::MIN_UTC)
}

/// Gives out turns, one after the other, at the same distance in time.
pub(super) struct Pace<'a> {
    aws: &'a Aws,
    spacing: TimeDelta,
    deadline: DateTime<Utc>,
    concurrency: usize,
    turns: Mutex<Turns>,
}

struct Turns {
    next: DateTime<Utc>,
    /// What is to be written down for the messages that got a turn.
    notices: usize,
}

impl<'a> Pace<'a> {
    /// The deadline is that of the function, the concurrency that of the records.
    pub(super) fn new(aws: &'a Aws, spacing: Duration, deadline: DateTime<Utc>, concurrency: usize) -> Self {
        let spacing = TimeDelta::from_std(spacing).unwrap_or(TimeDelta::MAX);
        Self { aws, spacing, deadline, concurrency, turns: Mutex::new(Turns { next: aws.now(), notices: 0 }) }
    }

    /// Waits for the next turn of a message of so many notices; false, at once, where that would come too late. Turns go
    /// in the order in which they are asked for.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::time;

    #[test]
    fn the_more_there_is_to_write_down_the_earlier_the_last_message() {
        let deadline = time("2026-11-22T09:15:00Z");
        for (notices, concurrency, last) in [
            (0, 16, "2026-11-22T09:14:25Z"),
            (40, 16, "2026-11-22T09:14:24Z"),
            (4000, 16, "2026-11-22T09:12:45Z"),
            (4000, 256, "2026-11-22T09:12:45Z"),
            (40, 1, "2026-11-22T09:14:09Z"),
            (40, 0, "2026-11-22T09:14:09Z"),
        ] {
            assert_eq!(last_start(deadline, notices, concurrency), time(last), "{notices} with {concurrency}");
        }
        assert_eq!(last_start(deadline, usize::MAX, 1), DateTime::<Utc>::MIN_UTC, "never");
    }
}
