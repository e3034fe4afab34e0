//! Attacks by which a principal of the stack's account would gain keys: each wall refuses them alone, and without the
//! walls they work.

use keywheel::keys::UserArn;
use keywheel::provision::policy;
use keywheel::rehearsal::PRIMARY_ACCOUNT;
use serde_json::{Value, json};

use super::estate::{Estate, FUNCTION, KMS_KEY, ORGANIZATION, REGION};
use super::judge::{Asker, Question};
use super::keys::{AWS_MANAGED_KEY, FORMER_KEY, OPEN_KEY, StoreCall};
use crate::harness::{MEMBER, secret_name};

const KMS_WALL: &str = "EncryptWithNoOtherKey";
const KEY_WALL: &str = "NeverUnderAnotherKey";
const REPLICA_WALL: &str = "NeverReplicate";
/// A role whose own policy is AWS's `SecretsManagerReadWrite`: all of Secrets Manager, nothing of KMS.
const TEAM: &str = "arn:aws:iam::999988887777:role/application-team";

pub(super) fn secret(account: &str, user: &str) -> String {
    let name = secret_name(account, &user.replace(',', "/2C"));
    format!("arn:aws:secretsmanager:{REGION}:{PRIMARY_ACCOUNT}:secret:{name}-a1B2c3")
}

pub(super) fn ask(asker: &str, action: &str, resource: &str, context: &[(&'static str, &str)]) -> Question {
    Question {
        asker: Asker::new(asker, ORGANIZATION),
        action: action.to_owned(),
        resource: resource.to_owned(),
        resource_organization: ORGANIZATION.to_owned(),
        context: context.iter().map(|(key, value)| (*key, (*value).to_owned())).collect(),
    }
}

pub(super) fn may(action: &str) -> Value {
    json!({"Version": "2012-10-17", "Statement": [
        {"Sid": "Everything", "Effect": "Allow", "Action": action, "Resource": "*"}]})
}

/// Returns a resource policy that admits a principal to everything.
fn admitting(principal: &str) -> Value {
    json!({"Version": "2012-10-17", "Statement": [{"Sid": "Admitted", "Effect": "Allow", "Action": "secretsmanager:*",
        "Resource": "*", "Principal": {"AWS": principal}}]})
}

fn with_team() -> Estate {
    Estate::new().with_person(TEAM, may("secretsmanager:*"))
}

fn sweeper() -> String {
    Estate::new().execution_role("SweeperExecutionRole").to_owned()
}

fn rotation() -> String {
    Estate::new().execution_role("RotationExecutionRole").to_owned()
}

/// A call on a secret that is under one key, or is to be.
fn under(question: Question, key: &str) -> StoreCall<'_> {
    StoreCall { question, policy: None, key, former: None }
}

#[track_caller]
fn refused_by(wall: &str, answer: Result<(), String>) {
    let reason = answer.expect_err("it works");
    assert!(reason.contains(wall), "{reason}");
}

/// A secret with the victim's name and keywheel's function, but under a key that the attacker may use.
#[test]
fn nobody_gains_1a_no_key_is_put_under_another_kms_key() {
    let victim = secret(MEMBER, "victim");
    let of_this_function = [("secretsmanager:resource/AllowRotationLambdaArn", FUNCTION)];
    let call = |action: &str| ask(&rotation(), action, &victim, &of_this_function);
    let put = || call("secretsmanager:PutSecretValue");
    let estate = Estate::new();
    under(put(), KMS_KEY).carry_out(&estate).expect("the stack's own key");
    refused_by(KMS_WALL, under(put(), AWS_MANAGED_KEY).carry_out(&estate));
    refused_by(KMS_WALL, under(put(), FORMER_KEY).carry_out(&estate));
    assert!(under(put(), OPEN_KEY).carry_out(&estate).is_err());
    let without = || with_team().without(KMS_WALL);
    under(put(), AWS_MANAGED_KEY).carry_out(&without()).expect("the attack works without the wall");
    let read = ask(TEAM, "secretsmanager:GetSecretValue", &victim, &[]);
    under(read.clone(), AWS_MANAGED_KEY).carry_out(&without()).expect("the attacker reads the victim's key");
    assert!(under(read, KMS_KEY).carry_out(&without()).is_err(), "the stack's key admits no reader but the user");
    // A value that another key encrypted before can still be read, so that it can be rotated.
    for former in [FORMER_KEY, AWS_MANAGED_KEY] {
        under(call("secretsmanager:GetSecretValue"), former).carry_out(&estate).expect(former);
    }
}

#[test]
fn nobody_gains_2_the_sweeper_moves_no_value_to_another_key() {
    let own = secret(MEMBER, "ci-bot");
    let moved_to = |key: &'static str| StoreCall {
        question: ask(&sweeper(), "secretsmanager:UpdateSecret", &own, &[("secretsmanager:KmsKeyArn", key)]),
        policy: None,
        key,
        former: Some(KMS_KEY),
    };
    let attack = || moved_to(AWS_MANAGED_KEY);
    let read = || under(ask(TEAM, "secretsmanager:GetSecretValue", &own, &[]), AWS_MANAGED_KEY);
    refused_by(KEY_WALL, attack().carry_out(&with_team()));
    refused_by(KMS_WALL, attack().carry_out(&with_team().without(KEY_WALL)));
    refused_by(KEY_WALL, attack().carry_out(&with_team().without(KMS_WALL)));
    let unprotected = with_team().without(KEY_WALL).without(KMS_WALL);
    attack().carry_out(&unprotected).expect("the attack works without both walls");
    read().carry_out(&unprotected).expect("the accomplice reads the value");
    // The sweeper's own policy for the secret opens no way around.
    let open = admitting(&sweeper());
    refused_by(KEY_WALL, StoreCall { policy: Some(&open), ..attack() }.carry_out(&with_team()));
    // Secrets under a former key, and adopted ones under AWS's, move to the stack's.
    for former in [FORMER_KEY, AWS_MANAGED_KEY] {
        let adopted = StoreCall { former: Some(former), ..moved_to(KMS_KEY) };
        adopted.carry_out(&Estate::new()).expect(former);
    }
}

