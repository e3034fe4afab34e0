//! The context of one call, as the handler of its operation gets it.

use chrono::{DateTime, Utc};

use super::signature::Caller;
use super::state::{AwsAccount, World};

/// What a handler works with: the world, who calls, and when.
pub(crate) struct Exchange<'w> {
    pub(crate) world: &'w mut World,
    pub(crate) caller: &'w Caller,
    pub(crate) now: DateTime<Utc>,
    /// The ARN of what the call is about, for the log.
    pub(crate) resource: String,
    /// What else the caller needs a permission for, as ARNs.
    pub(crate) beside: Vec<String>,
}

impl Exchange<'_> {
    /// The account in which the caller acts.
    pub(crate) fn account(&mut self) -> &mut AwsAccount {
        self.world.expect_account(&self.caller.account)
    }
}
