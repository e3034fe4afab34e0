//! A sweeper that is stopped in the middle of a phase: the next run completes it, and no period is shortened.

use keywheel::rehearsal::{Fault, FaultKind, UserKey};

use crate::harness::{MEMBER, Stage, failures, rehearse};

/// Sweeps with this fault, which stops the sweeper.
async fn sweep_with(stage: &Stage, service: &str, operation: &str, kind: FaultKind) {
    let fault = stage.cloud.faults().inject(Fault::on(service, operation, kind));
    assert!(stage.sweep_is_stopped().await && fault.fired() == 1, "{operation} is a call of this phase");
    stage.cloud.faults().clear();
}

async fn rotated() -> (Stage, UserKey) {
    let stage = Stage::new();
    let (old, _) = stage.add_rotated_user("ci-bot").await;
    (stage, old)
}

#[test]
fn a_sweep_stopped_while_it_disables_is_completed_and_the_recovery_period_is_whole() {
    rehearse(async {
        for (service, operation) in [
            ("iam", "ListAccessKeys"),
            ("iam", "GetUser"),
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
            [("iam", "DeleteAccessKey"), ("secretsmanager", "UntagResource"), ("ses", "SendEmail")]
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
fn a_sweep_stopped_while_it_cleans_up_after_a_deleted_user_is_completed() {
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
fn a_sweep_stopped_while_it_heeds_a_person_still_gives_a_whole_grace() {
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
