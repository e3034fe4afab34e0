//! The wording of one notice: what happens, when, and why. Pure.
//!
//! In a dry run, everything that keywheel has not done *would* be done. Facts that do not depend on the mode, such as
//! a rotation or the use of an old key, are worded as facts.

use chrono::{DateTime, TimeDelta, Utc};

use super::cause::cause;
use super::mode::Mode;
use super::phrases::{counted, day, one_line};
use super::unlinked::unlinked;
use crate::keys::KeyUse;
use crate::lifecycle::{CancelReason, Notice, NoticeDate, NoticeKind, ReadObstacle};
use crate::settings::Periods;
use crate::state::{FailedStep, format_time};

/// Returns what happens in at most 27 characters, for a table that has the date in the next column.
pub(super) fn briefly(kind: &NoticeKind, mode: Mode) -> &'static str {
    let either = |done, planned| if mode == Mode::Enforced { done } else { planned };
    match kind {
        NoticeKind::RotationAhead { .. } => either("will be rotated", "would be rotated"),
        NoticeKind::RotationDue { .. } => either("is due for rotation", "would be rotated now"),
        NoticeKind::RotationUnfinished { .. } => "is due and not rotated yet",
        NoticeKind::RotationFailed { .. } => "could not be rotated",
        NoticeKind::RotationAbandoned => "not rotated: value by hand",
        NoticeKind::RotationTestFailed { .. } => "next rotation cannot work",
        NoticeKind::Rotated { old_key: Some(_), disable_at: Some(_), .. } => {
            either("new; old key to be disabled", "new; old key would end")
        }
        NoticeKind::Rotated { .. } => "is new and tested",
        NoticeKind::Forced => either("was deleted, by force", "would be deleted, by force"),
        NoticeKind::StillInUse { .. } => either("in use, will be disabled", "in use, would be disabled"),
        NoticeKind::DisableAhead { last_use: Some(_), .. } => {
            either("in use, will be disabled", "in use, would be disabled")
        }
        NoticeKind::DisableAhead { last_use: None, .. } => either("will be disabled", "would be disabled"),
        NoticeKind::Disabled { .. } => either("was disabled, to be deleted", "would be disabled, deleted"),
        NoticeKind::DeleteAhead { .. } => either("will be deleted", "would be deleted"),
        NoticeKind::LastCall { .. } => either("last day: will be deleted", "last day: would be deleted"),
        NoticeKind::Deleted => either("was deleted", "would be deleted now"),
        NoticeKind::Retiring { disable_at: Some(_), .. } => either("in the way, to be disabled", "would be disabled"),
        NoticeKind::Retiring { disable_at: None, .. } => either("in the way, to be deleted", "would be deleted"),
        NoticeKind::Reactivated { .. } => either("enabled, will be disabled", "enabled, would be disabled"),
        NoticeKind::ScheduleCancelled(_) => either("is no longer rotated", "would not be rotated"),
        NoticeKind::SecretDeleted => either("secret will be deleted", "secret would be deleted"),
    }
}

/// Returns the last use of the key, if the notice is about a key that is still used.
pub(super) fn last_use(kind: &NoticeKind) -> Option<&KeyUse> {
    match kind {
        NoticeKind::StillInUse { last_use, .. } => Some(last_use),
        NoticeKind::DisableAhead { last_use, .. } | NoticeKind::Disabled { last_use, .. } => last_use.as_ref(),
        _ => None,
    }
}

/// Returns the next date in the key's life, if the notice names one.
pub(super) fn coming(kind: &NoticeKind) -> Option<DateTime<Utc>> {
    kind.date().map(NoticeDate::at)
}

/// Returns the next date in the key's life as a table shows it: `2026-12-02`, or `from 2026-12-02` if it may be later.
pub(super) fn when(kind: &NoticeKind) -> Option<String> {
    kind.date().map(|date| match date {
        NoticeDate::On(at) => day(at),
        NoticeDate::From(at) => format!("from {}", day(at)),
    })
}

