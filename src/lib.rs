//! keywheel
pub mod aws;
pub mod keys;
pub mod lifecycle;
pub mod notify;
#[cfg(feature = "rehearsal")]
pub mod rehearsal;
pub mod settings;
pub mod state;
