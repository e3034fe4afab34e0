//! setSecret: check that the pending key is on the user. createSecret created it in IAM, so nothing is set.

use std::time::Duration;

use super::{Job, current, user_gone};
use crate::aws::{Iam, ListedKey, Tries, until};
use crate::error::Error;
use crate::keys::{AccessKeyId, KeyStatus};
use crate::value::StoredValue;

/// Limits the reads of the user's keys. The list may lack a new key for some seconds.
const LISTINGS: Tries = Tries { count: 4, wait: Duration::from_secs(3) };

/// Checks the pending key, and that the current value is of the same user.
pub(super) async fn run(job: &Job<'_>) -> Result<(), Error> {
    let pending = job.put_value().await?;
    // Fails for another user's value: the new key must not replace it. A value that nobody can decrypt is replaced.
    let current = current::read(job).await?;
    let pending = match pending {
        StoredValue::Key(pending) => pending,
        // A test of the configuration that runs all steps: there is no new key to check.
        copy if current.is(&copy) => return Ok(()),
        _ => return Err(job.not_written_by_us()),
    };
    check(job, &pending.identity.id).await
}

/// Fails unless the key is on the user and active.
async fn check(job: &Job<'_>, key: &AccessKeyId) -> Result<(), Error> {
    let iam = job.iam().await?;
    let keys = list_with(job, &*iam, key).await?;
    match keys.iter().find(|listed| listed.id == *key).map(|found| &found.status) {
        Some(KeyStatus::Active) => Ok(()),
        Some(_) => Err(unusable(job, key, "not active")),
        None => Err(unusable(job, key, "missing")),
    }
}

/// Returns the user's keys, read until `key` is among them or the tries are used up.
async fn list_with(job: &Job<'_>, iam: &dyn Iam, key: &AccessKeyId) -> Result<Vec<ListedKey>, Error> {
    let list = || iam.access_keys(&job.user().name);
    let keys = until(job.aws, LISTINGS, list, |keys| keys.iter().any(|listed| listed.id == *key)).await;
    keys.map_err(|failure| user_gone(job.user(), failure))
}

fn unusable(job: &Job<'_>, key: &AccessKeyId, found: &str) -> Error {
    Error::PendingKeyUnusable {
        secret: job.secret().to_owned(),
        version: job.event.version.clone(),
        key: key.clone(),
        user: job.user().clone(),
        found: found.to_owned(),
    }
}
