//! Clients, assumed-role sessions and typed calls. Knows AWS, and no policy of keywheel's.
//!
//! All clients are made from one [`SdkConfig`], so that they share its HTTP client, clock, sleep, retries and
//! timeouts; a test or the rehearsal replaces any of these there.

mod failure;
mod iam;
mod mail;
mod organizations;
mod secrets;
mod session;

use std::sync::Arc;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_smithy_async::rt::sleep::{AsyncSleep, SharedAsyncSleep, TokioSleep};
use aws_smithy_async::time::SharedTimeSource;
use chrono::{DateTime, Utc};

use crate::keys::AccountId;

pub use failure::{Failure, FailureKind};
pub(crate) use iam::has_group;
pub use iam::{AccountDetails, Iam, ListedKey, ListedUser, NewKey};
pub use mail::{Mailer, OutgoingMail};
pub(crate) use organizations::may_not_list;
pub use organizations::{AccountPage, ListedAccount, Organizations, Usability};
pub(crate) use secrets::{CURRENT, PENDING, PREVIOUS, is_rotation_unfinished};
pub use secrets::{NewSecret, RotationSchedule, SecretDescription, SecretStore};
pub use session::Caller;

/// Who keywheel is, and which roles lead into other accounts.
#[derive(Debug, Clone)]
pub struct Access {
    /// The account that the functions run in: no role is assumed into it.
    pub primary_account: AccountId,
    /// Name of the role to assume in every other account.
    pub member_role: String,
    /// Session name that trails in those accounts show.
    pub session_name: String,
    /// Role to assume before asking Organizations.
    pub org_list_role_arn: Option<String>,
}

/// Everything that keywheel asks AWS for. Cheap to clone; one per process.
#[derive(Debug, Clone)]
pub struct Aws {
    config: SdkConfig,
    access: Arc<Access>,
    sessions: Arc<session::Sessions>,
    secrets: SecretStore,
    mailer: Mailer,
    sts: aws_sdk_sts::Client,
    time: SharedTimeSource,
    sleep: SharedAsyncSleep,
}

impl Aws {
    /// Makes the clients. `config` brings the clock, the sleep and the HTTP client; without them, the system's.
    pub fn new(config: SdkConfig, access: Access) -> Self {
        Self {
            access: Arc::new(access),
            sessions: Arc::default(),
            secrets: SecretStore::new(&config),
            mailer: Mailer::new(&config),
            sts: aws_sdk_sts::Client::new(&config),
            time: config.time_source().unwrap_or_default(),
            sleep: config.sleep_impl().unwrap_or_else(|| SharedAsyncSleep::new(TokioSleep::new())),
            config,
        }
    }

    /// The time now, by the clock that the clients use.
    pub fn now(&self) -> DateTime<Utc> {
        self.time.now().into()
    }

    /// Waits, on the clock that the clients use.
    pub async fn sleep(&self, duration: Duration) {
        self.sleep.sleep(duration).await;
    }

    /// The account that the functions and the store of secrets are in.
    pub fn primary_account(&self) -> &AccountId {
        &self.access.primary_account
    }

    /// The central store of secrets.
    pub fn secrets(&self) -> &SecretStore {
        &self.secrets
    }

    /// Outgoing mail.
    pub fn mailer(&self) -> &Mailer {
        &self.mailer
    }
}

/// The configuration of a Lambda function: endpoints, Region and credentials from the standard AWS configuration,
/// retries and timeouts set on purpose.
///
/// A single attempt that takes 10 s will not succeed any more; five attempts with the SDK's exponential backoff ride
/// out throttling; 30 s in all leave time to act on the failure within a function's limit.
pub async fn production_config() -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(3))
        .operation_attempt_timeout(Duration::from_secs(10))
        .operation_timeout(Duration::from_secs(30))
        .build();
    aws_config::defaults(BehaviorVersion::v2026_01_12())
        .retry_config(RetryConfig::standard().with_max_attempts(5))
        .timeout_config(timeouts)
        .load()
        .await
}

/// The SDK's time as chrono's; `None` for a time that chrono cannot hold.
pub(crate) fn utc(time: &aws_smithy_types::DateTime) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(time.secs(), time.subsec_nanos())
}
