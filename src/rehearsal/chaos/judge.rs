//! The judge of a shard. It sees every change of a key at the moment of the change, with the world as it is then.
//!
//! It judges keywheel by what was true and by what keywheel could know. AWS has no transactions over IAM and Secrets
//! Manager, so keywheel cannot see an act of a person during its own invocation. Such an act excuses keywheel for as
//! long as the invocation can have been running.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use chrono::{DateTime, TimeDelta, Utc};

use super::glance::{current_key, secret_of, was_readers};
use super::rules::Rule;
use crate::calendar::due;
use crate::model::{IamUser, KeyChange, KeyEvent, World};
use crate::rehearsal::invariants::Violation;
use crate::settings::{Periods, Settings};
use crate::state::{Phase, State, tag};

/// How long an invocation can run: Lambda's limit of 15 minutes, and a minute for calls that it had sent.
const LONGEST_INVOCATION: TimeDelta = TimeDelta::minutes(16);
/// How long an invocation takes if no call is slow: it waits some seconds for AWS to be consistent.
const QUICK_INVOCATION: TimeDelta = TimeDelta::seconds(150);

/// A user: account id and name. Both are empty if a rule is about no single user.
pub(super) type Who = (String, String);

/// The settings that were deployed at `from`.
#[derive(Debug)]
struct InForce {
    from: DateTime<Utc>,
    periods: Periods,
    dry_run: bool,
    exemption_group: String,
}

/// A key that is disabled.
#[derive(Debug)]
struct Disabled {
    who: Who,
    /// When its recovery grace began.
    since: DateTime<Utc>,
    /// keywheel disabled it and did not report that it could not record that.
    by_keywheel: bool,
    /// When a person first enabled it again.
    enabled_at: Option<DateTime<Utc>>,
    /// Whether a sweep could see it enabled.
    was_seen: bool,
}

/// A sweep that could read everything and send every notice.
#[derive(Debug)]
struct GoodSweep {
    /// When it began: it plans for that time.
    at: DateTime<Utc>,
    failed: BTreeSet<Who>,
}

/// A read that fails every time, from `since` until `until`.
#[derive(Debug)]
pub(super) struct FailingRead {
    pub(super) operation: String,
    pub(super) account: Option<String>,
    pub(super) since: DateTime<Utc>,
    pub(super) until: DateTime<Utc>,
}

/// The state of the judge, its counts, and the first violation.
#[derive(Debug, Default)]
pub(super) struct Judge {
    /// The existing keys that keywheel made, each with the token of its rotation.
    made: HashMap<String, Option<String>>,
    disabled: HashMap<String, Disabled>,
    /// When a person last changed a user's keys, groups or secret.
    touched: HashMap<Who, DateTime<Utc>>,
    /// When a person last removed or outdated facts in the tags of a user's secret.
    tampered: HashMap<Who, DateTime<Utc>>,
    in_force: VecDeque<InForce>,
    /// The largest error of a function's clock so far.
    pub(super) skew: TimeDelta,
    /// The longest lag of `ListAccessKeys` so far.
    pub(super) lag: TimeDelta,
    /// Until when a fault may make calls slow.
    pub(super) is_slow_until: Option<DateTime<Utc>>,
    pub(super) unreadable: Vec<FailingRead>,
    /// When a mail last named each key.
    told: HashMap<String, DateTime<Utc>>,
    good_sweeps: HashMap<String, VecDeque<GoodSweep>>,
    /// How often each rule was checked.
    pub(super) checks: BTreeMap<char, u64>,
    /// The first violation, its user and its time.
    pub(super) found: Option<(Violation, Who, DateTime<Utc>)>,
    pub(super) made_count: u64,
    pub(super) disabled_count: u64,
    pub(super) deleted_count: u64,
}

/// How long IAM returns the same credential report.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_getting-report.html>
const REPORT_LASTS: TimeDelta = TimeDelta::hours(4);

