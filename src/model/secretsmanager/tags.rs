//! Tags on a secret and what they may hold.

use std::collections::BTreeMap;

use super::locate_alive;
use crate::model::answer::{Reply, ServiceError, ServiceResult};
use crate::model::exchange::Exchange;
use crate::model::request::Input;

/// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_TagResource.html>
const MOST_TAGS: usize = 50;
const LONGEST_KEY: usize = 128;
const LONGEST_VALUE: usize = 256;

pub(super) fn tag(exchange: &mut Exchange<'_>, input: &Input) -> ServiceResult {
    input.only(&["SecretId", "Tags"])?;
    let location = locate_alive(exchange, input, "TagResource")?;
    let added = read(input)?;
    let now = exchange.now;
    if let Some(secret) = exchange.world.secret_at(&location) {
        let new = added.keys().filter(|key| !secret.tags.contains_key(*key));
        check_count(secret.tags.len() + new.count())?;
    }
    if let Some(secret) = exchange.world.change_secret(&location, now) {
        secret.tags.extend(added);
        secret.changed = now;
    }
    Ok(Reply::Empty)
}

pub(super) fn untag(exchange: &mut Exchange<'_>, input: &Input) -> ServiceResult {
    input.only(&["SecretId", "TagKeys"])?;
    let location = locate_alive(exchange, input, "UntagResource")?;
    let keys = input.texts("TagKeys")?.unwrap_or_default();
    let now = exchange.now;
    if let Some(secret) = exchange.world.change_secret(&location, now) {
        secret.tags.retain(|key, _| !keys.contains(key));
        secret.changed = now;
    }
    Ok(Reply::Empty)
}

/// Reads and checks the member `Tags`.
pub(super) fn read(input: &Input) -> Result<BTreeMap<String, String>, ServiceError> {
    let mut tags = BTreeMap::new();
    for tag in input.objects("Tags")? {
        tag.only(&["Key", "Value"])?;
        let key = tag.needed("Key")?;
        let value = tag.text("Value")?.unwrap_or_default();
        check(key, LONGEST_KEY)?;
        check(value, LONGEST_VALUE)?;
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(ServiceError::invalid_parameter(format!("The tag key {key} has the reserved prefix aws:.")));
        }
        if tags.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(ServiceError::invalid_parameter(format!("The tag key {key} is given twice.")));
        }
    }
    check_count(tags.len())?;
    Ok(tags)
}

fn check_count(count: usize) -> Result<(), ServiceError> {
    if count <= MOST_TAGS {
        return Ok(());
    }
    Err(ServiceError::invalid_parameter(format!("A secret can have {MOST_TAGS} tags at most, not {count}.")))
}

/// Letters, digits, spaces and `_ . : / = + - @`.
fn check(text: &str, longest: usize) -> Result<(), ServiceError> {
    if text.chars().count() > longest {
        let message = format!(
            "1 validation error detected: Value at 'tags' failed to satisfy constraint: Member must have length less than or equal to {longest}"
        );
        return Err(ServiceError::validation(message));
    }
    let legal = |c: char| c.is_alphanumeric() || c == ' ' || "_.:/=+-@".contains(c);
    match text.chars().find(|c| !legal(*c)) {
        None => Ok(()),
        Some(c) => Err(ServiceError::invalid_parameter(format!(
            "The tag text {text:?} holds {c:?}: letters, digits, spaces and _.:/=+-@ are allowed."
        ))),
    }
}
