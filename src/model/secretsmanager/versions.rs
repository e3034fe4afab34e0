//! Versions and their staging labels: reading, putting, moving.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::{
    NO_SECRET, day, encryption, identified, identity, invalid_request, locate, locate_alive, not_found, seconds,
};
use crate::model::answer::{Reply, ServiceError, ServiceResult};
use crate::model::clock::delta;
use crate::model::exchange::Exchange;
use crate::model::ids;
use crate::model::request::Input;
use crate::model::secret::{CURRENT, PENDING, PREVIOUS, Plain, Secret, SecretLocation, Version};
use crate::model::state::World;

/// <https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html>
const LONGEST_VALUE: usize = 65_536;
const MOST_VERSIONS: usize = 100;
const MOST_STAGES: usize = 20;

pub(super) fn get(exchange: &mut Exchange<'_>, input: &Input) -> ServiceResult {
    input.only(&["SecretId", "VersionId", "VersionStage"])?;
    let location = locate_alive(exchange, input, "GetSecretValue")?;
    let (now, lag) = (exchange.now, delta(exchange.world.switches.pending_read_lag));
    let secret = exchange.world.secret_at(&location).ok_or_else(|| not_found(NO_SECRET))?;
    let (id, stage) = (input.text("VersionId")?, input.text("VersionStage")?);
    let version = pick(secret, id, stage)?;
    let fresh = version.stages.contains(PENDING) && version.put_at + lag > now;
    let value = version.value.as_ref().filter(|_| !fresh).ok_or_else(|| no_value(id, stage))?;
    encryption::check_decrypt(exchange.world, exchange.caller, secret, version)?;
    let mut answer = identity(secret);
    match value {
        Plain::Text(text) => answer["SecretString"] = json!(text),
        Plain::Binary(base64) => answer["SecretBinary"] = json!(base64),
    }
    answer["VersionId"] = json!(version.id);
    answer["VersionStages"] = json!(version.stages);
    answer["CreatedDate"] = seconds(version.created);
    let account = exchange.world.accounts.get_mut(&location.account);
    if let Some(secret) = account.and_then(|it| it.secrets.get_mut(&location.name)) {
        secret.accessed = Some(day(now));
    }
    Ok(Reply::Json(answer))
}

fn pick<'s>(secret: &'s Secret, id: Option<&str>, stage: Option<&str>) -> Result<&'s Version, ServiceError> {
    let version = match (id, stage) {
        (Some(id), _) => secret.version(id),
        (None, stage) => secret.staged(stage.unwrap_or(CURRENT)),
    };
    let version = version.ok_or_else(|| no_value(id, stage))?;
    match (id, stage) {
        (Some(_), Some(stage)) if !version.stages.contains(stage) => {
            Err(invalid_request("You provided a VersionStage that is not associated to the provided VersionId."))
        }
        _ => Ok(version),
    }
}

fn no_value(id: Option<&str>, stage: Option<&str>) -> ServiceError {
    let sought = match (id, stage) {
        (Some(id), _) => format!("VersionId: {id}"),
        (None, stage) => format!("staging label: {}", stage.unwrap_or(CURRENT)),
    };
    not_found(format!("Secrets Manager can't find the specified secret value for {sought}"))
}

/// The value in a request: text or base64, not both.
pub(super) fn value_of(input: &Input) -> Result<Option<Plain>, ServiceError> {
    let value = match (input.text("SecretString")?, input.text("SecretBinary")?) {
        (Some(_), Some(_)) => {
            return Err(ServiceError::invalid_parameter(
                "You can't specify both a binary secret value and a string secret value.",
            ));
        }
        (Some(text), None) => Some(Plain::Text(text.to_owned())),
        (None, Some(base64)) => Some(Plain::Binary(base64.to_owned())),
        (None, None) => None,
    };
    let length = match &value {
        Some(Plain::Text(text)) => text.len(),
        Some(Plain::Binary(base64)) => base64.len() / 4 * 3,
        None => 1,
    };
    if (1..=LONGEST_VALUE).contains(&length) {
        return Ok(value);
    }
    Err(ServiceError::validation(format!(
        "1 validation error detected: Value at 'secretString' failed to satisfy constraint: 1 to {LONGEST_VALUE} bytes"
    )))
}

