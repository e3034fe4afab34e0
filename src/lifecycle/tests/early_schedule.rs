//! A schedule that is left off, because it would rotate a young key: the sweeper rotates that key when it is due.

use std::collections::BTreeSet;

use super::*;
use crate::calendar::midnight;
use crate::lifecycle::{Action, CancelReason, KeySighting, Listed, Sighting, is_quiet};
use crate::state::{KeyDates, Notified, Reader, tag};

/// The schedule is left off for that key.
fn left_off(key: u64) -> PresentSecret {
    let secret =
        rotated(1, None, days(80)).sent(1, &[Phase::Rotated]).state(|state| state.schedule_off = Some(id(key)));
    PresentSecret { rotation_enabled: false, ..secret }
}

fn at_age(age: TimeDelta) -> UserFacts {
    user([key(2, age)]).with(left_off(2))
}

#[test]
fn on_aws_b3_a_schedule_that_is_left_off_is_no_drift() {
    assert_eq!(decide(&at_age(days(2))), "");
    let another = user([key(3, days(2))]).with(left_off(2));
    assert_eq!(decide(&another), "repair the rotation schedule", "it was left off for a key that is gone");
}

#[test]
fn on_aws_b3_the_sweeper_rotates_a_key_without_a_schedule() {
    // It is 9 o'clock, and the key is due in any run of its day.
    let first_moment_of_the_next_day = days(90) - TimeDelta::hours(15);
    assert!(!decide(&at_age(first_moment_of_the_next_day)).contains("rotate 2"));
    for age in [first_moment_of_the_next_day + SECOND, days(90)] {
        let created = now() - age;
        assert_eq!(
            plan(&at_age(age), &periods(), now()).actions,
            [Action::Rotate { key: id(2), created, configure: true }]
        );
    }
}

#[test]
fn on_aws_b3_a_schedule_that_is_left_off_restarts_no_grace() {
    let keys = [key(1, days(95)).used(days(40)), key(2, days(5))];
    let secret = rotated(2, Some(1), days(5)).sent(2, &[Phase::Rotated]).sent(1, &[Phase::DisableAhead]);
    let secret = secret.state(|state| state.schedule_off = Some(id(2)));
    assert_eq!(decide(&user(keys).with(PresentSecret { rotation_enabled: false, ..secret })), "");
}

#[test]
fn on_aws_b3_an_exemption_ends_the_time_without_a_schedule() {
    let facts = at_age(days(2)).exempt(Exemption::Exempt);
    let planned = plan(&facts, &periods(), now());
    assert_eq!(planned.actions, [Action::CancelSchedule(CancelReason::Exempt)]);
    let change = planned.actions[0].tag_change(now(), &Notified::default());
    assert_eq!(change.remove, [tag::SCHEDULE_OFF]);
}

/// The plan for a secret whose schedule runs and rotates next after that many days.
fn with_next(secret: PresentSecret, keys: impl Into<Vec<KeyFacts>>, in_days: i64) -> String {
    let next_rotation = Some(now() + days(in_days));
    decide(&user(keys).with(PresentSecret { next_rotation, ..secret }))
}

/// A secret whose current key was replaced by hand.
fn replaced_by_hand() -> PresentSecret {
    rotated(1, None, days(80)).sent(1, &[Phase::Rotated])
}

#[test]
fn on_aws_b3_a_running_schedule_rotates_no_young_key() {
    let decided = |in_days| with_next(replaced_by_hand(), [key(2, days(2))], in_days);
    for too_early in [-3, 0, 10, 87] {
        assert_eq!(decided(too_early), "leave the schedule off until 2 is due on 2027-02-18", "in {too_early} days");
    }
    for right in [88, 89, 200] {
        assert_eq!(decided(right), "", "in {right} days, the service acts at any hour of its day");
    }
    let overdue = with_next(replaced_by_hand(), [key(2, days(90))], -1);
    assert!(overdue.starts_with("rotate 2"), "{overdue}");
    let own = rotated(1, None, days(80)).sent(1, &[Phase::Rotated]);
    assert!(!with_next(own, [key(1, days(80))], 10).contains("leave"), "the count of its own rotation");
}

