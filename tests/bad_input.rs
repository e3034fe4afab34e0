//! Invalid input: events, names, templates, settings. Each is refused with an error that names it, and nothing changes.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use keywheel::error::Error;
use keywheel::notify::Templates;
use keywheel::rehearsal::PRIMARY_ACCOUNT;
use keywheel::settings::{Function, Settings};
use serde_json::{Value, json};

use crate::harness::{MEMBER, TestStack, rehearse};

/// One character longer than a tag key may be.
const LONG: &str = "ooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooo";
const TOKEN: &str = "7c3e1a52-0c1d-4e0f-9a57-1c2f3d4e5f60";

async fn step(stage: &TestStack, event: Value) -> Error {
    let deadline = stage.now() + TimeDelta::minutes(2);
    stage.keywheel.rotate_step(event, deadline).await.expect_err("refused")
}

/// Returns a stage with one managed user, and the ARN of that user's secret.
async fn managed() -> (TestStack, String) {
    let stage = TestStack::new();
    stage.add_user("ci-bot", &[10]);
    stage.sweep_well().await;
    stage.cloud.run_rotations().await;
    let arn = stage.secret("ci-bot").arn;
    (stage, arn)
}

#[test]
fn upstream_defect_39_events_of_no_rotation_are_refused() {
    rehearse(async {
        let (stage, arn) = managed().await;
        let before = stage.snapshot();
        let foreign = arn.replace("Account_111122223333_User_ci-bot_AccessKey", "prod/database");
        let cases = [
            (json!(null), "object"),
            (json!("createSecret"), "object"),
            (json!({"Step": "createSecret"}), "SecretId"),
            (json!({"Step": "createSecret", "SecretId": arn}), "ClientRequestToken"),
            (json!({"Step": "destroySecret", "SecretId": arn, "ClientRequestToken": TOKEN}), "destroySecret"),
            (json!({"Step": "createSecret", "SecretId": foreign, "ClientRequestToken": TOKEN}), "prod/database"),
            (json!({"Step": "createSecret", "SecretId": arn, "ClientRequestToken": "?"}), "ClientRequestToken"),
        ];
        stage.cloud.forget_calls();
        for (event, named) in cases {
            let error = step(&stage, event).await;
            assert_eq!(error.name(), "InvalidEvent", "{error}");
            assert!(error.to_string().contains(named), "{named}: {error}");
        }
        assert_eq!(stage.cloud.call_count(), 0, "refused before any call");
        assert_eq!(stage.snapshot(), before);
    });
}

#[test]
fn versions_and_secrets_that_must_not_rotate_are_refused() {
    rehearse(async {
        let (stage, arn) = managed().await;
        let before = stage.snapshot();
        let current = stage.secret("ci-bot").version_with("AWSCURRENT").expect("there").id.clone();
        let event =
            |arn: &str, token: &str| json!({"Step": "createSecret", "SecretId": arn, "ClientRequestToken": token});
        let error = step(&stage, event(&arn, TOKEN)).await;
        assert_eq!(error.name(), "NotStaged");
        assert!(error.to_string().contains(TOKEN), "{error}");
        let elsewhere = step(&stage, event(&arn.replace(PRIMARY_ACCOUNT, MEMBER), TOKEN)).await;
        assert_eq!(elsewhere.name(), "ForeignStore", "{elsewhere}");
        let gone = step(&stage, event(&arn.replace("ci-bot", "nobody"), TOKEN)).await;
        assert_eq!(gone.name(), "SecretGone", "{gone}");
        let done = stage.keywheel.rotate_step(event(&arn, &current), stage.now() + TimeDelta::minutes(2)).await;
        assert!(done.is_ok(), "the current version is done: {done:?}");
        assert_eq!(stage.snapshot(), before);
        stage.cancel_schedule("ci-bot").await;
        assert_eq!(step(&stage, event(&arn, TOKEN)).await.name(), "RotationDisabled");
        assert_eq!(stage.count("CreateAccessKey"), 0);
    });
}

