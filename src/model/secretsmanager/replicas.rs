//! Replicas: what a replica refuses, and taking replicas off.

use serde_json::json;

use super::{identified, invalid_request, locate_alive, named};
use crate::model::answer::{Reply, ServiceError, ServiceResult};
use crate::model::cloud::Cloud;
use crate::model::exchange::Exchange;
use crate::model::request::Input;
use crate::model::secret::SecretLocation;

/// Operations that only the primary secret accepts.
/// <https://docs.aws.amazon.com/secretsmanager/latest/userguide/replicate-secrets.html>
const OF_THE_PRIMARY: [&str; 11] = [
    "CancelRotateSecret",
    "DeleteResourcePolicy",
    "DeleteSecret",
    "PutResourcePolicy",
    "PutSecretValue",
    "RestoreSecret",
    "RotateSecret",
    "TagResource",
    "UntagResource",
    "UpdateSecret",
    "UpdateSecretVersionStage",
];

/// Refuses a write to a replica, and the deletion of a secret that has replicas.
/// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_DeleteSecret.html>
pub(super) fn check(exchange: &Exchange<'_>, operation: &str, input: &Input) -> Result<(), ServiceError> {
    if !OF_THE_PRIMARY.contains(&operation) {
        return Ok(());
    }
    let (location, _) = named(exchange.world, &exchange.caller.account, input.needed("SecretId")?);
    let Some(secret) = exchange.world.secret_at(&location) else { return Ok(()) };
    if secret.replica_of.is_some() {
        return Err(invalid_request(
            "Operation not permitted on a replica secret. Call must be made in primary secret's region.",
        ));
    }
    if operation == "DeleteSecret" && !secret.replicas.is_empty() {
        return Err(ServiceError::invalid_parameter(format!(
            "You can't delete secret {} that still has replica regions {:?}",
            secret.name, secret.replicas
        )));
    }
    Ok(())
}

pub(super) fn remove(exchange: &mut Exchange<'_>, input: &Input) -> ServiceResult {
    input.only(&["SecretId", "RemoveReplicaRegions"])?;
    let location = locate_alive(exchange, input, "RemoveRegionsFromReplication")?;
    let regions = input.texts("RemoveReplicaRegions")?.unwrap_or_default();
    if let Some(secret) = exchange.world.change_secret(&location, exchange.now) {
        secret.replicas.retain(|region| !regions.contains(region));
    }
    let mut answer = identified(exchange.world, &location, None)?;
    if let Reply::Json(answer) = &mut answer {
        answer["ReplicationStatus"] = json!([]);
    }
    Ok(answer)
}

impl Cloud {
    /// Replicates a secret to another Region.
    ///
    /// # Panics
    /// If the account lacks the secret.
    pub fn replicate_secret(&self, account: &str, name: &str, region: &str) {
        self.change_replication(account, name, |secret| {
            secret.replicas.insert(region.to_owned());
        });
    }

    /// Makes a secret a replica of a primary secret in that Region, with which another stack works.
    ///
    /// # Panics
    /// If the account lacks the secret.
    pub fn make_replica_of(&self, account: &str, name: &str, primary_region: &str) {
        self.change_replication(account, name, |secret| secret.replica_of = Some(primary_region.to_owned()));
    }

    fn change_replication(&self, account: &str, name: &str, change: impl FnOnce(&mut crate::model::secret::Secret)) {
        let now = self.clock().now();
        let location = SecretLocation { account: account.to_owned(), name: name.to_owned() };
        change(self.world().change_secret(&location, now).expect("the secret is there"));
    }
}
