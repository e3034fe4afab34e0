//! Whether a run changes anything. Pure.

/// Whether a run changes anything, which decides how messages speak of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The run changes keys. Messages say what is done.
    Enforced,
    /// The run changes nothing. Messages say what would be done.
    DryRun,
}

impl Mode {
    /// Returns the auxiliary verb for future actions.
    pub(super) fn will(self) -> &'static str {
        match self {
            Self::Enforced => "will",
            Self::DryRun => "would",
        }
    }
}
