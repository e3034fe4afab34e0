//! `SECRET_TAGS`: the tags that every secret gets. Pure.

use std::collections::BTreeMap;

use super::format::is_tag_key;
use super::reader::SettingsReader;

/// The most tags in `SECRET_TAGS`. A secret holds 50 tags; the others are left to keywheel's own and to those of the
/// account.
/// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_TagResource.html>
pub const MAX_SECRET_TAGS: usize = 20;

/// The longest value of a tag, in characters.
/// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_Tag.html>
const MAX_VALUE_LENGTH: usize = 256;

/// Prefixes of names that belong to others: AWS refuses the first, and keywheel keeps its facts under the second.
const RESERVED: [&str; 2] = ["aws:", "keywheel:"];

impl SettingsReader<'_> {
    /// `SECRET_TAGS`: `name=value` pairs, separated by commas, which no tag can hold. A value may have spaces and `=`.
    pub(super) fn secret_tags(&mut self) -> BTreeMap<String, String> {
        const VARIABLE: &str = "SECRET_TAGS";
        let mut tags = BTreeMap::new();
        let Some(value) = self.value(VARIABLE) else { return tags };
        for pair in value.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let (name, text) = pair.split_once('=').map(|(name, text)| (name.trim(), text.trim())).unwrap_or_default();
            if !is_free_name(name) || !is_tag_value(text) {
                self.mistake(VARIABLE, pair, ALLOWED);
            } else if tags.insert(name.to_owned(), text.to_owned()).is_some() {
                self.mistake(VARIABLE, pair, "each name once");
            }
        }
        if tags.len() > MAX_SECRET_TAGS {
            self.mistake(VARIABLE, &value, format!("at most {MAX_SECRET_TAGS} tags"));
        }
        tags
    }
}

const ALLOWED: &str = "name=value pairs, separated by commas, of letters, digits, spaces and _ . : / = + - @; names of 1 to 128 \
                       characters that begin neither with aws: nor with keywheel:, values of 1 to 256";

/// AWS reserves its prefix in any capitals, and keywheel's is refused likewise: a person would take `Keywheel:` for the
/// same prefix.
fn is_free_name(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    is_tag_key(name) && !RESERVED.iter().any(|prefix| lower.starts_with(prefix))
}

/// An empty value is refused: keywheel reads a tag with an empty value as no tag.
fn is_tag_value(text: &str) -> bool {
    let fits = |character: char| character.is_alphanumeric() || " _.:/=+-@".contains(character);
    (1..=MAX_VALUE_LENGTH).contains(&text.chars().count()) && text.chars().all(fits)
}
