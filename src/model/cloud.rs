//! The handle on one model: the world behind its lock, the faults, and the stop of a caller by a fault.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use serde_json::Value;
use tokio::sync::watch;

use super::calls::Call;
use super::clock::Clock;
use super::faults::Faults;
use super::function::RotationFunction;
use super::mail::Mail;
use super::state::World;
use super::switches::Switches;
use super::topic::PublishedMessage;

/// A model of AWS in memory. Clones are handles on the same model.
#[derive(Clone)]
pub struct Cloud {
    inner: Arc<Inner>,
}

struct Inner {
    clock: Clock,
    world: Mutex<World>,
    faults: Faults,
    stops: watch::Sender<u64>,
    functions: Mutex<HashMap<String, Arc<dyn RotationFunction>>>,
}

/// An access key with its secret, as its owner has it. `Debug` shows the id only.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessKeyPair {
    /// `AKIA` and 16 characters, if the model made the key.
    pub access_key_id: String,
    /// The secret half, 40 characters if the model made the key. AWS returns it only when the key is created.
    pub secret: String,
}

impl AccessKeyPair {
    /// A key from its parts, for example from a secret's value.
    pub fn new(access_key_id: impl Into<String>, secret: impl Into<String>) -> Self {
        Self { access_key_id: access_key_id.into(), secret: secret.into() }
    }
}

impl fmt::Debug for AccessKeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccessKeyPair({})", self.access_key_id)
    }
}

impl fmt::Debug for Cloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cloud")
    }
}

/// A [`super::FaultKind::Stop`] stopped the driven function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the function was stopped in the middle")]
pub struct Stopped;

tokio::task_local! {
    /// The channel that announces a stop of the current invocation.
    static INVOCATION: watch::Sender<bool>;
}

impl Cloud {
    /// An empty world in partition `aws`, region `us-east-1`. The same seed and the same calls give the same ids.
    pub fn new(clock: Clock, seed: u64) -> Self {
        Self::of(clock, World::new(seed))
    }

    /// A copy of the whole world with its own clock, which shows `time`. The same calls give the same ids in both
    /// worlds. All virtual clocks of a runtime advance together, so a caller that forks a world several times must keep
    /// its time.
    ///
    /// The copy has no faults and no rotation functions, because those call this cloud. A function that should run on
    /// the copy is registered there anew.
    #[must_use]
    pub fn fork_at(&self, time: DateTime<Utc>) -> Self {
        Self::of(self.clock().forked_at(time), self.world().forked())
    }

    /// A copy as of now.
    #[must_use]
    pub fn fork(&self) -> Self {
        self.fork_at(self.clock().now())
    }

    fn of(clock: Clock, world: World) -> Self {
        Self {
            inner: Arc::new(Inner {
                clock,
                world: Mutex::new(world),
                faults: Faults::default(),
                stops: watch::Sender::new(0),
                functions: Mutex::default(),
            }),
        }
    }

    /// Sets the region of the regional services. Call it before anything is added.
    #[must_use]
    pub fn with_region(self, region: &str) -> Self {
        region.clone_into(&mut self.world().region);
        self
    }

    /// Sets the partition, for example `aws-cn`. Call it before anything is added.
    #[must_use]
    pub fn with_partition(self, partition: &str) -> Self {
        partition.clone_into(&mut self.world().partition);
        self
    }

    /// The model's clock.
    pub fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    /// The faults of this model.
    pub fn faults(&self) -> &Faults {
        &self.inner.faults
    }

    /// Changes how this AWS behaves.
    pub fn switch(&self, change: impl FnOnce(&mut Switches)) {
        change(&mut self.world().switches);
    }

    /// The calls so far, oldest first.
    pub fn calls(&self) -> Vec<Call> {
        self.world().calls.clone()
    }

    /// How many calls there were.
    pub fn call_count(&self) -> usize {
        let world = self.world();
        world.calls.len() + world.calls_counted
    }

    /// Drops the recorded calls.
    pub fn forget_calls(&self) {
        self.world().calls.clear();
    }

    /// The mail sent so far, oldest first; the oldest is dropped beyond 100,000.
    pub fn mails(&self) -> Vec<Mail> {
        self.world().outbox.mails.iter().cloned().collect()
    }

    /// Removes and returns the mails.
    pub fn drain_mails(&self) -> Vec<Mail> {
        self.world().outbox.mails.drain(..).collect()
    }

    /// The messages published to a topic, oldest first; empty if there is no such topic.
    pub fn topic_messages(&self, topic_arn: &str) -> Vec<PublishedMessage> {
        self.world().topics.get(topic_arn).map(|topic| topic.messages.clone()).unwrap_or_default()
    }

    /// The EventBridge events since the last [`Cloud::drain_events`].
    pub fn events(&self) -> Vec<Value> {
        self.world().events.clone()
    }

    /// Removes and returns the events.
    pub fn drain_events(&self) -> Vec<Value> {
        std::mem::take(&mut self.world().events)
    }

    /// Registers the rotation function for an ARN.
    pub fn set_rotation_function(&self, arn: &str, function: Arc<dyn RotationFunction>) {
        self.functions().insert(arn.to_owned(), function);
    }

    /// Resolves when a stop hits a call made outside [`Cloud::until_stopped`] and outside rotation steps. Stops count
    /// from the moment this is called, not from the first poll.
    pub fn stopped(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut stops = self.inner.stops.subscribe();
        async move {
            // Without the cloud nothing can announce a stop.
            if stops.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Drives `work` and drops it as soon as a stop hits one of its calls, as if its process had ended there.
    /// A call from a task that `work` spawned cannot be attributed: a stop there ends everything that is being driven.
    ///
    /// # Errors
    /// Returns [`Stopped`] if a fault stopped it.
    pub async fn until_stopped<F: Future>(&self, work: F) -> Result<F::Output, Stopped> {
        let sender = watch::Sender::new(false);
        let mut stop = sender.subscribe();
        let elsewhere = self.stopped();
        tokio::select! {
            biased;
            _ = stop.wait_for(|stopped| *stopped) => Err(Stopped),
            () = elsewhere => Err(Stopped),
            output = INVOCATION.scope(sender, work) => Ok(output),
        }
    }

    /// Announces a stop to the driver of the calling function.
    pub(crate) fn announce_stop(&self) {
        let told = INVOCATION.try_with(|it| it.send_replace(true));
        if told.is_err() {
            self.inner.stops.send_modify(|count| *count += 1);
        }
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.inner.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn functions(&self) -> MutexGuard<'_, HashMap<String, Arc<dyn RotationFunction>>> {
        self.inner.functions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
