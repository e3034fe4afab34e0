//! The scenario that `keywheel rehearse` plays: the life of all keys of a small organization, with the real handlers.
//!
//! `organization` defines the cast, `people` carries out what owners do, `timeline` has the lines of the story, and
//! [`super::invariants`] judges. This file plays the days: in the morning people act and the sweeper runs, then owners
//! work, and the native schedule fires until the next morning.

mod organization;
mod people;
mod timeline;

use std::collections::{BTreeMap, BTreeSet};

use aws_credential_types::Credentials;
use chrono::{DateTime, TimeDelta, TimeZone as _, Utc};
use serde::Serialize;
use serde_json::{Value, json};

use super::deployment::Deployment;
use super::invariants::{Violation, Watch};
use crate::error::Error;
use crate::keys::SecretName;
use crate::lifecycle::ActionName;
use crate::model::{Clock, Cloud, Fault, FaultKind, KeyChange, KeyEvent, Mail, SecretView};
use crate::notify::witness::{self, MailedNotices};
use organization::{CastMember, Unit};
use people::People;
pub use timeline::{HeldKey, MailedNotice, TimelineEntry, TimelineSource, TimelineStep};

/// The size of the organization, the days, and the mode.
#[derive(Clone, Debug)]
pub struct ScenarioOptions {
    /// Days after day 0.
    pub days: i64,
    /// The only source of randomness: the same seed gives the same run.
    pub seed: u64,
    /// Users. The cast comes first, then ordinary users.
    pub users: usize,
    /// Accounts, including the stack's own.
    pub accounts: usize,
    /// Deploys keywheel with `DRY_RUN_FLAG=true`.
    pub dry_run: bool,
}

impl Default for ScenarioOptions {
    fn default() -> Self {
        Self { days: 115, seed: 1, users: 22, accounts: 3, dry_run: false }
    }
}

/// A user's keys and secret at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UserSummary {
    /// The account's name.
    pub account: String,
    /// The user's name.
    pub user: String,
    /// The case that the user demonstrates.
    pub shows: String,
    /// The user's keys.
    pub keys: Vec<HeldKey>,
    /// Whether the user was deleted.
    pub deleted: bool,
    /// The secret in words: its key and the next rotation.
    pub secret: String,
}

/// The result of a run, with its counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ScenarioOutcome {
    /// Whether keywheel was deployed with `DRY_RUN_FLAG=true`.
    #[serde(skip)]
    pub dry_run: bool,
    /// The model's time at the end.
    pub at: DateTime<Utc>,
    /// Users at the end.
    pub users: usize,
    /// Keys that rotations made current.
    pub rotations: usize,
    /// Keys that keywheel disabled.
    pub disables: usize,
    /// Keys that keywheel deleted.
    pub deletes: usize,
    /// Mails that keywheel sent.
    pub mails: usize,
    /// Calls to the model, by keywheel and by owners.
    pub api_calls: usize,
    /// How often each invariant was checked.
    pub checks: BTreeMap<char, usize>,
    /// How many checks failed.
    pub broken_invariants: usize,
    /// The failed checks.
    pub violations: Vec<Violation>,
    /// Each user's keys and secret at the end.
    #[serde(skip)]
    pub summaries: Vec<UserSummary>,
}

/// Runs the scenario and passes each entry of the timeline to `tell`. Needs a runtime with paused time
/// ([`crate::model::paused_runtime`]).
///
/// # Errors
/// An error of a whole invocation of the sweeper. Failures for a user or an account are entries of the timeline.
pub async fn run(
    script: &ScenarioOptions,
    tell: &mut dyn FnMut(TimelineEntry),
) -> Result<(Cloud, ScenarioOutcome), Error> {
    fastrand::seed(script.seed);
    let mut rehearsal = Rehearsal::prepare(script, Clock::starting_at(first_morning()))?;
    witness::watch();
    rehearsal.tell_of_keys(tell);
    for day in 0..=script.days {
        rehearsal.day(day, tell).await?;
    }
    Ok(rehearsal.end())
}

