//! The notices of one secret, at once: what an event of Secrets Manager leads to. Changes no key and no schedule.
//!
//! What there is to tell stands in the secret's tags, so that an event costs a handful of calls: the secret, the role, the
//! user with its owner, the account's address, the mail, and the record of it.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::TimeDelta;

use super::apply::Records;
use super::report::{Failure, Report};
use super::tell::{Swept, tell as tell_swept};
use super::user::Outcome;
use super::{Sweep, event::News, inventory, observe};
use crate::aws::CallFailure;
use crate::keys::{AccessKeyId, SecretName};
use crate::lifecycle::{Notice, NoticeKind, PresentSecret, UserPlan};
use crate::notify::Scope;

/// The label moves a moment before the rotation function writes down what that means.
const READS: u32 = 5;
const WAIT_BETWEEN_READS: Duration = Duration::from_secs(2);

/// How long what was read of the secret is taken for what is still there: a second reading is a sixth of an event's calls,
/// and two events of one secret come within seconds.
const STAYS_FRESH: TimeDelta = TimeDelta::seconds(2);

/// Tells what there is to tell of one secret. An event that comes twice or late tells nothing twice.
pub(super) async fn tell(sweep: &Sweep<'_>, secret: &SecretName, news: &News) -> Report {
    let mut report = sweep.empty_report();
    match look(sweep, secret, news).await {
        // A rotation stays due to be told, and the next sweep tells it; of a failed one it tells what it sees.
        Err(failure) => report.add_failure(Failure::of_user(secret.user(), "notify", &failure)),
        Ok(None) => {}
        Ok(Some(account)) => {
            report.users = 1;
            tell_swept(sweep, &mut [account], Scope::Event, &mut report).await;
        }
    }
    report.finish()
}

async fn look(sweep: &Sweep<'_>, name: &SecretName, news: &News) -> Result<Option<Swept>, CallFailure> {
    let user = name.user();
    let Some((secret, tags)) = settled(sweep, name).await? else { return Ok(None) };
    let fresh_until = Some(sweep.aws.now() + STAYS_FRESH);
    let Some((key, kind)) = notice(sweep, &secret, news) else { return Ok(None) };
    let iam = sweep.aws.iam(&user.account, sweep.partition()).await?;
    let Some(found) = iam.find_user(&user.name).await? else { return Ok(None) };
    let contact = inventory::contact(sweep.aws, &user.account).await?;
    let owner = observe::owner(sweep, &found);
    let notice = Notice {
        user: user.clone(),
        owner,
        secret_arn: Some(secret.arn.clone()),
        key,
        created: None,
        kind,
        tells_of: None,
    };
    let outcome = Outcome {
        notices: vec![notice],
        notified: secret.state.notified.clone(),
        records: Records::of(tags),
        fresh_until,
        ..Outcome::new(UserPlan::nothing(user))
    };
    Ok(Some(Swept { contact: Some(contact), outcomes: vec![outcome] }))
}

/// The secret and its tags once these describe the current version; as it is if that takes too long.
async fn settled(
    sweep: &Sweep<'_>,
    name: &SecretName,
) -> Result<Option<(PresentSecret, BTreeMap<String, String>)>, CallFailure> {
    for read in 1..=READS {
        let described = sweep.aws.secrets().describe(&name.to_string()).await?;
        let Some(described) = described.filter(|secret| secret.deleted.is_none()) else { return Ok(None) };
        let secret = observe::without_drift(&described, Vec::new());
        if secret.facts_are_fresh() || read == READS {
            return Ok(Some((secret, described.tags)));
        }
        sweep.aws.sleep(WAIT_BETWEEN_READS).await;
    }
    Ok(None)
}

/// What the event is about, unless that was told. Whatever is unclear is left to the next sweep, which sees more.
fn notice(sweep: &Sweep<'_>, secret: &PresentSecret, news: &News) -> Option<(AccessKeyId, NoticeKind)> {
    let state = &secret.state;
    if !state.managed || !state.malformed.is_empty() {
        return None;
    }
    let key = state.current_key.clone()?;
    let kind = match news {
        // In a dry run the rotation function refuses on purpose.
        News::RotationFailed(_) if sweep.settings.dry_run => return None,
        News::RotationFailed(reason) => NoticeKind::RotationFailed { reason: reason.clone() },
        News::LabelMoved => {
            // A rotation that is announced names the key that it found, beside the time of the rotation before.
            let is_tested = state.unsettled_intent(secret.current_version.as_ref()).is_none();
            let rotated_at = state.rotated_at.filter(|_| is_tested && secret.facts_are_fresh())?;
            if state.previous_key.as_ref() == Some(&key) {
                return None;
            }
            let old_key = state.previous_key.clone();
            let disable_at = old_key.as_ref().map(|_| rotated_at + sweep.settings.periods.installation_grace);
            let disable_at = disable_at.filter(|at| sweep.now < *at);
            NoticeKind::Rotated { old_key, disable_at }
        }
    };
    let is_told = kind.is_told(&key, &state.notified, sweep.settings.periods.repeat, sweep.now);
    (!is_told).then_some((key, kind))
}
