//! SES: accepts mail or refuses it, by the state of the account, and keeps what was sent.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::TimeDelta;
use serde_json::json;

use super::answer::{Reply, ServiceError, ServiceResult};
use super::exchange::Exchange;
use super::ids;
use super::mail::{Mail, MailAttachment};
use super::request::Input;
use super::service::Service;
use super::switches::Switches;

/// <https://docs.aws.amazon.com/ses/latest/dg/quotas.html>
const MOST_RECIPIENTS: usize = 50;
/// <https://docs.aws.amazon.com/ses/latest/dg/attachments.html>
const MOST_BYTES: usize = 40 * 1024 * 1024;
/// <https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_Attachment.html>
const MOST_NAME_CHARACTERS: usize = 255;
/// <https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_Attachment.html>
const MOST_TYPE_CHARACTERS: usize = 78;
/// Some of the extensions that SES refuses. <https://docs.aws.amazon.com/ses/latest/dg/mime-types.html>
const SOME_UNSUPPORTED_EXTENSIONS: [&str; 8] = ["bat", "cmd", "com", "exe", "js", "scr", "vbs", "ps1"];

pub(crate) fn handle(exchange: &mut Exchange<'_>, operation: &str, input: &Input) -> ServiceResult {
    if exchange.world.switches.mail_down {
        return Err(ServiceError::new(500, "InternalFailure", "The mail service is down."));
    }
    if !exchange.caller.is_role() {
        let action = format!("ses:{operation}");
        return Err(ServiceError::access_denied(Service::Ses, &exchange.caller.arn, &action, "*"));
    }
    match operation {
        "SendEmail" => send(exchange, input),
        "GetAccount" => get_account(exchange, input),
        "GetEmailIdentity" => get_identity(exchange, input),
        "ListSuppressedDestinations" => list_suppressed(exchange, input),
        _ => Err(ServiceError::unknown_operation(Service::Ses, operation)),
    }
}

fn get_account(exchange: &mut Exchange<'_>, input: &Input) -> ServiceResult {
    input.only(&[])?;
    let switches = &exchange.world.switches;
    let sandbox = switches.mail_sandbox || !is_set_up(exchange);
    let daily = f64::from(daily_quota(switches));
    let rate = switches.mails_per_second.map_or(if sandbox { 1.0 } else { 14.0 }, f64::from);
    let sent = exchange.world.outbox.sent_since(exchange.now - TimeDelta::hours(24));
    Ok(Reply::Json(json!({
        "ProductionAccessEnabled": !sandbox,
        "SendingEnabled": !switches.mail_paused,
        "EnforcementStatus": switches.mail_enforcement,
        "DedicatedIpAutoWarmupEnabled": false,
        "SendQuota": { "Max24HourSend": daily, "MaxSendRate": rate, "SentLast24Hours": sent },
        "SuppressionAttributes": { "SuppressedReasons": switches.suppressed_reasons },
    })))
}

/// <https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_ListSuppressedDestinations.html>
fn list_suppressed(exchange: &mut Exchange<'_>, input: &Input) -> ServiceResult {
    input.only(&["PageSize", "NextToken"])?;
    let switches = &exchange.world.switches;
    let size = input.count("PageSize", 1000, 1000)?.min(switches.suppressed_page_size.unwrap_or(1000));
    let skipped: usize = match input.text("NextToken")? {
        None => 0,
        Some(token) => token.parse().map_err(|_| ServiceError::new(400, "InvalidNextTokenException", "NextToken"))?,
    };
    let since = exchange.now.timestamp();
    let page = switches.suppressed_addresses.iter().skip(skipped).take(size);
    let page: Vec<_> = page
        .map(|(address, reason)| json!({"EmailAddress": address, "Reason": reason, "LastUpdateTime": since}))
        .collect();
    let end = skipped + page.len();
    let mut answer = json!({ "SuppressedDestinationSummaries": page });
    if end < switches.suppressed_addresses.len() {
        answer["NextToken"] = json!(end.to_string());
    }
    Ok(Reply::Json(answer))
}

