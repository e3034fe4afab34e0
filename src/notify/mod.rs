//! Notices → messages, and sending them.
//!
//! The notices of a whole run arrive together. `recipients` says who hears of a notice, `dispatch` makes one
//! message per recipient of them, `message` puts each into words and a template, and `deliver` sends. All but the
//! last is pure. What comes back says for every notice who was told, and [`remember`] writes that into the tag from
//! which the next run knows not to tell it again.

mod deliver;
mod dispatch;
mod marks;
mod message;
mod phrases;
mod recipients;
mod steps;
mod subject;
mod tags;
mod template;
mod topic;
mod words;

#[cfg(test)]
mod fixtures;

pub use deliver::{Occasion, Scope, deliver};
pub use marks::{Audience, Told, is_due, remember};
pub use message::{Message, compose};
pub use template::{InvalidTemplate, Templates};
pub use topic::{Publication, publish};

use crate::keys::{AccountId, EmailAddress, UserName};
use crate::lifecycle::Notice;
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
    /// What went wrong. Nothing here stops key work; what was not told is due again on the next run.
    pub failures: Vec<MailFailure>,
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
