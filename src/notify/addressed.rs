//! A notice with its account and its record. Pure.

use crate::keys::{AccountId, EmailAddress};
use crate::lifecycle::Notice;
use crate::state::Notified;

/// An account as its notices name it, and the address of its contact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountContact {
    /// Twelve digits.
    pub id: AccountId,
    /// Its name in the organization; empty if unknown. People choose it, so it may hold any characters.
    pub name: String,
    /// Its address in the organization. Without it, `RECIPIENT_EMAIL` gets the account's notices.
    pub email: Option<EmailAddress>,
    /// The text that the organization has as the account's address, if that is not a valid address.
    pub malformed_email: Option<String>,
    /// Whether `email` is what the organization says. An address that only the caller of the sweeper knows gets mail,
    /// and no notice counts as sent to the account for that.
    pub is_confirmed: bool,
}

impl AccountContact {
    /// Returns an account with its id alone, because nothing else is known.
    pub fn without_address(id: &AccountId) -> Self {
        Self { id: id.clone(), name: String::new(), email: None, malformed_email: None, is_confirmed: true }
    }
}

/// A notice with its account and the record of earlier runs.
#[derive(Debug, Clone, Copy)]
pub struct Addressed<'a> {
    /// The notice to send.
    pub notice: &'a Notice,
    /// The account of the notice's user.
    pub account: &'a AccountContact,
    /// The notices that the tag on the user's secret records as sent.
    pub notified: &'a Notified,
}
