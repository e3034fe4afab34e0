//! The cost of a sweep in calls: with nothing due for anybody, and for each user who is acted upon.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use keywheel::aws::ATTEMPTS;
use keywheel::model::{Call, Clock, Cloud, Fault, FaultKind};
use keywheel::rehearsal::{PRIMARY_ACCOUNT, Transport};
use serde_json::Value;

use crate::harness::{MEMBER, TestStack, done, failures, rehearse, start};

/// For an account of 1,000 users, the account of the stack, the list of accounts and that of all secrets included.
const CALLS_WITHOUT_ANYTHING_DUE: usize = 30;
const CALLS_FOR_A_USER_ACTED_UPON: usize = 5;
/// Three for one who has a single key.
const CALLS_FOR_A_USER_TOLD_BY_A_DIGEST: usize = 4;
/// Resource policies that are read of users for whom nothing is due.
const SAMPLED_POLICIES: usize = 2;

fn stage(settings: &[(&str, &str)]) -> TestStack {
    TestStack::through(Transport::Direct, Cloud::new(Clock::starting_at(start()), 1), settings)
}

fn add_users(stage: &TestStack, users: usize, key_age: i64) {
    for n in 0..users {
        stage.add_user(&format!("user-{n:04}"), &[key_age]);
    }
}

/// The calls of one sweep.
async fn sweep(stage: &TestStack) -> (Value, Vec<Call>) {
    let before = stage.cloud.calls().len();
    let answer = stage.sweep_well().await;
    (answer, stage.cloud.calls().split_off(before))
}

fn by_operation(calls: &[Call]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for call in calls {
        *counts.entry(call.operation.as_str()).or_default() += 1;
    }
    counts
}

/// Calls that are made for single users, of the sweeper's.
fn of_users(calls: &[Call]) -> usize {
    const OF_ACCOUNTS: [&str; 14] = [
        "AssumeRole",
        "GenerateCredentialReport",
        "GetAccount",
        "GetAccountAuthorizationDetails",
        "GetCredentialReport",
        "GetEmailIdentity",
        "ListAccounts",
        "ListSecrets",
        "ListSuppressedDestinations",
        "SendEmail",
        "DescribeAccount",
        "DescribeOrganization",
        "GetCallerIdentity",
        "Publish",
    ];
    calls.iter().filter(|call| !OF_ACCOUNTS.contains(&call.operation.as_str())).count()
}

#[test]
fn upstream_defect_59_with_nothing_due_a_sweep_asks_for_no_user() {
    rehearse(async {
        let mut policies = Vec::new();
        for users in [10, 1_000] {
            let stage = stage(&[]);
            add_users(&stage, users, 20);
            let (answer, _) = sweep(&stage).await;
            assert_eq!(done(&answer, "provision"), u64::try_from(users).unwrap_or_default());
            stage.pass_days(1).await;
            let (answer, calls) = sweep(&stage).await;
            assert_eq!(answer["users"], users, "quiet users are counted");
            assert_eq!(answer["plan"], serde_json::json!([]));
            let counts = by_operation(&calls);
            assert!(calls.len() <= CALLS_WITHOUT_ANYTHING_DUE, "{} calls: {counts:#?}", calls.len());
            assert_eq!(of_users(&calls), SAMPLED_POLICIES, "{counts:#?}");
            let pages = users.div_ceil(100) * 2 + 1;
            assert_eq!(counts["ListSecrets"], pages, "of the member account, of the stack's own, and of all together");
            policies.extend(counts.get("GetResourcePolicy").copied());
        }
        assert_eq!(policies, [SAMPLED_POLICIES, SAMPLED_POLICIES], "the sample does not grow with the account");
    });
}

#[test]
fn users_who_need_nothing_of_keywheel_cost_nothing() {
    rehearse(async {
        let stage = stage(&[]);
        for n in 0..50 {
            let name = format!("person-{n:02}");
            stage.add_user(&name, &[]);
            let exempt = format!("exempt-{n:02}");
            stage.add_user(&exempt, &[400]);
            stage.cloud.add_to_group(MEMBER, "ASAIAMExemptionsGroup", &exempt);
        }
        let (answer, calls) = sweep(&stage).await;
        assert_eq!((answer["users"].as_u64(), of_users(&calls)), (Some(100), 0), "{:#?}", by_operation(&calls));
    });
}

