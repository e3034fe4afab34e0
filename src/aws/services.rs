//! The way to AWS: what is asked of it, whoever carries the question.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{Failure, Iam, Mailer, Organizations, SecretStore, Topics};
use crate::keys::{AccessKeyId, AccountId, SecretKey};

/// Who a key belongs to, as STS answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The ARN that the key acts as.
    pub arn: String,
    /// The account that the key acts in.
    pub account: String,
}

/// AWS as a function's own role reaches it.
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

    /// Outgoing mail.
    fn mailer(&self) -> &dyn Mailer;

    /// Topics that notices are published to.
    fn topics(&self) -> &dyn Topics;

    /// The function's own role.
    fn own_identity(&self) -> Box<dyn Identity>;

    /// A session of another role, and when it ends.
    ///
    /// # Errors
    /// The failure of `sts:AssumeRole`, which names the role.
    async fn assume(&self, role_arn: &str, session_name: &str) -> Result<(Box<dyn Identity>, DateTime<Utc>), Failure>;

    /// Asks STS who the given key is. Needs no permission, so it tells whether the key itself works.
    ///
    /// # Errors
    /// The failure of `sts:GetCallerIdentity`: `InvalidClientTokenId` while IAM has not spread a new key yet.
    async fn caller_of(&self, id: &AccessKeyId, secret: &SecretKey) -> Result<Caller, Failure>;
}

/// A role that acts. `Debug` shows no credentials.
pub trait Identity: fmt::Debug + Send + Sync {
    /// IAM of the account that the role is in.
    fn iam(&self, account: &AccountId) -> Arc<dyn Iam>;

    /// The organization.
    fn organizations(&self) -> Box<dyn Organizations>;
}
