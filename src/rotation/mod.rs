//! The rotation function: Secrets Manager's contract, step by step.
//!
//! [`event`] reads the event. This file makes the checks before every step. `create`, `set`, `test` and `finish` are
//! the steps. `ownership` refuses a secret that is not keywheel's. `current` reads the value that readers get, and
//! `first_value` puts one where there is none. `room` frees a slot for the new key; `slots` decides which key may give
//! way (pure). `orphan` cleans up after a key that did not get into the secret. `failure` leaves the cause of a failed
//! step on the secret.
//!
//! A step reads what it needs and keeps nothing, because the next step may run in another process. Every step can be
//! repeated safely, fails with an error that names the remedy, and logs no secret.

mod create;
mod current;
pub mod event;
mod failure;
mod finish;
mod first_value;
mod orphan;
mod ownership;
mod room;
mod set;
mod slots;
mod test;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;
use tracing::{Instrument as _, info, info_span};

use crate::aws::{
    Aws, CURRENT, CallFailure, Iam, PENDING, SecretDescription, Tries, is_binary_value, is_kms_refusal, until,
};
use crate::error::Error;
use crate::keys::UserRef;
use crate::metrics;
use crate::redact;
use crate::settings::Settings;
use crate::state::{State, Step, TagChange, tag};
use crate::value::StoredValue;
use event::RotationEvent;

/// Carries out the step of one invocation by Secrets Manager.
///
/// Safe to repeat: a step that was carried out before changes nothing. Lambda ends the invocation at `deadline`.
///
/// # Errors
/// Any [`Error`]. Secrets Manager then repeats the whole rotation with the same version.
pub async fn handle(aws: &Aws, settings: &Settings, event: Value, deadline: DateTime<Utc>) -> Result<(), Error> {
    let done = step(aws, settings, event, deadline).await;
    metrics::of_rotation_step(done.is_ok(), aws.now());
    done
}

async fn step(aws: &Aws, settings: &Settings, event: Value, deadline: DateTime<Utc>) -> Result<(), Error> {
    let event = RotationEvent::read(event)?;
    let (step, user, version) = (event.step.as_str(), event.secret.name().user(), &event.version);
    // Every line of the step then says whose key it is about.
    let span = info_span!("rotation", step, %user, %version);
    carry_out(aws, settings, &event, deadline).instrument(span).await
}

async fn carry_out(
    aws: &Aws,
    settings: &Settings,
    event: &RotationEvent,
    deadline: DateTime<Utc>,
) -> Result<(), Error> {
    info!("rotation step starts");
    let Some(job) = Job::check(aws, settings, event, deadline).await? else {
        info!("the version is current already: nothing to do");
        return Ok(());
    };
    if let Err(error) = job.run().await {
        failure::leave_cause(&job, &error).await;
        return Err(error);
    }
    info!("rotation step is done");
    Ok(())
}

/// Tags that describe the key in an earlier version.
const OF_ANOTHER_KEY: [&str; 5] = [tag::ROTATED_AT, tag::PREVIOUS_KEY, tag::DISABLED_AT, tag::RETIRING, tag::KEY_DATES];

/// Limits the reads of the secret before a step. The service may have registered the version, or enabled the schedule,
/// so recently that a read does not show it; and the sweeper may have adopted or repaired the secret.
const DESCRIPTIONS: Tries = Tries { count: 3, wait: Duration::from_secs(2) };

/// Limits the reads of the tags for the intent of a version that has its value.
const INTENTS: Tries = Tries { count: 5, wait: Duration::from_secs(3) };

/// Limits the reads of the pending value after createSecret has put it.
const PENDING_VALUES: Tries = Tries { count: 4, wait: Duration::from_secs(2) };

/// One step of one rotation that passed the checks: the secret is in the store, and the version is being rotated.
struct Job<'a> {
    aws: &'a Aws,
    settings: &'a Settings,
    event: &'a RotationEvent,
    deadline: DateTime<Utc>,
    description: SecretDescription,
    state: State,
}

