//! The event of Secrets Manager → [`RotationEvent`]. Pure.

use std::fmt;

use serde_json::Value;
use zeroize::{Zeroize as _, ZeroizeOnDrop, Zeroizing};

use crate::error::Error;
use crate::keys::{InvalidName, SecretArn, VersionId};
use crate::redact;
use crate::state::Step;

/// The token that lets the function put a value through an assumed role. As sensitive as a key: never printed, wiped on
/// drop.
#[derive(Clone, PartialEq, Eq)]
pub struct RotationToken(Zeroizing<String>);

impl RotationToken {
    /// Returns the token, for PutSecretValue only.
    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

/// [`Zeroizing`] wipes the token.
impl ZeroizeOnDrop for RotationToken {}

impl fmt::Debug for RotationToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RotationToken(redacted)")
    }
}

/// One invocation of the rotation function by Secrets Manager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RotationEvent {
    /// `Step`, as the service spells it, such as `createSecret`. An unknown step is an error.
    pub step: Step,
    /// `SecretId`. The secret's name says whose key it holds.
    pub secret: SecretArn,
    /// `ClientRequestToken`: the version that is being rotated.
    pub version: VersionId,
    /// `RotationToken`: present if PutSecretValue has to send it back.
    pub rotation_token: Option<RotationToken>,
}

/// [`RotationToken`], the only secret in it, wipes itself.
impl ZeroizeOnDrop for RotationEvent {}

impl RotationEvent {
    /// Reads an event. The rotation token is moved out of it without a copy, and every other text is wiped.
    ///
    /// Unknown fields are ignored: `RotationToken` was added to this event years after the other three fields, and a
    /// function that refused it would have stopped every rotation on that day.
    ///
    /// # Errors
    /// [`Error::InvalidEvent`], which names the field and never repeats the rotation token.
    pub fn read(mut event: Value) -> Result<Self, Error> {
        let read = Self::take(&mut event);
        wipe(&mut event);
        // The error shows the value of a wrong field, which may be a misplaced token.
        read.map_err(|why| Error::InvalidEvent(redact::secret_like(&why)))
    }

    fn take(event: &mut Value) -> Result<Self, String> {
        if let Some(mistake) = shape_mistake(event) {
            return Err(mistake);
        }
        let rotation_token = match event["RotationToken"].take() {
            Value::String(token) => Some(RotationToken(Zeroizing::new(token))),
            _ => None,
        };
        let mut text = |field: &str| match event[field].take() {
            Value::String(text) => text,
            _ => String::new(),
        };
        let name = text("Step");
        let Some(step) = Step::read(&name) else {
            let steps = "createSecret, setSecret, testSecret and finishSecret";
            let name: String = name.chars().take(200).collect();
            return Err(format!("Step is `{name}`; the steps are {steps}"));
        };
        let invalid = |field: &str, why: InvalidName| format!("{field}: {why}");
        Ok(Self {
            step,
            secret: text("SecretId").parse().map_err(|why| invalid("SecretId", why))?,
            version: text("ClientRequestToken").parse().map_err(|why| invalid("ClientRequestToken", why))?,
            rotation_token,
        })
    }
}