/// The actions carried out for each user.
fn actions(answer: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let mut actions: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for entry in answer["plan"].as_array().into_iter().flatten() {
        let text = |field: &str| entry[field].as_str().unwrap_or_default().to_owned();
        actions.entry(text("user")).or_default().insert(text("action"));
    }
    actions
}

/// The calls up to the first question about mail, and those after it.
fn acting_and_telling(mut calls: Vec<Call>) -> (Vec<Call>, Vec<Call>) {
    let first_about_mail = calls.iter().position(|call| call.operation == "GetAccount").unwrap_or(calls.len());
    let telling = calls.split_off(first_about_mail);
    (calls, telling)
}

/// Twenty users live through the whole life of their keys, in an account that is swept by itself as the state machine
/// does, with a digest at the end of each run.
#[test]
fn an_action_costs_five_calls_and_a_notice_in_a_digest_four() {
    rehearse(async {
        let users = 20;
        let stage = stage(&[]);
        add_users(&stage, users, 0);
        let mut acted_upon = BTreeSet::new();
        let mut looked_at_for_nothing = 0;
        let mut told_by_digests = 0;
        for day in 0..220 {
            let before = stage.cloud.calls().len();
            let event =
                serde_json::json!({"account": MEMBER, "name": "prod", "email": "prod@example.com", "notices": "later"});
            let answer = stage.keywheel.sweep(event).await.expect("the sweep answers");
            assert_eq!(failures(&answer), "[]", "day {day}");
            let calls = stage.cloud.calls().split_off(before);
            let planned = actions(&answer);
            acted_upon.extend(planned.values().flatten().cloned());
            let calls_of_users = of_users(&calls);
            let limit = planned.len() * CALLS_FOR_A_USER_ACTED_UPON + SAMPLED_POLICIES;
            if planned.is_empty() && calls_of_users > SAMPLED_POLICIES {
                looked_at_for_nothing += calls_of_users - SAMPLED_POLICIES;
            } else {
                let counts = by_operation(&calls);
                assert!(calls_of_users <= limit, "day {day}: {calls_of_users} calls: {planned:?} {counts:#?}");
            }
            let (held, before) = (stage.held(), stage.cloud.calls().len());
            let digest = stage.digest().await;
            assert_eq!((failures(&digest), stage.held()), ("[]".to_owned(), 0), "day {day}");
            let calls = stage.cloud.calls().split_off(before);
            let told = usize::try_from(done(&digest, "warn")).unwrap_or_default();
            told_by_digests += told;
            assert!(told <= held, "day {day}: {told} of {held}");
            let limit = held * CALLS_FOR_A_USER_TOLD_BY_A_DIGEST;
            assert!(of_users(&calls) <= limit, "day {day}: {held} are told: {:#?}", by_operation(&calls));
            let (_, telling) = acting_and_telling(calls);
            assert!(of_users(&telling) <= held, "day {day}: {:#?}", by_operation(&telling));
            stage.cloud.run_rotations().await;
            stage.hand_over_events().await;
            stage.pass_days(1).await;
        }
        let expected = ["provision", "notify", "disable", "delete"].map(str::to_owned);
        assert!(expected.iter().all(|action| acted_upon.contains(action)), "{acted_upon:?}");
        assert!(told_by_digests >= users * 3, "{told_by_digests} warnings in 220 days");
        // A second key that is inactive is in no list: it is looked for on eight days before each rotation.
        let looks = looked_at_for_nothing / users;
        assert!(looks <= 16, "{looks} looks at each user in 220 days found nothing to do");
    });
}

