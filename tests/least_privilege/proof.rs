//! The rehearsal, and the policies' decision on each of its calls.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use keywheel::model::{Call, Cloud, Fault, FaultKind, SecretView};
use keywheel::rehearsal::PRIMARY_ACCOUNT;
use keywheel::rehearsal::scenario::{self, ScenarioOptions};
use serde_json::json;

use super::estate::{Estate, FUNCTION, KMS_KEY, ORGANIZATION, REGION, SENDER};
use super::judge::{Asker, Grant, Question};
use super::keys::ORGANIZATION_POLICIES;
use crate::harness::{MEMBER, TestStack, rehearse};

/// The decisions on all calls, made once for all tests that use them.
pub(super) static PROOF: LazyLock<Proof> = LazyLock::new(Proof::make);

/// Shorter than the rehearsal's 115 days, so that the secret of a deleted user is not purged before it is checked.
const DAYS: i64 = 85;
/// Roles of people, whose rights are not in the templates.
const PEOPLE: [&str; 2] = ["role/administrator", "role/operator"];

#[derive(Default)]
pub(super) struct Proof {
    /// The number of different calls that were evaluated.
    pub(super) judged: usize,
    /// The denied calls, with the reasons.
    pub(super) refused: Vec<String>,
    /// The same under the policies that `sam/policies/` has for the organization.
    pub(super) refused_by_organization: Vec<String>,
    /// Every statement, with an action that it allowed.
    pub(super) used: BTreeSet<(Grant, String)>,
}

impl Proof {
    fn make() -> Self {
        let mut proof = Self::default();
        let bound = || ORGANIZATION_POLICIES.into_iter().fold(Estate::new(), Estate::under);
        let estates = &[Estate::new(), bound()];
        rehearse(async {
            let script = ScenarioOptions { days: DAYS, ..ScenarioOptions::default() };
            let (cloud, _) = scenario::run(&script, &mut |_| ()).await.expect("the rehearsal runs");
            proof.judge_all(estates, &cloud);
            proof.judge_all(estates, &repairs().await.cloud);
            proof.judge_all(estates, &orphans().await.cloud);
            proof.judge_all(estates, &interrupted().await.cloud);
            proof.judge_all(estates, &reported().await.cloud);
            proof.judge_all(estates, &held().await.cloud);
            proof.judge_all(estates, &withdrawn().await.cloud);
        });
        proof
    }

    fn judge_all(&mut self, estates: &[Estate; 2], cloud: &Cloud) {
        let secrets: BTreeMap<String, SecretView> =
            cloud.secrets().into_iter().map(|it| (it.arn.clone(), it)).collect();
        let mut seen = BTreeSet::new();
        for call in cloud.calls().iter().filter(|call| is_to_be_judged(cloud, call)) {
            let action = format!("{}:{}", call.service, call.operation);
            if seen.insert((call.caller_arn.clone(), action, call.resource.clone())) {
                self.judge_call(estates, call, secrets.get(&call.resource));
            }
        }
        self.judged += seen.len();
    }

    fn judge_call(&mut self, [estate, bound]: &[Estate; 2], call: &Call, secret: Option<&SecretView>) {
        let policy = secret.and_then(|it| it.policy.as_ref());
        for question in questions(call, secret) {
            let policy = policy.filter(|_| question.action.starts_with("secretsmanager:"));
            self.refused_by_organization.extend(bound.judge(&question, policy).err());
            match estate.judge(&question, policy) {
                Ok(grants) => self.used.extend(grants.into_iter().map(|grant| (grant, question.action.clone()))),
                Err(why) => self.refused.push(why),
            }
        }
    }
}

/// Calls of the functions and of owners that policies decide on.
fn is_to_be_judged(cloud: &Cloud, call: &Call) -> bool {
    // GetCallerIdentity needs no permission, and a call with a refused key has no known caller.
    if call.caller_arn.is_empty() || call.operation == "GetCallerIdentity" {
        return false;
    }
    let asker = Asker::new(&call.caller_arn, ORGANIZATION);
    if let Some((_, user)) = asker.arn.split_once(":user/") {
        let name = user.rsplit('/').next().unwrap_or_default();
        // The policy of a deleted user's secret names an id instead of the ARN.
        return call.ok && cloud.user(&asker.account, name).is_some();
    }
    // A planted fault answers before the model knows the call's resource.
    let is_about_something = call.ok || call.resource != "*";
    is_about_something && !PEOPLE.iter().any(|role| asker.arn.ends_with(role))
}

