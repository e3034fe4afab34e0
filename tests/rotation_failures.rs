//! The cause that a failed step leaves on the secret.

use chrono::TimeDelta;
use keywheel::model::{Fault, FaultKind};

use crate::harness::{TestStack, refused, rehearse};
use crate::one_rotation::{Rotation, STEPS};

/// The call that fails, how, in which step, and the cause that is left.
fn failures() -> Vec<(&'static str, &'static str, FaultKind, usize, &'static str)> {
    vec![
        ("sts", "AssumeRole", FaultKind::AccessDenied, 0, "MemberRoleDenied"),
        ("iam", "ListAccessKeys", FaultKind::AccessDenied, 0, "DeniedByIam"),
        ("iam", "CreateAccessKey", refused("LimitExceeded"), 0, "NoFreeSlot"),
        ("secretsmanager", "PutSecretValue", refused("EncryptionFailure"), 0, "KmsKeyUnusable"),
        ("secretsmanager", "GetSecretValue", FaultKind::AccessDenied, 1, "DeniedBySecretsManager"),
        ("iam", "ListAccessKeys", FaultKind::Throttle { times: 99 }, 1, "Throttled"),
        ("sts", "GetCallerIdentity", FaultKind::AccessDenied, 2, "KeyNotUsableYet"),
        ("secretsmanager", "UpdateSecretVersionStage", FaultKind::LostAnswer, 3, "NoAnswer"),
    ]
}

#[test]
fn on_aws_b1_a_failed_step_leaves_its_cause_until_one_succeeds() {
    rehearse(async {
        for (service, operation, kind, done, cause) in failures() {
            let rotation = Rotation::first("ci-bot").await;
            rotation.steps(&STEPS[..done]).await;
            let stage = &rotation.stage;
            let fault = stage.cloud.faults().inject(Fault::on(service, operation, kind).every());
            rotation.step(STEPS[done]).await.expect_err("it fails");
            fault.remove();
            let left = stage.tag("ci-bot", "failed").unwrap_or_default();
            let expected = format!("{cause} {} {} 2026-01-01T06:", STEPS[done], rotation.version);
            assert!(left.starts_with(&expected), "{operation}: {left}");
            for step in STEPS {
                assert_eq!(rotation.step(step).await, Ok(()), "{operation}: {step}");
            }
            assert_eq!(stage.tag("ci-bot", "failed"), None, "{operation}");
        }
    });
}

#[test]
fn on_aws_b1_a_cause_that_cannot_be_left_hides_no_error() {
    rehearse(async {
        for kind in [FaultKind::AccessDenied, FaultKind::Hang] {
            let rotation = Rotation::first("ci-bot").await;
            let faults = rotation.stage.cloud.faults();
            faults.inject(Fault::on("secretsmanager", "TagResource", kind.clone()).every());
            faults.inject(Fault::on("iam", "ListAccessKeys", FaultKind::AccessDenied).every());
            let began = rotation.stage.now();
            rotation.expect_refusal("createSecret", "iam:ListAccessKeys").await;
            let took = rotation.stage.now() - began;
            assert!(took < TimeDelta::seconds(10), "{kind:?}: {took}");
            assert_eq!(rotation.stage.tag("ci-bot", "failed"), None, "{kind:?}");
        }
    });
}

#[test]
fn on_aws_b1_a_dry_run_leaves_no_cause() {
    rehearse(async {
        let stage = TestStack::new();
        stage.add_user("ci-bot", &[90]);
        stage.sweep_well().await;
        let keywheel = stage.keywheel.redeployed(&[("DRY_RUN_FLAG", "true")]).expect("settings");
        let stage = TestStack { keywheel, cloud: stage.cloud.clone() };
        let rotation = Rotation::of(stage, "ci-bot");
        let before = rotation.stage.snapshot();
        rotation.expect_refusal("createSecret", "DRY_RUN_FLAG").await;
        assert_eq!(rotation.stage.snapshot(), before);
    });
}