/// Returns the rest of the sentence that begins with the key: `Access key of ci-bot …`.
pub(super) fn headline(kind: &NoticeKind, mode: Mode) -> String {
    let will = mode.will();
    let either = |done: &str, planned: &str| if mode == Mode::Enforced { done.to_owned() } else { planned.to_owned() };
    match kind {
        NoticeKind::RotationAhead { at } => format!("{will} be rotated {at}"),
        NoticeKind::RotationDue { .. } => either("is due for rotation", "would be rotated now"),
        NoticeKind::RotationUnfinished { since } => {
            format!("has been due since {} and is not rotated yet", day(*since))
        }
        NoticeKind::RotationFailed { .. } => "could not be rotated".to_owned(),
        NoticeKind::RotationAbandoned => {
            "was not rotated, because somebody put another value into its secret".to_owned()
        }
        NoticeKind::RotationTestFailed { .. } => "needs attention: its next rotation will not work".to_owned(),
        NoticeKind::Rotated { disable_at: Some(at), .. } => {
            format!("was rotated; the old key {will} be disabled {at}")
        }
        NoticeKind::Rotated { disable_at: None, .. } => "was rotated".to_owned(),
        NoticeKind::Forced => either(
            "was disabled and deleted by a forced rotation",
            "would be disabled and deleted by a forced rotation",
        ),
        NoticeKind::StillInUse { disable_at, .. } => {
            format!("was used after its rotation and {will} be disabled {disable_at}")
        }
        NoticeKind::DisableAhead { at, .. } => format!("{will} be disabled {at}"),
        NoticeKind::Disabled { delete_at, .. } => {
            let done = either("was disabled and will be deleted", "would be disabled now and deleted");
            format!("{done} {delete_at}")
        }
        NoticeKind::DeleteAhead { at } => format!("{will} be deleted {at}"),
        NoticeKind::LastCall { at } => {
            format!("{will} be deleted tomorrow{}, {at}", if at.is_exact() { "" } else { " or later" })
        }
        NoticeKind::Deleted => either("was deleted", "would be deleted now"),
        NoticeKind::Retiring { disable_at: Some(at), .. } => {
            format!("blocks the next rotation and {will} be disabled {at}")
        }
        NoticeKind::Retiring { disable_at: None, delete_at } => {
            format!("blocks the next rotation and {will} be deleted {delete_at}")
        }
        NoticeKind::Reactivated { disable_at } => {
            format!("was enabled again and {will} be disabled {disable_at}")
        }
        NoticeKind::ScheduleCancelled(_) => either("is no longer rotated", "would no longer be rotated"),
        NoticeKind::SecretDeleted => {
            let is = either("is", "would be");
            format!("belonged to a deleted user; its secret {is} scheduled for deletion")
        }
    }
}

/// Returns the reason in whole sentences, and whether the date may move.
pub(super) fn why(notice: &Notice, mode: Mode, periods: &Periods) -> String {
    let reason = reason(notice, mode, periods);
    if notice.kind.date().is_none_or(NoticeDate::is_exact) {
        return reason;
    }
    format!("{reason} This is the first possible date: it may be later, for example while another key is in the way.")
}

fn days(period: TimeDelta) -> String {
    counted(usize::try_from(period.num_days()).unwrap_or_default(), "day")
}

