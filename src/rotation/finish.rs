//! finishSecret: make the pending version current once its key has worked, and record the facts that the later phases
//! count from.

use std::time::Duration;

use chrono::TimeDelta;
use tracing::{error, info};

use super::{Job, current, test, user_gone};
use crate::aws::{CURRENT, ListedKey, PREVIOUS};
use crate::error::Error;
use crate::keys::AccessKeyId;
use crate::state::{KeyDates, TagChange, format_time, tag};
use crate::value::{KeyIdentity, StoredValue};

/// Tags about the previous key or value, the `force` order that this rotation has carried out, and the cause of an
/// earlier failure.
const OUTDATED: [&str; 5] = [tag::DISABLED_AT, tag::RETIRING, tag::FORCE, tag::PLACEHOLDER, tag::FAILED];

/// Makes the pending version current, or completes an earlier attempt that moved the label and stopped.
pub(super) async fn run(job: &Job<'_>) -> Result<(), Error> {
    if job.settings.dry_run {
        return Err(Error::DryRun(job.user().clone()));
    }
    let pending = job.put_value().await?;
    let is_recorded = job.state.version.as_ref() == Some(&job.event.version);
    if !is_recorded && is_copy(job, &pending).await? {
        return finish_copy(job).await;
    }
    if is_recorded || job.is_announced() {
        return finish_key(job, &pending, is_recorded).await;
    }
    // The tags without the intent are from before createSecret, and may name another key as the one to replace.
    finish_key(&job.until_announced().await?, &pending, false).await
}

/// Makes the pending key current, and records that.
async fn finish_key(job: &Job<'_>, pending: &StoredValue, is_recorded: bool) -> Result<(), Error> {
    let new_key = match pending {
        StoredValue::Key(key) => Some(&key.identity),
        _ if is_recorded => None,
        _ => return Err(job.not_written_by_us()),
    };
    if job.description.is_staged(&job.event.version, CURRENT) {
        // An earlier attempt moved the label.
        record(job, new_key, None).await;
        return Ok(());
    }
    let StoredValue::Key(key) = pending else { return Err(job.not_written_by_us()) };
    // The step before may not have run, and no record of it would prove that it has: whoever may tag could write one.
    test::prove(job, key).await?;
    check_replaced_value(job).await?;
    let keys = keys(job).await?;
    make_current(job, &key.identity, keys).await
}

/// Fails if the current value is another user's.
///
/// Reads it only if the facts describe another version. setSecret has read every other value, because a value that was
/// put later is in a version of its own.
async fn check_replaced_value(job: &Job<'_>) -> Result<(), Error> {
    if job.state.version != job.description.version_at(CURRENT) {
        current::read(job).await?;
    }
    Ok(())
}

/// Moves AWSCURRENT to the new version, which ends the rotation, and records that.
async fn make_current(job: &Job<'_>, new_key: &KeyIdentity, keys: Vec<ListedKey>) -> Result<(), Error> {
    let (version, current) = (&job.event.version, job.description.version_at(CURRENT));
    job.aws.secrets().move_current(job.secret(), current.as_ref(), version).await?;
    info!(%version, key = %new_key.id, "the new access key is current");
    record(job, Some(new_key), Some(keys)).await;
    Ok(())
}

/// The pauses before the second and the third attempt to record the facts.
const WAITS: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(20)];
/// The time that an attempt may take. Each call waits that long for its answer, so a later attempt is not begun.
const TIME_FOR_AN_ATTEMPT: TimeDelta = TimeDelta::seconds(40);

/// Records the facts of a rotation whose label has moved.
///
/// A failure is logged and not returned. The rotation is over: if it were reported as failed, the service would start
/// another one, which would find both slots taken. The next sweep restores the facts.
async fn record(job: &Job<'_>, new_key: Option<&KeyIdentity>, keys: Option<Vec<ListedKey>>) {
    // `until` does not fit: it ends at the first failure, and its pauses are equal.
    let mut waits = WAITS.into_iter();
    while let Err(failure) = write_facts(job, new_key, keys.as_deref()).await {
        match waits.next() {
            Some(wait) if job.aws.now() + wait + TIME_FOR_AN_ATTEMPT < job.deadline => job.aws.sleep(wait).await,
            _ => {
                let version = &job.event.version;
                return error!(%version, error = %failure, "the facts are not recorded: the next sweep restores them");
            }
        }
    }
}

