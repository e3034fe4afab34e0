//! How many keys a run changes in one account, in which order, and how many mails report that.

use std::collections::{BTreeMap, BTreeSet};

use keywheel::model::{Clock, Cloud, Fault, FaultKind, Mail, paused_runtime};
use keywheel::rehearsal::Transport;
use serde_json::{Value, json};

use crate::harness::{MEMBER, TestStack, done, failures, refused, rehearse, secret_name, start};

fn stage(settings: &[(&str, &str)]) -> TestStack {
    TestStack::through(Transport::Direct, Cloud::new(Clock::starting_at(start()), 1), settings)
}

/// A stage with this limit and this many overdue users, `user-0` with the oldest key first.
fn stage_with_users(limit: &str, users: i64) -> TestStack {
    let stage = stage(&[("CHANGES_PER_RUN", limit)]);
    for n in 0..users {
        stage.add_user(&format!("user-{n}"), &[200 - n]);
    }
    stage
}

/// How many changes of that kind an answer postpones.
fn postponed(answer: &Value, action: &str) -> u64 {
    answer["postponed"][action].as_u64().unwrap_or_default()
}

/// The changes that the limit counts: made or planned, and postponed.
fn volume(answer: &Value) -> Vec<(u64, u64)> {
    ["rotate", "disable", "delete"].map(|action| (done(answer, action), postponed(answer, action))).to_vec()
}

/// The numbers of those users whose rotation was started.
fn rotated(stage: &TestStack, users: i64) -> Vec<i64> {
    let is_rotated = |n: &i64| stage.find_secret(&format!("user-{n}")).is_some_and(|secret| secret.versions.len() > 1);
    (0..users).filter(is_rotated).collect()
}

/// A day of the state machine: the sweep, the rotations with their events, the digest. Returns the sweep's answer.
async fn live_a_day(stage: &TestStack) -> Value {
    let answer = stage.sweep_and_hold(MEMBER).await;
    assert_eq!(failures(&answer), "[]");
    stage.cloud.run_rotations().await;
    stage.hand_over_events().await;
    stage.digest().await;
    answer
}

#[test]
fn on_aws_b7_a_thousand_overdue_keys_take_twenty_runs() {
    // Without the search for secrets in each line of the log, which takes longer than all else; smaller tests search.
    paused_runtime().expect("a runtime").block_on(async {
        let (users, limit) = (1_000, 50);
        let stage = stage(&[]);
        stage.cloud.switch(|aws| {
            aws.counts_only = true;
            aws.mail_headers_only = true;
        });
        // Names say nothing about ages.
        let names: BTreeMap<i64, String> =
            (0..users).map(|n| (100 + n * 7_919 % users, format!("user-{n:04}"))).collect();
        for (age, name) in &names {
            stage.add_user(name, &[*age]);
        }
        let oldest_first: Vec<&String> = names.values().rev().collect();
        for run in 0..20 {
            let planned = match run {
                0 => Some(stage.keywheel.sweep(json!({"dry_run": true})).await.expect("a plan")),
                _ => None,
            };
            let answer = live_a_day(&stage).await;
            if let Some(planned) = planned {
                assert_eq!(volume(&planned), volume(&answer), "run {run}: the plan of a dry run is what is done");
            }
            let left = u64::try_from(users).unwrap_or_default() - (run + 1) * limit;
            assert_eq!(volume(&answer)[0], (limit, left), "run {run}");
            let rotated = stage.cloud.secrets().into_iter().filter(|secret| secret.versions.len() > 1);
            let rotated: BTreeSet<String> = rotated.map(|secret| secret.name).collect();
            let oldest = oldest_first.iter().take(usize::try_from((run + 1) * limit).unwrap_or_default());
            assert_eq!(rotated, oldest.map(|name| secret_name(MEMBER, name)).collect(), "run {run}: the oldest first");
            // The graces of ten days end in the order of the rotations.
            let disabled = if run < 10 { 0 } else { limit };
            assert_eq!(volume(&answer)[1..], [(disabled, 0), (0, 0)], "run {run}: {answer}");
            stage.pass_days(1).await;
        }
    });
}

#[test]
fn on_aws_b7_without_a_limit_all_are_changed_at_once() {
    rehearse(async {
        for (setting, rotations) in [("0", (30, 0)), ("30", (30, 0)), ("29", (29, 1)), ("7", (7, 23))] {
            let stage = stage(&[("CHANGES_PER_RUN", setting)]);
            for n in 0..30 {
                stage.add_user(&format!("user-{n:02}"), &[100 + n]);
            }
            let answer = stage.sweep_well().await;
            assert_eq!(volume(&answer)[0], rotations, "{setting}");
            assert_eq!(done(&answer, "provision"), 30, "secrets are not limited");
        }
    });
}

#[test]
fn on_aws_b7_changes_that_cannot_start_take_no_turn() {
    rehearse(async {
        let stage = stage_with_users("2", 6);
        let refuse = |user: &str| {
            let fault = Fault::on("secretsmanager", "RotateSecret", refused("InvalidParameterException"));
            stage.cloud.faults().inject(fault.about(&secret_name(MEMBER, user)).every())
        };
        refuse("user-0");
        refuse("user-1");
        let answer = stage.sweep().await;
        assert_eq!(volume(&answer)[0], (2, 2), "{answer}");
        assert_eq!(answer["failures"].as_array().map(Vec::len), Some(2), "{answer}");
        stage.cloud.run_rotations().await;
        assert_eq!(rotated(&stage, 6), [2, 3]);
    });
}

