//! What is remembered as told: the whole notice, or one audience of it while the other could not be reached. Pure.

use chrono::{DateTime, Utc};

use crate::keys::AccessKeyId;
use crate::lifecycle::Notice;
use crate::state::Notified;

/// Who hears of a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Audience {
    /// The contact of the user's account.
    Account,
    /// The owner that a tag on the user names.
    Owner,
    /// The recipient of the settings, where it is told of everything.
    Copy,
    /// The topic.
    Topic,
}

impl Audience {
    const ALL: [Self; 4] = [Self::Account, Self::Owner, Self::Copy, Self::Topic];

    /// What the tag holds while this audience alone was told. It keeps to the characters of a tag's value, and away
    /// from the space and the full stop that divide that tag.
    fn mark(self, phase: &str) -> String {
        match self {
            Self::Account => format!("{phase}@account"),
            Self::Owner => format!("{phase}@owner"),
            Self::Copy => format!("{phase}@copy"),
            Self::Topic => format!("{phase}@topic"),
        }
    }
}

/// Who was told of a notice, counting earlier runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// Everybody who can be.
    Fully,
    /// These, and somebody is left.
    Partly(Vec<Audience>),
    /// Nobody.
    Not,
}

/// Whether that audience was told of the notice before.
pub(super) fn was_told(notice: &Notice, notified: &Notified, audience: Audience) -> bool {
    notified.contains(&notice.key, &audience.mark(notice.kind.phase()))
}

/// Remembers who was told. Safe to repeat. Not for dry runs, which change nothing, tags included.
pub fn remember(notified: &mut Notified, notice: &Notice, told: &Told, now: DateTime<Utc>) {
    let phase = notice.kind.phase();
    match told {
        Told::Fully => {
            *notified = without_partial_marks(notified, &notice.key, phase);
            if notice.kind.lasts() {
                notified.insert_on(&notice.key, phase, now);
            } else {
                notified.insert(&notice.key, phase);
            }
        }
        Told::Partly(audiences) => {
            for audience in audiences {
                notified.insert(&notice.key, &audience.mark(phase));
            }
        }
        Told::Not => {}
    }
}

/// The same without what was remembered for single audiences.
fn without_partial_marks(notified: &Notified, key: &AccessKeyId, phase: &str) -> Notified {
    let mut kept = notified.clone();
    for audience in Audience::ALL {
        kept.remove(key, &audience.mark(phase));
    }
    kept
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use chrono::TimeDelta;

    use crate::lifecycle::NoticeKind;
    use crate::notify::fixtures::{key, kinds, notice, now, rotation_ahead};
    use crate::state::{State, tag};

    #[test]
    fn what_was_told_to_everybody_is_remembered_of_that_key() {
        let notice = notice(rotation_ahead());
        let is_told = |key, notified: &Notified| notice.kind.is_told(key, notified, None, now());
        let mut notified = Notified::default();
        remember(&mut notified, &notice, &Told::Not, now());
        assert_eq!(notified, Notified::default());
        remember(&mut notified, &notice, &Told::Fully, now());
        assert!(is_told(&notice.key, &notified));
        assert!(!is_told(&key(7), &notified));
    }

    #[test]
    fn a_trouble_that_lasts_is_told_again_after_the_period_and_others_never_are() {
        let week = Some(TimeDelta::days(7));
        for (name, kind) in kinds() {
            let notice = notice(kind);
            let mut notified = Notified::default();
            remember(&mut notified, &notice, &Told::Fully, now());
            let is_told =
                |repeat, days| notice.kind.is_told(&notice.key, &notified, repeat, now() + TimeDelta::days(days));
            assert!(is_told(week, 0) && is_told(week, 6) && is_told(None, 1000), "{name}");
            assert_eq!(is_told(week, 7), !notice.kind.lasts(), "{name}");
        }
    }

    #[test]
    fn what_an_event_said_of_a_failed_rotation_is_not_said_again_with_less() {
        let failed = notice(NoticeKind::RotationFailed { reason: String::new() });
        let unfinished = NoticeKind::RotationUnfinished { since: now() };
        let week = Some(TimeDelta::days(7));
        let mut notified = Notified::default();
        remember(&mut notified, &failed, &Told::Fully, now());
        let day = |days| now() + TimeDelta::days(days);
        assert!(failed.kind.is_told(&failed.key, &notified, week, day(6)));
        assert!(!failed.kind.is_told(&failed.key, &notified, week, day(7)));
        assert!(unfinished.is_told(&failed.key, &notified, week, day(7)), "the event comes first");
        assert!(!unfinished.is_told(&failed.key, &notified, week, day(8)));
        let mut notified = Notified::default();
        remember(&mut notified, &notice(unfinished), &Told::Fully, now());
        assert!(!failed.kind.is_told(&failed.key, &notified, week, now()), "the reason is news");
    }

    #[test]
    fn half_a_telling_is_remembered_until_the_other_half_is_done() {
        let notice = notice(rotation_ahead());
        let is_told = |notified: &Notified| notice.kind.is_told(&notice.key, notified, None, now());
        let mut notified = Notified::default();
        notified.insert(&notice.key, "rotated");
        notified.insert(&key(7), "deleted");
        remember(&mut notified, &notice, &Told::Partly(vec![Audience::Account]), now());
        assert!(!is_told(&notified));
        assert!(was_told(&notice, &notified, Audience::Account));
        for other in [Audience::Owner, Audience::Copy, Audience::Topic] {
            assert!(!was_told(&notice, &notified, other));
        }

        remember(&mut notified, &notice, &Told::Fully, now());
        assert!(is_told(&notified));
        assert!(!was_told(&notice, &notified, Audience::Account), "the partial mark goes");
        assert!(notified.contains(&notice.key, "rotated") && notified.contains(&key(7), "deleted"));
    }

    #[test]
    fn marks_survive_the_way_through_a_tag() {
        let notice = notice(rotation_ahead());
        let mut notified = Notified::default();
        remember(&mut notified, &notice, &Told::Partly(vec![Audience::Owner, Audience::Topic]), now());
        let text = notified.to_tag();
        assert!(text.chars().all(|c| c.is_ascii_alphanumeric() || " _.:/=+-@".contains(c)), "{text}");
        let read = State::read(&BTreeMap::from([(tag::NOTIFIED.to_owned(), text)])).notified;
        for (audience, told) in Audience::ALL.into_iter().zip([false, true, false, true]) {
            assert_eq!(was_told(&notice, &read, audience), told, "{audience:?}");
        }
    }
}
