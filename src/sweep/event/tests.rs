//! Events as they are sent, and as nobody should send them.

use super::own::MAX_INVENTORY;
use super::request::EventOrigin;
use super::*;
use crate::keys::{AccountId, SecretName};
use crate::lifecycle::News;
use proptest::prelude::*;
use serde_json::json;

fn read(event: Value) -> Result<SweepEvent, String> {
    SweepEvent::read(event).map_err(|error| error.to_string())
}

fn request(event: Value) -> SweepRequest {
    read(event).unwrap().request
}

#[test]
fn own_events_are_read() {
    assert_eq!(read(json!({})).unwrap(), SweepEvent { request: SweepRequest::All, dry_run: false });
    assert!(read(json!({"dry_run": true})).unwrap().dry_run);
    let account: AccountId = "111122223333".parse().unwrap();
    assert_eq!(
        request(json!({"account": "111122223333", "name": "prod", "email": "a@b.co"})),
        SweepRequest::Account {
            account: account.clone(),
            name: Some("prod".to_owned()),
            email: "a@b.co".parse().ok(),
            defers_notices: false
        }
    );
    assert_eq!(
        request(json!({"account": "111122223333", "name": null, "email": null, "notices": "later"})),
        SweepRequest::Account { account, name: None, email: None, defers_notices: true }
    );
    assert_eq!(request(json!({"digest": {}})), SweepRequest::Digest { after: None });
    let after = "111122223333".parse().ok();
    assert_eq!(request(json!({"digest": {"after": "111122223333"}})), SweepRequest::Digest { after });
    assert!(read(json!({"digest": {}, "dry_run": true})).unwrap().dry_run);
    assert_eq!(
        request(json!({"inventory": {"next_token": null, "limit": 20}})),
        SweepRequest::Inventory { next_token: None, limit: 20 }
    );
}

#[test]
fn upstream_defect_39_malformed_events_are_refused_in_words() {
    for (event, named) in [
        (json!(null), "not an object"),
        (json!([]), "not an object"),
        (json!({"acount": "111122223333"}), "acount"),
        (json!({"account": "1111"}), "account"),
        (json!({"account": "111122223333", "email": "nobody"}), "email"),
        (json!({"name": "prod"}), "name"),
        (json!({"account": "111122223333", "inventory": {}}), "inventory"),
        (json!({"inventory": {"limit": 0}}), "limit"),
        (json!({"inventory": {"limit": 100_000}}), "limit"),
        (json!({"inventory": {"pages": 2}}), "pages"),
        (json!({"account": ""}), "account is empty"),
        (json!({"account": null, "name": null}), "account is empty"),
        (json!({"inventory": null}), "inventory is empty"),
        (json!({"inventory": ["AAAA", 20]}), "inventory must be an object"),
        (json!({"digest": null}), "digest is empty"),
        (json!({"digest": {"account": "111122223333"}}), "account"),
        (json!({"digest": {"after": "prod"}}), "digest.after"),
        (json!({"digest": {"after": 111_122_223_333_u64}}), "digest.after must be text"),
        (json!({"digest": {}, "account": "111122223333"}), "an account and for a digest"),
        (json!({"digest": {}, "inventory": {}}), "the inventory and for a digest"),
        (json!({"notices": "later"}), "notices belong to an account"),
        (json!({"digest": {}, "name": "prod"}), "it asks for a digest"),
        (json!({"account": "111122223333", "notices": "never"}), "notices must be"),
        (json!({"account": "111122223333", "notices": null}), "notices must be"),
        (json!({"dry_run": "yes"}), "dry_run must be"),
        (json!({"detail-type": "EC2 Instance State-change Notification"}), "EC2"),
        (json!({"detail-type": "Secret Label Updated", "source": "aws.secretsmanager", "detail": {}}), "detail.name"),
        (failed_rotation(|event| event["detail"]["additionalEventData"] = Value::Null), "SecretId"),
    ] {
        let error = read(event).unwrap_err();
        assert!(error.contains(named), "{named}: {error}");
    }
}

