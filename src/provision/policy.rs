//! The resource policy of one user's secret. Pure.

use serde_json::{Value, json};

use crate::keys::UserArn;

/// The policy that lets that user, and nobody else, read the secret.
///
/// Both parts are needed: a user ARN as a principal turns into the user's unique id when it is saved, so it does not
/// admit a user of the same name made later; the condition keeps the name that the principal was meant to have.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html>
pub fn for_user(arn: &UserArn) -> Value {
    json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Sid": "KeywheelOwnerReads",
            "Effect": "Allow",
            "Principal": {"AWS": arn.as_str()},
            "Action": ["secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue"],
            "Resource": "*",
            "Condition": {"ArnEquals": {"aws:PrincipalArn": arn.as_str()}}
        }]
    })
}

/// Whether a policy that was read back is the wanted one. One that names a deleted user's id (`AIDA…`) is not; neither
/// is one with more in it: the policy of a secret of keywheel's is keywheel's.
pub fn is_for_user(policy: &str, arn: &UserArn) -> bool {
    let Ok(mut policy) = serde_json::from_str::<Value>(policy) else { return false };
    normalize(&mut policy);
    let mut wanted = for_user(arn);
    normalize(&mut wanted);
    policy == wanted
}

/// A list of one is the same as its item, and the order of a list of texts says nothing.
fn normalize(value: &mut Value) {
    match value {
        Value::Object(members) => members.values_mut().for_each(normalize),
        Value::Array(items) => {
            items.iter_mut().for_each(normalize);
            if let [only] = &mut items[..] {
                *value = only.take();
            } else if items.iter().all(Value::is_string) {
                items.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arn() -> UserArn {
        "arn:aws:iam::111122223333:user/ci/bot".parse().unwrap()
    }

    #[test]
    fn the_policy_is_recognised_in_any_equal_form() {
        let policy = for_user(&arn());
        assert!(is_for_user(&policy.to_string(), &arn()));
        let mut other_form = policy.clone();
        other_form["Statement"] = policy["Statement"][0].clone();
        other_form["Statement"]["Action"] = json!(["secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"]);
        other_form["Statement"]["Principal"] = json!({"AWS": [arn().as_str()]});
        assert!(is_for_user(&other_form.to_string(), &arn()));
    }

    #[test]
    fn upstream_defect_32_any_other_policy_is_drift() {
        let policy = for_user(&arn()).to_string();
        for other in [
            "not json".to_owned(),
            "{}".to_owned(),
            policy
                .replace("arn:aws:iam::111122223333:user/ci/bot\"},\"Resource", "AIDAEXAMPLEEXAMPLE123\"},\"Resource"),
            policy.replace("\"AWS\":\"arn:aws:iam::111122223333:user/ci/bot\"", "\"AWS\":\"AIDAEXAMPLEEXAMPLE123\""),
            policy.replace("\"AWS\":\"arn:aws:iam::111122223333:user/ci/bot\"", "\"AWS\":\"*\""),
            policy.replace("user/ci/bot", "user/bot"),
            policy.replace("\"secretsmanager:GetSecretValue\"", "\"secretsmanager:*\""),
        ] {
            if other != policy {
                assert!(!is_for_user(&other, &arn()), "{other}");
            }
        }
    }
}