/// Writes the facts in one call, which also removes the intent: until then a sweep restores the facts from the intent.
/// `listed` are the user's keys, if this step has read them.
async fn write_facts(job: &Job<'_>, new_key: Option<&KeyIdentity>, listed: Option<&[ListedKey]>) -> Result<(), Error> {
    let mut change = TagChange::default();
    if job.state.version.as_ref() != Some(&job.event.version) {
        let new_key = new_key.ok_or_else(|| job.not_written_by_us())?;
        change = match listed {
            Some(listed) => facts(job, new_key, listed),
            None => facts(job, new_key, &keys(job).await?),
        };
    }
    // The announced key is in the secret. The intent of another version stays: its key may be an orphan.
    if job.state.intent.is_none() || job.is_announced() {
        change = change.remove(tag::INTENT);
    }
    Ok(job.change_tags(change).await?)
}

async fn keys(job: &Job<'_>) -> Result<Vec<ListedKey>, Error> {
    let user = job.user();
    job.iam().await?.access_keys(&user.name).await.map_err(|failure| user_gone(user, failure))
}

/// Whether the pending version is a copy of the current value, for which no key was announced.
///
/// Secrets Manager makes such a copy to test the configuration, and calls testSecret alone. If the copy stays behind,
/// the next rotation runs all steps on it.
async fn is_copy(job: &Job<'_>, pending: &StoredValue) -> Result<bool, Error> {
    if job.is_announced() {
        return Ok(false);
    }
    if job.description.is_staged(&job.event.version, CURRENT) {
        // An earlier attempt moved the label: the facts still describe the previous version, with the same key.
        let before = job.description.version_at(PREVIOUS);
        let same_key = job.state.current_key.as_ref() == Some(pending.key_id());
        return Ok(same_key && before.is_some() && job.state.version == before);
    }
    job.is_copy_of_current().await
}

/// Moves the label to a copy and keeps the facts, because no key was created or replaced. Without the label the copy
/// would block every later rotation.
async fn finish_copy(job: &Job<'_>) -> Result<(), Error> {
    let (store, version) = (job.aws.secrets(), &job.event.version);
    let current = job.description.version_at(CURRENT);
    let facts_are_of =
        if current.as_ref() == Some(version) { job.description.version_at(PREVIOUS) } else { current.clone() };
    if current.as_ref() != Some(version) {
        store.move_current(job.secret(), current.as_ref(), version).await?;
    }
    info!(%version, "the version is a copy of the previous value: no key was rotated");
    let mut change = TagChange::default().remove(tag::FAILED);
    if job.state.version.is_some() && job.state.version == facts_are_of {
        change = change.set(tag::VERSION, version.as_str());
    }
    Ok(job.change_tags(change).await?)
}

/// Returns the recorded notices of deleted keys whose owners have not been sent the notice of the deletion.
fn owed(job: &Job<'_>, keys: &[ListedKey]) -> Option<String> {
    let owed = job.state.notified.owed(|id| keys.iter().any(|key| key.id == *id)).to_tag();
    Some(owed).filter(|owed| !owed.is_empty())
}

/// Returns the facts after a rotation.
///
/// The previous key's grace counts from now. If an earlier attempt moved the label and stopped, now is later than the
/// move, so the previous key lives longer, never shorter. `rotated-at` is never before the new key's creation by IAM's
/// clock, even if our own clock is slow.
fn facts(job: &Job<'_>, new_key: &KeyIdentity, keys: &[ListedKey]) -> TagChange {
    let is_there = |id: &AccessKeyId| keys.iter().any(|key| key.id == *id);
    // createSecret recorded the key that the new one replaces as the current key.
    let previous_key = job.state.current_key.as_ref().filter(|old| **old != new_key.id && is_there(old));
    let rotated_at = job.aws.now().max(new_key.created);
    let others = keys.iter().filter(|key| key.id != new_key.id).map(|key| key.created);
    OUTDATED
        .into_iter()
        .fold(TagChange::default(), TagChange::remove)
        .set(tag::MANAGED, "1")
        .set(tag::VERSION, job.event.version.as_str())
        .set(tag::CURRENT_KEY, new_key.id.as_str())
        .set(tag::ROTATED_AT, format_time(rotated_at))
        .set(tag::KEY_DATES, KeyDates::new(Some(new_key.created), others).to_string())
        .set_or_remove(tag::PREVIOUS_KEY, previous_key)
        // createSecret may have deleted a key for its slot before the sweeper sent the notice of that.
        .set_or_remove(tag::NOTIFIED, owed(job, keys))
}