/// The same if each sweep sends its notices at once, over many accounts or one: at most five calls, with the record of
/// the notices. Only a disabling is recorded before its notice is sent, because the owner may enable the key again
/// meanwhile: so that it was told takes a call of its own.
#[test]
fn an_action_with_its_notice_costs_five_calls_a_disabling_six() {
    let one_account = serde_json::json!({"account": MEMBER, "name": "prod", "email": "prod@example.com"});
    for event in [serde_json::json!({}), one_account] {
        rehearse(async {
            let users = 20;
            let stage = stage(&[]);
            add_users(&stage, users, 0);
            let mut acted_upon = BTreeSet::new();
            for day in 0..220 {
                let before = stage.cloud.calls().len();
                let answer = stage.keywheel.sweep(event.clone()).await.expect("the sweep answers");
                assert_eq!(failures(&answer), "[]", "day {day}");
                let calls = stage.cloud.calls().split_off(before);
                let planned = actions(&answer);
                acted_upon.extend(planned.values().flatten().cloned());
                let looked_at = if planned.is_empty() { users } else { planned.len() };
                let disabled = planned.values().filter(|actions| actions.contains("disable")).count();
                let to_act = looked_at * CALLS_FOR_A_USER_ACTED_UPON + SAMPLED_POLICIES;
                let counts = format!("{event}, day {day}: {planned:?} {:#?}", by_operation(&calls));
                assert!(of_users(&calls) <= to_act + disabled, "{counts}");
                let (acting, telling) = acting_and_telling(calls);
                assert!(of_users(&acting) <= to_act, "{counts}");
                assert!(of_users(&telling) <= planned.len(), "{counts}");
                stage.cloud.run_rotations().await;
                stage.hand_over_events().await;
                stage.pass_days(1).await;
            }
            let expected = ["provision", "notify", "disable", "delete"].map(str::to_owned);
            assert!(expected.iter().all(|action| acted_upon.contains(action)), "{acted_upon:?}");
        });
    }
}

/// Users are listed again meanwhile, and not asked for one by one.
#[test]
fn an_action_late_in_a_long_sweep_costs_five_calls_too() {
    rehearse(async {
        let users = 150;
        let stage = stage(&[("MAX_CONCURRENT_USERS", "2"), ("CHANGES_PER_RUN", "0")]);
        add_users(&stage, users, 90);
        stage.live_days(9).await;
        stage.pass_days(2).await;
        let slow = Fault::on("*", "*", FaultKind::Latency(Duration::from_secs(1))).every();
        stage.cloud.faults().inject(slow);
        let (began, before) = (stage.now(), stage.cloud.calls().len());
        let answer = stage.sweep_and_hold(MEMBER).await;
        assert_eq!((failures(&answer), done(&answer, "disable")), ("[]".to_owned(), 150), "{answer}");
        let minutes = usize::try_from((stage.now() - began).num_minutes()).unwrap_or_default();
        let calls = stage.cloud.calls().split_off(before);
        let counts = by_operation(&calls);
        let lists = counts["GetAccountAuthorizationDetails"];
        assert!(minutes >= 4 && (3..=minutes + 1).contains(&lists), "{lists} lists in {minutes} minutes");
        assert!(of_users(&calls) <= users * CALLS_FOR_A_USER_ACTED_UPON, "{counts:#?}");
    });
}

/// While others are looked at, the keys of those who wait grow old: before their turn they are read again.
#[test]
fn on_aws_b7_a_change_in_its_turn_costs_seven_calls() {
    rehearse(async {
        let (users, changes) = (60, 10);
        let stage = stage(&[("CHANGES_PER_RUN", "0")]);
        add_users(&stage, users, 90);
        stage.live_days(9).await;
        stage.pass_days(2).await;
        let keywheel = stage.keywheel.redeployed(&[("CHANGES_PER_RUN", "10")]).expect("settings");
        let slow = Fault::on("*", "*", FaultKind::Latency(Duration::from_secs(1))).every();
        stage.cloud.faults().inject(slow);
        let stage = TestStack { keywheel, cloud: stage.cloud.clone() };
        let before = stage.cloud.calls().len();
        let answer = stage.sweep_and_hold(MEMBER).await;
        assert_eq!((failures(&answer), done(&answer, "disable")), ("[]".to_owned(), 10), "{answer}");
        assert_eq!(answer["postponed"]["disable"], 50);
        let calls = stage.cloud.calls().split_off(before);
        // Those who wait cost the look at their keys.
        let limit = changes * (CALLS_FOR_A_USER_ACTED_UPON + 2) + (users - changes) * 2;
        assert!(of_users(&calls) <= limit, "{:#?}", by_operation(&calls));
    });
}

