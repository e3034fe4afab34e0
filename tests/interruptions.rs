//! A sweeper that stops in the middle of a phase: the next run completes the phase, and no period gets shorter.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use keywheel::model::{AccessKeyPair, Fault, FaultKind, RotationFunction};
use serde_json::Value;

use crate::harness::{MEMBER, TestStack, failures, rehearse};

/// Sweeps with a fault that stops the sweeper.
async fn sweep_with(stage: &TestStack, service: &str, operation: &str, kind: FaultKind) {
    let fault = stage.cloud.faults().inject(Fault::on(service, operation, kind));
    assert!(stage.sweep_is_stopped().await && fault.fired() == 1, "{operation} is a call of this phase");
    stage.cloud.faults().clear();
}

async fn rotated() -> (TestStack, AccessKeyPair) {
    let stage = TestStack::new();
    let (old, _) = stage.add_rotated_user("ci-bot").await;
    (stage, old)
}

#[test]
fn a_stopped_disabling_is_completed_with_a_whole_recovery_grace() {
    rehearse(async {
        for (service, operation) in [
            ("iam", "ListAccessKeys"),
            ("secretsmanager", "DescribeSecret"),
            ("iam", "UpdateAccessKey"),
            ("secretsmanager", "TagResource"),
            ("ses", "SendEmail"),
        ] {
            for kind in [FaultKind::Stop, FaultKind::StopAfter] {
                let context = format!("{kind:?} at {operation}");
                let (stage, old) = rotated().await;
                stage.pass_days(10).await;
                sweep_with(&stage, service, operation, kind).await;
                assert_eq!(failures(&stage.live().await), "[]", "{context}");
                assert_eq!(stage.status("ci-bot", &old), "Inactive", "{context}");
                stage.pass_days(9).await;
                stage.live().await;
                assert_eq!(stage.status("ci-bot", &old), "Inactive", "{context}");
                stage.pass_days(2).await;
                stage.live().await;
                assert_eq!(stage.status("ci-bot", &old), "gone", "{context}");
                let told = stage.mails_with(&[&old.access_key_id, "was disabled and will be deleted"]).len();
                assert!((1..=2).contains(&told), "{context}: told {told} times");
            }
        }
    });
}

#[test]
fn a_sweep_stopped_while_it_deletes_is_completed_and_told() {
    rehearse(async {
        for (service, operation) in
            [("iam", "DeleteAccessKey"), ("secretsmanager", "TagResource"), ("ses", "SendEmail")]
        {
            for kind in [FaultKind::Stop, FaultKind::StopAfter] {
                let context = format!("{kind:?} at {operation}");
                let (stage, old) = rotated().await;
                stage.pass_days(10).await;
                stage.live().await;
                stage.pass_days(10).await;
                sweep_with(&stage, service, operation, kind).await;
                assert_eq!(failures(&stage.live().await), "[]", "{context}");
                assert_eq!(stage.status("ci-bot", &old), "gone", "{context}");
                let told = stage.mails_with(&[&old.access_key_id, "was deleted"]).len();
                assert!((1..=2).contains(&told), "{context}: told {told} times");
                let mails = stage.cloud.mails().len();
                stage.live().await;
                assert_eq!(stage.cloud.mails().len(), mails, "{context}: settled");
            }
        }
    });
}

#[test]
fn a_stopped_cleanup_after_a_deleted_user_is_completed() {
    rehearse(async {
        for (service, operation) in
            [("secretsmanager", "CancelRotateSecret"), ("ses", "SendEmail"), ("secretsmanager", "DeleteSecret")]
        {
            for kind in [FaultKind::Stop, FaultKind::StopAfter] {
                let (stage, _) = rotated().await;
                stage.cloud.delete_user(MEMBER, "ci-bot");
                sweep_with(&stage, service, operation, kind.clone()).await;
                assert_eq!(failures(&stage.live().await), "[]", "{kind:?} at {operation}");
                let secret = stage.secret("ci-bot");
                assert!(!secret.rotation_enabled && secret.deletion_date.is_some(), "{kind:?} at {operation}");
            }
        }
    });
}

#[test]
fn a_sweep_stopped_after_a_person_acted_gives_a_whole_grace() {
    rehearse(async {
        for (service, operation, kind) in [
            ("iam", "ListAccessKeys", FaultKind::StopAfter),
            ("secretsmanager", "TagResource", FaultKind::Stop),
            ("secretsmanager", "TagResource", FaultKind::StopAfter),
            ("ses", "SendEmail", FaultKind::StopAfter),
        ] {
            let context = format!("{kind:?} at {operation}");
            let (stage, old) = rotated().await;
            stage.pass_days(10).await;
            stage.live().await;
            stage.pass_days(5).await;
            stage.cloud.set_key_status(MEMBER, "ci-bot", &old.access_key_id, "Active");
            sweep_with(&stage, service, operation, kind).await;
            stage.live().await;
            assert_eq!(stage.status("ci-bot", &old), "Active", "{context}: a person enabled it today");
            stage.pass_days(9).await;
            stage.live().await;
            assert_eq!(stage.status("ci-bot", &old), "Active", "{context}");
        }
    });
}

/// The stack was deployed again under another name after a rotation had failed. The service continues with the function
/// that no longer exists, and refuses a schedule with the new function.
#[test]
fn a_new_rotation_replaces_one_that_a_deleted_function_began() {
    rehearse(async {
        let stage = TestStack::new();
        let old = stage.add_user("ci-bot", &[90]).remove(0);
        let denied = Fault::on("iam", "CreateAccessKey", FaultKind::AccessDenied).every();
        let denied = stage.cloud.faults().inject(denied);
        stage.live().await;
        denied.remove();
        assert!(stage.secret("ci-bot").last_rotation.expect("ended").is_err());
        let function = "arn:aws:lambda:us-east-1:999988887777:function:made-anew";
        let gone = stage.secret("ci-bot").rotation_function.expect("it was rotated");
        stage.cloud.set_rotation_function(&gone, Arc::new(Deleted));
        let anew = stage.keywheel.redeployed(&[("ROTATION_FUNCTION_ARN", function)]).expect("settings that are right");
        let stage = TestStack { keywheel: anew, cloud: stage.cloud.clone() };
        let answer = stage.live().await;
        assert!(failures(&answer).contains("previous rotation"), "the schedule is not put right: {answer}");
        stage.live_days(2).await;
        assert_eq!(stage.secret("ci-bot").rotation_function.as_deref(), Some(function));
        assert_eq!(stage.secret("ci-bot").last_rotation, Some(Ok(())));
        assert_ne!(stage.current_key("ci-bot"), old.access_key_id);
        assert_eq!(stage.user("ci-bot").keys.len(), 2);
        stage.sweep_well().await;
    });
}

struct Deleted;

impl RotationFunction for Deleted {
    fn invoke(&self, _: Value, _: DateTime<Utc>) -> BoxFuture<'static, Result<(), String>> {
        async { Err("Secrets Manager cannot invoke the specified Lambda function".to_owned()) }.boxed()
    }
}
