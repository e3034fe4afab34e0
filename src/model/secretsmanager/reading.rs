//! Evaluates resource policies: which users may read a secret, in their own account and across accounts.

use serde_json::Value;

use super::policy::{conditions, principals, statements, texts};
use crate::model::answer::ServiceError;
use crate::model::exchange::Exchange;
use crate::model::kms::DEFAULT_KEY;
use crate::model::secret::{Secret, SecretLocation};
use crate::model::signature::{Caller, CallerKind};
use crate::model::state::World;

/// Checks that a user may read the secret: by its account, the policies and the KMS key. Returns AWS's denial.
pub(super) fn authorize(
    exchange: &Exchange<'_>,
    location: &SecretLocation,
    action: &str,
    full_arn: bool,
) -> Result<(), ServiceError> {
    let (world, caller) = (&*exchange.world, exchange.caller);
    let deny = |why: &str| Err(ServiceError::denied(&caller.arn, action, &exchange.resource, why));
    let decision = world.secret_at(location).map(|it| (it, resource_decision(it, caller, action)));
    let no_identity = format!(" because no identity-based policy allows the {action} action");
    match decision {
        Some((_, PolicyDecision::Deny)) => deny(" with an explicit deny in a resource-based policy"),
        Some((secret, PolicyDecision::Allow)) if secret.account == caller.account => Ok(()),
        Some((secret, PolicyDecision::Allow)) if in_reader_group(world, caller) => across(secret, full_arn, deny),
        Some((secret, PolicyDecision::None)) if secret.account != caller.account && in_reader_group(world, caller) => {
            deny(&format!(" because no resource-based policy allows the {action} action"))
        }
        _ => deny(&no_identity),
    }
}

/// Checks a read across accounts, which needs the full ARN, and a customer managed key that is named by its own.
fn across(
    secret: &Secret,
    full_arn: bool,
    deny: impl Fn(&str) -> Result<(), ServiceError>,
) -> Result<(), ServiceError> {
    if !full_arn {
        return deny(" because a secret of another account must be named by its full ARN");
    }
    match secret.kms_key_id.as_deref() {
        None | Some(DEFAULT_KEY) => Err(ServiceError::new(
            400,
            "InvalidRequestException",
            "You can't access a secret from a different AWS account if you encrypt the secret with the default KMS service key.",
        )),
        // An id or an alias is looked up in the caller's own account.
        Some(key) if !key.contains(":key/") => {
            Err(ServiceError::new(400, "AccessDeniedException", "Access to KMS is not allowed"))
        }
        Some(_) => Ok(()),
    }
}

fn in_reader_group(world: &World, caller: &Caller) -> bool {
    let CallerKind::User { name } = &caller.kind else { return false };
    let account = world.accounts.get(&caller.account);
    let groups = account.into_iter().flat_map(|it| it.groups.values());
    let mut granting = groups.filter(|it| it.grants_reads);
    granting.any(|it| it.members.contains(&name.to_ascii_lowercase()))
}

#[derive(Debug, PartialEq)]
enum PolicyDecision {
    Allow,
    Deny,
    None,
}

fn resource_decision(secret: &Secret, caller: &Caller, action: &str) -> PolicyDecision {
    let Some(policy) = &secret.policy else { return PolicyDecision::None };
    let mut decision = PolicyDecision::None;
    for statement in statements(policy) {
        let denies = statement["Effect"] == "Deny";
        if !applies(statement, secret, caller, action, denies) {
            continue;
        }
        if denies {
            return PolicyDecision::Deny;
        }
        decision = PolicyDecision::Allow;
    }
    decision
}

/// Whether a statement applies to this request. If the model cannot evaluate a part, it takes the safe side: a denial
/// applies, a grant does not.
fn applies(statement: &Value, secret: &Secret, caller: &Caller, action: &str, denies: bool) -> bool {
    let unknown = ["NotPrincipal", "NotAction", "NotResource"];
    if unknown.iter().any(|name| statement.get(name).is_some()) {
        return denies;
    }
    let principal = principals(statement).into_iter().any(|it| names(it, caller));
    let actions = texts(&statement["Action"]);
    let action_lower = action.to_ascii_lowercase();
    let action = actions.iter().any(|it| glob(&it.to_ascii_lowercase(), &action_lower));
    let resource = texts(&statement["Resource"]).into_iter().any(|it| glob(it, &secret.arn));
    let mut conditions = conditions(statement).into_iter();
    principal && action && resource && conditions.all(|it| holds(it, caller).unwrap_or(denies))
}

/// Whether a stored principal is the user itself. The root of the account delegates to identity policies, which users
/// here do not have.
fn names(principal: &str, caller: &Caller) -> bool {
    principal == "*" || principal == caller.user_id || principal == caller.arn
}

/// Whether a condition holds; `None` if the model cannot evaluate it.
fn holds((operator, key, values): (&str, &str, Vec<&str>), caller: &Caller) -> Option<bool> {
    let actual = match key.to_ascii_lowercase().as_str() {
        "aws:principalarn" => caller.arn.as_str(),
        "aws:principalaccount" => caller.account.as_str(),
        "aws:securetransport" => "true",
        "aws:principaltype" => "User",
        _ => return None,
    };
    let mut values = values.into_iter();
    Some(match operator {
        "StringEquals" | "Bool" => values.any(|it| it == actual),
        "ArnEquals" | "ArnLike" | "StringLike" => values.any(|it| glob(it, actual)),
        "StringNotEquals" => values.all(|it| it != actual),
        "ArnNotEquals" | "ArnNotLike" | "StringNotLike" => values.all(|it| !glob(it, actual)),
        _ => return None,
    })
}

/// Matches `*` and `?` as policies do.
pub(crate) fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        if p < pattern.len() && (pattern[p] == '?' || pattern[p] == text[t]) && pattern[p] != '*' {
            (p, t) = (p + 1, t + 1);
        } else if p < pattern.len() && pattern[p] == '*' {
            star = Some((p, t));
            p += 1;
        } else if let Some((at, from)) = star {
            star = Some((at, from + 1));
            (p, t) = (at + 1, from + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}