/// The member `ClientRequestToken`, or a fresh one.
pub(super) fn request_token(exchange: &mut Exchange<'_>, input: &Input) -> Result<String, ServiceError> {
    match input.text("ClientRequestToken")? {
        None => Ok(ids::uuid(&mut exchange.world.rng)),
        Some(token) if (32..=64).contains(&token.len()) => Ok(token.to_owned()),
        Some(_) => Err(ServiceError::invalid_parameter("ClientRequestToken must be 32-64 characters long.")),
    }
}

pub(super) fn put(exchange: &mut Exchange<'_>, input: &Input) -> ServiceResult {
    input.only(&[
        "SecretId",
        "ClientRequestToken",
        "SecretBinary",
        "SecretString",
        "VersionStages",
        "RotationToken",
    ])?;
    let location = locate_alive(exchange, input, "PutSecretValue")?;
    let token = request_token(exchange, input)?;
    let Some(value) = value_of(input)? else {
        return Err(ServiceError::invalid_parameter("You must provide either SecretString or SecretBinary."));
    };
    let stages = stages_of(input)?;
    let secret = exchange.world.secret_at(&location).ok_or_else(|| not_found(NO_SECRET))?;
    check_rotation_token(secret, &token, input.text("RotationToken")?)?;
    match secret.version(&token).map(|it| &it.value) {
        Some(Some(before)) if *before == value => {}
        Some(Some(_)) => return Err(used(secret, &token)),
        Some(None) | None => {
            check_room(secret, exchange.now)?;
            let key = encryption::check_encrypt(exchange.world, exchange.caller, secret)?;
            store(exchange.world, &location, &token, (value, key), &stages, exchange.now);
        }
    }
    put_answer(exchange.world, &location, &token)
}

fn put_answer(world: &World, location: &SecretLocation, token: &str) -> ServiceResult {
    let mut answer = identified(world, location, Some(token))?;
    let version = world.secret_at(location).and_then(|it| it.version(token));
    if let (Reply::Json(answer), Some(version)) = (&mut answer, version) {
        answer["VersionStages"] = json!(version.stages);
    }
    Ok(answer)
}

fn stages_of(input: &Input) -> Result<BTreeSet<String>, ServiceError> {
    let stages = input.texts("VersionStages")?;
    let stages: BTreeSet<String> = stages.unwrap_or_else(|| vec![CURRENT.to_owned()]).into_iter().collect();
    let legal = stages.iter().all(|it| (1..=256).contains(&it.len()));
    if (1..=MOST_STAGES).contains(&stages.len()) && legal {
        return Ok(stages);
    }
    Err(ServiceError::invalid_parameter(format!(
        "VersionStages must be 1 to {MOST_STAGES} labels of 1 to 256 characters."
    )))
}

/// A rotation token must be the token that the function got for this version.
fn check_rotation_token(secret: &Secret, token: &str, given: Option<&str>) -> Result<(), ServiceError> {
    let Some(given) = given else { return Ok(()) };
    match &secret.rotation.under_way {
        Some((version, expected)) if version == token && expected == given => Ok(()),
        _ => Err(ServiceError::invalid_parameter("The RotationToken is invalid.")),
    }
}

fn used(secret: &Secret, token: &str) -> ServiceError {
    let message = format!(
        "You can't use ClientRequestToken {token} because that value is already in use for a version of secret {}.",
        secret.arn
    );
    ServiceError::new(400, "ResourceExistsException", message)
}

/// Versions younger than a day are never removed to make room.
fn check_room(secret: &Secret, now: DateTime<Utc>) -> Result<(), ServiceError> {
    let kept = secret.versions.iter().filter(|it| !removable(it, now));
    if kept.count() < MOST_VERSIONS {
        return Ok(());
    }
    let message = format!("You've reached the limit of {MOST_VERSIONS} versions of secret {}.", secret.name);
    Err(ServiceError::new(400, "LimitExceededException", message))
}

fn removable(version: &Version, now: DateTime<Utc>) -> bool {
    version.stages.is_empty() && now - version.created > TimeDelta::hours(24)
}

