"""Starts ministack and corrects the departures from AWS that would let a wrong policy pass or refuse a right one.

    python peer_server.py DECISIONS BIRTHDAY

DECISIONS is a file to which every decision about a call is appended, one JSON object a line. BIRTHDAY is a file that
says how many days ago new users and access keys were made, as long as it exists. Address, port and the checking of
policies are ministack's own settings, by environment.

Each function here, in `policy_evaluation` and in `secrets_service` is one departure or a few of a kind: what AWS does,
and what ministack 1.5.33 does instead. Departures that the checks can live with stand as comments where a check meets
them.
"""

import json
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ministack.core import iam_evaluator
from ministack.services import eventbridge, iam, organizations, scheduler, stepfunctions
from ministack.services.cloudformation import provisioners

import policy_evaluation
import secrets_service

Decide = Callable[[str, str, str, str], None]


def decisions_into(file: Path) -> Decide:
    """Returns a function that records each decision: the caller, the action, and whether it was allowed."""
    lock = threading.Lock()

    def note(principal: str, action: str, resource: str, decision: str) -> None:
        line = {"principal": principal, "action": action, "resource": resource, "decision": decision}
        with lock, file.open("a") as log:
            log.write(json.dumps(line) + "\n")

    return note


def note_decisions(note: Decide) -> None:
    """Not a correction: records whether a call was refused, which CloudTrail has and ministack's own trail lacks."""
    enforce, evaluate_trust_policy = iam_evaluator.enforce, iam_evaluator.evaluate_trust_policy

    def enforced(access_key_id: str, iam_action: str, service: str, region: str, *rest: Any, **named: Any) -> Any:
        refused = enforce(access_key_id, iam_action, service, region, *rest, **named)
        resource = named.get("resource_arn") or (rest[0] if rest else "*")
        if isinstance(refused, iam_evaluator.AuthError):
            # The signature or the key is wrong, so no policy was evaluated.
            note(access_key_id, iam_action, resource, refused.code)
        elif not iam_evaluator.is_root_access_key(access_key_id):
            caller = iam_evaluator.resolve_credential(access_key_id)
            arn = getattr(caller, "principal_arn", access_key_id)
            note(arn, iam_action, resource, refused.decision if refused else "Allow")
        return refused

    def trusted(trust_policy: Any, caller_arn: str, context: Any = None) -> bool:
        answer = evaluate_trust_policy(trust_policy, caller_arn, context)
        if context is not None and not answer:
            note(caller_arn, context.action, context.resource_arn, "NotTrusted")
        return answer

    iam_evaluator.enforce = enforced
    iam_evaluator.evaluate_trust_policy = trusted


def make_keys_on_a_birthday(file: Path) -> None:
    """Not a correction: makes old keys, because ministack has no clock that can be moved."""

    def now() -> str:
        days = float(file.read_text()) if file.exists() else 0.0
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - days * 86_400))

    iam._now = now


def refuse_a_third_key() -> None:
    """A user has two keys at most. ministack: any number.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
    """
    create_access_key = iam._create_access_key

    def corrected(request: Any) -> Any:
        user = iam._p(request, "UserName")
        if sum(key["UserName"] == user for key in iam._access_keys.values()) >= 2:
            return iam._error(409, "LimitExceeded", "Cannot exceed quota for AccessKeysPerUser: 2", ns="iam")
        return create_access_key(request)

    for handlers in (value for value in vars(iam).values() if isinstance(value, dict)):
        if handlers.get("CreateAccessKey") is create_access_key:
            handlers["CreateAccessKey"] = corrected
    iam._create_access_key = corrected


def list_accounts_in_pages() -> None:
    """https://docs.aws.amazon.com/organizations/latest/APIReference/API_ListAccounts.html: at most 20 a page, and only
    the management account (or a delegated administrator) is answered. ministack gives all at once, and makes any
    account that asks the management account of an organization of its own.
    """
    list_accounts = organizations._list_accounts

    def corrected(request: dict[str, Any]) -> Any:
        if policy_evaluation.management_account_of(organizations.get_account_id()) is None:
            return organizations.error_response_json("AccessDeniedException", "You don't have permissions.", 400)
        status, headers, body = list_accounts(request)
        accounts = json.loads(body)["Accounts"]
        start = int(request.get("NextToken") or 0)
        end = start + min(int(request.get("MaxResults") or 20), 20)
        page = {"Accounts": accounts[start:end]} | ({"NextToken": str(end)} if end < len(accounts) else {})
        return status, headers, json.dumps(page).encode()

    organizations._DISPATCH["ListAccounts"] = corrected


