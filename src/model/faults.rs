//! Faults that a test injects: errors before or after the effect, throttling, missing answers, and stops of the caller.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The effect of a fault on a matching call.
#[derive(Clone, Debug, PartialEq)]
pub enum FaultKind {
    /// The call has no effect, and this error is returned.
    ErrorBefore {
        /// The HTTP status.
        status: u16,
        /// The error code.
        code: String,
        /// The error message.
        message: String,
    },
    /// The call takes effect, and this error is returned.
    ErrorAfter {
        /// The HTTP status.
        status: u16,
        /// The error code.
        code: String,
        /// The error message.
        message: String,
    },
    /// From the matching call on, `times` calls are throttled with the service's own error.
    Throttle {
        /// How many calls are throttled.
        times: u64,
    },
    /// The call has no effect; the service denies access with its own error.
    AccessDenied,
    /// The call takes effect, and an error is returned that quotes the whole request with its headers, and the whole
    /// answer. Services quote rejected input, and AWS does not document how much of it.
    Echo,
    /// The call waits this long before it is handled.
    Latency(Duration),
    /// The call waits a random time up to this before it is handled, so that concurrent calls interleave.
    Jitter(Duration),
    /// The call has no effect and no answer: the caller's timeout ends it.
    Hang,
    /// The call takes effect, and the connection breaks before the answer.
    LostAnswer,
    /// An answer that is not the service's arrives, as from a proxy. Without the SDK and the wire the answer is lost.
    Unreadable {
        /// Whether the call reached the service and took effect.
        takes_effect: bool,
        /// The content that arrives instead of the answer.
        answer: Unreadable,
    },
    /// The call takes effect, and the answer names this token as that of the next page.
    NextPage(String),
    /// The calling function is stopped before the call takes effect.
    Stop,
    /// The calling function is stopped after the call took effect.
    StopAfter,
}

/// An answer that the service did not send, or not so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// Another body of another type, such as a page in HTML, or nothing.
    Body {
        /// The HTTP status.
        status: u16,
        /// The header `content-type`.
        content_type: &'static str,
        /// The body; may be empty.
        text: &'static str,
    },
    /// Times in the form of RFC 2822, such as `Mon, 30 Nov 2026 06:00:00 +0000`. An answer without times stays as it
    /// is.
    OtherTimes,
    /// The first half of the body.
    Half,
}

impl Unreadable {
    /// The page that a network without a login shows.
    pub fn page() -> Self {
        Self::Body { status: 200, content_type: "text/html", text: "<html><body>Sign in to the network</body></html>" }
    }
}

impl FaultKind {
    /// A name for counts.
    pub fn name(&self) -> &'static str {
        match self {
            Self::ErrorBefore { .. } => "error before the effect",
            Self::ErrorAfter { .. } => "error after the effect",
            Self::Echo => "error that repeats the request",
            Self::Throttle { .. } => "throttling",
            Self::AccessDenied => "access denied",
            Self::Latency(_) => "latency",
            Self::Jitter(_) => "jitter",
            Self::Hang => "hang",
            Self::LostAnswer => "lost answer",
            Self::Unreadable { .. } => "unreadable answer",
            Self::NextPage(_) => "another next page",
            Self::Stop => "stop before the effect",
            Self::StopAfter => "stop after the effect",
        }
    }
}

/// Which of the matching calls are hit. They are counted from the injection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occurrence {
    /// The n-th one (1 is the next), once.
    Nth(u64),
    /// Every call.
    Every,
    /// This percentage of the calls, without a pattern.
    Percent(u8),
    /// The n-th call and its retries: later calls with the same content, `times` calls in all.
    Repeated {
        /// The number of the first call (1 is the next).
        nth: u64,
        /// How many calls are hit, including the first.
        times: u64,
    },
}

/// A fault and the calls that it hits.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// The service as policies name it (`iam`), or `*`.
    pub service: String,
    /// The operation (`CreateAccessKey`), or `*`.
    pub operation: String,
    /// Only calls acting in this account. An `AssumeRole` acts in the caller's account: name its target with `about`.
    pub account: Option<String>,
    /// Only calls with an input member that contains this text, for example a user's or secret's name.
    pub about: Option<String>,
    /// Which of the matching calls.
    pub nth: Occurrence,
    /// The effect on the call.
    pub kind: FaultKind,
}

impl Fault {
    /// The next call of this operation, in any account, gets this fault.
    pub fn on(service: &str, operation: &str, kind: FaultKind) -> Self {
        Self {
            service: service.to_owned(),
            operation: operation.to_owned(),
            account: None,
            about: None,
            nth: Occurrence::Nth(1),
            kind,
        }
    }

    /// The n-th call instead of the next.
    #[must_use]
    pub fn nth(mut self, nth: u64) -> Self {
        self.nth = Occurrence::Nth(nth);
        self
    }

    /// The n-th call and its retries instead of the next: `times` calls with the same content.
    #[must_use]
    pub fn repeated(mut self, nth: u64, times: u64) -> Self {
        self.nth = Occurrence::Repeated { nth, times };
        self
    }

