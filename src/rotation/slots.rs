//! Which key may give way to the new one. Pure.
//!
//! IAM gives a user two keys. A slot is freed only where that loses nothing: our own orphan of an interrupted
//! rotation, or a key that keywheel itself disabled and whose recovery period is over. Everything else is refused with
//! the way out, unless the secret is tagged for an incident.

use chrono::{DateTime, TimeDelta, Utc};

use crate::aws::ListedKey;
use crate::keys::{AccessKeyId, KeyStatus, MAX_KEYS_PER_USER};
use crate::state::{Intent, State, format_time};

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

/// What is known when a slot is looked for.
pub(super) struct Slots<'a> {
    /// The user's keys.
    pub(super) keys: &'a [ListedKey],
    /// The key of an interrupted rotation: proven ours and never used.
    pub(super) orphan: Option<&'a AccessKeyId>,
    /// The key that is known to be needed: the one that readers get.
    pub(super) current: Option<&'a AccessKeyId>,
    /// The facts in the tags; `None` if they describe another version.
    pub(super) state: Option<&'a State>,
    /// The secret is tagged for an incident.
    pub(super) force: bool,
    /// From disable to delete.
    pub(super) recovery_grace: TimeDelta,
    /// The time.
    pub(super) now: DateTime<Utc>,
}

/// A key that an interrupted rotation may have made: in no version of the secret, and made when one was announced.
/// It is ours only if it was never used, too: ask IAM for that before touching it.
pub(super) fn orphan_candidate<'a>(
    keys: &'a [ListedKey],
    intent: Option<&Intent>,
    in_versions: &[&AccessKeyId],
) -> Option<&'a ListedKey> {
    let intent = intent?;
    let mut candidates = keys.iter().filter(|key| intent.covers(key.created) && !in_versions.contains(&&key.id));
    // Two candidates: at least one is a person's, and nothing tells which.
    candidates.next().filter(|_| candidates.next().is_none())
}

impl Slots<'_> {
    /// Decides.
    pub(super) fn decide(&self) -> Decision {
        let kept: Vec<&ListedKey> = self.keys.iter().filter(|key| Some(&key.id) != self.orphan).collect();
        if !kept.iter().any(|key| key.status == KeyStatus::Active) {
            return Decision::NoActiveKey;
        }
        let mut removed: Vec<AccessKeyId> = self.orphan.cloned().into_iter().collect();
        if kept.len() >= MAX_KEYS_PER_USER {
            match kept.iter().find(|key| self.is_spent(key)) {
                Some(key) => removed.push(key.id.clone()),
                None if self.force => match self.victim(&kept) {
                    Some(key) => removed.push(key.id.clone()),
                    None => return Decision::NoFreeSlot("both are used and the secret holds neither".to_owned()),
                },
                None => return Decision::NoFreeSlot(self.why(&kept)),
            }
        }
        Decision::Remove(removed)
    }

    /// When keywheel disabled that key, if it did.
    fn disabled_at(&self, key: &ListedKey) -> Option<DateTime<Utc>> {
        let state = self.state?;
        let replaced_at = state.rotated_at.filter(|_| state.previous_key.as_ref() == Some(&key.id));
        let way_out_began = match &state.retiring {
            // An announcement from before the rotation is left over, and counts from the rotation.
            Some(retiring) if retiring.key == key.id => replaced_at.map_or(retiring.since, |at| at.max(retiring.since)),
            // The time of the disabling is the other key's.
            Some(_) => return None,
            None => replaced_at?,
        };
        state.disabled_since(way_out_began).filter(|_| key.status == KeyStatus::Inactive)
    }

    fn is_spent(&self, key: &ListedKey) -> bool {
        self.disabled_at(key).is_some_and(|disabled_at| disabled_at + self.recovery_grace <= self.now)
    }

    /// The key that an incident retires: never the only one that works, and never the one that is needed; none where it
    /// is not known which that is.
    fn victim<'k>(&self, kept: &[&'k ListedKey]) -> Option<&'k ListedKey> {
        let inactive = kept.iter().find(|key| key.status != KeyStatus::Active);
        let other = || kept.iter().find(|key| self.current.is_some_and(|current| *current != key.id));
        inactive.or_else(other).copied()
    }

    fn why(&self, kept: &[&ListedKey]) -> String {
        let disabled = kept.iter().find_map(|key| Some((key, self.disabled_at(key)?)));
        match disabled {
            Some((key, disabled_at)) => {
                let until = format_time(disabled_at + self.recovery_grace);
                format!("{} was disabled and can be recovered until {until}", key.id)
            }
            None => "neither was disabled by keywheel".to_owned(),
        }
    }
}

