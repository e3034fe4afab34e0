//! AWS's events, which EventBridge delivers: schedules, and changes of secrets.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;

use super::request::{EventOrigin, SweepRequest};
use crate::aws::CURRENT;
use crate::error::Error;
use crate::keys::{SecretArn, SecretName};
use crate::lifecycle::News;

/// The fields of EventBridge's envelope that are read. It has more and may get new ones.
#[derive(Deserialize)]
pub(super) struct AwsEvent {
    #[serde(rename = "detail-type")]
    detail_type: String,
    source: Option<String>,
    #[serde(default)]
    detail: Value,
    account: Option<String>,
    region: Option<String>,
    /// The ARN of the secret, in some types of event.
    #[serde(default)]
    resources: Value,
    #[serde(default)]
    pub(super) dry_run: bool,
}

/// The source of events about secrets. Only AWS can put events of a source that begins with `aws.`.
const SECRETS_MANAGER: [&str; 1] = ["aws.secretsmanager"];

/// The sources of schedules: rules of EventBridge, and EventBridge Scheduler.
const SCHEDULES: [&str; 2] = ["aws.events", "aws.scheduler"];

impl AwsEvent {
    /// # Errors
    /// [`Error::InvalidEvent`] for another type or source of event, and for one that does not name its account, its
    /// Region and the secret that it is about.
    pub(super) fn request(&self) -> Result<SweepRequest, Error> {
        match self.detail_type.as_str() {
            "Scheduled Event" => self.check_source(&SCHEDULES).map(|()| SweepRequest::All),
            "Secret Label Updated" => self.label_updated(),
            "AWS Service Event via CloudTrail" => self.service_event(),
            other => Err(Error::InvalidEvent(format!(
                "detail-type is `{other}`; the sweeper takes Secret Label Updated, AWS Service Event via CloudTrail \
                 (RotationFailed, RotationAbandoned, TestRotationFailed) and Scheduled Event"
            ))),
        }
    }

    /// <https://docs.aws.amazon.com/secretsmanager/latest/userguide/event-detail-secret-label-updated-secretsmanager.html>
    fn label_updated(&self) -> Result<SweepRequest, Error> {
        self.check_source(&SECRETS_MANAGER)?;
        let name = self.text("name")?;
        if self.text("labelUpdated")? != CURRENT {
            return Ok(SweepRequest::Ignore);
        }
        // Labels of other secrets move too.
        let Ok(secret) = name.parse::<SecretName>() else { return Ok(SweepRequest::Ignore) };
        let resources = self.resources.as_array().into_iter().flatten();
        let arns: Vec<Option<SecretArn>> = resources.map(|arn| arn.as_str().and_then(|arn| arn.parse().ok())).collect();
        let is_about_it = |arn: &Option<SecretArn>| arn.as_ref().is_some_and(|arn| *arn.name() == secret);
        if !arns.iter().all(is_about_it) {
            return Ok(SweepRequest::Ignore);
        }
        let arns: Vec<SecretArn> = arns.into_iter().flatten().collect();
        Ok(SweepRequest::Notify { secret, news: News::LabelMoved, origin: self.origin(&arns)? })
    }

    /// Reads the event's name and its secret. Its other texts come from others, or repeat the name.
    /// <https://docs.aws.amazon.com/secretsmanager/latest/userguide/cloudtrail_log_entries.html>
    fn service_event(&self) -> Result<SweepRequest, Error> {
        self.check_source(&SECRETS_MANAGER)?;
        let news = match self.text("eventName")? {
            "RotationFailed" => News::RotationFailed,
            "RotationAbandoned" => News::RotationAbandoned,
            "TestRotationFailed" => News::TestFailed,
            _ => return Ok(SweepRequest::Ignore),
        };
        let extra = &self.detail["additionalEventData"];
        let arn = extra["SecretId"].as_str().or_else(|| extra["secretId"].as_str());
        let arn =
            arn.ok_or_else(|| Error::InvalidEvent("detail.additionalEventData.SecretId must be text".to_owned()))?;
        let Ok(arn) = arn.parse::<SecretArn>() else { return Ok(SweepRequest::Ignore) };
        let origin = self.origin(std::slice::from_ref(&arn))?;
        Ok(SweepRequest::Notify { secret: arn.name().clone(), news, origin })
    }

    /// A rule of EventBridge may match more than it should, and somebody may invoke the sweeper with an event.
    fn check_source(&self, allowed: &[&str]) -> Result<(), Error> {
        let source = self.source.as_deref().unwrap_or_default();
        if allowed.contains(&source) {
            return Ok(());
        }
        let allowed = allowed.join("` or `");
        Err(Error::InvalidEvent(format!("source is `{source}`; it must be `{allowed}`")))
    }

    /// The accounts and Regions that the event and these ARNs name.
    ///
    /// # Errors
    /// [`Error::InvalidEvent`] if the event does not name its own.
    fn origin(&self, arns: &[SecretArn]) -> Result<EventOrigin, Error> {
        let named = |name: &str, value: &Option<String>| {
            value.clone().ok_or_else(|| Error::InvalidEvent(format!("{name} must be text")))
        };
        let of_detail = |name: &str| self.detail[name].as_str().map(str::to_owned);
        let mut accounts: BTreeSet<String> = arns.iter().map(|arn| arn.account().to_string()).collect();
        accounts.extend([named("account", &self.account)?].into_iter().chain(of_detail("recipientAccountId")));
        let mut regions: BTreeSet<String> = arns.iter().map(|arn| arn.region().to_owned()).collect();
        regions.extend([named("region", &self.region)?].into_iter().chain(of_detail("awsRegion")));
        Ok(EventOrigin { accounts, regions })
    }

    fn text(&self, name: &str) -> Result<&str, Error> {
        self.detail[name].as_str().ok_or_else(|| Error::InvalidEvent(format!("detail.{name} must be text")))
    }
}
