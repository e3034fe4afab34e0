//! The request in an event, whoever sent it.

use std::collections::BTreeSet;

use crate::keys::{AccountId, EmailAddress, SecretName};
use crate::lifecycle::News;

/// The work that the sweeper is asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SweepRequest {
    /// Sweep all accounts.
    All,
    /// Sweep one account.
    Account {
        /// The account's id.
        account: AccountId,
        /// The account's name, if the caller knows it.
        name: Option<String>,
        /// The account's address, if the caller knows it.
        email: Option<EmailAddress>,
        /// Notices that are not urgent are deferred to a digest, which the caller asks for at the end.
        defers_notices: bool,
    },
    /// Send the notices that sweeps deferred.
    Digest {
        /// Only those of the accounts after this one; `None` for all.
        after: Option<AccountId>,
    },
    /// List one page of accounts.
    Inventory {
        /// Where the page starts; `None` for the start of the list.
        next_token: Option<String>,
        /// Most accounts of the page; it may have fewer although the list goes on.
        limit: usize,
    },
    /// Send the notices of one secret.
    Notify {
        /// The secret's name.
        secret: SecretName,
        /// The part of the event that cannot be observed later.
        news: News,
        /// Where the event comes from.
        origin: EventOrigin,
    },
    /// Nothing: the event is about a secret that is not keywheel's, or about a label that does not matter.
    Ignore,
}

/// The accounts and Regions that an event of AWS names. EventBridge can forward events of other accounts and Regions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EventOrigin {
    /// The account that sent the event, and its recipient and the account of its secret, as far as they are named.
    pub accounts: BTreeSet<String>,
    /// The Regions of the event and of its secret.
    pub regions: BTreeSet<String>,
}

impl EventOrigin {
    /// Whether everything that the event names is that account and Region.
    pub fn is(&self, account: &AccountId, region: &str) -> bool {
        self.accounts.iter().all(|it| it == account.as_str()) && self.regions.iter().all(|it| it == region)
    }
}
