//! Metrics of both functions in CloudWatch's embedded metric format: CloudWatch reads them from lines of the log, so
//! they cost no call.
//!
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>
//!
//! | metric | unit | function | what it counts |
//! |---|---|---|---|
//! | `AccountsSwept`, `AccountsSkipped` | Count | sweeper | accounts of a run |
//! | `UsersSeen`, `ExemptUsers` | Count | sweeper | users of a run, and those of them who are exempt |
//! | `UserFailures` | Count | sweeper | failures of a run, but for those of mails |
//! | `SecretsProvisioned`, `RotationsStarted`, `KeysDisabled`, `KeysDeleted`, `Warnings` | Count | sweeper | actions of a run |
//! | `ChangesPostponed` | Count | sweeper | due changes of keys that a run left to the next, because of `CHANGES_PER_RUN` |
//! | `MailsSent`, `MailsFailed` | Count | sweeper | mails of a run |
//! | `OldestActiveKeyAge` | None (days) | sweeper | age of the oldest active key of a user who is not exempt |
//! | `RotationSteps`, `RotationStepFailures` | Count | rotation | steps, and those that failed |

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};
use tracing::info;

/// The log target of these lines. The log writes their message bare, because CloudWatch reads only whole JSON lines.
pub const TARGET: &str = "keywheel::metrics";

const NAMESPACE: &str = "keywheel";

/// The counts of one run of the sweeper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SweepCounts {
    /// Accounts that were swept.
    pub accounts: usize,
    /// Accounts that were left out.
    pub skipped: usize,
    /// Users of the swept accounts.
    pub users: usize,
    /// Those of them who are exempt: nobody rotates their keys.
    pub exempt: usize,
    /// Failures, but for those of mails.
    pub failures: usize,
    /// Secrets that were made.
    pub provisioned: usize,
    /// Rotations that were started.
    pub rotations: usize,
    /// Keys that were disabled.
    pub disabled: usize,
    /// Keys that were deleted.
    pub deleted: usize,
    /// Due rotations, disablings and deletions that have to wait for their turn in a later run.
    pub postponed: usize,
    /// Warnings that were sent.
    pub warnings: usize,
    /// Mails that were sent.
    pub mails: usize,
    /// Mails that could not be sent.
    pub mails_failed: usize,
    /// Age in whole days of the oldest active key of a user who is not exempt; `None` if the run saw no such key.
    pub oldest_active_key_days: Option<i64>,
}

/// Writes the metrics of one run of the sweeper.
pub fn of_sweep(counts: &SweepCounts, now: DateTime<Utc>) {
    info!(target: TARGET, "{}", sweep_line(counts, now));
}

/// Writes the metrics of one step of a rotation.
pub fn of_rotation_step(succeeded: bool, now: DateTime<Utc>) {
    info!(target: TARGET, "{}", rotation_line(succeeded, now));
}

fn sweep_line(counts: &SweepCounts, now: DateTime<Utc>) -> Value {
    let mut metrics = vec![
        ("AccountsSwept", "Count", json!(counts.accounts)),
        ("AccountsSkipped", "Count", json!(counts.skipped)),
        ("UsersSeen", "Count", json!(counts.users)),
        ("ExemptUsers", "Count", json!(counts.exempt)),
        ("UserFailures", "Count", json!(counts.failures)),
        ("SecretsProvisioned", "Count", json!(counts.provisioned)),
        ("RotationsStarted", "Count", json!(counts.rotations)),
        ("KeysDisabled", "Count", json!(counts.disabled)),
        ("KeysDeleted", "Count", json!(counts.deleted)),
        ("Warnings", "Count", json!(counts.warnings)),
        ("ChangesPostponed", "Count", json!(counts.postponed)),
        ("MailsSent", "Count", json!(counts.mails)),
        ("MailsFailed", "Count", json!(counts.mails_failed)),
    ];
    // Without any key, the metric is left out: an age of 0 would be false.
    metrics.extend(counts.oldest_active_key_days.map(|days| ("OldestActiveKeyAge", "None", json!(days))));
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

    fn names(line: &Value) -> Vec<&str> {
        let declared = line["_aws"]["CloudWatchMetrics"][0]["Metrics"].as_array().unwrap();
        declared.iter().map(|metric| metric["Name"].as_str().unwrap()).collect()
    }

    /// Alarms and dashboards look for these names: another spelling would silence them.
    #[test]
    fn metrics_keep_their_names() {
        let counts = SweepCounts { oldest_active_key_days: Some(88), ..SweepCounts::default() };
        let sweep = [
            "AccountsSwept",
            "AccountsSkipped",
            "UsersSeen",
            "ExemptUsers",
            "UserFailures",
            "SecretsProvisioned",
            "RotationsStarted",
            "KeysDisabled",
            "KeysDeleted",
            "Warnings",
            "ChangesPostponed",
            "MailsSent",
            "MailsFailed",
            "OldestActiveKeyAge",
        ];
        assert_eq!(names(&sweep_line(&counts, now())), sweep);
        assert_eq!(names(&rotation_line(true, now())), ["RotationSteps", "RotationStepFailures"]);
        assert_eq!(sweep_line(&counts, now())["_aws"]["CloudWatchMetrics"][0]["Namespace"], "keywheel");
    }

    #[test]
    fn a_sweep_is_counted() {
        let counts = SweepCounts {
            accounts: 3,
            users: 9,
            provisioned: 2,
            warnings: 4,
            oldest_active_key_days: Some(88),
            ..SweepCounts::default()
        };
        let line = sweep_line(&counts, now());
        check(&line);
        assert_eq!(
            (&line["SecretsProvisioned"], &line["KeysDeleted"], &line["Warnings"]),
            (&json!(2), &json!(0), &json!(4))
        );
        assert_eq!((&line["OldestActiveKeyAge"], &line["Function"]), (&json!(88), &json!("sweeper")));
        check(&sweep_line(&SweepCounts::default(), now()));
    }

    #[test]
    fn a_step_is_counted() {
        let line = rotation_line(false, now());
        check(&line);
        assert_eq!((&line["RotationSteps"], &line["RotationStepFailures"]), (&json!(1), &json!(1)));
        assert_eq!(rotation_line(true, now())["RotationStepFailures"], json!(0));
    }
}
