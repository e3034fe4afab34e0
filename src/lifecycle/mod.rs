//! The policy: facts about one user and a time → a plan. Pure.
//!
//! Nothing here reads a clock or calls AWS: time is an argument. The files, from the bottom:
//!
//! | file | what it holds |
//! |---|---|
//! | `facts` | what was observed of a user, and the questions that decisions ask about it |
//! | `action`, `action_name`, `named_key`, `notice`, `user_plan` | the values that a plan consists of, which print themselves |
//! | `notice_date` | the date that a notice names: the day itself, or the first possible day |
//! | `allowance` | the limit of changes per run, and the changes that have their turn |
//! | `record` | what the tags say once an action is carried out |
//! | `planner` | gathers a plan while decisions are made |
//! | `gone_keys`, `outgoing`, `second_key` | the retirement of keys: gone, outgoing, and a person's second key |
//! | `rotation_day` | the day on which a key is rotated, and the schedule that would rotate it before |
//! | `plan` | the order of the decisions |
//! | `news` | the notices of a rotation and of its failure, for an event as for a sweep |
//! | `deleted_user`, `renamed_user` | the plan for the secret of a user who was deleted, or who has another name now |
//! | `departed_account` | the plan for a secret whose account is closed or has left the organization |
//! | `quiet` | proves from lists alone that a user's plan would be empty |

mod action;
mod action_name;
mod allowance;
mod deleted_user;
mod departed_account;
mod facts;
mod gone_keys;
mod named_key;
mod news;
mod notice;
mod notice_date;
mod outgoing;
mod plan;
mod planner;
mod quiet;
mod record;
mod renamed_user;
mod rotation_day;
mod second_key;
#[cfg(test)]
mod tests;
mod user_plan;

pub use crate::keys::LastUse;
pub use action::{Action, RestoredFacts};
pub use action_name::ActionName;
pub use allowance::{Allowance, Change, GrantedTurns, Room, changes_allowed};
pub use deleted_user::plan_for_deleted_user;
pub use departed_account::{Departure, is_own_secret, plan_for_departed_account, plan_for_returned_account};
pub use facts::{CancelReason, Drift, Exemption, KeyFacts, PresentSecret, ReadObstacle, SecretFacts, UserFacts};
pub use named_key::NamedKey;
pub use news::{News, names_keys, notices_of};
pub use notice::{Notice, NoticeKind};
pub use notice_date::NoticeDate;
pub use plan::{plan, plan_within};
pub(crate) use quiet::is_reader;
pub use quiet::{KeySighting, Listed, Sighting, is_quiet, key_dates};
pub use renamed_user::{RenamedUser, plan_for_renamed_user};
pub use user_plan::{Problem, UserPlan, Wait, Waiting};
