//! The roles and policies of both templates in an organization, deployed as the rehearsal deploys.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use keywheel::rehearsal::PRIMARY_ACCOUNT;
use serde_json::Value;

use super::judge::{Asker, Document, Grant, Question, Resource, judge, texts};
use super::template::{Place, Template, scalar};

pub(super) const ORGANIZATION: &str = "o-keywheel0001";
pub(super) const REGION: &str = "us-east-1";
pub(super) const KMS_KEY: &str = "arn:aws:kms:us-east-1:999988887777:key/7f1c2d3e-0000-4000-8000-000000000001";
pub(super) const FUNCTION: &str = "arn:aws:lambda:us-east-1:999988887777:function:keywheel-rotation";
pub(super) const SENDER: &str = "keywheel@example.com";
/// The account that stands for every member where policies are listed.
const ANY_MEMBER: &str = "111122223333";

/// What the rehearsal's deployment gives the main template.
const MAIN: [(&str, &str); 4] = [
    ("OrganizationId", ORGANIZATION),
    ("SenderEmail", SENDER),
    ("SesDomain", "example.com"),
    ("ResourceOwnerTag", "owner"),
];

/// A role with its policies.
#[derive(Clone)]
struct Role {
    arn: String,
    trust: Document,
    identity: Vec<Document>,
}

/// Both templates.
pub(super) struct Estate {
    main: Template,
    roles: Vec<Role>,
    key: Document,
    members: RefCell<BTreeMap<String, Rc<Member>>>,
}

/// What the member template makes in an account.
struct Member {
    roles: Vec<Role>,
    /// What a member of the reader group may.
    reader: Vec<Document>,
}

impl Estate {
    /// As the rehearsal deploys.
    pub(super) fn new() -> Self {
        Self::with(&[])
    }

    /// With other parameters of the main template.
    pub(super) fn with(parameters: &[(&str, &str)]) -> Self {
        let given: Vec<_> = parameters.iter().chain(&MAIN).copied().collect();
        let main = Template::read("template.yaml", &place(PRIMARY_ACCOUNT), &given);
        let keys = main.resources("AWS::KMS::Key");
        let [(name, key)] = &keys[..] else { panic!("one KMS key is expected") };
        let key = Document::new(format!("{name}/policy"), key["KeyPolicy"].clone());
        Self { roles: roles(&main), main, key, members: RefCell::default() }
    }

    /// All policies, to be listed.
    pub(super) fn documents(&self) -> Vec<Document> {
        let member = member(ANY_MEMBER);
        let mut all: Vec<Document> = vec![self.key.clone()];
        for role in roles(&member).into_iter().chain(self.roles.iter().cloned()) {
            all.push(role.trust);
            all.extend(role.identity);
        }
        for kind in ["AWS::SQS::QueuePolicy", "AWS::SNS::TopicPolicy"] {
            all.extend(policies_of_resources(&self.main, kind));
        }
        all.extend(managed_policies(&member).into_iter().map(|(_, document)| document));
        let mut names = BTreeSet::new();
        all.retain(|document| names.insert(document.name.clone()));
        all
    }

    /// What the policies of both sides say; a secret's own policy is the third.
    pub(super) fn judge(&self, question: &Question, secret_policy: Option<&Value>) -> Result<BTreeSet<Grant>, String> {
        let identity = self.identity(&question.asker);
        let secret = secret_policy.map(|policy| Document::new("the secret's policy", policy.clone()));
        match (question.action.as_str(), &secret) {
            ("sts:AssumeRole", _) => {
                let role = self.role(&question.resource).ok_or_else(|| format!("no role {}", question.resource))?;
                judge(question, &identity, Resource::Strict(&role.trust))
            }
            (action, _) if action.starts_with("kms:") && question.resource == KMS_KEY => {
                judge(question, &identity, Resource::Strict(&self.key))
            }
            ("sns:Publish", _) => self.judge_topic(question, &identity),
            (_, Some(policy)) => judge(question, &identity, Resource::Open(policy)),
            (_, None) => judge(question, &identity, Resource::WithoutPolicy),
        }
    }

    /// The topic that the stack makes has a policy. Of topics and keys of others it is not known here: their owner lets
    /// this account in.
    fn judge_topic(&self, question: &Question, identity: &[Document]) -> Result<BTreeSet<Grant>, String> {
        let made = question.resource == format!("arn:aws:sns:{REGION}:{PRIMARY_ACCOUNT}:keywheel-notices");
        let policies = policies_of_resources(&self.main, "AWS::SNS::TopicPolicy");
        match policies.first().filter(|_| made) {
            Some(policy) => judge(question, identity, Resource::Open(policy)),
            None => judge(question, identity, Resource::WithoutPolicy),
        }
    }

