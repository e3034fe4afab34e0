//! Whether there is nothing to do for a user, from the lists of the whole account alone: the list of users, the
//! credential report and the list of secrets with their tags. Pure.
//!
//! Asking for a user's keys costs a call, and on most days nothing is due for most users. The report names no key and
//! dates an active one by its last change. So nothing is concluded from the report by itself: the secret's tags say
//! which keys the user had at the last close look and when these were made ([`KeyDates`]), and a key that the report
//! shows active since that very second is that key. For the keys known in this way the plan is made as always; if it is
//! empty, the user is quiet. Whatever does not fit together is unclear, and an unclear user is looked at.
//!
//! What no list shows is found late: an inactive key that a person made, or deleted, since the last look, and a use of the
//! old key since the report was made, which is up to four hours old. All of that is looked at again before anything is
//! disabled, deleted or rotated; nothing but waiting ever follows from here.

use chrono::{DateTime, TimeDelta, Utc};

use super::facts::{Exemption, KeyFacts, PresentSecret, SecretFacts, UserFacts};
use super::plan::{KEYS_ARE_LISTED_WITHIN, plan};
use super::second_key;
use crate::keys::{AccessKeyId, KeyStatus, KeyUse, LastUse, UserArn};
use crate::settings::Periods;
use crate::state::{KeyDates, Phase, Reader};

/// What the lists of an account tell of one user.
#[derive(Debug, Clone)]
pub struct Listed<'a> {
    /// The user's ARN.
    pub arn: &'a UserArn,
    /// The user's unique id.
    pub id: &'a str,
    /// Whether the user is to be left alone.
    pub exemption: Exemption,
    /// What the credential report says, if there is one and the user is in it.
    pub sighting: Option<&'a Sighting>,
    /// The user's secret, with the drift that the list of secrets shows: all but that of the resource policy.
    pub secret: SecretFacts,
}

/// A user in the credential report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// When the report was made.
    pub at: DateTime<Utc>,
    /// The user's active keys.
    pub active: Vec<KeySighting>,
}

/// An active key in the credential report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySighting {
    /// When it was made or last changed.
    pub since: DateTime<Utc>,
    /// Its last use on record.
    pub last_use: Option<KeyUse>,
}

/// For so long a user's keys are looked at when a second one would have to give way: one that is inactive is in no list.
/// A weekly schedule has a run in it.
const LOOKS_FOR_SECOND_KEY: TimeDelta = TimeDelta::days(8);

/// What happened so shortly before the report was made may be missing from it.
const REPORT_LAGS: TimeDelta = TimeDelta::minutes(15);

/// Whether there is nothing to do, to tell and to report for the user, as far as lists can tell.
pub fn is_quiet(listed: &Listed<'_>, periods: &Periods, now: DateTime<Utc>) -> bool {
    let Some(keys) = known_keys(listed) else { return false };
    if may_have_second_key_in_the_way(&keys, periods, now) || !policy_is_known(listed, &keys) {
        return false;
    }
    let facts = UserFacts {
        arn: listed.arn.clone(),
        id: listed.id.to_owned(),
        owner: None,
        exemption: listed.exemption.clone(),
        keys,
        secret: listed.secret.clone(),
    };
    plan(&facts, periods, now).is_empty()
}

/// The user's keys, oldest first; `None` where lists do not tell.
fn known_keys(listed: &Listed<'_>) -> Option<Vec<KeyFacts>> {
    if let SecretFacts::Present(secret) = &listed.secret
        && (secret.state.untold.is_some() || (secret.state.managed && secret.state.current_key.is_none()))
    {
        return None;
    }
    if listed.exemption == Exemption::Exempt {
        // Whatever keys there are: they are left alone.
        return Some(Vec::new());
    }
    let sighting = listed.sighting?;
    if let SecretFacts::Present(secret) = &listed.secret
        && let Some(dates) = &secret.state.key_dates
    {
        return keys_by_dates(secret, dates, sighting);
    }
    sighting.active.is_empty().then(Vec::new)
}

