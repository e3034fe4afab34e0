//! createSecret: make the new key and put it into the pending version.
//!
//! The order is what keeps keys from being lost: announce, make, put. Whatever fails in between, the next attempt finds
//! either the value or the orphan.

use std::time::Duration;

use tracing::{info, warn};

use super::{Job, room, user_gone};
use crate::aws::{Failure, FailureKind, Iam, NewKey, has_group};
use crate::error::Error;
use crate::keys::{AccessKeyId, UserArn};
use crate::state::{TagChange, tag};
use crate::value::{KeyIdentity, StoredKey, StoredValue};

/// On a second attempt the value that the first one put may not be readable everywhere yet. Taking it for lost would
/// delete the key in it.
const READS_OF_A_RETRIED_VERSION: u32 = 3;
const WAIT_BETWEEN_READS: Duration = Duration::from_secs(2);

pub(super) async fn run(job: &Job<'_>) -> Result<(), Error> {
    if job.settings.dry_run {
        return Err(Error::DryRun(job.user().clone()));
    }
    if pending_value_settled(job).await?.is_some() {
        info!("the pending version has its value already");
        return Ok(());
    }
    let current = job.current_value().await?;
    let iam = job.iam().await?;
    let arn = user_to_rotate(job, &*iam).await?;
    let kept = room::make(job, &*iam, current.as_ref()).await?;
    announce(job, kept.as_ref()).await?;
    let key = match iam.create_access_key(&job.user().name).await {
        Ok(key) => key,
        Err(failure) => return Err(take_back(job, failure).await),
    };
    info!(key = %key.id, "made an access key");
    put(job, &*iam, arn, key).await
}

/// The pending value; asked for several times if an earlier attempt of this very rotation got as far as its intent.
async fn pending_value_settled(job: &Job<'_>) -> Result<Option<StoredValue>, Error> {
    let retried = job.state.intent.as_ref().is_some_and(|intent| intent.version == job.event.version);
    let reads = if retried { READS_OF_A_RETRIED_VERSION } else { 1 };
    for read in 1..=reads {
        let value = job.pending_value().await?;
        if value.is_some() || read == reads {
            return Ok(value);
        }
        job.aws.sleep(WAIT_BETWEEN_READS).await;
    }
    Ok(None)
}

/// The user's ARN, if the user is there and not exempt. Asked at this moment: a sweep may be a day old.
async fn user_to_rotate(job: &Job<'_>, iam: &dyn Iam) -> Result<UserArn, Error> {
    let user = job.user();
    let found = iam.find_user(&user.name).await?.ok_or_else(|| Error::UserGone(user.clone()))?;
    let groups = iam.groups_of(&user.name).await.map_err(|failure| user_gone(user, failure))?;
    let group = &job.settings.exemption_group;
    if has_group(&groups, group) {
        return Err(Error::UserExempt { user: user.clone(), group: group.clone() });
    }
    Ok(found.arn)
}

/// Writes the intent down. Were the function to stop after making the key and before putting it, nothing else would
/// tell our orphan from a person's key.
async fn announce(job: &Job<'_>, kept: Option<&AccessKeyId>) -> Result<(), Error> {
    let mut change = TagChange::default().intent(&job.event.version, job.aws.now());
    if let Some(kept) = kept.filter(|kept| job.state.current_key.as_ref() != Some(kept)) {
        // The key that this rotation replaces is not the one that the other facts tell of; with them beside it, it would
        // pass for one that was tested.
        change = OF_ANOTHER_KEY.into_iter().fold(change, TagChange::remove).set(tag::CURRENT_KEY, kept.as_str());
    }
    job.aws.secrets().untag(job.secret(), &change.remove).await?;
    Ok(job.aws.secrets().tag(job.secret(), &change.set).await?)
}

const OF_ANOTHER_KEY: [&str; 4] = [tag::ROTATED_AT, tag::PREVIOUS_KEY, tag::DISABLED_AT, tag::RETIRING];

/// A key that was definitely refused does not exist: what a person makes in this moment must not pass for it, and an
/// earlier attempt's key must still be found by its own intent.
async fn take_back(job: &Job<'_>, failure: Failure) -> Error {
    if failure.kind() != FailureKind::NoAnswer {
        let store = job.aws.secrets();
        let restored = match &job.state.intent {
            Some(earlier) => {
                let change = TagChange::default().intent(&earlier.version, earlier.at);
                store.tag(job.secret(), &change.set).await
            }
            None => store.untag(job.secret(), &[tag::INTENT]).await,
        };
        if let Err(left) = restored {
            warn!(error = %left, "the intent of a key that was not made could not be taken back");
        }
    }
    failure.into()
}

async fn put(job: &Job<'_>, iam: &dyn Iam, arn: UserArn, key: NewKey) -> Result<(), Error> {
    let identity = KeyIdentity { id: key.id, arn, created: key.created.unwrap_or_else(|| job.aws.now()) };
    let stored = StoredKey { identity, secret: key.secret };
    let token = job.event.rotation_token.as_ref().map(super::event::RotationToken::expose);
    let version = &job.event.version;
    match job.aws.secrets().put_pending(job.secret(), version, &stored.to_json(), token).await {
        Ok(()) => Ok(()),
        Err(failure) => recover(job, iam, &stored, failure).await,
    }
}

/// The put failed, or only its answer was lost. The key is deleted if the service says that the value is not there; if
/// that cannot be known, it stays for the next attempt, which finds the value or, by the intent, the orphan.
async fn recover(job: &Job<'_>, iam: &dyn Iam, stored: &StoredKey, failure: Failure) -> Result<(), Error> {
    let id = &stored.identity.id;
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
            return Err(failure.into());
        }
        Ok(_) => {}
        Err(unknown) => {
            warn!(key = %id, error = %unknown, "not known whether the value was put: the next attempt finds out");
            return Err(failure.into());
        }
    }
    warn!(key = %id, "the value could not be put: deleting the key that was made for it");
    let name = &job.user().name;
    // Disabled first, always; what cannot be disabled is not deleted.
    let deleted = match iam.disable_access_key(name, id).await {
        Ok(()) => iam.delete_access_key(name, id).await,
        Err(failure) => Err(failure),
    };
    if let Err(left) = deleted {
        warn!(key = %id, error = %left, "the key could not be deleted: the next attempt finds it by the intent");
    }
    Err(failure.into())
}
