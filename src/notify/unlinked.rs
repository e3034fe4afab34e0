//! Names that somebody chose, as text of which no mail program makes a link. Pure.
//!
//! Mail programs make links of host names and addresses, also of bare ones and in HTML without `<a>`. A user named
//! `pay.example.com` would be a link in a mail that keywheel signs. Commands hold names as they are.

use crate::keys::UserName;

/// An invisible character that no host name, scheme or address can have. It parts what belongs together in a link, and
/// no line breaks at it. Senders found that it works in Gmail, Outlook and Apple Mail, where HTML tags do not.
/// <https://blog.teknkl.com/stop-email-client-hyperlinking-text-without-consent/>
pub(super) const WORD_JOINER: char = '\u{2060}';

/// Returns the text with a [`WORD_JOINER`] before each dot inside a word, and after each `:`, `@` and `\`. These stand
/// in host names, schemes, mail addresses and shares.
pub(super) fn unlinked(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut is_in_word = false;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let goes_on = rest.peek().is_some_and(|next| !next.is_whitespace());
        if is_dot(c) && is_in_word && goes_on {
            shown.push(WORD_JOINER);
        }
        shown.push(c);
        if matches!(c, ':' | '@' | '\\') && goes_on {
            shown.push(WORD_JOINER);
        }
        is_in_word = !c.is_whitespace();
    }
    shown
}

/// Returns a user's name for a message.
pub(super) fn shown_user(name: &UserName) -> String {
    unlinked(name.as_str())
}

/// Returns the number of characters that a reader sees.
pub(super) fn seen(text: &str) -> usize {
    text.chars().filter(|c| *c != WORD_JOINER).count()
}

/// The dots that browsers take for the dot of a host name.
/// <https://www.unicode.org/reports/tr46/#Notation>
fn is_dot(c: char) -> bool {
    matches!(c, '.' | '\u{3002}' | '\u{ff0e}' | '\u{ff61}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_gains_3_parts_of_links_are_kept_apart() {
        for (text, shown) in [
            ("evil.example.com", "evil|.example|.com"),
            ("https://pay.example.com/now", "https:|//pay|.example|.com/now"),
            ("jo@example.com", "jo@|example|.com"),
            ("mailto:jo", "mailto:|jo"),
            ("\\\\files\\x", "\\|\\|files\\|x"),
            ("pay\u{3002}example", "pay|\u{3002}example"),
            ("prod (Europe). Old: two", "prod (Europe). Old: two"),
            ("ci-bot", "ci-bot"),
            ("", ""),
        ] {
            assert_eq!(unlinked(text).replace(WORD_JOINER, "|"), shown, "{text}");
            assert_eq!(seen(&unlinked(text)), text.chars().count(), "{text}");
        }
    }
}
