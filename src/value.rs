//! The value of a secret: one user's key, readable by tools as it is. Pure.
//!
//! `Version: 1` makes it valid output of a `credential_process`
//! (<https://docs.aws.amazon.com/sdkref/latest/guide/feature-process-credentials.html>). The predecessor's formats are
//! recognised, so that its secrets can be adopted.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use crate::keys::{AccessKeyId, SecretKey, UserArn};

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

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Document {
    version: u8,
    access_key_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    secret_access_key: Option<String>,
    user_name: String,
    account_id: String,
    user_arn: String,
    create_date: String,
    status: String,
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
        match serde_json::from_str::<Document>(text) {
            Ok(document) => document.check(),
            Err(_) => foreign_key_id(text).map(Self::Foreign).ok_or_else(|| {
                UnreadableValue("it is neither keywheel's document nor a known form of an access key".to_owned())
            }),
        }
    }
}

impl Drop for Document {
    fn drop(&mut self) {
        self.secret_access_key.zeroize();
    }
}

impl Document {
    fn new(identity: &KeyIdentity, secret: Option<&SecretKey>) -> Self {
        let KeyIdentity { id, arn, created } = identity;
        Self {
            version: 1,
            access_key_id: id.to_string(),
            secret_access_key: secret.map(|secret| secret.expose().to_owned()),
            user_name: arn.user().name.to_string(),
            account_id: arn.user().account.to_string(),
            user_arn: arn.to_string(),
            create_date: created.to_rfc3339_opts(SecondsFormat::Secs, true),
            status: if secret.is_some() { ACTIVE } else { AWAITING }.to_owned(),
        }
    }

    fn to_json(&self) -> Zeroizing<String> {
        Zeroizing::new(serde_json::to_string(self).expect("a document of texts is always JSON"))
    }

    fn check(mut self) -> Result<StoredValue, UnreadableValue> {
        let wrong = |field: &str| UnreadableValue(format!("its field {field} is not what keywheel writes"));
        let arn: UserArn = self.user_arn.parse().map_err(|_| wrong("UserArn"))?;
        if self.account_id != arn.user().account.as_str() {
            return Err(UnreadableValue("its fields AccountId and UserArn contradict each other".to_owned()));
        }
        if self.user_name != arn.user().name.as_str() {
            return Err(UnreadableValue("its fields UserName and UserArn contradict each other".to_owned()));
        }
        let created = DateTime::parse_from_rfc3339(&self.create_date).map_err(|_| wrong("CreateDate"))?;
        let identity = KeyIdentity {
            id: self.access_key_id.parse().map_err(|_| wrong("AccessKeyId"))?,
            arn,
            created: created.with_timezone(&Utc),
        };
        match (self.secret_access_key.take(), self.status.as_str()) {
            (Some(secret), _) if !secret.is_empty() => {
                Ok(StoredValue::Key(StoredKey { identity, secret: SecretKey::new(secret) }))
            }
            (None, AWAITING) => Ok(StoredValue::Placeholder(identity)),
            _ => Err(wrong("SecretAccessKey")),
        }
    }
}

impl StoredKey {
    /// The text to store. Wiped on drop.
    pub fn to_json(&self) -> Zeroizing<String> {
        Document::new(&self.identity, Some(&self.secret)).to_json()
    }
}

impl KeyIdentity {
    /// The text that stands in a secret before its first rotation. Not a secret.
    pub fn placeholder_json(&self) -> String {
        Document::new(self, None).to_json().to_string()
    }
}

/// The key id in the forms that other tools store: `aws_access_key_id = …` lines, or JSON with one of the usual names.
fn foreign_key_id(text: &str) -> Option<AccessKeyId> {
    const NAMES: [&str; 6] =
        ["AccessKeyId", "aws_access_key_id", "AWS_ACCESS_KEY_ID", "accessKeyId", "AccessKey", "access_key_id"];
    if let Ok(serde_json::Value::Object(object)) = serde_json::from_str(text) {
        // A document of keywheel's that was damaged is not taken for another tool's.
        if object.contains_key("UserArn") {
            return None;
        }
        return NAMES.iter().find_map(|name| object.get(*name)?.as_str()?.parse().ok());
    }
    text.lines().find_map(|line| {
        let (name, value) = line.split_once('=')?;
        NAMES.contains(&name.trim()).then(|| value.trim().parse().ok())?
    })
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
