//! A model of AWS in memory. It speaks AWS's wire protocols below the SDK, on a clock that can be moved.
//!
//! A call passes through these modules:
//!
//! 1. `connector` (the SDK's HTTP client) or `serve` (a loopback port) accepts the request.
//! 2. `request` parses it. The scope of its credentials names the service.
//! 3. `dispatch` applies the injected faults, and `signature` finds out who calls.
//! 4. The service's module (`iam`, `secretsmanager`, …) changes the world.
//! 5. `answer` writes the answer as that service writes it, and `calls` keeps a record.
//!
//! `dispatch` has a second entrance without the SDK and the wire, for runs over thousands of users and days.
//!
//! The world changes in three ways only: by calls, by people (`world`, `kms_access`, `operator`), and by the rotations
//! that Secrets Manager runs by itself (`rotation`).
//!
//! The model uses the SDK's types and none of keywheel's code: it is what keywheel is judged by.

mod answer;
mod calls;
mod clock;
mod cloud;
mod connector;
mod dispatch;
mod exchange;
mod faults;
mod function;
mod history;
mod iam;
pub(crate) mod ids;
mod kms;
mod kms_access;
mod mail;
mod operator;
mod organizations;
mod queue;
mod request;
mod rotation;
mod rules;
mod secret;
mod secretsmanager;
mod serve;
mod service;
mod ses;
mod signature;
mod sns;
mod state;
mod sts;
mod switches;
mod topic;
mod view;
mod world;
mod xml;

#[cfg(test)]
mod tests;

pub use calls::Call;
pub use clock::{Clock, paused_runtime};
pub use cloud::{AccessKeyPair, Cloud, Stopped};
pub use faults::{Fault, FaultHandle, FaultKind, Faults, Occurrence, Unreadable};
pub use function::RotationFunction;
pub use history::{KeyChange, KeyEvent};
pub use kms::KmsKeyState;
pub use mail::{Mail, MailAttachment};
pub use serve::serve;
pub use state::{AccountStatus, RecordedUse};
pub use switches::Switches;
pub use topic::PublishedMessage;
pub use view::{KeyView, SecretView, UserView, VersionView};

// The inside of the world, for the rehearsal's transport and judges.
pub(crate) use answer::Reply;
pub(crate) use clock::delta;
pub(crate) use secret::{CURRENT, Plain, Secret, SecretLocation, Version};
pub(crate) use state::AwsAccount;
pub(crate) use state::{IamUser, Observer, World};
pub(crate) use xml::Xml;
