//! Secrets stay secret: the model's marked secrets appear in no line of the log, error, metric, mail, plan, answer,
//! report, panic or `Debug`, with any request and any failure.

use chrono::TimeDelta;
use keywheel::error::Error;
use keywheel::keys::SecretKey;
use keywheel::model::{Fault, FaultKind, paused_runtime};
use keywheel::notify::Templates;
use keywheel::rehearsal::scenario::{self, ScenarioOptions, TimelineEntry};
use keywheel::rehearsal::{Leaks, PRIMARY_ACCOUNT};
use keywheel::rotation::event::{RotationEvent, RotationToken};
use keywheel::settings::{Function, Settings, VARIABLES};
use keywheel::value::{StoredKey, StoredValue};
use lambda_runtime::Diagnostic;
use serde_json::{Value, json};
use zeroize::{ZeroizeOnDrop, Zeroizing};

use crate::harness::{MEMBER, TestStack, rehearse, secret_name};

const TOKEN: &str = "7c3e1a52-0c1d-4e0f-9a57-1c2f3d4e5f60";

/// Checks everything that a stage shows at its end.
fn scan(leaks: &Leaks, stage: &TestStack) {
    leaks.scan_cloud(&stage.cloud);
    leaks.scan_debug("deployment", &stage.keywheel);
    leaks.scan_debug("settings", stage.keywheel.settings());
    assert!(leaks.lines() > 0, "the log was watched");
}

/// An error in every form in which it is shown: as text, as `Debug`, and as Lambda's answer.
fn scan_error(leaks: &Leaks, place: &str, error: Error) {
    leaks.scan(place, &error.to_string());
    leaks.scan_debug(place, &error);
    leaks.scan_debug(place, &Diagnostic::from(error));
}

/// Runs one step and checks its error.
async fn step(leaks: &Leaks, stage: &TestStack, event: Value) -> bool {
    let deadline = stage.now() + TimeDelta::minutes(2);
    match stage.keywheel.rotate_step(event, deadline).await {
        Ok(()) => true,
        Err(error) => {
            scan_error(leaks, "step", error);
            false
        }
    }
}

async fn sweep(leaks: &Leaks, stage: &TestStack) {
    match stage.keywheel.sweep(json!({})).await {
        Ok(answer) => leaks.scan("answer", &answer.to_string()),
        Err(error) => scan_error(leaks, "sweep", error),
    }
    stage.cloud.run_rotations().await;
    stage.cloud.fire_due_rotations().await;
    for event in stage.cloud.drain_events() {
        leaks.scan("event", &event.to_string());
        let answer = stage.keywheel.sweep(event).await;
        leaks.scan_debug("answer", &answer);
    }
}

#[test]
fn a_whole_life_with_forced_and_adopted_keys_shows_no_secret() {
    rehearse(async {
        let (leaks, stage) = (Leaks::watch(), TestStack::new());
        for (name, ages) in [("new", &[3][..]), ("old", &[200]), ("pair", &[95, 40]), ("forced", &[30, 20])] {
            stage.add_user(name, ages);
        }
        let old = stage.add_user("adopted", &[89]).remove(0);
        let value = json!({"AccessKeyId": old.access_key_id, "SecretAccessKey": old.secret, "Owner": "team"});
        stage.cloud.put_secret(PRIMARY_ACCOUNT, &secret_name(MEMBER, "adopted"), &value.to_string(), stage.now());
        sweep(&leaks, &stage).await;
        stage.tag_secret("forced", "keywheel:force", "true").await;
        stage.rotate("forced").await.expect("forced");
        for day in 0..125 {
            if day % 30 == 0 {
                let dry = stage.keywheel.sweep(json!({"dry_run": true})).await.expect("a plan");
                leaks.scan("plan", &dry.to_string());
            }
            stage.pass_days(1).await;
            sweep(&leaks, &stage).await;
        }
        scan(&leaks, &stage);
        assert!(stage.count("CreateAccessKey") >= 5 && stage.count("DeleteAccessKey") >= 4);
        assert!(stage.cloud.mails().len() > 10 && leaks.lines() > 500, "{} lines", leaks.lines());
        assert_eq!(leaks.found(), []);
    });
}

