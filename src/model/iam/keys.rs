//! Access keys: two per user, a state, a last use.

use chrono::{DateTime, TimeDelta, Utc};

use super::{ListPage, invalid_input, page, user};
use crate::model::answer::{Reply, ServiceError, ServiceResult};
use crate::model::clock;
use crate::model::exchange::Exchange;
use crate::model::history::KeyChange;
use crate::model::request::Input;
use crate::model::state::{AccessKey, IamUser};
use crate::model::xml::Xml;

/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>
const MOST_KEYS: usize = 2;

pub(super) fn list(exchange: &mut Exchange<'_>, input: &Input) -> ServiceResult {
    input.only(&["UserName", "Marker", "MaxItems"])?;
    let then = exchange.now - clock::delta(exchange.world.switches.list_access_keys_lag);
    let user = user(exchange, input)?;
    let keys = page(as_listed(user, then).into_iter(), input, false)?;
    let name = user.name.clone();
    let keys = keys.map(|(key, status)| {
        Xml::new()
            .text("UserName", &name)
            .text("AccessKeyId", &key.id)
            .text("Status", &status)
            .time("CreateDate", key.created)
    });
    let list = Xml::new().list("AccessKeyMetadata", keys.items);
    Ok(ListPage::<Xml>::end(keys.marker.as_deref(), list))
}

/// The keys and their states as they were at `then`.
fn as_listed(user: &IamUser, then: DateTime<Utc>) -> Vec<(AccessKey, String)> {
    let deleted = user.deleted_keys.iter().filter(|(at, _)| *at > then).map(|(_, key)| key);
    let keys = deleted.chain(&user.keys).filter(|key| key.created <= then);
    keys.map(|key| {
        let before = key.changed.as_ref().filter(|(at, _)| *at > then);
        let status = before.map_or(&key.status, |(_, status)| status);
        (key.clone(), status.clone())
    })
    .collect()
}

pub(super) fn create(exchange: &mut Exchange<'_>, input: &Input) -> ServiceResult {
    input.only(&["UserName"])?;
    let found = user(exchange, input)?;
    let (name, count) = (found.name.clone(), found.keys.len());
    if count >= MOST_KEYS {
        let message = format!("Cannot exceed quota for AccessKeysPerUser: {MOST_KEYS}");
        return Err(ServiceError::new(409, "LimitExceeded", message));
    }
    let account = exchange.caller.account.clone();
    // IAM's times are whole seconds.
    let created = exchange.now - TimeDelta::nanoseconds(i64::from(exchange.now.timestamp_subsec_nanos()));
    let key = exchange.world.make_key(&account, &name, created);
    let (by, now) = (exchange.caller.arn.clone(), exchange.now);
    exchange.world.note_key(&account, &name, &key, KeyChange::Created, Some(&by), now);
    let shown = Xml::new()
        .text("UserName", &name)
        .text("AccessKeyId", &key.id)
        .text("Status", &key.status)
        .text("SecretAccessKey", &key.secret)
        .time("CreateDate", key.created);
    Ok(Reply::Xml(Xml::new().element("AccessKey", shown)))
}

fn no_such_key(id: &str) -> ServiceError {
    ServiceError::new(404, "NoSuchEntity", format!("The Access Key with id {id} cannot be found."))
}

pub(super) fn update(exchange: &mut Exchange<'_>, input: &Input) -> ServiceResult {
    input.only(&["UserName", "AccessKeyId", "Status"])?;
    let id = input.needed("AccessKeyId").map_err(|it| invalid_input(it.message))?;
    let status = match input.text("Status")? {
        Some(status @ ("Active" | "Inactive")) => status,
        other => {
            let message = format!("Value {other:?} at 'status' failed to satisfy constraint: [Active, Inactive]");
            return Err(invalid_input(message));
        }
    };
    let (account, by, now) = (exchange.caller.account.clone(), exchange.caller.arn.clone(), exchange.now);
    let user = user(exchange, input)?;
    let name = user.name.clone();
    let key = user.keys.iter_mut().find(|key| key.id == id).ok_or_else(|| no_such_key(id))?;
    if key.status != status {
        let was = key.clone();
        key.set_status(status, now);
        exchange.world.note_key(&account, &name, &was, KeyChange::to_status(status), Some(&by), now);
    }
    Ok(Reply::Empty)
}

pub(super) fn delete(exchange: &mut Exchange<'_>, input: &Input) -> ServiceResult {
    input.only(&["UserName", "AccessKeyId"])?;
    let id = input.needed("AccessKeyId").map_err(|it| invalid_input(it.message))?;
    let name = user(exchange, input)?.name.clone();
    let (account, by, now) = (exchange.caller.account.clone(), exchange.caller.arn.clone(), exchange.now);
    let key = exchange.world.remove_key(&account, &name, id, now).ok_or_else(|| no_such_key(id))?;
    exchange.world.note_key(&account, &name, &key, KeyChange::Deleted, Some(&by), now);
    Ok(Reply::Empty)
}

/// <https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetAccessKeyLastUsed.html>
pub(super) fn last_used(exchange: &mut Exchange<'_>, input: &Input) -> ServiceResult {
    input.only(&["AccessKeyId"])?;
    let id = input.needed("AccessKeyId").map_err(|it| invalid_input(it.message))?;
    let account = exchange.caller.account.clone();
    let owner = exchange.world.key_owners.get(id).filter(|(owner, _)| *owner == account);
    let owner = owner.cloned().ok_or_else(|| no_such_key(id))?;
    let world = &*exchange.world;
    let found = world.accounts.get(&account).and_then(|it| it.user(&owner.1));
    let user = found.ok_or_else(|| no_such_key(id))?;
    let key = user.keys.iter().find(|key| key.id == id).ok_or_else(|| no_such_key(id))?;
    let last_use = match &key.last_use {
        Some(it) => Xml::new().time("LastUsedDate", it.at).text("ServiceName", &it.service).text("Region", &it.region),
        None => Xml::new().text("ServiceName", "N/A").text("Region", "N/A"),
    };
    let answer = Xml::new().text("UserName", &user.name).element("AccessKeyLastUsed", last_use);
    exchange.resource = world.user_arn(&account, user);
    Ok(Reply::Xml(answer))
}
