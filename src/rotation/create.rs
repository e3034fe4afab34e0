//! createSecret: make the new key and put it into the pending version.
//!
//! The order is what keeps keys from being lost: announce, make, put. What fails in between is cleared up at once where
//! that can be done (`orphan`); otherwise the next attempt finds either the value or the orphan.

use std::time::Duration;

use tracing::{info, warn};

use super::{Job, orphan, room, user_gone};
use crate::aws::{FailureKind, Iam, NewKey, Tries, has_group, until};
use crate::error::Error;
use crate::keys::{AccessKeyId, UserArn};
use crate::state::{CREATE_KEY_WITHIN, Intent, TagChange, tag};
use crate::value::{KeyIdentity, StoredKey, StoredValue};

/// On a second attempt the value that the first one put may not be readable everywhere yet. Taking it for lost would
/// delete the key in it.
const READS_OF_A_RETRIED_VERSION: Tries = Tries { count: 3, wait: Duration::from_secs(2) };

pub(super) async fn run(job: &Job<'_>) -> Result<(), Error> {
    if job.settings.dry_run {
        return Err(Error::DryRun(job.user().clone()));
    }
    if pending_value_settled(job).await?.is_some() {
        info!("the pending version has its value already");
        return Ok(());
    }
    let iam = job.iam().await?;
    let arn = user_to_rotate(job, &*iam).await?;
    let left = room::make(job, &*iam).await?;
    let intent = announce(job, &*iam, left.first()).await?;
    let sent = iam.now();
    let key = match iam.create_access_key(&job.user().name, CREATE_KEY_WITHIN).await {
        Ok(key) => key,
        Err(failure) => {
            orphan::after_no_key(job, &*iam, &left, sent, &failure).await;
            return Err(failure.into());
        }
    };
    info!(key = %key.id, "made an access key");
    put(job, &*iam, arn, key, &intent).await
}

/// The pending value; asked for several times if an earlier attempt of this very rotation got as far as its intent.
async fn pending_value_settled(job: &Job<'_>) -> Result<Option<StoredValue>, Error> {
    let retried = job.state.intent.as_ref().is_some_and(|intent| intent.version == job.event.version);
    if !retried {
        return job.pending_value().await;
    }
    until(job.aws, READS_OF_A_RETRIED_VERSION, || job.pending_value(), Option::is_some).await
}

/// The user's ARN, if the user is there and not exempt. Asked at this moment: a sweep may be a day old. With a record of the
/// ARN, that the user is there is left to what is asked next: the list of its keys tells how it is written.
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

/// The user's ARN as the last sweep found it. The path is all of it that can change, and nothing depends on that: users are
/// told apart by account and name.
fn recorded_arn(job: &Job<'_>) -> Option<UserArn> {
    let (user, path) = (job.user(), &job.state.reader.as_ref()?.path);
    let text = format!("arn:{}:iam::{}:user{path}{}", job.event.secret.partition(), user.account, user.name);
    text.parse().ok().filter(|arn: &UserArn| arn.user() == user && arn.path() == path)
}

/// Announcements that came too late before the rotation is given up. Each takes more than [`Intent::is_fresh`] allows.
const ANNOUNCEMENTS: u32 = 3;

/// Writes the intent down. Were the function to stop after making the key and before putting it, nothing else would
/// tell our orphan from a person's key. It holds for seconds only: a key that is made later must be announced again.
async fn announce(job: &Job<'_>, iam: &dyn Iam, kept: Option<&AccessKeyId>) -> Result<Intent, Error> {
    let mut change = TagChange::default();
    if let Some(kept) = kept.filter(|kept| job.state.current_key.as_ref() != Some(kept)) {
        // The key that this rotation replaces is not the one that the other facts tell of; with them beside it, it would
        // pass for one that was tested.
        change = OF_ANOTHER_KEY.into_iter().fold(change, TagChange::remove).set(tag::CURRENT_KEY, kept.as_str());
    }
    for _ in 0..ANNOUNCEMENTS {
        let intent = Intent::new(&job.event.version, iam.now());
        if let Err(failure) = job.change_tags(change.clone().intent(&intent)).await {
            // Nothing is made. If the tag is there all the same, a person's key must not pass for what it announces.
            if failure.kind() == FailureKind::NoAnswer {
                orphan::withdraw(job).await;
            }
            return Err(failure.into());
        }
        if intent.is_fresh(iam.now()) {
            return Ok(intent);
        }
        warn!("writing the intent down took too long: announcing again");
    }
    orphan::withdraw(job).await;
    Err(Error::AnnouncementTooSlow(job.secret().to_owned()))
}

const OF_ANOTHER_KEY: [&str; 5] = [tag::ROTATED_AT, tag::PREVIOUS_KEY, tag::DISABLED_AT, tag::RETIRING, tag::KEY_DATES];

async fn put(job: &Job<'_>, iam: &dyn Iam, arn: UserArn, key: NewKey, intent: &Intent) -> Result<(), Error> {
    let identity = KeyIdentity { id: key.id, arn, created: key.created.unwrap_or_else(|| iam.now()) };
    let stored = StoredKey { identity, secret: key.secret };
    let token = job.event.rotation_token.as_ref().map(super::event::RotationToken::expose);
    let version = &job.event.version;
    match job.aws.secrets().put_pending(job.secret(), version, &stored.to_json(), token).await {
        Ok(()) => Ok(()),
        Err(failure) => {
            // A service that refuses a value may quote it.
            let carried: Vec<&str> = [stored.secret.expose()].into_iter().chain(token).collect();
            orphan::after_no_put(job, iam, &stored.identity.id, intent, failure.without(&carried)).await
        }
    }
}
