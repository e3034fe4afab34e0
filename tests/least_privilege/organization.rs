//! The policies of `sam/policies/`: by them, nobody but keywheel's roles writes to its secrets.

use keywheel::rehearsal::PRIMARY_ACCOUNT;

use super::estate::{Estate, FUNCTION, KMS_KEY};
use super::judge::Question;
use super::nobody_gains::{ask, may, secret};
use super::proof::PROOF;
use crate::harness::MEMBER;

const ADMINISTRATOR: &str = "arn:aws:iam::999988887777:role/administrator";
const BREAK_GLASS: &str = "arn:aws:iam::999988887777:role/break-glass";
const OTHER_FUNCTION: &str = "arn:aws:lambda:us-east-1:999988887777:function:other";
const EACH: [&str; 2] = ["secrets-scp.json", "secrets-rcp.json"];

/// Parts of a request: an operation of Secrets Manager with the values of its condition keys.
type Request = (&'static str, &'static [(&'static str, &'static str)]);

/// Requests that no person makes: whoever makes one writes a value, or says who reads it or which key encrypts it.
const NEVER: [Request; 13] = [
    ("CreateSecret", &[("secretsmanager:KmsKeyArn", KMS_KEY)]),
    ("CreateSecret", &[]),
    ("PutSecretValue", &[]),
    ("UpdateSecret", &[("secretsmanager:KmsKeyArn", KMS_KEY)]),
    ("UpdateSecret", &[]),
    ("PutResourcePolicy", &[("secretsmanager:BlockPublicPolicy", "true")]),
    ("DeleteResourcePolicy", &[]),
    ("DeleteSecret", &[("secretsmanager:RecoveryWindowInDays", "30")]),
    ("ReplicateSecretToRegions", &[("secretsmanager:AddReplicaRegions", "eu-west-1")]),
    ("RotateSecret", &[("secretsmanager:RotationLambdaARN", OTHER_FUNCTION)]),
    ("TagResource", &[("aws:TagKeys", "keywheel:current-key")]),
    ("TagResource", &[("aws:TagKeys", "keywheel:force keywheel:disabled-at")]),
    ("UpdateSecretVersionStage", &[("secretsmanager:VersionStage", "AWSCURRENT")]),
];

/// Requests of the pages on incidents, and of the runbook.
const IN_AN_INCIDENT: [Request; 7] = [
    ("RotateSecret", &[]),
    ("RotateSecret", &[("secretsmanager:RotationLambdaARN", FUNCTION)]),
    ("TagResource", &[("aws:TagKeys", "keywheel:force")]),
    ("UntagResource", &[("aws:TagKeys", "keywheel:force")]),
    ("UpdateSecretVersionStage", &[("secretsmanager:VersionStage", "AWSPENDING")]),
    ("CancelRotateSecret", &[]),
    ("RestoreSecret", &[]),
];

fn question(asker: &str, (operation, context): Request) -> Question {
    ask(asker, &format!("secretsmanager:{operation}"), &secret(MEMBER, "ci-bot"), context)
}

fn with_people(estate: Estate) -> Estate {
    [ADMINISTRATOR, BREAK_GLASS].into_iter().fold(estate, |estate, it| estate.with_person(it, may("*")))
}

#[test]
fn nobody_gains_1d_administrators_write_to_no_secret() {
    let free = with_people(Estate::new());
    for file in EACH {
        let bound = with_people(Estate::new()).under(file);
        for request in NEVER.into_iter().chain(IN_AN_INCIDENT) {
            let question = question(ADMINISTRATOR, request);
            free.judge(&question, None).expect("an administrator may everything");
            let reason = bound.judge(&question, None).expect_err("denied");
            assert!(reason.contains(file), "{reason}");
        }
        for (operation, resource) in [
            ("DescribeSecret", secret(MEMBER, "ci-bot")),
            ("GetResourcePolicy", secret(MEMBER, "ci-bot")),
            (
                "PutSecretValue",
                format!("arn:aws:secretsmanager:us-east-1:{PRIMARY_ACCOUNT}:secret:prod/database-a1B2c3"),
            ),
        ] {
            let question = ask(ADMINISTRATOR, &format!("secretsmanager:{operation}"), &resource, &[]);
            bound.judge(&question, None).expect("reading, and other secrets, stay free");
        }
    }
}

#[test]
fn nobody_gains_1d_break_glass_helps_and_writes_no_value() {
    for file in EACH {
        let bound = with_people(Estate::new()).under(file);
        for request in IN_AN_INCIDENT {
            bound.judge(&question(BREAK_GLASS, request), None).expect("the incident pages need it");
        }
        for request in NEVER {
            bound.judge(&question(BREAK_GLASS, request), None).expect_err(request.0);
        }
    }
}

#[test]
fn nobody_gains_1d_the_roles_calls_pass_the_organization() {
    let refused = &PROOF.refused_by_organization;
    assert!(refused.is_empty(), "{} refused:\n{}", refused.len(), refused.join("\n"));
}

/// An SCP binds the principals of its account, an RCP also those of others.
#[test]
fn nobody_gains_1d_the_rcp_binds_other_accounts_too() {
    let stranger = format!("arn:aws:iam::{MEMBER}:role/stranger");
    let policy = serde_json::json!({"Version": "2012-10-17", "Statement": [{"Sid": "Admitted", "Effect": "Allow",
        "Principal": {"AWS": stranger}, "Action": "secretsmanager:*", "Resource": "*"}]});
    let put = question(&stranger, ("PutSecretValue", &[]));
    let estate = || Estate::new().with_person(&stranger, may("*"));
    estate().under("secrets-scp.json").judge(&put, Some(&policy)).expect("the SCP of the store's account has no say");
    estate().under("secrets-rcp.json").judge(&put, Some(&policy)).expect_err("denied");
}

#[test]
fn nobody_gains_1d_only_the_deployment_changes_the_functions() {
    let deployment = "arn:aws:iam::999988887777:role/deployment";
    let role = Estate::new().execution_role("RotationExecutionRole").to_owned();
    let other = "arn:aws:iam::999988887777:role/other";
    let free = with_people(Estate::new()).with_person(deployment, may("*"));
    let bound = with_people(Estate::new()).with_person(deployment, may("*")).under("deployment-scp.json");
    for (action, resource) in [
        ("lambda:UpdateFunctionCode", FUNCTION),
        ("lambda:UpdateFunctionConfiguration", FUNCTION),
        ("lambda:AddPermission", FUNCTION),
        ("iam:PassRole", &role),
        ("iam:PutRolePolicy", &role),
        ("iam:UpdateAssumeRolePolicy", &role),
        ("iam:CreateRole", &role),
        ("kms:PutKeyPolicy", KMS_KEY),
        ("kms:DisableKey", KMS_KEY),
        ("kms:ScheduleKeyDeletion", KMS_KEY),
    ] {
        free.judge(&ask(ADMINISTRATOR, action, resource, &[]), None).expect("an administrator may everything");
        bound.judge(&ask(ADMINISTRATOR, action, resource, &[]), None).expect_err(action);
        bound.judge(&ask(deployment, action, resource, &[]), None).expect(action);
    }
    for (action, resource) in [("lambda:UpdateFunctionCode", OTHER_FUNCTION), ("iam:PassRole", other)] {
        bound.judge(&ask(ADMINISTRATOR, action, resource, &[]), None).expect("everything else stays free");
    }
}
