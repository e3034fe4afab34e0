//! The audiences that got a notice, and their record in a tag: the whole notice, or some audiences while another could
//! not be reached. Pure.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};

use crate::lifecycle::Notice;
use crate::state::Notified;

/// The audiences of a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Audience {
    /// The contact of the user's account.
    Account,
    /// The owner that a tag on the user names.
    Owner,
    /// The recipient of the settings, if it gets a copy of everything.
    Copy,
    /// The SNS topic.
    Topic,
}

impl Audience {
    /// Returns the letter that stands for it in a tag.
    fn letter(self) -> char {
        match self {
            Self::Account => 'a',
            Self::Owner => 'o',
            Self::Copy => 'c',
            Self::Topic => 't',
        }
    }
}

/// The audiences that got a notice, earlier runs included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivered {
    /// Every audience that can be reached.
    ToAll,
    /// These audiences. At least one other is still due.
    ToSome(Vec<Audience>),
    /// No audience: the notice was not sent, in this run or before, so nothing is recorded.
    ToNobody,
}

impl Delivered {
    /// Returns the record for a notice whose owner is not known. All other audiences keep the notice, and the owner
    /// counts as without it.
    #[must_use]
    pub fn without_owner(self) -> Self {
        match self {
            Self::ToAll => Self::ToSome(vec![Audience::Account, Audience::Copy, Audience::Topic]),
            other => other,
        }
    }

    /// Whether the record says that the account has the notice, whether or not the owner has it.
    pub fn account_has(notice: &Notice, notified: &Notified, repeat: Option<TimeDelta>, now: DateTime<Utc>) -> bool {
        was_sent_to(notice, notified, Audience::Account, repeat, now)
    }

    /// Records who got the notice. Safe to repeat. A dry run changes nothing, tags included, so it records nothing.
    pub fn record(&self, notified: &mut Notified, notice: &Notice, now: DateTime<Utc>) {
        let Notice { key, kind, .. } = notice;
        let letters: BTreeSet<char> = match self {
            Self::ToAll => BTreeSet::new(),
            Self::ToSome(audiences) => audiences.iter().map(|audience| audience.letter()).collect(),
            Self::ToNobody => return,
        };
        if *self != Self::ToAll && letters.is_empty() {
            return;
        }
        match (kind.dated(), kind.lasts().then_some(now)) {
            (Some(date), _) => notified.record_dated(key, kind.phase(), letters, date.at(), date.is_exact()),
            (None, Some(now)) if letters.is_empty() => notified.record_on(key, kind.phase(), now),
            (None, None) if letters.is_empty() => notified.record(key, kind.phase()),
            (None, on) => notified.record_for(key, kind.phase(), letters, on),
        }
    }
}

