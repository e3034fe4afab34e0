//! Decides which key may give way to the new one. Pure.
//!
//! IAM gives a user two key slots. keywheel frees a slot only if nothing is lost: it removes its own orphan of an
//! interrupted rotation, or a key that it disabled and whose recovery grace is over. Everything else is refused with
//! the remedy, unless the secret is tagged for an incident.

#[cfg(test)]
mod table;
#[cfg(test)]
mod tests;

use chrono::{DateTime, TimeDelta, Utc};

use crate::aws::ListedKey;
use crate::calendar::due;
use crate::keys::{AccessKeyId, KeyStatus, LastUse, MAX_KEYS_PER_USER, VersionId};
use crate::state::{Phase, State, tag, was_enabled_since};

/// The step that has to happen before a key can be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Decision {
    /// Remove these keys, in this order. An active key is disabled before it is deleted.
    Remove(Vec<AccessKeyId>),
    /// Create no key, because the user has no active key.
    NoActiveKey,
    /// Refuse, because both slots are taken and none can be freed. The text says why.
    NoFreeSlot(String),
}

/// A key that takes one of the user's slots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SlotKey {
    /// As IAM lists it.
    pub(super) listed: ListedKey,
    /// `NotAsked` if no decision can depend on it.
    pub(super) last_use: LastUse,
}

impl SlotKey {
    fn is_active(&self) -> bool {
        self.listed.status == KeyStatus::Active
    }
}

/// The key in the current value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyInValue<'a> {
    /// Readers get this key.
    Key(&'a AccessKeyId),
    /// The value is a placeholder, which holds no key.
    NoKey,
    /// The value cannot be decrypted, so readers get nothing, and the value shows no key.
    Unreadable,
}

/// The facts that decide which slot is freed.
pub(super) struct Slots<'a> {
    /// All keys of the user, as listed.
    pub(super) keys: &'a [SlotKey],
    /// The facts in the secret's tags.
    pub(super) state: &'a State,
    /// The version staged AWSCURRENT.
    pub(super) current_version: Option<&'a VersionId>,
    /// The key in the current value.
    pub(super) in_value: KeyInValue<'a>,
    /// The keys that the values of labelled versions name, a placeholder included.
    pub(super) in_versions: &'a [AccessKeyId],
    /// Why the value of a version could not be read that may name the announced key.
    pub(super) unread: Option<&'a str>,
    /// The key in the value of the version that the intent announces.
    pub(super) announced: Option<&'a AccessKeyId>,
    /// The days from the observed disable to the deletion.
    pub(super) recovery_grace: TimeDelta,
    /// The time of the decision.
    pub(super) now: DateTime<Utc>,
}

impl<'a> Slots<'a> {
    /// Returns the decision. On the day before the recovery grace ends, the key is still kept.
    pub(super) fn decide(&self) -> Decision {
        let orphan = self.orphan().map(|key| &key.listed.id);
        let kept: Vec<&SlotKey> = self.keys.iter().filter(|key| Some(&key.listed.id) != orphan).collect();
        if !kept.iter().any(|key| key.is_active()) {
            return Decision::NoActiveKey;
        }
        if kept.len() > MAX_KEYS_PER_USER {
            // Keys that are made at the same moment pass IAM's check together. All rules below are about two keys.
            return Decision::NoFreeSlot("there are more than two, so that a person has to delete some".to_owned());
        }
        let mut removed: Vec<AccessKeyId> = orphan.cloned().into_iter().collect();
        if kept.len() >= MAX_KEYS_PER_USER {
            match self.give_way(&kept) {
                Ok(key) => removed.push(key.listed.id.clone()),
                Err(why) => return Decision::NoFreeSlot(why),
            }
        }
        Decision::Remove(removed)
    }

