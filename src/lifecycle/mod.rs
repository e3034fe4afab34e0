//! The policy: facts about one user and a time → what to do and what to tell. Pure.
//!
//! `facts` are what was observed, `plan` decides, `outgoing` leads a key out, `second_key` says when a
//! person's key has to, `action` and `notice` are the values that
//! a plan consists of. `quiet` tells from lists alone that the plan for a user would be empty. Nothing here reads a clock or calls AWS: time is an argument.

mod action;
mod action_name;
mod facts;
mod notice;
mod outgoing;
mod plan;
mod quiet;
mod second_key;
#[cfg(test)]
mod tests;

pub use crate::keys::LastUse;
pub use action::{Action, CancelReason, Problem, RestoredFacts, UserPlan};
pub use action_name::ActionName;
pub use facts::{Drift, Exemption, KeyFacts, PresentSecret, SecretFacts, UserFacts};
pub use notice::{Notice, NoticeKind};
pub use plan::{plan, plan_for_deleted_user};
pub(crate) use quiet::is_reader;
pub use quiet::{KeySighting, Listed, Sighting, is_quiet, key_dates};