#[test]
fn the_only_user_with_a_notice_costs_a_digest_three_calls() {
    rehearse(async {
        let stage = stage(&[]);
        add_users(&stage, 1, 85);
        stage.sweep_and_hold(MEMBER).await;
        let before = stage.cloud.calls().len();
        let digest = stage.digest().await;
        assert_eq!((failures(&digest), digest["mails"].as_u64()), ("[]".to_owned(), Some(1)), "{digest}");
        let calls = stage.cloud.calls().split_off(before);
        let counts = by_operation(&calls);
        assert_eq!((of_users(&calls), counts["GetAccountAuthorizationDetails"]), (3, 1), "{counts:#?}");
    });
}

#[test]
fn a_user_whose_key_is_due_at_first_sight_costs_five_calls() {
    rehearse(async {
        let stage = stage(&[]);
        add_users(&stage, 20, 200);
        let (answer, calls) = sweep(&stage).await;
        assert_eq!((done(&answer, "provision"), done(&answer, "rotate")), (20, 20));
        assert!(of_users(&calls) <= 20 * CALLS_FOR_A_USER_ACTED_UPON, "{:#?}", by_operation(&calls));
    });
}

/// Three calls in ten are refused for their rate, whatever they ask for.
#[test]
fn throttling_costs_time_and_nothing_else() {
    rehearse(async {
        let stage = TestStack::with(&[("CHANGES_PER_RUN", "0")]);
        stage.cloud.switch(|aws| {
            aws.sdk_attempts = ATTEMPTS;
            aws.key_propagation = Duration::ZERO;
        });
        let keywheel = stage.keywheel.redeployed(&[("CHANGES_PER_RUN", "0")]).expect("the same settings");
        let stage = TestStack { keywheel, cloud: stage.cloud.clone() };
        add_users(&stage, 150, 85);
        let throttled = async || {
            let throttle =
                stage.cloud.faults().inject(Fault::on("*", "*", FaultKind::Throttle { times: 1 }).percent(30));
            let answer = stage.sweep().await;
            assert!(throttle.fired() > 3, "{}", throttle.fired());
            throttle.remove();
            assert_eq!(failures(&answer), "[]");
            answer
        };
        assert_eq!(done(&throttled().await, "provision"), 150);
        assert_eq!(throttled().await["users"], 150);
        stage.live_days(14).await;
        stage.pass_days(1).await;
        assert_eq!(done(&throttled().await, "disable"), 150);
        for n in 0..150 {
            assert_eq!(stage.user(&format!("user-{n:04}")).active_keys(), 1);
        }
    });
}

#[test]
fn more_accounts_than_fit_are_refused_before_anything_is_done() {
    rehearse(async {
        let stage = stage(&[("MAX_CONCURRENCY", "1")]);
        for n in 0..200_u64 {
            let account = format!("{}", 300_000_000_000 + n);
            stage.cloud.add_account(&account, "many", None);
        }
        let before = stage.cloud.calls().len();
        let refused = stage.keywheel.sweep(serde_json::json!({})).await.expect_err("202 accounts one after another");
        assert_eq!(refused.name(), "TooManyAccounts");
        let text = refused.to_string();
        assert!(text.contains("there are 202") && text.contains("state machine"), "{text}");
        let asked: BTreeSet<_> = stage.cloud.calls().split_off(before).into_iter().map(|call| call.operation).collect();
        assert_eq!(asked, BTreeSet::from(["ListAccounts".to_owned()]));
        let one = stage.keywheel.sweep(serde_json::json!({"account": PRIMARY_ACCOUNT})).await.expect("one by one");
        assert_eq!(one["accounts"], 1);
    });
}
