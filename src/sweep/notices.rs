//! Sends the notices of a run, then records them. A sweep of a single account may defer notices that are not urgent: it
//! marks the secret, and the digest over all accounts sends them.

use std::collections::BTreeMap;

use futures_util::StreamExt as _;
use futures_util::stream;

use super::gone;
use super::outcome::{SentNotice, UserOutcome};
use super::report::{Failure, Report};
use super::run::Run;
use super::stage::Stage;
use crate::keys::UserRef;
use crate::lifecycle::{ActionName, Notice};
use crate::notify::{AccountContact, Addressed, Delivered, DeliveryOptions, MailFailure, Mode, Scope, deliver};

/// One account with the unfinished outcomes of its users.
pub(super) struct SweptAccount {
    /// The account's name and address; `None` if they could not be read. An account without an address has a contact.
    pub(super) contact: Option<AccountContact>,
    pub(super) outcomes: Vec<UserOutcome>,
}

/// Sends the notices of all of these accounts together, and records which were sent. A mail that fails is reported, and
/// its notices are due again on the next run, as are those of an account without a known contact.
pub(super) async fn send_and_record(run: &Run<'_>, swept: &mut [SweptAccount], scope: Scope, report: &mut Report) {
    let (due, deferred): (Vec<Addressed<'_>>, Vec<_>) =
        swept.iter().flat_map(addressed).partition(|addressed| is_due(run, addressed.notice));
    let options = DeliveryOptions {
        mode: if run.dry_run { Mode::DryRun } else { Mode::Enforced },
        scope,
        defers: run.defers_notices || scope == Scope::Event,
        now: run.now,
        deadline: run.deadline,
        settings: run.settings,
    };
    let delivery = deliver(run.aws, &options, run.templates, &due).await;
    report.mails += delivery.mails;
    for (stage, failures) in [(Stage::Mail, delivery.failures), (Stage::Topic, delivery.unpublished)] {
        for MailFailure { account, user, error } in failures {
            report.add_failure(Failure { account, user, action: stage, error });
        }
    }
    let mut notices: BTreeMap<UserRef, Vec<SentNotice>> = BTreeMap::new();
    let mut add = |notice: &Notice, sent: &Delivered| {
        notices.entry(notice.user.clone()).or_default().push((notice.clone(), sent.clone()));
    };
    for Addressed { notice, .. } in &deferred {
        add(notice, &Delivered::ToNobody);
    }
    for (Addressed { notice, .. }, sent) in due.iter().zip(&delivery.delivered) {
        if notice.kind.is_warning() && (run.dry_run || *sent != Delivered::ToNobody) {
            report.count(ActionName::Warn);
        }
        add(notice, sent);
    }
    let without_contact = swept.iter().filter(|account| account.contact.is_none());
    for notice in without_contact.flat_map(|account| &account.outcomes).flat_map(|outcome| &outcome.notices) {
        add(notice, &Delivered::ToNobody);
    }
    if run.dry_run {
        return;
    }
    let outcomes = swept.iter_mut().flat_map(|account| &mut account.outcomes);
    let recorded = stream::iter(outcomes)
        .map(|outcome| {
            let of_user = notices.get(&outcome.plan.user).map(Vec::as_slice).unwrap_or_default();
            record(run, outcome, of_user)
        })
        .buffer_unordered(run.settings.max_concurrency);
    for recorded in recorded.collect::<Vec<_>>().await {
        match recorded {
            Ok(true) => report.count(ActionName::DeleteSecret),
            Ok(false) => {}
            Err(failure) => report.add_failure(failure),
        }
    }
}

/// Whether this run sends the notice, and does not defer it.
fn is_due(run: &Run<'_>, notice: &Notice) -> bool {
    !run.defers_notices || (!run.dry_run && notice.kind.is_urgent())
}

fn addressed(account: &SweptAccount) -> impl Iterator<Item = Addressed<'_>> {
    let with_contact =
        account.contact.iter().flat_map(|contact| account.outcomes.iter().map(move |one| (contact, one)));
    with_contact.flat_map(|(account, UserOutcome { notices, ledger, .. })| {
        notices.iter().map(move |notice| Addressed { notice, account, notified: &ledger.notified })
    })
}

/// Records a user's notices. Returns whether the user's secret was scheduled for deletion.
async fn record(run: &Run<'_>, outcome: &mut UserOutcome, notices: &[SentNotice]) -> Result<bool, Failure> {
    let recorded = match outcome.secret_to_delete.clone() {
        Some(arn) => gone::delete_after_notice(run, outcome, &arn, notices).await,
        None => outcome.record(run, notices).await.map(|()| false),
    };
    recorded.map_err(|failure| Failure::of_user(&outcome.plan.user, Stage::Record, &failure))
}
