//! Making, describing, changing and deleting secrets.

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::encryption;
use super::versions;
use super::{NO_SECRET, identified, identity, invalid_request, locate, locate_alive, not_found, seconds, tags};
use crate::model::answer::{Reply, ServiceError, ServiceResult};
use crate::model::clock;
use crate::model::exchange::Exchange;
use crate::model::kms::DEFAULT_KEY;
use crate::model::request::Input;
use crate::model::rules::Rules;
use crate::model::secret::{CURRENT, Secret, SecretLocation, Version};
use crate::model::state::World;

pub(super) fn create(exchange: &mut Exchange<'_>, input: &Input) -> ServiceResult {
    input.only(&["Name", "ClientRequestToken", "Description", "KmsKeyId", "SecretString", "SecretBinary", "Tags"])?;
    let name = input.needed("Name")?;
    check_name(name)?;
    let account = exchange.caller.account.clone();
    exchange.resource = exchange.world.partial_arn(&account, name);
    role_only(exchange, "CreateSecret")?;
    let value = versions::value_of(input)?;
    let token = versions::request_token(exchange, input)?;
    let location = SecretLocation { account: account.clone(), name: name.to_owned() };
    if let Some(existing) = exchange.world.secret_at(&location) {
        let same = existing.version(&token).is_some_and(|it| it.value == value);
        return existing_name(existing, same, &token);
    }
    let mut secret = exchange.world.blank_secret(&account, name, exchange.now);
    secret.tags = tags::read(input)?;
    if exchange.world.switches.demanded_secret_tags.iter().any(|demanded| !secret.tags.contains_key(demanded)) {
        let why = " with an explicit deny in a service control policy";
        return Err(ServiceError::denied(&exchange.caller.arn, "secretsmanager:CreateSecret", &exchange.resource, why));
    }
    secret.description = input.text("Description")?.map(ToOwned::to_owned);
    secret.kms_key_id = kms_key(exchange.world, input)?;
    let key = encryption::check_encrypt(exchange.world, exchange.caller, &secret)?;
    let version = value.map(|value| {
        let mut version = Version::new(&token, Some(value), exchange.now);
        version.kms_keys = encryption::keys_of_new_version(key);
        version.stages.insert(CURRENT.to_owned());
        version
    });
    let id = version.as_ref().map(|_| token.as_str());
    secret.versions.extend(version);
    exchange.resource.clone_from(&secret.arn);
    exchange.world.insert_secret(secret);
    identified(exchange.world, &location, id)
}

/// The same request twice is one; another secret of the name is an error.
fn existing_name(existing: &Secret, same: bool, token: &str) -> ServiceResult {
    if existing.deletion_date.is_some() {
        return Err(invalid_request(
            "You can't create this secret because a secret with this name is already scheduled for deletion.",
        ));
    }
    if same {
        let mut answer = identity(existing);
        answer["VersionId"] = json!(token);
        return Ok(Reply::Json(answer));
    }
    let message = format!("The operation failed because the secret {} already exists.", existing.name);
    Err(ServiceError::new(400, "ResourceExistsException", message))
}

/// Users have no identity policy that lets them act here.
pub(super) fn role_only(exchange: &Exchange<'_>, action: &str) -> Result<(), ServiceError> {
    if exchange.caller.is_role() {
        return Ok(());
    }
    Err(ServiceError::denied(
        &exchange.caller.arn,
        &format!("secretsmanager:{action}"),
        &exchange.resource,
        &format!(" because no identity-based policy allows the secretsmanager:{action} action"),
    ))
}

/// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_CreateSecret.html>
fn check_name(name: &str) -> Result<(), ServiceError> {
    let legal = |c: char| c.is_ascii_alphanumeric() || "/_+=.@-".contains(c);
    if name.len() <= 512 && name.chars().all(legal) {
        return Ok(());
    }
    Err(ServiceError::validation(
        "Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!",
    ))
}

fn kms_key(world: &World, input: &Input) -> Result<Option<String>, ServiceError> {
    match input.text("KmsKeyId")? {
        None | Some("") => Ok(None),
        Some(DEFAULT_KEY) => Ok(Some(DEFAULT_KEY.to_owned())),
        Some(id) => {
            let known = |arn: &String| arn == id || arn.rsplit('/').next() == Some(id);
            if world.kms_keys.keys().any(known) {
                return Ok(Some(id.to_owned()));
            }
            let message = format!("Secrets Manager can't find the KMS key {id}.");
            Err(ServiceError::new(400, "InvalidParameterException", message))
        }
    }
}

pub(super) fn describe(exchange: &mut Exchange<'_>, input: &Input) -> ServiceResult {
    input.only(&["SecretId"])?;
    let location = locate(exchange, input, "DescribeSecret")?;
    let secret = exchange.world.secret_at(&location).ok_or_else(|| not_found(NO_SECRET))?;
    let mut answer = details(secret);
    answer["VersionIdsToStages"] = stages(secret);
    if let Some(before) = before(secret, exchange.world.switches.describe_tags_lag, exchange.now) {
        answer["Tags"] = details(before)["Tags"].take();
    }
    let replicas = secret.replicas.iter().map(|region| json!({ "Region": region, "Status": "InSync" }));
    answer["ReplicationStatus"] = replicas.collect::<Vec<_>>().into();
    Ok(Reply::Json(answer))
}

