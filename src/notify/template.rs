//! Templates: which files, compiled and tried at start. Pure: files arrive through a function that reads them.
//!
//! A mistake in a template is found when the function starts, not when somebody should have been told something.

use serde::Serialize;
use tinytemplate::TinyTemplate;
use tinytemplate::error::Error as Mistake;

use super::message::Context;
use super::{AccountContact, Addressed, Mode, tags};
use crate::keys::{AccessKeyId, EmailAddress, KeyUse, UserRef};
use crate::lifecycle::{CancelReason, Notice, NoticeKind};
use crate::settings::{Periods, Settings};
use crate::state::Notified;

/// The predecessor's name, and the default of both settings.
const BUILT_IN_NAME: &str = "iam-auto-key-rotation-enforcement.html";
const BUILT_IN_HTML: &str = include_str!("../../templates/iam-auto-key-rotation-enforcement.html");
const BUILT_IN_TEXT: &str = include_str!("../../templates/iam-auto-key-rotation-enforcement.txt");

/// A template that is missing or does not render.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("mail template {file}: {problem}")]
pub struct InvalidTemplate {
    file: String,
    problem: String,
}

/// The templates of a run, and the settings that their words depend on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Templates {
    enforced: Template,
    dry_run: Template,
    exemption_group: String,
    periods: Periods,
}

impl Templates {
    /// Finds the templates that the settings name, and tries them on samples of every notice. `read` answers the text
    /// of a file in `templates/` by its name.
    ///
    /// The default name is served by the built-in template where there is no such file. The text part of `NAME.html`
    /// is `NAME.txt`, or the built-in one.
    ///
    /// # Errors
    /// [`InvalidTemplate`] for a file that is missing, a mistake in its syntax, or a name that it uses and that does
    /// not exist.
    pub fn load(settings: &Settings, read: impl Fn(&str) -> Option<String>) -> Result<Self, InvalidTemplate> {
        let templates = Self {
            enforced: Template::find(&settings.template_enforce, "EMAIL_TEMPLATE_ENFORCE", &read)?,
            dry_run: Template::find(&settings.template_audit, "EMAIL_TEMPLATE_AUDIT", &read)?,
            exemption_group: settings.exemption_group.clone(),
            periods: settings.periods,
        };
        templates.try_on_samples()?;
        Ok(templates)
    }

    pub(super) fn of(&self, mode: Mode) -> &Template {
        match mode {
            Mode::Enforced => &self.enforced,
            Mode::DryRun => &self.dry_run,
        }
    }

    pub(super) fn exemption_group(&self) -> &str {
        &self.exemption_group
    }

    pub(super) fn periods(&self) -> &Periods {
        &self.periods
    }

    /// Every notice in both modes, alone and together, whole and cut short: both ways of every condition are taken.
    fn try_on_samples(&self) -> Result<(), InvalidTemplate> {
        let (account, notified, recipient) = (sample_account(), Notified::default(), sample_recipient());
        let notices = sample_notices();
        let addressed: Vec<Addressed<'_>> =
            notices.iter().map(|notice| Addressed { notice, account: &account, notified: &notified }).collect();
        let all: Vec<&Addressed<'_>> = addressed.iter().collect();
        for template in [&self.enforced, &self.dry_run] {
            for mode in [Mode::Enforced, Mode::DryRun] {
                for items in all.chunks(1).chain([&all[..]]) {
                    template.render(&Context::new(self, mode, sample_time(), &recipient, items, 3))?;
                }
            }
        }
        Ok(())
    }
}

/// One message's two parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template {
    html: Source,
    text: Source,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Source {
    file: String,
    content: String,
}

