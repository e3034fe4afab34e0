//! The vocabulary: accounts, users, access keys and the names of their secrets. Pure.
//!
//! Every value is checked where it enters, so that the rest of the program can rely on it. The rotation function learns
//! only from the name of a secret whose key it rotates: a name cannot be changed, while tags and values can.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use zeroize::{ZeroizeOnDrop, Zeroizing};

use crate::redact;

/// Most groups that a user can be in.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>
pub const MAX_GROUPS_PER_USER: usize = 10;

/// Access keys that one IAM user can hold, active or not.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>
pub const MAX_KEYS_PER_USER: usize = 2;

/// Longest user name. IAM allows 64 characters today, and users from before that limit may have 128.
/// <https://docs.aws.amazon.com/IAM/latest/APIReference/API_User.html>
const MAX_USER_NAME_LENGTH: usize = 128;

/// A name or identifier with the wrong form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} `{value}` is not valid: {allowed}")]
pub struct InvalidName {
    what: &'static str,
    value: String,
    allowed: &'static str,
}

impl InvalidName {
    fn new(what: &'static str, value: &str, allowed: &'static str) -> Self {
        // Long input is cut: the message goes to logs, and the beginning is enough to find the input.
        let value: String = value.chars().take(200).collect();
        let value = redact::secret_like(&value);
        Self { what, value, allowed }
    }
}

/// Names are shared (`Arc<str>`), because every plan and notice carries its user's names and most plans are empty.
macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $what:literal, $allowed:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The checked text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                let check: fn(&str) -> bool = $check;
                if check(text) {
                    Ok(Self(text.into()))
                } else {
                    Err(InvalidName::new($what, text, $allowed))
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;

            fn try_from(text: String) -> Result<Self, InvalidName> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.as_str().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name_type!(
    /// The 12-digit id of an AWS account.
    AccountId,
    "account id",
    "it has exactly 12 digits",
    |text| text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
);

name_type!(
    /// The friendly name of an IAM user, without its path.
    /// <https://docs.aws.amazon.com/IAM/latest/APIReference/API_User.html>
    UserName,
    "IAM user name",
    "it has 1 to 128 characters of A-Z a-z 0-9 _ + = , . @ -",
    |text| {
        (1..=MAX_USER_NAME_LENGTH).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte))
    }
);

name_type!(
    /// The public half of an access key, such as `AKIAIOSFODNN7EXAMPLE`. Not a secret.
    /// <https://docs.aws.amazon.com/IAM/latest/APIReference/API_AccessKey.html>
    AccessKeyId,
    "access key id",
    "it has 16 to 128 letters, digits and underscores",
    |text| {
        (16..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    }
);

name_type!(
    /// The id of one version of a secret: the `ClientRequestToken` of the request that made it.
    /// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_PutSecretValue.html>
    VersionId,
    "version id",
    "it has 32 to 64 letters, digits and hyphens",
    |text| (32..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
);

name_type!(
    /// An e-mail address as SES accepts it: `local@domain.tld`, without a display name.
    EmailAddress,
    "e-mail address",
    "it reads local@domain.tld, in ASCII, without spaces, at most 320 characters",
    |text| {
        let Some((local, domain)) = text.rsplit_once('@') else { return false };
        let plain = text.len() <= 320
            && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>()[],;:\\\"".contains(&byte));
        let labels = domain.split('.').all(|label| {
            !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        });
        plain && !local.is_empty() && !local.contains('@') && domain.contains('.') && labels
    }
);

impl EmailAddress {
    /// Returns the part after the `@`, in the spelling of the address.
    pub fn domain(&self) -> &str {
        self.as_str().rsplit('@').next().unwrap_or_default()
    }
}

/// The secret half of an access key: never printed, wiped from memory on drop.
///
/// It has no `Display` and no `Serialize`. Only the code that stores a key and the code that tests it call
/// [`SecretKey::expose`].
#[derive(Clone, PartialEq, Eq)]
pub struct SecretKey(Zeroizing<String>);

impl SecretKey {
    /// Moves the text in, without a copy.
    pub fn new(text: impl Into<Zeroizing<String>>) -> Self {
        Self(text.into())
    }

    /// Returns the secret as text. Do not log, format or keep it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// [`Zeroizing`] wipes the text.
impl ZeroizeOnDrop for SecretKey {}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(redacted)")
    }
}

