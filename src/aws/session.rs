//! Sessions in other accounts, kept as long as they last.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::Mutex;

use super::{Access, Aws, Failure, Iam, Organizations, Role, SweeperAws};
use crate::keys::AccountId;

/// A session is renewed while this much of it is left, so that none expires during an invocation, which takes 15 minutes
/// at most. <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>
const RENEW_BEFORE_EXPIRY: TimeDelta = TimeDelta::minutes(16);

/// IAM of the accounts that a role was assumed in, by account.
#[derive(Default)]
pub(super) struct Sessions(Mutex<HashMap<AccountId, Session>>);

struct Session {
    iam: Arc<dyn Iam>,
    expires: DateTime<Utc>,
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sessions")
    }
}

impl Aws {
    /// IAM of that account: as the function itself in its own account, through the member role elsewhere.
    ///
    /// # Errors
    /// The failure of `sts:AssumeRole`, which names the role.
    pub async fn iam(&self, account: &AccountId, partition: &str) -> Result<Arc<dyn Iam>, Failure> {
        if account == self.primary_account() {
            return Ok(self.services.own_iam(account));
        }
        if let Some(session) = self.sessions.0.lock().await.get(account)
            && session.expires - RENEW_BEFORE_EXPIRY > self.now()
        {
            return Ok(Arc::clone(&session.iam));
        }
        let role = format!("arn:{partition}:iam::{account}:role/{}", self.access.member_role);
        let role = Role { arn: &role, session_name: &self.access.session_name };
        let (iam, expires) = self.services.iam_as(role, account).await?;
        let mut sessions = self.sessions.0.lock().await;
        let now = self.now();
        sessions.retain(|_, session| session.expires > now);
        sessions.insert(account.clone(), Session { iam: Arc::clone(&iam), expires });
        Ok(iam)
    }
}

impl SweeperAws {
    /// Organizations: directly, or as the role that the settings name.
    ///
    /// # Errors
    /// The failure of `sts:AssumeRole`.
    pub async fn organizations(&self) -> Result<Box<dyn Organizations>, Failure> {
        let Access { org_list_role_arn, session_name, .. } = &*self.aws.access;
        match org_list_role_arn {
            None => Ok(self.services.own_organization()),
            Some(arn) => self.services.organization_as(Role { arn, session_name }).await,
        }
    }
}