def make_groups_by_template() -> None:
    """CloudFormation has the type AWS::IAM::Group; ministack refuses a template that uses it."""

    def create(logical_id: str, properties: dict[str, Any], stack: str) -> tuple[str, dict[str, str]]:
        name = properties.get("GroupName") or f"{stack}-{logical_id}"
        status, _, body = iam._create_group({"GroupName": [name], "Path": [properties.get("Path", "/")]})
        if status != 200:
            raise ValueError(body.decode())
        iam._groups[name]["AttachedPolicies"] = list(properties.get("ManagedPolicyArns") or [])
        for policy in properties.get("Policies") or []:
            inline = iam._group_inline_policies.setdefault(name, {})
            inline[policy["PolicyName"]] = json.dumps(policy["PolicyDocument"])
        return name, {"Arn": iam._groups[name]["Arn"]}

    def delete(name: str, _properties: dict[str, Any]) -> None:
        iam._groups.pop(name, None)

    provisioners._RESOURCE_HANDLERS["AWS::IAM::Group"] = {"create": create, "delete": delete}


def run_state_machines_as_their_role() -> None:
    """A state machine calls functions, and starts the children of a Distributed Map, as its own role. ministack's does
    so as nobody, and is never refused.
    """
    run_execution, call_lambda = stepfunctions._run_execution, stepfunctions._call_lambda
    run_distributed_map = stepfunctions._run_distributed_map
    role = policy_evaluation.running_as

    def check(action: str, resource: str, error: str) -> None:
        refused = policy_evaluation.refused_to_role(role.get(), action, resource)
        if refused:
            raise stepfunctions._ExecutionError(error, refused)

    def running(execution_arn: str) -> Any:
        machine = stepfunctions._executions[execution_arn]["stateMachineArn"]
        role.set(stepfunctions._state_machines[machine]["roleArn"])
        return run_execution(execution_arn)

    def calling(function: str, event: Any) -> Any:
        check("lambda:InvokeFunction", function, "Lambda.AccessDeniedException")
        return call_lambda(function, event)

    def mapping(state: Any, raw_input: Any, effective: Any, iterator: Any, execution: Any, context: Any) -> Any:
        check("states:StartExecution", execution["stateMachineArn"], "States.Permissions")
        return run_distributed_map(state, raw_input, effective, iterator, execution, context)

    stepfunctions._run_execution = running
    stepfunctions._call_lambda = calling
    stepfunctions._run_distributed_map = mapping


def call_targets_only_where_that_is_allowed(note: Decide) -> None:
    """A schedule calls its target as the role that it names; a rule calls a function that lets it. ministack asks
    neither the role nor the function, and looks for due schedules every ten seconds only.
    """
    invoke = eventbridge._invoke_target
    actions = {"states": "states:StartExecution", "lambda": "lambda:InvokeFunction"}

    def corrected(target: dict[str, Any], event: Any, source: dict[str, Any], *rest: Any) -> Any:
        arn, role = target["Arn"], target.get("RoleArn")
        action = actions[arn.split(":")[2]]
        if role:
            caller, allowed = role, not policy_evaluation.refused_to_role(role, action, arn)
        else:
            caller = "events.amazonaws.com"
            allowed = policy_evaluation.admits(arn, caller, source["Arn"])
        note(caller, action, arn, "Allow" if allowed else "ImplicitDeny")
        return invoke(target, event, source, *rest) if allowed else None

    eventbridge._invoke_target = corrected
    scheduler._SCHEDULE_TICK_INTERVAL = 1


def main() -> None:
    decisions, birthday = Path(sys.argv[1]), Path(sys.argv[2])
    note = decisions_into(decisions)
    policy_evaluation.correct()
    note_decisions(note)
    make_keys_on_a_birthday(birthday)
    refuse_a_third_key()
    list_accounts_in_pages()
    make_groups_by_template()
    run_state_machines_as_their_role()
    call_targets_only_where_that_is_allowed(note)
    secrets_service.correct()
    # ministack reads the remaining arguments.
    del sys.argv[1:]
    from ministack import app

    policy_evaluation.tell_who_sends(app)
    app.main()


if __name__ == "__main__":
    main()
