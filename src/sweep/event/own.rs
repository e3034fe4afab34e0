//! keywheel's own events: accounts, inventory and digest.

use serde::Deserialize;
use serde_json::Value;

use super::request::SweepRequest;
use crate::error::Error;
use crate::keys::AccountId;

/// Most accounts of one inventory page. With ids, names and addresses they are well under the 256 KiB that a state
/// machine passes on. <https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html>
pub(super) const MAX_INVENTORY: usize = 1000;

/// The fields of an event. An unknown field is an error.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OwnEvent {
    account: Option<String>,
    name: Option<String>,
    email: Option<String>,
    notices: Option<NoticesField>,
    inventory: Option<InventoryFields>,
    digest: Option<DigestFields>,
    #[serde(default)]
    pub(super) dry_run: bool,
}

/// When the notices of an account's sweep are sent.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum NoticesField {
    Now,
    Later,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DigestFields {
    after: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InventoryFields {
    next_token: Option<String>,
    limit: Option<usize>,
}

fn field<T: std::str::FromStr>(name: &str, text: Option<String>) -> Result<Option<T>, Error>
where
    T::Err: std::fmt::Display,
{
    let text = text.filter(|text| !text.is_empty());
    text.map(|text| text.parse().map_err(|error| Error::InvalidEvent(format!("{name}: {error}")))).transpose()
}

impl OwnEvent {
    /// # Errors
    /// [`Error::InvalidEvent`] for fields that contradict each other or have no valid value.
    pub(super) fn request(self) -> Result<SweepRequest, Error> {
        let Self { account, name, email, notices, inventory, digest, dry_run: _ } = self;
        let account: Option<AccountId> = field("account", account)?;
        let asked =
            [("an account", account.is_some()), ("the inventory", inventory.is_some()), ("a digest", digest.is_some())];
        let asked: Vec<&str> = asked.into_iter().filter_map(|(what, is_asked)| is_asked.then_some(what)).collect();
        if asked.len() > 1 {
            return Err(Error::InvalidEvent(format!("it asks for {}; ask for one at a time", asked.join(" and for "))));
        }
        if account.is_none() && (name.is_some() || email.is_some() || notices.is_some()) {
            let what = asked.first().unwrap_or(&"all accounts");
            return Err(Error::InvalidEvent(format!(
                "name, email and notices belong to an account, and it asks for {what}"
            )));
        }
        match (account, inventory, digest) {
            (Some(account), ..) => Ok(SweepRequest::Account {
                account,
                name: name.filter(|name| !name.is_empty()),
                email: field("email", email)?,
                defers_notices: notices == Some(NoticesField::Later),
            }),
            (None, Some(InventoryFields { next_token, limit }), _) => {
                let limit = limit.unwrap_or(MAX_INVENTORY);
                if !(1..=MAX_INVENTORY).contains(&limit) {
                    return Err(Error::InvalidEvent(format!(
                        "inventory.limit is {limit}; allowed: 1 to {MAX_INVENTORY}"
                    )));
                }
                Ok(SweepRequest::Inventory { next_token: next_token.filter(|token| !token.is_empty()), limit })
            }
            (None, None, Some(DigestFields { after })) => {
                Ok(SweepRequest::Digest { after: field("digest.after", after)? })
            }
            (None, None, None) => Ok(SweepRequest::All),
        }
    }
}

/// The mistake of an event that has one of these fields without a value: without the field, all accounts would be
/// swept.
pub(super) fn emptied(event: &Value) -> Option<String> {
    let is_empty = |name: &&str| event.get(*name).is_some_and(|value| value.is_null() || *value == "");
    let name = ["account", "inventory", "digest"].into_iter().find(is_empty)?;
    Some(format!("{name} is empty; an event without that field sweeps all accounts"))
}
