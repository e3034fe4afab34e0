//! The events that ask the sweeper for something. Pure.
//!
//! `own` reads keywheel's own events, `aws` those of EventBridge; `request` is what both are read into.

mod aws;
mod own;
mod request;
#[cfg(test)]
mod tests;

use serde_json::Value;

use crate::error::Error;
use crate::redact;
use aws::AwsEvent;
use own::{OwnEvent, emptied};

pub(super) use request::SweepRequest;

/// An event, and whether it asks for a dry run whatever the settings say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SweepEvent {
    /// The request that the sweeper carries out.
    pub request: SweepRequest,
    /// Plan and report, change nothing.
    pub dry_run: bool,
}

impl SweepEvent {
    /// Reads an event.
    ///
    /// # Errors
    /// [`Error::InvalidEvent`] that names the field.
    pub fn read(event: Value) -> Result<Self, Error> {
        Self::parse(event).map_err(|error| match error {
            // An event for another function, sent here by mistake, may hold secrets.
            Error::InvalidEvent(why) => Error::InvalidEvent(redact::secret_like(&why)),
            other => other,
        })
    }

    fn parse(event: Value) -> Result<Self, Error> {
        if event.get("detail-type").is_some() {
            let event: AwsEvent = parse(event)?;
            return Ok(Self { request: event.request()?, dry_run: event.dry_run });
        }
        // serde accepts a list as an object, with its items as the fields in their order.
        if let Some(mistake) = emptied(&event).or_else(|| mistyped(&event)) {
            return Err(Error::InvalidEvent(mistake));
        }
        let event: OwnEvent = parse(event)?;
        Ok(Self { dry_run: event.dry_run, request: event.request()? })
    }
}

fn parse<T: serde::de::DeserializeOwned>(event: Value) -> Result<T, Error> {
    if !event.is_object() {
        return Err(Error::InvalidEvent("it is not an object; {} sweeps all accounts".to_owned()));
    }
    let mistyped = mistyped(&event);
    serde_json::from_value(event).map_err(|error| Error::InvalidEvent(mistyped.unwrap_or_else(|| error.to_string())))
}

/// The first field of the wrong type: the message of serde does not name the field.
fn mistyped(event: &Value) -> Option<String> {
    type Fits = fn(&Value) -> bool;
    let text: (&str, Fits) = ("text", |value| value.is_string() || value.is_null());
    let object: (&str, Fits) = ("an object", |value| value.is_object() || value.is_null());
    let fields: [(&str, (&str, Fits)); 11] = [
        ("/account", text),
        ("/name", text),
        ("/email", text),
        ("/dry_run", ("true or false", Value::is_boolean)),
        ("/notices", ("`now` or `later`", |value| value == "now" || value == "later")),
        ("/inventory", object),
        ("/digest", object),
        ("/digest/after", text),
        ("/inventory/next_token", text),
        ("/inventory/limit", ("a number", |value| value.is_u64() || value.is_null())),
        ("/detail-type", ("text", Value::is_string)),
    ];
    let wrong = |(path, (_, fits)): &(&str, (&str, Fits))| event.pointer(path).is_some_and(|value| !fits(value));
    let (path, (expected, _)) = fields.into_iter().find(wrong)?;
    Some(format!("{} must be {expected}", path[1..].replace('/', ".")))
}
