//! The value of a secret: one user's key, in a form that tools read as it is. Pure.
//!
//! `Version: 1` makes it valid output of a `credential_process`
//! (<https://docs.aws.amazon.com/sdkref/latest/guide/feature-process-credentials.html>). The predecessor's formats are
//! recognised, so that its secrets can be adopted.
//!
//! ```
//! use keywheel::keys::SecretKey;
//! use keywheel::value::{KeyIdentity, StoredKey, StoredValue};
//!
//! let identity = KeyIdentity {
//!     id: "AKIAIOSFODNN7EXAMPLE".parse()?,
//!     arn: "arn:aws:iam::111122223333:user/ci/ci-bot".parse()?,
//!     created: "2026-11-22T09:00:00Z".parse()?,
//! };
//! let key = StoredKey { identity, secret: SecretKey::new("not+a/real=secret".to_owned()) };
//! let json = key.to_json();
//! assert!(json.contains(r#""AccessKeyId":"AKIAIOSFODNN7EXAMPLE","SecretAccessKey":"not+a/real=secret""#));
//! assert_eq!(StoredValue::read(&json)?, StoredValue::Key(key));
//!
//! // A damaged value is refused, and the error repeats nothing of it.
//! let error = StoredValue::read(&json.replace(":user/", ":role/")).unwrap_err();
//! assert_eq!(error.to_string(), "its field UserArn is not what keywheel writes");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod object;

use std::collections::BTreeSet;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use zeroize::{ZeroizeOnDrop, Zeroizing};

use crate::keys::{AccessKeyId, SecretKey, UserArn};
use object::WipedObject;

/// The version of the `credential_process` format.
const VERSION: u64 = 1;
const SECRET: &str = "SecretAccessKey";
const ACTIVE: &str = "Active";
const AWAITING: &str = "AwaitingFirstRotation";

/// The value of a secret, by its writer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoredValue {
    /// A key that keywheel created.
    Key(StoredKey),
    /// The value before the first rotation. It names the user's key without the secret half, which IAM never shows
    /// again.
    Placeholder(KeyIdentity),
    /// The value of another tool, such as the predecessor, that names this key.
    Foreign(AccessKeyId),
}

/// An access key with both halves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredKey {
    /// The public half: the key's id, its user and its creation date.
    pub identity: KeyIdentity,
    /// The secret half, which is wiped on drop.
    pub secret: SecretKey,
}

/// [`SecretKey`], the only secret in it, wipes itself.
impl ZeroizeOnDrop for StoredKey {}

/// The public half of an access key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyIdentity {
    /// `AKIA…`
    pub id: AccessKeyId,
    /// The user that the key belongs to.
    pub arn: UserArn,
    /// The creation date by IAM's clock, in whole seconds.
    pub created: DateTime<Utc>,
}

/// Why a value cannot be read. The text repeats nothing of the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnreadableValue(String);

/// The fields in the order of the text. It borrows, so that the secret is in one place until the text is made.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Document<'a> {
    version: u64,
    access_key_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret_access_key: Option<&'a str>,
    user_name: &'a str,
    account_id: &'a str,
    user_arn: &'a str,
    create_date: &'a str,
    status: &'static str,
}

impl StoredValue {
    /// Returns the key that the value names.
    pub fn key_id(&self) -> &AccessKeyId {
        match self {
            Self::Key(key) => &key.identity.id,
            Self::Placeholder(identity) => &identity.id,
            Self::Foreign(id) => id,
        }
    }

    /// Whether the value names a key without holding its secret half.
    pub fn is_placeholder(&self) -> bool {
        matches!(self, Self::Placeholder(_))
    }

    /// Returns the user of the key. The value of another tool does not say it.
    pub fn arn(&self) -> Option<&UserArn> {
        match self {
            Self::Key(key) => Some(&key.identity.arn),
            Self::Placeholder(identity) => Some(&identity.arn),
            Self::Foreign(_) => None,
        }
    }

