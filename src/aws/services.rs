//! The seam between keywheel and AWS: how a function gets hold of the services, through the SDK or a model.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::failure::CallFailure;
use super::iam::Iam;
use super::mail::Mailer;
use super::organizations::Organizations;
use super::secrets::SecretStore;
use super::topic::Topics;
use crate::keys::{AccessKeyId, AccountId, SecretKey};

/// The owner of an access key, as GetCallerIdentity returns it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallerIdentity {
    /// ARN of the user or role; unparsed, because the key may belong to anybody.
    pub arn: String,
    /// Account id of the user or role; unparsed for the same reason.
    pub account: String,
}

/// A role to assume, and the name of the session.
#[derive(Debug, Clone, Copy)]
pub struct RoleSession<'a> {
    /// ARN of the role, such as `arn:aws:iam::123456789012:role/name`.
    pub role_arn: &'a str,
    /// Session name, which CloudTrail events show; 2 to 64 characters.
    pub session_name: &'a str,
}

/// The services that both functions call.
///
/// # Design
/// In production the SDK implements this trait. The seam is above the SDK because a simulation of millions of calls
/// cannot afford to build, sign and parse each one. Tests that go through the SDK, to the model of AWS and to moto,
/// show that the SDK is used correctly.
#[async_trait]
pub trait Services: fmt::Debug + Send + Sync {
    /// Returns the time by the clock that the calls use.
    fn now(&self) -> DateTime<Utc>;

    /// Waits on the same clock.
    async fn sleep(&self, duration: Duration);

    /// The central store of secrets, as the function's own role reaches it.
    fn secrets(&self) -> &dyn SecretStore;

    /// Returns IAM of the function's own account, as its own role.
    fn own_iam(&self, account: &AccountId) -> Arc<dyn Iam>;

    /// Assumes a role and returns IAM of that role's account, with the end of the session. Safe to repeat: each call
    /// opens another session.
    ///
    /// # Errors
    /// The failure of `sts:AssumeRole`, which names the role. `Denied` also means that the role does not exist.
    async fn iam_as(
        &self,
        role: RoleSession<'_>,
        account: &AccountId,
    ) -> Result<(Arc<dyn Iam>, DateTime<Utc>), CallFailure>;

    /// Returns the owner of an access key by calling STS of a Region with that key; `None` is the function's own
    /// Region. GetCallerIdentity needs no permission, so its success proves that the key works. Safe to repeat; IAM
    /// records each call as a use of the key.
    /// <https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html>
    ///
    /// # Errors
    /// The failure of `sts:GetCallerIdentity`: `InvalidClientTokenId` until IAM has propagated a new key, and for ever
    /// in a Region that the key's account has not enabled.
    async fn caller_identity(
        &self,
        id: &AccessKeyId,
        secret: &SecretKey,
        region: Option<&str>,
    ) -> Result<CallerIdentity, CallFailure>;
}

/// The services that only the sweeper calls.
///
/// # Design
/// A separate trait, so that the rotation function cannot make calls that it has no permission for. Its executable
/// makes no value of this type and is therefore linked without these clients.
#[async_trait]
pub trait SweeperServices: fmt::Debug + Send + Sync {
    /// SES, which sends notices as mail.
    fn mailer(&self) -> &dyn Mailer;

    /// SNS, which publishes notices to topics.
    fn topics(&self) -> &dyn Topics;

    /// Returns Organizations as the function's own role.
    fn own_organization(&self) -> Arc<dyn Organizations>;

    /// Assumes a role and returns Organizations as that role, with the end of the session. Safe to repeat.
    ///
    /// # Errors
    /// The failure of `sts:AssumeRole`, which names the role.
    async fn organization_as(
        &self,
        role: RoleSession<'_>,
    ) -> Result<(Arc<dyn Organizations>, DateTime<Utc>), CallFailure>;
}
