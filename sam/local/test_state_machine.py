"""The definition of the state machine, as deployed, over a function that fails on purpose.

45 accounts in pages of 20, of which some fail: what is shared by all accounts of a run, and what one account is to it.
"""

import json
import tempfile
from typing import Any

import pytest

import state_machine
from deployment import Deployment, zipped
from organization import Organization
from phases import Sweep

# Answers as the sweeper does; fails for what the environment names: accounts, a page by its token, the digest. "digests"
# makes each digest one of 20 accounts, and more of them. Of accounts
# it names as well how many sweeps have not enough time for all users, and which fail after the first of them; sweeps are
# counted in a folder.
STAND_IN = """
import json
import os
from pathlib import Path

ACCOUNTS = [f"{number:012}" for number in range(1, 46)]


FAILING = os.environ["FAILING"].split(",")
LEAVING = json.loads(os.environ["LEAVING"])
# Of accounts that fail from the second sweep on, how: "fails" or "is skipped"; from the first on with " at once" behind it.
# "passes after N" is skipped at once, N times, for what passes; "is throttled", from the second sweep on, for good.
LATER = json.loads(os.environ["LATER"])


def sweeps_so_far(account):
    counted = Path(os.environ["FOLDER"], account)
    before = len(counted.read_text()) if counted.exists() else 0
    counted.write_text("." * (before + 1))
    return before


def handle(event, context):
    if "digest" in event:
        if "digest" in FAILING:
            raise ValueError("the digest fails")
        after = event["digest"].get("after", ACCOUNTS[0])
        if f"digest after {after}" in FAILING:
            raise ValueError("a later digest fails")
        assert event == {"digest": event["digest"], "dry_run": event["dry_run"]}, event
        assert event["digest"] in ({}, {"after": ACCOUNTS[20]}, {"after": ACCOUNTS[40]}), event
        following = ACCOUNTS[ACCOUNTS.index(after) + 20 :][:1] if "digests" in FAILING else []
        return ({"digest_after": following[0]} if following else {}) | {
            "accounts": 9, "users": 9, "actions": {"delete": 9}, "mails": 3, "failures": [{"action": "mail"}],
            "failures_omitted": 1, "skipped": [], "dry_run": event["dry_run"], "plan": [{"detail": "x" * 1000}],
        }
    if "inventory" in event:
        start = int(event["inventory"].get("next_token") or 0)
        if f"page {start}" in FAILING:
            raise ValueError(f"the page from {start} fails")
        page = [{"account": each, "name": each, "email": None} for each in ACCOUNTS[start : start + 20]]
        following = str(start + 20) if start + 20 < len(ACCOUNTS) else None
        return {"accounts": page, "next_token": following, "skipped": []}
    account = event["account"]
    assert set(event) == {"account", "name", "email", "dry_run", "notices"} and event["notices"] == "later", event
    if account in FAILING:
        raise ValueError(f"account {account} fails")
    before = sweeps_so_far(account)
    how, is_at_once = LATER.get(account, ""), LATER.get(account, "").endswith("at once")
    if (how.startswith("passes after") and before < int(how.split()[-1])) or (how == "is throttled" and before):
        return {
            "accounts": 0, "users": 0, "actions": {}, "mails": 0, "failures": [{"action": "sweep"}],
            "dry_run": event["dry_run"], "plan": [],
            "skipped": [{"account": account, "reason": f"STS does not answer, sweep {before + 1}", "transient": True}],
        }
    if how.startswith("fails") and (before or is_at_once):
        raise ValueError(f"account {account} fails on purpose")
    if how.startswith("is skipped") and (before or is_at_once):
        return {
            "accounts": 0, "users": 0, "actions": {}, "mails": 0, "failures": [{"action": "sweep"}],
            "dry_run": event["dry_run"], "plan": [],
            "skipped": [{"account": account, "reason": "its role cannot be assumed"}],
        }
    is_out_of_time = before < LEAVING.get(account, 0)
    left = {"left": 5, "failures": [{"action": "sweep"}]} if is_out_of_time else {"failures": []}
    return left | {
        "accounts": 1, "users": 2, "actions": {"provision": 2}, "mails": 1, "skipped": [], "dry_run": event["dry_run"],
        "plan": [{"account": account, "user": "u", "action": "provision", "detail": "x" * 1000}],
    }
"""


