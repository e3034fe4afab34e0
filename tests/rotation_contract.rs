//! The four steps under every interruption: a rotation creates one key and leaves no orphan.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::TimeDelta;
use keywheel::model::{AccessKeyPair, Fault, FaultKind};

use serde_json::json;

use crate::harness::{TestStack, refused, rehearse};

/// Which process carries out a step. A process that has just started has no session in the member account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    /// The same process carries out all steps.
    Warm,
    /// Each step starts a process.
    Cold,
}

impl Start {
    fn apply(self, stage: &TestStack) {
        stage.cloud.switch(|aws| aws.cold_starts = if self == Self::Cold { 100 } else { 0 });
    }
}

/// Runs a test with all steps in one process, and with one process for each step.
fn rehearse_warm_and_cold(work: impl AsyncFn(Start)) {
    rehearse(async {
        work(Start::Warm).await;
        work(Start::Cold).await;
    });
}

/// Returns a user with one key that is due, whose rotation is about to run.
async fn rotation_ahead(start: Start) -> (TestStack, AccessKeyPair) {
    let stage = TestStack::new();
    start.apply(&stage);
    let old = stage.add_user("ci-bot", &[90]).remove(0);
    stage.sweep_well().await;
    (stage, old)
}

/// Checks that the old key is untouched, and that the new one is in the secret, works, and is the only other key.
fn assert_rotated(stage: &TestStack, old: &AccessKeyPair, context: &str) {
    let user = stage.user("ci-bot");
    let secret = stage.secret("ci-bot");
    assert_eq!(secret.last_rotation, Some(Ok(())), "{context}");
    let current = stage.current_key("ci-bot");
    let keys: Vec<&str> = user.keys.iter().map(|key| key.id.as_str()).collect();
    assert_eq!(keys, [old.access_key_id.as_str(), current.as_str()], "{context}");
    assert_eq!(user.active_keys(), 2, "{context}");
    let tag = |name: &str| stage.tag("ci-bot", name);
    assert_eq!(tag("version"), secret.version_with("AWSCURRENT").map(|version| version.id.clone()), "{context}");
    assert_eq!(tag("current-key"), Some(current), "{context}");
    assert_eq!(tag("previous-key"), Some(old.access_key_id.clone()), "{context}");
    assert!(tag("rotated-at").is_some() && tag("intent").is_none(), "{context}: {:?}", secret.tags);
}

/// The writes of a rotation in their order. finishSecret makes the second call of TagResource.
const WRITES: [(&str, &str, u64); 5] = [
    ("secretsmanager", "TagResource", 1),
    ("iam", "CreateAccessKey", 1),
    ("secretsmanager", "PutSecretValue", 1),
    ("secretsmanager", "UpdateSecretVersionStage", 1),
    ("secretsmanager", "TagResource", 2),
];

/// Injects the fault into every write of a rotation, one at a time.
async fn at_every_write(start: Start, kind: FaultKind) {
    for (service, operation, n) in WRITES {
        let (stage, old) = rotation_ahead(start).await;
        let fault = stage.cloud.faults().inject(Fault::on(service, operation, kind.clone()).nth(n));
        stage.cloud.run_rotations().await;
        assert_eq!(fault.fired(), 1, "{start:?}: {kind:?} at {operation} {n}");
        assert_rotated(&stage, &old, &format!("{start:?}: {kind:?} at {operation} {n}"));
    }
}

#[test]
fn upstream_defect_25_stopped_at_any_call_makes_one_key() {
    rehearse_warm_and_cold(async |start| {
        for n in 1..100 {
            let (stage, old) = rotation_ahead(start).await;
            let fault = stage.cloud.faults().inject(Fault::on("*", "*", FaultKind::Stop).nth(n));
            stage.cloud.run_rotations().await;
            if fault.fired() == 0 {
                assert!(n > 23, "a rotation has more calls than {n}");
                return;
            }
            assert_rotated(&stage, &old, &format!("stopped at call {n}"));
        }
        panic!("a rotation has less than a hundred calls");
    });
}