fn get_identity(exchange: &mut Exchange<'_>, input: &Input) -> ServiceResult {
    let identity = input.needed("EmailIdentity")?;
    exchange.resource = identity_arn(exchange, identity);
    let verified = &exchange.world.switches.verified_identities;
    if !is_set_up(exchange) || !verified.is_empty() && !verified.contains(identity) {
        return Err(ServiceError::new(404, "NotFoundException", format!("Email identity {identity} does not exist.")));
    }
    let kind = if identity.contains('@') { "EMAIL_ADDRESS" } else { "DOMAIN" };
    let switches = &exchange.world.switches;
    let dkim = switches.dkim_status.filter(|_| kind == "DOMAIN");
    let mut mail_from = json!({ "BehaviorOnMxFailure": "USE_DEFAULT_VALUE" });
    if let Some(status) = switches.mail_from_status {
        let domain = identity.rsplit('@').next().unwrap_or_default();
        mail_from["MailFromDomain"] = json!(format!("bounce.{domain}"));
        mail_from["MailFromDomainStatus"] = json!(status);
    }
    Ok(Reply::Json(json!({
        "IdentityType": kind,
        "VerifiedForSendingStatus": true,
        "VerificationStatus": "SUCCESS",
        "DkimAttributes": { "SigningEnabled": dkim.is_some(), "Status": dkim.unwrap_or("NOT_STARTED") },
        "MailFromAttributes": mail_from,
    })))
}

/// Whether the call reached the Region in which the account has identities and may send.
fn is_set_up(exchange: &Exchange<'_>) -> bool {
    let world = &exchange.world;
    *world.switches.mail_region.as_ref().unwrap_or(&world.region) == exchange.region
}

fn daily_quota(switches: &Switches) -> u32 {
    switches.mails_per_day.unwrap_or(if switches.mail_sandbox { 200 } else { 50_000 })
}

fn identity_arn(exchange: &Exchange<'_>, identity: &str) -> String {
    let (partition, account) = (&exchange.world.partition, &exchange.caller.account);
    format!("arn:{partition}:ses:{}:{account}:identity/{identity}", exchange.region)
}

fn send(exchange: &mut Exchange<'_>, input: &Input) -> ServiceResult {
    input.only(&["FromEmailAddress", "Destination", "Content", "ReplyToAddresses", "ConfigurationSetName"])?;
    let mut mail = compose(exchange, input)?;
    let domain = address(&mail.from).rsplit('@').next().unwrap_or_default().to_owned();
    exchange.resource = identity_arn(exchange, &domain);
    check_configuration_set(exchange, &mail)?;
    check_state(exchange)?;
    if !is_set_up(exchange) {
        return Err(not_verified(&exchange.region, &mail.from));
    }
    check_addresses(&exchange.world.switches, &mail)?;
    let message_id = mail.message_id.clone();
    let mut recipients = mail.to.iter().chain(&mail.cc).chain(&mail.bcc);
    let is_dropped = recipients.all(|it| is_suppressed(&exchange.world.switches, it));
    if exchange.world.switches.mail_headers_only {
        mail.forget_contents();
    }
    if is_dropped {
        exchange.world.outbox.drop(mail.at);
    } else {
        exchange.world.outbox.keep(mail);
    }
    Ok(Reply::Json(json!({ "MessageId": message_id })))
}

fn compose(exchange: &mut Exchange<'_>, input: &Input) -> Result<Mail, ServiceError> {
    let destination = input.object("Destination")?.unwrap_or_default();
    destination.only(&["ToAddresses", "CcAddresses", "BccAddresses"])?;
    let recipients = |name: &str| Ok::<_, ServiceError>(destination.texts(name)?.unwrap_or_default());
    let mut mail = Mail {
        account: exchange.caller.account.clone(),
        region: exchange.region.clone(),
        at: exchange.now,
        from: input.text("FromEmailAddress")?.unwrap_or_default().to_owned(),
        to: recipients("ToAddresses")?,
        cc: recipients("CcAddresses")?,
        bcc: recipients("BccAddresses")?,
        reply_to: input.texts("ReplyToAddresses")?.unwrap_or_default(),
        subject: String::new(),
        html: None,
        text: None,
        raw: None,
        configuration_set: input.text("ConfigurationSetName")?.map(ToOwned::to_owned),
        attachments: Vec::new(),
        message_id: format!("{}-000000", ids::uuid(&mut exchange.world.rng)),
    };
    let content = input.object("Content")?.ok_or_else(|| bad_request("Content is missing."))?;
    content.only(&["Simple", "Raw"])?;
    match (content.object("Simple")?, content.object("Raw")?) {
        (Some(simple), None) => read_simple(&mut mail, &simple)?,
        (None, Some(raw)) => read_raw(&mut mail, &raw)?,
        _ => return Err(bad_request("Content must be either Simple or Raw.")),
    }
    Ok(mail)
}

