"""ministack in a process of its own, and clients of it."""

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
    """AWS, as far as ministack and the corrections in `peer_server` are that. Use it as a context."""

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
            # Unpacked functions go here, and with the folder.
            "TMPDIR": str(scratch),
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(port),
            "SFTP_ENABLED": "0",
            "IOT_MTLS_ENABLED": "0",
            # Signatures are checked and policies are enforced.
            "AUTH": "true",
            # Waits in state machines take no time.
            "SFN_WAIT_SCALE": "0",
            "MINISTACK_REGION": REGION,
            # ministack hands this on to the functions: the template needs no parameter for it.
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
                # A process group of its own: the functions that it starts outlive it, and end with the group.
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
        """Users and keys that are made from now on are that old."""
        if days_ago:
            self._birthday.write_text(str(days_ago))
        else:
            self._birthday.unlink(missing_ok=True)

    def decisions(self) -> list[dict[str, str]]:
        """Every decision about a call by anybody but an account's root, oldest first."""
        return [json.loads(line) for line in self._decisions.read_text().splitlines()]

    def mails(self, account: str) -> list[dict[str, Any]]:
        """The mails that an account sent, oldest first."""
        return self.get(f"_ministack/ses/messages?account={account}")["messages"].get(account, [])

    def client(self, service: str, credentials: Credentials) -> Any:
        # A call that is refused or fails is what the checks are about: it is not made a second time.
        config = Config(retries={"total_max_attempts": 1}, read_timeout=300)
        return boto3.client(service, region_name=REGION, endpoint_url=self.url, config=config, **credentials)


def root_of(account: str) -> Credentials:
    """ministack takes an account's id as the access key of its root, who may do everything."""
    return {"aws_access_key_id": account, "aws_secret_access_key": "root"}
