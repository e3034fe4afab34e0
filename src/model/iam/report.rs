//! The credential report: a new one at most every four hours, and a few seconds after the request.

use std::fmt::Write as _;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use crate::model::answer::{Reply, ServiceError, ServiceResult};
use crate::model::exchange::Exchange;
use crate::model::request::Input;
use crate::model::state::{AccessKey, AwsAccount, GeneratedReport, IamUser, World};
use crate::model::xml::Xml;

/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_getting-report.html>
const HEADER: &str = "user,arn,user_creation_time,password_enabled,password_last_used,password_last_changed,\
password_next_rotation,mfa_active,access_key_1_active,access_key_1_last_rotated,access_key_1_last_used_date,\
access_key_1_last_used_region,access_key_1_last_used_service,access_key_2_active,access_key_2_last_rotated,\
access_key_2_last_used_date,access_key_2_last_used_region,access_key_2_last_used_service,cert_1_active,\
cert_1_last_rotated,cert_2_active,cert_2_last_rotated";

const FRESH_FOR: TimeDelta = TimeDelta::hours(4);
const TAKES: TimeDelta = TimeDelta::seconds(3);

enum ReportState {
    Absent,
    Expired,
    InProgress,
    Complete,
}

fn state(account: &AwsAccount, now: DateTime<Utc>) -> ReportState {
    match &account.report {
        None => ReportState::Absent,
        Some(report) if now < report.started + TAKES => ReportState::InProgress,
        Some(report) if now < report.started + FRESH_FOR => ReportState::Complete,
        Some(_) => ReportState::Expired,
    }
}

pub(super) fn generate(exchange: &mut Exchange<'_>, input: &Input) -> ServiceResult {
    input.only(&[])?;
    let now = exchange.now;
    let account = &exchange.world.accounts[&exchange.caller.account];
    let answer = match state(account, now) {
        ReportState::Complete => Xml::new().text("State", "COMPLETE"),
        ReportState::InProgress => Xml::new().text("State", "INPROGRESS"),
        ReportState::Absent | ReportState::Expired => {
            let content = content(exchange.world, account).into();
            exchange.account().report = Some(GeneratedReport { started: now, content });
            let description = "No report exists. Starting a new report generation task";
            Xml::new().text("Description", description).text("State", "STARTED")
        }
    };
    Ok(Reply::Xml(answer))
}

pub(super) fn get(exchange: &mut Exchange<'_>, input: &Input) -> ServiceResult {
    input.only(&[])?;
    let now = exchange.now;
    let account = exchange.account();
    match (state(account, now), &account.report) {
        (ReportState::Complete, Some(report)) => Ok(Reply::Xml(
            Xml::new()
                .blob("Content", &report.content)
                .time("GeneratedTime", report.started)
                .text("ReportFormat", "text/csv"),
        )),
        (ReportState::InProgress, _) => {
            Err(ServiceError::new(404, "ReportInProgress", "The report is being generated."))
        }
        (ReportState::Expired, _) => {
            Err(ServiceError::new(410, "ReportExpired", "The most recent report has expired."))
        }
        _ => Err(ServiceError::new(410, "ReportNotPresent", "No report is present.")),
    }
}

fn content(world: &World, account: &AwsAccount) -> String {
    let root = format!("arn:{}:iam::{}:root", world.partition, account.id);
    let mut csv = format!(
        "{HEADER}\n<root_account>,{root},{},not_supported,no_information,not_supported,not_supported,true,\
         false,N/A,N/A,N/A,N/A,false,N/A,N/A,N/A,N/A,false,N/A,false,N/A",
        time(account.joined)
    );
    let is_odd = world.switches.odd_report_rows;
    for (n, user) in account.users.values().enumerate() {
        let arn = world.user_arn(&account.id, user);
        let line = line(user, &arn);
        let line = if is_odd && n % 2 == 1 { line.replace("true", "TRUE").replace("false", "FALSE") } else { line };
        let _ = write!(csv, "\n{line}");
    }
    match csv.rsplit_once('\n').filter(|_| is_odd) {
        Some((_, last)) => format!("{csv}\n{last}"),
        None => csv,
    }
}

fn line(user: &IamUser, arn: &str) -> String {
    let (name, created) = (&user.name, time(user.created));
    // A comma is legal in a user's name and path: such a field is quoted.
    let quoted = |text: &str| if text.contains(',') { format!("\"{text}\"") } else { text.to_owned() };
    let keys = [0, 1].map(|place| key_fields(user.keys.get(place)));
    format!(
        "{},{},{created},false,N/A,N/A,N/A,false,{},{},false,N/A,false,N/A",
        quoted(name),
        quoted(arn),
        keys[0],
        keys[1]
    )
}

/// Active, last rotated (made or changed), last used date, region and service.
fn key_fields(key: Option<&AccessKey>) -> String {
    let Some(key) = key else { return "false,N/A,N/A,N/A,N/A".to_owned() };
    let changed = key.changed.as_ref().map_or(key.created, |(at, _)| *at);
    let active = key.status == "Active";
    let rotated = if active { time(changed) } else { "N/A".to_owned() };
    let used = key.last_use.as_ref();
    let used =
        used.map_or_else(|| "N/A,N/A,N/A".to_owned(), |it| format!("{},{},{}", time(it.at), it.region, it.service));
    format!("{active},{rotated},{used}")
}

fn time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, false)
}