impl<'a> Job<'a> {
    /// Makes the checks before every step. Returns `None` if nothing is left to do, because the version is current.
    async fn check(
        aws: &'a Aws,
        settings: &'a Settings,
        event: &'a RotationEvent,
        deadline: DateTime<Utc>,
    ) -> Result<Option<Self>, Error> {
        let secret = event.secret.as_str();
        if event.secret.account() != aws.primary_account() {
            let primary = aws.primary_account().to_string();
            return Err(Error::ForeignStore { arn: secret.to_owned(), primary });
        }
        let description = Self::settled_description(aws, settings, event).await?;
        if !description.rotation_enabled {
            return Err(Error::RotationDisabled(secret.to_owned()));
        }
        if description.is_staged(&event.version, CURRENT) {
            // AWSCURRENT has moved. Only the facts in the tags may be missing, and finishSecret writes them.
            if event.step != Step::FinishSecret {
                return Ok(None);
            }
        } else if !description.is_staged(&event.version, PENDING) {
            return Err(not_staged(event, &description));
        }
        let state = State::read(&description.tags);
        Ok(Some(Self { aws, settings, event, deadline, description, state }))
    }

    /// Returns this step with the secret read again, until the tags announce a key for this version or the tries are
    /// used up. createSecret writes the intent before the value, but a read of the tags may lag behind that.
    async fn until_announced(&self) -> Result<Self, Error> {
        let Self { aws, settings, event, deadline, .. } = *self;
        let secret = event.secret.as_str();
        let shows_intent = |found: &SecretDescription| {
            State::read(&found.tags).intent.is_some_and(|intent| intent.version == event.version)
        };
        let described =
            until(aws, INTENTS, || aws.secrets().describe(secret), |found| found.as_ref().is_some_and(shows_intent));
        let description = described.await?.ok_or_else(|| Error::SecretGone(secret.to_owned()))?;
        let state = State::read(&description.tags);
        Ok(Self { aws, settings, event, deadline, description, state })
    }

    /// Returns the secret, read until the last writes of the service and of the sweeper are visible or the tries are
    /// used up.
    async fn settled_description(
        aws: &Aws,
        settings: &Settings,
        event: &RotationEvent,
    ) -> Result<SecretDescription, Error> {
        let secret = event.secret.as_str();
        let is_ours = |found: &SecretDescription| {
            event.step != Step::CreateSecret || ownership::refusal(settings, found).is_none()
        };
        let is_settled = |found: &SecretDescription| {
            found.rotation_enabled && found.stages.contains_key(event.version.as_str()) && is_ours(found)
        };
        let described =
            until(aws, DESCRIPTIONS, || aws.secrets().describe(secret), |found| found.as_ref().is_some_and(is_settled));
        described.await?.ok_or_else(|| Error::SecretGone(secret.to_owned()))
    }

    async fn run(&self) -> Result<(), Error> {
        match self.event.step {
            Step::CreateSecret => create::run(self).await,
            Step::SetSecret => set::run(self).await,
            Step::TestSecret => test::run(self).await,
            Step::FinishSecret => finish::run(self).await,
        }
    }

