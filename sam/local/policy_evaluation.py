"""Adds the facts about callers and requests that AWS uses to evaluate policies and ministack lacks."""

import contextvars
import dataclasses
import json
import re
from typing import Any

from ministack.core import iam_actions, iam_evaluator
from ministack.core.responses import get_account_id, get_region
from ministack.services import iam, lambda_svc, organizations, secretsmanager

VARIABLE = re.compile(r"\$\{([^}]*)\}")
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html#policy-vars-specialchars
SPECIAL = {"*": "*", "?": "?", "$": "$"}
# A text that equals no ARN and no value, so that a statement whose variable has no value applies to nothing.
NOTHING = "\0"

# The role of a state machine.
running_as: contextvars.ContextVar[str] = contextvars.ContextVar("running_as")

# The sender of a mail.
sending_as: contextvars.ContextVar[str] = contextvars.ContextVar("sending_as")


def management_account_of(account: str) -> str | None:
    """Returns the management account of this account's organization; None without an organization."""
    memberships = [master for master, member in organizations._accounts.to_dict() if member == account]
    # An account that called Organizations on ministack once also has its own organization.
    return min(memberships, key=lambda master: master == account, default=None)


def _organization_of(account: str) -> str | None:
    master = management_account_of(account)
    found = organizations._orgs.get_scoped(master, None, "self") if master else None
    return found and found["Id"]


def _role_arn(context: Any) -> str:
    name = iam_evaluator._role_name_from_assumed_arn(context.principal_arn)
    role = iam._roles.get_scoped(context.principal_account, None, name)
    return role["Arn"] if role else context.principal_arn


def _say_who_calls() -> None:
    """https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html

    - `aws:PrincipalArn` of a role's session is the role's ARN. ministack: the session's.
    - `aws:PrincipalOrgID` of a member account is its organization's. ministack: members are in none.
    - `aws:ResourceOrgID` is that of the account in the resource's ARN. ministack: unknown.
    - `aws:SecureTransport` is true, as endpoints of AWS's are called. ministack: false, as it is called without TLS.
    """
    resolve = iam_evaluator._resolve_condition_key

    def corrected(key: str, context: Any) -> Any:
        if key.lower() == "aws:principalarn" and context.principal_type == "AssumedRole":
            return _role_arn(context)
        if key.lower() == "aws:principalorgid":
            return _organization_of(context.principal_account)
        if key.lower() == "aws:resourceorgid":
            return _organization_of(iam_evaluator._account_from_arn(context.resource_arn) or context.principal_account)
        if key.lower() == "aws:securetransport":
            return "true"
        if key.lower() == "ses:fromaddress":
            return sending_as.get(None)
        return resolve(key, context)

    iam_evaluator._resolve_condition_key = corrected


def _fill_in_variables() -> None:
    """Policy variables stand for the caller's values in resources and conditions. ministack compares them literally."""
    first_match, conditions_met = iam_evaluator._first_match, iam_evaluator._conditions_met

    def filled(text: str, context: Any) -> str:
        missing = False

        def value(variable: re.Match[str]) -> str:
            nonlocal missing
            key = variable[1].strip()
            known = SPECIAL.get(key) or iam_evaluator._resolve_condition_key(key, context)
            missing |= not isinstance(known, str)
            return str(known)

        text = VARIABLE.sub(value, text)
        return NOTHING if missing else text

    def filled_all(values: Any, context: Any) -> list[str]:
        return [filled(str(value), context) for value in (values if isinstance(values, list) else [values])]

    def matching(context: Any, statements: list[Any], effect: str) -> Any:
        return first_match(
            context,
            [
                dataclasses.replace(
                    statement,
                    resources=filled_all(statement.resources, context),
                    not_resources=filled_all(statement.not_resources, context),
                )
                for statement in statements
            ],
            effect,
        )

    def met(conditions: Any, context: Any) -> bool:
        blocks = {
            operator: {key: filled_all(values, context) for key, values in block.items()}
            for operator, block in (conditions or {}).items()
        }
        return conditions_met(blocks, context)

    iam_evaluator._first_match = matching
    iam_evaluator._conditions_met = met


