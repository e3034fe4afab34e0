//! Values that the tests of this module share.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::{AccountContact, Templates};
use crate::keys::{AccessKeyId, EmailAddress, KeyUse, UserRef};
use crate::lifecycle::{CancelReason, Notice, NoticeKind};
use crate::settings::{Function, Settings};

pub(super) fn time(text: &str) -> DateTime<Utc> {
    text.parse().expect("a time in RFC 3339")
}

/// The time of every test.
pub(super) fn now() -> DateTime<Utc> {
    time("2026-11-22T09:00:00Z")
}

pub(super) fn key(n: usize) -> AccessKeyId {
    format!("AKIA{n:016}").parse().expect("a key id")
}

pub(super) fn email(text: &str) -> EmailAddress {
    text.parse().expect("an address")
}

pub(super) fn contact(name: &str, address: Option<&str>) -> AccountContact {
    let id = "111122223333".parse().expect("twelve digits");
    AccountContact { id, name: name.to_owned(), email: address.map(email), malformed_email: None }
}

/// A notice about `ci-bot` of account 111122223333.
pub(super) fn notice(kind: NoticeKind) -> Notice {
    let secret =
        "arn:aws:secretsmanager:eu-west-1:999988887777:secret:Account_111122223333_User_ci-bot_AccessKey-a1B2c3";
    Notice {
        user: user("ci-bot"),
        owner: None,
        secret_arn: Some(secret.to_owned()),
        key: key(1),
        created: Some(time("2026-08-31T07:30:00Z")),
        kind,
    }
}

pub(super) fn user(name: &str) -> UserRef {
    UserRef { account: "111122223333".parse().expect("twelve digits"), name: name.parse().expect("a user name") }
}

pub(super) fn rotation_ahead() -> NoticeKind {
    NoticeKind::RotationAhead { at: time("2026-11-29T07:30:00Z") }
}

/// Every kind of notice, and every shape in which its words differ, by a name for snapshots.
pub(super) fn kinds() -> Vec<(&'static str, NoticeKind)> {
    let at = time("2026-12-02T09:00:00Z");
    let since = time("2026-11-20T09:00:00Z");
    let last_use =
        KeyUse { time: time("2026-11-21T10:15:00Z"), service: "s3".to_owned(), region: "eu-west-1".to_owned() };
    vec![
        ("rotation_ahead", rotation_ahead()),
        ("rotation_due", NoticeKind::RotationDue { since }),
        ("rotation_unfinished", NoticeKind::RotationUnfinished { since }),
        ("rotation_failed", NoticeKind::RotationFailed { reason: "NoFreeSlot: both keys are active".to_owned() }),
        ("rotated", NoticeKind::Rotated { old_key: Some(key(2)), disable_at: Some(at) }),
        ("rotated_first_key", NoticeKind::Rotated { old_key: None, disable_at: None }),
        ("still_in_use", NoticeKind::StillInUse { last_use: last_use.clone(), disable_at: at }),
        ("disable_ahead", NoticeKind::DisableAhead { at, last_use: None }),
        ("disable_ahead_in_use", NoticeKind::DisableAhead { at, last_use: Some(last_use.clone()) }),
        ("disabled", NoticeKind::Disabled { delete_at: at, last_use: None }),
        ("disabled_in_use", NoticeKind::Disabled { delete_at: at, last_use: Some(last_use) }),
        ("delete_ahead", NoticeKind::DeleteAhead { at }),
        ("last_call", NoticeKind::LastCall { at: time("2026-11-23T08:00:00Z") }),
        ("deleted", NoticeKind::Deleted),
        ("retiring", NoticeKind::Retiring { disable_at: Some(at), delete_at: time("2026-12-12T09:00:00Z") }),
        ("retiring_inactive", NoticeKind::Retiring { disable_at: None, delete_at: at }),
        ("reactivated", NoticeKind::Reactivated { disable_at: at }),
        ("cancelled_exempt", NoticeKind::ScheduleCancelled(CancelReason::Exempt)),
        ("cancelled_no_active_key", NoticeKind::ScheduleCancelled(CancelReason::NoActiveKey)),
        ("cancelled_user_gone", NoticeKind::ScheduleCancelled(CancelReason::UserGone)),
        ("secret_deleted", NoticeKind::SecretDeleted),
    ]
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
