//! Sample notices of every kind, for trying templates, for previews and for tests. Pure.

use chrono::{DateTime, Utc};

use super::addressed::AccountContact;
use crate::keys::{AccessKeyId, EmailAddress, KeyStatus, KeyUse, UserRef, VersionId};
use crate::lifecycle::{CancelReason, NamedKey, Notice, NoticeDate, NoticeKind, ReadObstacle};
use crate::state::{FailedStep, FailureCause, Step};

/// The time at which all samples are sent.
pub(crate) fn now() -> DateTime<Utc> {
    time("2026-11-22T09:00:00Z")
}

/// The account of all samples.
pub(crate) fn account() -> AccountContact {
    AccountContact {
        id: "111122223333".parse().expect("twelve digits"),
        name: "prod".to_owned(),
        email: None,
        malformed_email: None,
        is_confirmed: true,
    }
}

/// The recipient of all samples.
pub(crate) fn recipient() -> EmailAddress {
    "owner@example.com".parse().expect("an address")
}

/// The id of key number `n`. Different numbers give different ids.
pub(crate) fn key(n: usize) -> AccessKeyId {
    format!("AKIA{n:016}").parse().expect("a key id")
}

/// The step that failed in all samples.
fn failed(cause: FailureCause) -> FailedStep {
    let version: VersionId = "7c3e1a52-0c1d-4e0f-9a57-1c2f3d4e5f60".parse().expect("a version id");
    FailedStep::new(cause, Step::CreateSecret, &version, time("2026-11-22T06:10:00Z"))
}

/// Two keys that cannot be removed without loss.
fn two_keys() -> Vec<NamedKey> {
    let held = |n, made| NamedKey { id: key(n), status: KeyStatus::Active, created: time(made) };
    vec![held(2, "2025-01-13T10:00:00Z"), held(1, "2026-08-31T07:30:00Z")]
}

/// A notice about the user `ci-bot` of the sample account.
pub(crate) fn notice(kind: NoticeKind) -> Notice {
    let secret =
        "arn:aws:secretsmanager:eu-west-1:999988887777:secret:Account_111122223333_User_ci-bot_AccessKey-a1B2c3";
    Notice {
        user: UserRef { account: account().id, name: "ci-bot".parse().expect("a user name") },
        owner: None,
        secret_arn: Some(secret.to_owned()),
        key: key(1),
        created: Some(time("2026-08-31T07:30:00Z")),
        kind,
        tells_of: None,
    }
}

/// Every kind of notice in every shape that changes its wording, each with a name for files.
pub(crate) fn kinds() -> Vec<(&'static str, NoticeKind)> {
    let at = NoticeDate::On(time("2026-12-02T00:00:00Z"));
    let since = time("2026-11-20T09:00:00Z");
    let last_use =
        KeyUse { time: time("2026-11-21T10:15:00Z"), service: "s3".to_owned(), region: "eu-west-1".to_owned() };
    vec![
        ("rotation_ahead", NoticeKind::RotationAhead { at: NoticeDate::On(time("2026-11-29T00:00:00Z")) }),
        ("rotation_ahead_put_off", NoticeKind::RotationAhead { at: at.at_the_earliest() }),
        ("rotation_due", NoticeKind::RotationDue { since }),
        ("rotation_unfinished", NoticeKind::RotationUnfinished { since }),
        (
            "rotation_failed",
            NoticeKind::RotationFailed { failed: Some(failed(FailureCause::NoFreeSlot)), keys: two_keys() },
        ),
        ("rotation_failed_without_cause", NoticeKind::RotationFailed { failed: None, keys: Vec::new() }),
        ("rotation_abandoned", NoticeKind::RotationAbandoned),
        (
            "rotation_test_failed",
            NoticeKind::RotationTestFailed { failed: Some(failed(FailureCause::MemberRoleDenied)) },
        ),
        ("rotated", NoticeKind::Rotated { old_key: Some(key(2)), disable_at: Some(at), forced: None }),
        ("rotated_by_force", NoticeKind::Rotated { old_key: Some(key(2)), disable_at: Some(at), forced: Some(key(3)) }),
        ("rotated_first_key", NoticeKind::Rotated { old_key: None, disable_at: None, forced: None }),
        ("forced", NoticeKind::Forced),
        ("still_in_use", NoticeKind::StillInUse { last_use: last_use.clone(), disable_at: at }),
        ("disable_ahead", NoticeKind::DisableAhead { at, last_use: None }),
        ("disable_ahead_in_use", NoticeKind::DisableAhead { at, last_use: Some(last_use.clone()) }),
        ("disabled", NoticeKind::Disabled { delete_at: at, last_use: None }),
        ("disabled_in_use", NoticeKind::Disabled { delete_at: at, last_use: Some(last_use) }),
        ("delete_ahead", NoticeKind::DeleteAhead { at }),
        ("last_call", NoticeKind::LastCall { at: NoticeDate::On(time("2026-11-23T00:00:00Z")) }),
        ("deleted", NoticeKind::Deleted),
        (
            "retiring",
            NoticeKind::Retiring { disable_at: Some(at), delete_at: NoticeDate::From(time("2026-12-12T00:00:00Z")) },
        ),
        ("retiring_inactive", NoticeKind::Retiring { disable_at: None, delete_at: at }),
        ("reactivated", NoticeKind::Reactivated { disable_at: at }),
        ("cancelled_exempt", NoticeKind::ScheduleCancelled(CancelReason::Exempt)),
        ("cancelled_no_active_key", NoticeKind::ScheduleCancelled(CancelReason::NoActiveKey)),
        ("cancelled_user_renamed", NoticeKind::ScheduleCancelled(CancelReason::UserRenamed)),
        ("cancelled_account_departed", NoticeKind::ScheduleCancelled(CancelReason::AccountDeparted)),
        ("cancelled_user_gone", NoticeKind::ScheduleCancelled(CancelReason::UserGone)),
        (
            "cancelled_in_ten_groups",
            NoticeKind::ScheduleCancelled(CancelReason::Unreadable(ReadObstacle::NoRoomInGroups)),
        ),
        ("cancelled_managed_key", NoticeKind::ScheduleCancelled(CancelReason::Unreadable(ReadObstacle::ManagedKey))),
        ("secret_deleted", NoticeKind::SecretDeleted),
    ]
}

fn time(text: &str) -> DateTime<Utc> {
    text.parse().expect("a time in RFC 3339")
}
