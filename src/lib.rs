//! keywheel
#[cfg(feature = "rehearsal")]
pub mod rehearsal;
