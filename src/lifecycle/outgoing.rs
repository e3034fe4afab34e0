//! The way out of a key: announced, disabled, recoverable, deleted.
//!
//! A user has at most one key on its way out: the one that the last rotation replaced or, when a rotation comes due
//! and both slots are taken, the second key that somebody made (`second_key` says which). An active key is never
//! deleted; nothing happens to a key while something about it is unknown; and there is always another key that works.

use chrono::{DateTime, TimeDelta, Utc};

use super::action::Action;
use super::action_name::ActionName;
use super::facts::KeyFacts;
use super::notice::NoticeKind;
use super::plan::Planner;
use super::second_key;
use crate::keys::{AccessKeyId, KeyStatus, KeyUse, LastUse, MAX_KEYS_PER_USER};
use crate::state::{Phase, State, was_enabled_since};

/// Use within this time of the rotation is the owner on the way to the new key, and no news.
const USE_IS_NEWS_AFTER: TimeDelta = TimeDelta::days(3);

/// One of the runs of a daily schedule falls into it and leaves time to act, although none comes at the second.
const LAST_CALL_BEFORE: TimeDelta = TimeDelta::hours(25);

pub(super) fn lead_out(planner: &mut Planner<'_>) {
    for key in gone_keys(planner) {
        settle_gone_key(planner, key);
    }
    if planner.key_in_flight().is_some() {
        return;
    }
    if planner.facts.keys.len() < MAX_KEYS_PER_USER {
        return second_key::drop_announcement(planner);
    }
    match Outgoing::replaced(planner) {
        Some(replaced) => replaced.lead_out(planner),
        None => second_key::retire(planner),
    }
}

/// Keys that the tags name as on their way out and that are not on the user any more. One whose slot a rotation needed
/// is named by what was told of it alone.
fn gone_keys<'a>(planner: &Planner<'a>) -> Vec<&'a AccessKeyId> {
    let Some(state) = planner.state() else { return Vec::new() };
    let retiring = state.retiring.as_ref().map(|retiring| &retiring.key);
    let named = state.previous_key.as_ref().into_iter().chain(retiring).chain(state.notified.keys());
    let mut gone: Vec<&AccessKeyId> = named.filter(|id| planner.key(id).is_none()).collect();
    gone.sort_unstable();
    gone.dedup();
    gone
}

/// A mail that failed is made up for: the deletion itself cannot be observed twice. A key that its owner deleted in its
/// recovery period is no news, and its times are void.
fn settle_gone_key(planner: &mut Planner<'_>, key: &AccessKeyId) {
    let Some(state) = planner.state() else { return };
    let times_are_its = match &state.retiring {
        Some(retiring) => retiring.key == *key,
        None => state.previous_key.as_ref() == Some(key),
    };
    let in_recovery = state.disabled_at.is_some_and(|at| planner.now < at + planner.periods.recovery_grace);
    if times_are_its && in_recovery {
        return planner.act(Action::StopRetiring { key: key.clone() });
    }
    if times_are_its && (state.disabled_at.is_some() || state.retiring.is_some()) {
        planner.act(Action::RecordDeleted { key: key.clone() });
    }
    if state.notified.announces_end(key) {
        planner.tell(key, NoticeKind::Deleted);
    }
}

/// A key on its way out.
pub(super) struct Outgoing<'a> {
    pub(super) key: &'a KeyFacts,
    /// When the key was disabled, if that is known.
    pub(super) disabled_at: Option<DateTime<Utc>>,
    /// From the beginning of the way out to the disabling.
    pub(super) grace: TimeDelta,
    /// When the way out began.
    pub(super) since: DateTime<Utc>,
    /// Why the key has to go.
    pub(super) origin: Origin<'a>,
}

/// Why a key has to go.
pub(super) enum Origin<'a> {
    /// A rotation replaced it.
    Replaced {
        /// When AWSCURRENT moved to its successor.
        rotated_at: DateTime<Utc>,
        /// Its grace began again later: a person enabled it.
        restarted: bool,
        /// Its successor was out of service, and itself the key that had to go, until a person enabled it.
        returned: Option<&'a AccessKeyId>,
    },
    /// A rotation that comes due needs its slot.
    SecondKey,
}

