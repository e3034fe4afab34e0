//! Templates: which files, tried at start. Pure: files arrive through a function that reads them.
//!
//! A mistake in a template is found when the function starts, not when somebody should have been told something.

use serde::Serialize;
use tinytemplate::TinyTemplate;

use super::context::{Context, Frame, Limits, Terms};
use super::source::{Page, Source};
use super::{Addressed, Mode, samples};
use crate::lifecycle::{Notice, NoticeKind};
use crate::settings::Settings;
use crate::state::Notified;

/// The templates that serve their names where there is no such file, HTML and text. The first is the predecessor's name,
/// and the default of both settings.
const BUILT_IN: [(&str, &str, &str); 2] = [
    (
        "iam-auto-key-rotation-enforcement.html",
        include_str!("../../templates/iam-auto-key-rotation-enforcement.html"),
        include_str!("../../templates/iam-auto-key-rotation-enforcement.txt"),
    ),
    (
        "iam-auto-key-rotation-audit.html",
        include_str!("../../templates/iam-auto-key-rotation-audit.html"),
        include_str!("../../templates/iam-auto-key-rotation-audit.txt"),
    ),
];
/// What all of them share.
const LAYOUT_HTML: (&str, &str) = ("layout.html", include_str!("../../templates/layout.html"));
const LAYOUT_TEXT: (&str, &str) = ("layout.txt", include_str!("../../templates/layout.txt"));

/// A template that is missing or does not render.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("mail template {file}: {problem}")]
pub struct InvalidTemplate {
    pub(super) file: String,
    pub(super) problem: String,
}

/// The templates of a run, and the settings that their words depend on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Templates {
    enforced: Template,
    dry_run: Template,
    terms: Terms,
}

impl Templates {
    /// Finds the templates that the settings name, and tries them on samples of every notice, unless they are the built-in
    /// ones, whose tests have done that. `read` answers the text of a file in `templates/` by its name.
    ///
    /// The names of the built-in templates and of their layout are served by these where there is no such file. The text
    /// part of `NAME.html` is `NAME.txt`, or that of the default.
    ///
    /// # Errors
    /// [`InvalidTemplate`] for a file that is missing, a mistake in its syntax, or a name that it uses and that does
    /// not exist.
    pub fn load(settings: &Settings, read: impl Fn(&str) -> Option<String>) -> Result<Self, InvalidTemplate> {
        let templates = Self {
            enforced: Template::find(&settings.template_enforce, "EMAIL_TEMPLATE_ENFORCE", &read)?,
            dry_run: Template::find(&settings.template_audit, "EMAIL_TEMPLATE_AUDIT", &read)?,
            terms: Terms::of(settings),
        };
        if !templates.are_built_in() {
            templates.try_on_samples()?;
        }
        Ok(templates)
    }

    pub(super) fn of(&self, mode: Mode) -> &Template {
        match mode {
            Mode::Enforced => &self.enforced,
            Mode::DryRun => &self.dry_run,
        }
    }

    pub(super) fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Both are among those that came with the function. To try them takes longer than all else that a start does.
    fn are_built_in(&self) -> bool {
        let Self { enforced, dry_run, terms: _ } = self;
        [enforced, dry_run].iter().all(|template| template.is_built_in())
    }

    /// Every notice in both modes, alone and together, whole and cut short, with and without somebody to ask: both ways
    /// of every condition are taken.
    fn try_on_samples(&self) -> Result<(), InvalidTemplate> {
        let (account, notified, recipient) = (samples::account(), Notified::default(), samples::recipient());
        // One of them lacks all that a notice can lack.
        let bare = NoticeKind::Rotated { old_key: None, disable_at: None };
        let bare = Notice { secret_arn: None, created: None, ..samples::notice(bare) };
        let notices: Vec<Notice> =
            samples::kinds().into_iter().map(|(_, kind)| samples::notice(kind)).chain([bare]).collect();
        let addressed: Vec<Addressed<'_>> =
            notices.iter().map(|notice| Addressed { notice, account: &account, notified: &notified }).collect();
        let all: Vec<&Addressed<'_>> = addressed.iter().collect();
        let asked =
            Terms { contact: Some("#keys".to_owned()), reply_to: Some(recipient.clone()), ..self.terms.clone() };
        let alone = Terms { contact: None, reply_to: None, ..self.terms.clone() };
        let everything = Limits { details: all.len(), table: all.len(), attached: all.len() };
        let cut = Limits { details: 2, table: 3, attached: 5 };
        let cut_without_table = Limits { table: 0, attached: all.len(), ..cut };
        for template in [&self.enforced, &self.dry_run] {
            for mode in [Mode::Enforced, Mode::DryRun] {
                let frame = |terms| Frame { terms, mode, now: samples::now(), recipient: &recipient };
                let ones = all.chunks(1).map(|one| (&asked, one, everything));
                let several =
                    [(&alone, &all[..], everything), (&asked, &all[..], cut), (&asked, &all[..], cut_without_table)];
                for (terms, items, limits) in ones.chain(several) {
                    template.render(&Context::new(&frame(terms), items, limits).values())?;
                }
            }
        }
        Ok(())
    }
}

/// One message's two parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template {
    html: Page,
    text: Page,
}

