//! A template and its layout: compiled, rendered, and every mistake in them put into words with file and line. Pure.

use serde::Serialize;
use tinytemplate::TinyTemplate;
use tinytemplate::error::Error as Mistake;

use super::tags;
use super::template::InvalidTemplate;

/// The names under which the engine knows the two; a template calls the second.
const MESSAGE: &str = "message";
const LAYOUT: &str = "layout";

/// One part of a message: the template, and the layout that it may call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) message: Source,
    pub(super) layout: Source,
}

/// The text of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) file: String,
    pub(super) content: String,
}

impl Source {
    pub(super) fn new(file: &str, content: &str) -> Self {
        // tinytemplate panics on a text whose last character is a backslash.
        Self { file: file.to_owned(), content: format!("{}\n", content.trim_end()) }
    }

    fn invalid(&self, problem: String) -> InvalidTemplate {
        InvalidTemplate { file: self.file.clone(), problem }
    }

    /// Compiles it, once it is known to hold nothing that the engine panics on.
    fn add_to<'a>(&'a self, engine: &mut TinyTemplate<'a>, name: &'a str) -> Result<(), InvalidTemplate> {
        if let Some((line, what)) = tags::mistake(&self.content) {
            return Err(self.invalid(format!("line {line}: {what}")));
        }
        engine.add_template(name, &self.content).map_err(|mistake| self.invalid(mistake.to_string()))
    }
}

/// Where a mistake is.
struct Place<'s, 'm> {
    source: &'s Source,
    mistake: &'m Mistake,
    /// What called that file, and on which line.
    caller: Option<(&'s Source, usize)>,
}

impl Page {
    pub(super) fn render<'a>(
        &'a self,
        engine: &mut TinyTemplate<'a>,
        context: &impl Serialize,
    ) -> Result<String, InvalidTemplate> {
        self.message.add_to(engine, MESSAGE)?;
        self.layout.add_to(engine, LAYOUT)?;
        engine.render(MESSAGE, context).map_err(|mistake| self.in_words(&mistake, context))
    }

    fn sources(&self) -> [&Source; 2] {
        [&self.message, &self.layout]
    }

    /// What is wrong, and where: of some mistakes the engine does not say it.
    fn in_words(&self, mistake: &Mistake, context: &impl Serialize) -> InvalidTemplate {
        let Place { source, mistake, caller } = self.place(mistake);
        // What is wrong may be what a layout was called with.
        let by = caller.map(|(caller, line)| format!("; it is called on line {line} of {}", caller.file));
        let by = by.unwrap_or_default();
        if !matches!(mistake, Mistake::GenericError { .. } | Mistake::CalledFormatterError { .. }) {
            return source.invalid(format!("{mistake}{by}"));
        }
        if let Some((source, line, path)) = self.list(context) {
            return source.invalid(format!(
                "line {line}: `{path}` is a list or has parts, so it cannot be shown; name a part of it"
            ));
        }
        match tags::outside_of_loops(&source.content) {
            Some((line, name)) => source.invalid(format!("line {line}: `{name}` has a meaning inside of a loop only")),
            None => source.invalid(format!("{mistake}{by}")),
        }
    }

    /// The mistake itself and the file that it is in, through all calls.
    fn place<'m>(&self, mistake: &'m Mistake) -> Place<'_, 'm> {
        let mut place = Place { source: &self.message, mistake, caller: None };
        while let Mistake::CalledTemplateError { name, err, line, .. } = place.mistake {
            let source = if name == LAYOUT { &self.layout } else { &self.message };
            place = Place { source, mistake: err, caller: Some((place.source, *line)) };
        }
        place
    }

    /// The value that is no text, with its file and line.
    fn list(&self, context: &impl Serialize) -> Option<(&Source, usize, &str)> {
        let mut values = Vec::new();
        let mut named = Vec::new();
        for source in self.sources() {
            let (text, of_source) = tags::with_named_values(&source.content, values.len());
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
        let Place { source, mistake, .. } = self.place(&mistake);
        match mistake {
            Mistake::CalledFormatterError { name, .. } => {
                names.iter().position(|it| it == name).map(|place| values[place])
            }
            // Values of the engine's own take no formatter.
            Mistake::GenericError { .. } => {
                let root =
                    |tag: tags::Tag<'_>| (tag.kind.path() == Some("@root")).then_some((source, tag.line, "@root"));
                tags::outside_of_loops(&source.content)
                    .is_none()
                    .then(|| tags::tags(&source.content).into_iter().find_map(root))?
            }
            _ => None,
        }
    }
}
