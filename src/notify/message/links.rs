//! No name that somebody chose becomes a link in a mail program.

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::keys::UserRef;
use crate::lifecycle::Notice;
use crate::notify::AccountContact;
use crate::notify::details::NoticeDetails;
use crate::notify::fixtures::{account, contact, email, kinds, notice, now, templates};
use crate::notify::topic_message::topic_message;
use crate::state::Notified;

/// Addresses and files that keywheel itself names.
const OWN: [&str; 2] = ["owner@example.com", "keywheel-notices-2026-11-22.csv"];

/// The dots that browsers take for the dot of a host name.
/// <https://www.unicode.org/reports/tr46/#Notation>
const DOTS: [char; 4] = ['.', '\u{3002}', '\u{ff0e}', '\u{ff61}'];

/// Returns the words of which some mail program makes a link: an address with its scheme, a share, a mail address, a
/// host name. The list of top-level domains is long, so every suffix of two letters or more counts as one.
fn links(text: &str) -> Vec<String> {
    let is_between = |c: char| c.is_whitespace() || "<>\"'()".contains(c);
    let words = text.split(is_between).filter(|word| !word.is_empty());
    words
        .filter(|word| !OWN.contains(&word.trim_end_matches([',', '.', ':'])))
        .filter(|word| is_link(word))
        .map(str::to_owned)
        .collect()
}

fn is_link(word: &str) -> bool {
    let lower = word.to_lowercase();
    let has_scheme = ["://", "mailto:", "tel:", "file:", "\\\\"].iter().any(|part| {
        lower.match_indices(part).any(|(at, _)| lower[at + part.len()..].starts_with(|c: char| c.is_ascii_graphic()))
    });
    has_scheme || is_mail_address(&lower) || lower.split(|c: char| !is_of_host(c)).any(is_host)
}

fn is_of_host(c: char) -> bool {
    c.is_alphanumeric() || c == '-' || DOTS.contains(&c)
}

fn is_mail_address(word: &str) -> bool {
    word.split('@')
        .collect::<Vec<_>>()
        .windows(2)
        .any(|parts| parts[0].ends_with(|c: char| c.is_ascii_graphic()) && parts[1].starts_with(char::is_alphanumeric))
}

fn is_host(text: &str) -> bool {
    let labels: Vec<&str> = text.split(DOTS).collect();
    labels.windows(2).any(|pair| {
        let is_suffix = pair[1].chars().take_while(|c| c.is_alphabetic()).count() >= 2;
        !pair[0].is_empty() && (is_suffix || pair[0].eq_ignore_ascii_case("www"))
    })
}

/// The text that a reader sees of an HTML part, without commands.
fn seen(html: &str) -> String {
    let body = html.split_once("<body").map_or(html, |(_, body)| body);
    let mut outside = String::new();
    for part in body.split("<pre ") {
        outside += part.split_once("</pre>").map_or(part, |(_, rest)| rest);
    }
    let texts = outside.split('<').map(|part| part.split_once('>').map_or(part, |(_, text)| text));
    let text = texts.collect::<Vec<_>>().join(" ");
    [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&nbsp;", " "), ("&amp;", "&")]
        .iter()
        .fold(text, |text, (escape, shown)| text.replace(escape, shown))
}

/// Checks a message about these notices: its subject, and both parts outside of commands.
fn check(account: &AccountContact, mode: Mode, notices: &[Notice]) -> Result<(), TestCaseError> {
    let (notified, templates, to) = (Notified::default(), templates(), email("owner@example.com"));
    let items: Vec<Addressed<'_>> =
        notices.iter().map(|notice| Addressed { notice, account, notified: &notified }).collect();
    let items: Vec<&Addressed<'_>> = items.iter().collect();
    let Message { subject, html, text, attachment: _ } = compose(&templates, mode, now(), &to, &items).unwrap();
    let frame = Frame { terms: templates.terms(), mode, now: now(), recipient: &to };
    let steps = items.iter().flat_map(|item| NoticeDetails::new(&frame, item).steps);
    let commands = steps.flat_map(|step| [step.command, step.snippet]).filter(|command| !command.is_empty());
    let text = commands.fold(text, |text, command| text.replace(&command, " "));
    for part in [&subject, &seen(&html), &text] {
        prop_assert_eq!(links(part), Vec::<String>::new(), "{}", part);
    }
    for item in items {
        let published: Value = serde_json::from_str(&topic_message(&templates, mode, now(), item).body).unwrap();
        let steps = published["what_to_do"].as_array().unwrap().iter().map(|step| &step["text"]);
        let words = [&published["headline"], &published["reason"], &published["account"]["name"]];
        for text in words.into_iter().chain(steps).filter_map(Value::as_str) {
            prop_assert_eq!(links(text), Vec::<String>::new(), "{}", text);
        }
    }
    Ok(())
}

fn of_user(name: &str) -> Vec<Notice> {
    let user = UserRef { account: account(), name: name.parse().unwrap() };
    kinds().into_iter().map(|(_, kind)| Notice { user: user.clone(), ..notice(kind) }).collect()
}

fn user_names() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "evil.example.com",
            "www.evil.com",
            "a@evil.com",
            "evil.co",
            "jane.doe",
            "a.b@c.de,f.gh"
        ])
        .prop_map(str::to_owned),
        "[a-z]{1,9}[.@][a-z]{2,9}[.@,+=_-][a-z.]{1,20}",
        "[A-Za-z0-9_+=,.@-]{1,64}",
    ]
}

