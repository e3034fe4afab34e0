//! What templates can name: notices for one recipient as values. Pure.
//!
//! `templates/README.md` describes each name for those who write their own; a test compares.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};

use super::phrases::{account_label, counted, cut, day, days_from, grouped, one_line};
use super::sheet;
use super::steps::{Step, steps};
use super::subject::subject;
use super::words::{Tone, briefly, coming, headline, last_use, used, why};
use super::{Addressed, Mode};
use crate::keys::EmailAddress;
use crate::lifecycle::{Notice, NoticeKind};
use crate::settings::{Periods, Settings};

/// Longest text that mail programs show beside a subject, in characters.
const MAX_PREHEADER_LENGTH: usize = 140;
/// `NOTICE_CONTACT` holds 200 characters.
const MAX_CONTACT_LENGTH: usize = 200;

/// The settings that the words of a message depend on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Terms {
    pub(super) exemption_group: String,
    pub(super) periods: Periods,
    pub(super) contact: Option<String>,
    pub(super) reply_to: Option<EmailAddress>,
}

impl Terms {
    pub(super) fn of(settings: &Settings) -> Self {
        Self {
            exemption_group: settings.exemption_group.clone(),
            periods: settings.periods,
            contact: settings.notices.contact.clone(),
            reply_to: settings.notices.reply_to.clone(),
        }
    }
}

/// A run and a recipient: what all notices of one message share.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame<'a> {
    pub(super) terms: &'a Terms,
    pub(super) mode: Mode,
    pub(super) now: DateTime<Utc>,
    pub(super) recipient: &'a EmailAddress,
}

/// How much of a message is told where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    /// Notices that are described with all that can be done.
    pub(super) details: usize,
    /// Notices in the table of keys.
    pub(super) table: usize,
    /// Notices in the attachment.
    pub(super) attached: usize,
}

/// What a template can name. Every name is always there, empty where there is nothing to say, so that a template that
/// rendered once renders always.
#[derive(Debug, Serialize)]
pub(super) struct Context {
    dry_run: bool,
    pub(super) subject: String,
    title: String,
    lead: String,
    preheader: String,
    tallies: Vec<Tally>,
    table: Vec<Line>,
    table_text: String,
    rows: Vec<Row>,
    total: String,
    more: String,
    unlisted: String,
    attachment: String,
    attached: String,
    untold: String,
    help: String,
    contact: String,
    reply_to: String,
    recipient: String,
    exemption_group: String,
    date: String,
    tone: &'static str,
    color: &'static str,
}

/// How many notices ask how much of their reader.
#[derive(Debug, Serialize)]
struct Tally {
    count: String,
    label: &'static str,
    tone: &'static str,
    color: &'static str,
}

/// One notice in the table of keys.
#[derive(Debug, Serialize)]
struct Line {
    key: String,
    user: String,
    account: String,
    what: String,
    when: String,
    left: String,
    label: &'static str,
    tone: &'static str,
    color: &'static str,
}

/// One notice in full, as a template can name it.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub(super) account: String,
    pub(super) account_id: String,
    pub(super) account_name: String,
    pub(super) user: String,
    pub(super) key: String,
    key_label: &'static str,
    pub(super) created: String,
    pub(super) what: String,
    pub(super) when: String,
    pub(super) left: String,
    pub(super) why: String,
    last_use: String,
    pub(super) secret_arn: String,
    pub(super) steps: Vec<Step>,
    label: &'static str,
    tone: &'static str,
    color: &'static str,
}

