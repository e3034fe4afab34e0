//! Decides whether AWS would allow a call: the policy engine matches statements, and this module combines them as AWS
//! does.
//!
//! The engine leaves three tasks to its caller: policy variables in conditions, the meaning of an account's root as a
//! principal, and the combination of identity and resource policies.

use std::collections::BTreeSet;

use iam_rs::{
    Arn, Context, ContextValue, EvaluationOptions, IAMEffect, IAMPolicy, IAMRequest, PolicyEvaluator, Principal,
    PrincipalId, interpolate_variables,
};
use serde_json::Value;

/// The condition keys that a question has values for. A policy with another key stops the test.
const ANSWERED_KEYS: [&str; 22] = [
    "aws:PrincipalAccount",
    "aws:PrincipalArn",
    "aws:PrincipalIsAWSService",
    "aws:PrincipalOrgID",
    "aws:ResourceOrgID",
    "aws:SecureTransport",
    "aws:TagKeys",
    "aws:username",
    "kms:CallerAccount",
    "kms:EncryptionContext:SecretARN",
    "kms:EncryptionContext:aws:sns:topicArn",
    "kms:ViaService",
    "lambda:SourceFunctionArn",
    "secretsmanager:AddReplicaRegions",
    "secretsmanager:BlockPublicPolicy",
    "secretsmanager:KmsKeyArn",
    "secretsmanager:RecoveryWindowInDays",
    "secretsmanager:RotationLambdaARN",
    "secretsmanager:VersionStage",
    "secretsmanager:resource/AllowRotationLambdaArn",
    "ses:FromAddress",
    "ses:Recipients",
];

/// The condition keys with a list of values. A question separates them by spaces.
const LISTS: [&str; 3] = ["aws:TagKeys", "secretsmanager:AddReplicaRegions", "ses:Recipients"];

/// The caller: a role (for a session, its role) or a user.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Asker {
    pub(super) arn: String,
    pub(super) account: String,
    pub(super) organization: String,
}

impl Asker {
    /// Returns the principal of an ARN, which may be a session's.
    pub(super) fn new(arn: &str, organization: &str) -> Self {
        let account = arn.split(':').nth(4).expect("an ARN has an account").to_owned();
        let arn = match arn.split_once(":assumed-role/") {
            Some((_, session)) => {
                let role = session.split('/').next().expect("a session is of a role");
                format!("arn:aws:iam::{account}:role/{role}")
            }
            None => arn.to_owned(),
        };
        Self { arn, account, organization: organization.to_owned() }
    }

    /// Returns the value of `aws:username`; roles have none.
    fn user(&self) -> Option<&str> {
        self.arn.split_once(":user/")?.1.rsplit('/').next()
    }

    fn root(&self) -> String {
        format!("arn:aws:iam::{}:root", self.account)
    }
}

/// The question whether a principal may take an action on a resource.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) asker: Asker,
    pub(super) action: String,
    pub(super) resource: String,
    /// The organization of the resource's account.
    pub(super) resource_organization: String,
    /// The values of the service's condition keys.
    pub(super) context: Vec<(&'static str, String)>,
}

impl Question {
    fn context(&self) -> Context {
        let asker = &self.asker;
        let mut context = Context::new()
            .with_string("aws:PrincipalArn", &asker.arn)
            .with_string("aws:PrincipalAccount", &asker.account)
            .with_string("aws:PrincipalOrgID", &asker.organization)
            .with_string("aws:ResourceOrgID", &self.resource_organization)
            .with_string("kms:CallerAccount", &asker.account)
            .with_boolean("aws:PrincipalIsAWSService", false)
            .with_boolean("aws:SecureTransport", true);
        if let Some(user) = asker.user() {
            context = context.with_string("aws:username", user);
        }
        for (key, value) in &self.context {
            assert!(ANSWERED_KEYS.contains(key), "{key} is not among the keys that are answered");
            if LISTS.contains(key) {
                let values = value.split(' ').map(str::to_owned).collect();
                context.insert((*key).to_owned(), ContextValue::StringList(values));
                continue;
            }
            context = match value.as_str() {
                "true" | "false" => context.with_boolean(*key, value == "true"),
                text => context.with_string(*key, text),
            };
        }
        context
    }

    /// Returns the account of the resource. A list belongs to the caller's own account.
    pub(super) fn resource_account(&self) -> &str {
        self.resource.split(':').nth(4).unwrap_or(&self.asker.account)
    }

    /// Returns the resource's ARN. The engine needs an ARN even for actions without a resource level; only `*` matches
    /// the ARN that these get.
    fn arn(&self) -> Arn {
        let service = self.action.split(':').next().unwrap_or_default();
        let arn = match self.resource.as_str() {
            "*" => format!("arn:aws:{service}:::*"),
            arn => arn.to_owned(),
        };
        Arn::parse(&arn).expect("an ARN")
    }
}

/// A statement of a policy document: the document's name and the statement's `Sid`.
pub(super) type Grant = (String, String);

/// A policy of the templates, or of a secret.
#[derive(Clone, Debug)]
pub(super) struct Document {
    pub(super) name: String,
    policy: Value,
    /// Trust policies have no `Resource`, because they belong to their role.
    about_itself: bool,
}

/// A document's decision on a question.
#[derive(Default)]
struct Opinion {
    allows: Vec<Grant>,
    denies: Vec<Grant>,
}

