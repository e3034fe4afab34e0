//! One account: its lists → the users that have to be looked at → what came of them.
//!
//! Lists cost a call for a hundred or a thousand users, a look costs calls for each. Who is quiet by the lists is not
//! looked at (`lifecycle::is_quiet`). Secrets come page by page and are dropped with their page: what is kept of a user
//! who was not come to is a line of the list of users and one of the credential report, some 150 bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::StreamExt as _;
use futures_util::stream;
use tracing::{info, warn};

use super::Sweep;
use super::members::Members;
use super::observe::{self, Member, Place, Policy};
use super::report::Failure;
use super::tally::Tally;
use super::user::{self, OUT_OF_TIME, Outcome};
use crate::aws::{CallFailure, DatedReport, Iam, SecretDescription, has_group};
use crate::keys::{AccountId, UserName};
use crate::lifecycle::{self, Exemption, KeySighting, Listed, SecretFacts, Sighting};

/// So many users are looked at for the price of the credential report, and a look sees what is not hours old.
const USERS_WORTH_A_REPORT: usize = 2;

/// No list shows a secret's resource policy. Of users for whom there is nothing to do, so many policies are read in each
/// run, of others each time; all are read before a rotation.
const POLICIES_A_RUN: usize = 2;

/// Users without a secret are taken out of the list so many at a time: in a new account these are all of its users.
const LOOKS_AT_ONCE: usize = 500;

/// IAM makes a report within seconds.
const WAIT_FOR_REPORT: Duration = Duration::from_secs(4);
/// After so many waits the users are looked at without one.
const WAITS_FOR_REPORT: usize = 8;

/// What is there in one account, before its secrets are.
struct Account {
    iam: Arc<dyn Iam>,
    groups: BTreeSet<String>,
    /// Users who were not come to yet.
    users: BTreeMap<UserName, Member>,
    report: Option<DatedReport>,
    listed_at: DateTime<Utc>,
    pages: usize,
}

/// A user, or a secret without one, that is looked at.
enum Look {
    User(Member, Option<SecretDescription>, Policy),
    Gone(SecretDescription),
}

/// Sweeps one account. What goes wrong with its users is in the tally; `unsettled` gets what is left to settle once all
/// accounts are swept.
///
/// # Errors
/// The failure of a list: a part of the users or secrets would look like all of them. What was done before is done.
pub(super) async fn sweep(
    sweep: &Sweep<'_>,
    id: &AccountId,
    tally: &mut Tally,
    unsettled: &mut Vec<Outcome>,
) -> Result<(), CallFailure> {
    let mut account = Account::list(sweep, id, tally).await?;
    tally.failures(account.missing_groups(sweep, id));
    let has_readers = sweep.wanted.reader_group.as_ref().is_some_and(|group| has_group(&account.groups, group));
    let iam = Arc::clone(&account.iam);
    let members = Members::listed(account.listed_at, account.pages);
    let place = Place { sweep, iam: &*iam, has_readers, members: &members };
    let mut sample = Sample::new(sweep.now);
    let mut from = None;
    loop {
        let page = sweep.aws.secrets().of_account(id, from).await?;
        let looks = page.secrets.into_iter().filter_map(|secret| account.triage(&place, secret, &mut sample, tally));
        let looks = looks.collect();
        unsettled.extend(take(&place, looks, Some(&mut sample), tally).await);
        from = page.next;
        if from.is_none() {
            break;
        }
        if sweep.is_out_of_time() {
            tally.leave(account.users.len());
            account.users.clear();
            break;
        }
    }
    loop {
        let without_secret = account.users_without_secret(&place, tally);
        if without_secret.is_empty() {
            break;
        }
        unsettled.extend(take(&place, without_secret, None, tally).await);
    }
    let with_other_policy = check_policies(&place, sample, tally).await;
    unsettled.extend(take(&place, with_other_policy, None, tally).await);
    tally.report_left(id, OUT_OF_TIME);
    Ok(())
}

