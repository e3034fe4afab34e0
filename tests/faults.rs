//! Faults of AWS: throttling, lagging lists, concurrent sweeps, the time limit. One user's failure affects no other.

use std::time::Duration;

use keywheel::model::{Fault, FaultKind};
use serde_json::json;

use crate::harness::{MEMBER, OTHER, TestStack, done, failures, refused, rehearse};

#[test]
fn upstream_defect_27_one_users_failure_stops_no_other_user() {
    rehearse(async {
        for (service, operation) in [
            ("iam", "ListAccessKeys"),
            ("secretsmanager", "CreateSecret"),
            ("secretsmanager", "PutResourcePolicy"),
            ("iam", "AddUserToGroup"),
            ("secretsmanager", "RotateSecret"),
        ] {
            let stage = TestStack::new();
            for user in ["aaa", "mmm", "zzz"] {
                stage.add_user(user, &[90]);
            }
            let fault = Fault::on(service, operation, FaultKind::AccessDenied).about("mmm").every();
            let fault = stage.cloud.faults().inject(fault);
            let answer = stage.sweep().await;
            // A user who cannot be added to the reader group could not fetch its new key, so it is not rotated either.
            assert_eq!(done(&answer, "rotate"), 2, "{operation}: {answer}");
            assert_eq!(answer["failures"][0]["user"], "mmm", "{operation}");
            assert!(failures(&answer).contains(operation), "{operation}: {answer}");
            fault.remove();
            stage.cloud.run_rotations().await;
            let made_up = done(&stage.sweep_well().await, "rotate");
            assert_eq!(made_up, 1, "{operation}: the next run does the rest");
        }
    });
}

#[test]
fn short_throttling_is_waited_out() {
    rehearse(async {
        let stage = TestStack::new();
        stage.add_user("ci-bot", &[90]);
        for operation in ["ListAccounts", "ListAccessKeys", "CreateSecret", "RotateSecret", "AssumeRole"] {
            stage.cloud.faults().inject(Fault::on("*", operation, FaultKind::Throttle { times: 2 }));
        }
        stage.sweep_well().await;
        stage.cloud.run_rotations().await;
        assert_eq!(stage.user("ci-bot").active_keys(), 2);
    });
}

#[test]
fn an_account_whose_secrets_cannot_be_listed_is_not_swept() {
    rehearse(async {
        let stage = TestStack::new();
        stage.add_member(OTHER, "other");
        stage.add_user("ci-bot", &[90]);
        stage.add_user_in(OTHER, "far-off", &[90]);
        let fault = Fault::on("secretsmanager", "ListSecrets", refused("InternalServiceError")).about(MEMBER).every();
        stage.cloud.faults().inject(fault);
        let answer = stage.sweep().await;
        assert_eq!((done(&answer, "rotate"), answer["skipped"][0]["account"].clone()), (1, json!(MEMBER)), "{answer}");
        assert_eq!(stage.find_secret("ci-bot"), None);
    });
}

#[test]
fn lists_that_lag_by_five_minutes_do_no_harm() {
    rehearse(async {
        let stage = TestStack::new();
        stage.cloud.switch(|aws| aws.list_secrets_lag = Duration::from_mins(5));
        let old = stage.add_user("ci-bot", &[90]).remove(0);
        stage.sweep_well().await;
        stage.sweep_well().await;
        stage.cloud.run_rotations().await;
        stage.sweep_well().await;
        stage.cloud.run_rotations().await;
        assert_eq!((stage.count("CreateAccessKey"), stage.user("ci-bot").active_keys()), (1, 2));
        for phase in ["disable", "delete"] {
            stage.pass_days(10).await;
            assert_eq!(done(&stage.sweep_well().await, phase), 1);
            assert_eq!(stage.sweep_well().await["actions"].get(phase), None, "{phase} once");
        }
        assert_eq!(stage.status("ci-bot", &old), "gone");
        let mails = stage.cloud.mails().len();
        stage.sweep_well().await;
        assert_eq!(stage.cloud.mails().len(), mails, "no notice is sent twice");
    });
}

