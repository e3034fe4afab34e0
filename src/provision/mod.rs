//! One user's secret, its resource policy and its schedule, and the user's access to it.
//!
//! `policy` and `drift` are pure; this file makes the calls. Every call can be repeated safely. A failure between two
//! calls leaves a secret whose missing parts the next sweep reports as drift.

mod drift;
pub mod policy;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::aws::{
    Aws, CallFailure, Iam, NewSecret, SecretDescription, Tries, is_rotation_unfinished, once_found, until,
};
use crate::keys::{AccessKeyId, SecretName, UserArn, VersionId};
use crate::lifecycle::Drift;
use crate::settings::Settings;
use crate::state::{KeyDates, Reader, TagChange, tag};
use crate::value::KeyIdentity;

pub(crate) use drift::kms_key_differs;
pub use drift::{Reach, drift};

/// The wanted configuration of every secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The customer managed KMS key: its ARN, or for the store's own account an id or alias. `None`: the AWS managed
    /// key.
    pub kms_key: Option<String>,
    /// The ARN of the rotation function.
    pub function_arn: String,
    /// `AutomaticallyAfterDays` of the schedule.
    pub days: i64,
    /// The group through which users of member accounts read their secrets. `None`: they join no group.
    pub reader_group: Option<String>,
    /// The tags of `SECRET_TAGS`, values by names. Other tags of a secret are left as they are.
    pub tags: BTreeMap<String, String>,
}

impl Wanted {
    /// Returns the configuration by the settings, or `None` if they name no rotation function. The sweeper's always do.
    pub fn from_settings(settings: &Settings) -> Option<Self> {
        Some(Self {
            kms_key: settings.kms_key.clone(),
            function_arn: settings.rotation_function_arn.clone()?,
            days: settings.periods.rotation.num_days(),
            reader_group: settings.reader_group.clone(),
            tags: settings.secret_tags.clone(),
        })
    }
}

/// A user that is to get a secret.
#[derive(Debug, Clone, Copy)]
pub struct NewUser<'a> {
    /// The user's ARN.
    pub arn: &'a UserArn,
    /// The user's unique id, `AIDA…`.
    pub id: &'a str,
    /// The key that the placeholder names.
    pub key: &'a AccessKeyId,
    /// When that key was created.
    pub created: DateTime<Utc>,
    /// When all keys of the user were created.
    pub dates: &'a KeyDates,
    /// Whether the user has to join the reader group.
    pub reach: Reach,
}

/// Creates the secret with its policy, its schedule and the user's group membership.
///
/// The schedule is set after the policy. No list shows a policy, so a secret with a schedule is known to have one.
/// `schedule` is false if a rotation that sets the schedule follows at once. Returns the failure to join the reader
/// group, if any: the secret is there, its user cannot read it yet, and the next sweep finds that as drift.
///
/// # Errors
/// The first failure. The parts before it stay, and the next sweep repairs the rest. [`exists`] recognises that the
/// secret exists already.
pub async fn provision(
    aws: &Aws,
    iam: &dyn Iam,
    wanted: &Wanted,
    user: &NewUser<'_>,
    schedule: bool,
) -> Result<Option<CallFailure>, CallFailure> {
    let name = SecretName::of(user.arn.user());
    create(aws, wanted, user, &name).await?;
    let id = name.to_string();
    let put_policy = || repair(aws, iam, wanted, &id, user.arn, Drift::Policy, None);
    once_found(aws, CALLS_ON_A_NEW_SECRET, put_policy).await?;
    if schedule {
        // A new secret's schedule counts from now, so it rotates no key before its time.
        once_found(aws, CALLS_ON_A_NEW_SECRET, || configure(aws, wanted, &id, false)).await?;
    }
    let joined = match user.reach {
        Reach::JoinGroup => repair(aws, iam, wanted, &id, user.arn, Drift::ReaderGroup, None).await,
        Reach::Given => Ok(()),
    };
    Ok(joined.err())
}