    /// Reads a value, of keywheel or of another tool.
    ///
    /// # Errors
    /// [`UnreadableValue`], which says what is wrong and repeats nothing of the value.
    pub fn read(text: &str) -> Result<Self, UnreadableValue> {
        match WipedObject::read(text) {
            Some(members) if members.has("UserArn") => own(members),
            Some(members) => foreign(NAMES.iter().filter_map(|name| members.text(name))),
            None => foreign(text.lines().filter_map(foreign_line)),
        }
    }
}

/// Reads keywheel's own document. A damaged document is an error, never the value of another tool.
fn own(mut members: WipedObject) -> Result<StoredValue, UnreadableValue> {
    let wrong = |field: &str| UnreadableValue(format!("its field {field} is not what keywheel writes"));
    let text = |field: &str| members.text(field).ok_or_else(|| wrong(field));
    if members.number("Version") != Some(VERSION) {
        return Err(wrong("Version"));
    }
    let arn: UserArn = text("UserArn")?.parse().map_err(|_| wrong("UserArn"))?;
    if text("AccountId")? != arn.user().account.as_str() {
        return Err(UnreadableValue("its fields AccountId and UserArn contradict each other".to_owned()));
    }
    if text("UserName")? != arn.user().name.as_str() {
        return Err(UnreadableValue("its fields UserName and UserArn contradict each other".to_owned()));
    }
    let created = DateTime::parse_from_rfc3339(text("CreateDate")?).map_err(|_| wrong("CreateDate"))?;
    let id = text("AccessKeyId")?.parse().map_err(|_| wrong("AccessKeyId"))?;
    let status = text("Status")?.to_owned();
    let identity = KeyIdentity { id, arn, created: created.with_timezone(&Utc) };
    match (members.has(SECRET), members.take_text(SECRET), status.as_str()) {
        (true, Some(secret), ACTIVE) if !secret.is_empty() => {
            Ok(StoredValue::Key(StoredKey { identity, secret: SecretKey::new(secret) }))
        }
        (false, _, AWAITING) => Ok(StoredValue::Placeholder(identity)),
        (_, _, ACTIVE | AWAITING) => Err(wrong(SECRET)),
        _ => Err(wrong("Status")),
    }
}

impl Document<'_> {
    fn text(identity: &KeyIdentity, secret: Option<&SecretKey>) -> Zeroizing<String> {
        let KeyIdentity { id, arn, created } = identity;
        let document = Document {
            version: VERSION,
            access_key_id: id.as_str(),
            secret_access_key: secret.map(SecretKey::expose),
            user_name: arn.user().name.as_str(),
            account_id: arn.user().account.as_str(),
            user_arn: arn.as_str(),
            create_date: &created.to_rfc3339_opts(SecondsFormat::Secs, true),
            status: if secret.is_some() { ACTIVE } else { AWAITING },
        };
        let mut text = Zeroizing::new(Vec::with_capacity(document.longest_text()));
        serde_json::to_writer(&mut *text, &document).expect("a document of texts is always JSON");
        Zeroizing::new(String::from_utf8(std::mem::take(&mut *text)).expect("JSON is UTF-8"))
    }

    /// Returns an upper limit of the text's length, because a buffer that grows leaves copies of the secret in memory.
    /// JSON writes a byte of text as at most six bytes.
    fn longest_text(&self) -> usize {
        let Self { version: _, access_key_id, secret_access_key, user_name, account_id, user_arn, create_date, status } =
            self;
        let secret = secret_access_key.unwrap_or_default();
        let texts = [access_key_id, secret, user_name, account_id, user_arn, create_date, status];
        let names_and_punctuation = 200;
        texts.iter().map(|text| 6 * text.len()).sum::<usize>() + names_and_punctuation
    }
}

impl StoredKey {
    /// Returns the text to store, which is wiped on drop.
    pub fn to_json(&self) -> Zeroizing<String> {
        Document::text(&self.identity, Some(&self.secret))
    }
}