fn read_simple(mail: &mut Mail, simple: &Input) -> Result<(), ServiceError> {
    simple.only(&["Subject", "Body", "Headers", "Attachments"])?;
    let part = |members: Option<Input>| -> Result<Option<String>, ServiceError> {
        let Some(members) = members else { return Ok(None) };
        members.only(&["Data", "Charset"])?;
        Ok(Some(members.text("Data")?.unwrap_or_default().to_owned()))
    };
    let subject = part(simple.object("Subject")?)?;
    mail.subject = subject.ok_or_else(|| bad_request("Subject is missing."))?;
    if mail.subject.contains(['\r', '\n']) {
        return Err(bad_request("Header injection: the subject holds a line break."));
    }
    let body = simple.object("Body")?.ok_or_else(|| bad_request("Body is missing."))?;
    body.only(&["Text", "Html"])?;
    mail.text = part(body.object("Text")?)?;
    mail.html = part(body.object("Html")?)?;
    if mail.text.is_none() && mail.html.is_none() {
        return Err(bad_request("Body is empty."));
    }
    mail.attachments = simple.objects("Attachments")?.iter().map(read_attachment).collect::<Result<_, _>>()?;
    let parts = [&mail.text, &mail.html].into_iter().flatten().map(String::len);
    let size = parts.chain(mail.attachments.iter().map(|file| file.content.len())).sum::<usize>();
    // Base64 turns three bytes into four.
    if size / 3 * 4 > MOST_BYTES {
        return Err(bad_request("Message length is more than 41943040 bytes long."));
    }
    Ok(())
}

fn read_attachment(file: &Input) -> Result<MailAttachment, ServiceError> {
    file.only(&["FileName", "ContentType", "ContentTransferEncoding", "RawContent"])?;
    let file_name = file.needed("FileName")?.to_owned();
    let extension = file_name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    let is_accepted = extension.is_some_and(|it| !SOME_UNSUPPORTED_EXTENSIONS.contains(&it.as_str()));
    if !is_accepted || file_name.chars().count() > MOST_NAME_CHARACTERS || file_name.contains(char::is_control) {
        return Err(bad_request(&format!("The attachment {file_name} is not supported.")));
    }
    let content = STANDARD.decode(file.needed("RawContent")?);
    let content = content.map_err(|_| bad_request("RawContent is not base64."))?;
    let content_type = file.text("ContentType")?.map(ToOwned::to_owned);
    if !content_type.as_deref().is_none_or(is_media_type) {
        return Err(bad_request("The ContentType of the attachment is not a MIME type."));
    }
    // The default is seven-bit text.
    let takes_any_byte = matches!(file.text("ContentTransferEncoding")?, Some("BASE64" | "QUOTED_PRINTABLE"));
    if !takes_any_byte && !content.is_ascii() {
        return Err(bad_request("The attachment does not fit its ContentTransferEncoding."));
    }
    Ok(MailAttachment { file_name, content_type, content })
}

/// Whether the text is a MIME type such as `application/pdf`. AWS documents no parameters such as a character set.
/// <https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_Attachment.html>
fn is_media_type(text: &str) -> bool {
    let is_token =
        |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "!#$&^_.+-".contains(c));
    text.len() <= MOST_TYPE_CHARACTERS && text.split_once('/').is_some_and(|(of, sub)| is_token(of) && is_token(sub))
}

/// Reads sender, recipients and subject from a raw message's headers if the request has none.
fn read_raw(mail: &mut Mail, raw: &Input) -> Result<(), ServiceError> {
    raw.only(&["Data"])?;
    let bytes = STANDARD.decode(raw.needed("Data")?);
    let bytes = bytes.map_err(|_| bad_request("Raw data is not base64."))?;
    let message = String::from_utf8_lossy(&bytes).into_owned();
    let end = message.find("\r\n\r\n").or_else(|| message.find("\n\n"));
    let headers = message[..end.unwrap_or(message.len())].replace("\r\n", "\n");
    let headers = headers.replace("\n ", " ").replace("\n\t", " ");
    let header = |name: &str| {
        let mut lines = headers.lines().filter_map(|line| line.split_once(':'));
        let found = lines.find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.trim().to_owned())
    };
    let list = |name: &str| {
        let value = header(name).unwrap_or_default();
        let addresses = value.split(',').map(str::trim).filter(|it| !it.is_empty());
        addresses.map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    mail.subject = header("Subject").unwrap_or_default();
    if mail.from.is_empty() {
        mail.from = header("From").unwrap_or_default();
    }
    if mail.to.is_empty() && mail.cc.is_empty() && mail.bcc.is_empty() {
        (mail.to, mail.cc) = (list("To"), list("Cc"));
    }
    mail.raw = Some(message);
    Ok(())
}

