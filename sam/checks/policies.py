"""Checks policy documents: parliament's findings, and this project's own rules.

usage: policies.py FILE…        (run by parliament's Python, on what expand.py wrote)
"""

import json
import sys
from pathlib import Path

import parliament

# Actions that work only with the resource "*"; the template states the reason. parliament knows most of them from AWS's
# lists. These are the actions for which the service requires "*" although AWS's list has a resource.
STAR_DEMANDED_BY_THE_SERVICE = {
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:UnassignPrivateIpAddresses",
    "logs:DescribeLogGroups",
    "logs:PutResourcePolicy",
    "xray:GetSamplingRules",
    "xray:GetSamplingTargets",
}


def as_list(value):
    return value if isinstance(value, list) else [] if value is None else [value]


def own_findings(statement):
    """Rules of this project for one statement."""
    allows = statement.get("Effect") == "Allow"
    for key in ("NotAction", "NotResource", "NotPrincipal"):
        # A denial of everything except one resource is the stricter one.
        if key in statement and (allows or key != "NotResource"):
            yield f"{key}: name what is meant"
    if allows and any("*" in action for action in as_list(statement.get("Action"))):
        yield "an action with a wildcard"
    if not statement.get("Sid") and "Service" not in json.dumps(statement.get("Principal", "")):
        yield "no Sid"
    if allows and "Principal" in statement:
        yield from trust_findings(statement)


def trust_findings(statement):
    """Yields the faults of the principals. An account or everybody may be trusted if a condition narrows that."""
    principals = as_list(statement["Principal"].get("AWS") if isinstance(statement["Principal"], dict) else "*")
    keys = {key for condition in statement.get("Condition", {}).values() for key in condition}
    if any("role/" in principal or "user/" in principal for principal in principals):
        yield "a role or a user as principal: its id is kept instead, and trust breaks when it is made again"
    if "*" in principals and not keys & {"aws:PrincipalArn", "aws:PrincipalOrgID", "aws:PrincipalAccount"}:
        yield "everybody is trusted, without a condition on role, organization or account"
    if statement.get("Action") == "sts:AssumeRole" and principals:
        for wanted in {"aws:PrincipalArn", "aws:PrincipalOrgID"} - keys:
            yield f"another account is trusted without a condition on {wanted}"


def parliament_findings(document):
    """Yields the findings of parliament, which reads the document as an identity policy."""
    statements = []
    for statement in document["Statement"]:
        statement = {name: value for name, value in statement.items() if name != "Principal"}
        if "Resource" in statement:
            statements.append(statement)
    if not statements:
        return
    is_resource_policy = any("Principal" in statement for statement in document["Statement"])
    policy = parliament.analyze_policy_string(json.dumps({"Version": document["Version"], "Statement": statements}))
    for finding in policy.findings:
        # In a resource's own policy "*" is that resource.
        if is_resource_policy and finding.issue in {"RESOURCE_STAR", "RESOURCE_MISMATCH"}:
            continue
        if finding.issue == "RESOURCE_STAR" and set(finding.detail) <= STAR_DEMANDED_BY_THE_SERVICE:
            continue
        # parliament wants a resource of every type that an action knows; there are no express executions here.
        if finding.issue == "RESOURCE_MISMATCH" and all(":express:" in it["required_format"] for it in finding.detail):
            continue
        # Lambda adds this key to every call that a function's code makes, so AWS lists it with no action.
        if finding.issue == "UNKNOWN_CONDITION_FOR_ACTION" and "lambda:SourceFunctionArn" in str(finding.detail):
            continue
        yield f"{finding.issue}: {finding.detail}"


def main(paths):
    findings = 0
    for path in paths:
        document = json.loads(Path(path).read_text())
        if document.get("Version") != "2012-10-17":
            print(f"{path}: Version is not 2012-10-17")
            findings += 1
        found = list(parliament_findings(document))
        for statement in document["Statement"]:
            found += [f"{statement.get('Sid', 'statement')}: {finding}" for finding in own_findings(statement)]
        for finding in found:
            print(f"{Path(path).stem}: {finding}")
        findings += len(found)
    print(f"{len(paths)} policies, {findings} findings")
    return 1 if findings or not paths else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
