//! What a process remembers from one step of a rotation to the next, and what the tags tell: how many calls that saves, and
//! that nothing goes through for it that would be refused without.

use std::time::Duration;

use chrono::TimeDelta;
use keywheel::aws::Aws;
use keywheel::model::{Clock, Cloud, Fault, FaultKind};
use keywheel::process;
use keywheel::rehearsal::{PRIMARY_ACCOUNT, Transport};
use keywheel::rotation::{self, Memory};
use keywheel::settings::Function;
use serde_json::json;

use crate::harness::{MEMBER, Stage, refused, rehearse, secret_name, start};

const STEPS: [&str; 4] = ["createSecret", "setSecret", "testSecret", "finishSecret"];

/// One process of the rotation function.
struct Process {
    aws: Aws,
    memory: Memory,
}

/// What a step came to: its result, and the calls that it made.
#[derive(Debug)]
struct Step {
    done: Result<(), String>,
    calls: Vec<String>,
}

impl Step {
    fn looked_at_the_secret(&self) -> bool {
        self.calls.iter().any(|call| call == "DescribeSecret")
    }
}

impl Process {
    fn start(stage: &Stage) -> Self {
        let settings = stage.keywheel.settings();
        let config = stage.cloud.sdk_config(settings.primary_account.as_str(), &settings.rotation_execution_role());
        Self { aws: Aws::new(config, process::access(Function::Rotation, settings)), memory: Memory::default() }
    }

    async fn step(&self, stage: &Stage, rotation: &Rotation, step: &str) -> Step {
        let Rotation { secret, version } = rotation;
        let event = json!({"Step": step, "SecretId": secret, "ClientRequestToken": version});
        let before = stage.cloud.calls().len();
        let deadline = stage.now() + TimeDelta::minutes(2);
        let done = rotation::handle(&self.aws, stage.keywheel.settings(), &self.memory, event, deadline).await;
        let calls = stage.cloud.calls().split_off(before).into_iter().map(|call| call.operation).collect();
        Step { done: done.map_err(|error| error.to_string()), calls }
    }

    /// These steps, which all succeed. Answers the last one.
    async fn steps(&self, stage: &Stage, rotation: &Rotation, steps: &[&str]) -> Step {
        let mut last = Step { done: Ok(()), calls: Vec::new() };
        for step in steps {
            last = self.step(stage, rotation, step).await;
            assert_eq!(last.done, Ok(()), "{step}");
        }
        last
    }
}

/// A rotation that Secrets Manager has begun, and that a test carries out step by step.
struct Rotation {
    secret: String,
    version: String,
}

impl Rotation {
    fn of(stage: &Stage, user: &str) -> Self {
        let secret = stage.secret(user);
        let version = secret.version_with("AWSPENDING").expect("a rotation has begun").id.clone();
        Self { secret: secret.arn, version }
    }
}

/// Begins a rotation by hand.
async fn begin(stage: &Stage, user: &str) -> Rotation {
    stage.operator().rotate_secret().secret_id(secret_name(MEMBER, user)).send().await.expect("begun");
    Rotation::of(stage, user)
}

/// What the sweeper writes down where it makes a secret.
async fn tag_what_is_known(stage: &Stage, user: &str) {
    let view = stage.user(user);
    stage.tag_secret(user, "keywheel:reader", &format!("{} {}", view.id, view.path)).await;
    let first = stage.secret(user).version_with("AWSCURRENT").map(|version| version.id.clone());
    stage.tag_secret(user, "keywheel:placeholder", &first.expect("a placeholder")).await;
}

/// A user whose first rotation has begun, with a key that works at once.
async fn first_rotation(user: &str) -> (Stage, Rotation) {
    let stage = Stage::new();
    stage.cloud.switch(|aws| aws.key_propagation = Duration::ZERO);
    stage.add_user(user, &[90]);
    stage.sweep_well().await;
    tag_what_is_known(&stage, user).await;
    let rotation = Rotation::of(&stage, user);
    (stage, rotation)
}

