//! Proves least privilege: evaluates the templates' policies for every call that the rehearsal makes, and for calls
//! that must be denied.
//!
//! `template` reads `sam/`, `estate` makes its roles and policies, `judge` evaluates them, `proof` rehearses.

mod denials;
mod estate;
mod judge;
mod keys;
mod nobody_gains;
mod notices;
mod organization;
mod proof;
mod template;

use std::collections::BTreeSet;

use estate::Estate;
use judge::{Document, texts};
use proof::PROOF;

/// Actions without a resource level, and actions that the calling service takes on any resource.
///
/// The source of entries without their own is the list of the actions' resource types in
/// <https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html>.
const WITHOUT_RESOURCE_LEVEL: [&str; 27] = [
    // Lambda refuses a role that names interfaces: https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSubnets",
    "ec2:DescribeVpcs",
    "ec2:UnassignPrivateIpAddresses",
    // No resource types.
    "iam:GenerateCredentialReport",
    "iam:GetAccountAuthorizationDetails",
    "iam:GetCredentialReport",
    // Step Functions requires these on "*": https://docs.aws.amazon.com/step-functions/latest/dg/cw-logs.html
    "logs:CreateLogDelivery",
    "logs:DeleteLogDelivery",
    "logs:DescribeLogGroups",
    "logs:DescribeResourcePolicies",
    "logs:GetLogDelivery",
    "logs:ListLogDeliveries",
    "logs:PutResourcePolicy",
    "logs:UpdateLogDelivery",
    // No resource types.
    "organizations:ListAccounts",
    "secretsmanager:ListSecrets",
    "ses:GetAccount",
    "ses:ListSuppressedDestinations",
    // X-Ray has resources only for sampling rules, which keywheel does not make.
    "xray:GetSamplingRules",
    "xray:GetSamplingTargets",
    "xray:PutTelemetryRecords",
    "xray:PutTraceSegments",
];

/// Rights that the rehearsal does not use: the statement, its actions (empty: all of them), and the reason.
const NOT_SEEN: [(&str, &[&str], &str); 14] = [
    ("WriteOwnLog", &[], "Lambda writes the log; the model has none"),
    ("KeepFailedEvents", &[], "Lambda sends events that failed to the queue"),
    ("KeepFailedStarts", &[], "the Scheduler sends starts that failed to the queue"),
    ("KeepUndeliveredEvents", &[], "EventBridge sends events that it could not deliver to the queue"),
    ("StartDailyRun", &[], "the Scheduler starts the run; the rehearsal calls the sweeper itself"),
    ("CallSweeper", &[], "the state machine calls the sweeper; the rehearsal calls it itself"),
    ("StartChildren", &[], "a Distributed Map starts its children"),
    ("WatchChildren", &[], "a Distributed Map watches its children"),
    ("DeliverLog", &[], "Step Functions delivers the state machine's log"),
    ("no Sid", &["sts:AssumeRole"], "Lambda, Step Functions and the Scheduler take their roles"),
    ("AdministerByThisAccount", &[], "CloudFormation and administrators manage the key"),
    (
        "ReadOwnSecret",
        &["secretsmanager:DescribeSecret"],
        "for owners' tools; the rehearsal's owners read the value alone",
    ),
    ("ReadOwnSecretOfNamesWithComma", &["secretsmanager:DescribeSecret"], "the same"),
    ("SendAsSender", &["ses:SendRawEmail"], "where SES takes a message with a file for raw, which the model does not"),
];

#[test]
fn least_privilege_templates_allow_every_call_of_the_rehearsal() {
    assert!(PROOF.refused.is_empty(), "{} refused:\n{}", PROOF.refused.len(), PROOF.refused.join("\n"));
    assert!(PROOF.judged > 500, "only {} different calls were judged", PROOF.judged);
}

#[test]
fn least_privilege_each_allowed_action_is_made_or_has_a_reason() {
    let allowed = Estate::new().documents().iter().flat_map(Document::allowed_actions).collect::<Vec<_>>();
    let has_reason = |statement: &str, action: &str| {
        NOT_SEEN.iter().any(|(sid, actions, _)| *sid == statement && (actions.is_empty() || actions.contains(&action)))
    };
    let unused: Vec<String> = allowed
        .iter()
        .filter(|(grant, action)| {
            !PROOF.used.contains(&(grant.clone(), action.clone())) && !has_reason(&grant.1, action)
        })
        .map(|((document, statement), action)| format!("{document}: {statement}: {action}"))
        .collect();
    assert!(unused.is_empty(), "allowed and never used:\n{}", unused.join("\n"));
    for (sid, actions, reason) in NOT_SEEN {
        let seen = PROOF.used.iter().any(|((_, it), action)| {
            it == sid && sid != "no Sid" && (actions.is_empty() || actions.contains(&action.as_str()))
        });
        assert!(!seen, "{sid} was used, so \"{reason}\" is wrong");
        assert!(allowed.iter().any(|((_, it), _)| it == sid), "no statement {sid}");
    }
}

/// Deployments that together use every condition of the template.
fn every_document() -> Vec<Document> {
    let everything = [
        ("VpcSubnetIds", "subnet-0123456789abcdef0"),
        ("VpcSecurityGroupIds", "sg-0123456789abcdef0"),
        ("Tracing", "Active"),
        ("SesConfigurationSet", "mails"),
        ("NoticeTopicArn", "arn:aws:sns:us-east-1:999988887777:notices"),
        ("NoticeTopicKmsKeyArn", "arn:aws:kms:us-east-1:999988887777:key/7f1c2d3e-0000-4000-8000-000000000002"),
        ("DailyRun", "SWEEPER"),
    ];
    let through_role = ("OrgListRoleArn", "arn:aws:iam::111111111111:role/lists");
    let mut documents = Estate::new().documents();
    documents.extend(Estate::with(&everything).documents());
    documents.extend(Estate::with(&[&everything[..], &[through_role]].concat()).documents());
    documents.extend(Estate::with(&[("CreateNoticeTopic", "true")]).documents());
    documents
}

#[test]
fn upstream_defect_55_policies_name_their_actions_and_resources() {
    let mut stars = BTreeSet::new();
    for document in every_document() {
        for statement in document.statements() {
            let allows = statement["Effect"] == "Allow";
            // A denial of everything except one resource is the stricter one.
            let negated = ["NotAction", "NotPrincipal"].into_iter().chain(allows.then_some("NotResource"));
            for negated in negated {
                assert!(statement[negated].is_null(), "{}: {negated}", document.name);
            }
            let actions = texts(&statement["Action"]);
            assert!(!actions.is_empty(), "{}: a statement without an action", document.name);
            let wild = actions.iter().any(|it| if allows { it.contains('*') } else { it == "*" });
            assert!(!wild, "{}: {actions:?}", document.name);
            // In a resource's policy "*" means that resource, and a denial of everything is stricter than one of a
            // part.
            let about_itself = !statement["Principal"].is_null();
            if allows && !about_itself && texts(&statement["Resource"]).iter().any(|it| it == "*") {
                stars.extend(actions);
            }
        }
    }
    let unknown: Vec<_> = stars.iter().filter(|it| !WITHOUT_RESOURCE_LEVEL.contains(&it.as_str())).collect();
    assert!(unknown.is_empty(), "on every resource: {unknown:?}");
    for listed in WITHOUT_RESOURCE_LEVEL {
        assert!(stars.contains(listed), "{listed} is listed and no longer allowed on every resource");
    }
}