/// Takes the looks, a bounded number at a time; answers what is left to settle when all users were seen. Users for whom
/// there was nothing to do are offered to the sample.
async fn take(place: &Place<'_>, looks: Vec<Look>, mut sample: Option<&mut Sample>, tally: &mut Tally) -> Vec<Outcome> {
    let sweep = place.sweep;
    let mut taken = stream::iter(looks)
        .map(|look| async move {
            match look {
                Look::User(member, secret, policy) => {
                    let outcome = user::sweep(place, &member, secret.as_ref(), policy).await;
                    (outcome, secret.map(|secret| (member, secret)))
                }
                Look::Gone(secret) => (user::sweep_without_user(sweep, place.iam, &secret).await, None),
            }
        })
        .buffer_unordered(sweep.settings.max_concurrent_users);
    let mut unsettled = Vec::new();
    while let Some((outcome, user)) = taken.next().await {
        let Some(outcome) = outcome else {
            tally.leave(1);
            continue;
        };
        tally.add(&outcome);
        let is_idle = outcome.plan.is_empty() && outcome.failures.is_empty();
        if let (Some(sample), Some((member, secret)), true) = (sample.as_deref_mut(), user, is_idle) {
            sample.offer(member, secret);
        }
        if outcome.is_unsettled() {
            unsettled.push(outcome);
        }
    }
    unsettled
}

impl Account {
    /// The users, the groups and the credential report.
    async fn list(sweep: &Sweep<'_>, id: &AccountId, tally: &mut Tally) -> Result<Self, CallFailure> {
        let iam = sweep.aws.iam(id, sweep.partition()).await?;
        let (mut users, mut groups, mut from) = (BTreeMap::new(), BTreeSet::new(), None);
        let mut requested = None;
        let (listed_at, mut pages) = (sweep.aws.now(), 0);
        loop {
            let page = iam.account_details(from).await?;
            pages += 1;
            for listed in page.users {
                let member = Member::of(sweep, listed);
                users.insert(member.name().clone(), member);
            }
            groups.extend(page.groups);
            from = page.next;
            if users.len() > USERS_WORTH_A_REPORT && requested.is_none() {
                // While the rest is listed, IAM makes it.
                requested = Some(iam.request_report().await);
            }
            if from.is_none() {
                break;
            }
        }
        let report = match requested {
            Some(requested) => match read_report(sweep, &*iam, requested).await {
                Ok(report) => report,
                Err(failure) => {
                    let error = format!(
                        "every user is looked at instead, which takes a call for each (if the right is missing, deploy \
                         sam/member-account.yaml again): {failure}"
                    );
                    tally.failures([Failure::of_account(id, "credential-report", &error)]);
                    None
                }
            },
            None => None,
        };
        Ok(Self { iam, groups, users, report, listed_at, pages })
    }

    /// Whether the user of that secret has to be looked at.
    fn triage(
        &mut self,
        place: &Place<'_>,
        secret: SecretDescription,
        sample: &mut Sample,
        tally: &mut Tally,
    ) -> Option<Look> {
        let Some(member) = self.users.remove(&secret.name.user().name) else {
            return secret.deleted.is_none().then_some(Look::Gone(secret));
        };
        let facts = place.listed(&member, Some(&secret));
        let sighting = self.sighting(&member);
        let readable = observe::is_readable(place.sweep, &member, Some(&secret));
        if !is_quiet(place.sweep, &member, sighting.as_ref(), facts, readable) {
            return Some(Look::User(member, Some(secret), Policy::ByTags));
        }
        tally.add_quiet(&member, sighting.as_ref());
        sample.offer(member, secret);
        None
    }

    /// The next looks at users whose secret was in no page.
    fn users_without_secret(&mut self, place: &Place<'_>, tally: &mut Tally) -> Vec<Look> {
        let mut looks = Vec::new();
        let Self { users, report, .. } = self;
        while let Some((_, member)) = users.pop_first() {
            let sighting = report.as_ref().and_then(|report| sighting(report, &member));
            let readable = observe::is_readable(place.sweep, &member, None);
            if is_quiet(place.sweep, &member, sighting.as_ref(), SecretFacts::Missing, readable) {
                tally.add_quiet(&member, sighting.as_ref());
                continue;
            }
            looks.push(Look::User(member, None, Policy::ByTags));
            if looks.len() == LOOKS_AT_ONCE {
                break;
            }
        }
        looks
    }

    fn sighting(&self, member: &Member) -> Option<Sighting> {
        sighting(self.report.as_ref()?, member)
    }

