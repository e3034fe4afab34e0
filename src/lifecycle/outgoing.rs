//! The retirement of an outgoing key: announced, disabled, recoverable, deleted.
//!
//! A user has at most one outgoing key: the key that the last rotation replaced or, when a rotation comes due and both
//! slots are taken, the second key that somebody made (`second_key` chooses it). An active key is never deleted.
//! Nothing happens to a key while something about it is unknown, and another key always works.

use chrono::{DateTime, TimeDelta, Utc};

use super::action::Action;
use super::action_name::ActionName;
use super::facts::KeyFacts;
use super::notice::NoticeKind;
use super::notice_date::NoticeDate;
use super::planner::Planner;
use super::user_plan::Wait;
use crate::calendar::{due, midnight};
use crate::keys::{AccessKeyId, KeyStatus, KeyUse, LastUse};
use crate::state::{Phase, State, was_enabled_since};

/// For this time after a rotation, a use of the replaced key is not reported: the owner is probably still installing
/// the new key.
const USE_IS_NEWS_AFTER: TimeDelta = TimeDelta::days(3);

/// How many days before a deletion the last call is sent. Every daily schedule has a run on the day before.
const LAST_CALL_BEFORE: TimeDelta = TimeDelta::days(1);

/// The phases of an outgoing key whose notices name the day of its disabling.
pub(super) const DISABLING: [Phase; 3] = [Phase::Reactivated, Phase::Retiring, Phase::DisableAhead];

/// The phases whose notices name the day of a deletion. `Retiring` does so for an inactive second key.
const DELETION: [Phase; 4] = [Phase::Retiring, Phase::Disabled, Phase::DeleteAhead, Phase::LastCall];

/// The phases of the warnings before a deletion.
const WARNINGS: [Phase; 2] = [Phase::DeleteAhead, Phase::LastCall];

/// A key that has to go.
pub(super) struct Outgoing<'a> {
    pub(super) key: &'a KeyFacts,
    /// When the key was disabled; `None` if it was not, or if the time is not known.
    pub(super) disabled_at: Option<DateTime<Utc>>,
    /// The days from the beginning of the retirement to the disabling.
    pub(super) grace: TimeDelta,
    /// When the retirement began.
    pub(super) since: DateTime<Utc>,
    /// The latest day that a notice named for the disabling.
    pub(super) announced: Option<DateTime<Utc>>,
    /// Why the key has to go.
    pub(super) origin: Origin<'a>,
}

/// Why a key has to go.
pub(super) enum Origin<'a> {
    /// A rotation replaced it.
    Replaced {
        /// When AWSCURRENT moved to its successor.
        rotated_at: DateTime<Utc>,
        /// Whether its grace began later, because a person enabled the key.
        restarted: bool,
        /// The successor, if the tags name it as the outgoing key: it was out of service until a person enabled it.
        returned: Option<&'a AccessKeyId>,
    },
    /// A rotation that comes due needs its slot.
    SecondKey,
}

impl<'a> Outgoing<'a> {
    /// Returns the key that the last rotation replaced, if its successor exists and is active. Without an active
    /// successor, nothing shows which of the two keys replaced which.
    pub(super) fn replaced(planner: &Planner<'a>) -> Option<Self> {
        let facts = planner.facts;
        let state = facts.state()?;
        let successor = facts.tested_key().filter(|key| key.is_active())?;
        let key = facts.key(state.previous_key.as_ref()?)?;
        let rotated_at = state.rotated_at?;
        let restarted = restarted_at(state, key, rotated_at);
        let since = restarted.unwrap_or(rotated_at);
        let retiring = state.retiring.as_ref().map(|retiring| &retiring.key);
        let returned = retiring.filter(|retiring| **retiring == successor.id);
        Some(Self {
            key,
            // While the tags name another outgoing key, the time belongs to that key.
            disabled_at: state.disabled_since(since).filter(|_| returned.is_none()),
            grace: planner.periods.installation_grace,
            since,
            announced: planner.announced(&key.id, &DISABLING).max(planner.announced(&successor.id, &[Phase::Rotated])),
            origin: Origin::Replaced { rotated_at, restarted: restarted.is_some(), returned },
        })
    }

    pub(super) fn disable_at(&self) -> DateTime<Utc> {
        // The periods may have become shorter since a notice named the day.
        Some(due(self.since, self.grace)).max(self.announced).unwrap_or_default()
    }

