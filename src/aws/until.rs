//! Repeats a read until it shows what was just written.
//!
//! IAM and Secrets Manager are eventually consistent: a key, a version or a label may be missing from the first answers
//! after it was written.

use std::time::Duration;

use super::client::Aws;
use super::failure::CallFailure;

/// How often a read is made at most, and the pause between two reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tries {
    /// The most reads, the first included.
    pub(crate) count: u32,
    /// The pause after each read but the last.
    pub(crate) wait: Duration,
}

/// A single call.
pub(crate) const ONCE: Tries = Tries { count: 1, wait: Duration::ZERO };

/// Repeats `ask` until `is_settled` accepts its answer, and returns that answer.
///
/// The last answer is returned even if `is_settled` rejects it: the caller decides what that means. Pauses are on the
/// clock of `aws`.
///
/// # Errors
/// The first failure of `ask`, at once. The clients have repeated the call before they report it.
pub(crate) async fn until<T, E, F>(
    aws: &Aws,
    tries: Tries,
    ask: impl Fn() -> F,
    is_settled: impl Fn(&T) -> bool,
) -> Result<T, E>
where
    F: Future<Output = Result<T, E>>,
{
    for _ in 1..tries.count {
        let answer = ask().await?;
        if is_settled(&answer) {
            return Ok(answer);
        }
        aws.sleep(tries.wait).await;
    }
    ask().await
}

/// Repeats a call on a resource that was just made, while the service answers that it does not exist, and returns the
/// last answer. On an older resource that answer is final, and must not be waited out.
///
/// # Errors
/// The failure of the last call; any other failure at once.
pub(crate) async fn once_found<T, F>(aws: &Aws, tries: Tries, call: impl Fn() -> F) -> Result<T, CallFailure>
where
    F: Future<Output = Result<T, CallFailure>>,
{
    let is_found = |answer: &Result<T, CallFailure>| !matches!(answer, Err(failure) if failure.is_not_found());
    until(aws, tries, || async { Ok::<_, CallFailure>(call().await) }, is_found).await?
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::aws::Access;

    /// No call is made, so the SDK needs neither credentials nor a Region.
    fn aws() -> Aws {
        let access = Access {
            primary_account: "999988887777".parse().unwrap(),
            member_role: "member".to_owned(),
            session_name: "test".to_owned(),
            org_list_role_arn: None,
            mail_region: None,
        };
        Aws::new(aws_config::SdkConfig::builder().build(), access)
    }

    #[tokio::test(start_paused = true)]
    async fn reads_stop_at_the_first_settled_answer_or_at_the_limit() {
        let aws = aws();
        for (settled_at, count, reads) in [(1, 4, 1), (2, 4, 2), (4, 4, 4), (9, 4, 4), (9, 1, 1)] {
            let (asked, began) = (Cell::new(0), tokio::time::Instant::now());
            let ask = || async {
                asked.set(asked.get() + 1);
                Ok::<u32, ()>(asked.get())
            };
            let tries = Tries { count, wait: Duration::from_secs(3) };
            let answer = until(&aws, tries, ask, |answer| *answer >= settled_at).await;
            assert_eq!((answer, asked.get()), (Ok(reads), reads), "settled at {settled_at} of {count}");
            assert_eq!(began.elapsed(), tries.wait * (reads - 1), "settled at {settled_at} of {count}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_read_is_not_repeated() {
        let asked = Cell::new(0);
        let ask = || async {
            asked.set(asked.get() + 1);
            Err::<u32, &str>("denied")
        };
        let tries = Tries { count: 4, wait: Duration::from_secs(3) };
        assert_eq!(until(&aws(), tries, ask, |_| false).await, Err("denied"));
        assert_eq!(asked.get(), 1);
    }
}
