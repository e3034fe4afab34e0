//! keywheel
pub mod aws;
pub mod error;
pub mod keys;
pub mod lifecycle;
#[cfg(feature = "rehearsal")]
pub mod rehearsal;
pub mod rotation;
pub mod settings;
pub mod state;
pub mod value;
