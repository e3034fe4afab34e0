//! Tells what is to be told, then writes down that it was told. A sweep of a single account may hold what is not urgent:
//! it marks the secret, and a digest over all accounts tells it.

use std::collections::BTreeMap;

use futures_util::StreamExt as _;
use futures_util::stream;

use super::Sweep;
use super::apply::Target;
use super::report::{Failure, Report};
use super::user::{Outcome, was_put_off};
use crate::keys::{SecretName, UserArn, UserRef};
use crate::lifecycle::{Action, ActionName, Notice};
use crate::notify::{AccountContact, Addressed, Delivered, DeliveryOptions, MailFailure, Mode, Scope, deliver};
use crate::state::{Notified, TagChange, tag};

/// One account with what came of its users.
pub(super) struct Swept {
    /// Whom to tell; `None` where its address could not be asked for, which is not the same as having none.
    pub(super) contact: Option<AccountContact>,
    pub(super) outcomes: Vec<Outcome>,
}

/// Sends the messages of all of these accounts together, and records what was told. A mail that fails is reported
/// and its notices come up again on the next run, as do those of an account whose contact is not known.
pub(super) async fn tell(sweep: &Sweep<'_>, swept: &mut [Swept], scope: Scope, report: &mut Report) {
    let (now, held): (Vec<Addressed<'_>>, Vec<_>) =
        swept.iter().flat_map(addressed).partition(|one| is_for_now(sweep, one));
    let options = DeliveryOptions {
        mode: if sweep.dry_run { Mode::DryRun } else { Mode::Enforced },
        scope,
        now: sweep.now,
        deadline: sweep.deadline,
        settings: sweep.settings,
    };
    let delivery = deliver(sweep.aws, &options, sweep.templates, &now).await;
    report.mails += delivery.mails;
    for (action, failures) in [("mail", delivery.failures), ("topic", delivery.unpublished)] {
        for MailFailure { account, user, error } in failures {
            report.add_failure(Failure { account, user, action, error });
        }
    }
    let mut told: BTreeMap<UserRef, Vec<(Notice, Delivered)>> = BTreeMap::new();
    let mut add = |notice: &Notice, outcome: &Delivered| {
        told.entry(notice.user.clone()).or_default().push((notice.clone(), outcome.clone()));
    };
    for Addressed { notice, .. } in &held {
        add(notice, &Delivered::ToNobody);
    }
    for (Addressed { notice, .. }, outcome) in now.iter().zip(&delivery.delivered) {
        let warned = notice.kind.is_warning() && (sweep.dry_run || *outcome != Delivered::ToNobody);
        if warned {
            report.count(ActionName::Warn);
        }
        add(notice, outcome);
    }
    let unknown = swept.iter().filter(|account| account.contact.is_none());
    for notice in unknown.flat_map(|account| &account.outcomes).flat_map(|outcome| &outcome.notices) {
        add(notice, &Delivered::ToNobody);
    }
    if sweep.dry_run {
        return;
    }
    let outcomes = swept.iter_mut().flat_map(|account| &mut account.outcomes);
    let settled = stream::iter(outcomes)
        .map(|outcome| {
            let told = told.get(&outcome.plan.user).map(Vec::as_slice).unwrap_or_default();
            settle(sweep, outcome, told)
        })
        .buffer_unordered(sweep.settings.max_concurrency);
    for settled in settled.collect::<Vec<_>>().await {
        match settled {
            Ok(true) => report.count(Action::DeleteSecret.name()),
            Ok(false) => {}
            Err(failure) => report.add_failure(failure),
        }
    }
}

/// Whether this run tells it.
fn is_for_now(sweep: &Sweep<'_>, addressed: &Addressed<'_>) -> bool {
    !sweep.holds_notices || (!sweep.dry_run && addressed.notice.kind.is_urgent())
}

fn addressed(account: &Swept) -> impl Iterator<Item = Addressed<'_>> {
    let with_contact =
        account.contact.iter().flat_map(|contact| account.outcomes.iter().map(move |one| (contact, one)));
    with_contact.flat_map(|(account, Outcome { notices, notified, .. })| {
        notices.iter().map(move |notice| Addressed { notice, account, notified })
    })
}

