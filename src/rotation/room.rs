//! Frees a slot for the new key: reads the facts, lets `slots` decide which keys may give way, and removes those.

use chrono::TimeDelta;
use tracing::warn;

use super::current::{self, CurrentValue};
use super::slots::{self, Decision, KeyInValue, SlotKey, Slots};
use super::{Job, first_value, user_gone};
use crate::aws::{CURRENT, CallFailure, Iam, ListedKey, PREVIOUS, is_binary_value, is_kms_refusal};
use crate::error::Error;
use crate::keys::{AccessKeyId, KeyStatus, LastUse, MAX_KEYS_PER_USER, UserArn, UserName, VersionId};
use crate::state::{TagChange, tag};
use crate::value::StoredValue;

/// Limits the age at which a current key that IAM does not list stops **a rotation**. An older key counts as deleted.
///
/// IAM is eventually consistent, and AWS documents no bound for the delay. Ten minutes are enough here for two reasons:
/// the key worked in testSecret before it became current, and IAM's clock gives both its creation and the present time.
/// A longer limit would delay the new key of a user whose key was deleted. A plan has a limit of its own, in
/// `lifecycle::facts`.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_general.html#troubleshoot_general_eventual-consistency>
const UNLISTED_KEY_STOPS_FOR: TimeDelta = TimeDelta::minutes(10);

/// Returns the user's keys.
///
/// # Errors
/// [`Error::UserGone`].
pub(super) async fn list(job: &Job<'_>, iam: &dyn Iam) -> Result<Vec<ListedKey>, Error> {
    let user = job.user();
    iam.access_keys(&user.name).await.map_err(|failure| user_gone(user, failure))
}

/// Frees a slot where that loses nothing, and returns the keys that the user keeps, out of those `listed`. The new key
/// will replace the first.
///
/// # Errors
/// [`Error::NoActiveKey`], [`Error::NoFreeSlot`], [`Error::CurrentKeyNotListed`] and [`Error::NoCurrentValue`]. No key
/// is removed then.
pub(super) async fn make(
    job: &Job<'_>,
    iam: &dyn Iam,
    arn: &UserArn,
    listed: Vec<ListedKey>,
) -> Result<Vec<AccessKeyId>, Error> {
    let user = job.user();
    let mut keys: Vec<SlotKey> =
        listed.into_iter().map(|listed| SlotKey { listed, last_use: LastUse::NotAsked }).collect();
    let current = current::read(job).await?;
    if matches!(current, CurrentValue::Absent) {
        return Err(first_value::put(job, arn, &keys).await);
    }
    check_current_is_listed(job, iam, &current, &keys)?;
    let current_version = job.description.version_at(CURRENT);
    let in_value = current.key(job);
    let mut in_versions = InVersions { keys: current.named().cloned().into_iter().collect(), unread: None };
    let candidates: Vec<AccessKeyId> = {
        let known = slots_of(job, &keys, current_version.as_ref(), in_value, &in_versions);
        known.orphan_candidates().into_iter().cloned().collect()
    };
    read_last_uses(iam, &mut keys, &candidates).await?;
    let mut announced = None;
    if !candidates.is_empty() {
        in_versions.read_labelled(job, &current).await?;
        announced = announced_key(job, &mut in_versions).await?;
    }
    let known = slots_of(job, &keys, current_version.as_ref(), in_value, &in_versions);
    let facts = Slots { announced: announced.as_ref(), ..known };
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
/// forgotten. If the value cannot be read, the tags name its key and the time of its rotation.
fn check_current_is_listed(
    job: &Job<'_>,
    iam: &dyn Iam,
    current: &CurrentValue,
    keys: &[SlotKey],
) -> Result<(), Error> {
    let by_tags = || Some((job.state.current_key.as_ref()?, job.state.rotated_at?));
    let named = match current {
        CurrentValue::Read(StoredValue::Key(key)) => Some((&key.identity.id, key.identity.created)),
        CurrentValue::Unreadable(_) if job.facts_are_fresh() => by_tags(),
        CurrentValue::Absent | CurrentValue::Read(_) | CurrentValue::Unreadable(_) => None,
    };
    let Some((id, since)) = named else { return Ok(()) };
    if iam.now() < since + UNLISTED_KEY_STOPS_FOR && !keys.iter().any(|key| key.listed.id == *id) {
        return Err(Error::CurrentKeyNotListed { user: job.user().clone(), key: id.clone() });
    }
    Ok(())
}

/// Returns the facts that are known before the values of other versions are read.
fn slots_of<'a>(
    job: &'a Job<'_>,
    keys: &'a [SlotKey],
    current_version: Option<&'a VersionId>,
    in_value: KeyInValue<'a>,
    in_versions: &'a InVersions,
) -> Slots<'a> {
    let recovery_grace = job.settings.periods.recovery_grace;
    let (state, now) = (&job.state, job.aws.now());
    let (in_versions, unread) = (&in_versions.keys[..], in_versions.unread.as_deref());
    Slots { keys, state, current_version, in_value, in_versions, unread, announced: None, recovery_grace, now }
}

