//! Sessions in other accounts, kept as long as they last.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::Mutex;

use super::{Access, Aws, CallFailure, Iam, Organizations, RoleSession, SweeperAws};
use crate::keys::AccountId;

/// A session is renewed while this much of it is left, so that none expires during an invocation, which takes 15 minutes
/// at most. <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>
const RENEW_BEFORE_EXPIRY: TimeDelta = TimeDelta::minutes(16);

/// What a session leads to, for as long as it lasts.
struct CachedSession<T: ?Sized> {
    leads_to: Arc<T>,
    expires: DateTime<Utc>,
}

impl<T: ?Sized> CachedSession<T> {
    /// Where it leads, unless it would end during an invocation that begins now.
    fn that_lasts(&self, now: DateTime<Utc>) -> Option<Arc<T>> {
        (self.expires - RENEW_BEFORE_EXPIRY > now).then(|| Arc::clone(&self.leads_to))
    }
}

/// IAM of the accounts that a role was assumed in, by account.
#[derive(Default)]
pub(super) struct Sessions(Mutex<HashMap<AccountId, CachedSession<dyn Iam>>>);

/// Organizations in a session of another role.
#[derive(Default)]
pub(super) struct OrganizationSession(Mutex<LastAttempt>);

/// What came of the last attempt at a session.
#[derive(Default)]
enum LastAttempt {
    #[default]
    None,
    Succeeded(CachedSession<dyn Organizations>),
    Failed(CallFailure, DateTime<Utc>),
}

/// For so long a failed attempt stands for those who waited for it: one after another, each would wait as long again.
const FAILURE_STANDS: TimeDelta = TimeDelta::seconds(10);

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sessions")
    }
}

impl fmt::Debug for OrganizationSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OrganizationSession")
    }
}

impl Aws {
    /// IAM of that account: as the function itself in its own account, through the member role elsewhere.
    ///
    /// # Errors
    /// The failure of `sts:AssumeRole`, which names the role.
    pub async fn iam(&self, account: &AccountId, partition: &str) -> Result<Arc<dyn Iam>, CallFailure> {
        if account == self.primary_account() {
            return Ok(self.services.own_iam(account));
        }
        let kept = self.sessions.0.lock().await.get(account).and_then(|session| session.that_lasts(self.now()));
        if let Some(iam) = kept {
            return Ok(iam);
        }
        let role = format!("arn:{partition}:iam::{account}:role/{}", self.access.member_role);
        let role = RoleSession { role_arn: &role, session_name: &self.access.session_name };
        let (iam, expires) = self.services.iam_as(role, account).await?;
        let mut sessions = self.sessions.0.lock().await;
        let now = self.now();
        sessions.retain(|_, session| session.expires > now);
        sessions.insert(account.clone(), CachedSession { leads_to: Arc::clone(&iam), expires });
        Ok(iam)
    }
}

impl SweeperAws {
    /// Organizations: directly, or as the role that the settings name.
    ///
    /// # Errors
    /// The failure of `sts:AssumeRole`.
    pub async fn organizations(&self) -> Result<Arc<dyn Organizations>, CallFailure> {
        let Access { org_list_role_arn, session_name, .. } = &*self.aws.access;
        let Some(arn) = org_list_role_arn else { return Ok(self.services.own_organization()) };
        // Who comes meanwhile waits for the session and does not begin another.
        let mut last = self.organization.0.lock().await;
        match &*last {
            LastAttempt::Succeeded(session) => {
                if let Some(organization) = session.that_lasts(self.now()) {
                    return Ok(organization);
                }
            }
            LastAttempt::Failed(failure, at) if self.now() < *at + FAILURE_STANDS => return Err(failure.clone()),
            LastAttempt::Failed(..) | LastAttempt::None => {}
        }
        match self.services.organization_as(RoleSession { role_arn: arn, session_name }).await {
            Ok((organization, expires)) => {
                *last = LastAttempt::Succeeded(CachedSession { leads_to: Arc::clone(&organization), expires });
                Ok(organization)
            }
            Err(failure) => {
                *last = LastAttempt::Failed(failure.clone(), self.now());
                Err(failure)
            }
        }
    }
}
