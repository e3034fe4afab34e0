//! Rotations that wait for their turn.

use super::secret::SecretLocation;
use std::collections::{HashSet, VecDeque};

/// Which steps a rotation runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// All four steps.
    Whole,
    /// testSecret alone, on a copy of the current value (`RotateImmediately=false`).
    TestOnly,
}

/// A rotation in the queue.
#[derive(Clone, Debug)]
pub(crate) struct RotationJob {
    pub(crate) location: SecretLocation,
    pub(crate) token: String,
    pub(crate) extent: Extent,
}

impl RotationJob {
    pub(crate) fn new(location: &SecretLocation, token: &str, extent: Extent) -> Self {
        Self { location: location.clone(), token: token.to_owned(), extent }
    }

    pub(crate) fn same_as(&self, other: &Self) -> bool {
        self.location == other.location && self.token == other.token
    }

    fn key(&self) -> (SecretLocation, String) {
        (self.location.clone(), self.token.clone())
    }
}

/// Rotations that wait for their turn. Each is in the queue once.
#[derive(Clone, Debug, Default)]
pub(crate) struct RotationQueue {
    jobs: VecDeque<RotationJob>,
    keys: HashSet<(SecretLocation, String)>,
}

impl RotationQueue {
    pub(crate) fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// Adds a job at the end. Returns false if it was queued already.
    pub(crate) fn push(&mut self, job: RotationJob) -> bool {
        let is_new = self.keys.insert(job.key());
        if is_new {
            self.jobs.push_back(job);
        }
        is_new
    }

    /// Adds the jobs at the front, in their order.
    pub(crate) fn put_before(&mut self, jobs: Vec<RotationJob>) {
        for job in jobs.into_iter().rev() {
            if self.keys.insert(job.key()) {
                self.jobs.push_front(job);
            }
        }
    }

    /// Removes and returns the next jobs, at most `count`.
    pub(crate) fn take(&mut self, count: usize) -> Vec<RotationJob> {
        let taken: Vec<_> = self.jobs.drain(..count.min(self.jobs.len())).collect();
        for job in &taken {
            self.keys.remove(&job.key());
        }
        taken
    }
}

impl Extent {
    pub(crate) fn event_prefix(self) -> &'static str {
        match self {
            Self::Whole => "Rotation",
            Self::TestOnly => "TestRotation",
        }
    }
}
