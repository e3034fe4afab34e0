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

/// Notices that one message describes one by one. SES takes messages of 40 MB and slows down those over 10 MB; 500
/// notices with the built-in templates make under 2 MB.
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
        let left_out = match items.len().saturating_sub(max_rows) {
            0 => String::new(),
            hidden => grouped(hidden),
        };
        Self {
            dry_run: mode == Mode::DryRun,
            subject: subject(mode, items),
            lead: lead(mode, items),
            rows,
            total: grouped(items.len()),
            more: left_out,
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

fn capitalized(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::AccessKeyId;
    use crate::lifecycle::CancelReason;
    use crate::notify::AccountContact;
    use crate::notify::fixtures::{contact, email, key, kinds, notice, now, rotation_ahead, templates, time, user};
    use crate::state::Notified;

    fn message_in(mode: Mode, account: &AccountContact, notices: &[Notice]) -> Message {
        let notified = Notified::default();
        let addressed: Vec<Addressed<'_>> =
            notices.iter().map(|notice| Addressed { notice, account, notified: &notified }).collect();
        let items: Vec<&Addressed<'_>> = addressed.iter().collect();
        compose(&templates(), mode, now(), &email("owner@example.com"), &items).unwrap()
    }

    fn message(mode: Mode, notices: &[Notice]) -> Message {
        message_in(mode, &contact("prod", None), notices)
    }

    #[test]
    fn every_notice_is_a_mail_that_reads_well() {
        for (name, kind) in kinds() {
            let mode = if kind.is_for_dry_run_only() { Mode::DryRun } else { Mode::Enforced };
            let Message { subject, html, text } = message(mode, &[notice(kind)]);
            insta::assert_snapshot!(format!("{name}.txt"), format!("Subject: {subject}\n\n{text}"));
            insta::assert_snapshot!(format!("{name}.html"), html);
        }
    }

    #[test]
    fn a_dry_run_is_a_mail_that_says_what_would_be_done() {
        let notices: Vec<Notice> = kinds().into_iter().map(|(_, kind)| notice(kind)).collect();
        let Message { subject, html, text } = message(Mode::DryRun, &notices);
        insta::assert_snapshot!("dry_run.txt", format!("Subject: {subject}\n\n{text}"));
        for part in [&html, &text] {
            assert!(part.contains("nothing was changed"));
            for promise in ["will be", "was disabled and", "was deleted<", "Was deleted\n", "is scheduled for"] {
                assert!(!part.contains(promise), "{promise}");
            }
        }
    }

    #[test]
    fn upstream_defect_12_a_warning_says_what_will_happen() {
        let at = time("2026-12-02T09:00:00Z");
        for (kind, said, unsaid) in [
            (
                NoticeKind::DisableAhead { at, last_use: None },
                "Will be disabled on 2026-12-02 (in 10 days)",
                "Will be deleted",
            ),
            (NoticeKind::DeleteAhead { at }, "Will be deleted on 2026-12-02 (in 10 days)", "Will be disabled"),
            (NoticeKind::RotationAhead { at }, "Will be rotated on 2026-12-02 (in 10 days)", "Will be deleted"),
        ] {
            let text = message(Mode::Enforced, &[notice(kind)]).text;
            assert!(text.contains(said) && !text.contains(unsaid), "{text}");
        }
    }

    #[test]
    fn upstream_defect_13_every_notice_of_a_user_keeps_its_own_key_and_reason() {
        let rotated = notice(NoticeKind::Rotated { old_key: Some(key(2)), disable_at: None });
        let deleted = Notice { key: key(3), created: None, ..notice(NoticeKind::Deleted) };
        let text = message(Mode::Enforced, &[deleted, rotated]).text;
        let sections: Vec<&str> = text.split("----\n").skip(1).collect();
        assert_eq!(sections.len(), 2, "{text}");
        let section =
            |id: &AccessKeyId| sections.iter().find(|section| section.contains(id.as_str())).unwrap().to_string();
        let (of_rotated, of_deleted) = (section(&key(1)), section(&key(3)));
        assert!(of_rotated.contains("It was tested, and it replaces") && !of_rotated.contains("was disabled for"));
        assert!(of_deleted.contains("It was disabled for at least 10 days.") && !of_deleted.contains("replaces"));
    }

    #[test]
    fn upstream_defect_53_html_is_escaped_and_the_text_part_is_plain() {
        let account = contact("<script>alert(\"1\")</script> & Söhne\r\nBcc: x@example.com", None);
        let reason = "no key <b>AKIA</b> & 'none'".to_owned();
        let Message { subject, html, text } =
            message_in(Mode::Enforced, &account, &[notice(NoticeKind::RotationFailed { reason })]);
        assert!(!html.contains("<script>") && !html.contains("<b>AKIA"), "{html}");
        assert!(html.contains("&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt; &amp; Söhne"), "{html}");
        assert!(html.contains("&lt;b&gt;AKIA&lt;/b&gt; &amp; &#39;none&#39;"), "{html}");
        assert!(text.contains("<script>alert(\"1\")</script> & Söhne Bcc: x"), "{text}");
        assert!(text.contains("no key <b>AKIA</b> & 'none'"), "{text}");
        for markup in ["&lt;", "&amp;", "&#", "<div", "<td", "<!doctype"] {
            assert!(!text.contains(markup), "{markup}: {text}");
        }
        assert!(!subject.contains(['\r', '\n']), "{subject}");
    }

    #[test]
    fn the_most_urgent_comes_first() {
        let at = |text| NoticeKind::DisableAhead { at: time(text), last_use: None };
        let of = |name: &str, kind| Notice { user: user(name), ..notice(kind) };
        let notices = [
            of("later", at("2026-12-09T00:00:00Z")),
            of("sooner", at("2026-12-01T00:00:00Z")),
            of("done", NoticeKind::Deleted),
            of("failed", NoticeKind::RotationFailed { reason: String::new() }),
        ];
        let text = message(Mode::Enforced, &notices).text;
        let places = ["failed", "done", "sooner", "later"].map(|name| text.find(&format!("IAM user: {name}")).unwrap());
        assert!(places.is_sorted(), "{text}");
    }

    #[test]
    fn a_long_message_is_cut_and_says_how_much_is_missing() {
        let account = contact(&"ü".repeat(50), None);
        let longest = Notice {
            user: user(&"u".repeat(128)),
            ..notice(NoticeKind::RotationFailed { reason: "<&>".repeat(1000) })
        };
        let notices = vec![longest; MAX_ROWS + 1234];
        let Message { subject, html, text } = message_in(Mode::Enforced, &account, &notices);
        assert_eq!(text.matches("  Access key: ").count(), MAX_ROWS);
        assert_eq!(html.matches(">Access key<").count(), MAX_ROWS);
        for part in [&html, &text] {
            assert!(part.contains("… and 1,234 more"));
            assert!(part.contains("most urgent of 1,734"));
        }
        assert!(subject.starts_with("keywheel: 1,734 access keys not rotated though due"), "{subject}");
        // Base64 adds a third, and a line break for every 76 characters.
        let encoded = (html.len() + text.len()) * 4 / 3 * 78 / 76;
        assert!(encoded < 10_000_000, "{encoded}");

        let whole = message(Mode::Enforced, &vec![notice(rotation_ahead()); MAX_ROWS]);
        assert!(!whole.text.contains(" more") && !whole.html.contains("… and"), "nothing is missing");
    }

    #[test]
    fn what_cannot_be_known_leaves_no_gap() {
        let notice =
            Notice { secret_arn: None, created: None, ..notice(NoticeKind::ScheduleCancelled(CancelReason::UserGone)) };
        let text = message_in(Mode::Enforced, &contact("", None), &[notice]).text;
        assert!(!text.contains("Made on") && text.contains("Account: 111122223333\n"), "{text}");
    }
}
