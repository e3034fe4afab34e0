//! A key on its way into the secret that did not arrive: what can be cleared up at once is, and what cannot is left so that
//! the next attempt, or a person, can tell it.

use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};
use tracing::{info, warn};

use super::{Job, room};
use crate::aws::{CallFailure, FailureKind, Iam, ListedKey};
use crate::error::Error;
use crate::keys::{AccessKeyId, KeyStatus, MAX_KEYS_PER_USER};
use crate::state::{Intent, TagChange, tag};
use crate::value::StoredValue;

/// Dates of IAM's are whole seconds, and its hosts' clocks agree to less than one.
const WHOLE_SECOND: TimeDelta = TimeDelta::seconds(1);

/// CreateAccessKey failed. A key that was definitely refused does not exist: what a person makes in this moment must not
/// pass for it, and an earlier attempt's key must still be found by its own intent. `left` are the keys that the user had;
/// `sent` is when the call was, by IAM's clock.
pub(super) async fn after_no_key(
    job: &Job<'_>,
    iam: &dyn Iam,
    left: &[AccessKeyId],
    sent: DateTime<Utc>,
    failure: &CallFailure,
) {
    if failure.kind() != FailureKind::NoAnswer {
        return withdraw(job).await;
    }
    match settle(job, iam, left, sent).await {
        Ok(Settled::Removed(key)) => warn!(%key, "deleted the key that CreateAccessKey made without an answer"),
        Ok(Settled::NotMade) => info!("CreateAccessKey was not answered and made no key"),
        Ok(Settled::Unknown) => {
            warn!("not known whether CreateAccessKey made a key: the next attempt finds it by the intent");
            return;
        }
        Err(unknown) => {
            warn!(error = %unknown, "not known whether CreateAccessKey made a key: the next attempt finds it by the intent");
            return;
        }
    }
    withdraw(job).await;
}

enum Settled {
    /// The key that was made is gone.
    Removed(AccessKeyId),
    /// Both slots are taken by keys that others made.
    NotMade,
    /// It may be made, and not listed yet.
    Unknown,
}

/// The sooner it is looked, the shorter is the time within which another's key can be mistaken: here no longer than the
/// call took.
async fn settle(
    job: &Job<'_>,
    iam: &dyn Iam,
    left: &[AccessKeyId],
    sent: DateTime<Utc>,
) -> Result<Settled, CallFailure> {
    let name = &job.user().name;
    let listed = iam.access_keys(name).await?;
    let during_the_call = sent.trunc_subsecs(0) - WHOLE_SECOND..=iam.now() + WHOLE_SECOND;
    let new: Vec<&ListedKey> = listed.iter().filter(|key| !left.contains(&key.id)).collect();
    let made: Vec<&&ListedKey> = new.iter().filter(|key| during_the_call.contains(&key.created)).collect();
    match made[..] {
        [] if !new.is_empty() && listed.len() >= MAX_KEYS_PER_USER => Ok(Settled::NotMade),
        [key] if iam.last_use(&key.id).await?.is_none() => {
            room::remove(iam, name, key).await?;
            Ok(Settled::Removed(key.id.clone()))
        }
        _ => Ok(Settled::Unknown),
    }
}

/// Takes the announcement of a key back that was not made, or is gone.
pub(super) async fn withdraw(job: &Job<'_>) {
    let store = job.aws.secrets();
    let restored = match &job.state.intent {
        Some(earlier) => store.tag(job.secret(), &TagChange::default().intent(earlier).set).await,
        None => store.untag(job.secret(), &[tag::INTENT]).await,
    };
    if let Err(left) = restored {
        warn!(error = %left, "the intent of a key that is not there could not be taken back");
    }
}

/// The put failed, or only its answer was lost. The key is deleted if the service says that the value is not there; if
/// that cannot be known, it stays for the next attempt, which finds the value or, named by the intent, the orphan.
pub(super) async fn after_no_put(
    job: &Job<'_>,
    iam: &dyn Iam,
    id: &AccessKeyId,
    intent: &Intent,
    failure: CallFailure,
) -> Result<(), Error> {
    // First: whatever stops us from here on, no other key is taken for this one.
    let named = TagChange::default().intent(&intent.naming(id));
    if let Err(unnamed) = job.aws.secrets().tag(job.secret(), &named.set).await {
        warn!(key = %id, error = %unnamed, "the intent could not be made to name the key");
    }
    let there = job.aws.secrets().value(job.secret(), Some(&job.event.version), None).await;
    match there {
        Ok(Some(text)) if StoredValue::read(&text).is_ok_and(|value| value.key_id() == id) => {
            info!(key = %id, "the value was put although the call failed");
            return Ok(());
        }
        // The put may still be under way, or may be there and not yet readable: an attempt before the last may have
        // had its effect.
        Ok(None) if matches!(failure.kind(), FailureKind::NoAnswer | FailureKind::Throttled) => {
            warn!(key = %id, "not known whether the value was put: the next attempt finds out");
        }
        Ok(_) => delete(job, iam, id).await,
        Err(unknown) => {
            warn!(key = %id, error = %unknown, "not known whether the value was put: the next attempt finds out");
        }
    }
    Err(failure.into())
}

async fn delete(job: &Job<'_>, iam: &dyn Iam, id: &AccessKeyId) {
    warn!(key = %id, "the value could not be put: deleting the key that was made for it");
    let key = ListedKey { id: id.clone(), status: KeyStatus::Active, created: iam.now() };
    // Disabled first, always; what cannot be disabled is not deleted.
    match room::remove(iam, &job.user().name, &key).await {
        Ok(()) => withdraw(job).await,
        Err(left) => {
            warn!(key = %id, error = %left, "the key could not be deleted: the next attempt finds it by the intent");
        }
    }
}