/// The members that `DescribeSecret` and `ListSecrets` share.
pub(super) fn details(secret: &Secret) -> Value {
    let rotation = &secret.rotation;
    let tags = secret.tags.iter().map(|(key, value)| json!({ "Key": key, "Value": value }));
    let mut details = json!({
        "ARN": secret.arn,
        "Name": secret.name,
        "CreatedDate": seconds(secret.created),
        "LastChangedDate": seconds(secret.changed),
        "Tags": tags.collect::<Vec<_>>(),
    });
    let mut optional = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            details[name] = value;
        }
    };
    optional("Description", secret.description.as_ref().map(|it| json!(it)));
    optional("KmsKeyId", secret.kms_key_id.as_ref().map(|it| json!(it)));
    optional("RotationEnabled", rotation.function.as_ref().map(|_| json!(rotation.enabled)));
    optional("RotationLambdaARN", rotation.function.as_ref().map(|it| json!(it)));
    optional("RotationRules", rotation.rules.as_ref().map(Rules::shown));
    optional("LastRotatedDate", rotation.last_rotated.map(seconds));
    optional("NextRotationDate", secret.next_rotation().map(seconds));
    optional("LastAccessedDate", secret.accessed.map(seconds));
    optional("DeletedDate", secret.deleted.map(seconds));
    optional("PrimaryRegion", secret.replica_of.as_ref().map(|it| json!(it)));
    details
}

/// The labelled versions.
pub(super) fn stages(secret: &Secret) -> Value {
    let labelled = secret.versions.iter().filter(|it| !it.stages.is_empty());
    labelled.map(|it| (it.id.clone(), json!(it.stages))).collect::<serde_json::Map<_, _>>().into()
}

pub(super) fn update(exchange: &mut Exchange<'_>, input: &Input) -> ServiceResult {
    // Without a value the token that SDKs always send has no meaning.
    input.only(&["SecretId", "ClientRequestToken", "Description", "KmsKeyId"])?;
    let location = locate_alive(exchange, input, "UpdateSecret")?;
    let kms_key_id = kms_key(exchange.world, input)?;
    let description = input.text("Description")?.map(ToOwned::to_owned);
    let now = exchange.now;
    if let Some(secret) = exchange.world.change_secret(&location, now) {
        secret.changed = now;
        if description.is_some() {
            secret.description = description;
        }
    }
    if kms_key_id.is_some() {
        if let Some(secret) = exchange.world.change_secret(&location, now) {
            secret.kms_key_id = kms_key_id;
        }
        encryption::encrypt_again(exchange.world, exchange.caller, &location, now);
    }
    identified(exchange.world, &location, None)
}

pub(super) fn delete(exchange: &mut Exchange<'_>, input: &Input) -> ServiceResult {
    input.only(&["SecretId", "RecoveryWindowInDays", "ForceDeleteWithoutRecovery"])?;
    let window = input.number("RecoveryWindowInDays")?;
    let force = input.flag("ForceDeleteWithoutRecovery")?.unwrap_or(false);
    let days = recovery_window(window, force)?;
    let location = match locate_alive(exchange, input, "DeleteSecret") {
        // To force the deletion of a secret that is not there is no error.
        Err(refusal) if force && refusal.code == "ResourceNotFoundException" => return Ok(Reply::Empty),
        located => located?,
    };
    let now = exchange.now;
    let date = now + TimeDelta::days(days);
    let mut answer = identified(exchange.world, &location, None)?;
    if let Reply::Json(answer) = &mut answer {
        answer["DeletionDate"] = seconds(date);
    }
    if force {
        exchange.world.drop_secret(&location);
        return Ok(answer);
    }
    if let Some(secret) = exchange.world.change_secret(&location, now) {
        secret.deletion_date = Some(date);
        secret.deleted = Some(now);
        secret.changed = now;
    }
    exchange.world.deletions.insert((date, location.account, location.name));
    Ok(answer)
}

/// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_DeleteSecret.html>
fn recovery_window(window: Option<i64>, force: bool) -> Result<i64, ServiceError> {
    match (window, force) {
        (Some(_), true) => Err(ServiceError::invalid_parameter(
            "You can't use ForceDeleteWithoutRecovery in conjunction with RecoveryWindowInDays.",
        )),
        (None, true) => Ok(0),
        (None, false) => Ok(30),
        (Some(days @ 7..=30), false) => Ok(days),
        (Some(_), false) => Err(ServiceError::invalid_parameter(
            "The RecoveryWindowInDays value must be between 7 and 30 days (inclusive).",
        )),
    }
}

pub(super) fn restore(exchange: &mut Exchange<'_>, input: &Input) -> ServiceResult {
    input.only(&["SecretId"])?;
    let location = locate(exchange, input, "RestoreSecret")?;
    let now = exchange.now;
    if let Some(secret) = exchange.world.change_secret(&location, now) {
        secret.deletion_date = None;
        secret.deleted = None;
        secret.changed = now;
    }
    identified(exchange.world, &location, None)
}

/// A secret as lists show it, which may be an earlier state; none: not shown yet.
pub(super) fn as_listed<'s>(
    world: &World,
    secret: &'s Secret,
    now: chrono::DateTime<chrono::Utc>,
) -> Option<&'s Secret> {
    before(secret, world.switches.list_secrets_lag, now)
}

/// The state of a secret `lag` ago; none: it did not exist.
fn before(secret: &Secret, lag: std::time::Duration, now: chrono::DateTime<chrono::Utc>) -> Option<&Secret> {
    if lag.is_zero() {
        return Some(secret);
    }
    let then = now - clock::delta(lag);
    match secret.past.iter().find(|(until, _)| *until > then) {
        Some((_, before)) => before.as_deref(),
        None => Some(secret),
    }
}
