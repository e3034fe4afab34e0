//! One thing that the reader of a notice can do. Pure.

use serde::Serialize;

/// One thing to do or to know. Templates call it a step, and name its fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Instruction {
    /// Its place among the instructions to follow, or among those that undo, from 1.
    pub(super) number: usize,
    /// One or several sentences.
    pub(super) text: String,
    /// The AWS CLI command that does it; empty if there is none.
    pub(super) command: String,
    /// The same in Python with boto3; empty if the command is enough.
    pub(super) snippet: String,
    /// Whether it stops or undoes what the notice reports.
    pub(super) undo: bool,
}

impl Instruction {
    pub(super) fn say(text: impl Into<String>) -> Self {
        Self::run(text, String::new())
    }

    pub(super) fn run(text: impl Into<String>, command: String) -> Self {
        Self { number: 0, text: text.into(), command, snippet: String::new(), undo: false }
    }

    pub(super) fn undoing(self) -> Self {
        Self { undo: true, ..self }
    }
}
