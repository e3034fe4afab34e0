//! keywheel finds and removes the orphan of a rotation, and no other key. A key that a person creates in the same
//! minute, or has used once, stays wherever the two can be distinguished.

use std::time::Duration;

use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};
use keywheel::aws::Aws;
use keywheel::model::{Clock, Cloud, Fault, FaultKind, KeyChange};
use keywheel::process;
use keywheel::rehearsal::Transport;
use keywheel::rotation;
use keywheel::settings::Function;
use serde_json::json;

use crate::harness::{MEMBER, TestStack, failures, refused, rehearse, start};

/// The seconds around the time of an intent in which a person's key can be mistaken for the rotation's.
const WINDOW: std::ops::RangeInclusive<i64> = -1..=9;

/// When a person creates a key, in seconds after the intent. A key that was created before it was not listed yet.
const MOMENTS: [i64; 17] = [-60, -30, -10, -2, -1, 0, 1, 2, 4, 8, 9, 10, 11, 15, 30, 45, 60];

fn failing(status: u16) -> FaultKind {
    FaultKind::ErrorBefore { status, code: "ServiceFailure".to_owned(), message: "not now".to_owned() }
}

fn failing_after(status: u16) -> FaultKind {
    FaultKind::ErrorAfter { status, code: "ServiceFailure".to_owned(), message: "not now".to_owned() }
}

/// Returns every way in which a rotation can be stopped or fail between its intent and its value.
fn mishaps() -> Vec<Vec<Fault>> {
    let tag = |kind| Fault::on("secretsmanager", "TagResource", kind);
    let make = |kind| Fault::on("iam", "CreateAccessKey", kind);
    let put = |kind| Fault::on("secretsmanager", "PutSecretValue", kind);
    let list_again = || Fault::on("iam", "ListAccessKeys", FaultKind::AccessDenied).nth(2);
    let kinds = || {
        let stops = [FaultKind::Stop, FaultKind::StopAfter, FaultKind::LostAnswer, FaultKind::Hang];
        let answers = [FaultKind::AccessDenied, refused("LimitExceeded"), failing(503), failing_after(500)];
        stops.into_iter().chain(answers)
    };
    let each = |at: &dyn Fn(FaultKind) -> Fault| kinds().map(|kind| vec![at(kind)]).collect::<Vec<_>>();
    let denied = |operation| Fault::on("iam", operation, FaultKind::AccessDenied).every();
    let stopped = |operation, kind| Fault::on("iam", operation, kind);
    let mut mishaps = [each(&tag), each(&make), each(&put)].concat();
    mishaps.extend(kinds().map(|kind| vec![make(kind), list_again()]));
    for clearing in [
        denied("UpdateAccessKey"),
        denied("DeleteAccessKey"),
        stopped("UpdateAccessKey", FaultKind::Stop),
        stopped("UpdateAccessKey", FaultKind::StopAfter),
        stopped("DeleteAccessKey", FaultKind::Stop),
        stopped("DeleteAccessKey", FaultKind::StopAfter),
    ] {
        mishaps.push(vec![put(refused("EncryptionFailure")), clearing.clone()]);
        mishaps.push(vec![make(FaultKind::LostAnswer), clearing]);
    }
    mishaps
}

/// The state after a rotation with some faults that is not retried.
struct Left {
    stage: TestStack,
    old: String,
    /// The key that the rotation created, if it still exists.
    made: Option<String>,
    /// Whether the pending value holds that key.
    is_put: bool,
    /// The time of the intent, if there is one, and whether it names a key.
    announced: Option<(DateTime<Utc>, bool)>,
}