/// Checks that the configuration set exists. The caller needs a permission for the set, too.
/// <https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonsimpleemailservicev2.html>
fn check_configuration_set(exchange: &mut Exchange<'_>, mail: &Mail) -> Result<(), ServiceError> {
    let Some(name) = &mail.configuration_set else { return Ok(()) };
    let (partition, account) = (&exchange.world.partition, &exchange.caller.account);
    let arn = format!("arn:{partition}:ses:{}:{account}:configuration-set/{name}", exchange.region);
    exchange.beside.push(arn);
    if is_set_up(exchange) && exchange.world.switches.configuration_sets.contains(name) {
        return Ok(());
    }
    Err(ServiceError::new(404, "NotFoundException", format!("Configuration set <{name}> does not exist.")))
}

fn check_state(exchange: &Exchange<'_>) -> Result<(), ServiceError> {
    let switches = &exchange.world.switches;
    if switches.mail_paused || switches.mail_enforcement == "SHUTDOWN" {
        let message = "Email sending is disabled for this account.";
        return Err(ServiceError::new(400, "SendingPausedException", message));
    }
    let of_a_day = exchange.world.outbox.sent_since(exchange.now - TimeDelta::hours(24));
    if of_a_day >= usize::try_from(daily_quota(switches)).unwrap_or(usize::MAX) {
        return Err(ServiceError::new(429, "TooManyRequestsException", "Daily message quota exceeded."));
    }
    let recent = exchange.world.outbox.sent_since(exchange.now - TimeDelta::seconds(1));
    match switches.mails_per_second {
        Some(limit) if u64::try_from(recent).unwrap_or(u64::MAX) >= u64::from(limit) => {
            Err(ServiceError::new(429, "TooManyRequestsException", "Maximum sending rate exceeded."))
        }
        _ => Ok(()),
    }
}

fn check_addresses(switches: &Switches, mail: &Mail) -> Result<(), ServiceError> {
    let recipients: Vec<&String> = mail.to.iter().chain(&mail.cc).chain(&mail.bcc).collect();
    if recipients.is_empty() || recipients.len() > MOST_RECIPIENTS {
        return Err(bad_request(&format!("1 to {MOST_RECIPIENTS} recipients are needed.")));
    }
    let mut all = recipients.iter().copied().chain([&mail.from]).chain(&mail.reply_to);
    if let Some(bad) = all.find(|it| it.contains(char::is_control) || !is_address(address(it))) {
        return Err(bad_request(&format!("Illegal address: {bad}")));
    }
    let verified = &switches.verified_identities;
    if !verified.is_empty() && !is_verified(switches, &mail.from) {
        let message =
            format!("Email address is not verified. The following identities failed the check: {}", mail.from);
        return Err(ServiceError::new(400, "MessageRejected", message));
    }
    let unverified = recipients.into_iter().find(|it| switches.mail_sandbox && !is_verified(switches, it));
    match unverified {
        None => Ok(()),
        Some(recipient) => {
            let message =
                format!("Email address is not verified. The following identities failed the check: {recipient}");
            Err(ServiceError::new(400, "MessageRejected", message))
        }
    }
}

/// <https://docs.aws.amazon.com/ses/latest/dg/troubleshoot-error-messages.html>
fn not_verified(region: &str, address: &str) -> ServiceError {
    let region = region.to_ascii_uppercase();
    let message = format!(
        "Email address is not verified. The following identities failed the check in region {region}: {address}"
    );
    ServiceError::new(400, "MessageRejected", message)
}

/// The bare address of `Name <address>`.
fn address(text: &str) -> &str {
    match text.rsplit_once('<') {
        Some((_, rest)) => rest.trim_end_matches('>').trim(),
        None => text.trim(),
    }
}

fn is_address(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    let legal = |c: char| c.is_ascii_graphic() && !"()<>,;:\\\"[]@".contains(c);
    !local.is_empty() && domain.contains('.') && text.len() <= 320 && local.chars().chain(domain.chars()).all(legal)
}

fn is_verified(switches: &Switches, text: &str) -> bool {
    let address = address(text);
    let domain = address.rsplit('@').next().unwrap_or_default();
    let verified = &switches.verified_identities;
    verified.contains(address) || verified.contains(domain)
}

/// Whether SES accepts a message to the address, counts it, and delivers nothing.
/// <https://docs.aws.amazon.com/ses/latest/dg/sending-email-suppression-list.html>
fn is_suppressed(switches: &Switches, text: &str) -> bool {
    let (address, reasons) = (address(text), &switches.suppressed_reasons);
    let mut listed = switches.suppressed_addresses.iter();
    listed.any(|(it, reason)| it.eq_ignore_ascii_case(address) && reasons.contains(reason))
}

fn bad_request(message: &str) -> ServiceError {
    ServiceError::new(400, "BadRequestException", message)
}