#[test]
fn keys_that_are_listed_late_are_not_taken_for_other_keys() {
    rehearse(async {
        let stage = TestStack::new();
        stage.cloud.switch(|aws| aws.list_access_keys_lag = Duration::from_secs(8));
        let (old, _) = stage.add_rotated_user("ci-bot").await;
        assert_eq!((stage.count("CreateAccessKey"), stage.user("ci-bot").active_keys()), (1, 2));
        stage.live_days(22).await;
        assert_eq!(stage.status("ci-bot", &old), "gone");
        assert_eq!(stage.user("ci-bot").keys.len(), 1);
    });
}

#[test]
fn an_outdated_list_of_keys_starts_no_second_rotation() {
    rehearse(async {
        let stage = TestStack::new();
        let (old, new) = stage.add_rotated_user("ci-bot").await;
        let tags = stage.secret("ci-bot").tags;
        stage.cloud.switch(|aws| aws.list_access_keys_lag = Duration::from_mins(5));
        assert_eq!(stage.sweep_well().await["actions"], json!({}), "the key that was rotated is not due");
        let error = stage.rotate("ci-bot").await.expect_err("a person's order comes too early, too");
        assert!(error.contains(&new) && error.contains("rotate again"), "{error}");
        let mut after = stage.secret("ci-bot").tags;
        assert!(after.remove("keywheel:failed").is_some_and(|cause| cause.starts_with("NoFreeSlot createSecret")));
        assert_eq!(after, tags, "the facts are unchanged");
        stage.live_days(22).await;
        assert_eq!(stage.status("ci-bot", &old), "gone", "deleted at the usual time");
    });
}

#[test]
fn two_sweeps_at_the_same_time_do_everything_once() {
    rehearse(async {
        let stage = TestStack::new();
        let old = stage.add_user("ci-bot", &[90]).remove(0);
        for _ in 0..3 {
            let (one, two) = tokio::join!(stage.sweep(), stage.sweep());
            for answer in [one, two] {
                // A sweep may read a key that the other sweep has just deleted. Its last use is unknown, so it is kept.
                let others =
                    answer["failures"].as_array().expect("a list").iter().filter(|it| it["action"] != "delete");
                assert_eq!(others.count(), 0, "{answer}");
            }
            stage.cloud.run_rotations().await;
            stage.hand_over_events().await;
            stage.pass_days(10).await;
        }
        assert_eq!(stage.count("CreateAccessKey"), 1);
        assert_eq!(stage.status("ci-bot", &old), "gone");
        assert_eq!(stage.user("ci-bot").active_keys(), 1);
        let calls = stage.cloud.calls();
        let deleted = calls.iter().filter(|call| call.operation == "DeleteAccessKey" && call.ok).count();
        assert_eq!(deleted, 1);
    });
}

#[test]
fn work_left_at_the_time_limit_is_done_by_the_next_run() {
    rehearse(async {
        let stage = TestStack::with(&[("MAX_CONCURRENCY", "1"), ("MAX_CONCURRENT_USERS", "1")]);
        for n in 0..60 {
            stage.add_user(&format!("user-{n:02}"), &[10]);
        }
        let slow = Fault::on("*", "*", FaultKind::Latency(Duration::from_secs(5))).every();
        let slow = stage.cloud.faults().inject(slow);
        let started = stage.now();
        let answer = stage.sweep().await;
        assert!(stage.now() - started < chrono::TimeDelta::minutes(15), "within the function's time");
        assert!(failures(&answer).contains("ran out of time"), "{answer}");
        let provisioned = done(&answer, "provision");
        assert!((1..60).contains(&provisioned), "{provisioned}");
        assert_eq!(answer["left"], 60 - provisioned, "{answer}");
        assert!(answer["failures"].as_array().is_some_and(|it| it.len() <= 2), "one line for each account: {answer}");
        slow.remove();
        let answer = stage.sweep_well().await;
        assert_eq!((done(&answer, "provision"), &answer["left"]), (60 - provisioned, &serde_json::Value::Null));
    });
}

