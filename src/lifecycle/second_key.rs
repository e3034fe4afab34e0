//! The second key: which of two keys has to give way when a rotation comes due and both slots are taken, and when.
//!
//! A key that somebody made beside the managed one stays untouched until a rotation needs its slot. Then it takes the
//! way out of `outgoing`, ahead of time.

use chrono::{DateTime, TimeDelta, Utc};

use super::action::Action;
use super::action_name::ActionName;
use super::facts::KeyFacts;
use super::notice::NoticeKind;
use super::outgoing::{Origin, Outgoing};
use super::plan::Planner;
use crate::keys::{KeyStatus, LastUse};
use crate::settings::Periods;
use crate::state::Phase;

/// Disabling and deleting are done by the first run after their time, so that each may come a day late. Without that in
/// hand, the native schedule would find the slot still taken.
const LATENESS: TimeDelta = TimeDelta::days(2);

/// How long a second key's owner is told ahead that it will be disabled.
fn lead_time(periods: &Periods) -> TimeDelta {
    periods.installation_grace.max(periods.warn)
}

/// From when on a second key has to give way to a rotation that is due at `due`.
pub(super) fn slot_needed_from(due: DateTime<Utc>, periods: &Periods) -> DateTime<Utc> {
    due - periods.recovery_grace - lead_time(periods) - LATENESS
}

/// Announces a second key whose slot is needed, or leads the announced one on.
pub(super) fn retire(planner: &mut Planner<'_>) {
    let Some(due) = planner.reference_key().map(|key| key.created + planner.periods.rotation) else { return };
    let grace = lead_time(planner.periods);
    let needed = planner.now >= slot_needed_from(due, planner.periods);
    let chosen = choose(planner, needed);
    let retiring = planner.state().and_then(|state| state.retiring.as_ref());
    // Where nothing can be chosen, a key that was enabled again is heeded still: its old time must not count on.
    let Some(key) = chosen.or_else(|| enabled_again(planner)) else { return };
    let Some(since) = retiring.filter(|retiring| retiring.key == key.id).map(|retiring| retiring.since) else {
        return if needed { announce(planner, key, grace) } else { drop_announcement(planner) };
    };
    let disabled_at = planner.state().and_then(|state| state.disabled_since(since));
    if !needed && disabled_at.is_none() {
        return drop_announcement(planner);
    }
    Outgoing { key, disabled_at, grace, since, origin: Origin::SecondKey }.lead_out(planner);
}

fn enabled_again<'a>(planner: &Planner<'a>) -> Option<&'a KeyFacts> {
    let state = planner.state()?;
    let retiring = state.retiring.as_ref()?;
    state.disabled_since(retiring.since)?;
    planner.key(&retiring.key).filter(|key| key.is_active())
}

/// Takes back that a key is on its way out, where it stays after all: the times of that would be over when the key has
/// to go another time.
pub(super) fn drop_announcement(planner: &mut Planner<'_>) {
    let Some(state) = planner.state() else { return };
    let announced = state.retiring.as_ref().map(|retiring| &retiring.key);
    let replaced = state.previous_key.as_ref().filter(|_| announced.is_none() && state.disabled_at.is_some());
    // A replaced key that is inactive still may be recoverable since that time.
    let enabled = replaced.and_then(|id| planner.key(id)).filter(|key| key.is_active());
    if let Some(key) = announced.and_then(|id| planner.key(id)).or(enabled) {
        planner.act(Action::StopRetiring { key: key.id.clone() });
    }
}

/// A user that is left alone has no key on its way out: nobody watches whether it is enabled meanwhile.
pub(super) fn drop_times(planner: &mut Planner<'_>) {
    let Some(state) = planner.state() else { return };
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
    let disable_at = (!inactive).then_some(planner.now + grace);
    let kind = retiring_notice(planner, disable_at, disable_at.unwrap_or(planner.now));
    // Announced before and taken back: now it is meant.
    planner.tell_again(&key.id, kind);
}

/// Tells again that a second key has to give way, where that was not told. Its owner, who enabled it again, knows.
pub(super) fn tell_retiring(
    planner: &mut Planner<'_>,
    key: &KeyFacts,
    disable_at: Option<DateTime<Utc>>,
    recovery_from: DateTime<Utc>,
) {
    let kind = retiring_notice(planner, disable_at, recovery_from);
    if !planner.was_told(&key.id, Phase::Reactivated) {
        planner.tell(&key.id, kind);
    }
}

fn retiring_notice(
    planner: &mut Planner<'_>,
    disable_at: Option<DateTime<Utc>>,
    recovery_from: DateTime<Utc>,
) -> NoticeKind {
    let delete_at = recovery_from + planner.periods.recovery_grace;
    planner.slot_free_at = Some(delete_at);
    NoticeKind::Retiring { disable_at, delete_at }
}

/// Whether the facts were restored without knowing which key is in the current version.
fn value_is_anothers(planner: &Planner<'_>) -> bool {
    planner.state().is_some_and(|state| state.managed && state.current_key.is_none())
}

/// Which of two keys has to give way: never the one in the secret that was tested and never the only one that works.
/// Before a first rotation: an inactive one; of two active ones the one that was never used, if the other was; otherwise
/// the older. What was announced does not bind: a key that its owner began to use since is not the one to disable.
fn choose<'a>(planner: &mut Planner<'a>, needed: bool) -> Option<&'a KeyFacts> {
    let keys: &'a [KeyFacts] = &planner.facts.keys;
    let [older, newer] = keys else { return None };
    if let Some(current) = planner.proven_current().filter(|key| key.is_active()) {
        return keys.iter().find(|key| key.id != current.id);
    }
    if let Some(inactive) = keys.iter().find(|key| !key.is_active()) {
        return Some(inactive);
    }
    if value_is_anothers(planner) {
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
