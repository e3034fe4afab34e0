"""Serves Lambda's Runtime API on loopback: sends invocations to one executable, as Lambda does.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

import json
import queue
import threading
import uuid
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from clock import Clock

PREFIX = "/2018-06-01/runtime/"


@dataclass(frozen=True)
class Answer:
    """The executable's answer. `kind` is response, error or init-error; `text` is the body."""

    kind: str
    text: str

    @property
    def body(self) -> Any:
        return json.loads(self.text)


class RuntimeApi:
    """The Runtime API for one executable. It sends one invocation at a time."""

    def __init__(self, function_arn: str, clock: Clock) -> None:
        self.function_arn = function_arn
        self.clock = clock
        self.invocations: queue.Queue[tuple[str, bytes, int]] = queue.Queue()
        self.answers: queue.Queue[tuple[str, Answer]] = queue.Queue()
        self.closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        """Returns the value of AWS_LAMBDA_RUNTIME_API."""
        return f"127.0.0.1:{self._server.server_port}"

    def submit(self, payload: bytes, timeout_seconds: float) -> str:
        """Queues an invocation. Returns its request id."""
        request_id = str(uuid.uuid4())
        # The deadline is on the executable's clock.
        deadline_ms = int((self.clock.now().timestamp() + timeout_seconds) * 1000)
        self.invocations.put((request_id, payload, deadline_ms))
        return request_id

    def close(self) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()


def _handler(api: RuntimeApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            assert self.path == f"{PREFIX}invocation/next", self.path
            while not api.closing.is_set():
                try:
                    request_id, payload, deadline_ms = api.invocations.get(timeout=0.1)
                except queue.Empty:
                    continue
                headers = {
                    "Lambda-Runtime-Aws-Request-Id": request_id,
                    "Lambda-Runtime-Deadline-Ms": str(deadline_ms),
                    "Lambda-Runtime-Invoked-Function-Arn": api.function_arn,
                    "Lambda-Runtime-Trace-Id": "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Sampled=0",
                }
                return self._answer(200, payload, headers)
            # No answer, because the executable was ended.
            self.close_connection = True
            return None

        def do_POST(self) -> None:
            body = self._body().decode()
            path = self.path.removeprefix(PREFIX)
            if path == "init/error":
                api.answers.put(("", Answer("init-error", body)))
            else:
                _, request_id, kind = path.split("/")
                assert kind in ("response", "error"), path
                api.answers.put((request_id, Answer(kind, body)))
            self._answer(202, b'{"status":"OK"}', {})

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass  # Trailers are ignored.
            return b"".join(parts)

        def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Logs no requests."""

    return Handler
