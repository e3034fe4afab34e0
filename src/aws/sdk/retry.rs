//! Retries: how long the SDK waits out throttling.
//!
//! AWS throttles each account and service separately, but the SDK gives all clients of a service one retry quota. One
//! account throttled for long would use up that quota, and calls in other accounts would fail although one more attempt
//! would have succeeded. Therefore IAM of each account, Secrets Manager, Organizations and STS each have a retry quota
//! of their own. Retries after throttling cost little of it: the number of attempts and the time limit them instead.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_sdk_iam::config::retry::{RetryPartition, TokenBucket};

/// Maximum number of attempts of one call. If three in ten calls are throttled, one call in two million fails.
pub const ATTEMPTS: u32 = 12;

/// Longest wait before the second attempt. Each wait is a random part of a maximum, which doubles with each attempt up
/// to [`MAX_BACKOFF`].
const INITIAL_BACKOFF: Duration = Duration::from_millis(500);
/// Longest wait before any attempt. With it the last attempt starts within the time limit of one call.
const MAX_BACKOFF: Duration = Duration::from_millis(2_500);

/// Returns the retry configuration of all clients.
pub(super) fn retries() -> RetryConfig {
    RetryConfig::standard()
        .with_max_attempts(ATTEMPTS)
        .with_initial_backoff(INITIAL_BACKOFF)
        .with_max_backoff(MAX_BACKOFF)
}

/// Tokens in a full retry quota; every retry takes some. A service that does not answer at all soon gets no more
/// retries.
const QUOTA: usize = 500;
/// Tokens that a retry after throttling takes: few, because waiting helps against throttling.
const THROTTLING_COST: u32 = 1;
/// Tokens that a successful call returns.
const SUCCESS_REWARD: f32 = 1.0;

/// Returns a retry quota for the clients that name this partition, and no others.
pub(super) fn own_quota(name: String) -> RetryPartition {
    let bucket = TokenBucket::builder()
        .capacity(QUOTA)
        .throttling_retry_cost(THROTTLING_COST)
        .success_reward(SUCCESS_REWARD)
        .build();
    RetryPartition::custom(name).token_bucket(bucket).build()
}