#[test]
fn upstream_defect_25_stopped_after_any_write_makes_one_key() {
    rehearse_warm_and_cold(async |start| at_every_write(start, FaultKind::StopAfter).await);
}

#[test]
fn upstream_defect_25_denied_any_write_makes_one_key() {
    rehearse_warm_and_cold(async |start| at_every_write(start, FaultKind::AccessDenied).await);
}

#[test]
fn upstream_defect_25_any_lost_answer_makes_one_key() {
    rehearse_warm_and_cold(async |start| at_every_write(start, FaultKind::LostAnswer).await);
}

#[test]
fn upstream_defect_25_a_put_that_fails_leaves_no_key() {
    rehearse_warm_and_cold(async |start| {
        for kind in [FaultKind::AccessDenied, refused("EncryptionFailure"), refused("InvalidRequestException")] {
            let (stage, old) = rotation_ahead(start).await;
            stage.cloud.faults().inject(Fault::on("secretsmanager", "PutSecretValue", kind.clone()).every());
            stage.cloud.run_rotations().await;
            let user = stage.user("ci-bot");
            assert!(matches!(stage.secret("ci-bot").last_rotation, Some(Err(_))), "{kind:?}");
            assert_eq!(user.keys.len(), 1, "{kind:?}: {:?}", user.keys);
            assert!(user.key(&old.access_key_id).is_some_and(keywheel::model::KeyView::is_active), "{kind:?}");
            stage.cloud.faults().clear();
            assert_eq!(stage.rotate("ci-bot").await, Ok(()));
            assert_rotated(&stage, &old, "once the store takes values again");
        }
    });
}

#[test]
fn a_put_whose_answer_is_lost_is_read_back() {
    rehearse_warm_and_cold(async |start| {
        let after = FaultKind::ErrorAfter { status: 400, code: "EncryptionFailure".into(), message: String::new() };
        for kind in [FaultKind::LostAnswer, after] {
            let (stage, old) = rotation_ahead(start).await;
            stage.cloud.faults().inject(Fault::on("secretsmanager", "PutSecretValue", kind.clone()).every());
            stage.cloud.run_rotations().await;
            assert_rotated(&stage, &old, &format!("{kind:?}"));
            assert_eq!(stage.count("CreateAccessKey"), 1, "{kind:?}");
        }
    });
}

#[test]
fn the_next_rotation_removes_the_key_of_a_put_that_hangs() {
    rehearse_warm_and_cold(async |start| {
        let (stage, old) = rotation_ahead(start).await;
        stage.cloud.faults().inject(Fault::on("secretsmanager", "PutSecretValue", FaultKind::Hang).every());
        stage.cloud.run_rotations().await;
        assert!(matches!(stage.secret("ci-bot").last_rotation, Some(Err(_))));
        assert!(stage.user("ci-bot").keys.len() <= 2);
        stage.cloud.faults().clear();
        assert_eq!(stage.rotate("ci-bot").await, Ok(()));
        assert_rotated(&stage, &old, "after the silence");
    });
}

#[test]
fn upstream_defect_34_a_failed_step_makes_no_second_key() {
    rehearse_warm_and_cold(async |start| {
        for (service, operation) in
            [("iam", "ListAccessKeys"), ("sts", "GetCallerIdentity"), ("secretsmanager", "UpdateSecretVersionStage")]
        {
            let (stage, old) = rotation_ahead(start).await;
            let refuse = Fault::on(service, operation, refused("ServiceFailure"));
            // One step fails for longer than it tries, and the rotation is retried for longer than that.
            let times = if operation == "GetCallerIdentity" { 40 } else { 3 };
            for n in 2..=times {
                stage.cloud.faults().inject(refuse.clone().nth(n));
            }
            stage.cloud.run_rotations().await;
            assert_rotated(&stage, &old, operation);
            assert_eq!(stage.count("CreateAccessKey"), 1, "{operation}");
        }
    });
}

