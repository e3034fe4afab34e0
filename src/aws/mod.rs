//! AWS: typed calls and the sessions that they need. Knows AWS and none of keywheel's policies.
//!
//! The traits in `iam`, `secrets`, `mail`, `topic` and `organizations` are the calls that keywheel makes. `services`
//! says how a function gets hold of them, and `sdk` implements them through the AWS SDK. `client` is what the rest of
//! the package holds: one [`Aws`] or [`SweeperAws`] per process. `session` caches the sessions in other accounts,
//! `credential_report` reads IAM's report, `pages` ends lists that would never end, `until` repeats a read until it
//! shows a write, and `failure` says what a failed call means.
//!
//! This file only declares and re-exports: the files below it import each other by their own names, so that there is no
//! circle among them.

mod client;
mod credential_report;
mod failure;
mod iam;
mod mail;
mod organizations;
mod pages;
mod sdk;
mod secrets;
mod services;
mod session;
mod topic;
mod until;

pub use client::{Access, Aws, SweeperAws};
pub use credential_report::{CredentialReport, MalformedReport, ReportedKey, ReportedKeys};
pub use failure::{CallFailure, FailureKind};
pub(crate) use iam::has_group;
pub use iam::{AccountDetails, DatedReport, Iam, ListedKey, ListedUser, NewKey, UnreadableUser};
pub(crate) use mail::masked;
pub use mail::{
    Attachment, MailIdentity, Mailer, OutgoingMail, SendQuota, SendingAccount, SuppressedAddress, SuppressedPage,
};
pub(crate) use organizations::cannot_list_accounts;
pub use organizations::{AccountPage, AccountState, ListedAccount, Organizations};
pub(crate) use pages::PageTokens;
pub use sdk::{ATTEMPTS, EndpointOverride, Lookup, endpoint_overrides, production_config};
pub(crate) use secrets::{CURRENT, PENDING, PREVIOUS, is_binary_value, is_kms_refusal, is_rotation_unfinished};
pub use secrets::{NewSecret, RotationSchedule, SecretDescription, SecretPage, SecretStore};
pub use services::{CallerIdentity, RoleSession, Services, SweeperServices};
pub use topic::{MAX_BATCH_BYTES, MAX_BATCH_MESSAGES, TopicMessage, Topics};
pub(crate) use until::{ONCE, Tries, once_found, until};

// Used by the rehearsal's own transport, which answers as the SDK's does.
#[cfg(feature = "rehearsal")]
pub(crate) use {
    iam::{is_report_capacity_exhausted, is_report_unavailable},
    mail::{SUPPRESSED_PAGE_SIZE, masked_identity},
    organizations::{organization_of, read_email},
    secrets::binary_value,
    topic::{BatchEntryError, PUBLISH_BATCH, PUBLISH_TIMEOUT, publish_result},
};
