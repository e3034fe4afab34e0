//! The log of a story, day by day, for a person to read.

use std::fmt;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::acts::Act;
use super::cast::Person;
use super::story::day_0;
use crate::model::{Cloud, KeyChange};

/// Operations that change something.
const WRITES: [&str; 14] = [
    "CreateSecret",
    "UpdateSecret",
    "DeleteSecret",
    "RestoreSecret",
    "PutSecretValue",
    "UpdateSecretVersionStage",
    "TagResource",
    "UntagResource",
    "PutResourcePolicy",
    "RotateSecret",
    "CancelRotateSecret",
    "CreateAccessKey",
    "UpdateAccessKey",
    "DeleteAccessKey",
];

/// One line of the log.
#[derive(Clone, Debug)]
struct TraceLine {
    at: DateTime<Utc>,
    who: &'static str,
    text: String,
}

/// The lines, in order of time once finished.
#[derive(Clone, Debug, Default)]
pub(super) struct Trace(Vec<TraceLine>);

impl Trace {
    fn line(&mut self, at: DateTime<Utc>, who: &'static str, text: String) {
        self.0.push(TraceLine { at, who, text });
    }

    pub(super) fn act(&mut self, at: DateTime<Utc>, whom: Option<&Person>, act: &Act) {
        match whom {
            Some(person) => self.line(at, "person", format!("{}: {act}", person.name)),
            None => self.line(at, "world", act.to_string()),
        }
    }

    pub(super) fn advice(&mut self, at: DateTime<Utc>, person: &Person, error: &str) {
        self.line(at, "person", format!("{}: follows: {error}", person.name));
    }

    pub(super) fn sweep(&mut self, at: DateTime<Utc>, answer: &Value) {
        for planned in answer["plan"].as_array().into_iter().flatten() {
            self.line(
                at,
                "sweep",
                format!("{}: {}: {}", text(&planned["user"]), text(&planned["action"]), text(&planned["detail"])),
            );
        }
        for failure in answer["failures"].as_array().into_iter().flatten() {
            let about = failure["user"].as_str().or(failure["account"].as_str()).unwrap_or_default();
            self.line(
                at,
                "sweep",
                format!("{about}: FAILED {}: {}", text(&failure["action"]), text(&failure["error"])),
            );
        }
    }

    pub(super) fn sweep_failed(&mut self, at: DateTime<Utc>, why: &str) {
        self.line(at, "sweep", format!("ended: {why}"));
    }

    pub(super) fn event(&mut self, at: DateTime<Utc>, event: &Value) {
        let kind = event["detail"]["eventName"].as_str().or(event["detail"]["labelUpdated"].as_str());
        let secret = event["resources"][0].as_str().unwrap_or_default().rsplit(':').next().unwrap_or_default();
        self.line(at, "event", format!("{}: {secret}", kind.unwrap_or_default()));
    }

    /// Adds the writes, the failed calls and the changes of keys that the model recorded, and sorts the lines.
    pub(super) fn finished(mut self, cloud: &Cloud) -> Self {
        for event in cloud.key_history(0) {
            let by = event
                .by
                .as_deref()
                .map_or("person", |by| if by.contains("-rotation/") { "rotation" } else { "sweeper" });
            let change = match event.change {
                KeyChange::Created => "made",
                KeyChange::Enabled => "enabled",
                KeyChange::Disabled => "disabled",
                KeyChange::Deleted => "deleted",
            };
            self.line(
                event.at,
                "key",
                format!("{}: {} {change} by {by}; beside it {:?}", event.user, event.key, event.others),
            );
        }
        for call in cloud.calls() {
            // These two errors are expected: the secret or the key does not exist yet.
            let expected = ["ResourceNotFoundException", "InvalidClientTokenId"];
            let failed = call.error_code.as_deref().filter(|code| !expected.contains(code));
            if WRITES.contains(&call.operation.as_str()) || failed.is_some() {
                let resource = call.resource.rsplit(':').next().unwrap_or_default().to_owned();
                let by = if call.caller_arn.contains("-rotation/") { "rotation" } else { "sweeper" };
                let outcome = failed.map_or_else(String::new, |code| format!(" → {code}"));
                self.line(call.at, "call", format!("{by}: {} {resource}{outcome}", call.operation));
            }
        }
        self.0.sort_by_key(|line| line.at);
        self
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut day = None;
        for TraceLine { at, who, text } in &self.0 {
            let number = (*at - day_0()).num_days();
            if day.replace(number) != Some(number) {
                writeln!(f, "day {number}  {}", at.date_naive())?;
            }
            writeln!(f, "  {}  {who:<7}{text}", at.format("%H:%M:%S%.3f"))?;
        }
        Ok(())
    }
}
