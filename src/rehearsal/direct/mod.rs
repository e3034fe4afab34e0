//! The transport to the model without the SDK: the traits of [`crate::aws`] with the same operations, credentials and
//! faults, but without signatures, wire and retries.
//!
//! A call takes microseconds instead of half a millisecond, so that runs over thousands of users and days are possible.
//! The SDK's retries and parsing are tested through the SDK. A fault here is the error that remains after all retries.

mod iam;
mod mail;
mod organizations;
mod secrets;
mod topic;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_credential_types::Credentials;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::aws::{
    CallFailure, CallerIdentity, FailureKind, Iam, Mailer, Organizations, RoleSession, SecretStore, Services,
    SweeperServices, Topics,
};
use crate::keys::{AccessKeyId, AccountId, SecretKey};
use crate::model::{Clock, Cloud, Reply, Xml};

/// How long a call may take. Production allows the same for all attempts of one call.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// Credentials that act on the model. Clones are cheap.
#[derive(Clone)]
struct Actor {
    cloud: Cloud,
    credentials: Credentials,
    /// The Region of its calls; `None`: the model's own.
    region: Option<String>,
}

impl fmt::Debug for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Actor")
    }
}

impl Actor {
    fn with(&self, credentials: Credentials) -> Self {
        Self { credentials, ..self.clone() }
    }

    /// The same as that role, and when its session ends.
    async fn assume(&self, role: RoleSession<'_>) -> Result<(Self, DateTime<Utc>), CallFailure> {
        const OPERATION: &str = "sts:AssumeRole";
        let input = json!({"RoleArn": role.role_arn, "RoleSessionName": role.session_name, "DurationSeconds": 3600});
        let answer = self.ask(OPERATION, role.role_arn, input).await?.xml()?;
        let incomplete = || CallFailure::incomplete(OPERATION, role.role_arn, "credentials");
        let session = answer.inside("Credentials").ok_or_else(incomplete)?;
        let member = |name: &str| session.text_of(name).map(str::to_owned).ok_or_else(incomplete);
        let expires = session.time_of("Expiration").ok_or_else(incomplete)?;
        let credentials = Credentials::new(
            member("AccessKeyId")?,
            member("SecretAccessKey")?,
            Some(member("SessionToken")?),
            Some(expires.into()),
            "AssumeRole",
        );
        Ok((self.with(credentials), expires))
    }

    /// Sends one call. `operation` reads `service:Operation`.
    async fn ask(
        &self,
        operation: &'static str,
        about: impl fmt::Display,
        input: Value,
    ) -> Result<DirectAnswer, CallFailure> {
        self.ask_within(TIME_LIMIT, operation, about, input).await
    }

    /// Sends one call with another time limit.
    async fn ask_within(
        &self,
        limit: Duration,
        operation: &'static str,
        about: impl fmt::Display,
        input: Value,
    ) -> Result<DirectAnswer, CallFailure> {
        let no_answer = |why: &str| (FailureKind::NoAnswer, (why.to_owned(), String::new()));
        let answer = self.cloud.call(&self.credentials, self.region.as_deref(), operation, input);
        let (kind, error) = match tokio::time::timeout(limit, answer).await {
            Ok(Ok(Ok(reply))) => return Ok(DirectAnswer { operation, about: about.to_string(), reply }),
            Ok(Ok(Err(refusal))) => {
                (FailureKind::of_answer(refusal.status, &refusal.code), (refusal.code, refusal.message))
            }
            Ok(Err(_lost)) => no_answer("ConnectionFailure"),
            Err(_elapsed) => no_answer("Timeout"),
        };
        Err(CallFailure::new(operation, about, kind, error, None))
    }
}

/// The answer to a successful call.
struct DirectAnswer {
    operation: &'static str,
    about: String,
    reply: Reply,
}

impl DirectAnswer {
    fn xml(self) -> Result<Xml, CallFailure> {
        match self.reply {
            Reply::Xml(xml) => Ok(xml),
            _ => Err(CallFailure::incomplete(self.operation, self.about, "members")),
        }
    }

    fn json(self) -> Value {
        match self.reply {
            Reply::Json(value) => value,
            _ => Value::Null,
        }
    }
}

/// The services of the model, for one function.
#[derive(Debug)]
pub(super) struct DirectServices {
    actor: Actor,
    /// The function's own clock, which may differ from the model's.
    clock: Clock,
    secrets: secrets::DirectSecrets,
    mailer: mail::DirectMailer,
    topics: topic::DirectTopics,
}

impl DirectServices {
    /// `clock` is the clock that the function reads; the model keeps its own. `mail_region` is the Region of SES.
    pub(super) fn new(cloud: &Cloud, credentials: Credentials, clock: Clock, mail_region: Option<String>) -> Self {
        let actor = Actor { cloud: cloud.clone(), credentials, region: None };
        Self {
            secrets: secrets::DirectSecrets::new(&actor),
            mailer: mail::DirectMailer::new(&Actor { region: mail_region, ..actor.clone() }),
            topics: topic::DirectTopics::new(&actor),
            actor,
            clock,
        }
    }
}

#[async_trait]
impl Services for DirectServices {
    fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    async fn sleep(&self, duration: Duration) {
        self.clock.sleep_for(duration).await;
    }

    fn secrets(&self) -> &dyn SecretStore {
        &self.secrets
    }

    fn own_iam(&self, account: &AccountId) -> Arc<dyn Iam> {
        Arc::new(iam::DirectIam::new(&self.actor, account.clone()))
    }

    async fn iam_as(
        &self,
        role: RoleSession<'_>,
        account: &AccountId,
    ) -> Result<(Arc<dyn Iam>, DateTime<Utc>), CallFailure> {
        let (actor, expires) = self.actor.assume(role).await?;
        Ok((Arc::new(iam::DirectIam::new(&actor, account.clone())), expires))
    }

    async fn caller_identity(
        &self,
        id: &AccessKeyId,
        secret: &SecretKey,
        region: Option<&str>,
    ) -> Result<CallerIdentity, CallFailure> {
        const OPERATION: &str = "sts:GetCallerIdentity";
        let about = format!("access key {id}");
        let user = self.actor.with(Credentials::new(id.as_str(), secret.expose(), None, None, "KeyUnderTest"));
        let user = Actor { region: region.map(str::to_owned), ..user };
        let answer = user.ask(OPERATION, &about, json!({})).await?.xml()?;
        match (answer.text_of("Arn"), answer.text_of("Account")) {
            (Some(arn), Some(account)) => Ok(CallerIdentity { arn: arn.to_owned(), account: account.to_owned() }),
            _ => Err(CallFailure::incomplete(OPERATION, about, "ARN and account")),
        }
    }
}

#[async_trait]
impl SweeperServices for DirectServices {
    fn mailer(&self) -> &dyn Mailer {
        &self.mailer
    }

    fn topics(&self) -> &dyn Topics {
        &self.topics
    }

    fn own_organization(&self) -> Arc<dyn Organizations> {
        Arc::new(organizations::DirectOrganizations::new(&self.actor))
    }

    async fn organization_as(
        &self,
        role: RoleSession<'_>,
    ) -> Result<(Arc<dyn Organizations>, DateTime<Utc>), CallFailure> {
        let (actor, expires) = self.actor.assume(role).await?;
        Ok((Arc::new(organizations::DirectOrganizations::new(&actor)), expires))
    }
}
