//! The way to AWS: what is asked of it, whoever carries the question.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{CallFailure, Iam, Mailer, Organizations, SecretStore, Topics};
use crate::keys::{AccessKeyId, AccountId, SecretKey};

/// Who a key belongs to, as STS answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallerIdentity {
    /// The ARN that the key acts as.
    pub arn: String,
    /// The account that the key acts in.
    pub account: String,
}

/// A role to assume, and the name of its session.
#[derive(Debug, Clone, Copy)]
pub struct RoleSession<'a> {
    /// The role.
    pub role_arn: &'a str,
    /// What trails show the session as.
    pub session_name: &'a str,
}

/// What both functions ask of AWS, as their own role reaches it.
///
/// # Design
/// In production the SDK stands behind it. The seam is here, above the SDK, because a simulation of millions of calls
/// cannot afford to build, sign and parse each one; whether the SDK is used rightly is shown by the tests that go through
/// it, on the wire, to the model of AWS and to moto.
#[async_trait]
pub trait Services: fmt::Debug + Send + Sync {
    /// The time now.
    fn now(&self) -> DateTime<Utc>;

    /// Waits, on the same clock.
    async fn sleep(&self, duration: Duration);

    /// The central store of secrets.
    fn secrets(&self) -> &dyn SecretStore;

    /// IAM of the account that the function's own role is in.
    fn own_iam(&self, account: &AccountId) -> Arc<dyn Iam>;

    /// IAM of the account that another role is in, in a session of that role, and when the session ends.
    ///
    /// # Errors
    /// The failure of `sts:AssumeRole`, which names the role.
    async fn iam_as(
        &self,
        role: RoleSession<'_>,
        account: &AccountId,
    ) -> Result<(Arc<dyn Iam>, DateTime<Utc>), CallFailure>;

    /// Asks STS who the given key is. Needs no permission, so it tells whether the key itself works.
    ///
    /// # Errors
    /// The failure of `sts:GetCallerIdentity`: `InvalidClientTokenId` while IAM has not spread a new key yet.
    async fn caller_identity(&self, id: &AccessKeyId, secret: &SecretKey) -> Result<CallerIdentity, CallFailure>;
}

/// What the sweeper alone asks of AWS.
///
/// # Design
/// A trait of its own, so that the rotation function cannot do what it has no permission to, and so that its executable,
/// which makes no such object, is linked without these clients.
#[async_trait]
pub trait SweeperServices: fmt::Debug + Send + Sync {
    /// Outgoing mail.
    fn mailer(&self) -> &dyn Mailer;

    /// Topics that notices are published to.
    fn topics(&self) -> &dyn Topics;

    /// The organization, as the function's own role sees it.
    fn own_organization(&self) -> Arc<dyn Organizations>;

    /// The organization, in a session of another role, and when the session ends.
    ///
    /// # Errors
    /// The failure of `sts:AssumeRole`, which names the role.
    async fn organization_as(
        &self,
        role: RoleSession<'_>,
    ) -> Result<(Arc<dyn Organizations>, DateTime<Utc>), CallFailure>;
}