impl<'a> Outgoing<'a> {
    /// The key that the last rotation replaced, if the key that replaced it is there and works. Otherwise the user's
    /// keys are any two keys.
    pub(super) fn replaced(planner: &Planner<'a>) -> Option<Self> {
        let state = planner.state()?;
        let successor = planner.proven_current().filter(|key| key.is_active())?;
        let key = planner.key(state.previous_key.as_ref()?)?;
        let rotated_at = state.rotated_at?;
        let restarted = restarted_at(state, key, rotated_at);
        let since = restarted.unwrap_or(rotated_at);
        let retiring = state.retiring.as_ref().map(|retiring| &retiring.key);
        let returned = retiring.filter(|retiring| **retiring == successor.id);
        Some(Self {
            key,
            // While another key is on its way out, the time is that one's.
            disabled_at: state.disabled_since(since).filter(|_| returned.is_none()),
            grace: planner.periods.installation_grace,
            since,
            origin: Origin::Replaced { rotated_at, restarted: restarted.is_some(), returned },
        })
    }

    pub(super) fn disable_at(&self) -> DateTime<Utc> {
        self.since + self.grace
    }

    pub(super) fn lead_out(&self, planner: &mut Planner<'_>) {
        match (&self.key.status, self.disabled_at) {
            (KeyStatus::Active, Some(_)) => self.heed_person(planner),
            (KeyStatus::Active, None) if self.returned().is_some() => self.start_again(planner),
            (KeyStatus::Active, None) => self.disable_in_time(planner),
            (KeyStatus::Inactive, Some(disabled_at)) if self.was_used_since(disabled_at) => {
                self.observe_disabled(planner);
            }
            (KeyStatus::Inactive, Some(disabled_at)) => self.delete_in_time(planner, disabled_at),
            (KeyStatus::Inactive, None) => self.observe_disabled(planner),
            (KeyStatus::Other(status), _) => {
                let error =
                    format!("access key {} has the unknown status {status}; nothing is done to it", self.key.id);
                planner.problem(ActionName::Disable, error);
            }
        }
    }

    /// The key that replaced this one was out of service, so that this one was needed: its owner gets the whole grace
    /// once more.
    fn start_again(&self, planner: &mut Planner<'_>) {
        planner.act(Action::RestartGrace { key: self.key.id.clone() });
        let at = planner.now + self.grace;
        planner.slot_free_at = Some(at + planner.periods.recovery_grace);
        planner.tell_again(&self.key.id, NoticeKind::DisableAhead { at, last_use: self.use_since_rotation() });
    }

    /// Keywheel disabled the key and it is active: a person needs it.
    fn heed_person(&self, planner: &mut Planner<'_>) {
        planner.act(Action::RestartGrace { key: self.key.id.clone() });
        let disable_at = planner.now + self.grace;
        planner.slot_free_at = Some(disable_at + planner.periods.recovery_grace);
        // What was told about the key before is void.
        planner.tell_again(&self.key.id, NoticeKind::Reactivated { disable_at });
    }

    fn disable_in_time(&self, planner: &mut Planner<'_>) {
        let disable_at = self.disable_at();
        if planner.now < disable_at {
            planner.slot_free_at = Some(disable_at + planner.periods.recovery_grace);
            self.tell_where_it_stands(planner);
            return self.tell_of_disabling_ahead(planner);
        }
        if let Some(obstacle) = self.obstacle(planner) {
            return planner.problem(ActionName::Disable, obstacle);
        }
        planner.act(Action::Disable { key: self.key.id.clone() });
        let delete_at = planner.now + planner.periods.recovery_grace;
        planner.slot_free_at = Some(delete_at);
        planner.tell(&self.key.id, NoticeKind::Disabled { delete_at, last_use: self.use_since_rotation() });
    }

    /// Somebody else disabled the key, or enabled and disabled it again: its recovery period starts now.
    fn observe_disabled(&self, planner: &mut Planner<'_>) {
        if let Some(returned) = self.returned() {
            planner.act(Action::StopRetiring { key: returned.clone() });
        }
        planner.act(Action::RecordDisabled { key: self.key.id.clone() });
        let delete_at = planner.now + planner.periods.recovery_grace;
        planner.slot_free_at = Some(delete_at);
        // Told before, perhaps, but with another date.
        planner.tell_again(&self.key.id, NoticeKind::Disabled { delete_at, last_use: self.use_since_rotation() });
    }

    fn delete_in_time(&self, planner: &mut Planner<'_>, disabled_at: DateTime<Utc>) {
        let delete_at = disabled_at + planner.periods.recovery_grace;
        if planner.now < delete_at {
            planner.slot_free_at = Some(delete_at);
            return self.tell_of_deletion_ahead(planner, delete_at);
        }
        if let Some(obstacle) = self.obstacle(planner) {
            return planner.problem(ActionName::Delete, obstacle);
        }
        planner.act(Action::Delete { key: self.key.id.clone() });
        planner.tell(&self.key.id, NoticeKind::Deleted);
    }