/// The keys that the values of versions name.
struct InVersions {
    keys: Vec<AccessKeyId>,
    /// Why a value could not be read that may name the announced key.
    unread: Option<String>,
}

impl InVersions {
    /// Reads all versions with a label, except the pending one and the current one, which was read before.
    ///
    /// If the tags name the key in the current version, the current and the previous version are older than the
    /// intent, so the announced key is in neither. After a change by hand the tags name none.
    async fn read_labelled(&mut self, job: &Job<'_>, current: &CurrentValue) -> Result<(), Error> {
        let is_recorded = job.facts_are_fresh() && job.state.current_key.is_some();
        if let CurrentValue::Unreadable(why) = current
            && !is_recorded
        {
            self.unread = Some(why.clone());
        }
        let is_known = |version: &VersionId| is_recorded && job.description.is_staged(version, PREVIOUS);
        let labelled = job.description.stages.iter().filter(|(_, stages)| !stages.is_empty());
        for version in labelled.filter_map(|(version, _)| version.parse().ok()) {
            if version == job.event.version || job.description.is_staged(&version, CURRENT) {
                continue;
            }
            match key_in(job, &version).await? {
                Named::Key(key) => self.keys.push(key),
                Named::Unreadable(why) if !is_known(&version) => self.unread = Some(why),
                Named::Unreadable(_) | Named::NoKey => {}
            }
        }
        Ok(())
    }
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

/// Returns the key in the version that an earlier rotation announced and did not finish.
async fn announced_key(job: &Job<'_>, in_versions: &mut InVersions) -> Result<Option<AccessKeyId>, Error> {
    let Some(intent) = job.state.intent.as_ref().filter(|intent| intent.version != job.event.version) else {
        return Ok(None);
    };
    Ok(match key_in(job, &intent.version).await? {
        Named::Key(key) => Some(key),
        Named::NoKey => None,
        Named::Unreadable(why) => {
            in_versions.unread = Some(why);
            None
        }
    })
}

/// The key that a version's value names.
enum Named {
    Key(AccessKeyId),
    /// The version has no value, or a value that names no key of keywheel's.
    NoKey,
    /// No usable KMS key decrypts the value, for this reason.
    Unreadable(String),
}

/// Reads a version's value.
///
/// # Errors
/// The failure of the call if it was denied or not answered.
async fn key_in(job: &Job<'_>, version: &VersionId) -> Result<Named, Error> {
    let value = match job.aws.secrets().value(job.secret(), Some(version), None).await {
        Err(failure) if is_kms_refusal(&failure) => return Ok(Named::Unreadable(failure.to_string())),
        Err(failure) if is_binary_value(&failure) => None,
        value => value?,
    };
    let read = value.and_then(|text| StoredValue::read(&text).ok());
    Ok(read.map_or(Named::NoKey, |value| Named::Key(value.key_id().clone())))
}

/// Disables the key, then deletes it: an active key is never deleted.
pub(super) async fn remove(iam: &dyn Iam, user: &UserName, key: &ListedKey) -> Result<(), CallFailure> {
    if key.status != KeyStatus::Inactive {
        iam.disable_access_key(user, &key.id).await?;
    }
    iam.delete_access_key(user, &key.id).await
}
