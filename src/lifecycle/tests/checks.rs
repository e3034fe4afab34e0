//! Rules that hold for every plan, whatever the facts.

use super::*;
use crate::calendar::{due, midnight};
use crate::lifecycle::{Action, UserPlan};

/// Asserts the rules.
pub(super) fn check_plan(facts: &UserFacts, plan: &UserPlan, periods: &Periods, now: DateTime<Utc>) {
    let find = |id: &AccessKeyId| facts.keys.iter().find(|key| key.id == *id).expect("a key of the user's");
    let another_works = |id: &AccessKeyId| facts.keys.iter().any(|key| key.id != *id && key.is_active());
    let mut destructive = 0;
    for action in &plan.actions {
        match action {
            Action::Disable { key } => {
                destructive += 1;
                assert!(find(key).is_active() && another_works(key), "{plan}");
                assert_eq!(find(key).last_use.unknown(), None, "{plan}");
            }
            Action::Delete { key } => {
                destructive += 1;
                assert!(find(key).status == KeyStatus::Inactive && another_works(key), "{plan}");
                assert_eq!(find(key).last_use.unknown(), None, "{plan}");
                let disabled_at = facts.secret.present().and_then(|secret| secret.state.disabled_at);
                assert!(disabled_at.is_some_and(|at| due(at, periods.recovery_grace) <= now), "{plan}");
            }
            Action::Rotate { key, .. } | Action::Provision { key, .. } => {
                assert!(find(key).is_active(), "nothing is made for a key that does not work: {plan}");
            }
            _ => {}
        }
    }
    assert!(destructive <= 1, "{plan}");
    let present = facts.secret.present();
    let trusted = present.is_none_or(|secret| secret.state.malformed.is_empty() && secret.facts_are_fresh());
    assert!(destructive == 0 || trusted && facts.exemption == Exemption::NotExempt, "{plan}");
    for notice in &plan.notices {
        let is_planned = |name| plan.actions.iter().any(|action| action.name() == name);
        assert!(notice.tells_of.is_none_or(is_planned), "{notice} is about an action of another plan: {plan}");
    }
    for waiting in &plan.waiting {
        // Without a recovery grace, a key that is disabled now can be deleted in the next run of the same day.
        assert!(waiting.until.is_none_or(|until| until >= midnight(now)), "{waiting} is over: {plan}");
    }
    let mut sent: Vec<_> = plan.notices.iter().map(|notice| (&notice.key, notice.kind.phase())).collect();
    sent.sort();
    let count = sent.len();
    sent.dedup();
    assert_eq!(sent.len(), count, "sent twice in one run: {plan}");
}
