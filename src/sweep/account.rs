//! The sweep of one account: its lists → the users that have to be observed → their outcomes.
//!
//! A list is one call for a hundred or a thousand users, and observing takes some calls for each. Users whom the lists
//! prove to be quiet are not observed (`lifecycle::is_quiet`). Users and credential report are kept in plain maps, some
//! 700 bytes a user; secrets are read page by page, and only those of the sample are kept.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures_util::StreamExt as _;
use futures_util::stream;

use super::account_user::AccountUser;
use super::observe::{self, AccountContext, PolicyCheck};
use super::outcome::UserOutcome;
use super::report::Failure;
use super::run::{OUT_OF_TIME, Run};
use super::sample::PolicySample;
use super::sightings::{self, sighting};
use super::stage::Stage;
use super::totals::SweepTotals;
use super::turn_queue::TurnQueue;
use super::user::Swept;
use super::user_list::UserList;
use super::user_pages::{LARGEST_PAGE, UserPages};
use super::{gone, user};
use crate::aws::{CallFailure, DatedReport, Iam, PageTokens, SecretDescription, UnreadableUser, has_group};
use crate::keys::{AccountId, UserName};
use crate::lifecycle::{self, Exemption, Listed, ReadObstacle, SecretFacts, Sighting};

/// In accounts with more users than this the credential report is read. Observing fewer users takes no more calls, and
/// their facts are not hours old.
const USERS_WORTH_A_REPORT: usize = 2;

/// How many users without a secret are observed before the next are chosen. In a new account these are all of its
/// users, and a candidate takes more memory than a listed user.
const CANDIDATES_AT_ONCE: usize = 500;

/// The lists of one account, but for its secrets.
struct AccountLists {
    iam: Arc<dyn Iam>,
    groups: BTreeSet<String>,
    /// The users that the sweep has not reached yet.
    users: BTreeMap<UserName, AccountUser>,
    /// Users whose secret was in the list. A list that changes while it is read may show a secret twice, and the user
    /// would look as if it were deleted.
    with_secret: BTreeSet<UserName>,
    /// Users whose entry in the list cannot be read. Nothing is done for them, and their secrets stay.
    unreadable: BTreeSet<UserName>,
    /// `None` if the account has few users or IAM made no report in time.
    report: Option<DatedReport>,
    listed_at: DateTime<Utc>,
    /// Pages of the list of users, each a call.
    pages: usize,
    /// Users of one of them at most.
    at_most: usize,
}

/// A user who has to be observed, or the secret of a deleted user.
enum Candidate {
    User(AccountUser, Option<SecretDescription>, PolicyCheck),
    Gone(SecretDescription),
}

/// Sweeps one account. Failures of its users are in the totals. `unfinished` gets the outcomes that are finished after
/// the sweep of all accounts.
///
/// # Errors
/// The failure of a list: some of the users or secrets would look like all of them. Earlier actions are done.
pub(super) async fn sweep(
    run: &Run<'_>,
    id: &AccountId,
    totals: &mut SweepTotals,
    unfinished: &mut Vec<UserOutcome>,
) -> Result<(), CallFailure> {
    let mut lists = AccountLists::read(run, id, totals).await?;
    totals.report.exempt += lists.users.values().filter(|user| user.exemption == Exemption::Exempt).count();
    totals.add_failures(lists.missing_groups(run, id));
    let has_readers = run.wanted.reader_group.as_ref().is_some_and(|group| has_group(&lists.groups, group));
    let iam = Arc::clone(&lists.iam);
    let users = UserList::first(lists.listed_at, lists.pages, lists.at_most);
    let listed = lists.users.len();
    let context = AccountContext { run, iam: &*iam, has_readers, users: &users, is_limited: run.is_limited(listed) };
    let mut turns = TurnQueue::new(run.changes_allowed(listed));
    let mut sample = PolicySample::new(run.now);
    let (mut tokens, mut from) = (PageTokens::default(), None);
    loop {
        let page = run.aws.secrets().of_account(id, from).await?;
        for name in page.unreadable {
            lists.users.remove(&name.user().name);
            let error =
                "the entry of its secret in secretsmanager:ListSecrets cannot be read, so nothing is done for it";
            totals.add_failures([Failure::of_user(name.user(), Stage::Observe, error)]);
        }
        let secrets = page.secrets.into_iter();
        let candidates = secrets.filter_map(|secret| lists.candidate(&context, secret, &mut sample, totals)).collect();
        unfinished.extend(sweep_candidates(&context, candidates, Some(&mut sample), &mut turns, totals).await);
        from = tokens.next("secretsmanager:ListSecrets", format_args!("account {id}"), page.next)?;
        if from.is_none() {
            break;
        }
        if turns.must_begin(run) {
            totals.leave(lists.users.len());
            lists.users.clear();
            break;
        }
    }
    loop {
        let without_secret = lists.candidates_without_secret(&context, totals);
        if without_secret.is_empty() {
            break;
        }
        if turns.must_begin(run) {
            totals.leave(without_secret.len() + lists.users.len());
            break;
        }
        unfinished.extend(sweep_candidates(&context, without_secret, None, &mut turns, totals).await);
    }
    let wrong = sample.check(run, totals).await;
    for _ in &wrong {
        totals.take_back_user();
    }
    let wrong = wrong.into_iter().map(|(user, secret)| Candidate::User(user, Some(secret), PolicyCheck::Differs));
    unfinished.extend(sweep_candidates(&context, wrong.collect(), None, &mut turns, totals).await);
    unfinished.extend(turns.sweep(&context, totals).await);
    totals.report_left(id, OUT_OF_TIME);
    Ok(())
}

