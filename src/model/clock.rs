//! A clock that the model shares with the SDK and with the code under test, and that can be advanced by weeks at once.

use std::time::{Duration, SystemTime};

use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
use aws_smithy_async::time::{SharedTimeSource, TimeSource};
use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::watch;

/// The longest single sleep. Tokio limits a sleep to about two years, so that longer sleeps are split.
const LONGEST_SLEEP: Duration = Duration::from_hours(300 * 24);

/// A clock, cheap to clone; every clone shows and moves the same time.
#[derive(Clone, Debug)]
pub struct Clock(TimeBase);

#[derive(Clone, Debug)]
enum TimeBase {
    /// Tokio's paused time, counted from `origin`, added to `base`.
    Virtual { base: DateTime<Utc>, origin: tokio::time::Instant },
    /// The system's clock and a movable offset in milliseconds.
    Shifted { offset_ms: watch::Sender<i64> },
}

impl Clock {
    /// A clock that shows `base` now and goes with tokio's time. The runtime must be `current_thread` with its time
    /// paused (see [`paused_runtime`]); then every sleep, the SDK's too, passes in a moment.
    pub fn starting_at(base: DateTime<Utc>) -> Self {
        let origin = tokio::time::Instant::now();
        Self(TimeBase::Virtual { base, origin })
    }

    /// The system's clock plus an offset that [`Clock::advance`] increases. For a served model.
    pub fn shifted() -> Self {
        Self(TimeBase::Shifted { offset_ms: watch::Sender::new(0) })
    }

    /// A clock of its own, of the same kind, that shows `time` now.
    #[must_use]
    pub fn forked_at(&self, time: DateTime<Utc>) -> Self {
        match &self.0 {
            TimeBase::Virtual { .. } => Self::starting_at(time),
            TimeBase::Shifted { .. } => {
                let offset_ms = (time - system_now()).num_milliseconds();
                Self(TimeBase::Shifted { offset_ms: watch::Sender::new(offset_ms) })
            }
        }
    }

    /// A clock that is always `by` ahead of this one.
    #[must_use]
    pub fn skewed(&self, by: TimeDelta) -> Self {
        match &self.0 {
            TimeBase::Virtual { base, origin } => Self(TimeBase::Virtual { base: *base + by, origin: *origin }),
            TimeBase::Shifted { .. } => self.clone(),
        }
    }

    /// The time that this clock shows.
    pub fn now(&self) -> DateTime<Utc> {
        match &self.0 {
            TimeBase::Virtual { base, origin } => *base + delta(origin.elapsed()),
            TimeBase::Shifted { offset_ms } => system_now() + TimeDelta::milliseconds(*offset_ms.borrow()),
        }
    }

    /// Advances the time by `by`. On a virtual clock sleepers wake in order meanwhile; a shifted clock jumps.
    pub async fn advance(&self, by: Duration) {
        match &self.0 {
            TimeBase::Virtual { .. } => sleep_in_pieces(by).await,
            TimeBase::Shifted { offset_ms } => {
                let ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
                offset_ms.send_modify(|offset| *offset = offset.saturating_add(ms));
            }
        }
    }

    /// Advances the time to `to`. Does nothing if `to` has passed.
    pub async fn advance_to(&self, to: DateTime<Utc>) {
        if let Ok(ahead) = (to - self.now()).to_std() {
            self.advance(ahead).await;
        }
    }

    /// Sleeps until this clock has advanced by `duration`. Advancing a shifted clock shortens the sleep.
    pub async fn sleep_for(&self, duration: Duration) {
        match &self.0 {
            TimeBase::Virtual { .. } => sleep_in_pieces(duration).await,
            TimeBase::Shifted { offset_ms } => {
                let deadline = self.now() + delta(duration);
                let mut moved = offset_ms.subscribe();
                while let Ok(left) = (deadline - self.now()).to_std() {
                    if left.is_zero() {
                        break;
                    }
                    tokio::select! {
                        () = tokio::time::sleep(left.min(LONGEST_SLEEP)) => {}
                        _ = moved.changed() => {}
                    }
                }
            }
        }
    }

    /// Whether the clock is virtual: only this process advances it.
    pub fn is_virtual(&self) -> bool {
        matches!(self.0, TimeBase::Virtual { .. })
    }

    /// This clock as the SDK reads it.
    pub fn time_source(&self) -> SharedTimeSource {
        SharedTimeSource::new(self.clone())
    }

    /// The sleep for the SDK: tokio's, which a paused runtime skips. A shifted clock does not shorten it, because
    /// otherwise advancing the clock would time out the calls in progress.
    pub fn sleep(&self) -> SharedAsyncSleep {
        SharedAsyncSleep::new(TokioSleep::new())
    }
}

impl TimeSource for Clock {
    fn now(&self) -> SystemTime {
        Clock::now(self).into()
    }
}

/// An arbitrary, fixed seed.
const WAITS_SEED: u64 = 1;

/// A runtime with paused time, in which a virtual [`Clock`] can be made. The SDK draws its waits between attempts from
/// a generator of this thread. The generator is seeded anew, so that a run on a new runtime is repeatable.
///
/// # Errors
/// Fails if the operating system refuses the runtime.
pub fn paused_runtime() -> std::io::Result<tokio::runtime::Runtime> {
    fastrand::seed(WAITS_SEED);
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build()
}

#[expect(
    clippy::disallowed_methods,
    reason = "a shifted clock starts from the system's: the only place of the model that reads it"
)]
fn system_now() -> DateTime<Utc> {
    SystemTime::now().into()
}

async fn sleep_in_pieces(mut left: Duration) {
    while !left.is_zero() {
        let piece = left.min(LONGEST_SLEEP);
        tokio::time::sleep(piece).await;
        left -= piece;
    }
}

/// `duration` for sums with dates; a span beyond chrono's range counts as a thousand years.
pub(crate) fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::days(365_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day() -> DateTime<Utc> {
        "2026-11-22T09:00:00Z".parse().expect("a date")
    }

    #[tokio::test(start_paused = true)]
    async fn a_virtual_clock_skips_years_and_wakes_sleepers_in_order() {
        let clock = Clock::starting_at(day());
        let sleeper = clock.clone();
        let woken = tokio::spawn(async move {
            sleeper.sleep_for(Duration::from_hours(1)).await;
            sleeper.now()
        });
        clock.advance_to(day() + TimeDelta::days(1000)).await;
        assert_eq!(clock.now(), day() + TimeDelta::days(1000));
        assert_eq!(woken.await.expect("ran"), day() + TimeDelta::hours(1));
    }

    #[tokio::test]
    async fn a_shifted_clock_jumps_and_shortens_only_its_own_sleeps() {
        let clock = Clock::shifted();
        let before = clock.now();
        let sleeper = clock.clone();
        let woken = tokio::spawn(async move { sleeper.sleep_for(Duration::from_mins(10)).await });
        tokio::task::yield_now().await;
        clock.advance(Duration::from_mins(15)).await;
        tokio::time::timeout(Duration::from_secs(5), woken).await.expect("woken by the jump").expect("ran");
        assert!(clock.now() - before >= TimeDelta::seconds(900));
    }
}
