//! The templates of messages: finding their files, and trying them at start. Pure: the caller passes a function that
//! reads files.
//!
//! A mistake in a template is found when the function starts, not when a notice is due.

use serde::Serialize;
use tinytemplate::TinyTemplate;

use super::addressed::Addressed;
use super::context::Context;
use super::frame::{Frame, Limits, Terms};
use super::mode::Mode;
use super::samples;
use super::template_part::{InvalidTemplate, TemplatePart, TemplateSource};
use crate::lifecycle::{Notice, NoticeKind};
use crate::settings::Settings;
use crate::state::Notified;

/// The built-in templates: name, HTML and text. They are used if there is no file of their name. The first has the
/// predecessor's name and is the default of both settings.
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
/// The layouts that all templates share.
const LAYOUT_HTML: (&str, &str) = ("layout.html", include_str!("../../templates/layout.html"));
const LAYOUT_TEXT: (&str, &str) = ("layout.txt", include_str!("../../templates/layout.txt"));

/// The templates of a run, with the settings that the wording depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Templates {
    enforced: MessageTemplate,
    dry_run: MessageTemplate,
    terms: Terms,
}

impl Templates {
    /// Finds the templates that the settings name. Templates other than the built-in ones are tried on samples of
    /// every notice; the tests have tried the built-in ones. `read` returns the text of a file in `templates/` by its
    /// name.
    ///
    /// A built-in template or layout is used if there is no file of its name. The text part of `NAME.html` is
    /// `NAME.txt`, or the default's text part if there is no such file.
    ///
    /// # Errors
    /// [`InvalidTemplate`] for a missing file, a mistake in its syntax, or an unknown name in it.
    pub fn load(settings: &Settings, read: impl Fn(&str) -> Option<String>) -> Result<Self, InvalidTemplate> {
        let templates = Self {
            enforced: MessageTemplate::find(&settings.template_enforce, "EMAIL_TEMPLATE_ENFORCE", &read)?,
            dry_run: MessageTemplate::find(&settings.template_audit, "EMAIL_TEMPLATE_AUDIT", &read)?,
            terms: Terms::of(settings),
        };
        if !templates.are_built_in() {
            templates.try_on_samples()?;
        }
        Ok(templates)
    }

    pub(super) fn of(&self, mode: Mode) -> &MessageTemplate {
        match mode {
            Mode::Enforced => &self.enforced,
            Mode::DryRun => &self.dry_run,
        }
    }

    pub(super) fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Whether both templates are built-in. Trying templates takes longer than everything else at start.
    fn are_built_in(&self) -> bool {
        let Self { enforced, dry_run, terms: _ } = self;
        [enforced, dry_run].iter().all(|template| template.is_built_in())
    }

    /// Renders every notice in both modes, alone and together, whole and cut, with and without a contact, so that both
    /// branches of every condition are rendered.
    fn try_on_samples(&self) -> Result<(), InvalidTemplate> {
        let (account, notified, recipient) = (samples::account(), Notified::default(), samples::recipient());
        // One sample has none of the optional fields.
        let bare = NoticeKind::Rotated { old_key: None, disable_at: None, forced: None };
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

/// The two parts of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MessageTemplate {
    html: TemplatePart,
    text: TemplatePart,
}

impl MessageTemplate {
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
        let layout = |(name, content): (&str, &str)| {
            TemplateSource::new(name, &read(name).unwrap_or_else(|| content.to_owned()))
        };
        Ok(Self {
            html: TemplatePart { message: TemplateSource::new(name, &html), layout: layout(LAYOUT_HTML) },
            text: TemplatePart { message: TemplateSource::new(&text_name, &text), layout: layout(LAYOUT_TEXT) },
        })
    }

    /// Whether the template and its layout are unchanged built-in ones.
    fn is_built_in(&self) -> bool {
        Self::find(&self.html.message.file, "", |_| None).is_ok_and(|built_in| built_in == *self)
    }

    /// Returns the HTML and the text part.
    pub(super) fn render(&self, context: &impl Serialize) -> Result<(String, String), InvalidTemplate> {
        let mut escaping = TinyTemplate::new();
        let html = self.html.render(&mut escaping, context)?;
        let mut plain = TinyTemplate::new();
        // The text part is not HTML, so a mail program would show the escapes.
        plain.set_default_formatter(&tinytemplate::format_unescaped);
        Ok((html, self.text.render(&mut plain, context)?))
    }
}

#[cfg(test)]
mod any_text;
#[cfg(test)]
mod tests;
