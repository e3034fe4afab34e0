//! Small pieces of text for messages. Pure.

use chrono::{DateTime, Utc};

use super::addressed::AccountContact;
use super::unlinked::unlinked;

/// Returns text that people chose as one line of at most `longest` characters, without line breaks, control
/// characters, invisible characters and characters that turn the direction of reading.
///
/// An account's name goes into a subject. With a line break in the name, a person who names accounts could add headers
/// to the mail.
pub(super) fn one_line(text: &str, longest: usize) -> String {
    let visible = text.chars().map(|c| if c.is_control() || is_invisible(c) { ' ' } else { c }).collect::<String>();
    let words: Vec<&str> = visible.split_whitespace().collect();
    cut(&words.join(" "), longest)
}

/// Returns the text with at most `longest` characters. The last one is an ellipsis if the text is cut.
pub(super) fn cut(text: &str, longest: usize) -> String {
    if text.chars().count() <= longest {
        return text.to_owned();
    }
    let kept: String = text.chars().take(longest.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

/// Format characters: zero width, line and paragraph separators, direction marks, overrides and isolates.
/// <https://www.unicode.org/reports/tr36/#Bidirectional_Text_Spoofing>
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

/// `1 user`, `1,234 users`.
pub(super) fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", grouped(count))
}

/// `1,234`.
pub(super) fn grouped(count: usize) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Returns the date in UTC, such as `2026-11-22`.
pub(super) fn day(time: DateTime<Utc>) -> String {
    time.date_naive().to_string()
}

/// Returns the distance of a day from today: `in 7 days`, `today`, `3 days ago`. Days are calendar days in UTC.
pub(super) fn days_from(now: DateTime<Utc>, time: DateTime<Utc>) -> String {
    let days = days_left(now, time);
    let span = || counted(usize::try_from(days.unsigned_abs()).unwrap_or(usize::MAX), "day");
    match days {
        0 => "today".to_owned(),
        1.. => format!("in {}", span()),
        _ => format!("{} ago", span()),
    }
}

/// Returns the number of calendar days from `now` to `at`, in UTC. It is negative if `at` is past.
pub(super) fn days_left(now: DateTime<Utc>, at: DateTime<Utc>) -> i64 {
    (at.date_naive() - now.date_naive()).num_days()
}

/// Returns `prod (111122223333)`, or only the id of an account without a name.
pub(super) fn account_label(account: &AccountContact) -> String {
    match account_name(account) {
        name if name.is_empty() => account.id.to_string(),
        name => format!("{name} ({})", account.id),
    }
}

/// Returns an account's name for a message; empty if it has none, or only its id.
pub(super) fn account_name(account: &AccountContact) -> String {
    let name = one_line(&account.name, MAX_ACCOUNT_NAME_LENGTH);
    if name == account.id.as_str() { String::new() } else { unlinked(&name) }
}

/// The longest name of an account, in characters: a limit of AWS Organizations.
/// <https://docs.aws.amazon.com/organizations/latest/APIReference/API_Account.html>
const MAX_ACCOUNT_NAME_LENGTH: usize = 50;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::fixtures::{contact, time};

    #[test]
    fn text_that_people_chose_stays_on_one_line() {
        for (text, line) in [
            ("prod", "prod"),
            ("prod\r\nBcc: everybody@example.com", "prod Bcc: everybody@example.com"),
            ("a\u{0}b\u{7f}c\u{85}d", "a b c d"),
            ("pro\u{202e}dorp\u{2028}x", "pro dorp x"),
            ("  \t ", ""),
            ("123456789012", "123456789…"),
        ] {
            assert_eq!(one_line(text, if text.starts_with('1') { 10 } else { 60 }), line, "{text:?}");
        }
    }

    #[test]
    fn days_are_calendar_days_in_utc() {
        let now = time("2026-11-22T23:59:59Z");
        for (at, words) in [
            ("2026-11-22T00:00:00Z", "today"),
            ("2026-11-23T00:00:00Z", "in 1 day"),
            ("2026-11-29T12:00:00Z", "in 7 days"),
            ("2026-11-21T23:59:59Z", "1 day ago"),
            ("2022-11-22T00:00:00Z", "1,461 days ago"),
        ] {
            assert_eq!(days_from(now, time(at)), words, "{at}");
        }
    }

    #[test]
    fn numbers_are_grouped() {
        for (count, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(count), text);
        }
        assert_eq!([counted(1, "key"), counted(0, "key")], ["1 key", "0 keys"]);
    }

    #[test]
    fn an_account_without_a_name_is_shown_by_its_id() {
        assert_eq!(account_label(&contact("prod", None)), "prod (111122223333)");
        assert_eq!(account_label(&contact("", None)), "111122223333");
        assert_eq!(account_label(&contact("111122223333", None)), "111122223333");
    }
}
