//! The users of an account as they are when something is changed: what was listed of them long ago is listed again.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::Mutex;
use tracing::warn;

use super::Sweep;
use super::observe::Member;
use crate::aws::{CallFailure, Iam};
use crate::keys::UserName;
use crate::lifecycle::Exemption;

/// What was listed of users so long ago is asked for again before anything is changed: a person may have made a user
/// exempt meanwhile.
const LIST_STAYS_FRESH: TimeDelta = TimeDelta::seconds(60);

/// A user who is asked for alone takes so many calls.
const CALLS_FOR_ONE: usize = 2;

/// What the lists of an account's users say, and since when.
#[derive(Debug)]
pub(super) struct Members(Mutex<Latest>);

#[derive(Debug)]
struct Latest {
    /// When the last list was begun.
    at: DateTime<Utc>,
    /// How many pages it had.
    pages: usize,
    /// Its users, if it is not the first one.
    again: Option<BTreeMap<UserName, Member>>,
    /// How many users were asked for alone since it is too old.
    asked: usize,
    is_refused: bool,
}

impl Members {
    /// The list that a sweep begins with, and of how many pages it was.
    pub(super) fn listed(at: DateTime<Utc>, pages: usize) -> Self {
        Self(Mutex::new(Latest { at, pages, again: None, asked: 0, is_refused: false }))
    }

    /// The user as it was not long ago; `None` if it is not there any more. Where many users are acted upon, a page of the
    /// list is a call for what takes two for each of them.
    ///
    /// # Errors
    /// The failure of a read on which everything depends.
    pub(super) async fn fresh(
        &self,
        sweep: &Sweep<'_>,
        iam: &dyn Iam,
        known: &Member,
    ) -> Result<Option<Member>, CallFailure> {
        let name = known.name();
        {
            let mut latest = self.0.lock().await;
            if latest.is_old(sweep.aws.now()) && latest.is_worth_another() {
                latest.list_again(sweep, iam).await;
            }
            if !latest.is_old(sweep.aws.now()) {
                let Some(again) = &latest.again else { return Ok(Some(known.clone())) };
                if let Some(member) = again.get(name) {
                    return Ok(Some(member.clone()));
                }
            }
            latest.asked += 1;
        }
        // Lists lag: who is in none may be there.
        alone(sweep, iam, name).await
    }
}

impl Latest {
    fn is_old(&self, now: DateTime<Utc>) -> bool {
        now >= self.at + LIST_STAYS_FRESH
    }

    /// Whether another list takes no more calls than have been, or are now to be, made for single users.
    fn is_worth_another(&self) -> bool {
        !self.is_refused && self.pages <= CALLS_FOR_ONE * (self.asked + 1)
    }

    async fn list_again(&mut self, sweep: &Sweep<'_>, iam: &dyn Iam) {
        let at = sweep.aws.now();
        match list(sweep, iam).await {
            Ok((users, pages)) => *self = Self { at, pages, again: Some(users), asked: 0, is_refused: false },
            Err(failure) => {
                warn!(account = %iam.account(), error = %failure, "users are asked for one by one");
                self.is_refused = true;
            }
        }
    }
}

async fn list(sweep: &Sweep<'_>, iam: &dyn Iam) -> Result<(BTreeMap<UserName, Member>, usize), CallFailure> {
    let (mut users, mut pages, mut from) = (BTreeMap::new(), 0, None);
    loop {
        let page = iam.account_details(from).await?;
        pages += 1;
        for listed in page.users {
            let member = Member::of(sweep, listed);
            users.insert(member.name().clone(), member);
        }
        from = page.next;
        if from.is_none() {
            return Ok((users, pages));
        }
    }
}

/// One user, asked for alone; `None` if it is not there.
///
/// # Errors
/// Any failure to read the user. Groups that cannot be read are a fact of their own: unknown is not "not exempt".
pub(super) async fn alone(sweep: &Sweep<'_>, iam: &dyn Iam, name: &UserName) -> Result<Option<Member>, CallFailure> {
    let Some(mut found) = iam.find_user(name).await? else { return Ok(None) };
    let memberships = iam.groups_of(name).await;
    let unknown = memberships.as_ref().err().map(ToString::to_string);
    found.groups = memberships.unwrap_or_default();
    let mut member = Member::of(sweep, found);
    if let Some(why) = unknown {
        member.exemption = Exemption::Unknown(why);
    }
    Ok(Some(member))
}
