//! testSecret: the pending key identifies itself as the user, several times in a row.
//!
//! IAM is eventually consistent: a new key works after some seconds, at some endpoints sooner than at others. One
//! success proves only that one endpoint knows the key. The last success therefore comes when the key is 30 s old.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tracing::{debug, info};

use super::{Job, current};
use crate::aws::{CURRENT, CallFailure, CallerIdentity, FailureKind, is_kms_refusal};
use crate::error::Error;
use crate::keys::{UserArn, home_region};
use crate::redact;
use crate::value::{StoredKey, StoredValue};

/// Successful calls in a row that prove the key.
const SUCCESSES_IN_A_ROW: u32 = 3;
/// The pause between two successful calls.
const WAIT_AFTER_SUCCESS: Duration = Duration::from_millis(500);
/// The age of the key at its last successful call, so that it works everywhere when it becomes current. AWS documents
/// no bound; 10 to 15 s are reported.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_general.html#troubleshoot_general_eventual-consistency>
const PROVEN_AT_AGE: TimeDelta = TimeDelta::seconds(30);
/// Limits the wait for that age, even if our clock is behind IAM's.
const LONGEST_WAIT_FOR_AGE: Duration = Duration::from_secs(30);
/// Limits a call to STS of the home Region. A function in a VPC without a way to that Region gets no answer.
const HOME_ANSWERS_WITHIN: Duration = Duration::from_secs(5);
/// After this many calls without an answer, the home Region is not asked any more.
const MOST_SILENT_HOME_CALLS: u32 = 2;
/// The longest pause after the first failure. It doubles with every failure up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// Limits the pause after a failure, so that a key that begins to work is noticed within seconds.
const LONGEST_WAIT: Duration = Duration::from_secs(8);
/// Time reserved before Lambda ends the invocation, so that the step can return an error that says what was tried.
const TIME_FOR_THE_ERROR: TimeDelta = TimeDelta::seconds(3);

/// Proves the pending key or, where there is none, that a rotation could begin.
pub(super) async fn run(job: &Job<'_>) -> Result<(), Error> {
    let pending = match job.put_value().await {
        Ok(pending) => pending,
        // RotateImmediately=false copies the current value, even if nobody can decrypt it, or if there is none.
        Err(Error::Aws(failure)) if is_kms_refusal(&failure) && !job.is_announced() => {
            return check_reachable(job).await;
        }
        Err(Error::NoPendingValue { .. }) if !job.is_announced() && job.description.version_at(CURRENT).is_none() => {
            return check_reachable(job).await;
        }
        Err(error) => return Err(error),
    };
    if let StoredValue::Key(key) = &pending
        && job.is_announced()
    {
        return prove(job, key).await;
    }
    let current = current::read(job).await?;
    match pending {
        // RotateImmediately=false tests the configuration on a copy of the current value: there is no new key, but the
        // role and the user must be reachable. The same key with another secret half is no copy and must be proved.
        _ if current.is(&pending) => check_reachable(job).await,
        StoredValue::Placeholder(_) => check_reachable(job).await,
        StoredValue::Key(key) => prove(job, &key).await,
        StoredValue::Foreign(_) => Err(job.not_written_by_us()),
    }
}

/// Fails unless the key works and belongs to the user. finishSecret calls it too, right before the key becomes current.
pub(super) async fn prove(job: &Job<'_>, key: &StoredKey) -> Result<(), Error> {
    Trial::new(job, key).run().await
}

/// Fails unless the role can be assumed and the user exists. Changes nothing.
async fn check_reachable(job: &Job<'_>) -> Result<(), Error> {
    let user = job.user();
    let found = job.iam().await?.find_user(&user.name).await?;
    found.map(|_| ()).ok_or_else(|| Error::UserGone(user.clone()))
}

/// The calls made with one key so far, all of GetCallerIdentity.
struct Trial<'a> {
    job: &'a Job<'a>,
    key: &'a StoredKey,
    attempts: u32,
    successes: u32,
    in_a_row: u32,
    last_failure: Option<String>,
    give_up: DateTime<Utc>,
    /// The partition's home Region, unless the stack is in it.
    home: Option<&'static str>,
    asked_home: bool,
    silent_home_calls: u32,
}

impl<'a> Trial<'a> {
    fn new(job: &'a Job<'a>, key: &'a StoredKey) -> Self {
        let (secret, give_up) = (&job.event.secret, job.deadline - TIME_FOR_THE_ERROR);
        let home = home_region(secret.partition()).filter(|home| *home != secret.region());
        Self {
            job,
            key,
            attempts: 0,
            successes: 0,
            in_a_row: 0,
            last_failure: None,
            give_up,
            home,
            asked_home: false,
            silent_home_calls: 0,
        }
    }

    async fn run(mut self) -> Result<(), Error> {
        // `until` does not fit: the pauses grow with the failures, and successes in a row are counted.
        while self.in_a_row < SUCCESSES_IN_A_ROW {
            let wait = self.attempt().await?;
            if self.in_a_row == SUCCESSES_IN_A_ROW {
                break;
            }
            if self.job.aws.now() + wait >= self.give_up {
                return Err(self.not_usable_yet());
            }
            self.job.aws.sleep(wait).await;
        }
        info!(key = %self.key.identity.id, attempts = self.attempts, "the new access key works");
        Ok(())
    }

