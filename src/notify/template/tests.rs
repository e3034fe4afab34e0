//! Finding templates, and refusing mistakes in them at start.

use std::collections::BTreeSet;

use super::*;
use crate::notify::fixtures::{contact, kinds, notice, now, settings};

pub(super) const CUSTOM: (&str, &str) = ("EMAIL_TEMPLATE_ENFORCE", "own.html");

pub(super) fn load(given: &[(&str, &str)], files: &[(&str, &str)]) -> Result<Templates, InvalidTemplate> {
    let read = |name: &str| files.iter().find(|(file, _)| *file == name).map(|(_, text)| (*text).to_owned());
    Templates::load(&settings(given), read)
}

fn content(page: &TemplatePart) -> &str {
    page.message.content.trim_end()
}

fn error(given: &[(&str, &str)], files: &[(&str, &str)]) -> String {
    load(given, files).expect_err("the template is wrong").to_string()
}

#[test]
fn the_default_template_is_built_in() {
    assert_eq!(settings(&[]).template_enforce, BUILT_IN[0].0);
    assert_eq!(settings(&[]).template_audit, BUILT_IN[0].0);
    let templates = load(&[], &[]).unwrap();
    assert_eq!(content(&templates.enforced.html), BUILT_IN[0].1.trim_end());
    assert_eq!(templates.enforced, templates.dry_run);
    let audit = load(&[("EMAIL_TEMPLATE_AUDIT", BUILT_IN[1].0)], &[]).unwrap();
    assert_eq!(content(&audit.dry_run.html), BUILT_IN[1].1.trim_end());
    assert_eq!(content(&audit.dry_run.text), BUILT_IN[1].2.trim_end());
}

/// A start relies on this and does not try them.
#[test]
fn the_built_in_templates_render_all_samples() {
    for (name, ..) in BUILT_IN {
        let templates = load(&[("EMAIL_TEMPLATE_ENFORCE", name), ("EMAIL_TEMPLATE_AUDIT", name)], &[]).unwrap();
        assert!(templates.are_built_in(), "{name}");
        assert_eq!(templates.try_on_samples(), Ok(()), "{name}");
    }
}

#[test]
fn a_template_with_any_changed_file_is_not_built_in() {
    for file in [BUILT_IN[0].0, "iam-auto-key-rotation-enforcement.txt", "layout.html", "layout.txt"] {
        assert!(!load(&[], &[(file, "own")]).unwrap().are_built_in(), "{file}");
    }
    let only_audit = load(&[("EMAIL_TEMPLATE_AUDIT", "own.html")], &[("own.html", "own")]).unwrap();
    assert!(!only_audit.are_built_in());
}

#[test]
fn a_file_of_the_default_name_replaces_the_built_in_one() {
    let templates = load(&[], &[(BUILT_IN[0].0, "own {subject}")]).unwrap();
    assert_eq!(content(&templates.enforced.html), "own {subject}");
    assert_eq!(content(&templates.enforced.text), BUILT_IN[0].2.trim_end());
}

#[test]
fn each_mode_has_its_template_and_each_html_its_text() {
    let files = [("own.html", "<p>{lead}</p>"), ("own.txt", "{lead}"), ("audit.html", "<i>{lead}</i>")];
    let templates = load(&[CUSTOM, ("EMAIL_TEMPLATE_AUDIT", "audit.html")], &files).unwrap();
    let sources = |mode| (content(&templates.of(mode).html), content(&templates.of(mode).text));
    assert_eq!(sources(Mode::Enforced), ("<p>{lead}</p>", "{lead}"));
    assert_eq!(sources(Mode::DryRun), ("<i>{lead}</i>", BUILT_IN[0].2.trim_end()));
}

