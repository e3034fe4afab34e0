//! Limits how many keys one run changes in one account: the oldest changes have their turn, and the rest is postponed
//! to the next run. Pure.
//!
//! A first run may find thousands of overdue keys, and a mistake may make thousands of keys look overdue. With a limit,
//! owners and operators meet both a few at a time.

use chrono::{DateTime, TimeDelta, Utc};

use super::action_name::ActionName;

/// Accounts with more users have a limit that grows with them.
const USERS_OF_A_SMALL_ACCOUNT: usize = 500;

/// A run may change the keys of one user in this many in a large account. With daily runs and a rotation period of more
/// days, the keys that come due in a day always fit, and a backlog becomes smaller every day.
const ONE_USER_IN: usize = 20;

/// Returns how many keys a run may rotate, disable and delete, each, in an account of `users` users; `None` for no
/// limit. `setting` is `CHANGES_PER_RUN`.
///
/// With a rotation period under 20 days, more than one user in twenty comes due on an average day, so the limit is one
/// user in as many as the period has days.
pub fn changes_allowed(setting: usize, users: usize, rotation: TimeDelta) -> Option<usize> {
    if setting == 0 {
        return None;
    }
    let days = usize::try_from(rotation.num_days()).unwrap_or(1).clamp(1, ONE_USER_IN);
    let grows = users > USERS_OF_A_SMALL_ACCOUNT || days < ONE_USER_IN;
    Some(if grows { setting.max(users.div_ceil(days)) } else { setting })
}

/// A change of a plan that the limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// `Rotate`, `Disable` or `Delete`.
    pub action: ActionName,
    /// When the key to rotate was made, or when the grace of the key to disable or delete ended. Older changes have
    /// their turn first.
    pub since: DateTime<Utc>,
}

/// The changes of one user that have their turn in this run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GrantedTurns {
    /// Whether a rotation may be started.
    pub rotate: bool,
    /// Whether a key may be disabled.
    pub disable: bool,
    /// Whether a key may be deleted.
    pub delete: bool,
}

impl GrantedTurns {
    /// Everything that is due has its turn.
    pub const ALL: Self = Self { rotate: true, disable: true, delete: true };
    /// Nothing that the limit counts has its turn.
    pub const NONE: Self = Self { rotate: false, disable: false, delete: false };

    /// Whether the action has its turn. An action that the limit does not count always has.
    pub fn has(self, action: ActionName) -> bool {
        match action {
            ActionName::Rotate => self.rotate,
            ActionName::Disable => self.disable,
            ActionName::Delete => self.delete,
            _ => true,
        }
    }

    fn give(&mut self, action: ActionName) {
        match action {
            ActionName::Disable => self.disable = true,
            ActionName::Delete => self.delete = true,
            _ => self.rotate = true,
        }
    }
}

/// The conditions under which one user is planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// The changes that have their turn.
    pub turns: GrantedTurns,
    /// Whether the account has more users than a run may change keys of. If so, the limit may put off any change, and
    /// notices name the first possible date.
    pub is_limited: bool,
}

impl Allowance {
    /// No limit: everything that is due has its turn.
    pub const UNLIMITED: Self = Self { turns: GrantedTurns::ALL, is_limited: false };
}

/// How many changes of each kind a run may still make in an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    rotate: usize,
    disable: usize,
    delete: usize,
}

impl Room {
    /// Returns room for `allowed` changes of each kind.
    pub fn for_each_kind(allowed: usize) -> Self {
        Self { rotate: allowed, disable: allowed, delete: allowed }
    }

    fn of(&mut self, action: ActionName) -> &mut usize {
        match action {
            ActionName::Disable => &mut self.disable,
            ActionName::Delete => &mut self.delete,
            _ => &mut self.rotate,
        }
    }

    /// Gives a turn back: the change could not be started.
    pub fn give_back(&mut self, action: ActionName) {
        *self.of(action) += 1;
    }

