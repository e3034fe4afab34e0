//! The sessions of assumed roles, cached until shortly before they end.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::Mutex;

use super::failure::CallFailure;
use super::iam::Iam;
use super::organizations::Organizations;
use crate::keys::AccountId;

/// How long before its end a session is renewed. An invocation takes 15 minutes at most, so no session ends during one.
/// <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>
const RENEW_BEFORE_EXPIRY: TimeDelta = TimeDelta::minutes(16);

/// How long a failed attempt is returned to further callers. Callers that queued behind it would otherwise repeat the
/// attempt one after another, and each would wait as long as the first.
const FAILURE_IS_REUSED_FOR: TimeDelta = TimeDelta::seconds(10);

/// A client that acts in a session, and the end of the session.
struct CachedSession<T: ?Sized> {
    client: Arc<T>,
    expires: DateTime<Utc>,
}

impl<T: ?Sized> CachedSession<T> {
    /// Returns the client, unless the session would end during an invocation that begins now.
    fn usable_client(&self, now: DateTime<Utc>) -> Option<Arc<T>> {
        (self.expires - RENEW_BEFORE_EXPIRY > now).then(|| Arc::clone(&self.client))
    }
}

/// The sessions of the member role, one per account.
#[derive(Default)]
pub(super) struct Sessions(Mutex<HashMap<AccountId, CachedSession<dyn Iam>>>);

impl Sessions {
    /// Returns IAM in a cached session; `None` if the account has no session that lasts for an invocation.
    pub(super) async fn get(&self, account: &AccountId, now: DateTime<Utc>) -> Option<Arc<dyn Iam>> {
        self.0.lock().await.get(account).and_then(|session| session.usable_client(now))
    }

    /// Caches a session and drops those that have ended.
    pub(super) async fn insert(
        &self,
        account: AccountId,
        client: Arc<dyn Iam>,
        expires: DateTime<Utc>,
        now: DateTime<Utc>,
    ) {
        let mut sessions = self.0.lock().await;
        sessions.retain(|_, session| session.expires > now);
        sessions.insert(account, CachedSession { client, expires });
    }
}

/// The session of the role that may call Organizations.
#[derive(Default)]
pub(super) struct OrganizationSession(Mutex<LastAttempt>);

/// The result of the last attempt to open the session.
#[derive(Default)]
enum LastAttempt {
    #[default]
    None,
    Succeeded(CachedSession<dyn Organizations>),
    Failed(CallFailure, DateTime<Utc>),
}

impl OrganizationSession {
    /// Returns Organizations in the cached session, or in the one that `open` opens.
    ///
    /// # Errors
    /// The failure of `open`, or that of an attempt less than [`FAILURE_IS_REUSED_FOR`] ago.
    pub(super) async fn get_or_open(
        &self,
        now: impl Fn() -> DateTime<Utc>,
        open: impl Future<Output = Result<(Arc<dyn Organizations>, DateTime<Utc>), CallFailure>>,
    ) -> Result<Arc<dyn Organizations>, CallFailure> {
        // The lock is held during the attempt: callers that arrive meanwhile wait for its result.
        let mut last = self.0.lock().await;
        match &*last {
            LastAttempt::Succeeded(session) => {
                if let Some(organization) = session.usable_client(now()) {
                    return Ok(organization);
                }
            }
            LastAttempt::Failed(failure, at) if now() < *at + FAILURE_IS_REUSED_FOR => return Err(failure.clone()),
            LastAttempt::Failed(..) | LastAttempt::None => {}
        }
        match open.await {
            Ok((organization, expires)) => {
                *last = LastAttempt::Succeeded(CachedSession { client: Arc::clone(&organization), expires });
                Ok(organization)
            }
            Err(failure) => {
                *last = LastAttempt::Failed(failure.clone(), now());
                Err(failure)
            }
        }
    }
}

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
