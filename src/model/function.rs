//! A rotation function, as the model invokes it.

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use serde_json::Value;

/// A rotation function as Secrets Manager invokes it.
pub trait RotationFunction: Send + Sync {
    /// Runs one step. `event` is the event of Secrets Manager. The invocation is dropped at `deadline`.
    ///
    /// # Errors
    /// Returns the function's error message.
    fn invoke(&self, event: Value, deadline: DateTime<Utc>) -> BoxFuture<'static, Result<(), String>>;
}

impl<F> RotationFunction for F
where
    F: Fn(Value, DateTime<Utc>) -> BoxFuture<'static, Result<(), String>> + Send + Sync,
{
    fn invoke(&self, event: Value, deadline: DateTime<Utc>) -> BoxFuture<'static, Result<(), String>> {
        self(event, deadline)
    }
}
