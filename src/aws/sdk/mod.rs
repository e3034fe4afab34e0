//! AWS through its SDK: what runs in production.
//!
//! All clients are made from one [`SdkConfig`], so that they share its HTTP client with its connections and its one TLS
//! configuration, clock, sleep, retries and timeouts, whatever role they act as; a test or the rehearsal replaces any of
//! these there. A client is made when it is first asked: a start waits for none.
//!
//! # Secrets in memory
//!
//! What these calls answer of secrets is moved into memory that is wiped on drop, without a copy. What the SDK holds on
//! its way is not ours to wipe: the body of the answer of `CreateAccessKey`, `GetSecretValue` and `AssumeRole`, the input
//! and the body of `PutSecretValue` with the value and the rotation token, what its parsers and the TLS buffers keep for
//! a moment, and the copy of the event that Lambda's runtime read. They are freed when the call ends, and the SDK wipes
//! its credentials by itself. Nothing else can read a function's memory, which ends with its execution environment.

mod failure;
mod iam;
mod mail;
mod organizations;
mod patience;
mod production;
mod report_stream;
mod secrets;
mod server_time;
#[cfg(all(test, feature = "rehearsal"))]
mod tests;
mod topic;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_async::rt::sleep::{AsyncSleep as _, SharedAsyncSleep, TokioSleep};
use aws_smithy_async::time::SharedTimeSource;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::BeforeTransmitInterceptorContextMut;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use chrono::{DateTime, Utc};

use super::{
    CallFailure, CallerIdentity, Iam, Mailer, Organizations, RoleSession, SecretStore, Services, SweeperServices,
    Topics,
};
use crate::keys::{AccessKeyId, AccountId, SecretKey};
use failure::OrFailure as _;
pub use patience::ATTEMPTS;
use patience::own_allowance;
pub use production::{Lookup, production_config};

/// Role chaining is limited to one hour, and a function's own role is a role.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles.html#iam-term-role-chaining>
const SESSION_SECONDS: i32 = 3600;

/// The services through the SDK.
#[derive(Debug)]
pub(super) struct SdkServices {
    config: SdkConfig,
    secrets: OnceLock<secrets::SdkSecretStore>,
    mailer: OnceLock<mail::SdkMailer>,
    topics: OnceLock<topic::SdkTopics>,
    organization: OnceLock<Arc<organizations::SdkOrganizations>>,
    sts: OnceLock<aws_sdk_sts::Client>,
    time: SharedTimeSource,
    sleep: SharedAsyncSleep,
}

impl SdkServices {
    pub(super) fn new(config: SdkConfig) -> Self {
        Self {
            secrets: OnceLock::new(),
            mailer: OnceLock::new(),
            topics: OnceLock::new(),
            organization: OnceLock::new(),
            sts: OnceLock::new(),
            time: config.time_source().unwrap_or_default(),
            sleep: config.sleep_impl().unwrap_or_else(|| SharedAsyncSleep::new(TokioSleep::new())),
            config,
        }
    }

    fn acting_as(&self, credentials: Credentials) -> SdkConfig {
        let mut config = self.config.clone().into_builder();
        // The identity cache belongs to the former credentials.
        config.set_identity_cache(None);
        config.set_credentials_provider(Some(SharedCredentialsProvider::new(credentials)));
        config.build()
    }