impl Judge {
    /// Counts a check, and keeps the first one that fails.
    pub(super) fn check(
        &mut self,
        rule: Rule,
        who: &Who,
        at: DateTime<Utc>,
        holds: bool,
        what: impl FnOnce() -> String,
    ) {
        *self.checks.entry(rule.letter()).or_default() += 1;
        if !holds && self.found.is_none() {
            let violation = Violation { invariant: rule.letter(), what: what() };
            self.found = Some((violation, who.clone(), at));
        }
    }

    /// Records that these settings were deployed.
    pub(super) fn deployed(&mut self, settings: &Settings, now: DateTime<Utc>) {
        self.in_force.push_back(InForce {
            from: now,
            periods: settings.periods,
            dry_run: settings.dry_run,
            exemption_group: settings.exemption_group.clone(),
        });
        // An invocation goes on with the settings that it started with.
        while self.in_force.get(1).is_some_and(|next| next.from + LONGEST_INVOCATION < now) {
            self.in_force.pop_front();
        }
    }

    /// Records that a person removed or outdated facts in the user's tags: keywheel no longer knows what it did before.
    pub(super) fn tamper(&mut self, who: Who, now: DateTime<Utc>) {
        self.tampered.insert(who, now);
    }

    /// Records that a person renamed the user. The facts are in the tags of the old name's secret.
    pub(super) fn rename(&mut self, who: Who, new: &Who, now: DateTime<Utc>) {
        for disabled in self.disabled.values_mut().filter(|disabled| disabled.who == who) {
            disabled.who = new.clone();
        }
        for name in [who, new.clone()] {
            self.tamper(name.clone(), now);
            self.touch(name, now);
        }
    }

    /// Records that a person changed the user's keys, groups or secret.
    pub(super) fn touch(&mut self, who: Who, now: DateTime<Utc>) {
        self.touched.insert(who, now);
    }

    /// Records the keys that a mail names.
    pub(super) fn tell(&mut self, text: &str, at: DateTime<Utc>) {
        for (start, _) in text.match_indices("AKIA") {
            if let Some(id) = text.get(start..start + 20) {
                self.told.insert(id.to_owned(), at);
            }
        }
    }

    /// Records that a sweep that began at `from` covered the account, except the users in `failed`.
    pub(super) fn swept_well(&mut self, account: &str, from: DateTime<Utc>, failed: &BTreeSet<Who>) {
        let sweeps = self.good_sweeps.entry(account.to_owned()).or_default();
        sweeps.push_back(GoodSweep { at: from, failed: failed.clone() });
        if sweeps.len() > 60 {
            sweeps.pop_front();
        }
        let seen = |it: &&mut Disabled| it.who.0 == account && !failed.contains(&it.who);
        for disabled in self.disabled.values_mut().filter(seen) {
            // The credential report, which decides which users are observed, may be this old.
            disabled.was_seen |= disabled.enabled_at.is_some_and(|enabled| enabled + REPORT_LASTS < from);
        }
    }

    /// Records that a sweep could not record which keys of these users it disabled. If a person then enables such a
    /// key, no later sweep can know that it was disabled.
    pub(super) fn not_written_down(&mut self, from: DateTime<Utc>, whose: &BTreeSet<Who>) {
        let disabled = self.disabled.values_mut();
        for disabled in disabled.filter(|it| it.since >= from && whose.contains(&it.who)) {
            disabled.by_keywheel = false;
        }
    }

    fn window(&self, at: DateTime<Utc>) -> DateTime<Utc> {
        let slow = self.is_slow_until.is_some_and(|until| at <= until + LONGEST_INVOCATION);
        at - self.lag - if slow { LONGEST_INVOCATION } else { QUICK_INVOCATION }
    }

    /// Whether a person changed something of the user while the invocation can have been running.
    pub(super) fn was_touched(&self, who: &Who, at: DateTime<Utc>) -> bool {
        self.touched.get(who).is_some_and(|touched| *touched >= self.window(at))
    }

