//! setSecret: check that the pending key is in place. IAM knows the key already, so nothing is set.

use std::time::Duration;

use super::{Job, user_gone};
use crate::aws::{Iam, ListedKey, Tries, until};
use crate::error::Error;
use crate::keys::{AccessKeyId, KeyStatus};
use crate::value::StoredValue;

/// A key that was just made may be missing from the list for a moment.
const LISTINGS: Tries = Tries { count: 4, wait: Duration::from_secs(3) };

pub(super) async fn run(job: &Job<'_>) -> Result<(), Error> {
    let pending = job.pending_value().await?.ok_or_else(|| job.no_pending_value())?;
    // Refuses a value of somebody else's; the new key must not replace it.
    let current = job.current_value().await?;
    let pending = match pending {
        StoredValue::Key(pending) => pending,
        // A test of the configuration, run with all steps: there is no new key that could be missing.
        copy if current.as_ref() == Some(&copy) => return Ok(()),
        _ => return Err(job.not_written_by_us()),
    };
    check(job, &pending.identity.id).await
}

/// Whether the key is on the user and active.
async fn check(job: &Job<'_>, key: &AccessKeyId) -> Result<(), Error> {
    let iam = job.iam().await?;
    let keys = list_with(job, &*iam, key).await?;
    match keys.iter().find(|listed| listed.id == *key).map(|found| &found.status) {
        Some(KeyStatus::Active) => Ok(()),
        Some(_) => Err(unusable(job, key, "not active")),
        None => Err(unusable(job, key, "missing")),
    }
}

/// The user's keys, asked for until that one is among them.
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
