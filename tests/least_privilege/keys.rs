//! The KMS keys of the stack's account, and the calls to KMS that Secrets Manager makes on its caller's behalf.

use std::fs;

use keywheel::rehearsal::PRIMARY_ACCOUNT;
use serde_json::{Value, json};

use super::estate::{Estate, KMS_KEY};
use super::judge::{Document, Question};
use super::proof::{done_for_the_caller, through_secrets_manager};

/// The key that AWS manages for Secrets Manager (`aws/secretsmanager`).
pub(super) const AWS_MANAGED_KEY: &str = "arn:aws:kms:us-east-1:999988887777:key/7f1c2d3e-0000-4000-8000-0000000000a1";
/// The key of a former stack, which secrets may still be under.
pub(super) const FORMER_KEY: &str = "arn:aws:kms:us-east-1:999988887777:key/7f1c2d3e-0000-4000-8000-0000000000a2";
/// A customer managed key that leaves the decision to the account's IAM policies, as AWS makes them by default.
pub(super) const OPEN_KEY: &str = "arn:aws:kms:us-east-1:999988887777:key/7f1c2d3e-0000-4000-8000-0000000000a3";

/// The policies of `sam/policies/` that a store's account can be bound by.
pub(super) const ORGANIZATION_POLICIES: [&str; 3] = ["secrets-scp.json", "secrets-rcp.json", "deployment-scp.json"];

/// Returns the policy of a key; `None` for a key of others.
pub(super) fn policy(key: &str, of_the_stack: &Document) -> Option<Document> {
    let statement = match key {
        KMS_KEY | FORMER_KEY => return Some(of_the_stack.clone()),
        // <https://docs.aws.amazon.com/secretsmanager/latest/userguide/security-encryption.html#security-encryption-policies>
        AWS_MANAGED_KEY => json!({"Sid": "ThroughSecretsManager", "Effect": "Allow", "Principal": {"AWS": ["*"]},
            "Action": ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:CreateGrant"],
            "Resource": "*", "Condition": {"StringEquals": {"kms:CallerAccount": PRIMARY_ACCOUNT,
            "kms:ViaService": "secretsmanager.us-east-1.amazonaws.com"}}}),
        OPEN_KEY => json!({"Sid": "EnableIAMPolicies", "Effect": "Allow", "Action": "kms:*", "Resource": "*",
            "Principal": {"AWS": format!("arn:aws:iam::{PRIMARY_ACCOUNT}:root")}}),
        _ => return None,
    };
    Some(Document::new(key, json!({"Version": "2012-10-17", "Statement": [statement]})))
}

/// Reads a policy of `sam/policies/` with the names of this estate in place of the placeholders.
pub(super) fn organization_policy(file: &str) -> Value {
    let path = format!("{}/sam/policies/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(path).expect(file);
    let names = [
        ("STORE_ACCOUNT", PRIMARY_ACCOUNT),
        ("EXECUTION_ROLE", "aws-iam-access-key-auto-rotation-lambda-execution-role"),
        ("BREAK_GLASS_ROLE", "break-glass"),
        ("DEPLOYMENT_ROLE", "deployment"),
        ("STACK_NAME", "keywheel"),
        ("SECRETS_KEY_ARN", KMS_KEY),
    ];
    let filled = names.iter().fold(text, |text, (placeholder, name)| text.replace(placeholder, name));
    // Organizations counts white space, too. An RCP has 5,120 characters; an SCP has had as many, and has more now.
    // <https://docs.aws.amazon.com/organizations/latest/userguide/orgs_reference_limits.html>
    assert!(filled.len() <= 5_120, "{file} has {} characters", filled.len());
    serde_json::from_str(&filled).expect(file)
}

/// A call of Secrets Manager that encrypts or decrypts a value.
pub(super) struct StoreCall<'a> {
    pub(super) question: Question,
    /// The secret's resource policy.
    pub(super) policy: Option<&'a Value>,
    /// The key that the call encrypts with; for a read, the key that the value is under.
    pub(super) key: &'a str,
    /// The key that existing values are under, if the call names another.
    pub(super) former: Option<&'a str>,
}

impl StoreCall<'_> {
    /// Evaluates the call, and then every call to KMS that it needs. Returns the first refusal.
    pub(super) fn carry_out(&self, estate: &Estate) -> Result<(), String> {
        estate.judge(&self.question, self.policy)?;
        let encrypting = done_for_the_caller(&self.question.action).iter().map(|action| (*action, self.key));
        let decrypting = self.former.map(|key| ("kms:Decrypt", key));
        for (action, key) in encrypting.chain(decrypting) {
            let context = through_secrets_manager(&self.question.resource);
            let (action, resource) = (action.to_owned(), key.to_owned());
            estate.judge(&Question { action, resource, context, ..self.question.clone() }, None)?;
        }
        Ok(())
    }
}
