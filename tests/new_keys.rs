//! A new key becomes current when it works everywhere, and is proved where the stack's Region does not know it.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use keywheel::model::{Clock, Cloud, Fault, FaultKind};
use keywheel::rehearsal::Transport;

use crate::harness::{MEMBER, TestStack, refused, rehearse, start};
use crate::one_rotation::Rotation;

const OPT_IN: &str = "eu-south-1";

/// A stage in an opt-in Region, which all accounts have enabled.
fn in_enabled_region(transport: Transport) -> TestStack {
    let cloud = Cloud::new(Clock::starting_at(start()), 1).with_region(OPT_IN);
    let function = "arn:aws:lambda:eu-south-1:999988887777:function:keywheel-rotation";
    let key = "arn:aws:kms:eu-south-1:999988887777:key/7f1c2d3e-0000-4000-8000-000000000001";
    let settings = [("ROTATION_FUNCTION_ARN", function), ("SECRETS_KMS_KEY_ID", key)];
    TestStack::through(transport, cloud, &settings)
}

/// The same, and the member account has not enabled the Region.
fn in_opt_in_region(transport: Transport) -> TestStack {
    let stage = in_enabled_region(transport);
    stage.cloud.switch_region_off(MEMBER, OPT_IN);
    stage
}

#[test]
fn on_aws_b2_the_home_region_proves_what_an_opt_in_region_lacks() {
    rehearse(async {
        for transport in [Transport::Sdk, Transport::Direct] {
            let stage = in_opt_in_region(transport);
            stage.add_user("ci-bot", &[90]);
            stage.live().await;
            assert_eq!(stage.secret("ci-bot").last_rotation, Some(Ok(())), "{transport:?}");
            assert_eq!(stage.count("CreateAccessKey"), 1, "{transport:?}");
        }
    });
}

#[test]
fn on_aws_b2_a_silent_home_region_leaves_time_for_the_error() {
    rehearse(async {
        let stage = in_opt_in_region(Transport::Sdk);
        stage.add_user("ci-bot", &[90]);
        stage.sweep_well().await;
        let rotation = Rotation::of(stage, "ci-bot");
        rotation.steps(&["createSecret", "setSecret"]).await;
        let stage = &rotation.stage;
        // The stack's Region answers the first call and the third one.
        for nth in [2, 4] {
            stage.cloud.faults().inject(Fault::on("sts", "GetCallerIdentity", FaultKind::Hang).nth(nth));
        }
        let began = stage.now();
        let why = rotation.step("testSecret").await.expect_err("the key is unknown");
        assert!(why.contains("by STS of eu-south-1 and of us-east-1"), "{why}");
        assert!(stage.now() - began < TimeDelta::minutes(2), "{}", stage.now() - began);
        assert!(stage.count("GetCallerIdentity") > 10, "the stack's Region is asked on");
    });
}

#[test]
fn on_aws_b2_an_error_names_the_endpoint_that_was_asked() {
    rehearse(async {
        let rotation = Rotation::first("ci-bot").await;
        rotation.steps(&["createSecret"]).await;
        let denied = Fault::on("sts", "GetCallerIdentity", FaultKind::AccessDenied).every();
        rotation.stage.cloud.faults().inject(denied);
        let why = rotation.step("testSecret").await.expect_err("a VPC endpoint's policy");
        assert!(why.contains("by STS of us-east-1, 0 successful"), "{why}");
    });
}

/// A Region that refuses the call for another reason than an unknown key may know the key.
#[test]
fn on_aws_b2_the_home_region_is_asked_for_unknown_keys_alone() {
    rehearse(async {
        let stage = in_enabled_region(Transport::Sdk);
        stage.cloud.switch(|aws| (aws.key_propagation, aws.key_propagation_elsewhere) = Default::default());
        stage.add_user("ci-bot", &[90]);
        stage.sweep_well().await;
        let rotation = Rotation::of(stage, "ci-bot");
        rotation.steps(&["createSecret", "setSecret"]).await;
        let denied = Fault::on("sts", "GetCallerIdentity", refused("AccessDenied")).every();
        rotation.stage.cloud.faults().inject(denied);
        let why = rotation.step("testSecret").await.expect_err("a VPC endpoint's policy");
        assert!(why.contains("by STS of eu-south-1, 0 successful"), "{why}");
    });
}

