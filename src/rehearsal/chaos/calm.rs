//! Calm periods: people follow the reported remedies, and at the end everything must be in order.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::cast::Person;
use super::glance::{current_key, key_in};
use super::judge::Who;
use super::life::Life;
use super::rules::Rule;
use crate::keys::{AccessKeyId, VersionId};
use crate::model::{CURRENT, IamUser, KeyView, Secret};
use crate::rehearsal::deployment::PRIMARY_ACCOUNT;
use crate::state::{State, tag};

/// How late a rotation may be at the end of a calm period: it may wait for the pause after a failed attempt, for a free
/// slot, and for the next sweep.
const LATENESS: TimeDelta = TimeDelta::days(5);

/// Applies, for every user, the remedies in the last report and in the last rotation's error. Returns whether one was
/// applied.
pub(super) fn follow_advice(life: &mut Life) -> bool {
    let failures = life.failures.clone();
    let mut done = false;
    for person in life.people.iter().cloned().chain(former(life)).collect::<Vec<_>>() {
        let of_user = |failure: &&Value| failure["account"] == person.account && failure["user"] == person.name;
        let mut errors: Vec<String> = failures
            .iter()
            .filter(of_user)
            .filter_map(|failure| failure["error"].as_str().map(str::to_owned))
            .collect();
        let secret = life.cloud.secret(&person.secret());
        errors.extend(secret.and_then(|secret| secret.last_rotation?.err()));
        for error in errors {
            let who: Who = (person.account.clone(), person.name.clone());
            let now = life.now();
            life.judge().touch(who, now);
            let followed = follow(life, &person, &error);
            done |= followed;
            if let Some(trace) = life.trace.as_mut().filter(|_| followed) {
                trace.advice(now, &person, &error);
            }
        }
    }
    done
}

/// The renamed users under their former names, as far as the last report names them.
fn former(life: &Life) -> Vec<Person> {
    let named = |failure: &Value| Some((failure["account"].as_str()?.to_owned(), failure["user"].as_str()?.to_owned()));
    let is_of_today = |who: &Who| life.people.iter().any(|person| (&person.account, &person.name) == (&who.0, &who.1));
    let names: BTreeSet<Who> = life.failures.iter().filter_map(named).filter(|who| !is_of_today(who)).collect();
    let mut former = Vec::new();
    for (account, name) in names {
        former.extend(life.people.first().cloned().map(|mut person| {
            (person.account, person.name) = (account, name);
            person
        }));
    }
    former
}

/// Applies the remedy that an error names, as a person would. It recognizes a remedy by its wording, so that a new
/// wording of the error has to be copied here. Returns whether the error names a remedy that could be applied.
fn follow(life: &Life, person: &Person, error: &str) -> bool {
    let operate = |operation: &str, mut input: Value| {
        input["SecretId"] = json!(person.secret());
        life.cloud.operate(PRIMARY_ACCOUNT, operation, input).is_ok()
    };
    let named =
        |after: &str, end: char| error.split_once(after).and_then(|(_, rest)| Some(rest.split_once(end)?.0.to_owned()));
    let delete_key = |id: &str| {
        let there = life.cloud.user(&person.account, &person.name).is_some_and(|user| user.key(id).is_some());
        if there {
            life.cloud.delete_key(&person.account, &person.name, id);
        }
        there
    };
    if error.contains("remove the tag") {
        let name = named("tag ", ' ').unwrap_or_default();
        return operate("UntagResource", json!({"TagKeys": [name]}));
    }
    if error.contains("--force-delete-without-recovery") {
        return operate("DeleteSecret", json!({"ForceDeleteWithoutRecovery": true}));
    }
    if error.contains("remove the label with") {
        let version = named("--remove-from-version-id ", '`').unwrap_or_default();
        return operate(
            "UpdateSecretVersionStage",
            json!({"VersionStage": "AWSPENDING", "RemoveFromVersionId": version}),
        );
    }
    if error.contains("Delete the one that is not needed") {
        let stored = super::glance::key_of_readers(&life.cloud, person);
        let user = life.cloud.user(&person.account, &person.name);
        let other = user.and_then(|user| user.keys.into_iter().find(|key| Some(&key.id) != stored.as_ref()));
        return other.is_some_and(|other| delete_key(&other.id));
    }
    if error.contains("it is in ten groups") {
        let user = life.cloud.user(&person.account, &person.name);
        let other = user.and_then(|user| user.groups.into_iter().find(|group| group.starts_with("team-")));
        return other.is_some_and(|group| {
            life.cloud.remove_from_group(&person.account, &group, &person.name);
            true
        });
    }
    if error.contains("or delete this one") {
        return delete_key(&named("active key ", ' ').unwrap_or_default());
    }
    if error.contains("is left as it is: ") && error.contains("was never used") {
        let key = named("is left as it is: ", ' ').unwrap_or_default();
        return life.cloud.use_key(&person.account, &person.name, &key, "s3", life.now()).is_ok();
    }
    if error.contains("which is not an e-mail address") {
        life.cloud.untag_user(&person.account, &person.name, "owner");
        return true;
    }
    error.contains("has no tag keywheel:managed") && operate("DeleteSecret", json!({"RecoveryWindowInDays": 7}))
}

