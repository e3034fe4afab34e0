//! `ListSecrets`: filters, pages, and the lag behind writes.

use std::collections::BinaryHeap;

use serde_json::{Value, json};

use super::secrets::{as_listed, details, role_only, stages};
use crate::model::answer::{Reply, ServiceError, ServiceResult};
use crate::model::exchange::Exchange;
use crate::model::request::Input;
use crate::model::secret::Secret;
use crate::model::state::AwsAccount;

/// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_ListSecrets.html>
const PAGE: usize = 100;

/// The part of a secret that a filter compares.
#[derive(Clone, Copy)]
enum FilterKey {
    Name,
    Tag,
    Value,
}

struct Filter {
    key: FilterKey,
    values: Vec<String>,
}

impl Filter {
    fn read(members: &Input) -> Result<Self, ServiceError> {
        members.only(&["Key", "Values"])?;
        let key = match members.needed("Key")? {
            "name" => FilterKey::Name,
            "tag-key" => FilterKey::Tag,
            "tag-value" => FilterKey::Value,
            other => return Err(ServiceError::invalid_parameter(format!("the filter {other} is not modelled"))),
        };
        let values = members.texts("Values")?.unwrap_or_default();
        Ok(Self { key, values })
    }

    /// The one beginning that a name must have.
    fn only_name_prefix(&self) -> Option<&str> {
        match (self.key, &self.values[..]) {
            (FilterKey::Name, [prefix]) if !prefix.starts_with('!') => Some(prefix),
            _ => None,
        }
    }

    /// A prefix of the name, of a tag's key or value, with its case; a leading `!` excludes.
    fn passes(&self, secret: &Secret) -> bool {
        let texts: Vec<&str> = match self.key {
            FilterKey::Name => vec![secret.name.as_str()],
            FilterKey::Tag => secret.tags.keys().map(String::as_str).collect(),
            FilterKey::Value => secret.tags.values().map(String::as_str).collect(),
        };
        let starts = |value: &str| texts.iter().any(|text| text.starts_with(value));
        let (excluded, wanted): (Vec<&String>, Vec<&String>) =
            self.values.iter().partition(|value| value.starts_with('!'));
        let hidden = excluded.iter().any(|value| starts(value.trim_start_matches('!')));
        !hidden && (wanted.is_empty() || wanted.iter().any(|value| starts(value)))
    }
}

/// Secrets in the order of their creation, or in reverse, starting after the last secret of the page before.
type Ordered<'w> = Box<dyn Iterator<Item = &'w Secret> + 'w>;

fn all(account: &AwsAccount, ascending: bool, after: Option<u64>) -> Ordered<'_> {
    let order = &account.secret_order;
    let names: Box<dyn Iterator<Item = &String>> = match (ascending, after) {
        (true, None) => Box::new(order.values()),
        (true, Some(last)) => Box::new(order.range(last + 1..).map(|(_, name)| name)),
        (false, None) => Box::new(order.values().rev()),
        (false, Some(last)) => Box::new(order.range(..last).rev().map(|(_, name)| name)),
    };
    Box::new(names.filter_map(|name| account.secrets.get(name)))
}

/// The secrets whose names begin with `prefix`. A store may hold the secrets of many accounts, and a page needs few.
fn named<'w>(account: &'w AwsAccount, prefix: &str, ascending: bool, after: Option<u64>) -> Ordered<'w> {
    let secrets = account.secrets.range(prefix.to_owned()..).take_while(|(name, _)| name.starts_with(prefix));
    // The first of the page has the greatest rank.
    let rank = |serial: u64| if ascending { u64::MAX - serial } else { serial };
    let ranks = secrets.map(|(name, secret)| (rank(secret.serial), name));
    let mut heap: BinaryHeap<_> = ranks.filter(|(it, _)| after.is_none_or(|last| *it < rank(last))).collect();
    let names = std::iter::from_fn(move || heap.pop());
    Box::new(names.filter_map(|(_, name)| account.secrets.get(name)))
}

pub(super) fn list(exchange: &mut Exchange<'_>, input: &Input) -> ServiceResult {
    input.only(&["IncludePlannedDeletion", "MaxResults", "NextToken", "Filters", "SortOrder"])?;
    role_only(exchange, "ListSecrets")?;
    let filters = input.objects("Filters")?;
    let filters: Vec<Filter> = filters.iter().map(Filter::read).collect::<Result<_, _>>()?;
    let deleted_too = input.flag("IncludePlannedDeletion")?.unwrap_or(false);
    let size = input.count("MaxResults", PAGE, PAGE)?;
    let ascending = ascending(input)?;
    let after = cursor(input)?;
    let (world, now) = (&*exchange.world, exchange.now);
    let account = &world.accounts[&exchange.caller.account];
    let wanted = |secret| {
        let secret = as_listed(world, secret, now)?;
        let shown = deleted_too || secret.deletion_date.is_none();
        (shown && filters.iter().all(|it| it.passes(secret))).then_some(secret)
    };
    let (page, next) = if let Some(most) = world.switches.secrets_looked_at {
        let (looked_at, next) = page_of(all(account, ascending, after), most.min(size));
        (looked_at.into_iter().filter_map(wanted).collect(), next)
    } else {
        let secrets = match filters.iter().find_map(Filter::only_name_prefix) {
            Some(prefix) => named(account, prefix, ascending, after),
            None => all(account, ascending, after),
        };
        page_of(secrets.filter_map(wanted), size)
    };
    let mut answer = json!({ "SecretList": page.iter().map(|it| entry(it)).collect::<Vec<_>>() });
    if let Some(last) = next {
        answer["NextToken"] = json!(last.to_string());
    }
    Ok(Reply::Json(answer))
}

/// The first `size` secrets, and the serial number after which the next page starts, if there is one.
fn page_of<'w>(mut secrets: impl Iterator<Item = &'w Secret>, size: usize) -> (Vec<&'w Secret>, Option<u64>) {
    let page: Vec<&Secret> = secrets.by_ref().take(size).collect();
    let next = page.last().filter(|_| secrets.next().is_some()).map(|last| last.serial);
    (page, next)
}

fn entry(secret: &Secret) -> Value {
    let mut entry = details(secret);
    entry["SecretVersionsToStages"] = stages(secret);
    entry
}

fn ascending(input: &Input) -> Result<bool, ServiceError> {
    match input.text("SortOrder")? {
        Some("asc") => Ok(true),
        None | Some("desc") => Ok(false),
        Some(other) => Err(ServiceError::validation(format!("SortOrder must be asc or desc, not {other}"))),
    }
}

fn cursor(input: &Input) -> Result<Option<u64>, ServiceError> {
    let token = input.text("NextToken")?;
    token
        .map(|it| {
            it.parse()
                .map_err(|_| ServiceError::new(400, "InvalidNextTokenException", "The NextToken value is invalid."))
        })
        .transpose()
}