/// The times at which AWSCURRENT moved.
fn labels_moved(stage: &TestStack) -> Vec<DateTime<Utc>> {
    let events = stage.cloud.events().into_iter().filter(|event| event["detail-type"] == "Secret Label Updated");
    events.filter_map(|event| event["time"].as_str()?.parse().ok()).collect()
}

#[test]
fn on_aws_b6_a_key_that_becomes_current_works_everywhere() {
    rehearse(async {
        for (by_sts, elsewhere) in [(0, 0), (0, 29), (12, 29), (25, 30), (40, 40)] {
            let stage = TestStack::new();
            stage.cloud.switch(|aws| {
                aws.key_propagation = Duration::from_secs(by_sts);
                aws.key_propagation_elsewhere = Duration::from_secs(elsewhere);
            });
            stage.add_user("ci-bot", &[90]);
            stage.sweep_well().await;
            stage.cloud.run_rotations().await;
            assert_eq!(stage.secret("ci-bot").last_rotation, Some(Ok(())), "{by_sts} {elsewhere}");
            let made = stage.user("ci-bot").keys[1].created;
            let [moved] = labels_moved(&stage)[..] else { panic!("the label moves once") };
            let age = moved - made;
            let expected = TimeDelta::seconds(30)..TimeDelta::seconds(if by_sts < 30 { 40 } else { 60 });
            assert!(expected.contains(&age), "{by_sts} {elsewhere}: {age}");
            let current = stage.current_key("ci-bot");
            stage.cloud.use_key(MEMBER, "ci-bot", &current, "s3", moved).expect("it works");
        }
    });
}

/// A person exchanged the only key before the first rotation, so the tags name a key that is gone until createSecret
/// corrects them. finishSecret must not take the tags of before for those of createSecret.
#[test]
fn on_aws_b5_tags_and_values_that_lag_lose_no_fact() {
    rehearse(async {
        for tags in [0, 33, 40] {
            let stage = TestStack::new();
            let first = stage.add_user("ci-bot", &[90]).remove(0);
            stage.sweep_well().await;
            stage.cloud.delete_key(MEMBER, "ci-bot", &first.access_key_id);
            let second = stage.cloud.add_access_key(MEMBER, "ci-bot", stage.now() - TimeDelta::days(90));
            stage.cloud.switch(|aws| {
                aws.rotation_attempts = 1;
                aws.describe_tags_lag = Duration::from_secs(tags);
                aws.pending_read_lag = Duration::from_secs(5);
            });
            stage.cloud.run_rotations().await;
            assert_eq!(stage.secret("ci-bot").last_rotation, Some(Ok(())), "{tags}");
            assert_eq!(stage.tag("ci-bot", "previous-key"), Some(second.access_key_id), "{tags}");
            assert_eq!(stage.tag("ci-bot", "intent"), None, "{tags}");
        }
    });
}

/// Secrets Manager takes AWSPENDING off the tested version when somebody puts a value by hand. The version still proves
/// whose the announced key is.
#[test]
fn on_aws_b8_the_key_of_an_abandoned_rotation_is_the_orphan() {
    rehearse(async {
        let rotation = Rotation::first("ci-bot").await;
        rotation.steps(&["createSecret", "setSecret", "testSecret"]).await;
        let (stage, made) = (&rotation.stage, rotation.new_key());
        let old = stage.user("ci-bot").keys[0].id.clone();
        let value = serde_json::json!({"AccessKeyId": old, "SecretAccessKey": "x"}).to_string();
        let put = stage.operator().put_secret_value().secret_id(&rotation.secret).secret_string(value);
        put.send().await.expect("put");
        assert!(stage.secret("ci-bot").version_with("AWSPENDING").is_none(), "abandoned");
        stage.pass_days(1).await;
        stage.live_days(2).await;
        let keys: Vec<String> = stage.user("ci-bot").keys.into_iter().map(|key| key.id).collect();
        assert!(keys.contains(&old) && !keys.contains(&made) && keys.len() == 2, "{keys:?}");
        assert_eq!((stage.current_key("ci-bot"), stage.count("CreateAccessKey")), (keys[1].clone(), 2));
    });
}