async fn left_by(mishap: &[Fault]) -> Left {
    let cloud = Cloud::new(Clock::starting_at(start()), 1);
    let stage = TestStack::through(Transport::Direct, cloud, &[]);
    let old = stage.add_user("ci-bot", &[90]).remove(0).access_key_id;
    stage.sweep_well().await;
    stage.cloud.switch(|aws| aws.rotation_attempts = 1);
    for fault in mishap {
        stage.cloud.faults().inject(fault.clone());
    }
    stage.cloud.run_rotations().await;
    stage.cloud.faults().clear();
    let made = stage.user("ci-bot").keys.into_iter().map(|key| key.id).find(|id| *id != old);
    let pending = stage.secret("ci-bot").json("AWSPENDING").or_else(|| stage.secret("ci-bot").json("AWSCURRENT"));
    let is_put = made.is_some() && pending.is_some_and(|value| value["AccessKeyId"].as_str() == made.as_deref());
    let announced = stage.tag("ci-bot", "intent").map(|intent| {
        let parts: Vec<&str> = intent.split(' ').collect();
        (parts[1].parse().expect("a time"), parts.len() == 3)
    });
    Left { stage, old, made, is_put, announced }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Person {
    /// Creates a second key, if there is a slot.
    Adds,
    /// Deletes the old key and creates another one.
    Replaces,
}

impl Left {
    fn fork(&self) -> TestStack {
        let keywheel = self.stage.keywheel.on_fork();
        TestStack { cloud: keywheel.cloud().clone(), keywheel }
    }

    /// Lets a person act, runs the rotation again today and tomorrow, and returns which keys stay. `None`: no slot is
    /// free.
    async fn try_person(&self, person: Person, seconds: i64, used: bool) -> Option<Verdict> {
        let stage = self.fork();
        if person == Person::Replaces {
            stage.cloud.delete_key(MEMBER, "ci-bot", &self.old);
        }
        if stage.user("ci-bot").keys.len() == 2 {
            return None;
        }
        let about = self.announced.map_or(stage.now().trunc_subsecs(0), |(at, _)| at);
        let own = stage.cloud.add_access_key(MEMBER, "ci-bot", about + TimeDelta::seconds(seconds)).access_key_id;
        stage.cloud.clock().advance(Duration::from_mins(2)).await;
        if used {
            stage.cloud.use_key(MEMBER, "ci-bot", &own, "s3", stage.now()).expect("it works");
        }
        for _ in 0..2 {
            let _ = stage.rotate("ci-bot").await;
            stage.pass_days(1).await;
        }
        let keys: Vec<String> = stage.user("ci-bot").keys.into_iter().map(|key| key.id).collect();
        let is_there = |id: &String| keys.contains(id);
        Some(Verdict {
            own_stays: is_there(&own),
            made_stays: self.made.as_ref().is_some_and(is_there)
                && stage.current_key("ci-bot") != *self.made.as_ref()?,
            old_stays: is_there(&self.old),
        })
    }

    /// Returns which keys have to stay.
    fn expected(&self, person: Person, seconds: i64, used: bool) -> Verdict {
        let is_covered = WINDOW.contains(&seconds) && self.announced.is_some_and(|(_, named)| !named);
        let is_orphan = self.made.is_some() && !self.is_put;
        Verdict {
            // Undecidable: no key was created, that is unknown, and a person creates a key in these seconds. The only
            // active key is still kept.
            own_stays: used || !is_covered || self.made.is_some() || person == Person::Replaces,
            // Two keys were created in these seconds, and one is a person's.
            made_stays: is_orphan && is_covered,
            old_stays: person == Person::Adds,
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Verdict {
    own_stays: bool,
    /// The rotation's key exists, and nobody has it.
    made_stays: bool,
    old_stays: bool,
}

#[test]
fn a_persons_key_survives_if_it_can_be_distinguished() {
    rehearse(async {
        let (mut cases, mut mistaken, mut undecided) = (0, 0, 0);
        for mishap in mishaps() {
            let left = left_by(&mishap).await;
            for person in [Person::Adds, Person::Replaces] {
                for (seconds, used) in MOMENTS.into_iter().flat_map(|seconds| [(seconds, false), (seconds, true)]) {
                    let Some(verdict) = left.try_person(person, seconds, used).await else { continue };
                    let expected = left.expected(person, seconds, used);
                    assert_eq!(verdict, expected, "{mishap:#?}, {person:?} {seconds} s after, used: {used}");
                    cases += 1;
                    mistaken += u32::from(!verdict.own_stays);
                    undecided += u32::from(verdict.made_stays);
                }
            }
        }
        assert!(cases > 1000, "{cases}");
        // The two cannot be distinguished at some moments of some mishaps.
        assert!(
            (1..cases / 10).contains(&mistaken) && (1..cases / 10).contains(&undecided),
            "{cases} {mistaken} {undecided}"
        );
    });
}

#[test]
fn the_next_rotation_removes_the_orphan_of_any_mishap() {
    rehearse(async {
        for mishap in mishaps() {
            let left = left_by(&mishap).await;
            let stage = left.fork();
            if stage.secret("ci-bot").last_rotation != Some(Ok(())) {
                assert_eq!(stage.rotate("ci-bot").await, Ok(()), "{mishap:#?}");
            }
            let keys: Vec<String> = stage.user("ci-bot").keys.into_iter().map(|key| key.id).collect();
            assert_eq!(keys, [left.old.clone(), stage.current_key("ci-bot")], "{mishap:#?}");
            assert_eq!(stage.tag("ci-bot", "intent"), None, "{mishap:#?}");
            let made = stage.cloud.key_history(0).into_iter().filter(|event| event.by.is_some());
            let made = made.filter(|event| event.change == KeyChange::Created).count();
            assert!(made <= 2, "one, and one instead of an orphan: {mishap:#?}");
        }
    });
}

#[test]
fn the_intent_names_a_known_key_so_no_other_is_mistaken_for_it() {
    rehearse(async {
        let put = Fault::on("secretsmanager", "PutSecretValue", refused("EncryptionFailure"));
        let left = left_by(&[put, Fault::on("iam", "DeleteAccessKey", FaultKind::AccessDenied)]).await;
        let made = left.made.clone().expect("it could not be deleted");
        let intent = left.stage.tag("ci-bot", "intent").expect("it is there");
        assert!(intent.ends_with(&format!(" {made}")), "{intent}");
        for seconds in MOMENTS {
            let verdict = left.try_person(Person::Replaces, seconds, false).await.expect("there is a slot");
            assert_eq!(verdict, Verdict { own_stays: true, made_stays: false, old_stays: false }, "{seconds}");
        }
    });
}

#[test]
fn a_key_created_without_an_answer_is_removed_at_once() {
    rehearse(async {
        for kind in [FaultKind::LostAnswer, failing_after(500)] {
            let left = left_by(&[Fault::on("iam", "CreateAccessKey", kind.clone())]).await;
            assert_eq!((left.made, left.announced), (None, None), "{kind:?}");
        }
        let silent = left_by(&[Fault::on("iam", "CreateAccessKey", FaultKind::Hang)]).await;
        assert!(silent.made.is_none() && silent.announced.is_some(), "a key that is not listed may still exist");
    });
}

#[test]
fn a_key_is_created_only_right_after_its_announcement() {
    rehearse(async {
        let slow = || Fault::on("secretsmanager", "TagResource", FaultKind::Latency(Duration::from_secs(4)));
        let once = left_by(&[slow()]).await;
        let rotated = once.stage.secret("ci-bot").last_rotation;
        assert_eq!(rotated, Some(Ok(())), "announced again");
        let calls: Vec<String> = once.stage.cloud.calls().into_iter().map(|call| call.operation).collect();
        let make = calls.iter().position(|it| it == "CreateAccessKey").expect("made");
        assert_eq!(calls[make - 2..make], ["TagResource", "TagResource"]);
        let always = left_by(&[slow().every()]).await;
        let why = always.stage.secret("ci-bot").last_rotation.expect("it ended").expect_err("too late each time");
        assert!(why.contains("keywheel:intent") && why.contains("no key was created"), "{why}");
        assert_eq!((always.made, always.announced), (None, None));
    });
}

#[test]
fn a_call_that_hangs_ends_within_the_window() {
    rehearse(async {
        for transport in [Transport::Sdk, Transport::Direct] {
            let stage = TestStack::through(transport, Cloud::new(Clock::starting_at(start()), 1), &[]);
            stage.add_user("ci-bot", &[90]);
            stage.sweep_well().await;
            stage.cloud.switch(|aws| aws.rotation_attempts = 1);
            stage.cloud.faults().inject(Fault::on("iam", "CreateAccessKey", FaultKind::Hang).every());
            stage.cloud.run_rotations().await;
            let calls = stage.cloud.calls();
            let make = calls.iter().position(|call| call.operation == "CreateAccessKey").expect("tried");
            assert_eq!(calls.iter().filter(|call| call.operation == "CreateAccessKey").count(), 1, "not retried");
            assert_eq!(calls[make + 1].operation, "ListAccessKeys", "{transport:?}: at once");
            assert_eq!((calls[make + 1].at - calls[make].at).num_seconds(), 5, "{transport:?}");
        }
    });
}

/// Invokes the rotation function with its own clock wrong by `wrong_by`.
async fn step_with_wrong_clock(stage: &TestStack, wrong_by: TimeDelta, step: &str) -> Result<(), String> {
    let settings = stage.keywheel.settings();
    let account = settings.primary_account.as_str();
    let own_clock = Clock::starting_at(stage.now() + wrong_by);
    let config = stage.cloud.sdk_config(account, &settings.rotation_execution_role()).into_builder();
    let config = config.time_source(own_clock.time_source()).build();
    let aws = Aws::new(config, process::access(Function::Rotation, settings));
    let secret = stage.secret("ci-bot");
    let version = secret.version_with("AWSPENDING").expect("a rotation is under way").id.clone();
    let event = json!({"Step": step, "SecretId": secret.arn, "ClientRequestToken": version});
    let deadline = aws.now() + TimeDelta::minutes(2);
    let run = Box::pin(stage.cloud.until_stopped(rotation::handle(&aws, settings, event, deadline)));
    run.await.map_err(|_| "stopped".to_owned())?.map_err(|error| error.to_string())
}

async fn rotation_ahead() -> TestStack {
    let stage = TestStack::new();
    stage.add_user("ci-bot", &[90]);
    stage.sweep_well().await;
    stage
}

#[test]
fn a_wrong_clock_of_the_function_does_not_matter() {
    rehearse(async {
        for minutes in [-14, -4, 4, 14] {
            let wrong_by = TimeDelta::minutes(minutes);
            let stage = rotation_ahead().await;
            let stop = Fault::on("iam", "CreateAccessKey", FaultKind::StopAfter);
            stage.cloud.faults().inject(stop);
            let stopped = step_with_wrong_clock(&stage, wrong_by, "createSecret").await;
            assert_eq!(stopped, Err("stopped".to_owned()), "{minutes}");
            assert_eq!(stage.user("ci-bot").keys.len(), 2, "the key whose put is lost");
            for step in ["createSecret", "setSecret", "testSecret", "finishSecret"] {
                assert_eq!(step_with_wrong_clock(&stage, wrong_by, step).await, Ok(()), "{minutes}: {step}");
            }
            let user = stage.user("ci-bot");
            assert_eq!(user.keys.len(), 2, "{minutes}: the orphan was found");
            // The sweeper sees that the new key was tested, and retires the old one.
            let rotated_at: DateTime<Utc> =
                stage.tag("ci-bot", "rotated-at").expect("recorded").parse().expect("a time");
            let current = stage.current_key("ci-bot");
            assert!(user.key(&current).is_some_and(|key| key.created <= rotated_at), "{minutes}: {rotated_at}");
            stage.live_days(1).await;
            assert_eq!(stage.mails_with(&["ci-bot", &current, "was rotated"]).len(), 1, "{minutes}");
        }
    });
}

#[test]
fn a_wrong_clock_does_not_make_an_orphan_of_a_persons_key() {
    rehearse(async {
        for minutes in [-2, -1, 1, 2] {
            let stage = rotation_ahead().await;
            stage.cloud.faults().inject(Fault::on("iam", "CreateAccessKey", FaultKind::Stop));
            let wrong_by = TimeDelta::minutes(minutes);
            let stopped = step_with_wrong_clock(&stage, wrong_by, "createSecret").await;
            assert_eq!(stopped, Err("stopped".to_owned()), "{minutes}");
            // By the function's clock the key is created at the time of its intent.
            let own = stage.cloud.add_access_key(MEMBER, "ci-bot", stage.now() + wrong_by);
            stage.cloud.clock().advance(Duration::from_mins(3)).await;
            let refused = step_with_wrong_clock(&stage, wrong_by, "createSecret").await;
            assert!(refused.is_err_and(|why| why.contains("2 access keys")), "{minutes}");
            assert_eq!(stage.status("ci-bot", &own), "Active", "{minutes}");
        }
    });
}

#[test]
fn the_sweeper_names_the_remedy_for_an_uncertain_orphan() {
    rehearse(async {
        let left = left_by(&[Fault::on("iam", "CreateAccessKey", FaultKind::StopAfter)]).await;
        let stage = left.fork();
        stage.cloud.delete_key(MEMBER, "ci-bot", &left.old);
        let own = stage.cloud.add_access_key(MEMBER, "ci-bot", stage.now() + TimeDelta::seconds(2)).access_key_id;
        // A person ends the rotation by removing its label.
        let secret = stage.secret("ci-bot");
        let version = &secret.version_with("AWSPENDING").expect("it is there").id;
        let request = stage.operator().update_secret_version_stage().secret_id(&secret.arn);
        request.version_stage("AWSPENDING").remove_from_version_id(version).send().await.expect("removed");
        stage.pass_days(1).await;
        let told = failures(&stage.sweep().await);
        let made = left.made.clone().expect("it was made");
        for part in [made.as_str(), &own, "it is unknown which", "keywheel:intent"] {
            assert!(told.contains(part), "{part} is missing in {told}");
        }
        // The remedy that the report names.
        stage.cloud.delete_key(MEMBER, "ci-bot", &made);
        stage.cloud.use_key(MEMBER, "ci-bot", &own, "s3", stage.now()).expect("it works");
        stage.sweep_well().await;
        assert_eq!(stage.rotate("ci-bot").await, Ok(()));
        assert!(stage.user("ci-bot").key(&own).is_some());
    });
}

#[test]
fn a_lone_key_that_nobody_has_is_reported() {
    rehearse(async {
        let left = left_by(&[Fault::on("iam", "CreateAccessKey", FaultKind::StopAfter)]).await;
        let stage = left.fork();
        stage.cloud.delete_key(MEMBER, "ci-bot", &left.old);
        let told = failures(&stage.sweep().await);
        assert!(
            told.contains("the user's only active key") && told.contains(left.made.as_deref().expect("made")),
            "{told}"
        );
    });
}