impl Template {
    fn find(name: &str, variable: &str, read: impl Fn(&str) -> Option<String>) -> Result<Self, InvalidTemplate> {
        let built_in = |content: &str| (name == BUILT_IN_NAME).then(|| content.to_owned());
        let html = read(name).or_else(|| built_in(BUILT_IN_HTML)).ok_or_else(|| InvalidTemplate {
            file: name.to_owned(),
            problem: format!("there is no such file in templates/; add it, or change {variable}"),
        })?;
        let text_name = format!("{}.txt", name.strip_suffix(".html").unwrap_or(name));
        let text = read(&text_name).unwrap_or_else(|| BUILT_IN_TEXT.to_owned());
        Ok(Self { html: Source::new(name, &html), text: Source::new(&text_name, &text) })
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

impl Source {
    fn new(file: &str, content: &str) -> Self {
        // tinytemplate panics on a text whose last character is a backslash.
        Self { file: file.to_owned(), content: format!("{}\n", content.trim_end()) }
    }

    fn render<'a>(
        &'a self,
        engine: &mut TinyTemplate<'a>,
        context: &impl Serialize,
    ) -> Result<String, InvalidTemplate> {
        if let Some((line, what)) = tags::mistake(&self.content) {
            return Err(self.invalid(format!("line {line}: {what}")));
        }
        let mut render = || {
            engine.add_template("message", &self.content)?;
            engine.render("message", context)
        };
        render().map_err(|error| self.invalid(self.in_words(&error, context)))
    }

    fn invalid(&self, problem: String) -> InvalidTemplate {
        InvalidTemplate { file: self.file.clone(), problem }
    }

    /// What is wrong, and where: of some mistakes the engine does not say it.
    fn in_words(&self, error: &Mistake, context: &impl Serialize) -> String {
        if !matches!(error, Mistake::GenericError { .. } | Mistake::CalledFormatterError { .. }) {
            return error.to_string();
        }
        let loop_value = || tags::outside_of_loops(&self.content);
        if let Some((line, path)) = self.list(context) {
            format!("line {line}: `{path}` is a list or has parts, so it cannot be shown; name a part of it")
        } else if let Some((line, name)) = loop_value() {
            format!("line {line}: `{name}` has a meaning inside of a loop only")
        } else {
            error.to_string()
        }
    }

    /// The value that is no text, with its line.
    fn list(&self, context: &impl Serialize) -> Option<(usize, &str)> {
        let (named, values) = tags::with_named_values(&self.content);
        let names: Vec<String> = (0..values.len()).map(|n| format!("v{n}")).collect();
        let mut engine = TinyTemplate::new();
        for name in &names {
            engine.add_formatter(name, tinytemplate::format_unescaped);
        }
        let rendered = engine.add_template("message", &named).and_then(|()| engine.render("message", context));
        match rendered {
            Err(Mistake::CalledFormatterError { name, .. }) => {
                names.iter().position(|it| *it == name).map(|place| values[place])
            }
            // Values of the engine's own take no formatter.
            Err(Mistake::GenericError { .. }) => {
                let root = |tag: tags::Tag<'_>| (tag.kind.path() == Some("@root")).then_some((tag.line, "@root"));
                tags::outside_of_loops(&self.content)
                    .is_none()
                    .then(|| tags::tags(&self.content).into_iter().find_map(root))?
            }
            _ => None,
        }
    }
}

fn sample_account() -> AccountContact {
    AccountContact {
        id: "111122223333".parse().expect("twelve digits"),
        name: "prod".to_owned(),
        email: None,
        malformed_email: None,
    }
}

fn sample_recipient() -> EmailAddress {
    "owner@example.com".parse().expect("an address")
}

fn sample_time() -> chrono::DateTime<chrono::Utc> {
    chrono::DateTime::UNIX_EPOCH
}

/// One notice of every kind, and one that lacks all that a notice can lack.
fn sample_notices() -> Vec<Notice> {
    let secret =
        "arn:aws:secretsmanager:us-east-1:999988887777:secret:Account_111122223333_User_ci-bot_AccessKey-a1B2c3";
    let notice = |kind| Notice {
        user: UserRef { account: sample_account().id, name: "ci-bot".parse().expect("a user name") },
        owner: None,
        secret_arn: Some(secret.to_owned()),
        key: sample_key(),
        created: Some(sample_time()),
        kind,
    };
    let bare =
        Notice { secret_arn: None, created: None, ..notice(NoticeKind::Rotated { old_key: None, disable_at: None }) };
    sample_kinds().into_iter().map(notice).chain([bare]).collect()
}

fn sample_key() -> AccessKeyId {
    "AKIAIOSFODNN7EXAMPLE".parse().expect("a key id")
}

fn sample_kinds() -> Vec<NoticeKind> {
    let at = sample_time();
    let last_use = KeyUse { time: at, service: "s3".to_owned(), region: "us-east-1".to_owned() };
    vec![
        NoticeKind::RotationAhead { at },
        NoticeKind::RotationDue { since: at },
        NoticeKind::RotationUnfinished { since: at },
        NoticeKind::RotationFailed { reason: "NoFreeSlot".to_owned() },
        NoticeKind::Rotated { old_key: Some(sample_key()), disable_at: Some(at) },
        NoticeKind::StillInUse { last_use: last_use.clone(), disable_at: at },
        NoticeKind::DisableAhead { at, last_use: Some(last_use.clone()) },
        NoticeKind::Disabled { delete_at: at, last_use: Some(last_use) },
        NoticeKind::DeleteAhead { at },
        NoticeKind::LastCall { at },
        NoticeKind::Deleted,
        NoticeKind::Retiring { disable_at: Some(at), delete_at: at },
        NoticeKind::Reactivated { disable_at: at },
        NoticeKind::ScheduleCancelled(CancelReason::Exempt),
        NoticeKind::SecretDeleted,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::fixtures::{contact, kinds, notice, now, settings};
    use proptest::prelude::*;

    const CUSTOM: (&str, &str) = ("EMAIL_TEMPLATE_ENFORCE", "own.html");

    fn load(given: &[(&str, &str)], files: &[(&str, &str)]) -> Result<Templates, InvalidTemplate> {
        let read = |name: &str| files.iter().find(|(file, _)| *file == name).map(|(_, text)| (*text).to_owned());
        Templates::load(&settings(given), read)
    }

    fn error(given: &[(&str, &str)], files: &[(&str, &str)]) -> String {
        load(given, files).expect_err("the template is wrong").to_string()
    }

    #[test]
    fn the_default_of_the_settings_is_built_in() {
        assert_eq!(settings(&[]).template_enforce, BUILT_IN_NAME);
        assert_eq!(settings(&[]).template_audit, BUILT_IN_NAME);
        let templates = load(&[], &[]).unwrap();
        assert_eq!(templates.enforced.html.content.trim_end(), BUILT_IN_HTML.trim_end());
        assert_eq!(templates.enforced, templates.dry_run);
    }

    #[test]
    fn a_file_of_the_default_name_replaces_the_built_in_one() {
        let templates = load(&[], &[(BUILT_IN_NAME, "own {subject}")]).unwrap();
        assert_eq!(templates.enforced.html.content, "own {subject}\n");
        assert_eq!(templates.enforced.text.content.trim_end(), BUILT_IN_TEXT.trim_end());
    }

    #[test]
    fn each_mode_has_its_template_and_each_html_its_text() {
        let files = [("own.html", "<p>{lead}</p>"), ("own.txt", "{lead}"), ("audit.html", "<i>{lead}</i>")];
        let templates = load(&[CUSTOM, ("EMAIL_TEMPLATE_AUDIT", "audit.html")], &files).unwrap();
        let sources = |mode| (templates.of(mode).html.content.as_str(), templates.of(mode).text.content.trim_end());
        assert_eq!(sources(Mode::Enforced), ("<p>{lead}</p>\n", "{lead}"));
        assert_eq!(sources(Mode::DryRun), ("<i>{lead}</i>\n", BUILT_IN_TEXT.trim_end()));
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
        insta::assert_snapshot!(error(&[CUSTOM], &wrong_text), @"mail template own.txt: Encountered rendering error on line 2, column 1. Reason: Failed to find value 'subjet' from path 'subjet'. Available values at this level are 'date', 'dry_run', 'exemption_group', 'lead', 'more', 'recipient', 'rows', 'subject', 'total'");
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
        match load(&[CUSTOM], &[("own.html", content), ("own.txt", content)]) {
            Ok(templates) => {
                let (account, notified, to) = (contact("é\n", None), Notified::default(), sample_recipient());
                for (_, kind) in kinds() {
                    let notice = notice(kind);
                    let item = Addressed { notice: &notice, account: &account, notified: &notified };
                    let context = Context::new(&templates, Mode::Enforced, now(), &to, &[&item], 500);
                    prop_assert!(templates.of(Mode::Enforced).render(&context).is_ok(), "renders later");
                }
            }
            Err(error) => {
                let text = error.to_string();
                prop_assert!(text.starts_with("mail template own.html: ") && text.contains("line "), "{}", text);
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
            let source = Source::new("own.html", &text);
            let html = source.render(&mut TinyTemplate::new(), &serde_json::json!({})).unwrap();
            prop_assert_eq!(html.trim_end(), text.trim_end());
        }
    }

    #[test]
    fn a_backslash_at_the_end_is_no_panic() {
        assert!(load(&[CUSTOM], &[("own.html", "{lead}\\")]).is_ok());
    }

    #[test]
    fn templates_are_tried_on_every_notice_that_there_is() {
        let phases =
            |kinds: Vec<NoticeKind>| kinds.iter().map(NoticeKind::phase).collect::<std::collections::BTreeSet<_>>();
        assert_eq!(phases(sample_kinds()), phases(kinds().into_iter().map(|(_, kind)| kind).collect()));
    }
}