#[test]
fn events_of_secrets_are_read_and_others_are_ignored() {
    let label = |name: &str, label: &str| {
        json!({"detail-type": "Secret Label Updated", "source": "aws.secretsmanager",
            "account": "999988887777", "region": "us-east-1", "detail": {"name": name, "labelUpdated": label, "versionId": "a1b2c3d4-5678-90ab-cdef-EXAMPLE11111"}})
    };
    let ours = "Account_111122223333_User_bot_AccessKey";
    let secret: SecretName = ours.parse().unwrap();
    assert_eq!(
        request(label(ours, "AWSCURRENT")),
        SweepRequest::Notify {
            secret: secret.clone(),
            news: News::LabelMoved,
            origin: EventOrigin {
                accounts: ["999988887777".to_owned()].into(),
                regions: ["us-east-1".to_owned()].into()
            }
        }
    );
    assert_eq!(request(label(ours, "my-label")), SweepRequest::Ignore);
    assert_eq!(request(label("prod/database", "AWSCURRENT")), SweepRequest::Ignore);
    let failed = |name: &str| failed_rotation(|event| event["detail"]["eventName"] = json!(name));
    for (event, told) in [
        ("RotationFailed", News::RotationFailed),
        ("RotationAbandoned", News::RotationAbandoned),
        ("TestRotationFailed", News::TestFailed),
    ] {
        let SweepRequest::Notify { secret: of, news, .. } = request(failed(event)) else { panic!("{event}") };
        assert_eq!((of, news), (secret.clone(), told));
    }
    assert_eq!(request(failed("RotationSucceeded")), SweepRequest::Ignore);
}

#[test]
fn on_aws_b1_an_event_is_of_the_account_and_region_it_names() {
    let event = |account: &str, recipient: &str, of: &str, region: &str| {
        let arn =
            format!("arn:aws:secretsmanager:us-east-1:{of}:secret:Account_111122223333_User_bot_AccessKey-a1b2c3");
        json!({"detail-type": "AWS Service Event via CloudTrail", "source": "aws.secretsmanager",
            "account": account, "region": region, "detail": {"eventName": "RotationFailed", "recipientAccountId": recipient, "errorMessage": "words of others",
                "additionalEventData": {"SecretId": arn}}})
    };
    let (ours, other): (AccountId, AccountId) = ("999988887777".parse().unwrap(), "444455556666".parse().unwrap());
    for (account, recipient, of, region, is_ours) in [
        (&ours, &ours, &ours, "us-east-1", true),
        (&other, &ours, &ours, "us-east-1", false),
        (&ours, &other, &ours, "us-east-1", false),
        (&ours, &ours, &other, "us-east-1", false),
        (&ours, &ours, &ours, "eu-west-1", false),
    ] {
        let read = request(event(account.as_str(), recipient.as_str(), of.as_str(), region));
        assert!(!format!("{read:?}").contains("words of others"), "{read:?}");
        let SweepRequest::Notify { origin, .. } = read else { panic!("{read:?}") };
        assert_eq!(origin.is(&ours, "us-east-1"), is_ours, "{origin:?}");
    }
}

/// An event of a failed rotation as Secrets Manager and EventBridge send it, after a change.
fn failed_rotation(change: impl Fn(&mut Value)) -> Value {
    let mut event = json!({
        "source": "aws.secretsmanager", "detail-type": "AWS Service Event via CloudTrail",
        "account": "999988887777", "region": "us-east-1",
        "detail": {"eventSource": "secretsmanager.amazonaws.com", "eventName": "RotationFailed",
            "recipientAccountId": "999988887777", "awsRegion": "us-east-1", "errorMessage": "see https://evil.example.com",
            "additionalEventData": {"SecretId": ARN}}});
    change(&mut event);
    event
}

const ARN: &str = "arn:aws:secretsmanager:us-east-1:999988887777:secret:Account_111122223333_User_bot_AccessKey-a1b2c3";

