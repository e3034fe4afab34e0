//! A schedule that is left off, because it would rotate a young key: the sweeper rotates that key when it is due.

use super::*;
use crate::lifecycle::{Action, CancelReason};
use crate::state::{Notified, tag};

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