#[test]
fn on_aws_b3_an_adopted_secret_rotates_no_young_key() {
    let adopted = placeholder(1).state(|state| (state.managed, state.version) = (false, None));
    let decided = with_next(adopted, [key(2, days(2))], 10);
    assert_eq!(
        decided,
        "adopt the secret that is there, with 2 as its key | leave the schedule off until 2 is due on 2027-02-18"
    );
}

#[test]
fn on_aws_b3_an_announced_day_is_kept_by_the_schedule() {
    let announced = midnight(now()) + days(4);
    let secret = || {
        let secret = rotated(1, None, days(86)).sent(1, &[Phase::Rotated]);
        secret.state(|state| {
            state.notified.record_dated(&id(1), Phase::RotateAhead, BTreeSet::new(), announced, true);
        })
    };
    let shorter = Periods { rotation: days(60), ..periods() };
    let facts = |in_days| {
        user([key(1, days(86))]).with(PresentSecret { next_rotation: Some(now() + days(in_days)), ..secret() })
    };
    let left_off = Action::LeaveScheduleOff { key: id(1), until: announced };
    for too_early in [-26, 0, 3] {
        assert_eq!(plan(&facts(too_early), &shorter, now()).actions, std::slice::from_ref(&left_off));
    }
    assert_eq!(plan(&facts(4), &shorter, now()).actions, []);
    assert_eq!(facts(4).rotation_due(&shorter), Some((&id(1), announced)), "a schedule that is set anew keeps it too");
    assert_eq!(plan(&facts(0), &shorter, announced).actions.len(), 1, "a rotation");
}

#[test]
fn on_aws_b3_a_rotation_under_way_keeps_its_schedule() {
    let young = || [key(2, days(2))];
    assert!(with_next(replaced_by_hand(), young(), 0).contains("leave"));
    let begun = with_next(replaced_by_hand().unfinished(2), young(), 0);
    assert!(!begun.contains("leave"), "{begun}");
    let lately = |ago| {
        let secret = rotated(2, Some(1), ago).sent(2, &[Phase::Rotated]);
        with_next(secret, [key(2, days(0))], 0)
    };
    assert!(!lately(TimeDelta::hours(1) - SECOND).contains("leave"), "the list may lag");
    assert!(lately(TimeDelta::hours(1)).contains("leave"));
}

#[test]
fn on_aws_b3_the_tag_is_there_before_the_schedule_is_off() {
    let action = Action::LeaveScheduleOff { key: id(2), until: now() };
    let before = action.change_before(&Notified::default()).expect("a change");
    assert_eq!(before.set.get(tag::SCHEDULE_OFF), Some(&id(2).to_string()));
    assert!(action.tag_change(now(), &Notified::default()).is_empty());
}

#[test]
fn on_aws_b3_a_user_with_an_early_schedule_is_not_quiet() {
    let created = now() - days(2);
    let secret = placeholder(2).state(|state| {
        state.key_dates = Some(KeyDates::new(Some(created), []));
        state.reader = Reader::of("AIDACIBOT", &user([]).arn);
    });
    let sighting = Sighting { at: now(), active: vec![KeySighting { since: created, last_use: None }] };
    let quiet = |in_days| {
        let facts = user([]).with(PresentSecret { next_rotation: Some(now() + days(in_days)), ..secret.clone() });
        let listed = Listed {
            arn: &facts.arn,
            id: &facts.id,
            exemption: Exemption::NotExempt,
            sighting: Some(&sighting),
            secret: facts.secret.clone(),
            unreadable: None,
        };
        is_quiet(&listed, &periods(), now())
    };
    assert!(quiet(88) && !quiet(87));
}
