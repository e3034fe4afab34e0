//! Calls to the model's Secrets Manager.

use std::collections::BTreeMap;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::Actor;
use crate::aws::{
    CURRENT, CallFailure, NewSecret, PENDING, PageTokens, RotationSchedule, SecretDescription, SecretPage, SecretStore,
    binary_value,
};
use crate::keys::{AccountId, SecretName, VersionId};

#[derive(Debug)]
pub(super) struct DirectSecrets(Actor);

impl DirectSecrets {
    /// A page of the secrets whose `what` (`name` or `tag-value`) begins with `prefix`.
    async fn page(
        &self,
        (what, prefix): (&str, &str),
        deleted_too: bool,
        from: Option<String>,
    ) -> Result<SecretPage, CallFailure> {
        let about = format!("{what}s starting with {prefix}");
        let input = json!({
            "Filters": [{"Key": what, "Values": [prefix]}],
            "IncludePlannedDeletion": deleted_too,
            "MaxResults": 100,
            "NextToken": from,
        });
        let page = self.0.ask("secretsmanager:ListSecrets", &about, input).await?.json();
        let entries = page["SecretList"].as_array().into_iter().flatten();
        let secrets = entries.filter_map(|entry| description(entry, &entry["SecretVersionsToStages"])).collect();
        Ok(SecretPage { secrets, unreadable: Vec::new(), next: page["NextToken"].as_str().map(str::to_owned) })
    }

    pub(super) fn new(actor: &Actor) -> Self {
        Self(actor.clone())
    }

    async fn change(&self, operation: &'static str, id: &str, mut input: Value) -> Result<(), CallFailure> {
        input["SecretId"] = json!(id);
        self.0.ask(operation, id, input).await.map(drop)
    }
}

#[async_trait]
impl SecretStore for DirectSecrets {
    async fn describe(&self, id: &str) -> Result<Option<SecretDescription>, CallFailure> {
        const OPERATION: &str = "secretsmanager:DescribeSecret";
        let answer = match self.0.ask(OPERATION, id, json!({"SecretId": id})).await {
            Err(failure) if failure.is_not_found() => return Ok(None),
            answer => answer?.json(),
        };
        let described = description(&answer, &answer["VersionIdsToStages"]);
        described.map(Some).ok_or_else(|| CallFailure::incomplete(OPERATION, id, "ARN and name"))
    }

    async fn of_account(&self, account: &AccountId, from: Option<String>) -> Result<SecretPage, CallFailure> {
        let prefix = SecretName::account_prefix(account);
        let mut page = self.page(("name", &prefix), true, from).await?;
        page.secrets.retain(|secret| secret.name.user().account == *account);
        Ok(page)
    }

    async fn of_all_accounts(&self, from: Option<String>) -> Result<SecretPage, CallFailure> {
        self.page(("name", SecretName::PREFIX), false, from).await
    }

    async fn names_with_tag(&self, tag: &str, prefix: &str) -> Result<Vec<SecretName>, CallFailure> {
        let (mut names, mut pages, mut from) = (Vec::new(), PageTokens::default(), None);
        loop {
            let page = self.page(("tag-value", prefix), false, from).await?;
            let tagged = page.secrets.into_iter().filter(|secret| secret.has_tag(tag, prefix));
            names.extend(tagged.map(|secret| secret.name));
            from = pages.next("secretsmanager:ListSecrets", tag, page.next)?;
            if from.is_none() {
                return Ok(names);
            }
        }
    }

    async fn value(
        &self,
        id: &str,
        version: Option<&VersionId>,
        stage: Option<&str>,
    ) -> Result<Option<Zeroizing<String>>, CallFailure> {
        const OPERATION: &str = "secretsmanager:GetSecretValue";
        let input = json!({"SecretId": id, "VersionId": version.map(VersionId::as_str), "VersionStage": stage});
        match self.0.ask(OPERATION, id, input).await {
            Err(failure) if failure.is_not_found() => Ok(None),
            Err(failure) => Err(failure),
            Ok(answer) => match answer.json()["SecretString"].take() {
                Value::String(value) => Ok(Some(Zeroizing::new(value))),
                _ => Err(binary_value(OPERATION, id)),
            },
        }
    }

    async fn registered_at(&self, id: &str, version: &VersionId) -> Result<Option<DateTime<Utc>>, CallFailure> {
        let input = json!({"SecretId": id, "MaxResults": 100});
        let answer = self.0.ask("secretsmanager:ListSecretVersionIds", id, input).await?.json();
        let mut listed = answer["Versions"].as_array().into_iter().flatten();
        let found = listed.find(|listed| listed["VersionId"].as_str() == Some(version.as_str()));
        Ok(found.and_then(|listed| time(&listed["CreatedDate"])))
    }

    async fn put_pending(
        &self,
        id: &str,
        version: &VersionId,
        value: &Zeroizing<String>,
        rotation_token: Option<&str>,
    ) -> Result<(), CallFailure> {
        let input = json!({
            "ClientRequestToken": version.as_str(),
            "SecretString": value.as_str(),
            "VersionStages": [PENDING],
            "RotationToken": rotation_token,
        });
        self.change("secretsmanager:PutSecretValue", id, input).await
    }

    async fn put_first(&self, id: &str, version: &VersionId, placeholder: &str) -> Result<(), CallFailure> {
        let input = json!({"ClientRequestToken": version.as_str(), "SecretString": placeholder});
        self.change("secretsmanager:PutSecretValue", id, input).await
    }

    async fn move_current(&self, id: &str, from: Option<&VersionId>, to: &VersionId) -> Result<(), CallFailure> {
        let from = from.map(VersionId::as_str);
        let input = json!({"VersionStage": CURRENT, "MoveToVersionId": to.as_str(), "RemoveFromVersionId": from});
        self.change("secretsmanager:UpdateSecretVersionStage", id, input).await
    }

