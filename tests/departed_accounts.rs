//! The secrets of accounts that are closed or have left the organization: cancelled, reported, and deleted in the end.

use keywheel::model::{AccountStatus, Fault, FaultKind};
use keywheel::rehearsal::PRIMARY_ACCOUNT;
use serde_json::{Value, json};

use crate::harness::{MEMBER, OTHER, TestStack, done, failures, rehearse, secret_name};

/// Two users of the member account who were rotated, and one of another account.
async fn rotated() -> TestStack {
    rotated_with(&[]).await
}

async fn rotated_with(settings: &[(&str, &str)]) -> TestStack {
    let stage = TestStack::with(settings);
    stage.add_member(OTHER, "other");
    stage.add_user("ci-bot", &[90]);
    stage.add_user("deploy", &[90]);
    stage.add_user_in(OTHER, "stays", &[90]);
    stage.live().await;
    stage.pass_days(1).await;
    assert!(is_scheduled(&stage, "ci-bot") && is_scheduled(&stage, "deploy"));
    stage
}

fn is_scheduled(stage: &TestStack, user: &str) -> bool {
    stage.secret(user).rotation_enabled
}

fn is_deleted(stage: &TestStack, user: &str) -> bool {
    stage.secret(user).deletion_date.is_some()
}

/// The reports about departed accounts.
fn reports(answer: &Value) -> Vec<Value> {
    let failures = answer["failures"].as_array().expect("failures").iter();
    failures.filter(|failure| failure["action"] == "departed-account").cloned().collect()
}

fn closing(state: AccountStatus) -> impl Fn(&TestStack) {
    move |stage| stage.cloud.set_account_state(MEMBER, state)
}

fn leaving(stage: &TestStack) {
    stage.cloud.set_membership(MEMBER, false);
}

/// Ten days from the cancellation to the deletion, whatever became of the account.
async fn ends_in_ten_days(depart: impl Fn(&TestStack), word: &str) {
    let stage = rotated().await;
    depart(&stage);
    let answer = stage.sweep().await;
    assert_eq!(done(&answer, "cancel"), 2, "{answer:#}");
    assert!(!is_scheduled(&stage, "ci-bot") && !is_scheduled(&stage, "deploy"));
    let reported = reports(&answer);
    assert_eq!(reported.len(), 1, "one line for the account: {answer:#}");
    assert!(reported[0].to_string().contains(word), "{reported:?}");
    assert!(reported[0].to_string().contains("2 secret(s)"), "{reported:?}");
    assert!(reported[0].to_string().contains("2026-01-12"), "{reported:?}");
    let told = stage.mails_with(&["is closed or has left the organization", "ci-bot"]);
    assert_eq!(told.iter().map(|mail| mail.to.clone()).collect::<Vec<_>>(), [["platform@example.com"]]);
    assert!(stage.mails_with(&["is closed or has left the organization", "deploy"]).is_empty(), "one line");
    for day in 1..10 {
        stage.pass_days(1).await;
        let answer = stage.sweep().await;
        assert_eq!((reports(&answer).len(), done(&answer, "delete-secret")), (1, 0), "day {day}: {answer:#}");
        assert!(!is_deleted(&stage, "ci-bot"), "day {day}");
    }
    stage.pass_days(1).await;
    let answer = stage.sweep().await;
    assert_eq!(done(&answer, "delete-secret"), 2, "{answer:#}");
    assert!(is_deleted(&stage, "ci-bot") && is_deleted(&stage, "deploy"));
    stage.pass_days(1).await;
    let answer = stage.sweep().await;
    assert_eq!((failures(&answer).as_str(), done(&answer, "delete-secret")), ("[]", 0), "nothing is left");
    let kept = stage.cloud.secret(&secret_name(OTHER, "stays")).expect("there");
    assert!(kept.rotation_enabled && kept.deletion_date.is_none());
}

#[test]
fn reported_c6_closed_account_loses_schedules_then_secrets() {
    rehearse(async {
        for state in [AccountStatus::Suspended, AccountStatus::Closed, AccountStatus::PendingClosure] {
            ends_in_ten_days(closing(state), "is closed (its state is ").await;
        }
    });
}

#[test]
fn reported_c6_gone_account_loses_schedules_then_secrets() {
    rehearse(async { ends_in_ten_days(leaving, "has left the organization").await });
}

