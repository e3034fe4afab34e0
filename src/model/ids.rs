//! Identifiers and secrets in the form of AWS's. They come from the model's seed, so that the same seed gives the same
//! run.

use std::iter::repeat_with;

const BASE32: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const LETTERS_AND_DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const SECRET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const HEX: &[u8] = b"0123456789abcdef";

/// The text at the beginning and the end of every secret of the model. One search finds any secret, even if only its
/// first or last characters are shown. It consists of letters, which no escaping changes, in both cases, so that no
/// unique id or UUID contains it by chance.
pub(crate) const MARK: &str = "sEcReT";

fn draw(rng: &mut fastrand::Rng, alphabet: &[u8], length: usize) -> String {
    repeat_with(|| char::from(alphabet[rng.usize(..alphabet.len())])).take(length).collect()
}

/// A secret text of this length between two marks.
fn secret(rng: &mut fastrand::Rng, alphabet: &[u8], length: usize) -> String {
    let drawn = draw(rng, alphabet, length);
    format!("{MARK}{}{MARK}", &drawn[MARK.len()..length - MARK.len()])
}

/// A unique id: `prefix` (AKIA, ASIA, AIDA, AROA, AGPA) and 16 characters.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-unique-ids>
pub(crate) fn unique_id(rng: &mut fastrand::Rng, prefix: &str) -> String {
    format!("{prefix}{}", draw(rng, BASE32, 16))
}

/// A secret access key of 40 characters, marked.
pub(crate) fn secret_access_key(rng: &mut fastrand::Rng) -> String {
    secret(rng, SECRET, 40)
}

/// A session token, marked; real ones are longer and their length is not documented.
pub(crate) fn session_token(rng: &mut fastrand::Rng) -> String {
    format!("IQoJ{}", secret(rng, SECRET, 156))
}

/// The six characters that end a secret's ARN.
pub(crate) fn arn_suffix(rng: &mut fastrand::Rng) -> String {
    draw(rng, LETTERS_AND_DIGITS, 6)
}

/// An organization's id.
/// <https://docs.aws.amazon.com/organizations/latest/APIReference/API_Organization.html>
pub(crate) fn organization_id(rng: &mut fastrand::Rng) -> String {
    format!("o-{}", draw(rng, LETTERS_AND_DIGITS, 10).to_ascii_lowercase())
}

/// A rotation token of 64 characters, marked: 36 to 256 letters, digits and hyphens are legal.
/// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_PutSecretValue.html>
pub(crate) fn rotation_token(rng: &mut fastrand::Rng) -> String {
    secret(rng, LETTERS_AND_DIGITS, 64)
}

/// A random id in the form of a UUID of version 4.
pub(crate) fn uuid(rng: &mut fastrand::Rng) -> String {
    let variant = char::from(b"89ab"[rng.usize(..4)]);
    format!(
        "{}-{}-4{}-{variant}{}-{}",
        draw(rng, HEX, 8),
        draw(rng, HEX, 4),
        draw(rng, HEX, 3),
        draw(rng, HEX, 3),
        draw(rng, HEX, 12)
    )
}
