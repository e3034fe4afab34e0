"""The moto of the peer tests, which also counts every call by service and operation.

    python counting_server.py PORT

GET /counts returns the counts and resets them. POST /latency sets the milliseconds by which every response is delayed
from then on, to simulate the distance to AWS.
"""

import io
import json
import re
import sys
import threading
import time
import urllib.parse
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2] / "tests/peers"))

import moto_server

# .../20261122/eu-central-1/iam/aws4_request
SCOPE = re.compile(r"Credential=[^/]+/\d+/[^/]+/([^/]+)/aws4_request")


def operation(environ: dict[str, Any], body: bytes) -> str:
    """Returns the operation by its documented name; for a REST service, the method and the path."""
    if target := environ.get("HTTP_X_AMZ_TARGET"):
        return target.rsplit(".", 1)[1]
    if environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded"):
        return urllib.parse.parse_qs(body.decode()).get("Action", ["?"])[0]
    return f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}"


class Counting:
    """moto's application with every signed call counted."""

    def __init__(self, application: moto_server.Application) -> None:
        self._application = application
        self._counts: Counter[str] = Counter()
        self._latency = 0.0
        self._lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        if environ["PATH_INFO"] not in ("/counts", "/latency"):
            self._count(environ, body)
            return self._application(environ, start_response)
        if environ["PATH_INFO"] == "/latency":
            self._latency = int(body) / 1000
        with self._lock:
            answer = json.dumps(self._counts).encode()
            self._counts.clear()
        start_response("200 OK", [("Content-Type", "application/json")])
        return [answer]

    def _count(self, environ: dict[str, Any], body: bytes) -> None:
        scope = SCOPE.search(environ.get("HTTP_AUTHORIZATION", ""))
        if scope is None:
            return
        with self._lock:
            self._counts[f"{scope[1]}:{operation(environ, body)}"] += 1
        # Other calls proceed meanwhile.
        time.sleep(self._latency)


def main() -> None:
    inside = moto_server.with_inside
    moto_server.with_inside = lambda application, clock: Counting(inside(application, clock))
    moto_server.main()


if __name__ == "__main__":
    main()
