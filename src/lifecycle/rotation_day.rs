//! The day on which a key is rotated, and the schedule that would rotate the key before that day.

use chrono::{DateTime, TimeDelta, Utc};

use super::action::Action;
use super::facts::{KeyFacts, PresentSecret, UserFacts};
use super::planner::Planner;
use crate::calendar::due;
use crate::keys::AccessKeyId;
use crate::settings::Periods;
use crate::state::Phase;

/// Limits how long an announced day may put a due rotation off, because a forged tag could otherwise stop it for good.
/// An announced day is later than the due day only if the rotation period became shorter meanwhile.
const ROTATION_KEEPS_DATE: TimeDelta = TimeDelta::days(31);

/// Limits the time after a rotation in which `NextRotationDate` may still count from the rotation before. Secrets
/// Manager counts anew only after finishSecret has recorded the facts in the tags. The list of secrets lags by up to
/// five minutes. An hour covers both, and clocks that differ.
/// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_ListSecrets.html>
const NEXT_ROTATION_IS_NEW_AFTER: TimeDelta = TimeDelta::hours(1);

impl UserFacts {
    /// Returns the latest day that notices of these phases named for the key.
    pub(super) fn announced(&self, key: &AccessKeyId, phases: &[Phase]) -> Option<DateTime<Utc>> {
        let notified = &self.secret.present()?.state.notified;
        phases.iter().filter_map(|phase| notified.announced(key, *phase)).map(|(day, _)| day).max()
    }

    /// Returns the day on which the key is rotated: after its period, and never before the day that was announced.
    pub(super) fn rotation_day(&self, key: &KeyFacts, periods: &Periods) -> DateTime<Utc> {
        let due = due(key.created, periods.rotation);
        let announced = self.announced(&key.id, &[Phase::RotateAhead]);
        announced.filter(|day| *day <= due + ROTATION_KEEPS_DATE).map_or(due, |day| day.max(due))
    }

    /// Returns the key whose age decides when the next rotation is due, and the day of that rotation; `None` if no such
    /// key is known.
    pub fn rotation_due(&self, periods: &Periods) -> Option<(&AccessKeyId, DateTime<Utc>)> {
        self.reference_key().map(|key| (&key.id, self.rotation_day(key, periods)))
    }
}

/// Plans to leave a running schedule off that would rotate the key before its day. A schedule counts from the last
/// rotation or change of the value. It ignores a key that a person made since, and a day that was announced.
/// <https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotate-secrets_schedule.html>
pub(super) fn leave_early_schedule_off(planner: &mut Planner<'_>, secret: &PresentSecret) {
    let (facts, now) = (planner.facts, planner.now);
    // A rotation that has begun goes on. If the secret holds the key of a deleted user, no rotation is too early.
    if secret.unfinished_version.is_some() || facts.key_in_flight().is_some() || facts.is_made_again(now) {
        return;
    }
    let was_rotated_lately = secret.state.rotated_at.is_some_and(|at| now < at + NEXT_ROTATION_IS_NEW_AFTER);
    let next = secret.next_rotation.filter(|_| secret.rotation_enabled && !was_rotated_lately);
    let (Some(next), Some((key, day))) = (next, facts.rotation_due(planner.periods)) else { return };
    // The service may rotate at any hour of the last day.
    if next.date_naive() < day.date_naive() && now < day {
        planner.act(Action::LeaveScheduleOff { key: key.clone(), until: day });
    }
}
