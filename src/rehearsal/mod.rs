//! keywheel deployed on the [model of AWS](crate::model), and what judges it there.
//!
//! - [`Deployment`] puts the real handlers behind the model's functions. They reach the model through the SDK, or
//!   through `direct`, which implements the traits of [`crate::aws`] without SDK and wire.
//! - [`scenario`] is the life of keys in a small organization, day by day; [`invariants`] judges it.
//! - [`chaos`] is the randomized runs: people interfere, AWS fails, and every rule must hold after each step.
//! - [`leaks`] finds secrets in the log, in panics, mails, answers and errors.

pub mod chaos;
mod deployment;
mod direct;
pub mod invariants;
pub mod leaks;
pub mod scenario;

pub use deployment::{Clocks, Deployment, PRIMARY_ACCOUNT, Transport};
pub use leaks::{Leak, Leaks};
