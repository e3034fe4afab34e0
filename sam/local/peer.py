"""Runs ministack in its own process, and makes clients for it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import boto3
from botocore.config import Config

REGION = "eu-central-1"
Credentials = dict[str, str]


class Peer:
    """AWS as ministack models it, with the corrections in `peer_server`. Use it as a context."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._decisions = folder / "decisions.jsonl"
        self._birthday = folder / "birthday"
        self.log = folder / "ministack.log"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self._process = self._start(port)

    def _start(self, port: int) -> subprocess.Popen[bytes]:
        scratch = self._folder / "scratch"
        scratch.mkdir()
        self._decisions.touch()
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(scratch),
            # Functions are unpacked here and are removed with the folder.
            "TMPDIR": str(scratch),
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(port),
            "SFTP_ENABLED": "0",
            "IOT_MTLS_ENABLED": "0",
            # Signatures are checked and policies are enforced.
            "AUTH": "true",
            # State machines skip their waits.
            "SFN_WAIT_SCALE": "0",
            "MINISTACK_REGION": REGION,
            # ministack passes this to the functions, so the template needs no parameter for it.
            "AWS_ENDPOINT_URL": self.url,
        }
        command = [sys.executable, str(Path(__file__).with_name("peer_server.py")), self._decisions, self._birthday]
        with self.log.open("wb") as output:
            return subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # Its own process group, because the functions that it starts outlive it and have to end with the group.
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            assert self._process.poll() is None, f"ministack did not start:\n{self.log.read_text()}"
            with suppress(urllib.error.URLError, ConnectionError):
                self.get("_ministack/health")
                return self
            time.sleep(0.1)
        self.__exit__()
        raise TimeoutError(f"ministack does not answer:\n{self.log.read_text()}")

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=10)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"{self.url}/{path}", timeout=30) as answer:
            return json.load(answer)

    def born(self, days_ago: float) -> None:
        """From now on, new users and keys have this age."""
        if days_ago:
            self._birthday.write_text(str(days_ago))
        else:
            self._birthday.unlink(missing_ok=True)

    def decisions(self) -> list[dict[str, str]]:
        """Returns the decision on every call that was not an account root's, oldest first."""
        return [json.loads(line) for line in self._decisions.read_text().splitlines()]

    def mails(self, account: str) -> list[dict[str, Any]]:
        """Returns the mails that an account sent, oldest first."""
        return self.get(f"_ministack/ses/messages?account={account}")["messages"].get(account, [])

    def client(self, service: str, credentials: Credentials) -> Any:
        # No retries, because the checks are about calls that are refused or fail.
        config = Config(retries={"total_max_attempts": 1}, read_timeout=300)
        return boto3.client(service, region_name=REGION, endpoint_url=self.url, config=config, **credentials)


def root_of(account: str) -> Credentials:
    """Returns clients of an account's root. ministack accepts the account's id as the root's access key."""
    return {"aws_access_key_id": account, "aws_secret_access_key": "root"}