#[test]
fn recovery_counts_from_the_observed_disable() {
    rehearse(async {
        let stage = TestStack::new();
        let (old, _) = stage.add_rotated_user("ci-bot").await;
        stage.pass_days(10).await;
        // The key is disabled, but the tag that records it cannot be written.
        let stop = Fault::on("iam", "UpdateAccessKey", FaultKind::StopAfter);
        stage.cloud.faults().inject(stop);
        assert!(stage.sweep_is_stopped().await, "stopped after the disabling");
        assert_eq!(stage.status("ci-bot", &old), "Inactive");
        stage.pass_days(5).await;
        assert_eq!(done(&stage.sweep_well().await, "record-disabled"), 1);
        stage.pass_days(9).await;
        stage.sweep_well().await;
        assert_eq!(stage.status("ci-bot", &old), "Inactive", "recovery is ten days from the observation");
        stage.pass_days(1).await;
        stage.sweep_well().await;
        assert_eq!(stage.status("ci-bot", &old), "gone");
    });
}

#[test]
fn upstream_defect_26_a_failed_delete_is_reported_and_repeated() {
    rehearse(async {
        let stage = TestStack::new();
        let (old, _) = stage.add_rotated_user("ci-bot").await;
        stage.live_days(10).await;
        stage.pass_days(10).await;
        let denied = Fault::on("iam", "DeleteAccessKey", FaultKind::AccessDenied).every();
        let denied = stage.cloud.faults().inject(denied);
        let answer = stage.sweep().await;
        assert_eq!(answer["failures"][0]["action"], "delete", "{answer}");
        assert_eq!(
            stage.mails_with(&[&old.access_key_id, "was deleted"]).len(),
            0,
            "no notice of a deletion that failed"
        );
        denied.remove();
        assert_eq!(done(&stage.sweep_well().await, "delete"), 1);
        assert_eq!(stage.mails_with(&[&old.access_key_id, "was deleted"]).len(), 1);
    });
}

#[test]
fn upstream_defect_26_no_call_deletes_a_key_that_is_active() {
    rehearse(async {
        let stage = TestStack::new();
        stage.add_rotated_user("ci-bot").await;
        stage.add_user("pair", &[120, 100]);
        let mut disabled: Vec<String> = Vec::new();
        for _ in 0..26 {
            let before: Vec<_> = ["ci-bot", "pair"].iter().flat_map(|name| stage.user(name).keys).collect();
            stage.live().await;
            let after: Vec<_> = ["ci-bot", "pair"].iter().flat_map(|name| stage.user(name).keys).collect();
            for key in before.iter().filter(|key| !after.iter().any(|left| left.id == key.id)) {
                assert!(disabled.contains(&key.id), "{} was active until it was deleted", key.id);
            }
            disabled = after.into_iter().filter(|key| !key.is_active()).map(|key| key.id).collect();
            stage.pass_days(1).await;
        }
        assert!(stage.count("DeleteAccessKey") >= 2, "several deletions were checked");
    });
}

#[test]
fn many_deleted_users_do_not_exceed_the_time_limit() {
    rehearse(async {
        let stage = TestStack::with(&[("MAX_CONCURRENCY", "1"), ("MAX_CONCURRENT_USERS", "1")]);
        let names: Vec<String> = (0..90).map(|n| format!("user-{n:02}")).collect();
        for name in &names {
            stage.add_user(name, &[10]);
        }
        stage.live().await;
        for name in &names {
            stage.cloud.delete_user(MEMBER, name);
        }
        for (service, operation) in [("iam", "GetUser"), ("secretsmanager", "DescribeSecret")] {
            let slow = FaultKind::Latency(Duration::from_secs(9));
            stage.cloud.faults().inject(Fault::on(service, operation, slow).every());
        }
        let began = stage.now();
        let answer = stage.sweep().await;
        assert!(stage.now() - began < chrono::TimeDelta::minutes(15), "{}", stage.now() - began);
        assert!(failures(&answer).contains("ran out of time") && done(&answer, "delete-secret") > 0, "{answer}");
    });
}
