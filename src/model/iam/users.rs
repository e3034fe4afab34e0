//! Users: lists with and without details, one user, tags.

use super::{ListPage, invalid_input, page, user};
use crate::model::answer::{Reply, ServiceError, ServiceResult};
use crate::model::exchange::Exchange;
use crate::model::request::Input;
use crate::model::state::{AwsAccount, Group, IamUser, World};
use crate::model::xml::Xml;

pub(super) fn list(exchange: &mut Exchange<'_>, input: &Input) -> ServiceResult {
    input.only(&["PathPrefix", "Marker", "MaxItems"])?;
    let prefix = input.text("PathPrefix")?.unwrap_or("/");
    let world = &*exchange.world;
    let account = &world.accounts[&exchange.caller.account];
    let users = account.users.values().filter(|user| user.path.starts_with(prefix));
    let page = page(users, input, world.switches.short_iam_pages)?;
    let page = page.map(|user| user_xml(world, account, user));
    let list = Xml::new().list("Users", page.items);
    Ok(ListPage::<Xml>::end(page.marker.as_deref(), list))
}

/// The members of a user in lists: no tags there.
pub(super) fn user_xml(world: &World, account: &AwsAccount, user: &IamUser) -> Xml {
    Xml::new()
        .text("Path", &user.path)
        .text("UserName", &user.name)
        .text("UserId", &user.id)
        .text("Arn", &world.user_arn(&account.id, user))
        .time("CreateDate", user.created)
}

pub(super) fn group_xml(world: &World, account: &AwsAccount, group: &Group) -> Xml {
    Xml::new()
        .text("Path", "/")
        .text("GroupName", &group.name)
        .text("GroupId", &group.id)
        .text("Arn", &world.group_arn(&account.id, &group.name))
        .time("CreateDate", group.created)
}

fn tags_xml(user: &IamUser) -> Vec<Xml> {
    let tags = user.tags.iter();
    tags.map(|(key, value)| Xml::new().text("Key", key).text("Value", value)).collect()
}

/// An item of the one list that the pages of the details are cut from.
enum Detail<'w> {
    User(&'w IamUser),
    Group(&'w Group),
}

/// <https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetAccountAuthorizationDetails.html>
pub(super) fn authorization_details(exchange: &mut Exchange<'_>, input: &Input) -> ServiceResult {
    input.only(&["Filter", "Marker", "MaxItems"])?;
    let filter = input.texts("Filter")?.unwrap_or_default();
    let known = ["User", "Group", "Role", "LocalManagedPolicy", "AWSManagedPolicy"];
    if let Some(other) = filter.iter().find(|it| !known.contains(&it.as_str())) {
        return Err(invalid_input(format!("Value '{other}' at 'filter' failed to satisfy constraint")));
    }
    let wants = |kind: &str| filter.is_empty() || filter.iter().any(|it| it == kind);
    let world = &*exchange.world;
    let account = &world.accounts[&exchange.caller.account];
    let users = account.users.values().filter(|_| wants("User")).map(Detail::User);
    let groups = account.groups.values().filter(|_| wants("Group")).map(Detail::Group);
    let page = page(users.chain(groups), input, world.switches.short_iam_pages)?;
    let users = page.items.iter().filter(|item| matches!(item, Detail::User(_))).count();
    if world.switches.details_of_at_most.is_some_and(|most| users > most) {
        return Err(ServiceError::new(504, "GatewayTimeout", "The request took too long."));
    }
    let (mut user_details, mut group_details) = (Vec::new(), Vec::new());
    for item in page.items {
        match item {
            Detail::User(user) => user_details.push(user_detail(world, account, user)),
            Detail::Group(group) => group_details.push(group_xml(world, account, group)),
        }
    }
    let lists = Xml::new()
        .list("UserDetailList", user_details)
        .list("GroupDetailList", group_details)
        .list("RoleDetailList", [])
        .list("Policies", []);
    Ok(ListPage::<Xml>::end(page.marker.as_deref(), lists))
}

fn user_detail(world: &World, account: &AwsAccount, user: &IamUser) -> Xml {
    let groups = user.groups.iter().map(String::as_str);
    user_xml(world, account, user)
        .texts("GroupList", groups)
        .list("AttachedManagedPolicies", [])
        .list("Tags", tags_xml(user))
}

pub(super) fn get(exchange: &mut Exchange<'_>, input: &Input) -> ServiceResult {
    input.only(&["UserName"])?;
    let name = user(exchange, input)?.name.clone();
    let world = &*exchange.world;
    let account = &world.accounts[&exchange.caller.account];
    let shown = account.user(&name).map(|user| {
        let xml = user_xml(world, account, user);
        if user.tags.is_empty() { xml } else { xml.list("Tags", tags_xml(user)) }
    });
    Ok(Reply::Xml(Xml::new().element("User", shown.unwrap_or_default())))
}

pub(super) fn list_tags(exchange: &mut Exchange<'_>, input: &Input) -> ServiceResult {
    input.only(&["UserName", "Marker", "MaxItems"])?;
    let tags = tags_xml(user(exchange, input)?);
    let page = page(tags.into_iter(), input, false)?;
    let list = Xml::new().list("Tags", page.items);
    Ok(ListPage::<Xml>::end(page.marker.as_deref(), list))
}

pub(super) fn list_aliases(exchange: &mut Exchange<'_>, input: &Input) -> ServiceResult {
    input.only(&["Marker", "MaxItems"])?;
    let alias = exchange.account().alias.clone();
    let list = Xml::new().texts("AccountAliases", alias.as_deref());
    Ok(ListPage::<Xml>::end(None, list))
}