/// The organization of day 0 on the system's clock, for `--serve`, and the credentials of an administrator.
///
/// # Errors
/// As [`run`].
pub fn stage(script: &ScenarioOptions) -> Result<(Cloud, Credentials), Error> {
    fastrand::seed(script.seed);
    let rehearsal = Rehearsal::prepare(script, Clock::shifted())?;
    let cloud = rehearsal.cloud().clone();
    let administrator = cloud.role_session(rehearsal.keywheel.settings().primary_account.as_str(), "administrator");
    Ok((cloud, administrator))
}

/// The entries of a plan but those of actions that wait, which only a dry run lists.
fn without_waits(plan: &Value) -> Vec<&Value> {
    plan.as_array().into_iter().flatten().filter(|entry| entry["action"] != ActionName::Wait.as_str()).collect()
}

/// The morning of day 0.
fn first_morning() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 1, 5, 6, 0, 0).single().expect("a time that exists once")
}

/// The days on which a dry run precedes the sweep, and both plans are compared.
const DRY_RUN_DAYS: [i64; 3] = [0, 45, 90];
/// The days on which `GetAccessKeyLastUsed` is denied in one account, so that keywheel does not know the use of keys.
/// They begin before the warnings of the steps that they put off, so these warnings say *from … on*.
const UNKNOWN_USE_DAYS: std::ops::Range<i64> = 92..101;
/// The name of that account.
const UNKNOWN_USE_ACCOUNT: &str = "prod";

struct Rehearsal {
    keywheel: Deployment,
    dry_run: bool,
    names: BTreeMap<String, String>,
    people: People,
    watch: Watch,
    mails: usize,
    history: usize,
    rotations: usize,
    failures: BTreeSet<String>,
    /// Users whose rotation a person has forced, until it makes its key.
    forced: BTreeSet<(String, String)>,
    /// The notices of mails that are not in the timeline yet.
    mailed: Vec<MailedNotices>,
}

impl Rehearsal {
    fn prepare(script: &ScenarioOptions, clock: Clock) -> Result<Self, Error> {
        let day_0 = clock.now();
        let cloud = Cloud::new(clock, script.seed);
        let dry_run = if script.dry_run { "true" } else { "false" };
        let keywheel = Deployment::new(&cloud, &[("DRY_RUN_FLAG", dry_run)])?;
        let units = organization::accounts(script.accounts);
        let cast = organization::users(script.users, &units);
        organization::make(&keywheel, &units, &cast, day_0);
        let names = units.into_iter().map(|Unit { id, name }| (id, name)).collect();
        let people = People::new(cast, &cloud);
        let history = cloud.key_history(0).len();
        let watch = Watch::new();
        let failures = BTreeSet::new();
        Ok(Self {
            keywheel,
            dry_run: script.dry_run,
            names,
            people,
            watch,
            mails: 0,
            history,
            rotations: 0,
            failures,
            forced: BTreeSet::new(),
            mailed: Vec::new(),
        })
    }

    fn cloud(&self) -> &Cloud {
        self.keywheel.cloud()
    }

    async fn day(&mut self, day: i64, tell: &mut dyn FnMut(TimelineEntry)) -> Result<(), Error> {
        let morning = first_morning() + TimeDelta::days(day);
        self.cloud().clock().advance_to(morning).await;
        for (person, words) in self.people.act(&self.keywheel, day).await {
            self.tell_of(day, TimelineSource::Person, &person, words, tell);
        }
        for (account, user) in std::mem::take(&mut self.people.forced) {
            self.watch.force(&account, &user);
            self.forced.insert((account, user));
        }
        self.set_faults(day);
        self.sweep(day, tell).await?;
        self.after_rotations(day, tell).await?;
        for (person, words) in self.people.work(&self.keywheel, day).await {
            self.tell_of(day, TimelineSource::Person, &person, words, tell);
        }
        self.evening(day, morning, tell).await
    }