class StandIn:
    """The deployed definition, with the stand-in instead of the sweeper's function."""

    def __init__(self, deployment: Deployment, organization: Organization) -> None:
        account = organization.primary
        self._lambda = account.client("lambda")
        self._states = account.client("stepfunctions")
        # The last run's failed accounts with their causes, and its counts by page.
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
            Environment={"Variables": {"FAILING": "", "LEAVING": "{}", "LATER": "{}", "FOLDER": "/nowhere"}},
        )
        role = account.role_of_state_machines("stand-in")
        self._machine = self._states.create_state_machine(
            name="stand-in",
            definition=deployed["definition"].replace(sweeper["FunctionArn"], function["FunctionArn"]),
            roleArn=role,
        )["stateMachineArn"]

    def run(
        self,
        failing: list[str],
        leaving: dict[str, int] | None = None,
        later: dict[str, str] | None = None,
        **event: Any,
    ) -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as folder:
            variables = {
                "FAILING": ",".join(failing),
                "LEAVING": json.dumps(leaving or {}),
                "LATER": json.dumps(later or {}),
                "FOLDER": folder,
            }
            self._lambda.update_function_configuration(
                FunctionName="stand-in", Environment={"Variables": variables}
            )
            described = state_machine.run(self._states, self._machine, event)
        self.failed = state_machine.failed_items(self._states, described["executionArn"])
        self.map_runs = state_machine.map_runs(self._states, described["executionArn"])
        return described

    def states(self, failing: list[str], **event: Any) -> list[str]:
        """Returns the states that a run passes, without those of the Map's children."""
        execution = self.run(failing, **event)["executionArn"]
        pages = self._states.get_paginator("get_execution_history").paginate(executionArn=execution)
        entered = [each.get("stateEnteredEventDetails") for page in pages for each in page["events"]]
        return [details["name"] for details in entered if details]

    def items(self, what: str) -> int:
        """Returns the number of items of the last run, over all its pages."""
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
    assert (output["users"], output["actions"]) == (88, 88), "the digest adds none"
    assert (output["mails"], output["failures"]) == (44 + 3, 2), "urgent ones of the accounts, and the digest's"


def test_without_failures_all_accounts_are_counted(stand_in: StandIn) -> None:
    described = stand_in.run([])
    output = state_machine.output(described)
    assert (output["accounts"], output["accounts_not_swept"], output["complete"]) == (45, 0, True)
    assert (output["list_failed"], output["digest_failed"]) == (False, False)
    assert len(described["output"]) < 10_000, "plans stay in the log: an output holds 256 KiB at most"


def test_too_many_failing_accounts_of_a_page_fail_the_run_but_not_the_other_pages(stand_in: StandIn) -> None:
    described = stand_in.run([f"{number:012}" for number in range(1, 16)])
    assert (described["status"], described["error"]) == ("FAILED", "TooManyAccountsNotSwept")
    assert stand_in.items("total") == 45
    assert stand_in.items("failed") == 15
    assert totals(described)["mails"] == 25 + 3, "of the other pages, and the digest's"


def test_a_page_that_cannot_be_listed_fails_the_run_after_the_digest(stand_in: StandIn) -> None:
    described = stand_in.run(["page 20"])
    assert (described["status"], described["error"]) == ("FAILED", "AccountsNotListed")
    assert "the page from 20 fails" in described["cause"]
    output = totals(described)
    assert (output["accounts"], output["mails"], output["complete"]) == (20, 20 + 3, False)


def test_a_digest_goes_on_until_all_is_told(stand_in: StandIn) -> None:
    output = state_machine.output(stand_in.run(["digests"]))
    assert (output["mails"], output["failures"]) == (45 + 3 * 3, 3 * 2), "three digests of 20 accounts"
    assert [name for name in stand_in.states(["digests"]) if name == "TellDigest"] == ["TellDigest"] * 3
    output = state_machine.output(stand_in.run(["digests"], dry_run=True))
    assert output["mails"] == 45 + 3 * 3


def test_a_digest_that_fails_fails_the_run_and_says_that_all_else_is_done(stand_in: StandIn) -> None:
    described = stand_in.run(["digest"])
    assert (described["status"], described["error"]) == ("FAILED", "DigestNotTold")
    assert "the digest fails" in described["cause"]
    output = totals(described)
    assert (output["accounts"], output["mails"], output["complete"]) == (45, 45, True)
    assert (output["list_failed"], output["digest_failed"]) == (False, True)


def test_a_later_digest_that_fails_leaves_what_the_ones_before_it_told(stand_in: StandIn) -> None:
    described = stand_in.run(["digests", "digest after 000000000041"])
    assert (described["status"], described["error"]) == ("FAILED", "DigestNotTold")
    assert "a later digest fails" in described["cause"]
    assert (totals(described)["mails"], totals(described)["failures"]) == (45 + 2 * 3, 2 * 2)


