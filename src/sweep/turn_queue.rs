//! The users of an account whose changes wait for their turn, and the order in which they are swept: the oldest changes
//! first, until the run has made as many as it may.
//!
//! A run knows the oldest changes only when it has looked at all users. Meanwhile it keeps the facts of the users who
//! wait, some kilobytes each.

use chrono::TimeDelta;
use futures_util::StreamExt as _;
use futures_util::stream;
use tracing::info;

use super::observe::AccountContext;
use super::outcome::UserOutcome;
use super::run::Run;
use super::totals::SweepTotals;
use super::user::{self, WaitingUser};
use crate::lifecycle::{GrantedTurns, Room};

/// The part of the function's time that is kept for the users who wait. Without it, nothing would be changed in an
/// account with more users than one invocation can look at. In this time, 5,000 users are swept.
const TIME_FOR_CHANGES: TimeDelta = TimeDelta::minutes(4);

/// The waiting users of one account.
pub(super) struct TurnQueue {
    waiting: Vec<WaitingUser>,
    /// `None`: without a limit nobody waits.
    room: Option<Room>,
}

impl TurnQueue {
    /// Returns an empty queue that allows this many changes of each kind; `None` for no limit.
    pub(super) fn new(allowed: Option<usize>) -> Self {
        Self { waiting: Vec::new(), room: allowed.map(Room::for_each_kind) }
    }

    pub(super) fn add(&mut self, user: WaitingUser) {
        self.waiting.push(user);
    }

    /// Whether the run must look at no further user, because its time is needed for those who wait.
    pub(super) fn must_begin(&self, run: &Run<'_>) -> bool {
        run.is_out_of_time() || (!self.waiting.is_empty() && run.is_out_of_time_in(TIME_FOR_CHANGES))
    }

    /// Sweeps all waiting users and returns the unfinished outcomes. The changes that have no turn are postponed; all
    /// else is done for their users, too. A change that could not be started gives its turn to the next.
    pub(super) async fn sweep(mut self, context: &AccountContext<'_>, totals: &mut SweepTotals) -> Vec<UserOutcome> {
        // Pages and concurrent calls give no certain order, and equally old changes go by it.
        self.waiting.sort_by(|a, b| a.user.name().cmp(b.user.name()));
        let mut unfinished = Vec::new();
        let Some(mut room) = self.room else { return unfinished };
        loop {
            let changes: Vec<_> = self.waiting.iter().map(WaitingUser::changes).collect();
            let turns = room.take(&changes);
            let (in_turn, waiting): (Vec<_>, Vec<_>) = std::mem::take(&mut self.waiting)
                .into_iter()
                .zip(turns)
                .partition(|(_, turns)| *turns != GrantedTurns::NONE);
            self.waiting = waiting.into_iter().map(|(user, _)| user).collect();
            if in_turn.is_empty() {
                break;
            }
            unfinished.extend(sweep_users(context, in_turn, &mut room, totals).await);
        }
        if !self.waiting.is_empty() {
            info!(account = %context.iam.account(), users = self.waiting.len(), "changes are postponed to the next run");
        }
        let postponed = self.waiting.into_iter().map(|user| (user, GrantedTurns::NONE)).collect();
        unfinished.extend(sweep_users(context, postponed, &mut room, totals).await);
        unfinished
    }
}

/// Sweeps these users, the oldest first and a bounded number at the same time. Turns that were not used go back into
/// the room.
async fn sweep_users(
    context: &AccountContext<'_>,
    mut users: Vec<(WaitingUser, GrantedTurns)>,
    room: &mut Room,
    totals: &mut SweepTotals,
) -> Vec<UserOutcome> {
    users.sort_by_key(|(user, _)| user.changes().iter().map(|change| change.since).min());
    let mut swept = stream::iter(users)
        .map(|(user, turns)| async move {
            let granted: Vec<_> =
                user.changes().iter().map(|change| change.action).filter(|it| turns.has(*it)).collect();
            (user::sweep_in_turn(context, user, turns).await, granted)
        })
        .buffer_unordered(context.run.settings.max_concurrent_users);
    let mut unfinished = Vec::new();
    while let Some((outcome, granted)) = swept.next().await {
        let Some(outcome) = outcome else {
            totals.leave(1);
            continue;
        };
        if !context.run.dry_run {
            granted.into_iter().filter(|action| !outcome.may_have_done(*action)).for_each(|it| room.give_back(it));
        }
        totals.add(&outcome);
        if outcome.is_unfinished() {
            unfinished.push(outcome);
        }
    }
    unfinished
}
