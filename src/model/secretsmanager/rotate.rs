//! `RotateSecret` and `CancelRotateSecret`: the schedule, the pending version, and what is queued.

use super::versions::{self};
use super::{NO_SECRET, identified, invalid_request, locate_alive, not_found};
use crate::model::answer::{ServiceError, ServiceResult};
use crate::model::exchange::Exchange;
use crate::model::ids;
use crate::model::queue::{Extent, RotationJob};
use crate::model::request::Input;
use crate::model::rules::Rules;
use crate::model::secret::{CURRENT, PENDING, Secret, SecretLocation, Version};
use crate::model::state::World;
use chrono::{DateTime, Utc};

pub(super) fn rotate(exchange: &mut Exchange<'_>, input: &Input) -> ServiceResult {
    input.only(&["SecretId", "ClientRequestToken", "RotationLambdaARN", "RotationRules", "RotateImmediately"])?;
    let location = locate_alive(exchange, input, "RotateSecret")?;
    let given = input.has("ClientRequestToken");
    let token = versions::request_token(exchange, input)?;
    let rules = input.object("RotationRules")?;
    let rules = rules.map(|it| Rules::read(&it)).transpose()?;
    let function = input.text("RotationLambdaARN")?;
    let extent = match input.flag("RotateImmediately")? {
        Some(false) => Extent::TestOnly,
        _ => Extent::Whole,
    };
    let world = &mut *exchange.world;
    let secret = world.secret_at(&location).ok_or_else(|| not_found(NO_SECRET))?;
    if given && secret.unfinished().as_ref() == Some(&token) {
        // The same request again: the rotation under this token goes on.
        world.queue(RotationJob::new(&location, &token, extent));
        return identified(world, &location, Some(&token));
    }
    check(secret, function, &token)?;
    configure(world, &location, function, rules, exchange.now);
    start_rotation(world, &location, &token, extent, exchange.now)?;
    identified(world, &location, Some(&token))
}

fn check(secret: &Secret, function: Option<&str>, token: &str) -> Result<(), ServiceError> {
    if function.is_some_and(|arn| !arn.starts_with("arn:") || !arn.contains(":function:")) {
        return Err(ServiceError::invalid_parameter("The RotationLambdaARN is not the ARN of a Lambda function."));
    }
    if function.is_none() && secret.rotation.function.is_none() {
        return Err(invalid_request("No Lambda rotation function ARN is associated with this secret."));
    }
    if secret.version(token).is_some() && secret.unfinished().as_deref() != Some(token) {
        let message = format!("ClientRequestToken {token} is already in use for a version of this secret.");
        return Err(ServiceError::new(400, "ResourceExistsException", message));
    }
    Ok(())
}

fn configure(
    world: &mut World,
    location: &SecretLocation,
    function: Option<&str>,
    rules: Option<Rules>,
    now: DateTime<Utc>,
) {
    // An incomplete rotation is attempted again, and nothing is changed.
    let busy = world.secret_at(location).and_then(Secret::unfinished).is_some();
    let Some(secret) = world.change_secret(location, now).filter(|_| !busy) else { return };
    let rotation = &mut secret.rotation;
    if let Some(function) = function {
        rotation.function = Some(function.to_owned());
    }
    if rules.is_some() && rules != rotation.rules {
        rotation.rules = rules;
    }
    // A schedule that is switched on again counts from the last rotation or change by hand.
    // <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_CancelRotateSecret.html>
    rotation.counted_from.get_or_insert(now);
    rotation.enabled = true;
    secret.changed = now;
}

/// Registers the pending version and queues the rotation. If an earlier rotation is incomplete, queues that rotation,
/// unless the switches say otherwise, and returns AWS's error.
pub(crate) fn start_rotation(
    world: &mut World,
    location: &SecretLocation,
    token: &str,
    extent: Extent,
    now: DateTime<Utc>,
) -> Result<(), ServiceError> {
    let secret = world.secret_at(location).ok_or_else(|| not_found(NO_SECRET))?;
    if let Some(unfinished) = secret.unfinished() {
        if !world.switches.never_reattempts {
            world.queue(RotationJob::new(location, &unfinished, Extent::Whole));
        }
        return Err(invalid_request("A previous rotation isn't complete. That rotation will be reattempted."));
    }
    let rotation_token = ids::rotation_token(&mut world.rng);
    if let Some(secret) = world.change_secret(location, now) {
        let copied = secret.staged(CURRENT).filter(|_| extent == Extent::TestOnly);
        let (value, kms_keys) = copied.map(|it| (it.value.clone(), it.kms_keys.clone())).unwrap_or_default();
        secret.versions.push(Version { kms_keys, ..Version::new(token, value, now) });
        versions::set_stage(secret, PENDING, Some(token));
        secret.rotation.under_way = Some((token.to_owned(), rotation_token));
    }
    world.queue(RotationJob::new(location, token, extent));
    Ok(())
}

pub(super) fn cancel(exchange: &mut Exchange<'_>, input: &Input) -> ServiceResult {
    input.only(&["SecretId"])?;
    let location = locate_alive(exchange, input, "CancelRotateSecret")?;
    let now = exchange.now;
    if let Some(secret) = exchange.world.change_secret(&location, now) {
        secret.rotation.enabled = false;
        secret.changed = now;
    }
    let secret = exchange.world.secret_at(&location);
    let pending = secret.and_then(|it| it.staged(PENDING)).map(|it| it.id.clone());
    identified(exchange.world, &location, pending.as_deref())
}
