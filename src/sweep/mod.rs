//! The sweeper: provisions secrets and runs the later phases. Never reads a secret's value.
//!
//! `event` says what is asked for; `inventory` lists the accounts; `account` lists one account's users, and
//! finds those that have to be looked at; `observe` reads, and `members` reads users once more before a change;
//! the [`crate::lifecycle`] plans; `user` takes one user through all of it; `apply` writes; `tell` sends the notices and
//! records them; `tally` adds up, and `report` says what was done. A dry run stops before `apply`. `news` tells what an
//! event of Secrets Manager reports, `digest` what the sweeps of single accounts held.

mod account;
mod apply;
mod digest;
mod event;
mod inventory;
mod members;
mod news;
mod observe;
mod report;
mod tally;
mod tell;
mod user;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::StreamExt as _;
use futures_util::stream;
use serde_json::{Value, json};
use tracing::info;

use crate::aws::SweeperAws;
use crate::error::Error;
use crate::keys::AccountId;
use crate::metrics;
use crate::notify::{AccountContact, Scope, Templates};
use crate::provision::Wanted;
use crate::settings::Settings;
use event::{Request, SweepEvent};
use inventory::Inventory;
use tally::Tally;
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
/// [`Error::InvalidEvent`]; [`Error::Aws`] when the accounts could not be listed; [`Error::TooManyAccounts`] for more of
/// them than there is time for. What goes wrong with one account or user is in the report.
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
    let is_digest = matches!(event.request, Request::Digest { .. });
    let report = match event.request {
        Request::Inventory { next_token, limit } => return inventory::one_page(aws, settings, next_token, limit).await,
        Request::All => sweep.all().await?,
        Request::Account { account, name, email, holds_notices: _ } => sweep.one(account, name, email).await,
        Request::Digest { after } if sweep.dry_run => digest::plan_again(&sweep, after.as_ref()).await?,
        Request::Digest { after } => digest::tell(&sweep, after.as_ref()).await?,
        Request::Notify { secret, news } => news::tell(&sweep, &secret, &news).await,
        Request::Ignore => Report { dry_run: sweep.dry_run, ..Report::default() },
    };
    // What a digest looks at again was counted by the sweeps that held it.
    if is_digest {
        metrics::of_sweep(&report.of_telling().counts(), sweep.now);
    } else {
        metrics::of_sweep(&report.counts(), sweep.now);
    }
    let report = report.into_answer();
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
        })
    }

    /// `aws`, `aws-cn`, `aws-us-gov` …
    fn partition(&self) -> &str {
        self.wanted.function_arn.split(':').nth(1).unwrap_or("aws")
    }

    fn is_out_of_time(&self) -> bool {
        self.aws.now() + TIME_TO_FINISH >= self.deadline
    }

    async fn all(&self) -> Result<Report, Error> {
        let inventory = inventory::all(self.aws, self.settings).await?;
        let fit = self.accounts_that_fit();
        if inventory.accounts.len() > fit {
            return Err(Error::TooManyAccounts { accounts: inventory.accounts.len(), fit });
        }
        Ok(self.inventory(inventory).await)
    }

    async fn inventory(&self, inventory: Inventory) -> Report {
        let mut tally = Tally::new(self.dry_run);
        inventory.skipped.into_iter().for_each(|skipped| tally.report.add_skipped(skipped));
        tally.failures(inventory.failures);
        let accounts = inventory.accounts.into_iter().map(|contact| (contact.id.clone(), Some(contact)));
        self.accounts(accounts.collect(), tally).await
    }

    /// How many accounts one invocation can sweep in the time that it has, if nothing is due in most of them.
    fn accounts_that_fit(&self) -> usize {
        let seconds = (self.deadline - TIME_TO_FINISH - self.aws.now()).num_seconds() / SECONDS_PER_ACCOUNT;
        usize::try_from(seconds).unwrap_or_default().saturating_mul(self.settings.max_concurrency)
    }

    async fn one(&self, id: AccountId, name: Option<String>, email: Option<crate::keys::EmailAddress>) -> Report {
        let mut tally = Tally::new(self.dry_run);
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
        let contact = known.map_err(|failure| tally.failures([Failure::of_account(&id, "inventory", &failure)])).ok();
        self.accounts(vec![(id, contact)], tally).await
    }

    fn empty_report(&self) -> Report {
        Report { dry_run: self.dry_run, ..Report::default() }
    }

    /// An account without a contact is one whose address could not be asked for.
    async fn accounts(&self, accounts: Vec<(AccountId, Option<AccountContact>)>, mut tally: Tally) -> Report {
        let mut results = stream::iter(accounts)
            .map(|(id, contact)| self.account(id, contact))
            .buffer_unordered(self.settings.max_concurrency);
        let mut swept = Vec::new();
        while let Some((account, of_account)) = results.next().await {
            tally.merge(of_account);
            swept.extend(account);
        }
        let mut report = tally.into_report(self.now);
        tell::tell(self, &mut swept, Scope::Run, &mut report).await;
        report.finish()
    }

    /// One account, and what is left of it to settle when all are swept.
    async fn account(&self, id: AccountId, contact: Option<AccountContact>) -> (Option<Swept>, Tally) {
        let mut tally = Tally::new(self.dry_run);
        let mut outcomes = Vec::new();
        if self.is_out_of_time() {
            tally.skip(Skipped::new(&id, user::OUT_OF_TIME));
            return (None, tally);
        }
        match account::sweep(self, &id, &mut tally, &mut outcomes).await {
            Ok(()) => tally.report.accounts += 1,
            Err(failure) => {
                let skipped = Skipped::new(&id, &failure.to_string());
                tally.skip(Skipped { transient: failure.is_transient(), ..skipped });
            }
        }
        (Some(Swept { contact, outcomes }).filter(|swept| !swept.outcomes.is_empty()), tally)
    }
}

/// Most of it is the wait for IAM's credential report; the lists of an account with some dozens of users take about six
/// calls.
const SECONDS_PER_ACCOUNT: i64 = 5;
