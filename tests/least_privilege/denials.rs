//! Calls that must be denied, each beside an allowed call that differs in one point, so that a denial for the wrong
//! reason shows.

use keywheel::keys::UserArn;
use keywheel::model::{Fault, FaultKind};
use keywheel::provision::policy;
use keywheel::rehearsal::PRIMARY_ACCOUNT;
use serde_json::{Value, json};

use super::estate::{Estate, FUNCTION, KMS_KEY, ORGANIZATION, REGION};
use super::judge::{Asker, Question};
use super::proof::through_secrets_manager;
use crate::harness::{MEMBER, OTHER, TestStack, done, rehearse, secret_name};

const FOREIGN: &str = "o-foreign00001";
const MEMBER_ROLE: &str = "aws-iam-access-key-auto-rotation-lambda-assumed-role";
const ALLOW_FUNCTION: &str = "secretsmanager:resource/AllowRotationLambdaArn";

fn sweeper() -> String {
    Estate::new().execution_role("SweeperExecutionRole").to_owned()
}

fn rotation() -> String {
    Estate::new().execution_role("RotationExecutionRole").to_owned()
}

fn role(account: &str, name: &str) -> String {
    format!("arn:aws:iam::{account}:role/{name}")
}

fn user(account: &str, name: &str) -> String {
    format!("arn:aws:iam::{account}:user/{name}")
}

/// Returns the ARN of a user's secret, with the suffix of Secrets Manager.
fn secret(account: &str, user: &str) -> String {
    let name = secret_name(account, &user.replace(',', "/2C"));
    format!("arn:aws:secretsmanager:{REGION}:{PRIMARY_ACCOUNT}:secret:{name}-a1B2c3")
}

fn policy_for(arn: &str) -> Value {
    policy::for_user(&arn.parse::<UserArn>().expect("a user's ARN"))
}

fn ask(asker: &str, action: &str, resource: &str) -> Question {
    Question {
        asker: Asker::new(asker, ORGANIZATION),
        action: action.to_owned(),
        resource: resource.to_owned(),
        resource_organization: ORGANIZATION.to_owned(),
        context: Vec::new(),
    }
}

