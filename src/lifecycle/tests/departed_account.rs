//! The plan for a secret whose account is closed or gone: one second before, at and after its limits.

use super::*;
use crate::calendar::midnight;
use crate::keys::UserRef;
use crate::lifecycle::{
    Action, ActionName, CancelReason, UserPlan, is_own_secret, plan_for_departed_account, plan_for_returned_account,
};
use crate::lifecycle::{Wait, Waiting};

fn owner() -> UserRef {
    user([]).user().clone()
}

/// A secret whose schedule is off since its account departed at that time.
fn departed(at: DateTime<Utc>) -> PresentSecret {
    let secret = rotated(1, None, days(40)).state(|state| state.departed = Some(at));
    PresentSecret { rotation_enabled: false, ..secret }
}

fn planned(secret: &PresentSecret, tells: bool, now: DateTime<Utc>) -> UserPlan {
    plan_for_departed_account(&owner(), secret, tells, &periods(), now)
}

/// The plan in one line.
fn line(plan: &UserPlan) -> String {
    let actions = plan.actions.iter().map(ToString::to_string);
    let notices = plan.notices.iter().map(|notice| format!("notify {notice}"));
    by_number(&actions.chain(notices).collect::<Vec<_>>().join(" | "))
}

const CANCELLED: &str = "cancel the schedule: the account is closed or has left the organization \
                         | record that the account is closed or has left the organization";
const TOLD: &str = "notify 1: is not rotated any more: the account is closed or has left the organization";

#[test]
fn reported_c6_a_running_schedule_is_cancelled_and_dated() {
    let running = rotated(1, None, days(40));
    assert_eq!(line(&planned(&running, false, now())), CANCELLED);
    let told = planned(&running, true, now());
    assert_eq!(line(&told), format!("{CANCELLED} | {TOLD}"));
    assert_eq!(told.notices[0].tells_of, Some(ActionName::Cancel), "not sent if the schedule still runs");
    assert_eq!(told.notices[0].owner, None, "nobody can be asked for the owner");
}

#[test]
fn reported_c6_a_schedule_that_is_off_begins_its_grace() {
    let off = PresentSecret { rotation_enabled: false, ..rotated(1, None, days(40)) };
    assert_eq!(line(&planned(&off, false, now())), "record that the account is closed or has left the organization");
    let told = planned(&off, true, now());
    assert_eq!((told.notices.len(), told.notices[0].tells_of), (1, None), "true whatever the run does");
}

/// The recovery grace is ten days of the calendar: any run of the tenth day deletes.
#[test]
fn reported_c6_a_secret_is_deleted_on_the_tenth_day() {
    let first_of_the_day = midnight(now());
    let limit = first_of_the_day + days(10);
    for at in [first_of_the_day, now(), first_of_the_day + days(1) - SECOND] {
        let waits =
            [Waiting { action: ActionName::DeleteSecret, key: None, wait: Wait::RecoveryGrace, until: Some(limit) }];
        let before = planned(&departed(at), false, limit - SECOND);
        assert_eq!((line(&before), &before.waiting[..]), (String::new(), &waits[..]), "{at}");
        for now in [limit, limit + SECOND, limit + days(300)] {
            let plan = planned(&departed(at), false, now);
            assert_eq!((line(&plan), plan.waiting.len()), ("schedule the secret for deletion".to_owned(), 0), "{at}");
        }
    }
}

#[test]
fn reported_c6_replicas_of_a_departed_accounts_secret_go_first() {
    let secret = PresentSecret { replicas: vec!["eu-west-1".to_owned()], ..departed(now() - days(10)) };
    let expected = "delete the secret's replicas in eu-west-1 | schedule the secret for deletion";
    assert_eq!(line(&planned(&secret, false, now())), expected);
    let waits = PresentSecret { state: departed(now() - days(9)).state, ..secret };
    assert_eq!(line(&planned(&waits, false, now())), "", "nothing goes before the grace is over");
}

