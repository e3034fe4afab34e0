//! The subject of a message: whose key, what happens, and when. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::addressed::{AccountContact, Addressed};
use super::mode::Mode;
use super::phrases::{counted, cut, day, grouped, one_line};
use super::unlinked::unlinked;
use super::words::headline;
use crate::lifecycle::{NoticeDate, NoticeKind};

/// The longest subject, in characters. Mail programs show less than half of it, and a header's line holds 998
/// characters.
/// <https://www.rfc-editor.org/rfc/rfc5322#section-2.1.1>
pub(super) const MAX_SUBJECT_LENGTH: usize = 150;

/// Returns the subject of a message about these notices.
pub(super) fn subject(mode: Mode, items: &[&Addressed<'_>]) -> String {
    let prefix = match mode {
        Mode::Enforced => "",
        Mode::DryRun => "[dry run] ",
    };
    let text = match items {
        [item] => of_one(mode, item, MAX_SUBJECT_LENGTH - prefix.len()),
        items => of_several(mode, items, MAX_SUBJECT_LENGTH - prefix.len()),
    };
    // The names in it may be those of hosts.
    format!("{prefix}{}", unlinked(&text))
}

fn of_one(mode: Mode, item: &Addressed<'_>, longest: usize) -> String {
    let event = headline(&item.notice.kind, mode);
    let account = item.account;
    let user = item.notice.user.name.as_str();
    let fixed = format!("Access key of  (, {}) {event}", account.id).chars().count();
    let (user, name) = share(longest.saturating_sub(fixed), user, &one_line(&account.name, longest));
    if name.is_empty() {
        return format!("Access key of {user} ({}) {event}", account.id);
    }
    format!("Access key of {user} ({name}, {}) {event}", account.id)
}

/// Cuts two names to `room` characters together. The second gets a third of the room, or all that the first leaves.
fn share(room: usize, first: &str, second: &str) -> (String, String) {
    let second = cut(second, (room / 3).max(room.saturating_sub(first.chars().count())));
    (cut(first, room - second.chars().count()), second)
}

/// A group of notices that a subject counts together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    Failed,
    InUse,
    Rotated,
    Forced,
    DueNow,
    DisabledNow,
    DeletedNow,
    WillBeDisabled,
    WillBeDeleted,
    WillBeRotated,
    EnabledAgain,
    Cancelled,
    SecretDeleted,
}

impl Happening {
    fn of(kind: &NoticeKind) -> Self {
        match kind {
            NoticeKind::RotationUnfinished { .. }
            | NoticeKind::RotationFailed { .. }
            | NoticeKind::RotationAbandoned
            | NoticeKind::RotationTestFailed { .. } => Self::Failed,
            NoticeKind::StillInUse { .. } => Self::InUse,
            NoticeKind::Rotated { .. } => Self::Rotated,
            NoticeKind::Forced => Self::Forced,
            NoticeKind::RotationDue { .. } => Self::DueNow,
            NoticeKind::Disabled { .. } => Self::DisabledNow,
            NoticeKind::Deleted => Self::DeletedNow,
            NoticeKind::DisableAhead { .. } | NoticeKind::Retiring { disable_at: Some(_), .. } => Self::WillBeDisabled,
            NoticeKind::DeleteAhead { .. }
            | NoticeKind::LastCall { .. }
            | NoticeKind::Retiring { disable_at: None, .. } => Self::WillBeDeleted,
            NoticeKind::RotationAhead { .. } => Self::WillBeRotated,
            NoticeKind::Reactivated { .. } => Self::EnabledAgain,
            NoticeKind::ScheduleCancelled(_) => Self::Cancelled,
            NoticeKind::SecretDeleted => Self::SecretDeleted,
        }
    }

    /// Returns the text between the number and the date.
    fn phrase(self, mode: Mode) -> &'static str {
        let either = |done, planned| if mode == Mode::Enforced { done } else { planned };
        match self {
            Self::Failed => "not rotated",
            Self::InUse => "used after rotation",
            Self::Rotated => "rotated",
            Self::Forced => "deleted by force",
            Self::DueNow => either("due for rotation", "would be rotated now"),
            Self::DisabledNow => either("disabled", "would be disabled now"),
            Self::DeletedNow => either("deleted", "would be deleted now"),
            Self::WillBeDisabled => either("will be disabled", "would be disabled"),
            Self::WillBeDeleted => either("will be deleted", "would be deleted"),
            Self::WillBeRotated => either("will be rotated", "would be rotated"),
            Self::EnabledAgain => "enabled again",
            Self::Cancelled => either("no longer rotated", "would no longer be rotated"),
            Self::SecretDeleted => "of deleted users",
        }
    }

    fn is_in_future(self) -> bool {
        matches!(self, Self::WillBeDisabled | Self::WillBeDeleted | Self::WillBeRotated)
    }
}

