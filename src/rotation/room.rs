//! Frees a slot for the new key: reads the facts, lets `slots` decide which keys may give way, and removes those.

use chrono::TimeDelta;
use tracing::warn;

use super::slots::{self, Decision, SlotKey, Slots};
use super::{Job, user_gone};
use crate::aws::{CURRENT, CallFailure, Iam, ListedKey};
use crate::error::Error;
use crate::keys::{AccessKeyId, KeyStatus, LastUse, MAX_KEYS_PER_USER, UserName, VersionId};
use crate::state::{TagChange, tag};
use crate::value::{StoredKey, StoredValue};

/// Limits the age at which a current key that IAM does not list stops **a rotation**. An older key counts as deleted.
///
/// IAM is eventually consistent, and AWS documents no bound for the delay. Ten minutes are enough here for two reasons:
/// the key worked in testSecret before it became current, and IAM's clock gives both its creation and the present time.
/// A longer limit would delay the new key of a user whose key was deleted. A plan has a limit of its own, in
/// `lifecycle::facts`.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_general.html#troubleshoot_general_eventual-consistency>
const UNLISTED_KEY_STOPS_FOR: TimeDelta = TimeDelta::minutes(10);

/// Frees a slot where that loses nothing, and returns the keys that the user keeps. The new key will replace the first.
///
/// # Errors
/// [`Error::NoActiveKey`], [`Error::NoFreeSlot`] and [`Error::CurrentKeyNotListed`]. No key is removed then.
pub(super) async fn make(job: &Job<'_>, iam: &dyn Iam) -> Result<Vec<AccessKeyId>, Error> {
    let user = job.user();
    let listed = iam.access_keys(&user.name).await.map_err(|failure| user_gone(user, failure))?;
    let mut keys: Vec<SlotKey> =
        listed.into_iter().map(|listed| SlotKey { listed, last_use: LastUse::NotAsked }).collect();
    let current_version = job.description.version_at(CURRENT);
    let current = job.current_value().await?;
    check_current_is_listed(job, iam, current.as_ref(), &keys)?;
    let mut in_versions: Vec<AccessKeyId> = current.iter().map(|value| value.key_id().clone()).collect();
    let in_value = current.as_ref().filter(|value| !value.is_placeholder()).map(StoredValue::key_id);
    let candidates: Vec<AccessKeyId> = {
        let known = Slots { in_versions: &in_versions, ..slots_of(job, &keys, current_version.as_ref(), in_value) };
        known.orphan_candidates().into_iter().cloned().collect()
    };
    read_last_uses(iam, &mut keys, &candidates).await?;
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
    if let Some(key) = facts.removed_by_force(&removed) {
        owe_notice(job, key).await?;
    }
    for key in keys.iter().filter(|key| removed.contains(&key.listed.id)) {
        warn!(key = %key.listed.id, force = job.state.force, "removing an access key to free its slot");
        remove(iam, &user.name, &key.listed).await?;
    }
    Ok(keys.into_iter().map(|key| key.listed.id).filter(|id| !removed.contains(id)).collect())
}

/// Records that a person's order removes the key, before it is removed: if the function stops in between, only the
/// record tells the sweeper whom it has to notify.
async fn owe_notice(job: &Job<'_>, key: &AccessKeyId) -> Result<(), Error> {
    let mut notified = job.state.notified.clone();
    notified.owe_forced(key);
    Ok(job.change_tags(TagChange::default().set(tag::NOTIFIED, notified.to_tag())).await?)
}

/// Fails if the list lacks the current key although it is new: such a list is from before the last rotation.
///
/// With that list, the key that the last rotation replaced would look like the current key, and its retirement would be
/// forgotten.
fn check_current_is_listed(
    job: &Job<'_>,
    iam: &dyn Iam,
    current: Option<&StoredValue>,
    keys: &[SlotKey],
) -> Result<(), Error> {
    let Some(StoredValue::Key(StoredKey { identity: current, .. })) = current else { return Ok(()) };
    let is_new = iam.now() < current.created + UNLISTED_KEY_STOPS_FOR;
    if is_new && !keys.iter().any(|key| key.listed.id == current.id) {
        return Err(Error::CurrentKeyNotListed { user: job.user().clone(), key: current.id.clone() });
    }
    Ok(())
}

/// Returns the facts that are known before any other value is read.
fn slots_of<'a>(
    job: &'a Job<'_>,
    keys: &'a [SlotKey],
    current_version: Option<&'a VersionId>,
    in_value: Option<&'a AccessKeyId>,
) -> Slots<'a> {
    let recovery_grace = job.settings.periods.recovery_grace;
    let (state, now) = (&job.state, job.aws.now());
    Slots { keys, state, current_version, in_value, in_versions: &[], announced: None, recovery_grace, now }
}

/// Reads the last uses that a decision can depend on: those of two keys, and of every candidate for the orphan.
///
/// # Errors
/// If a candidate's last use cannot be read. An orphan that is mistaken for a person's key would count as the key that
/// the new one replaces.
async fn read_last_uses(iam: &dyn Iam, keys: &mut [SlotKey], candidates: &[AccessKeyId]) -> Result<(), CallFailure> {
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

/// Returns the keys in the values of all versions with a label, without the current and the pending version. An
/// unreadable value names no key of keywheel's.
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

/// Returns the key in the version that an earlier rotation announced and did not finish.
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

/// Disables the key, then deletes it: an active key is never deleted.
pub(super) async fn remove(iam: &dyn Iam, user: &UserName, key: &ListedKey) -> Result<(), CallFailure> {
    if key.status != KeyStatus::Inactive {
        iam.disable_access_key(user, &key.id).await?;
    }
    iam.delete_access_key(user, &key.id).await
}