    /// The native schedule, up to the next morning.
    async fn evening(
        &mut self,
        day: i64,
        morning: DateTime<Utc>,
        tell: &mut dyn FnMut(TimelineEntry),
    ) -> Result<(), Error> {
        while let Some(next) = self.cloud().next_rotation_due().filter(|next| *next < morning + TimeDelta::days(1)) {
            let cloud = self.cloud().clone();
            cloud.clock().advance_to(next).await;
            cloud.fire_due_rotations().await;
            self.after_rotations(day, tell).await?;
            if cloud.next_rotation_due().is_some_and(|again| again <= next) {
                break;
            }
        }
        Ok(())
    }

    fn set_faults(&mut self, day: i64) {
        if day == UNKNOWN_USE_DAYS.start {
            let Some((account, _)) = self.names.iter().find(|(_, name)| *name == UNKNOWN_USE_ACCOUNT) else { return };
            let denied = Fault::on("iam", "GetAccessKeyLastUsed", FaultKind::AccessDenied);
            self.cloud().faults().inject(denied.in_account(account).every());
            let there = self.people.cast().iter().filter(|person| person.account == *account);
            let users = there.map(|person| (person.account.clone(), person.name.clone()));
            self.watch.unknown(users.collect::<Vec<_>>());
        }
        if day == UNKNOWN_USE_DAYS.end {
            self.cloud().faults().clear();
            self.watch.unknown([]);
        }
    }

    async fn sweep(&mut self, day: i64, tell: &mut dyn FnMut(TimelineEntry)) -> Result<(), Error> {
        let rehearsed = if DRY_RUN_DAYS.contains(&day) && !self.dry_run {
            // The first dry run waits for the credential report. The second is comparable with the sweep: no time
            // passes between.
            self.keywheel.sweep(json!({"dry_run": true})).await?;
            Some(self.keywheel.sweep(json!({"dry_run": true})).await?)
        } else {
            None
        };
        let users_before = self.users_in_reach();
        let answer = self.keywheel.sweep(json!({})).await?;
        if let Some(rehearsed) = rehearsed {
            let same = without_waits(&rehearsed["plan"]) == without_waits(&answer["plan"]);
            self.watch
                .check('h', same, || format!("day {day}: {} planned, {} enforced", rehearsed["plan"], answer["plan"]));
        }
        let swept = answer["users"].as_u64().unwrap_or_default();
        self.watch.check('g', swept >= users_before, || format!("day {day}: {swept} of {users_before} users swept"));
        self.tell_report(day, &answer, tell);
        self.settle(day, tell);
        Ok(())
    }

    fn users_in_reach(&self) -> u64 {
        let role = &self.keywheel.settings().member_role;
        let primary = self.keywheel.settings().primary_account.as_str();
        let accounts = self.cloud().account_ids().into_iter();
        let reached = accounts.filter(|id| id == primary || self.cloud().has_role(id, role));
        reached.map(|id| self.cloud().users(&id).len() as u64).sum()
    }

    /// Runs the rotations that were started, passes their events to the sweeper, and judges.
    async fn after_rotations(&mut self, day: i64, tell: &mut dyn FnMut(TimelineEntry)) -> Result<(), Error> {
        let cloud = self.cloud().clone();
        cloud.run_rotations().await;
        for event in cloud.drain_events() {
            let kind = event["detail"]["eventName"].as_str().or_else(|| event["detail"]["labelUpdated"].as_str());
            // The template's EventBridge rules match these events only.
            if matches!(kind, Some("RotationFailed" | "RotationAbandoned" | "TestRotationFailed" | "AWSCURRENT")) {
                let answer = self.keywheel.sweep(event).await?;
                self.tell_report(day, &answer, tell);
            }
        }
        self.settle(day, tell);
        Ok(())
    }

    /// Reports the keys and mails since the last call, and judges.
    fn settle(&mut self, day: i64, tell: &mut dyn FnMut(TimelineEntry)) {
        let cloud = self.cloud().clone();
        self.watch.judge(&cloud, self.keywheel.settings());
        let events = cloud.key_history(self.history);
        self.history += events.len();
        for event in events.iter().filter(|event| event.by.is_some()) {
            let entry = self.step(day, event);
            tell(entry);
        }
        self.mailed.extend(witness::take());
        let mails = cloud.mails();
        for mail in &mails[self.mails..] {
            let notices = self.notices_in(mail);
            let entry = self.line(day, TimelineSource::Mail, mail.to.join(", "), mail.subject.clone());
            tell(TimelineEntry { at: mail.at, notices, ..entry });
        }
        self.mails = mails.len();
    }

