//! Outgoing keys that are not on the user any more: their times end, and their owners learn that they are deleted.

use super::action::Action;
use super::notice::NoticeKind;
use super::planner::Planner;
use crate::calendar::due;
use crate::keys::AccessKeyId;
use crate::state::Phase;

/// Sends the notice about each key that a forced rotation disabled and deleted. It is not sent with the rotation alone,
/// because the rotation may have failed after the deletion.
pub(super) fn notify_of_forced(planner: &mut Planner<'_>) {
    let Some(state) = planner.facts.state() else { return };
    for key in state.notified.owed_forced().filter(|id| planner.facts.key(id).is_none()) {
        planner.notify(key, NoticeKind::Forced);
    }
}

/// Ends the retirement of each key that the tags name and that is gone.
pub(super) fn finish(planner: &mut Planner<'_>) {
    for key in gone_keys(planner) {
        finish_key(planner, key);
    }
}

/// The keys that the tags name as outgoing and that IAM does not list. If a rotation needed the slot of a key, only the
/// record of its notices still names the key.
fn gone_keys<'a>(planner: &Planner<'a>) -> Vec<&'a AccessKeyId> {
    let Some(state) = planner.facts.state() else { return Vec::new() };
    let retiring = state.retiring.as_ref().map(|retiring| &retiring.key);
    let named = state.previous_key.as_ref().into_iter().chain(retiring).chain(state.notified.keys());
    let mut gone: Vec<&AccessKeyId> = named.filter(|id| planner.facts.key(id).is_none()).collect();
    gone.sort_unstable();
    gone.dedup();
    gone
}

/// Sends the notice of a deletion whose mail failed, because the deletion itself cannot be observed twice. If the owner
/// deleted the key within its recovery grace, the owner knows, and only the times of the key are dropped.
fn finish_key(planner: &mut Planner<'_>, key: &AccessKeyId) {
    let Some(state) = planner.facts.state() else { return };
    let times_are_its = match &state.retiring {
        Some(retiring) => retiring.key == *key,
        None => state.previous_key.as_ref() == Some(key),
    };
    let in_recovery = state.disabled_at.is_some_and(|at| planner.now < due(at, planner.periods.recovery_grace));
    if times_are_its && in_recovery {
        return planner.act(Action::StopRetiring { key: key.clone() });
    }
    if times_are_its && (state.disabled_at.is_some() || state.retiring.is_some()) {
        planner.act(Action::RecordDeleted { key: key.clone() });
    }
    let was_forced = state.notified.owes_forced(key) || state.notified.was_sent(key, Phase::Forced);
    if state.notified.announces_end(key) && !was_forced {
        planner.notify(key, NoticeKind::Deleted);
    }
}
