//! Sessions in other accounts, and the caller behind a key.

use std::collections::HashMap;
use std::fmt;

use aws_config::SdkConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::Mutex;

use super::failure::{Failure, OrFailure};
use super::iam::Iam;
use super::organizations::Organizations;
use super::{Aws, utc};
use crate::keys::{AccessKeyId, AccountId, SecretKey};

/// Role chaining is limited to one hour, and a function's own role is a role.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles.html#iam-term-role-chaining>
const SESSION_SECONDS: i32 = 3600;

/// A session is renewed while this much of it is left, so that none expires during an invocation, which takes 15 minutes
/// at most. <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>
const RENEW_BEFORE_EXPIRY: TimeDelta = TimeDelta::minutes(16);

/// IAM clients of the accounts that a role was assumed in, by account.
#[derive(Default)]
pub(super) struct Sessions(Mutex<HashMap<AccountId, (Iam, DateTime<Utc>)>>);

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sessions")
    }
}

/// Who a key belongs to, as STS answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The ARN that the key acts as.
    pub arn: String,
    /// The account that the key acts in.
    pub account: String,
}

impl Aws {
    /// IAM of that account: as the function itself in its own account, through the member role elsewhere.
    ///
    /// # Errors
    /// The failure of `sts:AssumeRole`, which names the role.
    pub async fn iam(&self, account: &AccountId, partition: &str) -> Result<Iam, Failure> {
        if account == self.primary_account() {
            return Ok(Iam::new(&self.config, account.clone()));
        }
        if let Some((iam, expires)) = self.sessions.0.lock().await.get(account)
            && *expires - RENEW_BEFORE_EXPIRY > self.now()
        {
            return Ok(iam.clone());
        }
        let role = format!("arn:{partition}:iam::{account}:role/{}", self.access.member_role);
        let (config, expires) = self.assume(&role).await?;
        let iam = Iam::new(&config, account.clone());
        let mut sessions = self.sessions.0.lock().await;
        let now = self.now();
        sessions.retain(|_, (_, expires)| *expires > now);
        sessions.insert(account.clone(), (iam.clone(), expires));
        Ok(iam)
    }

    /// Organizations: directly, or as the role that the settings name.
    ///
    /// # Errors
    /// The failure of `sts:AssumeRole`.
    pub async fn organizations(&self) -> Result<Organizations, Failure> {
        match &self.access.org_list_role_arn {
            None => Ok(Organizations::new(&self.config)),
            Some(role) => Ok(Organizations::new(&self.assume(role).await?.0)),
        }
    }

    async fn assume(&self, role_arn: &str) -> Result<(SdkConfig, DateTime<Utc>), Failure> {
        const OPERATION: &str = "sts:AssumeRole";
        let answer = self
            .sts
            .assume_role()
            .role_arn(role_arn)
            .role_session_name(&self.access.session_name)
            .duration_seconds(SESSION_SECONDS)
            .send()
            .await
            .or_failure(OPERATION, role_arn)?;
        let session = answer.credentials.ok_or_else(|| Failure::incomplete(OPERATION, role_arn, "credentials"))?;
        let expires = utc(&session.expiration).ok_or_else(|| Failure::incomplete(OPERATION, role_arn, "expiration"))?;
        let credentials = Credentials::new(
            session.access_key_id,
            session.secret_access_key,
            Some(session.session_token),
            Some(expires.into()),
            "AssumeRole",
        );
        Ok((self.acting_as(credentials), expires))
    }

    /// Asks STS who the given key is. Needs no permission, so it tells whether the key itself works.
    ///
    /// # Errors
    /// The failure of `sts:GetCallerIdentity`: `InvalidClientTokenId` while IAM has not spread a new key yet.
    pub async fn caller_of(&self, id: &AccessKeyId, secret: &SecretKey) -> Result<Caller, Failure> {
        const OPERATION: &str = "sts:GetCallerIdentity";
        let credentials = Credentials::new(id.as_str(), secret.expose(), None, None, "KeyUnderTest");
        let sts = aws_sdk_sts::Client::new(&self.acting_as(credentials));
        let about = format_args!("access key {id}").to_string();
        let answer = sts.get_caller_identity().send().await.or_failure(OPERATION, &about)?;
        match (answer.arn, answer.account) {
            (Some(arn), Some(account)) => Ok(Caller { arn, account }),
            _ => Err(Failure::incomplete(OPERATION, about, "ARN and account")),
        }
    }

    fn acting_as(&self, credentials: Credentials) -> SdkConfig {
        let mut config = self.config.clone().into_builder();
        // The identity cache belongs to the former credentials.
        config.set_identity_cache(None);
        config.set_credentials_provider(Some(SharedCredentialsProvider::new(credentials)));
        config.build()
    }
}
