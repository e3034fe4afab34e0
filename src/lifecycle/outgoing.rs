//! The way out of a key: announced, disabled, recoverable, deleted.
//!
//! A user has at most one key on its way out: the one that the last rotation replaced or, when a rotation comes due
//! and both slots are taken, the second key that somebody made. An active key is never deleted; nothing happens to a
//! key while something about it is unknown; and there is always another key that works.

use chrono::{DateTime, TimeDelta, Utc};

use super::action::Action;
use super::facts::{KeyFacts, LastUse, PresentSecret};
use super::notice::NoticeKind;
use super::plan::Planner;
use crate::keys::{AccessKeyId, KeyStatus, KeyUse, MAX_KEYS_PER_USER};

/// Use within this time of the rotation is the owner on the way to the new key, and no news.
const USE_IS_NEWS_AFTER: TimeDelta = TimeDelta::days(1);

pub(super) fn lead_out(planner: &mut Planner<'_>) {
    for key in gone_keys(planner) {
        tell_of_deletion(planner, &key);
    }
    if planner.facts.keys.len() < MAX_KEYS_PER_USER || planner.key_in_flight().is_some() {
        return;
    }
    match Outgoing::replaced(planner) {
        Some(replaced) => replaced.lead_out(planner),
        None => retire_second_key(planner),
    }
}

/// Keys that the tags name as on their way out and that are not on the user any more.
fn gone_keys(planner: &Planner<'_>) -> Vec<AccessKeyId> {
    let Some(state) = planner.secret().map(|secret| &secret.state) else { return Vec::new() };
    let retiring = state.retiring.as_ref().map(|retiring| &retiring.key);
    let named = state.previous_key.as_ref().into_iter().chain(retiring);
    named.filter(|id| planner.key(id).is_none()).cloned().collect()
}

/// A mail that failed is made up for: the deletion itself cannot be observed twice. A key that its owner deleted is no
/// news.
fn tell_of_deletion(planner: &mut Planner<'_>, key: &AccessKeyId) {
    let was_announced = planner.secret().is_some_and(|secret| {
        let notified = &secret.state.notified;
        notified.contains(key, "delete-ahead") || notified.contains(key, "disabled")
    });
    if was_announced {
        planner.tell(key, NoticeKind::Deleted);
    }
}

/// A key on its way out.
struct Outgoing<'a> {
    key: &'a KeyFacts,
    /// When the key was disabled, if that is known.
    disabled_at: Option<DateTime<Utc>>,
    /// When it may be disabled.
    disable_at: DateTime<Utc>,
    /// When AWSCURRENT moved to the key's successor, if it has one.
    rotated_at: Option<DateTime<Utc>>,
    /// A person enabled it again before.
    restarted: bool,
    /// What is said where it is no replaced key but a second one.
    second_key: bool,
}

impl<'a> Outgoing<'a> {
    /// The key that the last rotation replaced, if the key that replaced it is there and works. Otherwise the user's
    /// keys are any two keys.
    fn replaced(planner: &Planner<'a>) -> Option<Self> {
        let secret = planner.secret()?;
        planner.proven_current().filter(|key| key.is_active())?;
        let state = &secret.state;
        let key = planner.key(state.previous_key.as_ref()?)?;
        let rotated_at = state.rotated_at?;
        let restarted = restarted_at(secret, key);
        let grace_began = restarted.unwrap_or(rotated_at);
        Some(Self {
            key,
            disabled_at: state.disabled_since(grace_began),
            disable_at: grace_began + planner.periods.installation_grace,
            rotated_at: Some(rotated_at),
            restarted: restarted.is_some(),
            second_key: false,
        })
    }

    fn lead_out(&self, planner: &mut Planner<'_>) {
        match (&self.key.status, self.disabled_at) {
            (KeyStatus::Active, Some(_)) => self.heed_person(planner),
            (KeyStatus::Active, None) => self.disable_in_time(planner),
            (KeyStatus::Inactive, Some(disabled_at)) => self.delete_in_time(planner, disabled_at),
            (KeyStatus::Inactive, None) => self.observe_disabled(planner),
            (KeyStatus::Other(status), _) => {
                let error =
                    format!("access key {} has the unknown status {status}; nothing is done to it", self.key.id);
                planner.problem("disable", error);
            }
        }
    }

