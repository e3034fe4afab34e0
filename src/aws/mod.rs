//! AWS: sessions and typed calls. Knows AWS, and no policy of keywheel's.
//!
//! `iam`, `secrets`, `mail`, `topic` and `organizations` say what is asked, as traits; `services` binds them together; `sdk`
//! carries the calls through the AWS SDK. `session` keeps the sessions in other accounts. `credential_report` reads what
//! IAM makes, and `failure` says what a failed call means.

mod credential_report;
mod failure;
mod iam;
mod mail;
mod organizations;
mod sdk;
mod secrets;
mod services;
mod session;
mod topic;
mod until;

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;
use chrono::{DateTime, Utc};

use crate::keys::{AccessKeyId, AccountId, SecretKey};

pub use credential_report::{CredentialReport, MalformedReport, ReportReader, ReportedKey, ReportedUser};
pub use failure::{CallFailure, FailureKind};
pub use iam::{AccountDetails, DatedReport, Iam, ListedKey, ListedUser, NewKey};
pub(crate) use iam::{has_group, is_report_capacity_exhausted, is_report_unavailable};
pub use mail::{Attachment, Mailer, OutgoingMail, SendQuota, SendingAccount};
pub(crate) use mail::{masked, masked_identity};
pub use organizations::{AccountPage, AccountState, ListedAccount, Organizations};
pub(crate) use organizations::{cannot_list_accounts, read_email};
pub use sdk::{ATTEMPTS, Lookup, production_config};
pub(crate) use secrets::{CURRENT, PENDING, PREVIOUS, is_rotation_unfinished};
pub use secrets::{NewSecret, RotationSchedule, SecretDescription, SecretPage, SecretStore};
pub use services::{CallerIdentity, RoleSession, Services, SweeperServices};
pub(crate) use topic::{BatchEntryError, PUBLISH_BATCH, PUBLISH_TIMEOUT, publish_result};
pub use topic::{MAX_BATCH_BYTES, MAX_BATCH_MESSAGES, TopicMessage, Topics};
pub(crate) use until::{Tries, until};

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

/// Everything that both functions ask AWS for, and all that the rotation function does. Cheap to clone; one per process.
#[derive(Debug, Clone)]
pub struct Aws {
    services: Arc<dyn Services>,
    access: Arc<Access>,
    sessions: Arc<session::Sessions>,
}

impl Aws {
    /// Through the SDK. `config` brings the clock, the sleep and the HTTP client; without them, the system's.
    pub fn new(config: SdkConfig, access: Access) -> Self {
        Self::through(Arc::new(sdk::SdkServices::new(config)), access)
    }

    /// Through services of another kind.
    pub fn through(services: Arc<dyn Services>, access: Access) -> Self {
        Self { services, access: Arc::new(access), sessions: Arc::default() }
    }

    /// The time now, by the clock that the calls use.
    pub fn now(&self) -> DateTime<Utc> {
        self.services.now()
    }

    /// Waits, on the clock that the calls use.
    pub async fn sleep(&self, duration: Duration) {
        self.services.sleep(duration).await;
    }

    /// The account that the functions and the store of secrets are in.
    pub fn primary_account(&self) -> &AccountId {
        &self.access.primary_account
    }

    /// The central store of secrets.
    pub fn secrets(&self) -> &dyn SecretStore {
        self.services.secrets()
    }

    /// Who the given key is: [`Services::caller_identity`].
    ///
    /// # Errors
    /// As there.
    pub async fn caller_identity(&self, id: &AccessKeyId, secret: &SecretKey) -> Result<CallerIdentity, CallFailure> {
        self.services.caller_identity(id, secret).await
    }
}

/// Everything that the sweeper asks AWS for: what an [`Aws`] is asked, and besides ways to tell people and the list of
/// accounts. Cheap to clone; one per process.
#[derive(Debug, Clone)]
pub struct SweeperAws {
    aws: Aws,
    services: Arc<dyn SweeperServices>,
    organization: Arc<session::OrganizationSession>,
}

impl Deref for SweeperAws {
    type Target = Aws;

    fn deref(&self) -> &Aws {
        &self.aws
    }
}

impl SweeperAws {
    /// As [`Aws::new`].
    pub fn new(config: SdkConfig, access: Access) -> Self {
        Self::through(Arc::new(sdk::SdkServices::new(config)), access)
    }

    /// Through services of another kind.
    pub fn through<S: Services + SweeperServices + 'static>(services: Arc<S>, access: Access) -> Self {
        Self { aws: Aws::through(services.clone(), access), services, organization: Arc::default() }
    }

    /// Outgoing mail.
    pub fn mailer(&self) -> &dyn Mailer {
        self.services.mailer()
    }

    /// Topics that notices are published to.
    pub fn topics(&self) -> &dyn Topics {
        self.services.topics()
    }
}
