//! The resource policy of one user's secret. Pure.

use serde_json::{Value, json};

use crate::keys::UserArn;

/// Returns the policy that lets one user, and nobody else, read the secret.
///
/// Both the principal and the condition are needed. AWS saves a user ARN in a principal as the user's unique id, which
/// does not admit a later user of the same name. The condition keeps the name that the principal was meant to have.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html>
///
/// If the user's name has a comma, all other users are also denied, because no policy of the KMS key can tell such
/// names apart.
pub fn for_user(arn: &UserArn) -> Value {
    let mut statements = vec![json!({
        "Sid": "KeywheelOwnerReads",
        "Effect": "Allow",
        "Principal": {"AWS": arn.as_str()},
        "Action": ["secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue"],
        "Resource": "*",
        "Condition": {"ArnEquals": {"aws:PrincipalArn": arn.as_str()}}
    })];
    if arn.user().name.as_str().contains(',') {
        statements.push(deny_other_users(arn));
    }
    json!({"Version": "2012-10-17", "Statement": statements})
}

/// Only users have `aws:username`, so this denies no role: neither the functions nor an administrator's role. It is
/// about the value alone, so it keeps nobody from changing or deleting the secret.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-username>
fn deny_other_users(arn: &UserArn) -> Value {
    json!({
        "Sid": "KeywheelNoOtherUserReads",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "secretsmanager:GetSecretValue",
        "Resource": "*",
        "Condition": {"ArnNotEquals": {"aws:PrincipalArn": arn.as_str()}, "Null": {"aws:username": "false"}}
    })
}

/// Whether a policy that was read back equals [`for_user`]. A policy that names a deleted user's id (`AIDA…`) differs,
/// and so does a policy with anything added, because keywheel owns the policies of its secrets.
pub fn is_for_user(policy: &str, arn: &UserArn) -> bool {
    let Ok(mut policy) = serde_json::from_str::<Value>(policy) else { return false };
    if !policy.is_object() {
        return false;
    }
    normalize(&mut policy);
    let mut wanted = for_user(arn);
    normalize(&mut wanted);
    policy == wanted
}

/// Brings equal policies into the same form: a list of one becomes its item, lists of texts are sorted, and everybody
/// as an account's principal is everybody.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html#principal-anonymous>
fn normalize(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.values_mut().for_each(normalize);
            if members.len() == 1 && members.get("AWS").is_some_and(|it| it == "*") {
                *value = json!("*");
            }
        }
        Value::Array(items) => {
            // A list in a list is never legal, so it equals nothing.
            let nested = items.iter().any(Value::is_array);
            items.iter_mut().for_each(normalize);
            if nested {
                return;
            }
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
    use proptest::prelude::*;

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
    fn only_a_name_with_a_comma_needs_the_denial() {
        assert_eq!(for_user(&arn())["Statement"].as_array().unwrap().len(), 1);
        let comma: UserArn = "arn:aws:iam::111122223333:user/ci/build,cache".parse().unwrap();
        let policy = for_user(&comma);
        assert_eq!(policy["Statement"][1]["Effect"], "Deny");
        assert!(is_for_user(&policy.to_string(), &comma));
        let mut without = policy.clone();
        without["Statement"].as_array_mut().unwrap().pop();
        assert!(!is_for_user(&without.to_string(), &comma), "the former policy is drift");
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

    /// Returns the policy as AWS may return it: texts as lists of one, the only statement without its list, lists in
    /// another order, other white space.
    fn rewritten(arn: &UserArn, choices: [bool; 8]) -> String {
        let list_if = |choice: bool, value: &Value| if choice { json!([value]) } else { value.clone() };
        let mut policy = for_user(arn);
        let statement = &mut policy["Statement"][0];
        for (place, choice) in
            ["/Principal/AWS", "/Effect", "/Resource", "/Condition/ArnEquals/aws:PrincipalArn"].iter().zip(choices)
        {
            let part = statement.pointer_mut(place).unwrap();
            *part = list_if(choice, part);
        }
        if choices[4] {
            statement["Action"].as_array_mut().unwrap().reverse();
        }
        let statements = policy["Statement"].as_array_mut().unwrap();
        if let [_, denial] = &mut statements[..] {
            denial["Principal"] = if choices[6] { json!({"AWS": "*"}) } else { json!("*") };
        } else if choices[5] {
            policy["Statement"] = policy["Statement"][0].take();
        }
        if choices[6] { serde_json::to_string_pretty(&policy).unwrap() } else { policy.to_string() }
    }

    /// Collects the JSON pointer of every place in a value.
    fn places(value: &Value, at: &str, found: &mut Vec<String>) {
        found.push(at.to_owned());
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    places(member, &format!("{at}/{}", name.replace('~', "~0").replace('/', "~1")), found);
                }
            }
            Value::Array(items) => {
                for (n, item) in items.iter().enumerate() {
                    places(item, &format!("{at}/{n}"), found);
                }
            }
            _ => {}
        }
    }

    proptest! {
        #[test]
        fn every_equal_form_is_recognised(path in "(/[!-.0-~]{1,9}){0,2}", name in "[A-Za-z0-9_+=,.@-]{1,64}", choices in any::<[bool; 8]>()) {
            let arn: UserArn = format!("arn:aws:iam::111122223333:user{path}/{name}").parse().unwrap();
            let policy = rewritten(&arn, choices);
            prop_assert!(is_for_user(&policy, &arn), "{}", policy);
        }

        #[test]
        fn a_part_that_differs_is_drift(
            choices in any::<[bool; 8]>(), place in any::<prop::sample::Index>(), added in any::<bool>(),
            other in prop::sample::select(vec![json!("AIDAEXAMPLEEXAMPLE123"), json!("*"), json!(null), json!([]), json!({}),
                json!("arn:aws:iam::111122223333:user/ci/bot2"), json!(["secretsmanager:*"]), json!(1), json!(true)]),
        ) {
            let mut policy: Value = serde_json::from_str(&rewritten(&arn(), choices)).unwrap();
            let mut found = Vec::new();
            places(&policy, "", &mut found);
            let place = place.get(&found);
            let part = policy.pointer_mut(place).unwrap();
            match part {
                Value::Object(members) if added => drop(members.insert("Added".to_owned(), other)),
                Value::Array(items) if added => items.push(other),
                part => {
                    // `Resource` is `*` already.
                    prop_assume!(*part != other && json!([&part]) != other && *part != json!([&other]));
                    *part = other;
                }
            }
            prop_assert!(!is_for_user(&policy.to_string(), &arn()), "{} {}", place, policy);
        }

        #[test]
        fn no_text_is_a_policy_or_a_panic(text in any::<String>()) {
            prop_assert!(!is_for_user(&text, &arn()));
        }
    }

    #[test]
    fn a_deep_policy_is_drift() {
        assert!(!is_for_user(&"[".repeat(100_000), &arn()));
        let nested = format!("{}{}{}", "[".repeat(100), for_user(&arn()), "]".repeat(100));
        assert!(!is_for_user(&nested, &arn()), "a list is no policy");
        let mut doubled = for_user(&arn());
        doubled["Statement"] = json!([[doubled["Statement"][0].take()]]);
        assert!(!is_for_user(&doubled.to_string(), &arn()), "a list is no statement");
    }
}