    /// Keywheel disabled the key and it is active: a person needs it.
    fn heed_person(&self, planner: &mut Planner<'_>) {
        planner.act(Action::RestartGrace { key: self.key.id.clone() });
        let grace = if self.second_key { lead_time(planner) } else { planner.periods.installation_grace };
        // What was told about the key before is void.
        planner.tell_again(&self.key.id, NoticeKind::Reactivated { disable_at: planner.now + grace });
    }

    fn disable_in_time(&self, planner: &mut Planner<'_>) {
        self.tell_where_it_stands(planner);
        if planner.now < self.disable_at {
            if planner.now >= self.disable_at - planner.periods.warn && !self.second_key {
                let kind = NoticeKind::DisableAhead { at: self.disable_at, last_use: self.use_since_rotation() };
                planner.tell(&self.key.id, kind);
            }
            return;
        }
        if let Some(obstacle) = self.obstacle(planner) {
            return planner.problem("disable", obstacle);
        }
        planner.act(Action::Disable { key: self.key.id.clone() });
        let delete_at = planner.now + planner.periods.recovery_grace;
        let last_use = self.use_since_rotation();
        planner.tell(&self.key.id, NoticeKind::Disabled { delete_at, last_use });
    }

    fn observe_disabled(&self, planner: &mut Planner<'_>) {
        planner.act(Action::RecordDisabled { key: self.key.id.clone() });
        let delete_at = planner.now + planner.periods.recovery_grace;
        planner.tell(&self.key.id, NoticeKind::Disabled { delete_at, last_use: self.use_since_rotation() });
    }

    fn delete_in_time(&self, planner: &mut Planner<'_>, disabled_at: DateTime<Utc>) {
        let delete_at = disabled_at + planner.periods.recovery_grace;
        if planner.now < delete_at {
            let last_use = self.use_since_rotation();
            planner.tell(&self.key.id, NoticeKind::Disabled { delete_at, last_use });
            if planner.now >= delete_at - planner.periods.warn {
                planner.tell(&self.key.id, NoticeKind::DeleteAhead { at: delete_at });
            }
            return;
        }
        if let Some(obstacle) = self.obstacle(planner) {
            return planner.problem("delete", obstacle);
        }
        planner.act(Action::Delete { key: self.key.id.clone() });
        planner.tell(&self.key.id, NoticeKind::Deleted);
    }

    /// What follows from where the key stands, told on the first run that sees it.
    fn tell_where_it_stands(&self, planner: &mut Planner<'_>) {
        if self.restarted {
            planner.tell(&self.key.id, NoticeKind::Reactivated { disable_at: self.disable_at });
        }
        if let Some(last_use) = self.use_since_rotation() {
            planner.tell(&self.key.id, NoticeKind::StillInUse { last_use, disable_at: self.disable_at });
        }
    }

    fn use_since_rotation(&self) -> Option<KeyUse> {
        let news_after = self.rotated_at? + USE_IS_NEWS_AFTER;
        match &self.key.last_use {
            LastUse::At(last_use) if last_use.time > news_after => Some(last_use.clone()),
            _ => None,
        }
    }

    /// What forbids to disable or delete the key; `None` if nothing does.
    fn obstacle(&self, planner: &Planner<'_>) -> Option<String> {
        let id = &self.key.id;
        if let LastUse::Unknown(why) = &self.key.last_use {
            return Some(format!("the last use of access key {id} is not known: {why}; the key is left as it is"));
        }
        let other = planner.facts.keys.iter().find(|key| key.id != *id && key.is_active());
        let Some(other) = other else {
            return Some(format!("access key {id} is left as it is: the user's other key is not active"));
        };
        let proven = planner.proven_current().is_some_and(|current| current.id == other.id);
        if proven { None } else { unproven_obstacle(self.key, other) }
    }
}

/// When a person's enabling made the grace of a replaced key start again.
fn restarted_at(secret: &PresentSecret, key: &KeyFacts) -> Option<DateTime<Utc>> {
    secret.state.retiring.as_ref().filter(|retiring| retiring.key == key.id).map(|retiring| retiring.since)
}

