//! AWS through its SDK: the implementation that runs in production.
//!
//! All clients are made from one `SdkConfig`. Whatever role they act as, they share its HTTP client (so one pool of
//! connections and one TLS configuration), clock, sleep, retries and timeouts. Tests and the rehearsal replace any of
//! these in that configuration. Each client is made at its first use, so that a cold start waits for none.
//!
//! # Secrets in memory
//!
//! Secrets in responses are moved, without a copy, into memory that is wiped on drop. keywheel cannot wipe what the SDK
//! holds on the way:
//!
//! - the response bodies of `CreateAccessKey`, `GetSecretValue` and `AssumeRole`;
//! - the input and the body of `PutSecretValue`, with the value and the rotation token;
//! - the short-lived buffers of its parsers and of TLS;
//! - the copy of the event that Lambda's runtime read.
//!
//! They are freed when the call ends, and the SDK wipes its credentials itself. No other program can read a function's
//! memory, which ends with its execution environment.

mod endpoints;
mod failure;
mod iam;
mod mail;
mod organizations;
mod production;
mod retry;
mod secrets;
mod services;
#[cfg(all(test, feature = "rehearsal"))]
mod tests;
mod time;
mod topic;
mod whole;

pub use endpoints::{EndpointOverride, Lookup, endpoint_overrides};
pub use production::production_config;
pub use retry::ATTEMPTS;
pub(super) use services::SdkServices;
