//! The sweeper: provisions secrets and runs the later phases. Never reads a secret's value.
//!
//! `event` says what is asked for; `inventory` lists the accounts; `observe` reads; the [`crate::lifecycle`] plans;
//! `user` takes one user through all of it; `apply` writes; `tell` sends the notices and records them; `report` says
//! what was done. A dry run stops before `apply`. `news` tells what an event of Secrets Manager reports, `digest` what
//! the sweeps of single accounts held.

mod apply;
mod digest;
mod event;
mod inventory;
mod news;
mod observe;
mod report;
mod tell;
mod user;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::StreamExt as _;
use futures_util::stream;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, SemaphorePermit};
use tracing::{info, warn};

use crate::aws::{SweeperAws, has_group};
use crate::error::Error;
use crate::keys::AccountId;
use crate::metrics;
use crate::notify::{AccountContact, Scope, Templates};
use crate::provision::Wanted;
use crate::settings::Settings;
use event::{Request, SweepEvent};
use tell::Swept;

pub use event::SweepEvent as Event;
pub use report::{Failure, Planned, Report, Skipped};

/// Kept back from the function's time to send the mails, record them and answer.
const TIME_TO_FINISH: TimeDelta = TimeDelta::seconds(60);

/// Answers one invocation of the sweeper.
///
/// Safe to repeat and to run beside another sweep: everything is read again before it is changed. `deadline` is when
/// Lambda ends the invocation.
///
/// # Errors
/// [`Error::InvalidEvent`]; [`Error::Aws`] when the accounts could not be listed. What goes wrong with one account or
/// user is in the report.
pub async fn handle(
    aws: &SweeperAws,
    settings: &Settings,
    templates: &Templates,
    event: Value,
    deadline: DateTime<Utc>,
) -> Result<Value, Error> {
    let event = SweepEvent::read(event)?;
    let holds_notices = matches!(event.request, Request::Account { holds_notices: true, .. });
    let sweep = Sweep { holds_notices, ..Sweep::new(aws, settings, templates, event.dry_run, deadline)? };
    let is_digest = event.request == Request::Digest;
    let report = match event.request {
        Request::Inventory { next_token, limit } => return inventory::one_page(aws, settings, next_token, limit).await,
        Request::All => sweep.all().await?,
        Request::Account { account, name, email, holds_notices: _ } => sweep.one(account, name, email).await,
        // Nothing is held in a dry run, which may write nothing down: what there is to tell is planned once more.
        Request::Digest if sweep.dry_run => sweep.all().await?,
        Request::Digest => digest::tell(&sweep).await?,
        Request::Notify { secret, news } => news::tell(&sweep, &secret, &news).await,
        Request::Ignore => Report { dry_run: sweep.dry_run, ..Report::default() },
    };
    // What a digest looks at again was counted by the sweeps that held it.
    if is_digest {
        metrics::of_sweep(&report.of_telling(), sweep.now);
    } else {
        metrics::of_sweep(&report, sweep.now);
    }
    info!(report = %serde_json::to_string(&report).unwrap_or_default(), "the sweep is done");
    Ok(json!(report))
}

/// One run.
struct Sweep<'a> {
    aws: &'a SweeperAws,
    settings: &'a Settings,
    templates: &'a Templates,
    wanted: Wanted,
    dry_run: bool,
    /// What is not urgent is left to a digest.
    holds_notices: bool,
    /// One time for all decisions of the run, so that a plan that is made again is the same plan.
    now: DateTime<Utc>,
    deadline: DateTime<Utc>,
    permits: Semaphore,
}

impl<'a> Sweep<'a> {
    fn new(
        aws: &'a SweeperAws,
        settings: &'a Settings,
        templates: &'a Templates,
        dry_run: bool,
        deadline: DateTime<Utc>,
    ) -> Result<Self, Error> {
        let wanted = Wanted::from_settings(settings).ok_or_else(|| {
            Error::InvalidEvent(
                "ROTATION_FUNCTION_ARN is not set, so the sweeper has no function to rotate with".to_owned(),
            )
        })?;
        Ok(Self {
            aws,
            settings,
            templates,
            wanted,
            dry_run: dry_run || settings.dry_run,
            holds_notices: false,
            now: aws.now(),
            deadline,
            permits: Semaphore::new(settings.max_concurrency),
        })
    }

    /// `aws`, `aws-cn`, `aws-us-gov` …
    fn partition(&self) -> &str {
        self.wanted.function_arn.split(':').nth(1).unwrap_or("aws")
    }

