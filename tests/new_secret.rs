//! Secrets Manager is not read-after-write: for seconds it may not find a secret that was just made.

use std::time::Duration;

use keywheel::model::{Fault, FaultKind};

use crate::harness::{TestStack, failures, refused, rehearse};

#[test]
fn on_aws_b5_a_secret_that_lags_is_provisioned_in_one_run() {
    rehearse(async {
        for (age, keys) in [(10, 1), (85, 1), (90, 2)] {
            let stage = TestStack::new();
            stage.cloud.switch(|aws| aws.new_secret_lag = Duration::from_secs(7));
            stage.add_user("ci-bot", &[age]);
            let answer = stage.live().await;
            assert_eq!(failures(&answer), "[]", "a key of {age} days");
            let secret = stage.secret("ci-bot");
            assert!(secret.policy.is_some() && secret.rotation_enabled, "a key of {age} days");
            assert_eq!(stage.user("ci-bot").keys.len(), keys, "a key of {age} days");
            let mails = stage.cloud.mails().len();
            stage.live().await;
            assert_eq!(stage.cloud.mails().len(), mails, "what was sent is recorded: a key of {age} days");
        }
    });
}

#[test]
fn on_aws_b5_a_secret_that_never_shows_is_reported() {
    rehearse(async {
        let stage = TestStack::new();
        stage.cloud.switch(|aws| aws.new_secret_lag = Duration::from_mins(1));
        stage.add_user("ci-bot", &[10]);
        let answer = stage.sweep().await;
        assert!(failures(&answer).contains("PutResourcePolicy"), "{answer}");
        assert_eq!(stage.count("PutResourcePolicy"), 6);
        stage.pass_days(1).await;
        stage.live().await;
        assert!(stage.secret("ci-bot").policy.is_some(), "repaired as drift");
    });
}

/// One part of Secrets Manager may find the secret before another does. A sweep that takes more than a minute reads the
/// tags again before it records what it sent.
#[test]
fn on_aws_b5_a_late_read_of_a_new_secret_loses_no_record() {
    rehearse(async {
        for operation in ["DescribeSecret", "TagResource"] {
            let mut stage = TestStack::new();
            // The SDK would try slow calls again.
            stage.leave_the_sdk();
            stage.add_user("ci-bot", &[85]);
            for slow in ["CreateSecret", "PutResourcePolicy", "RotateSecret", "SendEmail"] {
                stage.cloud.faults().inject(Fault::on("*", slow, FaultKind::Latency(Duration::from_secs(18))));
            }
            let late = Fault::on("secretsmanager", operation, refused("ResourceNotFoundException"));
            let late = stage.cloud.faults().inject(late);
            stage.sweep_well().await;
            let mails = stage.cloud.mails().len();
            assert_eq!((late.fired(), mails > 0), (1, true), "{operation}");
            stage.sweep_well().await;
            assert_eq!(stage.cloud.mails().len(), mails, "what was sent is recorded: {operation}");
        }
    });
}

/// A secret that somebody deleted for good must not cost seconds for each of its user's calls.
#[test]
fn on_aws_b5_an_older_secret_is_not_waited_for() {
    rehearse(async {
        let stage = TestStack::new();
        stage.add_rotated_user("ci-bot").await;
        stage.live_days(1).await;
        let arn = stage.secret("ci-bot").arn;
        stage.cancel_schedule("ci-bot").await;
        stage.operator().delete_resource_policy().secret_id(&arn).send().await.expect("deleted");
        stage.cloud.forget_calls();
        let gone = Fault::on("secretsmanager", "PutResourcePolicy", refused("ResourceNotFoundException")).every();
        stage.cloud.faults().inject(gone);
        let began = stage.now();
        let answer = stage.sweep().await;
        assert!(failures(&answer).contains("PutResourcePolicy"), "{answer}");
        assert_eq!(stage.count("PutResourcePolicy"), 1);
        assert!(stage.now() - began < chrono::TimeDelta::seconds(2), "nothing waited");
    });
}
