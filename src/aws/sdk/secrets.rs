//! The calls to Secrets Manager, through the SDK.

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_secretsmanager::types::{Filter, FilterNameStringType, RotationRulesType, SecretListEntry, Tag};
use chrono::{DateTime, Utc};
use zeroize::Zeroizing;

use super::failure::OrFailure;
use super::retry::own_quota;
use super::time::utc;
use super::whole::WholeAnswer;
use crate::aws::failure::CallFailure;
use crate::aws::pages::PageTokens;
use crate::aws::secrets::{
    CURRENT, NewSecret, PENDING, RotationSchedule, SecretDescription, SecretPage, SecretStore, binary_value,
};
use crate::keys::{AccountId, SecretName, VersionId};

/// Items of one page: the maximum that ListSecrets accepts.
/// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_ListSecrets.html>
const PAGE_SIZE: i32 = 100;
const LIST: &str = "secretsmanager:ListSecrets";
const ROTATE: &str = "secretsmanager:RotateSecret";

#[derive(Debug, Clone)]
pub(super) struct SdkSecretStore {
    client: aws_sdk_secretsmanager::Client,
}

impl SdkSecretStore {
    pub(super) fn new(config: &SdkConfig) -> Self {
        let quota = own_quota("secrets".to_owned());
        let config = aws_sdk_secretsmanager::config::Builder::from(config).retry_partition(quota);
        Self { client: aws_sdk_secretsmanager::Client::from_conf(config.interceptor(WholeAnswer::Json).build()) }
    }

    /// Returns a page of the secrets whose `field` starts with `prefix`, without those whose name is not one of
    /// keywheel's.
    async fn page(
        &self,
        (field, prefix): (FilterNameStringType, &str),
        deleted_too: bool,
        from: Option<String>,
    ) -> Result<SecretPage, CallFailure> {
        let about = format!("{field}s starting with {prefix}");
        let filter = Filter::builder().key(field).values(prefix).build();
        let page = self
            .client
            .list_secrets()
            .filters(filter)
            .include_planned_deletion(deleted_too)
            .max_results(PAGE_SIZE)
            .set_next_token(from)
            .send()
            .await
            .or_failure(LIST, &about)?;
        let entries = page.secret_list.ok_or_else(|| CallFailure::incomplete(LIST, about, "list"))?;
        let mut secrets =
            SecretPage { next: page.next_token.filter(|token| !token.is_empty()), ..SecretPage::default() };
        for entry in entries {
            // Names that are not keywheel's belong to somebody else.
            let Some(name) = entry.name.as_deref().and_then(|name| name.parse().ok()) else { continue };
            match listed(&name, entry) {
                Some(secret) => secrets.secrets.push(secret),
                None => secrets.unreadable.push(name),
            }
        }
        Ok(secrets)
    }
}

#[async_trait]
impl SecretStore for SdkSecretStore {
    async fn describe(&self, id: &str) -> Result<Option<SecretDescription>, CallFailure> {
        const OPERATION: &str = "secretsmanager:DescribeSecret";
        let answer = match self.client.describe_secret().secret_id(id).send().await.or_failure(OPERATION, id) {
            Err(failure) if failure.is_not_found() => return Ok(None),
            answer => answer?,
        };
        let incomplete = |missing| CallFailure::incomplete(OPERATION, id, missing);
        let name = answer.name.as_deref().and_then(|name| name.parse().ok());
        let deleted = readable(answer.deleted_date.as_ref()).ok_or_else(|| incomplete("date of deletion"))?;
        Ok(Some(SecretDescription {
            arn: answer.arn.filter(|arn| !arn.is_empty()).ok_or_else(|| incomplete("ARN"))?,
            name: name.ok_or_else(|| incomplete("name"))?,
            kms_key: answer.kms_key_id,
            rotation_enabled: answer.rotation_enabled.unwrap_or_default(),
            schedule: schedule(answer.rotation_lambda_arn, answer.rotation_rules),
            next_rotation: answer.next_rotation_date.as_ref().and_then(utc),
            deleted,
            replicas: answer.replication_status.unwrap_or_default().into_iter().filter_map(|it| it.region).collect(),
            primary_region: answer.primary_region,
            tags: tags(answer.tags),
            stages: answer.version_ids_to_stages.unwrap_or_default().into_iter().collect(),
        }))
    }