#[test]
fn reported_c6_closed_accounts_rotations_do_not_go_on() {
    rehearse(async {
        let stage = rotated().await;
        stage.cloud.set_account_state(MEMBER, AccountStatus::Suspended);
        stage.live().await;
        stage.pass_days(100).await;
        stage.cloud.fire_due_rotations().await;
        assert_eq!(stage.secret("ci-bot").last_rotation, Some(Ok(())), "no attempt failed");
    });
}

/// The account's own entry is asked, so a list that lags changes nothing.
#[test]
fn reported_c6_account_missing_from_a_list_loses_nothing() {
    rehearse(async {
        let stage = rotated().await;
        stage.cloud.switch(|aws| _ = aws.unlisted_accounts.insert(MEMBER.to_owned()));
        let before = stage.snapshot();
        let answer = stage.sweep_well().await;
        assert_eq!(answer["accounts"], 2, "it was not swept");
        assert_eq!(stage.snapshot(), before);
    });
}

/// Both answers lag for one run: what was done is taken back.
#[test]
fn reported_c6_account_absent_once_loses_nothing_for_good() {
    rehearse(async {
        let stage = rotated().await;
        stage.cloud.set_membership(MEMBER, false);
        assert_eq!(done(&stage.sweep().await, "cancel"), 2);
        assert!(stage.tag("ci-bot", "departed").is_some());
        stage.cloud.set_membership(MEMBER, true);
        stage.pass_days(1).await;
        let answer = stage.sweep_well().await;
        assert_eq!(done(&answer, "cancel"), 0, "{answer:#}");
        assert!(is_scheduled(&stage, "ci-bot") && is_scheduled(&stage, "deploy"));
        assert_eq!(stage.tag("ci-bot", "departed"), None);
        stage.pass_days(20).await;
        stage.cloud.set_membership(MEMBER, false);
        stage.sweep().await;
        assert!(!is_deleted(&stage, "ci-bot"), "another departure begins another grace");
        stage.pass_days(9).await;
        stage.sweep().await;
        assert!(!is_deleted(&stage, "ci-bot"));
    });
}

#[test]
fn reported_c6_reopened_account_is_rotated_again() {
    rehearse(async {
        let stage = rotated().await;
        stage.cloud.set_account_state(MEMBER, AccountStatus::Suspended);
        stage.live_days(5).await;
        assert!(!is_scheduled(&stage, "ci-bot"));
        stage.cloud.set_account_state(MEMBER, AccountStatus::Active);
        stage.pass_days(1).await;
        stage.sweep_well().await;
        assert!(is_scheduled(&stage, "ci-bot") && stage.tag("ci-bot", "departed").is_none());
        stage.live_days(20).await;
        assert!(!is_deleted(&stage, "ci-bot") && !is_deleted(&stage, "deploy"));
        stage.cloud.set_account_state(MEMBER, AccountStatus::Suspended);
        stage.live_days(11).await;
        assert!(is_deleted(&stage, "ci-bot"), "closed for good");
        stage.cloud.set_account_state(MEMBER, AccountStatus::Active);
        stage.live_days(2).await;
        assert!(!is_deleted(&stage, "ci-bot") && is_scheduled(&stage, "ci-bot"), "reopened within the window");
        assert_eq!(stage.tag("ci-bot", "departed"), None);
    });
}

/// Unknown is never "no": a list that is denied, broken off, or of another organization proves nothing.
#[test]
fn reported_c6_unknown_accounts_keep_their_schedules() {
    rehearse(async {
        let denied = || Fault::on("organizations", "ListAccounts", FaultKind::AccessDenied).every();
        for organization in ["", "o-keywheel0001"] {
            let stage = rotated_with(&[("AWS_ORG_ID", organization)]).await;
            stage.cloud.set_account_state(MEMBER, AccountStatus::Suspended);
            stage.cloud.faults().inject(denied());
            let before = stage.snapshot();
            stage.sweep().await;
            stage.digest().await;
            assert_eq!(stage.snapshot(), before, "{organization}");
        }
        for setting in ["", "o-keywheel0001"] {
            let stage = rotated_with(&[("AWS_ORG_ID", setting)]).await;
            // The store's account moved to another organization, in which nobody else is.
            stage.cloud.set_organization_id("o-another00001");
            stage.cloud.set_membership(MEMBER, false);
            let before = stage.snapshot();
            let answer = stage.sweep_well().await;
            assert_eq!((done(&answer, "cancel"), stage.snapshot()), (0, before), "AWS_ORG_ID={setting}");
        }
        let stage = rotated().await;
        stage.cloud.set_membership(MEMBER, false);
        stage.cloud.faults().inject(Fault::on("organizations", "DescribeAccount", FaultKind::AccessDenied).every());
        let before = stage.snapshot();
        let answer = stage.sweep().await;
        assert!(failures(&answer).contains("organizations:DescribeAccount"), "{answer:#}");
        assert_eq!(stage.snapshot(), before);
    });
}