    /// Returns the line of a change of a key by keywheel. Ends the order of a person that caused it.
    fn step(&mut self, day: i64, event: &KeyEvent) -> TimelineEntry {
        let user = (event.account.clone(), event.user.clone());
        let by_rotation = event.by.as_deref().is_some_and(|by| by.contains("-rotation/"));
        let forced = by_rotation && self.forced.contains(&user);
        let by_force = if forced { ", by force" } else { "" };
        let (action, key, new_key, what) = match event.change {
            KeyChange::Created => {
                self.rotations += 1;
                self.forced.remove(&user);
                let old = event.others.first().map(|(old, ..)| old.clone());
                let what = format!("rotation makes, tests and stores {}{}", event.key, beside(event));
                ("rotate", old, Some(event.key.clone()), what)
            }
            KeyChange::Disabled => {
                ("disable", Some(event.key.clone()), None, format!("disable {}{by_force}", event.key))
            }
            KeyChange::Deleted => ("delete", Some(event.key.clone()), None, format!("delete {}{by_force}", event.key)),
            KeyChange::Enabled => ("enable", Some(event.key.clone()), None, format!("enable {}", event.key)),
        };
        let entry = self.line(day, TimelineSource::Keywheel, self.name_of(&event.account, &event.user), what);
        let step = TimelineStep { action: action.to_owned(), key, new_key, forced };
        TimelineEntry { at: event.at, step: Some(step), ..entry }
    }

    /// Takes the notices of this mail, in the order in which mails with the same recipient and subject were sent.
    fn notices_in(&mut self, mail: &Mail) -> Vec<MailedNotice> {
        let is_it = |it: &MailedNotices| mail.to == [it.to.as_str()] && mail.subject == it.subject;
        let Some(at) = self.mailed.iter().position(is_it) else { return Vec::new() };
        self.mailed.remove(at).notices.iter().map(MailedNotice::of).collect()
    }

    /// Returns a line with the present time and without details.
    fn line(&self, day: i64, source: TimelineSource, who: String, what: String) -> TimelineEntry {
        let (at, dry_run) = (self.cloud().clock().now(), self.dry_run);
        TimelineEntry { dry_run, day, at, source, who, what, step: None, held: None, notices: Vec::new() }
    }

    /// Writes a line for each key that exists on day 0.
    fn tell_of_keys(&self, tell: &mut dyn FnMut(TimelineEntry)) {
        for person in self.people.cast() {
            for held in self.keys_of(person) {
                let what = format!("{held}, made {}", held.created.date_naive());
                let entry = self.line(0, TimelineSource::Key, self.name_of(&person.account, &person.name), what);
                tell(TimelineEntry { held: Some(held), ..entry });
            }
        }
    }

    fn keys_of(&self, person: &CastMember) -> Vec<HeldKey> {
        let user = self.cloud().user(&person.account, &person.name);
        let keys = user.into_iter().flat_map(|user| user.keys);
        keys.map(|key| HeldKey { key: key.id, status: key.status, created: key.created }).collect()
    }

    fn tell_report(&mut self, day: i64, answer: &Value, tell: &mut dyn FnMut(TimelineEntry)) {
        for planned in answer["plan"].as_array().into_iter().flatten() {
            if let Some(entry) = self.planned(day, planned) {
                tell(entry);
            }
        }
        let mut failures = BTreeSet::new();
        for failure in answer["failures"].as_array().into_iter().flatten() {
            let who = self.name_of_value(failure);
            let what = format!("{}: {}", text(&failure["action"]), text(&failure["error"]));
            let line = format!("{who} {what}");
            // A failure that persists is reported once.
            if !self.failures.contains(&line) {
                tell(self.line(day, TimelineSource::Problem, who, what));
            }
            failures.insert(line);
        }
        self.failures.append(&mut failures);
    }

