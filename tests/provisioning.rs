//! Provisioning of a user's secret, policy, schedule and group: completed after any interruption, repaired after drift.

use keywheel::model::{AccessKeyPair, Fault, FaultKind};
use keywheel::rehearsal::PRIMARY_ACCOUNT;
use serde_json::{Value, json};

use crate::harness::{MEMBER, TestStack, done, failures, refused, rehearse, secret_name};

const READERS: &str = "keywheel-secret-readers";

/// Reads the user's secret with the user's own key.
async fn read_own(stage: &TestStack, user: &str, key: &AccessKeyPair) -> Result<Value, String> {
    let client = aws_sdk_secretsmanager::Client::new(&stage.cloud.user_config(key));
    let answer = client.get_secret_value().secret_id(stage.secret(user).arn).send().await;
    let answer = answer.map_err(|error| format!("{:?}", error.into_service_error()))?;
    Ok(serde_json::from_str(answer.secret_string().unwrap_or_default()).expect("JSON"))
}

fn assert_whole(stage: &TestStack, user: &str, context: &str) {
    let secret = stage.find_secret(user).unwrap_or_else(|| panic!("{context}: no secret"));
    let arn = stage.user(user).arn;
    let policy = secret.policy.clone().unwrap_or_default();
    assert_eq!(policy.pointer("/Statement/0/Principal/AWS"), Some(&json!(arn)), "{context}");
    assert_eq!(policy.pointer("/Statement/0/Condition/ArnEquals/aws:PrincipalArn"), Some(&json!(arn)), "{context}");
    assert!(secret.rotation_enabled, "{context}");
    assert_eq!(secret.rotation_rules, Some(json!({"AutomaticallyAfterDays": 90})), "{context}");
    assert_eq!(secret.rotation_function, stage.keywheel.settings().rotation_function_arn, "{context}");
    assert_eq!(secret.kms_key_id, stage.keywheel.settings().kms_key, "{context}");
    assert!(stage.user(user).groups.contains(&READERS.to_owned()), "{context}");
    assert_eq!(secret.tags.get("keywheel:managed").map(String::as_str), Some("1"), "{context}");
}

#[test]
fn a_secret_is_made_with_everything_and_a_placeholder_in_it() {
    rehearse(async {
        let stage = TestStack::new();
        let key = stage.add_user("ci-bot", &[10]).remove(0);
        stage.live().await;
        assert_whole(&stage, "ci-bot", "after one sweep");
        let value = stage.secret("ci-bot").json("AWSCURRENT").expect("JSON");
        let created = (stage.now() - chrono::TimeDelta::days(10)).date_naive().to_string();
        assert_eq!(value["AccessKeyId"], json!(key.access_key_id));
        assert_eq!((value["UserName"].clone(), value["AccountId"].clone()), (json!("ci-bot"), json!(MEMBER)));
        assert_eq!((value["Version"].clone(), value["Status"].clone()), (json!(1), json!("AwaitingFirstRotation")));
        assert!(value["CreateDate"].as_str().is_some_and(|date| date.starts_with(&created)), "{value}");
        assert!(value.get("SecretAccessKey").is_none());
    });
}

/// Sweeps with a fault and then without it, and asserts that the user's secret is complete. Returns whether the fault
/// hit a call.
async fn interrupted(fault: Fault, key_age: i64) -> bool {
    let stage = TestStack::new();
    stage.add_user("ci-bot", &[key_age]);
    let context = format!("{fault:?}, key of {key_age} days");
    let fault = stage.cloud.faults().inject(fault);
    // Whether the sweep was stopped or a call was refused, a part is missing.
    let _ = stage.sweep_is_stopped().await;
    if fault.fired() > 0 {
        let answer = stage.live().await;
        assert_eq!(failures(&answer), "[]", "{context}");
        if key_age >= 90 && stage.user("ci-bot").keys.len() == 1 {
            stage.live().await;
        }
        assert_whole(&stage, "ci-bot", &context);
        assert_eq!(stage.user("ci-bot").keys.len(), if key_age >= 90 { 2 } else { 1 }, "{context}");
    }
    fault.fired() > 0
}

