//! Values that the tests of this module share.

use super::addressed::{AccountContact, Addressed};
pub(super) use super::samples::{kinds, notice};
use super::template::Templates;
use crate::keys::EmailAddress;
use crate::lifecycle::{Notice, NoticeDate, NoticeKind};
use crate::state::Notified;
pub(super) use crate::testing::{account, key, now, settings, time, user};

pub(super) fn email(text: &str) -> EmailAddress {
    text.parse().expect("an address")
}

pub(super) fn contact(name: &str, address: Option<&str>) -> AccountContact {
    AccountContact {
        id: account(),
        name: name.to_owned(),
        email: address.map(email),
        malformed_email: None,
        is_confirmed: true,
    }
}

pub(super) fn rotation_ahead() -> NoticeKind {
    NoticeKind::RotationAhead { at: NoticeDate::On(time("2026-11-29T00:00:00Z")) }
}

/// Calls `then` with notices about users of that account. None of them was sent before.
pub(super) fn with_items<T>(account: &AccountContact, notices: &[Notice], then: impl Fn(&[&Addressed<'_>]) -> T) -> T {
    let notified = Notified::default();
    let addressed: Vec<Addressed<'_>> =
        notices.iter().map(|notice| Addressed { notice, account, notified: &notified }).collect();
    then(&addressed.iter().collect::<Vec<_>>())
}

/// The built-in templates.
pub(super) fn templates() -> Templates {
    Templates::load(&settings(&[]), |_| None).expect("the built-in templates render")
}