    async fn of_account(&self, account: &AccountId, from: Option<String>) -> Result<SecretPage, CallFailure> {
        let prefix = SecretName::account_prefix(account);
        let mut page = self.page((FilterNameStringType::Name, &prefix), true, from).await?;
        // The prefix may also match names that belong to somebody else.
        page.secrets.retain(|secret| secret.name.user().account == *account);
        page.unreadable.retain(|name| name.user().account == *account);
        Ok(page)
    }

    async fn of_all_accounts(&self, from: Option<String>) -> Result<SecretPage, CallFailure> {
        self.page((FilterNameStringType::Name, SecretName::PREFIX), false, from).await
    }

    async fn names_with_tag(&self, tag: &str, prefix: &str) -> Result<Vec<SecretName>, CallFailure> {
        let (mut names, mut pages, mut from) = (Vec::new(), PageTokens::default(), None);
        loop {
            let page = self.page((FilterNameStringType::TagValue, prefix), false, from).await?;
            // The filter matches the values of all tags, whatever their names.
            let tagged = page.secrets.into_iter().filter(|secret| secret.has_tag(tag, prefix));
            names.extend(tagged.map(|secret| secret.name));
            from = pages.next(LIST, tag, page.next)?;
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
        let answer = self
            .client
            .get_secret_value()
            .secret_id(id)
            .set_version_id(version.map(ToString::to_string))
            .set_version_stage(stage.map(str::to_owned))
            .send()
            .await;
        match answer.or_failure(OPERATION, id) {
            Err(failure) if failure.is_not_found() => Ok(None),
            Err(failure) => Err(failure),
            Ok(answer) if answer.secret_string.is_some() => Ok(answer.secret_string.map(Zeroizing::new)),
            Ok(answer) => match answer.secret_binary.map(|blob| Zeroizing::new(blob.into_inner())) {
                Some(_binary) => Err(binary_value(OPERATION, id)),
                None => Err(CallFailure::incomplete(OPERATION, id, "value")),
            },
        }
    }

    async fn registered_at(&self, id: &str, version: &VersionId) -> Result<Option<DateTime<Utc>>, CallFailure> {
        // A secret has at most 20 labels, so one page holds all versions with a label.
        let request = self.client.list_secret_version_ids().secret_id(id).max_results(PAGE_SIZE);
        let answer = request.send().await.or_failure("secretsmanager:ListSecretVersionIds", id)?;
        let listed = answer.versions.unwrap_or_default();
        let found = listed.iter().find(|listed| listed.version_id.as_deref() == Some(version.as_str()));
        Ok(found.and_then(|listed| listed.created_date.as_ref()).and_then(utc))
    }

    async fn put_pending(
        &self,
        id: &str,
        version: &VersionId,
        value: &Zeroizing<String>,
        rotation_token: Option<&str>,
    ) -> Result<(), CallFailure> {
        const OPERATION: &str = "secretsmanager:PutSecretValue";
        let answer = self
            .client
            .put_secret_value()
            .secret_id(id)
            .client_request_token(version.as_str())
            .secret_string(value.as_str())
            .version_stages(PENDING)
            .set_rotation_token(rotation_token.map(str::to_owned))
            .send()
            .await
            .or_failure(OPERATION, id)?;
        confirmed(OPERATION, id, answer.arn)
    }

    async fn put_first(&self, id: &str, version: &VersionId, placeholder: &str) -> Result<(), CallFailure> {
        const OPERATION: &str = "secretsmanager:PutSecretValue";
        let request = self.client.put_secret_value().secret_id(id).client_request_token(version.as_str());
        let answer = request.secret_string(placeholder).send().await.or_failure(OPERATION, id)?;
        confirmed(OPERATION, id, answer.arn)
    }

    async fn move_current(&self, id: &str, from: Option<&VersionId>, to: &VersionId) -> Result<(), CallFailure> {
        const OPERATION: &str = "secretsmanager:UpdateSecretVersionStage";
        let answer = self
            .client
            .update_secret_version_stage()
            .secret_id(id)
            .version_stage(CURRENT)
            .move_to_version_id(to.as_str())
            .set_remove_from_version_id(from.map(ToString::to_string))
            .send()
            .await
            .or_failure(OPERATION, id)?;
        confirmed(OPERATION, id, answer.arn)
    }

    async fn remove_pending(&self, id: &str, version: &VersionId) -> Result<(), CallFailure> {
        const OPERATION: &str = "secretsmanager:UpdateSecretVersionStage";
        let answer = self
            .client
            .update_secret_version_stage()
            .secret_id(id)
            .version_stage(PENDING)
            .remove_from_version_id(version.as_str())
            .send()
            .await
            .or_failure(OPERATION, id)?;
        confirmed(OPERATION, id, answer.arn)
    }

    async fn create(&self, secret: NewSecret<'_>) -> Result<(), CallFailure> {
        const OPERATION: &str = "secretsmanager:CreateSecret";
        let NewSecret { name, version, description, kms_key, placeholder, tags } = secret;
        let answer = self
            .client
            .create_secret()
            .name(name.to_string())
            .client_request_token(version.as_str())
            .description(description)
            .set_kms_key_id(kms_key.map(str::to_owned))
            .secret_string(placeholder)
            .set_tags(Some(as_tags(&tags)))
            .send()
            .await
            .or_failure(OPERATION, name)?;
        confirmed(OPERATION, name, answer.arn)
    }

    async fn tag(&self, id: &str, tags: &BTreeMap<String, String>) -> Result<(), CallFailure> {
        if tags.is_empty() {
            return Ok(());
        }
        let request = self.client.tag_resource().secret_id(id).set_tags(Some(as_tags(tags)));
        request.send().await.or_failure("secretsmanager:TagResource", id)?;
        Ok(())
    }

    async fn untag(&self, id: &str, names: &[&str]) -> Result<(), CallFailure> {
        if names.is_empty() {
            return Ok(());
        }
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        let request = self.client.untag_resource().secret_id(id).set_tag_keys(Some(names));
        request.send().await.or_failure("secretsmanager:UntagResource", id)?;
        Ok(())
    }

    async fn policy(&self, id: &str) -> Result<Option<String>, CallFailure> {
        const OPERATION: &str = "secretsmanager:GetResourcePolicy";
        let answer = self.client.get_resource_policy().secret_id(id).send().await.or_failure(OPERATION, id)?;
        confirmed(OPERATION, id, answer.arn).map(|()| answer.resource_policy)
    }

    async fn put_policy(&self, id: &str, policy: &str) -> Result<(), CallFailure> {
        let request = self.client.put_resource_policy().secret_id(id).resource_policy(policy).block_public_policy(true);
        let answer = request.send().await.or_failure("secretsmanager:PutResourcePolicy", id)?;
        confirmed("secretsmanager:PutResourcePolicy", id, answer.arn)
    }

    async fn configure_rotation(
        &self,
        id: &str,
        function: &str,
        days: i64,
        rotate_now: bool,
    ) -> Result<(), CallFailure> {
        let answer = self
            .client
            .rotate_secret()
            .secret_id(id)
            .rotation_lambda_arn(function)
            .rotation_rules(RotationRulesType::builder().automatically_after_days(days).build())
            .rotate_immediately(rotate_now)
            .send()
            .await
            .or_failure(ROTATE, id)?;
        confirmed(ROTATE, id, answer.arn)
    }

    async fn rotate(&self, id: &str) -> Result<(), CallFailure> {
        let answer = self.client.rotate_secret().secret_id(id).send().await.or_failure(ROTATE, id)?;
        confirmed(ROTATE, id, answer.arn)
    }

    async fn cancel_rotation(&self, id: &str) -> Result<(), CallFailure> {
        let request = self.client.cancel_rotate_secret().secret_id(id);
        let answer = request.send().await.or_failure("secretsmanager:CancelRotateSecret", id)?;
        confirmed("secretsmanager:CancelRotateSecret", id, answer.arn)
    }

    async fn set_kms_key(&self, id: &str, kms_key: &str) -> Result<(), CallFailure> {
        let request = self.client.update_secret().secret_id(id).kms_key_id(kms_key);
        let answer = request.send().await.or_failure("secretsmanager:UpdateSecret", id)?;
        confirmed("secretsmanager:UpdateSecret", id, answer.arn)
    }

    async fn remove_replicas(&self, id: &str, regions: &[String]) -> Result<(), CallFailure> {
        let request = self.client.remove_regions_from_replication().secret_id(id);
        let request = request.set_remove_replica_regions(Some(regions.to_vec()));
        request.send().await.or_failure("secretsmanager:RemoveRegionsFromReplication", id)?;
        Ok(())
    }

    async fn schedule_deletion(&self, id: &str, recovery_window_days: i64) -> Result<(), CallFailure> {
        let request = self.client.delete_secret().secret_id(id).recovery_window_in_days(recovery_window_days);
        let answer = request.send().await.or_failure("secretsmanager:DeleteSecret", id)?;
        confirmed("secretsmanager:DeleteSecret", id, answer.arn)
    }

    async fn restore(&self, id: &str) -> Result<(), CallFailure> {
        let answer = self.client.restore_secret().secret_id(id).send().await;
        confirmed("secretsmanager:RestoreSecret", id, answer.or_failure("secretsmanager:RestoreSecret", id)?.arn)
    }
}

/// Returns a listed secret; `None` if its entry cannot be read.
fn listed(name: &SecretName, entry: SecretListEntry) -> Option<SecretDescription> {
    Some(SecretDescription {
        arn: entry.arn.filter(|arn| !arn.is_empty())?,
        name: name.clone(),
        kms_key: entry.kms_key_id,
        rotation_enabled: entry.rotation_enabled.unwrap_or_default(),
        schedule: schedule(entry.rotation_lambda_arn, entry.rotation_rules),
        next_rotation: entry.next_rotation_date.as_ref().and_then(utc),
        deleted: readable(entry.deleted_date.as_ref())?,
        replicas: Vec::new(),
        primary_region: entry.primary_region,
        tags: tags(entry.tags),
        stages: entry.secret_versions_to_stages.unwrap_or_default().into_iter().collect(),
    })
}

/// Returns a date, or `Some(None)` without one; `None` if it cannot be read, which is not the same as none.
#[expect(clippy::option_option, reason = "an unreadable date is not a missing date")]
fn readable(date: Option<&aws_smithy_types::DateTime>) -> Option<Option<DateTime<Utc>>> {
    match date {
        None => Some(None),
        Some(date) => utc(date).map(Some),
    }
}

/// Fails unless the response to a change names the secret, as every genuine response does.
fn confirmed(operation: &'static str, id: impl fmt::Display, arn: Option<String>) -> Result<(), CallFailure> {
    let arn = arn.filter(|arn| !arn.is_empty());
    arn.map(drop).ok_or_else(|| CallFailure::incomplete(operation, id, "ARN"))
}

fn schedule(function: Option<String>, rules: Option<RotationRulesType>) -> RotationSchedule {
    let (days, expression) =
        rules.map_or((None, None), |rules| (rules.automatically_after_days, rules.schedule_expression));
    RotationSchedule { function, days, expression }
}

fn tags(tags: Option<Vec<Tag>>) -> BTreeMap<String, String> {
    let pairs = tags.unwrap_or_default().into_iter();
    pairs.filter_map(|tag| Some((tag.key?, tag.value.filter(|value| !value.is_empty())?))).collect()
}

fn as_tags(tags: &BTreeMap<String, String>) -> Vec<Tag> {
    tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect()
}
