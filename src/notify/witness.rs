//! The notices in each mail that was sent. The rehearsal shows them, and checks that keywheel keeps their dates. Built
//! with the feature `rehearsal` alone, and idle until [`watch`] is called.

use std::cell::RefCell;

use crate::keys::EmailAddress;
use crate::lifecycle::Notice;

use super::addressed::Addressed;

/// A mail that SES accepted, with its notices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailedNotices {
    /// The recipient.
    pub to: EmailAddress,
    /// The subject.
    pub subject: String,
    /// The notices, the most urgent first.
    pub notices: Vec<Notice>,
}

thread_local! {
    static MAILED: RefCell<Option<Vec<MailedNotices>>> = const { RefCell::new(None) };
}

/// Keeps the notices of all mails that this thread sends from now on, until they are taken.
pub fn watch() {
    MAILED.set(Some(Vec::new()));
}

/// Returns the notices of the mails that were sent since the last call, in the order of sending.
pub fn take() -> Vec<MailedNotices> {
    MAILED.with_borrow_mut(|mailed| mailed.as_mut().map(std::mem::take).unwrap_or_default())
}

/// Keeps the notices of one mail, if [`watch`] was called on this thread.
pub(super) fn note(to: &EmailAddress, subject: &str, items: &[&Addressed<'_>]) {
    MAILED.with_borrow_mut(|mailed| {
        if let Some(mailed) = mailed {
            let notices = items.iter().map(|item| item.notice.clone()).collect();
            mailed.push(MailedNotices { to: to.clone(), subject: subject.to_owned(), notices });
        }
    });
}
