//! A template and its layout: compiling, rendering, and an explanation of every mistake with file and line. Pure.

use serde::Serialize;
use tinytemplate::TinyTemplate;
use tinytemplate::error::Error as Mistake;

use super::template_tags::{self, TemplateTag};

/// The names of the two in the engine. A template calls the layout by its name.
const MESSAGE: &str = "message";
const LAYOUT: &str = "layout";

/// A template that is missing or does not render, with the problem and its place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("mail template {file}: {problem}")]
pub struct InvalidTemplate {
    pub(super) file: String,
    pub(super) problem: String,
}

/// The HTML part or the text part of a message: a template, and the layout that it may call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TemplatePart {
    pub(super) message: TemplateSource,
    pub(super) layout: TemplateSource,
}

/// The text of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TemplateSource {
    pub(super) file: String,
    pub(super) content: String,
}

impl TemplateSource {
    pub(super) fn new(file: &str, content: &str) -> Self {
        // tinytemplate panics on a text whose last character is a backslash.
        Self { file: file.to_owned(), content: format!("{}\n", content.trim_end()) }
    }

    fn invalid(&self, problem: String) -> InvalidTemplate {
        InvalidTemplate { file: self.file.clone(), problem }
    }

    /// Compiles the file after a check for the mistakes on which the engine panics.
    fn add_to<'a>(&'a self, engine: &mut TinyTemplate<'a>, name: &'a str) -> Result<(), InvalidTemplate> {
        if let Some((line, problem)) = template_tags::mistake(&self.content) {
            return Err(self.invalid(format!("line {line}: {problem}")));
        }
        engine.add_template(name, &self.content).map_err(|mistake| self.invalid(mistake.to_string()))
    }
}

/// The place of a mistake.
struct MistakeLocation<'s, 'm> {
    source: &'s TemplateSource,
    mistake: &'m Mistake,
    /// The file that called this one, and the line of the call.
    caller: Option<(&'s TemplateSource, usize)>,
}

impl TemplatePart {
    pub(super) fn render<'a>(
        &'a self,
        engine: &mut TinyTemplate<'a>,
        context: &impl Serialize,
    ) -> Result<String, InvalidTemplate> {
        self.message.add_to(engine, MESSAGE)?;
        self.layout.add_to(engine, LAYOUT)?;
        engine.render(MESSAGE, context).map_err(|mistake| self.explain(&mistake, context))
    }

    fn sources(&self) -> [&TemplateSource; 2] {
        [&self.message, &self.layout]
    }

    /// Explains a mistake and its place, which the engine leaves out for some mistakes.
    fn explain(&self, mistake: &Mistake, context: &impl Serialize) -> InvalidTemplate {
        let MistakeLocation { source, mistake, caller } = self.locate(mistake);
        // The mistake may be in the value that a layout was called with.
        let by = caller.map(|(caller, line)| format!("; it is called on line {line} of {}", caller.file));
        let by = by.unwrap_or_default();
        if !matches!(mistake, Mistake::GenericError { .. } | Mistake::CalledFormatterError { .. }) {
            return source.invalid(format!("{mistake}{by}"));
        }
        if let Some((source, line, path)) = self.unprintable(context) {
            return source.invalid(format!(
                "line {line}: `{path}` is a list or has parts, so it cannot be shown; name a part of it"
            ));
        }
        match template_tags::outside_of_loops(&source.content) {
            Some((line, name)) => source.invalid(format!("line {line}: `{name}` has a meaning only inside a loop")),
            None => source.invalid(format!("{mistake}{by}")),
        }
    }

    /// Returns the innermost mistake and its file, through all calls.
    fn locate<'m>(&self, mistake: &'m Mistake) -> MistakeLocation<'_, 'm> {
        let mut location = MistakeLocation { source: &self.message, mistake, caller: None };
        while let Mistake::CalledTemplateError { name, err, line, .. } = location.mistake {
            let source = if name == LAYOUT { &self.layout } else { &self.message };
            location = MistakeLocation { source, mistake: err, caller: Some((location.source, *line)) };
        }
        location
    }

    /// Returns the first value that cannot be shown, because it is a list or an object, with its file and line.
    fn unprintable(&self, context: &impl Serialize) -> Option<(&TemplateSource, usize, &str)> {
        let mut values = Vec::new();
        let mut named = Vec::new();
        for source in self.sources() {
            let (text, of_source) = template_tags::with_named_values(&source.content, values.len());
            named.push(text);
            values.extend(of_source.into_iter().map(|(line, path)| (source, line, path)));
        }
        let names: Vec<String> = (0..values.len()).map(|n| format!("v{n}")).collect();
        let mut engine = TinyTemplate::new();
        for name in &names {
            engine.add_formatter(name, tinytemplate::format_unescaped);
        }
        let mut render = || {
            engine.add_template(MESSAGE, &named[0])?;
            engine.add_template(LAYOUT, &named[1])?;
            engine.render(MESSAGE, context)
        };
        let mistake = render().err()?;
        let MistakeLocation { source, mistake, .. } = self.locate(&mistake);
        match mistake {
            Mistake::CalledFormatterError { name, .. } => {
                names.iter().position(|it| it == name).map(|place| values[place])
            }
            // The engine's own values, such as `@root`, take no formatter.
            Mistake::GenericError { .. } => {
                let root =
                    |tag: TemplateTag<'_>| (tag.kind.path() == Some("@root")).then_some((source, tag.line, "@root"));
                template_tags::outside_of_loops(&source.content)
                    .is_none()
                    .then(|| template_tags::template_tags(&source.content).into_iter().find_map(root))?
            }
            _ => None,
        }
    }
}
