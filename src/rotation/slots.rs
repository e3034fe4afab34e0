//! Which key may give way to the new one. Pure.
//!
//! IAM gives a user two keys. A slot is freed only where that loses nothing: our own orphan of an interrupted
//! rotation, or a key that keywheel itself disabled and whose recovery period is over. Everything else is refused with
//! the way out, unless the secret is tagged for an incident.

#[cfg(test)]
mod table;
#[cfg(test)]
mod tests;

use chrono::{DateTime, TimeDelta, Utc};

use crate::aws::ListedKey;
use crate::keys::{AccessKeyId, KeyStatus, LastUse, MAX_KEYS_PER_USER, VersionId};
use crate::state::{State, format_time, was_enabled_since};

/// What has to happen before a key can be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Decision {
    /// These keys are disabled where active, then deleted, in this order.
    Remove(Vec<AccessKeyId>),
    /// The user has no active key: none is made.
    NoActiveKey,
    /// Both slots are taken, and why none can be freed.
    NoFreeSlot(String),
}

/// A key of the user's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UserKey {
    /// As IAM lists it.
    pub(super) listed: ListedKey,
    /// Asked for where a decision can depend on it.
    pub(super) last_use: LastUse,
}

impl UserKey {
    fn is_active(&self) -> bool {
        self.listed.status == KeyStatus::Active
    }
}

/// What is known when a slot is looked for.
pub(super) struct Slots<'a> {
    /// The user's keys.
    pub(super) keys: &'a [UserKey],
    /// The facts in the tags.
    pub(super) state: &'a State,
    /// The version that readers get.
    pub(super) current_version: Option<&'a VersionId>,
    /// The key in the value that readers get. A placeholder holds none.
    pub(super) in_value: Option<&'a AccessKeyId>,
    /// The keys that values with a label name, a placeholder's included.
    pub(super) in_versions: &'a [AccessKeyId],
    /// The key in the value of the version that the intent announces.
    pub(super) announced: Option<&'a AccessKeyId>,
    /// From disable to delete.
    pub(super) recovery_grace: TimeDelta,
    /// The time.
    pub(super) now: DateTime<Utc>,
}

impl<'a> Slots<'a> {
    /// Decides.
    pub(super) fn decide(&self) -> Decision {
        let orphan = self.orphan().map(|key| &key.listed.id);
        let kept: Vec<&UserKey> = self.keys.iter().filter(|key| Some(&key.listed.id) != orphan).collect();
        if !kept.iter().any(|key| key.is_active()) {
            return Decision::NoActiveKey;
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

    /// The keys that an interrupted rotation may have made: in no version of the secret, in no tag, and named by the
    /// intent or made when that announced one.
    pub(super) fn orphan_candidates(&self) -> Vec<&'a AccessKeyId> {
        let Some(intent) = self.state.unsettled_intent(self.current_version) else { return Vec::new() };
        let in_tags = [self.state.current_key.as_ref(), self.state.previous_key.as_ref()];
        let known = in_tags.into_iter().flatten().chain(self.in_value).chain(self.in_versions);
        let keys = self.keys.iter().map(|key| (&key.listed.id, key.listed.created));
        intent.candidates(keys, &known.collect::<Vec<_>>())
    }

    /// The one candidate, if it was never used.
    fn orphan(&self) -> Option<&'a UserKey> {
        // A tag that cannot be read may be the one that names it as somebody's.
        if !self.state.malformed.is_empty() {
            return None;
        }
        let [candidate] = self.orphan_candidates()[..] else { return None };
        let key = self.keys.iter().find(|key| key.listed.id == *candidate)?;
        let is_ours = match &key.last_use {
            LastUse::Never => true,
            // testSecret uses the key, too: then the version that it was made for has to name it.
            LastUse::At(last_use) if last_use.can_be_the_test() => self.announced == Some(candidate),
            // A key that was used otherwise is somebody's, whoever made it.
            LastUse::At(_) | LastUse::Unknown(_) | LastUse::NotAsked => false,
        };
        let is_of_known_status = !matches!(key.listed.status, KeyStatus::Other(_));
        (is_ours && is_of_known_status).then_some(key)
    }

