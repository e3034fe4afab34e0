"""moto as the peer tests have it, with every call counted: by service and operation, since it was last asked.

    python counting_server.py PORT

GET /counts answers the counts and begins anew; POST /latency takes the milliseconds that every call is to wait for its
answer from then on, as if AWS were further away.
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
    """As the service's documentation names it; of a REST service, the method and the path."""
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
        # Others are answered meanwhile.
        time.sleep(self._latency)


def main() -> None:
    inside = moto_server.with_inside
    moto_server.with_inside = lambda application, clock: Counting(inside(application, clock))
    moto_server.main()


if __name__ == "__main__":
    main()