#[test]
fn upstream_defect_25_interrupted_provisioning_is_completed() {
    rehearse(async {
        for key_age in [10, 90] {
            let mut n = 1;
            while interrupted(Fault::on("*", "*", FaultKind::Stop).nth(n), key_age).await {
                n += 1;
            }
            assert!(n > 10, "a sweep has more calls than {n}");
        }
    });
}

#[test]
fn upstream_defect_25_failed_provisioning_is_completed() {
    rehearse(async {
        for kind in [refused("InvalidRequestException"), FaultKind::StopAfter] {
            for operation in ["CreateSecret", "PutResourcePolicy", "AddUserToGroup", "RotateSecret"] {
                for key_age in [10, 90] {
                    assert!(interrupted(Fault::on("*", operation, kind.clone()), key_age).await, "{operation}");
                }
            }
        }
    });
}

#[test]
fn upstream_defect_23_a_comma_in_the_name_is_written_reversibly() {
    rehearse(async {
        let stage = TestStack::new();
        stage.cloud.add_user(MEMBER, "smith,john+ci@example.com", "/");
        let created = stage.now() - chrono::TimeDelta::days(90);
        stage.cloud.add_access_key(MEMBER, "smith,john+ci@example.com", created);
        let answer = stage.live().await;
        assert_eq!(failures(&answer), "[]");
        let secrets = stage.cloud.secrets();
        assert_eq!(secrets.len(), 1);
        assert!(!secrets[0].name.contains(','), "{}", secrets[0].name);
        assert_eq!(secrets[0].last_rotation, Some(Ok(())));
        assert_eq!(secrets[0].json("AWSCURRENT").expect("JSON")["UserName"], "smith,john+ci@example.com");
        stage.live_days(22).await;
        assert_eq!(stage.user("smith,john+ci@example.com").keys.len(), 1, "the whole life");
    });
}

#[test]
fn a_user_with_a_path_reads_its_secret() {
    rehearse(async {
        let stage = TestStack::new();
        stage.cloud.add_user(MEMBER, "ci-bot", "/build/agents/");
        let key = stage.cloud.add_access_key(MEMBER, "ci-bot", stage.now() - chrono::TimeDelta::days(90));
        stage.live().await;
        assert_whole(&stage, "ci-bot", "with a path");
        let value = read_own(&stage, "ci-bot", &key).await.expect("read with the old key");
        assert_eq!(value["UserArn"], "arn:aws:iam::111122223333:user/build/agents/ci-bot");
    });
}

#[test]
fn upstream_defect_24_28_29_a_member_reads_its_own_secret_only() {
    rehearse(async {
        let stage = TestStack::new();
        let key = stage.add_user("ci-bot", &[90]).remove(0);
        let mallory = stage.add_user("mallory", &[90]).remove(0);
        stage.live().await;
        let secret = stage.secret("ci-bot");
        assert_eq!(secret.account, PRIMARY_ACCOUNT, "the central store");
        let value = read_own(&stage, "ci-bot", &key).await.expect("read with the old key");
        let new = AccessKeyPair::new(stage.current_key("ci-bot"), value["SecretAccessKey"].as_str().expect("a secret"));
        stage.pass_days(1).await;
        read_own(&stage, "ci-bot", &new).await.expect("read with the new key");
        let refused = read_own(&stage, "ci-bot", &mallory).await.expect_err("not hers");
        assert!(refused.contains("AccessDenied"), "{refused}");
    });
}

#[test]
fn upstream_defect_29_without_our_kms_key_no_secret_is_made() {
    rehearse(async {
        let stage = TestStack::with(&[("SECRETS_KMS_KEY_ID", "")]);
        stage.add_user("ci-bot", &[90]);
        stage.add_user_in(PRIMARY_ACCOUNT, "own", &[10]);
        let answer = stage.live().await;
        assert_eq!(stage.find_secret("ci-bot"), None);
        assert!(failures(&answer).contains("SECRETS_KMS_KEY_ID") && failures(&answer).contains("ci-bot"), "{answer}");
        assert!(stage.cloud.secret(&secret_name(PRIMARY_ACCOUNT, "own")).is_some(), "readable in its own account");
    });
}

