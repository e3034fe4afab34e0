//! Text from outside → text without anything that looks like a secret. Pure.
//!
//! An error of AWS may repeat the request with its headers. An event, a setting or a value may hold a secret that
//! somebody put in the wrong place. keywheel's own texts hold no secret and are not redacted.

/// The text that replaces a withheld word.
pub(crate) const WITHHELD: &str = "(withheld)";

/// The shortest word that is withheld: secret access keys have 40 characters, tokens have more.
const SHORTEST: usize = 40;
/// A match of this many characters with a secret is not a coincidence.
const PIECE: usize = 8;

/// Returns the text without words that look random enough to be secret access keys or tokens.
///
/// Such a word has 40 or more letters, digits, `+`, `/` and `=`, and changes between capitals, small letters and digits
/// at every third character or more often. Names, ARNs and ids stay.
pub(crate) fn secret_like(text: &str) -> String {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "+/=".contains(c);
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let (word, after) = rest.split_at(rest.find(|c| !is_part(c)).unwrap_or(rest.len()));
        shown.push_str(if looks_random(word) { WITHHELD } else { word });
        let (between, after) = after.split_at(after.find(is_part).unwrap_or(after.len()));
        shown.push_str(between);
        rest = after;
    }
    shown
}

fn looks_random(word: &str) -> bool {
    let kind = |byte: u8| (byte.is_ascii_uppercase(), byte.is_ascii_lowercase());
    let kinds: Vec<_> = word.bytes().filter(u8::is_ascii_alphanumeric).map(kind).collect();
    let changes = kinds.windows(2).filter(|pair| pair[0] != pair[1]).count();
    let has_both_cases = kinds.contains(&(true, false)) && kinds.contains(&(false, true));
    word.len() >= SHORTEST && has_both_cases && changes * 3 >= kinds.len()
}

/// Whether a text repeats a secret or a piece of it, even if the text is escaped.
pub(crate) fn repeats(text: &str, secret: &str) -> bool {
    let characters: Vec<char> = secret.chars().collect();
    let piece = PIECE.min(characters.len()).max(1);
    characters.windows(piece).any(|piece| text.contains(&piece.iter().collect::<String>()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_arns_and_ids_stay() {
        for text in [
            "User: arn:aws:sts::999988887777:assumed-role/aws-iam-access-key-auto-rotation-lambda-execution-role/keywheel is not authorized",
            "arn:aws:iam::111122223333:user/Division/Platform/Engineering/ContinuousIntegration/DeploymentBot",
            "arn:aws:secretsmanager:us-east-1:999988887777:secret:Account_111122223333_User_ci-bot_AccessKey-a1B2c3",
            "request 7c3e1a52-0c1d-4e0f-9a57-1c2f3d4e5f60, key AKIAIOSFODNN7EXAMPLE, key 0a1b2c3d-0000-4000-8000-000000000000",
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "",
        ] {
            assert_eq!(secret_like(text), text);
        }
    }

    #[test]
    fn a_refused_signature_is_shown_without_its_token() {
        let token = "IQoJb3JpZ2luX2VjEJr9wEaCXVzLWVhc3QtMSJHMEUCIQDx3bK1v8q0Zr7hP2mYw6Tn5cG9sLd4fXeJkAoBiVxNtQ==";
        let text = format!("'POST\n/\n\nhost:iam.amazonaws.com\nx-amz-security-token:{token}\n\nhost;x-amz-date'");
        let shown = secret_like(&text);
        assert_eq!(shown, text.replace(token, WITHHELD));
    }

    proptest! {
        #[test]
        fn a_random_secret_is_withheld_at_any_place(
            before in "[ -~é]{0,20}[ :'\"\\n`]",
            secret in "[A-Z][a-z][0-9][A-Za-z0-9/+]{37}",
            after in "[ :'\"\\n`][ -~é]{0,20}",
        ) {
            let alphanumeric = secret.bytes().filter(u8::is_ascii_alphanumeric).collect::<Vec<_>>();
            let kind = |byte: &u8| (byte.is_ascii_uppercase(), byte.is_ascii_lowercase());
            // One random secret in ten thousand looks like words.
            prop_assume!(alphanumeric.windows(2).filter(|pair| kind(&pair[0]) != kind(&pair[1])).count() * 3 >= 40);
            let text = format!("{before}{secret}{after}");
            prop_assert_eq!(secret_like(&text), format!("{before}{WITHHELD}{after}"));
        }

        #[test]
        fn nothing_else_is_lost(text in "[ -~éß\\n]{0,39}") {
            prop_assert_eq!(secret_like(&text), text);
        }

        #[test]
        fn a_piece_of_a_secret_is_recognised_and_words_are_not(
            secret in "[A-Za-z0-9/+]{40}", start in 0usize..32, message in "[a-z .:]{0,60}",
        ) {
            let escaped = secret.replace('/', "%2F").replace('+', "%2B");
            prop_assert!(repeats(&escaped, &secret) || secret.matches(['/', '+']).count() > 3);
            let piece = format!("{message}{}{message}", &secret[start..start + 8]);
            prop_assert!(repeats(&piece, &secret));
            let other = secret.to_uppercase();
            prop_assert!(!repeats(&message, &other));
        }
    }
}
