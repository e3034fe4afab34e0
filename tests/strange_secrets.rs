//! Secrets with replicas, replicas of other stacks' secrets, and secrets of users who were made again.

use keywheel::model::{Fault, FaultKind};
use keywheel::rehearsal::PRIMARY_ACCOUNT;
use serde_json::json;

use crate::harness::{MEMBER, TestStack, done, failures, rehearse, secret_name};

#[test]
fn reported_c6_replicas_are_deleted_before_the_secret() {
    rehearse(async {
        let stage = TestStack::new();
        stage.add_rotated_user("ci-bot").await;
        stage.cloud.replicate_secret(PRIMARY_ACCOUNT, &secret_name(MEMBER, "ci-bot"), "eu-west-1");
        stage.cloud.delete_user(MEMBER, "ci-bot");
        let denied = Fault::on("secretsmanager", "RemoveRegionsFromReplication", FaultKind::AccessDenied).every();
        let denied = stage.cloud.faults().inject(denied);
        let answer = stage.live().await;
        assert!(failures(&answer).contains("RemoveRegionsFromReplication"), "{answer}");
        assert_eq!(stage.mails_with(&["deleted user"]).len(), 0, "it is told after the deed");
        denied.remove();
        let answer = stage.live().await;
        assert_eq!((failures(&answer).as_str(), done(&answer, "delete-secret")), ("[]", 1));
        assert!(stage.secret("ci-bot").deletion_date.is_some());
        assert_eq!(stage.mails_with(&["deleted user"]).len(), 1);
        assert_eq!(stage.live().await["actions"], json!({}));
    });
}

#[test]
fn reported_c6_a_replica_of_another_stack_is_left_alone() {
    rehearse(async {
        let stage = TestStack::new();
        stage.add_user("ci-bot", &[10]);
        stage.live().await;
        stage.cloud.make_replica_of(PRIMARY_ACCOUNT, &secret_name(MEMBER, "ci-bot"), "eu-west-1");
        stage.pass_days(100).await;
        let before = stage.snapshot();
        stage.cloud.forget_calls();
        let answer = stage.sweep().await;
        assert!(failures(&answer).contains("is a replica of the secret in eu-west-1"), "{answer}");
        assert_eq!((answer["actions"].clone(), stage.snapshot() == before), (json!({}), true));
        assert_eq!(answer["oldest_active_key_days"], json!(110), "the age of its key counts: {answer}");
        stage.cloud.delete_user(MEMBER, "ci-bot");
        let answer = stage.sweep().await;
        assert_eq!((failures(&answer).as_str(), answer["actions"].clone()), ("[]", json!({})), "the other stack's");
    });
}

#[test]
fn reported_c6_a_user_made_again_is_rotated_at_once() {
    rehearse(async {
        let stage = TestStack::new();
        let (_, dead) = stage.add_rotated_user("ci-bot").await;
        stage.live_days(30).await;
        stage.cloud.delete_user(MEMBER, "ci-bot");
        let key = stage.add_user("ci-bot", &[0]).remove(0);
        assert_eq!(done(&stage.live().await, "rotate"), 1);
        let new = stage.current_key("ci-bot");
        assert!(new != dead && new != key.access_key_id, "readers get a key that works");
        assert_eq!(stage.status("ci-bot", &key), "Active", "in its grace, like any replaced key");
        assert!(!stage.mails_with(&[&new]).is_empty(), "told at once");
        stage.pass_days(1).await;
        assert_eq!(done(&stage.live().await, "rotate"), 0, "once");
        assert_eq!(stage.live().await["actions"], json!({}));
    });
}

#[test]
fn reported_c6_a_dead_key_without_a_slot_is_reported() {
    rehearse(async {
        let stage = TestStack::new();
        let (_, dead) = stage.add_rotated_user("ci-bot").await;
        stage.live_days(30).await;
        stage.cloud.delete_user(MEMBER, "ci-bot");
        let keys = stage.add_user("ci-bot", &[0, 0]);
        for _ in 0..2 {
            let answer = stage.live().await;
            assert!(failures(&answer).contains("the user was deleted and made again"), "{answer}");
            assert_eq!(stage.current_key("ci-bot"), dead);
            stage.pass_days(1).await;
        }
        stage.cloud.delete_key(MEMBER, "ci-bot", &keys[0].access_key_id);
        assert_eq!(done(&stage.live().await, "rotate"), 1, "there is a slot now");
        assert_ne!(stage.current_key("ci-bot"), dead);
    });
}
