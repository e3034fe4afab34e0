//! Secrets Manager: the handler of each operation, and which caller may use a secret.

mod encryption;
mod list;
pub(crate) mod policy;
mod reading;
mod replicas;
mod rotate;
mod secrets;
mod tags;
mod versions;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::answer::{Reply, ServiceError, ServiceResult};
use super::ids;
use super::request::Input;
use super::signature::CallerKind;
use super::state::World;
use crate::model::exchange::Exchange;
use crate::model::kms::DEFAULT_KEY;
use crate::model::secret::{CURRENT, Plain, RotationStatus, Secret, SecretLocation, Version};
use crate::model::service::Service;

pub(crate) use reading::glob;
pub(crate) use rotate::start_rotation;

impl World {
    pub(crate) fn secret_at(&self, location: &SecretLocation) -> Option<&Secret> {
        self.accounts.get(&location.account)?.secrets.get(&location.name)
    }

    /// The secret, for a change. Its state before the change is kept for as long as reads may lag.
    pub(crate) fn change_secret(&mut self, location: &SecretLocation, now: DateTime<Utc>) -> Option<&mut Secret> {
        let lag = self.switches.list_secrets_lag.max(self.switches.describe_tags_lag);
        let secret = self.accounts.get_mut(&location.account)?.secrets.get_mut(&location.name)?;
        if lag.is_zero() {
            secret.past.clear();
        } else {
            let mut before = Box::new(secret.clone());
            before.past.clear();
            let oldest = now - super::clock::delta(lag);
            secret.past.retain(|(until, _)| *until > oldest);
            secret.past.push((now, Some(before)));
        }
        Some(secret)
    }

    pub(crate) fn insert_secret(&mut self, secret: Secret) {
        let account = self.expect_account(&secret.account);
        account.secret_order.insert(secret.serial, secret.name.clone());
        account.secrets.insert(secret.name.clone(), secret);
    }

    pub(crate) fn drop_secret(&mut self, location: &SecretLocation) {
        let account = self.expect_account(&location.account);
        if let Some(secret) = account.secrets.remove(&location.name) {
            account.secret_order.remove(&secret.serial);
        }
    }

    /// Purges the secrets whose recovery window has passed.
    pub(crate) fn purge_secrets(&mut self, now: DateTime<Utc>) {
        while let Some((date, account, name)) = self.deletions.first().filter(|it| it.0 <= now).cloned() {
            self.deletions.pop_first();
            let location = SecretLocation { account, name };
            let due = self.secret_at(&location).is_some_and(|it| it.deletion_date == Some(date));
            if due {
                self.drop_secret(&location);
            }
        }
    }

    /// A secret's ARN without its suffix.
    pub(crate) fn partial_arn(&self, account: &str, name: &str) -> String {
        let (partition, region) = (&self.partition, &self.region);
        format!("arn:{partition}:secretsmanager:{region}:{account}:secret:{name}")
    }

    /// A new secret without versions.
    pub(crate) fn blank_secret(&mut self, account: &str, name: &str, now: DateTime<Utc>) -> Secret {
        let arn = self.partial_arn(account, name);
        Secret {
            account: account.to_owned(),
            name: name.to_owned(),
            arn: format!("{arn}-{}", ids::arn_suffix(&mut self.rng)),
            serial: self.next_serial(),
            description: None,
            kms_key_id: None,
            created: now,
            changed: now,
            accessed: None,
            versions: Vec::new(),
            tags: BTreeMap::new(),
            policy: None,
            rotation: RotationStatus::default(),
            replicas: BTreeSet::new(),
            replica_of: None,
            deletion_date: None,
            deleted: None,
            past: vec![(now, None)],
        }
    }

    /// The native event that EventBridge gets when AWSCURRENT moves.
    /// <https://docs.aws.amazon.com/secretsmanager/latest/userguide/monitoring-eventbridge.html>
    pub(crate) fn label_updated(&mut self, secret: (&str, &str, &str), version: &str, now: DateTime<Utc>) {
        let (account, name, arn) = secret;
        let detail = json!({ "name": name, "labelUpdated": CURRENT, "versionId": version });
        self.event("Secret Label Updated", account, arn, &detail, now);
    }

    pub(crate) fn event(&mut self, kind: &str, account: &str, arn: &str, detail: &Value, now: DateTime<Utc>) {
        let event = json!({
            "version": "0",
            "id": ids::uuid(&mut self.rng),
            "detail-type": kind,
            "source": "aws.secretsmanager",
            "account": account,
            "time": now.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
            "region": self.region,
            "resources": [arn],
            "detail": detail,
        });
        self.events.push(event);
    }
}

/// Adds a secret with one current version. Returns its ARN.
pub(crate) fn plant(world: &mut World, account: &str, name: &str, value: Plain, created: DateTime<Utc>) -> String {
    let id = ids::uuid(&mut world.rng);
    let mut version = Version::new(&id, Some(value), created);
    version.stages.insert(CURRENT.to_owned());
    version.was_current = true;
    version.kms_keys = encryption::keys_of_new_version(DEFAULT_KEY.to_owned());
    let mut secret = world.blank_secret(account, name, created);
    secret.versions.push(version);
    let arn = secret.arn.clone();
    world.insert_secret(secret);
    arn
}