/// Without `AWS_ORG_ID` the settings cannot know of other accounts.
#[test]
fn reported_c2_without_a_keys_arn_no_member_gets_a_secret() {
    rehearse(async {
        for key in ["7f1c2d3e-0000-4000-8000-000000000001", "alias/keywheel"] {
            let stage = TestStack::with(&[("SECRETS_KMS_KEY_ID", key), ("AWS_ORG_ID", "")]);
            stage.add_user("ci-bot", &[90]);
            stage.add_user_in(PRIMARY_ACCOUNT, "own", &[10]);
            let answer = stage.live().await;
            assert_eq!((stage.find_secret("ci-bot"), stage.user("ci-bot").keys.len()), (None, 1), "{key}");
            assert!(
                failures(&answer).contains("SECRETS_KMS_KEY_ID") && failures(&answer).contains("ci-bot"),
                "{answer}"
            );
            assert!(stage.cloud.secret(&secret_name(PRIMARY_ACCOUNT, "own")).is_some(), "readable in its own account");
        }
    });
}

#[test]
fn reported_c2_an_adopted_secret_is_put_under_the_keys_arn() {
    rehearse(async {
        let stage = TestStack::new();
        let key = stage.add_user("ci-bot", &[30]).remove(0);
        stage.sweep_well().await;
        let arn = stage.secret("ci-bot").arn;
        let id = "7f1c2d3e-0000-4000-8000-000000000001";
        stage.operator().update_secret().secret_id(&arn).kms_key_id(id).send().await.expect("changed");
        let refused = read_own(&stage, "ci-bot", &key).await.expect_err("the id of a key of another account");
        assert!(refused.contains("KMS"), "{refused}");
        stage.sweep_well().await;
        assert_eq!(stage.secret("ci-bot").kms_key_id, stage.keywheel.settings().kms_key);
        read_own(&stage, "ci-bot", &key).await.expect("readable");
    });
}

#[test]
fn upstream_defect_29_an_unreadable_secret_is_not_rotated() {
    rehearse(async {
        let stage = TestStack::with(&[("SECRETS_KMS_KEY_ID", "")]);
        let key = stage.add_user("ci-bot", &[90]).remove(0);
        let value = json!({"AccessKeyId": key.access_key_id, "SecretAccessKey": key.secret}).to_string();
        stage.cloud.put_secret(PRIMARY_ACCOUNT, &secret_name(MEMBER, "ci-bot"), &value, stage.now());
        stage.live_days(12).await;
        let answer = stage.live().await;
        assert!(failures(&answer).contains("SECRETS_KMS_KEY_ID") && failures(&answer).contains("ci-bot"), "{answer}");
        assert_eq!(stage.status("ci-bot", &key), "Active", "the only key that the user can have");
        assert_eq!(stage.user("ci-bot").keys.len(), 1);
        assert_eq!(stage.cloud.mails(), [], "nothing is announced that does not come");
        let stage = TestStack {
            keywheel: stage.keywheel.redeployed(&[]).expect("settings that are right"),
            cloud: stage.cloud.clone(),
        };
        stage.live().await;
        assert_ne!(stage.current_key("ci-bot"), key.access_key_id, "rotated under the key of the settings");
        read_own(&stage, "ci-bot", &key).await.expect("readable");
    });
}

