//! Notices for one recipient → one message. Pure.
//!
//! A message describes the most urgent notices in full and lists more in a table. If it does not describe all of them,
//! a CSV file with every notice is attached. [`Context`] holds the values that templates can name.

use chrono::{DateTime, Utc};

use super::addressed::Addressed;
use super::context::Context;
use super::csv;
use super::frame::{Frame, Limits};
use super::mode::Mode;
use super::template::Templates;
use super::template_part::InvalidTemplate;
use super::tone::by_urgency;
use crate::keys::EmailAddress;

/// The most notices in one message, its attachment included. The rest stays due.
///
/// SES accepts encoded messages up to 40 MB, and Base64 turns 57 bytes into 78. A row of the attachment has less than
/// 5,000 bytes, even with the longest names and texts of others.
/// <https://docs.aws.amazon.com/ses/latest/dg/quotas.html>
pub(super) const MAX_ROWS: usize = 5_000;

/// The largest HTML part, in bytes. Gmail shows 102 KB of a message and hides the rest behind a link.
/// <https://developers.google.com/gmail/design/css>
const MAX_HTML_BYTES: usize = 100_000;

/// The numbers of notices in detail and in the table, from many to few. The first that stays below [`MAX_HTML_BYTES`]
/// is used, which depends on the template and on the length of names.
const SIZES: [(usize, usize); 8] = [(20, 100), (14, 80), (10, 60), (6, 40), (4, 25), (2, 15), (1, 8), (1, 0)];

/// A message without its sender and recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// One line of at most 150 characters.
    pub subject: String,
    /// The HTML part, less than 100,000 bytes.
    pub html: String,
    /// The plain text part.
    pub text: String,
    /// Every notice as CSV; absent if the message describes all notices.
    pub attachment: Option<CsvAttachment>,
}

/// The file that is attached to a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsvAttachment {
    /// Its name: letters, digits, `-` and `.`.
    pub file_name: String,
    /// CSV in UTF-8, with a byte order mark (`text/csv`).
    pub csv: String,
}

/// Returns the message about these notices for one recipient, the most urgent first. Days are counted from `now`.
///
/// # Errors
/// [`InvalidTemplate`] if a custom template fails on this input. The built-in templates never fail.
pub fn compose(
    templates: &Templates,
    mode: Mode,
    now: DateTime<Utc>,
    recipient: &EmailAddress,
    items: &[&Addressed<'_>],
) -> Result<Message, InvalidTemplate> {
    let frame = Frame { terms: templates.terms(), mode, now, recipient };
    let mut ordered = items.to_vec();
    sort(&mut ordered, |item| item);
    let render = |(details, table)| {
        let context = Context::new(&frame, &ordered, Limits { details, table, attached: MAX_ROWS });
        let (html, text) = templates.of(mode).render(&context.values())?;
        Ok((context, html, text))
    };
    let mut rendered = render(SIZES[0])?;
    for size in &SIZES[1..] {
        if rendered.1.len() < MAX_HTML_BYTES {
            break;
        }
        rendered = render(*size)?;
    }
    let (context, html, text) = rendered;
    let attachment = context.attachment().map(|name| CsvAttachment {
        file_name: name.to_owned(),
        csv: csv::csv(&frame, &ordered[..ordered.len().min(MAX_ROWS)]),
    });
    Ok(Message { subject: context.subject, html, text, attachment })
}

/// Sorts notices in the order of a message.
pub(super) fn sort<'a, T>(items: &mut [T], addressed: impl Fn(&T) -> &'a Addressed<'a>) {
    items.sort_by(|left, right| {
        let (left, right) = (addressed(left), addressed(right));
        by_urgency((left.notice, left.account), (right.notice, right.account))
    });
}

#[cfg(test)]
mod links;
#[cfg(test)]
mod tests;
