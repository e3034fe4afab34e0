//! The value of a secret: one user's key, readable by tools as it is. Pure.
//!
//! `Version: 1` makes it valid output of a `credential_process`
//! (<https://docs.aws.amazon.com/sdkref/latest/guide/feature-process-credentials.html>). The predecessor's formats are
//! recognised, so that its secrets can be adopted.

mod members;

use std::collections::BTreeSet;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use zeroize::{ZeroizeOnDrop, Zeroizing};

use crate::keys::{AccessKeyId, SecretKey, UserArn};
use members::Members;

/// What `credential_process` asks for.
const VERSION: u64 = 1;
const SECRET: &str = "SecretAccessKey";
const ACTIVE: &str = "Active";
const AWAITING: &str = "AwaitingFirstRotation";

/// What stands in a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoredValue {
    /// A key of keywheel's making.
    Key(StoredKey),
    /// What stands there before the first rotation: the key's id without its secret, which IAM tells nobody.
    Placeholder(KeyIdentity),
    /// A value of another tool's, such as the predecessor's, that names this key.
    Foreign(AccessKeyId),
}

/// A key with its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredKey {
    /// Whose key it is, and since when.
    pub identity: KeyIdentity,
    /// The secret half.
    pub secret: SecretKey,
}

/// Its only secret wipes itself.
impl ZeroizeOnDrop for StoredKey {}

/// Which key of which user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyIdentity {
    /// The key.
    pub id: AccessKeyId,
    /// The user.
    pub arn: UserArn,
    /// When the key was made.
    pub created: DateTime<Utc>,
}

/// Why a value cannot be read. Says nothing of what is in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnreadableValue(String);

/// What is written. It borrows, so that the secret is in one place only until the text is made.
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
    /// The key that the value names.
    pub fn key_id(&self) -> &AccessKeyId {
        match self {
            Self::Key(key) => &key.identity.id,
            Self::Placeholder(identity) => &identity.id,
            Self::Foreign(id) => id,
        }
    }

    /// Whether it names a key without holding it.
    pub fn is_placeholder(&self) -> bool {
        matches!(self, Self::Placeholder(_))
    }

    /// Whose key it is, where the value says so.
    pub fn arn(&self) -> Option<&UserArn> {
        match self {
            Self::Key(key) => Some(&key.identity.arn),
            Self::Placeholder(identity) => Some(&identity.arn),
            Self::Foreign(_) => None,
        }
    }

    /// Reads a value.
    ///
    /// # Errors
    /// [`UnreadableValue`], which says what is missing and repeats nothing of the value.
    pub fn read(text: &str) -> Result<Self, UnreadableValue> {
        match Members::read(text) {
            Some(members) if members.has("UserArn") => own(members),
            Some(members) => foreign(NAMES.iter().filter_map(|name| members.text(name))),
            None => foreign(text.lines().filter_map(foreign_line)),
        }
    }
}

/// Reads keywheel's own document. A damaged one is not taken for another tool's.
fn own(mut members: Members) -> Result<StoredValue, UnreadableValue> {
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

    /// Room for the text: a buffer that grew would leave copies of the secret behind. No character takes more than six.
    fn longest_text(&self) -> usize {
        let Self { version: _, access_key_id, secret_access_key, user_name, account_id, user_arn, create_date, status } =
            self;
        let secret = secret_access_key.unwrap_or_default();
        let texts = [access_key_id, secret, user_name, account_id, user_arn, create_date, status];
        let names_and_marks = 200;
        texts.iter().map(|text| 6 * text.len()).sum::<usize>() + names_and_marks
    }
}

impl StoredKey {
    /// The text to store. Wiped on drop.
    pub fn to_json(&self) -> Zeroizing<String> {
        Document::text(&self.identity, Some(&self.secret))
    }
}

impl KeyIdentity {
    /// The text that stands in a secret before its first rotation. Not a secret.
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

/// The key that another tool's value names. One that names several, or none that can be one, says nothing.
fn foreign<'a>(ids: impl Iterator<Item = &'a str>) -> Result<StoredValue, UnreadableValue> {
    let unreadable = |why: &str| Err(UnreadableValue(why.to_owned()));
    let Ok(ids) = ids.map(str::parse).collect::<Result<BTreeSet<AccessKeyId>, _>>() else {
        return unreadable("it names something as an access key that can be none");
    };
    match (ids.first(), ids.len()) {
        (Some(id), 1) => Ok(StoredValue::Foreign(id.clone())),
        (None, _) => unreadable("it is neither keywheel's document nor a known form of an access key"),
        (Some(_), _) => unreadable("it names several access keys, and nothing tells which one is in use"),
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

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in "\\PC{0,200}") {
            let _ = StoredValue::read(&text);
        }
    }
}
