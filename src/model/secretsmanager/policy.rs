//! Resource policies: what may be saved, and what is shown.

use serde_json::{Value, json};

use super::{NO_SECRET, identified, identity, locate_alive, not_found};
use crate::model::answer::{Reply, ServiceError, ServiceResult};
use crate::model::exchange::Exchange;
use crate::model::request::Input;
use crate::model::state::World;

/// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_PutResourcePolicy.html>
const LONGEST: usize = 20_480;

/// Condition keys that narrow a grant to everybody so far that it does not count as public.
/// <https://docs.aws.amazon.com/secretsmanager/latest/userguide/auth-and-access_resource-policies.html>
const NARROWING: [&str; 8] = [
    "aws:principalarn",
    "aws:principalaccount",
    "aws:principalorgid",
    "aws:userid",
    "aws:sourcearn",
    "aws:sourceaccount",
    "aws:sourcevpc",
    "aws:sourcevpce",
];

pub(super) fn put(exchange: &mut Exchange<'_>, input: &Input) -> ServiceResult {
    input.only(&["SecretId", "ResourcePolicy", "BlockPublicPolicy"])?;
    let location = locate_alive(exchange, input, "PutResourcePolicy")?;
    let policy = read(exchange.world, input.needed("ResourcePolicy")?)?;
    if input.flag("BlockPublicPolicy")?.unwrap_or(false) && is_public(&policy) {
        return Err(ServiceError::new(
            400,
            "PublicPolicyException",
            "The BlockPublicPolicy parameter is set to true, and the resource policy did not prevent broad access to the secret.",
        ));
    }
    let now = exchange.now;
    if let Some(secret) = exchange.world.change_secret(&location, now) {
        secret.policy = Some(policy);
    }
    identified(exchange.world, &location, None)
}

pub(super) fn get(exchange: &mut Exchange<'_>, input: &Input) -> ServiceResult {
    input.only(&["SecretId"])?;
    let location = locate_alive(exchange, input, "GetResourcePolicy")?;
    let secret = exchange.world.secret_at(&location).ok_or_else(|| not_found(NO_SECRET))?;
    let mut answer = identity(secret);
    if let Some(policy) = &secret.policy {
        answer["ResourcePolicy"] = json!(shown(exchange.world, policy).to_string());
    }
    Ok(Reply::Json(answer))
}

pub(super) fn delete(exchange: &mut Exchange<'_>, input: &Input) -> ServiceResult {
    input.only(&["SecretId"])?;
    let location = locate_alive(exchange, input, "DeleteResourcePolicy")?;
    let now = exchange.now;
    if let Some(secret) = exchange.world.change_secret(&location, now) {
        secret.policy = None;
    }
    identified(exchange.world, &location, None)
}

pub(super) fn validate(exchange: &mut Exchange<'_>, input: &Input) -> ServiceResult {
    input.only(&["SecretId", "ResourcePolicy"])?;
    if input.has("SecretId") {
        locate_alive(exchange, input, "ValidateResourcePolicy")?;
    } else {
        super::secrets::role_only(exchange, "ValidateResourcePolicy")?;
    }
    let policy = read(exchange.world, input.needed("ResourcePolicy")?)?;
    let public =
        json!({ "CheckName": "PUBLIC_POLICY", "ErrorMessage": "The policy grants broad access to the secret." });
    let errors: Vec<Value> = is_public(&policy).then_some(public).into_iter().collect();
    Ok(Reply::Json(json!({ "PolicyValidationPassed": errors.is_empty(), "ValidationErrors": errors })))
}

fn malformed(message: &str) -> ServiceError {
    ServiceError::new(400, "MalformedPolicyDocumentException", message)
}

/// Parses and checks a policy; principals become unique ids, as they are when AWS saves them.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html>
fn read(world: &World, text: &str) -> Result<Value, ServiceError> {
    if text.len() > LONGEST {
        return Err(ServiceError::validation(format!("The policy is longer than {LONGEST} characters.")));
    }
    let mut policy: Value =
        serde_json::from_str(text).map_err(|_| malformed("This resource policy contains invalid JSON."))?;
    let statements = match policy.get_mut("Statement") {
        Some(Value::Array(statements)) if !statements.is_empty() => statements.iter_mut().collect(),
        Some(statement @ Value::Object(_)) => vec![statement],
        _ => return Err(malformed("This resource policy contains no statement.")),
    };
    for statement in statements {
        check_statement(statement)?;
        if let Some(principals) = statement.pointer_mut("/Principal/AWS") {
            for principal in texts_mut(principals) {
                *principal = saved_principal(world, principal)?;
            }
        }
    }
    Ok(policy)
}