fn reason(notice: &Notice, mode: Mode, periods: &Periods) -> String {
    let Notice { key, kind, .. } = notice;
    let will = mode.will();
    match kind {
        NoticeKind::RotationAhead { .. } => {
            format!("Access keys are replaced {} after their creation.", days(periods.rotation))
        }
        NoticeKind::RotationDue { since } => {
            format!(
                "It has been due since {}. Access keys are replaced {} after their creation.",
                day(*since),
                days(periods.rotation)
            )
        }
        NoticeKind::RotationUnfinished { since } => {
            format!("It has been due since {}. A rotation was started, but has not finished.", day(*since))
        }
        NoticeKind::RotationFailed { failed, keys } => {
            let cause = cause(failed.as_ref(), keys, &notice.user.account);
            match failed {
                Some(FailedStep { step, at, .. }) => {
                    format!("Its rotation failed on {}, in the step {}. {cause}", day(*at), step.as_str())
                }
                None => format!("Its rotation failed. {cause}"),
            }
        }
        NoticeKind::RotationAbandoned => {
            "A rotation was under way, and Secrets Manager ended it because of that value. Programs that read the secret get \
             the value that was put by hand, which keywheel has not tested."
                .to_owned()
        }
        NoticeKind::RotationTestFailed { failed } => {
            let cause = cause(failed.as_ref(), &[], &notice.user.account);
            format!("Secrets Manager tested the rotation without changing a key, and the test failed. {cause}")
        }
        NoticeKind::Rotated { old_key, disable_at: _, forced } => {
            let replaces = old_key.as_ref().map(|old| format!(" and replaces {old}")).unwrap_or_default();
            let by_force = |removed| {
                format!(
                    " The rotation was forced: it disabled and deleted {removed} at once. An earlier notice that named a \
                     later date for {removed} is void."
                )
            };
            let forced = forced.as_ref().map(by_force).unwrap_or_default();
            format!("{key} is the new key. It was tested{replaces}.{forced}")
        }
        NoticeKind::Forced => {
            let done = if mode == Mode::Enforced { "was" } else { "would be" };
            format!(
                "A person tagged the secret keywheel:force, an order for incidents: the key gave way to a new key and \
                 {done} disabled and deleted at once, without a grace. An earlier notice that named a later date for \
                 this key is void."
            )
        }
        NoticeKind::StillInUse { last_use, .. } => {
            format!("A newer key has replaced it, but something still uses it: {}.", used(last_use))
        }
        NoticeKind::DisableAhead { last_use: Some(last_use), .. } => {
            format!("Something still uses it: {}.", used(last_use))
        }
        NoticeKind::DisableAhead { last_use: None, .. } => {
            format!("A disabled key is kept for {} and then deleted.", days(periods.recovery_grace))
        }
        NoticeKind::Disabled { last_use, .. } => {
            let grace = "Its grace period is over.";
            match last_use {
                Some(last_use) => format!("{grace} Something used it until the end: {}.", used(last_use)),
                None => grace.to_owned(),
            }
        }
        NoticeKind::DeleteAhead { .. } | NoticeKind::LastCall { .. } => {
            format!("It is disabled. A disabled key is kept for {} and then deleted.", days(periods.recovery_grace))
        }
        NoticeKind::Deleted => format!("It was disabled for at least {}.", days(periods.recovery_grace)),
        NoticeKind::Retiring { disable_at, delete_at } => {
            let place = "A user can have only two access keys. The user's other key is due for rotation soon, and the new \
                         key needs this key's place.";
            match disable_at {
                Some(_) => format!("{place} This key {will} be deleted {delete_at}."),
                None => place.to_owned(),
            }
        }
        NoticeKind::Reactivated { .. } => {
            format!(
                "keywheel had disabled it, and somebody enabled it again. Its grace period of {} starts again.",
                days(periods.installation_grace)
            )
        }
        NoticeKind::ScheduleCancelled(reason) => why_cancelled(*reason, periods),
        NoticeKind::SecretDeleted => {
            let can = if mode == Mode::Enforced { "can" } else { "could" };
            format!("The user was deleted. The secret {can} be restored until Secrets Manager deletes it.")
        }
    }
}

/// Returns why the schedule was cancelled.
fn why_cancelled(reason: CancelReason, periods: &Periods) -> String {
    match reason {
        CancelReason::Exempt => "The user is exempt from rotation.".to_owned(),
        CancelReason::NoActiveKey => "The user has no active access key.".to_owned(),
        CancelReason::UserRenamed => {
            "The user has another name now. Its access keys work as before. keywheel makes a secret for the new name, and \
             keeps this secret until the new secret holds a key that was made and tested."
                .to_owned()
        }
        CancelReason::AccountDeparted => format!(
            "The account is closed or has left the organization, so nothing in it can be rotated. The schedules of all its \
             secrets are cancelled. The secrets are scheduled for deletion after {}, unless the account is active again.",
            days(periods.recovery_grace)
        ),
        CancelReason::UserGone => "The user was deleted.".to_owned(),
        CancelReason::Unreadable(why) => {
            let cause = match why {
                ReadObstacle::ManagedKey => {
                    "The user cannot read its secret: it is encrypted with a key that other accounts cannot use."
                }
                ReadObstacle::NoRoomInGroups => {
                    "The user cannot read its secret: it is in ten groups, as many as IAM allows, so it cannot join the \
                     group that may read."
                }
            };
            format!("{cause} Until it can, none of its keys is rotated, disabled or deleted.")
        }
    }
}

/// The longest name of a service or a Region that a message repeats, in characters. AWS's are shorter.
const MAX_WORD_LENGTH: usize = 60;

/// Returns the service, the Region and the time of a key's use.
pub(super) fn used(last_use: &KeyUse) -> String {
    let KeyUse { time, service, region } = last_use;
    let shown = |text: &str| unlinked(&one_line(text, MAX_WORD_LENGTH));
    format!("{} in {}, on {}", shown(service), shown(region), format_time(*time))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::fixtures::kinds;

    #[test]
    fn a_dry_run_promises_nothing_in_brief() {
        for (name, kind) in kinds() {
            let (enforced, planned) = (briefly(&kind, Mode::Enforced), briefly(&kind, Mode::DryRun));
            assert!(enforced.len() <= 27 && planned.len() <= 27, "{name}");
            for promise in ["will", "was", "to be"] {
                assert!(!planned.contains(promise), "{name}: {planned}");
            }
        }
    }
}
