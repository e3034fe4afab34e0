//! The notices of one secret, sent at once after an event of Secrets Manager. Changes no key and no schedule.
//!
//! The secret's tags have the facts, so an event takes seven calls: the secret, the role, the user with its owner, the
//! account's address, SES's suppression list, the mail, and its record.

use std::time::Duration;

use super::account_user::owner;
use super::event::News;
use super::inventory;
use super::ledger::{FRESH_IN_AN_EVENT, Ledger};
use super::notices::{self, SweptAccount};
use super::observe::present_secret;
use super::outcome::UserOutcome;
use super::report::{Failure, Report};
use super::run::Run;
use super::stage::Stage;
use crate::aws::{CallFailure, SecretDescription, Tries, until};
use crate::calendar::due;
use crate::keys::{AccessKeyId, SecretName};
use crate::lifecycle::{Notice, NoticeDate, NoticeKind, PresentSecret, UserPlan};
use crate::notify::Scope;

/// How often the secret is read until its tags describe the current version: the rotation function writes them a moment
/// after it has moved the label.
const UNTIL_TAGS_DESCRIBE_VERSION: Tries = Tries { count: 5, wait: Duration::from_secs(2) };

/// Sends the notices of one secret. An event that is delivered twice or late sends no notice twice.
pub(super) async fn send(run: &Run<'_>, secret: &SecretName, news: &News) -> Report {
    let mut report = run.empty_report();
    match observe(run, secret, news).await {
        // The next sweep sends the notice of a rotation, and reports a failed rotation that it finds.
        Err(failure) => report.add_failure(Failure::of_user(secret.user(), Stage::Notify, &failure)),
        Ok(None) => {}
        Ok(Some(account)) => {
            report.users = 1;
            notices::send_and_record(run, &mut [account], Scope::Event, &mut report).await;
        }
    }
    report.finish()
}

async fn observe(run: &Run<'_>, name: &SecretName, news: &News) -> Result<Option<SweptAccount>, CallFailure> {
    let user = name.user();
    let Some(described) = described(run, name).await? else { return Ok(None) };
    let fresh_until = run.aws.now() + FRESH_IN_AN_EVENT;
    let secret = present_secret(&described, Vec::new());
    let told = notices_of(run, &secret, news);
    if told.is_empty() {
        return Ok(None);
    }
    let iam = run.aws.iam(&user.account, run.partition()).await?;
    let Some(found) = iam.find_user(&user.name).await? else { return Ok(None) };
    let contact = inventory::contact(run.aws, run.settings, &user.account).await?;
    let owner = owner(run, &found);
    let secret_arn = Some(secret.arn.clone());
    let notices = told.into_iter().map(|(key, kind)| {
        let (user, owner, secret_arn) = (user.clone(), owner.clone(), secret_arn.clone());
        Notice { user, owner, secret_arn, key, created: None, kind, tells_of: None }
    });
    let notices = notices.collect();
    let mut ledger = Ledger::read(user, described.tags, Some(&secret.state), fresh_until);
    ledger.leave_mark_to_digest();
    let outcome = UserOutcome { notices, ..UserOutcome::planned(UserPlan::nothing(user), ledger) };
    Ok(Some(SweptAccount { contact: Some(contact), outcomes: vec![outcome] }))
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

/// The notices of the event that were not sent before: the notice about its rotation, and about a key that this
/// rotation deleted by force.
fn notices_of(run: &Run<'_>, secret: &PresentSecret, news: &News) -> Vec<(AccessKeyId, NoticeKind)> {
    let first = notice(run, secret, news);
    let is_of_rotation = first.as_ref().is_some_and(|(_, kind)| matches!(kind, NoticeKind::Rotated { .. }));
    // A rotation that succeeded kept the records of keys that it found deleted, and of no other keys.
    let forced = secret.state.notified.owed_forced().filter(|_| is_of_rotation);
    let forced: Vec<_> = forced.map(|key| (key.clone(), NoticeKind::Forced)).collect();
    first.into_iter().chain(forced).collect()
}

/// The notice of the event, unless it was sent before. An event that the tags do not explain is left to the next sweep,
/// which observes more.
fn notice(run: &Run<'_>, secret: &PresentSecret, news: &News) -> Option<(AccessKeyId, NoticeKind)> {
    let state = &secret.state;
    if !state.managed || !state.malformed.is_empty() {
        return None;
    }
    let key = state.current_key.clone()?;
    let kind = match news {
        // In a dry run the rotation function refuses on purpose, which is no failure.
        News::RotationFailed(_) if run.settings.dry_run => return None,
        News::RotationFailed(reason) => NoticeKind::RotationFailed { reason: reason.clone() },
        News::LabelMoved => {
            // While a rotation is announced, `current_key` is the key that it found, and `rotated_at` is of the
            // rotation before.
            let is_tested = state.unsettled_intent(secret.current_version.as_ref()).is_none();
            let rotated_at = state.rotated_at.filter(|_| is_tested && secret.facts_are_fresh())?;
            if state.previous_key.as_ref() == Some(&key) {
                return None;
            }
            let old_key = state.previous_key.clone();
            let disable_at = old_key.as_ref().map(|_| due(rotated_at, run.settings.periods.installation_grace));
            let disable_at = disable_at.filter(|at| run.now < *at).map(NoticeDate::On);
            let forced = state.notified.owed_forced().next().cloned();
            NoticeKind::Rotated { old_key, disable_at, forced }
        }
    };
    let is_sent = kind.was_sent(&key, &state.notified, run.settings.periods.repeat, run.now);
    (!is_sent).then_some((key, kind))
}