/// Whether the event is about a secret of the store.
fn is_of_store(event: Value) -> bool {
    let SweepRequest::Notify { origin, .. } = request(event) else { return false };
    origin.is(&"999988887777".parse().unwrap(), "us-east-1")
}

#[test]
fn nobody_gains_3_every_field_of_an_event_is_the_stores() {
    assert!(is_of_store(failed_rotation(|_| ())));
    let foreign_arn = json!(ARN.replace("999988887777", "444455556666"));
    for (path, value) in [
        ("/account", json!("444455556666")),
        ("/region", json!("eu-west-1")),
        ("/detail/recipientAccountId", json!("444455556666")),
        ("/detail/awsRegion", json!("eu-west-1")),
        ("/detail/additionalEventData/SecretId", foreign_arn),
        ("/detail/additionalEventData/SecretId", json!(ARN.replace("us-east-1", "eu-west-1"))),
    ] {
        let event = failed_rotation(|event| *event.pointer_mut(path).unwrap() = value.clone());
        assert!(!is_of_store(event), "{path} is {value}");
    }
    let moved = |resources: Value| {
        json!({"source": "aws.secretsmanager", "detail-type": "Secret Label Updated", "account": "999988887777",
            "region": "us-east-1", "resources": resources,
            "detail": {"name": "Account_111122223333_User_bot_AccessKey", "labelUpdated": "AWSCURRENT", "versionId": "x"}})
    };
    assert!(is_of_store(moved(json!([ARN]))) && is_of_store(moved(json!([]))));
    assert!(!is_of_store(moved(json!([ARN.replace("999988887777", "444455556666")]))));
    assert!(!is_of_store(moved(json!([ARN.replace("_bot_", "_other_")]))), "the ARN of another secret");
}

#[test]
fn nobody_gains_3_an_event_without_its_origin_is_refused() {
    for (path, value, named) in [
        ("/source", json!("my.own"), "source is `my.own`; it must be `aws.secretsmanager`"),
        ("/source", Value::Null, "source is ``"),
        ("/account", Value::Null, "account must be text"),
        ("/region", Value::Null, "region must be text"),
        ("/detail-type", json!("RotationFailed"), "detail-type is `RotationFailed`"),
    ] {
        let event = failed_rotation(|event| *event.pointer_mut(path).unwrap() = value.clone());
        let error = read(event).unwrap_err();
        assert!(error.contains(named), "{path}: {error}");
    }
    let scheduled = |source: &str| json!({"source": source, "detail-type": "Scheduled Event", "detail": {}});
    assert_eq!(request(scheduled("aws.events")), SweepRequest::All);
    assert_eq!(request(scheduled("aws.scheduler")), SweepRequest::All);
    assert!(read(scheduled("my.own")).unwrap_err().contains("source is `my.own`"));
}

/// A field that is missing or has any value.
fn any_field() -> impl Strategy<Value = Option<Value>> {
    let text = prop_oneof![
        prop::sample::select(vec![
            "",
            "111122223333",
            "prod",
            "a@b.co",
            "AWSCURRENT",
            "RotationFailed",
            "Scheduled Event",
            "Secret Label Updated",
            "AWS Service Event via CloudTrail",
            "Account_111122223333_User_bot_AccessKey",
            "arn:aws:secretsmanager:us-east-1:999988887777:secret:Account_111122223333_User_bot_AccessKey-a1b2c3"
        ])
        .prop_map(str::to_owned),
        any::<String>(),
        (1usize..3).prop_map(|n| "x".repeat(n * 100_000)),
    ];
    let leaf = prop_oneof![
        4 => text.prop_map(Value::from),
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => (0..1200u64).prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
    ];
    let names = prop::sample::select(vec![
        "name",
        "labelUpdated",
        "eventName",
        "additionalEventData",
        "SecretId",
        "errorMessage",
        "after",
        "next_token",
        "limit",
        "Limit",
    ]);
    let value = leaf.prop_recursive(3, 12, 4, move |inner| {
        let object = prop::collection::btree_map(names.clone().prop_map(str::to_owned), inner.clone(), 0..4);
        prop_oneof![object.prop_map(|members| json!(members)), prop::collection::vec(inner, 0..3).prop_map(Value::from)]
    });
    prop::option::of(value)
}

