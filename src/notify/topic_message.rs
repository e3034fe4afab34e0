//! A notice → a message to an SNS topic, for chats, ticket systems and archives. Pure.
//!
//! `docs/notice-schema.json` is the schema of a message, and `docs/reference/notices.md` explains its use.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::addressed::Addressed;
use super::frame::Addressee;
use super::guidance::guidance;
use super::instruction::Instruction;
use super::mode::Mode;
use super::phrases::{account_label, account_name, one_line};
use super::template::Templates;
use super::tone::Tone;
use super::unlinked::shown_user;
use super::words::{coming, headline, last_use, why};
use crate::aws::TopicMessage;
use crate::keys::{AccessKeyId, AccountId, KeyUse, UserName};
use crate::lifecycle::{Notice, NoticeDate, NoticeKind};
use crate::state::{Phase, format_time};

/// The version of the messages. New members can be added without a new version; any other change needs one.
const SCHEMA: &str = "keywheel.notice/1";
/// The longest text from outside, such as an account's name, in characters.
const MAX_NAME_LENGTH: usize = 100;

/// A notice as subscribers get it. It contains no address, because subscribers need not know the owner.
#[derive(Debug, Serialize)]
struct TopicNotice<'a> {
    schema: &'static str,
    id: String,
    time: String,
    dry_run: bool,
    phase: Phase,
    severity: &'static str,
    account: TopicAccount<'a>,
    user: &'a UserName,
    key: &'a AccessKeyId,
    created: Option<String>,
    at: Option<String>,
    at_is_exact: Option<bool>,
    last_use: Option<TopicLastUse>,
    reason: String,
    replaces: Option<&'a AccessKeyId>,
    secret_arn: Option<&'a str>,
    headline: String,
    what_to_do: Vec<TopicInstruction>,
}

#[derive(Debug, Serialize)]
struct TopicAccount<'a> {
    id: &'a AccountId,
    name: String,
}

#[derive(Debug, Serialize)]
struct TopicLastUse {
    time: String,
    service: String,
    region: String,
}

#[derive(Debug, Serialize)]
struct TopicInstruction {
    text: String,
    command: Option<String>,
    undo: bool,
}

/// Returns the message about one notice, with the attributes by which subscriptions filter.
pub(super) fn topic_message(
    templates: &Templates,
    mode: Mode,
    now: DateTime<Utc>,
    item: &Addressed<'_>,
) -> TopicMessage {
    let notice = TopicNotice::new(templates, mode, now, item);
    TopicMessage {
        attributes: vec![
            ("phase", notice.phase.to_string()),
            ("severity", notice.severity.to_owned()),
            ("account", notice.account.id.to_string()),
            ("dry_run", notice.dry_run.to_string()),
        ],
        // Texts and numbers can always be written as JSON.
        body: serde_json::to_string(&notice).unwrap_or_default(),
    }
}

impl<'a> TopicNotice<'a> {
    fn new(templates: &Templates, mode: Mode, now: DateTime<Utc>, item: &Addressed<'a>) -> Self {
        let Notice { user, key, created, kind, secret_arn, owner: _, tells_of: _ } = item.notice;
        let terms = templates.terms();
        let instructions = guidance(item.notice, mode, &terms.periods, &terms.exemption_group, Addressee::Account);
        Self {
            schema: SCHEMA,
            id: id(mode, now, item.notice),
            time: format_time(now),
            dry_run: mode == Mode::DryRun,
            phase: kind.phase(),
            severity: Tone::of(kind).name(),
            account: TopicAccount { id: &item.account.id, name: account_name(item.account) },
            user: &user.name,
            key,
            created: created.map(format_time),
            at: coming(kind).map(format_time),
            at_is_exact: kind.date().map(NoticeDate::is_exact),
            last_use: last_use(kind).map(TopicLastUse::of),
            reason: why(item.notice, mode, &terms.periods),
            replaces: match kind {
                NoticeKind::Rotated { old_key, .. } => old_key.as_ref(),
                _ => None,
            },
            secret_arn: secret_arn.as_deref(),
            headline: format!(
                "Access key {key} of the IAM user {} in {} {}.",
                shown_user(&user.name),
                account_label(item.account),
                headline(kind, mode)
            ),
            what_to_do: instructions
                .into_iter()
                .map(|Instruction { text, command, undo, .. }| TopicInstruction {
                    text,
                    command: Some(command).filter(|command| !command.is_empty()),
                    undo,
                })
                .collect(),
        }
    }
}

impl TopicLastUse {
    fn of(last_use: &KeyUse) -> Self {
        let KeyUse { time, service, region } = last_use;
        Self {
            time: format_time(*time),
            service: one_line(service, MAX_NAME_LENGTH),
            region: one_line(region, MAX_NAME_LENGTH),
        }
    }
}

/// Returns an id that is the same for the same notice on the same day in UTC. SNS delivers some messages twice, and a
/// notice that could not be recorded is published again. The id consists of values that the message contains anyway.
fn id(mode: Mode, now: DateTime<Utc>, notice: &Notice) -> String {
    let Notice { user, key, kind, .. } = notice;
    let dry_run = if mode == Mode::DryRun { "/dry-run" } else { "" };
    format!("{}/{}/{key}/{}/{}{dry_run}", user.account, user.name, kind.phase(), now.date_naive())
}

#[cfg(test)]
mod tests;