#[test]
fn upstream_defect_30_a_foreign_not_found_is_no_missing_secret() {
    rehearse(async {
        let stage = TestStack::new();
        let (old, new) = stage.add_rotated_user("ci-bot").await;
        stage.pass_days(1).await;
        stage.cloud.forget_calls();
        let fault = Fault::on("secretsmanager", "GetResourcePolicy", refused("ResourceNotFoundException")).every();
        stage.cloud.faults().inject(fault);
        let answer = stage.sweep().await;
        assert!(failures(&answer).contains("GetResourcePolicy"), "{answer}");
        assert_eq!(stage.count("CreateSecret") + stage.count("PutSecretValue"), 0);
        assert_eq!(stage.current_key("ci-bot"), new);
        assert_eq!(stage.status("ci-bot", &old), "Active");
    });
}

#[test]
fn upstream_defect_31_32_33_an_idle_sweep_writes_nothing() {
    rehearse(async {
        let stage = TestStack::new();
        stage.add_rotated_user("ci-bot").await;
        stage.sweep_well().await;
        let before = stage.snapshot();
        stage.cloud.forget_calls();
        for _ in 0..3 {
            let answer = stage.sweep_well().await;
            assert_eq!(answer["actions"], json!({}));
        }
        assert_eq!(stage.snapshot(), before);
        let reads = ["Get", "List", "Describe", "AssumeRole"];
        for call in stage.cloud.calls() {
            assert!(reads.iter().any(|read| call.operation.starts_with(read)), "{}", call.operation);
        }
    });
}

#[test]
fn upstream_defect_31_33_no_replica_or_inline_policy_is_made() {
    rehearse(async {
        let stage = TestStack::new();
        stage.add_rotated_user("ci-bot").await;
        stage.live_days(22).await;
        for operation in ["PutUserPolicy", "AttachUserPolicy", "ReplicateSecretToRegions"] {
            assert_eq!(stage.count(operation), 0, "{operation}");
        }
        assert_eq!(stage.count("PutResourcePolicy"), 1);
        assert_eq!(stage.count("AddUserToGroup"), 1);
    });
}

#[test]
fn every_drift_is_put_right_once() {
    rehearse(async {
        let stage = TestStack::new();
        stage.add_rotated_user("ci-bot").await;
        let operator = stage.operator();
        let arn = stage.secret("ci-bot").arn;
        let public = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*",
            "Action": "secretsmanager:GetSecretValue", "Resource": "*"}]});
        operator.put_resource_policy().secret_id(&arn).resource_policy(public.to_string()).send().await.expect("put");
        stage.cloud.remove_from_group(MEMBER, READERS, "ci-bot");
        let rules = aws_sdk_secretsmanager::types::RotationRulesType::builder().automatically_after_days(7).build();
        let changed = operator.rotate_secret().secret_id(&arn).rotation_rules(rules).rotate_immediately(false);
        changed.send().await.expect("changed");
        stage.cloud.run_rotations().await;
        let other = "arn:aws:kms:us-east-1:999988887777:key/00000000-0000-4000-8000-00000000000f";
        stage.cloud.add_kms_key(other);
        operator.update_secret().secret_id(&arn).kms_key_id(other).send().await.expect("changed");
        assert_eq!(done(&stage.live().await, "repair"), 4);
        assert_whole(&stage, "ci-bot", "repaired");
        assert_eq!(stage.live().await["actions"], json!({}), "and then left alone");
        stage.cancel_schedule("ci-bot").await;
        assert_eq!(done(&stage.live().await, "repair"), 1);
        assert_whole(&stage, "ci-bot", "switched on again");
    });
}

#[test]
fn a_user_created_again_reads_the_secret() {
    rehearse(async {
        let stage = TestStack::new();
        stage.add_rotated_user("ci-bot").await;
        stage.cloud.delete_user(MEMBER, "ci-bot");
        let key = stage.add_user("ci-bot", &[0]).remove(0);
        read_own(&stage, "ci-bot", &key).await.expect_err("the policy names the id of the deleted user");
        stage.live().await;
        assert_whole(&stage, "ci-bot", "for the new user");
        stage.pass_days(1).await;
        read_own(&stage, "ci-bot", &key).await.expect("the new user");
        stage.live_days(1).await;
        assert_eq!(stage.status("ci-bot", &key), "Active");
    });
}

