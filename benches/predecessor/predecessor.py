"""Compares keywheel's sweeper with its predecessor in one account with nothing to do: calls and time, on the same moto.

    python predecessor.py SWEEPER [--users N] [--latency MILLISECONDS]

SWEEPER is the executable; it starts as on Lambda, with its default settings. The predecessor is represented by its calls,
written anew: it lists the users of the account and makes three calls for each, one after another.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2] / "tests/peers"))

from clock import Clock
from conftest import Stack
from function_process import FunctionProcess
from organization import MEMBER_ROLE, SWEEPER_FUNCTION_ARN, Account, Moto, Organization, client

# Maximum run time of a Lambda function.
TIMEOUT_SECONDS = 900.0

# The state is steady when a sweep makes the same calls as the sweep before.
MOST_SWEEPS = 8


class RealTime(Clock):
    """The machine's own clock, because each reading of libfaketime's clock is slow."""

    def environment(self) -> dict[str, str]:
        return {}


class CountingMoto(Moto):
    """A moto that counts calls."""

    def __init__(self, clock: Clock, log: Path) -> None:
        super().__init__(clock, log, Path(__file__).with_name("counting_server.py"))

    def calls(self) -> Counter[str]:
        """Returns the calls since the last request, by service and operation."""
        return Counter(self._ask("counts", None))

    def wait_before_answers(self, milliseconds: int) -> None:
        self._ask("latency", str(milliseconds).encode())


@dataclass(frozen=True)
class Run:
    """Calls and time of one run."""

    calls: Counter[str]
    seconds: float


def measure(moto: CountingMoto, what: Callable[[], Any]) -> tuple[Run, Any]:
    moto.calls()
    began = time.perf_counter()
    answer = what()
    seconds = time.perf_counter() - began
    return Run(moto.calls(), seconds), answer


def sweep(sweeper: FunctionProcess, account: Account, users: int) -> dict[str, int]:
    """Sweeps all users once; returns the actions."""
    answer = sweeper.invoke({"account": account.id}, TIMEOUT_SECONDS)
    assert answer.kind == "response", f"{answer}\n{sweeper.output}"
    report = answer.body
    assert (report["failures"], report["users"]) == ([], users), report
    return {action: count for action, count in report["actions"].items() if count}


def scan(organization: Organization, account: Account) -> int:
    """Makes the predecessor's calls with nothing to do; returns the number of users."""
    role = f"arn:aws:iam::{account.id}:role/{MEMBER_ROLE}"
    session = organization.primary.client("sts").assume_role(RoleArn=role, RoleSessionName="scan")["Credentials"]
    credentials = {
        "aws_access_key_id": session["AccessKeyId"],
        "aws_secret_access_key": session["SecretAccessKey"],
        "aws_session_token": session["SessionToken"],
    }
    iam = client(organization.moto.url, "iam", credentials)
    users = 0
    for page in iam.get_paginator("list_users").paginate():
        for user in page["Users"]:
            name = user["UserName"]
            for key in iam.list_access_keys(UserName=name)["AccessKeyMetadata"]:
                iam.get_access_key_last_used(AccessKeyId=key["AccessKeyId"])
            iam.list_user_tags(UserName=name)
            users += 1
    return users


def settle(moto: CountingMoto, sweeper: FunctionProcess, account: Account, users: int) -> Run:
    """Sweeps until nothing is left to do or to learn; returns the last sweep."""
    before = None
    for number in range(1, MOST_SWEEPS + 1):
        run, actions = measure(moto, lambda: sweep(sweeper, account, users))
        done = ", ".join(f"{action} {count}" for action, count in actions.items()) or "nothing"
        print(f"sweep {number}: {run.calls.total()} calls, {run.seconds:.1f} s; done: {done}")
        if not actions and run.calls == before:
            return run
        before = run.calls
    raise AssertionError(f"after {MOST_SWEEPS} sweeps there is still something to do")


def show(keywheel: Run, predecessor: Run, users: int) -> None:
    def row(name: str, left: str, right: str) -> None:
        print(f"{name:<40}{left:>12}{right:>14}")

    row("", "keywheel", "predecessor")
    for name in sorted(keywheel.calls | predecessor.calls):
        row(name, str(keywheel.calls[name]), str(predecessor.calls[name]))
    ours, theirs = keywheel.calls.total(), predecessor.calls.total()
    row("calls", str(ours), str(theirs))
    row("calls per user", f"{ours / users:.3f}", f"{theirs / users:.3f}")
    row("seconds", f"{keywheel.seconds:.2f}", f"{predecessor.seconds:.2f}")
    times = predecessor.seconds / keywheel.seconds
    print(f"the predecessor makes {theirs / ours:.1f} times the calls and takes {times:.1f} times as long")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("sweeper", type=Path)
    parser.add_argument("--users", type=int, default=1000)
    parser.add_argument("--latency", type=int, default=0, help="milliseconds that every call waits for its answer")
    arguments = parser.parse_args()
    users, latency = arguments.users, arguments.latency
    with tempfile.TemporaryDirectory() as folder:
        clock = RealTime(Path(folder) / "offset")
        with CountingMoto(clock, Path(folder) / "moto") as moto:
            organization = Organization(moto, clock)
            account = organization.member
            for number in range(users):
                account.add_user(f"robot-{number:05}")
            stack = Stack(organization, clock, arguments.sweeper.parent, Path(folder))
            environment = organization.execution_environment() | stack.settings()
            log = Path(folder) / "sweeper"
            with FunctionProcess(arguments.sweeper, SWEEPER_FUNCTION_ARN, environment, clock, log) as sweeper:
                print(f"{users} users with one key of today each; {latency} ms of latency in the two runs compared")
                settle(moto, sweeper, account, users)
                moto.wait_before_answers(latency)
                keywheel, done = measure(moto, lambda: sweep(sweeper, account, users))
                assert done == {}, done
                predecessor, seen = measure(moto, lambda: scan(organization, account))
                assert seen == users, seen
    show(keywheel, predecessor, users)


if __name__ == "__main__":
    main()