#[test]
fn nobody_gains_2_the_sweeper_names_the_key_of_each_new_secret() {
    let new = secret(MEMBER, "new");
    let create = |context: &[(&'static str, &str)]| ask(&sweeper(), "secretsmanager:CreateSecret", &new, context);
    let under_own = [("secretsmanager:KmsKeyArn", KMS_KEY)];
    under(create(&under_own), KMS_KEY).carry_out(&Estate::new()).expect("with the stack's key");
    // A request without a key means the key that AWS manages.
    refused_by(KEY_WALL, under(create(&[]), AWS_MANAGED_KEY).carry_out(&Estate::new()));
    refused_by(KMS_WALL, under(create(&[]), AWS_MANAGED_KEY).carry_out(&Estate::new().without(KEY_WALL)));
    // An UpdateSecret without a key would put a value only.
    let update = ask(&sweeper(), "secretsmanager:UpdateSecret", &new, &[]);
    refused_by(KEY_WALL, under(update, KMS_KEY).carry_out(&Estate::new()));
}

#[test]
fn nobody_gains_2_the_sweeper_makes_no_replica() {
    let own = secret(MEMBER, "ci-bot");
    let key = "arn:aws:kms:eu-west-1:999988887777:key/7f1c2d3e-0000-4000-8000-0000000000e1";
    let regions = ("secretsmanager:AddReplicaRegions", "eu-west-1 eu-central-1");
    let open = admitting(&sweeper());
    let replicate = StoreCall {
        question: ask(&sweeper(), "secretsmanager:ReplicateSecretToRegions", &own, &[regions]),
        policy: Some(&open),
        key,
        former: Some(KMS_KEY),
    };
    refused_by(REPLICA_WALL, replicate.carry_out(&Estate::new()));
    refused_by(KMS_WALL, replicate.carry_out(&Estate::new().without(REPLICA_WALL)));
    let context = [("secretsmanager:KmsKeyArn", KMS_KEY), regions];
    let create = under(ask(&sweeper(), "secretsmanager:CreateSecret", &own, &context), KMS_KEY);
    refused_by(REPLICA_WALL, create.carry_out(&Estate::new()));
    create.carry_out(&Estate::new().without(REPLICA_WALL)).expect("nothing else is wrong with it");
}

/// Whomever the sweeper's policy admits, the KMS key admits nobody but the user.
#[test]
fn nobody_gains_2_a_policy_by_the_sweeper_opens_no_value() {
    let own = secret(MEMBER, "ci-bot");
    let other = format!("arn:aws:iam::{MEMBER}:user/mallory");
    let owner = format!("arn:aws:iam::{MEMBER}:user/ci-bot");
    for principal in [TEAM, &other] {
        let policy = admitting(principal);
        let everything = || Estate::new().with_person(principal, may("*"));
        let read = StoreCall {
            policy: Some(&policy),
            ..under(ask(principal, "secretsmanager:GetSecretValue", &own, &[]), KMS_KEY)
        };
        everything().judge(&read.question, Some(&policy)).expect("the policies of the secret and the reader allow it");
        refused_by("kms:Decrypt", read.carry_out(&everything()));
    }
    let policy = admitting(&owner);
    let read = under(ask(&owner, "secretsmanager:GetSecretValue", &own, &[]), KMS_KEY);
    StoreCall { policy: Some(&policy), ..read }.carry_out(&Estate::new()).expect("the user itself");
}

/// The key cannot express a name with a comma, so it decrypts such secrets for all users with such names.
#[test]
fn nobody_gains_11_names_with_a_comma_share_no_value() {
    for account in [PRIMARY_ACCOUNT, MEMBER] {
        let own = secret(account, "build,cache");
        let user = |name: &str| format!("arn:aws:iam::{account}:user/{name}");
        let policy = policy::for_user(&user("build,cache").parse::<UserArn>().expect("a user's ARN"));
        let read = |arn: &str| {
            let estate = Estate::new().with_person(arn, may("secretsmanager:*"));
            let question = ask(arn, "secretsmanager:GetSecretValue", &own, &[]);
            StoreCall { policy: Some(&policy), ..under(question, KMS_KEY) }.carry_out(&estate)
        };
        if account == PRIMARY_ACCOUNT {
            // There, a reader's own policy would be sufficient.
            refused_by("the secret's policy", read(&user("teams/x,y")));
        } else {
            assert!(read(&user("teams/x,y")).is_err());
        }
        assert!(read(&user("mallory")).is_err());
        assert!(read(&format!("arn:aws:iam::{account}:role/application-team")).is_err());
    }
    // Neither the functions nor an administrator are locked out by the denial.
    let comma = format!("arn:aws:iam::{MEMBER}:user/build,cache");
    let policy = policy::for_user(&comma.parse::<UserArn>().expect("a user's ARN"));
    let own = secret(MEMBER, "build,cache");
    let owner = under(ask(&comma, "secretsmanager:GetSecretValue", &own, &[]), KMS_KEY);
    StoreCall { policy: Some(&policy), ..owner }.carry_out(&Estate::new()).expect("the user itself");
    let function = [("secretsmanager:resource/AllowRotationLambdaArn", FUNCTION)];
    for action in ["secretsmanager:GetSecretValue", "secretsmanager:PutSecretValue"] {
        let rotation = under(ask(&rotation(), action, &own, &function), KMS_KEY);
        StoreCall { policy: Some(&policy), ..rotation }.carry_out(&Estate::new()).expect(action);
    }
    let user = format!("arn:aws:iam::{PRIMARY_ACCOUNT}:user/administrator");
    let estate = Estate::new().with_person(&user, may("*"));
    for action in ["secretsmanager:DeleteSecret", "secretsmanager:PutResourcePolicy", "secretsmanager:DescribeSecret"] {
        estate.judge(&ask(&user, action, &own, &[]), Some(&policy)).expect(action);
    }
}
