//! STS: role sessions by trust policy, and the caller's identity.

use chrono::{DateTime, TimeDelta, Utc};

use super::answer::{Reply, ServiceError, ServiceResult};
use super::exchange::Exchange;
use super::ids;
use super::request::Input;
use super::service::Service;
use super::signature::Caller;
use super::state::{Role, Session, World};
use super::xml::Xml;

/// A session made by a session lives one hour at most.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles.html#iam-term-role-chaining>
const LONGEST_CHAINED_S: i64 = 3600;

pub(crate) fn handle(exchange: &mut Exchange<'_>, operation: &str, input: &Input) -> ServiceResult {
    match operation {
        "GetCallerIdentity" => get_caller_identity(exchange, input),
        "AssumeRole" => assume_role(exchange, input),
        _ => Err(ServiceError::unknown_operation(Service::Sts, operation)),
    }
}

fn get_caller_identity(exchange: &mut Exchange<'_>, input: &Input) -> ServiceResult {
    input.only(&[])?;
    let caller = exchange.caller;
    let answer = Xml::new().text("Arn", &caller.arn).text("UserId", &caller.user_id).text("Account", &caller.account);
    Ok(Reply::Xml(answer))
}

fn assume_role(exchange: &mut Exchange<'_>, input: &Input) -> ServiceResult {
    input.only(&["RoleArn", "RoleSessionName", "DurationSeconds"])?;
    let arn = input.needed("RoleArn")?;
    arn.clone_into(&mut exchange.resource);
    let session_name = session_name(input)?;
    let seconds = duration(exchange.caller, input)?;
    let (account, role) = trusted_role(exchange.world, exchange.caller, arn)
        .ok_or_else(|| ServiceError::access_denied(Service::Sts, &exchange.caller.arn, "sts:AssumeRole", arn))?;
    let expires = exchange.now + TimeDelta::seconds(seconds);
    let rng = &mut exchange.world.rng;
    let id = ids::unique_id(rng, "ASIA");
    let session = Session {
        secret: ids::secret_access_key(rng),
        token: ids::session_token(rng),
        account,
        role,
        name: session_name.to_owned(),
        expires: Some(expires),
    };
    let answer = session_xml(exchange.world, &id, &session);
    exchange.world.forget_ended_sessions(exchange.now);
    exchange.world.sessions.insert(id, session);
    Ok(Reply::Xml(answer))
}

/// The number of sessions from which on ended sessions are dropped.
const MANY_SESSIONS: usize = 64;
/// How long an ended session is refused as expired; afterwards it is refused as unknown.
const REMEMBERED: TimeDelta = TimeDelta::days(1);

impl World {
    fn forget_ended_sessions(&mut self, now: DateTime<Utc>) {
        if self.sessions.len() >= MANY_SESSIONS {
            let ended = |session: &Session| session.expires.is_some_and(|expires| expires + REMEMBERED < now);
            self.sessions.retain(|_, session| !ended(session));
        }
    }
}

fn session_xml(world: &World, id: &str, session: &Session) -> Xml {
    let (partition, account, role, name) = (&world.partition, &session.account, &session.role, &session.name);
    let role_id = &world.accounts[account].roles[role].id;
    let mut credentials = Xml::new()
        .text("AccessKeyId", id)
        .text("SecretAccessKey", &session.secret)
        .text("SessionToken", &session.token);
    if let Some(expires) = session.expires {
        credentials = credentials.time("Expiration", expires);
    }
    let user = Xml::new()
        .text("AssumedRoleId", &format!("{role_id}:{name}"))
        .text("Arn", &format!("arn:{partition}:sts::{account}:assumed-role/{role}/{name}"));
    Xml::new().element("AssumedRoleUser", user).element("Credentials", credentials)
}

/// <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>
fn session_name(input: &Input) -> Result<&str, ServiceError> {
    let name = input.needed("RoleSessionName")?;
    let legal = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
    if (2..=64).contains(&name.len()) && name.chars().all(legal) {
        return Ok(name);
    }
    Err(ServiceError::new(
        400,
        "ValidationError",
        format!(
            "1 validation error detected: Value '{name}' at 'roleSessionName' failed to satisfy constraint: [\\w+=,.@-]*, 2 to 64 characters"
        ),
    ))
}

fn duration(caller: &Caller, input: &Input) -> Result<i64, ServiceError> {
    let seconds = input.number("DurationSeconds")?.unwrap_or(LONGEST_CHAINED_S);
    if !(900..=43_200).contains(&seconds) {
        let message = format!(
            "1 validation error detected: Value '{seconds}' at 'durationSeconds' failed to satisfy constraint: 900 to 43200"
        );
        return Err(ServiceError::new(400, "ValidationError", message));
    }
    if seconds <= LONGEST_CHAINED_S {
        return Ok(seconds);
    }
    let message = if caller.is_role() {
        "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining"
    } else {
        "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
    };
    Err(ServiceError::new(400, "ValidationError", message))
}

/// The account and the name of the role, if it exists, its account is usable and its trust policy allows the caller.
fn trusted_role(world: &World, caller: &Caller, arn: &str) -> Option<(String, String)> {
    let rest = arn.strip_prefix(&format!("arn:{}:iam::", world.partition))?;
    let (account, resource) = rest.split_once(':')?;
    let name = resource.strip_prefix("role/")?;
    let found = world.accounts.get(account)?;
    let role = found.roles.get(name).filter(|_| found.state.usable())?;
    trusts(world, role, caller).then(|| (account.to_owned(), name.to_owned()))
}

fn trusts(world: &World, role: &Role, caller: &Caller) -> bool {
    let account = &caller.account;
    let identity = caller.identity(world);
    let root = format!("arn:{}:iam::{account}:root", world.partition);
    let mut trusted = role.trusts.iter();
    trusted.any(|it| *it == identity || *it == root || it == account || *it == caller.arn)
}