fn store(
    world: &mut World,
    location: &SecretLocation,
    token: &str,
    (value, key): (Plain, String),
    stages: &BTreeSet<String>,
    now: DateTime<Utc>,
) {
    let kms_keys = encryption::keys_of_new_version(key);
    let Some(secret) = world.change_secret(location, now) else { return };
    secret.changed = now;
    match secret.version_mut(token) {
        Some(version) => {
            version.value = Some(value);
            version.kms_keys = kms_keys;
            version.put_at = now;
        }
        None => secret.versions.push(Version { kms_keys, ..Version::new(token, Some(value), now) }),
    }
    if secret.versions.len() > MOST_VERSIONS {
        let oldest = secret.versions.iter().position(|it| removable(it, now));
        oldest.map(|location| secret.versions.remove(location));
    }
    let first = secret.staged(CURRENT).is_none();
    let by_rotation = secret.rotation.under_way.as_ref().is_some_and(|(version, _)| version == token);
    let put_by = secret.rotation.function.clone().filter(|_| by_rotation);
    if let Some(version) = secret.version_mut(token) {
        version.put_by = put_by;
    }
    for stage in stages.iter().filter(|it| *it != CURRENT) {
        set_stage(secret, stage, Some(token));
    }
    if first || stages.contains(CURRENT) {
        if !by_rotation {
            // A change by hand counts as a rotation: the next rotation is an interval later.
            secret.rotation.counted_from = Some(now);
            secret.rotation.not_before = None;
        }
        make_current(world, location, token, now);
    }
    if !stages.contains(PENDING) {
        abandon_rotation(world, location, token, now);
    }
}

/// Takes AWSPENDING off the version of an unfinished rotation because a version was put by hand, and emits the event.
/// <https://docs.aws.amazon.com/secretsmanager/latest/userguide/cloudtrail_log_entries.html>
fn abandon_rotation(world: &mut World, location: &SecretLocation, put: &str, now: DateTime<Utc>) {
    let is_modelled = world.switches.put_abandons_rotation;
    let Some(secret) = world.change_secret(location, now).filter(|_| is_modelled) else { return };
    let Some(unfinished) = secret.unfinished().filter(|unfinished| unfinished != put) else { return };
    set_stage(secret, PENDING, None);
    secret.rotation.under_way = None;
    secret.rotation.abandoned = Some(unfinished);
    world.announce(location, "RotationAbandoned", None, now);
}

/// Moves AWSCURRENT, and AWSPREVIOUS after it, and emits the event.
fn make_current(world: &mut World, location: &SecretLocation, version: &str, now: DateTime<Utc>) {
    let account = world.accounts.get_mut(&location.account);
    let Some(secret) = account.and_then(|it| it.secrets.get_mut(&location.name)) else { return };
    let before = secret.staged(CURRENT).map(|it| it.id.clone());
    if before.as_deref() == Some(version) {
        return;
    }
    set_stage(secret, CURRENT, Some(version));
    if let Some(before) = before {
        set_stage(secret, PREVIOUS, Some(&before));
        if let Some(version) = secret.version_mut(version) {
            version.stages.remove(PREVIOUS);
        }
    }
    let (account, name, arn) = (secret.account.clone(), secret.name.clone(), secret.arn.clone());
    world.label_updated((&account, &name, &arn), version, now);
}

/// Puts a label on one version and removes it from all others.
pub(crate) fn set_stage(secret: &mut Secret, stage: &str, on: Option<&str>) {
    for version in &mut secret.versions {
        if Some(version.id.as_str()) == on {
            version.stages.insert(stage.to_owned());
            version.was_current |= stage == CURRENT;
        } else {
            version.stages.remove(stage);
        }
    }
}