#[test]
fn the_rehearsal_shows_no_secret() {
    let leaks = Leaks::watch();
    let mut tell = |entry: TimelineEntry| leaks.scan_debug("timeline", &entry);
    let script = ScenarioOptions { days: 25, ..ScenarioOptions::default() };
    let run = paused_runtime().expect("a runtime").block_on(scenario::run(&script, &mut tell));
    let (cloud, outcome) = run.expect("a rehearsal");
    leaks.scan_debug("outcome", &outcome);
    leaks.scan_cloud(&cloud);
    assert!(leaks.lines() > 300 && leaks.texts() > 500, "{} lines, {} texts", leaks.lines(), leaks.texts());
    assert_eq!(leaks.found(), []);
}

/// Nobody documents how much an error of AWS may repeat. Here an error repeats the whole request and the whole answer.
#[test]
fn a_service_that_repeats_requests_and_answers_leaks_nothing() {
    rehearse(async {
        let leaks = Leaks::watch();
        for operation in [
            "CreateAccessKey",
            "PutSecretValue",
            "GetSecretValue",
            "AssumeRole",
            "GetCallerIdentity",
            "DescribeSecret",
            "UpdateSecretVersionStage",
            "ListAccessKeys",
            "TagResource",
            "SendEmail",
        ] {
            for every in [false, true] {
                let stage = TestStack::new();
                stage.add_user("ci-bot", &[200]);
                let fault = Fault::on("*", operation, FaultKind::Echo);
                let planted = stage.cloud.faults().inject(if every { fault.every() } else { fault });
                sweep(&leaks, &stage).await;
                let arn = stage.find_secret("ci-bot").map(|secret| secret.arn).unwrap_or_default();
                for name in ["createSecret", "testSecret"] {
                    let event = json!({"Step": name, "SecretId": arn, "ClientRequestToken": TOKEN});
                    step(&leaks, &stage, event).await;
                }
                stage.pass_days(20).await;
                sweep(&leaks, &stage).await;
                assert!(planted.fired() > 0, "{operation}");
                scan(&leaks, &stage);
                assert_eq!(leaks.found(), [], "{operation}");
            }
        }
    });
}

/// Values that a person or another tool damaged, with a secret in them.
fn damaged(secret: &str) -> Vec<String> {
    let id = "AKIAIOSFODNN7EXAMPLE";
    let whole = json!({"Version": 1, "AccessKeyId": id, "SecretAccessKey": secret, "UserName": "ci-bot",
        "AccountId": MEMBER, "UserArn": format!("arn:aws:iam::{MEMBER}:user/ci-bot"),
        "CreateDate": "2026-01-01T00:00:00Z", "Status": "Active"});
    let mut values = vec![
        whole.to_string()[..150].to_owned(),
        format!("{whole}{whole}"),
        format!("aws_access_key_id = {secret}\naws_secret_access_key = {id}"),
        format!("[default]\naws_access_key_id = {id}\naws_access_key_id = {secret}"),
        format!("AKIA:{secret}"),
        format!("{{\"SecretAccessKey\":\"{secret}\",\"SecretAccessKey\":\"{secret}\",\"UserArn\":1}}"),
        json!([secret]).to_string(),
        json!(secret).to_string(),
    ];
    for field in whole.as_object().expect("an object").keys() {
        for wrong in [json!([secret]), json!({ secret: secret }), json!(7), json!(null), json!(secret)] {
            let mut value = whole.clone();
            value[field] = wrong;
            values.push(value.to_string());
        }
    }
    let mut of_another = whole.clone();
    let nobody: String =
        secret.chars().filter(char::is_ascii_alphanumeric).chain("sEcReT0aB1cD2eF3gH4".chars()).collect();
    of_another["UserName"] = json!(nobody);
    of_another["UserArn"] = json!(format!("arn:aws:iam::{MEMBER}:user/{nobody}"));
    values.push(of_another.to_string());
    values
}

