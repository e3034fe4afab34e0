//! The first value of a secret that has none: keywheel's placeholder.
//!
//! Secrets Manager makes the first value of a secret current by itself. If that were the new key, readers would get it
//! before its test, and a sweep would count it as tested.
//! <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_PutSecretValue.html>

use tracing::warn;

use super::slots::SlotKey;
use super::{Job, OF_ANOTHER_KEY};
use crate::error::Error;
use crate::keys::{KeyStatus, UserArn, VersionId};
use crate::state::{TagChange, tag};
use crate::value::KeyIdentity;

/// Puts the placeholder and returns the error that ends this attempt: Secrets Manager may give up a rotation when
/// another value is put. Safe to repeat.
pub(super) async fn put(job: &Job<'_>, arn: &UserArn, keys: &[SlotKey]) -> Error {
    let Some(key) = keys.iter().rfind(|key| key.listed.status == KeyStatus::Active) else {
        return Error::NoActiveKey(job.user().clone());
    };
    let identity = KeyIdentity { id: key.listed.id.clone(), arn: arn.clone(), created: key.listed.created };
    let Some(version) = version_beside(&job.event.version) else { return no_current_value(job) };
    let put = job.aws.secrets().put_first(job.secret(), &version, &identity.placeholder_json()).await;
    if let Err(failure) = put {
        return failure.into();
    }
    let change = OF_ANOTHER_KEY
        .into_iter()
        .fold(TagChange::default(), TagChange::remove)
        .set(tag::VERSION, version.as_str())
        .set(tag::CURRENT_KEY, identity.id.as_str())
        .set(tag::PLACEHOLDER, version.as_str());
    if let Err(failure) = job.change_tags(change).await {
        warn!(error = %failure, "the placeholder is not recorded: the next sweep restores the facts");
    }
    no_current_value(job)
}

fn no_current_value(job: &Job<'_>) -> Error {
    Error::NoCurrentValue(job.secret().to_owned())
}

/// Returns the id of the placeholder's version, made from the pending version's id. A repeated attempt puts the same
/// version again, which changes nothing.
fn version_beside(version: &VersionId) -> Option<VersionId> {
    const PREFIX: &str = "first-";
    /// An id has at most 64 characters.
    /// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_PutSecretValue.html>
    const LONGEST: usize = 64 - PREFIX.len();
    let id: String = version.as_str().chars().take(LONGEST).collect();
    format!("{PREFIX}{id}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_has_another_beside_it() {
        for id in ["0123456789abcdef0123456789abcdef".to_owned(), "x".repeat(64)] {
            let version: VersionId = id.parse().unwrap();
            assert!(version_beside(&version).is_some_and(|beside| beside != version), "{id}");
        }
    }
}
