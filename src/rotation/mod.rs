//! The rotation function: Secrets Manager's contract, step by step.
//!
//! [`event`] reads the event; this file makes the checks that come before any step; `create`, `set`, `test` and
//! `finish` are the steps. Every step can be repeated safely, fails with an error that names the way out, and logs no
//! secret. `room` makes room for the new key, and `slots` decides which key may give way for it (pure). `orphan` clears up
//! after a key that did not come into the secret.
//!
//! A step reads what it needs and keeps nothing: the next step may run in another process.

mod create;
pub mod event;
mod finish;
mod orphan;
mod room;
mod set;
mod slots;
mod test;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;
use tracing::info;

use crate::aws::{Aws, CURRENT, CallFailure, Iam, PENDING, SecretDescription, Tries, until};
use crate::error::Error;
use crate::keys::UserRef;
use crate::metrics;
use crate::redact;
use crate::settings::Settings;
use crate::state::{State, TagChange};
use crate::value::StoredValue;
use event::{RotationEvent, Step};

/// Answers one invocation by Secrets Manager.
///
/// Safe to repeat: a step that was carried out before changes nothing. `deadline` is when Lambda ends the invocation.
///
/// # Errors
/// [`Error`]; Secrets Manager then repeats the whole rotation with the same token.
pub async fn handle(aws: &Aws, settings: &Settings, event: Value, deadline: DateTime<Utc>) -> Result<(), Error> {
    let done = step(aws, settings, event, deadline).await;
    metrics::of_rotation_step(done.is_ok(), aws.now());
    done
}

async fn step(aws: &Aws, settings: &Settings, event: Value, deadline: DateTime<Utc>) -> Result<(), Error> {
    let event = RotationEvent::read(event)?;
    let user = event.secret.name().user();
    info!(step = ?event.step, %user, version = %event.version, "rotation step starts");
    let Some(job) = Job::check(aws, settings, &event, deadline).await? else {
        info!(step = ?event.step, %user, "the version is current already: nothing to do");
        return Ok(());
    };
    match event.step {
        Step::CreateSecret => create::run(&job).await?,
        Step::SetSecret => set::run(&job).await?,
        Step::TestSecret => test::run(&job).await?,
        Step::FinishSecret => finish::run(&job).await?,
    }
    info!(step = ?event.step, %user, "rotation step is done");
    Ok(())
}

/// The version that the service has just registered, or the schedule that it has just switched on, may not be readable
/// everywhere yet.
const DESCRIPTIONS: Tries = Tries { count: 3, wait: Duration::from_secs(2) };

/// One step of one rotation, after its checks.
struct Job<'a> {
    aws: &'a Aws,
    settings: &'a Settings,
    event: &'a RotationEvent,
    deadline: DateTime<Utc>,
    description: SecretDescription,
    state: State,
}

impl<'a> Job<'a> {
    /// The checks before any step; `None` when there is nothing left to do for this version.
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
        let description = Self::settled_description(aws, event).await?;
        if !description.rotation_enabled {
            return Err(Error::RotationDisabled(secret.to_owned()));
        }
        if description.is_staged(&event.version, CURRENT) {
            // The label has moved. Only the records may be missing, and only finishSecret writes them.
            if event.step != Step::FinishSecret {
                return Ok(None);
            }
        } else if !description.is_staged(&event.version, PENDING) {
            return Err(not_staged(event, &description));
        }
        let state = State::read(&description.tags);
        Ok(Some(Self { aws, settings, event, deadline, description, state }))
    }

    /// The secret as it is once the service's own last write is readable everywhere; as it is otherwise.
    async fn settled_description(aws: &Aws, event: &RotationEvent) -> Result<SecretDescription, Error> {
        let secret = event.secret.as_str();
        let is_settled =
            |found: &SecretDescription| found.rotation_enabled && found.stages.contains_key(event.version.as_str());
        let described =
            until(aws, DESCRIPTIONS, || aws.secrets().describe(secret), |found| found.as_ref().is_some_and(is_settled));
        described.await?.ok_or_else(|| Error::SecretGone(secret.to_owned()))
    }

    fn user(&self) -> &'a UserRef {
        self.event.secret.name().user()
    }

    fn secret(&self) -> &'a str {
        self.event.secret.as_str()
    }

    /// IAM of the user's account, as the role that may make keys there.
    async fn iam(&self) -> Result<Arc<dyn Iam>, Error> {
        Ok(self.aws.iam(&self.user().account, self.event.secret.partition()).await?)
    }

    /// The value of the version that is being rotated.
    async fn pending_value(&self) -> Result<Option<StoredValue>, Error> {
        // By version alone: the label may not have arrived everywhere yet.
        let value = self.aws.secrets().value(self.secret(), Some(&self.event.version), None).await?;
        value.map(|text| self.own_value("pending", &text)).transpose()
    }

    /// The value that readers get; one of another tool's is accepted, one of another user's is not.
    async fn current_value(&self) -> Result<Option<StoredValue>, Error> {
        let value = self.aws.secrets().value(self.secret(), None, Some(CURRENT)).await?;
        value.map(|text| self.own_value("current", &text)).transpose()
    }

    /// Whether a key was announced for this very version: then it is no copy of the current one.
    fn is_announced(&self) -> bool {
        self.state.intent.as_ref().is_some_and(|intent| intent.version == self.event.version)
    }

    /// Writes tags in one call, and removes some with it.
    async fn change_tags(&self, change: TagChange) -> Result<(), CallFailure> {
        let TagChange { set, remove, .. } = change.at_once(&self.description.tags);
        self.aws.secrets().untag(self.secret(), &remove).await?;
        self.aws.secrets().tag(self.secret(), &set).await
    }

    /// Whether the pending value is the current one, byte for byte.
    async fn is_copy_of_current(&self) -> Result<bool, Error> {
        let store = self.aws.secrets();
        let current = store.value(self.secret(), None, Some(CURRENT)).await?;
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

/// The failure that means that the user does not exist, in words.
fn user_gone(user: &UserRef, failure: CallFailure) -> Error {
    if failure.is_not_found() { Error::UserGone(user.clone()) } else { Error::Aws(failure) }
}