    /// Makes one call and returns the pause before the next one.
    async fn attempt(&mut self) -> Result<Duration, Error> {
        let id = &self.key.identity.id;
        self.attempts += 1;
        match self.ask().await {
            Ok(caller) => {
                self.check_identity(&caller)?;
                self.successes += 1;
                self.in_a_row += 1;
                Ok(self.wait_after_success())
            }
            Err(failure) => {
                debug!(key = %id, attempt = self.attempts, %failure, "the new access key does not work yet");
                self.in_a_row = 0;
                self.last_failure = Some(failure);
                Ok(backoff(self.attempts - self.successes))
            }
        }
    }

    /// The last success waits until the key is old enough.
    fn wait_after_success(&self) -> Duration {
        if self.in_a_row + 1 < SUCCESSES_IN_A_ROW {
            return WAIT_AFTER_SUCCESS;
        }
        let until_old = (self.key.identity.created + PROVEN_AT_AGE - self.job.aws.now()).to_std().unwrap_or_default();
        until_old.clamp(WAIT_AFTER_SUCCESS, LONGEST_WAIT_FOR_AGE)
    }

    /// Asks STS of the stack's Region and, if that does not know the key, of the partition's home Region. Returns the
    /// owner of the key, or the failures of both.
    ///
    /// A Region that the user's account has not enabled never knows its keys. It answers like a Region that does not
    /// know them yet. The home Region is always enabled.
    /// <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_temp_enable-regions.html>
    async fn ask(&mut self) -> Result<CallerIdentity, String> {
        let failure = match self.ask_within(Duration::MAX, None).await {
            Ok(caller) => return Ok(caller),
            Err(failure) => failure,
        };
        let is_unknown_there = failure.code() == "InvalidClientTokenId";
        let is_worth_it = is_unknown_there && self.silent_home_calls < MOST_SILENT_HOME_CALLS;
        let Some(home) = self.home.filter(|_| is_worth_it) else { return Err(failure.to_string()) };
        self.asked_home = true;
        match self.ask_within(HOME_ANSWERS_WITHIN, Some(home)).await {
            Ok(caller) => Ok(caller),
            Err(at_home) => {
                self.silent_home_calls += u32::from(at_home.kind() == FailureKind::NoAnswer);
                Err(format!("{failure}; by {home}: {at_home}"))
            }
        }
    }

    /// Makes one call, and ends it when the time is up: an invocation that Lambda ends cannot report what it tried.
    async fn ask_within(&self, limit: Duration, region: Option<&str>) -> Result<CallerIdentity, CallFailure> {
        let (aws, id) = (self.job.aws, &self.key.identity.id);
        let left = (self.give_up - aws.now()).to_std().unwrap_or_default().min(limit);
        tokio::select! {
            answer = aws.caller_identity(id, &self.key.secret, region) => answer,
            () = aws.sleep(left) => {
                let error = ("Timeout".to_owned(), "no answer within the time left".to_owned());
                let about = format_args!("access key {id}").to_string();
                Err(CallFailure::new("sts:GetCallerIdentity", about, FailureKind::NoAnswer, error, None))
            }
        }
    }

    fn check_identity(&self, caller: &CallerIdentity) -> Result<(), Error> {
        let user = self.job.user();
        // Compared by account and name, because a user's path can be changed between two steps.
        let is_user = caller
            .arn
            .parse::<UserArn>()
            .is_ok_and(|arn| arn.user() == user && arn.partition() == self.job.event.secret.partition());
        if is_user && caller.account == user.account.as_str() {
            return Ok(());
        }
        Err(Error::WrongIdentity {
            key: self.key.identity.id.clone(),
            user: user.clone(),
            got: redact::secret_like(&caller.arn),
            account: redact::secret_like(&caller.account),
        })
    }

    /// Returns the endpoints that were asked, for the error.
    fn endpoints(&self) -> String {
        let own = format!("STS of {}", self.job.event.secret.region());
        match self.home.filter(|_| self.asked_home) {
            Some(home) => format!("{own} and of {home}"),
            None => own,
        }
    }

    fn not_usable_yet(&self) -> Error {
        Error::KeyNotUsableYet {
            key: self.key.identity.id.clone(),
            user: self.job.user().clone(),
            wanted: SUCCESSES_IN_A_ROW,
            attempts: self.attempts,
            successes: self.successes,
            last: self.last_failure.clone().unwrap_or_else(|| "none".to_owned()),
            asked: self.endpoints(),
        }
    }
}

/// Returns an exponential pause with jitter: one half is fixed and the other half is random, so that the functions of
/// many users do not call at the same time.
fn backoff(failures: u32) -> Duration {
    let doubled = FIRST_WAIT.saturating_mul(1 << failures.saturating_sub(1).min(10));
    let half = doubled.min(LONGEST_WAIT) / 2;
    half + half.mul_f64(fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_stay_within_bounds() {
        for (failures, longest) in [(1, 1), (2, 2), (3, 4), (4, 8), (5, 8), (60, 8)] {
            let longest = Duration::from_secs(longest);
            for _ in 0..50 {
                let wait = backoff(failures);
                assert!(wait >= longest / 2 && wait <= longest, "{failures}: {wait:?}");
            }
        }
    }
}