/// The state is written in the account's own entry, so it does not matter which organization it is.
#[test]
fn reported_c6_closed_account_needs_no_organization_id() {
    rehearse(async {
        let stage = rotated_with(&[("AWS_ORG_ID", "")]).await;
        stage.cloud.set_account_state(MEMBER, AccountStatus::Suspended);
        assert_eq!(done(&stage.sweep().await, "cancel"), 2);
        let other = rotated().await;
        other.cloud.set_account_state(MEMBER, AccountStatus::PendingActivation);
        assert_eq!(done(&other.sweep().await, "cancel"), 0, "a state that is not known to be closed");
    });
}

#[test]
fn reported_c6_dry_run_only_reports_departed_accounts() {
    rehearse(async {
        let stage = rotated().await;
        stage.cloud.set_account_state(MEMBER, AccountStatus::Suspended);
        let before = stage.snapshot();
        for event in [json!({"dry_run": true}), json!({"digest": {}, "dry_run": true})] {
            let answer = stage.keywheel.sweep(event).await.expect("an answer");
            assert_eq!((reports(&answer).len(), done(&answer, "cancel")), (1, 2), "{answer:#}");
            assert!(answer["plan"].to_string().contains("cancel the schedule: the account is closed"), "{answer:#}");
            assert_eq!(stage.snapshot(), before);
        }
    });
}

#[test]
fn reported_c6_state_machines_digest_sees_departed_accounts() {
    rehearse(async {
        for leaves in [false, true] {
            let stage = rotated().await;
            if leaves {
                stage.cloud.set_membership(MEMBER, false);
            } else {
                stage.cloud.set_account_state(MEMBER, AccountStatus::Suspended);
            }
            stage.sweep_and_hold(OTHER).await;
            let answer = stage.digest().await;
            assert_eq!((reports(&answer).len(), done(&answer, "cancel")), (1, 2), "{answer:#}");
            assert_eq!(stage.mails_with(&["is closed or has left the organization"]).len(), 1);
            stage.pass_days(10).await;
            let answer = stage.digest().await;
            assert_eq!(done(&answer, "delete-secret"), 2, "{answer:#}");
        }
    });
}

/// A mark would make each digest ask an account that answers nobody.
#[test]
fn reported_c6_notices_deferred_before_a_departure_are_dropped() {
    rehearse(async {
        let stage = rotated().await;
        stage.pass_days(3).await;
        stage.sweep_and_hold(MEMBER).await;
        assert!(stage.held() > 0, "a notice was deferred");
        stage.cloud.set_account_state(MEMBER, AccountStatus::Suspended);
        // Sessions of before have ended.
        stage.pass_days(1).await;
        let answer = stage.digest().await;
        assert!(failures(&answer).contains("sts:AssumeRole"), "{answer:#}");
        assert_eq!(stage.held(), 0);
        stage.pass_days(1).await;
        let answer = stage.digest().await;
        assert_eq!(reports(&answer).len(), answer["failures"].as_array().map_or(0, Vec::len), "{answer:#}");
    });
}

/// Another stack's replica, and a secret that is not keywheel's, are left alone.
#[test]
fn reported_c6_foreign_secrets_of_departed_accounts_stay() {
    rehearse(async {
        let stage = rotated().await;
        stage.add_user("elsewhere", &[90]);
        stage.live().await;
        stage.tag_secret("ci-bot", "keywheel:managed", "").await;
        stage.cloud.make_replica_of(PRIMARY_ACCOUNT, &secret_name(MEMBER, "elsewhere"), "eu-west-1");
        let before = ["ci-bot", "elsewhere"].map(|user| stage.secret(user));
        stage.cloud.set_account_state(MEMBER, AccountStatus::Suspended);
        let answer = stage.sweep().await;
        let after = ["ci-bot", "elsewhere"].map(|user| stage.secret(user));
        assert_eq!((done(&answer, "cancel"), after), (1, before), "{answer:#}");
    });
}
