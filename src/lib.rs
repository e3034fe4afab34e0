//! keywheel rotates the access keys of IAM users across an AWS organization.
//!
//! Each user has one secret in AWS Secrets Manager with a native rotation schedule. Two Lambda functions do the work.
//! The *rotation function* carries out the four steps of a rotation when Secrets Manager invokes it. The *sweeper* runs
//! on a schedule: it creates secrets for new users, retires the keys that were rotated away, and sends notices. IAM and
//! Secrets Manager hold all state; there is no database.
//!
//! # How data flows
//!
//! ```text
//! Secrets Manager ──event──▶ rotation ──▶ aws ──▶ IAM, STS, Secrets Manager
//!                               │
//!                               ▼ facts, as tags on the secret
//! schedule, EventBridge ──▶ sweep: observe ──▶ lifecycle: plan ──▶ sweep: carry out ──▶ provision, aws
//!                                                      │
//!                                                      ▼ notices
//!                                               notify ──▶ aws ──▶ SES, SNS
//! ```
//!
//! # Which module may import which
//!
//! A pure module imports no AWS SDK, no async, no clock and no environment; time is an argument. The last column lists
//! the modules of this crate that a module imports. `tests/architecture.rs` compares the table with the code; imports
//! of unit tests do not count.
//!
//! | module | what it is | pure | imports |
//! |---|---|---|---|
//! | `redact` | withholds from text by others whatever looks like a secret | yes | |
//! | [`calendar`] | days of the calendar, in UTC | yes | |
//! | [`keys`] | names and ids: accounts, users, keys, secrets, versions | yes | `redact` |
//! | [`settings`] | environment variables → settings | yes | `keys`, `redact` |
//! | [`state`] | facts about a key ↔ tags on its secret | yes | `keys` |
//! | [`value`] | an access key ↔ the value of its secret | yes | `keys` |
//! | [`lifecycle`] | facts about a user and a time → a plan | yes | `calendar`, `keys`, `settings`, `state` |
//! | [`aws`] | clients, sessions and typed calls; knows no policy | no | `keys`, `redact` |
//! | [`error`] | the errors that end an invocation | no | `aws`, `keys`, `settings` |
//! | [`metrics`] | counts of both functions → lines of their logs | yes | |
//! | [`rotation`] | the rotation function | its events and slots | `aws`, `calendar`, `error`, `keys`, `metrics`, `provision`, `redact`, `settings`, `state`, `value` |
//! | [`provision`] | one user's secret, its policy and its schedule | policy and drift | `aws`, `keys`, `lifecycle`, `settings`, `state`, `value` |
//! | [`notify`] | notices → messages, and their sending | all but sending | `aws`, `keys`, `lifecycle`, `settings`, `state` |
//! | [`sweep`] | the sweeper | its events and report | `aws`, `calendar`, `error`, `keys`, `lifecycle`, `metrics`, `notify`, `provision`, `redact`, `settings`, `state` |
//! | [`process`] | environment, files, log and deadline of a process | no | `aws`, `error`, `metrics`, `settings` |
//! | `model` | a model of AWS in memory, on a clock that can be moved | no | |
//! | `rehearsal` | keywheel deployed on the model, and its judges | no | `aws`, `calendar`, `error`, `keys`, `lifecycle`, `model`, `notify`, `process`, `rotation`, `settings`, `state`, `sweep` |
//! | `cli` | the command line | no | `keys`, `lifecycle`, `model`, `notify`, `process`, `rehearsal`, `settings`, `state` |

pub mod aws;
pub mod calendar;
#[cfg(feature = "cli")]
pub mod cli;
pub mod error;
pub mod keys;
pub mod lifecycle;
pub mod metrics;
#[cfg(feature = "rehearsal")]
pub mod model;
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
#[cfg(test)]
mod testing;
pub mod value;
