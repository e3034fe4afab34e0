"""Compares the start of each executable with that of a Python function that makes the same clients.

A start is the time that Lambda waits: from the start of the process to its first request for an event. Memory is
measured at that moment. A process has nothing to do before its first event, so a cold start consists of this alone.
"""

import argparse
import os
import shutil
import signal
import socket
import statistics
import sys
import tempfile
import time
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
NEXT = b"GET /2018-06-01/runtime/invocation/next "
LONGEST_START_SECONDS = 60

TIMES_FASTER = 50
TIMES_LESS_MEMORY = 5
LARGEST_ZIP = 3_500_000

CLIENTS = {
    "rotation": ["secretsmanager", "iam", "sts"],
    "sweeper": ["secretsmanager", "iam", "sts", "sesv2", "sns", "organizations"],
}
# The environment that Lambda sets, and the settings that the executables require.
ENVIRONMENT = {
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "ASIAIOSFODNN7EXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "measured/without/a/call",
    "AWS_SESSION_TOKEN": "none",
    "AWS_LAMBDA_FUNCTION_NAME": "keywheel",
    "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
    "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/keywheel",
    "AWS_LAMBDA_LOG_STREAM_NAME": "2026/11/22/[$LATEST]0",
    "LANG": "en_US.UTF-8",
    "TZ": ":UTC",
    "PRIMARY_ACCOUNT_ID": "999988887777",
    "AWS_ORG_ID": "o-keywheel0001",
    "SENDER_EMAIL": "keywheel@example.com",
    "RECIPIENT_EMAIL": "platform@example.com",
    "SES_DOMAIN": "example.com",
    "ROTATION_FUNCTION_ARN": "arn:aws:lambda:us-east-1:999988887777:function:keywheel-rotation",
}


@dataclass
class Starts:
    """The starts of one command."""

    name: str
    command: list[str]
    milliseconds: list[float] = field(default_factory=list)
    resident_mb: list[float] = field(default_factory=list)
    peak_mb: list[float] = field(default_factory=list)

    def start(self, runtime_api: socket.socket) -> None:
        """Starts the process once and ends it at its first request for an event."""
        host, port = runtime_api.getsockname()
        environment = ENVIRONMENT | {"AWS_LAMBDA_RUNTIME_API": f"{host}:{port}"}
        started = time.perf_counter()
        pid = os.posix_spawn(self.command[0], self.command, environment)
        try:
            connection, _ = runtime_api.accept()
            connection.settimeout(LONGEST_START_SECONDS)
            request = connection.recv(4096)
            elapsed = time.perf_counter() - started
            status = Path(f"/proc/{pid}/status").read_text()
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        # Only after the process has ended, which would otherwise log an error.
        connection.close()
        if not request.startswith(NEXT):
            raise RuntimeError(f"{self.name} asked for something else: {request!r}")
        self.milliseconds.append(elapsed * 1000)
        self.resident_mb.append(_megabytes(status, "VmRSS"))
        self.peak_mb.append(_megabytes(status, "VmHWM"))

    def forget(self) -> None:
        """Drops the measurements made before the files were in the page cache."""
        for measured in (self.milliseconds, self.resident_mb, self.peak_mb):
            measured.clear()

    def row(self) -> str:
        middle, least = statistics.median(self.milliseconds), min(self.milliseconds)
        memory = f"{statistics.median(self.resident_mb):9.1f} {statistics.median(self.peak_mb):9.1f}"
        return f"{self.name:<18} {middle:9.1f} {least:9.1f} {memory}"


def _megabytes(status: str, name: str) -> float:
    line = next(line for line in status.splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024 / 1e6


def unpacked(name: str, executable: Path, folder: Path) -> Path:
    """Makes the function's folder as Lambda unpacks it; returns the executable in it."""
    folder = folder / name
    folder.mkdir()
    shutil.copy(executable, folder / "bootstrap")
    if name == "sweeper":
        # The files that sam/build/Makefile adds.
        (folder / "templates").mkdir()
        for pattern in ("*.html", "*.txt"):
            for template in (REPOSITORY / "templates").glob(pattern):
                shutil.copy(template, folder / "templates")
    return folder / "bootstrap"


def zip_size(folder: Path) -> int:
    """Returns the size in bytes of the zip that `sam deploy` makes of the folder."""
    with tempfile.TemporaryFile() as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(folder.rglob("*")):
                archive.write(path, path.relative_to(folder))
        return file.tell()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rotation", type=Path)
    parser.add_argument("sweeper", type=Path)
    parser.add_argument("--starts", type=int, default=20, help="of each, after one that does not count")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory, socket.create_server(("127.0.0.1", 0)) as runtime_api:
        runtime_api.settimeout(LONGEST_START_SECONDS)
        ours, theirs, sizes = {}, {}, {}
        for name, clients in CLIENTS.items():
            bootstrap = unpacked(name, getattr(arguments, name), Path(directory))
            sizes[name] = zip_size(bootstrap.parent)
            ours[name] = Starts(name, [str(bootstrap)])
            function = str(Path(__file__).with_name("function.py"))
            theirs[name] = Starts(f"boto3, {len(clients)} clients", [sys.executable, function, *clients])
        # In turn, so that other load on the machine affects all of them.
        everything = [starts for name in CLIENTS for starts in (ours[name], theirs[name])]
        for turn in range(arguments.starts + 1):
            for starts in everything:
                starts.start(runtime_api)
                if turn == 0:
                    starts.forget()
    print(f"{'':<18} {'median ms':>9} {'least ms':>9} {'RSS MB':>9} {'peak MB':>9}   ({arguments.starts} starts of each)")
    for starts in everything:
        print(starts.row())
    missed = []
    for name in CLIENTS:
        faster = statistics.median(theirs[name].milliseconds) / statistics.median(ours[name].milliseconds)
        less = statistics.median(theirs[name].resident_mb) / statistics.median(ours[name].resident_mb)
        print(f"{name}: {faster:.0f} times faster, {less:.1f} times less memory, zip {sizes[name] / 1e6:.2f} MB")
        if faster < TIMES_FASTER or less < TIMES_LESS_MEMORY or sizes[name] > LARGEST_ZIP:
            missed.append(name)
    if missed:
        wanted = f"{TIMES_FASTER} times faster, {TIMES_LESS_MEMORY} times less memory, zip {LARGEST_ZIP / 1e6:.1f} MB"
        sys.exit(f"less than wanted ({wanted}): {', '.join(missed)}")


if __name__ == "__main__":
    main()