    /// Returns the keys that an interrupted rotation may have created. They are in no version of the secret and in no
    /// tag, and the intent names them or was written just before they were created.
    pub(super) fn orphan_candidates(&self) -> Vec<&'a AccessKeyId> {
        let Some(intent) = self.state.unsettled_intent(self.current_version) else { return Vec::new() };
        let in_tags = [self.state.current_key.as_ref(), self.state.previous_key.as_ref()];
        let in_value = match self.in_value {
            KeyInValue::Key(key) => Some(key),
            KeyInValue::NoKey | KeyInValue::Unreadable => None,
        };
        let known = in_tags.into_iter().flatten().chain(in_value).chain(self.in_versions);
        let keys = self.keys.iter().map(|key| (&key.listed.id, key.listed.created));
        intent.candidates(keys, &known.collect::<Vec<_>>())
    }

    /// Returns the only candidate, if nobody but testSecret can have used it.
    fn orphan(&self) -> Option<&'a SlotKey> {
        // An unreadable tag may name this very key as the current or previous key, and an unreadable value may hold it.
        if !self.state.malformed.is_empty() || self.unread.is_some() {
            return None;
        }
        let [candidate] = self.orphan_candidates()[..] else { return None };
        let key = self.keys.iter().find(|key| key.listed.id == *candidate)?;
        let is_ours = match &key.last_use {
            LastUse::Never => true,
            // testSecret uses a key after it was put, so the announced version must name the key.
            LastUse::At(last_use) if last_use.can_be_the_test() => self.announced == Some(candidate),
            // Somebody uses this key, whoever created it.
            LastUse::At(_) | LastUse::Unknown(_) | LastUse::NotAsked => false,
        };
        let is_of_known_status = !matches!(key.listed.status, KeyStatus::Other(_));
        (is_ours && is_of_known_status).then_some(key)
    }

    /// Returns the key of two that gives way, or the reason why none does.
    fn give_way<'k>(&self, kept: &[&'k SlotKey]) -> Result<&'k SlotKey, String> {
        if let Some(malformed) = self.state.malformed.first() {
            return Err(malformed.to_string());
        }
        if self.is_forced() {
            return self.retired_by_force(kept);
        }
        if let (Some(unread), [candidate, ..]) = (self.unread, &self.orphan_candidates()[..]) {
            return Err(format!(
                "{candidate} was created when a rotation announced a key, and it is unknown whether it is in a value that \
                 cannot be read ({unread}): if nobody has it, delete it, otherwise remove the tag {} from the secret",
                tag::INTENT
            ));
        }
        let disabled = kept.iter().find_map(|key| Some((*key, self.disabled_at(key)?)));
        let Some((key, disabled_at)) = disabled else { return Err(self.why_none(kept)) };
        let id = &key.listed.id;
        let phases = [Phase::Disabled, Phase::DeleteAhead, Phase::LastCall];
        let announced = phases.iter().filter_map(|phase| self.state.notified.announced(id, *phase));
        // Nothing happens before the day that a notice named.
        let until = announced.map(|(day, _)| day).fold(due(disabled_at, self.recovery_grace), DateTime::max);
        if self.now < until {
            return Err(format!("{id} was disabled and can be recovered until {}", until.date_naive()));
        }
        match &key.last_use {
            LastUse::At(last_use) if was_enabled_since(disabled_at, last_use) => {
                Err(format!("{id} was used after it was disabled, so its recovery grace starts again"))
            }
            LastUse::At(_) | LastUse::Never => Ok(key),
            LastUse::Unknown(_) | LastUse::NotAsked => Err(unknown_use(key)),
        }
    }

    /// Returns the key among these that only the order for an incident removes; an orphan is removed without an order.
    pub(super) fn removed_by_force(&self, removed: &[AccessKeyId]) -> Option<&'a AccessKeyId> {
        let orphan = self.orphan().map(|key| &key.listed.id);
        let mut keys = self.keys.iter().map(|key| &key.listed.id).filter(|_| self.is_forced());
        keys.find(|id| removed.contains(id) && Some(*id) != orphan)
    }

    /// Whether the order for an incident is still to be carried out.
    ///
    /// The rotation that carries it out moves the label before it removes the order. A rotation that reads the tags
    /// between the two must not carry it out again.
    fn is_forced(&self) -> bool {
        let (state, current) = (self.state, self.current_version);
        let is_carried_out = state.version.as_ref() != current
            && state.intent.as_ref().is_some_and(|intent| Some(&intent.version) == current);
        state.force && !is_carried_out
    }

    /// Why no key gives way, although no tag is unreadable and no incident is ordered.
    fn why_none(&self, kept: &[&SlotKey]) -> String {
        let candidates = self.orphan_candidates();
        if kept.iter().all(|key| candidates.contains(&&key.listed.id)) {
            return "both were created when a rotation announced a key, and it is unknown which one is the rotation's"
                .to_owned();
        }
        "neither was disabled by keywheel".to_owned()
    }

    /// Returns when keywheel disabled the key, if it did.
    fn disabled_at(&self, key: &SlotKey) -> Option<DateTime<Utc>> {
        let (state, id) = (self.state, &key.listed.id);
        let is_fresh = state.version.is_some() && state.version.as_ref() == self.current_version;
        let replaced_at = state.rotated_at.filter(|_| state.previous_key.as_ref() == Some(id));
        let retirement_began = match &state.retiring {
            // The retirement was announced before the rotation, so it counts from the rotation.
            Some(retiring) if retiring.key == *id => replaced_at.map_or(retiring.since, |at| at.max(retiring.since)),
            // `disabled-at` is about the other key.
            Some(_) => return None,
            None => replaced_at?,
        };
        state.disabled_since(retirement_began).filter(|_| is_fresh && key.listed.status == KeyStatus::Inactive)
    }

    /// Returns the key that an incident retires: an inactive key or, if both are active, the key that is not needed.
    ///
    /// # Errors
    /// The reason why it is unknown which key is needed.
    fn retired_by_force<'k>(&self, kept: &[&'k SlotKey]) -> Result<&'k SlotKey, String> {
        if let Some(inactive) = kept.iter().find(|key| !key.is_active()) {
            return Ok(inactive);
        }
        let needed = self.needed(kept)?;
        kept.iter()
            .find(|key| key.listed.id != needed.listed.id)
            .copied()
            .ok_or_else(|| "the user has no other key".to_owned())
    }

    /// Returns the key that must stay even in an incident: the key in the value. If the value names neither, the used
    /// key stays or, if neither is used, the newer key. If the value cannot be read, its tags must name the same key.
    ///
    /// # Errors
    /// If a last use is unknown, if both keys are used, or if the value cannot be read and the tags name another key.
    fn needed<'k>(&self, kept: &[&'k SlotKey]) -> Result<&'k SlotKey, String> {
        if let Some(readers) = kept.iter().find(|key| self.in_value == KeyInValue::Key(&key.listed.id)) {
            return Ok(readers);
        }
        let needed = by_use(kept)?;
        let is_fresh = self.state.version.is_some() && self.state.version.as_ref() == self.current_version;
        let is_recorded = is_fresh && self.state.current_key.as_ref() == Some(&needed.listed.id);
        if self.in_value == KeyInValue::Unreadable && !is_recorded {
            return Err("the value in the secret cannot be read, and its tags do not name the key in use".to_owned());
        }
        Ok(needed)
    }
}