/// Whether the record says that this audience got the notice, while another audience is still due. A lasting problem
/// is due again after `repeat`.
pub(super) fn was_sent_to(
    notice: &Notice,
    notified: &Notified,
    audience: Audience,
    repeat: Option<TimeDelta>,
    now: DateTime<Utc>,
) -> bool {
    let after = repeat.filter(|_| notice.kind.lasts()).map(|period| now - period);
    let has_it = notified.was_sent_to(&notice.key, notice.kind.phase(), audience.letter(), after);
    has_it && notice.kind.keeps_its_date(&notice.key, notified)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::lifecycle::NoticeKind;
    use crate::notify::fixtures::{key, kinds, notice, now, rotation_ahead};
    use crate::state::{Phase, State, tag};

    #[test]
    fn a_notice_that_all_got_is_recorded_for_its_key() {
        let notice = notice(rotation_ahead());
        let was_sent = |key, notified: &Notified| notice.kind.was_sent(key, notified, None, now());
        let mut notified = Notified::default();
        Delivered::ToNobody.record(&mut notified, &notice, now());
        assert_eq!(notified, Notified::default());
        Delivered::ToAll.record(&mut notified, &notice, now());
        assert!(was_sent(&notice.key, &notified));
        assert!(!was_sent(&key(7), &notified));
    }

    #[test]
    fn only_a_lasting_problem_is_sent_again_after_the_period() {
        let week = Some(TimeDelta::days(7));
        for (name, kind) in kinds() {
            let notice = notice(kind);
            let mut notified = Notified::default();
            Delivered::ToAll.record(&mut notified, &notice, now());
            let was_sent =
                |repeat, days| notice.kind.was_sent(&notice.key, &notified, repeat, now() + TimeDelta::days(days));
            assert!(was_sent(week, 0) && was_sent(week, 6) && was_sent(None, 1000), "{name}");
            assert_eq!(was_sent(week, 7), !notice.kind.lasts(), "{name}");
        }
    }

    #[test]
    fn a_failure_with_its_reason_is_not_repeated_without_it() {
        let failed = notice(NoticeKind::RotationFailed { failed: None, keys: Vec::new() });
        let unfinished = NoticeKind::RotationUnfinished { since: now() };
        let week = Some(TimeDelta::days(7));
        let mut notified = Notified::default();
        Delivered::ToAll.record(&mut notified, &failed, now());
        let day = |days| now() + TimeDelta::days(days);
        assert!(failed.kind.was_sent(&failed.key, &notified, week, day(6)));
        assert!(!failed.kind.was_sent(&failed.key, &notified, week, day(7)));
        assert!(unfinished.was_sent(&failed.key, &notified, week, day(7)), "the event comes first");
        assert!(!unfinished.was_sent(&failed.key, &notified, week, day(8)));
        let mut notified = Notified::default();
        Delivered::ToAll.record(&mut notified, &notice(unfinished), now());
        assert!(!failed.kind.was_sent(&failed.key, &notified, week, now()), "the reason is news");
    }

    #[test]
    fn a_partial_record_lasts_until_all_got_the_notice() {
        let notice = notice(rotation_ahead());
        let was_sent = |notified: &Notified| notice.kind.was_sent(&notice.key, notified, None, now());
        let mut notified = Notified::default();
        notified.record(&notice.key, Phase::Rotated);
        notified.record(&key(7), Phase::Deleted);
        Delivered::ToSome(vec![Audience::Account]).record(&mut notified, &notice, now());
        assert!(!was_sent(&notified));
        let is_sent_to = |audience, notified: &Notified| was_sent_to(&notice, notified, audience, None, now());
        assert!(is_sent_to(Audience::Account, &notified));
        for other in [Audience::Owner, Audience::Copy, Audience::Topic] {
            assert!(!is_sent_to(other, &notified));
        }

        Delivered::ToAll.record(&mut notified, &notice, now());
        assert!(was_sent(&notified));
        assert!(!is_sent_to(Audience::Account, &notified), "the partial record is gone");
        assert!(notified.was_sent(&notice.key, Phase::Rotated) && notified.was_sent(&key(7), Phase::Deleted));
    }

    #[test]
    fn audiences_survive_the_way_through_a_tag() {
        let notice = notice(rotation_ahead());
        let mut notified = Notified::default();
        Delivered::ToSome(vec![Audience::Owner, Audience::Topic]).record(&mut notified, &notice, now());
        let text = notified.to_tag();
        assert!(text.chars().all(|c| c.is_ascii_alphanumeric() || " _.:/=+-@".contains(c)), "{text}");
        let read = State::read(&BTreeMap::from([(tag::NOTIFIED.to_owned(), text)])).notified;
        for (audience, is_sent) in
            [(Audience::Account, false), (Audience::Owner, true), (Audience::Copy, false), (Audience::Topic, true)]
        {
            assert_eq!(was_sent_to(&notice, &read, audience, None, now()), is_sent, "{audience:?}");
        }
    }

    #[test]
    fn a_lasting_problem_is_repeated_for_each_audience() {
        let failed = notice(NoticeKind::RotationFailed { failed: None, keys: Vec::new() });
        let week = Some(TimeDelta::days(7));
        let mut notified = Notified::default();
        Delivered::ToSome(vec![Audience::Owner]).record(&mut notified, &failed, now());
        let was_sent = |days| was_sent_to(&failed, &notified, Audience::Owner, week, now() + TimeDelta::days(days));
        assert!(was_sent(0) && was_sent(6) && !was_sent(7));
    }
}