pub(crate) fn handle(exchange: &mut Exchange<'_>, operation: &str, input: &Input) -> ServiceResult {
    exchange.world.purge_secrets(exchange.now);
    replicas::check(exchange, operation, input)?;
    match operation {
        "CreateSecret" => secrets::create(exchange, input),
        "DescribeSecret" => secrets::describe(exchange, input),
        "UpdateSecret" => secrets::update(exchange, input),
        "DeleteSecret" => secrets::delete(exchange, input),
        "RestoreSecret" => secrets::restore(exchange, input),
        "ListSecrets" => list::list(exchange, input),
        "GetSecretValue" => versions::get(exchange, input),
        "PutSecretValue" => versions::put(exchange, input),
        "UpdateSecretVersionStage" => versions::move_stage(exchange, input),
        "ListSecretVersionIds" => versions::list(exchange, input),
        "TagResource" => tags::tag(exchange, input),
        "UntagResource" => tags::untag(exchange, input),
        "PutResourcePolicy" => policy::put(exchange, input),
        "GetResourcePolicy" => policy::get(exchange, input),
        "DeleteResourcePolicy" => policy::delete(exchange, input),
        "ValidateResourcePolicy" => policy::validate(exchange, input),
        "RotateSecret" => rotate::rotate(exchange, input),
        "CancelRotateSecret" => rotate::cancel(exchange, input),
        "RemoveRegionsFromReplication" => replicas::remove(exchange, input),
        _ => Err(ServiceError::unknown_operation(Service::SecretsManager, operation)),
    }
}

pub(crate) fn invalid_request(message: impl Into<String>) -> ServiceError {
    ServiceError::new(400, "InvalidRequestException", message)
}

pub(crate) fn not_found(message: impl Into<String>) -> ServiceError {
    ServiceError::new(400, "ResourceNotFoundException", message)
}

pub(crate) const NO_SECRET: &str = "Secrets Manager can't find the specified secret.";

/// A time as JSON 1.1 writes it: seconds with milliseconds.
pub(crate) fn seconds(time: DateTime<Utc>) -> Value {
    #[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 fit a float exactly")]
    let seconds = time.timestamp_millis() as f64 / 1000.0;
    json!(seconds)
}

/// The start of the day: the precision of a last access.
pub(crate) fn day(time: DateTime<Utc>) -> DateTime<Utc> {
    time - TimeDelta::milliseconds(time.timestamp_millis().rem_euclid(86_400_000))
}

/// Finds the secret that a caller names. Roles of its own account may do anything; for users the resource policy is
/// evaluated.
pub(crate) fn locate(exchange: &mut Exchange<'_>, input: &Input, action: &str) -> Result<SecretLocation, ServiceError> {
    let id = input.needed("SecretId")?;
    let own = exchange.caller.account.clone();
    let (location, exact) = named(exchange.world, &own, id);
    exchange.resource = match exchange.world.secret_at(&location) {
        Some(secret) => secret.arn.clone(),
        None if id.starts_with("arn:") => id.to_owned(),
        None => exchange.world.partial_arn(&location.account, &location.name),
    };
    let action = format!("secretsmanager:{action}");
    if let CallerKind::User { .. } = exchange.caller.kind {
        reading::authorize(exchange, &location, &action, exact)?;
    } else if location.account != own {
        return Err(ServiceError::denied(
            &exchange.caller.arn,
            &action,
            &exchange.resource,
            " because no resource-based policy allows the action",
        ));
    }
    let lag = super::clock::delta(exchange.world.switches.new_secret_lag);
    match exchange.world.secret_at(&location) {
        Some(secret) if lag.is_zero() || secret.created + lag <= exchange.now => Ok(location),
        _ => Err(not_found(NO_SECRET)),
    }
}

/// Like [`locate`], for operations that fail on a secret marked for deletion.
pub(crate) fn locate_alive(
    exchange: &mut Exchange<'_>,
    input: &Input,
    action: &str,
) -> Result<SecretLocation, ServiceError> {
    let location = locate(exchange, input, action)?;
    match exchange.world.secret_at(&location).and_then(|it| it.deletion_date) {
        None => Ok(location),
        Some(_) => {
            Err(invalid_request("You can't perform this operation on the secret because it was marked for deletion."))
        }
    }
}

/// The secret that a name, a full ARN or an ARN without suffix means, and whether `id` is a full ARN.
fn named(world: &World, own: &str, id: &str) -> (SecretLocation, bool) {
    let location = |account: &str, name: &str| SecretLocation { account: account.to_owned(), name: name.to_owned() };
    let prefix = format!("arn:{}:secretsmanager:{}:", world.partition, world.region);
    let Some((account, name)) = id.strip_prefix(&prefix).and_then(|rest| rest.split_once(":secret:")) else {
        return (location(own, id), false);
    };
    let stem = name.len().checked_sub(7).and_then(|end| name.get(..end));
    let full = stem.map(|stem| location(account, stem));
    match full.filter(|it| world.secret_at(it).is_some_and(|secret| secret.arn == id)) {
        Some(location) => (location, true),
        None => (location(account, name), false),
    }
}

/// The members ARN and Name, with which many operations answer.
pub(crate) fn identity(secret: &Secret) -> Value {
    json!({ "ARN": secret.arn, "Name": secret.name })
}

/// A success with a secret's ARN and name, and perhaps a version id.
pub(crate) fn identified(world: &World, location: &SecretLocation, version: Option<&str>) -> ServiceResult {
    let secret = world.secret_at(location).ok_or_else(|| not_found(NO_SECRET))?;
    let mut answer = identity(secret);
    if let Some(version) = version {
        answer["VersionId"] = json!(version);
    }
    Ok(Reply::Json(answer))
}
