//! What is remembered as told: the whole notice, or one audience of it while the other could not be reached. Pure.

use chrono::{DateTime, TimeDelta, Utc};

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
    /// The letter by which a tag knows it.
    fn letter(self) -> char {
        match self {
            Self::Account => 'a',
            Self::Owner => 'o',
            Self::Copy => 'c',
            Self::Topic => 't',
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

/// Whether that audience was told of the notice before, while another was not, and is not to be told again yet.
pub(super) fn was_told(
    notice: &Notice,
    notified: &Notified,
    audience: Audience,
    repeat: Option<TimeDelta>,
    now: DateTime<Utc>,
) -> bool {
    let after = repeat.filter(|_| notice.kind.lasts()).map(|period| now - period);
    notified.was_sent_to(&notice.key, notice.kind.phase(), audience.letter(), after)
}

/// Remembers who was told. Safe to repeat. Not for dry runs, which change nothing, tags included.
pub fn remember(notified: &mut Notified, notice: &Notice, told: &Told, now: DateTime<Utc>) {
    let Notice { key, kind, .. } = notice;
    let on = kind.lasts().then_some(now);
    match (told, on) {
        (Told::Fully, Some(now)) => notified.record_on(key, kind.phase(), now),
        (Told::Fully, None) => notified.record(key, kind.phase()),
        (Told::Partly(audiences), on) => {
            let letters = audiences.iter().map(|audience| audience.letter()).collect();
            notified.record_for(key, kind.phase(), letters, on);
        }
        (Told::Not, _) => {}
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::lifecycle::NoticeKind;
    use crate::notify::fixtures::{key, kinds, notice, now, rotation_ahead};
    use crate::state::{Phase, State, tag};

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
        notified.record(&notice.key, Phase::Rotated);
        notified.record(&key(7), Phase::Deleted);
        remember(&mut notified, &notice, &Told::Partly(vec![Audience::Account]), now());
        assert!(!is_told(&notified));
        let is_told_to = |audience, notified: &Notified| was_told(&notice, notified, audience, None, now());
        assert!(is_told_to(Audience::Account, &notified));
        for other in [Audience::Owner, Audience::Copy, Audience::Topic] {
            assert!(!is_told_to(other, &notified));
        }

        remember(&mut notified, &notice, &Told::Fully, now());
        assert!(is_told(&notified));
        assert!(!is_told_to(Audience::Account, &notified), "the partial mark goes");
        assert!(notified.was_sent(&notice.key, Phase::Rotated) && notified.was_sent(&key(7), Phase::Deleted));
    }

    #[test]
    fn marks_survive_the_way_through_a_tag() {
        let notice = notice(rotation_ahead());
        let mut notified = Notified::default();
        remember(&mut notified, &notice, &Told::Partly(vec![Audience::Owner, Audience::Topic]), now());
        let text = notified.to_tag();
        assert!(text.chars().all(|c| c.is_ascii_alphanumeric() || " _.:/=+-@".contains(c)), "{text}");
        let read = State::read(&BTreeMap::from([(tag::NOTIFIED.to_owned(), text)])).notified;
        for (audience, told) in
            [(Audience::Account, false), (Audience::Owner, true), (Audience::Copy, false), (Audience::Topic, true)]
        {
            assert_eq!(was_told(&notice, &read, audience, None, now()), told, "{audience:?}");
        }
    }

    #[test]
    fn those_who_were_told_of_a_trouble_are_told_again_although_somebody_never_is() {
        let failed = notice(NoticeKind::RotationFailed { reason: String::new() });
        let week = Some(TimeDelta::days(7));
        let mut notified = Notified::default();
        remember(&mut notified, &failed, &Told::Partly(vec![Audience::Owner]), now());
        let is_told = |days| was_told(&failed, &notified, Audience::Owner, week, now() + TimeDelta::days(days));
        assert!(is_told(0) && is_told(6) && !is_told(7));
    }
}
