//! The value that readers get, as far as a rotation can learn it.
//!
//! A new key does not depend on the old value. The old value only shows its key and its user. If nobody can decrypt it
//! any more, only a rotation gives readers a value again, and the tags have to show these facts.

use std::time::Duration;

use super::Job;
use super::slots::KeyInValue;
use crate::aws::{CURRENT, Tries, is_binary_value, is_kms_refusal, until};
use crate::error::Error;
use crate::keys::AccessKeyId;
use crate::value::StoredValue;

/// The value of the version with the label AWSCURRENT.
#[derive(Debug)]
pub(super) enum CurrentValue {
    /// No version has the label: the secret has no value yet.
    Absent,
    /// A key or a placeholder of this user, or a key in the form of another tool.
    Read(StoredValue),
    /// No KMS key that the function may use decrypts it, for this reason.
    Unreadable(String),
}

/// Limits the reads of a value that is not found. After CreateSecret, a read may lag.
const READS: Tries = Tries { count: 3, wait: Duration::from_secs(2) };

/// Reads the current value.
///
/// # Errors
/// [`Error::ForeignValue`] if the value is another user's, or has no known form. The failure of the call if it was
/// denied or not answered: then nothing is known about the value.
pub(super) async fn read(job: &Job<'_>) -> Result<CurrentValue, Error> {
    let value = until(job.aws, READS, || job.aws.secrets().value(job.secret(), None, Some(CURRENT)), Option::is_some);
    match value.await {
        Ok(Some(text)) => Ok(CurrentValue::Read(job.own_value("current", &text)?)),
        Ok(None) if job.description.version_at(CURRENT).is_none() => Ok(CurrentValue::Absent),
        Ok(None) => Ok(CurrentValue::Unreadable("the current version has no value".to_owned())),
        Err(failure) if is_kms_refusal(&failure) => Ok(CurrentValue::Unreadable(failure.to_string())),
        Err(failure) if is_binary_value(&failure) => Err(job.foreign_value("current", "it is binary".to_owned())),
        Err(failure) => Err(failure.into()),
    }
}

impl CurrentValue {
    /// Returns the value; `None` if it is absent or could not be read.
    pub(super) fn read(&self) -> Option<&StoredValue> {
        match self {
            Self::Read(value) => Some(value),
            Self::Absent | Self::Unreadable(_) => None,
        }
    }

    /// Whether this is the same value, byte for byte.
    pub(super) fn is(&self, other: &StoredValue) -> bool {
        self.read() == Some(other)
    }

    /// Returns the key that readers get. keywheel's own placeholder holds none, even if it cannot be read.
    pub(super) fn key(&self, job: &Job<'_>) -> KeyInValue<'_> {
        match self {
            Self::Read(value) if !value.is_placeholder() => KeyInValue::Key(value.key_id()),
            Self::Unreadable(_) if !job.current_is_placeholder() => KeyInValue::Unreadable,
            Self::Absent | Self::Read(_) | Self::Unreadable(_) => KeyInValue::NoKey,
        }
    }

    /// Returns the key that the value names, a placeholder included.
    pub(super) fn named(&self) -> Option<&AccessKeyId> {
        self.read().map(StoredValue::key_id)
    }
}