    /// Takes room for the oldest changes of these users, and returns the turns of each user in the same order. Of
    /// equally old changes, those of earlier users come first. A change needs all changes before it in its user's plan:
    /// a rotation, for example, finds no slot without the deletion of a key.
    pub fn take(&mut self, users: &[&[Change]]) -> Vec<GrantedTurns> {
        let mut turns = vec![GrantedTurns::NONE; users.len()];
        // In the order in which changes follow each other in one plan.
        for action in [ActionName::Disable, ActionName::Delete, ActionName::Rotate] {
            let mut due: Vec<(DateTime<Utc>, usize)> = Vec::new();
            for (user, changes) in users.iter().enumerate() {
                let before = changes.iter().take_while(|change| change.action != action);
                let has_turns = before.clone().all(|change| turns[user].has(change.action));
                let change = changes.get(before.count()).filter(|_| has_turns);
                due.extend(change.map(|change| (change.since, user)));
            }
            due.sort_unstable();
            let room = self.of(action);
            due.truncate(*room);
            *room -= due.len();
            for (_, user) in due {
                turns[user].give(action);
            }
        }
        turns
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn day(day: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::days(day)
    }

    fn change(action: ActionName, since: i64) -> Change {
        Change { action, since: day(since) }
    }

    fn rotate(since: i64) -> Vec<Change> {
        vec![change(ActionName::Rotate, since)]
    }

    fn taken(room: &mut Room, users: &[Vec<Change>]) -> Vec<GrantedTurns> {
        room.take(&users.iter().map(Vec::as_slice).collect::<Vec<_>>())
    }

    #[test]
    fn on_aws_b7_the_limit_grows_in_large_accounts() {
        let period = TimeDelta::days(90);
        for (setting, users, allowed) in [
            (25, 0, Some(25)),
            (25, 500, Some(25)),
            (25, 501, Some(26)),
            (25, 10_000, Some(500)),
            (1, 500, Some(1)),
            (1, 501, Some(26)),
            (100, 1_000, Some(100)),
            (0, 10_000, None),
        ] {
            assert_eq!(changes_allowed(setting, users, period), allowed, "{setting}, {users}");
        }
        for (days, allowed) in [(20, 25), (19, 27), (10, 50), (1, 500)] {
            assert_eq!(changes_allowed(25, 500, TimeDelta::days(days)), Some(allowed), "{days} days");
        }
    }

    #[test]
    fn on_aws_b7_the_oldest_of_each_kind_come_first() {
        let mut room = Room::for_each_kind(2);
        let users = [rotate(3), rotate(1), rotate(2), vec![change(ActionName::Disable, 9)], rotate(1)];
        let turns = taken(&mut room, &users);
        let rotates: Vec<bool> = turns.iter().map(|turns| turns.rotate).collect();
        assert_eq!(rotates, [false, true, false, false, true]);
        assert_eq!(turns[3], GrantedTurns { disable: true, ..GrantedTurns::NONE });
        assert_eq!(room, Room { rotate: 0, disable: 1, delete: 2 });
        assert_eq!(taken(&mut room, &[rotate(0)]), [GrantedTurns::NONE], "nothing is left");
        room.give_back(ActionName::Rotate);
        assert_eq!(taken(&mut room, &[rotate(9)]), [GrantedTurns { rotate: true, ..GrantedTurns::NONE }]);
    }

    #[test]
    fn on_aws_b7_no_rotation_takes_a_turn_without_its_slot() {
        let both = |since| vec![change(ActionName::Delete, since), change(ActionName::Rotate, since)];
        let turns = taken(&mut Room::for_each_kind(1), &[both(2), both(1), rotate(3)]);
        let without_disabling = GrantedTurns { disable: false, ..GrantedTurns::ALL };
        assert_eq!(turns, [GrantedTurns::NONE, without_disabling, GrantedTurns::NONE]);
        let turns = taken(&mut Room { rotate: 2, disable: 1, delete: 1 }, &[both(2), both(1), rotate(3)]);
        assert_eq!(
            turns[2],
            GrantedTurns { rotate: true, ..GrantedTurns::NONE },
            "the user without a slot takes no turn"
        );
    }

    proptest! {
        #[test]
        fn on_aws_b7_keys_that_come_due_in_a_day_always_fit(
            users in 1_usize..12_000, days in 1_usize..1_000, setting in 25_usize..100,
        ) {
            let period = TimeDelta::days(i64::try_from(days).unwrap_or(1));
            let allowed = changes_allowed(setting, users, period).unwrap_or(usize::MAX);
            prop_assert!(allowed >= users.div_ceil(days), "{allowed} of {users} in {days} days");
        }

        /// Every key is rotated once in each period, however old the keys were at first.
        #[test]
        fn on_aws_b7_a_backlog_ends_and_the_steady_state_fits(
            ages in prop_oneof![
                prop::collection::vec(0_i64..2_000, 500), prop::collection::vec(0_i64..2_000, 501),
                Just(vec![1_000; 500]), Just((0..10_000).map(|n| n % 400).collect()),
            ],
        ) {
            let period = 90;
            let allowed = changes_allowed(25, ages.len(), TimeDelta::days(period)).unwrap_or(usize::MAX);
            let mut made: Vec<i64> = ages.iter().map(|age| -age).collect();
            // In as many days as a period has, each key comes due once.
            let longest = i64::try_from(made.len().div_ceil(allowed)).unwrap_or(i64::MAX);
            for today in 0..3 * period {
                let due: Vec<usize> = (0..made.len()).filter(|user| today - made[*user] >= period).collect();
                let changes: Vec<Vec<Change>> = due.iter().map(|user| rotate(made[*user])).collect();
                let turns = taken(&mut Room::for_each_kind(allowed), &changes);
                let oldest_left = due.iter().zip(&turns).filter(|(_, turns)| !turns.rotate).map(|(user, _)| made[*user]).min();
                let youngest_taken = due.iter().zip(&turns).filter(|(_, turns)| turns.rotate).map(|(user, _)| made[*user]).max();
                prop_assert!(oldest_left.is_none_or(|left| youngest_taken.is_some_and(|taken| taken <= left)));
                prop_assert_eq!(turns.iter().filter(|turns| turns.rotate).count(), due.len().min(allowed));
                for (user, _) in due.iter().zip(&turns).filter(|(_, turns)| turns.rotate) {
                    made[*user] = today;
                }
                let oldest = made.iter().map(|made| today - made).max().unwrap_or_default();
                prop_assert!(today < longest || oldest <= period + longest, "day {today}: {oldest} days");
            }
        }
    }
}
