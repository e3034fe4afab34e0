//! finishSecret: make the pending version the current one, and write down the facts that the later phases count from.

use tracing::info;

use super::{Job, user_gone};
use crate::aws::CURRENT;
use crate::error::Error;
use crate::keys::AccessKeyId;
use crate::state::{TagChange, format_time, tag};
use crate::value::StoredValue;

/// What tells of the key before, and an order that was for this rotation.
const OUTDATED: [&str; 4] = [tag::NOTIFIED, tag::DISABLED_AT, tag::RETIRING, tag::FORCE];

pub(super) async fn run(job: &Job<'_>) -> Result<(), Error> {
    if job.settings.dry_run {
        return Err(Error::DryRun(job.user().clone()));
    }
    let StoredValue::Key(key) = job.pending_value().await?.ok_or_else(|| job.no_pending_value())? else {
        return Err(job.not_written_by_us());
    };
    let version = &job.event.version;
    let recorded = job.state.version.as_ref() == Some(version);
    let old_key = if recorded { None } else { replaced_key(job, &key.identity.id).await? };
    let current = job.description.version_at(CURRENT);
    if current.as_ref() != Some(version) {
        job.aws.secrets().move_current(job.secret(), current.as_ref(), version).await?;
        info!(%version, key = %key.identity.id, "the new access key is current");
    }
    if !recorded {
        record(job, &key.identity.id, old_key.as_ref()).await?;
    }
    // Last: until the record stands, the intent is what it can be restored from.
    Ok(job.aws.secrets().untag(job.secret(), &[tag::INTENT]).await?)
}

/// The key that the new one replaces: the one that createSecret saw and left in place, if it is still there.
async fn replaced_key(job: &Job<'_>, new_key: &AccessKeyId) -> Result<Option<AccessKeyId>, Error> {
    let user = job.user();
    let keys = job.iam().await?.access_keys(&user.name).await.map_err(|failure| user_gone(user, failure))?;
    let replaced = job.state.current_key.as_ref().filter(|old| *old != new_key);
    Ok(replaced.filter(|old| keys.iter().any(|key| key.id == **old)).cloned())
}

/// The old key's grace counts from now. If an earlier attempt moved the label and stopped, that is later than the
/// fact: the old key lives longer, never shorter.
async fn record(job: &Job<'_>, new_key: &AccessKeyId, old_key: Option<&AccessKeyId>) -> Result<(), Error> {
    let change = OUTDATED
        .into_iter()
        .fold(TagChange::default(), TagChange::remove)
        .set(tag::MANAGED, "1")
        .set(tag::VERSION, job.event.version.as_str())
        .set(tag::CURRENT_KEY, new_key.as_str())
        .set(tag::ROTATED_AT, format_time(job.aws.now()))
        .set_or_remove(tag::PREVIOUS_KEY, old_key);
    // Removals go first: beside the new version, what is left over would be taken for this one's.
    job.aws.secrets().untag(job.secret(), &change.remove).await?;
    Ok(job.aws.secrets().tag(job.secret(), &change.set).await?)
}
