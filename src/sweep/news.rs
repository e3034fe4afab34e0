//! The notices of one secret, sent at once after an event of Secrets Manager. Changes no key and no schedule.
//!
//! The secret's tags have the facts, so an event takes seven calls: the secret, the role, the user with its owner, the
//! account's address, SES's suppression list, the mail, and its record. Only the owner and the user's keys are in IAM.
//! If it cannot be asked, the account is notified all the same, and the next sweep notifies the owner.
//! A notice with a date takes one call more: whether a limit may put the date off depends on how many users the account
//! has.

use std::time::Duration;

use super::account_user::owner;
use super::inventory;
use super::ledger::{FRESH_IN_AN_EVENT, Ledger};
use super::notices::{self, SweptAccount};
use super::observe::present_secret;
use super::outcome::UserOutcome;
use super::report::{Failure, Report};
use super::run::Run;
use super::stage::Stage;
use super::user_pages;
use crate::aws::{CallFailure, ListedKey, SecretDescription, Tries, until};
use crate::keys::{SecretName, UserRef};
use crate::lifecycle::{NamedKey, News, Notice, UserPlan, names_keys, notices_of};
use crate::notify::{Delivered, Scope};

/// How often the secret is read until its tags describe the current version: the rotation function writes them a moment
/// after it has moved the label.
const UNTIL_TAGS_DESCRIBE_VERSION: Tries = Tries { count: 5, wait: Duration::from_secs(2) };

/// Sends the notices of one secret. An event that is delivered twice or late sends no notice twice.
pub(super) async fn send(run: &Run<'_>, secret: &SecretName, news: News) -> Report {
    let mut report = run.empty_report();
    match observe(run, secret, news).await {
        // The tags keep what happened, so the next sweep sends the notice.
        Err(failure) => report.add_failure(Failure::of_user(secret.user(), Stage::Notify, &failure)),
        Ok(None) => {}
        Ok(Some(account)) => {
            report.users = 1;
            for failure in account.outcomes.iter().flat_map(|outcome| outcome.failures.iter().cloned()) {
                report.add_failure(failure);
            }
            notices::send_and_record(run, &mut [account], Scope::Event, &mut report).await;
        }
    }
    report.finish()
}

/// Whether the date of a change in the user's account may move. If the account cannot be asked, it may.
async fn is_limited(run: &Run<'_>, user: &UserRef) -> bool {
    match run.aws.iam(&user.account, run.partition()).await {
        Ok(iam) => user_pages::is_limited(run, &*iam).await,
        Err(_) => run.settings.changes_per_run > 0,
    }
}

async fn observe(run: &Run<'_>, name: &SecretName, news: News) -> Result<Option<SweptAccount>, CallFailure> {
    let user = name.user();
    // In a dry run the rotation function refuses on purpose, which is no failure.
    if run.settings.dry_run && news != News::LabelMoved {
        return Ok(None);
    }
    let Some(described) = described(run, name).await? else { return Ok(None) };
    let fresh_until = run.aws.now() + FRESH_IN_AN_EVENT;
    let secret = present_secret(&described, Vec::new());
    let (periods, needs_keys) = (&run.settings.periods, names_keys(&secret, news));
    if !needs_keys && notices_of(&secret, news, &[], periods, run.now).is_empty() {
        return Ok(None);
    }
    let in_iam = InIam::read(run, user, needs_keys).await;
    let mut told = notices_of(&secret, news, &in_iam.keys, periods, run.now);
    if told.is_empty() || in_iam.is_gone {
        return Ok(None);
    }
    if told.iter().any(|(_, kind)| kind.date().is_some()) && is_limited(run, user).await {
        for (_, kind) in &mut told {
            kind.put_off();
        }
    }
    let contact = inventory::contact(run.aws, run.settings, &user.account).await?;
    let notices = told.into_iter().map(|(key, kind)| {
        let (owner, secret_arn) = (in_iam.owner.clone(), Some(secret.arn.clone()));
        Notice { user: user.clone(), owner, secret_arn, key, created: None, kind, tells_of: None }
    });
    let notified = &secret.state.notified;
    let has = |notice: &Notice| Delivered::account_has(notice, notified, periods.repeat, run.now);
    let notices: Vec<Notice> = notices.filter(|notice| in_iam.unknown.is_none() || !has(notice)).collect();
    if notices.is_empty() {
        return Ok(None);
    }
    let mut ledger = Ledger::read(user, described.tags, Some(&secret.state), fresh_until);
    ledger.leave_mark_to_digest();
    let mut outcome = UserOutcome { notices, ..UserOutcome::planned(UserPlan::nothing(user), ledger) };
    if let Some(failure) = in_iam.unknown {
        outcome.is_owner_unknown = true;
        let error =
            format!("the account is notified, and the owner is not, because the user could not be read: {failure}");
        outcome.add_failure(Stage::Notify, &error);
    }
    Ok(Some(SweptAccount { contact: Some(contact), outcomes: vec![outcome] }))
}

/// The facts about a user that only IAM has. A notice to the account needs none of them.
#[derive(Default)]
struct InIam {
    owner: Option<String>,
    keys: Vec<NamedKey>,
    /// The user does not exist.
    is_gone: bool,
    /// Why the user could not be read.
    unknown: Option<CallFailure>,
}

impl InIam {
    async fn read(run: &Run<'_>, user: &UserRef, needs_keys: bool) -> Self {
        let mut facts = Self::default();
        if let Err(failure) = facts.fill(run, user, needs_keys).await {
            facts.unknown = Some(failure);
        }
        facts
    }

    async fn fill(&mut self, run: &Run<'_>, user: &UserRef, needs_keys: bool) -> Result<(), CallFailure> {
        let iam = run.aws.iam(&user.account, run.partition()).await?;
        match iam.find_user(&user.name).await? {
            Some(found) => self.owner = owner(run, &found),
            None => self.is_gone = true,
        }
        if needs_keys && !self.is_gone {
            let held = |key: ListedKey| NamedKey { id: key.id, status: key.status, created: key.created };
            self.keys = iam.access_keys(&user.name).await?.into_iter().map(held).collect();
        }
        Ok(())
    }
}

/// The secret once its tags describe the current version; as it is after the last try. `None` if it does not exist or
/// is scheduled for deletion.
async fn described(run: &Run<'_>, name: &SecretName) -> Result<Option<SecretDescription>, CallFailure> {
    let name = name.to_string();
    let describe = async || {
        let described = run.aws.secrets().describe(&name).await?;
        Ok(described.filter(|secret| secret.deleted.is_none()))
    };
    let is_settled = |secret: &Option<SecretDescription>| {
        secret.as_ref().is_none_or(|secret| present_secret(secret, Vec::new()).facts_are_fresh())
    };
    until(run.aws, UNTIL_TAGS_DESCRIBE_VERSION, describe, is_settled).await
}
