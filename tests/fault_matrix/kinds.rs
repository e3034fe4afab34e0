//! The kinds of fault that every call of every scenario gets.

use keywheel::model::{Fault, FaultKind, Unreadable};

/// Attempts that the SDK makes at a call on the stage before it gives up.
const SDK_ATTEMPTS: u64 = 3;
/// More attempts than one action makes at a call: Secrets Manager makes five, with three of the SDK each.
const WHOLE_ACTION: u64 = 1000;

/// A fault that one call of an action gets.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    fault: FaultKind,
    /// The number of attempts at the same call that it hits, including the first.
    times: u64,
}

impl Kind {
    /// Plants this fault on the n-th call from now, and on the following attempts at it.
    pub(crate) fn on(&self, n: u64) -> Fault {
        Fault::on("*", "*", self.fault.clone()).repeated(n, self.times)
    }
}

fn before(status: u16, code: &str) -> FaultKind {
    FaultKind::ErrorBefore { status, code: code.to_owned(), message: "planted before the effect".to_owned() }
}

fn after() -> FaultKind {
    FaultKind::ErrorAfter {
        status: 500,
        code: "InternalFailure".to_owned(),
        message: "planted after the effect".to_owned(),
    }
}

/// The call is made once and its caller sees the fault, as after the SDK has given up or if it does not retry.
pub(crate) fn without_retries() -> Vec<Kind> {
    kinds([
        ("refused", before(400, "ValidationException"), 1),
        ("5xx before the effect", down(), 1),
        ("5xx before the effect, all the time", down(), WHOLE_ACTION),
        ("5xx after the effect", after(), 1),
        ("5xx after the effect, all the time", after(), WHOLE_ACTION),
        ("throttled", throttled(), 1),
        ("throttled all the time", throttled(), WHOLE_ACTION),
        ("denied", FaultKind::AccessDenied, 1),
        ("denied all the time", FaultKind::AccessDenied, WHOLE_ACTION),
        ("no answer", FaultKind::Hang, 1),
        ("no answer, all the time", FaultKind::Hang, WHOLE_ACTION),
        ("answer lost", FaultKind::LostAnswer, 1),
        ("answer lost, all the time", FaultKind::LostAnswer, WHOLE_ACTION),
        ("stopped before", FaultKind::Stop, 1),
        ("stopped after", FaultKind::StopAfter, 1),
    ])
}

/// The SDK retries: in one kind successfully, in the other in vain after several effects. Only calls that change
/// something get these, because the caller of a retried read sees one of the kinds above, or no fault.
pub(crate) fn with_retries() -> Vec<Kind> {
    kinds([
        ("5xx before the effect, retried", down(), 1),
        ("5xx after the effect, retried", after(), 1),
        ("5xx after the effect, beyond the retries", after(), SDK_ATTEMPTS),
        ("throttled, retried", throttled(), 1),
        ("throttled beyond the retries", throttled(), SDK_ATTEMPTS),
        ("no answer, retried", FaultKind::Hang, 1),
        ("answer lost, retried", FaultKind::LostAnswer, 1),
        ("answer lost, beyond the retries", FaultKind::LostAnswer, SDK_ATTEMPTS),
        ("a page instead of the answer", page(true), 1),
        ("a page instead of the effect", page(false), 1),
    ])
}

/// A read whose answer is not the service's: only the SDK can take it for an answer.
pub(crate) fn of_reads() -> Vec<Kind> {
    kinds([
        ("a page instead of the answer", page(true), 1),
        ("half of the answer", FaultKind::Unreadable { takes_effect: true, answer: Unreadable::Half }, 1),
    ])
}

fn page(takes_effect: bool) -> FaultKind {
    FaultKind::Unreadable { takes_effect, answer: Unreadable::page() }
}

/// Returns whether an operation changes nothing.
pub(crate) fn is_read(operation: &str) -> bool {
    let reads = ["Get", "List", "Describe", "AssumeRole", "Generate"];
    reads.iter().any(|read| operation.starts_with(read))
}

fn kinds<const N: usize>(kinds: [(&'static str, FaultKind, u64); N]) -> Vec<Kind> {
    kinds.into_iter().map(|(name, fault, times)| Kind { name, fault, times }).collect()
}

fn throttled() -> FaultKind {
    FaultKind::Throttle { times: 1 }
}

fn down() -> FaultKind {
    before(500, "InternalFailure")
}