    /// The settings that an invocation acting at `at` can have had.
    fn deciding(&self, at: DateTime<Utc>) -> impl Iterator<Item = &InForce> {
        let window = self.window(at);
        let last = self.in_force.len().saturating_sub(1);
        self.in_force.iter().enumerate().filter_map(move |(n, it)| {
            let ended = self.in_force.get(n + 1).map(|next| next.from);
            (n == last || ended.is_some_and(|ended| ended >= window)).then_some(it)
        })
    }

    /// Judges one change of one key.
    pub(super) fn observe(&mut self, world: &World, event: &KeyEvent) {
        match &event.by {
            None => self.touch((event.account.clone(), event.user.clone()), event.at),
            Some(_) => self.judge(world, event),
        }
        self.remember(event);
    }

    fn remember(&mut self, event: &KeyEvent) {
        let key = &event.key;
        match event.change {
            KeyChange::Created if event.by.is_some() => {
                self.made.insert(key.clone(), event.rotation.clone());
                self.made_count += 1;
            }
            KeyChange::Created => {}
            KeyChange::Enabled => {
                if let Some(disabled) = self.disabled.get_mut(key) {
                    disabled.enabled_at.get_or_insert(event.at);
                }
            }
            KeyChange::Disabled => {
                self.disabled_count += u64::from(event.by.is_some());
                // If a person enables and disables a key between two sweeps without using it, AWS shows no trace of it.
                let unseen = self.disabled.get(key).filter(|before| !before.was_seen && event.by.is_none());
                let since = unseen.map_or(event.at, |before| before.since);
                let who = (event.account.clone(), event.user.clone());
                let by_keywheel = event.by.is_some();
                let disabled = Disabled { who, since, by_keywheel, enabled_at: None, was_seen: false };
                self.disabled.insert(key.clone(), disabled);
            }
            KeyChange::Deleted => {
                self.deleted_count += u64::from(event.by.is_some());
                self.made.remove(key);
                self.disabled.remove(key);
                self.told.remove(key);
            }
        }
    }

    fn judge(&mut self, world: &World, event: &KeyEvent) {
        let scene = Scene::of(self, world, event);
        let (who, at) = (scene.who.clone(), event.at);
        let what =
            || format!("{} of {} in {} ({:?} by {})", event.key, event.user, event.account, event.change, scene.role());
        let dry = !self.deciding(at).any(|it| !it.dry_run);
        self.check(Rule::DryRun, &who, at, !dry, || format!("{} in a dry run", what()));
        // The user may have joined the group while the invocation was running.
        let exempt = scene.is_exempt && !scene.touched;
        self.check(Rule::Exempt, &who, at, !exempt, || format!("{} although the user is exempt", what()));
        match event.change {
            KeyChange::Created => self.judge_made(&scene, event, &what),
            KeyChange::Enabled => self.check(Rule::NothingMinted, &who, at, false, || format!("{} enabled", what())),
            KeyChange::Disabled => self.judge_disabled(&scene, event, &what),
            KeyChange::Deleted => self.judge_deleted(&scene, event, &what),
        }
    }

    fn judge_made(&mut self, scene: &Scene, event: &KeyEvent, what: &dyn Fn() -> String) {
        let (who, at) = (&scene.who, event.at);
        let another = event.another_was_active() || scene.touched;
        self.check(Rule::NothingMinted, who, at, another, || format!("{} made beside no active key", what()));
        self.check(Rule::TwoKeys, who, at, event.others.len() < 2, || format!("{} is a third key", what()));
        let twin = event.rotation.is_some()
            && event.others.iter().any(|(id, ..)| self.made.get(id).is_some_and(|token| *token == event.rotation));
        self.check(Rule::OnePerToken, who, at, !twin || scene.touched, || {
            format!("{} is the second key of rotation {:?}", what(), event.rotation)
        });
    }

