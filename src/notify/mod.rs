//! Notices → messages, and sending them.
//!
//! The notices of a whole run arrive together. `recipients` finds out who gets a notice, and `dispatch` makes at most
//! two messages per recipient. `message` puts each into words and a template, `deliver` sends it, and `publish`
//! publishes notices to a topic. Everything but `deliver` and `publish` is pure. The result says for every notice who
//! got it, and [`Delivered::record`] writes that into the tag by which the next run knows not to send the notice
//! again.

mod addressed;
mod cause;
mod commands;
mod context;
mod csv;
mod deliver;
mod delivered;
mod delivery;
mod details;
mod dispatch;
mod frame;
mod guidance;
mod instruction;
mod last_start;
mod message;
mod mode;
mod phrases;
mod publish;
mod recipients;
mod remedies;
pub(crate) mod samples;
mod subject;
mod suppressed;
mod template;
mod template_part;
mod template_tags;
mod text_table;
mod tone;
mod topic_message;
mod unlinked;
#[cfg(feature = "rehearsal")]
pub mod witness;
mod words;

#[cfg(test)]
mod fixtures;

pub use addressed::{AccountContact, Addressed};
pub use deliver::deliver;
pub use delivered::{Audience, Delivered};
pub use delivery::{Delivery, DeliveryOptions, MailFailure, Scope};
pub use message::{CsvAttachment, Message, compose};
pub use mode::Mode;
pub use template::Templates;
pub use template_part::InvalidTemplate;