    /// Waits for its turn: at most `MAX_CONCURRENCY` users and accounts are worked on at a time.
    async fn permit(&self) -> Option<SemaphorePermit<'_>> {
        self.permits.acquire().await.ok()
    }

    fn is_out_of_time(&self) -> bool {
        self.aws.now() + TIME_TO_FINISH >= self.deadline
    }

    async fn all(&self) -> Result<Report, Error> {
        let inventory = inventory::all(self.aws, self.settings).await?;
        let report = Report { skipped: inventory.skipped, failures: inventory.failures, ..self.empty_report() };
        let accounts = inventory.accounts.into_iter().map(|contact| (contact.id.clone(), Some(contact)));
        Ok(self.accounts(accounts.collect(), report).await)
    }

    async fn one(&self, id: AccountId, name: Option<String>, email: Option<crate::keys::EmailAddress>) -> Report {
        let mut report = self.empty_report();
        let known = match email {
            Some(email) => Ok(AccountContact {
                name: name.unwrap_or_default(),
                email: Some(email),
                ..AccountContact::without_address(&id)
            }),
            None => inventory::contact(self.aws, &id)
                .await
                .map(|known| AccountContact { name: name.unwrap_or(known.name), ..known }),
        };
        let contact =
            known.map_err(|failure| report.failures.push(Failure::of_account(&id, "inventory", &failure))).ok();
        self.accounts(vec![(id, contact)], report).await
    }

    fn empty_report(&self) -> Report {
        Report { dry_run: self.dry_run, ..Report::default() }
    }

    /// An account without a contact is one whose address could not be asked for.
    async fn accounts(&self, accounts: Vec<(AccountId, Option<AccountContact>)>, mut report: Report) -> Report {
        let results: Vec<_> = stream::iter(accounts)
            .map(|(id, contact)| self.account(id, contact))
            .buffer_unordered(self.settings.max_concurrency)
            .collect()
            .await;
        let mut swept = Vec::with_capacity(results.len());
        for result in results {
            match result {
                Ok((account, failures)) => {
                    report.accounts += 1;
                    report.failures.extend(failures);
                    swept.push(account);
                }
                Err((skipped, failure)) => {
                    report.skipped.push(skipped);
                    report.failures.push(failure);
                }
            }
        }
        self.summarize(&swept, &mut report);
        tell::tell(self, &swept, Scope::Run, &mut report).await;
        report.log();
        report.finish()
    }

    /// One account; an error when its users could not be listed.
    async fn account(
        &self,
        id: AccountId,
        contact: Option<AccountContact>,
    ) -> Result<(Swept, Vec<Failure>), (Skipped, Failure)> {
        let not_swept = |reason: String| {
            warn!(account = %id, %reason, "the account is not swept");
            let skipped = Skipped { account: id.clone(), reason: reason.clone() };
            (skipped, Failure::of_account(&id, "sweep", &reason))
        };
        if self.is_out_of_time() {
            return Err(not_swept(user::OUT_OF_TIME.to_owned()));
        }
        let account = observe::account(self, &id).await.map_err(|failure| not_swept(failure.to_string()))?;
        let failures = self.missing_groups(&id, &account);
        let mut outcomes: Vec<_> = stream::iter(&account.users)
            .map(|listed| user::sweep(self, &account, listed))
            .buffer_unordered(self.settings.max_concurrency)
            .collect()
            .await;
        let left_behind = account.secrets_without_user();
        let left_behind = stream::iter(&left_behind)
            .map(|secret| user::sweep_without_user(self, &*account.iam, secret))
            .buffer_unordered(self.settings.max_concurrency);
        outcomes.extend(left_behind.collect::<Vec<_>>().await);
        Ok((Swept { contact, outcomes }, failures))
    }

    /// Groups that the settings name and the account does not have. Neither stops anything.
    fn missing_groups(&self, id: &AccountId, account: &observe::Account) -> Vec<Failure> {
        let mut failures = Vec::new();
        let exemption = &self.settings.exemption_group;
        if !has_group(&account.groups, exemption) {
            let error = format!("group `{exemption}` (IAM_EXEMPTION_GROUP) does not exist, so nobody is exempt");
            failures.push(Failure::of_account(id, "exemption-group", &error));
        }
        let needs_readers = id != self.aws.primary_account() && !account.users.is_empty();
        if let Some(readers) = self.wanted.reader_group.as_ref().filter(|_| needs_readers)
            && !has_group(&account.groups, readers)
        {
            let error = format!(
                "group `{readers}` (READER_GROUP) does not exist, so users cannot read their secrets from this account; \
                 deploy the member template, or set READER_GROUP to nothing"
            );
            failures.push(Failure::of_account(id, "reader-group", &error));
        }
        failures
    }

    fn summarize(&self, swept: &[Swept], report: &mut Report) {
        let oldest = swept.iter().flat_map(|account| &account.outcomes).filter_map(|outcome| outcome.oldest_key).min();
        report.oldest_active_key_days = oldest.map(|created| (self.now - created).num_days());
        for outcome in swept.iter().flat_map(|account| &account.outcomes) {
            report.users += 1;
            report.add_plan(&outcome.plan);
            report.failures.extend(outcome.failures.iter().cloned());
            if self.dry_run {
                outcome.plan.actions.iter().for_each(|action| report.count(action.name()));
            } else {
                outcome.done.iter().for_each(|action| report.count(action));
            }
        }
    }
}