/// Sweeps the candidates, a bounded number at the same time, and returns the unfinished outcomes. Users for whom there
/// was nothing to do are offered to the sample, and those whose changes have to wait for their turn to the queue.
async fn sweep_candidates(
    context: &AccountContext<'_>,
    candidates: Vec<Candidate>,
    mut sample: Option<&mut PolicySample>,
    turns: &mut TurnQueue,
    totals: &mut SweepTotals,
) -> Vec<UserOutcome> {
    let run = context.run;
    let mut swept = stream::iter(candidates)
        .map(|candidate| async move {
            match candidate {
                Candidate::User(user, secret, check) => {
                    let swept = user::sweep(context, &user, secret.as_ref(), check).await;
                    (swept, secret.map(|secret| (user, secret)))
                }
                Candidate::Gone(secret) => {
                    let outcome = gone::sweep(run, context.iam, context.users, &secret).await;
                    (outcome.map(|outcome| Swept::Done(Box::new(outcome))), None)
                }
            }
        })
        .buffer_unordered(run.settings.max_concurrent_users);
    let mut unfinished = Vec::new();
    while let Some((swept, user)) = swept.next().await {
        let outcome = match swept {
            Some(Swept::Done(outcome)) => *outcome,
            Some(Swept::Waits(waiting)) => {
                turns.add(*waiting);
                continue;
            }
            None => {
                totals.leave(1);
                continue;
            }
        };
        totals.add(&outcome);
        let is_idle = outcome.plan.is_empty() && outcome.failures.is_empty();
        if let (Some(sample), Some((user, secret)), true) = (sample.as_deref_mut(), user, is_idle) {
            sample.offer(user, secret);
        }
        if outcome.is_unfinished() {
            unfinished.push(outcome);
        }
    }
    unfinished
}

impl AccountLists {
    /// Lists the users and groups, and reads the credential report.
    async fn read(run: &Run<'_>, id: &AccountId, totals: &mut SweepTotals) -> Result<Self, CallFailure> {
        let iam = run.aws.iam(id, run.partition()).await?;
        let (mut users, mut groups, mut unreadable) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
        let mut requested = None;
        let (listed_at, mut pages) = (run.aws.now(), UserPages::of(&*iam, LARGEST_PAGE));
        while let Some(page) = pages.next().await? {
            for listed in page.users {
                let user = AccountUser::of(run, listed);
                users.insert(user.name().clone(), user);
            }
            groups.extend(page.groups);
            for UnreadableUser { name, why } in page.unreadable {
                totals.add_failures([Failure { user: name.clone(), ..Failure::of_account(id, Stage::Observe, &why) }]);
                unreadable.extend(name);
            }
            if users.len() > USERS_WORTH_A_REPORT && requested.is_none() {
                // IAM makes the report while the other users are listed.
                requested = Some(iam.request_report().await);
            }
        }
        let UserPages { count: pages, at_most, .. } = pages;
        let report = match requested {
            Some(requested) => match sightings::read_report(run, &*iam, requested).await {
                Ok(report) => report,
                Err(failure) => {
                    let error = format!(
                        "every user is looked at instead, which takes a call for each (if the right is missing, deploy \
                         sam/member-account.yaml again): {failure}"
                    );
                    totals.add_failures([Failure::of_account(id, Stage::CredentialReport, &error)]);
                    None
                }
            },
            None => None,
        };
        Ok(Self { iam, groups, users, with_secret: BTreeSet::new(), unreadable, report, listed_at, pages, at_most })
    }