impl Context {
    /// `ordered` are all notices of the message, the most urgent first.
    pub(super) fn new(frame: &Frame<'_>, ordered: &[&Addressed<'_>], limits: Limits) -> Self {
        let Frame { terms, mode, now, recipient } = *frame;
        let rows: Vec<Row> = ordered.iter().take(limits.details).map(|item| Row::new(frame, item)).collect();
        // A table of one line would say again what the details say.
        let listed = if ordered.len() > 1 { &ordered[..limits.table.min(ordered.len())] } else { &[] };
        let more = ordered.len() - rows.len();
        let attached = if more > 0 { limits.attached.min(ordered.len()) } else { 0 };
        let tone = ordered.first().map_or(Tone::Ahead, |item| Tone::of(&item.notice.kind));
        let lead = lead(mode, ordered);
        Self {
            dry_run: mode == Mode::DryRun,
            subject: subject(mode, ordered),
            title: title(mode, ordered),
            preheader: preheader(&rows, ordered.len(), &lead),
            lead,
            tallies: tallies(mode, ordered),
            table: listed.iter().map(|item| Line::new(mode, now, item)).collect(),
            table_text: sheet::aligned(mode, now, listed),
            rows,
            total: grouped(ordered.len()),
            more: count(more),
            unlisted: count(if ordered.len() > 1 { ordered.len() - listed.len() } else { 0 }),
            attachment: if attached > 0 { attachment_name(now) } else { String::new() },
            attached: count(attached),
            untold: count(if more > 0 { ordered.len() - attached } else { 0 }),
            help: help(terms),
            contact: terms.contact.as_deref().map(|contact| one_line(contact, MAX_CONTACT_LENGTH)).unwrap_or_default(),
            reply_to: terms.reply_to.as_ref().map(ToString::to_string).unwrap_or_default(),
            recipient: recipient.to_string(),
            exemption_group: terms.exemption_group.clone(),
            date: day(now),
            tone: tone.name(),
            color: tone.color(),
        }
    }

    /// The name of the attachment, if there is one.
    pub(super) fn attachment(&self) -> Option<&str> {
        Some(self.attachment.as_str()).filter(|name| !name.is_empty())
    }

    /// All names, and what a layout is called with: the whole message, or its parts around a template's own.
    pub(super) fn values(&self) -> Value {
        let of = |starts: bool, ends: bool| {
            let mut page = serde_json::to_value(self).unwrap_or_default();
            page["starts"] = json!(starts);
            page["ends"] = json!(ends);
            page
        };
        let mut values = of(true, true);
        values["mail_start"] = of(true, false);
        values["mail_end"] = of(false, true);
        values["mail"] = of(true, true);
        values
    }
}

/// The name of a message's attachment.
pub(super) fn attachment_name(now: DateTime<Utc>) -> String {
    format!("keywheel-notices-{}.csv", day(now))
}

impl Line {
    fn new(mode: Mode, now: DateTime<Utc>, item: &Addressed<'_>) -> Self {
        let Notice { user, key, kind, .. } = item.notice;
        let (tone, coming) = (Tone::of(kind), coming(kind));
        Self {
            key: key.to_string(),
            user: user.name.to_string(),
            account: account_label(item.account),
            what: capitalized(briefly(kind, mode)),
            when: coming.map(day).unwrap_or_default(),
            left: coming.map(|at| days_from(now, at)).unwrap_or_default(),
            label: tone.label(mode),
            tone: tone.name(),
            color: tone.color(),
        }
    }
}

impl Row {
    pub(super) fn new(frame: &Frame<'_>, item: &Addressed<'_>) -> Self {
        let Frame { terms, mode, now, .. } = *frame;
        let Notice { user, key, created, kind, owner: _, secret_arn } = item.notice;
        let (tone, coming) = (Tone::of(kind), coming(kind));
        let label = account_label(item.account);
        Self {
            account_name: label.strip_suffix(&format!(" ({})", item.account.id)).unwrap_or_default().to_owned(),
            account: label,
            account_id: item.account.id.to_string(),
            user: user.name.to_string(),
            key: key.to_string(),
            key_label: if matches!(kind, NoticeKind::Rotated { .. }) { "New access key" } else { "Access key" },
            created: created
                .map(|created| format!("{} ({})", day(created), days_from(now, created)))
                .unwrap_or_default(),
            what: capitalized(&headline(kind, mode)),
            when: coming.map(day).unwrap_or_default(),
            left: coming.map(|at| days_from(now, at)).unwrap_or_default(),
            why: why(item.notice, mode, &terms.periods),
            last_use: last_use(kind).map(used).unwrap_or_default(),
            secret_arn: secret_arn.as_deref().map(|arn| one_line(arn, usize::MAX)).unwrap_or_default(),
            steps: steps(item.notice, mode, &terms.periods, &terms.exemption_group),
            label: tone.label(mode),
            tone: tone.name(),
            color: tone.color(),
        }
    }
}

