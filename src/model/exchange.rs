//! The context of one call, as the handler of its operation gets it.

use chrono::{DateTime, Utc};

use super::signature::Caller;
use super::state::{AwsAccount, World};

/// The world, the caller and the time of a call.
pub(crate) struct Exchange<'w> {
    pub(crate) world: &'w mut World,
    pub(crate) caller: &'w Caller,
    pub(crate) now: DateTime<Utc>,
    /// The Region whose endpoint the call reached.
    pub(crate) region: String,
    /// The ARN of the call's resource, for the record.
    pub(crate) resource: String,
    /// The ARNs of further resources for which the caller needs a permission.
    pub(crate) beside: Vec<String>,
}

impl Exchange<'_> {
    /// The account in which the caller acts.
    pub(crate) fn account(&mut self) -> &mut AwsAccount {
        self.world.expect_account(&self.caller.account)
    }
}
