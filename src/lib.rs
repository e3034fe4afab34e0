//! keywheel
pub mod aws;
pub mod keys;
pub mod lifecycle;
#[cfg(feature = "rehearsal")]
pub mod rehearsal;
pub mod settings;
pub mod state;
