//! Rotation rules: days, or a rate expression.

use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::model::answer::ServiceError;
use crate::model::request::Input;

/// A schedule as it was given, and the interval that it means.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rules {
    automatically_after_days: Option<i64>,
    schedule_expression: Option<String>,
    duration: Option<String>,
    pub(crate) interval: TimeDelta,
}

impl Rules {
    /// Reads and checks the member `RotationRules`.
    /// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_RotationRulesType.html>
    pub(crate) fn read(members: &Input) -> Result<Self, ServiceError> {
        members.only(&["AutomaticallyAfterDays", "ScheduleExpression", "Duration"])?;
        let days = members.number("AutomaticallyAfterDays")?;
        let expression = members.text("ScheduleExpression")?;
        let interval = match (days, expression) {
            (Some(days @ 1..=1000), None) => TimeDelta::days(days),
            (Some(days), None) => {
                return Err(ServiceError::invalid_parameter(format!(
                    "AutomaticallyAfterDays must be between 1 and 1000, not {days}."
                )));
            }
            (None, Some(expression)) => rate(expression)?,
            _ => {
                return Err(ServiceError::invalid_parameter(
                    "You must specify either AutomaticallyAfterDays or ScheduleExpression, not both.",
                ));
            }
        };
        Ok(Self {
            automatically_after_days: days,
            schedule_expression: expression.map(ToOwned::to_owned),
            duration: duration(members.text("Duration")?)?,
            interval,
        })
    }

    /// The rules as `DescribeSecret` shows them.
    pub(crate) fn shown(&self) -> Value {
        let mut shown = json!({});
        if let Some(days) = self.automatically_after_days {
            shown["AutomaticallyAfterDays"] = json!(days);
        }
        if let Some(expression) = &self.schedule_expression {
            shown["ScheduleExpression"] = json!(expression);
        }
        if let Some(duration) = &self.duration {
            shown["Duration"] = json!(duration);
        }
        shown
    }
}

/// `rate(N hours)` or `rate(N days)`, four hours at least. A cron expression is refused: it is not modelled.
/// <https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotate-secrets_schedule.html>
fn rate(expression: &str) -> Result<TimeDelta, ServiceError> {
    let inner = expression.strip_prefix("rate(").and_then(|it| it.strip_suffix(')'));
    let parts = inner.and_then(|it| it.split_once(' '));
    let interval = parts.and_then(|(count, unit)| {
        let count: i64 = count.parse().ok()?;
        match unit {
            "hour" | "hours" => TimeDelta::try_hours(count),
            "day" | "days" => TimeDelta::try_days(count),
            _ => None,
        }
    });
    match interval {
        Some(interval) if (TimeDelta::hours(4)..=TimeDelta::days(1000)).contains(&interval) => Ok(interval),
        _ if expression.starts_with("cron(") => {
            Err(ServiceError::invalid_parameter("cron expressions are not modelled"))
        }
        _ => Err(ServiceError::invalid_parameter(format!("Invalid ScheduleExpression: {expression}"))),
    }
}

fn duration(text: Option<&str>) -> Result<Option<String>, ServiceError> {
    let Some(text) = text else { return Ok(None) };
    let hours = text.strip_suffix('h').and_then(|it| it.parse::<u8>().ok());
    match hours {
        Some(1..=24) => Ok(Some(text.to_owned())),
        _ => Err(ServiceError::invalid_parameter(format!("Invalid Duration: {text}"))),
    }
}
