//! Days of the calendar in UTC. Pure.
//!
//! Each period of a key's life is a number of days. If a fact dates from day D, its action is due on day D + N, in any
//! run of that day. The hour of the fact does not matter, so a notice can name the day of the action. If days were
//! spans of 24 hours, an action that follows a fact of 06:00:04 would miss the run of 06:00:00.

use chrono::{DateTime, NaiveTime, TimeDelta, Utc};

/// Returns the first moment of the day on which an action is due: `period`, in whole days, after the day of `fact`.
///
/// ```
/// use chrono::TimeDelta;
/// use keywheel::calendar::due;
///
/// let made = "2026-01-02T23:59:59Z".parse()?;
/// assert_eq!(due(made, TimeDelta::days(90)), "2026-04-02T00:00:00Z".parse::<chrono::DateTime<chrono::Utc>>()?);
/// # Ok::<(), chrono::ParseError>(())
/// ```
pub fn due(fact: DateTime<Utc>, period: TimeDelta) -> DateTime<Utc> {
    midnight(fact) + period
}

/// Returns the first moment of the day of `time`, in UTC.
pub fn midnight(time: DateTime<Utc>) -> DateTime<Utc> {
    time.date_naive().and_time(NaiveTime::MIN).and_utc()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn on_aws_a1_a_key_of_2_january_is_due_on_2_april() {
        let time = crate::testing::time;
        for hour in ["00:00:00", "06:00:04", "23:59:59"] {
            let due = due(time(&format!("2026-01-02T{hour}Z")), TimeDelta::days(90));
            assert_eq!(due, time("2026-04-02T00:00:00Z"));
        }
    }

    proptest! {
        #[test]
        fn on_aws_a1_any_run_of_the_day_is_due_and_none_before(
            fact in 0i64..4_000_000_000, days in 0i64..1000, run in 0i64..4_000_000_000,
        ) {
            let time = |seconds| DateTime::from_timestamp(seconds, 0).unwrap();
            let (fact, run) = (time(fact), time(run));
            let day = fact.date_naive() + TimeDelta::days(days);
            prop_assert_eq!(run >= due(fact, TimeDelta::days(days)), run.date_naive() >= day);
        }
    }
}
