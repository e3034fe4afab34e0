//! The policy: facts about one user and a time → what to do and what to tell. Pure.
//!
//! [`facts`] are what was observed; the plan is a value that prints itself; nothing here reads a clock or calls AWS.

mod action;
mod facts;
mod notice;

pub use action::{Action, CancelReason, Problem, RestoredFacts, UserPlan};
pub use facts::{Drift, Exemption, KeyFacts, LastUse, PresentSecret, SecretFacts, UserFacts};
pub use notice::{Notice, NoticeKind};