/// Returns the used key of two or, if neither is used, the newer key.
fn by_use<'k>(kept: &[&'k SlotKey]) -> Result<&'k SlotKey, String> {
    let [older, newer] = kept[..] else { return Err("the user does not have two keys".to_owned()) };
    match (&older.last_use, &newer.last_use) {
        (LastUse::Unknown(_) | LastUse::NotAsked, _) => Err(unknown_use(older)),
        (_, LastUse::Unknown(_) | LastUse::NotAsked) => Err(unknown_use(newer)),
        (LastUse::At(_), LastUse::At(_)) => Err("both are used and the secret holds neither".to_owned()),
        (LastUse::At(_), LastUse::Never) => Ok(older),
        (LastUse::Never, _) => Ok(newer),
    }
}

fn unknown_use(key: &SlotKey) -> String {
    let why = key.last_use.unknown().unwrap_or_default();
    format!("the last use of {} is unknown: {why}", key.listed.id)
}

/// Describes the keys for an error message: `AKIA…1 active, in the secret, created 2026-11-22; AKIA…2 inactive, …`.
pub(super) fn describe(keys: &[SlotKey], in_value: KeyInValue<'_>) -> String {
    let describe = |SlotKey { listed: key, .. }: &SlotKey| {
        let status = match &key.status {
            KeyStatus::Active => "active",
            KeyStatus::Inactive => "inactive",
            KeyStatus::Other(other) => other,
        };
        let role = if in_value == KeyInValue::Key(&key.id) { ", in the secret" } else { "" };
        format!("{} {status}{role}, created {}", key.id, key.created.date_naive())
    };
    keys.iter().map(describe).collect::<Vec<_>>().join("; ")
}