/// Returns the questions that AWS evaluates for a call: the call itself, and the service's calls on its caller's
/// behalf.
fn questions(call: &Call, secret: Option<&SecretView>) -> Vec<Question> {
    let asker = Asker::new(&call.caller_arn, ORGANIZATION);
    let ask = |action: &str, resource: &str, context: Vec<(&'static str, String)>| Question {
        asker: asker.clone(),
        action: action.to_owned(),
        resource: resource.to_owned(),
        resource_organization: ORGANIZATION.to_owned(),
        context,
    };
    let action = match format!("{}:{}", call.service, call.operation) {
        // <https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonsns.html>
        batch if batch == "sns:PublishBatch" => "sns:Publish".to_owned(),
        same => same,
    };
    let own = |context| ask(&action, &in_this_organization(&call.resource), context);
    let mut questions = match action.as_str() {
        // The template names the key of all secrets, and these calls name it.
        "secretsmanager:CreateSecret" | "secretsmanager:UpdateSecret" => {
            vec![own(vec![("secretsmanager:KmsKeyArn", KMS_KEY.to_owned())])]
        }
        // The log does not show these parameters; keywheel always blocks public policies.
        "secretsmanager:PutResourcePolicy" => vec![own(vec![("secretsmanager:BlockPublicPolicy", "true".to_owned())])],
        // The log does not show this parameter; keywheel always requests 30 days, as `people` tests.
        "secretsmanager:DeleteSecret" => vec![own(vec![("secretsmanager:RecoveryWindowInDays", "30".to_owned())])],
        // One request sets the function, the other names none.
        "secretsmanager:RotateSecret" => {
            vec![own(vec![("secretsmanager:RotationLambdaARN", FUNCTION.to_owned())]), own(Vec::new())]
        }
        // The sweeper moves only the label that an interrupted rotation left.
        "secretsmanager:UpdateSecretVersionStage" if !call.caller_arn.contains("-rotation/") => {
            vec![own(vec![("secretsmanager:VersionStage", "AWSPENDING".to_owned())])]
        }
        "ses:SendEmail" => vec![own(vec![("ses:FromAddress", SENDER.to_owned())])],
        _ => {
            let function = secret.and_then(|it| it.rotation_function.clone());
            let key = "secretsmanager:resource/AllowRotationLambdaArn";
            vec![own(function.into_iter().map(|it| (key, it)).collect())]
        }
    };
    // The configuration set has the same conditions as the call itself.
    let beside: Vec<Question> = call
        .beside
        .iter()
        .flat_map(|resource| questions.iter().map(|own| Question { resource: resource.clone(), ..own.clone() }))
        .collect();
    questions.extend(beside);
    for action in done_for_the_caller(&action) {
        let kms = || through_secrets_manager(&call.resource);
        let (resource, context) = if action.starts_with("kms:") { (KMS_KEY, kms()) } else { (FUNCTION, Vec::new()) };
        questions.push(ask(action, resource, context));
    }
    questions
}

/// The context of a KMS call that Secrets Manager makes on its caller's behalf.
/// <https://docs.aws.amazon.com/secretsmanager/latest/userguide/security-encryption.html>
pub(super) fn through_secrets_manager(secret: &str) -> Vec<(&'static str, String)> {
    vec![
        ("kms:ViaService", format!("secretsmanager.{REGION}.amazonaws.com")),
        ("kms:EncryptionContext:SecretARN", secret.to_owned()),
    ]
}

/// Other rights that Secrets Manager requires of its caller, as each operation's page says under "Required
/// permissions".
/// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_Operations.html>
pub(super) fn done_for_the_caller(action: &str) -> &'static [&'static str] {
    match action {
        "secretsmanager:CreateSecret" | "secretsmanager:PutSecretValue" => &["kms:GenerateDataKey", "kms:Decrypt"],
        "secretsmanager:GetSecretValue" => &["kms:Decrypt"],
        "secretsmanager:RotateSecret" => &["lambda:InvokeFunction"],
        "secretsmanager:ReplicateSecretToRegions" => &["kms:GenerateDataKey", "kms:Encrypt"],
        // Without kms:Encrypt, existing versions stay encrypted with the former key.
        "secretsmanager:UpdateSecret" => &["kms:GenerateDataKey", "kms:Encrypt", "kms:Decrypt"],
        _ => &[],
    }
}

/// The model's organization has a random id; the templates have a fixed one.
fn in_this_organization(resource: &str) -> String {
    let Some((head, tail)) = resource.split_once(":account/o-") else { return resource.to_owned() };
    let account = tail.split('/').nth(1).unwrap_or_default();
    format!("{head}:account/{ORGANIZATION}/{account}")
}