fn keys_by_dates(secret: &PresentSecret, dates: &KeyDates, sighting: &Sighting) -> Option<Vec<KeyFacts>> {
    let mut unknown: Vec<&KeySighting> = sighting.active.iter().collect();
    let mut keys = Vec::new();
    if let Some(created) = dates.current {
        keys.push(key_made_at(secret.state.current_key.clone()?, created, &mut unknown, sighting.at)?);
    }
    match dates.others[..] {
        [] => {}
        [created] => keys.push(key_made_at(other_key(secret)?, created, &mut unknown, sighting.at)?),
        _ => return None,
    }
    // An active key that is none of these is new, or was disabled and enabled since.
    if !unknown.is_empty() {
        return None;
    }
    keys.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
    Some(keys)
}

/// The key that was made at that second, as the report shows it; takes it out of those that are not known yet.
fn key_made_at(
    id: AccessKeyId,
    created: DateTime<Utc>,
    unknown: &mut Vec<&KeySighting>,
    reported_at: DateTime<Utc>,
) -> Option<KeyFacts> {
    if let Some(at) = unknown.iter().position(|key| key.since == created) {
        let last_use = unknown.swap_remove(at).last_use.clone().map_or(LastUse::Never, LastUse::At);
        return Some(KeyFacts { id, status: KeyStatus::Active, created, last_use });
    }
    // It was there at the last look and is not active now, unless the report is too old to have it.
    let status = KeyStatus::Inactive;
    (created + REPORT_LAGS <= reported_at).then_some(KeyFacts { id, status, created, last_use: LastUse::NotAsked })
}

/// The id of the key beside the current one.
fn other_key(secret: &PresentSecret) -> Option<AccessKeyId> {
    let state = &secret.state;
    let retiring = state.retiring.as_ref().map(|retiring| &retiring.key);
    let named = retiring.or(state.previous_key.as_ref());
    match named {
        Some(named) if Some(named) == state.current_key.as_ref() => None,
        // The replaced key is gone, and this one is a person's.
        Some(named) if state.notified.was_sent(named, Phase::Deleted) => NAMELESS.parse().ok(),
        Some(named) => Some(named.clone()),
        None => NAMELESS.parse().ok(),
    }
}

/// Stands for a person's key whose id no tag holds.
const NAMELESS: &str = "AKIANAMELESS0000";

fn may_have_second_key_in_the_way(keys: &[KeyFacts], periods: &Periods, now: DateTime<Utc>) -> bool {
    let [only] = keys else { return false };
    let needed_from = second_key::slot_needed_from(only.created + periods.rotation, periods);
    only.is_active() && now >= needed_from && now < needed_from + LOOKS_FOR_SECOND_KEY
}

/// Whether the resource policy is known to be for this very user. One that is not rotated is not looked after.
///
/// The schedule is set last when a secret is made: without it, what the tags say may be ahead of what was done.
fn policy_is_known(listed: &Listed<'_>, keys: &[KeyFacts]) -> bool {
    let is_rotated = listed.exemption != Exemption::Exempt && keys.iter().any(KeyFacts::is_active);
    match &listed.secret {
        SecretFacts::Present(secret) if is_rotated => is_reader(secret, listed.id, listed.arn),
        _ => true,
    }
}

/// Whether the resource policy was last seen to be for this user.
pub(crate) fn is_reader(secret: &PresentSecret, id: &str, arn: &UserArn) -> bool {
    let reader = Reader::of(id, arn);
    reader.is_some() && secret.rotation_enabled && secret.state.reader == reader
}

/// What is to be remembered of the user's keys after a close look; `None` while a rotation is on its way, which remembers
/// by itself, the tags tell of another version than readers get, or the key that is current since a moment ago is not
/// listed yet.
pub fn key_dates(facts: &UserFacts, now: DateTime<Utc>) -> Option<KeyDates> {
    let secret = facts.secret.present()?;
    let state = &secret.state;
    let is_settled = state.managed && secret.facts_are_fresh() && state.malformed.is_empty();
    if !is_settled
        || secret.unfinished_version.is_some()
        || state.unsettled_intent(secret.current_version.as_ref()).is_some()
    {
        return None;
    }
    let (current, others): (Vec<_>, Vec<_>) =
        facts.keys.iter().partition(|key| state.current_key.as_ref() == Some(&key.id));
    let was_rotated_lately = state.rotated_at.is_some_and(|rotated_at| now < rotated_at + KEYS_ARE_LISTED_WITHIN);
    if state.current_key.is_some() && current.is_empty() && was_rotated_lately {
        return None;
    }
    Some(KeyDates::new(current.first().map(|key| key.created), others.iter().map(|key| key.created)))
}