    /// Returns the line of a planned action; `None` if it appears as a mail or as the change of a key.
    fn planned(&self, day: i64, planned: &Value) -> Option<TimelineEntry> {
        const SHOWN_AS_CHANGE: [ActionName; 2] = [ActionName::Disable, ActionName::Delete];
        let is = |name: ActionName| planned["action"] == name.as_str();
        if is(ActionName::Notify) || (!self.dry_run && SHOWN_AS_CHANGE.into_iter().any(is)) {
            return None;
        }
        let starts = !self.dry_run && is(ActionName::Rotate);
        let action = if starts { "start-rotation".to_owned() } else { text(&planned["action"]) };
        let what = text(&planned["detail"]);
        let key = what.split(|it: char| !it.is_ascii_alphanumeric()).find(|word| word.starts_with("AKIA"));
        let step = TimelineStep { action, key: key.map(str::to_owned), ..TimelineStep::default() };
        let entry = self.line(day, TimelineSource::Keywheel, self.name_of_value(planned), what);
        Some(TimelineEntry { step: Some(step), ..entry })
    }

    fn tell_of(
        &self,
        day: i64,
        source: TimelineSource,
        person: &CastMember,
        what: String,
        tell: &mut dyn FnMut(TimelineEntry),
    ) {
        tell(self.line(day, source, self.name_of(&person.account, &person.name), what));
    }

    fn name_of_value(&self, entry: &Value) -> String {
        self.name_of(&text(&entry["account"]), &text(&entry["user"]))
    }

    fn name_of(&self, account: &str, user: &str) -> String {
        let account = self.names.get(account).map_or(account, String::as_str);
        if user.is_empty() { account.to_owned() } else { format!("{account}/{user}") }
    }

    fn end(mut self) -> (Cloud, ScenarioOutcome) {
        let cloud = self.cloud().clone();
        self.watch.judge_end(&cloud);
        let ours: Vec<KeyEvent> = cloud.key_history(0).into_iter().filter(|event| event.by.is_some()).collect();
        let count = |change| ours.iter().filter(|event| event.change == change).count();
        let summaries = self.people.cast().iter().map(|person| self.summary(person)).collect();
        let outcome = ScenarioOutcome {
            dry_run: self.dry_run,
            at: cloud.clock().now(),
            users: self.people.cast().len(),
            rotations: self.rotations,
            disables: count(KeyChange::Disabled),
            deletes: count(KeyChange::Deleted),
            mails: cloud.mails().len(),
            api_calls: cloud.call_count(),
            checks: self.watch.checks,
            broken_invariants: self.watch.violations.len(),
            violations: self.watch.violations,
            summaries,
        };
        (cloud, outcome)
    }

    fn summary(&self, person: &CastMember) -> UserSummary {
        let deleted = self.cloud().user(&person.account, &person.name).is_none();
        let secret = person.account.parse().ok().zip(person.name.parse().ok()).and_then(|(account, name)| {
            self.cloud().secret(&SecretName::of(&crate::keys::UserRef { account, name }).to_string())
        });
        let secret = secret.map_or_else(|| "none".to_owned(), |secret| secret_in_words(&secret));
        UserSummary {
            account: self.names.get(&person.account).cloned().unwrap_or_default(),
            user: person.name.clone(),
            shows: person.shows.to_owned(),
            keys: self.keys_of(person),
            deleted,
            secret,
        }
    }
}

fn beside(event: &KeyEvent) -> String {
    event.others.first().map(|(old, ..)| format!("; it replaces {old}")).unwrap_or_default()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn secret_in_words(secret: &SecretView) -> String {
    if let Some(deletion) = secret.deletion_date {
        return format!("deleted on {}", deletion.date_naive());
    }
    let value = secret.json("AWSCURRENT").unwrap_or_default();
    let holds = match value["Status"].as_str() {
        Some("Active") => text(&value["AccessKeyId"]),
        _ => "placeholder".to_owned(),
    };
    match secret.next_rotation.filter(|_| secret.rotation_enabled) {
        Some(next) => format!("{holds}, next rotation {}", next.date_naive()),
        None => format!("{holds}, no schedule"),
    }
}