/// A record of an earlier departure says nothing about a schedule that somebody has switched on again since.
#[test]
fn reported_c6_a_schedule_that_runs_again_begins_another_grace() {
    let again = PresentSecret { rotation_enabled: true, ..departed(now() - days(300)) };
    let plan = planned(&again, false, now());
    assert_eq!((line(&plan).as_str(), plan.waiting.len()), (CANCELLED, 0));
}

#[test]
fn reported_c6_a_departure_is_told_again_after_the_period() {
    let sent = |ago: Option<TimeDelta>, secret: PresentSecret| {
        secret.state(|state| {
            if let Some(ago) = ago {
                state.notified.record_on(&id(1), Phase::Cancelled, now() - ago);
            }
        })
    };
    for (ago, is_told) in [(None, true), (Some(days(0)), false), (Some(days(6)), false), (Some(days(7)), true)] {
        let waits = planned(&sent(ago, departed(now() - days(8))), true, now());
        assert_eq!(line(&waits), if is_told { TOLD } else { "" }, "{ago:?}");
    }
    let running = planned(&sent(Some(days(0)), rotated(1, None, days(40))), true, now());
    assert_eq!(line(&running), format!("{CANCELLED} | {TOLD}"), "a cancellation is news");
    let ends = planned(&sent(None, departed(now() - days(10))), true, now());
    assert_eq!(line(&ends), "schedule the secret for deletion", "nothing can be recorded afterwards");
}

#[test]
fn reported_c6_a_secret_that_names_no_key_is_told_of_nowhere() {
    let nameless = departed(now()).state(|state| state.current_key = None);
    assert_eq!(line(&planned(&nameless, true, now())), "");
    let previous = nameless.state(|state| state.previous_key = Some(id(2)));
    assert!(line(&planned(&previous, true, now())).starts_with("notify 2: "), "the key of before names it");
}

#[test]
fn reported_c6_nothing_is_planned_for_a_foreign_secret() {
    let foreign = departed(now() - days(300)).state(|state| state.managed = false);
    let replica = PresentSecret { replica_of: Some("eu-west-1".to_owned()), ..departed(now() - days(300)) };
    for secret in [foreign, replica] {
        assert!(!is_own_secret(&secret));
        for secret in [PresentSecret { rotation_enabled: true, ..secret.clone() }, secret] {
            assert_eq!(planned(&secret, true, now()), UserPlan::nothing(&owner()));
            assert_eq!(plan_for_returned_account(&owner(), &secret), UserPlan::nothing(&owner()));
        }
    }
}

#[test]
fn reported_c6_only_a_recorded_departure_is_forgotten() {
    let actions = |secret: &PresentSecret| plan_for_returned_account(&owner(), secret).actions;
    assert_eq!(actions(&departed(now())), [Action::ForgetDeparture]);
    let again = PresentSecret { rotation_enabled: true, ..departed(now()) };
    assert_eq!(actions(&again), [Action::ForgetDeparture]);
    let off = PresentSecret { rotation_enabled: false, ..rotated(1, None, days(40)) };
    assert_eq!(actions(&off), [], "off for another reason, which the account's own sweep knows");
}

#[test]
fn reported_c6_the_grace_counts_from_the_cancellation_itself() {
    let done_at = now() + TimeDelta::minutes(14);
    let cancelled = Action::CancelSchedule(CancelReason::AccountDeparted);
    assert!(cancelled.tag_change(done_at, &crate::state::Notified::default()).set.is_empty());
    let record = Action::RecordDeparture.tag_change(done_at, &crate::state::Notified::default());
    assert_eq!(record.set.get(crate::state::tag::DEPARTED), Some(&crate::state::format_time(done_at)));
    let forgotten = Action::ForgetDeparture.tag_change(done_at, &crate::state::Notified::default());
    assert_eq!(forgotten.remove, [crate::state::tag::DEPARTED]);
}