    /// The user of that secret if it has to be observed.
    fn candidate(
        &mut self,
        context: &AccountContext<'_>,
        secret: SecretDescription,
        sample: &mut PolicySample,
        totals: &mut SweepTotals,
    ) -> Option<Candidate> {
        let name = &secret.name.user().name;
        if !self.with_secret.insert(name.clone()) || self.unreadable.contains(name) {
            return None;
        }
        let Some(user) = self.users.remove(name) else {
            return secret.deleted.is_none().then_some(Candidate::Gone(secret));
        };
        let facts = context.listed_secret(&user, Some(&secret));
        let sighting = self.report.as_ref().and_then(|report| sighting(report, &user));
        let unreadable = observe::unreadable(context.run, &user, Some(&secret));
        if !is_quiet(context.run, &user, sighting.as_ref(), facts, unreadable) {
            return Some(Candidate::User(user, Some(secret), PolicyCheck::ByTags));
        }
        totals.add_quiet(&user, sighting.as_ref());
        sample.offer(user, secret);
        None
    }

    /// The next candidates among the users without a secret.
    fn candidates_without_secret(&mut self, context: &AccountContext<'_>, totals: &mut SweepTotals) -> Vec<Candidate> {
        let mut candidates = Vec::new();
        while let Some((_, user)) = self.users.pop_first() {
            let sighting = self.report.as_ref().and_then(|report| sighting(report, &user));
            let unreadable = observe::unreadable(context.run, &user, None);
            if is_quiet(context.run, &user, sighting.as_ref(), SecretFacts::Missing, unreadable) {
                totals.add_quiet(&user, sighting.as_ref());
                continue;
            }
            candidates.push(Candidate::User(user, None, PolicyCheck::ByTags));
            if candidates.len() == CANDIDATES_AT_ONCE {
                break;
            }
        }
        candidates
    }

    /// Failures for the groups that the settings name and the account does not have. Neither stops anything.
    fn missing_groups(&self, run: &Run<'_>, id: &AccountId) -> Vec<Failure> {
        let mut failures = Vec::new();
        let exemption = &run.settings.exemption_group;
        if !has_group(&self.groups, exemption) {
            let error = format!("group `{exemption}` (IAM_EXEMPTION_GROUP) does not exist, so nobody is exempt");
            failures.push(Failure::of_account(id, Stage::ExemptionGroup, &error));
        }
        let needs_readers = id != run.aws.primary_account() && !self.users.is_empty();
        if let Some(readers) = run.wanted.reader_group.as_ref().filter(|_| needs_readers)
            && !has_group(&self.groups, readers)
        {
            let error = format!(
                "group `{readers}` (READER_GROUP) does not exist, so users cannot read their secrets from this account; \
                 deploy the member template, or set READER_GROUP to nothing"
            );
            failures.push(Failure::of_account(id, Stage::ReaderGroup, &error));
        }
        failures
    }
}

fn is_quiet(
    run: &Run<'_>,
    user: &AccountUser,
    sighting: Option<&Sighting>,
    secret: SecretFacts,
    unreadable: Option<ReadObstacle>,
) -> bool {
    let AccountUser { arn, id, exemption, .. } = user;
    let listed = Listed { arn, id, exemption: exemption.clone(), sighting, secret, unreadable };
    lifecycle::is_quiet(&listed, &run.settings.periods, run.now)
}
