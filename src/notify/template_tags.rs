//! The tags of a template and their places. Pure.
//!
//! The engine, tinytemplate, parses templates itself. This module parses them the same way for two gaps of the engine:
//! it panics on two mistakes, and it does not say where a value stands that cannot be shown.

use std::fmt::Write as _;

/// One `{…}`, `{{…}}` or `{#…#}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TemplateTag<'a> {
    /// The line, from 1.
    pub(super) line: usize,
    pub(super) kind: TemplateTagKind<'a>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TemplateTagKind<'a> {
    /// `{ path | formatter }`; the inside of the braces begins at this byte of the template.
    Value { path: &'a str, at: usize, length: usize },
    /// `{{ word rest }}`.
    Block { word: &'a str, rest: &'a str },
    /// `{# … #}`.
    Comment,
    /// `{#}`, which opens a comment without closing it.
    HalfComment,
}

/// Returns the tags in order, up to the first that does not end on its line. The engine itself explains such a tag.
pub(super) fn template_tags(text: &str) -> Vec<TemplateTag<'_>> {
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
        tags.push(TemplateTag { line, kind: TemplateTagKind::of(whole, open, close, start) });
        if tags.last().is_some_and(|tag| tag.kind == TemplateTagKind::HalfComment) {
            break;
        }
        at = start + whole.len();
    }
    tags
}

/// Returns the position of the next brace that opens a tag. A brace after a backslash is text.
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

impl<'a> TemplateTagKind<'a> {
    /// Returns the path of a value, or `None` for other tags.
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

/// Removes the hyphens beside the braces, which trim the text around a tag.
fn without_marks(inside: &str) -> &str {
    let inside = inside.trim();
    let inside = inside.strip_prefix('-').unwrap_or(inside).trim();
    inside.strip_suffix('-').unwrap_or(inside).trim()
}

/// Returns the line and an explanation of the first mistake on which the engine panics or which it misreads.
pub(super) fn mistake(text: &str) -> Option<(usize, String)> {
    template_tags(text).into_iter().find_map(|TemplateTag { line, kind }| match kind {
        TemplateTagKind::HalfComment => {
            Some((line, "`{#}` opens a comment without closing it; write {# … #}".to_owned()))
        }
        TemplateTagKind::Block { word: "if", rest } if rest.starts_with("not") => {
            let is_followed = rest.as_bytes().get(3).is_some_and(u8::is_ascii_whitespace);
            let problem = || format!("`if {rest}`: write a space and a name after `not`; no name begins with `not`");
            (!is_followed).then(|| (line, problem()))
        }
        _ => None,
    })
}

/// Returns the line and the name of the first `@index`, `@first` or `@last` outside a loop.
pub(super) fn outside_of_loops(text: &str) -> Option<(usize, &str)> {
    let mut loops = 0;
    template_tags(text).into_iter().find_map(|TemplateTag { line, kind }| {
        let name = match kind {
            TemplateTagKind::Block { word: "for", .. } => {
                loops += 1;
                return None;
            }
            TemplateTagKind::Block { word: "endfor", .. } => {
                loops -= 1;
                return None;
            }
            TemplateTagKind::Block { word: "if", rest } => rest.strip_prefix("not").unwrap_or(rest).trim(),
            TemplateTagKind::Value { path, .. } => path,
            _ => return None,
        };
        (loops == 0 && matches!(name, "@index" | "@first" | "@last")).then_some((line, name))
    })
}

/// Returns the template with a separate formatter on every value, named `v0`, `v1` and so on from `first`, and each
/// value's line and path. The engine's own values, `@…`, take no formatter and stay as they are.
pub(super) fn with_named_values(text: &str, first: usize) -> (String, Vec<(usize, &str)>) {
    let (mut named, mut values, mut from) = (String::with_capacity(text.len()), Vec::new(), 0);
    for TemplateTag { line, kind } in template_tags(text) {
        let TemplateTagKind::Value { path, at, length } = kind else { continue };
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
        template_tags(text)
            .into_iter()
            .map(|TemplateTag { line, kind }| match kind {
                TemplateTagKind::Value { path, .. } => format!("{line} value {path}"),
                TemplateTagKind::Block { word, rest } => format!("{line} block {word}: {rest}"),
                TemplateTagKind::Comment => format!("{line} comment"),
                TemplateTagKind::HalfComment => format!("{line} half"),
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
    fn the_mistakes_that_panic_are_explained() {
        for (text, line) in [("{#}", 1), ("\n{{ if not }}", 2), ("{{if nothing}}", 1), ("{{ if not\u{a0}x }}", 1)] {
            assert_eq!(mistake(text).map(|(line, _)| line), Some(line), "{text:?}");
        }
        for text in ["{{ if not x }}", "\\{#}", "{ not }", "{{ if\tnot\tx }}", "{##}"] {
            assert_eq!(mistake(text), None, "{text:?}");
        }
    }

    #[test]
    fn values_are_named_and_the_rest_stays() {
        let (named, values) = with_named_values("<{ a }>{- b|unescaped -}{ @root }{# { c } #}\n{ d.e }", 7);
        assert_eq!(named, "<{ a | v7 }>{ b | v8 }{ @root }{# { c } #}\n{ d.e | v9 }");
        assert_eq!(values, [(1, "a"), (1, "b"), (2, "d.e")]);
    }
}
