//! Rotations that Secrets Manager does not finish: the sweeper abandons them and begins anew.

use keywheel::model::{Fault, FaultKind};

use crate::harness::{MEMBER, TestStack, done, failures, refused, rehearse, secret_name};

/// A stage whose user is due, on an AWS with these answers to an unfinished rotation.
fn stage(never_reattempts: bool, refuses_foreign_pending: bool) -> TestStack {
    let stage = TestStack::new();
    stage.cloud.switch(|aws| {
        aws.never_reattempts = never_reattempts;
        aws.refuses_foreign_pending = refuses_foreign_pending;
    });
    stage
}

/// Lives on until the current key is not `old`. Returns the days that it took.
async fn days_until_rotated(stage: &TestStack, old: &str) -> u64 {
    for day in 1..=10 {
        stage.live_days(1).await;
        if stage.current_key("ci-bot") != old {
            return day;
        }
    }
    panic!("not rotated in ten days: {:?}", stage.secret("ci-bot").last_rotation);
}

async fn assert_in_order(stage: &TestStack, context: &str) {
    let answer = stage.live().await;
    assert_eq!(failures(&answer), "[]", "{context}");
    let user = stage.user("ci-bot");
    assert_eq!(user.keys.len(), 2, "{context}: the old key and the new one, and no orphan");
    assert!(user.key(&stage.current_key("ci-bot")).is_some_and(|key| key.status == "Active"), "{context}");
    assert_eq!(stage.secret("ci-bot").last_rotation, Some(Ok(())), "{context}");
}

#[test]
fn on_aws_b4_a_rotation_without_a_key_begins_anew_next_day() {
    rehearse(async {
        for never_reattempts in [true, false] {
            let stage = stage(never_reattempts, false);
            let old = stage.add_user("ci-bot", &[90]).remove(0).access_key_id;
            let denied = Fault::on("iam", "CreateAccessKey", FaultKind::AccessDenied).every();
            let denied = stage.cloud.faults().inject(denied);
            stage.live().await;
            denied.remove();
            assert!(stage.secret("ci-bot").last_rotation.is_some_and(|result| result.is_err()), "the fault counts");
            assert_eq!(days_until_rotated(&stage, &old).await, 1, "never reattempts: {never_reattempts}");
            assert_in_order(&stage, &format!("never reattempts: {never_reattempts}")).await;
        }
    });
}

#[test]
fn on_aws_b4_a_rotation_with_a_tested_key_begins_anew_on_day_4() {
    rehearse(async {
        let stage = stage(true, false);
        let old = stage.add_user("ci-bot", &[90]).remove(0).access_key_id;
        let moves = Fault::on("secretsmanager", "UpdateSecretVersionStage", refused("InternalServiceError")).every();
        let moves = stage.cloud.faults().inject(moves);
        stage.live().await;
        moves.remove();
        let stuck = stage.user("ci-bot").keys.iter().find(|key| key.id != old).expect("made").id.clone();
        assert_eq!(days_until_rotated(&stage, &old).await, 4);
        assert!(stage.user("ci-bot").key(&stuck).is_none(), "nobody had it, and the next rotation deleted it");
        assert_in_order(&stage, "tested").await;
    });
}

#[test]
fn on_aws_b4_a_pending_value_by_hand_stops_nothing_for_good() {
    rehearse(async {
        for never_reattempts in [true, false] {
            let stage = stage(never_reattempts, true);
            let old = stage.add_user("ci-bot", &[60]).remove(0).access_key_id;
            stage.live().await;
            let by_hand = stage.operator().put_secret_value().secret_id(secret_name(MEMBER, "ci-bot"));
            let by_hand = by_hand.secret_string("{}").version_stages("AWSPENDING");
            by_hand.send().await.expect("put");
            stage.pass_days(29).await;
            let context = format!("never reattempts: {never_reattempts}");
            assert!(days_until_rotated(&stage, &old).await <= 2, "{context}");
            assert_in_order(&stage, &context).await;
        }
    });
}

#[test]
fn on_aws_b4_a_rotation_that_runs_is_not_abandoned() {
    rehearse(async {
        let stage = stage(true, false);
        let old = stage.add_user("ci-bot", &[95]).remove(0).access_key_id;
        stage.sweep_well().await;
        let pending = stage.secret("ci-bot").version_with("AWSPENDING").map(|version| version.id.clone());
        assert!(pending.is_some(), "the rotation began and has not run yet");
        let answer = stage.sweep_well().await;
        assert_eq!(done(&answer, "repair"), 0, "{answer:#}");
        assert_eq!(stage.secret("ci-bot").version_with("AWSPENDING").map(|version| version.id.clone()), pending);
        stage.cloud.run_rotations().await;
        assert_ne!(stage.current_key("ci-bot"), old);
    });
}

#[test]
fn on_aws_b4_an_unknown_beginning_abandons_nothing() {
    rehearse(async {
        let stage = stage(true, false);
        stage.add_user("ci-bot", &[90]);
        stage.sweep_well().await;
        let stopped = Fault::on("iam", "CreateAccessKey", FaultKind::AccessDenied).every();
        let stopped = stage.cloud.faults().inject(stopped);
        stage.cloud.run_rotations().await;
        stopped.remove();
        let denied = Fault::on("secretsmanager", "ListSecretVersionIds", FaultKind::AccessDenied).every();
        let denied = stage.cloud.faults().inject(denied);
        stage.live_days(5).await;
        assert!(stage.count("ListSecretVersionIds") > 0, "it was asked");
        let secret = stage.secret("ci-bot");
        assert!(secret.version_with("AWSPENDING").is_some(), "{:?}", secret.last_rotation);
        denied.remove();
        stage.live_days(1).await;
        assert_eq!(stage.secret("ci-bot").last_rotation, Some(Ok(())));
    });
}
