//! Notices → messages, and sending them.
//!
//! The notices of a whole run arrive together. `recipients` says who hears of a notice, `dispatch` makes at most two
//! messages per recipient of them, `message` puts each into words and a template, `deliver` sends, and `topic` publishes.
//! All but these two is pure. What comes back says for every notice who was told, and [`remember`] writes that into the
//! tag from which the next run knows not to tell it again.

mod advice;
mod context;
mod deliver;
mod dispatch;
mod marks;
mod message;
mod phrases;
mod recipients;
pub(crate) mod samples;
mod sheet;
mod source;
mod steps;
mod subject;
mod tags;
mod template;
mod topic;
mod words;

#[cfg(test)]
mod fixtures;

pub use deliver::deliver;
pub use marks::{Audience, Told, remember};
pub use message::{Attachment, Message, compose};
pub use template::{InvalidTemplate, Templates};

use chrono::{DateTime, Utc};

use crate::keys::{AccountId, EmailAddress, UserName};
use crate::lifecycle::Notice;
use crate::settings::Settings;
use crate::state::Notified;

/// An account, as its notices name it and as it is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountContact {
    /// Its id.
    pub id: AccountId,
    /// Its name in the organization; empty where that is not known. People choose it, so it may hold anything.
    pub name: String,
    /// Its address in the organization. Without one, `RECIPIENT_EMAIL` gets its notices.
    pub email: Option<EmailAddress>,
    /// What the organization has as its address, where that is none.
    pub malformed_email: Option<String>,
}

impl AccountContact {
    /// An account of which nothing is known but its id.
    pub fn without_address(id: &AccountId) -> Self {
        Self { id: id.clone(), name: String::new(), email: None, malformed_email: None }
    }
}

/// A notice, the account that it belongs to, and what was told before.
#[derive(Debug, Clone, Copy)]
pub struct Addressed<'a> {
    /// What is to be told.
    pub notice: &'a Notice,
    /// The account of the notice's user.
    pub account: &'a AccountContact,
    /// What the tag on the user's secret remembers.
    pub notified: &'a Notified,
}

/// What notices are told for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// A run over accounts: SES is asked first what it allows.
    Run,
    /// One event about one secret: the one or two messages are sent without asking.
    Event,
}

/// How a run tells.
#[derive(Debug, Clone, Copy)]
pub struct Telling<'a> {
    /// Whether the run changes anything.
    pub mode: Mode,
    /// What it is about.
    pub scope: Scope,
    /// The time of the run.
    pub now: DateTime<Utc>,
    /// When the function ends. What was told has to be written down before that.
    pub deadline: DateTime<Utc>,
    /// Who is told, how often, and in whose name.
    pub settings: &'a Settings,
}

/// Whether the run changes anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It does: messages say what is done.
    Enforced,
    /// It does not: messages say what would be done.
    DryRun,
}

/// What became of the notices of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Who was told, for every notice, in the order in which they came.
    pub told: Vec<Told>,
    /// Messages that SES accepted.
    pub mails: usize,
    /// What went wrong with mail. Nothing here stops key work; what was not told is due again on the next run.
    pub failures: Vec<MailFailure>,
    /// The same of the topic.
    pub unpublished: Vec<MailFailure>,
}

/// Something about mail that went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailFailure {
    /// The account that it is about, if it is one.
    pub account: Option<AccountId>,
    /// The user that it is about, if it is one.
    pub user: Option<UserName>,
    /// What went wrong, and the way out. Addresses are masked.
    pub error: String,
}