    fn user(&self) -> &'a UserRef {
        self.event.secret.name().user()
    }

    fn secret(&self) -> &'a str {
        self.event.secret.as_str()
    }

    /// Returns IAM of the user's account, in a session of the role that may create keys there.
    async fn iam(&self) -> Result<Arc<dyn Iam>, Error> {
        Ok(self.aws.iam(&self.user().account, self.event.secret.partition()).await?)
    }

    /// Returns the value of the version that is being rotated, if it has one.
    ///
    /// # Errors
    /// [`Error::ForeignValue`] if it is unreadable or of another user.
    async fn pending_value(&self) -> Result<Option<StoredValue>, Error> {
        // Read by version, because AWSPENDING may not be visible yet.
        match self.aws.secrets().value(self.secret(), Some(&self.event.version), None).await {
            Err(failure) if is_binary_value(&failure) => Err(self.foreign_value("pending", "it is binary".to_owned())),
            value => value?.map(|text| self.own_value("pending", &text)).transpose(),
        }
    }

    /// Returns the value that createSecret has put, read several times: it may not be visible yet.
    ///
    /// # Errors
    /// [`Error::NoPendingValue`], and those of [`Job::pending_value`].
    async fn put_value(&self) -> Result<StoredValue, Error> {
        let value = until(self.aws, PENDING_VALUES, || self.pending_value(), Option::is_some).await?;
        value.ok_or_else(|| self.no_pending_value())
    }

    /// Whether the intent announces a key for this version. Its value is then no copy of the current value.
    fn is_announced(&self) -> bool {
        self.state.intent.as_ref().is_some_and(|intent| intent.version == self.event.version)
    }

    /// Makes a change of tags in one call, so no reader sees half of it. Safe to repeat.
    async fn change_tags(&self, change: TagChange) -> Result<(), CallFailure> {
        let TagChange { set, remove, .. } = change.at_once(&self.description.tags);
        self.aws.secrets().untag(self.secret(), &remove).await?;
        self.aws.secrets().tag(self.secret(), &set).await
    }

    /// Whether the tags describe the version that readers get.
    fn facts_are_fresh(&self) -> bool {
        self.state.version.is_some() && self.state.version == self.description.version_at(CURRENT)
    }

    /// Whether the current version is the placeholder that keywheel put.
    fn current_is_placeholder(&self) -> bool {
        self.state.placeholder.is_some() && self.state.placeholder == self.description.version_at(CURRENT)
    }

    /// Whether the pending value equals the current value, byte for byte. A value that can be read is no copy of one
    /// that cannot be decrypted.
    async fn is_copy_of_current(&self) -> Result<bool, Error> {
        let store = self.aws.secrets();
        let current = match store.value(self.secret(), None, Some(CURRENT)).await {
            Err(failure) if is_kms_refusal(&failure) => return Ok(false),
            current => current?,
        };
        let pending = store.value(self.secret(), Some(&self.event.version), None).await?;
        Ok(pending.is_some() && pending == current)
    }

    fn foreign_value(&self, which: &'static str, why: String) -> Error {
        Error::ForeignValue { which, secret: self.secret().to_owned(), user: self.user().clone(), why }
    }

    fn not_written_by_us(&self) -> Error {
        self.foreign_value("pending", "it was not written by keywheel".to_owned())
    }

    fn own_value(&self, which: &'static str, text: &str) -> Result<StoredValue, Error> {
        let foreign = |why| self.foreign_value(which, why);
        let value = StoredValue::read(text).map_err(|unreadable| foreign(unreadable.to_string()))?;
        match value.arn() {
            Some(arn) if arn.user() != self.user() => {
                Err(foreign(redact::secret_like(&format!("it is a key of {}", arn.user()))))
            }
            Some(arn) if arn.partition() != self.event.secret.partition() => {
                Err(foreign(redact::secret_like(&format!("it is of partition {}", arn.partition()))))
            }
            _ => Ok(value),
        }
    }

    fn no_pending_value(&self) -> Error {
        Error::NoPendingValue { secret: self.secret().to_owned(), version: self.event.version.clone() }
    }
}

fn not_staged(event: &RotationEvent, description: &SecretDescription) -> Error {
    let found = match description.stages.get(event.version.as_str()) {
        None => "not a version of it".to_owned(),
        Some(stages) if stages.is_empty() => "without a label".to_owned(),
        Some(stages) => format!("staged {}", stages.join(", ")),
    };
    Error::NotStaged { secret: event.secret.as_str().to_owned(), version: event.version.clone(), found }
}

/// Turns "not found" into [`Error::UserGone`], which names the user.
fn user_gone(user: &UserRef, failure: CallFailure) -> Error {
    if failure.is_not_found() { Error::UserGone(user.clone()) } else { Error::Aws(failure) }
}