/// In each account, a rotation stops after it made a key, and the next attempt deletes the orphan.
async fn orphans() -> TestStack {
    let stage = TestStack::new();
    for account in [MEMBER, PRIMARY_ACCOUNT] {
        stage.add_user_in(account, "ci-bot", &[90]);
        let stop = Fault::on("iam", "CreateAccessKey", FaultKind::StopAfter).in_account(account);
        stage.cloud.faults().inject(stop);
    }
    stage.live().await;
    assert_eq!(stage.count("CreateAccessKey"), 4, "each was made again");
    for account in [MEMBER, PRIMARY_ACCOUNT] {
        assert_eq!(stage.cloud.user(account, "ci-bot").expect("the user is there").keys.len(), 2, "no orphan");
    }
    stage
}

/// An exemption interrupts a rotation, and later ends.
async fn interrupted() -> TestStack {
    let stage = TestStack::new();
    let group = "ASAIAMExemptionsGroup";
    stage.add_user("ci-bot", &[90]);
    stage.sweep_well().await;
    stage.cloud.switch(|aws| aws.rotation_attempts = 1);
    stage.cloud.faults().inject(Fault::on("sts", "GetCallerIdentity", FaultKind::Stop));
    stage.cloud.run_rotations().await;
    stage.cloud.add_to_group(MEMBER, group, "ci-bot");
    stage.live_days(1).await;
    stage.cloud.remove_from_group(MEMBER, group, "ci-bot");
    stage.live_days(1).await;
    assert_eq!(stage.secret("ci-bot").last_rotation, Some(Ok(())));
    stage
}

/// Each account gets so many users that the sweep reads the credential report.
async fn reported() -> TestStack {
    let stage = TestStack::new();
    for account in [MEMBER, PRIMARY_ACCOUNT] {
        for user in ["backup", "ci-bot", "deploy", "siem"] {
            stage.add_user_in(account, user, &[10]);
        }
    }
    stage.live().await;
    assert!(stage.count("GetCredentialReport") >= 2, "one in each account");
    stage
}

/// In each account, a notice is deferred to a digest, which reads a user by name if no list has the user.
async fn held() -> TestStack {
    let stage = TestStack::new();
    for account in [MEMBER, PRIMARY_ACCOUNT] {
        stage.add_user_in(account, "ci-bot", &[81]);
    }
    stage.live().await;
    stage.pass_days(3).await;
    let looks = stage.count("ListGroupsForUser");
    for account in [MEMBER, PRIMARY_ACCOUNT] {
        let event = json!({"account": account, "notices": "later"});
        stage.keywheel.sweep(event).await.expect("the sweep answers");
    }
    let no_list = Fault::on("iam", "GetAccountAuthorizationDetails", FaultKind::AccessDenied).every();
    let no_list = stage.cloud.faults().inject(no_list);
    stage.keywheel.sweep(json!({"digest": {}})).await.expect("the digest answers");
    no_list.remove();
    assert_eq!(stage.count("ListGroupsForUser"), looks + 2, "a rotation is announced in each account");
    stage
}

/// IAM refuses once to make a key, and the rotation withdraws the intent.
async fn withdrawn() -> TestStack {
    let stage = TestStack::new();
    stage.add_user("ci-bot", &[90]);
    stage.sweep_well().await;
    stage.cloud.faults().inject(Fault::on("iam", "CreateAccessKey", FaultKind::AccessDenied));
    stage.cloud.run_rotations().await;
    assert_eq!(stage.secret("ci-bot").last_rotation, Some(Ok(())));
    stage
}

/// Events that the rehearsal's months lack: drift, and a secret that a person deleted.
async fn repairs() -> TestStack {
    let stage = TestStack::new();
    stage.add_user("ci-bot", &[10]);
    stage.add_user_in(PRIMARY_ACCOUNT, "backup", &[10]);
    stage.live().await;
    let operator = stage.operator();
    let other = "arn:aws:kms:us-east-1:999988887777:key/00000000-0000-4000-8000-00000000000f";
    stage.cloud.add_kms_key(other);
    let arn = stage.secret("ci-bot").arn;
    operator.update_secret().secret_id(&arn).kms_key_id(other).send().await.expect("changed");
    stage.live_days(1).await;
    assert_eq!(stage.secret("ci-bot").kms_key_id.as_deref(), Some(KMS_KEY), "the drift was repaired");
    operator.delete_secret().secret_id(&arn).send().await.expect("deleted");
    stage.live_days(1).await;
    assert_eq!(stage.secret("ci-bot").deletion_date, None, "the secret was restored");
    let name = crate::harness::secret_name(PRIMARY_ACCOUNT, "backup");
    stage.cloud.replicate_secret(PRIMARY_ACCOUNT, &name, "eu-west-1");
    stage.cloud.delete_user(PRIMARY_ACCOUNT, "backup");
    stage.live_days(1).await;
    assert!(stage.cloud.secret(&name).is_some_and(|secret| secret.deletion_date.is_some()), "its replica went first");
    stage
}
