//! createSecret: create the new key and put it into the pending version.
//!
//! A secret that is not keywheel's gets no key. The order keeps keys from being lost: announce, create, put. If one of
//! the three fails, `orphan` cleans up at once where it can. Otherwise the next attempt finds either the value or the
//! orphan.

use std::time::Duration;

use tracing::{info, warn};

use super::{Job, OF_ANOTHER_KEY, orphan, ownership, room, user_gone};
use crate::aws::{FailureKind, Iam, NewKey, Tries, has_group, until};
use crate::error::Error;
use crate::keys::{AccessKeyId, UserArn};
use crate::state::{CREATE_KEY_WITHIN, Intent, TagChange, tag};
use crate::value::{KeyIdentity, StoredKey, StoredValue};

/// Limits the reads of the pending value in a second attempt. The value of the first attempt may not be visible yet. If
/// it were taken for lost, its key would be deleted.
const READS_OF_A_RETRIED_VERSION: Tries = Tries { count: 3, wait: Duration::from_secs(2) };

/// Creates the key, unless the pending version has its value.
pub(super) async fn run(job: &Job<'_>) -> Result<(), Error> {
    if job.settings.dry_run {
        return Err(Error::DryRun(job.user().clone()));
    }
    if pending_value_settled(job).await?.is_some() {
        info!("the pending version has its value already");
        return Ok(());
    }
    if let Some(refusal) = ownership::refusal(job.settings, &job.description) {
        return Err(refusal);
    }
    let iam = job.iam().await?;
    let arn = user_to_rotate(job, &*iam).await?;
    let listed = room::list(job, &*iam).await?;
    ownership::check_policy(job, &arn).await?;
    let kept = room::make(job, &*iam, &arn, listed).await?;
    let intent = announce(job, &*iam, kept.first()).await?;
    let sent = iam.now();
    let key = match iam.create_access_key(&job.user().name, CREATE_KEY_WITHIN).await {
        Ok(key) => key,
        Err(failure) => {
            orphan::after_no_key(job, &*iam, &kept, sent, &failure).await;
            return Err(failure.into());
        }
    };
    info!(key = %key.id, "created an access key");
    put(job, &*iam, arn, key, &intent).await
}

/// Returns the pending value, read several times if an earlier attempt of this rotation got as far as its intent.
async fn pending_value_settled(job: &Job<'_>) -> Result<Option<StoredValue>, Error> {
    if !job.is_announced() {
        return job.pending_value().await;
    }
    until(job.aws, READS_OF_A_RETRIED_VERSION, || job.pending_value(), Option::is_some).await
}

/// Returns the user's ARN.
///
/// The exemption is read now, because the last sweep may be a day old. If a tag records the path, the user itself is
/// not read: the list of its keys, which is read next, fails if the user is gone.
///
/// # Errors
/// [`Error::UserGone`] and [`Error::UserExempt`].
async fn user_to_rotate(job: &Job<'_>, iam: &dyn Iam) -> Result<UserArn, Error> {
    let user = job.user();
    let arn = match recorded_arn(job) {
        Some(arn) => arn,
        None => iam.find_user(&user.name).await?.ok_or_else(|| Error::UserGone(user.clone()))?.arn,
    };
    let groups = iam.groups_of(&user.name).await.map_err(|failure| user_gone(user, failure))?;
    let group = &job.settings.exemption_group;
    if has_group(&groups, group) {
        return Err(Error::UserExempt { user: user.clone(), group: group.clone() });
    }
    Ok(arn)
}

/// Returns the user's ARN with the path that the last sweep recorded, which saves a call in every rotation.
///
/// Only the path can be outdated, and nothing depends on it: account and name identify a user.
fn recorded_arn(job: &Job<'_>) -> Option<UserArn> {
    let (user, path) = (job.user(), &job.state.reader.as_ref()?.path);
    let text = format!("arn:{}:iam::{}:user{path}{}", job.event.secret.partition(), user.account, user.name);
    text.parse().ok().filter(|arn: &UserArn| arn.user() == user && arn.path() == path)
}

/// Limits how often a key is announced. A write of the tag that takes longer than [`Intent::is_fresh`] allows is
/// repeated.
const ANNOUNCEMENTS: u32 = 3;

/// Writes the intent and returns it.
///
/// If the function stops after CreateAccessKey and before the value is put, only the intent tells our orphan from a
/// person's key. An intent holds for seconds: a key that is created later must be announced again.
async fn announce(job: &Job<'_>, iam: &dyn Iam, kept: Option<&AccessKeyId>) -> Result<Intent, Error> {
    let mut change = TagChange::default();
    if let Some(kept) = kept.filter(|kept| job.state.current_key.as_ref() != Some(kept)) {
        // The facts in the tags describe another key than the one that this rotation replaces. If they stayed, the
        // replaced key would look like a tested key.
        change = OF_ANOTHER_KEY.into_iter().fold(change, TagChange::remove).set(tag::CURRENT_KEY, kept.as_str());
    }
    for _ in 0..ANNOUNCEMENTS {
        let intent = Intent::new(&job.event.version, iam.now());
        if let Err(failure) = job.change_tags(change.clone().intent(&intent)).await {
            // No key was created. If the tag was written although the call failed, it must not announce a person's key.
            if failure.kind() == FailureKind::NoAnswer {
                orphan::withdraw(job).await;
            }
            return Err(failure.into());
        }
        if intent.is_fresh(iam.now()) {
            return Ok(intent);
        }
        warn!("writing the intent took too long: announcing again");
    }
    orphan::withdraw(job).await;
    Err(Error::AnnouncementTooSlow(job.secret().to_owned()))
}

/// Puts the key into the pending version, and cleans up if that fails.
async fn put(job: &Job<'_>, iam: &dyn Iam, arn: UserArn, key: NewKey, intent: &Intent) -> Result<(), Error> {
    let identity = KeyIdentity { id: key.id, arn, created: key.created.unwrap_or_else(|| iam.now()) };
    let stored = StoredKey { identity, secret: key.secret };
    let token = job.event.rotation_token.as_ref().map(super::event::RotationToken::expose);
    let version = &job.event.version;
    match job.aws.secrets().put_pending(job.secret(), version, &stored.to_json(), token).await {
        Ok(()) => Ok(()),
        Err(failure) => {
            // The service may quote the value that it refuses.
            let carried: Vec<&str> = [stored.secret.expose()].into_iter().chain(token).collect();
            orphan::after_no_put(job, iam, &stored.identity.id, intent, failure.without(&carried)).await
        }
    }
}
