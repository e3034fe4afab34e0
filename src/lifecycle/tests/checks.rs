//! What holds for every plan, whatever the facts.

use super::*;
use crate::lifecycle::{Action, UserPlan};

/// Asserts it.
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
                assert!(disabled_at.is_some_and(|at| at + periods.recovery_grace <= now), "{plan}");
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
    let mut told: Vec<_> = plan.notices.iter().map(|notice| (&notice.key, notice.kind.phase())).collect();
    told.sort();
    let count = told.len();
    told.dedup();
    assert_eq!(told.len(), count, "told twice in one run: {plan}");
}
