//! One notice as templates can name it: in short and in full. Pure.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::addressed::Addressed;
use super::frame::Frame;
use super::guidance::guidance;
use super::instruction::Instruction;
use super::mode::Mode;
use super::phrases::{account_label, account_name, day, days_from, one_line};
use super::tone::Tone;
use super::unlinked::shown_user;
use super::words::{briefly, coming, headline, last_use, used, when, why};
use crate::lifecycle::{Notice, NoticeKind};

/// One notice as a line of the table of keys.
#[derive(Debug, Serialize)]
pub(super) struct NoticeSummary {
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

/// One notice in full.
#[derive(Debug, Serialize)]
pub(super) struct NoticeDetails {
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
    pub(super) steps: Vec<Instruction>,
    label: &'static str,
    tone: &'static str,
    color: &'static str,
}

impl NoticeSummary {
    pub(super) fn new(mode: Mode, now: DateTime<Utc>, item: &Addressed<'_>) -> Self {
        let Notice { user, key, kind, .. } = item.notice;
        let (tone, coming) = (Tone::of(kind), coming(kind));
        Self {
            key: key.to_string(),
            user: shown_user(&user.name),
            account: account_label(item.account),
            what: capitalized(briefly(kind, mode)),
            when: when(kind).unwrap_or_default(),
            left: coming.map(|at| days_from(now, at)).unwrap_or_default(),
            label: tone.label(mode),
            tone: tone.name(),
            color: tone.color(),
        }
    }
}

impl NoticeDetails {
    pub(super) fn new(frame: &Frame<'_>, item: &Addressed<'_>) -> Self {
        let Frame { terms, mode, now, .. } = *frame;
        let Notice { user, key, created, kind, owner: _, secret_arn, tells_of: _ } = item.notice;
        let (tone, coming) = (Tone::of(kind), coming(kind));
        Self {
            account_name: account_name(item.account),
            account: account_label(item.account),
            account_id: item.account.id.to_string(),
            user: shown_user(&user.name),
            key: key.to_string(),
            key_label: if matches!(kind, NoticeKind::Rotated { .. }) { "New access key" } else { "Access key" },
            created: created
                .map(|created| format!("{} ({})", day(created), days_from(now, created)))
                .unwrap_or_default(),
            what: capitalized(&headline(kind, mode)),
            when: when(kind).unwrap_or_default(),
            left: coming.map(|at| days_from(now, at)).unwrap_or_default(),
            why: why(item.notice, mode, &terms.periods),
            last_use: last_use(kind).map(used).unwrap_or_default(),
            secret_arn: secret_arn.as_deref().map(|arn| one_line(arn, usize::MAX)).unwrap_or_default(),
            steps: guidance(item.notice, mode, &terms.periods, &terms.exemption_group, frame.addressee(item.account)),
            label: tone.label(mode),
            tone: tone.name(),
            color: tone.color(),
        }
    }
}

/// Returns the text with its first letter in upper case.
fn capitalized(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
}