/// Limits the calls on a secret that was just made. For seconds, Secrets Manager may answer that it does not exist.
pub(crate) const CALLS_ON_A_NEW_SECRET: Tries = Tries { count: 6, wait: Duration::from_secs(2) };

/// Sets function and schedule of a secret that was just made, and starts its first rotation.
///
/// # Errors
/// As [`configure`].
pub async fn rotate_new(aws: &Aws, wanted: &Wanted, secret_id: &str) -> Result<(), CallFailure> {
    once_found(aws, CALLS_ON_A_NEW_SECRET, || configure(aws, wanted, secret_id, true)).await
}

/// Limits the reads of a secret whose replicas are being deleted.
const READS_OF_REPLICAS: Tries = Tries { count: 6, wait: Duration::from_secs(2) };

/// Deletes the replicas of a secret, and waits until Secrets Manager lists none. Safe to repeat.
///
/// # Errors
/// The failure of a call. If replicas are left after the wait, the deletion of the secret fails, and the next sweep
/// repeats both.
pub async fn remove_replicas(aws: &Aws, secret_id: &str, regions: &[String]) -> Result<(), CallFailure> {
    let secrets = aws.secrets();
    secrets.remove_replicas(secret_id, regions).await?;
    let is_alone = |found: &Option<SecretDescription>| found.as_ref().is_none_or(|secret| secret.replicas.is_empty());
    until(aws, READS_OF_REPLICAS, || secrets.describe(secret_id), is_alone).await.map(drop)
}

/// Whether a secret could not be created because its name is taken: the list of secrets lagged.
pub fn exists(failure: &CallFailure) -> bool {
    failure.code() == "ResourceExistsException"
}

async fn create(aws: &Aws, wanted: &Wanted, user: &NewUser<'_>, name: &SecretName) -> Result<(), CallFailure> {
    let NewUser { arn, id, key, created, dates, reach: _ } = *user;
    let identity = KeyIdentity { id: key.clone(), arn: arn.clone(), created };
    let version = new_version_id();
    // The tags are created with the secret, so it never exists without the facts about it. The reader tag counts once
    // the schedule is set, which happens after the policy.
    let tags = TagChange::default()
        .set(tag::MANAGED, "1")
        .set(tag::VERSION, version.as_str())
        .set(tag::CURRENT_KEY, key.as_str())
        .set(tag::PLACEHOLDER, version.as_str())
        .set(tag::KEY_DATES, dates.to_string());
    let tags = match Reader::of(id, arn) {
        Some(reader) => tags.set(tag::READER, reader.to_string()),
        None => tags,
    };
    let secret = NewSecret {
        name,
        version: &version,
        description: format!("Access key of IAM {}, rotated by keywheel", arn.user()),
        kms_key: wanted.kms_key.as_deref(),
        placeholder: identity.placeholder_json(),
        // A policy may deny a secret that is created without them.
        tags: tags.set.into_iter().chain(wanted.tags.clone()).collect(),
    };
    aws.secrets().create(secret).await
}

/// Repairs one part of a secret. `due` is the key that the schedule is for, and when it is due. Safe to repeat.
///
/// # Errors
/// The failure of the call.
pub async fn repair(
    aws: &Aws,
    iam: &dyn Iam,
    wanted: &Wanted,
    secret_id: &str,
    arn: &UserArn,
    drift: Drift,
    due: Option<(&AccessKeyId, DateTime<Utc>)>,
) -> Result<(), CallFailure> {
    let secrets = aws.secrets();
    match drift {
        Drift::KmsKey => match &wanted.kms_key {
            Some(kms_key) => secrets.set_kms_key(secret_id, kms_key).await,
            None => Ok(()),
        },
        Drift::Policy => secrets.put_policy(secret_id, &policy::for_user(arn).to_string()).await,
        Drift::Schedule => switch_on(aws, wanted, secret_id, due).await,
        Drift::Tags => secrets.tag(secret_id, &wanted.tags).await,
        Drift::ReaderGroup => match &wanted.reader_group {
            Some(group) => iam.add_to_group(group, &arn.user().name).await,
            None => Ok(()),
        },
    }
}