impl KeyIdentity {
    /// Returns the text of the placeholder, which stands in a secret before its first rotation. It is no secret.
    pub fn placeholder_json(&self) -> String {
        Document::text(self, None).to_string()
    }
}

/// The names under which other tools store a key's id.
const NAMES: [&str; 6] =
    ["AccessKeyId", "aws_access_key_id", "AWS_ACCESS_KEY_ID", "accessKeyId", "AccessKey", "access_key_id"];

/// A line `aws_access_key_id = …`, as in a file of credentials.
fn foreign_line(line: &str) -> Option<&str> {
    let (name, value) = line.split_once('=')?;
    NAMES.contains(&name.trim()).then(|| value.trim())
}

/// Returns the key that another tool's value names. A value that names several keys, or none, is unreadable.
fn foreign<'a>(ids: impl Iterator<Item = &'a str>) -> Result<StoredValue, UnreadableValue> {
    let unreadable = |why: &str| Err(UnreadableValue(why.to_owned()));
    let Ok(ids) = ids.map(str::parse).collect::<Result<BTreeSet<AccessKeyId>, _>>() else {
        return unreadable("it names an access key whose id is not valid");
    };
    match (ids.first(), ids.len()) {
        (Some(id), 1) => Ok(StoredValue::Foreign(id.clone())),
        (None, _) => unreadable("it is neither keywheel's document nor a known form of an access key"),
        (Some(_), _) => unreadable("it names several access keys, and it is unknown which one is in use"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn identity() -> KeyIdentity {
        KeyIdentity {
            id: "AKIAIOSFODNN7EXAMPLE".parse().unwrap(),
            arn: "arn:aws:iam::111122223333:user/ci/ci-bot".parse().unwrap(),
            created: "2026-11-22T09:00:00Z".parse().unwrap(),
        }
    }

    #[test]
    fn a_key_is_stored_as_credential_process_reads_it() {
        let key = StoredKey { identity: identity(), secret: SecretKey::new("not+a/real=secret".to_owned()) };
        let json: serde_json::Value = serde_json::from_str(&key.to_json()).unwrap();
        assert_eq!(
            json,
            serde_json::json!({"Version": 1, "AccessKeyId": "AKIAIOSFODNN7EXAMPLE", "SecretAccessKey": "not+a/real=secret",
                "UserName": "ci-bot", "AccountId": "111122223333", "UserArn": "arn:aws:iam::111122223333:user/ci/ci-bot",
                "CreateDate": "2026-11-22T09:00:00Z", "Status": "Active"})
        );
        assert_eq!(StoredValue::read(&key.to_json()).unwrap(), StoredValue::Key(key));
    }

    #[test]
    fn a_placeholder_has_the_same_fields_and_no_secret() {
        let text = identity().placeholder_json();
        assert!(text.contains(r#""Status":"AwaitingFirstRotation""#) && !text.contains("SecretAccessKey"), "{text}");
        assert_eq!(StoredValue::read(&text).unwrap(), StoredValue::Placeholder(identity()));
    }

    #[test]
    fn the_predecessors_values_are_recognised() {
        let id: AccessKeyId = "AKIAIOSFODNN7EXAMPLE".parse().unwrap();
        for text in [
            "aws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = x",
            r#"{"AccessKeyId":"AKIAIOSFODNN7EXAMPLE","SecretAccessKey":"x"}"#,
            r#"{"aws_access_key_id":"AKIAIOSFODNN7EXAMPLE"}"#,
        ] {
            assert_eq!(StoredValue::read(text).unwrap(), StoredValue::Foreign(id.clone()), "{text}");
        }
    }

    #[test]
    fn a_damaged_document_is_refused_without_repeating_it() {
        let good = StoredKey { identity: identity(), secret: SecretKey::new("hidden-secret".to_owned()) }.to_json();
        for (from, to) in [
            ("111122223333\",\"UserArn", "999999999999\",\"UserArn"),
            ("\"UserName\":\"ci-bot\"", "\"UserName\":\"other\""),
            ("user/ci/ci-bot", "role/ci-bot"),
            ("2026-11-22T09:00:00Z", "today"),
            ("AKIAIOSFODNN7EXAMPLE", "short"),
            ("\"Version\":1,", ""),
        ] {
            let damaged = good.replace(from, to);
            assert_ne!(damaged, *good, "{from}");
            let error = StoredValue::read(&damaged).unwrap_err().to_string();
            assert!(!error.contains("hidden-secret"), "{error}");
        }
    }

    #[test]
    fn a_value_that_names_two_keys_is_refused() {
        let (one, other) = ("AKIAIOSFODNN7EXAMPLE", "AKIAI44QH8DHBEXAMPLE");
        for text in [
            format!(r#"{{"AccessKeyId":"{one}","aws_access_key_id":"{other}"}}"#),
            format!("aws_access_key_id = {one}\naws_access_key_id = {other}"),
            format!(r#"{{"AccessKeyId":"{one}","AccessKey":"short"}}"#),
        ] {
            assert!(StoredValue::read(&text).is_err(), "{text}");
        }
        let twice = format!("aws_access_key_id = {one}\nAWS_ACCESS_KEY_ID={one}");
        assert_eq!(StoredValue::read(&twice).unwrap().key_id().as_str(), one);
    }

    #[test]
    fn a_document_of_another_version_or_status_is_refused() {
        let good = StoredKey { identity: identity(), secret: SecretKey::new("hidden-secret".to_owned()) }.to_json();
        for (from, to, field) in [
            ("\"Version\":1", "\"Version\":2", "Version"),
            ("\"Version\":1", "\"Version\":\"1\"", "Version"),
            ("\"Active\"", "\"Inactive\"", "Status"),
            ("\"Active\"", "\"AwaitingFirstRotation\"", "SecretAccessKey"),
            ("\"hidden-secret\"", "\"\"", "SecretAccessKey"),
            ("\"hidden-secret\"", "null", "SecretAccessKey"),
        ] {
            let error = StoredValue::read(&good.replace(from, to)).unwrap_err().to_string();
            assert_eq!(error, format!("its field {field} is not what keywheel writes"), "{to}");
        }
    }

    prop_compose! {
        fn any_key()(
            id in "[A-Z0-9]{16,40}",
            path in "(/[!-.0-~]{1,20}){0,3}",
            name in "[A-Za-z0-9_+=,.@-]{1,64}",
            created in 0i64..4_000_000_000,
            secret in "(?s).{1,60}",
        ) -> StoredKey {
            StoredKey {
                identity: KeyIdentity {
                    id: id.parse().unwrap(),
                    arn: format!("arn:aws:iam::111122223333:user{path}/{name}").parse().unwrap(),
                    created: DateTime::from_timestamp(created, 0).unwrap(),
                },
                secret: SecretKey::new(secret),
            }
        }
    }

    /// Values that no field of the document has.
    fn any_json() -> impl Strategy<Value = serde_json::Value> {
        use serde_json::json;
        prop_oneof![
            any::<String>().prop_map(serde_json::Value::from),
            any::<u64>().prop_map(serde_json::Value::from),
            any::<f64>().prop_map(serde_json::Value::from),
            Just(json!(null)),
            Just(json!(true)),
            any::<String>().prop_map(|text| json!([text, {"a": text}])),
            any::<String>().prop_map(|text| json!({ "SecretAccessKey": text })),
            Just(json!("x".repeat(70_000))),
        ]
    }

    proptest! {
        #[test]
        fn every_key_is_read_as_it_was_stored(key in any_key(), added in "[a-z]{1,9}", value in any_json()) {
            let text = key.to_json();
            prop_assert_eq!(StoredValue::read(&text).unwrap(), StoredValue::Key(key.clone()));
            let placeholder = key.identity.placeholder_json();
            prop_assert_eq!(StoredValue::read(&placeholder).unwrap(), StoredValue::Placeholder(key.identity.clone()));
            // Other tools put the fields into another order, on several lines, and add some.
            let mut document: serde_json::Value = serde_json::from_str(&text).unwrap();
            document[&added] = value;
            let rewritten = serde_json::to_string_pretty(&document).unwrap();
            prop_assert_eq!(StoredValue::read(&rewritten).unwrap(), StoredValue::Key(key));
        }

        #[test]
        fn no_buffer_grows_while_a_secret_is_written(key in any_key()) {
            let text = key.to_json();
            let room = text.capacity();
            prop_assert!(text.len() < room && room < 8 * text.len() + 300, "{} of {}", text.len(), room);
        }

        #[test]
        fn a_changed_field_is_refused_or_read_unchanged(
            key in any_key(), field in 0usize..8, value in prop::option::of(any_json()), doubled in any::<bool>(),
        ) {
            let text = key.to_json();
            let mut document: serde_json::Value = serde_json::from_str(&text).unwrap();
            let name = document.as_object().unwrap().keys().nth(field).unwrap().clone();
            let own = document[&name].clone();
            let changed = value.clone().unwrap_or_default();
            let text = match (value, doubled) {
                (Some(value), true) => format!("{{{}:{value},{}", serde_json::json!(name), &text[1..]),
                (Some(value), false) => {
                    document[&name] = value;
                    document.to_string()
                }
                (None, _) => {
                    document.as_object_mut().unwrap().remove(&name);
                    document.to_string()
                }
            };
            match StoredValue::read(&text) {
                Ok(StoredValue::Key(read)) => {
                    prop_assert!(!doubled);
                    // A secret is any text, and two of the fields can be written in two ways.
                    let is_other_secret = name == "SecretAccessKey" && changed == read.secret.expose();
                    prop_assert!(is_other_secret || changed == own, "{} {}", name, changed);
                }
                // Without the ARN it is another tool's document.
                Ok(StoredValue::Foreign(id)) => prop_assert!(name == "UserArn" && id == key.identity.id),
                Ok(StoredValue::Placeholder(_)) => prop_assert!(false, "a key became a placeholder"),
                Err(_) => {}
            }
        }

        #[test]
        fn no_error_repeats_a_piece_of_a_value(secret in "[A-Z][A-Za-z0-9/+]{39}", cut in 1usize..300, at in 0usize..8) {
            let key = StoredKey { identity: identity(), secret: SecretKey::new(secret.clone()) };
            let text = key.to_json();
            let mut texts = vec![text[..cut.min(text.len() - 1)].to_owned(), format!("{}x", &*text)];
            let mut document: serde_json::Value = serde_json::from_str(&text).unwrap();
            let name = document.as_object().unwrap().keys().nth(at).unwrap().clone();
            document[&name] = serde_json::json!({ &secret: secret });
            texts.push(document.to_string());
            for text in texts {
                let error = format!("{:?}", StoredValue::read(&text).unwrap_err());
                prop_assert!(!crate::redact::repeats(&error, &secret), "{}", error);
            }
        }

        #[test]
        fn the_predecessors_key_is_found_beside_any_field(
            id in "[A-Z0-9]{16,40}", name in prop::sample::select(NAMES.to_vec()), other in "[a-z]{1,9}", value in any_json(),
        ) {
            let mut document = serde_json::json!({ name: &id });
            document[other] = value;
            let found = StoredValue::Foreign(id.parse().unwrap());
            prop_assert_eq!(StoredValue::read(&document.to_string()).unwrap(), found.clone());
            let lines = format!("[default]\r\n{name} = {id}\r\naws_secret_access_key = a=b/c+d\r\n");
            prop_assert_eq!(StoredValue::read(&lines).unwrap(), found);
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in any::<String>(), bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = StoredValue::read(&text);
            let _ = StoredValue::read(&String::from_utf8_lossy(&bytes));
            let _ = StoredValue::read(&format!("{{\"UserArn\":{text}"));
        }
    }

    #[test]
    fn deep_nesting_is_refused() {
        for text in ["[".repeat(100_000), "{\"a\":".repeat(100_000)] {
            assert!(StoredValue::read(&text).is_err());
        }
    }
}
