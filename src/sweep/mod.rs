//! The sweeper: makes secrets for new users, retires old keys and sends the notices. It never reads a secret's value.
//!
//! | file | what it does |
//! |---|---|
//! | `event` | an event → a request |
//! | `run` | what all parts of one run share |
//! | `inventory`, `accounts` | lists the accounts; sweeps many of them |
//! | `account`, `sightings`, `sample` | lists one account and finds the users that have to be observed |
//! | `account_user`, `user_list`, `user_pages` | a user as the lists have it; listing users again; pages |
//! | `observe` | reads → facts about one user |
//! | `user` | one user: observe → plan → confirm → carry out |
//! | `gone` | the secret of a user who was deleted, or who has another name now |
//! | `departed` | the secrets of accounts that are closed or have left the organization |
//! | `turn_queue` | the users whose changes wait for their turn, because a run changes a limited number of keys |
//! | `carry_out` | one action → calls to AWS |
//! | `ledger` | reads and writes the tags of one secret |
//! | `outcome`, `totals`, `report`, `stage` | results of a user, of accounts, of the run |
//! | `notices` | sends notices and records them |
//! | `news` | the notices of one secret, after an event of Secrets Manager |
//! | `digest` | the notices that sweeps of single accounts deferred |
//!
//! The [`crate::lifecycle`] plans. A dry run stops before `carry_out`.

mod account;
mod account_user;
mod accounts;
mod carry_out;
mod departed;
mod digest;
mod event;
mod gone;
mod inventory;
mod ledger;
mod news;
mod notices;
mod observe;
mod outcome;
mod report;
mod run;
mod sample;
mod sightings;
mod stage;
mod totals;
mod turn_queue;
mod user;
mod user_list;
mod user_pages;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use tracing::info;

use crate::aws::SweeperAws;
use crate::error::Error;
use crate::metrics;
use crate::notify::Templates;
use crate::settings::Settings;
use event::{SweepEvent, SweepRequest};
use run::Run;

pub use event::SweepEvent as Event;
pub use report::{Failure, Planned, Report, Skipped};
pub use stage::Stage;

/// Carries out one invocation of the sweeper and returns its answer.
///
/// Safe to repeat and to run beside another sweep: everything is read again before it is changed. `deadline` is when
/// Lambda ends the invocation.
///
/// # Errors
/// [`Error::InvalidEvent`]; [`Error::Aws`] if the accounts could not be listed; [`Error::TooManyAccounts`] if there are
/// more accounts than the time allows. Failures of one account or user are in the report.
pub async fn handle(
    aws: &SweeperAws,
    settings: &Settings,
    templates: &Templates,
    event: Value,
    deadline: DateTime<Utc>,
) -> Result<Value, Error> {
    let SweepEvent { request, dry_run } = SweepEvent::read(event)?;
    let defers_notices = matches!(request, SweepRequest::Account { defers_notices: true, .. });
    let run = Run { defers_notices, ..Run::new(aws, settings, templates, dry_run, deadline)? };
    let is_digest = matches!(request, SweepRequest::Digest { .. });
    let report = match request {
        SweepRequest::Inventory { next_token, limit } => {
            return inventory::one_page(aws, settings, next_token, limit).await;
        }
        SweepRequest::All => accounts::sweep_all(&run).await?,
        SweepRequest::Account { account, name, email, defers_notices: _ } => {
            accounts::sweep_one(&run, account, name, email).await
        }
        SweepRequest::Digest { after } if run.dry_run => digest::plan_again(&run, after.as_ref()).await?,
        SweepRequest::Digest { after } => digest::send(&run, after.as_ref()).await?,
        SweepRequest::Notify { secret, news, origin } if origin.is(aws.primary_account(), run.region()) => {
            news::send(&run, &secret, news).await
        }
        SweepRequest::Notify { secret, origin, .. } => {
            info!(%secret, ?origin, "the event is of another account or Region");
            run.empty_report()
        }
        SweepRequest::Ignore => run.empty_report(),
    };
    // The sweeps that deferred these notices have counted users and accounts already.
    if is_digest {
        metrics::of_sweep(&report.of_digest().counts(), run.now);
    } else {
        metrics::of_sweep(&report.counts(), run.now);
    }
    let report = report.into_answer();
    info!(report = %serde_json::to_string(&report).unwrap_or_default(), "the sweep is done");
    Ok(json!(report))
}