#[test]
fn no_error_repeats_a_value_that_cannot_be_read() {
    rehearse(async {
        let (leaks, stage) = (Leaks::watch(), TestStack::new());
        let key = stage.add_user("ci-bot", &[10]).remove(0);
        sweep(&leaks, &stage).await;
        let arn = stage.secret("ci-bot").arn;
        for (n, value) in damaged(&key.secret).into_iter().enumerate() {
            leaks.scan_debug("unreadable value", &StoredValue::read(&value).err());
            for (place, stages) in [("pending", ["AWSPENDING"]), ("current", ["AWSCURRENT"])] {
                let version = format!("{n:08}-{:0<27}", if place == "pending" { "aa" } else { "bb" });
                let put = stage.operator().put_secret_value().secret_id(&arn).client_request_token(&version);
                put.secret_string(&value).version_stages(stages[0]).send().await.expect("planted");
                for name in ["createSecret", "setSecret", "testSecret", "finishSecret"] {
                    step(&leaks, &stage, json!({"Step": name, "SecretId": arn, "ClientRequestToken": version})).await;
                }
            }
            sweep(&leaks, &stage).await;
        }
        scan(&leaks, &stage);
        assert_eq!(leaks.found(), []);
    });
}

/// A token in the wrong field, and every field of the wrong kind.
#[test]
fn no_error_repeats_a_secret_in_an_event_or_a_setting() {
    let leaks = Leaks::watch();
    let stage = TestStack::new();
    let secret = stage.add_user("ci-bot", &[10]).remove(0).secret;
    let arn = "arn:aws:secretsmanager:us-east-1:999988887777:secret:Account_111122223333_User_ci-bot_AccessKey-a1b2c3";
    let whole = json!({"Step": "setSecret", "SecretId": arn, "ClientRequestToken": TOKEN, "RotationToken": secret});
    let wrongs = [json!(secret), json!([secret]), json!({ "a": secret }), json!(format!("{arn}{secret}"))];
    for field in ["Step", "SecretId", "ClientRequestToken", "RotationToken", "Other"] {
        for wrong in &wrongs {
            let mut event = whole.clone();
            event[field] = wrong.clone();
            match RotationEvent::read(event.clone()) {
                Ok(read) => leaks.scan_debug("event", &read),
                Err(error) => scan_error(&leaks, "event", error),
            }
            let read = keywheel::sweep::Event::read(event);
            read.map_or_else(|error| scan_error(&leaks, "event", error), |read| leaks.scan_debug("event", &read));
        }
    }
    for field in ["account", "name", "email", "inventory", "dry_run", "detail-type", "detail"] {
        for wrong in &wrongs {
            let Err(error) = keywheel::sweep::Event::read(json!({field: wrong, "dry_run": wrong})) else { continue };
            scan_error(&leaks, "event", error);
        }
    }
    for variable in VARIABLES {
        let given = |name: &str| (name == variable).then(|| secret.clone());
        if let Err(error) = Settings::read(Function::Sweeper, given) {
            leaks.scan_debug("settings", &error);
            scan_error(&leaks, "settings", error.into());
        }
    }
    assert!(leaks.texts() > 100);
    assert_eq!(leaks.found(), []);
}

