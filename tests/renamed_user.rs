//! A user with a new name keeps its keys, and the secret of the old name until the new secret holds a tested key.

use keywheel::model::{Fault, FaultKind};
use serde_json::json;

use crate::harness::{MEMBER, TestStack, done, failures, rehearse};

/// The names of the reported case.
const OLD: &str = "ci-bot";
const NEW: &str = "ci-bot-prod";

/// A user who was rotated on day 3 and renamed on day 6.
async fn renamed() -> TestStack {
    let stage = TestStack::new();
    stage.add_user(OLD, &[87]);
    stage.cloud.tag_user(MEMBER, OLD, "owner", "owner@example.com");
    stage.live().await;
    stage.live_days(3).await;
    assert_eq!(stage.user(OLD).keys.len(), 2, "rotated on day 3");
    stage.live_days(2).await;
    stage.pass_days(1).await;
    stage.cloud.rename_user(MEMBER, OLD, NEW);
    stage
}

fn mails_of_deletion(stage: &TestStack) -> usize {
    stage.mails_with(&["deleted user"]).len() + stage.mails_with(&["user was deleted"]).len()
}

#[test]
fn reported_c4_renamed_user_keeps_keys_and_secret() {
    rehearse(async {
        let stage = renamed().await;
        let (keys, current) = (stage.user(NEW).keys, stage.current_key(OLD));
        let answer = stage.live().await;
        assert_eq!(failures(&answer), "[]");
        assert_eq!((done(&answer, "cancel"), done(&answer, "provision"), done(&answer, "delete-secret")), (1, 1, 0));
        assert_eq!(stage.mails_with(&["has another name now", OLD]).len(), 2, "owner and account");
        stage.pass_days(1).await;
        assert_eq!(stage.live().await["actions"], json!({}), "nothing is done anew each day");
        stage.live_days(7).await;
        assert_eq!(stage.secret(OLD).deletion_date, None, "it holds the only copy of a working key");
        assert_eq!(stage.current_key(OLD), current);
        assert_eq!(stage.user(NEW).keys, keys, "both keys stay as they are");
        assert_eq!(mails_of_deletion(&stage), 0);
    });
}

#[test]
fn reported_c4_renamed_users_old_secret_goes_after_a_test() {
    rehearse(async {
        let stage = renamed().await;
        stage.live().await;
        for day in 0..150 {
            stage.live_days(1).await;
            let is_tested = stage
                .secret(NEW)
                .version_with("AWSCURRENT")
                .is_some_and(|it| it.text().is_some_and(|text| text.contains("SecretAccessKey")));
            let kept = stage.find_secret(OLD).is_some_and(|secret| secret.deletion_date.is_none());
            assert!(kept || is_tested, "day {day}");
            if is_tested {
                stage.live_days(1).await;
                assert!(stage.secret(OLD).deletion_date.is_some(), "not needed any more");
                assert_eq!(mails_of_deletion(&stage), 0);
                return;
            }
        }
        panic!("the new name's key was never rotated");
    });
}

#[test]
fn reported_c4_renamed_user_is_known_to_the_digest() {
    rehearse(async {
        let stage = renamed().await;
        stage.sweep_and_hold(MEMBER).await;
        assert!(stage.held() > 0, "a notice was deferred");
        let answer = stage.digest().await;
        assert_eq!(failures(&answer), "[]");
        assert_eq!((stage.secret(OLD).deletion_date, mails_of_deletion(&stage)), (None, 0));
        assert_eq!(stage.held(), 0, "it was sent");
        assert!(!stage.mails_with(&["has another name now"]).is_empty());
    });
}

#[test]
fn reported_c4_renamed_unknown_is_not_deleted() {
    rehearse(async {
        let stage = renamed().await;
        // The second list is the one in which the user is looked up by its id.
        let denied = Fault::on("iam", "GetAccountAuthorizationDetails", FaultKind::AccessDenied);
        let denied = stage.cloud.faults().inject(denied.in_account(MEMBER).nth(2));
        let answer = stage.sweep().await;
        assert_eq!(denied.fired(), 1);
        assert!(failures(&answer).contains("GetAccountAuthorizationDetails"), "{answer}");
        assert!(stage.secret(OLD).rotation_enabled && stage.secret(OLD).deletion_date.is_none());
    });
}

#[test]
fn reported_c4_renamed_back_is_rotated_as_before() {
    rehearse(async {
        let stage = renamed().await;
        stage.live().await;
        stage.cloud.rename_user(MEMBER, NEW, OLD);
        stage.live_days(2).await;
        assert!(stage.secret(OLD).rotation_enabled && stage.secret(OLD).deletion_date.is_none());
        assert_eq!(stage.user(OLD).active_keys(), 2);
        assert!(stage.secret(NEW).deletion_date.is_some(), "the old name's secret holds a tested key");
    });
}