def test_an_execution_can_be_asked_for_a_dry_run(stand_in: StandIn) -> None:
    output = state_machine.output(stand_in.run([], dry_run=True))
    assert output["dry_run"] is True
    assert (output["mails"], output["failures"]) == (45 + 3, 2)


def test_an_account_with_users_left_is_swept_again_but_not_for_ever(stand_in: StandIn) -> None:
    output = state_machine.output(stand_in.run([], {"000000000003": 1, "000000000004": 9}))
    assert (output["accounts"], output["accounts_not_swept"], output["users"]) == (45, 0, 90), "each once"
    assert (output["users_left"], output["complete"]) == (5, False), "those of the last sweep"
    assert output["actions"] == 43 * 2 + 2 * 2 + 4 * 2, "of all sweeps"
    assert (output["mails"], output["failures"]) == (43 + 2 + 4 + 3, 1 + 4 + 2)


@pytest.mark.parametrize("how", ["fails", "is skipped"])
def test_what_earlier_sweeps_did_is_counted_although_a_later_one_fails(stand_in: StandIn, how: str) -> None:
    output = state_machine.output(stand_in.run([], {"000000000003": 9}, {"000000000003": how}))
    assert (output["accounts"], output["accounts_not_swept"], output["users"]) == (45, 0, 90), "a part of it was swept"
    assert (output["users_left"], output["complete"]) == (5, False), "those of the sweep that succeeded"
    assert output["actions"] == 45 * 2
    assert (output["mails"], output["failures"]) == (45 + 3, 1 + 1 + 2), "users left, the later sweep, the digest's"


@pytest.mark.parametrize("how", ["fails", "is skipped"])
def test_an_account_whose_first_sweep_fails_is_a_failed_item_that_says_why(stand_in: StandIn, how: str) -> None:
    output = state_machine.output(stand_in.run([], {}, {"000000000003": f"{how} at once"}))
    assert (output["accounts"], output["accounts_not_swept"], output["complete"]) == (44, 1, False)
    assert list(stand_in.failed) == ["000000000003"]
    # The name that Lambda gives the function's own error.
    error, why = {
        "fails": ("Runtime.HandlerError", "account 000000000003 fails on purpose"),
        "is skipped": ("AccountNotSwept", "its role cannot be assumed"),
    }[how]
    assert stand_in.failed["000000000003"].startswith(f"{error}: "), stand_in.failed
    assert why in stand_in.failed["000000000003"]


def test_an_account_that_is_not_swept_for_what_passes_is_tried_again(stand_in: StandIn) -> None:
    """A third of the page fails, which is more than ToleratedFailurePercentage."""
    later = {f"{number:012}": "passes after 3" for number in range(1, 8)}
    output = state_machine.output(stand_in.run([], {}, later))
    assert (output["accounts"], output["accounts_not_swept"], output["complete"]) == (45, 0, True)
    assert (output["users"], output["actions"], output["failures"]) == (90, 90, 2), "the digest's failures alone"


def test_an_account_that_is_not_swept_for_long_is_a_failed_item(stand_in: StandIn) -> None:
    output = state_machine.output(stand_in.run([], {}, {"000000000003": "passes after 4"}))
    assert (output["accounts"], output["accounts_not_swept"], output["complete"]) == (44, 1, False)
    assert stand_in.failed == {"000000000003": "AccountNotSwept: STS does not answer, sweep 4"}


def test_an_account_that_was_swept_in_part_is_tried_again_as_often(stand_in: StandIn) -> None:
    output = state_machine.output(stand_in.run([], {"000000000003": 9}, {"000000000003": "is throttled"}))
    assert (output["accounts"], output["accounts_not_swept"], output["users_left"]) == (45, 0, 5)
    assert output["failures"] == 1 + 1 + 2, "users left, the last of four tries, the digest's"


def test_a_dry_run_comes_no_further_by_sweeping_again(stand_in: StandIn) -> None:
    output = state_machine.output(stand_in.run([], {"000000000004": 9}, dry_run=True))
    assert (output["actions"], output["users_left"]) == (45 * 2, 5)


def test_the_digest_waits_until_the_list_of_secrets_has_caught_up(stand_in: StandIn) -> None:
    """The peer skips waits, so this test checks which states the execution passed."""
    assert [name for name in stand_in.states([]) if name in ("AwaitList", "TellDigest")] == ["AwaitList", "TellDigest"]
    assert "AwaitList" not in stand_in.states([], dry_run=True), "nothing was held"


def totals(described: dict[str, Any]) -> dict[str, Any]:
    """Returns the end of a failed execution's cause."""
    return json.loads(described["cause"].partition("Totals: ")[2])
