//! How much a notice asks of its reader, and the order in which a message presents notices. Pure.

use super::addressed::AccountContact;
use super::mode::Mode;
use super::words::coming;
use crate::lifecycle::{CancelReason, Notice, NoticeKind};

/// How much a notice asks of its reader, in the order of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Tone {
    /// Something is wrong, or will break soon.
    Alert,
    /// Something was done, and the reader can undo it or act on it.
    Done,
    /// Something will happen later.
    Ahead,
}

impl Tone {
    pub(super) fn of(kind: &NoticeKind) -> Self {
        match kind {
            NoticeKind::RotationUnfinished { .. }
            | NoticeKind::RotationFailed { .. }
            | NoticeKind::Forced
            | NoticeKind::RotationAbandoned
            | NoticeKind::RotationTestFailed { .. }
            | NoticeKind::StillInUse { .. }
            | NoticeKind::LastCall { .. }
            | NoticeKind::ScheduleCancelled(CancelReason::Unreadable(_) | CancelReason::AccountDeparted) => Self::Alert,
            NoticeKind::DisableAhead { last_use: Some(_), .. } | NoticeKind::Disabled { last_use: Some(_), .. } => {
                Self::Alert
            }
            NoticeKind::Rotated { .. }
            | NoticeKind::RotationDue { .. }
            | NoticeKind::Disabled { .. }
            | NoticeKind::Deleted
            | NoticeKind::Reactivated { .. }
            | NoticeKind::ScheduleCancelled(_)
            | NoticeKind::SecretDeleted => Self::Done,
            NoticeKind::RotationAhead { .. }
            | NoticeKind::DisableAhead { .. }
            | NoticeKind::DeleteAhead { .. }
            | NoticeKind::Retiring { .. } => Self::Ahead,
        }
    }

    /// Returns the name for templates and for the topic.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Alert => "alert",
            Self::Done => "done",
            Self::Ahead => "ahead",
        }
    }

    /// Returns a colour on which white text is readable, and which is visible on a light and on a dark background.
    pub(super) fn color(self) -> &'static str {
        match self {
            Self::Alert => "#c2410c",
            Self::Done => "#2b7a3d",
            Self::Ahead => "#1971c2",
        }
    }

    /// Returns a short label. In a dry run nothing is done, so the label says that something would happen.
    pub(super) fn label(self, mode: Mode) -> &'static str {
        match (self, mode) {
            (Self::Alert, _) => "Needs attention",
            (Self::Done, Mode::Enforced) => "Done",
            (Self::Ahead, Mode::Enforced) => "Coming up",
            (Self::Done, Mode::DryRun) => "Would happen now",
            (Self::Ahead, Mode::DryRun) => "Would come up",
        }
    }
}

/// The urgency of a notice: its tone, then its next date. The most urgent is the least.
pub(super) type Urgency = (Tone, i64);

pub(super) fn urgency(notice: &Notice) -> Urgency {
    (Tone::of(&notice.kind), coming(&notice.kind).map_or(i64::MIN, |at| at.timestamp()))
}

/// The order of a message: by urgency, then by account, user and key.
pub(super) fn by_urgency(
    (left, left_account): (&Notice, &AccountContact),
    (right, right_account): (&Notice, &AccountContact),
) -> std::cmp::Ordering {
    urgency(left)
        .cmp(&urgency(right))
        .then_with(|| left_account.id.cmp(&right_account.id))
        .then_with(|| left.user.cmp(&right.user))
        .then_with(|| left.key.cmp(&right.key))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// <https://www.w3.org/TR/WCAG22/#dfn-relative-luminance>
    fn luminance(color: &str) -> f64 {
        let channel = |at: usize| {
            let value = f64::from(u8::from_str_radix(&color[at..at + 2], 16).unwrap()) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
    }

    fn contrast(one: &str, other: &str) -> f64 {
        let (one, other) = (luminance(one), luminance(other));
        (one.max(other) + 0.05) / (one.min(other) + 0.05)
    }

    #[test]
    fn every_colour_has_enough_contrast() {
        for tone in [Tone::Alert, Tone::Done, Tone::Ahead] {
            assert!(contrast(tone.color(), "#ffffff") >= 4.5, "{tone:?}");
            assert!(contrast(tone.color(), "#1d2128") >= 3.0, "{tone:?}");
        }
    }
}