/// The number and the dates of the notices in one group.
#[derive(Default)]
struct GroupCount {
    count: usize,
    dates: BTreeSet<NoticeDate>,
}

fn of_several(mode: Mode, items: &[&Addressed<'_>], longest: usize) -> String {
    let mut groups: BTreeMap<Happening, GroupCount> = BTreeMap::new();
    for item in items {
        let group = groups.entry(Happening::of(&item.notice.kind)).or_default();
        group.count += 1;
        group.dates.extend(item.notice.kind.date());
    }
    let scope = format!(" ({})", users_or_accounts(items));
    let room = longest.saturating_sub("keywheel: ".len() + scope.chars().count());
    let mut parts = groups.iter().enumerate().map(|(position, (happening, group))| {
        let number = if position == 0 { counted(group.count, "access key") } else { grouped(group.count) };
        format!("{number} {}{}", happening.phrase(mode), deadline(*happening, &group.dates))
    });
    let mut text = parts.next().unwrap_or_default();
    let mut remaining: usize = items.len() - groups.values().next().map_or(0, |group| group.count);
    for (part, group) in parts.zip(groups.values().skip(1)) {
        // Some room is kept for the count of the groups that do not fit.
        if text.chars().count() + part.chars().count() + ", and 1,000,000 more".len() > room {
            break;
        }
        text = format!("{text}, {part}");
        remaining -= group.count;
    }
    let rest = if remaining > 0 { format!(", and {} more", grouped(remaining)) } else { String::new() };
    format!("keywheel: {text}{rest}{scope}")
}

fn deadline(happening: Happening, dates: &BTreeSet<NoticeDate>) -> String {
    let days = || dates.iter().map(|date| date.at());
    match (days().min(), days().max()) {
        (Some(first), Some(_)) if happening.is_in_future() && !dates.iter().all(|date| date.is_exact()) => {
            format!(" {}", NoticeDate::From(first))
        }
        (Some(first), Some(last)) if happening.is_in_future() => {
            let preposition = if day(first) == day(last) { "on" } else { "by" };
            format!(" {preposition} {}", day(last))
        }
        _ => String::new(),
    }
}

/// Returns the user and the account of the notices, only the account of several users, or the number of accounts.
fn users_or_accounts(items: &[&Addressed<'_>]) -> String {
    let users: BTreeSet<_> = items.iter().map(|item| &item.notice.user).collect();
    let accounts: BTreeMap<_, &AccountContact> =
        items.iter().map(|item| (&item.notice.user.account, item.account)).collect();
    let Some(account) = accounts.values().next().filter(|_| accounts.len() == 1) else {
        return counted(accounts.len(), "account");
    };
    let name = match one_line(&account.name, 24) {
        empty if empty.is_empty() => account.id.to_string(),
        name => name,
    };
    match users.first() {
        Some(user) if users.len() == 1 => format!("{}, {name}", cut(user.name.as_str(), 32)),
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::Notice;
    use crate::notify::fixtures::{contact, key, kinds, notice, rotation_ahead, time, user};
    use crate::state::Notified;

    fn of(mode: Mode, account: &AccountContact, notices: &[Notice]) -> String {
        let notified = Notified::default();
        let addressed: Vec<Addressed<'_>> =
            notices.iter().map(|notice| Addressed { notice, account, notified: &notified }).collect();
        subject(mode, &addressed.iter().collect::<Vec<_>>())
    }

    fn enforced(notices: &[Notice]) -> String {
        of(Mode::Enforced, &contact("prod", None), notices)
    }

    #[test]
    fn a_single_notice_names_user_event_and_date() {
        let lines: Vec<String> = kinds().into_iter().map(|(_, kind)| enforced(&[notice(kind)])).collect();
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn several_notices_are_counted_by_event() {
        let disable = |text| NoticeKind::DisableAhead { at: NoticeDate::On(time(text)), last_use: None };
        let rotated = || NoticeKind::Rotated { old_key: None, disable_at: None, forced: None };
        let of = |name: &str, kind| Notice { user: user(name), ..notice(kind) };
        let notices = [
            of("a", rotated()),
            of("b", disable("2026-12-01T00:00:00Z")),
            of("c", rotated()),
            of("d", disable("2026-11-30T00:00:00Z")),
            of("e", rotated()),
        ];
        assert_eq!(enforced(&notices), "keywheel: 3 access keys rotated, 2 will be disabled by 2026-12-01 (prod)");
        assert_eq!(enforced(&notices[1..3]), "keywheel: 1 access key rotated, 1 will be disabled on 2026-12-01 (prod)");
        let of_one_user = [notice(rotated()), Notice { key: key(2), ..notice(rotation_ahead()) }];
        assert_eq!(
            enforced(&of_one_user),
            "keywheel: 1 access key rotated, 1 will be rotated on 2026-11-29 (ci-bot, prod)"
        );
    }

    #[test]
    fn several_accounts_are_counted() {
        let (notified, one) = (Notified::default(), contact("prod", None));
        let other = AccountContact { id: "444455556666".parse().unwrap(), ..contact("test", None) };
        let (first, mut second) = (notice(rotation_ahead()), notice(rotation_ahead()));
        second.user.account = other.id.clone();
        let items = [
            Addressed { notice: &first, account: &one, notified: &notified },
            Addressed { notice: &second, account: &other, notified: &notified },
        ];
        assert_eq!(
            subject(Mode::Enforced, &[&items[0], &items[1]]),
            "keywheel: 2 access keys will be rotated on 2026-11-29 (2 accounts)"
        );
    }

    #[test]
    fn upstream_defect_43_no_subject_says_violation() {
        let account = contact("prod", None);
        for (name, kind) in kinds() {
            let notices = [notice(kind)];
            let dry_run = of(Mode::DryRun, &account, &notices);
            assert!(dry_run.starts_with("[dry run] "), "{name}: {dry_run}");
            for text in [enforced(&notices), dry_run.clone()] {
                assert!(!text.to_lowercase().contains("violation"), "{name}: {text}");
            }
            for promise in ["will be", "was disabled", "was deleted", "is scheduled", "is no longer rotated"] {
                assert!(!dry_run.contains(promise), "{name}: {dry_run}");
            }
        }
    }

    #[test]
    fn no_subject_is_long_and_none_loses_its_date() {
        let account = contact(&"n".repeat(50), None);
        for mode in [Mode::Enforced, Mode::DryRun] {
            for (name, kind) in kinds() {
                let date = kind.date().map(|date| day(date.at())).unwrap_or_default();
                let text = of(mode, &account, &[Notice { user: user(&"u".repeat(128)), ..notice(kind) }]);
                assert!(text.chars().count() <= MAX_SUBJECT_LENGTH, "{name}: {text}");
                assert!(
                    text.trim_end_matches(" on").ends_with(&date) && text.contains("uuuu") && text.contains("nnnn"),
                    "{name}: {text}"
                );
            }
            let all: Vec<Notice> = kinds().into_iter().map(|(_, kind)| notice(kind)).collect();
            let text = of(mode, &account, &all);
            assert!(text.chars().count() <= MAX_SUBJECT_LENGTH, "{text}");
            assert!(text.contains(" more ("), "the rest is counted: {text}");
        }
    }

    #[test]
    fn an_account_name_cannot_add_a_header() {
        let account = contact("prod\r\nBcc: everybody@example.com\u{2028}\u{202e}x", None);
        let one = [notice(rotation_ahead())];
        for notices in [&one[..], &[one[0].clone(), one[0].clone()]] {
            let text = of(Mode::Enforced, &account, notices);
            assert!(!text.chars().any(|c| c.is_control() || "\u{2028}\u{202e}".contains(c)), "{text:?}");
            assert!(text.contains("prod Bcc"), "{text:?}");
        }
    }

    #[test]
    fn names_share_their_room() {
        for (room, first, second, shared) in [
            (20, "ci-bot", "prod", ("ci-bot", "prod")),
            (10, "abcdefghij", "klmnopqrst", ("abcdef…", "kl…")),
            (10, "abc", "klmnopqrst", ("abc", "klmnop…")),
            (10, "abcdefghij", "k", ("abcdefgh…", "k")),
        ] {
            let (left, right) = share(room, first, second);
            assert_eq!((left.as_str(), right.as_str()), shared);
        }
    }
}
