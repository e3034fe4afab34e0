//! The fields that all notices of one message share. Pure.

use chrono::{DateTime, Utc};

use super::addressed::AccountContact;
use super::mode::Mode;
use super::recipients::mailbox;
use crate::keys::EmailAddress;
use crate::settings::{Periods, Settings};

/// The settings that the wording of a message depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Terms {
    pub(super) exemption_group: String,
    pub(super) periods: Periods,
    pub(super) contact: Option<String>,
    pub(super) reply_to: Option<EmailAddress>,
    /// The recipient of the settings, who stands in for accounts.
    pub(super) stand_in: Option<EmailAddress>,
}

impl Terms {
    pub(super) fn of(settings: &Settings) -> Self {
        Self {
            exemption_group: settings.exemption_group.clone(),
            periods: settings.periods,
            contact: settings.notices.contact.clone(),
            reply_to: settings.notices.reply_to.clone(),
            stand_in: settings.recipient.clone(),
        }
    }
}

/// The run and the recipient of one message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame<'a> {
    pub(super) terms: &'a Terms,
    pub(super) mode: Mode,
    pub(super) now: DateTime<Utc>,
    pub(super) recipient: &'a EmailAddress,
}

/// The relation of a recipient to the users that a message is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Addressee {
    /// The contact of the user's account, or the team that runs keywheel.
    Account,
    /// An owner, whose address somebody wrote into a tag of the user.
    Owner,
}

impl Frame<'_> {
    /// Returns what the recipient is to the users of that account.
    pub(super) fn addressee(&self, account: &AccountContact) -> Addressee {
        let is_recipient = |address: &Option<EmailAddress>| {
            address.as_ref().is_some_and(|address| mailbox(address) == mailbox(self.recipient))
        };
        let is_account = account.is_confirmed && is_recipient(&account.email);
        if is_account || is_recipient(&self.terms.stand_in) { Addressee::Account } else { Addressee::Owner }
    }
}

/// How many notices each part of a message shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    /// Notices that are described in full, with instructions.
    pub(super) details: usize,
    /// Notices in the table of keys.
    pub(super) table: usize,
    /// Notices in the attachment.
    pub(super) attached: usize,
}