/// A custom layout is used for whole messages and for the parts around a template's own text.
#[test]
fn a_custom_layout_serves_all_templates_that_call_it() {
    let own = [("layout.html", "{{ if starts }}<b>{subject}</b>{{ endif }}{{ if ends }}<i>{lead}</i>{{ endif }}")];
    let rendered = |html: &str| {
        let files = [own[0], ("own.html", html)];
        let templates = load(&[CUSTOM], &files).unwrap();
        let (account, notified, to) = (contact("prod", None), Notified::default(), samples::recipient());
        let notice = notice(NoticeKind::Deleted);
        let item = Addressed { notice: &notice, account: &account, notified: &notified };
        let frame = Frame { terms: templates.terms(), mode: Mode::Enforced, now: now(), recipient: &to };
        let all = Limits { details: 1, table: 1, attached: 1 };
        let html = templates.of(Mode::Enforced).render(&Context::new(&frame, &[&item], all).values()).unwrap().0;
        html.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let (subject, lead) = (
        "<b>Access key of ci-bot (prod, 111122223333) was deleted</b>",
        "<i>Access key AKIA0000000000000001 of the IAM user ci-bot in prod (111122223333) was deleted.</i>",
    );
    assert_eq!(rendered("{{ call layout with mail }}"), format!("{subject}{lead}"));
    let around = "{{ call layout with mail_start }}<p>own</p>{{ call layout with mail_end }}";
    assert_eq!(rendered(around), format!("{subject} <p>own</p>{lead}"));
    assert_eq!(
        rendered("<p>{user_of}</p>".replace("{user_of}", "{{ for row in rows }}{row.user}{{ endfor }}").as_str()),
        "<p>ci-bot</p>"
    );
}

#[test]
fn a_mistake_in_a_layout_is_refused_by_file_line_and_variable() {
    let problem = |layout: &str| error(&[], &[("layout.html", layout)]);
    let messages = [
        "<p>\n{subjet}",
        "\n{{ for row in rows }}\n{row.wrong}{{ endfor }}",
        "<style>\np {\n}</style>",
        "{#}",
        "\n{{ if not }}{{ endif }}",
        "{subject}\n{ rows }",
        "\n{ @index }",
        "\n{ @root }",
        "{{ call layout with mail }}",
        "{{ call layout with rows }}",
        "{{ call other with rows }}",
        "{{ if dry_run }}\n{wrong}{{ endif }}",
        "{{ if untold }}\n{wrong}{{ endif }}",
        "{{ if not contact }}\n{wrong}{{ endif }}",
        "{{ for step in rows.0.steps }}{{ if not step.snippet }}\n{wrong}{{ endif }}{{ endfor }}",
    ]
    .map(problem);
    assert!(messages.iter().all(|message| message.starts_with("mail template layout.html: ")), "{messages:?}");
    assert!(messages.iter().all(|message| message.contains("line ")), "{messages:?}");
    insta::assert_snapshot!(messages.join("\n"));
    let text = error(&[], &[("layout.txt", "{subjet}")]);
    assert!(text.starts_with("mail template layout.txt: ") && text.contains("'subjet'"), "{text}");
}

#[test]
fn the_readme_of_templates_lists_exactly_the_names() {
    let (terms, to) = (Terms::of(&settings(&[])), samples::recipient());
    let (account, notified) = (contact("prod", None), Notified::default());
    let notices: Vec<Notice> = kinds().into_iter().map(|(_, kind)| notice(kind)).collect();
    let addressed: Vec<Addressed<'_>> =
        notices.iter().map(|notice| Addressed { notice, account: &account, notified: &notified }).collect();
    let frame = Frame { terms: &terms, mode: Mode::Enforced, now: now(), recipient: &to };
    let all = Limits { details: 9, table: 9, attached: 9 };
    let values = Context::new(&frame, &addressed.iter().collect::<Vec<_>>(), all).values();
    let readme = include_str!("../../../templates/README.md");
    for (heading, object) in [
        ("## Names", &values),
        ("### In each of `rows`", &values["rows"][0]),
        ("### In each of a row's `steps`", &values["rows"][0]["steps"][0]),
        ("### In each line of `table`", &values["table"][0]),
        ("### In each of `tallies`", &values["tallies"][0]),
    ] {
        let section = readme.split(&format!("\n{heading}\n")).nth(1).expect(heading);
        let section = section.split("\n#").next().unwrap();
        let documented: BTreeSet<&str> = section
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split('|').next())
            .flat_map(|cell| cell.split('`'))
            .map(str::trim)
            .filter(|name| !name.is_empty() && *name != ",")
            .collect();
        let named: BTreeSet<&str> = object.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(documented, named, "{heading}");
    }
}

