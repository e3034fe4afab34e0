//! Values that the unit tests of several modules share: identifiers, names, a time, settings. Compiled for tests only.
//!
//! A module whose tests need more than these keeps its own fixtures beside them and builds on this file.

use std::collections::BTreeMap;
use std::fmt::Display;

use chrono::{DateTime, Utc};

use crate::keys::{AccessKeyId, AccountId, UserRef, VersionId};
use crate::settings::{Function, Settings};

/// The time at which unit tests take place, unless they need another: a Sunday in November 2026.
pub(crate) fn now() -> DateTime<Utc> {
    time("2026-11-22T09:00:00Z")
}

/// The time that an RFC 3339 text names.
pub(crate) fn time(text: &str) -> DateTime<Utc> {
    text.parse().expect("a time in RFC 3339")
}

/// The member account that users of unit tests live in.
pub(crate) fn account() -> AccountId {
    "111122223333".parse().expect("twelve digits")
}

/// The user of this name in [`account`].
pub(crate) fn user(name: &str) -> UserRef {
    UserRef { account: account(), name: name.parse().expect("a user name") }
}

/// The id of key number `n`. Different numbers give different ids.
pub(crate) fn key(n: impl Display) -> AccessKeyId {
    format!("AKIA{n:0>16}").parse().expect("a key id")
}

/// The id of version number `n` of a secret. Different numbers give different ids.
pub(crate) fn version(n: impl Display) -> VersionId {
    format!("{n:0>32}").parse().expect("a version id")
}

/// Settings with the `given` variables beside the two that are required.
pub(crate) fn settings(given: &[(&str, &str)]) -> Settings {
    let mut variables = BTreeMap::from([("PRIMARY_ACCOUNT_ID", "999988887777"), ("SENDER_EMAIL", "keys@example.com")]);
    variables.extend(given.iter().copied());
    Settings::read(Function::Rotation, |name| variables.get(name).map(|value| (*value).to_owned()))
        .expect("valid settings")
}
