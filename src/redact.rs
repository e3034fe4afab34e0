//! Text from outside → text without anything that looks like a secret. Pure.
//!
//! An error of AWS may repeat the request with its headers. An event, a setting or a value may hold a secret that
//! somebody put in the wrong place. keywheel's own texts hold no secret and are not redacted.
//!
//! A long word is shown in two cases: its letters read like words, or keywheel itself named it in the call. Everything
//! else of that length is withheld, also inside a path or an ARN, because a secret access key may contain slashes.

/// The text that replaces a withheld word.
pub(crate) const WITHHELD: &str = "(withheld)";

/// The shortest word that is withheld: secret access keys have 40 characters, tokens have more.
const SHORTEST: usize = 40;
/// A match of this many characters with a secret is not a coincidence.
const PIECE: usize = 8;
/// The most breaks in [`SHORTEST`] characters of a readable name. A break is a change between capitals, small letters
/// and digits. The change from a word's capitals to its small letters does not count. A name has one break in each
/// word, and random characters have 18 on average.
const MOST_BREAKS: usize = 6;
/// At most one in this many letters of a readable name is a capital. Half of all random letters are capitals.
const LETTERS_PER_CAPITAL: usize = 3;
/// At least two in seven letters of a readable name are vowels. One in five random letters is a vowel.
const VOWELS_OF_LETTERS: (usize, usize) = (2, 7);

/// Returns the text without words that may be secret access keys or tokens.
///
/// Such a word has 40 or more letters, digits, `+`, `/` and `=`, which may be escaped as in JSON or URLs, and does not
/// read like a name. Most names, ARNs and ids stay.
pub(crate) fn secret_like(text: &str) -> String {
    secret_like_except(text, "")
}

/// The same, but parts of paths that also stand in `named` stay. `named` is keywheel's own text, which holds no secret.
pub(crate) fn secret_like_except(text: &str, named: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (word, length) = word(rest);
        let length = length.max(if word.is_empty() { first.len_utf8() } else { 0 });
        let (part, after) = rest.split_at(length);
        shown.push_str(if may_be_secret(&word, named) { WITHHELD } else { part });
        rest = after;
    }
    shown
}

/// Returns the characters at the beginning of a text that may be part of a secret, and their length in the text.
fn word(text: &str) -> (Vec<u8>, usize) {
    let (mut word, mut length) = (Vec::new(), 0);
    while let Some((character, width)) = character(&text[length..]) {
        word.push(character);
        length += width;
    }
    (word, length)
}

/// How JSON and URLs write characters of a secret.
const ESCAPED: [(&str, u8); 7] =
    [("\\/", b'/'), ("%2F", b'/'), ("%2f", b'/'), ("%2B", b'+'), ("%2b", b'+'), ("%3D", b'='), ("%3d", b'=')];

fn character(text: &str) -> Option<(u8, usize)> {
    let first = *text.as_bytes().first()?;
    if first.is_ascii_alphanumeric() || b"+/=".contains(&first) {
        return Some((first, 1));
    }
    ESCAPED.iter().find(|(escape, _)| text.starts_with(escape)).map(|(escape, character)| (*character, escape.len()))
}

/// Whether a word is long enough for a secret and does not read like a name, its named parts aside.
fn may_be_secret(word: &[u8], named: &str) -> bool {
    if word.len() < SHORTEST {
        return false;
    }
    let parts: Vec<&[u8]> = word.split(|character| *character == b'/').collect();
    let unnamed = parts.split(|part| is_named(part, named));
    unnamed.map(|parts| parts.join(&b'/')).any(|stretch| stretch.windows(SHORTEST).any(|window| !is_readable(window)))
}

/// Whether a part of a path is a word of `named`. A short part proves nothing: it may be in a secret by chance.
fn is_named(part: &[u8], named: &str) -> bool {
    let is_in_a_part = |c: char| c.is_ascii_alphanumeric() || "+=".contains(c);
    part.len() >= PIECE && named.split(|c| !is_in_a_part(c)).any(|word| word.as_bytes() == part)
}

