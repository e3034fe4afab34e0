//! Rotation as the service does it, with a small function that uses the API.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_secretsmanager::types::RotationRulesType;
use chrono::TimeDelta;
use futures_util::future::BoxFuture;
use serde_json::Value;

use super::*;
use crate::model::{Fault, FaultKind, RotationFunction};

const FUNCTION: &str = "arn:aws:lambda:us-east-1:111122223333:function:rotation";

/// Puts a new value in createSecret and moves the label in finishSecret; testSecret fails, and setSecret never ends,
/// as often as told.
struct Fake {
    client: aws_sdk_secretsmanager::Client,
    failures: Arc<AtomicU32>,
    hangs: Arc<AtomicU32>,
    steps: Mutex<Vec<(String, String)>>,
}

impl RotationFunction for Fake {
    fn invoke(&self, event: Value, _deadline: DateTime<Utc>) -> BoxFuture<'static, Result<(), String>> {
        let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
        let (step, arn, token) = (text("Step"), text("SecretId"), text("ClientRequestToken"));
        self.steps.lock().expect("alone").push((step.clone(), token.clone()));
        let (client, failures, hangs) = (self.client.clone(), Arc::clone(&self.failures), Arc::clone(&self.hangs));
        let rotation_token = text("RotationToken");
        Box::pin(async move {
            match step.as_str() {
                "createSecret" => put(&client, &arn, &token, &rotation_token).await,
                "setSecret" if hangs.load(Ordering::Relaxed) > 0 => {
                    hangs.fetch_sub(1, Ordering::Relaxed);
                    std::future::pending().await
                }
                "testSecret" if failures.load(Ordering::Relaxed) > 0 => {
                    failures.fetch_sub(1, Ordering::Relaxed);
                    Err("the key does not work yet".to_owned())
                }
                "finishSecret" => finish(&client, &arn, &token).await,
                _ => Ok(()),
            }
        })
    }
}

async fn put(
    client: &aws_sdk_secretsmanager::Client,
    arn: &str,
    token: &str,
    rotation_token: &str,
) -> Result<(), String> {
    let put = client
        .put_secret_value()
        .secret_id(arn)
        .client_request_token(token)
        .secret_string(format!("value of {token}"))
        .version_stages("AWSPENDING");
    if rotation_token.len() != 64 {
        return Err("no rotation token".to_owned());
    }
    let wrong = put.clone().rotation_token("x".repeat(64)).send().await;
    if wrong.is_ok() {
        return Err("a wrong rotation token was accepted".to_owned());
    }
    put.rotation_token(rotation_token).send().await.map(drop).map_err(|error| format!("{error:?}"))
}

async fn finish(client: &aws_sdk_secretsmanager::Client, arn: &str, token: &str) -> Result<(), String> {
    let secret = client.describe_secret().secret_id(arn).send().await.map_err(|error| format!("{error:?}"))?;
    let versions = secret.version_ids_to_stages().cloned().unwrap_or_default();
    let current = versions.into_iter().find(|(_, stages)| stages.iter().any(|it| it == "AWSCURRENT"));
    client
        .update_secret_version_stage()
        .secret_id(arn)
        .version_stage("AWSCURRENT")
        .set_remove_from_version_id(current.map(|(id, _)| id))
        .move_to_version_id(token)
        .send()
        .await
        .map(drop)
        .map_err(|error| format!("{error:?}"))
}

struct RotationFixture {
    cloud: Cloud,
    client: aws_sdk_secretsmanager::Client,
    fake: Arc<Fake>,
}

async fn stage(failures: u32) -> RotationFixture {
    let cloud = cloud();
    let client = secrets_client(&cloud);
    let fake = Arc::new(Fake {
        client: client.clone(),
        failures: Arc::new(AtomicU32::new(failures)),
        hangs: Arc::default(),
        steps: Mutex::default(),
    });
    cloud.set_rotation_function(FUNCTION, Arc::clone(&fake) as Arc<dyn RotationFunction>);
    client.create_secret().name("s").secret_string("first").send().await.expect("created");
    RotationFixture { cloud, client, fake }
}