#[test]
fn on_aws_b1_no_text_of_an_event_reaches_mail_or_topic() {
    rehearse(async {
        let topic = format!("arn:aws:sns:us-east-1:{PRIMARY_ACCOUNT}:notices");
        let (leaks, stage) = (Leaks::watch(), TestStack::with(&[("NOTICE_TOPIC_ARN", &topic)]));
        stage.cloud.add_topic(PRIMARY_ACCOUNT, "notices");
        let key = stage.add_user("ci-bot", &[10]).remove(0);
        sweep(&leaks, &stage).await;
        let message = format!("call this number: +1 555 0100, or send '{}'", key.secret);
        for event in ["RotationFailed", "TestRotationFailed", "RotationAbandoned"] {
            let detail = json!({"eventName": event, "errorMessage": message, "errorCode": message,
                "additionalEventData": {"SecretId": stage.secret("ci-bot").arn}});
            let event = json!({"detail-type": "AWS Service Event via CloudTrail", "source": "aws.secretsmanager",
                "account": PRIMARY_ACCOUNT, "region": "us-east-1", "detail": detail});
            leaks.scan_debug("answer", &stage.keywheel.sweep(event).await);
        }
        let told = format!("{:?} {:?}", stage.cloud.mails(), stage.cloud.topic_messages(&topic));
        for words in ["could not be rotated", "its next rotation will not work", "somebody put another value"] {
            assert!(told.contains(words), "{words}");
        }
        assert!(!told.contains("555 0100"), "{told}");
        scan(&leaks, &stage);
        assert_eq!(leaks.found(), []);
    });
}

#[test]
fn what_holds_a_secret_does_not_print_it() {
    let (leaks, stage) = (Leaks::watch(), TestStack::new());
    let key = stage.add_user("ci-bot", &[10]).remove(0);
    let session = stage.cloud.role_session(PRIMARY_ACCOUNT, "operator");
    let value = json!({"Version": 1, "AccessKeyId": key.access_key_id, "SecretAccessKey": key.secret,
        "UserName": "ci-bot", "AccountId": MEMBER, "UserArn": format!("arn:aws:iam::{MEMBER}:user/ci-bot"),
        "CreateDate": "2026-01-01T00:00:00Z", "Status": "Active"});
    let stored = StoredValue::read(&value.to_string()).expect("a key");
    assert!(matches!(&stored, StoredValue::Key(stored) if stored.secret.expose() == key.secret));
    stage.cloud.put_secret(PRIMARY_ACCOUNT, "any", &value.to_string(), stage.now());
    leaks.scan_debug("stored value", &stored);
    leaks.scan_debug("secret key", &SecretKey::new(key.secret.clone()));
    leaks.scan_debug("model's key", &key);
    leaks.scan_debug("model's session", &session);
    leaks.scan_debug("SDK configuration", &stage.cloud.sdk_config(PRIMARY_ACCOUNT, "operator"));
    leaks.scan_debug("view", &stage.cloud.secret("any"));
    leaks.scan_debug("templates", &Templates::load(stage.keywheel.settings(), |_| None));
    leaks.scan_debug("deployment", &stage.keywheel);
    assert_eq!(leaks.found(), []);
}

/// Shows why the log of other crates starts at warnings: the SDK writes secrets at lower levels, and the watch finds
/// them.
#[test]
fn at_lower_levels_the_sdk_would_write_secrets_into_the_log() {
    rehearse(async {
        let production = Leaks::watch();
        let stage = TestStack::new();
        stage.add_user("ci-bot", &[200]);
        {
            let everything = Leaks::watch_all_levels();
            sweep(&everything, &stage).await;
            let found = everything.found();
            for part in ["<SecretAccessKey>", "x-amz-security-token"] {
                let writes = |leak: &keywheel::rehearsal::Leak| leak.place == "log" && leak.after.contains(part);
                assert!(found.iter().any(writes), "the SDK writes no {part} any more: look again");
            }
            assert_eq!(production.lines(), 0, "the inner watch took the log over");
        }
        stage.add_user("another", &[200]);
        sweep(&production, &stage).await;
        assert_eq!(stage.count("CreateAccessKey"), 2);
        scan(&production, &stage);
        assert_eq!(production.found(), []);
    });
}

/// Compiles only if these types wipe their content on drop.
#[test]
fn what_holds_a_secret_is_wiped_on_drop() {
    fn wiped<T: ZeroizeOnDrop>() {}
    wiped::<SecretKey>();
    wiped::<StoredKey>();
    wiped::<RotationToken>();
    wiped::<RotationEvent>();
    wiped::<keywheel::aws::NewKey>();
    wiped::<Zeroizing<String>>();
    let stored_as = |_: fn(&StoredKey) -> Zeroizing<String>| ();
    stored_as(StoredKey::to_json);
}
