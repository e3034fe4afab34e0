//! Typed calls to SES v2.

use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_sdk_sesv2::types::{Body, Content, Destination, EmailContent, Message};

use super::failure::{Failure, OrFailure};
use crate::keys::EmailAddress;

/// A message to one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutgoingMail {
    /// Who sends it.
    pub from: EmailAddress,
    /// Who gets it.
    pub to: EmailAddress,
    /// One line.
    pub subject: String,
    /// The message as HTML.
    pub html: String,
    /// The same as plain text.
    pub text: String,
}

/// Sends mail.
#[derive(Debug, Clone)]
pub struct Mailer {
    client: aws_sdk_sesv2::Client,
}

impl Mailer {
    pub(super) fn new(config: &SdkConfig) -> Self {
        Self { client: aws_sdk_sesv2::Client::new(config) }
    }

    /// Sends one message. Not safe to repeat: each success is a mail. Never retried by the SDK, which would send again
    /// what SES took without its answer arriving.
    ///
    /// # Errors
    /// Any failure; the message was not accepted, or it is not known whether it was.
    pub async fn send(&self, mail: &OutgoingMail) -> Result<(), Failure> {
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

/// An address as it may stand in a log: the first character and the domain.
pub(crate) fn masked(address: &EmailAddress) -> String {
    let (local, domain) = address.as_str().rsplit_once('@').unwrap_or_default();
    format!("{}…@{domain}", local.chars().next().unwrap_or_default())
}
