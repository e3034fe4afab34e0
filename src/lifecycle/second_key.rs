//! The second key: which of two keys has to give way when a rotation comes due and both slots are taken, and when.
//!
//! A key that somebody made beside the managed key stays untouched until a rotation needs its slot. Then it is retired
//! ahead of time, as `outgoing` does it.

use chrono::{DateTime, TimeDelta, Utc};

use super::action::Action;
use super::action_name::ActionName;
use super::facts::{KeyFacts, UserFacts};
use super::outgoing::{DISABLING, Origin, Outgoing, retiring_notice};
use super::planner::Planner;
use crate::calendar::due;
use crate::keys::{KeyStatus, LastUse};
use crate::settings::Periods;

/// How much earlier the retirement of a second key begins than its graces need. The native schedule may start the
/// rotation in the first minute of its day, before that day's run could delete the key. A run may also be missed.
/// Without this reserve, the rotation would find the slot still taken.
const LATENESS: TimeDelta = TimeDelta::days(2);

/// How long before its disabling the owner of a second key is notified.
fn lead_time(periods: &Periods) -> TimeDelta {
    periods.installation_grace.max(periods.warn)
}

/// When a second key has to begin to give way to a rotation that is due on the day of `rotation`.
pub(super) fn slot_needed_from(rotation: DateTime<Utc>, periods: &Periods) -> DateTime<Utc> {
    rotation - periods.recovery_grace - lead_time(periods) - LATENESS
}

/// Announces a second key whose slot is needed, or continues the retirement of the announced key.
pub(super) fn retire(planner: &mut Planner<'_>) {
    let reference = planner.facts.reference_key();
    let Some(rotation) = reference.map(|key| due(key.created, planner.periods.rotation)) else { return };
    let grace = lead_time(planner.periods);
    let needed = planner.now >= slot_needed_from(rotation, planner.periods);
    let chosen = choose(planner, needed);
    let retiring = planner.facts.state().and_then(|state| state.retiring.as_ref());
    // Even if no key can be chosen, a key that was enabled again gets a new grace: its old time must not run on.
    let Some(key) = chosen.or_else(|| enabled_again(planner.facts)) else { return };
    let Some(since) = retiring.filter(|retiring| retiring.key == key.id).map(|retiring| retiring.since) else {
        return if needed { announce(planner, key, grace) } else { drop_announcement(planner) };
    };
    let disabled_at = planner.facts.state().and_then(|state| state.disabled_since(since));
    if !needed && disabled_at.is_none() {
        return drop_announcement(planner);
    }
    let announced = planner.announced(&key.id, &DISABLING);
    Outgoing { key, disabled_at, grace, since, announced, origin: Origin::SecondKey }.retire(planner);
}

fn enabled_again(facts: &UserFacts) -> Option<&KeyFacts> {
    let state = facts.state()?;
    let retiring = state.retiring.as_ref()?;
    state.disabled_since(retiring.since)?;
    facts.key(&retiring.key).filter(|key| key.is_active())
}

/// Ends the retirement of a key that stays after all. If the recorded times were kept, a later retirement of the key
/// would count from them, and its graces would already be over.
pub(super) fn drop_announcement(planner: &mut Planner<'_>) {
    let facts = planner.facts;
    let Some(state) = facts.state() else { return };
    let announced = state.retiring.as_ref().map(|retiring| &retiring.key);
    let replaced = state.previous_key.as_ref().filter(|_| announced.is_none() && state.disabled_at.is_some());
    // The time of a replaced key that is still inactive stays: its recovery grace may run.
    let enabled = replaced.and_then(|id| facts.key(id)).filter(|key| key.is_active());
    if let Some(key) = announced.and_then(|id| facts.key(id)).or(enabled) {
        planner.act(Action::StopRetiring { key: key.id.clone() });
    }
}

/// Ends any retirement of an exempt user's key: nobody observes whether a person enables it meanwhile.
pub(super) fn drop_times(planner: &mut Planner<'_>) {
    let Some(state) = planner.facts.state() else { return };
    let announced = state.retiring.as_ref().map(|retiring| &retiring.key);
    let key = announced.or(state.previous_key.as_ref().filter(|_| state.disabled_at.is_some()));
    if let Some(key) = key {
        planner.act(Action::StopRetiring { key: key.clone() });
    }
}

fn announce(planner: &mut Planner<'_>, key: &KeyFacts, grace: TimeDelta) {
    if let KeyStatus::Other(status) = &key.status {
        let error = format!("access key {} has the unknown status {status}; nothing is done to it", key.id);
        return planner.problem(ActionName::Retire, error);
    }
    let inactive = !key.is_active();
    planner.act(Action::Retire { key: key.id.clone(), inactive });
    let disable_at = (!inactive).then_some(due(planner.now, grace));
    let kind = retiring_notice(planner, disable_at, disable_at.unwrap_or(planner.now));
    // An earlier announcement was taken back, so this one is news.
    planner.notify_again_of(ActionName::Retire, &key.id, kind);
}

/// Whether the tags were restored without knowing which key is in the current version.
fn value_is_foreign(facts: &UserFacts) -> bool {
    facts.state().is_some_and(|state| state.current_key.is_none())
}

/// Chooses which of two keys has to give way: never the tested key in the secret, and never the only key that works.
/// Before a first rotation, these rules apply in order: an inactive key; of two active keys, the one that was never
/// used if the other was; otherwise the older one. An announcement does not bind: if its owner began to use the key,
/// the choice changes.
fn choose<'a>(planner: &mut Planner<'a>, needed: bool) -> Option<&'a KeyFacts> {
    let facts = planner.facts;
    let [older, newer] = &facts.keys[..] else { return None };
    if let Some(current) = facts.tested_key().filter(|key| key.is_active()) {
        return facts.key_beside(&current.id);
    }
    if let Some(inactive) = facts.keys.iter().find(|key| !key.is_active()) {
        return Some(inactive);
    }
    if value_is_foreign(facts) {
        if needed {
            let error = format!(
                "the value in the secret was put by somebody else, so it is not known which of {} and {} readers get; both \
                 are left as they are. Delete the one that is not needed, and the other is rotated when it is due",
                older.id, newer.id
            );
            planner.problem(ActionName::Retire, error);
        }
        return None;
    }
    if let Some(why) = older.last_use.unknown().or(newer.last_use.unknown()) {
        if needed {
            let error = format!("the last use of the user's two keys is not known: {why}; both are left as they are");
            planner.problem(ActionName::Retire, error);
        }
        return None;
    }
    match (&older.last_use, &newer.last_use) {
        (LastUse::At(_), LastUse::Never) => Some(newer),
        _ => Some(older),
    }
}
