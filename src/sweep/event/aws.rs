//! AWS's events, which EventBridge delivers: schedules, and changes of secrets.

use serde::Deserialize;
use serde_json::Value;

use super::request::{News, SweepRequest};
use crate::aws::CURRENT;
use crate::error::Error;
use crate::keys::SecretArn;
use crate::redact;

/// The fields of EventBridge's envelope that are read. It has more and may get new ones.
#[derive(Deserialize)]
pub(super) struct AwsEvent {
    #[serde(rename = "detail-type")]
    detail_type: String,
    #[serde(default)]
    detail: Value,
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
                 (RotationFailed, RotationAbandoned) and Scheduled Event"
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
        let request = name.parse().map(|secret| SweepRequest::Notify { secret, news: News::LabelMoved });
        Ok(request.unwrap_or(SweepRequest::Ignore))
    }

    /// <https://docs.aws.amazon.com/secretsmanager/latest/userguide/cloudtrail_log_entries.html>
    fn service_event(&self) -> Result<SweepRequest, Error> {
        let event_name = self.text("eventName")?;
        if !matches!(event_name, "RotationFailed" | "RotationAbandoned") {
            return Ok(SweepRequest::Ignore);
        }
        let extra = &self.detail["additionalEventData"];
        let arn = extra["SecretId"].as_str().or_else(|| extra["secretId"].as_str());
        let arn =
            arn.ok_or_else(|| Error::InvalidEvent("detail.additionalEventData.SecretId must be text".to_owned()))?;
        let Ok(arn) = arn.parse::<SecretArn>() else { return Ok(SweepRequest::Ignore) };
        let reason = self.detail["errorMessage"].as_str().map_or_else(
            || format!("Secrets Manager reports {event_name}; the log of the rotation function says why"),
            |message| format!("{event_name}: {}", redact::secret_like(message)),
        );
        Ok(SweepRequest::Notify { secret: arn.name().clone(), news: News::RotationFailed(reason) })
    }

    fn text(&self, name: &str) -> Result<&str, Error> {
        self.detail[name].as_str().ok_or_else(|| Error::InvalidEvent(format!("detail.{name} must be text")))
    }
}