/// A number to be shown; nothing for none, which `if` takes for no.
fn count(number: usize) -> String {
    if number == 0 { String::new() } else { grouped(number) }
}

fn title(mode: Mode, ordered: &[&Addressed<'_>]) -> String {
    match ordered {
        [item] => format!("Access key of {} {}", item.notice.user.name, headline(&item.notice.kind, mode)),
        items => format!("{} about access keys", counted(items.len(), "notice")),
    }
}

/// What all of it is about; of a single notice, all that its subject says, with the whole key and names.
fn lead(mode: Mode, items: &[&Addressed<'_>]) -> String {
    if let [item] = items {
        let Notice { user, key, kind, .. } = item.notice;
        let account = account_label(item.account);
        return format!("Access key {key} of the IAM user {} in {account} {}.", user.name, headline(kind, mode));
    }
    let users: BTreeSet<_> = items.iter().map(|item| &item.notice.user).collect();
    let accounts: BTreeSet<_> = items.iter().map(|item| &item.account.id).collect();
    let whose = match users.first() {
        Some(user) if users.len() == 1 => format!("the IAM user {}", user.name),
        _ => counted(users.len(), "IAM user"),
    };
    let place = match items.first() {
        Some(item) if accounts.len() == 1 => account_label(item.account),
        _ => counted(accounts.len(), "account"),
    };
    format!("{} about the access keys of {whose} in {place}.", counted(items.len(), "notice"))
}

/// What the subject does not say: of one notice the reason and the first thing to do, of several whose they are.
fn preheader(rows: &[Row], total: usize, lead: &str) -> String {
    let text = match rows {
        [row] if total == 1 => {
            let first = row.steps.first().map(|step| step.text.as_str()).unwrap_or_default();
            format!("{} {first}", row.why)
        }
        _ => lead.to_owned(),
    };
    cut(&text, MAX_PREHEADER_LENGTH)
}

fn tallies(mode: Mode, items: &[&Addressed<'_>]) -> Vec<Tally> {
    let tally = |tone: Tone| {
        let number = items.iter().filter(|item| Tone::of(&item.notice.kind) == tone).count();
        let shown = Tally { count: grouped(number), label: tone.label(mode), tone: tone.name(), color: tone.color() };
        (number > 0).then_some(shown)
    };
    [Tone::Alert, Tone::Done, Tone::Ahead].into_iter().filter_map(tally).collect()
}

/// Whom to ask, in whole sentences.
fn help(terms: &Terms) -> String {
    let contact = terms.contact.as_deref().map(|contact| one_line(contact, MAX_CONTACT_LENGTH));
    match (contact, &terms.reply_to) {
        (Some(contact), Some(reply_to)) if contact == reply_to.as_str() => {
            format!("Questions? Answer this message: it reaches {contact}.")
        }
        (Some(contact), Some(reply_to)) => {
            format!("Questions? Ask {contact}. An answer to this message reaches {reply_to}.")
        }
        (Some(contact), None) => format!("Questions? Ask {contact}."),
        (None, Some(reply_to)) => format!("Questions? Answer this message: it reaches {reply_to}."),
        (None, None) => "Questions? Ask whoever runs keywheel in your organization.".to_owned(),
    }
}

fn capitalized(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
}
