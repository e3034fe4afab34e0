//! Reads the list of an account's users and groups page by page, in smaller pages if IAM does not answer large ones.

use tracing::warn;

use super::run::Run;
use crate::aws::{AccountDetails, CallFailure, FailureKind, Iam, PageTokens};

/// Users of one page at most: the maximum that IAM accepts, to make few calls.
/// <https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetAccountAuthorizationDetails.html>
pub(super) const LARGEST_PAGE: usize = 1000;
/// Users of the smallest page. Inline policies of users and groups make pages large, and `MaxItems` does not count
/// them. If IAM does not answer for so few users, the size of the page is not the cause.
const SMALLEST_PAGE: usize = 50;

/// The pages of an account's list of users and groups.
pub(super) struct UserPages<'a> {
    iam: &'a dyn Iam,
    /// Users of the next page at most.
    pub(super) at_most: usize,
    tokens: PageTokens,
    from: Option<String>,
    /// How many pages were read, each a call.
    pub(super) count: usize,
}

impl<'a> UserPages<'a> {
    /// Returns the pages, from the first on. `at_most` is [`LARGEST_PAGE`], or the last page size of an earlier list.
    pub(super) fn of(iam: &'a dyn Iam, at_most: usize) -> Self {
        Self { iam, at_most, tokens: PageTokens::default(), from: None, count: 0 }
    }

    /// Returns the next page; `None` after the last page.
    ///
    /// # Errors
    /// The failure of the call, and a list that would never end.
    pub(super) async fn next(&mut self) -> Result<Option<AccountDetails>, CallFailure> {
        if self.count > 0 && self.from.is_none() {
            return Ok(None);
        }
        let mut page = self.read().await?;
        self.count += 1;
        let about = format_args!("account {}", self.iam.account()).to_string();
        self.from = self.tokens.next("iam:GetAccountAuthorizationDetails", about, page.next.take())?;
        Ok(Some(page))
    }

    /// Reads the page at `from`, with half as many users as long as IAM does not answer.
    async fn read(&mut self) -> Result<AccountDetails, CallFailure> {
        loop {
            let failure = match self.iam.account_details(self.from.clone(), self.at_most).await {
                Err(failure) if failure.kind() == FailureKind::NoAnswer && self.at_most / 2 >= SMALLEST_PAGE => failure,
                page => return page,
            };
            self.at_most /= 2;
            let (account, at_most) = (self.iam.account(), self.at_most);
            warn!(%account, at_most, error = %failure, "IAM is asked for half as many users");
        }
    }
}

/// Whether changes in the account may have to wait for a later run, because it has more users than a run may change
/// keys of. Returns `true` if the list cannot be read. Each event calls this, so the pages are small.
pub(super) async fn is_limited(run: &Run<'_>, iam: &dyn Iam) -> bool {
    let setting = run.settings.changes_per_run;
    let enough = setting.saturating_add(1).clamp(SMALLEST_PAGE, LARGEST_PAGE);
    let (mut pages, mut users) = (UserPages::of(iam, enough), 0);
    while setting > 0 && !run.is_limited(users) {
        match pages.next().await {
            Ok(Some(page)) => users += page.users.len(),
            Ok(None) => return false,
            Err(failure) => {
                warn!(account = %iam.account(), error = %failure, "the number of users is not known");
                return true;
            }
        }
    }
    setting > 0
}