fn ask_with(asker: &str, action: &str, resource: &str, context: &[(&'static str, &str)]) -> Question {
    let context = context.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
    Question { context, ..ask(asker, action, resource) }
}

#[track_caller]
fn allowed(question: &Question, secret_policy: Option<&Value>) {
    let answer = Estate::new().judge(question, secret_policy);
    assert!(answer.is_ok(), "{answer:?}");
}

#[track_caller]
fn denied(question: &Question, secret_policy: Option<&Value>) {
    let answer = Estate::new().judge(question, secret_policy);
    assert!(answer.is_err(), "{question:?} is allowed by {answer:?}");
}

/// Expects a denial by the caller's own policies, no matter what the resource's policy says.
#[track_caller]
fn not_given(question: &Question, secret_policy: Option<&Value>) {
    let answer = Estate::new().judge(question, secret_policy);
    let reason = answer.expect_err("denied");
    assert!(reason.contains("no policy of its own") || reason.contains("denied by"), "{reason}");
}

#[test]
fn the_sweeper_reads_no_value_and_makes_no_key() {
    let (sweeper, secret) = (sweeper(), secret(MEMBER, "ci-bot"));
    allowed(&ask(&sweeper, "secretsmanager:DescribeSecret", &secret), None);
    let label = |label| {
        let context = [("secretsmanager:VersionStage", label)];
        ask_with(&sweeper, "secretsmanager:UpdateSecretVersionStage", &secret, &context)
    };
    allowed(&label("AWSPENDING"), None);
    denied(&label("AWSCURRENT"), None);
    for action in ["secretsmanager:GetSecretValue", "secretsmanager:PutSecretValue"] {
        denied(&ask(&sweeper, action, &secret), None);
        // The sweeper writes resource policies, so not even a policy that allows it to read may have an effect.
        let open = json!({"Version": "2012-10-17", "Statement": [
            {"Sid": "Everything", "Effect": "Allow", "Principal": {"AWS": sweeper}, "Action": action, "Resource": "*"}]});
        not_given(&ask(&sweeper, action, &secret), Some(&open));
        allowed(
            &ask(&rotation(), action, &secret),
            Some(&json!({"Version": "2012-10-17", "Statement": [
            {"Sid": "Everything", "Effect": "Allow", "Principal": {"AWS": rotation()}, "Action": action, "Resource": "*"}]})),
        );
    }
    let own = user(PRIMARY_ACCOUNT, "backup");
    allowed(&ask(&sweeper, "iam:DeleteAccessKey", &own), None);
    not_given(&ask(&sweeper, "iam:CreateAccessKey", &own), None);
    let (member_role, target) = (role(MEMBER, MEMBER_ROLE), user(MEMBER, "ci-bot"));
    allowed(&ask(&member_role, "iam:DeleteAccessKey", &target), None);
    not_given(&ask(&member_role, "iam:CreateAccessKey", &target), None);
}

#[test]
fn the_sweeper_alone_asks_for_the_credential_report() {
    for action in ["iam:GenerateCredentialReport", "iam:GetCredentialReport"] {
        for sweeper in [sweeper(), role(MEMBER, MEMBER_ROLE)] {
            allowed(&ask(&sweeper, action, "*"), None);
        }
        for rotation in [rotation(), role(MEMBER, &format!("{MEMBER_ROLE}-rotation"))] {
            not_given(&ask(&rotation, action, "*"), None);
        }
    }
}

/// An account whose member template is older than the sweeper's use of the credential report.
#[test]
fn without_the_right_to_the_report_every_user_is_observed() {
    rehearse(async {
        for operation in ["GenerateCredentialReport", "GetCredentialReport"] {
            let stage = TestStack::new();
            for user in ["backup", "ci-bot", "deploy", "siem"] {
                stage.add_user(user, &[10]);
            }
            stage.live_days(2).await;
            stage.pass_days(1).await;
            let looks = stage.count("ListAccessKeys");
            stage.sweep_well().await;
            assert_eq!(stage.count("ListAccessKeys"), looks, "nothing is due, as the report shows");
            let denied = Fault::on("iam", operation, FaultKind::AccessDenied).in_account(MEMBER).every();
            let denied = stage.cloud.faults().inject(denied);
            stage.pass_days(1).await;
            stage.add_user("late", &[90]);
            let answer = stage.sweep().await;
            assert_eq!(stage.count("ListAccessKeys"), looks + 5, "{operation}: every user is looked at");
            assert_eq!((done(&answer, "rotate"), &answer["accounts"]), (1, &json!(2)), "{operation}: {answer}");
            let failures = answer["failures"].as_array().expect("a list");
            let [failure] = &failures[..] else { panic!("{operation}: {answer}") };
            assert_eq!((&failure["account"], &failure["action"]), (&json!(MEMBER), &json!("credential-report")));
            let error = failure["error"].as_str().expect("a text");
            assert!(error.contains(operation) && error.contains("sam/member-account.yaml"), "{error}");
            denied.remove();
            stage.cloud.run_rotations().await;
            stage.sweep_well().await;
        }
    });
}

#[test]
fn upstream_defect_56_only_member_roles_make_keys_elsewhere() {
    let target = user(MEMBER, "ci-bot");
    allowed(&ask(&role(MEMBER, &format!("{MEMBER_ROLE}-rotation")), "iam:CreateAccessKey", &target), None);
    not_given(&ask(&rotation(), "iam:CreateAccessKey", &target), None);
    not_given(&ask(&role(OTHER, &format!("{MEMBER_ROLE}-rotation")), "iam:CreateAccessKey", &target), None);
}

#[test]
fn upstream_defect_56_protected_users_are_out_of_reach() {
    let sweepers = [sweeper(), role(MEMBER, MEMBER_ROLE)];
    let rotations = [rotation(), role(MEMBER, &format!("{MEMBER_ROLE}-rotation"))];
    for (roles, actions) in [
        (sweepers, &["iam:DeleteAccessKey", "iam:UpdateAccessKey"][..]),
        (rotations, &["iam:CreateAccessKey", "iam:DeleteAccessKey", "iam:UpdateAccessKey"][..]),
    ] {
        for (role, action) in roles.iter().flat_map(|role| actions.iter().map(move |action| (role, action))) {
            let account = Asker::new(role, ORGANIZATION).account;
            allowed(&ask(role, action, &user(&account, "teams/data/etl")), None);
            denied(&ask(role, action, &user(&account, "keywheel-protected/break-glass")), None);
        }
    }
}

#[test]
fn a_user_reads_its_own_secret_and_no_other() {
    let action = "secretsmanager:GetSecretValue";
    let reader = user(MEMBER, "ci-bot");
    allowed(&ask(&reader, action, &secret(MEMBER, "ci-bot")), Some(&policy_for(&reader)));
    for (account, name) in [(MEMBER, "deploy"), (OTHER, "ci-bot"), (MEMBER, "build,cache"), (PRIMARY_ACCOUNT, "ci-bot")]
    {
        let (arn, owner) = (secret(account, name), user(account, name));
        denied(&ask(&reader, action, &arn), Some(&policy_for(&owner)));
        denied(&ask(&reader, action, &arn), None);
        // The denial holds even if the secret's policy names the reader.
        if name != "build,cache" {
            not_given(&ask(&reader, action, &arn), Some(&policy_for(&reader)));
        }
    }
    // The secrets' policies keep two users with a comma in their names apart.
    let comma = user(MEMBER, "build,cache");
    allowed(&ask(&comma, action, &secret(MEMBER, "build,cache")), Some(&policy_for(&comma)));
    denied(&ask(&comma, action, &secret(MEMBER, "a,b")), Some(&policy_for(&user(MEMBER, "a,b"))));
    // In the stack's own account, the secret's policy is sufficient and necessary.
    let own = user(PRIMARY_ACCOUNT, "backup");
    allowed(&ask(&own, action, &secret(PRIMARY_ACCOUNT, "backup")), Some(&policy_for(&own)));
    denied(&ask(&own, action, &secret(PRIMARY_ACCOUNT, "siem")), Some(&policy_for(&user(PRIMARY_ACCOUNT, "siem"))));
}

#[test]
fn the_key_decrypts_only_for_its_user_and_via_secrets_manager() {
    let reader = user(MEMBER, "ci-bot");
    let decrypt = |asker: &str, secret: &str| Question {
        context: through_secrets_manager(secret),
        ..ask(asker, "kms:Decrypt", KMS_KEY)
    };
    let own = secret(MEMBER, "ci-bot");
    allowed(&decrypt(&reader, &own), None);
    denied(&decrypt(&reader, &secret(MEMBER, "deploy")), None);
    denied(&ask(&reader, "kms:Decrypt", KMS_KEY), None);
    denied(&Question { asker: Asker::new(&reader, FOREIGN), ..decrypt(&reader, &own) }, None);
    // A role has no user name, not even a role with a user's name.
    denied(&decrypt(&role(PRIMARY_ACCOUNT, "ci-bot"), &secret(PRIMARY_ACCOUNT, "ci-bot")), None);
    allowed(&decrypt(&sweeper(), &own), None);
    denied(&ask(&sweeper(), "kms:Decrypt", KMS_KEY), None);
    let of_others = format!("arn:aws:secretsmanager:{REGION}:{PRIMARY_ACCOUNT}:secret:database-a1B2c3");
    denied(&decrypt(&rotation(), &of_others), None);
}

#[test]
fn upstream_defect_57_58_member_roles_trust_one_execution_role() {
    let assume = |asker: &str, name: &str| ask(asker, "sts:AssumeRole", &role(MEMBER, name));
    let (for_sweeper, for_rotation) = (MEMBER_ROLE.to_owned(), format!("{MEMBER_ROLE}-rotation"));
    allowed(&assume(&sweeper(), &for_sweeper), None);
    allowed(&assume(&rotation(), &for_rotation), None);
    denied(&assume(&sweeper(), &for_rotation), None);
    denied(&assume(&rotation(), &for_sweeper), None);
    for name in [for_sweeper, for_rotation] {
        // Callers: another role of the stack's account, a role of the same name in another account, a user.
        let execution_role = sweeper().rsplit('/').next().expect("a name").to_owned();
        for other in [role(PRIMARY_ACCOUNT, "other"), role(OTHER, &execution_role), user(PRIMARY_ACCOUNT, "backup")] {
            denied(&assume(&other, &name), None);
        }
        let trusted = if name.ends_with("-rotation") { rotation() } else { sweeper() };
        let foreign = Question { asker: Asker::new(&trusted, FOREIGN), ..assume(&trusted, &name) };
        denied(&foreign, None);
        // The function cannot enter an account of another organization, even if that account trusts it.
        let outside = Question { resource_organization: FOREIGN.to_owned(), ..assume(&trusted, &name) };
        denied(&outside, None);
    }
}

/// Each denial above could have two reasons, so here the role's own policies allow everything.
#[test]
fn upstream_defect_58_the_trust_alone_keeps_others_out() {
    let estate = Estate::new();
    let (target, everything) = (
        role(MEMBER, MEMBER_ROLE),
        json!({"Version": "2012-10-17", "Statement": [
        {"Sid": "Everything", "Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"}]}),
    );
    let trusts = |asker: Asker| {
        let question = Question { asker, ..ask(&sweeper(), "sts:AssumeRole", &target) };
        estate.judge_trust(&question, &everything).is_ok()
    };
    assert!(trusts(Asker::new(&sweeper(), ORGANIZATION)));
    assert!(!trusts(Asker::new(&sweeper(), FOREIGN)), "another organization");
    assert!(!trusts(Asker::new(&role(PRIMARY_ACCOUNT, "other"), ORGANIZATION)), "another role");
    assert!(!trusts(Asker::new(&rotation(), ORGANIZATION)), "the rotation function");
    assert!(!trusts(Asker::new(&role(OTHER, "aws-iam-access-key-auto-rotation-lambda-execution-role"), ORGANIZATION)));
}

#[test]
fn secrets_are_never_public_and_never_deleted_for_good() {
    let (sweeper, secret) = (sweeper(), secret(MEMBER, "ci-bot"));
    let other = FUNCTION.replace("keywheel-rotation", "other");
    let rotate = |function: &str| {
        ask_with(&sweeper, "secretsmanager:RotateSecret", &secret, &[("secretsmanager:RotationLambdaARN", function)])
    };
    allowed(&rotate(FUNCTION), None);
    denied(&rotate(&other), None);
    let publish = |blocks: &str| {
        ask_with(&sweeper, "secretsmanager:PutResourcePolicy", &secret, &[("secretsmanager:BlockPublicPolicy", blocks)])
    };
    allowed(&publish("true"), None);
    denied(&publish("false"), None);
    denied(&ask(&sweeper, "secretsmanager:PutResourcePolicy", &secret), None);
    let delete = |days: &[(&'static str, &str)]| ask_with(&sweeper, "secretsmanager:DeleteSecret", &secret, days);
    allowed(&delete(&[("secretsmanager:RecoveryWindowInDays", "30")]), None);
    // The denial holds even if a resource policy allows the call, because the sweeper writes these policies.
    let open = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": &sweeper},
        "Action": "secretsmanager:*", "Resource": "*"}]});
    for policy in [None, Some(&open)] {
        denied(&delete(&[("secretsmanager:RecoveryWindowInDays", "7")]), policy);
        denied(&delete(&[]), policy);
    }
    let put =
        |function: &str| ask_with(&rotation(), "secretsmanager:PutSecretValue", &secret, &[(ALLOW_FUNCTION, function)]);
    allowed(&put(FUNCTION), None);
    denied(&put(&other), None);
}
