//! Tells what is to be told, then writes down that it was told.

use std::collections::BTreeMap;

use futures_util::StreamExt as _;
use futures_util::stream;

use super::Sweep;
use super::apply::Target;
use super::report::{Failure, Report};
use super::user::{Outcome, cancelled_now};
use crate::keys::{SecretName, UserRef};
use crate::lifecycle::{Action, Notice};
use crate::notify::{AccountContact, Addressed, Mode, Occasion, Scope, Told, deliver, remember};
use crate::provision::Reach;
use crate::state::{Notified, State, tag};

/// One account with what came of its users.
pub(super) struct Swept {
    /// Whom to tell; `None` where its address could not be asked for, which is not the same as having none.
    pub(super) contact: Option<AccountContact>,
    pub(super) outcomes: Vec<Outcome>,
}

/// Sends one message per recipient for all of these accounts, and records what was told. A mail that fails is reported
/// and its notices come up again on the next run, as do those of an account whose contact is not known.
pub(super) async fn tell(sweep: &Sweep<'_>, swept: &[Swept], scope: Scope, report: &mut Report) {
    let addressed: Vec<Addressed<'_>> = swept.iter().flat_map(addressed).collect();
    let mode = if sweep.dry_run { Mode::DryRun } else { Mode::Enforced };
    let occasion = Occasion { mode, scope, deadline: sweep.deadline };
    let delivery = deliver(sweep.aws, sweep.settings, sweep.templates, occasion, &addressed).await;
    report.mails += delivery.mails;
    for failure in delivery.failures {
        let crate::notify::MailFailure { account, user, error } = failure;
        report.failures.push(Failure { account, user, action: "mail", error });
    }
    let mut told: BTreeMap<&UserRef, Vec<(&Notice, &Told)>> = BTreeMap::new();
    let unknown = swept.iter().filter(|account| account.contact.is_none());
    for notice in unknown.flat_map(|account| &account.outcomes).flat_map(|outcome| &outcome.notices) {
        told.entry(&notice.user).or_default().push((notice, &Told::Not));
    }
    for (Addressed { notice, .. }, outcome) in addressed.iter().zip(&delivery.told) {
        let warned = notice.kind.is_warning() && (sweep.dry_run || *outcome != Told::Not);
        if warned {
            report.count("warn");
        }
        told.entry(&notice.user).or_default().push((notice, outcome));
    }
    if !sweep.dry_run {
        let outcomes = swept.iter().flat_map(|account| &account.outcomes);
        let settled = stream::iter(outcomes)
            .map(|outcome| settle(sweep, outcome, told.get(&outcome.plan.user).map(Vec::as_slice).unwrap_or_default()))
            .buffer_unordered(sweep.settings.max_concurrency);
        for settled in settled.collect::<Vec<_>>().await {
            match settled {
                Ok(true) => report.count(Action::DeleteSecret.name()),
                Ok(false) => {}
                Err(failure) => report.failures.push(failure),
            }
        }
    }
}

fn addressed(account: &Swept) -> impl Iterator<Item = Addressed<'_>> {
    let with_contact =
        account.contact.iter().flat_map(|contact| account.outcomes.iter().map(move |one| (contact, one)));
    with_contact.flat_map(|(account, Outcome { notices, notified, .. })| {
        notices.iter().map(move |notice| Addressed { notice, account, notified })
    })
}

/// Answers whether the user's secret was scheduled for deletion.
async fn settle(sweep: &Sweep<'_>, outcome: &Outcome, told: &[(&Notice, &Told)]) -> Result<bool, Failure> {
    let settled = match &outcome.secret_to_delete {
        Some(_) => delete_secret(sweep, outcome, told).await,
        None => record(sweep, outcome, told).await.map(|()| false),
    };
    settled.map_err(|failure| Failure::of_user(&outcome.plan.user, "record", &failure))
}

/// Records what was told.
async fn record(sweep: &Sweep<'_>, outcome: &Outcome, told: &[(&Notice, &Told)]) -> Result<(), crate::aws::Failure> {
    if told.iter().all(|(_, told)| **told == Told::Not) {
        return Ok(());
    }
    let secret = SecretName::of(&outcome.plan.user).to_string();
    // As the tag is now: an event may have told and recorded something since the user was observed.
    let Some(described) = sweep.aws.secrets().describe(&secret).await? else { return Ok(()) };
    let mut notified = State::read(&described.tags).notified;
    for (notice, told) in told {
        remember(&mut notified, notice, told);
    }
    let tags = BTreeMap::from([(tag::NOTIFIED.to_owned(), notified.to_tag())]);
    sweep.aws.secrets().tag(&secret, &tags).await
}

/// Schedules the secret of a deleted user for deletion. Nothing can be written to it after that, so its notice goes
/// first; a mail that fails holds this back for one run and no longer: the schedule was switched off by then.
async fn delete_secret(
    sweep: &Sweep<'_>,
    outcome: &Outcome,
    told: &[(&Notice, &Told)],
) -> Result<bool, crate::aws::Failure> {
    let Some(arn) = &outcome.secret_to_delete else { return Ok(false) };
    let untold = told.iter().any(|(_, told)| **told == Told::Not);
    if (untold && cancelled_now(outcome)) || !outcome.failures.is_empty() {
        return Ok(false);
    }
    let iam = sweep.aws.iam(&arn.user().account, sweep.partition()).await?;
    let target = Target { sweep, iam: &*iam, arn, reach: Reach::Given };
    match target.apply(&Action::DeleteSecret, &mut Notified::default()).await {
        Ok(_) => Ok(true),
        Err(failure) => {
            // It is still there, to be told of once and not on every run.
            record(sweep, outcome, told).await?;
            Err(failure)
        }
    }
}