    /// Every call instead of the next.
    #[must_use]
    pub fn every(mut self) -> Self {
        self.nth = Occurrence::Every;
        self
    }

    /// A percentage of the calls instead of the next.
    #[must_use]
    pub fn percent(mut self, share: u8) -> Self {
        self.nth = Occurrence::Percent(share);
        self
    }

    /// Only calls acting in this account.
    #[must_use]
    pub fn in_account(mut self, account: &str) -> Self {
        self.account = Some(account.to_owned());
        self
    }

    /// Only calls whose input has a member that contains `text`, for example a user's name.
    #[must_use]
    pub fn about(mut self, text: &str) -> Self {
        self.about = Some(text.to_owned());
        self
    }

    fn matches(&self, call: &IncomingCall<'_>) -> bool {
        (self.service == "*" || self.service == call.service)
            && (self.operation == "*" || self.operation == call.operation)
            && self.account.as_deref().is_none_or(|it| it == call.account)
            && self.about.as_deref().is_none_or(|it| (call.names)(it))
    }
}

/// A call, as far as faults match it.
pub(crate) struct IncomingCall<'a> {
    pub(crate) service: &'a str,
    pub(crate) operation: &'a str,
    pub(crate) account: &'a str,
    pub(crate) names: &'a dyn Fn(&str) -> bool,
    /// A hash of the call's content, which its retries share.
    pub(crate) content: &'a dyn Fn() -> u64,
}

#[derive(Debug)]
struct InjectedFault {
    id: u64,
    fault: Fault,
    seen: u64,
    /// The content of the first call that was hit.
    hit_content: Option<u64>,
    fired: Arc<AtomicU64>,
}

impl InjectedFault {
    /// Counts a matching call. Returns whether the fault hits it.
    fn hit(&mut self, call: &IncomingCall<'_>) -> bool {
        if !self.fault.matches(call) {
            return false;
        }
        self.seen += 1;
        let hit = match (self.fault.nth, &self.fault.kind) {
            (Occurrence::Every, _) => true,
            (Occurrence::Percent(share), _) => scattered(self.seen) % 100 < u64::from(share),
            (Occurrence::Repeated { nth, times }, _) => self.repeats(nth, times, call),
            (Occurrence::Nth(n), FaultKind::Throttle { times }) => (n..n.saturating_add(*times)).contains(&self.seen),
            (Occurrence::Nth(n), _) => self.seen == n,
        };
        if hit {
            self.fired.fetch_add(1, Ordering::Relaxed);
        }
        hit
    }
}

impl InjectedFault {
    fn repeats(&mut self, nth: u64, times: u64, call: &IncomingCall<'_>) -> bool {
        if self.seen == nth {
            self.hit_content = Some((call.content)());
            return true;
        }
        let hit_so_far = self.fired.load(Ordering::Relaxed);
        (1..times).contains(&hit_so_far) && self.hit_content == Some((call.content)())
    }
}

/// The n-th of numbers without a pattern, the same in every run (`SplitMix64`).
fn scattered(n: u64) -> u64 {
    let mut z = n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[derive(Debug, Default)]
struct InjectedFaults {
    next_id: u64,
    planted: Vec<InjectedFault>,
}

/// The injected faults. Clones share one set.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Mutex<InjectedFaults>>);

impl Faults {
    /// Injects a fault. The handle counts the calls it hit and removes it.
    pub fn inject(&self, fault: Fault) -> FaultHandle {
        let mut plan = self.plan();
        plan.next_id += 1;
        let id = plan.next_id;
        let fired = Arc::new(AtomicU64::new(0));
        plan.planted.push(InjectedFault { id, fault, seen: 0, hit_content: None, fired: Arc::clone(&fired) });
        FaultHandle { id, fired, faults: self.clone() }
    }

    /// Removes all faults.
    pub fn clear(&self) {
        self.plan().planted.clear();
    }

    /// Whether there are no faults.
    pub(crate) fn is_empty(&self) -> bool {
        self.plan().planted.is_empty()
    }

    /// The kinds that hit this call, in the order of their injection.
    pub(crate) fn hits(&self, call: &IncomingCall<'_>) -> Vec<FaultKind> {
        let mut plan = self.plan();
        plan.planted.iter_mut().filter_map(|planted| planted.hit(call).then(|| planted.fault.kind.clone())).collect()
    }

    fn plan(&self) -> std::sync::MutexGuard<'_, InjectedFaults> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A handle on an injected fault. Dropping the handle does not remove the fault.
#[derive(Clone, Debug)]
pub struct FaultHandle {
    id: u64,
    fired: Arc<AtomicU64>,
    faults: Faults,
}

impl FaultHandle {
    /// How many calls the fault has hit.
    pub fn fired(&self) -> u64 {
        self.fired.load(Ordering::Relaxed)
    }

    /// Removes the fault.
    pub fn remove(&self) {
        self.faults.plan().planted.retain(|it| it.id != self.id);
    }
}
