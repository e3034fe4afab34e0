//! How long throttling is sat out.
//!
//! AWS throttles by account and service. The SDK lets all clients of a service draw on one allowance for retries, whatever
//! account they call: one account that is throttled for long would use it up for all others, and calls would fail that
//! one more attempt would have carried through. So every account's IAM, the store of secrets, Organizations and STS each
//! have an allowance of their own, in which an attempt after throttling costs little: what limits it are the number of
//! attempts and the time.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_sdk_iam::config::retry::{RetryPartition, TokenBucket};

/// Attempts of one call. Of calls that are throttled three times in ten, one in two million fails.
pub const ATTEMPTS: u32 = 12;

/// A wait is a random part of this, which doubles with each further attempt up to the second.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_millis(2_500);

/// With these waits the last attempt begins within the time that one call has.
pub(super) fn retries() -> RetryConfig {
    RetryConfig::standard().with_max_attempts(ATTEMPTS).with_initial_backoff(FIRST_WAIT).with_max_backoff(LONGEST_WAIT)
}

/// What an attempt costs of the allowance, which calls that succeed give back: an AWS that does not answer at all is not
/// asked over and over, one that throttles is.
const ALLOWANCE: usize = 500;
const COST_AFTER_THROTTLING: u32 = 1;
const GIVEN_BACK: f32 = 1.0;

/// An allowance for retries of its own.
pub(super) fn own_allowance(name: String) -> RetryPartition {
    let bucket = TokenBucket::builder()
        .capacity(ALLOWANCE)
        .throttling_retry_cost(COST_AFTER_THROTTLING)
        .success_reward(GIVEN_BACK)
        .build();
    RetryPartition::custom(name).token_bucket(bucket).build()
}