    fn judge_disabled(&mut self, scene: &Scene, event: &KeyEvent, what: &dyn Fn() -> String) {
        let (who, at) = (&scene.who, event.at);
        let excused = scene.touched || scene.is_orphan;
        self.check(Rule::TwoKeys, who, at, event.another_was_active() || scene.touched || scene.is_orphan, || {
            format!("{} is the last active key", what())
        });
        let unreadable = scene.unreadable.clone();
        self.check(Rule::Unknown, who, at, unreadable.is_none() || excused || scene.forced, || {
            format!("{} while {} fails", what(), unreadable.unwrap_or_default())
        });
        self.check(Rule::Successor, who, at, excused || scene.forced || scene.successor.is_ok(), || {
            format!("{}: {}", what(), scene.successor.clone().err().unwrap_or_default())
        });
        let tampered = self.tampered.get(who);
        let known =
            self.disabled.get(&event.key).filter(|it| it.by_keywheel && tampered.is_none_or(|at| *at < it.since));
        let enabled = known.and_then(|it| it.enabled_at);
        let heeded = enabled.is_none_or(|enabled| self.has_its_grace(who, enabled, at));
        self.check(Rule::Heeded, who, at, heeded || excused || scene.forced, || {
            format!("{}, which a person enabled at {enabled:?}", what())
        });
        let since = scene
            .retirement_since
            .map(|since| if scene.is_replaced { self.warned_from(who, since, at, false) } else { since });
        let told = excused || scene.forced || self.was_told(event, since);
        self.check(Rule::Told, who, at, told, || format!("{} without a notice since {since:?}", what()));
    }

    fn judge_deleted(&mut self, scene: &Scene, event: &KeyEvent, what: &dyn Fn() -> String) {
        let (who, at) = (&scene.who, event.at);
        // keywheel cannot see a person who enables the key at the moment of its deletion, or within the lag of lists:
        // IAM deletes a key of any status.
        let inactive = event.status_before == "Inactive" || scene.touched;
        self.check(Rule::DisabledFirst, who, at, inactive, || format!("{} while {}", what(), event.status_before));
        let excused = scene.touched || scene.is_orphan;
        let unreadable = scene.unreadable.clone();
        // A forced rotation deletes the other key whether or not its use is known.
        self.check(Rule::Unknown, who, at, unreadable.is_none() || excused || scene.forced, || {
            format!("{} while {} fails", what(), unreadable.unwrap_or_default())
        });
        let another = event.another_was_active() || excused;
        self.check(Rule::TwoKeys, who, at, another, || format!("{} beside no active key", what()));
        let disabled = self.disabled.get(&event.key).map(|it| it.since);
        let shortest = self.deciding(at).map(|it| it.periods.recovery_grace).min().unwrap_or_default();
        // Once a person has removed a tag, keywheel knows only the disabling that the tags record. A key that a person
        // enabled and disabled again meanwhile looks as if it had been disabled all the time.
        let is_tampered =
            self.tampered.get(who).is_some_and(|tampered| disabled.is_none_or(|since| *tampered >= since));
        let known = if is_tampered { scene.disabled_at.or(disabled) } else { disabled };
        let recovered = known.is_some_and(|since| self.is_over(since, shortest, at));
        let kept = scene.announced.is_none_or(|day| at + self.skew >= day);
        self.check(Rule::Recovery, who, at, (recovered && kept) || scene.is_orphan || scene.forced, || {
            let (days, announced) = (shortest.num_days(), scene.announced);
            format!("{}, disabled at {disabled:?}, within {days} days or before {announced:?}", what())
        });
        let since = scene.disabled_at.or(disabled).map(|since| self.warned_from(who, since, at, true));
        let told = scene.is_orphan || scene.forced || scene.touched || self.was_told(event, since);
        self.check(Rule::Told, who, at, told, || format!("{} without a notice since {since:?}", what()));
    }

    /// Whether the installation grace has passed since a person enabled a key that keywheel had disabled. Returns true
    /// if the settings changed since, or if a person removed the record of the disabling.
    fn has_its_grace(&self, who: &Who, enabled: DateTime<Utc>, at: DateTime<Utc>) -> bool {
        let touched = self.touched.get(who).is_some_and(|touched| *touched > enabled);
        let Some(it) = self.in_force.back().filter(|it| it.from <= enabled && !touched) else { return true };
        self.is_over(enabled, it.periods.installation_grace, at)
    }

