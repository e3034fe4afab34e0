//! The notices about a rotation, or about a rotation that failed, as the tags of its secret explain them. An event and
//! a sweep decide by the same rules.

use chrono::{DateTime, TimeDelta, Utc};

use super::facts::{KeyFacts, PresentSecret};
use super::named_key::NamedKey;
use super::notice::NoticeKind;
use super::notice_date::NoticeDate;
use super::planner::Planner;
use crate::calendar::due;
use crate::keys::AccessKeyId;
use crate::settings::Periods;
use crate::state::{FailedStep, FailureCause, Step};

/// Limits how long a sweep leaves the notice of a failed step to the event of its rotation. Secrets Manager attempts
/// the rotation again within minutes, and sends the event when it gives up.
const FAILURE_IS_NEWS_AFTER: TimeDelta = TimeDelta::hours(1);

/// An event of Secrets Manager about one secret. It says what happened, but not why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// The label AWSCURRENT moved.
    LabelMoved,
    /// A rotation failed.
    RotationFailed,
    /// Somebody put a version by hand, which ended an unfinished rotation.
    RotationAbandoned,
    /// The test of a rotation's configuration failed.
    TestFailed,
}

/// Returns the notices of an event, each with its key, without notices that were sent and are not due again. Returns
/// none if the tags do not explain the event: the next sweep observes more. `keys` are the user's, if they were read.
pub fn notices_of(
    secret: &PresentSecret,
    news: News,
    keys: &[NamedKey],
    periods: &Periods,
    now: DateTime<Utc>,
) -> Vec<(AccessKeyId, NoticeKind)> {
    let first = notice_of(secret, news, keys, periods, now);
    let is_of_rotation = first.as_ref().is_some_and(|(_, kind)| matches!(kind, NoticeKind::Rotated { .. }));
    // A rotation that succeeded kept the records of keys that it found deleted, and of no other keys.
    let forced = secret.state.notified.owed_forced().filter(|_| is_of_rotation);
    let forced: Vec<_> = forced.map(|key| (key.clone(), NoticeKind::Forced)).collect();
    first.into_iter().chain(forced).collect()
}

fn notice_of(
    secret: &PresentSecret,
    news: News,
    keys: &[NamedKey],
    periods: &Periods,
    now: DateTime<Utc>,
) -> Option<(AccessKeyId, NoticeKind)> {
    let state = &secret.state;
    if !state.managed || !state.malformed.is_empty() {
        return None;
    }
    let key = state.current_key.clone().or_else(|| newest_active(keys))?;
    let kind = match news {
        News::LabelMoved => rotated(secret, periods, now).filter(|_| state.current_key.is_some())?,
        News::RotationFailed => NoticeKind::RotationFailed {
            failed: state.failed.clone().filter(|failed| is_unfinished(secret, failed)),
            keys: keys.to_vec(),
        },
        News::RotationAbandoned => NoticeKind::RotationAbandoned,
        News::TestFailed => NoticeKind::RotationTestFailed { failed: state.failed.clone().filter(is_test) },
    };
    let is_sent = kind.was_sent(&key, &state.notified, periods.repeat, now);
    (!is_sent).then_some((key, kind))
}

/// Whether the notice of an event names the user's keys, so that they have to be read.
pub fn names_keys(secret: &PresentSecret, news: News) -> bool {
    let is_without_slot = |failed: &FailedStep| failed.cause == FailureCause::NoFreeSlot;
    let state = &secret.state;
    match news {
        News::RotationFailed => state.current_key.is_none() || state.failed.as_ref().is_some_and(is_without_slot),
        News::RotationAbandoned | News::TestFailed => state.current_key.is_none(),
        News::LabelMoved => false,
    }
}

/// Returns the notice of the last rotation; `None` if the secret holds no tested key, or if its new key is announced
/// and not recorded. Until then, `current_key` and `rotated_at` are facts of the rotation before.
fn rotated(secret: &PresentSecret, periods: &Periods, now: DateTime<Utc>) -> Option<NoticeKind> {
    let state = &secret.state;
    let is_tested = state.unsettled_intent(secret.current_version.as_ref()).is_none();
    let (_, rotated_at) = secret.tested_key().filter(|_| is_tested)?;
    let old_key = state.previous_key.clone();
    let disable_at = old_key.as_ref().map(|_| due(rotated_at, periods.installation_grace));
    let disable_at = disable_at.filter(|at| now < *at).map(NoticeDate::On);
    Some(NoticeKind::Rotated { old_key, disable_at, forced: state.notified.owed_forced().next().cloned() })
}

fn newest_active(keys: &[NamedKey]) -> Option<AccessKeyId> {
    keys.iter().filter(|key| key.is_active()).max_by_key(|key| key.created).map(|key| key.id.clone())
}

fn is_unfinished(secret: &PresentSecret, failed: &FailedStep) -> bool {
    secret.unfinished_version.as_ref() == Some(&failed.version)
}

fn is_test(failed: &FailedStep) -> bool {
    failed.step == Step::TestSecret
}

impl Planner<'_> {
    /// Plans the notice of a failed rotation or test whose event or mail was lost: the tag keeps the cause.
    pub(super) fn notify_of_failure(&mut self, secret: &PresentSecret) {
        let Some(failed) = secret.state.failed.as_ref().filter(|failed| self.now >= failed.at + FAILURE_IS_NEWS_AFTER)
        else {
            return;
        };
        let current = secret.state.current_key.as_ref();
        let Some(key) = current.or(self.facts.reference_key().map(|key| &key.id)) else { return };
        if is_unfinished(secret, failed) {
            let keys = self.facts.keys.iter().map(KeyFacts::named).collect();
            self.notify(key, NoticeKind::RotationFailed { failed: Some(failed.clone()), keys });
        } else if secret.unfinished_version.is_none() && is_test(failed) && is_of_this_key(secret, failed) {
            self.notify(key, NoticeKind::RotationTestFailed { failed: Some(failed.clone()) });
        }
    }

    /// Whether the sweep knows why the unfinished rotation failed, so that its notice says more than "unfinished".
    pub(super) fn knows_cause(&self) -> bool {
        let secret = self.facts.secret.present();
        secret.is_some_and(|secret| secret.state.failed.as_ref().is_some_and(|failed| is_unfinished(secret, failed)))
    }
}

/// Whether the step failed after the last rotation, so that the failure concerns the current key.
fn is_of_this_key(secret: &PresentSecret, failed: &FailedStep) -> bool {
    secret.facts_are_fresh() && secret.state.rotated_at.is_none_or(|rotated_at| failed.at >= rotated_at)
}
