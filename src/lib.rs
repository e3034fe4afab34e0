//! keywheel rotates the access keys of IAM users across an AWS organization.
//!
//! Each user has one secret in AWS Secrets Manager with a native rotation schedule. Two Lambda functions do the work:
//! the rotation function answers Secrets Manager's four steps, and the sweeper makes secrets for new users, leads old
//! keys out and sends the notices. IAM and Secrets Manager are the truth; there is no database.
//!
//! # The data's way
//!
//! ```text
//! Secrets Manager ──event──▶ rotation ──▶ aws ──▶ IAM, STS, Secrets Manager
//!                               │
//!                               ▼ facts, as tags on the secret
//! schedule, EventBridge ──▶ sweep: observe ──▶ lifecycle: plan ──▶ sweep: apply ──▶ provision, aws
//!                                                      │
//!                                                      ▼ notices
//!                                               notify ──▶ aws ──▶ SES, SNS
//! ```
//!
//! # Who may import whom
//!
//! | module | what it is | pure | imports |
//! |---|---|---|---|
//! | `redact` | text of others → text without what looks like a secret | yes | |
//! | [`keys`] | the vocabulary | yes | `redact` |
//! | [`settings`] | environment → settings | yes | `keys`, `redact` |
//! | [`state`] | facts ↔ tags on the secret | yes | `keys` |
//! | [`value`] | a key ↔ the secret's value | yes | `keys` |
//! | [`lifecycle`] | facts and a time → a plan | yes | `keys`, `settings`, `state` |
//! | [`aws`] | clients, sessions, typed calls; no policy | | `keys`, `redact` |
//! | [`error`] | what can go wrong, in words | | `keys`, `settings`, `aws` |
//! | [`rotation`] | the four steps | events and slots | all above but `lifecycle`; `metrics` |
//! | [`provision`] | one user's secret, policy and schedule | policy and drift | all above but `rotation` |
//! | [`notify`] | notices → messages, and sending them | all but sending | `keys`, `settings`, `state`, `lifecycle`, `aws` |
//! | [`sweep`] | the sweeper | events and report | all above but `rotation`; `metrics` |
//! | [`metrics`] | counts → lines of the log; both functions write them | yes | the report of `sweep`, and nothing else |
//! | [`process`] | environment, files, log and deadline of a process | | `settings`, `aws`, `metrics` |
//! | `rehearsal` | the model of AWS, and keywheel deployed on it | | anything; nobody imports it but `cli` |
//! | `cli` | the command line | | anything; nobody imports it |

pub mod aws;
#[cfg(feature = "cli")]
pub mod cli;
pub mod error;
pub mod keys;
pub mod lifecycle;
pub mod metrics;
pub mod notify;
pub mod process;
pub mod provision;
mod redact;
#[cfg(feature = "rehearsal")]
pub mod rehearsal;
pub mod rotation;
pub mod settings;
pub mod state;
pub mod sweep;
pub mod value;
