//! Messages of every kind: their wording, their size, and names that people chose.

use super::*;
use crate::keys::AccessKeyId;
use crate::keys::KeyUse;
use crate::lifecycle::CancelReason;
use crate::lifecycle::{Notice, NoticeDate, NoticeKind};
use crate::notify::AccountContact;
use crate::notify::fixtures::{
    contact, email, key, kinds, notice, now, rotation_ahead, settings, templates, time, user,
};
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
fn every_notice_is_a_mail() {
    for (name, kind) in kinds() {
        let mode = if kind.is_for_dry_run_only() { Mode::DryRun } else { Mode::Enforced };
        let Message { subject, html, text, .. } = message(mode, &[notice(kind)]);
        insta::assert_snapshot!(format!("{name}.txt"), format!("Subject: {subject}\n\n{text}"));
        insta::assert_snapshot!(format!("{name}.html"), html);
    }
}

#[test]
fn a_dry_run_says_what_would_be_done() {
    let notices: Vec<Notice> = kinds().into_iter().map(|(_, kind)| notice(kind)).collect();
    let Message { subject, html, text, .. } = message(Mode::DryRun, &notices);
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
    let at = NoticeDate::On(time("2026-12-02T00:00:00Z"));
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
fn upstream_defect_13_each_notice_keeps_its_own_key_and_reason() {
    let rotated = notice(NoticeKind::Rotated { old_key: Some(key(2)), disable_at: None, forced: None });
    let deleted = Notice { key: key(3), created: None, ..notice(NoticeKind::Deleted) };
    let text = message(Mode::Enforced, &[deleted, rotated]).text;
    let sections: Vec<&str> = text.split(&format!("\n{}\n", "-".repeat(70))).skip(1).collect();
    assert_eq!(sections.len(), 2, "{text}");
    let section = |id: &AccessKeyId| sections.iter().find(|section| section.contains(id.as_str())).unwrap().to_string();
    let (of_rotated, of_deleted) = (section(&key(1)), section(&key(3)));
    assert!(of_rotated.contains("It was tested and replaces") && !of_rotated.contains("was disabled for"));
    assert!(of_deleted.contains("It was disabled for at least 10 days.") && !of_deleted.contains("replaces"));
}

/// A notice with a text that IAM repeats.
fn used_by(service: &str) -> NoticeKind {
    let last_use = KeyUse { time: now(), service: service.to_owned(), region: service.to_owned() };
    NoticeKind::DisableAhead { at: NoticeDate::On(now()), last_use: Some(last_use) }
}

#[test]
fn upstream_defect_53_html_is_escaped_and_the_text_is_plain() {
    let account = contact("<script>alert(\"1\")</script> & Söhne\r\nBcc: x@example.com", None);
    let Message { subject, html, text, .. } =
        message_in(Mode::Enforced, &account, &[notice(used_by("no key <b>AKIA</b> & 'none'"))]);
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
    let at = |text| NoticeKind::DisableAhead { at: NoticeDate::On(time(text)), last_use: None };
    let of = |name: &str, kind| Notice { user: user(name), ..notice(kind) };
    let notices = [
        of("later", at("2026-12-09T00:00:00Z")),
        of("sooner", at("2026-12-01T00:00:00Z")),
        of("done", NoticeKind::Deleted),
        of("failed", NoticeKind::RotationFailed { failed: None, keys: Vec::new() }),
    ];
    let text = message(Mode::Enforced, &notices).text;
    let places = ["failed", "done", "sooner", "later"].map(|name| text.find(&format!("IAM user: {name}")).unwrap());
    assert!(places.is_sorted(), "{text}");
}

#[test]
fn a_digest_begins_with_a_table_of_all_keys() {
    let notices: Vec<Notice> = kinds().into_iter().map(|(_, kind)| notice(kind)).collect();
    let Message { subject, html, text, attachment } = message(Mode::Enforced, &notices[..6]);
    insta::assert_snapshot!("digest.txt", format!("Subject: {subject}\n\n{text}"));
    insta::assert_snapshot!("digest.html", html);
    assert_eq!(attachment, None, "all notices are described");
    let table = text.split("----------\n").next().unwrap();
    assert!(notices[..6].iter().all(|notice| table.contains(notice.key.as_str())), "{table}");
}

#[test]
fn the_audit_template_says_how_to_read_it() {
    let settings = settings(&[("EMAIL_TEMPLATE_AUDIT", "iam-auto-key-rotation-audit.html")]);
    let templates = Templates::load(&settings, |_| None).unwrap();
    let (account, notified, notice) = (contact("prod", None), Notified::default(), notice(rotation_ahead()));
    let item = Addressed { notice: &notice, account: &account, notified: &notified };
    let Message { subject, html, text, .. } =
        compose(&templates, Mode::DryRun, now(), &email("owner@example.com"), &[&item]).unwrap();
    insta::assert_snapshot!("audit.txt", format!("Subject: {subject}\n\n{text}"));
    insta::assert_snapshot!("audit.html", html);
}

/// A notice with the longest names, the longest texts of others and the longest key id that AWS allows.
fn longest() -> (AccountContact, Notice) {
    let account = AccountContact { name: "\"".repeat(50), ..contact("", None) };
    let user = user(&",".repeat(128));
    let secret = crate::keys::SecretName::of(&user);
    let longest = Notice {
        secret_arn: Some(format!("arn:aws-us-gov:secretsmanager:us-gov-east-1:999988887777:secret:{secret}-a1B2c3")),
        user,
        key: format!("AKIA{}", "A".repeat(124)).parse().unwrap(),
        ..notice(used_by(&"\"".repeat(1000)))
    };
    (account, longest)
}

#[test]
fn a_long_message_stays_below_gmails_limit_with_a_file() {
    let (account, longest) = longest();
    let many = vec![longest; 200];
    let Message { subject, html, text, attachment } = message_in(Mode::Enforced, &account, &many);
    assert!(html.len() < MAX_HTML_BYTES, "{}", html.len());
    assert!(html.contains("<strong>… and ") && text.contains("The most urgent of 200 notices"), "{text}");
    assert!(subject.starts_with("keywheel: 200 access keys will be disabled"), "{subject}");
    let CsvAttachment { file_name, csv } = attachment.unwrap();
    assert_eq!(file_name, "keywheel-notices-2026-11-22.csv");
    assert_eq!(csv.matches("\r\n").count(), 201);
    for part in [&html, &text] {
        assert!(part.contains(&file_name) && part.contains("lists all 200"));
    }

    let usual = message(Mode::Enforced, &vec![notice(rotation_ahead()); 12]);
    assert!(usual.attachment.is_none() && !usual.text.contains("… and"), "nothing is missing");
}

#[test]
fn a_message_of_any_number_stays_below_gmails_limit() {
    let kinds: Vec<Notice> = kinds().into_iter().map(|(_, kind)| notice(kind)).collect();
    for number in [1, 2, 7, 21, 60, 400] {
        let many: Vec<Notice> = kinds.iter().cycle().take(number).cloned().collect();
        for mode in [Mode::Enforced, Mode::DryRun] {
            let Message { html, attachment, .. } = message(mode, &many);
            assert!(html.len() < MAX_HTML_BYTES, "{number}: {}", html.len());
            let described = html.matches("To stop or undo it").count();
            assert_eq!(described < number, attachment.is_some(), "{number}: {described}");
        }
    }
}

#[test]
fn the_file_fits_into_a_message_and_the_rest_is_counted() {
    let (account, longest) = longest();
    let many = vec![longest; MAX_ROWS + 1234];
    let Message { html, text, attachment, .. } = message_in(Mode::Enforced, &account, &many);
    let csv = attachment.unwrap().csv;
    assert_eq!(csv.matches("\r\n").count(), MAX_ROWS + 1);
    for part in [&html, &text] {
        assert!(part.contains("lists 5,000 of them") && part.contains("1,234 more do not fit into it"), "{part}");
    }
    // Base64 turns 57 bytes into 78, line breaks included.
    let encoded = (html.len() + text.len() + csv.len()) * 78 / 57;
    assert!(encoded < 39_000_000, "{encoded}");
}

#[test]
fn names_that_people_chose_cannot_turn_or_break_the_text() {
    let account = contact("pro\u{202e}dorp\u{2066}\r\n\u{0}x", None);
    let failed = notice(used_by("a\u{202e}b\r\nSubject: c"));
    let Message { subject, html, text, .. } = message_in(Mode::Enforced, &account, &[failed.clone(), failed]);
    for part in [&subject, &html, &text] {
        assert!(!part.contains(['\u{202e}', '\u{2066}', '\u{0}', '\r']), "{part}");
    }
    assert!(text.contains("a b Subject: c"), "{text}");
}

#[test]
fn the_footer_says_whom_to_ask() {
    let said = |given: &[(&str, &str)]| {
        let templates = Templates::load(&settings(given), |_| None).unwrap();
        let (account, notified, notice) = (contact("prod", None), Notified::default(), notice(rotation_ahead()));
        let item = Addressed { notice: &notice, account: &account, notified: &notified };
        let text = compose(&templates, Mode::Enforced, now(), &email("o@example.com"), &[&item]).unwrap().text;
        text.lines().find(|line| line.starts_with("Questions?")).unwrap().to_owned()
    };
    assert_eq!(said(&[]), "Questions? Ask the team that runs keywheel in your organization.");
    assert_eq!(said(&[("NOTICE_CONTACT", "#keys on chat")]), "Questions? Ask #keys on chat.");
    assert_eq!(
        said(&[("REPLY_TO_EMAIL", "keys@example.com")]),
        "Questions? Reply to this message. Replies go to keys@example.com."
    );
    assert_eq!(
        said(&[("REPLY_TO_EMAIL", "keys@example.com"), ("NOTICE_CONTACT", "Jo")]),
        "Questions? Ask Jo. Replies to this message go to keys@example.com."
    );
}

#[test]
fn a_last_use_names_service_region_and_time() {
    for (name, kind) in kinds() {
        let Message { html, text, .. } = message(Mode::Enforced, &[notice(kind)]);
        for part in [&html, &text] {
            let is_said = part.contains("Last use") && part.contains("s3 in eu-west-1, on 2026-11-21T10:15:00Z");
            assert_eq!(is_said, name.ends_with("in_use"), "{name}: {part}");
        }
    }
}

#[test]
fn an_unknown_value_leaves_no_gap() {
    let notice =
        Notice { secret_arn: None, created: None, ..notice(NoticeKind::ScheduleCancelled(CancelReason::UserGone)) };
    let text = message_in(Mode::Enforced, &contact("", None), &[notice]).text;
    assert!(!text.contains("Created") && text.contains("Account: 111122223333\n"), "{text}");
}

#[test]
fn nobody_gains_15_only_the_account_reads_how_to_exempt() {
    let account = contact("prod", Some("prod@example.com"));
    let (notified, command) = (Notified::default(), "add-user-to-group");
    for (name, kind) in kinds() {
        let notice = notice(kind);
        let item = Addressed { notice: &notice, account: &account, notified: &notified };
        let to = |to: &str| {
            let items = [&item; 30];
            let message = compose(&templates(), Mode::Enforced, now(), &email(to), &items).unwrap();
            format!("{}{}{}", message.html, message.text, message.attachment.unwrap().csv)
        };
        let (of_owner, of_account) = (to("owner@example.com"), to("Prod@example.com"));
        assert!(!of_owner.contains(command), "{name}");
        assert_eq!(of_account.contains("exempt the user"), of_owner.contains("exempt the user"), "{name}");
        assert_eq!(of_account.contains(command), of_account.contains("adds the user to the group"), "{name}");
    }
    let copied = settings(&[("RECIPIENT_EMAIL", "team@example.com")]);
    let templates = Templates::load(&copied, |_| None).unwrap();
    let notice = notice(rotation_ahead());
    let item = Addressed { notice: &notice, account: &account, notified: &notified };
    let message = compose(&templates, Mode::Enforced, now(), &email("team@example.com"), &[&item]).unwrap();
    assert!(message.text.contains(command), "RECIPIENT_EMAIL stands in for accounts");
}
