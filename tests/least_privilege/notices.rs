//! Rights to send notices: mail only from the one sender, and messages only to the one topic.

use keywheel::rehearsal::PRIMARY_ACCOUNT;
use serde_json::json;

use super::estate::{Estate, ORGANIZATION, REGION, SENDER};
use super::judge::{Asker, Question};
use super::proof::through_secrets_manager;
use crate::harness::MEMBER;

const TOPIC: &str = "arn:aws:sns:us-east-1:999988887777:notices";
const OTHER_TOPIC: &str = "arn:aws:sns:us-east-1:999988887777:keywheel-alarms";
const TOPIC_KEY: &str = "arn:aws:kms:us-east-1:999988887777:key/7f1c2d3e-0000-4000-8000-000000000002";
const OTHER_KEY: &str = "arn:aws:kms:us-east-1:999988887777:key/7f1c2d3e-0000-4000-8000-000000000003";

/// An estate and the role of a function in it.
struct FunctionEstate {
    estate: Estate,
    role: String,
}

impl FunctionEstate {
    fn of(role: &str, parameters: &[(&str, &str)]) -> Self {
        let estate = Estate::with(parameters);
        let role = estate.execution_role(role).to_owned();
        Self { estate, role }
    }

    fn sweeper(parameters: &[(&str, &str)]) -> Self {
        Self::of("SweeperExecutionRole", parameters)
    }