    /// Groups that the settings name and the account does not have. Neither stops anything.
    fn missing_groups(&self, sweep: &Sweep<'_>, id: &AccountId) -> Vec<Failure> {
        let mut failures = Vec::new();
        let exemption = &sweep.settings.exemption_group;
        if !has_group(&self.groups, exemption) {
            let error = format!("group `{exemption}` (IAM_EXEMPTION_GROUP) does not exist, so nobody is exempt");
            failures.push(Failure::of_account(id, "exemption-group", &error));
        }
        let needs_readers = id != sweep.aws.primary_account() && !self.users.is_empty();
        if let Some(readers) = sweep.wanted.reader_group.as_ref().filter(|_| needs_readers)
            && !has_group(&self.groups, readers)
        {
            let error = format!(
                "group `{readers}` (READER_GROUP) does not exist, so users cannot read their secrets from this account; \
                 deploy the member template, or set READER_GROUP to nothing"
            );
            failures.push(Failure::of_account(id, "reader-group", &error));
        }
        failures
    }
}

fn is_quiet(
    sweep: &Sweep<'_>,
    member: &Member,
    sighting: Option<&Sighting>,
    secret: SecretFacts,
    secret_readable: bool,
) -> bool {
    let Member { arn, id, exemption, .. } = member;
    let listed = Listed { arn, id, exemption: exemption.clone(), sighting, secret, secret_readable };
    lifecycle::is_quiet(&listed, &sweep.settings.periods, sweep.now)
}

/// The credential report; `None` if IAM did not make one in time.
async fn read_report(
    sweep: &Sweep<'_>,
    iam: &dyn Iam,
    requested: Result<bool, CallFailure>,
) -> Result<Option<DatedReport>, CallFailure> {
    let mut is_made = requested?;
    for _ in 0..=WAITS_FOR_REPORT {
        if sweep.is_out_of_time() {
            break;
        }
        if !is_made {
            sweep.aws.sleep(WAIT_FOR_REPORT).await;
        }
        if let Some(report) = iam.credential_report().await? {
            return Ok(Some(report));
        }
        // One that was there may have expired since: then it is made anew.
        is_made = iam.request_report().await?;
    }
    warn!(account = %iam.account(), "IAM did not make a credential report in time: every user is looked at");
    Ok(None)
}

/// What the credential report says of that user.
fn sighting(report: &DatedReport, member: &Member) -> Option<Sighting> {
    let keys = report.content.keys_of(member.name())?.iter();
    let active = keys.filter_map(|key| Some(KeySighting { since: key.active_since?, last_use: key.last_use.clone() }));
    Some(Sighting { at: report.made_at, active: active.collect() })
}

/// Some of the users for whom there is nothing to do, others in each run.
struct Sample {
    seed: i64,
    chosen: Vec<(u64, Member, SecretDescription)>,
}

impl Sample {
    fn new(now: DateTime<Utc>) -> Self {
        Self { seed: now.timestamp(), chosen: Vec::new() }
    }

    /// Takes a user into the sample, or not. Users who are not rotated need no policy.
    fn offer(&mut self, member: Member, secret: SecretDescription) {
        if member.exemption != Exemption::NotExempt || secret.deleted.is_some() || !secret.rotation_enabled {
            return;
        }
        let mut hasher = DefaultHasher::new();
        (self.seed, member.name()).hash(&mut hasher);
        let draw = hasher.finish();
        let at = self.chosen.partition_point(|(drawn, ..)| *drawn < draw);
        if at < POLICIES_A_RUN {
            self.chosen.insert(at, (draw, member, secret));
            self.chosen.truncate(POLICIES_A_RUN);
        }
    }
}

/// The looks at the users of the sample whose secret has another policy than it should. One that cannot be read is left to
/// another run: nothing is due for these users.
async fn check_policies(place: &Place<'_>, sample: Sample, tally: &mut Tally) -> Vec<Look> {
    let mut looks = Vec::new();
    for (_, member, secret) in sample.chosen {
        if place.sweep.is_out_of_time() {
            break;
        }
        match observe::policy_fits(place.sweep, &secret.arn, &member.arn).await {
            Ok(true) => {}
            Ok(false) => {
                info!(user = %member.arn.user(), "the resource policy is not as it should be");
                tally.take_back_user();
                looks.push(Look::User(member, Some(secret), Policy::Differs));
            }
            Err(failure) => {
                tally.failures([Failure::of_user(member.arn.user(), "observe", &failure)]);
            }
        }
    }
    looks
}
