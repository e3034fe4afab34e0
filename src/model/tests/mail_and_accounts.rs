//! Mail and the organization.

use std::time::Duration;

use aws_sdk_sesv2::primitives::Blob;
use aws_sdk_sesv2::types::{Body, Content, Destination, EmailContent, Message, RawMessage};

use super::*;

fn ses(cloud: &Cloud) -> aws_sdk_sesv2::Client {
    aws_sdk_sesv2::Client::new(&cloud.sdk_config(CENTRAL, "execution"))
}

fn mail(
    client: &aws_sdk_sesv2::Client,
    to: &str,
) -> aws_sdk_sesv2::operation::send_email::builders::SendEmailFluentBuilder {
    let part = |text: &str| Content::builder().data(text).build().expect("data");
    let body = Body::builder().text(part("plain")).html(part("<p>rich</p>")).build();
    let message = Message::builder().subject(part("Keys")).body(body).build();
    client
        .send_email()
        .from_email_address("Keys <keys@example.com>")
        .destination(Destination::builder().to_addresses(to).build())
        .content(EmailContent::builder().simple(message).build())
}

#[tokio::test(start_paused = true)]
async fn mail_is_kept_as_it_was_sent() {
    let cloud = cloud();
    let client = ses(&cloud);
    mail(&client, "owner@example.com").send().await.expect("sent");
    let raw = "From: keys@example.com\r\nTo: a@example.com\r\nSubject: Raw\r\n\r\nbody";
    let raw = RawMessage::builder().data(Blob::new(raw)).build().expect("data");
    client.send_email().content(EmailContent::builder().raw(raw).build()).send().await.expect("sent");
    let mails = cloud.mails();
    assert_eq!(mails[0].to, ["owner@example.com"]);
    assert_eq!((mails[0].subject.as_str(), mails[0].text.as_deref()), ("Keys", Some("plain")));
    assert_eq!(mails[0].html.as_deref(), Some("<p>rich</p>"));
    assert_eq!((mails[1].subject.as_str(), mails[1].to[0].as_str()), ("Raw", "a@example.com"));
    let call = cloud.calls().pop().expect("logged");
    assert_eq!(call.resource, "arn:aws:ses:us-east-1:111122223333:identity/example.com");
}

