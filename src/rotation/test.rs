//! testSecret: the pending key answers as that very user, several times in a row.
//!
//! IAM is eventually consistent: a new key works after seconds, here sooner than there. One success would only say
//! that one endpoint has heard of it.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tracing::{debug, info};

use super::Job;
use crate::aws::{CallerIdentity, Tries, until};
use crate::error::Error;
use crate::keys::UserArn;
use crate::redact;
use crate::value::{StoredKey, StoredValue};

/// Successes in a row that are taken for "works".
const SUCCESSES_IN_A_ROW: u32 = 3;
const WAIT_AFTER_SUCCESS: Duration = Duration::from_millis(500);
/// Waits after failures grow from the first to the second.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(8);
/// Kept back from the function's time to answer with an error that says what was tried.
const TIME_TO_ANSWER: TimeDelta = TimeDelta::seconds(3);
/// The pending version may not be readable yet just after it was registered.
const READS: Tries = Tries { count: 4, wait: Duration::from_secs(2) };

pub(super) async fn run(job: &Job<'_>) -> Result<(), Error> {
    let pending = pending_value(job).await?;
    if let StoredValue::Key(key) = &pending
        && job.is_announced()
    {
        return prove(job, key).await;
    }
    let current = job.current_value().await?;
    match pending {
        // Secrets Manager tests the configuration: there is no new key yet, but the way to one must be open. The same key
        // with another secret half is no copy, and has to show that it works.
        _ if current.as_ref() == Some(&pending) => way_is_open(job).await,
        StoredValue::Placeholder(_) => way_is_open(job).await,
        StoredValue::Key(key) => prove(job, &key).await,
        StoredValue::Foreign(_) => Err(job.not_written_by_us()),
    }
}

/// The key works, and is this user's.
async fn prove(job: &Job<'_>, key: &StoredKey) -> Result<(), Error> {
    Trial::new(job, key).run().await
}

async fn pending_value(job: &Job<'_>) -> Result<StoredValue, Error> {
    let value = until(job.aws, READS, || job.pending_value(), Option::is_some).await?;
    value.ok_or_else(|| job.no_pending_value())
}

/// The role can be assumed and the user exists. Makes and changes nothing.
async fn way_is_open(job: &Job<'_>) -> Result<(), Error> {
    let user = job.user();
    let found = job.iam().await?.find_user(&user.name).await?;
    found.map(|_| ()).ok_or_else(|| Error::UserGone(user.clone()))
}

/// The calls made with one key so far.
struct Trial<'a> {
    job: &'a Job<'a>,
    key: &'a StoredKey,
    attempts: u32,
    successes: u32,
    in_a_row: u32,
    last_failure: Option<String>,
    give_up: DateTime<Utc>,
}

impl<'a> Trial<'a> {
    fn new(job: &'a Job<'a>, key: &'a StoredKey) -> Self {
        let give_up = job.deadline - TIME_TO_ANSWER;
        Self { job, key, attempts: 0, successes: 0, in_a_row: 0, last_failure: None, give_up }
    }

    async fn run(mut self) -> Result<(), Error> {
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

    /// Makes one call; answers how long to wait before the next.
    async fn attempt(&mut self) -> Result<Duration, Error> {
        let id = &self.key.identity.id;
        self.attempts += 1;
        match self.ask().await {
            Ok(caller) => {
                self.check_identity(&caller)?;
                self.successes += 1;
                self.in_a_row += 1;
                Ok(WAIT_AFTER_SUCCESS)
            }
            Err(failure) => {
                debug!(key = %id, attempt = self.attempts, %failure, "the new access key does not work yet");
                self.in_a_row = 0;
                self.last_failure = Some(failure);
                Ok(backoff(self.attempts - self.successes))
            }
        }
    }

    /// One call, cut off when the time is up: an invocation that Lambda ends could not say what it tried.
    async fn ask(&self) -> Result<CallerIdentity, String> {
        let aws = self.job.aws;
        let left = (self.give_up - aws.now()).to_std().unwrap_or_default();
        tokio::select! {
            answer = aws.caller_identity(&self.key.identity.id, &self.key.secret) => answer.map_err(|failure| failure.to_string()),
            () = aws.sleep(left) => Err("no answer within the time left".to_owned()),
        }
    }

    fn check_identity(&self, caller: &CallerIdentity) -> Result<(), Error> {
        let user = self.job.user();
        // By account and name: a user's path can be changed between two steps.
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

    fn not_usable_yet(&self) -> Error {
        Error::KeyNotUsableYet {
            key: self.key.identity.id.clone(),
            user: self.job.user().clone(),
            wanted: SUCCESSES_IN_A_ROW,
            attempts: self.attempts,
            successes: self.successes,
            last: self.last_failure.clone().unwrap_or_else(|| "none".to_owned()),
        }
    }
}

/// Exponential, with jitter: half of the wait is fixed, the other half random, so that the functions of many users do
/// not call in step.
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