#[test]
fn a_rotation_makes_exactly_the_calls_that_it_is_known_to_need() {
    rehearse(async {
        let (stage, rotation) = first_rotation("ci-bot").await;
        let warm = Process::start(&stage);
        let mut counts = Vec::new();
        for step in STEPS {
            counts.push(warm.steps(&stage, &rotation, &[step]).await.calls);
        }
        insta::assert_snapshot!(counts.iter().map(|calls| calls.join(" ")).collect::<Vec<_>>().join("\n"), @r"
        DescribeSecret GetSecretValue AssumeRole ListGroupsForUser ListAccessKeys TagResource CreateAccessKey PutSecretValue
        ListAccessKeys
        GetCallerIdentity GetCallerIdentity GetCallerIdentity
        UpdateSecretVersionStage TagResource
        ");
        assert_eq!(counts.iter().map(Vec::len).sum::<usize>(), 14);
        let (stage, rotation) = first_rotation("ci-bot").await;
        let mut counts = Vec::new();
        for step in STEPS {
            counts.push(Process::start(&stage).steps(&stage, &rotation, &[step]).await.calls);
        }
        insta::assert_snapshot!(counts.iter().map(|calls| calls.join(" ")).collect::<Vec<_>>().join("\n"), @r"
        DescribeSecret GetSecretValue AssumeRole ListGroupsForUser ListAccessKeys TagResource CreateAccessKey PutSecretValue
        DescribeSecret GetSecretValue AssumeRole ListAccessKeys
        DescribeSecret GetSecretValue GetCallerIdentity GetCallerIdentity GetCallerIdentity
        DescribeSecret GetSecretValue AssumeRole ListAccessKeys UpdateSecretVersionStage TagResource
        ");
    });
}

/// Secrets Manager calls, on the schedule, with a session that is long over, and with marks of what was told in the tags.
#[test]
fn a_later_rotation_makes_no_more_calls_than_the_first() {
    rehearse(async {
        let stage = Stage::new();
        stage.cloud.switch(|aws| aws.key_propagation = Duration::ZERO);
        stage.add_user("ci-bot", &[90]);
        stage.live().await;
        tag_what_is_known(&stage, "ci-bot").await;
        stage.live_days(89).await;
        assert!(stage.tag("ci-bot", "notified").is_some(), "it was told that the rotation comes");
        let before = stage.cloud.calls().len();
        stage.pass_days(1).await;
        stage.cloud.fire_due_rotations().await;
        let calls: Vec<String> = stage.cloud.calls().split_off(before).into_iter().map(|call| call.operation).collect();
        assert_eq!(stage.secret("ci-bot").last_rotation, Some(Ok(())));
        assert_eq!((stage.count("CreateAccessKey"), calls.len()), (2, 14), "{calls:#?}");
    });
}

#[test]
fn what_no_tag_tells_is_asked_for() {
    rehearse(async {
        let (stage, rotation) = first_rotation("ci-bot").await;
        for name in ["keywheel:reader", "keywheel:placeholder"] {
            stage.tag_secret("ci-bot", name, "").await;
        }
        let create = Process::start(&stage).steps(&stage, &rotation, &["createSecret"]).await;
        let count = |operation: &str| create.calls.iter().filter(|call| *call == operation).count();
        assert_eq!((count("GetUser"), count("GetSecretValue"), create.calls.len()), (1, 2, 10), "{create:?}");
    });
}

#[test]
fn a_key_that_is_disabled_or_deleted_right_after_it_was_made_is_refused_by_the_process_that_made_it() {
    rehearse(async {
        for found in ["not active", "missing"] {
            let (stage, rotation) = first_rotation("ci-bot").await;
            let warm = Process::start(&stage);
            warm.steps(&stage, &rotation, &["createSecret"]).await;
            let new = stage.user("ci-bot").keys.pop().expect("made").id;
            match found {
                "missing" => stage.cloud.delete_key(MEMBER, "ci-bot", &new),
                _ => stage.cloud.set_key_status(MEMBER, "ci-bot", &new, "Inactive"),
            }
            for (attempt, is_warm) in [("at once", true), ("after the failure", false)] {
                let set = warm.step(&stage, &rotation, "setSecret").await;
                assert!(set.done.as_ref().is_err_and(|why| why.contains(found)), "{attempt}: {set:?}");
                assert_eq!(set.looked_at_the_secret(), !is_warm, "{attempt}: {set:?}");
            }
            assert_eq!(stage.secret("ci-bot").json("AWSCURRENT").expect("a value")["Status"], "AwaitingFirstRotation");
        }
    });
}

#[test]
fn a_value_that_is_put_during_a_rotation_is_not_replaced_by_the_process_that_did_not_see_it() {
    rehearse(async {
        let (stage, rotation) = first_rotation("ci-bot").await;
        let warm = Process::start(&stage);
        warm.steps(&stage, &rotation, &STEPS[..3]).await;
        let of_another = json!({"Version": 1, "AccessKeyId": "AKIAIOSFODNN7EXAMPLE", "SecretAccessKey": "x",
            "UserName": "root", "AccountId": MEMBER, "UserArn": format!("arn:aws:iam::{MEMBER}:user/root"),
            "CreateDate": "2026-01-01T00:00:00Z", "Status": "Active"});
        let put = stage.operator().put_secret_value().secret_id(&rotation.secret);
        put.secret_string(of_another.to_string()).send().await.expect("put");
        let finish = warm.step(&stage, &rotation, "finishSecret").await;
        assert!(finish.done.as_ref().is_err_and(|why| why.contains("AWSCURRENT")), "{finish:?}");
        assert_eq!(finish.calls, ["UpdateSecretVersionStage"], "nothing is written down");
        assert_eq!(stage.secret("ci-bot").json("AWSCURRENT").expect("a value")["UserName"], "root");
        assert_eq!(stage.tag("ci-bot", "rotated-at"), None);
        // Secrets Manager begins again, and now it is looked at everything.
        let create = warm.steps(&stage, &rotation, &["createSecret"]).await;
        let set = warm.step(&stage, &rotation, "setSecret").await;
        assert!(create.looked_at_the_secret() && set.looked_at_the_secret());
        assert!(set.done.as_ref().is_err_and(|why| why.contains("it is a key of user `root`")), "{set:?}");
    });
}

/// What the memory costs: docs/explanation/failures.md says so.
#[test]
fn a_pending_label_that_is_taken_off_is_seen_by_every_process_but_the_one_that_made_the_key() {
    rehearse(async {
        for warm in [true, false] {
            let (stage, rotation) = first_rotation("ci-bot").await;
            let process = Process::start(&stage);
            process.steps(&stage, &rotation, &STEPS[..3]).await;
            let remove = stage.operator().update_secret_version_stage().secret_id(&rotation.secret);
            let remove = remove.version_stage("AWSPENDING").remove_from_version_id(&rotation.version);
            remove.send().await.expect("taken off");
            let process = if warm { process } else { Process::start(&stage) };
            let finish = process.step(&stage, &rotation, "finishSecret").await;
            let new = stage.user("ci-bot").keys.pop().expect("made").id;
            if warm {
                assert_eq!((finish.done, stage.current_key("ci-bot")), (Ok(()), new), "a tested key of this user's");
            } else {
                assert!(finish.done.is_err_and(|why| why.contains("works on a version staged AWSPENDING")));
                assert_ne!(stage.current_key("ci-bot"), new);
            }
        }
    });
}

#[test]
fn the_memory_of_another_rotation_is_never_used() {
    rehearse(async {
        let (stage, first) = first_rotation("aaa").await;
        stage.add_user("bbb", &[90]);
        stage.sweep_well().await;
        tag_what_is_known(&stage, "bbb").await;
        let second = Rotation::of(&stage, "bbb");
        let process = Process::start(&stage);
        process.steps(&stage, &first, &["createSecret"]).await;
        process.steps(&stage, &second, &["createSecret"]).await;
        for step in &STEPS[1..] {
            assert!(process.steps(&stage, &first, &[step]).await.looked_at_the_secret(), "{step}: it was forgotten");
            assert!(!process.steps(&stage, &second, &[step]).await.looked_at_the_secret(), "{step}");
        }
        for user in ["aaa", "bbb"] {
            let (keys, current) = (stage.user(user).keys, stage.current_key(user));
            assert_eq!((keys.len(), keys[1].id.as_str()), (2, current.as_str()), "{user}");
        }
    });
}

#[test]
fn a_process_forgets_a_rotation_after_two_minutes_when_it_begins_again_or_fails() {
    rehearse(async {
        for (why, forgets) in [("nothing", false), ("time", true), ("again", true), ("order", true), ("failure", true)]
        {
            let (stage, rotation) = first_rotation("ci-bot").await;
            let process = Process::start(&stage);
            process.steps(&stage, &rotation, &["createSecret"]).await;
            match why {
                "time" => stage.cloud.clock().advance(Duration::from_secs(121)).await,
                "again" => drop(process.steps(&stage, &rotation, &["createSecret"]).await),
                "order" => drop(process.steps(&stage, &rotation, &["testSecret"]).await),
                "failure" => {
                    let fault = stage.cloud.faults().inject(Fault::on("iam", "ListAccessKeys", refused("Nope")));
                    process.step(&stage, &rotation, "setSecret").await.done.expect_err("refused");
                    fault.remove();
                }
                _ => stage.cloud.clock().advance(Duration::from_secs(110)).await,
            }
            let set = process.steps(&stage, &rotation, &["setSecret"]).await;
            assert_eq!(set.looked_at_the_secret(), forgets, "{why}");
            process.steps(&stage, &rotation, &["testSecret", "finishSecret"]).await;
        }
    });
}

#[test]
fn a_label_that_does_not_move_from_memory_moves_the_whole_way() {
    rehearse(async {
        for kind in [FaultKind::AccessDenied, FaultKind::LostAnswer] {
            let (stage, rotation) = first_rotation("ci-bot").await;
            let process = Process::start(&stage);
            process.steps(&stage, &rotation, &STEPS[..3]).await;
            let fault = Fault::on("secretsmanager", "UpdateSecretVersionStage", kind.clone());
            let fault = stage.cloud.faults().inject(fault.every());
            process.step(&stage, &rotation, "finishSecret").await.done.expect_err("failed");
            fault.remove();
            let finish = process.steps(&stage, &rotation, &["finishSecret"]).await;
            assert!(finish.looked_at_the_secret(), "{kind:?}: {finish:?}");
            let current = stage.current_key("ci-bot");
            assert_eq!(stage.tag("ci-bot", "current-key"), Some(current.clone()), "{kind:?}");
            assert_eq!(stage.user("ci-bot").keys.pop().map(|key| key.id), Some(current), "{kind:?}");
        }
    });
}

#[test]
fn what_was_told_during_a_rotation_is_not_owed_again() {
    rehearse(async {
        let (stage, rotation) = first_rotation("ci-bot").await;
        let gone = "AKIAIOSFODNN7EXAMPLE";
        stage.tag_secret("ci-bot", "keywheel:notified", &format!("{gone}=disabled")).await;
        let process = Process::start(&stage);
        process.steps(&stage, &rotation, &STEPS[..3]).await;
        // A sweep tells what was owed.
        stage.tag_secret("ci-bot", "keywheel:notified", &format!("{gone}=deleted.disabled")).await;
        let finish = process.steps(&stage, &rotation, &["finishSecret"]).await;
        assert_eq!(finish.calls, ["DescribeSecret", "UpdateSecretVersionStage", "TagResource"]);
        assert_eq!(stage.tag("ci-bot", "notified"), None);
    });
}

#[test]
fn the_dates_of_the_keys_are_written_down() {
    rehearse(async {
        let (stage, rotation) = first_rotation("ci-bot").await;
        let old = stage.user("ci-bot").keys[0].created;
        Process::start(&stage).steps(&stage, &rotation, &STEPS).await;
        let new = stage.user("ci-bot").keys[1].created;
        let text = |time: chrono::DateTime<chrono::Utc>| time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
        assert_eq!(stage.tag("ci-bot", "key-dates"), Some(format!("{} {}", text(new), text(old))));
        assert_eq!((stage.tag("ci-bot", "intent"), stage.tag("ci-bot", "placeholder")), (None, None));
    });
}

#[test]
fn a_user_of_the_same_name_in_other_capitals_gets_no_key() {
    rehearse(async {
        for transport in [Transport::Sdk, Transport::Direct] {
            let stage = Stage::through(transport, Cloud::new(Clock::starting_at(start()), 1), &[]);
            stage.add_user("ci-bot", &[90]);
            stage.sweep_well().await;
            tag_what_is_known(&stage, "ci-bot").await;
            stage.cloud.delete_user(MEMBER, "ci-bot");
            stage.add_user("CI-Bot", &[10]);
            let asked = stage.count("GetUser");
            stage.cloud.run_rotations().await;
            let why = stage.secret("ci-bot").last_rotation.expect("a rotation ended").expect_err("refused");
            assert!(why.contains("user `ci-bot` in account") && why.contains("does not exist"), "{transport:?}: {why}");
            let counts = (stage.count("CreateAccessKey"), stage.count("GetUser"));
            assert_eq!(counts, (0, asked), "{transport:?}: known by the list of its keys");
        }
    });
}

fn value_of(user: &str) -> String {
    json!({"Version": 1, "AccessKeyId": "AKIAIOSFODNN7EXAMPLE", "SecretAccessKey": "x", "UserName": user,
        "AccountId": MEMBER, "UserArn": format!("arn:aws:iam::{MEMBER}:user/{user}"),
        "CreateDate": "2026-01-01T00:00:00Z", "Status": "Active"})
    .to_string()
}

#[test]
fn a_value_of_another_users_is_refused_whether_it_was_adopted_or_put_later() {
    rehearse(async {
        let stage = Stage::new();
        stage.add_user("ci-bot", &[90]);
        let made = stage.now() - TimeDelta::days(90);
        stage.cloud.put_secret(PRIMARY_ACCOUNT, &secret_name(MEMBER, "ci-bot"), &value_of("root"), made);
        stage.sweep().await;
        assert!(stage.tag("ci-bot", "version").is_some() && stage.tag("ci-bot", "current-key").is_some(), "adopted");
        let why = stage.rotate("ci-bot").await.expect_err("refused");
        assert!(why.contains("it is a key of user `root`"), "{why}");
        assert_eq!(stage.count("CreateAccessKey"), 0);
        let stage = Stage::new();
        stage.add_rotated_user("ci-bot").await;
        stage.pass_days(1).await;
        let put = stage.operator().put_secret_value().secret_id(secret_name(MEMBER, "ci-bot"));
        put.secret_string(value_of("root")).send().await.expect("put");
        let why = stage.rotate("ci-bot").await.expect_err("refused");
        assert!(why.contains("it is a key of user `root`"), "{why}");
        assert_eq!(stage.count("CreateAccessKey"), 1);
    });
}

/// Whoever may tag could exchange the keys in the tags: an order for an incident goes by the value.
#[test]
fn a_forced_rotation_spares_the_key_that_readers_get_whatever_the_tags_say() {
    rehearse(async {
        let stage = Stage::new();
        let (old, new) = stage.add_rotated_user("ci-bot").await;
        stage.tag_secret("ci-bot", "keywheel:current-key", &old.access_key_id).await;
        stage.tag_secret("ci-bot", "keywheel:previous-key", &new).await;
        stage.tag_secret("ci-bot", "keywheel:force", "true").await;
        let rotation = begin(&stage, "ci-bot").await;
        Process::start(&stage).steps(&stage, &rotation, &["createSecret"]).await;
        assert_eq!(stage.status("ci-bot", &old), "gone");
        assert!(stage.user("ci-bot").key(&new).is_some_and(keywheel::model::KeyView::is_active));
    });
}
