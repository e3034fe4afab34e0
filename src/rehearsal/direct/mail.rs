//! Calls to the model's SES.

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::Actor;
use crate::aws::{Attachment, Failure, Mailer, OutgoingMail, SendQuota, SendingAccount, masked, masked_identity};

#[derive(Debug)]
pub(super) struct DirectMailer(Actor);

impl DirectMailer {
    pub(super) fn new(actor: &Actor) -> Self {
        Self(actor.clone())
    }
}

#[async_trait]
impl Mailer for DirectMailer {
    async fn send(&self, mail: &OutgoingMail) -> Result<(), Failure> {
        let OutgoingMail { from, to, reply_to, configuration_set, subject, html, text, attachments } = mail;
        let about = format!("a message to {}", masked(to));
        let attachments: Vec<Value> = attachments.iter().map(attachment).collect();
        let input = json!({
            "FromEmailAddress": from.as_str(),
            "Destination": { "ToAddresses": [to.as_str()] },
            "ReplyToAddresses": reply_to.as_ref().map(|address| vec![address.as_str()]),
            "ConfigurationSetName": configuration_set,
            "Content": { "Simple": {
                "Subject": { "Data": subject, "Charset": "UTF-8" },
                "Body": {
                    "Html": { "Data": html, "Charset": "UTF-8" },
                    "Text": { "Data": text, "Charset": "UTF-8" },
                },
                "Attachments": Some(attachments).filter(|attachments| !attachments.is_empty()),
            }},
        });
        self.0.ask("ses:SendEmail", about, input).await.map(drop)
    }

    async fn account(&self) -> Result<SendingAccount, Failure> {
        const OPERATION: &str = "ses:GetAccount";
        const ABOUT: &str = "the account that sends";
        let answer = self.0.ask(OPERATION, ABOUT, json!({})).await?.json();
        let quota = |name: &str| answer["SendQuota"][name].as_f64();
        let quota = (quota("Max24HourSend"), quota("MaxSendRate"), quota("SentLast24Hours"));
        let (Some(per_24_hours), Some(per_second), Some(sent_in_24_hours)) = quota else {
            return Err(Failure::incomplete(OPERATION, ABOUT, "quota"));
        };
        Ok(SendingAccount {
            has_production_access: answer["ProductionAccessEnabled"] == true,
            is_sending_enabled: answer["SendingEnabled"] == true,
            enforcement: answer["EnforcementStatus"].as_str().map(str::to_owned),
            quota: SendQuota { per_24_hours, per_second, sent_in_24_hours },
        })
    }

    async fn is_verified(&self, identity: &str) -> Result<bool, Failure> {
        let input = json!({ "EmailIdentity": identity });
        match self.0.ask("ses:GetEmailIdentity", masked_identity(identity), input).await {
            Ok(answer) => Ok(answer.json()["VerifiedForSendingStatus"] == true),
            Err(failure) if failure.is_not_found() => Ok(false),
            Err(failure) => Err(failure),
        }
    }
}

fn attachment(file: &Attachment) -> Value {
    json!({
        "FileName": file.file_name,
        "ContentType": file.content_type,
        "ContentTransferEncoding": "BASE64",
        "RawContent": STANDARD.encode(&file.content),
    })
}
