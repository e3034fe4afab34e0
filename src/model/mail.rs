//! Mail that was sent, and the outbox that keeps it.

use std::collections::VecDeque;

use chrono::{DateTime, Utc};

/// How many mails the outbox keeps; beyond it, the oldest is dropped.
const MOST_MAILS: usize = 100_000;

/// A message as it was sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Mail {
    /// The account that sent it.
    pub account: String,
    /// The Region of SES that sent it.
    pub region: String,
    /// When SES accepted it.
    pub at: DateTime<Utc>,
    /// The `From` address, perhaps with a name.
    pub from: String,
    /// The `To` addresses.
    pub to: Vec<String>,
    /// The recipients in copy.
    pub cc: Vec<String>,
    /// The recipients in blind copy.
    pub bcc: Vec<String>,
    /// The `Reply-To` addresses.
    pub reply_to: Vec<String>,
    /// The subject, decoded.
    pub subject: String,
    /// The HTML part.
    pub html: Option<String>,
    /// The plain text part.
    pub text: Option<String>,
    /// A raw message as it was given, decoded.
    pub raw: Option<String>,
    /// The configuration set that it was sent with.
    pub configuration_set: Option<String>,
    /// Its attached files.
    pub attachments: Vec<MailAttachment>,
    /// The id that SES returned.
    pub message_id: String,
}

impl Mail {
    /// The whole message as text, including its files.
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
    /// Its file name, with the extension.
    pub file_name: String,
    /// Its media type.
    pub content_type: Option<String>,
    /// Its content, decoded.
    pub content: Vec<u8>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Outbox {
    pub(crate) mails: VecDeque<Mail>,
    /// When SES accepted messages that it did not deliver. They count towards the quota.
    dropped: Vec<DateTime<Utc>>,
}

impl Outbox {
    pub(crate) fn keep(&mut self, mail: Mail) {
        if self.mails.len() == MOST_MAILS {
            self.mails.pop_front();
        }
        self.mails.push_back(mail);
    }

    /// Accepts a message and delivers nothing.
    pub(crate) fn drop(&mut self, at: DateTime<Utc>) {
        self.dropped.push(at);
    }

    pub(crate) fn sent_since(&self, then: DateTime<Utc>) -> usize {
        let delivered = self.mails.iter().rev().take_while(|mail| mail.at > then).count();
        delivered + self.dropped.iter().rev().take_while(|at| **at > then).count()
    }
}