#[test]
fn a_key_of_another_identity_never_becomes_current() {
    rehearse(async {
        let (stage, arn) = managed().await;
        let mallory = stage.add_user("mallory", &[1]).remove(0);
        let mut value: Value = stage.secret("ci-bot").json("AWSCURRENT").expect("a value");
        value["AccessKeyId"] = json!(mallory.access_key_id);
        value["SecretAccessKey"] = json!(mallory.secret);
        value["Status"] = json!("Active");
        let put = stage.operator().put_secret_value().secret_id(&arn).client_request_token(TOKEN);
        put.secret_string(value.to_string()).version_stages("AWSPENDING").send().await.expect("planted");
        let event = |step: &str| json!({"Step": step, "SecretId": arn, "ClientRequestToken": TOKEN});
        let error = step(&stage, event("testSecret")).await;
        assert_eq!(error.name(), "WrongIdentity");
        let text = error.to_string();
        assert!(text.contains("mallory") && text.contains("ci-bot") && !text.contains(&mallory.secret), "{text}");
        assert_eq!(step(&stage, event("setSecret")).await.name(), "PendingKeyUnusable");
        assert_ne!(stage.current_key("ci-bot"), mallory.access_key_id);
    });
}

#[test]
fn finish_without_a_pending_value_moves_nothing() {
    rehearse(async {
        let (stage, arn) = managed().await;
        let request = stage.operator().rotate_secret().secret_id(&arn).client_request_token(TOKEN);
        request.send().await.expect("started and not run");
        let current = stage.current_key("ci-bot");
        for name in ["setSecret", "testSecret", "finishSecret"] {
            let error = step(&stage, json!({"Step": name, "SecretId": arn, "ClientRequestToken": TOKEN})).await;
            assert_eq!(error.name(), "NoPendingValue", "{name}");
        }
        assert_eq!(stage.current_key("ci-bot"), current);
    });
}

#[test]
fn upstream_defect_39_events_of_no_sweep_are_refused() {
    rehearse(async {
        let (stage, _) = managed().await;
        let before = stage.snapshot();
        stage.cloud.forget_calls();
        for (event, named) in [
            (json!([]), "object"),
            (json!({"acount": MEMBER}), "acount"),
            (json!({"account": "prod"}), "12 digits"),
            (json!({"account": MEMBER, "email": "nobody"}), "email"),
            (json!({"account": MEMBER, "inventory": {}}), "inventory"),
            (json!({"inventory": {"limit": 0}}), "1 to 1000"),
            (json!({"dry_run": "yes"}), "dry_run must be true or false"),
            (json!({"account": 111_122_223_333_u64}), "account must be text"),
            (json!({"inventory": {"limit": "all"}}), "inventory.limit must be a number"),
            (json!({"ForceRotate": "ci-bot"}), "ForceRotate"),
            (json!({"detail-type": "EC2 Instance State-change Notification", "detail": {}}), "EC2"),
            (
                json!({"detail-type": "Secret Label Updated", "source": "aws.secretsmanager", "detail": {}}),
                "detail.name",
            ),
        ] {
            let error = stage.keywheel.sweep(event.clone()).await.expect_err("refused");
            assert_eq!(error.name(), "InvalidEvent", "{event}");
            assert!(error.to_string().contains(named), "{event}: {error}");
        }
        assert_eq!(stage.cloud.call_count(), 0);
        assert_eq!(stage.snapshot(), before);
    });
}

#[test]
fn events_about_the_secrets_of_others_are_left_alone() {
    rehearse(async {
        let (stage, _) = managed().await;
        stage.cloud.forget_calls();
        let detail = json!({"name": "prod/database", "labelUpdated": "AWSCURRENT", "versionId": TOKEN});
        let answer = stage
            .keywheel
            .sweep(json!({"detail-type": "Secret Label Updated", "source": "aws.secretsmanager", "detail": detail}))
            .await;
        assert_eq!(answer.expect("ignored")["users"], 0);
        assert_eq!(stage.cloud.call_count(), 0);
    });
}

fn settings(overrides: &[(&str, &str)]) -> Result<Settings, String> {
    let valid = [
        ("PRIMARY_ACCOUNT_ID", PRIMARY_ACCOUNT),
        ("ROTATION_FUNCTION_ARN", "arn:aws:lambda:us-east-1:999988887777:function:keywheel-rotation"),
    ];
    let given: BTreeMap<&str, &str> = valid.iter().chain(overrides).copied().collect();
    Settings::read(Function::Sweeper, |name| given.get(name).map(|value| (*value).to_owned()))
        .map_err(|error| error.to_string())
}

