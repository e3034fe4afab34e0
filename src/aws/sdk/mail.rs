//! The calls to Amazon SES, through version 2 of its API.

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_sdk_sesv2::operation::send_email::builders::SendEmailFluentBuilder;
use aws_sdk_sesv2::types;
use aws_sdk_sesv2::types::{Body, Content, Destination, EmailContent, Message};
use aws_smithy_types::Blob;
use aws_smithy_types::error::operation::BuildError;

use super::failure::OrFailure;
use super::whole::WholeAnswer;
use crate::aws::failure::CallFailure;
use crate::aws::mail::{
    Attachment, MailIdentity, Mailer, OutgoingMail, SUPPRESSED_PAGE_SIZE, SendQuota, SendingAccount,
};
use crate::aws::mail::{SuppressedAddress, SuppressedPage, masked, masked_identity};

#[derive(Debug, Clone)]
pub(super) struct SdkMailer {
    client: aws_sdk_sesv2::Client,
}

impl SdkMailer {
    pub(super) fn new(config: &SdkConfig) -> Self {
        let config = aws_sdk_sesv2::config::Builder::from(config).interceptor(WholeAnswer::Json);
        Self { client: aws_sdk_sesv2::Client::from_conf(config.build()) }
    }

    fn request(&self, mail: &OutgoingMail) -> Result<SendEmailFluentBuilder, BuildError> {
        let content = |text: &str| Content::builder().data(text).charset("UTF-8").build();
        let body = Body::builder().html(content(&mail.html)?).text(content(&mail.text)?).build();
        let attachments = mail.attachments.iter().map(attachment).collect::<Result<Vec<_>, _>>()?;
        let message = Message::builder()
            .subject(content(&mail.subject)?)
            .body(body)
            .set_attachments(Some(attachments).filter(|attachments| !attachments.is_empty()))
            .build();
        Ok(self
            .client
            .send_email()
            .from_email_address(mail.from.as_str())
            .destination(Destination::builder().to_addresses(mail.to.as_str()).build())
            .set_reply_to_addresses(mail.reply_to.as_ref().map(|address| vec![address.to_string()]))
            .set_configuration_set_name(mail.configuration_set.clone())
            .content(EmailContent::builder().simple(message).build()))
    }
}

/// Encodes the file as Base64, because the default of SES is 7-bit text.
fn attachment(file: &Attachment) -> Result<types::Attachment, BuildError> {
    types::Attachment::builder()
        .file_name(&file.file_name)
        .content_type(file.content_type)
        .content_transfer_encoding(types::AttachmentContentTransferEncoding::Base64)
        .raw_content(Blob::new(file.content.clone()))
        .build()
}

#[async_trait]
impl Mailer for SdkMailer {
    // Without retries: after a lost response the SDK would send the message a second time.
    async fn send(&self, mail: &OutgoingMail) -> Result<(), CallFailure> {
        const OPERATION: &str = "ses:SendEmail";
        let about = format!("a message to {}", masked(&mail.to));
        let answer = self
            .request(mail)
            .map_err(|_| CallFailure::incomplete(OPERATION, &about, "content"))?
            .customize()
            .config_override(aws_sdk_sesv2::config::Config::builder().retry_config(RetryConfig::disabled()))
            .send()
            .await
            .or_failure(OPERATION, &about)?;
        let id = answer.message_id.filter(|id| !id.is_empty());
        id.map(drop).ok_or_else(|| CallFailure::incomplete(OPERATION, about, "message id"))
    }

    async fn account(&self) -> Result<SendingAccount, CallFailure> {
        const OPERATION: &str = "ses:GetAccount";
        const ABOUT: &str = "the account that sends";
        let answer = self.client.get_account().send().await.or_failure(OPERATION, ABOUT)?;
        // The SDK reads a missing flag as `false`. If the quota is missing, the flags may be missing too.
        let quota = answer.send_quota.ok_or_else(|| CallFailure::incomplete(OPERATION, ABOUT, "quota"))?;
        Ok(SendingAccount {
            has_production_access: answer.production_access_enabled,
            is_sending_enabled: answer.sending_enabled,
            enforcement: answer.enforcement_status,
            quota: SendQuota {
                per_24_hours: quota.max24_hour_send,
                per_second: quota.max_send_rate,
                sent_in_24_hours: quota.sent_last24_hours,
            },
            suppressed_reasons: answer
                .suppression_attributes
                .and_then(|attributes| attributes.suppressed_reasons)
                .map(|reasons| reasons.iter().map(|reason| reason.as_str().to_owned()).collect()),
        })
    }

    async fn identity(&self, identity: &str) -> Result<Option<MailIdentity>, CallFailure> {
        let request = self.client.get_email_identity().email_identity(identity);
        match request.send().await.or_failure("ses:GetEmailIdentity", masked_identity(identity)) {
            // The SDK reads a missing flag as `false`. Every genuine response has the identity's type.
            Ok(answer) if answer.identity_type.is_none() => {
                Err(CallFailure::incomplete("ses:GetEmailIdentity", masked_identity(identity), "identity"))
            }
            Ok(answer) => {
                let dkim = answer.dkim_attributes.as_ref();
                let dkim = dkim.and_then(|dkim| Some((dkim.status.as_ref()?.as_str(), dkim.signing_enabled)));
                // Without a MAIL FROM domain of the identity, SES uses its own.
                let mail_from = answer.mail_from_attributes.as_ref();
                let mail_from = mail_from.filter(|from| !from.mail_from_domain.is_empty());
                let mail_from = mail_from.map(|from| from.mail_from_domain_status.as_str());
                Ok(Some(MailIdentity::of(answer.verified_for_sending_status, dkim, mail_from)))
            }
            Err(failure) if failure.is_not_found() => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    async fn suppressed(&self, from: Option<String>) -> Result<SuppressedPage, CallFailure> {
        let request = self.client.list_suppressed_destinations().page_size(SUPPRESSED_PAGE_SIZE).set_next_token(from);
        let answer = request.send().await.or_failure("ses:ListSuppressedDestinations", "the suppression list")?;
        let listed = answer.suppressed_destination_summaries.unwrap_or_default().into_iter();
        let addresses = listed.map(|listed| SuppressedAddress {
            reason: listed.reason.as_str().to_owned(),
            address: listed.email_address,
        });
        Ok(SuppressedPage { addresses: addresses.collect(), next: answer.next_token.filter(|token| !token.is_empty()) })
    }
}
