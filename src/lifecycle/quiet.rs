//! Proves from the lists of a whole account that nothing is due for a user: the list of users, the credential report,
//! and the list of secrets with their tags. Pure.
//!
//! A list of one user's keys costs a call, and on most days nothing is due for most users. The credential report names
//! no key, and dates an active key by its last change, so it proves nothing by itself. But the secret's tags hold when
//! the user's keys were made, as last observed ([`KeyDates`]): a key that the report shows active since that very
//! second is that key. With the keys identified in this way, the usual plan is made. If it is empty, the user is quiet.
//! If anything does not match, the user is observed.
//!
//! No list shows an inactive key that a person made or deleted since the user was last observed, nor a use of the old
//! key since the report was made, which may be four hours old. Both are noticed late. This is safe, because a quiet
//! user is only left alone: before anything is disabled, deleted or rotated, the user is observed.

use chrono::{DateTime, TimeDelta, Utc};

use super::facts::{
    Exemption, KeyFacts, PLAN_TRUSTS_KEY_LIST_AFTER, PresentSecret, ReadObstacle, SecretFacts, UserFacts,
};
use super::plan::plan;
use super::second_key;
use crate::calendar::due;
use crate::keys::{AccessKeyId, KeyStatus, KeyUse, LastUse, UserArn};
use crate::settings::Periods;
use crate::state::{KeyDates, Phase, Reader};

/// One user in the lists of an account.
#[derive(Debug, Clone)]
pub struct Listed<'a> {
    /// The user's ARN.
    pub arn: &'a UserArn,
    /// The user's unique id.
    pub id: &'a str,
    /// Whether the user must be left alone.
    pub exemption: Exemption,
    /// The user in the credential report; `None` if there is no report or it lacks the user.
    pub sighting: Option<&'a Sighting>,
    /// The user's secret, with the drift that the list of secrets shows: all but that of the resource policy.
    pub secret: SecretFacts,
    /// Why the user cannot read the secret that it has or would get.
    pub unreadable: Option<ReadObstacle>,
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
    /// When the key was made, disabled or enabled, whichever came last.
    pub since: DateTime<Utc>,
    /// The last use on record; `None` if there is none.
    pub last_use: Option<KeyUse>,
}

/// How long a user with one known key is observed from the day on which a second key would have to give way, because no
/// list shows an inactive key. Even a weekly schedule has a run in this time.
const LOOKS_FOR_SECOND_KEY: TimeDelta = TimeDelta::days(8);

/// How long before the credential report was made a change may have happened and still be missing from it.
const REPORT_LAGS: TimeDelta = TimeDelta::minutes(15);

/// Whether the lists prove that there is nothing to do, to send and to report for the user. `false` means that the user
/// has to be observed.
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
        unreadable: listed.unreadable,
    };
    plan(&facts, periods, now).is_empty()
}

/// Returns the user's keys, oldest first; `None` if the lists do not show them.
fn known_keys(listed: &Listed<'_>) -> Option<Vec<KeyFacts>> {
    if let SecretFacts::Present(secret) = &listed.secret
        && (secret.state.mark.is_some() || (secret.state.managed && secret.state.current_key.is_none()))
    {
        return None;
    }
    if listed.exemption == Exemption::Exempt {
        // An exempt user's keys are left alone, whatever they are.
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
    // Any other active key is new, or was disabled and enabled since.
    if !unknown.is_empty() {
        return None;
    }
    keys.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
    Some(keys)
}

/// Returns the key that was made at that second, as the report shows it, and removes it from the `unknown` keys.
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
    // The user had the key when last observed, so it is inactive now, unless the report is too old to show it.
    let status = KeyStatus::Inactive;
    (created + REPORT_LAGS <= reported_at).then_some(KeyFacts { id, status, created, last_use: LastUse::NotAsked })
}

/// Returns the id of the key beside the current key.
fn other_key(secret: &PresentSecret) -> Option<AccessKeyId> {
    let state = &secret.state;
    let retiring = state.retiring.as_ref().map(|retiring| &retiring.key);
    let named = retiring.or(state.previous_key.as_ref());
    match named {
        Some(named) if Some(named) == state.current_key.as_ref() => None,
        // The replaced key is gone, so the key beside the current one is a person's.
        Some(named) if state.notified.was_sent(named, Phase::Deleted) => NAMELESS.parse().ok(),
        Some(named) => Some(named.clone()),
        None => NAMELESS.parse().ok(),
    }
}

/// The id of a person's key whose own id is in no tag.
const NAMELESS: &str = "AKIANAMELESS0000";

fn may_have_second_key_in_the_way(keys: &[KeyFacts], periods: &Periods, now: DateTime<Utc>) -> bool {
    let [only] = keys else { return false };
    let needed_from = second_key::slot_needed_from(due(only.created, periods.rotation), periods);
    only.is_active() && now >= needed_from && now < needed_from + LOOKS_FOR_SECOND_KEY
}

/// Whether the tags prove that the resource policy is for this very user. The policy of a user who is not rotated does
/// not matter.
///
/// When a secret is made, the schedule is set last. Without a schedule, the tags may be ahead of what was done.
fn policy_is_known(listed: &Listed<'_>, keys: &[KeyFacts]) -> bool {
    let is_rotated = listed.exemption != Exemption::Exempt && keys.iter().any(KeyFacts::is_active);
    match &listed.secret {
        SecretFacts::Present(secret) if is_rotated => {
            is_reader(secret, listed.id, listed.arn) && !secret.policy_was_refused()
        }
        _ => true,
    }
}

/// Whether the resource policy was for this user when it was last read or made.
pub(crate) fn is_reader(secret: &PresentSecret, id: &str, arn: &UserArn) -> bool {
    let reader = Reader::of(id, arn);
    // A schedule that is left off was set before.
    let was_made = secret.rotation_enabled || secret.schedule_off_for().is_some();
    reader.is_some() && was_made && secret.state.reader == reader
}

/// Returns the dates of an observed user's keys, which the tags record.
///
/// Returns `None` in these cases:
///
/// - A rotation is unfinished. It records the dates itself.
/// - The user has no secret, or the secret's tags are malformed or do not describe the current version.
/// - The current key is new, and IAM does not list it yet.
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
    let was_rotated_lately = state.rotated_at.is_some_and(|rotated_at| now < rotated_at + PLAN_TRUSTS_KEY_LIST_AFTER);
    if state.current_key.is_some() && current.is_empty() && was_rotated_lately {
        return None;
    }
    Some(KeyDates::new(current.first().map(|key| key.created), others.iter().map(|key| key.created)))
}
