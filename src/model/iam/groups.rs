//! Groups and their members.

use super::users::{group_xml, user_xml};
use super::{ListPage, invalid_input, no_such_entity, page, user};
use crate::model::answer::{Reply, ServiceError, ServiceResult};
use crate::model::exchange::Exchange;
use crate::model::request::Input;
use crate::model::xml::Xml;

/// The member `GroupName`; the call is about this group.
fn group_name<'i>(exchange: &mut Exchange<'_>, input: &'i Input) -> Result<&'i str, ServiceError> {
    let name = input.needed("GroupName").map_err(|it| invalid_input(it.message))?;
    exchange.resource = exchange.world.group_arn(&exchange.caller.account, name);
    Ok(name)
}

pub(super) fn get(exchange: &mut Exchange<'_>, input: &Input) -> ServiceResult {
    input.only(&["GroupName", "Marker", "MaxItems"])?;
    let name = group_name(exchange, input)?;
    let world = &*exchange.world;
    let account = &world.accounts[&exchange.caller.account];
    let group = account.group(name).ok_or_else(|| no_such_entity("group", name))?;
    let members = group.members.iter().filter_map(|name| account.users.get(name));
    let page = page(members, input, world.switches.short_iam_pages)?;
    let page = page.map(|user| user_xml(world, account, user));
    let lists = Xml::new().element("Group", group_xml(world, account, group)).list("Users", page.items);
    Ok(ListPage::<Xml>::end(page.marker.as_deref(), lists))
}

pub(super) fn list_for_user(exchange: &mut Exchange<'_>, input: &Input) -> ServiceResult {
    input.only(&["UserName", "Marker", "MaxItems"])?;
    let names: Vec<String> = user(exchange, input)?.groups.iter().cloned().collect();
    let world = &*exchange.world;
    let account = &world.accounts[&exchange.caller.account];
    let groups = names.iter().filter_map(|name| account.group(name));
    let page = page(groups, input, false)?.map(|group| group_xml(world, account, group));
    let list = Xml::new().list("Groups", page.items);
    Ok(ListPage::<Xml>::end(page.marker.as_deref(), list))
}

pub(super) fn add_user(exchange: &mut Exchange<'_>, input: &Input) -> ServiceResult {
    change_membership(exchange, input, true)
}

pub(super) fn remove_user(exchange: &mut Exchange<'_>, input: &Input) -> ServiceResult {
    change_membership(exchange, input, false)
}

/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>
const MOST_GROUPS_OF_A_USER: usize = 10;

fn change_membership(exchange: &mut Exchange<'_>, input: &Input, member: bool) -> ServiceResult {
    input.only(&["GroupName", "UserName"])?;
    let user_name = user(exchange, input)?.name.clone();
    let name = group_name(exchange, input)?;
    let account = exchange.account();
    let group_name = account.group(name).ok_or_else(|| no_such_entity("group", name))?.name.clone();
    let lower = user_name.to_ascii_lowercase();
    let groups = account.user(&user_name).map_or(0, |user| user.groups.iter().filter(|it| **it != group_name).count());
    if member && groups >= MOST_GROUPS_OF_A_USER {
        let message = format!("Cannot exceed quota for GroupsPerUser: {MOST_GROUPS_OF_A_USER}");
        return Err(ServiceError::new(409, "LimitExceeded", message));
    }
    let group = account.groups.get_mut(&group_name.to_ascii_lowercase());
    let group = group.ok_or_else(|| no_such_entity("group", name))?;
    if member {
        group.members.insert(lower);
    } else {
        group.members.remove(&lower);
    }
    if let Some(user) = account.user_mut(&user_name) {
        if member {
            user.groups.insert(group_name);
        } else {
            user.groups.remove(&group_name);
        }
    }
    Ok(Reply::Empty)
}
