//! A model of AWS in memory that speaks AWS's wire protocols below the SDK, and a clock that can be moved.
//!
//! The way of a call: [`connector`](self) (the SDK's HTTP client) or `serve` (a loopback port) → `request` (parsed; the service
//! is told by the credential scope) → `signature` (who calls) → the service's module → `answer` (the service's own wire form) → `calls`.
//! The world is changed in three ways only: by calls, by people (`world`), and by the service's own rotation (`rotation`).
//!
//! `direct` is the way to it without an SDK and a wire, for runs over thousands of users and days.
//!
//! The model depends on the SDK's types and never on keywheel's own code, so that it can judge it.

mod answer;
mod calls;
pub mod chaos;
pub mod clock;
mod cloud;
mod connector;
mod deployment;
mod direct;
mod dispatch;
mod faults;
mod history;
mod iam;
mod ids;
pub mod invariants;
pub mod leaks;
mod operator;
mod organizations;
mod request;
mod rotation;
pub mod scenario;
mod secretsmanager;
mod serve;
mod ses;
mod signature;
mod sns;
mod state;
mod sts;
mod switches;
mod view;
mod world;
mod xml;

#[cfg(test)]
mod tests;

pub use calls::Call;
pub use clock::{Clock, paused_runtime};
pub use cloud::{Cloud, Stopped, UserKey};
pub use deployment::{Clocks, Deployment, PRIMARY_ACCOUNT, Transport};
pub use faults::{Fault, FaultHandle, FaultKind, Faults, Occurrence};
pub use history::{KeyChange, KeyEvent};
pub use leaks::{Leak, Leaks};
pub use rotation::RotationFunction;
pub use serve::serve;
pub use ses::{Mail, MailAttachment};
pub use sns::TopicMessage;
pub use state::{AccountState, LastUse};
pub use switches::Switches;
pub use view::{KeyView, SecretView, UserView, VersionView};
