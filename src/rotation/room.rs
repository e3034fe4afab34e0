//! Making room for the new key: which keys may give way is decided by `slots`; here the facts for that are gathered and
//! the keys removed.

use chrono::TimeDelta;
use tracing::warn;

use super::slots::{self, Decision, Slots, UserKey};
use super::{Job, user_gone};
use crate::aws::{CURRENT, CallFailure, Iam, ListedKey};
use crate::error::Error;
use crate::keys::{AccessKeyId, KeyStatus, LastUse, MAX_KEYS_PER_USER, UserName, VersionId};
use crate::value::{StoredKey, StoredValue};

/// IAM's list shows a new key within this time.
const KEYS_ARE_LISTED_WITHIN: TimeDelta = TimeDelta::minutes(10);

/// Makes room for a key where that loses nothing. Answers the user's keys that are left, of which the new one will
/// replace the first.
pub(super) async fn make(job: &Job<'_>, iam: &dyn Iam) -> Result<Vec<AccessKeyId>, Error> {
    let user = job.user();
    let listed = iam.access_keys(&user.name).await.map_err(|failure| user_gone(user, failure))?;
    let mut keys: Vec<UserKey> =
        listed.into_iter().map(|listed| UserKey { listed, last_use: LastUse::NotAsked }).collect();
    let current_version = job.description.version_at(CURRENT);
    let current = job.current_value().await?;
    check_current_is_listed(job, iam, current.as_ref(), &keys)?;
    let mut in_versions: Vec<AccessKeyId> = current.iter().map(|value| value.key_id().clone()).collect();
    let in_value =
        current.as_ref().filter(|value| !matches!(value, StoredValue::Placeholder(_))).map(StoredValue::key_id);
    let candidates: Vec<AccessKeyId> = {
        let known = Slots { in_versions: &in_versions, ..slots_of(job, &keys, current_version.as_ref(), in_value) };
        known.orphan_candidates().into_iter().cloned().collect()
    };
    ask_for_uses(iam, &mut keys, &candidates).await?;
    let mut announced = None;
    if !candidates.is_empty() {
        in_versions.extend(labelled_keys(job, current_version.as_ref()).await?);
        announced = announced_key(job).await?;
    }
    let facts = Slots {
        in_versions: &in_versions,
        announced: announced.as_ref(),
        ..slots_of(job, &keys, current_version.as_ref(), in_value)
    };
    let removed = match facts.decide() {
        Decision::Remove(removed) => removed,
        Decision::NoActiveKey => return Err(Error::NoActiveKey(user.clone())),
        Decision::NoFreeSlot(why) => {
            return Err(Error::NoFreeSlot { user: user.clone(), keys: slots::describe(&keys, in_value), why });
        }
    };
    for key in keys.iter().filter(|key| removed.contains(&key.listed.id)) {
        warn!(key = %key.listed.id, force = job.state.force, "removing an access key to make room");
        remove(iam, &user.name, &key.listed).await?;
    }
    Ok(keys.into_iter().map(|key| key.listed.id).filter(|id| !removed.contains(id)).collect())
}

/// A list that lacks the key that readers have just got is one from before the last rotation. The key that was replaced
/// then would pass for the current one, and its way out be forgotten.
fn check_current_is_listed(
    job: &Job<'_>,
    iam: &dyn Iam,
    current: Option<&StoredValue>,
    keys: &[UserKey],
) -> Result<(), Error> {
    let Some(StoredValue::Key(StoredKey { identity: current, .. })) = current else { return Ok(()) };
    let is_new = iam.now() < current.created + KEYS_ARE_LISTED_WITHIN;
    if is_new && !keys.iter().any(|key| key.listed.id == current.id) {
        return Err(Error::CurrentKeyNotListed { user: job.user().clone(), key: current.id.clone() });
    }
    Ok(())
}

/// What is known before any value is read.
fn slots_of<'a>(
    job: &'a Job<'_>,
    keys: &'a [UserKey],
    current_version: Option<&'a VersionId>,
    in_value: Option<&'a AccessKeyId>,
) -> Slots<'a> {
    let recovery_grace = job.settings.periods.recovery_grace;
    let (state, now) = (&job.state, job.aws.now());
    Slots { keys, state, current_version, in_value, in_versions: &[], announced: None, recovery_grace, now }
}

/// Asks for last uses where a decision can depend on them: of two keys, and of a candidate. That of a candidate has to be
/// known: taken for a person's, the key that nobody has would pass for the one that the new one replaces.
async fn ask_for_uses(iam: &dyn Iam, keys: &mut [UserKey], candidates: &[AccessKeyId]) -> Result<(), CallFailure> {
    let is_full = keys.len() >= MAX_KEYS_PER_USER;
    for key in keys {
        let is_candidate = candidates.contains(&key.listed.id);
        if !is_full && !is_candidate {
            continue;
        }
        key.last_use = match iam.last_use(&key.listed.id).await {
            Ok(None) => LastUse::Never,
            Ok(Some(last_use)) => LastUse::At(last_use),
            Err(failure) if is_candidate => return Err(failure),
            Err(failure) => LastUse::Unknown(failure.to_string()),
        };
    }
    Ok(())
}

/// The keys in all values with a label but the current one, which is known already, and the one that is being made. A value
/// that cannot be read names no key of ours.
async fn labelled_keys(job: &Job<'_>, current: Option<&VersionId>) -> Result<Vec<AccessKeyId>, Error> {
    let mut keys = Vec::new();
    let labelled = job.description.stages.iter().filter(|(_, stages)| !stages.is_empty());
    for version in labelled.filter_map(|(version, _)| version.parse().ok()) {
        if Some(&version) != current && version != job.event.version {
            keys.extend(key_in(job, &version).await?);
        }
    }
    Ok(keys)
}

/// The key in the version that an earlier rotation prepared and did not finish.
async fn announced_key(job: &Job<'_>) -> Result<Option<AccessKeyId>, Error> {
    match &job.state.intent {
        Some(intent) if intent.version != job.event.version => key_in(job, &intent.version).await,
        _ => Ok(None),
    }
}

async fn key_in(job: &Job<'_>, version: &VersionId) -> Result<Option<AccessKeyId>, Error> {
    let value = job.aws.secrets().value(job.secret(), Some(version), None).await?;
    Ok(value.and_then(|text| StoredValue::read(&text).ok()).map(|value| value.key_id().clone()))
}

/// Disables, then deletes: an active key is never deleted.
pub(super) async fn remove(iam: &dyn Iam, user: &UserName, key: &ListedKey) -> Result<(), CallFailure> {
    if key.status != KeyStatus::Inactive {
        iam.disable_access_key(user, &key.id).await?;
    }
    iam.delete_access_key(user, &key.id).await
}
