//! Any text is rendered, or refused with its file and line.

use proptest::prelude::*;

use super::tests::{CUSTOM, load};
use super::*;
use crate::notify::fixtures::{contact, kinds, notice, now};

/// Pieces of templates and of their mistakes.
fn piece() -> impl Strategy<Value = String> {
    let names = prop::sample::select(vec![
        "subject",
        "lead",
        "rows",
        "row",
        "row.user",
        "row.steps",
        "step.text",
        "rows.0",
        "rows.0.key",
        "more",
        "dry_run",
        "mail",
        "mail_start.rows",
        "table",
        "@index",
        "@first",
        "@last",
        "@root",
        "@",
        "",
        "wrong",
        "row.wrong",
        "not",
        "é",
        "-",
        "a b",
        "rows.9.key",
    ]);
    let tag = (names.clone(), names).prop_flat_map(|(one, other)| {
        prop::sample::select(vec![
            format!("{{{one}}}"),
            format!("{{ {one} | unescaped }}"),
            format!("{{- {one} | {other} -}}"),
            format!("{{{{ if {one} }}}}"),
            format!("{{{{ if not {one} }}}}"),
            format!("{{{{ if not{one} }}}}"),
            format!("{{{{ for {one} in {other} }}}}"),
            format!("{{{{ with {one} as {other} }}}}"),
            format!("{{{{ call message with {one} }}}}"),
            format!("{{{{ call layout with {one} }}}}"),
            format!("{{{{- {one} {other} -}}}}"),
            format!("{{# {one} #}}"),
        ])
    });
    let fixed = [
        "{{ for row in rows }}",
        "{{ for step in row.steps }}",
        "{{ endfor }}",
        "{{ if more }}",
        "{{ else }}",
        "{{ endif }}",
        "{{ endwith }}",
        "{#}",
        "{##}",
        "{}",
        "{{}}",
        "{{{",
        "}",
        "}}",
        "{",
        "\\",
        "\\{",
        "#}",
        "-",
        "\n",
        "\r\n",
        "\t",
        "é\u{a0}",
    ];
    prop_oneof![4 => tag, 4 => prop::sample::select(fixed.map(str::to_owned).to_vec()), 1 => any::<String>()]
}

fn renders_or_is_refused_by_file_and_line(content: &str) -> Result<(), TestCaseError> {
    match load(&[CUSTOM], &[("own.html", content), ("own.txt", content), ("layout.txt", content)]) {
        Ok(templates) => {
            let (account, notified, to) = (contact("é\n", None), Notified::default(), samples::recipient());
            let frame = Frame { terms: templates.terms(), mode: Mode::Enforced, now: now(), recipient: &to };
            let all = Limits { details: 500, table: 500, attached: 500 };
            for (_, kind) in kinds() {
                let notice = notice(kind);
                let item = Addressed { notice: &notice, account: &account, notified: &notified };
                let context = Context::new(&frame, &[&item], all).values();
                prop_assert!(templates.of(Mode::Enforced).render(&context).is_ok(), "renders later");
            }
        }
        Err(error) => {
            let text = error.to_string();
            prop_assert!(
                text.starts_with("mail template ") && text.contains("own.html") && text.contains("line "),
                "{}",
                text
            );
        }
    }
    Ok(())
}

proptest! {
    // Each case renders every notice in every way: an eighth of the cases that PROPTEST_CASES asks for.
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.div_ceil(8), ..Default::default() })]

    #[test]
    fn any_text_is_rendered_or_refused(content in any::<String>()) {
        renders_or_is_refused_by_file_and_line(&content)?;
    }

    #[test]
    fn any_pieces_of_templates_are_rendered_or_refused(pieces in prop::collection::vec(piece(), 0..7)) {
        renders_or_is_refused_by_file_and_line(&pieces.concat())?;
    }

    #[test]
    fn text_without_tags_is_rendered_unchanged(text in "[^{\\\\]{0,80}") {
        let page = TemplatePart { message: TemplateSource::new("own.html", &text), layout: TemplateSource::new("layout.html", "") };
        let html = page.render(&mut TinyTemplate::new(), &serde_json::json!({})).unwrap();
        prop_assert_eq!(html.trim_end(), text.trim_end());
    }
}