/// Judges every user and the last report at the end of a calm period.
pub(super) fn judge(life: &Life) {
    let now = life.now();
    let periods = life.keywheel.settings().periods;
    for person in &life.people {
        let who: Who = (person.account.clone(), person.name.clone());
        let group = &life.keywheel.settings().exemption_group;
        let Some(user) = life.cloud.user(&person.account, &person.name) else { continue };
        let is_exempt = user.groups.iter().any(|name| name.eq_ignore_ascii_case(group));
        life.judge().check(Rule::TwoKeys, &who, now, user.keys.len() <= 2, || format!("{} keys", user.keys.len()));
        if is_exempt || !user.keys.iter().any(KeyView::is_active) {
            continue;
        }
        let faults = {
            let world = life.cloud.world();
            let secret = super::glance::secret_of(&world, &person.account, &person.name);
            let user = world.accounts[&person.account].user(&person.name);
            user.map(|user| disorder(user, secret, periods.rotation + LATENESS, now)).unwrap_or_default()
        };
        let lost = lost_keys(life, person);
        let mut judge = life.judge();
        judge.check(Rule::InOrder, &who, now, faults.is_empty(), || faults.join("; "));
        judge.check(Rule::OnePerToken, &who, now, lost.is_empty(), || format!("in no version of the secret: {lost:?}"));
    }
    for failure in &life.failures {
        let text = |name: &str| failure[name].as_str().unwrap_or_default().to_owned();
        let who = (text("account"), text("user"));
        life.judge().check(Rule::InOrder, &who, now, false, || format!("still reported: {failure}"));
    }
    let reported = life.failures.is_empty();
    life.judge().check(Rule::InOrder, &Who::default(), now, reported, || "a failure is still reported".to_owned());
}

/// The orphans of a user: keys that rotations made and that are in no version of the secret.
fn lost_keys(life: &Life, person: &Person) -> Vec<String> {
    let made: Vec<String> = {
        let user = life.cloud.user(&person.account, &person.name);
        let judge = life.judge();
        user.into_iter().flat_map(|user| user.keys).map(|key| key.id).filter(|id| judge.is_made(id)).collect()
    };
    let world = life.cloud.world();
    let secret = super::glance::secret_of(&world, &person.account, &person.name);
    let stored: BTreeSet<&str> = secret.iter().flat_map(|secret| secret.versions.iter().filter_map(key_in)).collect();
    made.into_iter().filter(|id| !stored.contains(id.as_str())).collect()
}

/// Everything that is out of order for a user whose keys are rotated.
fn disorder(user: &IamUser, secret: Option<&Secret>, oldest: TimeDelta, now: DateTime<Utc>) -> Vec<String> {
    let Some(secret) = secret else { return vec!["there is no secret".to_owned()] };
    let mut faults = Vec::new();
    let mut expect = |holds: bool, what: &dyn Fn() -> String| {
        if !holds {
            faults.push(what());
        }
    };
    expect(secret.deletion_date.is_none(), &|| "the secret is marked for deletion".to_owned());
    let is_scheduled = secret.rotation.enabled || secret.tags.contains_key(tag::SCHEDULE_OFF);
    expect(is_scheduled, &|| "the schedule is off".to_owned());
    expect(secret.unfinished().is_none(), &|| format!("a rotation is unfinished: {:?}", secret.rotation.last_result));
    let state = State::read(&secret.tags);
    expect(state.managed && state.malformed.is_empty(), &|| format!("tags: {:?}", secret.tags));
    expect(state.intent.is_none(), &|| format!("an intent is left over: {:?}", secret.tags.get(tag::INTENT)));
    let version = secret.staged(CURRENT).and_then(|version| version.id.parse::<VersionId>().ok());
    expect(version.is_some() && state.version == version, &|| format!("the facts are of {:?}", state.version));
    let current = current_key(secret);
    let named = state.current_key.as_ref().map(AccessKeyId::as_str);
    expect(current.is_none() || named == current, &|| format!("the tags name {named:?}, readers get {current:?}"));
    // Before the first rotation the secret holds a placeholder; the tags name the key.
    let key = user.keys.iter().find(|key| current.or(named) == Some(key.id.as_str()));
    expect(key.is_some_and(|key| key.status == "Active"), &|| format!("the key of the secret is {key:?}"));
    for key in user.keys.iter().filter(|key| key.status == "Active") {
        expect(now - key.created <= oldest, &|| format!("{} is {} days old", key.id, (now - key.created).num_days()));
    }
    faults
}
