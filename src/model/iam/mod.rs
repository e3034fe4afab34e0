//! IAM: the handler of each operation, and the pages of lists.

mod groups;
mod keys;
mod report;
mod users;

use super::answer::{Reply, ServiceError, ServiceResult};
use super::request::Input;
use super::xml::Xml;
use crate::model::exchange::Exchange;
use crate::model::service::Service;

/// <https://docs.aws.amazon.com/IAM/latest/APIReference/API_ListUsers.html>
const DEFAULT_PAGE: usize = 100;
const LARGEST_PAGE: usize = 1000;

pub(crate) fn handle(exchange: &mut Exchange<'_>, operation: &str, input: &Input) -> ServiceResult {
    let handler = match operation {
        "GetAccountAuthorizationDetails" => users::authorization_details,
        "ListUsers" => users::list,
        "GetUser" => users::get,
        "ListUserTags" => users::list_tags,
        "ListAccountAliases" => users::list_aliases,
        "ListAccessKeys" => keys::list,
        "CreateAccessKey" => keys::create,
        "UpdateAccessKey" => keys::update,
        "DeleteAccessKey" => keys::delete,
        "GetAccessKeyLastUsed" => keys::last_used,
        "GetGroup" => groups::get,
        "ListGroupsForUser" => groups::list_for_user,
        "AddUserToGroup" => groups::add_user,
        "RemoveUserFromGroup" => groups::remove_user,
        "GenerateCredentialReport" => report::generate,
        "GetCredentialReport" => report::get,
        _ => return Err(ServiceError::unknown_operation(Service::Iam, operation)),
    };
    // In the model no user has an identity policy that lets it call IAM.
    if !exchange.caller.is_role() {
        let action = format!("iam:{operation}");
        return Err(ServiceError::access_denied(Service::Iam, &exchange.caller.arn, &action, &exchange.resource));
    }
    handler(exchange, input)
}

pub(crate) fn no_such_entity(what: &str, name: &str) -> ServiceError {
    ServiceError::new(404, "NoSuchEntity", format!("The {what} with name {name} cannot be found."))
}

fn invalid_input(message: impl Into<String>) -> ServiceError {
    ServiceError::new(400, "ValidationError", message)
}

/// The member `UserName`, checked.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>
fn user_name(input: &Input) -> Result<&str, ServiceError> {
    let name = input.needed("UserName").map_err(|it| invalid_input(it.message))?;
    let legal = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
    if name.len() <= 128 && name.chars().all(legal) {
        return Ok(name);
    }
    Err(invalid_input(
        "The specified value for userName is invalid. It must contain only alphanumeric characters and/or the following: +=,.@_-",
    ))
}

/// Finds the user of a call and records it as the call's resource.
fn user<'e>(exchange: &'e mut Exchange<'_>, input: &Input) -> Result<&'e mut super::state::IamUser, ServiceError> {
    let name = user_name(input)?;
    let account = exchange.caller.account.clone();
    let world = &mut *exchange.world;
    let found = world.accounts.get(&account).and_then(|it| it.user(name));
    exchange.resource = match found {
        Some(user) => world.user_arn(&account, user),
        None => format!("arn:{}:iam::{account}:user/{name}", world.partition),
    };
    let found = world.accounts.get_mut(&account).and_then(|it| it.user_mut(name));
    found.ok_or_else(|| no_such_entity("user", name))
}

/// One page of a list, and the marker of the next.
struct ListPage<T> {
    items: Vec<T>,
    marker: Option<String>,
}

impl<T> ListPage<T> {
    fn map<U>(self, each: impl FnMut(T) -> U) -> ListPage<U> {
        ListPage { items: self.items.into_iter().map(each).collect(), marker: self.marker }
    }

    /// The members `IsTruncated` and `Marker` after a list.
    fn end(marker: Option<&str>, list: Xml) -> Reply {
        let truncated = marker.is_some().to_string();
        Reply::Xml(list.text("IsTruncated", &truncated).optional("Marker", marker))
    }
}

/// Cuts a page out of `all`. The marker is a position: IAM's markers are opaque too. `short` makes pages of a third,
/// and every second one empty, all of them truncated: IAM may do so at any time.
fn page<T>(all: impl Iterator<Item = T>, input: &Input, short: bool) -> Result<ListPage<T>, ServiceError> {
    let size = input.count("MaxItems", DEFAULT_PAGE, LARGEST_PAGE);
    let size = size.map_err(|it| invalid_input(it.message))?;
    let marker = input.text("Marker")?.unwrap_or("0");
    let (start, emptied) = match marker.strip_prefix('e') {
        Some(start) => (start, true),
        None => (marker, false),
    };
    let start: usize = start.parse().map_err(|_| invalid_input("Invalid Marker."))?;
    if short && !emptied {
        return Ok(ListPage { items: Vec::new(), marker: Some(format!("e{start}")) });
    }
    let size = if short { size.div_ceil(3) } else { size };
    let mut rest = all.skip(start);
    let items: Vec<T> = rest.by_ref().take(size).collect();
    let more = rest.next().is_some();
    let marker = more.then(|| (start + items.len()).to_string());
    Ok(ListPage { items, marker })
}