#[test]
fn upstream_defect_52_a_missing_template_is_named_at_start() {
    insta::assert_snapshot!(error(&[CUSTOM], &[]), @"mail template own.html: there is no such file in templates/; add it, or change EMAIL_TEMPLATE_ENFORCE");
}

#[test]
fn a_mistake_in_syntax_is_refused_by_file_and_line() {
    insta::assert_snapshot!(error(&[CUSTOM], &[("own.html", "<p>\n{{ if dry_run }}\n</p>")]), @"mail template own.html: Failed to parse the template (line 2, column 3). Reason: Expected block-closing tag, but reached the end of input.");
    insta::assert_snapshot!(error(&[CUSTOM], &[("own.html", "<style>\np {\n}</style>")]), @"mail template own.html: Failed to parse the template (line 2, column 2). Reason: Expected a closing '}' but found end-of-line instead.");
}

#[test]
fn an_unknown_name_is_refused_wherever_it_stands() {
    let wrong_text = [("own.html", "{subject}"), ("own.txt", "\n{subjet}")];
    insta::assert_snapshot!(error(&[CUSTOM], &wrong_text), @"mail template own.txt: Encountered rendering error on line 2, column 1. Reason: Failed to find value 'subjet' from path 'subjet'. Available values at this level are 'attached', 'attachment', 'color', 'contact', 'date', 'dry_run', 'ends', 'exemption_group', 'help', 'lead', 'mail', 'mail_end', 'mail_start', 'more', 'preheader', 'recipient', 'reply_to', 'rows', 'starts', 'subject', 'table', 'table_text', 'tallies', 'title', 'tone', 'total', 'unlisted', 'untold'");
    for content in [
        "{{ if dry_run }}{wrong}{{ endif }}",
        "{{ if not dry_run }}{wrong}{{ endif }}",
        "{{ if more }}{wrong}{{ endif }}",
        "{{ for row in rows }}{row.wrong}{{ endfor }}",
        "{{ for row in rows }}{{ if not row.created }}{row.wrong}{{ endif }}{{ endfor }}",
        "{{ for row in rows }}{{ if not row.left }}{row.wrong}{{ endif }}{{ endfor }}",
        "{{ for row in rows }}{{ for step in row.steps }}{{ if not step.command }}{wrong}{{ endif }}{{ endfor }}{{ endfor }}",
        "{{ call other with subject }}",
    ] {
        for (variable, file) in [("EMAIL_TEMPLATE_ENFORCE", "own.html"), ("EMAIL_TEMPLATE_AUDIT", "audit.html")] {
            let text = error(&[(variable, file)], &[(file, content)]);
            assert!(text.contains(file) && text.contains("line 1"), "{content}: {text}");
        }
    }
}

#[test]
fn mistakes_that_the_engine_does_not_place_are_refused() {
    let problem = |content: &str| error(&[CUSTOM], &[("own.html", content)]);
    let messages = [
        "{subject}\n{#}",
        "{{ if not }}{{ endif }}",
        "{{ if nothing }}{{ endif }}",
        "<p>\n{ rows }",
        "\n{{ for row in rows }}\n{ row.steps | unescaped }{{ endfor }}",
        "{ @root }",
        "{{ for row in rows }}{ @index }{{ endfor }}\n{ @index }",
        "{{ if not @first }}{{ endif }}",
        "{{ call message with @root }}",
        "{{ with rows as rows }}{{ call message with rows }}{{ endwith }}",
        "{ subject | upper }",
    ]
    .map(problem);
    insta::assert_snapshot!(messages.join("\n"));
}

#[test]
fn a_backslash_at_the_end_is_no_panic() {
    assert!(load(&[CUSTOM], &[("own.html", "{lead}\\")]).is_ok());
}