/// Whether these characters read like words: few breaks, few capitals and enough vowels. Characters of one case are ids
/// or digests.
fn is_readable(window: &[u8]) -> bool {
    let count = |is: fn(&u8) -> bool| window.iter().filter(|byte| is(byte)).count();
    let (letters, capitals) = (count(u8::is_ascii_alphabetic), count(u8::is_ascii_uppercase));
    let vowels = count(|byte| b"aeiou".contains(&byte.to_ascii_lowercase()));
    let (fewest, of) = VOWELS_OF_LETTERS;
    let has_one_case = capitals == 0 || capitals == letters;
    let reads_well = capitals * LETTERS_PER_CAPITAL <= letters && vowels * of >= letters * fewest;
    has_one_case || (reads_well && breaks(window) <= MOST_BREAKS)
}

fn breaks(window: &[u8]) -> usize {
    let kind = |byte: &u8| (byte.is_ascii_uppercase(), byte.is_ascii_lowercase());
    let kinds: Vec<_> = window.iter().filter(|byte| **byte != b'/').map(kind).collect();
    let begins_word = |pair: &[(bool, bool)]| pair[0].0 && pair[1].1;
    kinds.windows(2).filter(|pair| pair[0] != pair[1] && !begins_word(pair)).count()
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
            "not authorized to perform: sts:AssumeRole on resource: arn:aws:iam::111122223333:role/PlatformSecurityAutomationAccessKeyRotator",
            "user arn:aws:iam::111122223333:user/divisions/ResearchAndDevelopment/EmbeddedSystemsTeam/ci-bot",
            "explicit deny in a service control policy: arn:aws:organizations::999988887777:policy/o-exampleorgid/service_control_policy/p-a1b2c3d4",
            "",
        ] {
            assert_eq!(secret_like(text), text);
        }
    }

    #[test]
    fn reported_c8_what_the_call_named_stays() {
        let role = "arn:aws:iam::111122223333:role/teams/xq7/SecOpsIamAkRotV2ProdEuWst1CiCdBotCrtRunnerX9";
        let text = format!("not authorized to perform: sts:AssumeRole on resource: {role}");
        assert_eq!(secret_like_except(&text, role), text);
        assert_ne!(secret_like(&text), text, "nothing but the call tells it from a secret");
        let session = text.replace("role/teams/xq7", "assumed-role").replace("X9", "X9/keywheel");
        assert_eq!(secret_like_except(&session, role), session, "the same role in another ARN");
    }

    #[test]
    fn reported_c8_a_secret_is_withheld() {
        let secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
        let text = format!("value {secret} refused");
        assert_eq!(secret_like(&text), "value (withheld) refused");
        assert_eq!(
            secret_like_except(&text, "user `K7MDENG` of arn:aws:iam::111122223333:user/K"),
            "value (withheld) refused"
        );
        for written in [secret.replace('/', "\\/"), secret.replace('/', "%2F")] {
            assert_eq!(secret_like(&format!("value {written} refused")), "value (withheld) refused", "{written}");
        }
    }

    /// A secret that reads like a name would be shown. None of these secrets does, and they are the same in each run.
    #[test]
    fn reported_c8_random_secrets_are_withheld_anywhere() {
        const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut random = fastrand::Rng::with_seed(17);
        for _ in 0..20_000 {
            let secret: String = (0..40).map(|_| char::from(ALPHABET[random.usize(..ALPHABET.len())])).collect();
            for text in [
                format!("'{secret}'"),
                format!("arn:aws:iam::111122223333:role/{secret}"),
                format!("/divisions/ResearchAndDevelopment/{secret}/EmbeddedSystemsTeam"),
            ] {
                let shown = secret_like_except(&text, "user `ResearchAndDevelopment` in account 111122223333");
                assert!(!repeats(&shown, &secret) && shown.contains(WITHHELD), "{text}");
            }
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
            // One random secret in a million reads like a name.
            prop_assume!(!is_readable(secret.as_bytes()));
            let text = format!("{before}{secret}{after}");
            prop_assert_eq!(secret_like(&text), format!("{before}{WITHHELD}{after}"));
        }

        #[test]
        fn reported_c8_any_arn_that_the_call_named_stays(
            path in "(/[A-Za-z0-9+=]{8,50}){0,4}", name in "[A-Za-z0-9+=,.@_-]{1,64}", before in "[a-z :']{0,20}",
        ) {
            let arn = format!("arn:aws:iam::111122223333:role{path}/{name}");
            let text = format!("{before} {arn} and {before}");
            prop_assert_eq!(secret_like_except(&text, &arn), text);
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
