//! The state after a run, in lines that two runs of one scenario can have in common: keys by their order in the user's
//! life instead of their ids, and no times.

use std::collections::{BTreeMap, BTreeSet};

use keywheel::model::{KeyChange, KeyEvent, SecretView, UserView};
use serde_json::Value;

use crate::harness::TestStack;

/// The phases of notices about the fault itself, which a clean run does not send.
const OF_THE_FAULT: [&str; 3] = ["failed", "unfinished", "test-failed"];
const HEADLINES_OF_THE_FAULT: [&str; 3] = ["Could not be rotated", "Is due since", "Needs attention: its next"];
/// Tags that record an observation and may be absent.
const SAVES_A_LOOK: [&str; 2] = ["keywheel:key-dates", "keywheel:placeholder"];
/// The recipient of notices of an account whose address cannot be read.
const FALLBACK: &str = "platform@example.com";

/// Returns the lines, sorted.
pub(crate) fn standing(stage: &TestStack) -> BTreeSet<String> {
    let told = told(stage);
    let accounts = stage.cloud.account_ids();
    let users: Vec<UserView> = accounts.iter().flat_map(|account| stage.cloud.users(account)).collect();
    let secrets = stage.cloud.secrets();
    let names = names_of_keys(stage, &secrets, &told);
    let mut lines = BTreeSet::new();
    for user in &users {
        lines.extend(lines_of_user(user, &names));
    }
    let there = users.iter().flat_map(|user| &user.keys).map(|key| key.id.clone()).collect();
    for secret in &secrets {
        lines.extend(lines_of_secret(secret, &names, &there));
    }
    lines.extend(told.iter().map(|(key, what)| format!("told of {}: {what}", named(key, &names))));
    lines
}

/// Whether a line is different for a while after a key was rotated days later: its notices follow later, and the next
/// sweep records its reader.
pub(crate) fn comes_days_later(line: &str) -> bool {
    line.starts_with("told of ")
        || ["notified", "reader"].iter().any(|tag| line.contains(&format!(" keywheel:{tag} = ")))
}

/// Returns the lines that the second state lacks, and the lines that it has in addition to the first.
pub(crate) fn difference(clean: &BTreeSet<String>, other: &BTreeSet<String>) -> Vec<String> {
    let missing = clean.difference(other).map(|line| format!("- {line}"));
    missing.chain(other.difference(clean).map(|line| format!("+ {line}"))).collect()
}

fn lines_of_user(user: &UserView, names: &BTreeMap<String, String>) -> Vec<String> {
    let who = format!("{}/{}", user.account, user.name);
    let keys = user.keys.iter().map(|key| format!("{who} has {}: {}", named(&key.id, names), key.status));
    keys.chain([format!("{who} is in {:?}, tagged {:?}", user.groups, user.tags)]).collect()
}

fn lines_of_secret(secret: &SecretView, names: &BTreeMap<String, String>, there: &BTreeSet<String>) -> Vec<String> {
    let name = &secret.name;
    let mut lines = Vec::new();
    for version in &secret.versions {
        for stage in &version.stages {
            let holds = version.text().map_or("nothing".to_owned(), |text| value(text, names));
            lines.push(format!("{name} {stage} holds {holds}"));
        }
    }
    for (tag, text) in secret.tags.iter().filter(|(tag, text)| is_standing(tag, text, secret)) {
        let value = tag_value(tag, text, secret, names, there);
        if !value.is_empty() {
            lines.push(format!("{name} tag {tag} = {value}"));
        }
    }
    let schedule = if secret.rotation_enabled { "on" } else { "off" };
    let (function, rules) = (&secret.rotation_function, &secret.rotation_rules);
    lines.push(format!("{name} schedule is {schedule}: {function:?} {rules:?}"));
    lines.push(format!("{name} policy {:?}", secret.policy.as_ref().map(Value::to_string)));
    lines.push(format!("{name} {:?} {:?}", secret.description, secret.kms_key_id));
    lines.push(format!("{name} deleted: {}", secret.deletion_date.is_some()));
    lines.push(format!("{name} last rotation: {:?}", secret.last_rotation));
    lines
}

/// Whether a tag describes what stands: an empty tag does not, nor one that saves calls, nor the failure of a version
/// that is not pending any more.
fn is_standing(tag: &str, text: &str, secret: &SecretView) -> bool {
    let is_pending = |version: &str| secret.version_with("AWSPENDING").is_some_and(|pending| pending.id == version);
    let is_past = tag == "keywheel:failed" && !text.split(' ').nth(2).is_some_and(is_pending);
    !text.is_empty() && !SAVES_A_LOOK.contains(&tag) && !is_past
}