impl RotationFixture {
    fn rotate(&self) -> aws_sdk_secretsmanager::operation::rotate_secret::builders::RotateSecretFluentBuilder {
        let rules = RotationRulesType::builder().automatically_after_days(90).build();
        self.client.rotate_secret().secret_id("s").rotation_lambda_arn(FUNCTION).rotation_rules(rules)
    }

    fn steps(&self) -> Vec<String> {
        self.fake.steps.lock().expect("alone").iter().map(|(step, _)| step.clone()).collect()
    }

    fn secret(&self) -> crate::model::SecretView {
        self.cloud.secret("s").expect("there")
    }

    /// The events without those about labels.
    fn trail(&self) -> Vec<String> {
        let events = self.cloud.events();
        let names = events.iter().filter_map(|it| it["detail"]["eventName"].as_str());
        names.map(ToOwned::to_owned).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn a_rotation_runs_the_four_steps_and_the_schedule_goes_on() {
    let stage = stage(0).await;
    let refused = stage.client.rotate_secret().secret_id("s").send().await;
    assert_eq!(code(refused), "InvalidRequestException", "no function yet");
    let version = stage.rotate().send().await.expect("started").version_id().expect("a version").to_owned();
    let pending = stage.secret();
    assert_eq!(
        pending.version_with("AWSPENDING").map(|it| (it.id.as_str(), it.has_value())),
        Some((version.as_str(), false))
    );
    let empty = stage.client.get_secret_value().secret_id("s").version_stage("AWSPENDING").send().await;
    assert_eq!(code(empty), "ResourceNotFoundException");
    stage.cloud.run_rotations().await;
    assert_eq!(stage.steps(), ["createSecret", "setSecret", "testSecret", "finishSecret"]);
    let secret = stage.secret();
    assert_eq!(secret.version_with("AWSCURRENT").map(|it| it.id.as_str()), Some(version.as_str()));
    assert_eq!(secret.version_with("AWSPENDING"), None);
    assert_eq!(secret.text("AWSPREVIOUS"), Some("first"));
    assert_eq!(secret.last_rotated, Some(stage.cloud.clock().now()));
    assert_eq!(secret.next_rotation, Some(stage.cloud.clock().now() + TimeDelta::days(90)));
    assert_eq!(stage.trail(), ["RotationStarted", "RotationSucceeded"]);
    let last = stage.cloud.events().pop().expect("an event");
    assert_eq!(last["detail"]["additionalEventData"]["SecretId"], secret.arn);

    let due = stage.cloud.next_rotation_due().expect("scheduled");
    stage.cloud.clock().advance_to(due - TimeDelta::seconds(1)).await;
    stage.cloud.fire_due_rotations().await;
    assert_eq!(stage.steps().len(), 4, "not yet");
    stage.cloud.clock().advance_to(due).await;
    stage.cloud.fire_due_rotations().await;
    assert_eq!(stage.steps().len(), 8);
    assert_eq!(stage.secret().last_rotated, Some(due));
}

#[tokio::test(start_paused = true)]
async fn a_failed_step_repeats_the_whole_rotation_with_the_same_token() {
    let stage = stage(2).await;
    stage.cloud.switch(|it| it.pending_label_lingers = true);
    stage.rotate().send().await.expect("started");
    stage.cloud.run_rotations().await;
    assert_eq!(stage.steps().len(), 3 + 3 + 4);
    let tokens = stage.fake.steps.lock().expect("alone").iter().map(|(_, token)| token.clone()).collect::<Vec<_>>();
    assert!(tokens.windows(2).all(|it| it[0] == it[1]), "{tokens:?}");
    let waited = stage.cloud.clock().now() - day();
    assert!(waited >= TimeDelta::minutes(6), "two waits of 2 and 4 minutes: {waited}");
    let secret = stage.secret();
    assert_eq!(secret.versions.len(), 2);
    assert_eq!(secret.versions[1].stages, ["AWSCURRENT", "AWSPENDING"], "the label lingers");
    stage.rotate().send().await.expect("a lingering label on the current version is no obstacle");
}

#[tokio::test(start_paused = true)]
async fn a_rotation_that_keeps_failing_is_reported_and_repeated() {
    let stage = stage(5).await;
    let version = stage.rotate().send().await.expect("started").version_id().expect("a version").to_owned();
    stage.cloud.run_rotations().await;
    assert_eq!(stage.trail(), ["RotationStarted", "RotationFailed"]);
    let failed = stage.secret();
    assert_eq!(failed.text("AWSCURRENT"), Some("first"));
    assert_eq!(failed.version_with("AWSPENDING").map(|it| it.id.as_str()), Some(version.as_str()));
    assert_eq!(failed.last_rotation, Some(Err("testSecret: the key does not work yet".to_owned())));
    let again = stage.rotate().send().await;
    assert_eq!(message(again), "A previous rotation isn't complete. That rotation will be reattempted.");
    stage.cloud.run_rotations().await;
    let secret = stage.secret();
    assert_eq!(secret.version_with("AWSCURRENT").map(|it| it.id.as_str()), Some(version.as_str()));
    assert_eq!(stage.trail(), ["RotationStarted", "RotationFailed", "RotationStarted", "RotationSucceeded"]);
}

#[tokio::test(start_paused = true)]
async fn the_schedule_pauses_after_a_failed_rotation() {
    let stage = stage(0).await;
    stage.rotate().send().await.expect("started");
    stage.cloud.run_rotations().await;
    let due = stage.cloud.next_rotation_due().expect("scheduled");
    stage.fake.failures.store(5, Ordering::Relaxed);
    stage.cloud.clock().advance_to(due).await;
    stage.cloud.fire_due_rotations().await;
    assert_eq!(stage.secret().next_rotation, Some(due));
    let next = stage.cloud.next_rotation_due().expect("still scheduled");
    assert!(next > stage.cloud.clock().now(), "not at once again");
    stage.cloud.clock().advance_to(next).await;
    stage.cloud.fire_due_rotations().await;
    assert_eq!(stage.secret().last_rotation, Some(Ok(())));
}

#[tokio::test(start_paused = true)]
async fn without_immediate_rotation_only_the_test_runs_on_a_copy() {
    for failures in [0, 1] {
        let stage = stage(failures).await;
        stage.rotate().rotate_immediately(false).send().await.expect("scheduled");
        assert_eq!(stage.secret().text("AWSPENDING"), Some("first"));
        stage.cloud.run_rotations().await;
        assert_eq!(stage.steps(), ["testSecret"]);
        let secret = stage.secret();
        assert_eq!(secret.versions.len(), 1, "the copy is removed");
        assert_eq!(secret.last_test.map(|it| it.is_ok()), Some(failures == 0));
        assert!(secret.rotation_enabled);
        assert_eq!(secret.next_rotation, Some(day() + TimeDelta::days(90)));
        assert_eq!(secret.last_rotated, None);
    }
}

#[tokio::test(start_paused = true)]
async fn on_aws_a1_the_schedule_fires_at_any_hour_of_its_day() {
    let stage = stage(0).await;
    stage.rotate().send().await.expect("started");
    stage.cloud.run_rotations().await;
    let midnight = (day() + TimeDelta::days(90)).date_naive().and_time(chrono::NaiveTime::MIN).and_utc();
    for hour in [0, 23] {
        stage.cloud.switch(|switches| switches.schedule_hour = Some(hour));
        assert_eq!(stage.cloud.next_rotation_due(), Some(midnight + TimeDelta::hours(i64::from(hour))));
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_by_hand_counts_as_a_rotation() {
    let stage = stage(0).await;
    stage.rotate().send().await.expect("started");
    stage.cloud.run_rotations().await;
    stage.cloud.clock().advance(Duration::from_hours(240)).await;
    stage.client.put_secret_value().secret_id("s").secret_string("by hand").send().await.expect("put");
    let expected = stage.cloud.clock().now() + TimeDelta::days(90);
    assert_eq!(stage.secret().next_rotation, Some(expected));
    assert_eq!(stage.secret().last_rotated, Some(day()));
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_the_attempt_and_the_rotation_is_tried_again() {
    let stage = stage(0).await;
    let stop = Fault::on("secretsmanager", "PutSecretValue", FaultKind::StopAfter).nth(2);
    let stopped = stage.cloud.faults().inject(stop);
    stage.rotate().send().await.expect("started");
    stage.cloud.run_rotations().await;
    assert_eq!(stopped.fired(), 1);
    assert_eq!(stage.steps(), ["createSecret", "createSecret", "setSecret", "testSecret", "finishSecret"]);
    assert_eq!(stage.secret().last_rotation, Some(Ok(())));
    assert_eq!(stage.secret().versions.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_step_that_does_not_end_is_dropped_at_its_deadline() {
    let stage = stage(0).await;
    stage.fake.hangs.store(1, Ordering::Relaxed);
    stage.rotate().send().await.expect("started");
    stage.cloud.run_rotations().await;
    let steps = ["createSecret", "setSecret", "createSecret", "setSecret", "testSecret", "finishSecret"];
    assert_eq!(stage.steps(), steps);
    let waited = stage.cloud.clock().now() - day();
    assert_eq!(waited.num_seconds(), 240, "the deadline and the wait before the second attempt");
    stage.fake.hangs.store(5, Ordering::Relaxed);
    stage.client.rotate_secret().secret_id("s").send().await.expect("started");
    stage.cloud.run_rotations().await;
    let result = stage.secret().last_rotation.expect("ended");
    assert_eq!(result, Err("setSecret: Task timed out after 120 seconds".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_schedule_keeps_its_parts_and_starts_nothing() {
    let stage = stage(0).await;
    stage.rotate().send().await.expect("started");
    stage.client.cancel_rotate_secret().secret_id("s").send().await.expect("cancelled");
    stage.cloud.run_rotations().await;
    let secret = stage.secret();
    assert!(stage.steps().is_empty());
    assert_eq!(stage.trail(), ["RotationStarted"], "no event is documented");
    assert_eq!((secret.rotation_enabled, secret.rotation_function.as_deref()), (false, Some(FUNCTION)));
    assert!(secret.version_with("AWSPENDING").is_some());
    assert_eq!(secret.next_rotation, None);
    assert_eq!(stage.cloud.next_rotation_due(), None);
}

#[tokio::test(start_paused = true)]
async fn rules_are_days_or_a_rate() {
    let stage = stage(0).await;
    let with = |rules: RotationRulesType| stage.rotate().rotation_rules(rules).rotate_immediately(false).send();
    let rules = || RotationRulesType::builder();
    for bad in [
        rules().automatically_after_days(1001).build(),
        rules().build(),
        rules().automatically_after_days(1).schedule_expression("rate(1 days)").build(),
        rules().schedule_expression("rate(3 hours)").build(),
        rules().schedule_expression("cron(0 16 1 * ? *)").build(),
        rules().automatically_after_days(1).duration("25h").build(),
    ] {
        assert_eq!(code(with(bad).await), "InvalidParameterException");
    }
    with(rules().schedule_expression("rate(90 days)").duration("4h").build()).await.expect("a rate");
    let shown = stage.client.describe_secret().secret_id("s").send().await.expect("described");
    let shown = shown.rotation_rules().cloned().expect("rules");
    assert_eq!((shown.schedule_expression(), shown.duration()), (Some("rate(90 days)"), Some("4h")));
}

#[tokio::test(start_paused = true)]
async fn many_rotations_share_their_waits() {
    let stage = stage(5).await;
    stage.rotate().send().await.expect("started");
    for n in 0..10 {
        let name = format!("s{n}");
        stage.client.create_secret().name(&name).secret_string("x").send().await.expect("created");
        stage.rotate().secret_id(&name).send().await.expect("started");
    }
    stage.cloud.run_rotations().await;
    let rotated = stage.cloud.secrets().iter().filter(|it| it.last_rotation == Some(Ok(()))).count();
    assert_eq!(rotated, 11, "five failures are spread over eleven rotations");
    assert!(stage.cloud.clock().now() - day() < TimeDelta::minutes(31));
}

#[tokio::test(start_paused = true)]
async fn an_event_of_a_failure_names_the_step_and_no_reason() {
    let stage = stage(5).await;
    stage.rotate().send().await.expect("started");
    stage.cloud.run_rotations().await;
    let events = stage.cloud.events();
    let failed = events.iter().find(|event| event["detail"]["eventName"] == "RotationFailed").expect("it failed");
    let detail = &failed["detail"];
    let said = format!("Error when executing lambda {FUNCTION} during testSecret step");
    assert_eq!(detail["errorMessage"], said.as_str());
    assert_eq!((&detail["readOnly"], &detail["requestParameters"]), (&false.into(), &serde_json::Value::Null));
    assert!(!failed.to_string().contains("the key does not work yet"), "{failed}");
}

#[tokio::test(start_paused = true)]
async fn a_version_put_by_hand_abandons_a_rotation() {
    let stage = stage(5).await;
    stage.rotate().send().await.expect("started");
    stage.cloud.run_rotations().await;
    stage.client.put_secret_value().secret_id("s").secret_string("by hand").send().await.expect("put");
    assert_eq!(stage.trail(), ["RotationStarted", "RotationFailed", "RotationAbandoned"]);
    let secret = stage.secret();
    assert!(secret.version_with("AWSPENDING").is_none());
    assert_eq!(secret.text("AWSCURRENT"), Some("by hand"));
    stage.rotate().send().await.expect("no rotation is incomplete");
    stage.client.put_secret_value().secret_id("s").secret_string("again").send().await.expect("put");
    stage.cloud.run_rotations().await;
    assert_eq!(stage.secret().last_rotation, Some(Err("a new version was put by hand".to_owned())));
}

#[tokio::test(start_paused = true)]
async fn on_aws_b3_a_schedule_that_is_on_again_counts_from_before() {
    let stage = stage(0).await;
    let made = stage.cloud.clock().now();
    stage.rotate().rotate_immediately(false).send().await.expect("configured");
    stage.cloud.run_rotations().await;
    let expected = made + TimeDelta::days(90);
    assert_eq!(stage.secret().next_rotation, Some(expected), "a new secret's schedule counts from its start");
    for by_hand in [false, true] {
        stage.client.cancel_rotate_secret().secret_id("s").send().await.expect("cancelled");
        stage.cloud.clock().advance(Duration::from_hours(24 * 30)).await;
        let put_at = stage.cloud.clock().now();
        if by_hand {
            stage.client.put_secret_value().secret_id("s").secret_string("by hand").send().await.expect("put");
        }
        stage.cloud.clock().advance(Duration::from_hours(24 * 20)).await;
        stage.rotate().rotate_immediately(false).send().await.expect("switched on");
        stage.cloud.run_rotations().await;
        let expected = if by_hand { put_at + TimeDelta::days(90) } else { expected };
        assert_eq!(stage.secret().next_rotation, Some(expected), "by hand: {by_hand}");
    }
}

#[tokio::test(start_paused = true)]
async fn on_aws_b4_a_service_may_never_reattempt_a_rotation() {
    let stage = stage(9).await;
    stage.cloud.switch(|aws| aws.never_reattempts = true);
    stage.rotate().send().await.expect("started");
    stage.cloud.run_rotations().await;
    let steps = stage.steps().len();
    for _ in 0..3 {
        stage.cloud.clock().advance(Duration::from_hours(24 * 40)).await;
        let refused = stage.rotate().send().await.expect_err("not complete");
        assert!(format!("{refused:?}").contains("A previous rotation isn't complete"), "{refused:?}");
        stage.cloud.fire_due_rotations().await;
    }
    assert_eq!(stage.steps().len(), steps, "nothing was attempted");
    let pending = stage.secret().version_with("AWSPENDING").expect("left behind").id.clone();
    let label = stage.client.update_secret_version_stage().secret_id("s").version_stage("AWSPENDING");
    label.remove_from_version_id(pending).send().await.expect("removed");
    stage.rotate().send().await.expect("started anew");
}

#[tokio::test(start_paused = true)]
async fn on_aws_b4_a_pending_value_by_hand_is_refused_for_good() {
    let stage = stage(0).await;
    stage.cloud.switch(|aws| aws.refuses_foreign_pending = true);
    stage.rotate().rotate_immediately(false).send().await.expect("configured");
    stage.cloud.run_rotations().await;
    assert_eq!(stage.steps(), ["testSecret"], "the service's own copy is tested");
    let put = stage.client.put_secret_value().secret_id("s").secret_string("by hand").version_stages("AWSPENDING");
    put.send().await.expect("put");
    for _ in 0..2 {
        stage.rotate().send().await.expect_err("not complete");
        stage.cloud.run_rotations().await;
        let why = stage.secret().last_rotation.expect("it ended").expect_err("refused");
        assert!(why.contains(&format!("was not created by Lambda {FUNCTION}")), "{why}");
    }
    assert_eq!(stage.steps(), ["testSecret"], "no step ran");
}
