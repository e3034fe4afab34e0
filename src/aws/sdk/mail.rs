//! Calls to SES v2 through the SDK.

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_sdk_sesv2::types::{Body, Content, Destination, EmailContent, Message};

use super::failure::OrFailure;
use crate::aws::{Failure, Mailer, OutgoingMail, masked};

#[derive(Debug, Clone)]
pub(super) struct SdkMailer {
    client: aws_sdk_sesv2::Client,
}

impl SdkMailer {
    pub(super) fn new(config: &SdkConfig) -> Self {
        Self { client: aws_sdk_sesv2::Client::new(config) }
    }
}

#[async_trait]
impl Mailer for SdkMailer {
    // The SDK would send again what SES took without its answer arriving: it may not retry.
    async fn send(&self, mail: &OutgoingMail) -> Result<(), Failure> {
        const OPERATION: &str = "ses:SendEmail";
        let about = format!("a message to {}", masked(&mail.to));
        let incomplete = |_| Failure::incomplete(OPERATION, &about, "content");
        let content = |text: &str| Content::builder().data(text).charset("UTF-8").build();
        let body = Body::builder()
            .html(content(&mail.html).map_err(incomplete)?)
            .text(content(&mail.text).map_err(incomplete)?)
            .build();
        let message = Message::builder().subject(content(&mail.subject).map_err(incomplete)?).body(body).build();
        self.client
            .send_email()
            .from_email_address(mail.from.as_str())
            .destination(Destination::builder().to_addresses(mail.to.as_str()).build())
            .content(EmailContent::builder().simple(message).build())
            .customize()
            .config_override(aws_sdk_sesv2::config::Config::builder().retry_config(RetryConfig::disabled()))
            .send()
            .await
            .or_failure(OPERATION, about)?;
        Ok(())
    }
}