fn value(text: &str, names: &BTreeMap<String, String>) -> String {
    let value: Value = serde_json::from_str(text).unwrap_or_default();
    let key = named(value["AccessKeyId"].as_str().unwrap_or_default(), names);
    match value["SecretAccessKey"].as_str() {
        Some(_) => key,
        None => format!("a placeholder for {key}"),
    }
}

fn tag_value(
    tag: &str,
    text: &str,
    secret: &SecretView,
    names: &BTreeMap<String, String>,
    there: &BTreeSet<String>,
) -> String {
    match tag {
        "keywheel:version" => {
            let version = secret.versions.iter().find(|version| version.id == text);
            format!("{:?}", version.map(|version| version.stages.clone()))
        }
        "keywheel:current-key" | "keywheel:previous-key" => named(text, names),
        "keywheel:rotated-at" | "keywheel:disabled-at" => "a time".to_owned(),
        "keywheel:key-dates" => format!("{} keys", text.split(' ').filter(|date| *date != "-").count()),
        "keywheel:reader" => "the user".to_owned(),
        "keywheel:retiring" => named(text.split(' ').next().unwrap_or_default(), names),
        "keywheel:notified" if secret.deletion_date.is_some() => "of no account any more".to_owned(),
        "keywheel:notified" => notified(text, names, there),
        _ => text.to_owned(),
    }
}

/// Keys that no longer exist need no more notices, so their records do not matter. The days in the records are times.
fn notified(text: &str, names: &BTreeMap<String, String>, there: &BTreeSet<String>) -> String {
    let entries = text.split(' ').filter_map(|entry| entry.split_once('=')).filter(|(key, _)| there.contains(*key));
    let mut entries: Vec<String> = entries
        .map(|(key, phases)| {
            let phases = phases.split('.').map(|phase| phase.split(':').next().unwrap_or_default());
            let mut phases: Vec<&str> = phases.filter(|phase| !OF_THE_FAULT.contains(phase)).collect();
            phases.sort_unstable();
            (key, phases)
        })
        .filter(|(_, phases)| !phases.is_empty())
        .map(|(key, phases)| format!("{} {}", named(key, names), phases.join(".")))
        .collect();
    entries.sort();
    entries.join(", ")
}

fn named(key: &str, names: &BTreeMap<String, String>) -> String {
    names.get(key).cloned().unwrap_or_else(|| format!("an unknown key {key}"))
}

/// Names keys by the order in which they were made, such as `ci-bot's key 2`. Keys that a rotation made and deleted
/// again leave no trace and are not counted.
fn names_of_keys(
    stage: &TestStack,
    secrets: &[SecretView],
    told: &BTreeSet<(String, String)>,
) -> BTreeMap<String, String> {
    let history = stage.cloud.key_history(0);
    let gone: BTreeSet<&str> =
        history.iter().filter(|event| event.change == KeyChange::Deleted).map(|event| event.key.as_str()).collect();
    let staged: Vec<&str> = secrets
        .iter()
        .flat_map(|secret| secret.versions.iter().filter(|version| !version.stages.is_empty()))
        .filter_map(|version| version.text())
        .collect();
    let left_a_trace = |event: &&KeyEvent| {
        event.by.is_none()
            || !gone.contains(event.key.as_str())
            || staged.iter().any(|text| text.contains(&event.key))
            || told.iter().any(|(key, _)| *key == event.key)
    };
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let made = history.iter().filter(|event| event.change == KeyChange::Created).filter(left_a_trace);
    made.map(|event| {
        let count = counts.entry((&event.account, &event.user)).or_default();
        *count += 1;
        (event.key.clone(), format!("{}/{}'s key {count}", event.account, event.user))
    })
    .collect()
}

/// Returns the notices that were sent about each key and their audiences, without dates and without the fault's own.
fn told(stage: &TestStack) -> BTreeSet<(String, String)> {
    let mut told = BTreeSet::new();
    for mail in stage.cloud.mails() {
        let text = mail.text.unwrap_or_default();
        for row in text.split(&"-".repeat(70)).skip(1) {
            let headline = row.trim().lines().next().unwrap_or_default();
            let headline = headline.split(|letter: char| letter.is_ascii_digit()).next().unwrap_or_default().trim();
            // A date is only the first possible one while a fact is unknown.
            let headline = headline.trim_end_matches(" on").trim_end_matches(" from");
            let label =
                row.lines().find_map(|line| line.trim().to_ascii_lowercase().find("access key: ").map(|_| line));
            let key = label.and_then(|line| line.rsplit(' ').next()).unwrap_or_default().to_owned();
            if HEADLINES_OF_THE_FAULT.iter().any(|of_the_fault| headline.starts_with(of_the_fault)) {
                continue;
            }
            for to in &mail.to {
                let to = if to == FALLBACK { "prod@example.com" } else { to };
                told.insert((key.clone(), format!("{headline} (to {to})")));
            }
        }
    }
    told
}