    fn may(&self, action: &str, resource: &str, context: &[(&'static str, &str)]) -> bool {
        self.estate.judge(&ask(&self.role, action, resource, context), None).is_ok()
    }
}

fn ask(asker: &str, action: &str, resource: &str, context: &[(&'static str, &str)]) -> Question {
    Question {
        asker: Asker::new(asker, ORGANIZATION),
        action: action.to_owned(),
        resource: resource.to_owned(),
        resource_organization: ORGANIZATION.to_owned(),
        context: context.iter().map(|(key, value)| (*key, (*value).to_owned())).collect(),
    }
}

fn ses(resource: &str) -> String {
    format!("arn:aws:ses:{REGION}:{PRIMARY_ACCOUNT}:{resource}")
}

#[test]
fn mail_is_sent_only_with_its_sender_and_configuration_set() {
    let from = |address: &'static str| [("ses:FromAddress", address)];
    let (domain, other_domain) = (ses("identity/example.com"), ses("identity/other.example"));
    let (set, other_set) = (ses("configuration-set/mails"), ses("configuration-set/other"));
    let plain = FunctionEstate::sweeper(&[]);
    for action in ["ses:SendEmail", "ses:SendRawEmail"] {
        assert!(plain.may(action, &domain, &from(SENDER)), "{action}");
        assert!(!plain.may(action, &domain, &from("ceo@example.com")), "{action}");
        assert!(!plain.may(action, &domain, &[]), "{action}");
        assert!(!plain.may(action, &other_domain, &from(SENDER)), "{action}");
        assert!(!plain.may(action, &set, &from(SENDER)), "{action}");
    }
    let with_set = FunctionEstate::sweeper(&[("SesConfigurationSet", "mails")]);
    assert!(with_set.may("ses:SendEmail", &set, &from(SENDER)));
    assert!(!with_set.may("ses:SendEmail", &other_set, &from(SENDER)));
    assert!(!FunctionEstate::of("RotationExecutionRole", &[]).may("ses:SendEmail", &domain, &from(SENDER)));
}

#[test]
fn on_aws_b8_mail_may_come_from_the_named_region_only() {
    let elsewhere = |resource: &str| format!("arn:aws:ses:eu-west-1:{PRIMARY_ACCOUNT}:{resource}");
    let sweeper = FunctionEstate::sweeper(&[("SesRegion", "eu-west-1"), ("SesConfigurationSet", "mails")]);
    for resource in ["identity/example.com", "configuration-set/mails"] {
        assert!(sweeper.may("ses:SendEmail", &elsewhere(resource), &[("ses:FromAddress", SENDER)]), "{resource}");
        assert!(!sweeper.may("ses:SendEmail", &ses(resource), &[("ses:FromAddress", SENDER)]), "{resource}");
    }
    assert!(sweeper.may("ses:GetEmailIdentity", &elsewhere("identity/example.com"), &[]));
    assert!(!sweeper.may("ses:GetEmailIdentity", &ses("identity/example.com"), &[]));
    let here = FunctionEstate::sweeper(&[]);
    assert!(!here.may("ses:SendEmail", &elsewhere("identity/example.com"), &[("ses:FromAddress", SENDER)]));
}

#[test]
fn nobody_gains_5_recipients_of_mail_can_be_limited() {
    let domain = ses("identity/example.com");
    let to = |recipients: &'static str| [("ses:FromAddress", SENDER), ("ses:Recipients", recipients)];
    let limited = FunctionEstate::sweeper(&[("MailRecipients", "*@example.com,aws+*@accounts.example")]);
    for action in ["ses:SendEmail", "ses:SendRawEmail"] {
        for recipients in ["ci@example.com", "aws+prod@accounts.example", "ci@example.com ops@example.com"] {
            assert!(limited.may(action, &domain, &to(recipients)), "{action} {recipients}");
        }
        for recipients in ["x@elsewhere.example", "ci@example.com x@elsewhere.example", "x@accounts.example"] {
            assert!(!limited.may(action, &domain, &to(recipients)), "{action} {recipients}");
        }
        assert!(!limited.may(action, &domain, &[("ses:FromAddress", SENDER)]), "recipients that are unknown");
    }
    assert!(FunctionEstate::sweeper(&[]).may("ses:SendEmail", &domain, &to("x@elsewhere.example")), "the default");
}

#[test]
fn the_sweeper_reads_of_ses_only_what_decides_about_its_mail() {
    let sweeper = FunctionEstate::sweeper(&[]);
    for read in ["ses:GetAccount", "ses:ListSuppressedDestinations"] {
        assert!(sweeper.may(read, "*", &[]), "{read}");
    }
    assert!(!sweeper.may("ses:DeleteSuppressedDestination", "*", &[]));
    for identity in ["identity/example.com", &format!("identity/{SENDER}")] {
        assert!(sweeper.may("ses:GetEmailIdentity", &ses(identity), &[]), "{identity}");
        assert!(!sweeper.may("ses:DeleteEmailIdentity", &ses(identity), &[]), "{identity}");
    }
    assert!(!sweeper.may("ses:GetEmailIdentity", &ses("identity/other.example"), &[]));
    // If the address itself should be verified, the sweeper reads the state of its domain, too.
    let without_domain = FunctionEstate::sweeper(&[("SesDomain", "")]);
    assert!(without_domain.may("ses:GetEmailIdentity", &ses("identity/example.com"), &[]));
    assert!(!without_domain.may("ses:SendEmail", &ses("identity/example.com"), &[("ses:FromAddress", SENDER)]));
    let in_domain_above = FunctionEstate::sweeper(&[("SenderEmail", "keys@mail.example.com")]);
    for identity in ["identity/keys@mail.example.com", "identity/mail.example.com", "identity/example.com"] {
        assert!(in_domain_above.may("ses:GetEmailIdentity", &ses(identity), &[]), "{identity}");
    }
    assert!(!sweeper.may("ses:ListEmailIdentities", "*", &[]));
    assert!(!sweeper.may("ses:PutAccountDetails", "*", &[]));
    // Without mail, there is no identity to read.
    let silent = FunctionEstate::sweeper(&[("SenderEmail", ""), ("SesDomain", "")]);
    let rotation = FunctionEstate::of("RotationExecutionRole", &[]);
    for other in [silent, rotation] {
        assert!(!other.may("ses:GetAccount", "*", &[]));
        assert!(!other.may("ses:ListSuppressedDestinations", "*", &[]));
        assert!(!other.may("ses:GetEmailIdentity", &ses("identity/example.com"), &[]));
    }
}

#[test]
fn notices_are_published_only_to_the_named_topic() {
    assert!(!FunctionEstate::sweeper(&[]).may("sns:Publish", TOPIC, &[]));
    let sweeper = FunctionEstate::sweeper(&[("NoticeTopicArn", TOPIC)]);
    assert!(sweeper.may("sns:Publish", TOPIC, &[]));
    assert!(!sweeper.may("sns:Publish", OTHER_TOPIC, &[]));
    assert!(!sweeper.may("sns:Subscribe", TOPIC, &[]));
    assert!(!sweeper.may("kms:GenerateDataKey", TOPIC_KEY, &through_sns(TOPIC)), "no key was named");
    assert!(!FunctionEstate::of("RotationExecutionRole", &[("NoticeTopicArn", TOPIC)]).may("sns:Publish", TOPIC, &[]));
}

#[test]
fn the_topic_s_key_is_used_through_sns_for_that_topic_only() {
    let parameters = [("NoticeTopicArn", TOPIC), ("NoticeTopicKmsKeyArn", TOPIC_KEY)];
    let sweeper = FunctionEstate::sweeper(&parameters);
    let by_secrets_manager = through_secrets_manager(TOPIC);
    let by_secrets_manager: Vec<_> = by_secrets_manager.iter().map(|(key, value)| (*key, value.as_str())).collect();
    for action in ["kms:Decrypt", "kms:GenerateDataKey"] {
        assert!(sweeper.may(action, TOPIC_KEY, &through_sns(TOPIC)), "{action}");
        assert!(!sweeper.may(action, TOPIC_KEY, &through_sns(OTHER_TOPIC)), "{action}");
        assert!(!sweeper.may(action, OTHER_KEY, &through_sns(TOPIC)), "{action}");
        assert!(!sweeper.may(action, TOPIC_KEY, &by_secrets_manager), "{action}");
        assert!(!sweeper.may(action, TOPIC_KEY, &[]), "{action}");
        let rotation = FunctionEstate::of("RotationExecutionRole", &parameters);
        assert!(!rotation.may(action, TOPIC_KEY, &through_sns(TOPIC)), "{action}");
    }
    assert!(!sweeper.may("kms:Encrypt", TOPIC_KEY, &through_sns(TOPIC)));
}

fn through_sns(topic: &str) -> [(&'static str, &str); 2] {
    [("kms:ViaService", "sns.us-east-1.amazonaws.com"), ("kms:EncryptionContext:aws:sns:topicArn", topic)]
}

#[test]
fn the_stack_s_own_topic_takes_notices_of_its_account_over_tls() {
    let made = format!("arn:aws:sns:{REGION}:{PRIMARY_ACCOUNT}:keywheel-notices");
    let sweeper = FunctionEstate::sweeper(&[("CreateNoticeTopic", "true")]);
    assert!(sweeper.may("sns:Publish", &made, &[]));
    assert!(!sweeper.may("sns:Publish", &made, &[("aws:SecureTransport", "false")]));
    assert!(!sweeper.may("sns:Publish", OTHER_TOPIC, &[]));
    let everything = json!({"Version": "2012-10-17", "Statement": [
        {"Sid": "Everything", "Effect": "Allow", "Action": "sns:Publish", "Resource": "*"}]});
    let may = |account: &str| {
        let question = ask(&format!("arn:aws:iam::{account}:role/somebody"), "sns:Publish", &made, &[]);
        sweeper.estate.judge_publisher(&question, &everything).is_ok()
    };
    assert!(may(PRIMARY_ACCOUNT));
    assert!(!may(MEMBER), "also within the organization");
}
