//! CSV as RFC 4180 has it, with lines that are counted. A crate for it would weigh more than the rest of this parser.
//!
//! <https://www.rfc-editor.org/rfc/rfc4180>

use std::borrow::Cow;

use super::MalformedReport;

/// One record.
pub(super) struct Record<'a> {
    /// The line on which it starts, from 1.
    pub(super) line: usize,
    /// Its fields, without quotes.
    pub(super) fields: Vec<Cow<'a, str>>,
}

/// The records of a text; ends after the first mistake. A line break at the end of the text begins no record.
pub(super) struct Records<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> Records<'a> {
    /// Those of a text that goes on after so many lines.
    pub(super) fn after(lines: usize, text: &'a str) -> Self {
        Self { rest: text, line: lines + 1 }
    }

    /// How many lines were read, those before the text included.
    pub(super) fn lines(&self) -> usize {
        self.line - 1
    }

    fn record(&mut self) -> Result<Record<'a>, MalformedReport> {
        let mut record = Record { line: self.line, fields: Vec::new() };
        loop {
            record.fields.push(self.field()?);
            if let Some(rest) = self.rest.strip_prefix(',') {
                self.rest = rest;
                continue;
            }
            let rest = self.rest.strip_prefix("\r\n").or_else(|| self.rest.strip_prefix('\n'));
            self.rest = match rest {
                Some(rest) => rest,
                None if self.rest.is_empty() => "",
                None => return Err(self.mistake("a quoted field goes on after its quote")),
            };
            self.line += 1;
            return Ok(record);
        }
    }

    fn field(&mut self) -> Result<Cow<'a, str>, MalformedReport> {
        match self.rest.strip_prefix('"') {
            Some(rest) => self.quoted(rest),
            None => self.plain(),
        }
    }

    fn plain(&mut self) -> Result<Cow<'a, str>, MalformedReport> {
        let end = self.rest.find([',', '\n']).unwrap_or(self.rest.len());
        let ends_with_line = self.rest[end..].starts_with('\n');
        let field = &self.rest[..end];
        let field = if ends_with_line { field.strip_suffix('\r').unwrap_or(field) } else { field };
        if field.contains('"') {
            return Err(self.mistake("a quote stands in a field that is not quoted"));
        }
        self.rest = &self.rest[field.len()..];
        Ok(Cow::Borrowed(field))
    }

    /// A quote in a quoted field is written twice.
    fn quoted(&mut self, text: &'a str) -> Result<Cow<'a, str>, MalformedReport> {
        let mut end = 0;
        loop {
            let quote = text[end..].find('"').ok_or_else(|| self.mistake("a quoted field has no end"))?;
            end += quote;
            if !text[end + 1..].starts_with('"') {
                break;
            }
            end += 2;
        }
        let field = &text[..end];
        self.line += field.matches('\n').count();
        self.rest = &text[end + 1..];
        Ok(if field.contains('"') { Cow::Owned(field.replace("\"\"", "\"")) } else { Cow::Borrowed(field) })
    }

    fn mistake(&self, what: &str) -> MalformedReport {
        MalformedReport::new(self.line, what)
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, MalformedReport>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let record = self.record();
        if record.is_err() {
            self.rest = "";
        }
        Some(record)
    }
}
