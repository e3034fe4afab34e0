//! Where the tags of a template stand. Pure.
//!
//! The engine, tinytemplate, reads templates itself. This reads them the same way for what it does badly: it panics on two
//! mistakes, and does not say where a value is that cannot be shown.

use std::fmt::Write as _;

/// One `{…}`, `{{…}}` or `{#…#}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tag<'a> {
    /// The line, from 1.
    pub(super) line: usize,
    pub(super) kind: Kind<'a>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    /// `{ path | formatter }`; the inside of the braces begins at this byte of the template.
    Value { path: &'a str, at: usize, length: usize },
    /// `{{ word rest }}`.
    Block { word: &'a str, rest: &'a str },
    /// `{# … #}`.
    Comment,
    /// `{#}`, which closes before it opens.
    HalfComment,
}

/// The tags in order, up to the first that has no end on its line: the engine refuses that one in words.
pub(super) fn tags(text: &str) -> Vec<Tag<'_>> {
    let mut tags = Vec::new();
    let mut at = 0;
    while let Some(start) = next_brace(text, at) {
        let rest = &text[start..];
        let (open, close) = match rest.as_bytes().get(1) {
            Some(b'#') => ("{#", "#}"),
            Some(b'{') => ("{{", "}}"),
            _ => ("{", "}"),
        };
        let Some(end) = rest.lines().next().and_then(|line| line.find(close)) else { break };
        let whole = &rest[..end + close.len()];
        let line = text[..start].matches('\n').count() + 1;
        tags.push(Tag { line, kind: Kind::of(whole, open, close, start) });
        if tags.last().is_some_and(|tag| tag.kind == Kind::HalfComment) {
            break;
        }
        at = start + whole.len();
    }
    tags
}

/// The next brace that opens a tag: one after a backslash is text.
fn next_brace(text: &str, from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        let brace = at + text[at..].find('{')?;
        let is_text = brace > from && text[..brace].ends_with('\\');
        if !is_text {
            return Some(brace);
        }
        at = brace + 1;
    }
}

impl<'a> Kind<'a> {
    /// The path of a value.
    pub(super) fn path(&self) -> Option<&'a str> {
        match self {
            Self::Value { path, .. } => Some(path),
            _ => None,
        }
    }

    fn of(whole: &'a str, open: &str, close: &str, start: usize) -> Self {
        if whole.len() < open.len() + close.len() {
            return Self::HalfComment;
        }
        let inside = &whole[open.len()..whole.len() - close.len()];
        let trimmed = without_marks(inside);
        match open {
            "{#" => Self::Comment,
            "{{" => {
                let word = trimmed.split_whitespace().next().unwrap_or_default();
                Self::Block { word, rest: trimmed[word.len()..].trim() }
            }
            _ => {
                let path = trimmed.split('|').next().unwrap_or_default().trim();
                Self::Value { path, at: start + open.len(), length: inside.len() }
            }
        }
    }
}

/// A hyphen beside a brace trims the text around the tag.
fn without_marks(inside: &str) -> &str {
    let inside = inside.trim();
    let inside = inside.strip_prefix('-').unwrap_or(inside).trim();
    inside.strip_suffix('-').unwrap_or(inside).trim()
}

/// What the engine would panic on or read as something else: the line, and what is wrong.
pub(super) fn mistake(text: &str) -> Option<(usize, String)> {
    tags(text).into_iter().find_map(|Tag { line, kind }| match kind {
        Kind::HalfComment => Some((line, "`{#}` opens a comment and does not close it; write {# … #}".to_owned())),
        Kind::Block { word: "if", rest } if rest.starts_with("not") => {
            let is_followed = rest.as_bytes().get(3).is_some_and(u8::is_ascii_whitespace);
            let what = || format!("`if {rest}`: after `not` come a space and a name, and no name begins with `not`");
            (!is_followed).then(|| (line, what()))
        }
        _ => None,
    })
}

/// The first of `@index`, `@first` and `@last` that stands in no loop, with its line.
pub(super) fn outside_of_loops(text: &str) -> Option<(usize, &str)> {
    let mut loops = 0;
    tags(text).into_iter().find_map(|Tag { line, kind }| {
        let name = match kind {
            Kind::Block { word: "for", .. } => {
                loops += 1;
                return None;
            }
            Kind::Block { word: "endfor", .. } => {
                loops -= 1;
                return None;
            }
            Kind::Block { word: "if", rest } => rest.strip_prefix("not").unwrap_or(rest).trim(),
            Kind::Value { path, .. } => path,
            _ => return None,
        };
        (loops == 0 && matches!(name, "@index" | "@first" | "@last")).then_some((line, name))
    })
}

/// The template with a formatter of its own on every value, named `v0`, `v1` and so on from `first`, and each value's line
/// and path. Values of the engine's own, `@…`, take no formatter and stay.
pub(super) fn with_named_values(text: &str, first: usize) -> (String, Vec<(usize, &str)>) {
    let (mut named, mut values, mut from) = (String::with_capacity(text.len()), Vec::new(), 0);
    for Tag { line, kind } in tags(text) {
        let Kind::Value { path, at, length } = kind else { continue };
        if path.starts_with('@') {
            continue;
        }
        named.push_str(&text[from..at]);
        let _ = write!(named, " {path} | v{} ", first + values.len());
        values.push((line, path));
        from = at + length;
    }
    named.push_str(&text[from..]);
    (named, values)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<String> {
        tags(text)
            .into_iter()
            .map(|Tag { line, kind }| match kind {
                Kind::Value { path, .. } => format!("{line} value {path}"),
                Kind::Block { word, rest } => format!("{line} block {word}: {rest}"),
                Kind::Comment => format!("{line} comment"),
                Kind::HalfComment => format!("{line} half"),
            })
            .collect()
    }

    #[test]
    fn tags_are_found_with_their_lines() {
        let text =
            "a { b.c | unescaped }\n{{- if not d -}}\\{ no { e }\n{# x { y } #}{{ endif }}{- f -}\n{ open\n{ g }";
        let found = ["1 value b.c", "2 block if: not d", "2 value e", "3 comment", "3 block endif: ", "3 value f"]
            .map(str::to_owned);
        assert_eq!(shown(text), found);
        assert_eq!(shown("{#}{ a }"), ["1 half"]);
        assert_eq!(shown("\\\\{ a }{}"), ["1 value "]);
    }

    #[test]
    fn what_the_engine_panics_on_is_named() {
        for (text, line) in [("{#}", 1), ("\n{{ if not }}", 2), ("{{if nothing}}", 1), ("{{ if not\u{a0}x }}", 1)] {
            assert_eq!(mistake(text).map(|(line, _)| line), Some(line), "{text:?}");
        }
        for text in ["{{ if not x }}", "\\{#}", "{ not }", "{{ if\tnot\tx }}", "{##}"] {
            assert_eq!(mistake(text), None, "{text:?}");
        }
    }

    #[test]
    fn values_are_named_and_everything_else_stays() {
        let (named, values) = with_named_values("<{ a }>{- b|unescaped -}{ @root }{# { c } #}\n{ d.e }", 7);
        assert_eq!(named, "<{ a | v7 }>{ b | v8 }{ @root }{# { c } #}\n{ d.e | v9 }");
        assert_eq!(values, [(1, "a"), (1, "b"), (2, "d.e")]);
    }
}