/// Both keys for an error message, such as `AKIA…1 active, AKIA…2 inactive`.
pub(super) fn describe(keys: &[ListedKey], current: Option<&AccessKeyId>) -> String {
    let describe = |key: &ListedKey| {
        let status = match &key.status {
            KeyStatus::Active => "active",
            KeyStatus::Inactive => "inactive",
            KeyStatus::Other(other) => other,
        };
        let role = if Some(&key.id) == current { ", in the secret" } else { "" };
        format!("{} {status}{role}, made {}", key.id, key.created.date_naive())
    };
    keys.iter().map(describe).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::VersionId;
    use crate::state::Retiring;

    fn now() -> DateTime<Utc> {
        "2026-11-22T09:00:00Z".parse().unwrap()
    }

    fn id(n: u8) -> AccessKeyId {
        format!("AKIA000000000000000{n}").parse().unwrap()
    }

    fn key(n: u8, status: KeyStatus, age_days: i64) -> ListedKey {
        ListedKey { id: id(n), status, created: now() - TimeDelta::days(age_days) }
    }

    fn slots<'a>(keys: &'a [ListedKey], state: Option<&'a State>, current: &'a AccessKeyId) -> Slots<'a> {
        let recovery_grace = TimeDelta::days(10);
        Slots { keys, orphan: None, current: Some(current), state, force: false, recovery_grace, now: now() }
    }

    fn disabled(previous: AccessKeyId, ago: TimeDelta) -> State {
        State {
            previous_key: Some(previous),
            rotated_at: Some(now() - TimeDelta::days(30)),
            disabled_at: Some(now() - ago),
            ..State::default()
        }
    }

    #[test]
    fn one_key_leaves_a_slot_free() {
        let keys = [key(1, KeyStatus::Active, 90)];
        assert_eq!(slots(&keys, None, &id(1)).decide(), Decision::Remove(vec![]));
    }

    #[test]
    fn upstream_defect_02_nothing_is_minted_for_a_user_whose_keys_are_inactive() {
        for keys in [
            vec![],
            vec![key(1, KeyStatus::Inactive, 90)],
            vec![key(1, KeyStatus::Inactive, 90), key(2, KeyStatus::Inactive, 10)],
            vec![key(1, KeyStatus::Other("Expired".to_owned()), 90)],
        ] {
            let decision = Slots { force: true, ..slots(&keys, None, &id(1)) }.decide();
            assert_eq!(decision, Decision::NoActiveKey, "{keys:?}");
        }
    }

    #[test]
    fn upstream_defect_09_two_active_keys_are_both_kept() {
        let keys = [key(1, KeyStatus::Active, 95), key(2, KeyStatus::Active, 95)];
        assert!(matches!(slots(&keys, None, &id(1)).decide(), Decision::NoFreeSlot(_)));
    }

    #[test]
    fn upstream_defect_08_an_inactive_key_of_unknown_origin_is_kept() {
        let keys = [key(1, KeyStatus::Active, 95), key(2, KeyStatus::Inactive, 200)];
        assert!(matches!(slots(&keys, None, &id(1)).decide(), Decision::NoFreeSlot(_)));
        let other_disabled = disabled(id(9), TimeDelta::days(50));
        assert!(matches!(slots(&keys, Some(&other_disabled), &id(1)).decide(), Decision::NoFreeSlot(_)));
    }

    #[test]
    fn a_key_that_keywheel_disabled_gives_way_when_its_recovery_period_is_over() {
        let keys = [key(1, KeyStatus::Active, 50), key(2, KeyStatus::Inactive, 120)];
        let second = TimeDelta::seconds(1);
        let over = disabled(id(2), TimeDelta::days(10));
        assert_eq!(slots(&keys, Some(&over), &id(1)).decide(), Decision::Remove(vec![id(2)]));
        let not_over = disabled(id(2), TimeDelta::days(10) - second);
        let Decision::NoFreeSlot(why) = slots(&keys, Some(&not_over), &id(1)).decide() else { panic!("freed") };
        assert!(why.contains("2026-11-22T09:00:01Z"), "{why}");
    }

    #[test]
    fn a_key_that_was_enabled_again_is_kept() {
        let keys = [key(1, KeyStatus::Active, 50), key(2, KeyStatus::Active, 120)];
        let over = disabled(id(2), TimeDelta::days(20));
        assert!(matches!(slots(&keys, Some(&over), &id(1)).decide(), Decision::NoFreeSlot(_)));
    }

    #[test]
    fn a_retired_second_key_gives_way_too() {
        let keys = [key(1, KeyStatus::Active, 90), key(2, KeyStatus::Inactive, 120)];
        let since = now() - TimeDelta::days(20);
        let state = State {
            retiring: Some(Retiring { key: id(2), since }),
            disabled_at: Some(now() - TimeDelta::days(10)),
            ..State::default()
        };
        assert_eq!(slots(&keys, Some(&state), &id(1)).decide(), Decision::Remove(vec![id(2)]));
    }

    #[test]
    fn the_time_of_another_keys_disabling_frees_no_slot() {
        let keys = [key(1, KeyStatus::Active, 90), key(2, KeyStatus::Inactive, 120)];
        let current = id(1);
        let other = Retiring { key: id(1), since: now() - TimeDelta::days(20) };
        let state = State { retiring: Some(other), ..disabled(id(2), TimeDelta::days(15)) };
        assert!(matches!(slots(&keys, Some(&state), &current).decide(), Decision::NoFreeSlot(_)));
        let before_rotation = Retiring { key: id(2), since: now() - TimeDelta::days(90) };
        let left_over = State {
            retiring: Some(before_rotation),
            rotated_at: Some(now() - TimeDelta::days(5)),
            ..disabled(id(2), TimeDelta::days(60))
        };
        assert!(matches!(slots(&keys, Some(&left_over), &current).decide(), Decision::NoFreeSlot(_)));
    }

    #[test]
    fn upstream_defect_10_force_takes_the_inactive_key_then_the_one_that_is_not_in_the_secret() {
        let current = id(1);
        let active = [key(1, KeyStatus::Active, 95), key(2, KeyStatus::Active, 1)];
        let forced = Slots { force: true, ..slots(&active, None, &current) };
        assert_eq!(forced.decide(), Decision::Remove(vec![id(2)]));
        let unknown = Slots { force: true, current: None, ..slots(&active, None, &current) };
        assert!(matches!(unknown.decide(), Decision::NoFreeSlot(_)), "nothing tells which of the two is needed");
        let mixed = [key(1, KeyStatus::Inactive, 95), key(2, KeyStatus::Active, 1)];
        let forced = Slots { force: true, ..slots(&mixed, None, &current) };
        assert_eq!(forced.decide(), Decision::Remove(vec![id(1)]), "the only active key stays");
    }

    #[test]
    fn an_orphan_is_removed_even_where_the_slot_is_not_needed() {
        let current = id(1);
        let keys = [key(1, KeyStatus::Active, 95), key(2, KeyStatus::Active, 0)];
        let orphan = id(2);
        let found = Slots { orphan: Some(&orphan), ..slots(&keys, None, &current) };
        assert_eq!(found.decide(), Decision::Remove(vec![id(2)]));
    }

    #[test]
    fn only_a_key_made_in_the_window_of_the_intent_and_in_no_version_can_be_an_orphan() {
        let version: VersionId = "0123456789abcdef0123456789abcdef".parse().unwrap();
        let intent = Intent { version, at: now() };
        let made_at =
            |n, seconds| ListedKey { created: now() + TimeDelta::seconds(seconds), ..key(n, KeyStatus::Active, 0) };
        let keys = [key(1, KeyStatus::Active, 90), made_at(2, 1)];
        assert_eq!(orphan_candidate(&keys, Some(&intent), &[&id(1)]).map(|key| key.id.clone()), Some(id(2)));
        assert_eq!(orphan_candidate(&keys, Some(&intent), &[&id(1), &id(2)]), None, "it is in a version");
        assert_eq!(orphan_candidate(&keys, None, &[&id(1)]), None, "no rotation was announced");
        let late = [key(1, KeyStatus::Active, 90), made_at(2, 600)];
        assert_eq!(orphan_candidate(&late, Some(&intent), &[&id(1)]), None, "made long after");
        let both = [made_at(1, 1), made_at(2, 2)];
        assert_eq!(orphan_candidate(&both, Some(&intent), &[]), None, "one of the two is a person's");
    }
}