#[test]
fn each_setting_out_of_range_is_refused_with_its_limits() {
    assert!(settings(&[]).is_ok());
    for (variable, value, allowed) in [
        ("DRY_RUN_FLAG", "yes", "true or false"),
        ("PRIMARY_ACCOUNT_ID", "1234", "12 digits"),
        ("AWS_ORG_ID", "org-1", "o-"),
        ("SENDER_EMAIL", "keywheel", "local@domain.tld"),
        ("RECIPIENT_EMAIL", "a@b", "local@domain.tld"),
        ("ROTATION_PERIOD", "0", "1 to 1000"),
        ("ROTATION_PERIOD", "1001", "1 to 1000"),
        ("ROTATION_PERIOD", "ninety", "1 to 1000"),
        ("ROTATION_PERIOD", "7.5", "1 to 1000"),
        ("INSTALLATION_GRACE_PERIOD", "-1", "0 to 1000"),
        ("INSTALLATION_GRACE_PERIOD", "1001", "0 to 1000"),
        ("RECOVERY_GRACE_PERIOD", "-1", "0 to 1000"),
        ("RECOVERY_GRACE_PERIOD", "99999999999999999999", "0 to 1000"),
        ("PENDING_ACTION_WARN_PERIOD", "1001", ""),
        ("IAM_EXEMPTION_GROUP", "no/slash", ""),
        ("IAM_ASSUMED_ROLE_NAME", "a role", ""),
        ("EXECUTION_ROLE_NAME", "a role", ""),
        ("ROLE_SESSION_NAME", "x", ""),
        ("EMAIL_TEMPLATE_ENFORCE", "../../etc/passwd", ""),
        ("EMAIL_TEMPLATE_AUDIT", "/etc/passwd", ""),
        ("ROTATION_FUNCTION_ARN", "keywheel-rotation", "arn:<partition>:lambda"),
        ("SECRETS_KMS_KEY_ID", "my key", "KMS key"),
        ("RESOURCE_OWNER_TAG", LONG, "1 to 128 letters"),
        ("READER_GROUP", "no/slash", ""),
        ("MAX_CONCURRENCY", "0", "1 to 256"),
        ("MAX_CONCURRENCY", "257", "1 to 256"),
        ("ORG_LIST_ROLE_ARN", "role", "arn:<partition>:iam"),
    ] {
        let error = settings(&[(variable, value)]).expect_err(variable);
        assert!(error.contains("1 wrong setting"), "{error}");
        assert!(error.contains(variable) && error.contains(value) && error.contains(allowed), "{variable}: {error}");
    }
}

#[test]
fn upstream_defect_22_all_mistakes_are_reported_at_once() {
    let error = settings(&[("ROTATION_PERIOD", "0"), ("MAX_CONCURRENCY", "0"), ("DRY_RUN_FLAG", "?")]).expect_err("3");
    assert!(error.contains("3 wrong setting(s)"), "{error}");
    let defaults = settings(&[("SENDER_EMAIL", ""), ("READER_GROUP", " ")]).expect("empty is unset");
    assert!(defaults.dry_run, "the default changes nothing");
}

#[test]
fn upstream_defect_52_a_bad_template_is_found_at_start() {
    let with = settings(&[("EMAIL_TEMPLATE_ENFORCE", "ours.html")]).expect("valid");
    for (html, named) in [
        (None, "no such file"),
        (Some("<p>{ nothing_of_the_kind }</p>"), "nothing_of_the_kind"),
        (Some("{{ for row in rows }}{ row.secret_access_key }{{ endfor }}"), "secret_access_key"),
        (Some("{{ if subject }}"), "ours.html"),
    ] {
        let read = |name: &str| html.filter(|_| name == "ours.html").map(str::to_owned);
        let error = Templates::load(&with, read).expect_err("refused").to_string();
        assert!(error.contains("ours.html") && error.contains(named), "{error}");
    }
}
