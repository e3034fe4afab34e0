//! AWS's events, which EventBridge delivers: schedules, and changes of secrets.

use serde::Deserialize;
use serde_json::Value;

use super::request::{EventOrigin, SweepRequest};
use crate::aws::CURRENT;
use crate::error::Error;
use crate::keys::SecretArn;
use crate::lifecycle::News;

/// The fields of EventBridge's envelope that are read. It has more and may get new ones.
#[derive(Deserialize)]
pub(super) struct AwsEvent {
    #[serde(rename = "detail-type")]
    detail_type: String,
    #[serde(default)]
    detail: Value,
    account: Option<String>,
    region: Option<String>,
    #[serde(default)]
    pub(super) dry_run: bool,
}

impl AwsEvent {
    /// # Errors
    /// [`Error::InvalidEvent`] for another type of event, and for one without the secret that it is about.
    pub(super) fn request(&self) -> Result<SweepRequest, Error> {
        match self.detail_type.as_str() {
            "Scheduled Event" => Ok(SweepRequest::All),
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
        let name = self.text("name")?;
        if self.text("labelUpdated")? != CURRENT {
            return Ok(SweepRequest::Ignore);
        }
        // Labels of other secrets move too.
        let request = name.parse().map(|secret| SweepRequest::Notify {
            secret,
            news: News::LabelMoved,
            origin: self.origin(None),
        });
        Ok(request.unwrap_or(SweepRequest::Ignore))
    }

    /// Reads the event's name and its secret. Its other texts come from others, or repeat the name.
    /// <https://docs.aws.amazon.com/secretsmanager/latest/userguide/cloudtrail_log_entries.html>
    fn service_event(&self) -> Result<SweepRequest, Error> {
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
        Ok(SweepRequest::Notify { secret: arn.name().clone(), news, origin: self.origin(Some(&arn)) })
    }

    fn origin(&self, arn: Option<&SecretArn>) -> EventOrigin {
        let recipient = self.detail["recipientAccountId"].as_str();
        let accounts = [self.account.as_deref(), recipient, arn.map(|arn| arn.account().as_str())];
        let regions = [self.region.as_deref(), self.detail["awsRegion"].as_str()];
        let named = |parts: &[Option<&str>]| parts.iter().flatten().map(|part| (*part).to_owned()).collect();
        EventOrigin { accounts: named(&accounts), regions: named(&regions) }
    }

    fn text(&self, name: &str) -> Result<&str, Error> {
        self.detail[name].as_str().ok_or_else(|| Error::InvalidEvent(format!("detail.{name} must be text")))
    }
}
