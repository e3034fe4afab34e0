//! The time until which a message may be started. Pure.

use chrono::{DateTime, TimeDelta, Utc};

/// The time reserved for the last message: the time limit of one attempt, and the response.
const LAST_MESSAGE: TimeDelta = TimeDelta::seconds(15);
/// The time reserved for the last record, if it has to be repeated.
const LAST_RECORD: TimeDelta = TimeDelta::seconds(20);
/// The time to record one notice, in milliseconds: the tags of its secret are read and written, each in 0.1 to 0.2 s.
const RECORD_MS: usize = 400;
/// The least time for one of many records, in milliseconds, at any concurrency: Secrets Manager accepts 50 changes of
/// tags in a second.
/// <https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html>
const LEAST_RECORD_MS: usize = 25;

/// Returns the latest time to start a message, so that time remains to record this number of notices.
pub(super) fn last_start(deadline: DateTime<Utc>, notices: usize, concurrency: usize) -> DateTime<Utc> {
    let each = (RECORD_MS / concurrency.max(1)).max(LEAST_RECORD_MS);
    let records = i64::try_from(notices.saturating_mul(each)).unwrap_or(i64::MAX);
    let reserve = TimeDelta::try_milliseconds(records).and_then(|it| it.checked_add(&(LAST_MESSAGE + LAST_RECORD)));
    reserve.and_then(|reserve| deadline.checked_sub_signed(reserve)).unwrap_or(DateTime::<Utc>::MIN_UTC)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::time;

    #[test]
    fn more_records_need_an_earlier_last_message() {
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