#[test]
fn upstream_defect_34_no_reader_gets_a_key_before_it_works() {
    rehearse_warm_and_cold(async |start| {
        let (stage, old) = rotation_ahead(start).await;
        stage.cloud.switch(|aws| aws.key_propagation = Duration::from_hours(2));
        stage.cloud.switch(|aws| aws.rotation_attempts = 1);
        stage.cloud.run_rotations().await;
        let Some(Err(why)) = stage.secret("ci-bot").last_rotation else { panic!("a key that is refused was taken") };
        assert!(why.contains("testSecret") && why.contains("attempt(s) by STS of us-east-1, 0 successful"), "{why}");
        assert_eq!(stage.current_key("ci-bot"), old.access_key_id);
        stage.pass_days(1).await;
        assert_eq!(stage.rotate("ci-bot").await, Ok(()));
        assert_rotated(&stage, &old, "once the key works");
        assert_eq!(stage.count("CreateAccessKey"), 1);
    });
}

#[test]
fn a_key_that_takes_a_minute_to_spread_is_waited_for() {
    rehearse_warm_and_cold(async |start| {
        let (stage, old) = rotation_ahead(start).await;
        stage.cloud.switch(|aws| (aws.key_propagation, aws.rotation_attempts) = (Duration::from_mins(1), 1));
        stage.cloud.run_rotations().await;
        assert_rotated(&stage, &old, "within one attempt");
    });
}

#[test]
fn a_finish_that_stops_after_the_label_is_completed() {
    rehearse_warm_and_cold(async |start| {
        let (stage, old) = rotation_ahead(start).await;
        let stop = Fault::on("secretsmanager", "UpdateSecretVersionStage", FaultKind::StopAfter);
        let stop = stage.cloud.faults().inject(stop);
        stage.cloud.run_rotations().await;
        assert_eq!(stop.fired(), 1);
        assert_rotated(&stage, &old, "after the retry");
    });
}

#[test]
fn upstream_defect_18_the_sweeper_records_an_unfinished_finish() {
    rehearse_warm_and_cold(async |start| {
        let (stage, old) = rotation_ahead(start).await;
        stage.cloud.switch(|aws| aws.rotation_attempts = 1);
        stage.cloud.faults().inject(Fault::on("secretsmanager", "UpdateSecretVersionStage", FaultKind::StopAfter));
        stage.cloud.run_rotations().await;
        assert_ne!(stage.tag("ci-bot", "current-key"), Some(stage.current_key("ci-bot")), "the facts are stale");
        stage.live().await;
        assert_eq!(stage.tag("ci-bot", "current-key"), Some(stage.current_key("ci-bot")));
        assert_eq!(stage.tag("ci-bot", "previous-key"), Some(old.access_key_id.clone()));
        stage.live_days(9).await;
        assert_eq!(stage.status("ci-bot", &old), "Active", "the whole installation grace");
        stage.live_days(2).await;
        assert_eq!(stage.status("ci-bot", &old), "Inactive");
        stage.live_days(11).await;
        assert_eq!(stage.status("ci-bot", &old), "gone");
        assert_eq!(stage.user("ci-bot").keys.len(), 1);
    });
}

#[test]
fn a_test_of_the_configuration_makes_no_key() {
    rehearse(async {
        let stage = TestStack::new();
        stage.add_user("young", &[10]);
        stage.sweep_well().await;
        stage.cloud.run_rotations().await;
        assert_eq!(stage.secret("young").last_test, Some(Ok(())), "on the placeholder");
        let (_, new) = stage.add_rotated_user("ci-bot").await;
        let made = stage.count("CreateAccessKey");
        let arn = stage.secret("ci-bot").arn;
        stage.operator().rotate_secret().secret_id(arn).rotate_immediately(false).send().await.expect("started");
        stage.cloud.run_rotations().await;
        assert_eq!(stage.secret("ci-bot").last_test, Some(Ok(())), "on a real value");
        assert_eq!((stage.current_key("ci-bot"), stage.count("CreateAccessKey")), (new, made));
    });
}