impl Template {
    fn find(name: &str, variable: &str, read: impl Fn(&str) -> Option<String>) -> Result<Self, InvalidTemplate> {
        let built_in = BUILT_IN.iter().find(|(of, ..)| *of == name);
        let html = read(name).or_else(|| built_in.map(|(_, html, _)| (*html).to_owned()));
        let html = html.ok_or_else(|| InvalidTemplate {
            file: name.to_owned(),
            problem: format!("there is no such file in templates/; add it, or change {variable}"),
        })?;
        let text_name = format!("{}.txt", name.strip_suffix(".html").unwrap_or(name));
        let (_, _, text) = built_in.unwrap_or(&BUILT_IN[0]);
        let text = read(&text_name).unwrap_or_else(|| (*text).to_owned());
        let layout =
            |(name, content): (&str, &str)| Source::new(name, &read(name).unwrap_or_else(|| content.to_owned()));
        Ok(Self {
            html: Page { message: Source::new(name, &html), layout: layout(LAYOUT_HTML) },
            text: Page { message: Source::new(&text_name, &text), layout: layout(LAYOUT_TEXT) },
        })
    }

    /// It came with the function, word for word, and so did its layout.
    fn is_built_in(&self) -> bool {
        Self::find(&self.html.message.file, "", |_| None).is_ok_and(|built_in| built_in == *self)
    }

    /// The HTML and the text part.
    pub(super) fn render(&self, context: &impl Serialize) -> Result<(String, String), InvalidTemplate> {
        let mut escaping = TinyTemplate::new();
        let html = self.html.render(&mut escaping, context)?;
        let mut plain = TinyTemplate::new();
        // The text part is no HTML: what is escaped there is shown escaped.
        plain.set_default_formatter(&tinytemplate::format_unescaped);
        Ok((html, self.text.render(&mut plain, context)?))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::notify::fixtures::{contact, kinds, notice, now, settings};
    use proptest::prelude::*;

    const CUSTOM: (&str, &str) = ("EMAIL_TEMPLATE_ENFORCE", "own.html");

    fn load(given: &[(&str, &str)], files: &[(&str, &str)]) -> Result<Templates, InvalidTemplate> {
        let read = |name: &str| files.iter().find(|(file, _)| *file == name).map(|(_, text)| (*text).to_owned());
        Templates::load(&settings(given), read)
    }

    fn content(page: &Page) -> &str {
        page.message.content.trim_end()
    }

    fn error(given: &[(&str, &str)], files: &[(&str, &str)]) -> String {
        load(given, files).expect_err("the template is wrong").to_string()
    }

    #[test]
    fn the_default_of_the_settings_is_built_in() {
        assert_eq!(settings(&[]).template_enforce, BUILT_IN[0].0);
        assert_eq!(settings(&[]).template_audit, BUILT_IN[0].0);
        let templates = load(&[], &[]).unwrap();
        assert_eq!(content(&templates.enforced.html), BUILT_IN[0].1.trim_end());
        assert_eq!(templates.enforced, templates.dry_run);
        let audit = load(&[("EMAIL_TEMPLATE_AUDIT", BUILT_IN[1].0)], &[]).unwrap();
        assert_eq!(content(&audit.dry_run.html), BUILT_IN[1].1.trim_end());
        assert_eq!(content(&audit.dry_run.text), BUILT_IN[1].2.trim_end());
    }

    /// A start takes this as read.
    #[test]
    fn the_built_in_templates_render_all_that_others_are_tried_on() {
        for (name, ..) in BUILT_IN {
            let templates = load(&[("EMAIL_TEMPLATE_ENFORCE", name), ("EMAIL_TEMPLATE_AUDIT", name)], &[]).unwrap();
            assert!(templates.are_built_in(), "{name}");
            assert_eq!(templates.try_on_samples(), Ok(()), "{name}");
        }
    }

    #[test]
    fn a_template_of_which_any_file_was_changed_is_not_built_in() {
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

    /// What a file in the folder changes: the whole, or the way that a template goes through the layout.
    #[test]
    fn a_layout_of_one_s_own_serves_all_templates_that_call_it() {
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
    fn every_name_stands_in_the_folder_s_readme_and_no_other_does() {
        let (terms, to) = (Terms::of(&settings(&[])), samples::recipient());
        let (account, notified) = (contact("prod", None), Notified::default());
        let notices: Vec<Notice> = kinds().into_iter().map(|(_, kind)| notice(kind)).collect();
        let addressed: Vec<Addressed<'_>> =
            notices.iter().map(|notice| Addressed { notice, account: &account, notified: &notified }).collect();
        let frame = Frame { terms: &terms, mode: Mode::Enforced, now: now(), recipient: &to };
        let all = Limits { details: 9, table: 9, attached: 9 };
        let values = Context::new(&frame, &addressed.iter().collect::<Vec<_>>(), all).values();
        let readme = include_str!("../../templates/README.md");
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
    fn upstream_defect_52_a_missing_template_is_refused_at_start_by_name() {
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
    fn what_the_engine_panics_on_or_does_not_place_is_refused_by_line_and_variable() {
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

    /// Pieces of which templates and their mistakes are made.
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
        fn what_is_no_tag_is_rendered_as_it_is(text in "[^{\\\\]{0,80}") {
            let page = Page { message: Source::new("own.html", &text), layout: Source::new("layout.html", "") };
            let html = page.render(&mut TinyTemplate::new(), &serde_json::json!({})).unwrap();
            prop_assert_eq!(html.trim_end(), text.trim_end());
        }
    }

    #[test]
    fn a_backslash_at_the_end_is_no_panic() {
        assert!(load(&[CUSTOM], &[("own.html", "{lead}\\")]).is_ok());
    }
}