/// Before the first rotation no key was tested by keywheel: the one that stays must be known to work by its use, unless
/// neither of the two was ever used.
fn unproven_obstacle(outgoing: &KeyFacts, other: &KeyFacts) -> Option<String> {
    match (&outgoing.last_use, &other.last_use) {
        (_, LastUse::At(_)) | (LastUse::Never, LastUse::Never) => None,
        (_, LastUse::Unknown(why)) => Some(format!(
            "the last use of access key {} is not known: {why}; {} is left as it is",
            other.id, outgoing.id
        )),
        _ => Some(format!("access key {} is left as it is: {} was never used", outgoing.id, other.id)),
    }
}

/// How long a second key's owner is told ahead that it will be disabled.
fn lead_time(planner: &Planner<'_>) -> TimeDelta {
    planner.periods.installation_grace.max(planner.periods.warn)
}

/// A key that somebody made beside the managed one stays untouched until a rotation needs its slot.
fn retire_second_key(planner: &mut Planner<'_>) {
    let retiring = planner.secret().and_then(|secret| secret.state.retiring.as_ref());
    let Some(due) = planner.reference_key().map(|key| key.created + planner.periods.rotation) else { return };
    let lead = lead_time(planner);
    let needed = planner.now >= due - planner.periods.recovery_grace - lead;
    let Some(key) = second_key(planner, needed) else { return };
    let under_way = retiring.filter(|retiring| retiring.key == key.id).map(|retiring| retiring.since);
    match under_way {
        None if needed => announce(planner, key, lead),
        None => {}
        Some(since) => {
            let disabled_at = planner.secret().and_then(|secret| secret.state.disabled_since(since));
            if !needed && disabled_at.is_none() {
                return planner.act(Action::StopRetiring { key: key.id.clone() });
            }
            let disable_at = since + lead;
            planner.tell(&key.id, retiring_notice(planner, disable_at, disabled_at));
            let rotated_at = None;
            Outgoing { key, disabled_at, disable_at, rotated_at, restarted: false, second_key: true }.lead_out(planner);
        }
    }
}

fn announce(planner: &mut Planner<'_>, key: &KeyFacts, lead: TimeDelta) {
    let inactive = !key.is_active();
    planner.act(Action::Retire { key: key.id.clone(), inactive });
    let disabled_at = inactive.then_some(planner.now);
    planner.tell(&key.id, retiring_notice(planner, planner.now + lead, disabled_at));
}

fn retiring_notice(planner: &Planner<'_>, disable_at: DateTime<Utc>, disabled_at: Option<DateTime<Utc>>) -> NoticeKind {
    let delete_at = disabled_at.unwrap_or(disable_at) + planner.periods.recovery_grace;
    NoticeKind::Retiring { disable_at: disabled_at.is_none().then_some(disable_at), delete_at }
}

/// Which of two keys has to give way: never the one in the secret that was tested and never the only one that works.
/// Before a first rotation: an inactive one; then the one that was announced; of two active ones the one that was never
/// used, if the other was; otherwise the older.
fn second_key<'a>(planner: &mut Planner<'a>, needed: bool) -> Option<&'a KeyFacts> {
    let keys: &'a [KeyFacts] = &planner.facts.keys;
    let [older, newer] = keys else { return None };
    if let Some(current) = planner.proven_current().filter(|key| key.is_active()) {
        return keys.iter().find(|key| key.id != current.id);
    }
    if let Some(inactive) = keys.iter().find(|key| !key.is_active()) {
        return Some(inactive);
    }
    let announced = planner.secret().and_then(|secret| secret.state.retiring.as_ref());
    if let Some(announced) = announced.and_then(|retiring| planner.key(&retiring.key)) {
        return Some(announced);
    }
    match (&older.last_use, &newer.last_use) {
        (LastUse::Unknown(why), _) | (_, LastUse::Unknown(why)) => {
            if needed {
                let error =
                    format!("the last use of the user's two keys is not known: {why}; both are left as they are");
                planner.problem("retire", error);
            }
            None
        }
        (LastUse::At(_), LastUse::Never) => Some(newer),
        _ => Some(older),
    }
}