def _name_the_resource() -> None:
    """https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsidentityandaccessmanagementiam.html

    - AddUserToGroup is about the group. ministack: about the user.
    - GetAccessKeyLastUsed is about the key's user. ministack: about anything.
    - A user's ARN holds the path. ministack: never.
    - Organizations' DescribeAccount is about the account. ministack: about the organization.
    - SendEmail is about the sender's identity, here always a domain. ministack: about anything.
    """
    extract = iam_actions.extract_resource_arn

    def corrected(service: str, method: str, path: str, headers: Any, body: Any, query: Any, *rest: Any) -> str:
        arn = extract(service, method, path, headers, body, query, *rest)
        if service == "organizations":
            about = organizations._accounts.get(json.loads(body or b"{}").get("AccountId") or "")
            return about["Arn"] if about else arn
        if service == "ses" and path.endswith("/outbound-emails"):
            domain = json.loads(body)["FromEmailAddress"].rpartition("@")[2].rstrip(">")
            return f"arn:aws:ses:{get_region()}:{get_account_id()}:identity/{domain}"
        if service != "iam":
            return arn
        asked = {name: iam._p(query, name) for name in ("Action", "UserName", "GroupName", "AccessKeyId")}
        if asked["Action"] in ("AddUserToGroup", "RemoveUserFromGroup"):
            group = iam._groups.get(asked["GroupName"])
            return group["Arn"] if group else arn
        key = iam._access_keys.get(asked["AccessKeyId"]) or {}
        user = iam._users.get(asked["UserName"] or key.get("UserName", ""))
        return user["Arn"] if user else arn

    iam_actions.extract_resource_arn = corrected


def _name_the_action() -> None:
    """AWS authorizes PublishBatch as sns:Publish. ministack uses a separate action, which AWS does not have.

    https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonsns.html
    """
    extract = iam_actions.extract_iam_action

    def corrected(*request: Any) -> str | None:
        action = extract(*request)
        return "sns:Publish" if action == "sns:PublishBatch" else action

    iam_actions.extract_iam_action = corrected


def _tell_what_is_asked() -> None:
    """Adds condition keys that services derive from the request and ministack does not.

    https://docs.aws.amazon.com/service-authorization/latest/reference/list_awssecretsmanager.html
    """
    request_context = iam_actions.request_tag_context

    def corrected(service: str, action: str, body: Any, query: Any) -> dict[str, Any]:
        context = dict(request_context(service, action, body, query))
        if service == "secretsmanager":
            asked = json.loads(body or b"{}")
            _, secret = secretsmanager._resolve(asked.get("SecretId"))
            keys = {
                "secretsmanager:AddReplicaRegions": [it["Region"] for it in asked.get("AddReplicaRegions", [])] or None,
                "secretsmanager:BlockPublicPolicy": json.dumps(asked.get("BlockPublicPolicy")),
                "secretsmanager:KmsKeyArn": asked.get("KmsKeyId"),
                "secretsmanager:RecoveryWindowInDays": json.dumps(asked.get("RecoveryWindowInDays")),
                "secretsmanager:RotationLambdaARN": asked.get("RotationLambdaARN"),
                "secretsmanager:resource/AllowRotationLambdaArn": (secret or {}).get("RotationLambdaARN"),
            }
            context |= {key: value for key, value in keys.items() if value not in (None, "null")}
        return context

    iam_actions.request_tag_context = corrected


def tell_who_sends(app: Any) -> None:
    """`ses:FromAddress` is the sender of a mail; ministack does not know it. `app` is ministack's module."""
    enforce = app._enforce_ses_v2

    def corrected(method: str, path: str, headers: Any, body: bytes, query: Any, request_id: str) -> Any:
        if path.endswith("/outbound-emails"):
            sending_as.set(json.loads(body).get("FromEmailAddress"))
        return enforce(method, path, headers, body, query, request_id)

    app._enforce_ses_v2 = corrected


def refused_to_role(role_arn: str, action: str, resource: str) -> str:
    """Returns why a role's own policies refuse a call; empty if they allow it."""
    account, name = role_arn.split(":")[4], role_arn.rsplit("/", 1)[-1]
    session = f"arn:aws:sts::{account}:assumed-role/{name}/service"
    context = iam_evaluator.EvalContext(
        principal_arn=session,
        principal_type="AssumedRole",
        principal_account=account,
        action=action,
        resource_arn=resource,
        region=get_region(),
    )
    decision = iam_evaluator.evaluate(context, iam_evaluator._gather_role_policies(name, account)).decision
    return "" if decision == "Allow" else f"{role_arn} is not authorized to perform {action} on {resource}"


def admits(function: str, service: str, source: str = "") -> bool:
    """Returns whether a function's own policy lets a service of this account call it on behalf of a resource."""
    policy = lambda_svc.function_policy_for_arn(function)
    context = iam_evaluator.EvalContext(
        principal_arn=service,
        principal_type="Service",
        principal_account=get_account_id(),
        action="lambda:InvokeFunction",
        resource_arn=function,
        region=get_region(),
        service_context={"aws:sourceaccount": get_account_id(), "aws:sourcearn": source},
    )
    return bool(policy) and iam_evaluator.evaluate_resource_policy(policy[0], context, service).decision == "Allow"


def correct() -> None:
    """Applies all of these corrections."""
    _say_who_calls()
    _name_the_resource()
    _name_the_action()
    _tell_what_is_asked()
    _fill_in_variables()
