"""keywheel deployed for real: the templates by `sam deploy`, the compiled functions as their roles, on ministack.

The way of a run: `peer` (ministack in a process of its own, put right by `peer_server`, `policy_evaluation` and
`secrets_service`) ← `organization` (accounts, users, keys) ← `deployment` (the stacks) ← the phases below, each of
which goes on from the one before: a dry run, the first sweep, rotations, and the end of the old keys.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deployment import Deployment
from organization import Organization
from peer import Peer
from phases import DryRun, Retirement, Rotations, Sweep

# More than the 20 accounts of Organizations' page.
MEMBER_COUNT = 22


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--executables", default="target/debug", help="folder of rotation and sweeper")


@pytest.fixture(scope="session")
def executables(request: pytest.FixtureRequest) -> Path:
    folder = Path(request.config.getoption("--executables")).resolve()
    for name in ("rotation", "sweeper"):
        assert (folder / name).is_file(), f"{folder / name} is missing: cargo build --no-default-features --bin {name}"
    return folder


@pytest.fixture(scope="session")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    with Peer(tmp_path_factory.mktemp("peer")) as peer:
        yield peer


@pytest.fixture(scope="session")
def organization(peer: Peer) -> Organization:
    return Organization(peer, MEMBER_COUNT)


@pytest.fixture(scope="session")
def deployment(
    peer: Peer, organization: Organization, executables: Path, tmp_path_factory: pytest.TempPathFactory
) -> Deployment:
    return Deployment(peer, organization, executables, tmp_path_factory.mktemp("deployment"))


@pytest.fixture(scope="session")
def dry_run(deployment: Deployment) -> DryRun:
    return DryRun(deployment)


@pytest.fixture(scope="session")
def swept(deployment: Deployment, dry_run: DryRun) -> Sweep:
    return Sweep(deployment)


@pytest.fixture(scope="session")
def rotated(deployment: Deployment, swept: Sweep) -> Rotations:
    return Rotations(deployment)


@pytest.fixture(scope="session")
def retired(deployment: Deployment, rotated: Rotations) -> Retirement:
    return Retirement(deployment)


def pytest_exception_interact(node: Any, call: Any, report: pytest.TestReport) -> None:
    """Adds the last output of ministack and the functions to the report of a failure."""
    peer = node.funcargs.get("peer") if hasattr(node, "funcargs") else None
    if peer is not None:
        report.sections.append(("ministack and the functions", peer.log.read_text(errors="replace")[-3000:]))