#[test]
fn changed_settings_reach_the_secrets_that_are_there() {
    rehearse(async {
        let stage = TestStack::new();
        stage.add_user("ci-bot", &[10]);
        stage.live().await;
        let sooner = stage.keywheel.redeployed(&[("ROTATION_PERIOD", "30")]).expect("settings");
        let answer = sooner.sweep(json!({})).await.expect("an answer");
        assert_eq!(done(&answer, "repair"), 1);
        assert_eq!(stage.secret("ci-bot").rotation_rules, Some(json!({"AutomaticallyAfterDays": 30})));
    });
}

#[test]
fn on_aws_b8_a_policy_that_demands_tags_lets_secrets_pass() {
    rehearse(async {
        let stage = TestStack::new();
        stage.cloud.switch(|aws| aws.demanded_secret_tags = ["CostCenter".to_owned()].into());
        stage.add_user("ci-bot", &[10]);
        let answer = stage.live().await;
        assert!(failures(&answer).contains("not authorized to perform: secretsmanager:CreateSecret"), "{answer}");
        assert!(stage.find_secret("ci-bot").is_none());
        let tagged =
            stage.keywheel.redeployed(&[("SECRET_TAGS", "CostCenter=4711,Team=key people")]).expect("settings");
        let answer = tagged.sweep(json!({})).await.expect("an answer");
        assert_eq!((done(&answer, "provision"), &answer["failures"]), (1, &json!([])), "{answer}");
        let tags = stage.secret("ci-bot").tags;
        assert_eq!((tags["CostCenter"].as_str(), tags["Team"].as_str()), ("4711", "key people"));
    });
}

#[test]
fn on_aws_b8_secrets_that_are_there_get_the_tags_too() {
    rehearse(async {
        let stage = TestStack::new();
        stage.add_rotated_user("ci-bot").await;
        let operator = stage.operator();
        let own = aws_sdk_secretsmanager::types::Tag::builder().key("owner").value("kept").build();
        operator.tag_resource().secret_id(secret_name(MEMBER, "ci-bot")).tags(own).send().await.expect("tagged");
        let before = stage.secret("ci-bot").tags;
        let tagged = stage.keywheel.redeployed(&[("SECRET_TAGS", "CostCenter=4711")]).expect("settings");
        let plan = tagged.sweep(json!({"dry_run": true})).await.expect("an answer");
        assert!(plan["plan"].to_string().contains("set the tags of SECRET_TAGS"), "{plan}");
        assert_eq!(stage.secret("ci-bot").tags, before, "a dry run");
        for value in ["4711", "4712"] {
            let tagged =
                stage.keywheel.redeployed(&[("SECRET_TAGS", &format!("CostCenter={value}"))]).expect("settings");
            let answer = tagged.sweep(json!({})).await.expect("an answer");
            assert_eq!((done(&answer, "repair"), &answer["failures"]), (1, &json!([])), "{answer}");
            let mut tags = stage.secret("ci-bot").tags;
            assert_eq!(tags.remove("CostCenter").as_deref(), Some(value));
            assert_eq!(tags, before, "all other tags stay");
            let answer = tagged.sweep(json!({})).await.expect("an answer");
            assert_eq!(answer["actions"], json!({}), "once");
        }
    });
}

#[test]
fn on_aws_b8_a_full_secret_is_reported_and_still_rotated() {
    rehearse(async {
        let stage = TestStack::new();
        stage.add_user("ci-bot", &[80]);
        stage.live().await;
        let own = stage.secret("ci-bot").tags.len();
        for n in 0..50 - own {
            stage.tag_secret("ci-bot", &format!("t{n}"), "x").await;
        }
        let tagged = stage.keywheel.redeployed(&[("SECRET_TAGS", "CostCenter=4711")]).expect("settings");
        let answer = tagged.sweep(json!({})).await.expect("an answer");
        assert!(failures(&answer).contains("50 tags at most"), "{answer}");
        let names = (0..10).map(|n| format!("t{n}"));
        let room = stage.operator().untag_resource().secret_id(secret_name(MEMBER, "ci-bot"));
        room.set_tag_keys(Some(names.collect())).send().await.expect("untagged");
        let refuse = Fault::on("secretsmanager", "TagResource", refused("LimitExceededException"));
        stage.cloud.faults().inject(refuse.about("CostCenter").every());
        stage.pass_days(10).await;
        let answer = tagged.sweep(json!({})).await.expect("an answer");
        assert_eq!(done(&answer, "rotate"), 1, "a tag that is not keywheel's stops nothing: {answer}");
    });
}

