//! The small documents of the Query protocol: a tree, written as XML for the wire and read as it is without one.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, SecondsFormat, Utc};
use quick_xml::escape::escape;

/// Named members, in order.
#[derive(Debug, Default)]
pub(crate) struct Xml(Vec<(&'static str, Node)>);

#[derive(Debug)]
enum Node {
    Text(String),
    /// In base64 on the wire. Shared: it may be large.
    Blob(Arc<str>),
    Element(Xml),
    /// One `member` for each.
    List(Vec<Xml>),
    Texts(Vec<String>),
}

impl Xml {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// An element with text.
    #[must_use]
    pub(crate) fn text(self, name: &'static str, text: &str) -> Self {
        self.with(name, Node::Text(text.to_owned()))
    }

    /// An element with text, if there is one.
    #[must_use]
    pub(crate) fn optional(self, name: &'static str, text: Option<&str>) -> Self {
        match text {
            Some(text) => self.text(name, text),
            None => self,
        }
    }

    /// An element with a time in seconds.
    #[must_use]
    pub(crate) fn time(self, name: &'static str, time: DateTime<Utc>) -> Self {
        self.text(name, &time.to_rfc3339_opts(SecondsFormat::Secs, true))
    }

    /// An element with a file.
    #[must_use]
    pub(crate) fn blob(self, name: &'static str, content: &Arc<str>) -> Self {
        self.with(name, Node::Blob(Arc::clone(content)))
    }

    /// An element with elements inside.
    #[must_use]
    pub(crate) fn element(self, name: &'static str, inner: Xml) -> Self {
        self.with(name, Node::Element(inner))
    }

    /// A list: an element with one `member` for each item.
    #[must_use]
    pub(crate) fn list(self, name: &'static str, members: impl IntoIterator<Item = Xml>) -> Self {
        self.with(name, Node::List(members.into_iter().collect()))
    }

    /// A list of plain texts.
    #[must_use]
    pub(crate) fn texts<'a>(self, name: &'static str, texts: impl IntoIterator<Item = &'a str>) -> Self {
        self.with(name, Node::Texts(texts.into_iter().map(str::to_owned).collect()))
    }

    fn with(mut self, name: &'static str, node: Node) -> Self {
        self.0.push((name, node));
        self
    }

    /// Sets the text of a member, which may be there already.
    pub(crate) fn replace_text(&mut self, name: &'static str, text: &str) {
        self.0.retain(|(it, _)| *it != name);
        self.0.push((name, Node::Text(text.to_owned())));
    }

    fn get(&self, name: &str) -> Option<&Node> {
        self.0.iter().find(|(it, _)| *it == name).map(|(_, node)| node)
    }

    /// The text of a member.
    pub(crate) fn text_of(&self, name: &str) -> Option<&str> {
        match self.get(name) {
            Some(Node::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// The file in a member.
    pub(crate) fn blob_of(&self, name: &str) -> Option<&[u8]> {
        match self.get(name) {
            Some(Node::Blob(content)) => Some(content.as_bytes()),
            _ => None,
        }
    }

    /// The time in a member.
    pub(crate) fn time_of(&self, name: &str) -> Option<DateTime<Utc>> {
        self.text_of(name)?.parse().ok()
    }

    /// The elements inside a member.
    pub(crate) fn inside(&self, name: &str) -> Option<&Xml> {
        match self.get(name) {
            Some(Node::Element(inner)) => Some(inner),
            _ => None,
        }
    }

    /// The items of a list; none without the list.
    pub(crate) fn items(&self, name: &str) -> &[Xml] {
        match self.get(name) {
            Some(Node::List(items)) => items,
            _ => &[],
        }
    }

    /// The texts of a list; none without the list.
    pub(crate) fn texts_of(&self, name: &str) -> &[String] {
        match self.get(name) {
            Some(Node::Texts(texts)) => texts,
            _ => &[],
        }
    }

    /// The document as XML, without a declaration.
    pub(crate) fn written(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) {
        for (name, node) in &self.0 {
            enclosed(out, name, |out| match node {
                Node::Text(text) => out.push_str(&escape(text)),
                Node::Blob(content) => STANDARD.encode_string(content.as_bytes(), out),
                Node::Element(inner) => inner.write(out),
                Node::List(items) => {
                    for item in items {
                        enclosed(out, "member", |out| item.write(out));
                    }
                }
                Node::Texts(texts) => {
                    for text in texts {
                        enclosed(out, "member", |out| out.push_str(&escape(text)));
                    }
                }
            });
        }
    }
}

fn enclosed(out: &mut String, name: &str, inner: impl FnOnce(&mut String)) {
    out.extend(["<", name, ">"]);
    inner(out);
    out.extend(["</", name, ">"]);
}
