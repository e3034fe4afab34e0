//! Every kind of fault, seen from the caller.

use std::time::Duration;

use aws_sdk_secretsmanager::error::SdkError;
use aws_smithy_types::retry::RetryConfig;

use super::*;
use crate::model::{Fault, FaultKind, Stopped};

fn client_without_retries(cloud: &Cloud) -> aws_sdk_iam::Client {
    let config = cloud.sdk_config(MEMBER, "sweeper").into_builder().retry_config(RetryConfig::disabled()).build();
    aws_sdk_iam::Client::new(&config)
}

fn with_bot() -> Cloud {
    let cloud = cloud();
    cloud.add_user(MEMBER, "bot", "/");
    cloud
}

fn keys(cloud: &Cloud) -> usize {
    cloud.users(MEMBER)[0].keys.len()
}

fn error(code: &str) -> (u16, String, String) {
    (400, code.to_owned(), "planted".to_owned())
}

#[tokio::test(start_paused = true)]
async fn errors_are_returned_before_or_after_the_effect() {
    let cloud = with_bot();
    let client = client_without_retries(&cloud);
    let (status, code_, message) = error("ServiceFailure");
    let before = FaultKind::ErrorBefore { status, code: code_.clone(), message: message.clone() };
    let handle = cloud.faults().inject(Fault::on("iam", "CreateAccessKey", before).nth(2));
    let create = || client.create_access_key().user_name("bot").send();
    create().await.expect("the first is not hit");
    assert_eq!(code(create().await), "ServiceFailure");
    assert_eq!((keys(&cloud), handle.fired()), (1, 1));
    let after = FaultKind::ErrorAfter { status, code: code_, message };
    cloud.faults().inject(Fault::on("iam", "CreateAccessKey", after).in_account(MEMBER));
    assert_eq!(code(create().await), "ServiceFailure");
    assert_eq!(keys(&cloud), 2, "it took effect");
    let calls = cloud.calls();
    assert_eq!(calls.iter().map(|it| it.ok).collect::<Vec<_>>(), [true, false, false]);
}

#[tokio::test(start_paused = true)]
async fn throttling_passes_when_the_sdk_retries() {
    let cloud = with_bot();
    let handle = cloud.faults().inject(Fault::on("iam", "ListAccessKeys", FaultKind::Throttle { times: 2 }));
    iam_client(&cloud).list_access_keys().user_name("bot").send().await.expect("the third attempt");
    assert_eq!((handle.fired(), cloud.call_count()), (2, 3));
    assert_eq!(cloud.calls()[0].error_code.as_deref(), Some("Throttling"));
}

