//! Cleans up after a key that did not get into the secret. If that is not possible at once, the intent stays, so that
//! the next attempt or a person can identify the key.

use chrono::{DateTime, SubsecRound as _, Utc};
use tracing::{info, warn};

use super::{Job, room};
use crate::aws::{CallFailure, FailureKind, Iam, ListedKey};
use crate::error::Error;
use crate::keys::{AccessKeyId, KeyStatus, MAX_KEYS_PER_USER};
use crate::state::{Intent, TagChange, WHOLE_SECOND, tag};
use crate::value::StoredValue;

/// Cleans up after CreateAccessKey failed.
///
/// After a refusal no key exists, so the intent is withdrawn: it must not announce a key that a person creates now, and
/// an earlier attempt's key must still be found by its own intent. Without an answer, the key is looked up by its date.
/// `kept` are the user's keys before the call; `sent` is the time of the call by IAM's clock.
pub(super) async fn after_no_key(
    job: &Job<'_>,
    iam: &dyn Iam,
    kept: &[AccessKeyId],
    sent: DateTime<Utc>,
    failure: &CallFailure,
) {
    if failure.kind() != FailureKind::NoAnswer {
        return withdraw(job).await;
    }
    match clean_up(job, iam, kept, sent).await {
        Ok(Cleanup::Removed(key)) => warn!(%key, "deleted the key that CreateAccessKey created without an answer"),
        Ok(Cleanup::NotCreated) => info!("CreateAccessKey was not answered and created no key"),
        Ok(Cleanup::Unknown) => {
            warn!("unknown whether CreateAccessKey created a key: the next attempt finds it by the intent");
            return;
        }
        Err(unknown) => {
            warn!(error = %unknown, "unknown whether CreateAccessKey created a key: the next attempt finds it by the intent");
            return;
        }
    }
    withdraw(job).await;
}

/// The fate of a key whose CreateAccessKey was not answered.
enum Cleanup {
    /// It was created, and is deleted.
    Removed(AccessKeyId),
    /// It was not created: the keys of other people take both slots.
    NotCreated,
    /// It may have been created and not be listed yet.
    Unknown,
}

/// Looks for the key at once. Only a key that a person creates during the call, and does not use, can be mistaken for
/// it.
async fn clean_up(
    job: &Job<'_>,
    iam: &dyn Iam,
    kept: &[AccessKeyId],
    sent: DateTime<Utc>,
) -> Result<Cleanup, CallFailure> {
    let name = &job.user().name;
    let listed = iam.access_keys(name).await?;
    let during_the_call = sent.trunc_subsecs(0) - WHOLE_SECOND..=iam.now() + WHOLE_SECOND;
    let new: Vec<&ListedKey> = listed.iter().filter(|key| !kept.contains(&key.id)).collect();
    let candidates: Vec<&&ListedKey> = new.iter().filter(|key| during_the_call.contains(&key.created)).collect();
    match candidates[..] {
        [] if !new.is_empty() && listed.len() >= MAX_KEYS_PER_USER => Ok(Cleanup::NotCreated),
        [key] if iam.last_use(&key.id).await?.is_none() => {
            room::remove(iam, name, key).await?;
            Ok(Cleanup::Removed(key.id.clone()))
        }
        _ => Ok(Cleanup::Unknown),
    }
}

/// Removes the intent of a key that does not exist, or restores the intent of an earlier attempt. A failure is
/// logged.
pub(super) async fn withdraw(job: &Job<'_>) {
    let store = job.aws.secrets();
    let restored = match &job.state.intent {
        Some(earlier) => store.tag(job.secret(), &TagChange::default().intent(earlier).set).await,
        None => store.untag(job.secret(), &[tag::INTENT]).await,
    };
    if let Err(failure) = restored {
        warn!(error = %failure, "the intent of a key that does not exist could not be removed");
    }
}

/// Cleans up after PutSecretValue failed, or its answer was lost.
///
/// The key is deleted if Secrets Manager confirms that the value is missing. If that is unknown, the key stays: the
/// next attempt finds the value or, by the intent that names it, the orphan.
///
/// # Errors
/// `failure`, unless the value is in the version.
pub(super) async fn after_no_put(
    job: &Job<'_>,
    iam: &dyn Iam,
    id: &AccessKeyId,
    intent: &Intent,
    failure: CallFailure,
) -> Result<(), Error> {
    // Name the key first: if the function stops after this, no other key is mistaken for it.
    let named = TagChange::default().intent(&intent.naming(id));
    if let Err(unnamed) = job.aws.secrets().tag(job.secret(), &named.set).await {
        warn!(key = %id, error = %unnamed, "the key could not be named in the intent");
    }
    let put = job.aws.secrets().value(job.secret(), Some(&job.event.version), None).await;
    match put {
        Ok(Some(text)) if StoredValue::read(&text).is_ok_and(|value| value.key_id() == id) => {
            info!(key = %id, "the value was put although the call failed");
            return Ok(());
        }
        // The put may still be running, or an earlier attempt of the call may have put a value that is not visible yet.
        Ok(None) if matches!(failure.kind(), FailureKind::NoAnswer | FailureKind::Throttled) => {
            warn!(key = %id, "unknown whether the value was put: the next attempt finds out");
        }
        Ok(_) => delete(job, iam, id).await,
        Err(unknown) => {
            warn!(key = %id, error = %unknown, "unknown whether the value was put: the next attempt finds out");
        }
    }
    Err(failure.into())
}

async fn delete(job: &Job<'_>, iam: &dyn Iam, id: &AccessKeyId) {
    warn!(key = %id, "the value could not be put: deleting its key");
    let key = ListedKey { id: id.clone(), status: KeyStatus::Active, created: iam.now() };
    // A key that cannot be disabled is not deleted.
    match room::remove(iam, &job.user().name, &key).await {
        Ok(()) => withdraw(job).await,
        Err(failure) => {
            warn!(key = %id, error = %failure, "the key could not be deleted: the next attempt finds it by the intent");
        }
    }
}
