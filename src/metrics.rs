//! Metrics of both functions, in CloudWatch's embedded metric format: a line of the log is a metric, and nothing is called.
//!
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>
//!
//! | metric | unit | function | what |
//! |---|---|---|---|
//! | `AccountsSwept`, `AccountsSkipped` | Count | sweeper | accounts of a run |
//! | `UsersSeen` | Count | sweeper | users of a run |
//! | `UserFailures` | Count | sweeper | failures of a run but those of mails |
//! | `SecretsProvisioned`, `RotationsStarted`, `KeysDisabled`, `KeysDeleted`, `Warnings` | Count | sweeper | actions of a run |
//! | `MailsSent`, `MailsFailed` | Count | sweeper | mails of a run |
//! | `OldestActiveKeyAge` | None (days) | sweeper | age of the oldest active key of a user who is not exempt |
//! | `RotationSteps`, `RotationStepFailures` | Count | rotation | steps, and those that failed |

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};
use tracing::info;

use crate::lifecycle::ActionName;
use crate::sweep::Report;

/// The target of these lines: the log writes their message as it is, without a frame around it.
pub const TARGET: &str = "keywheel::metrics";

const NAMESPACE: &str = "keywheel";

/// Writes the metrics of one run of the sweeper.
pub fn of_sweep(report: &Report, now: DateTime<Utc>) {
    info!(target: TARGET, "{}", sweep_line(report, now));
}

/// Writes the metrics of one step of a rotation.
pub fn of_rotation_step(succeeded: bool, now: DateTime<Utc>) {
    info!(target: TARGET, "{}", rotation_line(succeeded, now));
}

fn sweep_line(report: &Report, now: DateTime<Utc>) -> Value {
    let count = |number: usize| json!(number);
    let action = |name| json!(report.actions.get(&name).copied().unwrap_or_default());
    let mails_failed = report.failures.iter().filter(|failure| failure.action == "mail").count();
    let failed = report.failures.len() + report.failures_omitted - mails_failed;
    let mut metrics = vec![
        ("AccountsSwept", "Count", count(report.accounts)),
        ("AccountsSkipped", "Count", count(report.skipped.len() + report.skipped_omitted)),
        ("UsersSeen", "Count", count(report.users)),
        ("UserFailures", "Count", count(failed)),
        ("SecretsProvisioned", "Count", action(ActionName::Provision)),
        ("RotationsStarted", "Count", action(ActionName::Rotate)),
        ("KeysDisabled", "Count", action(ActionName::Disable)),
        ("KeysDeleted", "Count", action(ActionName::Delete)),
        ("Warnings", "Count", action(ActionName::Warn)),
        ("MailsSent", "Count", count(report.mails)),
        ("MailsFailed", "Count", count(mails_failed)),
    ];
    // A run that saw no key says nothing of the oldest one.
    metrics.extend(report.oldest_active_key_days.map(|days| ("OldestActiveKeyAge", "None", json!(days))));
    line("sweeper", &metrics, now)
}

fn rotation_line(succeeded: bool, now: DateTime<Utc>) -> Value {
    let failures = json!(u8::from(!succeeded));
    line("rotation", &[("RotationSteps", "Count", json!(1)), ("RotationStepFailures", "Count", failures)], now)
}

fn line(function: &str, metrics: &[(&str, &str, Value)], now: DateTime<Utc>) -> Value {
    let definitions: Vec<Value> = metrics.iter().map(|(name, unit, _)| json!({"Name": name, "Unit": unit})).collect();
    let directive = json!([{"Namespace": NAMESPACE, "Dimensions": [["Function"]], "Metrics": definitions}]);
    let values = metrics.iter().map(|(name, _, value)| ((*name).to_owned(), value.clone()));
    let mut line: Map<String, Value> = values.collect();
    line.insert("Function".to_owned(), json!(function));
    line.insert("_aws".to_owned(), json!({"Timestamp": now.timestamp_millis(), "CloudWatchMetrics": directive}));
    Value::Object(line)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::testing::now;

    /// Every metric that is declared has a value, and every value is declared.
    fn check(line: &Value) {
        let declared = line["_aws"]["CloudWatchMetrics"][0]["Metrics"].as_array().unwrap();
        for metric in declared {
            let name = metric["Name"].as_str().unwrap();
            assert!(line[name].is_number(), "{name}");
            assert!(["Count", "None"].contains(&metric["Unit"].as_str().unwrap()), "{name}");
        }
        assert_eq!(line.as_object().unwrap().len(), declared.len() + 2, "{line}");
        assert_eq!(line["_aws"]["Timestamp"], 1_795_338_000_000_i64);
    }

    #[test]
    fn a_sweep_is_counted() {
        let actions = BTreeMap::from([(ActionName::Provision, 2), (ActionName::Rotate, 1), (ActionName::Warn, 4)]);
        let report = Report { accounts: 3, users: 9, actions, oldest_active_key_days: Some(88), ..Report::default() };
        let line = sweep_line(&report, now());
        check(&line);
        assert_eq!(
            (&line["SecretsProvisioned"], &line["KeysDeleted"], &line["Warnings"]),
            (&json!(2), &json!(0), &json!(4))
        );
        assert_eq!((&line["OldestActiveKeyAge"], &line["Function"]), (&json!(88), &json!("sweeper")));
        check(&sweep_line(&Report::default(), now()));
    }

    #[test]
    fn a_step_is_counted() {
        let line = rotation_line(false, now());
        check(&line);
        assert_eq!((&line["RotationSteps"], &line["RotationStepFailures"]), (&json!(1), &json!(1)));
        assert_eq!(rotation_line(true, now())["RotationStepFailures"], json!(0));
    }
}
