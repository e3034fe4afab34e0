//! The roles and policies of both templates in an organization, with the rehearsal's parameters.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use keywheel::rehearsal::PRIMARY_ACCOUNT;
use serde_json::Value;

use super::judge::{Asker, Document, Grant, Question, Resource, judge, texts};
use super::keys;
use super::template::{Place, Template, scalar};

pub(super) const ORGANIZATION: &str = "o-keywheel0001";
pub(super) const REGION: &str = "us-east-1";
pub(super) const KMS_KEY: &str = "arn:aws:kms:us-east-1:999988887777:key/7f1c2d3e-0000-4000-8000-000000000001";
pub(super) const FUNCTION: &str = "arn:aws:lambda:us-east-1:999988887777:function:keywheel-rotation";
pub(super) const SENDER: &str = "keywheel@example.com";
/// The account that represents all members when policies are listed.
const ANY_MEMBER: &str = "111122223333";

/// The rehearsal's parameters of the main template.
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

/// The deployed templates.
pub(super) struct Estate {
    main: Template,
    roles: Vec<Role>,
    key: Document,
    members: RefCell<BTreeMap<String, Rc<Member>>>,
    /// Policies of the organization, attached to the stack's account.
    organization: Vec<Bound>,
    /// Policies of people in the stack's account, by the ARN of their role or user.
    people: BTreeMap<String, Document>,
}

/// A policy of the organization.
enum Bound {
    /// A service control policy binds the account's principals.
    Principals(Document),
    /// A resource control policy binds everybody's calls on the account's resources.
    Resources(Document),
}

/// The resources of the member template in an account.
struct Member {
    roles: Vec<Role>,
    /// The policies of the reader group.
    reader: Vec<Document>,
}

impl Estate {
    /// The estate with the rehearsal's parameters.
    pub(super) fn new() -> Self {
        Self::with(&[])
    }

    /// The estate with other parameters of the main template.
    pub(super) fn with(parameters: &[(&str, &str)]) -> Self {
        let given: Vec<_> = parameters.iter().chain(&MAIN).copied().collect();
        let main = Template::read("template.yaml", &place(PRIMARY_ACCOUNT), &given);
        let keys = main.resources("AWS::KMS::Key");
        let [(name, key)] = &keys[..] else { panic!("one KMS key is expected") };
        let key = Document::new(format!("{name}/policy"), key["KeyPolicy"].clone());
        let roles = roles(&main);
        Self { main, roles, key, members: RefCell::default(), organization: Vec::new(), people: BTreeMap::new() }
    }

    /// The same estate, bound by a policy of `sam/policies/`.
    pub(super) fn under(mut self, file: &str) -> Self {
        let document = Document::new(file, keys::organization_policy(file));
        let is_about_resources = document.statements().all(|it| !it["Principal"].is_null());
        self.organization.push(if is_about_resources {
            Bound::Resources(document)
        } else {
            Bound::Principals(document)
        });
        self
    }

    /// The same estate with a person, who is a role or user of the stack's account and has this policy.
    pub(super) fn with_person(mut self, arn: &str, policy: Value) -> Self {
        self.people.insert(arn.to_owned(), Document::new(arn, policy));
        self
    }

    /// The same estate without the statements of this `Sid`.
    pub(super) fn without(mut self, sid: &str) -> Self {
        for role in &mut self.roles {
            role.identity = role.identity.drain(..).map(|it| it.without(sid)).collect();
        }
        self.key = self.key.without(sid);
        self
    }

    /// Returns all policies.
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

    /// Evaluates the policies of the caller and of the resource; `secret_policy` is a secret's own policy.
    pub(super) fn judge(&self, question: &Question, secret_policy: Option<&Value>) -> Result<BTreeSet<Grant>, String> {
        let identity: Vec<_> = self.identity(&question.asker).into_iter().chain(self.bounds(question)).collect();
        let secret = secret_policy.map(|policy| Document::new("the secret's policy", policy.clone()));
        match (question.action.as_str(), &secret) {
            ("sts:AssumeRole", _) => {
                let role = self.role(&question.resource).ok_or_else(|| format!("no role {}", question.resource))?;
                judge(question, &identity, Resource::Strict(&role.trust))
            }
            (action, _) if action.starts_with("kms:") => match keys::policy(&question.resource, &self.key) {
                Some(policy) => judge(question, &identity, Resource::Strict(&policy)),
                None => judge(question, &identity, Resource::WithoutPolicy),
            },
            ("sns:Publish", _) => self.judge_topic(question, &identity),
            (_, Some(policy)) => judge(question, &identity, Resource::Open(policy)),
            (_, None) => judge(question, &identity, Resource::WithoutPolicy),
        }
    }

    /// Returns the policy of the stack's own topic. The policies of other topics and keys are unknown here; their owner
    /// admits this account.
    fn judge_topic(&self, question: &Question, identity: &[Document]) -> Result<BTreeSet<Grant>, String> {
        let made = question.resource == format!("arn:aws:sns:{REGION}:{PRIMARY_ACCOUNT}:keywheel-notices");
        let policies = policies_of_resources(&self.main, "AWS::SNS::TopicPolicy");
        match policies.first().filter(|_| made) {
            Some(policy) => judge(question, identity, Resource::Open(policy)),
            None => judge(question, identity, Resource::WithoutPolicy),
        }
    }

    /// Returns whether the topic's policy lets a caller with these policies publish.
    pub(super) fn judge_publisher(&self, question: &Question, identity: &Value) -> Result<BTreeSet<Grant>, String> {
        self.judge_topic(question, &[Document::new("given", identity.clone())])
    }

    /// Returns whether a role's trust admits a caller with these policies.
    pub(super) fn judge_trust(&self, question: &Question, identity: &Value) -> Result<BTreeSet<Grant>, String> {
        let role = self.role(&question.resource).expect("the role is there");
        judge(question, &[Document::new("given", identity.clone())], Resource::Strict(&role.trust))
    }

    /// Returns the organization's policies that bind a call. They only deny, so they count like the caller's own.
    fn bounds(&self, question: &Question) -> Vec<Document> {
        let binds = |bound: &Bound| match bound {
            Bound::Principals(it) => (question.asker.account == PRIMARY_ACCOUNT).then(|| it.clone()),
            Bound::Resources(it) => (question.resource_account() == PRIMARY_ACCOUNT).then(|| it.clone()),
        };
        self.organization.iter().filter_map(binds).collect()
    }

    fn identity(&self, asker: &Asker) -> Vec<Document> {
        if let Some(person) = self.people.get(&asker.arn) {
            return vec![person.clone()];
        }
        if asker.arn.contains(":user/") {
            // Users of the stack's account have no reader group, because the resource policy is sufficient there.
            let is_member = asker.account != PRIMARY_ACCOUNT;
            return if is_member { self.member(&asker.account).reader.clone() } else { Vec::new() };
        }
        self.role(&asker.arn).map(|role| role.identity).unwrap_or_default()
    }

    /// Returns the role with this ARN, in the stack's account or in a member.
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

    /// Returns the ARN of a role, by its name in the main template.
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

/// Returns the policies of all resources of a type, such as queues.
fn policies_of_resources(template: &Template, kind: &str) -> Vec<Document> {
    let policies = template.resources(kind).into_iter();
    policies.map(|(name, it)| Document::new(name, it["PolicyDocument"].clone())).collect()
}

/// Returns the roles of a template with their policies.
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