impl Document {
    pub(super) fn new(name: impl Into<String>, policy: Value) -> Self {
        let document = Self { name: name.into(), policy, about_itself: false };
        for statement in document.statements() {
            let keys = statement["Condition"].as_object().into_iter().flat_map(|it| it.values());
            for key in keys.filter_map(Value::as_object).flat_map(|it| it.keys()) {
                let of_services = !statement["Principal"]["Service"].is_null();
                assert!(of_services || ANSWERED_KEYS.contains(&key.as_str()), "{}: unknown key {key}", document.name);
            }
        }
        document
    }

    /// Returns the document without the statement of this `Sid`.
    pub(super) fn without(mut self, sid: &str) -> Self {
        self.policy["Statement"].as_array_mut().expect("a list of statements").retain(|it| it["Sid"] != sid);
        self
    }

    pub(super) fn trust(name: impl Into<String>, policy: Value) -> Self {
        Self { about_itself: true, ..Self::new(name, policy) }
    }

    pub(super) fn statements(&self) -> impl Iterator<Item = &Value> {
        self.policy["Statement"].as_array().expect("a policy has a list of statements").iter()
    }

    /// Returns every allowed action, with its statement.
    pub(super) fn allowed_actions(&self) -> Vec<(Grant, String)> {
        let allowing = self.statements().filter(|it| it["Effect"] == "Allow");
        let pairs = allowing.flat_map(|it| texts(&it["Action"]).into_iter().map(|action| (self.grant(it), action)));
        pairs.collect()
    }

    fn grant(&self, statement: &Value) -> Grant {
        (self.name.clone(), statement["Sid"].as_str().unwrap_or("no Sid").to_owned())
    }

    /// Matches the statements for a principal with the engine.
    fn opinion(&self, question: &Question, principal: &str) -> Opinion {
        let context = question.context();
        let mut policy = self.policy.clone();
        for statement in policy["Statement"].as_array_mut().into_iter().flatten() {
            fill_in(&mut statement["Condition"], &context);
            if statement["Condition"].is_null() {
                statement.as_object_mut().expect("a statement").remove("Condition");
            }
        }
        let policy: IAMPolicy = serde_json::from_value(policy).unwrap_or_else(|error| panic!("{}: {error}", self.name));
        let options = EvaluationOptions {
            stop_on_explicit_deny: false,
            collect_match_details: true,
            ignore_resource_constraints: self.about_itself,
            ..EvaluationOptions::default()
        };
        let principal = Principal::Aws(PrincipalId::String(principal.to_owned()));
        let request = IAMRequest::new_with_context(principal, &question.action, question.arn(), context);
        let judged = PolicyEvaluator::with_policies(vec![policy]).with_options(options).evaluate(&request);
        let judged = judged.unwrap_or_else(|error| panic!("{}: {error}", self.name));
        let mut opinion = Opinion::default();
        for (statement, found) in self.statements().zip(&judged.statement_details) {
            match found.effect {
                _ if !found.conditions_satisfied => {}
                IAMEffect::Allow => opinion.allows.push(self.grant(statement)),
                IAMEffect::Deny => opinion.denies.push(self.grant(statement)),
            }
        }
        opinion
    }
}

/// Replaces variables in conditions by their values. The engine replaces them only in resources.
fn fill_in(value: &mut Value, context: &Context) {
    match value {
        Value::String(text) => *text = interpolate_variables(text, context).expect("variables that are well formed"),
        Value::Array(items) => items.iter_mut().for_each(|it| fill_in(it, context)),
        Value::Object(members) => members.values_mut().for_each(|it| fill_in(it, context)),
        _ => {}
    }
}

/// Returns the texts of a text or of a list of texts.
pub(super) fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(items) => items.iter().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}

/// The policy of the resource in question.
#[derive(Clone, Copy)]
pub(super) enum Resource<'a> {
    /// The resource has no policy, so no caller of another account is allowed.
    WithoutPolicy,
    /// In the same account, either policy is sufficient.
    Open(&'a Document),
    /// Roles and KMS keys: their own policy must name every allowed caller, or its account.
    Strict(&'a Document),
}

/// Returns the statements that together allow the call, or why it is denied.
///
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html>
pub(super) fn judge(
    question: &Question,
    identity: &[Document],
    resource: Resource<'_>,
) -> Result<BTreeSet<Grant>, String> {
    let asker = &question.asker;
    let mut own = Opinion::default();
    for document in identity {
        let opinion = document.opinion(question, &asker.arn);
        own.allows.extend(opinion.allows);
        own.denies.extend(opinion.denies);
    }
    let (by_name, by_account) = match resource {
        Resource::WithoutPolicy => Default::default(),
        Resource::Open(it) | Resource::Strict(it) => {
            (it.opinion(question, &asker.arn), it.opinion(question, &asker.root()))
        }
    };
    let denial = [&own, &by_name, &by_account].into_iter().flat_map(|it| &it.denies).next();
    let refused = |why: &str| Err(format!("{} may not {} on {}: {why}", asker.arn, question.action, question.resource));
    if let Some((document, statement)) = denial {
        return refused(&format!("denied by {statement} of {document}"));
    }
    let (identity_allows, named) = (!own.allows.is_empty(), !by_name.allows.is_empty());
    let admitted = named || !by_account.allows.is_empty();
    let is_same_account = question.resource_account() == asker.account;
    let allowed = match resource {
        Resource::WithoutPolicy => identity_allows && is_same_account,
        Resource::Open(_) if is_same_account => identity_allows || named,
        Resource::Strict(_) if is_same_account => named || (admitted && identity_allows),
        Resource::Open(_) | Resource::Strict(_) => admitted && identity_allows,
    };
    match allowed {
        true => Ok([own, by_name, by_account].into_iter().flat_map(|it| it.allows).collect()),
        false if !identity_allows => refused("no policy of its own allows it"),
        false => refused("the resource's policy does not allow it"),
    }
}
