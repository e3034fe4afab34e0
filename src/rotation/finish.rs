//! finishSecret: make the pending version the current one, and write down the facts that the later phases count from.

use std::time::Duration;

use chrono::TimeDelta;
use tracing::{error, info};

use super::{Job, user_gone};
use crate::aws::{CURRENT, ListedKey, PREVIOUS};
use crate::error::Error;
use crate::keys::AccessKeyId;
use crate::state::{KeyDates, TagChange, format_time, tag};
use crate::value::{KeyIdentity, StoredValue};

/// What tells of the key before, or of the value before, and an order that was for this rotation.
const OUTDATED: [&str; 4] = [tag::DISABLED_AT, tag::RETIRING, tag::FORCE, tag::PLACEHOLDER];

pub(super) async fn run(job: &Job<'_>) -> Result<(), Error> {
    if job.settings.dry_run {
        return Err(Error::DryRun(job.user().clone()));
    }
    let pending = job.pending_value().await?.ok_or_else(|| job.no_pending_value())?;
    let recorded = job.state.version.as_ref() == Some(&job.event.version);
    if !recorded && is_copy(job, &pending).await? {
        return finish_copy(job).await;
    }
    let new_key = match &pending {
        StoredValue::Key(key) => Some(&key.identity),
        _ if recorded => None,
        _ => return Err(job.not_written_by_us()),
    };
    if job.description.is_staged(&job.event.version, CURRENT) {
        // An earlier attempt moved the label.
        settle(job, new_key, None).await;
        return Ok(());
    }
    check_replaced_value(job).await?;
    let keys = keys(job).await?;
    make_current(job, new_key, keys).await
}

/// A value that was put since setSecret read the current one may be another user's. The facts then describe the version
/// before it.
async fn check_replaced_value(job: &Job<'_>) -> Result<(), Error> {
    if job.state.version != job.description.version_at(CURRENT) {
        job.current_value().await?;
    }
    Ok(())
}

/// The new version becomes the current one; from then on the rotation is done.
async fn make_current(job: &Job<'_>, new_key: Option<&KeyIdentity>, keys: Vec<ListedKey>) -> Result<(), Error> {
    let (version, current) = (&job.event.version, job.description.version_at(CURRENT));
    job.aws.secrets().move_current(job.secret(), current.as_ref(), version).await?;
    info!(%version, key = new_key.map(|key| key.id.as_str()), "the new access key is current");
    settle(job, new_key, Some(keys)).await;
    Ok(())
}

/// Waits before further attempts at the records.
const WAITS: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(20)];
/// A further attempt is made only if this is left after it began: so long may each call wait for its answer.
const TIME_FOR_AN_ATTEMPT: TimeDelta = TimeDelta::seconds(40);

/// Writes down what is a fact since the label moved. The rotation is over whether that succeeds or not: were it reported
/// as failed, the service would start another one, which finds both slots taken. The next sweep restores the facts.
async fn settle(job: &Job<'_>, new_key: Option<&KeyIdentity>, keys: Option<Vec<ListedKey>>) {
    let mut waits = WAITS.into_iter();
    while let Err(failure) = write_down(job, new_key, keys.as_deref()).await {
        match waits.next() {
            Some(wait) if job.aws.now() + wait + TIME_FOR_AN_ATTEMPT < job.deadline => job.aws.sleep(wait).await,
            _ => {
                let version = &job.event.version;
                return error!(%version, error = %failure, "the facts are not written down: the next sweep restores them");
            }
        }
    }
}

/// All in one call: until the record stands, the intent is what it can be restored from. `listed` are the user's keys, if
/// they were listed before.
async fn write_down(job: &Job<'_>, new_key: Option<&KeyIdentity>, listed: Option<&[ListedKey]>) -> Result<(), Error> {
    let mut change = TagChange::default();
    if job.state.version.as_ref() != Some(&job.event.version) {
        let new_key = new_key.ok_or_else(|| job.not_written_by_us())?;
        change = match listed {
            Some(listed) => record(job, new_key, listed),
            None => record(job, new_key, &keys(job).await?),
        };
    }
    // The announced key is in the secret. The announcement of another version's is left: its key may be lost.
    if job.state.intent.is_none() || job.is_announced() {
        change = change.remove(tag::INTENT);
    }
    Ok(job.change_tags(change).await?)
}

async fn keys(job: &Job<'_>) -> Result<Vec<ListedKey>, Error> {
    let user = job.user();
    job.iam().await?.access_keys(&user.name).await.map_err(|failure| user_gone(user, failure))
}

/// Whether the pending version is a copy of the current value: Secrets Manager's test of the configuration, for which no
/// key was announced. It calls testSecret alone; a copy that stays behind is run through all steps.
async fn is_copy(job: &Job<'_>, pending: &StoredValue) -> Result<bool, Error> {
    if job.is_announced() {
        return Ok(false);
    }
    if job.description.is_staged(&job.event.version, CURRENT) {
        // An earlier attempt moved the label: the facts still tell of the version before, and of the same key.
        let before = job.description.version_at(PREVIOUS);
        let same_key = job.state.current_key.as_ref() == Some(pending.key_id());
        return Ok(same_key && before.is_some() && job.state.version == before);
    }
    job.is_copy_of_current().await
}

/// Nothing was made and nothing replaced: the label moves, and the facts stay what they are. Left without it, the copy
/// would stand in the way of every rotation to come.
async fn finish_copy(job: &Job<'_>) -> Result<(), Error> {
    let (store, version) = (job.aws.secrets(), &job.event.version);
    let current = job.description.version_at(CURRENT);
    let facts_are_of =
        if current.as_ref() == Some(version) { job.description.version_at(PREVIOUS) } else { current.clone() };
    if current.as_ref() != Some(version) {
        store.move_current(job.secret(), current.as_ref(), version).await?;
    }
    info!(%version, "the version is a copy of the value before: no key was rotated");
    if job.state.version.is_some() && job.state.version == facts_are_of {
        store.tag(job.secret(), &TagChange::default().set(tag::VERSION, version.as_str()).set).await?;
    }
    Ok(())
}

/// What was told of keys that are gone, where their owner is still owed the word that they are.
fn owed(job: &Job<'_>, keys: &[ListedKey]) -> Option<String> {
    let owed = job.state.notified.owed(|id| keys.iter().any(|key| key.id == *id)).to_tag();
    Some(owed).filter(|owed| !owed.is_empty())
}

/// The old key's grace counts from now. If an earlier attempt moved the label and stopped, that is later than the
/// fact: the old key lives longer, never shorter.
///
/// By IAM's clock the new key is older than that, as it was tested: a clock of ours that is behind must not say otherwise.
fn record(job: &Job<'_>, new_key: &KeyIdentity, keys: &[ListedKey]) -> TagChange {
    let is_there = |id: &AccessKeyId| keys.iter().any(|key| key.id == *id);
    // The key that the new one replaces: the one that createSecret saw and left in place, if it is still there.
    let old_key = job.state.current_key.as_ref().filter(|old| **old != new_key.id && is_there(old));
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
        .set_or_remove(tag::PREVIOUS_KEY, old_key)
        // A key whose slot was needed went before the sweeper could tell of it.
        .set_or_remove(tag::NOTIFIED, owed(job, keys))
}
