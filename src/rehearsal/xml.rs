//! Writing the small XML documents of the Query protocol.

use chrono::{DateTime, SecondsFormat, Utc};
use quick_xml::escape::escape;

/// An XML fragment under construction.
#[derive(Debug, Default)]
pub(crate) struct Xml(String);

impl Xml {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// An element with text.
    #[must_use]
    pub(crate) fn text(mut self, name: &str, text: &str) -> Self {
        self.open(name);
        self.0.push_str(&escape(text));
        self.close(name);
        self
    }

    /// An element with text, if there is one.
    #[must_use]
    pub(crate) fn optional(self, name: &str, text: Option<&str>) -> Self {
        match text {
            Some(text) => self.text(name, text),
            None => self,
        }
    }

    /// An element with a time in seconds.
    #[must_use]
    pub(crate) fn time(self, name: &str, time: DateTime<Utc>) -> Self {
        self.text(name, &time.to_rfc3339_opts(SecondsFormat::Secs, true))
    }

    /// An element with elements inside.
    #[must_use]
    pub(crate) fn element(mut self, name: &str, inner: &Xml) -> Self {
        self.open(name);
        self.0.push_str(&inner.0);
        self.close(name);
        self
    }

    /// A list: an element with one `member` for each item.
    #[must_use]
    pub(crate) fn list(mut self, name: &str, members: impl IntoIterator<Item = Xml>) -> Self {
        self.open(name);
        for member in members {
            self.open("member");
            self.0.push_str(&member.0);
            self.close("member");
        }
        self.close(name);
        self
    }

    /// A list of plain texts.
    #[must_use]
    pub(crate) fn texts<'a>(mut self, name: &str, texts: impl IntoIterator<Item = &'a str>) -> Self {
        self.open(name);
        for text in texts {
            self = self.text("member", text);
        }
        self.close(name);
        self
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    fn open(&mut self, name: &str) {
        self.0.push('<');
        self.0.push_str(name);
        self.0.push('>');
    }

    fn close(&mut self, name: &str) {
        self.0.push_str("</");
        self.0.push_str(name);
        self.0.push('>');
    }
}