fn check_statement(statement: &Value) -> Result<(), ServiceError> {
    let effect = statement["Effect"].as_str();
    if !matches!(effect, Some("Allow" | "Deny")) {
        return Err(malformed("This resource policy contains a statement without Effect."));
    }
    let known =
        ["Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition"];
    let members = statement.as_object().into_iter().flatten();
    if let Some((name, _)) = members.into_iter().find(|(name, _)| !known.contains(&name.as_str())) {
        return Err(malformed(&format!("This resource policy contains the unknown element {name}.")));
    }
    for needed in ["Principal", "Action", "Resource"] {
        let negated = format!("Not{needed}");
        if statement.get(needed).is_none() && statement.get(negated.as_str()).is_none() {
            return Err(malformed(&format!("This resource policy contains a statement without {needed}.")));
        }
    }
    Ok(())
}

fn texts_mut(value: &mut Value) -> Vec<&mut String> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(list) => list.iter_mut().flat_map(texts_mut).collect(),
        _ => Vec::new(),
    }
}

pub(super) fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(list) => list.iter().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}

/// The form in which a principal is stored. One that names a user or role that does not exist is refused.
fn saved_principal(world: &World, principal: &str) -> Result<String, ServiceError> {
    let unsupported = || malformed("This resource policy contains an unsupported principal.");
    if principal == "*" || (principal.len() == 12 && principal.bytes().all(|it| it.is_ascii_digit())) {
        return Ok(principal.to_owned());
    }
    if principal.starts_with("AIDA") || principal.starts_with("AROA") {
        return arn_of_id(world, principal).map(|_| principal.to_owned()).ok_or_else(unsupported);
    }
    let own = format!("arn:{}:", world.partition);
    let rest = principal.strip_prefix(&own).ok_or_else(unsupported)?;
    let Some((account, resource)) = rest.strip_prefix("iam::").and_then(|it| it.split_once(':')) else {
        return rest.starts_with("sts::").then(|| principal.to_owned()).ok_or_else(unsupported);
    };
    let Some(found) = world.accounts.get(account) else {
        return Ok(principal.to_owned());
    };
    let id = match resource.split_once('/') {
        None if resource == "root" => return Ok(principal.to_owned()),
        Some(("role", name)) => found.roles.get(name).map(|it| it.id.clone()),
        Some(("user", path)) => {
            let user = path.rsplit('/').next().and_then(|name| found.user(name));
            let user = user.filter(|it| world.user_arn(account, it) == principal);
            user.map(|it| it.id.clone())
        }
        _ => None,
    };
    id.ok_or_else(unsupported)
}

/// A stored policy as AWS shows it: ids of users and roles that still exist appear as ARNs.
pub(crate) fn shown(world: &World, stored: &Value) -> Value {
    let mut policy = stored.clone();
    let statements = match policy.get_mut("Statement") {
        Some(Value::Array(list)) => list.iter_mut().collect(),
        Some(one) => vec![one],
        None => Vec::new(),
    };
    for statement in statements {
        let Some(principals) = statement.pointer_mut("/Principal/AWS") else { continue };
        for principal in texts_mut(principals) {
            if let Some(arn) = arn_of_id(world, principal) {
                *principal = arn;
            }
        }
    }
    policy
}

fn arn_of_id(world: &World, id: &str) -> Option<String> {
    if !(id.starts_with("AIDA") || id.starts_with("AROA")) {
        return None;
    }
    world.accounts.values().find_map(|account| {
        let user = account.users.values().find(|it| it.id == id);
        let user = user.map(|it| world.user_arn(&account.id, it));
        let role = || account.roles.values().find(|it| it.id == id);
        user.or_else(|| role().map(|it| world.role_arn(&account.id, &it.name)))
    })
}

pub(super) fn statements(policy: &Value) -> Vec<&Value> {
    match &policy["Statement"] {
        Value::Array(list) => list.iter().collect(),
        one => vec![one],
    }
}

pub(super) fn principals(statement: &Value) -> Vec<&str> {
    match &statement["Principal"] {
        Value::String(text) => vec![text],
        other => texts(&other["AWS"]),
    }
}

fn is_public(policy: &Value) -> bool {
    statements(policy).into_iter().any(|statement| {
        let everybody = principals(statement).contains(&"*") || statement.get("NotPrincipal").is_some();
        statement["Effect"] == "Allow" && everybody && !is_narrowed(statement)
    })
}

fn is_narrowed(statement: &Value) -> bool {
    conditions(statement).into_iter().any(|(operator, key, values)| {
        let equals = matches!(operator, "ArnEquals" | "ArnLike" | "StringEquals" | "StringLike");
        let fixed = !values.is_empty() && values.iter().all(|it| !it.starts_with('*') && !it.contains("::*"));
        equals && fixed && NARROWING.contains(&key.to_ascii_lowercase().as_str())
    })
}

/// The conditions as operator, key and values.
pub(super) fn conditions(statement: &Value) -> Vec<(&str, &str, Vec<&str>)> {
    let operators = statement["Condition"].as_object().into_iter().flatten();
    operators
        .flat_map(|(operator, keys)| {
            let keys = keys.as_object().into_iter().flatten();
            keys.map(move |(key, values)| (operator.as_str(), key.as_str(), texts(values)))
        })
        .collect()
}
