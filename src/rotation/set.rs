//! setSecret: check that the pending key is in place. IAM knows the key already, so nothing is set.

use std::time::Duration;

use super::{Job, user_gone};
use crate::aws::{Iam, ListedKey};
use crate::error::Error;
use crate::keys::{AccessKeyId, KeyStatus};
use crate::value::StoredValue;

/// A key that was just made may be missing from the list for a moment.
const LISTINGS: u32 = 4;
const WAIT_BETWEEN_LISTINGS: Duration = Duration::from_secs(3);

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
    let key = pending.identity.id;
    let iam = job.iam().await?;
    match find(job, &*iam, &key).await? {
        Some(found) if found.status == KeyStatus::Active => Ok(()),
        Some(_) => Err(unusable(job, key, "not active")),
        None => Err(unusable(job, key, "missing")),
    }
}

async fn find(job: &Job<'_>, iam: &dyn Iam, key: &AccessKeyId) -> Result<Option<ListedKey>, Error> {
    for listing in 1..=LISTINGS {
        let keys = iam.access_keys(&job.user().name).await.map_err(|failure| user_gone(job.user(), failure))?;
        let found = keys.into_iter().find(|listed| listed.id == *key);
        if found.is_some() || listing == LISTINGS {
            return Ok(found);
        }
        job.aws.sleep(WAIT_BETWEEN_LISTINGS).await;
    }
    Ok(None)
}

fn unusable(job: &Job<'_>, key: AccessKeyId, found: &str) -> Error {
    Error::PendingKeyUnusable {
        secret: job.secret().to_owned(),
        version: job.event.version.clone(),
        key,
        user: job.user().clone(),
        found: found.to_owned(),
    }
}
