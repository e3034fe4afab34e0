//! A limit of changes makes the dates in notices the first possible ones, and a change that has to wait past its
//! announced day is announced anew.

use keywheel::model::{Fault, FaultKind};

use crate::harness::{MEMBER, TestStack, failures, rehearse};

/// The ways in which notices are sent: by the sweep, by a digest, and by a digest that cannot list the users.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    Sweep,
    Digest,
    DigestWithoutList,
}

/// A day's sweep with its rotations and events, and a digest if notices go that way.
async fn live_a_day(stage: &TestStack, way: Way) {
    if way == Way::Sweep {
        assert_eq!(failures(&stage.live().await), "[]");
        return;
    }
    assert_eq!(failures(&stage.sweep_and_hold(MEMBER).await), "[]");
    stage.cloud.run_rotations().await;
    stage.hand_over_events().await;
    let denied = Fault::on("iam", "GetAccountAuthorizationDetails", FaultKind::AccessDenied).every();
    let denied = (way == Way::DigestWithoutList).then(|| stage.cloud.faults().inject(denied));
    assert_eq!(failures(&stage.digest().await), "[]");
    if let Some(denied) = denied {
        denied.remove();
    }
}

#[test]
fn on_aws_a2_a_limit_makes_dates_the_first_possible() {
    rehearse(async {
        for (limit, way, is_earliest) in [
            ("1", Way::Sweep, true),
            ("1", Way::Digest, true),
            ("1", Way::DigestWithoutList, true),
            ("2", Way::Sweep, false),
            ("2", Way::Digest, false),
            // Whether the limit may put the change off is not known then.
            ("2", Way::DigestWithoutList, true),
            ("0", Way::DigestWithoutList, false),
        ] {
            let stage = TestStack::with(&[("CHANGES_PER_RUN", limit)]);
            stage.add_user("ci-bot", &[85]);
            stage.add_user("idle", &[]);
            let context = format!("{limit} by {way:?}");
            for _ in 0..14 {
                live_a_day(&stage, way).await;
                stage.pass_days(1).await;
            }
            let date = |day: &str, is_earliest: bool| {
                if is_earliest { format!("from 2026-01-{day} on") } else { format!("on 2026-01-{day}") }
            };
            // The event of the rotation lists the users by itself.
            for (words, day, is_earliest) in [
                ("will be rotated", "06", is_earliest),
                ("was rotated; the old key will be disabled", "16", limit == "1"),
                ("will be disabled", "16", is_earliest),
            ] {
                let said = format!(") {words} {}", date(day, is_earliest));
                let subjects: Vec<String> = stage.cloud.mails().into_iter().map(|mail| mail.subject).collect();
                assert!(subjects.iter().any(|subject| subject.ends_with(&said)), "{context}: {said} in {subjects:#?}");
            }
        }
    });
}

/// The subjects of the mails to the owner of a user that say that a key will be changed from some day on.
fn put_off(stage: &TestStack, user: usize, change: &str) -> Vec<String> {
    let mails = stage.cloud.mails().into_iter().filter(|mail| mail.to == [format!("owner-{user}@example.com")]);
    mails.map(|mail| mail.subject).filter(|subject| subject.contains(&format!("will be {change} from"))).collect()
}

/// Of four changes that were announced for one day, a run then makes one a day.
#[test]
fn on_aws_b7_changes_put_off_past_their_day_are_announced_once() {
    rehearse(async {
        for (change, days, day) in [("disabled", 10, "2026-01-12"), ("deleted", 20, "2026-01-22")] {
            for way in [Way::Sweep, Way::Digest] {
                let mut stage = TestStack::with(&[("CHANGES_PER_RUN", "0")]);
                for n in 0..4 {
                    stage.add_user(&format!("user-{n}"), &[90 + n]);
                    stage.cloud.tag_user(MEMBER, &format!("user-{n}"), "owner", &format!("owner-{n}@example.com"));
                }
                for _ in 0..days {
                    live_a_day(&stage, way).await;
                    stage.pass_days(1).await;
                }
                stage.keywheel = stage.keywheel.redeployed(&[("CHANGES_PER_RUN", "1")]).expect("settings");
                let mut told = Vec::new();
                for _ in 0..5 {
                    live_a_day(&stage, way).await;
                    stage.pass_days(1).await;
                    told.push((0..4).map(|n| put_off(&stage, n, change).len()).sum::<usize>());
                }
                // On the announced day itself another run might have room.
                assert_eq!(told, [0, 2, 2, 2, 2], "{change}, {way:?}");
                let said = [2, 3].map(|n| put_off(&stage, n, change));
                assert!(said.iter().flatten().all(|subject| subject.contains(&format!("from {day} on"))), "{said:?}");
            }
        }
    });
}
