//! The notices of one secret, at once: what an event of Secrets Manager leads to. Changes no key and no schedule.

use std::collections::BTreeSet;
use std::time::Duration;

use super::report::{Failure, Report};
use super::tell::{Swept, tell as tell_swept};
use super::user::Outcome;
use super::{Sweep, event::News, inventory, observe};
use crate::keys::SecretName;
use crate::lifecycle::{Notice, NoticeKind, PresentSecret, UserFacts, UserPlan, plan};
use crate::notify::Scope;

/// The label moves a moment before the rotation function writes down what that means.
const READS: u32 = 5;
const WAIT_BETWEEN_READS: Duration = Duration::from_secs(2);

/// Tells what there is to tell of one secret. An event that comes twice or late tells nothing twice.
pub(super) async fn tell(sweep: &Sweep<'_>, secret: &SecretName, news: &News) -> Report {
    let mut report = sweep.empty_report();
    let user = secret.user();
    match settled_facts(sweep, secret).await {
        Err(failure) => report.failures.push(Failure::of_user(user, "notify", &failure)),
        Ok(None) => {}
        Ok(Some(facts)) => {
            report.users = 1;
            match inventory::contact(sweep.aws, &user.account).await {
                // The notice stays due, and the next sweep tells it.
                Err(failure) => report.failures.push(Failure::of_user(user, "notify", &failure)),
                Ok(contact) => {
                    let swept = [Swept { contact: Some(contact), outcomes: vec![outcome(sweep, &facts, news)] }];
                    tell_swept(sweep, &swept, Scope::Event, &mut report).await;
                }
            }
        }
    }
    report.finish()
}

/// The user's facts once the tags describe the current version; as they are if that takes too long.
async fn settled_facts(sweep: &Sweep<'_>, secret: &SecretName) -> Result<Option<UserFacts>, crate::aws::Failure> {
    let user = secret.user();
    let iam = sweep.aws.iam(&user.account, sweep.partition()).await?;
    for read in 1..=READS {
        let facts = observe::user_again(sweep, &*iam, &BTreeSet::new(), &user.name).await?;
        let is_settled = |facts: &UserFacts| facts.secret.present().is_some_and(PresentSecret::facts_are_fresh);
        if facts.as_ref().is_none_or(is_settled) || read == READS {
            return Ok(facts);
        }
        sweep.aws.sleep(WAIT_BETWEEN_READS).await;
    }
    Ok(None)
}

fn outcome(sweep: &Sweep<'_>, facts: &UserFacts, news: &News) -> Outcome {
    let planned = plan(facts, &sweep.settings.periods, sweep.now);
    // What a sweep would do is the next sweep's to do and to tell.
    let mut notices: Vec<Notice> =
        planned.notices.into_iter().filter(|notice| matches!(notice.kind, NoticeKind::Rotated { .. })).collect();
    let state = facts.secret.present().map(|secret| &secret.state);
    let notified = state.map(|state| state.notified.clone()).unwrap_or_default();
    // In a dry run the rotation function refuses on purpose.
    if let (News::RotationFailed(reason), Some(secret), false) = (news, facts.secret.present(), sweep.settings.dry_run)
        && let Some(key) = secret.state.current_key.clone()
        && !notified.contains(&key, NoticeKind::RotationFailed { reason: String::new() }.phase())
    {
        notices.push(Notice {
            user: facts.user().clone(),
            owner: facts.owner.clone(),
            secret_arn: Some(secret.arn.clone()),
            created: facts.keys.iter().find(|listed| listed.id == key).map(|listed| listed.created),
            key,
            kind: NoticeKind::RotationFailed { reason: reason.clone() },
        });
    }
    Outcome {
        plan: UserPlan::nothing(facts.user()),
        done: Vec::new(),
        notices,
        notified,
        secret_to_delete: None,
        failures: Vec::new(),
        oldest_key: None,
    }
}
