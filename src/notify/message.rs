//! Notices for one recipient → one message. Pure.
//!
//! [`Context`] is what templates can name; `templates/README.md` describes it for those who write their own.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::phrases::{account_label, counted, day, days_from, grouped};
use super::steps::{Step, steps};
use super::subject::subject;
use super::template::{InvalidTemplate, Templates};
use super::words::{Tone, by_urgency, coming, headline, why};
use super::{Addressed, Mode};
use crate::keys::EmailAddress;
use crate::lifecycle::{Notice, NoticeKind};

/// Notices that one message describes one by one. SES takes messages of 40 MB and slows down those over 10 MB;
/// 500 notices make about 1 MB, which mail programs still show.
/// <https://docs.aws.amazon.com/ses/latest/dg/quotas.html>
pub(super) const MAX_ROWS: usize = 500;

/// A message, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// One line of at most 150 characters.
    pub subject: String,
    /// The message as HTML.
    pub html: String,
    /// The same as plain text.
    pub text: String,
}

/// Puts notices for one recipient into a message: the most urgent first, the first 500 one by one, the rest as a
/// count. Days left are counted from `now`.
///
/// # Errors
/// [`InvalidTemplate`] where a custom template fails on this very input; the built-in ones do not.
pub fn compose(
    templates: &Templates,
    mode: Mode,
    now: DateTime<Utc>,
    recipient: &EmailAddress,
    items: &[&Addressed<'_>],
) -> Result<Message, InvalidTemplate> {
    let context = Context::new(templates, mode, now, recipient, items, MAX_ROWS);
    let (html, text) = templates.of(mode).render(&context)?;
    Ok(Message { subject: context.subject, html, text })
}

/// Sorts notices into the order of a message.
pub(super) fn sort<'a, T>(items: &mut [T], addressed: impl Fn(&T) -> &'a Addressed<'a>) {
    items.sort_by(|left, right| {
        let (left, right) = (addressed(left), addressed(right));
        by_urgency((left.notice, left.account), (right.notice, right.account))
    });
}

/// What a template can name. Every name is always there, empty where there is nothing to say, so that a template that
/// rendered once renders always.
#[derive(Debug, Serialize)]
pub(super) struct Context {
    dry_run: bool,
    subject: String,
    lead: String,
    rows: Vec<Row>,
    total: String,
    more: String,
    recipient: String,
    exemption_group: String,
    date: String,
}

/// One notice, as a template can name it.
#[derive(Debug, Serialize)]
struct Row {
    account: String,
    account_id: String,
    account_name: String,
    user: String,
    key: String,
    key_label: &'static str,
    created: String,
    what: String,
    when: String,
    left: String,
    why: String,
    steps: Vec<Step>,
    tone: &'static str,
    color: &'static str,
}

impl Context {
    pub(super) fn new(
        templates: &Templates,
        mode: Mode,
        now: DateTime<Utc>,
        recipient: &EmailAddress,
        items: &[&Addressed<'_>],
        max_rows: usize,
    ) -> Self {
        let mut ordered = items.to_vec();
        sort(&mut ordered, |item| item);
        let rows = ordered.iter().take(max_rows).map(|item| Row::new(templates, mode, now, item)).collect();
        let more = match items.len().saturating_sub(max_rows) {
            0 => String::new(),
            more => grouped(more),
        };
        Self {
            dry_run: mode == Mode::DryRun,
            subject: subject(mode, items),
            lead: lead(items),
            rows,
            total: grouped(items.len()),
            more,
            recipient: recipient.to_string(),
            exemption_group: templates.exemption_group().to_owned(),
            date: day(now),
        }
    }
}

impl Row {
    fn new(templates: &Templates, mode: Mode, now: DateTime<Utc>, item: &Addressed<'_>) -> Self {
        let Notice { user, key, created, kind, owner: _, secret_arn: _ } = item.notice;
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
            why: why(item.notice, mode, templates.periods()),
            steps: steps(item.notice, mode, templates.periods(), templates.exemption_group()),
            tone: tone.name(),
            color: tone.color(),
        }
    }
}

fn lead(items: &[&Addressed<'_>]) -> String {
    let users: BTreeSet<_> = items.iter().map(|item| &item.notice.user).collect();
    let accounts: BTreeSet<_> = items.iter().map(|item| &item.account.id).collect();
    let notices = counted(items.len(), "notice");
    match (items.first(), accounts.len(), users.len()) {
        (Some(item), 1, 1) => {
            let account = account_label(item.account);
            format!("{notices} about the access keys of the IAM user {} in {account}.", item.notice.user.name)
        }
        (Some(item), 1, users) => {
            format!(
                "{notices} about the access keys of {} in {}.",
                counted(users, "IAM user"),
                account_label(item.account)
            )
        }
        (_, accounts, users) => format!(
            "{notices} about the access keys of {} in {}.",
            counted(users, "IAM user"),
            counted(accounts, "account")
        ),
    }
}

fn capitalized(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
}