    /// The day on which the key is disabled, as a notice names it.
    pub(super) fn disable_date(&self, planner: &Planner<'_>) -> NoticeDate {
        self.date(planner, self.disable_at())
    }

    /// The day of an action as a notice names it. While something about the user's keys forbids the action, the day is
    /// only the first possible one.
    fn date(&self, planner: &Planner<'_>, at: DateTime<Utc>) -> NoticeDate {
        if self.obstacle(planner).is_some() { NoticeDate::From(at) } else { NoticeDate::On(at) }
    }

    /// Plans the next step of the retirement, or the wait for it.
    pub(super) fn retire(&self, planner: &mut Planner<'_>) {
        match (&self.key.status, self.disabled_at) {
            (KeyStatus::Active, Some(_)) => self.restart_after_enabling(planner),
            (KeyStatus::Active, None) if self.returned().is_some() => self.restart_after_return(planner),
            (KeyStatus::Active, None) => self.disable_in_time(planner),
            (KeyStatus::Inactive, Some(disabled_at)) if self.was_used_since(disabled_at) => {
                self.record_disabled(planner);
            }
            (KeyStatus::Inactive, Some(disabled_at)) => self.delete_in_time(planner, disabled_at),
            (KeyStatus::Inactive, None) => self.record_disabled(planner),
            (KeyStatus::Other(status), _) => {
                let error =
                    format!("access key {} has the unknown status {status}; nothing is done to it", self.key.id);
                planner.problem(ActionName::Disable, error);
            }
        }
    }

    /// The successor was out of service and this key was needed, so its owner gets the whole grace again.
    fn restart_after_return(&self, planner: &mut Planner<'_>) {
        let at = self.restart_grace(planner);
        let at = self.date(planner, at);
        let kind = NoticeKind::DisableAhead { at, last_use: self.use_since_rotation() };
        planner.notify_again_of(ActionName::RestartGrace, &self.key.id, kind);
    }

    /// Keywheel disabled the key and now it is active: a person needs it. Earlier notices about it are void.
    fn restart_after_enabling(&self, planner: &mut Planner<'_>) {
        let at = self.restart_grace(planner);
        let kind = NoticeKind::Reactivated { disable_at: self.date(planner, at) };
        planner.notify_again_of(ActionName::RestartGrace, &self.key.id, kind);
    }

    /// Returns when the key is disabled after its new grace.
    fn restart_grace(&self, planner: &mut Planner<'_>) -> DateTime<Utc> {
        planner.act(Action::RestartGrace { key: self.key.id.clone() });
        let disable_at = due(planner.now, self.grace);
        planner.slot_free_at = Some(due(disable_at, planner.periods.recovery_grace));
        disable_at
    }

    fn disable_in_time(&self, planner: &mut Planner<'_>) {
        let disable_at = self.disable_at();
        let id = &self.key.id;
        if planner.now < disable_at {
            planner.slot_free_at = Some(due(disable_at, planner.periods.recovery_grace));
            planner.wait(ActionName::Disable, Some(id), Wait::InstallationGrace, Some(disable_at));
            self.notify_of_past(planner);
            return self.announce_disabling(planner);
        }
        if let Some(obstacle) = self.obstacle(planner) {
            return planner.problem(ActionName::Disable, obstacle);
        }
        if !planner.takes_turn(ActionName::Disable, self.key, due(self.since, self.grace)) {
            planner.slot_free_at = Some(due(planner.now, planner.periods.recovery_grace));
            let at = NoticeDate::From(midnight(planner.now));
            let kind = NoticeKind::DisableAhead { at, last_use: self.use_since_rotation() };
            return planner.notify_of_wait(id, kind, &DISABLING);
        }
        planner.act(Action::Disable { key: id.clone() });
        let delete_at = due(planner.now, planner.periods.recovery_grace);
        planner.slot_free_at = Some(delete_at);
        let delete_at = self.date(planner, delete_at);
        let kind = NoticeKind::Disabled { delete_at, last_use: self.use_since_rotation() };
        planner.notify_of(ActionName::Disable, id, kind);
    }

