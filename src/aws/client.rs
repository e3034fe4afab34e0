//! The package's access to AWS: the services, keywheel's own identity, and the open sessions.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;
use chrono::{DateTime, Utc};

use super::failure::CallFailure;
use super::iam::Iam;
use super::mail::Mailer;
use super::organizations::Organizations;
use super::sdk::SdkServices;
use super::secrets::SecretStore;
use super::services::{CallerIdentity, RoleSession, Services, SweeperServices};
use super::session::{OrganizationSession, Sessions};
use super::topic::Topics;
use crate::keys::{AccessKeyId, AccountId, SecretKey};

/// The account of the functions, and the roles that they assume to call AWS in other accounts.
#[derive(Debug, Clone)]
pub struct Access {
    /// The account of the functions and of the secrets. No role is assumed in it.
    pub primary_account: AccountId,
    /// Name of the role to assume in every other account, without its path.
    pub member_role: String,
    /// Role session name, which the CloudTrail events in those accounts show.
    pub session_name: String,
    /// Role to assume before calling Organizations; `None` to call it as the function's own role.
    pub org_list_role_arn: Option<String>,
    /// Region of SES; `None` for the functions' own.
    pub mail_region: Option<String>,
}

/// The calls that both functions make; the rotation function makes no others. Cheap to clone; one per process.
#[derive(Debug, Clone)]
pub struct Aws {
    services: Arc<dyn Services>,
    access: Arc<Access>,
    sessions: Arc<Sessions>,
}

impl Aws {
    /// Calls AWS through the SDK. The clock, the sleep and the HTTP client of `config` are used if it has them, and the
    /// system's otherwise.
    pub fn new(config: SdkConfig, access: Access) -> Self {
        Self::through(Arc::new(SdkServices::new(config, None)), access)
    }

    /// Calls AWS, or a model of it, through the given services.
    pub fn through(services: Arc<dyn Services>, access: Access) -> Self {
        Self { services, access: Arc::new(access), sessions: Arc::default() }
    }

    /// Returns the time by the clock that the calls use.
    pub fn now(&self) -> DateTime<Utc> {
        self.services.now()
    }

    /// Waits on the clock that the calls use.
    pub async fn sleep(&self, duration: Duration) {
        self.services.sleep(duration).await;
    }

    /// The account of the functions and of the secrets.
    pub fn primary_account(&self) -> &AccountId {
        &self.access.primary_account
    }

    /// The central store of secrets.
    pub fn secrets(&self) -> &dyn SecretStore {
        self.services.secrets()
    }

    /// Returns IAM of an account: as the function's own role in the primary account, as the member role elsewhere.
    /// Sessions are cached, so repeating is cheap.
    ///
    /// # Errors
    /// The failure of `sts:AssumeRole`, which names the role.
    pub async fn iam(&self, account: &AccountId, partition: &str) -> Result<Arc<dyn Iam>, CallFailure> {
        if account == self.primary_account() {
            return Ok(self.services.own_iam(account));
        }
        if let Some(iam) = self.sessions.get(account, self.now()).await {
            return Ok(iam);
        }
        let role_arn = format!("arn:{partition}:iam::{account}:role/{}", self.access.member_role);
        let role = RoleSession { role_arn: &role_arn, session_name: &self.access.session_name };
        let (iam, expires) = self.services.iam_as(role, account).await?;
        self.sessions.insert(account.clone(), Arc::clone(&iam), expires, self.now()).await;
        Ok(iam)
    }

    /// Returns the identity that an access key belongs to: [`Services::caller_identity`].
    ///
    /// # Errors
    /// As [`Services::caller_identity`].
    pub async fn caller_identity(
        &self,
        id: &AccessKeyId,
        secret: &SecretKey,
        region: Option<&str>,
    ) -> Result<CallerIdentity, CallFailure> {
        self.services.caller_identity(id, secret, region).await
    }
}

/// The calls that the sweeper makes: those of [`Aws`], mail, topics and Organizations. Cheap to clone; one per process.
#[derive(Debug, Clone)]
pub struct SweeperAws {
    aws: Aws,
    services: Arc<dyn SweeperServices>,
    organization: Arc<OrganizationSession>,
}

impl Deref for SweeperAws {
    type Target = Aws;

    fn deref(&self) -> &Aws {
        &self.aws
    }
}

impl SweeperAws {
    /// Calls AWS through the SDK, as [`Aws::new`].
    pub fn new(config: SdkConfig, access: Access) -> Self {
        Self::through(Arc::new(SdkServices::new(config, access.mail_region.clone())), access)
    }

    /// Calls AWS, or a model of it, through the given services.
    pub fn through<S: Services + SweeperServices + 'static>(services: Arc<S>, access: Access) -> Self {
        Self { aws: Aws::through(services.clone(), access), services, organization: Arc::default() }
    }

    /// SES, which sends notices as mail.
    pub fn mailer(&self) -> &dyn Mailer {
        self.services.mailer()
    }

    /// SNS, which publishes notices to topics.
    pub fn topics(&self) -> &dyn Topics {
        self.services.topics()
    }

    /// Returns Organizations: as the function's own role, or as the role that the settings name. The session is cached,
    /// so repeating is cheap.
    ///
    /// # Errors
    /// The failure of `sts:AssumeRole`, which names the role. A recent failure is returned again without a call.
    pub async fn organizations(&self) -> Result<Arc<dyn Organizations>, CallFailure> {
        let Access { org_list_role_arn, session_name, .. } = &*self.aws.access;
        let Some(role_arn) = org_list_role_arn else { return Ok(self.services.own_organization()) };
        let open = self.services.organization_as(RoleSession { role_arn, session_name });
        self.organization.get_or_open(|| self.now(), open).await
    }
}