/// Limits the reads of a schedule that was just set.
const READS_OF_A_NEW_SCHEDULE: Tries = Tries { count: 3, wait: Duration::from_secs(2) };

/// Sets the function and the schedule, and leaves the schedule off if it would rotate the key before the day on which
/// the key is due.
///
/// A schedule that is switched on again counts from the last rotation or change by hand, even if the key is younger.
/// Only the service knows when that was.
/// <https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotate-secrets_schedule.html>
async fn switch_on(
    aws: &Aws,
    wanted: &Wanted,
    secret_id: &str,
    due: Option<(&AccessKeyId, DateTime<Utc>)>,
) -> Result<(), CallFailure> {
    configure(aws, wanted, secret_id, false).await?;
    let Some((key, due)) = due else { return Ok(()) };
    let secrets = aws.secrets();
    let is_on = |found: &Option<SecretDescription>| found.as_ref().is_some_and(|secret| secret.rotation_enabled);
    let found = until(aws, READS_OF_A_NEW_SCHEDULE, || secrets.describe(secret_id), is_on).await?;
    let next = found.and_then(|secret| secret.next_rotation);
    if next.is_none_or(|next| next.date_naive() >= due.date_naive()) {
        return Ok(());
    }
    // The tag is first: without it, the next sweep would take the schedule for a cancelled one, and switch it on.
    secrets.tag(secret_id, &TagChange::default().set(tag::SCHEDULE_OFF, key.as_str()).set).await?;
    secrets.cancel_rotation(secret_id).await
}

/// Sets the function and the schedule. With `rotate_now` the same call starts a rotation.
///
/// # Errors
/// The failure of the call. A running rotation is an error only if the schedule still differs, because it then blocks
/// the repair.
pub async fn configure(aws: &Aws, wanted: &Wanted, secret_id: &str, rotate_now: bool) -> Result<(), CallFailure> {
    let secrets = aws.secrets();
    let configure = || secrets.configure_rotation(secret_id, &wanted.function_arn, wanted.days, rotate_now);
    let refused = match configure().await {
        Err(failure) if is_rotation_unfinished(&failure) => failure,
        other => return other,
    };
    let Some(secret) = secrets.describe(secret_id).await? else { return Ok(()) };
    if let Some(left_behind) = secret.unfinished_version().filter(|_| !secret.rotation_enabled) {
        // A rotation that was cancelled between two steps never continues, and its label blocks every other rotation.
        // <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_CancelRotateSecret.html>
        secrets.remove_pending(secret_id, &left_behind).await?;
        return tolerate_unfinished(configure().await);
    }
    if drift::schedule_differs(&secret, wanted) { Err(refused) } else { Ok(()) }
}

/// Starts a rotation of a secret whose schedule is set.
///
/// # Errors
/// The failure of the call. A running rotation is no error: the service continues it.
pub async fn rotate(aws: &Aws, secret_id: &str) -> Result<(), CallFailure> {
    tolerate_unfinished(aws.secrets().rotate(secret_id).await)
}

fn tolerate_unfinished(rotated: Result<(), CallFailure>) -> Result<(), CallFailure> {
    match rotated {
        Err(failure) if is_rotation_unfinished(&failure) => Ok(()),
        other => other,
    }
}

/// Returns a random version id in the form of a UUID, as Secrets Manager recommends.
fn new_version_id() -> VersionId {
    let mut text = String::with_capacity(36);
    for (index, byte) in std::iter::repeat_with(|| fastrand::u8(..)).take(16).enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        write!(text, "{byte:02x}").expect("writing to a string does not fail");
    }
    text.parse().expect("36 hexadecimal digits and hyphens are a version id")
}
