//! Mail that was sent, and the outbox that keeps it.

use std::collections::VecDeque;

use chrono::{DateTime, Utc};

/// Mail is kept so far and no further.
const MOST_MAILS: usize = 100_000;

/// A message as it was sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Mail {
    /// The account that sent it.
    pub account: String,
    /// When.
    pub at: DateTime<Utc>,
    /// The sender.
    pub from: String,
    /// The recipients.
    pub to: Vec<String>,
    /// The recipients in copy.
    pub cc: Vec<String>,
    /// The recipients in blind copy.
    pub bcc: Vec<String>,
    /// Where answers go.
    pub reply_to: Vec<String>,
    /// The subject.
    pub subject: String,
    /// The HTML part.
    pub html: Option<String>,
    /// The text part.
    pub text: Option<String>,
    /// A raw message as it was given, decoded.
    pub raw: Option<String>,
    /// The configuration set that it was sent with.
    pub configuration_set: Option<String>,
    /// The files that go with it.
    pub attachments: Vec<MailAttachment>,
    /// The id that SES answered.
    pub message_id: String,
}

impl Mail {
    /// All of it as text, that of its files included.
    pub(crate) fn shown(&self) -> String {
        let files = self.attachments.iter().map(|file| String::from_utf8_lossy(&file.content));
        files.fold(format!("{self:?}"), |shown, file| shown + "\n" + &file)
    }

    pub(crate) fn forget_contents(&mut self) {
        (self.html, self.text, self.raw) = Default::default();
        self.attachments.clear();
    }
}

/// A file of a message.
#[derive(Clone, Debug, PartialEq)]
pub struct MailAttachment {
    /// Its name.
    pub file_name: String,
    /// Its media type.
    pub content_type: Option<String>,
    /// What is in it.
    pub content: Vec<u8>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Outbox {
    pub(crate) mails: VecDeque<Mail>,
}

impl Outbox {
    pub(crate) fn keep(&mut self, mail: Mail) {
        if self.mails.len() == MOST_MAILS {
            self.mails.pop_front();
        }
        self.mails.push_back(mail);
    }

    pub(crate) fn sent_since(&self, then: DateTime<Utc>) -> usize {
        self.mails.iter().rev().take_while(|mail| mail.at > then).count()
    }
}
