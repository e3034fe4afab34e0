//! Making room for the new key: which keys may give way is decided by `slots`; here the facts for that are gathered and
//! the keys removed.

use tracing::warn;

use super::slots::{self, Decision, Slots};
use super::{Job, user_gone};
use crate::aws::{CURRENT, Iam, ListedKey, PREVIOUS};
use crate::error::Error;
use crate::keys::{AccessKeyId, KeyStatus};
use crate::value::StoredValue;

/// Makes room for a key where that loses nothing. Answers the key that the new one will replace.
pub(super) async fn make(
    job: &Job<'_>,
    iam: &dyn Iam,
    current: Option<&StoredValue>,
) -> Result<Option<AccessKeyId>, Error> {
    let user = job.user();
    let keys = iam.access_keys(&user.name).await.map_err(|failure| user_gone(user, failure))?;
    let orphan = find_orphan(job, iam, &keys, current.map(StoredValue::key_id)).await?;
    let needed = needed_key(job, iam, &keys, current).await?;
    let fresh = job.state.version.is_some() && job.state.version == job.description.version_at(CURRENT);
    let decision = Slots {
        keys: &keys,
        orphan: orphan.as_ref(),
        current: needed.as_ref(),
        state: fresh.then_some(&job.state),
        force: job.state.force,
        recovery_grace: job.settings.periods.recovery_grace,
        now: job.aws.now(),
    }
    .decide();
    let removed = match decision {
        Decision::Remove(removed) => removed,
        Decision::NoActiveKey => return Err(Error::NoActiveKey(user.clone())),
        Decision::NoFreeSlot(why) => {
            let keys = slots::describe(&keys, current.filter(|value| !value.is_placeholder()).map(StoredValue::key_id));
            return Err(Error::NoFreeSlot { user: user.clone(), keys, why });
        }
    };
    for key in keys.iter().filter(|key| removed.contains(&key.id)) {
        remove(job, iam, key).await?;
    }
    Ok(keys.into_iter().map(|key| key.id).find(|id| !removed.contains(id)))
}

/// The key that must stay whatever else is ordered: the one in the value. A placeholder holds no key; before the first
/// rotation it is the only one of the two that is used and, where neither is, the newer.
async fn needed_key(
    job: &Job<'_>,
    iam: &dyn Iam,
    keys: &[ListedKey],
    current: Option<&StoredValue>,
) -> Result<Option<AccessKeyId>, Error> {
    if let Some(value) = current.filter(|value| !value.is_placeholder()) {
        return Ok(Some(value.key_id().clone()));
    }
    let [older, newer] = keys else { return Ok(None) };
    if !job.state.force {
        return Ok(None);
    }
    let is_used = (iam.last_use(&older.id).await?.is_some(), iam.last_use(&newer.id).await?.is_some());
    Ok(match is_used {
        (true, true) => None,
        (true, false) => Some(older.id.clone()),
        (false, _) => Some(newer.id.clone()),
    })
}

async fn find_orphan(
    job: &Job<'_>,
    iam: &dyn Iam,
    keys: &[ListedKey],
    current: Option<&AccessKeyId>,
) -> Result<Option<AccessKeyId>, Error> {
    let previous = previous_key(job).await?;
    let in_versions: Vec<&AccessKeyId> = [current, previous.as_ref()]
        .into_iter()
        .chain([job.state.current_key.as_ref(), job.state.previous_key.as_ref()])
        .flatten()
        .collect();
    let Some(candidate) = slots::orphan_candidate(keys, job.state.intent.as_ref(), &in_versions) else {
        return Ok(None);
    };
    let is_ours = match iam.last_use(&candidate.id).await? {
        None => true,
        // testSecret uses the key, too: then the version that it was made for has to name it.
        Some(last_use) if last_use.service == "sts" => announced_key(job).await?.as_ref() == Some(&candidate.id),
        // A key that was used otherwise is somebody's, whoever made it.
        Some(_) => false,
    };
    Ok(is_ours.then(|| candidate.id.clone()))
}

/// The key in the version that an earlier rotation prepared and did not finish.
async fn announced_key(job: &Job<'_>) -> Result<Option<AccessKeyId>, Error> {
    let Some(intent) = &job.state.intent else { return Ok(None) };
    let value = job.aws.secrets().value(job.secret(), Some(&intent.version), None).await?;
    Ok(value.and_then(|text| StoredValue::read(&text).ok()).map(|value| value.key_id().clone()))
}

/// The key in the value before the current one. One that cannot be read names no key of ours.
async fn previous_key(job: &Job<'_>) -> Result<Option<AccessKeyId>, Error> {
    let value = job.aws.secrets().value(job.secret(), None, Some(PREVIOUS)).await?;
    Ok(value.and_then(|text| StoredValue::read(&text).ok()).map(|value| value.key_id().clone()))
}

/// Disables, then deletes: an active key is never deleted.
async fn remove(job: &Job<'_>, iam: &dyn Iam, key: &ListedKey) -> Result<(), Error> {
    warn!(key = %key.id, force = job.state.force, "removing an access key to make room");
    let name = &job.user().name;
    if key.status != KeyStatus::Inactive {
        iam.disable_access_key(name, &key.id).await?;
    }
    Ok(iam.delete_access_key(name, &key.id).await?)
}