pub(super) fn move_stage(exchange: &mut Exchange<'_>, input: &Input) -> ServiceResult {
    input.only(&["SecretId", "VersionStage", "RemoveFromVersionId", "MoveToVersionId"])?;
    let location = locate_alive(exchange, input, "UpdateSecretVersionStage")?;
    let stage = input.needed("VersionStage")?;
    let (from, to) = (input.text("RemoveFromVersionId")?, input.text("MoveToVersionId")?);
    let now = exchange.now;
    let secret = exchange.world.secret_at(&location).ok_or_else(|| not_found(NO_SECRET))?;
    check_move(secret, stage, from, to)?;
    if stage == CURRENT && to.is_some() {
        let under_way = secret.rotation.under_way.as_ref().map(|(version, _)| version.as_str());
        let by_hand = under_way != to && secret.staged(CURRENT).map(|it| it.id.as_str()) != to;
        if let Some(secret) = exchange.world.change_secret(&location, now).filter(|_| by_hand) {
            secret.rotation.counted_from = Some(now);
        }
        make_current(exchange.world, &location, to.unwrap_or_default(), now);
    } else if let Some(secret) = exchange.world.change_secret(&location, now) {
        set_stage(secret, stage, to);
    }
    if let Some(secret) = exchange.world.change_secret(&location, now) {
        secret.changed = now;
    }
    identified(exchange.world, &location, None)
}

/// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_UpdateSecretVersionStage.html>
fn check_move(secret: &Secret, stage: &str, from: Option<&str>, to: Option<&str>) -> Result<(), ServiceError> {
    let holder = secret.staged(stage).map(|it| it.id.as_str());
    let missing = |id: &str| not_found(format!("Secrets Manager can't find the specified secret version: {id}."));
    if let Some(id) = [from, to].into_iter().flatten().find(|id| secret.version(id).is_none()) {
        return Err(missing(id));
    }
    match (holder, from, to) {
        (_, None, None) => {
            Err(ServiceError::invalid_parameter("You must provide RemoveFromVersionId or MoveToVersionId."))
        }
        (Some(holder), None, Some(to)) if holder != to => Err(ServiceError::invalid_parameter(format!(
            "The parameter RemoveFromVersionId can't be empty. Staging label {stage} is currently attached to version \
             {holder}, so you must explicitly reference that version in RemoveFromVersionId."
        ))),
        (holder, Some(from), _) if holder != Some(from) => Err(ServiceError::invalid_parameter(format!(
            "Staging label {stage} is not attached to version {from} of the secret."
        ))),
        (_, Some(_), None) if stage == CURRENT => Err(ServiceError::invalid_parameter(
            "You can't remove the staging label AWSCURRENT: move it to another version.",
        )),
        (_, _, Some(to)) if stage == CURRENT && secret.version(to).is_some_and(|it| it.value.is_none()) => {
            Err(invalid_request(format!("Version {to} has no value: it can't become AWSCURRENT.")))
        }
        _ => Ok(()),
    }
}

pub(super) fn list(exchange: &mut Exchange<'_>, input: &Input) -> ServiceResult {
    input.only(&["SecretId", "MaxResults", "NextToken", "IncludeDeprecated"])?;
    let location = locate(exchange, input, "ListSecretVersionIds")?;
    let size = input.count("MaxResults", 100, 100)?;
    let skipped: usize = match input.text("NextToken")? {
        None => 0,
        Some(token) => token
            .parse()
            .map_err(|_| ServiceError::new(400, "InvalidNextTokenException", "The NextToken value is invalid."))?,
    };
    let deprecated_too = input.flag("IncludeDeprecated")?.unwrap_or(false);
    let secret = exchange.world.secret_at(&location).ok_or_else(|| not_found(NO_SECRET))?;
    let shown = secret.versions.iter().filter(|it| deprecated_too || !it.stages.is_empty());
    let shown: Vec<&Version> = shown.skip(skipped).collect();
    let mut answer = identity(secret);
    let page = shown.iter().take(size).map(|it| entry(it));
    answer["Versions"] = page.collect::<Vec<_>>().into();
    if shown.len() > size {
        answer["NextToken"] = json!((skipped + size).to_string());
    }
    Ok(Reply::Json(answer))
}

fn entry(version: &Version) -> Value {
    let mut entry = json!({ "VersionId": version.id, "CreatedDate": seconds(version.created) });
    if !version.stages.is_empty() {
        entry["VersionStages"] = json!(version.stages);
    }
    entry
}
