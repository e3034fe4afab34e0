//! The service's own clock, as the `Date` headers of its answers tell it.

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

/// Listens to the answers of one client. Clones share what they heard.
#[derive(Clone)]
pub(super) struct ServerTime {
    own: SharedTimeSource,
    heard: Arc<Mutex<Option<Heard>>>,
}

/// What the last answer told.
#[derive(Clone, Copy)]
struct Heard {
    date: DateTime<Utc>,
    /// When the answer was here, on a clock that nobody sets.
    at: Instant,
}

impl fmt::Debug for ServerTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerTime")
    }
}

impl ServerTime {
    /// `own` is the clock to go by before the first answer.
    pub(super) fn new(own: SharedTimeSource) -> Self {
        Self { own, heard: Arc::default() }
    }

    /// The time by the service's clock; by our own where no answer has told it. Up to a second behind the service's, as
    /// the header holds whole seconds, and never ahead of it.
    pub(super) fn now(&self) -> DateTime<Utc> {
        let heard = *self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        match heard {
            Some(Heard { date, at }) => date + TimeDelta::from_std(at.elapsed()).unwrap_or_default(),
            None => self.own.now().into(),
        }
    }

    fn hear(&self, header: Option<&str>) {
        // A header that is missing or unreadable tells nothing: what was heard before still counts.
        let Some(Ok(date)) = header.map(DateTime::parse_from_rfc2822) else { return };
        let heard = Heard { date: date.with_timezone(&Utc), at: Instant::now() };
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(heard);
    }
}

impl Intercept for ServerTime {
    fn name(&self) -> &'static str {
        "ServerTime"
    }

    fn read_after_transmit(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.hear(context.response().headers().get("date"));
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
    async fn the_services_clock_counts_and_goes_on_between_its_answers() {
        let ours: SystemTime = time("2026-11-22T09:07:00Z").into();
        let server = ServerTime::new(SharedTimeSource::new(StaticTimeSource::new(ours)));
        assert_eq!(server.now(), time("2026-11-22T09:07:00Z"), "ours, before any answer");
        let heard_by_a_clone = server.clone();
        heard_by_a_clone.hear(Some("Sun, 22 Nov 2026 09:00:00 GMT"));
        tokio::time::advance(Duration::from_millis(2500)).await;
        assert_eq!(server.now(), time("2026-11-22T09:00:02.5Z"));
        for silent in [None, Some(""), Some("yesterday")] {
            server.hear(silent);
            assert_eq!(server.now(), time("2026-11-22T09:00:02.5Z"), "{silent:?}");
        }
        server.hear(Some("Sun, 22 Nov 2026 09:00:03 GMT"));
        assert_eq!(server.now(), time("2026-11-22T09:00:03Z"));
    }
}