/// Puts a copy of the current value into the pending version and runs all four steps on it. `RotateImmediately=false`
/// makes such a version for testSecret alone.
async fn run_all_steps_on_a_copy(stage: &TestStack) -> String {
    const TOKEN: &str = "5f0d9a52-0c1d-4e0f-9a57-1c2f3d4e5f60";
    let secret = stage.secret("ci-bot");
    let value = secret.text("AWSCURRENT").expect("a value");
    let copy = stage.operator().put_secret_value().secret_id(&secret.arn).client_request_token(TOKEN);
    copy.secret_string(value).version_stages("AWSPENDING").send().await.expect("put");
    // finishSecret runs twice, because its answer may be lost.
    for step in ["createSecret", "setSecret", "testSecret", "finishSecret", "finishSecret"] {
        let event = json!({"Step": step, "SecretId": secret.arn, "ClientRequestToken": TOKEN});
        let deadline = stage.now() + TimeDelta::minutes(2);
        assert!(stage.keywheel.rotate_step(event, deadline).await.is_ok(), "{step}");
    }
    TOKEN.to_owned()
}

/// Returns the tags without the version that they describe, which is checked.
fn facts(stage: &TestStack) -> BTreeMap<String, String> {
    let secret = stage.secret("ci-bot");
    let mut tags = secret.tags.clone();
    tags.retain(|_, value| !value.is_empty());
    let version = tags.remove("keywheel:version");
    assert_eq!(version, secret.version_with("AWSCURRENT").map(|version| version.id.clone()), "the facts are fresh");
    tags
}

#[test]
fn a_configuration_test_with_all_steps_changes_nothing() {
    rehearse(async {
        let stage = TestStack::new();
        let (old, new) = stage.add_rotated_user("ci-bot").await;
        stage.live_days(3).await;
        let (before, keys) = (facts(&stage), stage.user("ci-bot").keys);
        let token = run_all_steps_on_a_copy(&stage).await;
        assert_eq!(stage.secret("ci-bot").version_with("AWSCURRENT").map(|version| version.id.clone()), Some(token));
        assert_eq!((stage.current_key("ci-bot"), stage.count("CreateAccessKey")), (new, 1));
        assert_eq!((facts(&stage), stage.user("ci-bot").keys.len()), (before, keys.len()));
        // The retirement of the old key continues.
        stage.live_days(7).await;
        assert_eq!(stage.status("ci-bot", &old), "Inactive", "ten days after the rotation, not after the test");
    });
}

#[test]
fn a_copy_of_a_placeholder_passes_all_steps() {
    rehearse(async {
        let stage = TestStack::new();
        let old = stage.add_user("ci-bot", &[10]).remove(0);
        stage.sweep_well().await;
        stage.cloud.run_rotations().await;
        let before = facts(&stage);
        run_all_steps_on_a_copy(&stage).await;
        assert_eq!((facts(&stage), stage.count("CreateAccessKey")), (before, 0));
        assert_eq!(stage.rotate("ci-bot").await, Ok(()));
        assert_rotated(&stage, &old, "nothing stands in its way");
    });
}

#[test]
fn a_placeholder_that_is_no_copy_never_replaces_a_key() {
    rehearse(async {
        let stage = TestStack::new();
        stage.add_user("ci-bot", &[90]);
        stage.sweep_well().await;
        let placeholder = stage.secret("ci-bot").text("AWSCURRENT").expect("a value").to_owned();
        stage.cloud.run_rotations().await;
        let (key, secret) = (stage.current_key("ci-bot"), stage.secret("ci-bot"));
        let token = "5f0d9a52-0c1d-4e0f-9a57-1c2f3d4e5f61";
        let put = stage.operator().put_secret_value().secret_id(&secret.arn).client_request_token(token);
        put.secret_string(placeholder).version_stages("AWSPENDING").send().await.expect("put");
        for step in ["setSecret", "finishSecret"] {
            let event = json!({"Step": step, "SecretId": secret.arn, "ClientRequestToken": token});
            let refused = stage.keywheel.rotate_step(event, stage.now() + TimeDelta::minutes(2)).await;
            assert!(refused.is_err_and(|error| error.to_string().contains("not written by keywheel")), "{step}");
        }
        assert_eq!(stage.current_key("ci-bot"), key);
    });
}