/// Organizations allows 1 to 50 printable ASCII characters. Whatever else is in a name is handled all the same.
fn account_names() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "https://pay.example.com/now",
            "HTTP://PAY.EXAMPLE.COM",
            "www.pay.example.com",
            "see pay.example.com, today",
            "mailto:a@pay.example.com",
            "tel:+18005550199",
            "\\\\files.example.com\\share",
            "file:///c:/x",
            "pay\u{3002}example\u{ff0e}com",
            "pay\u{ad}.\u{200b}example.com",
            "prod. Europe",
        ])
        .prop_map(str::to_owned),
        "[a-z:/@.\\\\ ]{1,50}",
        "[ -~]{1,50}",
        ".{1,50}",
    ]
}

#[test]
fn nobody_gains_3_the_recognizer_finds_links() {
    for link in [
        "https://pay.example.com/now",
        "pay.example.com",
        "a@b.co",
        "a@evil",
        "www.x",
        "mailto:a",
        "\\\\server\\share",
        "x,evil.co!",
        "pay\u{3002}example",
    ] {
        assert_eq!(links(&format!("See {link} now")), [link], "{link}");
    }
    for text in ["keywheel:force", "2026-11-22T09:00:00Z", "prod. Europe", "1,234", "v1.2", "owner@example.com,"] {
        assert_eq!(links(text), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn nobody_gains_3_names_like_hosts_are_no_links() {
    let account = contact("https://pay.example.com/now", None);
    for mode in [Mode::Enforced, Mode::DryRun] {
        let notices = of_user("evil.example.com");
        check(&account, mode, &notices).unwrap();
        for notice in notices {
            check(&account, mode, &[notice]).unwrap();
        }
    }
}

#[test]
fn nobody_gains_3_the_name_of_an_account_is_no_link_in_a_file() {
    let account = contact("https://pay.example.com/now", None);
    let (notified, notices) = (Notified::default(), of_user("ci-bot"));
    let items: Vec<Addressed<'_>> =
        notices.iter().map(|notice| Addressed { notice, account: &account, notified: &notified }).collect();
    let items: Vec<&Addressed<'_>> = items.iter().collect();
    let message = compose(&templates(), Mode::Enforced, now(), &email("owner@example.com"), &items).unwrap();
    let csv = message.attachment.unwrap().csv;
    assert!(csv.contains("pay\u{2060}.example") && !csv.contains("pay.example") && !csv.contains("://"), "{csv}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn nobody_gains_3_no_name_becomes_a_link(
        user in user_names(), name in account_names(), at in 0..kinds().len(), several in any::<bool>(), dry in any::<bool>(),
    ) {
        let mode = if dry { Mode::DryRun } else { Mode::Enforced };
        let notices = of_user(&user);
        let notices = if several { &notices[..3] } else { &notices[at..=at] };
        check(&contact(&name, None), mode, notices)?;
    }
}