    /// What follows from where the key stands, told on the first run that sees it.
    fn tell_where_it_stands(&self, planner: &mut Planner<'_>) {
        let Origin::Replaced { restarted, .. } = self.origin else {
            return second_key::tell_retiring(planner, self.key, Some(self.disable_at()), self.disable_at());
        };
        let disable_at = self.disable_at();
        if restarted && !planner.was_told(&self.key.id, Phase::DisableAhead) {
            // The time of the disabling stays beside a grace that a person's enabling began, and beside no other.
            let was_disabled = planner.state().is_some_and(|state| state.disabled_at.is_some());
            let kind = if was_disabled {
                NoticeKind::Reactivated { disable_at }
            } else {
                NoticeKind::DisableAhead { at: disable_at, last_use: self.use_since_rotation() }
            };
            planner.tell(&self.key.id, kind);
        }
        // A use that was told of is told of again once there is another.
        let is_news = |last_use: &KeyUse| {
            let notified = planner.state().map(|state| &state.notified);
            !notified.is_some_and(|told| told.was_sent_after(&self.key.id, Phase::InUse, last_use.time))
        };
        if let Some(last_use) = self.use_since_rotation().filter(is_news) {
            planner.tell(&self.key.id, NoticeKind::StillInUse { last_use, disable_at });
        }
    }

    /// The owner of a second key was told the date when the way out began.
    fn tell_of_disabling_ahead(&self, planner: &mut Planner<'_>) {
        let at = self.disable_at();
        if planner.now >= at - planner.periods.warn && matches!(self.origin, Origin::Replaced { .. }) {
            planner.tell(&self.key.id, NoticeKind::DisableAhead { at, last_use: self.use_since_rotation() });
        }
    }

    fn tell_of_deletion_ahead(&self, planner: &mut Planner<'_>, delete_at: DateTime<Utc>) {
        let last_use = self.use_since_rotation();
        // The owner of a second key that was inactive all along was told the date when its way out began.
        if matches!(self.origin, Origin::SecondKey) && self.disabled_at == Some(self.since) {
            second_key::tell_retiring(planner, self.key, None, self.since);
        } else {
            planner.tell(&self.key.id, NoticeKind::Disabled { delete_at, last_use });
        }
        if planner.now < delete_at - planner.periods.warn {
            return;
        }
        let kind = if planner.now >= delete_at - LAST_CALL_BEFORE {
            NoticeKind::LastCall { at: delete_at }
        } else {
            NoticeKind::DeleteAhead { at: delete_at }
        };
        planner.tell(&self.key.id, kind);
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

    /// What forbids to disable or delete the key; `None` if nothing does.
    fn obstacle(&self, planner: &Planner<'_>) -> Option<String> {
        let id = &self.key.id;
        if let Some(why) = self.key.last_use.unknown() {
            return Some(format!("the last use of access key {id} is not known: {why}; the key is left as it is"));
        }
        let other = planner.facts.keys.iter().find(|key| key.id != *id && key.is_active());
        let Some(other) = other else {
            return Some(format!("access key {id} is left as it is: the user's other key is not active"));
        };
        let proven = planner.proven_current().is_some_and(|current| current.id == other.id);
        // Deleting an inactive key takes nothing away from a user whom the other one serves, or nobody.
        if proven || !self.key.is_active() { None } else { unproven_obstacle(self.key, other) }
    }
}

/// When a person's enabling made the grace of a replaced key start again. A time before the rotation is left over from
/// another way out of the same key.
fn restarted_at(state: &State, key: &KeyFacts, rotated_at: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let retiring = state.retiring.as_ref().filter(|retiring| retiring.key == key.id)?;
    Some(retiring.since).filter(|since| *since >= rotated_at)
}

/// Before the first rotation no key was tested by keywheel: the one that stays must be known to work by its use, unless
/// neither of the two was ever used.
fn unproven_obstacle(outgoing: &KeyFacts, other: &KeyFacts) -> Option<String> {
    if let Some(why) = other.last_use.unknown() {
        let (other, outgoing) = (&other.id, &outgoing.id);
        return Some(format!("the last use of access key {other} is not known: {why}; {outgoing} is left as it is"));
    }
    match (&outgoing.last_use, &other.last_use) {
        (_, LastUse::At(_)) | (LastUse::Never, LastUse::Never) => None,
        _ => Some(format!("access key {} is left as it is: {} was never used", outgoing.id, other.id)),
    }
}
