//! The credential report, by which a sweep knows for whom nothing is due: what happens where IAM is slow to make it.

use chrono::TimeDelta;
use keywheel::model::{Fault, FaultHandle, FaultKind};

use crate::harness::{MEMBER, TestStack, done, rehearse};

const USERS: usize = 4;

/// A day after the last sweep of an account in which nothing is due. The report of that sweep has expired.
async fn quiet_account() -> TestStack {
    let stage = TestStack::new();
    for n in 0..USERS {
        stage.add_user(&format!("user-{n}"), &[10]);
    }
    stage.live_days(2).await;
    stage.pass_days(1).await;
    stage
}

/// IAM's answer if it is making too many reports already.
fn no_capacity() -> FaultKind {
    let (code, message) = ("LimitExceeded", "No more capacity to launch new report generation tasks");
    FaultKind::ErrorBefore { status: 409, code: code.to_owned(), message: message.to_owned() }
}

fn not_ready() -> FaultKind {
    let (code, message) = ("ReportInProgress", "The report is being generated.");
    FaultKind::ErrorBefore { status: 404, code: code.to_owned(), message: message.to_owned() }
}

fn plant(stage: &TestStack, fault: Fault) -> FaultHandle {
    stage.cloud.faults().inject(fault.in_account(MEMBER))
}

/// How many users a sweep looks at that nothing goes wrong in, and how long it takes.
async fn looks(stage: &TestStack) -> (usize, TimeDelta) {
    let (before, began) = (stage.count("ListAccessKeys"), stage.now());
    let answer = stage.sweep_well().await;
    assert_eq!(answer["users"], USERS, "{answer}");
    (stage.count("ListAccessKeys") - before, stage.now() - began)
}

#[test]
fn a_report_that_iam_has_no_capacity_for_at_first_is_waited_for() {
    rehearse(async {
        let stage = quiet_account().await;
        let refusals = plant(&stage, Fault::on("iam", "GenerateCredentialReport", no_capacity()).repeated(1, 3));
        let (looks, time) = looks(&stage).await;
        assert_eq!((looks, refusals.fired()), (0, 3), "by the report, nothing is due");
        assert!(time < TimeDelta::seconds(30), "{time}");
    });
}

#[test]
fn without_a_report_in_time_every_user_is_observed() {
    rehearse(async {
        for (operation, answer) in [("GenerateCredentialReport", no_capacity()), ("GetCredentialReport", not_ready())] {
            let stage = quiet_account().await;
            let late = plant(&stage, Fault::on("iam", operation, answer).every());
            let (looks, time) = looks(&stage).await;
            assert_eq!(looks, USERS, "{operation}");
            assert!(time < TimeDelta::minutes(1), "{operation}: {time}");
            assert!((5..=10).contains(&late.fired()), "{operation}: asked {} times", late.fired());
        }
    });
}

#[test]
fn what_is_due_is_done_without_a_report() {
    rehearse(async {
        let stage = quiet_account().await;
        stage.add_user("late", &[90]);
        plant(&stage, Fault::on("iam", "GenerateCredentialReport", no_capacity()).every());
        let answer = stage.sweep_well().await;
        assert_eq!(done(&answer, "rotate"), 1, "{answer}");
    });
}

#[test]
fn reported_c5_only_users_of_odd_rows_are_observed() {
    rehearse(async {
        let stage = quiet_account().await;
        stage.cloud.switch(|aws| aws.odd_report_rows = true);
        let (looks, _) = looks(&stage).await;
        assert_eq!(looks, USERS / 2, "the others are quiet by their rows");
    });
}
