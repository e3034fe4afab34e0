//! Faults that a test plants: errors before or after the effect, throttling, silence, and stops of the caller.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What happens to a matching call.
#[derive(Clone, Debug, PartialEq)]
pub enum FaultKind {
    /// Nothing takes effect, and this error is answered.
    ErrorBefore {
        /// The HTTP status.
        status: u16,
        /// The error code.
        code: String,
        /// The error message.
        message: String,
    },
    /// The call takes effect, and this error is answered.
    ErrorAfter {
        /// The HTTP status.
        status: u16,
        /// The error code.
        code: String,
        /// The error message.
        message: String,
    },
    /// From the matching call on, so many calls are throttled with the service's own error.
    Throttle {
        /// How many calls.
        times: u64,
    },
    /// Nothing takes effect; access is denied with the service's own error.
    AccessDenied,
    /// The call takes effect, and the error that is answered repeats the whole request, its headers included, and the
    /// whole answer: services quote what they refuse, and nobody knows how much of it.
    Echo,
    /// The call waits this long before it is handled.
    Latency(Duration),
    /// The call waits for a random time up to this before it is handled, so that what runs at once is interleaved.
    Jitter(Duration),
    /// No answer comes, and nothing takes effect: the caller's timeout decides.
    Hang,
    /// The call takes effect, and the connection breaks before the answer.
    LostAnswer,
    /// The calling function is stopped before the call takes effect.
    Stop,
    /// The calling function is stopped after the call took effect.
    StopAfter,
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
            Self::Stop => "stop before the effect",
            Self::StopAfter => "stop after the effect",
        }
    }
}

/// Which of the matching calls are hit, counted from the injection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occurrence {
    /// The n-th one (1 is the next), once.
    Nth(u64),
    /// Every one.
    Every,
    /// So many in a hundred, without a pattern.
    Percent(u8),
    /// The n-th one, and those after it that send the very same again, so many in all: one call with its retries.
    Repeated {
        /// Which one is the first (1 is the next).
        nth: u64,
        /// How many are hit, the first included.
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
    /// Only calls with an input member that contains this (a user's name, a secret's name, a role's account).
    pub about: Option<String>,
    /// Which of the matching calls.
    pub nth: Occurrence,
    /// What happens.
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

    /// The n-th call and its retries instead of the next: calls that send the very same, so many in all.
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

    /// So many calls in a hundred instead of the next.
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

/// The call that faults are looked up for.
pub(crate) struct IncomingCall<'a> {
    pub(crate) service: &'a str,
    pub(crate) operation: &'a str,
    pub(crate) account: &'a str,
    pub(crate) names: &'a dyn Fn(&str) -> bool,
    /// What the call sends, in short: the same for its retries.
    pub(crate) content: &'a dyn Fn() -> u64,
}

#[derive(Debug)]
struct InjectedFault {
    id: u64,
    fault: Fault,
    seen: u64,
    /// What the first call that was hit sent.
    hit_content: Option<u64>,
    fired: Arc<AtomicU64>,
}

impl InjectedFault {
    /// Counts a matching call; tells whether it is hit.
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

/// The faults planted so far. Cheap to clone; all clones are the same set.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Mutex<InjectedFaults>>);

impl Faults {
    /// Plants a fault. The handle tells how often it fired and takes it away.
    pub fn inject(&self, fault: Fault) -> FaultHandle {
        let mut plan = self.plan();
        plan.next_id += 1;
        let id = plan.next_id;
        let fired = Arc::new(AtomicU64::new(0));
        plan.planted.push(InjectedFault { id, fault, seen: 0, hit_content: None, fired: Arc::clone(&fired) });
        FaultHandle { id, fired, faults: self.clone() }
    }

    /// Takes all faults away.
    pub fn clear(&self) {
        self.plan().planted.clear();
    }

    /// Whether none is planted.
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

/// One planted fault. Dropping the handle leaves the fault in place.
#[derive(Clone, Debug)]
pub struct FaultHandle {
    id: u64,
    fired: Arc<AtomicU64>,
    faults: Faults,
}

impl FaultHandle {
    /// How many calls it hit.
    pub fn fired(&self) -> u64 {
        self.fired.load(Ordering::Relaxed)
    }

    /// Takes the fault away.
    pub fn remove(&self) {
        self.faults.plan().planted.retain(|it| it.id != self.id);
    }
}