    /// Somebody else disabled the key, or enabled and disabled it again, so its recovery grace starts now. An earlier
    /// notice named another date.
    fn record_disabled(&self, planner: &mut Planner<'_>) {
        if let Some(returned) = self.returned() {
            planner.act(Action::StopRetiring { key: returned.clone() });
        }
        planner.act(Action::RecordDisabled { key: self.key.id.clone() });
        let delete_at = due(planner.now, planner.periods.recovery_grace);
        planner.slot_free_at = Some(delete_at);
        let delete_at = self.date(planner, delete_at);
        let kind = NoticeKind::Disabled { delete_at, last_use: self.use_since_rotation() };
        planner.notify_again_of(ActionName::RecordDisabled, &self.key.id, kind);
    }

    fn delete_in_time(&self, planner: &mut Planner<'_>, disabled_at: DateTime<Utc>) {
        let id = &self.key.id;
        let grace_ends = due(disabled_at, planner.periods.recovery_grace);
        let delete_at = planner.announced(id, &DELETION).map_or(grace_ends, |day| day.max(grace_ends));
        if planner.now < delete_at {
            planner.slot_free_at = Some(delete_at);
            planner.wait(ActionName::Delete, Some(id), Wait::RecoveryGrace, Some(delete_at));
            return self.announce_deletion(planner, delete_at);
        }
        if let Some(obstacle) = self.obstacle(planner) {
            return planner.problem(ActionName::Delete, obstacle);
        }
        if !planner.takes_turn(ActionName::Delete, self.key, grace_ends) {
            planner.slot_free_at = Some(planner.now);
            let kind = NoticeKind::DeleteAhead { at: NoticeDate::From(midnight(planner.now)) };
            return planner.notify_of_wait(id, kind, &WARNINGS);
        }
        planner.act(Action::Delete { key: id.clone() });
        planner.notify_of(ActionName::Delete, id, NoticeKind::Deleted);
    }

    /// Sends the notices that an earlier run could not send, and reports a use of the key since its rotation.
    fn notify_of_past(&self, planner: &mut Planner<'_>) {
        let Origin::Replaced { restarted, .. } = self.origin else {
            return self.repeat_announcement(planner, Some(self.disable_at()), self.disable_at());
        };
        let disable_at = self.disable_date(planner);
        if restarted && !planner.is_recorded(&self.key.id, Phase::DisableAhead) {
            // The time of the disabling is kept only if a person's enabling began this grace.
            let was_disabled = planner.facts.state().is_some_and(|state| state.disabled_at.is_some());
            let kind = if was_disabled {
                NoticeKind::Reactivated { disable_at }
            } else {
                NoticeKind::DisableAhead { at: disable_at, last_use: self.use_since_rotation() }
            };
            planner.notify(&self.key.id, kind);
        }
        // A use is reported once; the next report needs a later use.
        let is_news = |last_use: &KeyUse| {
            let notified = planner.facts.state().map(|state| &state.notified);
            !notified.is_some_and(|sent| sent.was_sent_after(&self.key.id, Phase::InUse, last_use.time))
        };
        if let Some(last_use) = self.use_since_rotation().filter(is_news) {
            planner.notify(&self.key.id, NoticeKind::StillInUse { last_use, disable_at });
        }
    }

    /// Announces the disabling of a replaced key. The owner of a second key learned the date when its retirement began.
    fn announce_disabling(&self, planner: &mut Planner<'_>) {
        let at = self.disable_date(planner);
        if planner.now >= at.at() - planner.periods.warn && matches!(self.origin, Origin::Replaced { .. }) {
            planner.notify(&self.key.id, NoticeKind::DisableAhead { at, last_use: self.use_since_rotation() });
        }
    }

    fn announce_deletion(&self, planner: &mut Planner<'_>, delete_at: DateTime<Utc>) {
        let last_use = self.use_since_rotation();
        let date = self.date(planner, delete_at);
        // A second key that was inactive all along was never disabled: its first notice had the date of the deletion.
        if matches!(self.origin, Origin::SecondKey) && self.disabled_at == Some(self.since) {
            self.repeat_announcement(planner, None, self.since);
        } else if planner.announced(&self.key.id, &WARNINGS).is_none() {
            // A later warning has the date, also if it moved.
            planner.notify(&self.key.id, NoticeKind::Disabled { delete_at: date, last_use });
        }
        if planner.now < delete_at - planner.periods.warn {
            return;
        }
        let kind = if planner.now >= delete_at - LAST_CALL_BEFORE {
            NoticeKind::LastCall { at: date }
        } else {
            NoticeKind::DeleteAhead { at: date }
        };
        planner.notify(&self.key.id, kind);
    }

