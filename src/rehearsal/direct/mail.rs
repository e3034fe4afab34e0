//! Calls to the model's SES.

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::Actor;
use crate::aws::{
    Attachment, CallFailure, MailIdentity, Mailer, OutgoingMail, SUPPRESSED_PAGE_SIZE, SendQuota, SendingAccount,
    SuppressedAddress, SuppressedPage, masked, masked_identity,
};

#[derive(Debug)]
pub(super) struct DirectMailer(Actor);

impl DirectMailer {
    pub(super) fn new(actor: &Actor) -> Self {
        Self(actor.clone())
    }
}

#[async_trait]
impl Mailer for DirectMailer {
    async fn send(&self, mail: &OutgoingMail) -> Result<(), CallFailure> {
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

    async fn account(&self) -> Result<SendingAccount, CallFailure> {
        const OPERATION: &str = "ses:GetAccount";
        const ABOUT: &str = "the account that sends";
        let answer = self.0.ask(OPERATION, ABOUT, json!({})).await?.json();
        let quota = |name: &str| answer["SendQuota"][name].as_f64();
        let quota = (quota("Max24HourSend"), quota("MaxSendRate"), quota("SentLast24Hours"));
        let (Some(per_24_hours), Some(per_second), Some(sent_in_24_hours)) = quota else {
            return Err(CallFailure::incomplete(OPERATION, ABOUT, "quota"));
        };
        Ok(SendingAccount {
            has_production_access: answer["ProductionAccessEnabled"] == true,
            is_sending_enabled: answer["SendingEnabled"] == true,
            enforcement: answer["EnforcementStatus"].as_str().map(str::to_owned),
            quota: SendQuota { per_24_hours, per_second, sent_in_24_hours },
            suppressed_reasons: answer["SuppressionAttributes"]["SuppressedReasons"]
                .as_array()
                .map(|reasons| reasons.iter().map(text).collect()),
        })
    }

    async fn identity(&self, identity: &str) -> Result<Option<MailIdentity>, CallFailure> {
        let input = json!({ "EmailIdentity": identity });
        match self.0.ask("ses:GetEmailIdentity", masked_identity(identity), input).await {
            Ok(answer) => {
                let answer = answer.json();
                let (dkim, from) = (&answer["DkimAttributes"], &answer["MailFromAttributes"]);
                let status = dkim["Status"].as_str().map(|status| (status, dkim["SigningEnabled"] == true));
                let mail_from = from["MailFromDomain"].as_str().and(from["MailFromDomainStatus"].as_str());
                Ok(Some(MailIdentity::of(answer["VerifiedForSendingStatus"] == true, status, mail_from)))
            }
            Err(failure) if failure.is_not_found() => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    async fn suppressed(&self, from: Option<String>) -> Result<SuppressedPage, CallFailure> {
        let input = json!({ "PageSize": SUPPRESSED_PAGE_SIZE, "NextToken": from });
        let answer = self.0.ask("ses:ListSuppressedDestinations", "the suppression list", input).await?.json();
        let listed = answer["SuppressedDestinationSummaries"].as_array().cloned().unwrap_or_default();
        let addresses = listed.iter().map(|listed| SuppressedAddress {
            address: text(&listed["EmailAddress"]),
            reason: text(&listed["Reason"]),
        });
        Ok(SuppressedPage { addresses: addresses.collect(), next: answer["NextToken"].as_str().map(str::to_owned) })
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn attachment(file: &Attachment) -> Value {
    json!({
        "FileName": file.file_name,
        "ContentType": file.content_type,
        "ContentTransferEncoding": "BASE64",
        "RawContent": STANDARD.encode(&file.content),
    })
}

#[cfg(test)]
mod tests {
    use super::super::DirectServices;
    use crate::aws::{Access, Attachment, MailIdentity, OutgoingMail, SweeperAws, SweeperServices as _};
    use crate::model::{Clock, Cloud, Mail};

    const ACCOUNT: &str = "999988887777";

    fn cloud() -> Cloud {
        let cloud = Cloud::new(Clock::starting_at("2026-11-22T09:00:00Z".parse().expect("a time")), 1);
        cloud.add_account(ACCOUNT, "security", None);
        cloud.switch(|aws| {
            aws.configuration_sets = ["notices".to_owned()].into();
            aws.verified_identities = ["example.com".to_owned()].into();
            aws.mails_per_day = Some(7);
            aws.suppressed_addresses =
                [("a@else.org".to_owned(), "BOUNCE"), ("b@else.org".to_owned(), "COMPLAINT")].into();
            aws.suppressed_page_size = Some(1);
        });
        cloud
    }

    #[tokio::test(start_paused = true)]
    async fn both_transports_send_and_read_the_same() {
        let mail = OutgoingMail {
            from: "keys@example.com".parse().expect("an address"),
            to: "jo@example.com".parse().expect("an address"),
            reply_to: Some("help@example.com".parse().expect("an address")),
            configuration_set: Some("notices".to_owned()),
            subject: "Keys".to_owned(),
            html: "<p>Keys</p>".to_owned(),
            text: "Keys".to_owned(),
            attachments: vec![Attachment {
                file_name: "keys.csv".to_owned(),
                content_type: "text/csv",
                content: "Jörg;AKIA\r\n".into(),
            }],
        };
        let access = Access {
            primary_account: ACCOUNT.parse().expect("twelve digits"),
            member_role: "member".to_owned(),
            session_name: "session".to_owned(),
            org_list_role_arn: None,
            mail_region: None,
        };
        let (by_sdk, directly) = (cloud(), cloud());
        let sdk = SweeperAws::new(by_sdk.sdk_config(ACCOUNT, "sweeper"), access);
        let direct =
            DirectServices::new(&directly, directly.role_session(ACCOUNT, "sweeper"), directly.clock().clone(), None);
        for mailer in [sdk.mailer(), direct.mailer()] {
            mailer.send(&mail).await.expect("sent");
        }
        let sent = |cloud: &Cloud| -> Vec<Mail> {
            cloud.mails().into_iter().map(|mail| Mail { message_id: String::new(), ..mail }).collect()
        };
        assert_eq!(sent(&by_sdk), sent(&directly));
        assert_eq!(by_sdk.mails()[0].attachments[0].content, mail.attachments[0].content);
        assert_eq!(by_sdk.mails()[0].reply_to, ["help@example.com"]);
        let accounts = (sdk.mailer().account().await.expect("told"), direct.mailer().account().await.expect("told"));
        assert_eq!(accounts.0, accounts.1);
        assert_eq!((accounts.0.quota.per_24_hours, accounts.0.quota.sent_in_24_hours), (7.0, 1.0));
        let found = MailIdentity { is_verified: true, is_aligned: Some(true) };
        for (identity, is) in [("example.com", Some(found)), ("keys+x@example.com", None), ("other.com", None)] {
            for mailer in [sdk.mailer(), direct.mailer()] {
                assert_eq!(mailer.identity(identity).await.expect("told"), is, "{identity}");
            }
        }
        for (dkim, from, is_aligned) in
            [(None, None, false), (None, Some("SUCCESS"), true), (None, Some("PENDING"), false)]
        {
            for (cloud, mailer) in [(&by_sdk, sdk.mailer()), (&directly, direct.mailer())] {
                cloud.switch(|aws| (aws.dkim_status, aws.mail_from_status) = (dkim, from));
                let identity = mailer.identity("example.com").await.expect("told").expect("there");
                assert_eq!(identity.is_aligned, Some(is_aligned), "{from:?}");
            }
        }
        for (from, address, next) in [(None, "a@else.org", Some("1")), (Some("1"), "b@else.org", None)] {
            for mailer in [sdk.mailer(), direct.mailer()] {
                let page = mailer.suppressed(from.map(str::to_owned)).await.expect("told");
                assert_eq!((page.addresses[0].address.as_str(), page.next.as_deref()), (address, next));
            }
        }
    }
}
