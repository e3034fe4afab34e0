//! The rules that bring AWS's events to the sweeper, with the events that they let through; and the functions' code.

use keywheel::rehearsal::PRIMARY_ACCOUNT;
use serde_json::{Value, json};

use super::estate::Estate;

/// Whether EventBridge sends an event to a rule's targets.
///
/// <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html>
fn matches(pattern: &Value, event: &Value) -> bool {
    let fields = pattern.as_object().expect("a pattern is an object");
    fields.iter().all(|(name, wanted)| match wanted {
        Value::Array(ways) if name == "$or" => ways.iter().any(|way| matches(way, event)),
        Value::Array(values) => values.iter().any(|value| fits(value, &event[name])),
        nested => matches(nested, &event[name]),
    })
}

/// Whether a field has a value of the pattern. A list as a field is not supported.
fn fits(wanted: &Value, field: &Value) -> bool {
    assert!(!field.is_array(), "{field}");
    let Some((operator, operand)) = wanted.as_object().and_then(|it| it.iter().next()) else { return wanted == field };
    match operator.as_str() {
        "exists" => operand == &json!(!field.is_null()),
        "prefix" => field.as_str().is_some_and(|it| it.starts_with(operand.as_str().expect("a prefix"))),
        "anything-but" => !field.is_null() && !operand.as_array().expect("a list").contains(field),
        other => panic!("unknown operator {other}"),
    }
}

/// Returns the patterns of all rules, by name.
fn patterns() -> Vec<(String, Value)> {
    let rules = Estate::new().resources("AWS::Events::Rule").into_iter();
    rules.map(|(name, rule)| (name, rule["EventPattern"].clone())).collect()
}

fn fixture(name: &str) -> Value {
    let path = format!("{}/sam/events/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).expect(name)).expect(name)
}

/// Returns the rules that an event reaches.
fn reached(event: &Value) -> Vec<String> {
    patterns().into_iter().filter(|(_, pattern)| matches(pattern, event)).map(|(name, _)| name).collect()
}

#[test]
fn nobody_gains_3_rules_take_events_of_their_account_alone() {
    let fixtures = [
        ("secret-label-updated", "LabelUpdatedRule"),
        ("rotation-failed", "RotationFailedRule"),
        ("rotation-abandoned", "RotationFailedRule"),
        ("test-rotation-failed", "RotationFailedRule"),
        ("secret-changed", "SecretChangedRule"),
    ];
    for (name, rule) in fixtures {
        let event = fixture(name);
        assert_eq!(event["account"], PRIMARY_ACCOUNT, "{name}");
        assert_eq!(reached(&event), [rule], "{name}");
        for (field, other) in [("account", "111122223333"), ("source", "custom.secretsmanager")] {
            let mut forwarded = event.clone();
            forwarded[field] = json!(other);
            assert_eq!(reached(&forwarded), [""; 0], "{name}: {field}");
        }
    }
    for (name, pattern) in patterns() {
        assert_eq!(pattern["account"], json!([PRIMARY_ACCOUNT]), "{name}");
        assert_eq!(pattern["source"], json!(["aws.secretsmanager"]), "{name}");
    }
}

#[test]
fn nobody_gains_6_changes_by_others_reach_the_sweeper() {
    let changed = fixture("secret-changed");
    let with = |pointer: &str, value: Value| {
        let mut event = changed.clone();
        *event.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = value;
        reached(&event)
    };
    for call in ["PutResourcePolicy", "UpdateSecret", "TagResource", "UntagResource", "DeleteResourcePolicy"] {
        assert_eq!(with("/detail/eventName", json!(call)), ["SecretChangedRule"], "{call}");
    }
    for call in ["GetSecretValue", "DescribeSecret", "ListSecrets"] {
        assert_eq!(with("/detail/eventName", json!(call)), [""; 0], "{call}");
    }
    let by_user = json!({"type": "IAMUser", "arn": "arn:aws:iam::999988887777:user/mallory", "userName": "mallory"});
    let by_console_user = json!({"type": "IAMUser", "sessionContext": {"sessionIssuer": {}, "attributes": {}}});
    let by_root = json!({"type": "Root", "arn": "arn:aws:iam::999988887777:root", "accountId": PRIMARY_ACCOUNT});
    for identity in [by_user, by_console_user, by_root] {
        assert_eq!(with("/detail/userIdentity", identity.clone()), ["SecretChangedRule"], "{identity}");
    }
    let estate = Estate::new();
    for role in ["SweeperExecutionRole", "RotationExecutionRole"] {
        let issuer = json!(estate.execution_role(role));
        assert_eq!(with("/detail/userIdentity/sessionContext/sessionIssuer/arn", issuer), [""; 0], "{role}");
    }
}

#[test]
fn nobody_gains_8_both_functions_take_signed_code_if_asked() {
    let arn = "arn:aws:lambda:us-east-1:999988887777:code-signing-config:csc-0123456789abcdef0";
    for (given, wanted) in [(arn, json!(arn)), ("", Value::Null)] {
        let functions = Estate::with(&[("CodeSigningConfigArn", given)]).resources("AWS::Serverless::Function");
        let configured: Vec<&Value> = functions.iter().map(|(_, it)| &it["CodeSigningConfigArn"]).collect();
        assert_eq!(configured, [&wanted, &wanted]);
    }
}

#[test]
fn nobody_gains_6_the_secret_is_named_in_any_of_its_forms() {
    let named = |secret: &str| {
        let mut event = fixture("secret-changed");
        event["detail"]["requestParameters"]["secretId"] = json!(secret);
        !reached(&event).is_empty()
    };
    let name = "Account_111122223333_User_ci-bot_AccessKey";
    let arn = format!("arn:aws:secretsmanager:us-east-1:{PRIMARY_ACCOUNT}:secret:{name}");
    assert!(named(name) && named(&arn) && named(&format!("{arn}-a1b2c3")));
    assert!(!named("prod/database") && !named(&arn.replace("Account_", "prod/")));
    let mut refused = fixture("secret-changed");
    refused["detail"]["errorCode"] = json!("AccessDenied");
    assert_eq!(reached(&refused), [""; 0], "a call that was refused changed nothing");
}