    async fn remove_pending(&self, id: &str, version: &VersionId) -> Result<(), CallFailure> {
        let input = json!({"VersionStage": PENDING, "RemoveFromVersionId": version.as_str()});
        self.change("secretsmanager:UpdateSecretVersionStage", id, input).await
    }

    async fn create(&self, secret: NewSecret<'_>) -> Result<(), CallFailure> {
        let NewSecret { name, version, description, kms_key, placeholder, tags } = secret;
        let input = json!({
            "Name": name.to_string(),
            "ClientRequestToken": version.as_str(),
            "Description": description,
            "KmsKeyId": kms_key,
            "SecretString": placeholder,
            "Tags": as_tags(&tags),
        });
        self.0.ask("secretsmanager:CreateSecret", name, input).await.map(drop)
    }

    async fn tag(&self, id: &str, tags: &BTreeMap<String, String>) -> Result<(), CallFailure> {
        if tags.is_empty() {
            return Ok(());
        }
        self.change("secretsmanager:TagResource", id, json!({"Tags": as_tags(tags)})).await
    }

    async fn untag(&self, id: &str, names: &[&str]) -> Result<(), CallFailure> {
        if names.is_empty() {
            return Ok(());
        }
        self.change("secretsmanager:UntagResource", id, json!({"TagKeys": names})).await
    }

    async fn policy(&self, id: &str) -> Result<Option<String>, CallFailure> {
        let answer = self.0.ask("secretsmanager:GetResourcePolicy", id, json!({"SecretId": id})).await?;
        Ok(answer.json()["ResourcePolicy"].as_str().map(str::to_owned))
    }

    async fn put_policy(&self, id: &str, policy: &str) -> Result<(), CallFailure> {
        let input = json!({"ResourcePolicy": policy, "BlockPublicPolicy": true});
        self.change("secretsmanager:PutResourcePolicy", id, input).await
    }

    async fn configure_rotation(
        &self,
        id: &str,
        function: &str,
        days: i64,
        rotate_now: bool,
    ) -> Result<(), CallFailure> {
        let input = json!({
            "RotationLambdaARN": function,
            "RotationRules": {"AutomaticallyAfterDays": days},
            "RotateImmediately": rotate_now,
        });
        self.change("secretsmanager:RotateSecret", id, input).await
    }

    async fn rotate(&self, id: &str) -> Result<(), CallFailure> {
        self.change("secretsmanager:RotateSecret", id, json!({})).await
    }

    async fn cancel_rotation(&self, id: &str) -> Result<(), CallFailure> {
        self.change("secretsmanager:CancelRotateSecret", id, json!({})).await
    }

    async fn set_kms_key(&self, id: &str, kms_key: &str) -> Result<(), CallFailure> {
        self.change("secretsmanager:UpdateSecret", id, json!({"KmsKeyId": kms_key})).await
    }

    async fn remove_replicas(&self, id: &str, regions: &[String]) -> Result<(), CallFailure> {
        let input = json!({"RemoveReplicaRegions": regions});
        self.change("secretsmanager:RemoveRegionsFromReplication", id, input).await
    }

    async fn schedule_deletion(&self, id: &str, recovery_window_days: i64) -> Result<(), CallFailure> {
        let input = json!({"RecoveryWindowInDays": recovery_window_days});
        self.change("secretsmanager:DeleteSecret", id, input).await
    }

    async fn restore(&self, id: &str) -> Result<(), CallFailure> {
        self.change("secretsmanager:RestoreSecret", id, json!({})).await
    }
}

/// Parses a description or an entry of a list. They differ in the name of the labels, which the caller passes.
fn description(entry: &Value, stages: &Value) -> Option<SecretDescription> {
    let text = |name: &str| entry[name].as_str().map(str::to_owned);
    let rules = &entry["RotationRules"];
    let tag = |tag: &Value| Some((tag["Key"].as_str()?.to_owned(), tag["Value"].as_str()?.to_owned()));
    let labels =
        |labels: &Value| labels.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
    let stages = stages.as_object().into_iter().flatten();
    let replicas = entry["ReplicationStatus"].as_array().into_iter().flatten();
    Some(SecretDescription {
        arn: text("ARN")?,
        name: entry["Name"].as_str()?.parse().ok()?,
        kms_key: text("KmsKeyId"),
        rotation_enabled: entry["RotationEnabled"].as_bool().unwrap_or_default(),
        schedule: RotationSchedule {
            function: text("RotationLambdaARN"),
            days: rules["AutomaticallyAfterDays"].as_i64(),
            expression: rules["ScheduleExpression"].as_str().map(str::to_owned),
        },
        next_rotation: time(&entry["NextRotationDate"]),
        deleted: time(&entry["DeletedDate"]),
        replicas: replicas.filter_map(|replica| replica["Region"].as_str().map(str::to_owned)).collect(),
        primary_region: text("PrimaryRegion"),
        tags: entry["Tags"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(tag)
            .filter(|(_, value)| !value.is_empty())
            .collect(),
        stages: stages.map(|(version, stages)| (version.clone(), labels(stages))).collect(),
    })
}

/// Seconds since the epoch, with fractions.
fn time(value: &Value) -> Option<DateTime<Utc>> {
    let milliseconds = value.as_f64()? * 1000.0;
    #[expect(clippy::cast_possible_truncation, reason = "a date in milliseconds is far below the limits of i64")]
    DateTime::from_timestamp_millis(milliseconds as i64)
}

fn as_tags(tags: &BTreeMap<String, String>) -> Vec<Value> {
    tags.iter().map(|(key, value)| json!({"Key": key, "Value": value})).collect()
}