    /// Whether the topic's policy lets somebody publish whose own policies are these.
    pub(super) fn judge_publisher(&self, question: &Question, identity: &Value) -> Result<BTreeSet<Grant>, String> {
        self.judge_topic(question, &[Document::new("given", identity.clone())])
    }

    /// Whether a role's trust lets somebody in whose own policies are these.
    pub(super) fn judge_trust(&self, question: &Question, identity: &Value) -> Result<BTreeSet<Grant>, String> {
        let role = self.role(&question.resource).expect("the role is there");
        judge(question, &[Document::new("given", identity.clone())], Resource::Strict(&role.trust))
    }

    fn identity(&self, asker: &Asker) -> Vec<Document> {
        if asker.arn.contains(":user/") {
            // Users of the stack's account are in no reader group: the resource policy is enough there.
            let is_member = asker.account != PRIMARY_ACCOUNT;
            return if is_member { self.member(&asker.account).reader.clone() } else { Vec::new() };
        }
        self.role(&asker.arn).map(|role| role.identity).unwrap_or_default()
    }

    /// The role of that ARN, in the stack's account or in any member.
    fn role(&self, arn: &str) -> Option<Role> {
        let account = arn.split(':').nth(4).expect("an ARN has an account");
        let of = |roles: &[Role]| roles.iter().find(|role| role.arn == arn).cloned();
        if account == PRIMARY_ACCOUNT { of(&self.roles) } else { of(&self.member(account).roles) }
    }

    fn member(&self, account: &str) -> Rc<Member> {
        let mut members = self.members.borrow_mut();
        let make = || {
            let template = member(account);
            Rc::new(Member { roles: roles(&template), reader: reader_policy(&template) })
        };
        members.entry(account.to_owned()).or_insert_with(make).clone()
    }

    /// The ARN of the role that the main template calls so.
    pub(super) fn execution_role(&self, name: &str) -> &str {
        let prefix = format!("{name}/");
        let role = self.roles.iter().find(|role| role.trust.name.starts_with(&prefix));
        &role.expect("the template has the role").arn
    }
}

fn place(account: &str) -> Place {
    Place {
        account: account.to_owned(),
        region: REGION.to_owned(),
        stack: "keywheel".to_owned(),
        kms_key: KMS_KEY.to_owned(),
    }
}

/// The member template in an account.
fn member(account: &str) -> Template {
    let given = [
        ("PrimaryAccountId", PRIMARY_ACCOUNT),
        ("OrganizationId", ORGANIZATION),
        ("SecretsRegion", REGION),
        ("SecretsKeyArn", KMS_KEY),
    ];
    Template::read("member-account.yaml", &place(account), &given)
}

fn reader_policy(template: &Template) -> Vec<Document> {
    let groups = template.resources("AWS::IAM::Group");
    let attached: Vec<String> = groups.iter().flat_map(|(_, group)| texts(&group["ManagedPolicyArns"])).collect();
    let policies = managed_policies(template).into_iter();
    policies.filter(|(name, _)| attached.contains(name)).map(|(_, document)| document).collect()
}

fn managed_policies(template: &Template) -> Vec<(String, Document)> {
    let policies = template.resources("AWS::IAM::ManagedPolicy").into_iter();
    policies.map(|(name, it)| (name.clone(), Document::new(name, it["PolicyDocument"].clone()))).collect()
}

/// The policies of resources of a type, such as queues.
fn policies_of_resources(template: &Template, kind: &str) -> Vec<Document> {
    let policies = template.resources(kind).into_iter();
    policies.map(|(name, it)| Document::new(name, it["PolicyDocument"].clone())).collect()
}

/// The roles of a template with all that is attached to them.
fn roles(template: &Template) -> Vec<Role> {
    let attached = template.resources("AWS::IAM::Policy");
    let managed = managed_policies(template);
    let made = template.resources("AWS::IAM::Role").into_iter().map(|(name, role)| {
        let role_name = role["RoleName"].as_str().unwrap_or(&name).to_owned();
        let mut identity = Vec::new();
        for policy in role["Policies"].as_array().into_iter().flatten() {
            let title = format!("{name}/{}", scalar(&policy["PolicyName"]));
            identity.push(Document::new(title, policy["PolicyDocument"].clone()));
        }
        for (title, policy) in &attached {
            if texts(&policy["Roles"]).contains(&role_name) {
                identity.push(Document::new(title, policy["PolicyDocument"].clone()));
            }
        }
        let arns = texts(&role["ManagedPolicyArns"]);
        identity.extend(managed.iter().filter(|(title, _)| arns.contains(title)).map(|(_, it)| it.clone()));
        let trust = Document::trust(format!("{name}/trust"), role["AssumeRolePolicyDocument"].clone());
        Role { arn: template.iam_arn(&format!("role/{role_name}")), trust, identity }
    });
    made.collect()
}