/// Wipes every text in a JSON value.
fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(items) => items.iter_mut().for_each(wipe),
        Value::Object(members) => members.values_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn shape_mistake(event: &Value) -> Option<String> {
    if !event.is_object() {
        return Some("it is not an object".to_owned());
    }
    let wrong: Vec<&str> = ["Step", "SecretId", "ClientRequestToken"]
        .into_iter()
        .filter(|field| !event[*field].is_string())
        .chain((!matches!(event["RotationToken"], Value::Null | Value::String(_))).then_some("RotationToken"))
        .collect();
    let mistake =
        || format!("{} must be text; this function is called by Secrets Manager, not by hand", wrong.join(", "));
    (!wrong.is_empty()).then(mistake)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const ARN: &str =
        "arn:aws:secretsmanager:us-east-1:999988887777:secret:Account_111122223333_User_ci-bot_AccessKey-a1B2c3";
    const TOKEN: &str = "7c3e1a52-0c1d-4e0f-9a57-1c2f3d4e5f60";

    #[test]
    fn a_real_event_is_read() {
        let event = json!({"Step": "testSecret", "SecretId": ARN, "ClientRequestToken": TOKEN,
            "RotationToken": "a-token-of-the-service-that-is-sensitive"});
        let event = RotationEvent::read(event).unwrap();
        assert_eq!(event.step, Step::TestSecret);
        assert_eq!(event.secret.name().user().name.as_str(), "ci-bot");
        assert_eq!(event.version.as_str(), TOKEN);
        assert!(!format!("{event:?}").contains("sensitive"), "{event:?}");
    }

    #[test]
    fn upstream_defect_39_malformed_events_are_refused_in_words() {
        let cases = [
            (json!(null), "not an object"),
            (json!({}), "Step, SecretId, ClientRequestToken"),
            (json!({"Step": "createSecret", "SecretId": ARN}), "ClientRequestToken"),
            (json!({"Step": "rotate", "SecretId": ARN, "ClientRequestToken": TOKEN}), "`rotate`"),
            (json!({"Step": "CreateSecret", "SecretId": ARN, "ClientRequestToken": TOKEN}), "`CreateSecret`"),
            (json!({"Step": "setSecret", "SecretId": "prod/db", "ClientRequestToken": TOKEN}), "SecretId"),
            (json!({"Step": "setSecret", "SecretId": ARN, "ClientRequestToken": "short"}), "ClientRequestToken"),
        ];
        for (event, named) in cases {
            let error = RotationEvent::read(event).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
    }

    #[test]
    fn a_sensitive_field_of_the_wrong_type_is_not_repeated() {
        let event =
            json!({"Step": "setSecret", "SecretId": ARN, "ClientRequestToken": TOKEN, "RotationToken": ["sensitive"]});
        let error = RotationEvent::read(event).unwrap_err().to_string();
        assert!(error.contains("RotationToken") && !error.contains("sensitive"), "{error}");
    }

    #[test]
    fn every_text_of_an_event_is_wiped() {
        let mut event = json!({"RotationToken": ["sensitive"], "Other": {"deep": "sensitive"}, "n": 1});
        wipe(&mut event);
        assert_eq!(event, json!({"RotationToken": [""], "Other": {"deep": ""}, "n": 1}));
    }

    fn any_value() -> impl Strategy<Value = Value> {
        prop_oneof![
            3 => any::<String>().prop_map(Value::from),
            1 => any::<u64>().prop_map(Value::from),
            1 => any::<bool>().prop_map(Value::from),
            1 => Just(Value::Null),
            1 => any::<String>().prop_map(|text| json!([text])),
            1 => any::<String>().prop_map(|text| json!({ "Step": text })),
            1 => Just(json!("x".repeat(300_000))),
            1 => prop::sample::select(vec![json!(ARN), json!(TOKEN), json!("createSecret"), json!("createsecret"), json!("")]),
        ]
    }

    proptest! {
        #[test]
        fn a_valid_event_is_read_with_all_its_fields(
            step in prop::sample::select(vec![("createSecret", Step::CreateSecret), ("setSecret", Step::SetSecret),
                ("testSecret", Step::TestSecret), ("finishSecret", Step::FinishSecret)]),
            version in "[A-Za-z0-9-]{32,64}", token in prop::option::of("[A-Za-z0-9-]{36,256}"), added in "[a-z]{1,9}", value in any_value(),
        ) {
            let mut event = json!({"Step": step.0, "SecretId": ARN, "ClientRequestToken": version});
            if let Some(token) = &token {
                event["RotationToken"] = json!(token);
            }
            event[added] = value;
            let read = RotationEvent::read(event).unwrap();
            prop_assert_eq!((read.step, read.secret.as_str(), read.version.as_str()), (step.1, ARN, version.as_str()));
            prop_assert_eq!(read.rotation_token.as_ref().map(RotationToken::expose), token.as_deref());
        }

        #[test]
        fn a_changed_field_is_refused_by_name_or_read_unchanged(
            field in prop::sample::select(vec!["Step", "SecretId", "ClientRequestToken", "RotationToken"]),
            value in prop::option::of(any_value()),
        ) {
            let mut event = json!({"Step": "setSecret", "SecretId": ARN, "ClientRequestToken": TOKEN, "RotationToken": "t".repeat(40)});
            match &value {
                Some(value) => event[field] = value.clone(),
                None => drop(event.as_object_mut().unwrap().remove(field)),
            }
            match RotationEvent::read(event.clone()) {
                Ok(read) => {
                    let step = format!("{:?}", read.step);
                    prop_assert_eq!(event["Step"].as_str().unwrap().to_lowercase(), step.to_lowercase());
                    prop_assert_eq!(&event["SecretId"], read.secret.as_str());
                    prop_assert_eq!(&event["ClientRequestToken"], read.version.as_str());
                    prop_assert_eq!(event["RotationToken"].as_str(), read.rotation_token.as_ref().map(RotationToken::expose));
                }
                Err(error) => {
                    let text = error.to_string();
                    prop_assert!(text.contains(field) && text.len() < 2000, "{}", text);
                }
            }
        }

        #[test]
        fn anything_else_is_refused(value in any_value()) {
            prop_assert!(RotationEvent::read(value).is_err());
        }
    }
}
