//! Small pieces of text that messages are made of. Pure.

use chrono::{DateTime, Utc};

use super::{AccountContact, Mode};

/// Makes text that people chose fit for one line: no line break, no control character, nothing that is invisible or
/// turns the direction of reading, at most `longest` characters.
///
/// An account's name goes into a subject. Were a line break to stay in it, whoever names accounts could add headers
/// to the mail.
pub(super) fn one_line(text: &str, longest: usize) -> String {
    let visible = text.chars().map(|c| if c.is_control() || is_invisible(c) { ' ' } else { c }).collect::<String>();
    let words: Vec<&str> = visible.split_whitespace().collect();
    cut(&words.join(" "), longest)
}

/// The text with at most `longest` characters, the last of them an ellipsis if some are missing.
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

/// The day, in UTC.
pub(super) fn day(time: DateTime<Utc>) -> String {
    time.date_naive().to_string()
}

/// How far a day is from today: `in 7 days`, `today`, `3 days ago`. Days of the calendar, in UTC.
pub(super) fn days_from(now: DateTime<Utc>, time: DateTime<Utc>) -> String {
    let days = (time.date_naive() - now.date_naive()).num_days();
    let span = || counted(usize::try_from(days.unsigned_abs()).unwrap_or(usize::MAX), "day");
    match days {
        0 => "today".to_owned(),
        1.. => format!("in {}", span()),
        _ => format!("{} ago", span()),
    }
}

/// `prod (111122223333)`, or the id alone for an account without a name.
pub(super) fn account_label(account: &AccountContact) -> String {
    match one_line(&account.name, MAX_ACCOUNT_NAME_LENGTH) {
        name if name.is_empty() || name == account.id.as_str() => account.id.to_string(),
        name => format!("{name} ({})", account.id),
    }
}

/// <https://docs.aws.amazon.com/organizations/latest/APIReference/API_Account.html>
const MAX_ACCOUNT_NAME_LENGTH: usize = 50;

impl Mode {
    /// The verb of what is still to come.
    pub(super) fn will(self) -> &'static str {
        match self {
            Self::Enforced => "will",
            Self::DryRun => "would",
        }
    }
}

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
    fn days_are_those_of_the_calendar_in_utc() {
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
    fn an_account_without_a_name_goes_by_its_id() {
        assert_eq!(account_label(&contact("prod", None)), "prod (111122223333)");
        assert_eq!(account_label(&contact("", None)), "111122223333");
        assert_eq!(account_label(&contact("111122223333", None)), "111122223333");
    }
}
