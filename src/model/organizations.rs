//! Organizations: the list of accounts, for accounts that may read it.

use serde_json::{Value, json};

use super::answer::{Reply, ServiceError, ServiceResult};
use super::exchange::Exchange;
use super::request::Input;
use super::service::Service;
use super::state::{AwsAccount, Organization, World};

/// Accounts on one page at most.
/// <https://docs.aws.amazon.com/organizations/latest/APIReference/API_ListAccounts.html>
const PAGE: usize = 20;

pub(crate) fn handle(exchange: &mut Exchange<'_>, operation: &str, input: &Input) -> ServiceResult {
    match operation {
        "ListAccounts" => list_accounts(exchange, input),
        "DescribeAccount" => describe_account(exchange, input),
        "DescribeOrganization" => describe_organization(exchange, input),
        _ => Err(ServiceError::unknown_operation(Service::Organizations, operation)),
    }
}

fn organization(world: &World) -> Result<&Organization, ServiceError> {
    world.organization.as_ref().ok_or_else(|| {
        ServiceError::new(400, "AWSOrganizationsNotInUseException", "Your account is not a member of an organization.")
    })
}

/// Only roles of the management account and of delegated administrators read the organization.
fn reader<'w>(exchange: &'w Exchange<'_>) -> Result<&'w Organization, ServiceError> {
    let organization = organization(exchange.world)?;
    let caller = exchange.caller;
    let account = &caller.account;
    let allowed = organization.management.as_ref() == Some(account) || organization.delegated.contains(account);
    if allowed && caller.is_role() {
        return Ok(organization);
    }
    Err(ServiceError::new(400, "AccessDeniedException", "You don't have permissions to access this resource."))
}

fn list_accounts(exchange: &mut Exchange<'_>, input: &Input) -> ServiceResult {
    input.only(&["NextToken", "MaxResults"])?;
    reader(exchange)?;
    let size = input.count("MaxResults", PAGE, PAGE).map_err(|it| invalid_input(it.message))?;
    let world = &*exchange.world;
    let (after, empty_next) = match input.text("NextToken")? {
        None => (None, true),
        Some(token) => match token.split_once('/') {
            Some(("full", after)) => (Some(after), true),
            Some(("rest", after)) => (Some(after), false),
            _ => return Err(invalid_input("You specified an invalid NextToken.".to_owned())),
        },
    };
    let rest = || {
        let members = world.accounts.values().filter(|account| account.is_member);
        let ids = members.map(|account| account.id.as_str());
        let ids = ids.filter(|id| !world.switches.unlisted_accounts.contains(*id));
        ids.skip_while(move |id| after.is_some_and(|after| *id <= after))
    };
    if world.switches.no_accounts {
        return Ok(Reply::Json(json!({ "Accounts": [] })));
    }
    // If the switch is on, an empty page precedes every full page, even the first.
    if world.switches.empty_account_pages && empty_next && rest().next().is_some() {
        let token = format!("rest/{}", after.unwrap_or_default());
        return Ok(Reply::Json(json!({ "Accounts": [], "NextToken": token })));
    }
    let page: Vec<&str> = rest().take(size).collect();
    let again = after.filter(|_| world.switches.repeated_accounts).filter(|id| world.accounts.contains_key(*id));
    let listed = again.iter().chain(&page);
    let accounts: Vec<Value> = listed.map(|id| shown(world, &world.accounts[*id])).collect();
    let mut answer = json!({ "Accounts": accounts });
    if let Some(last) = page.last().filter(|_| rest().nth(size).is_some()) {
        answer["NextToken"] = json!(format!("full/{last}"));
    }
    Ok(Reply::Json(answer))
}

fn describe_account(exchange: &mut Exchange<'_>, input: &Input) -> ServiceResult {
    input.only(&["AccountId"])?;
    let id = input.needed("AccountId")?;
    exchange.resource = account_arn(exchange.world, id);
    reader(exchange)?;
    let world = &*exchange.world;
    match world.accounts.get(id).filter(|account| account.is_member) {
        Some(account) => Ok(Reply::Json(json!({ "Account": shown(world, account) }))),
        None => Err(ServiceError::new(400, "AccountNotFoundException", "You specified an account that doesn't exist.")),
    }
}

fn describe_organization(exchange: &mut Exchange<'_>, input: &Input) -> ServiceResult {
    input.only(&[])?;
    let world = &*exchange.world;
    let organization = organization(world)?;
    let management = organization.management.as_deref().unwrap_or_default();
    let (partition, id) = (&world.partition, &organization.id);
    let email = world.accounts.get(management).and_then(|it| it.email.clone());
    let answer = json!({ "Organization": {
        "Id": id,
        "Arn": format!("arn:{partition}:organizations::{management}:organization/{id}"),
        "FeatureSet": "ALL",
        "MasterAccountId": management,
        "MasterAccountArn": account_arn(world, management),
        "MasterAccountEmail": email,
    }});
    Ok(Reply::Json(answer))
}

fn account_arn(world: &World, account: &str) -> String {
    let organization = world.organization.as_ref();
    let management = organization.and_then(|it| it.management.as_deref()).unwrap_or_default();
    let id = organization.map(|it| it.id.as_str()).unwrap_or_default();
    format!("arn:{}:organizations::{management}:account/{id}/{account}", world.partition)
}

fn shown(world: &World, account: &AwsAccount) -> Value {
    let mut value = json!({
        "Id": account.id,
        "Arn": account_arn(world, &account.id),
        "Name": account.name,
        "JoinedMethod": "CREATED",
        "JoinedTimestamp": account.joined.timestamp(),
    });
    if let Some(email) = &account.email {
        value["Email"] = json!(email);
    }
    if !world.switches.omit_account_state {
        value["State"] = json!(account.state.state());
    }
    if !world.switches.omit_account_status {
        value["Status"] = json!(account.state.status());
    }
    value
}

fn invalid_input(message: String) -> ServiceError {
    ServiceError::new(400, "InvalidInputException", message)
}