/// Answers whether the user's secret was scheduled for deletion.
async fn settle(sweep: &Sweep<'_>, outcome: &mut Outcome, told: &[(Notice, Delivered)]) -> Result<bool, Failure> {
    let settled = match outcome.secret_to_delete.clone() {
        // Its notice goes first, and the digest has it. What there is no word about waits for none.
        Some(_) if sweep.holds_notices && told.iter().any(|(_, told)| *told == Delivered::ToNobody) => {
            record(sweep, outcome, told).await.map(|()| false)
        }
        Some(arn) => delete_secret(sweep, outcome, &arn, told).await,
        None => record(sweep, outcome, told).await.map(|()| false),
    };
    settled.map_err(|failure| Failure::of_user(&outcome.plan.user, "record", &failure))
}

/// Records what was told, that something is left to be told by a digest, and what waited to be recorded with it. Safe to
/// repeat.
async fn record(
    sweep: &Sweep<'_>,
    outcome: &mut Outcome,
    told: &[(Notice, Delivered)],
) -> Result<(), crate::aws::CallFailure> {
    let is_any_told = told.iter().any(|(_, told)| *told != Delivered::ToNobody);
    let is_all_told = told.iter().all(|(_, told)| *told == Delivered::ToAll);
    let leaves_to_digest = sweep.holds_notices && !is_all_told;
    let mut settles_digest = outcome.held_since.is_some() && is_all_told;
    let secret = SecretName::of(&outcome.plan.user).to_string();
    if is_any_told || !outcome.records.pending.is_empty() {
        let Some(untold) = outcome.refresh(sweep).await? else { return Ok(()) };
        // Another sweep held something meanwhile.
        settles_digest = settles_digest && untold == outcome.held_since;
    }
    if is_any_told {
        for (notice, told) in told {
            told.record(&mut outcome.notified, notice, sweep.now);
        }
        outcome.records.add(TagChange::default().set(tag::NOTIFIED, outcome.notified.to_tag()));
    }
    if leaves_to_digest && outcome.is_to_be_marked() {
        outcome.records.add(TagChange::default().untold(sweep.now));
    }
    if settles_digest && outcome.records.pending.is_empty() {
        return sweep.aws.secrets().untag(&secret, &[tag::UNTOLD]).await;
    }
    if settles_digest {
        outcome.records.add(TagChange::default().remove(tag::UNTOLD));
    }
    outcome.records.write(sweep, &secret).await
}

/// Schedules the secret of a deleted user for deletion. Nothing can be written to it after that, so its notice goes
/// first; a mail that fails holds this back for one run and no longer: the schedule was switched off by then.
async fn delete_secret(
    sweep: &Sweep<'_>,
    outcome: &mut Outcome,
    arn: &UserArn,
    told: &[(Notice, Delivered)],
) -> Result<bool, crate::aws::CallFailure> {
    let untold = told.iter().any(|(_, told)| *told == Delivered::ToNobody);
    if (untold && !was_put_off(outcome, sweep.now)) || !outcome.failures.is_empty() {
        return Ok(false);
    }
    let iam = sweep.aws.iam(&arn.user().account, sweep.partition()).await?;
    let target = Target::gone(sweep, &*iam, arn);
    let deleted = async {
        if outcome.held_since.is_some() {
            // Afterwards it can only be restored first.
            sweep.aws.secrets().untag(&SecretName::of(arn.user()).to_string(), &[tag::UNTOLD]).await?;
        }
        target.apply(&Action::DeleteSecret, &mut Notified::default(), &mut outcome.records).await
    };
    match deleted.await {
        Ok(_) => Ok(true),
        Err(failure) => {
            // It is still there, to be told of once and not on every run.
            record(sweep, outcome, told).await?;
            Err(failure)
        }
    }
}
