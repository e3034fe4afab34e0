//! The tokens of a list's pages: no list is read for ever.

use std::collections::HashSet;
use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::failure::CallFailure;

/// The most pages of one list. The longest list has the 500,000 secrets that AWS allows in a Region: 5,000 full pages.
/// <https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html>
const MOST_PAGES: usize = 10_000;

/// The tokens of one list so far, as hashes: some are kilobytes long.
#[derive(Debug, Default)]
pub(crate) struct PageTokens(HashSet<u64>);

impl PageTokens {
    /// Returns the token of the next page; `None` after the last page. An empty token counts as none.
    ///
    /// # Errors
    /// A token that this list has had before, or more pages than any list has. The list would never end.
    pub(crate) fn next(
        &mut self,
        operation: &'static str,
        about: impl fmt::Display,
        token: Option<String>,
    ) -> Result<Option<String>, CallFailure> {
        let Some(token) = token.filter(|token| !token.is_empty()) else { return Ok(None) };
        let mut hasher = DefaultHasher::new();
        token.hash(&mut hasher);
        let is_new = self.0.insert(hasher.finish());
        if is_new && self.0.len() < MOST_PAGES {
            return Ok(Some(token));
        }
        let missing =
            if is_new { "end of the list: it has too many pages" } else { "next page: its token came before" };
        Err(CallFailure::incomplete(operation, about, missing))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(tokens: impl IntoIterator<Item = String>) -> Result<usize, String> {
        let mut pages = PageTokens::default();
        let mut count = 0;
        for token in tokens {
            pages
                .next("iam:ListAccessKeys", "somebody", Some(token))
                .map_err(|failure| failure.message().to_owned())?;
            count += 1;
        }
        Ok(count)
    }

    #[test]
    fn reported_c7_a_list_that_never_ends_is_an_error() {
        let endless = |length: usize| (0..).map(move |n| format!("token-{}", n % length));
        for length in [1, 2, 3, MOST_PAGES - 2] {
            let failure = read(endless(length)).expect_err("it repeats itself");
            assert_eq!(failure, "the response has no usable next page: its token came before", "{length}");
        }
        let failure = read(endless(usize::MAX)).expect_err("new tokens for ever");
        assert_eq!(failure, "the response has no usable end of the list: it has too many pages");
        assert_eq!(read(endless(usize::MAX).take(MOST_PAGES - 1)), Ok(MOST_PAGES - 1), "a long list");
    }

    #[test]
    fn a_list_ends_without_a_token() {
        let mut pages = PageTokens::default();
        assert_eq!(pages.next("iam:ListAccessKeys", "somebody", None), Ok(None));
        assert_eq!(pages.next("iam:ListAccessKeys", "somebody", Some(String::new())), Ok(None));
    }
}