    /// Sends the notice that a second key has to give way, if an earlier run could not send it. An owner who enabled
    /// the key again knows already.
    fn repeat_announcement(
        &self,
        planner: &mut Planner<'_>,
        disable_at: Option<DateTime<Utc>>,
        recovery_from: DateTime<Utc>,
    ) {
        let kind = retiring_notice(planner, disable_at, recovery_from);
        if !planner.is_recorded(&self.key.id, Phase::Reactivated) {
            planner.notify(&self.key.id, kind);
        }
    }

    fn returned(&self) -> Option<&'a AccessKeyId> {
        match self.origin {
            Origin::Replaced { returned, .. } => returned,
            Origin::SecondKey => None,
        }
    }

    fn was_used_since(&self, disabled_at: DateTime<Utc>) -> bool {
        matches!(&self.key.last_use, LastUse::At(last_use) if was_enabled_since(disabled_at, last_use))
    }

    fn use_since_rotation(&self) -> Option<KeyUse> {
        let Origin::Replaced { rotated_at, .. } = self.origin else { return None };
        let news_after = rotated_at + USE_IS_NEWS_AFTER;
        match &self.key.last_use {
            LastUse::At(last_use) if last_use.time > news_after => Some(last_use.clone()),
            _ => None,
        }
    }

    /// Returns why the key must be neither disabled nor deleted; `None` if it may be.
    fn obstacle(&self, planner: &Planner<'_>) -> Option<String> {
        let id = &self.key.id;
        if let Some(why) = self.key.last_use.unknown() {
            return Some(format!("the last use of access key {id} is not known: {why}; the key is left as it is"));
        }
        let Some(other) = planner.facts.key_beside(id).filter(|other| other.is_active()) else {
            return Some(format!("access key {id} is left as it is: the user's other key is not active"));
        };
        let tested = planner.facts.tested_key().is_some_and(|tested| tested.id == other.id);
        // An inactive key can be deleted without a test of the other key: nobody can be using the inactive one.
        if tested || !self.key.is_active() { None } else { obstacle_without_test(self.key, other) }
    }
}

/// Returns the notice that a second key has to give way. It is disabled at `disable_at` (`None` if it is inactive
/// already) and deleted a recovery grace after `recovery_from`.
pub(super) fn retiring_notice(
    planner: &mut Planner<'_>,
    disable_at: Option<DateTime<Utc>>,
    recovery_from: DateTime<Utc>,
) -> NoticeKind {
    let delete_at = due(recovery_from, planner.periods.recovery_grace);
    planner.slot_free_at = Some(delete_at);
    match disable_at {
        // The recovery grace counts from the disabling itself, which a missed run may put off.
        Some(at) => {
            NoticeKind::Retiring { disable_at: Some(NoticeDate::On(at)), delete_at: NoticeDate::From(delete_at) }
        }
        None => NoticeKind::Retiring { disable_at: None, delete_at: NoticeDate::On(delete_at) },
    }
}

/// Returns when a person's enabling restarted the grace of a replaced key. A time before the rotation is left over from
/// an earlier retirement of the same key.
fn restarted_at(state: &State, key: &KeyFacts, rotated_at: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let retiring = state.retiring.as_ref().filter(|retiring| retiring.key == key.id)?;
    Some(retiring.since).filter(|since| *since >= rotated_at)
}

/// Returns why the outgoing key must stay although keywheel has tested neither key, as before a first rotation. The key
/// that stays must be known to work by its use, unless neither key was ever used.
fn obstacle_without_test(outgoing: &KeyFacts, other: &KeyFacts) -> Option<String> {
    if let Some(why) = other.last_use.unknown() {
        let (other, outgoing) = (&other.id, &outgoing.id);
        return Some(format!("the last use of access key {other} is not known: {why}; {outgoing} is left as it is"));
    }
    match (&outgoing.last_use, &other.last_use) {
        (_, LastUse::At(_)) | (LastUse::Never, LastUse::Never) => None,
        _ => Some(format!("access key {} is left as it is: {} was never used", outgoing.id, other.id)),
    }
}
