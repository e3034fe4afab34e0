//! Invokes the sweeper as Lambda does, and reads its answer.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use super::cast::ShardAccount;
use super::judge::Who;
use crate::lifecycle::ActionName;
use crate::model::{AccountStatus, AwsAccount, Cloud, SecretView, UserView};
use crate::rehearsal::deployment::{Deployment, PRIMARY_ACCOUNT};
use crate::sweep::Stage;

/// The template gives the sweeper Lambda's longest time.
const LIMIT: Duration = Duration::from_mins(15);

/// The time for which keywheel leaves a secret restorable.
const RECOVERY_WINDOW: TimeDelta = TimeDelta::days(30);

/// An invocation that has ended.
pub(super) struct Ended {
    /// Whether the event asked for a sweep of all accounts.
    pub(super) is_whole: bool,
    pub(super) started: DateTime<Utc>,
    pub(super) answer: Result<Value, String>,
}

/// Invokes the sweeper; a fault may stop it, and Lambda ends it after its time.
pub(super) async fn invoke(keywheel: Deployment, event: Value, started: DateTime<Utc>) -> Ended {
    let cloud = keywheel.cloud().clone();
    let is_whole = event.get("detail").is_none();
    let work = cloud.until_stopped(Box::pin(async move { keywheel.sweep(event).await }));
    let answer = match tokio::time::timeout(LIMIT, work).await {
        Ok(Ok(Ok(answer))) => Ok(answer),
        Ok(Ok(Err(error))) => Err(error.to_string()),
        Ok(Err(stopped)) => Err(stopped.to_string()),
        Err(_) => Err("the function's time was over".to_owned()),
    };
    Ended { is_whole, started, answer }
}

/// Runs queued rotations until the task is aborted.
pub(super) async fn serve_rotations(cloud: Cloud) -> Ended {
    let started = cloud.clock().now();
    cloud.serve_rotations().await;
    Ended { is_whole: false, started, answer: Err("nothing more to rotate".to_owned()) }
}

/// Whether the template's rules let this event pass.
pub(super) fn is_for_sweeper(event: &Value) -> bool {
    let kind = event["detail"]["eventName"].as_str().or_else(|| event["detail"]["labelUpdated"].as_str());
    matches!(kind, Some("RotationFailed" | "RotationAbandoned" | "TestRotationFailed" | "AWSCURRENT"))
}

/// Everything that a dry run must not change.
pub(super) fn snapshot(cloud: &Cloud) -> (Vec<UserView>, Vec<SecretView>) {
    let users = cloud.account_ids().iter().flat_map(|account| cloud.users(account)).collect();
    (users, cloud.secrets())
}

fn whose(entry: &Value) -> Who {
    let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
    (text("account"), text("user"))
}

/// The first entry in which two plans differ.
pub(super) fn first_difference(planned: &Value, done: &Value) -> Option<(Who, String)> {
    // Only a dry run lists what waits, and both are dry runs if the settings say so.
    let steps = |plan: &'_ Value| -> Option<Vec<Value>> {
        let is_step = |entry: &&Value| entry["action"] != ActionName::Wait.as_str();
        Some(plan.as_array()?.iter().filter(is_step).cloned().collect())
    };
    let (planned, done) = (steps(planned)?, steps(done)?);
    let longest = planned.len().max(done.len());
    let place = (0..longest).find(|n| planned.get(*n) != done.get(*n))?;
    let entry = planned.get(place).or(done.get(place))?;
    let show = |entry: Option<&Value>| entry.map_or_else(|| "nothing".to_owned(), Value::to_string);
    Some((whose(entry), format!("planned {}, done {}", show(planned.get(place)), show(done.get(place)))))
}

/// The users with a failure in the report.
pub(super) fn failed_users(answer: &Value) -> BTreeSet<Who> {
    let failures = answer["failures"].as_array().into_iter().flatten();
    failures.filter(|failure| failure["user"].is_string()).map(whose).collect()
}

/// When keywheel marked a secret for deletion.
pub(super) fn marked_at(cloud: &Cloud, name: &str) -> Option<DateTime<Utc>> {
    let world = cloud.world();
    let secret = world.accounts[PRIMARY_ACCOUNT].secrets.values().find(|secret| secret.name == name)?;
    Some(secret.deletion_date? - RECOVERY_WINDOW)
}

/// The users whose secrets the sweep restored: it knew nothing else of them.
pub(super) fn restored(answer: &Value) -> Vec<Who> {
    let planned = answer["plan"].as_array().into_iter().flatten();
    planned.filter(|entry| entry["action"] == ActionName::Restore.as_str()).map(whose).collect()
}

/// The users for whom the sweep could not record a disabling in the tags.
pub(super) fn not_written_down(answer: &Value) -> BTreeSet<Who> {
    let failures = answer["failures"].as_array().into_iter().flatten();
    let is_of_tag = |failure: &&Value| failure["error"].as_str().is_some_and(|error| error.contains("TagResource"));
    failures.filter(|failure| failure["action"] == ActionName::Disable.as_str()).filter(is_of_tag).map(whose).collect()
}

/// The users whose owners get no notices: users who are exempt or have no active key.
pub(super) fn left_alone(cloud: &Cloud, keywheel: &Deployment) -> Vec<Who> {
    let exempt = &keywheel.settings().exemption_group;
    let world = cloud.world();
    let of_account = world.accounts.values().flat_map(|account| account.users.values().map(|user| (&account.id, user)));
    let alone = of_account.filter(|(_, user)| {
        user.groups.iter().any(|group| group.eq_ignore_ascii_case(exempt))
            || !user.keys.iter().any(|key| key.status == "Active")
    });
    alone.map(|(account, user)| (account.clone(), user.name.clone())).collect()
}

/// Whether the account was not swept, or mails about it may have failed.
pub(super) fn is_untold(answer: &Value, account: &str) -> bool {
    let is_its =
        |failure: &&Value| failure["user"].is_null() && (failure["account"] == account || failure["account"].is_null());
    let mut failures = answer["failures"].as_array().into_iter().flatten().filter(is_its);
    let stages = [Stage::Mail, Stage::Sweep, Stage::Inventory];
    failures.any(|failure| stages.iter().any(|stage| failure["action"] == stage.as_str()))
}

/// The accounts that a sweep can reach.
pub(super) fn reached_accounts(cloud: &Cloud, keywheel: &Deployment, accounts: &[ShardAccount]) -> Vec<String> {
    let world = cloud.world();
    let is_reached = |id: &str| {
        let account = &world.accounts[id];
        let has_role = id == PRIMARY_ACCOUNT || account.roles.contains_key(&keywheel.settings().member_role);
        is_open(account) && has_role
    };
    accounts.iter().map(|account| account.id.clone()).filter(|id| is_reached(id)).collect()
}

/// Whether the account is active and in the organization.
pub(super) fn is_open(account: &AwsAccount) -> bool {
    account.state == AccountStatus::Active && account.is_member
}

/// The names of the secrets that are marked for deletion.
pub(super) fn marked_for_deletion(cloud: &Cloud) -> BTreeSet<String> {
    let now = cloud.clock().now();
    let mut world = cloud.world();
    world.purge_secrets(now);
    let secrets = &world.accounts[PRIMARY_ACCOUNT].secrets;
    secrets.values().filter(|secret| secret.deletion_date.is_some()).map(|secret| secret.name.clone()).collect()
}
