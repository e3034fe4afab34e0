//! The request in an event, whoever sent it.

use crate::keys::{AccountId, EmailAddress, SecretName};

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
    },
    /// Nothing: the event is about a secret that is not keywheel's, or about a label that does not matter.
    Ignore,
}

/// The news in an event of Secrets Manager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// The label AWSCURRENT moved.
    LabelMoved,
    /// A rotation failed or was abandoned, with the reason.
    RotationFailed(String),
}