    /// Which of two keys gives way, or why none does.
    fn give_way<'k>(&self, kept: &[&'k UserKey]) -> Result<&'k UserKey, String> {
        if let Some(malformed) = self.state.malformed.first() {
            return Err(malformed.to_string());
        }
        if self.is_forced() {
            return self.victim(kept);
        }
        let disabled = kept.iter().find_map(|key| Some((*key, self.disabled_at(key)?)));
        let Some((key, disabled_at)) = disabled else { return Err(self.why_none(kept)) };
        let (id, until) = (&key.listed.id, disabled_at + self.recovery_grace);
        if self.now < until {
            return Err(format!("{id} was disabled and can be recovered until {}", format_time(until)));
        }
        match &key.last_use {
            LastUse::At(last_use) if was_enabled_since(disabled_at, last_use) => {
                Err(format!("{id} was used after it was disabled, so that its recovery period starts again"))
            }
            LastUse::At(_) | LastUse::Never => Ok(key),
            LastUse::Unknown(_) | LastUse::NotAsked => Err(unknown_use(key)),
        }
    }

    /// Whether an order for an incident is still to be carried out. The rotation that carried one out moves the label before
    /// it takes the order back: whoever reads the tags in between must not carry it out again.
    fn is_forced(&self) -> bool {
        let (state, current) = (self.state, self.current_version);
        let is_spent = state.version.as_ref() != current
            && state.intent.as_ref().is_some_and(|intent| Some(&intent.version) == current);
        state.force && !is_spent
    }

    fn why_none(&self, kept: &[&UserKey]) -> String {
        let candidates = self.orphan_candidates();
        if kept.iter().all(|key| candidates.contains(&&key.listed.id)) {
            return "both were made when a rotation announced a key, and nothing tells which is its".to_owned();
        }
        "neither was disabled by keywheel".to_owned()
    }

    /// When keywheel disabled that key, if it did.
    fn disabled_at(&self, key: &UserKey) -> Option<DateTime<Utc>> {
        let (state, id) = (self.state, &key.listed.id);
        let is_fresh = state.version.is_some() && state.version.as_ref() == self.current_version;
        let replaced_at = state.rotated_at.filter(|_| state.previous_key.as_ref() == Some(id));
        let way_out_began = match &state.retiring {
            // An announcement from before the rotation is left over, and counts from the rotation.
            Some(retiring) if retiring.key == *id => replaced_at.map_or(retiring.since, |at| at.max(retiring.since)),
            // The time of the disabling is the other key's.
            Some(_) => return None,
            None => replaced_at?,
        };
        state.disabled_since(way_out_began).filter(|_| is_fresh && key.listed.status == KeyStatus::Inactive)
    }

    /// The key that an incident retires: never the only one that works, and never the one that is needed; none where it
    /// is not known which that is.
    fn victim<'k>(&self, kept: &[&'k UserKey]) -> Result<&'k UserKey, String> {
        if let Some(inactive) = kept.iter().find(|key| !key.is_active()) {
            return Ok(inactive);
        }
        let needed = self.needed(kept)?;
        kept.iter().find(|key| key.listed.id != needed.listed.id).copied().ok_or_else(|| "there is no other".to_owned())
    }

    /// The key that must stay whatever else is ordered: the one in the value. Where that names neither, it is the only
    /// one of the two that is used and, where neither is, the newer.
    fn needed<'k>(&self, kept: &[&'k UserKey]) -> Result<&'k UserKey, String> {
        if let Some(readers) = kept.iter().find(|key| Some(&key.listed.id) == self.in_value) {
            return Ok(readers);
        }
        let [older, newer] = kept[..] else { return Err("there are not two of them".to_owned()) };
        match (&older.last_use, &newer.last_use) {
            (LastUse::Unknown(_) | LastUse::NotAsked, _) => Err(unknown_use(older)),
            (_, LastUse::Unknown(_) | LastUse::NotAsked) => Err(unknown_use(newer)),
            (LastUse::At(_), LastUse::At(_)) => Err("both are used and the secret holds neither".to_owned()),
            (LastUse::At(_), LastUse::Never) => Ok(older),
            (LastUse::Never, _) => Ok(newer),
        }
    }
}

fn unknown_use(key: &UserKey) -> String {
    let why = key.last_use.unknown().unwrap_or_default();
    format!("the last use of {} is not known: {why}", key.listed.id)
}

/// The keys for an error message, such as `AKIA…1 active, in the secret, made 2026-11-22; AKIA…2 inactive, …`.
pub(super) fn describe(keys: &[UserKey], in_value: Option<&AccessKeyId>) -> String {
    let describe = |UserKey { listed: key, .. }: &UserKey| {
        let status = match &key.status {
            KeyStatus::Active => "active",
            KeyStatus::Inactive => "inactive",
            KeyStatus::Other(other) => other,
        };
        let role = if Some(&key.id) == in_value { ", in the secret" } else { "" };
        format!("{} {status}{role}, made {}", key.id, key.created.date_naive())
    };
    keys.iter().map(describe).collect::<Vec<_>>().join("; ")
}