    /// A configuration that acts as that role, and when its session ends.
    async fn assume(&self, role: RoleSession<'_>) -> Result<(SdkConfig, DateTime<Utc>), CallFailure> {
        const OPERATION: &str = "sts:AssumeRole";
        let sts = self.sts.get_or_init(|| {
            let config =
                aws_sdk_sts::config::Builder::from(&self.config).retry_partition(own_allowance("sts".to_owned()));
            aws_sdk_sts::Client::from_conf(config.build())
        });
        let answer = sts
            .assume_role()
            .role_arn(role.role_arn)
            .role_session_name(role.session_name)
            .duration_seconds(SESSION_SECONDS)
            .send()
            .await
            .or_failure(OPERATION, role.role_arn)?;
        let session =
            answer.credentials.ok_or_else(|| CallFailure::incomplete(OPERATION, role.role_arn, "credentials"))?;
        let expires = utc(&session.expiration);
        // First, so that the secrets are wiped whatever is wrong with the rest.
        let credentials = Credentials::new(
            session.access_key_id,
            session.secret_access_key,
            Some(session.session_token),
            expires.map(Into::into),
            "AssumeRole",
        );
        let expires = expires.ok_or_else(|| CallFailure::incomplete(OPERATION, role.role_arn, "expiration"))?;
        Ok((self.acting_as(credentials), expires))
    }
}

#[async_trait]
impl Services for SdkServices {
    fn now(&self) -> DateTime<Utc> {
        self.time.now().into()
    }

    async fn sleep(&self, duration: Duration) {
        self.sleep.sleep(duration).await;
    }

    fn secrets(&self) -> &dyn SecretStore {
        self.secrets.get_or_init(|| secrets::SdkSecretStore::new(&self.config))
    }

    fn own_iam(&self, account: &AccountId) -> Arc<dyn Iam> {
        Arc::new(iam::SdkIam::new(&self.config, account.clone()))
    }

    async fn iam_as(
        &self,
        role: RoleSession<'_>,
        account: &AccountId,
    ) -> Result<(Arc<dyn Iam>, DateTime<Utc>), CallFailure> {
        let (config, expires) = self.assume(role).await?;
        Ok((Arc::new(iam::SdkIam::new(&config, account.clone())), expires))
    }

    async fn caller_identity(&self, id: &AccessKeyId, secret: &SecretKey) -> Result<CallerIdentity, CallFailure> {
        const OPERATION: &str = "sts:GetCallerIdentity";
        let credentials = Credentials::new(id.as_str(), secret.expose(), None, None, "KeyUnderTest");
        let sts = aws_sdk_sts::Client::new(&self.acting_as(credentials));
        let about = format_args!("access key {id}").to_string();
        let request = sts.get_caller_identity().customize().interceptor(LastOnConnection);
        let answer = request.send().await.or_failure(OPERATION, &about)?;
        match (answer.arn, answer.account) {
            (Some(arn), Some(account)) => Ok(CallerIdentity { arn, account }),
            _ => Err(CallFailure::incomplete(OPERATION, about, "ARN and account")),
        }
    }
}

#[async_trait]
impl SweeperServices for SdkServices {
    fn mailer(&self) -> &dyn Mailer {
        self.mailer.get_or_init(|| mail::SdkMailer::new(&self.config))
    }

    fn topics(&self) -> &dyn Topics {
        self.topics.get_or_init(|| topic::SdkTopics::new(&self.config))
    }

    fn own_organization(&self) -> Arc<dyn Organizations> {
        self.organization.get_or_init(|| Arc::new(organizations::SdkOrganizations::new(&self.config))).clone()
    }

    async fn organization_as(
        &self,
        role: RoleSession<'_>,
    ) -> Result<(Arc<dyn Organizations>, DateTime<Utc>), CallFailure> {
        let (config, expires) = self.assume(role).await?;
        Ok((Arc::new(organizations::SdkOrganizations::new(&config)), expires))
    }
}

/// Has the connection closed after the answer.
///
/// IAM spreads a new key, and a connection leads to one place: calls on the same one would ask the same place whether it
/// has heard of the key.
#[derive(Debug)]
struct LastOnConnection;

impl Intercept for LastOnConnection {
    fn name(&self) -> &'static str {
        "LastOnConnection"
    }

    // After signing: this header is between neighbours, and a proxy may drop it.
    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        context.request_mut().headers_mut().insert("connection", "close");
        Ok(())
    }
}

/// The SDK's time as chrono's; `None` for a time that chrono cannot hold.
fn utc(time: &aws_smithy_types::DateTime) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(time.secs(), time.subsec_nanos())
}