#[tokio::test(start_paused = true)]
async fn a_denial_hits_only_its_calls_and_can_be_removed() {
    let cloud = with_bot();
    cloud.add_user(MEMBER, "other", "/");
    let client = iam_client(&cloud);
    let handle = cloud.faults().inject(Fault::on("iam", "*", FaultKind::AccessDenied).about("bot").every());
    let list = |name: &str| client.list_access_keys().user_name(name).send();
    assert_eq!(code(list("bot").await), "AccessDenied");
    assert_eq!(code(list("bot").await), "AccessDenied");
    list("other").await.expect("another user");
    handle.remove();
    list("bot").await.expect("taken away");
    assert_eq!(handle.fired(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_slow_answer_takes_time_and_a_missing_answer_times_out() {
    let cloud = with_bot();
    let client = client_without_retries(&cloud);
    let wait = Duration::from_secs(7);
    cloud.faults().inject(Fault::on("iam", "GetUser", FaultKind::Latency(wait)));
    client.get_user().user_name("bot").send().await.expect("slow but there");
    assert_eq!(cloud.clock().now() - day(), chrono::TimeDelta::seconds(7));
    cloud.faults().inject(Fault::on("iam", "CreateAccessKey", FaultKind::Hang));
    let hung = client.create_access_key().user_name("bot").send().await;
    assert!(matches!(&hung, Err(SdkError::DispatchFailure(it)) if it.is_timeout()), "{hung:?}");
    assert_eq!(keys(&cloud), 0);
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_leaves_its_effect() {
    let cloud = with_bot();
    cloud.faults().inject(Fault::on("iam", "CreateAccessKey", FaultKind::LostAnswer));
    let lost = client_without_retries(&cloud).create_access_key().user_name("bot").send().await;
    assert!(matches!(&lost, Err(SdkError::DispatchFailure(it)) if it.is_io()), "{lost:?}");
    assert_eq!(keys(&cloud), 1);
    assert_eq!(cloud.calls()[0].error_code.as_deref(), Some("LostAnswer"));
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_the_driven_work_before_or_after_the_effect() {
    let cloud = with_bot();
    for (kind, expected) in [(FaultKind::Stop, 0), (FaultKind::StopAfter, 1)] {
        cloud.faults().inject(Fault::on("iam", "CreateAccessKey", kind));
        let client = iam_client(&cloud);
        let work = client.create_access_key().user_name("bot").send();
        assert_eq!(cloud.until_stopped(work).await.err(), Some(Stopped));
        assert_eq!(keys(&cloud), expected);
    }
    cloud.faults().inject(Fault::on("iam", "GetUser", FaultKind::Stop));
    let client = iam_client(&cloud);
    tokio::select! {
        () = cloud.stopped() => {}
        answer = client.get_user().user_name("bot").send() => panic!("answered: {answer:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_in_a_spawned_task_ends_the_driven_work_too() {
    let cloud = with_bot();
    cloud.faults().inject(Fault::on("iam", "GetUser", FaultKind::Stop));
    let client = iam_client(&cloud);
    let work = tokio::spawn(client.get_user().user_name("bot").send());
    assert_eq!(cloud.until_stopped(work).await.err(), Some(Stopped));
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_ids() {
    let ids = |cloud: &Cloud| cloud.users(MEMBER).into_iter().map(|it| it.id).collect::<Vec<_>>();
    assert_eq!(ids(&with_bot()), ids(&with_bot()));
}

#[tokio::test(start_paused = true)]
async fn a_repeated_fault_hits_one_call_and_its_retries() {
    let cloud = with_bot();
    cloud.add_user(MEMBER, "other", "/");
    let client = iam_client(&cloud);
    let list = |name: &str| client.list_access_keys().user_name(name).send();
    let down = || FaultKind::ErrorBefore { status: 500, code: "ServiceFailure".to_owned(), message: String::new() };
    let handle = cloud.faults().inject(Fault::on("*", "*", down()).repeated(2, 3));
    list("bot").await.expect("the first is not hit");
    assert_eq!(code(list("other").await), "ServiceFailure", "retried in vain");
    assert_eq!((handle.fired(), cloud.call_count()), (3, 4));
    list("other").await.expect("over");
    cloud.faults().inject(Fault::on("*", "*", down()).repeated(1, 2));
    let (one, two) = tokio::join!(list("bot"), list("other"));
    two.expect("another call at the same time is not hit");
    one.expect("the third attempt");
}

#[tokio::test(start_paused = true)]
async fn a_fork_is_independent_of_its_original() {
    let cloud = with_bot();
    cloud.clock().advance(Duration::from_hours(24)).await;
    let now = cloud.clock().now();
    let fork = cloud.fork_at(now);
    cloud.faults().inject(Fault::on("*", "*", FaultKind::AccessDenied).every());
    let made = iam_client(&fork).create_access_key().user_name("bot").send().await.expect("no faults here");
    assert_eq!((keys(&fork), keys(&cloud)), (1, 0));
    cloud.faults().clear();
    fork.clock().advance(Duration::from_hours(1)).await;
    let late = cloud.fork_at(now);
    assert_eq!(late.clock().now(), now);
    let again = iam_client(&late).create_access_key().user_name("bot").send().await.expect("made");
    let id = |made: &aws_sdk_iam::operation::create_access_key::CreateAccessKeyOutput| {
        made.access_key().map(|key| key.access_key_id.clone())
    };
    assert_eq!(id(&made), id(&again), "the same state and the same calls give the same ids");
}
