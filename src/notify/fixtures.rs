//! Values that the tests of this module share.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

pub(super) use super::samples::{key, kinds, notice, now};
use super::{AccountContact, Templates};
use crate::keys::{EmailAddress, UserRef};
use crate::lifecycle::NoticeKind;
use crate::settings::{Function, Settings};

pub(super) fn time(text: &str) -> DateTime<Utc> {
    text.parse().expect("a time in RFC 3339")
}

pub(super) fn email(text: &str) -> EmailAddress {
    text.parse().expect("an address")
}

pub(super) fn contact(name: &str, address: Option<&str>) -> AccountContact {
    let id = "111122223333".parse().expect("twelve digits");
    AccountContact { id, name: name.to_owned(), email: address.map(email), malformed_email: None }
}

pub(super) fn user(name: &str) -> UserRef {
    UserRef { account: "111122223333".parse().expect("twelve digits"), name: name.parse().expect("a user name") }
}

pub(super) fn rotation_ahead() -> NoticeKind {
    NoticeKind::RotationAhead { at: time("2026-11-29T07:30:00Z") }
}

/// Settings with these variables beside those that are required.
pub(super) fn settings(given: &[(&str, &str)]) -> Settings {
    let mut variables = BTreeMap::from([("PRIMARY_ACCOUNT_ID", "999988887777"), ("SENDER_EMAIL", "keys@example.com")]);
    variables.extend(given.iter().copied());
    Settings::read(Function::Rotation, |name| variables.get(name).map(|value| (*value).to_owned()))
        .expect("settings that a test wrote")
}

/// The built-in templates.
pub(super) fn templates() -> Templates {
    Templates::load(&settings(&[]), |_| None).expect("the built-in templates render")
}