#[test]
fn a_missing_reader_group_is_reported_and_stops_nothing() {
    rehearse(async {
        let stage = TestStack::new();
        stage.add_user("ci-bot", &[90]);
        stage.cloud.delete_group(MEMBER, READERS);
        let answer = stage.live().await;
        assert!(failures(&answer).contains(READERS), "{answer}");
        assert_eq!(stage.secret("ci-bot").last_rotation, Some(Ok(())));
    });
}

#[test]
fn a_secret_of_the_predecessor_is_adopted_and_rotated_when_due() {
    rehearse(async {
        let stage = TestStack::new();
        let key = stage.add_user("ci-bot", &[80]).remove(0);
        let value = json!({"AccessKeyId": key.access_key_id, "SecretAccessKey": key.secret}).to_string();
        stage.cloud.put_secret(PRIMARY_ACCOUNT, &secret_name(MEMBER, "ci-bot"), &value, stage.now());
        let answer = stage.live().await;
        assert_eq!(done(&answer, "adopt"), 1, "{answer:#}");
        assert_eq!(stage.current_key("ci-bot"), key.access_key_id, "its value stays");
        stage.live().await;
        assert_whole(&stage, "ci-bot", "adopted");
        stage.live_days(11).await;
        assert_ne!(stage.current_key("ci-bot"), key.access_key_id, "rotated");
        assert_eq!(stage.status("ci-bot", &key), "Active", "in its installation grace");
        stage.live_days(22).await;
        assert_eq!(stage.status("ci-bot", &key), "gone");
    });
}

#[test]
#[expect(clippy::print_stdout, reason = "the number is for whoever runs the tests with --nocapture")]
fn upstream_defect_59_an_idle_sweep_makes_few_calls_per_user() {
    rehearse(async {
        let stage = TestStack::new();
        for n in 0..25 {
            stage.add_user(&format!("user-{n:02}"), &[10]);
        }
        stage.live().await;
        stage.live().await;
        stage.cloud.forget_calls();
        let answer = stage.sweep_well().await;
        assert_eq!((answer["users"].clone(), answer["actions"].clone()), (json!(25), json!({})));
        let calls = stage.cloud.call_count();
        println!("an idle sweep of 25 users and 2 accounts made {calls} calls");
        // Two calls per user (keys, resource policy), and three for each account and for the list of accounts.
        assert!(calls <= 2 * 25 + 3 * 3, "{calls}");
    });
}

#[test]
fn on_aws_b9_a_fixed_bootstrap_profile_ends_on_day_100() {
    rehearse(async {
        let stage = TestStack::new();
        // A profile that reads the secret and never changes holds the key that is rotated away.
        let bootstrap = stage.add_user("ci-bot", &[90]).remove(0);
        stage.live().await;
        let value = read_own(&stage, "ci-bot", &bootstrap).await.expect("the old key reads the new one");
        assert_eq!(value["AccessKeyId"], stage.current_key("ci-bot"));
        assert_eq!(value.get("Expiration"), None, "so a running program never asks again");
        let renewed = stage.cloud.user_key(MEMBER, "ci-bot", &stage.current_key("ci-bot")).expect("the new key");
        // A day more than the grace, whatever the hour of the run.
        stage.live_days(11).await;
        read_own(&stage, "ci-bot", &bootstrap).await.expect_err("the profile is disabled with its key");
        read_own(&stage, "ci-bot", &renewed).await.expect("a profile that was renewed by hand");
    });
}