#[tokio::test(start_paused = true)]
async fn the_state_of_the_account_decides_whether_mail_is_sent() {
    let cloud = cloud();
    let client = ses(&cloud);
    let send = |to: &'static str| mail(&client, to).send();
    assert_eq!(code(send("no address").await), "BadRequestException");
    cloud.switch(|it| {
        it.mail_sandbox = true;
        it.verified_identities.insert("example.com".to_owned());
    });
    assert_eq!(code(send("a@elsewhere.com").await), "MessageRejected");
    send("a@example.com").await.expect("verified");
    let account = client.get_account().send().await.expect("the account");
    assert!(!account.production_access_enabled());
    assert_eq!(account.send_quota().map(aws_sdk_sesv2::types::SendQuota::sent_last24_hours), Some(1.0));
    client.get_email_identity().email_identity("example.com").send().await.expect("verified");
    assert_eq!(code(client.get_email_identity().email_identity("x+y@z.com").send().await), "NotFoundException");
    cloud.switch(|it| it.mail_paused = true);
    assert_eq!(code(send("a@example.com").await), "SendingPausedException");
    cloud.switch(|it| it.mail_down = true);
    assert_eq!(code(send("a@example.com").await), "InternalFailure");
    assert_eq!(cloud.mails().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_message_is_sent_with_its_configuration_set_and_files() {
    use aws_sdk_sesv2::types::{Attachment, AttachmentContentTransferEncoding};
    let cloud = cloud();
    let client = ses(&cloud);
    let file = |name: &str| Attachment::builder().file_name(name).raw_content(Blob::new("user;key\nJörg;AKIA\n"));
    let part = |text: &str| Content::builder().data(text).build().expect("data");
    let with = |file: Attachment| {
        let message = Message::builder().subject(part("Keys")).body(Body::builder().text(part("plain")).build());
        let content = EmailContent::builder().simple(message.attachments(file).build()).build();
        mail(&client, "a@example.com").content(content).configuration_set_name("notices").reply_to_addresses("b@c.de")
    };
    let base64 = AttachmentContentTransferEncoding::Base64;
    let csv = || file("keys.csv").content_transfer_encoding(base64.clone()).build().expect("a file");
    assert_eq!(code(with(csv()).send().await), "NotFoundException", "no such set");
    cloud.switch(|it| it.configuration_sets = ["notices".to_owned()].into());
    with(csv()).send().await.expect("sent");
    for refused in [file("keys.csv"), file("keys.exe").content_transfer_encoding(base64.clone())] {
        assert_eq!(code(with(refused.build().expect("a file")).send().await), "BadRequestException");
    }
    let [mail] = &cloud.mails()[..] else { panic!("{:?}", cloud.mails()) };
    assert_eq!((mail.configuration_set.as_deref(), &mail.reply_to[..]), (Some("notices"), &["b@c.de".to_owned()][..]));
    let [file] = &mail.attachments[..] else { panic!("{mail:?}") };
    assert_eq!((file.file_name.as_str(), file.content.as_slice()), ("keys.csv", "user;key\nJörg;AKIA\n".as_bytes()));
    let call = cloud.calls().into_iter().find(|call| call.ok).expect("logged");
    assert_eq!(call.beside, ["arn:aws:ses:us-east-1:111122223333:configuration-set/notices"]);
}

#[tokio::test(start_paused = true)]
async fn the_sdk_retries_mail_over_the_rate_limit() {
    let cloud = cloud();
    cloud.switch(|it| it.mails_per_second = Some(1));
    let client = ses(&cloud);
    let slow = aws_sdk_sesv2::config::Config::builder().retry_config(aws_smithy_types::retry::RetryConfig::disabled());
    mail(&client, "a@example.com").send().await.expect("sent");
    let refused = mail(&client, "a@example.com").customize().config_override(slow).send().await;
    assert_eq!(code(refused), "TooManyRequestsException");
    cloud.clock().advance(Duration::from_secs(1)).await;
    mail(&client, "a@example.com").send().await.expect("a second later");
}

fn organizations(cloud: &Cloud, account: &str, role: &str) -> aws_sdk_organizations::Client {
    aws_sdk_organizations::Client::new(&cloud.sdk_config(account, role))
}

#[tokio::test(start_paused = true)]
async fn accounts_are_listed_in_pages_of_twenty_or_none() {
    let cloud = cloud();
    for n in 0..43 {
        cloud.add_account(&format!("{:012}", 500_000_000_000_u64 + n), "more", Some("m@example.com"));
    }
    cloud.set_account_state("500000000001", crate::model::AccountStatus::Suspended);
    for (empty_pages, expected) in [(false, vec![20, 20, 5]), (true, vec![0, 20, 0, 20, 0, 5])] {
        cloud.switch(|it| it.empty_account_pages = empty_pages);
        let client = organizations(&cloud, CENTRAL, "execution");
        let (mut sizes, mut token) = (Vec::new(), None);
        loop {
            let page = client.list_accounts().set_next_token(token).send().await.expect("a page");
            sizes.push(page.accounts().len());
            token = page.next_token().map(ToOwned::to_owned);
            if token.is_none() {
                break;
            }
        }
        assert_eq!(sizes, expected);
    }
    let client = organizations(&cloud, CENTRAL, "execution");
    let suspended = client.describe_account().account_id("500000000001").send().await.expect("there");
    let suspended = suspended.account().expect("an account");
    assert_eq!(suspended.state().map(aws_sdk_organizations::types::AccountState::as_str), Some("SUSPENDED"));
    assert_eq!(code(client.describe_account().account_id("999999999999").send().await), "AccountNotFoundException");
    assert_eq!(code(client.list_accounts().max_results(21).send().await), "InvalidInputException");
}

#[tokio::test(start_paused = true)]
async fn the_organization_is_read_by_its_administrators_only() {
    let cloud = cloud();
    let member = organizations(&cloud, MEMBER, "sweeper");
    assert_eq!(code(member.list_accounts().send().await), "AccessDeniedException");
    let organization = member.describe_organization().send().await.expect("any member may ask");
    assert_eq!(organization.organization().and_then(|it| it.master_account_id()), Some(CENTRAL));
    cloud.add_delegated_administrator(MEMBER);
    cloud.switch(|it| it.omit_account_state = true);
    let page = member.list_accounts().send().await.expect("delegated");
    assert!(page.accounts().iter().all(|it| it.state().is_none()));
    cloud.leave_organization();
    assert_eq!(code(member.list_accounts().send().await), "AWSOrganizationsNotInUseException");
}

#[tokio::test(start_paused = true)]
async fn mail_to_a_suppressed_address_is_accepted_and_dropped() {
    let cloud = cloud();
    let client = ses(&cloud);
    cloud.switch(|it| {
        it.suppressed_addresses =
            [("A@example.com".to_owned(), "BOUNCE"), ("b@example.com".to_owned(), "BOUNCE")].into();
        it.suppressed_page_size = Some(1);
    });
    mail(&client, "a@example.com").send().await.expect("accepted");
    assert_eq!(cloud.mails(), []);
    let account = client.get_account().send().await.expect("the account");
    assert_eq!(account.send_quota().map(aws_sdk_sesv2::types::SendQuota::sent_last24_hours), Some(1.0), "it counts");
    let page = client.list_suppressed_destinations().page_size(1000).send().await.expect("a page");
    assert_eq!(page.suppressed_destination_summaries()[0].email_address(), "A@example.com");
    let next = client.list_suppressed_destinations().set_next_token(page.next_token).send().await.expect("a page");
    assert_eq!((next.suppressed_destination_summaries().len(), next.next_token), (1, None));
    cloud.switch(|it| it.suppressed_reasons.clear());
    mail(&client, "a@example.com").send().await.expect("accepted");
    assert_eq!(cloud.mails().len(), 1, "the list is switched off");
}

#[tokio::test(start_paused = true)]
async fn a_file_has_a_media_type_without_parameters() {
    let cloud = cloud();
    let client = ses(&cloud);
    let part = |text: &str| Content::builder().data(text).build().expect("data");
    for (media_type, is_accepted) in [("text/csv", true), ("text/csv; charset=utf-8", false), ("csv", false)] {
        let file = aws_sdk_sesv2::types::Attachment::builder().file_name("keys.csv").content_type(media_type);
        let file = file.raw_content(Blob::new("a,b")).build().expect("a file");
        let body = Body::builder().text(part("plain")).build();
        let message = Message::builder().subject(part("Keys")).body(body).attachments(file).build();
        let content = EmailContent::builder().simple(message).build();
        let sent = mail(&client, "owner@example.com").content(content).send().await;
        assert_eq!(sent.is_ok(), is_accepted, "{media_type}");
    }
}