    /// Whether keywheel could see that many days of the calendar pass. The time is written and read by two clocks, each
    /// wrong by up to `skew`. The fraction of a second that a tag drops leaves the day as it is.
    fn is_over(&self, since: DateTime<Utc>, grace: TimeDelta, at: DateTime<Utc>) -> bool {
        at + self.skew >= due(since - self.skew, grace)
    }

    /// When the warning for the end of a grace that began at `since` is due: the warning period before the end. Returns
    /// `since` if the settings changed meanwhile, or if a person removed the record of the beginning.
    fn warned_from(&self, who: &Who, since: DateTime<Utc>, at: DateTime<Utc>, is_recovery: bool) -> DateTime<Utc> {
        let touched = self.touched.get(who).is_some_and(|touched| *touched >= since);
        let Some(it) = self.in_force.back().filter(|it| it.from <= since && !touched) else { return since };
        let grace = if is_recovery { it.periods.recovery_grace } else { it.periods.installation_grace };
        (due(since - self.skew, grace) - it.periods.warn).clamp(since, at.max(since))
    }

    /// Whether a mail named the key since then. Returns true if no sweep could have sent one.
    fn was_told(&self, event: &KeyEvent, since: Option<DateTime<Utc>>) -> bool {
        let Some(since) = since else { return true };
        let from = since - self.skew - TimeDelta::seconds(1);
        if self.told.get(&event.key).is_some_and(|told| *told >= from) {
            return true;
        }
        let who = (event.account.clone(), event.user.clone());
        let Some(sweeps) = self.good_sweeps.get(&event.account) else { return true };
        // The next sweep sends the notices of events that happened after this sweep began.
        let after = since + self.skew + LONGEST_INVOCATION;
        !sweeps.iter().any(|sweep| sweep.at > after && sweep.at < event.at && !sweep.failed.contains(&who))
    }
}

/// The facts around a change of a key.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
struct Scene {
    who: Who,
    by: String,
    touched: bool,
    is_exempt: bool,
    /// Made by a rotation, and never current.
    is_orphan: bool,
    forced: bool,
    unreadable: Option<String>,
    successor: Result<(), String>,
    retirement_since: Option<DateTime<Utc>>,
    /// A rotation replaced it, and it is not retired ahead of time.
    is_replaced: bool,
    /// As the tags record it.
    disabled_at: Option<DateTime<Utc>>,
    /// The latest day that a notice named for the deletion, as the tags record it.
    announced: Option<DateTime<Utc>>,
}

impl Scene {
    fn of(judge: &Judge, world: &World, event: &KeyEvent) -> Self {
        let who: Who = (event.account.clone(), event.user.clone());
        let user = world.accounts.get(&event.account).and_then(|account| account.user(&event.user));
        let secret = secret_of(world, &event.account, &event.user);
        let by = event.by.clone().unwrap_or_default();
        let made = judge.made.contains_key(&event.key);
        // A tag with an empty value counts as absent.
        let text = |name: &str| secret.and_then(|secret| secret.tags.get(name)).map(String::as_str);
        let tag = |name: &str| text(name).filter(|text| !text.is_empty());
        let is_orphan = made && !secret.is_some_and(|secret| was_readers(secret, &event.key));
        let current = secret.and_then(current_key);
        Self {
            touched: judge.was_touched(&who, event.at),
            is_exempt: user.is_some_and(|user| judge.is_exempt(user, event.at)),
            is_orphan,
            forced: tag(tag::FORCE) == Some("true"),
            unreadable: judge.unreadable(event, &by),
            successor: successor(judge, event, current, &tag),
            retirement_since: retirement_since(&event.key, &tag),
            is_replaced: tag(tag::PREVIOUS_KEY) == Some(&event.key) && tag(tag::RETIRING).is_none(),
            disabled_at: tag(tag::DISABLED_AT).and_then(|text| text.parse().ok()),
            announced: secret.and_then(|secret| announced(&event.key, &State::read(&secret.tags))),
            who,
            by,
        }
    }

