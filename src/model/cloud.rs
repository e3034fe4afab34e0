//! The handle on one model: it makes SDK configurations, counts calls, and tells when a fault stops its caller.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::SdkConfig;
use aws_types::region::Region;
use chrono::{DateTime, Utc};
use serde_json::Value;
use tokio::sync::watch;

use super::calls::Call;
use super::clock::Clock;
use super::connector::Connector;
use super::faults::Faults;
use super::ids;
use super::rotation::RotationFunction;
use super::ses::Mail;
use super::sns::PublishedMessage;
use super::state::{Session, World};
use super::switches::Switches;

/// A model of AWS in memory. Clones are handles on the same one.
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
    /// The access key id.
    pub access_key_id: String,
    /// The secret access key.
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

/// The driven function was stopped by a [`super::FaultKind::Stop`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the function was stopped in the middle")]
pub struct Stopped;

tokio::task_local! {
    /// Where a stop of the invocation under way is announced.
    static INVOCATION: watch::Sender<bool>;
}

impl Cloud {
    /// An empty world in partition `aws`, region `us-east-1`. The same seed and the same calls give the same ids.
    pub fn new(clock: Clock, seed: u64) -> Self {
        Self::of(clock, World::new(seed))
    }

    /// A copy of the whole world, on a clock of its own that shows `time`: both go on without each other, and the same
    /// calls give the same ids in both. All virtual clocks of a runtime go on together, so that the time of a world that
    /// is to be forked several times has to be remembered.
    ///
    /// The copy has no faults, and no rotation functions: theirs call this cloud. A function that should run on
    /// the copy is registered there anew.
    #[must_use]
    pub fn fork_at(&self, time: DateTime<Utc>) -> Self {
        Self::of(self.clock().forked_at(time), self.world().forked())
    }

    /// The same as of now.
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

    /// Moves the stores to another region; call it before anything is added.
    #[must_use]
    pub fn with_region(self, region: &str) -> Self {
        region.clone_into(&mut self.world().region);
        self
    }

    /// Another partition, for example `aws-cn`; call it before anything is added.
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

    /// Forgets the calls so far.
    pub fn forget_calls(&self) {
        self.world().calls.clear();
    }

    /// The mail sent so far, oldest first; the oldest is dropped beyond 100,000.
    pub fn mails(&self) -> Vec<Mail> {
        self.world().outbox.mails.iter().cloned().collect()
    }

    /// Takes the mails out.
    pub fn drain_mails(&self) -> Vec<Mail> {
        self.world().outbox.mails.drain(..).collect()
    }

    /// What was published to a topic so far, oldest first; nothing where there is no such topic.
    pub fn topic_messages(&self, topic_arn: &str) -> Vec<PublishedMessage> {
        self.world().topics.get(topic_arn).map(|topic| topic.messages.clone()).unwrap_or_default()
    }

    /// The events that EventBridge would have seen and nobody has drained.
    pub fn events(&self) -> Vec<Value> {
        self.world().events.clone()
    }

    /// Takes the events out.
    pub fn drain_events(&self) -> Vec<Value> {
        std::mem::take(&mut self.world().events)
    }

    /// Clients made from this act as a session of that role, as Lambda hands it to a function: it never expires.
    /// A role that does not exist is made, trusting nobody.
    pub fn sdk_config(&self, account: &str, role_name: &str) -> SdkConfig {
        self.config(self.role_session(account, role_name))
    }

    /// The credentials of such a session, for a process of its own.
    pub fn role_session(&self, account: &str, role_name: &str) -> Credentials {
        let known = self.world().expect_account(account).roles.contains_key(role_name);
        if !known {
            self.add_role(account, role_name, &[]);
        }
        let mut world = self.world();
        let id = ids::unique_id(&mut world.rng, "ASIA");
        let session = Session {
            secret: ids::secret_access_key(&mut world.rng),
            token: ids::session_token(&mut world.rng),
            account: account.to_owned(),
            role: role_name.to_owned(),
            name: role_name.chars().take(64).collect(),
            expires: None,
        };
        let credentials = Credentials::new(&id, &session.secret, Some(session.token.clone()), None, "rehearsal");
        world.sessions.insert(id, session);
        credentials
    }

    /// Clients made from this act with a user's key.
    pub fn user_config(&self, key: &AccessKeyPair) -> SdkConfig {
        self.config(Credentials::new(&key.access_key_id, &key.secret, None, None, "rehearsal"))
    }

    fn config(&self, credentials: Credentials) -> SdkConfig {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(3))
            .read_timeout(Duration::from_secs(10))
            .build();
        let (region, attempts) = {
            let world = self.world();
            (world.region.clone(), world.switches.sdk_attempts)
        };
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(region))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .http_client(Connector::new(self.clone()))
            .time_source(self.clock().time_source())
            .sleep_impl(self.clock().sleep())
            .retry_config(RetryConfig::standard().with_max_attempts(attempts))
            .timeout_config(timeouts)
            .build()
    }

    /// Registers what is invoked for a rotation function's ARN.
    pub fn set_rotation_function(&self, arn: &str, function: Arc<dyn RotationFunction>) {
        self.functions().insert(arn.to_owned(), function);
    }

    /// Resolves when a stop hits a call made outside [`Cloud::until_stopped`] and outside rotation steps. Stops count
    /// from the moment this is called, not from the first poll.
    pub fn stopped(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut stops = self.inner.stops.subscribe();
        async move {
            // Without the cloud there is nobody left who could stop anything.
            if stops.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Drives `work` and drops it as soon as a stop hits one of its calls, as if its process had ended there.
    /// A call that `work` makes from a task of its own cannot be told from anybody else's: a stop there ends
    /// everything that is being driven.
    ///
    /// # Errors
    /// [`Stopped`] when it was stopped.
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

    /// Announces a stop to whoever drives the calling function.
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