#[test]
fn the_same_key_with_another_secret_half_is_tested() {
    rehearse(async {
        let stage = TestStack::new();
        let (_, new) = stage.add_rotated_user("ci-bot").await;
        let secret = stage.secret("ci-bot");
        let mut value = secret.json("AWSCURRENT").expect("a value");
        value["SecretAccessKey"] = json!("0000000000000000000000000000000000000000");
        let token = "5f0d9a52-0c1d-4e0f-9a57-1c2f3d4e5f62";
        let put = stage.operator().put_secret_value().secret_id(&secret.arn).client_request_token(token);
        put.secret_string(value.to_string()).version_stages("AWSPENDING").send().await.expect("put");
        let event = json!({"Step": "testSecret", "SecretId": secret.arn, "ClientRequestToken": token});
        let refused = stage.keywheel.rotate_step(event, stage.now() + TimeDelta::seconds(20)).await;
        assert!(refused.is_err_and(|error| error.to_string().contains(&format!("{new} of user"))), "it was tested");
    });
}

#[test]
fn a_pending_label_that_lingers_does_not_stop_the_next_rotation() {
    rehearse_warm_and_cold(async |start| {
        let (stage, old) = rotation_ahead(start).await;
        stage.cloud.switch(|aws| aws.pending_label_lingers = true);
        stage.live().await;
        assert!(stage.secret("ci-bot").version_with("AWSPENDING").is_some(), "it lingers");
        assert_rotated(&stage, &old, "the first rotation");
        let first = stage.current_key("ci-bot");
        stage.live_days(22).await;
        stage.pass_days(65).await;
        stage.live_days(5).await;
        let second = stage.current_key("ci-bot");
        assert_ne!(second, first);
        assert_eq!(stage.user("ci-bot").keys.len(), 2);
        assert_eq!(stage.status("ci-bot", &old), "gone");
    });
}

#[test]
fn a_late_pending_value_makes_no_second_key() {
    rehearse_warm_and_cold(async |start| {
        let (stage, old) = rotation_ahead(start).await;
        stage.cloud.switch(|aws| aws.pending_read_lag = Duration::from_secs(5));
        stage.cloud.run_rotations().await;
        assert_rotated(&stage, &old, "with a lag of five seconds");
    });
}

/// A rotation that was reported as failed would be started again, and would find both slots taken.
#[test]
fn facts_that_cannot_be_written_are_restored_by_the_next_sweep() {
    rehearse_warm_and_cold(async |start| {
        let (stage, old) = rotation_ahead(start).await;
        stage.tag_secret("ci-bot", "keywheel:force", "true").await;
        for n in 2..5 {
            stage.cloud.faults().inject(Fault::on("secretsmanager", "TagResource", FaultKind::AccessDenied).nth(n));
        }
        stage.cloud.run_rotations().await;
        stage.cloud.faults().clear();
        assert_eq!(stage.secret("ci-bot").last_rotation, Some(Ok(())));
        assert_eq!(stage.tag("ci-bot", "rotated-at"), None, "not recorded");
        stage.live_days(2).await;
        assert_rotated(&stage, &old, "restored");
        assert_eq!(stage.tag("ci-bot", "force"), None, "the order was for that rotation");
        assert_eq!(stage.count("CreateAccessKey"), 1);
        assert_eq!(stage.mails_with(&["was rotated", &old.access_key_id]).len(), 1);
    });
}
