"""The peer tests: the compiled `rotation` and `sweeper`, started as Lambda starts them, against moto.

The way of a test: `moto_server` (AWS, in a process whose clock can be moved) ← `organization` (accounts, users, keys,
by boto3) and ← the executables, which `function_process` starts and `runtime_api` hands events to; where AWS would act
by itself, `secrets_manager` does. `stack` below holds all of them.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clock import Clock
from function_process import FunctionProcess
from organization import (
    OWNER_TAG,
    PRIMARY_ACCOUNT,
    ROTATION_FUNCTION_ARN,
    SENDER,
    SWEEPER_FUNCTION_ARN,
    Account,
    Moto,
    Organization,
    secret_name,
)
from secrets_manager import Rotation


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--executables", default="target/debug", help="folder of rotation and sweeper")


@pytest.fixture(scope="session")
def executables(request: pytest.FixtureRequest) -> Path:
    folder = Path(request.config.getoption("--executables")).resolve()
    for name in ("rotation", "sweeper"):
        assert (folder / name).is_file(), f"{folder / name} is missing: cargo build --bin {name}"
    return folder


@pytest.fixture(scope="session")
def clock(tmp_path_factory: pytest.TempPathFactory) -> Clock:
    return Clock(tmp_path_factory.mktemp("clock") / "offset")


@pytest.fixture(scope="session")
def moto(clock: Clock, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moto]:
    with Moto(clock, tmp_path_factory.mktemp("moto") / "log") as moto:
        yield moto


@pytest.fixture
def organization(moto: Moto, clock: Clock) -> Organization:
    clock.reset()
    moto.reset()
    return Organization(moto, clock)


class Stack:
    """keywheel as deployed: both functions, their settings, and their organization."""

    def __init__(self, organization: Organization, clock: Clock, executables: Path, logs: Path) -> None:
        self.organization = organization
        self.clock = clock
        self.functions: list[FunctionProcess] = []
        self._executables = executables
        self._logs = logs

    def settings(self) -> dict[str, str]:
        """Only a few settings, because the tests use the default periods and names."""
        return {
            "DRY_RUN_FLAG": "false",
            "PRIMARY_ACCOUNT_ID": PRIMARY_ACCOUNT,
            "AWS_ORG_ID": self.organization.organizations.describe_organization()["Organization"]["Id"],
            "SENDER_EMAIL": SENDER,
            "SES_DOMAIN": "example.com",
            "ROTATION_FUNCTION_ARN": ROTATION_FUNCTION_ARN,
            "SECRETS_KMS_KEY_ID": self.organization.kms_key,
            "RESOURCE_OWNER_TAG": OWNER_TAG,
        }

    def start(self, executable: str, **settings: str) -> FunctionProcess:
        """Starts an executable. Settings given here replace the stack's; an empty one removes it."""
        arn = ROTATION_FUNCTION_ARN if executable == "rotation" else SWEEPER_FUNCTION_ARN
        environment = self.organization.execution_environment() | self.settings() | settings
        log = self._logs / f"{len(self.functions)}-{executable}"
        process = FunctionProcess(self._executables / executable, arn, environment, self.clock, log)
        self.functions.append(process)
        return process

    @property
    def sweeper(self) -> FunctionProcess:
        return self._started("sweeper")

    @property
    def rotation(self) -> FunctionProcess:
        return self._started("rotation")

    def _started(self, executable: str) -> FunctionProcess:
        for process in self.functions:
            if process.log.name.endswith(executable):
                return process
        return self.start(executable)

    # --- events in a stack's life ---

    def sweep(self, event: dict[str, Any] | None = None) -> Any:
        """Runs one sweep, which must succeed. Returns its report."""
        return self.sweeper.call(event or {})

    def rotate(self, account: Account, user: str) -> Rotation:
        """Runs all four steps of the rotation that has started, or else of the schedule's rotation."""
        rotation = Rotation(self.organization, self.rotation, secret_name(account, user))
        rotation.run()
        return rotation

    def secrets_told(self) -> list[str]:
        """Returns the places outside the store that show the secret half of a key. There must be none."""
        places = {process.log.name: process.output for process in self.functions}
        for process in self.functions:
            places[f"an answer of {process.log.name}"] = "\n".join(answer.text for answer in process.answers)
        for number, mail in enumerate(self.organization.mails()):
            places[f"mail {number}"] = mail["subject"] + mail["body"]
        for secret in self.organization.secret_names():
            places[f"the description of {secret}"] = str(self.organization.describe(secret))
        keys = self.organization.secret_keys()
        return [place for place, text in places.items() if any(key in text for key in keys)]


@pytest.fixture
def stack(organization: Organization, clock: Clock, executables: Path, tmp_path: Path) -> Iterator[Stack]:
    stack = Stack(organization, clock, executables, tmp_path)
    yield stack
    # After every test: no secret may have leaked.
    told = stack.secrets_told()
    for process in stack.functions:
        process.__exit__()
    assert told == [], "the secret half of an access key shows up in these"


@pytest.fixture
def member(organization: Organization) -> Account:
    return organization.member


@pytest.fixture
def primary(organization: Organization) -> Account:
    return organization.primary


@pytest.fixture(params=["primary", "member"])
def account(request: pytest.FixtureRequest, organization: Organization) -> Account:
    """A test with this fixture runs in the stack's own account and in a member account."""
    return getattr(organization, request.param)