/// The status of an access key in IAM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyStatus {
    /// Requests can be signed with the key.
    Active,
    /// The key was disabled and can be enabled again.
    Inactive,
    /// A status that keywheel does not know how to treat, such as `Expired`.
    Other(String),
}

/// One use of an access key. IAM records the first use in every 15 minutes.
/// <https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetAccessKeyLastUsed.html>
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyUse {
    /// By IAM's clock; up to 15 minutes before the real last use.
    pub time: DateTime<Utc>,
    /// The service that was called, such as `s3`.
    pub service: String,
    /// The Region of that call, as IAM reports it.
    pub region: String,
}

impl KeyUse {
    /// Whether testSecret may have made this use: it asks STS whose key it is.
    pub(crate) fn can_be_the_test(&self) -> bool {
        self.service == "sts"
    }
}

/// The last use of a key, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LastUse {
    /// Not read, because no decision depends on it while the user has one key. If one does, the use counts as unknown.
    NotAsked,
    /// The call failed, with the reason: nothing is destroyed.
    Unknown(String),
    /// No use on record.
    Never,
    /// The last use on record.
    At(KeyUse),
}

impl LastUse {
    /// Returns why the last use is unknown; `None` if it is known. Unknown is not "never".
    pub(crate) fn unknown(&self) -> Option<&str> {
        match self {
            Self::NotAsked => Some("it was not asked for"),
            Self::Unknown(why) => Some(why),
            Self::Never | Self::At(_) => None,
        }
    }
}

/// One user of one account: the identity that a secret belongs to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserRef {
    /// The account that the user lives in.
    pub account: AccountId,
    /// The user's name, without its path.
    pub name: UserName,
}

impl fmt::Display for UserRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "user `{}` in account {}", self.name, self.account)
    }
}

/// The name of the secret that holds one user's key: `Account_<account id>_User_<user name>_AccessKey`.
///
/// A comma is legal in a user name and illegal in the name of a secret: it is written `/2C`. No user name has a
/// slash, so this can be read back without doubt.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretName {
    user: UserRef,
}

const COMMA: &str = "/2C";
const SECRET_NAME_SHAPE: &str = "keywheel's secrets are named Account_<12 digits>_User_<user name>_AccessKey";

impl SecretName {
    /// Returns the name of that user's secret.
    pub fn of(user: &UserRef) -> Self {
        Self { user: user.clone() }
    }

    /// The user whose key the secret holds.
    pub fn user(&self) -> &UserRef {
        &self.user
    }

    /// The prefix that the names of all secrets share.
    pub const PREFIX: &'static str = "Account_";

    /// Returns the prefix that the names of one account's secrets share.
    pub fn account_prefix(account: &AccountId) -> String {
        format!("{}{account}_User_", Self::PREFIX)
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = self.user.name.as_str().replace(',', COMMA);
        write!(f, "{}{user}_AccessKey", Self::account_prefix(&self.user.account))
    }
}

impl FromStr for SecretName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let invalid = || InvalidName::new("secret name", text, SECRET_NAME_SHAPE);
        let rest = text.strip_prefix(Self::PREFIX).ok_or_else(invalid)?;
        let (account, rest) = rest.split_at_checked(12).ok_or_else(invalid)?;
        let encoded =
            rest.strip_prefix("_User_").and_then(|rest| rest.strip_suffix("_AccessKey")).ok_or_else(invalid)?;
        // Accepting a literal comma would give one secret two names.
        if encoded.contains(',') {
            return Err(invalid());
        }
        let account = account.parse().map_err(|_| invalid())?;
        let name = encoded.replace(COMMA, ",").parse().map_err(|_| invalid())?;
        Ok(Self { user: UserRef { account, name } })
    }
}

/// Whether a text can be the partition or the Region in an ARN.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html>
pub(crate) fn is_arn_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// Returns the home Region of a partition, where IAM keeps its users; `None` for an unknown partition. No account can
/// disable it, so its STS knows every key.
/// <https://docs.aws.amazon.com/general/latest/gr/iam-service.html>
pub(crate) fn home_region(partition: &str) -> Option<&'static str> {
    Some(match partition {
        "aws" => "us-east-1",
        "aws-cn" => "cn-north-1",
        "aws-us-gov" => "us-gov-west-1",
        "aws-eusc" => "eusc-de-east-1",
        "aws-iso" => "us-iso-east-1",
        "aws-iso-b" => "us-isob-east-1",
        "aws-iso-e" => "eu-isoe-west-1",
        "aws-iso-f" => "us-isof-south-1",
        _ => return None,
    })
}

