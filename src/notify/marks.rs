//! What is remembered as told: the whole notice, or one audience of it while the other could not be reached. Pure.

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
}

impl Audience {
    const ALL: [Self; 2] = [Self::Account, Self::Owner];

    /// What the tag holds while this audience alone was told. It keeps to the characters of a tag's value, and away
    /// from the space and the full stop that divide that tag.
    fn mark(self, phase: &str) -> String {
        match self {
            Self::Account => format!("{phase}@account"),
            Self::Owner => format!("{phase}@owner"),
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

/// Whether somebody is still to be told of the notice.
pub fn is_due(notice: &Notice, notified: &Notified) -> bool {
    !notified.contains(&notice.key, notice.kind.phase())
}

/// Whether that audience was told of the notice before.
pub(super) fn was_told(notice: &Notice, notified: &Notified, audience: Audience) -> bool {
    notified.contains(&notice.key, &audience.mark(notice.kind.phase()))
}

/// Remembers who was told. Safe to repeat. Not for dry runs, which change nothing, tags included.
pub fn remember(notified: &mut Notified, notice: &Notice, told: &Told) {
    let phase = notice.kind.phase();
    match told {
        Told::Fully => {
            *notified = without_partial_marks(notified, &notice.key, phase);
            notified.insert(&notice.key, phase);
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
    use crate::notify::fixtures::{key, notice, rotation_ahead};
    use crate::state::{State, tag};

    #[test]
    fn what_was_told_to_everybody_is_not_due_again() {
        let notice = notice(rotation_ahead());
        let mut notified = Notified::default();
        assert!(is_due(&notice, &notified));
        remember(&mut notified, &notice, &Told::Not);
        assert!(is_due(&notice, &notified) && notified == Notified::default());
        remember(&mut notified, &notice, &Told::Fully);
        assert!(!is_due(&notice, &notified));
        let mut of_another_key = notice.clone();
        of_another_key.key = key(7);
        assert!(is_due(&of_another_key, &notified));
    }

    #[test]
    fn half_a_telling_is_remembered_until_the_other_half_is_done() {
        let notice = notice(rotation_ahead());
        let mut notified = Notified::default();
        notified.insert(&notice.key, "rotated");
        notified.insert(&key(7), "deleted");
        remember(&mut notified, &notice, &Told::Partly(vec![Audience::Account]));
        assert!(is_due(&notice, &notified));
        assert!(was_told(&notice, &notified, Audience::Account));
        assert!(!was_told(&notice, &notified, Audience::Owner));

        remember(&mut notified, &notice, &Told::Fully);
        assert!(!is_due(&notice, &notified));
        assert!(!was_told(&notice, &notified, Audience::Account), "the partial mark goes");
        assert!(notified.contains(&notice.key, "rotated") && notified.contains(&key(7), "deleted"));
    }

    #[test]
    fn marks_survive_the_way_through_a_tag() {
        let notice = notice(rotation_ahead());
        let mut notified = Notified::default();
        remember(&mut notified, &notice, &Told::Partly(vec![Audience::Owner]));
        let text = notified.to_tag();
        assert!(text.chars().all(|c| c.is_ascii_alphanumeric() || " _.:/=+-@".contains(c)), "{text}");
        let read = State::read(&BTreeMap::from([(tag::NOTIFIED.to_owned(), text)])).notified;
        assert!(was_told(&notice, &read, Audience::Owner) && !was_told(&notice, &read, Audience::Account));
    }
}
