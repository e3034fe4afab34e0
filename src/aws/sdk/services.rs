//! The services through the SDK: clients made at first use, and the sessions of assumed roles.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use aws_config::{Region, SdkConfig};
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

use super::failure::OrFailure as _;
use super::retry::own_quota;
use super::time::utc;
use super::whole::WholeAnswer;
use super::{iam, mail, organizations, secrets, topic};
use crate::aws::failure::CallFailure;
use crate::aws::iam::Iam;
use crate::aws::mail::Mailer;
use crate::aws::organizations::Organizations;
use crate::aws::secrets::SecretStore;
use crate::aws::services::{CallerIdentity, RoleSession, Services, SweeperServices};
use crate::aws::topic::Topics;
use crate::keys::{AccessKeyId, AccountId, SecretKey};

/// Length of a session. Role chaining limits it to one hour, and a function already acts as a role.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles.html#iam-term-role-chaining>
const SESSION_SECONDS: i32 = 3600;

/// Every service that keywheel calls, through the SDK.
#[derive(Debug)]
pub(in crate::aws) struct SdkServices {
    config: SdkConfig,
    /// Region of SES; `None` for that of `config`.
    mail_region: Option<String>,
    secrets: OnceLock<secrets::SdkSecretStore>,
    mailer: OnceLock<mail::SdkMailer>,
    topics: OnceLock<topic::SdkTopics>,
    organization: OnceLock<Arc<organizations::SdkOrganizations>>,
    sts: OnceLock<aws_sdk_sts::Client>,
    time: SharedTimeSource,
    sleep: SharedAsyncSleep,
}

impl SdkServices {
    pub(in crate::aws) fn new(config: SdkConfig, mail_region: Option<String>) -> Self {
        Self {
            mail_region,
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

    /// Returns the configuration with other credentials.
    fn acting_as(&self, credentials: Credentials) -> SdkConfig {
        let mut config = self.config.clone().into_builder();
        // The cache still holds the function's own credentials.
        config.set_identity_cache(None);
        config.set_credentials_provider(Some(SharedCredentialsProvider::new(credentials)));
        config.build()
    }

    /// Assumes a role. Returns a configuration that acts as the role, and the end of the session.
    async fn assume(&self, role: RoleSession<'_>) -> Result<(SdkConfig, DateTime<Utc>), CallFailure> {
        const OPERATION: &str = "sts:AssumeRole";
        let sts = self.sts.get_or_init(|| {
            let config = aws_sdk_sts::config::Builder::from(&self.config).retry_partition(own_quota("sts".to_owned()));
            aws_sdk_sts::Client::from_conf(config.interceptor(WholeAnswer::Xml).build())
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
        // The SDK puts an empty text or 1970 in place of a missing member.
        let is_complete = [&session.access_key_id, &session.secret_access_key, &session.session_token]
            .into_iter()
            .all(|part| !part.is_empty());
        // Before the checks, so that the secrets are wiped even if the rest of the response is unusable.
        let credentials = Credentials::new(
            session.access_key_id,
            session.secret_access_key,
            Some(session.session_token),
            expires.map(Into::into),
            "AssumeRole",
        );
        let expires = expires.filter(|expires| is_complete && *expires > DateTime::UNIX_EPOCH);
        let expires = expires.ok_or_else(|| CallFailure::incomplete(OPERATION, role.role_arn, "session"))?;
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

    async fn caller_identity(
        &self,
        id: &AccessKeyId,
        secret: &SecretKey,
        region: Option<&str>,
    ) -> Result<CallerIdentity, CallFailure> {
        const OPERATION: &str = "sts:GetCallerIdentity";
        let credentials = Credentials::new(id.as_str(), secret.expose(), None, None, "KeyUnderTest");
        let mut config = aws_sdk_sts::config::Builder::from(&self.acting_as(credentials));
        if let Some(region) = region {
            config = config.region(Region::new(region.to_owned()));
        }
        let sts = aws_sdk_sts::Client::from_conf(config.interceptor(WholeAnswer::Xml).build());
        let about = format_args!("access key {id}").to_string();
        let request = sts.get_caller_identity().customize().interceptor(CloseConnection);
        let answer = request.send().await.or_failure(OPERATION, &about)?;
        match (answer.arn, answer.account) {
            (Some(arn), Some(account)) if !arn.is_empty() && !account.is_empty() => Ok(CallerIdentity { arn, account }),
            _ => Err(CallFailure::incomplete(OPERATION, about, "ARN and account")),
        }
    }
}

#[async_trait]
impl SweeperServices for SdkServices {
    fn mailer(&self) -> &dyn Mailer {
        self.mailer.get_or_init(|| {
            let region = self.mail_region.clone().map(Region::new).or_else(|| self.config.region().cloned());
            mail::SdkMailer::new(&self.config.clone().into_builder().region(region).build())
        })
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

/// Closes the connection after the response.
///
/// IAM propagates a new key from host to host. All calls on one connection reach the same host, and would only show
/// whether that host knows the key.
#[derive(Debug)]
struct CloseConnection;

impl Intercept for CloseConnection {
    fn name(&self) -> &'static str {
        "CloseConnection"
    }

    // After signing, because a proxy may drop this hop-by-hop header.
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