#[test]
fn on_aws_b7_a_change_that_may_have_started_takes_its_turn() {
    rehearse(async {
        let stage = stage_with_users("2", 6);
        let lost = Fault::on("secretsmanager", "RotateSecret", FaultKind::LostAnswer).every();
        let fault = stage.cloud.faults().inject(lost);
        let answer = stage.sweep().await;
        fault.remove();
        assert_eq!(volume(&answer)[0], (0, 4), "{answer}");
        stage.cloud.run_rotations().await;
        assert_eq!(rotated(&stage, 6).len(), 2, "although no answer came");
    });
}

#[test]
fn on_aws_b7_a_rotation_that_was_begun_takes_no_turn_again() {
    rehearse(async {
        let stage = stage_with_users("1", 3);
        let deny = Fault::on("iam", "CreateAccessKey", FaultKind::AccessDenied).every();
        let fault = stage.cloud.faults().inject(deny);
        for day in 0..3 {
            let answer = stage.live().await;
            assert_eq!(postponed(&answer, "rotate"), 2 - day, "{answer}");
            stage.pass_days(1).await;
        }
        fault.remove();
        stage.live_days(3).await;
        assert!((0..3).all(|n| stage.user(&format!("user-{n}")).keys.len() == 2), "all are rotated in the end");
    });
}

#[test]
fn on_aws_b7_a_person_who_forces_a_rotation_waits_for_no_turn() {
    rehearse(async {
        let stage = stage_with_users("1", 4);
        stage.live().await;
        // The youngest of those who wait.
        stage.rotate("user-3").await.expect("a rotation by hand");
        stage.pass_days(1).await;
        let answer = stage.live().await;
        assert_eq!(volume(&answer)[0], (1, 1), "{answer}");
        assert_eq!(rotated(&stage, 4), [0, 1, 3]);
    });
}

#[test]
fn on_aws_b7_a_postponed_rotation_is_announced_once() {
    rehearse(async {
        for is_deferred in [false, true] {
            let stage = stage_with_users("1", 3);
            for n in 0..3 {
                stage.cloud.tag_user(MEMBER, &format!("user-{n}"), "owner", &format!("owner-{n}@example.com"));
            }
            let mut answer = Value::Null;
            for _ in 0..2 {
                answer = if is_deferred { live_a_day(&stage).await } else { stage.live().await };
                stage.pass_days(1).await;
            }
            assert_eq!(postponed(&answer, "rotate"), 1, "{answer}");
            let to = |n: usize| -> Vec<String> {
                let mails = stage.cloud.mails().into_iter();
                let mails = mails.filter(|mail| mail.to == [format!("owner-{n}@example.com")]);
                mails.map(|mail| mail.subject).collect()
            };
            assert_eq!(to(0).len(), 1, "{:?}", to(0));
            assert!(to(0)[0].contains("was rotated"), "{:?}", to(0));
            assert_eq!(to(2).len(), 1, "{:?}", to(2));
            assert!(to(2)[0].contains("will be rotated"), "{:?}", to(2));
        }
    });
}

/// The mails to an address that are about rotations.
fn about_rotations(stage: &TestStack, to: &str) -> Vec<Mail> {
    let is_about = |mail: &Mail| mail.text.as_deref().unwrap_or_default().contains("is the new key");
    stage.cloud.mails().into_iter().filter(|mail| mail.to == [to] && is_about(mail)).collect()
}

#[test]
fn on_aws_b7_200_rotations_are_not_200_mails_to_an_address() {
    rehearse(async {
        for by_state_machine in [true, false] {
            let copy = [("CHANGES_PER_RUN", "0"), ("RECIPIENT_EMAIL_IN_COPY", "true")];
            let stage = stage(&copy);
            for n in 0..200 {
                let name = format!("user-{n:03}");
                stage.add_user(&name, &[100]);
                stage.cloud.tag_user(MEMBER, &name, "owner", &format!("owner-{n}@example.com"));
            }
            stage.add_user("nobodys", &[100]);
            let live = async || if by_state_machine { live_a_day(&stage).await } else { stage.live().await };
            live().await;
            assert!((0..200).all(|n| about_rotations(&stage, &format!("owner-{n}@example.com")).len() == 1));
            let of_account = about_rotations(&stage, "prod@example.com");
            assert!(of_account[0].subject.contains("nobodys"), "at once, because it has no owner");
            stage.pass_days(1).await;
            live().await;
            for address in ["prod@example.com", "platform@example.com"] {
                let mails = about_rotations(&stage, address);
                assert!((1..=2).contains(&mails.len()), "{} mails to {address}", mails.len());
                let all = format!("{mails:?}");
                let all = mails
                    .iter()
                    .flat_map(|mail| &mail.attachments)
                    .fold(all, |all, file| all + &String::from_utf8_lossy(&file.content));
                assert!((0..200).all(|n| all.contains(&format!("user-{n:03}"))), "every rotation is told to {address}");
            }
            stage.pass_days(1).await;
            let before = stage.cloud.mails().len();
            live().await;
            assert_eq!(stage.cloud.mails().len(), before, "and told once");
            assert!((0..200).all(|n| about_rotations(&stage, &format!("owner-{n}@example.com")).len() == 1));
        }
    });
}

#[test]
fn on_aws_b7_an_owner_who_is_the_contact_is_told_once() {
    rehearse(async {
        let stage = stage(&[]);
        stage.add_user("ci-bot", &[100]);
        stage.cloud.tag_user(MEMBER, "ci-bot", "owner", "Prod@example.com");
        live_a_day(&stage).await;
        stage.pass_days(1).await;
        live_a_day(&stage).await;
        let mails = stage.mails_with(&["ci-bot", "is the new key"]);
        assert_eq!(mails.len(), 1, "{mails:#?}");
    });
}
