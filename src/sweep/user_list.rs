//! The users of an account, listed again during a long sweep: people change groups and tags meanwhile.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::Mutex;
use tracing::warn;

use super::account_user::AccountUser;
use super::run::Run;
use super::user_pages::UserPages;
use crate::aws::{CallFailure, Iam};
use crate::keys::UserName;

/// How long a list of users counts as current. Before a change an older entry is read again, because a person may have
/// made the user exempt meanwhile.
const LIST_STAYS_FRESH: TimeDelta = TimeDelta::seconds(60);

/// Calls to read one user: the user and its groups.
const CALLS_FOR_ONE: usize = 2;

/// The latest list of an account's users.
#[derive(Debug)]
pub(super) struct UserList(Mutex<LatestList>);

#[derive(Debug)]
struct LatestList {
    /// When the list was begun.
    at: DateTime<Utc>,
    /// Pages of the list, each a call.
    pages: usize,
    /// Users of one of its pages at most.
    at_most: usize,
    /// Its users; `None` for the first list, from which the caller has its users.
    users: Option<BTreeMap<UserName, AccountUser>>,
    /// How many users were read one by one since the list became too old.
    read_alone: usize,
    /// The list could not be read again.
    has_failed: bool,
}

impl UserList {
    /// The list with which a sweep begins.
    pub(super) fn first(at: DateTime<Utc>, pages: usize, at_most: usize) -> Self {
        Self(Mutex::new(LatestList { at, pages, at_most, users: None, read_alone: 0, has_failed: false }))
    }

    /// Returns the user, at most a minute old; `None` if the user does not exist any more. When many users are acted
    /// upon, listing them again takes fewer calls than reading each.
    ///
    /// # Errors
    /// The failure to read the user.
    pub(super) async fn fresh(
        &self,
        run: &Run<'_>,
        iam: &dyn Iam,
        known: &AccountUser,
    ) -> Result<Option<AccountUser>, CallFailure> {
        let name = known.name();
        {
            let mut latest = self.0.lock().await;
            if latest.is_old(run.aws.now()) && latest.is_worth_another() {
                latest.list_again(run, iam).await;
            }
            if !latest.is_old(run.aws.now()) {
                let Some(users) = &latest.users else { return Ok(Some(known.clone())) };
                if let Some(user) = users.get(name) {
                    return Ok(Some(user.clone()));
                }
            }
            latest.read_alone += 1;
        }
        // Lists lag: a user who is missing in the list may exist.
        AccountUser::find(run, iam, name).await
    }

    /// Returns the user with this unique id, whatever its name is today; `None` if no such user is listed. The users of
    /// the account are listed again, once for all secrets of the sweep.
    ///
    /// # Errors
    /// The failure to list the users: a user who cannot be found may exist.
    pub(super) async fn by_id(
        &self,
        run: &Run<'_>,
        iam: &dyn Iam,
        id: &str,
    ) -> Result<Option<AccountUser>, CallFailure> {
        let mut latest = self.0.lock().await;
        if latest.users.is_none() || latest.is_old(run.aws.now()) {
            *latest = latest.renewed(run, iam).await?;
        }
        let mut users = latest.users.iter().flat_map(BTreeMap::values);
        Ok(users.find(|user| user.id == id).cloned())
    }
}

impl LatestList {
    fn is_old(&self, now: DateTime<Utc>) -> bool {
        now >= self.at + LIST_STAYS_FRESH
    }

    /// Whether another list takes at most as many calls as were made for single users, the next one included.
    fn is_worth_another(&self) -> bool {
        !self.has_failed && self.pages <= CALLS_FOR_ONE * (self.read_alone + 1)
    }

    async fn list_again(&mut self, run: &Run<'_>, iam: &dyn Iam) {
        match self.renewed(run, iam).await {
            Ok(renewed) => *self = renewed,
            Err(failure) => {
                warn!(account = %iam.account(), error = %failure, "users are read one by one");
                self.has_failed = true;
            }
        }
    }

    /// Lists the users again. The pages are as large as those with which this list ended.
    ///
    /// # Errors
    /// The failure to read a page.
    async fn renewed(&self, run: &Run<'_>, iam: &dyn Iam) -> Result<Self, CallFailure> {
        let (at, mut users, mut pages) = (run.aws.now(), BTreeMap::new(), UserPages::of(iam, self.at_most));
        while let Some(page) = pages.next().await? {
            for listed in page.users {
                let user = AccountUser::of(run, listed);
                users.insert(user.name().clone(), user);
            }
        }
        let UserPages { count: pages, at_most, .. } = pages;
        Ok(Self { at, pages, at_most, users: Some(users), read_alone: 0, has_failed: false })
    }
}
