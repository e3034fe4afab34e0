"""The definition of the state machine, as deployed, over a function that fails on purpose.

45 accounts in pages of 20, of which some fail: what is shared by all accounts of a run, and what one account is to it.
"""

from typing import Any

import pytest

import state_machine
from deployment import Deployment, zipped
from organization import Organization
from phases import Sweep

# Answers as the sweeper does; fails for the accounts that the environment names.
STAND_IN = """
import json
import os

ACCOUNTS = [f"{number:012}" for number in range(1, 46)]


def handle(event, context):
    if "inventory" in event:
        start = int(event["inventory"].get("next_token") or 0)
        page = [{"account": each, "name": each, "email": None} for each in ACCOUNTS[start : start + 20]]
        following = str(start + 20) if start + 20 < len(ACCOUNTS) else None
        return {"accounts": page, "next_token": following, "skipped": []}
    account = event["account"]
    if account in os.environ["FAILING"].split(","):
        raise ValueError(f"account {account} fails")
    return {
        "accounts": 1, "users": 2, "actions": {"provision": 2}, "mails": 0, "failures": [], "skipped": [],
        "dry_run": event["dry_run"],
        "plan": [{"account": account, "user": "u", "action": "provision", "detail": "x" * 1000}],
    }
"""


class StandIn:
    """The deployed definition with the sweeper's function replaced by the stand-in."""

    def __init__(self, deployment: Deployment, organization: Organization) -> None:
        account = organization.primary
        self._lambda = account.client("lambda")
        self._states = account.client("stepfunctions")
        # Of the last run: account → why it failed, and counts by page.
        self.failed: dict[str, str] = {}
        self.map_runs: list[dict[str, int]] = []
        deployed = self._states.describe_state_machine(stateMachineArn=deployment.machine)
        sweeper = self._lambda.get_function_configuration(FunctionName=deployment.function("sweeper"))
        function = self._lambda.create_function(
            FunctionName="stand-in",
            Runtime="python3.12",
            Handler="index.handle",
            Role=sweeper["Role"],
            Code={"ZipFile": zipped("index.py", STAND_IN)},
            Environment={"Variables": {"FAILING": ""}},
        )
        role = account.role_of_state_machines("stand-in")
        self._machine = self._states.create_state_machine(
            name="stand-in",
            definition=deployed["definition"].replace(sweeper["FunctionArn"], function["FunctionArn"]),
            roleArn=role,
        )["stateMachineArn"]

    def run(self, failing: list[str], **event: Any) -> dict[str, Any]:
        self._lambda.update_function_configuration(
            FunctionName="stand-in", Environment={"Variables": {"FAILING": ",".join(failing)}}
        )
        described = state_machine.run(self._states, self._machine, event)
        self.failed = state_machine.failed_items(self._states, described["executionArn"])
        self.map_runs = state_machine.map_runs(self._states, described["executionArn"])
        return described

    def items(self, what: str) -> int:
        """Items of the last run, over all its pages."""
        return sum(counts[what] for counts in self.map_runs)


@pytest.fixture(scope="session")
def stand_in(deployment: Deployment, organization: Organization, swept: Sweep) -> StandIn:
    assert swept.output is not None
    return StandIn(deployment, organization)


def test_one_failing_account_of_45_is_tolerated_and_told(stand_in: StandIn) -> None:
    output = state_machine.output(stand_in.run(["000000000007"]))
    assert sorted(counts["total"] for counts in stand_in.map_runs) == [5, 20, 20]
    assert (stand_in.items("succeeded"), stand_in.items("failed")) == (44, 1)
    assert list(stand_in.failed) == ["000000000007"]
    assert (output["accounts"], output["accounts_not_swept"], output["complete"]) == (44, 1, False)
    assert (output["pages"], output["pages_failed"]) == (3, 0)
    assert (output["users"], output["actions"]) == (88, 88)


def test_without_failures_all_accounts_are_counted(stand_in: StandIn) -> None:
    described = stand_in.run([])
    output = state_machine.output(described)
    assert (output["accounts"], output["accounts_not_swept"], output["complete"]) == (45, 0, True)
    assert len(described["output"]) < 10_000, "plans stay in the log: an output holds 256 KiB at most"


def test_too_many_failing_accounts_of_a_page_fail_the_run_but_not_the_other_pages(stand_in: StandIn) -> None:
    described = stand_in.run([f"{number:012}" for number in range(1, 16)])
    assert (described["status"], described["error"]) == ("FAILED", "TooManyAccountsNotSwept")
    assert stand_in.items("total") == 45
    assert stand_in.items("failed") == 15


def test_an_execution_can_be_asked_for_a_dry_run(stand_in: StandIn) -> None:
    assert state_machine.output(stand_in.run([], dry_run=True))["dry_run"] is True