fn event_of(fields: &[(&str, Option<Value>)]) -> Value {
    let members = fields.iter().filter_map(|(name, value)| Some(((*name).to_owned(), value.clone()?)));
    Value::Object(members.collect())
}

/// The text of a field, unless it is empty.
fn text(event: &Value, name: &str) -> Option<String> {
    event[name].as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

proptest! {
    #[test]
    fn an_own_event_is_read_with_all_its_fields_or_refused(
        account in any_field(), name in any_field(), email in any_field(), inventory in any_field(), dry_run in any_field(),
        notices in prop_oneof![any_field(), Just(Some(json!("later"))), Just(Some(json!("now")))],
        digest in prop_oneof![4 => Just(None), 1 => any_field(), 1 => Just(Some(json!({}))), 1 => Just(Some(json!({"after": "111122223333"})))],
        other in prop::option::weighted(0.1, ("[A-Za-z_]{1,9}", any_field())),
    ) {
        let mut event = event_of(&[("account", account), ("name", name), ("email", email), ("inventory", inventory),
            ("dry_run", dry_run), ("notices", notices), ("digest", digest)]);
        if let Some((name, value)) = other {
            event[name] = value.unwrap_or_default();
        }
        let Ok(SweepEvent { request, dry_run }) = read(event.clone()) else { return Ok(()) };
        prop_assert!(event["dry_run"] == dry_run || event.get("dry_run").is_none() && !dry_run);
        let known = |name: &String| ["account", "name", "email", "notices", "inventory", "digest", "dry_run"].contains(&name.as_str());
        prop_assert!(event.as_object().unwrap().keys().all(known));
        match request {
            SweepRequest::All => {
                let says_nothing = |name: &&str| event.get(name).is_none() || event[*name].is_null();
                prop_assert!(["name", "email"].iter().all(says_nothing));
                prop_assert!(["account", "inventory", "notices", "digest"].iter().all(|name| event.get(name).is_none()));
            }
            SweepRequest::Digest { after } => {
                prop_assert!(event["digest"].is_object() && event.get("account").is_none());
                prop_assert_eq!(after.map(|after| after.to_string()), text(&event["digest"], "after"));
            }
            SweepRequest::Account { account, name, email, defers_notices } => {
                prop_assert_eq!(defers_notices, event["notices"] == "later");
                prop_assert_eq!(Some(account.to_string()), text(&event, "account"));
                prop_assert_eq!(name, text(&event, "name"));
                prop_assert_eq!(email.map(String::from), text(&event, "email"));
            }
            SweepRequest::Inventory { next_token, limit } => {
                prop_assert_eq!(next_token, text(&event["inventory"], "next_token"));
                let asked = &event["inventory"]["limit"];
                prop_assert!(*asked == limit || asked.is_null() && limit == MAX_INVENTORY);
            }
            SweepRequest::Notify { .. } | SweepRequest::Ignore => prop_assert!(false, "{event} is no event of a secret"),
        }
    }

    #[test]
    fn an_aws_event_is_about_the_secret_that_it_names_or_nothing(
        kind in any_field(), detail in any_field(), dry_run in prop::option::of(any::<bool>()),
    ) {
        let mut event = event_of(&[("detail-type", kind), ("detail", detail), ("dry_run", dry_run.map(Value::from))]);
        event["source"] = json!("aws.secretsmanager");
        event["account"] = json!("999988887777");
        event["region"] = json!("us-east-1");
        if event.get("detail-type").is_none() {
            event["detail-type"] = json!("Secret Label Updated");
        }
        if let Ok(SweepEvent { request: SweepRequest::Notify { secret, .. }, .. }) = read(event.clone()) {
            prop_assert!(event["detail"].to_string().contains(&secret.to_string()));
        }
    }
}