    fn role(&self) -> &str {
        if self.by.contains("-rotation/") { "the rotation function" } else { "the sweeper" }
    }
}

/// Checks that the key may be disabled, in one of the two documented cases: a rotation replaced it by a current, tested
/// key; or it gives way as a second key, and the other key is in use or neither is.
fn successor<'a>(
    judge: &Judge,
    event: &KeyEvent,
    current: Option<&str>,
    tag: &impl Fn(&str) -> Option<&'a str>,
) -> Result<(), String> {
    if current == Some(event.key.as_str()) && tag(tag::ROTATED_AT).is_some() {
        return Err("it is the current key".to_owned());
    }
    let announced = tag(tag::RETIRING).is_some_and(|text| text.starts_with(&event.key));
    if tag(tag::PREVIOUS_KEY) != Some(event.key.as_str()) && !announced {
        return Err("no tag announces its retirement".to_owned());
    }
    let fits = event.others.iter().any(|(id, status, used)| {
        // The test of a key counts as its first use.
        let tested = judge.made.contains_key(id) && current == Some(id.as_str()) && *used;
        status == "Active" && (tested || *used || !event.used)
    });
    if fits { Ok(()) } else { Err(format!("no successor is known to work: {:?}", event.others)) }
}

/// The latest day that a notice named for the deletion of the key.
fn announced(key: &str, state: &State) -> Option<DateTime<Utc>> {
    let key = key.parse().ok()?;
    let phases = [Phase::Disabled, Phase::DeleteAhead, Phase::LastCall];
    phases.into_iter().filter_map(|phase| state.notified.announced(&key, phase)).map(|(day, _)| day).max()
}

/// When the key's retirement began, as the tags record it.
fn retirement_since<'a>(key: &str, tag: &impl Fn(&str) -> Option<&'a str>) -> Option<DateTime<Utc>> {
    let replaced = tag(tag::PREVIOUS_KEY).filter(|previous| *previous == key).and_then(|_| tag(tag::ROTATED_AT));
    let retiring = tag(tag::RETIRING).and_then(|text| text.strip_prefix(key)?.strip_prefix(' '));
    let times = [replaced, retiring].into_iter().flatten().filter_map(|text| text.parse().ok());
    times.max()
}

impl Judge {
    fn is_exempt(&self, user: &IamUser, at: DateTime<Utc>) -> bool {
        let is_in = |group: &String| user.groups.iter().any(|name| name.eq_ignore_ascii_case(group));
        self.deciding(at).all(|it| is_in(&it.exemption_group))
    }

    /// A read that the decision needs and that cannot have succeeded.
    fn unreadable(&self, event: &KeyEvent, by: &str) -> Option<String> {
        const OF_BOTH: [&str; 3] = ["ListAccessKeys", "DescribeSecret", "GetAccessKeyLastUsed"];
        const OF_ROTATION: [&str; 1] = ["ListGroupsForUser"];
        const OF_SWEEPER: [&str; 2] = ["GetAccountAuthorizationDetails", "ListSecrets"];
        let of_this: &[&str] = if by.contains("-rotation/") { &OF_ROTATION } else { &OF_SWEEPER };
        let is_needed = |operation: &str| OF_BOTH.contains(&operation) || of_this.contains(&operation);
        let window = self.window(event.at);
        let hits = |it: &&FailingRead| {
            is_needed(&it.operation)
                && it.since < window
                && event.at < it.until
                && it.account.as_ref().is_none_or(|account| *account == event.account)
        };
        self.unreadable.iter().find(hits).map(|it| it.operation.clone())
    }

    /// Whether a rotation made the key and the key still exists.
    pub(super) fn is_made(&self, key: &str) -> bool {
        self.made.contains_key(key)
    }
}
