//! The values that templates can name, for one message. Pure.
//!
//! `templates/README.md` describes each name for authors of templates. A test compares the two.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};

use super::addressed::Addressed;
use super::details::{NoticeDetails, NoticeSummary};
use super::frame::{Frame, Limits, Terms};
use super::mode::Mode;
use super::phrases::{account_label, counted, cut, day, grouped, one_line};
use super::subject::subject;
use super::text_table;
use super::tone::Tone;
use super::unlinked::shown_user;
use super::words::headline;
use crate::lifecycle::Notice;

/// The longest text beside a subject, in characters. Mail programs show no more.
const MAX_PREHEADER_LENGTH: usize = 140;
/// The longest contact that a message shows, in characters. The setting `NOTICE_CONTACT` allows no more.
const MAX_CONTACT_LENGTH: usize = 200;

/// The values that a template can name. Every name always exists and is empty without a value, so a template that
/// rendered once always renders.
#[derive(Debug, Serialize)]
pub(super) struct Context {
    dry_run: bool,
    pub(super) subject: String,
    title: String,
    lead: String,
    preheader: String,
    tallies: Vec<ToneCount>,
    table: Vec<NoticeSummary>,
    table_text: String,
    rows: Vec<NoticeDetails>,
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

/// The number of notices of one tone.
#[derive(Debug, Serialize)]
struct ToneCount {
    count: String,
    label: &'static str,
    tone: &'static str,
    color: &'static str,
}

impl Context {
    /// `ordered` are all notices of the message, the most urgent first.
    pub(super) fn new(frame: &Frame<'_>, ordered: &[&Addressed<'_>], limits: Limits) -> Self {
        let Frame { terms, mode, now, recipient } = *frame;
        let rows: Vec<NoticeDetails> =
            ordered.iter().take(limits.details).map(|item| NoticeDetails::new(frame, item)).collect();
        // A table of one line would repeat the details.
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
            table: listed.iter().map(|item| NoticeSummary::new(mode, now, item)).collect(),
            table_text: text_table::aligned(mode, now, listed),
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

    /// Returns the name of the attachment, or `None` without one.
    pub(super) fn attachment(&self) -> Option<&str> {
        Some(self.attachment.as_str()).filter(|name| !name.is_empty())
    }

    /// Returns all names. `mail`, `mail_start` and `mail_end` are the values that a layout is called with: for the
    /// whole message, or for the parts around a template's own text.
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

/// Returns the name of a message's attachment.
pub(super) fn attachment_name(now: DateTime<Utc>) -> String {
    format!("keywheel-notices-{}.csv", day(now))
}

/// Returns a number as text. Zero is an empty text, which a template's `if` treats as false.
fn count(number: usize) -> String {
    if number == 0 { String::new() } else { grouped(number) }
}

fn title(mode: Mode, ordered: &[&Addressed<'_>]) -> String {
    match ordered {
        [item] => format!("Access key of {} {}", shown_user(&item.notice.user.name), headline(&item.notice.kind, mode)),
        items => format!("{} about access keys", counted(items.len(), "notice")),
    }
}

/// Returns one sentence about the whole message. For a single notice it repeats the subject, with the full key id and
/// names.
fn lead(mode: Mode, items: &[&Addressed<'_>]) -> String {
    if let [item] = items {
        let Notice { user, key, kind, .. } = item.notice;
        let account = account_label(item.account);
        let user = shown_user(&user.name);
        return format!("Access key {key} of the IAM user {user} in {account} {}.", headline(kind, mode));
    }
    let users: BTreeSet<_> = items.iter().map(|item| &item.notice.user).collect();
    let accounts: BTreeSet<_> = items.iter().map(|item| &item.account.id).collect();
    let whose = match users.first() {
        Some(user) if users.len() == 1 => format!("the IAM user {}", shown_user(&user.name)),
        _ => counted(users.len(), "IAM user"),
    };
    let place = match items.first() {
        Some(item) if accounts.len() == 1 => account_label(item.account),
        _ => counted(accounts.len(), "account"),
    };
    format!("{} about the access keys of {whose} in {place}.", counted(items.len(), "notice"))
}

/// Returns a text that adds to the subject: the reason and the first instruction of a single notice, or whose keys
/// several notices are about.
fn preheader(rows: &[NoticeDetails], total: usize, lead: &str) -> String {
    let text = match rows {
        [row] if total == 1 => {
            let first = row.steps.first().map(|step| step.text.as_str()).unwrap_or_default();
            format!("{} {first}", row.why)
        }
        _ => lead.to_owned(),
    };
    cut(&text, MAX_PREHEADER_LENGTH)
}

fn tallies(mode: Mode, items: &[&Addressed<'_>]) -> Vec<ToneCount> {
    let tally = |tone: Tone| {
        let number = items.iter().filter(|item| Tone::of(&item.notice.kind) == tone).count();
        let shown =
            ToneCount { count: grouped(number), label: tone.label(mode), tone: tone.name(), color: tone.color() };
        (number > 0).then_some(shown)
    };
    [Tone::Alert, Tone::Done, Tone::Ahead].into_iter().filter_map(tally).collect()
}

/// Returns whom to ask, in whole sentences.
fn help(terms: &Terms) -> String {
    let contact = terms.contact.as_deref().map(|contact| one_line(contact, MAX_CONTACT_LENGTH));
    match (contact, &terms.reply_to) {
        (Some(contact), Some(reply_to)) if contact == reply_to.as_str() => {
            format!("Questions? Reply to this message. Replies go to {contact}.")
        }
        (Some(contact), Some(reply_to)) => {
            format!("Questions? Ask {contact}. Replies to this message go to {reply_to}.")
        }
        (Some(contact), None) => format!("Questions? Ask {contact}."),
        (None, Some(reply_to)) => format!("Questions? Reply to this message. Replies go to {reply_to}."),
        (None, None) => "Questions? Ask the team that runs keywheel in your organization.".to_owned(),
    }
}