/// Whether a text is the ARN of a KMS key. A principal of another account can use a key only by its ARN: an id or an
/// alias is looked up in that account, and an AWS managed key serves its own account alone.
/// <https://docs.aws.amazon.com/secretsmanager/latest/userguide/auth-and-access_examples_cross.html>
pub(crate) fn is_kms_key_arn(text: &str) -> bool {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    matches!(parts[..], ["arn", partition, "kms", region, account, key]
    if is_arn_word(partition) && is_arn_word(region) && account.parse::<AccountId>().is_ok()
        && key.strip_prefix("key/").is_some_and(|id| {
            !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        }))
}

/// The ARN of a secret of keywheel's, with the six random characters at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretArn {
    text: String,
    partition: String,
    account: AccountId,
    name: SecretName,
}

impl SecretArn {
    /// The whole ARN.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// `aws`, `aws-cn`, `aws-us-gov` …
    pub fn partition(&self) -> &str {
        &self.partition
    }

    /// The Region of the store, such as `eu-west-1`.
    pub fn region(&self) -> &str {
        self.text.split(':').nth(3).unwrap_or_default()
    }

    /// The account of the central store.
    pub fn account(&self) -> &AccountId {
        &self.account
    }

    /// The secret's name, and with it the user.
    pub fn name(&self) -> &SecretName {
        &self.name
    }
}

impl FromStr for SecretArn {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let invalid = || {
            let shape = "it must be arn:<partition>:secretsmanager:<region>:<account>:secret:<name>-<6 characters>, \
                         and the name Account_<12 digits>_User_<user name>_AccessKey";
            InvalidName::new("secret ARN", text, shape)
        };
        let parts: Vec<&str> = text.splitn(7, ':').collect();
        let ["arn", partition, "secretsmanager", region, account, "secret", resource] = parts[..] else {
            return Err(invalid());
        };
        let (name, suffix) = resource.rsplit_once('-').ok_or_else(invalid)?;
        let suffix_fits = suffix.len() == 6 && suffix.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !is_arn_word(partition) || !is_arn_word(region) || !suffix_fits {
            return Err(invalid());
        }
        Ok(Self {
            text: text.to_owned(),
            partition: partition.to_owned(),
            account: account.parse().map_err(|_| invalid())?,
            name: name.parse().map_err(|_| invalid())?,
        })
    }
}

/// The ARN of an IAM user, path included: `arn:aws:iam::111122223333:user/ci/bot`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UserArn {
    text: String,
    partition: String,
    user: UserRef,
}

impl UserArn {
    /// The whole ARN.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// `aws`, `aws-cn`, `aws-us-gov` …
    pub fn partition(&self) -> &str {
        &self.partition
    }

    /// The user's path with both of its slashes; `/` without one.
    pub fn path(&self) -> &str {
        let resource = self.text.splitn(6, ':').nth(5).unwrap_or_default();
        let path_and_name = resource.strip_prefix("user").unwrap_or_default();
        path_and_name.strip_suffix(self.user.name.as_str()).unwrap_or("/")
    }

    /// The user, path aside: names are unique in an account whatever the path.
    pub fn user(&self) -> &UserRef {
        &self.user
    }
}

impl fmt::Display for UserArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for UserArn {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let invalid = || {
            let shape = "it must be arn:<partition>:iam::<account>:user/<path and name>";
            InvalidName::new("user ARN", text, shape)
        };
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let ["arn", partition, "iam", "", account, resource] = parts[..] else {
            return Err(invalid());
        };
        let path_and_name = resource.strip_prefix("user/").ok_or_else(invalid)?;
        let name = path_and_name.rsplit('/').next().unwrap_or(path_and_name);
        // A path holds any character from ! to ~.
        if !is_arn_word(partition) || !path_and_name.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(invalid());
        }
        let user =
            UserRef { account: account.parse().map_err(|_| invalid())?, name: name.parse().map_err(|_| invalid())? };
        Ok(Self { text: text.to_owned(), partition: partition.to_owned(), user })
    }
}

impl TryFrom<String> for UserArn {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}

impl From<UserArn> for String {
    fn from(arn: UserArn) -> Self {
        arn.text
    }
}

#[cfg(test)]
mod tests;
