//! Times: those of the SDK's types, and the service's clock as the `Date` headers of its responses show it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use aws_smithy_async::time::SharedTimeSource;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::BeforeDeserializationInterceptorContextRef;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;

/// Returns an SDK time as chrono's; `None` if chrono cannot represent it.
pub(super) fn utc(time: &aws_smithy_types::DateTime) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(time.secs(), time.subsec_nanos())
}

/// The service's clock, read from the responses to one client. Clones share the last response.
#[derive(Clone)]
pub(super) struct ServerClock {
    /// Our own clock, used until the first response.
    own: SharedTimeSource,
    last: Arc<Mutex<Option<LastResponse>>>,
}

/// The last response that had a `Date` header.
#[derive(Clone, Copy)]
struct LastResponse {
    date: DateTime<Utc>,
    /// Arrival of the response, by a monotonic clock.
    received: Instant,
}

impl fmt::Debug for ServerClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerClock")
    }
}

impl ServerClock {
    /// `own` is the clock to use until the first response.
    pub(super) fn new(own: SharedTimeSource) -> Self {
        Self { own, last: Arc::default() }
    }

    /// Returns the time by the service's clock, or by our own clock before the first response. It is never ahead of the
    /// service's clock. It is up to one second behind, because the header has whole seconds.
    pub(super) fn now(&self) -> DateTime<Utc> {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match last {
            Some(LastResponse { date, received }) => date + TimeDelta::from_std(received.elapsed()).unwrap_or_default(),
            None => self.own.now().into(),
        }
    }

    fn read(&self, header: Option<&str>) {
        // If the header is missing or unreadable, the last response that had one still counts.
        let Some(Ok(date)) = header.map(DateTime::parse_from_rfc2822) else { return };
        let last = LastResponse { date: date.with_timezone(&Utc), received: Instant::now() };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(last);
    }
}

impl Intercept for ServerClock {
    fn name(&self) -> &'static str {
        "ServerClock"
    }

    fn read_after_transmit(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.read(context.response().headers().get("date"));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use aws_smithy_async::time::StaticTimeSource;

    use super::*;
    use crate::testing::time;

    #[tokio::test(start_paused = true)]
    async fn the_services_clock_runs_on_between_its_responses() {
        let ours: SystemTime = time("2026-11-22T09:07:00Z").into();
        let clock = ServerClock::new(SharedTimeSource::new(StaticTimeSource::new(ours)));
        assert_eq!(clock.now(), time("2026-11-22T09:07:00Z"), "our own clock before the first response");
        let clone = clock.clone();
        clone.read(Some("Sun, 22 Nov 2026 09:00:00 GMT"));
        tokio::time::advance(Duration::from_millis(2500)).await;
        assert_eq!(clock.now(), time("2026-11-22T09:00:02.5Z"));
        for unreadable in [None, Some(""), Some("yesterday")] {
            clock.read(unreadable);
            assert_eq!(clock.now(), time("2026-11-22T09:00:02.5Z"), "{unreadable:?}");
        }
        clock.read(Some("Sun, 22 Nov 2026 09:00:03 GMT"));
        assert_eq!(clock.now(), time("2026-11-22T09:00:03Z"));
    }
}
