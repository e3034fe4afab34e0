"""Starts one executable as Lambda does: with the environment of a function, and nothing else."""

import json
import queue
import subprocess
import time
from pathlib import Path
from typing import Any, Self

from clock import Clock
from runtime_api import Answer, RuntimeApi

# Time limits of an invocation, on the executable's clock and on the real one. The sweeper reserves 30 s for mails.
TIMEOUT_SECONDS = 300.0


class FunctionProcess:
    """A running executable and the Runtime API from which it reads its events."""

    def __init__(
        self, executable: Path, function_arn: str, environment: dict[str, str], clock: Clock, log: Path
    ) -> None:
        self.log = log
        self.answers: list[Answer] = []
        self._clock = clock
        self._api = RuntimeApi(function_arn, clock)
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [executable],
                env=_lambda_environment(function_arn, self._api.address) | environment | clock.environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(timeout=10)
        self._clock.release(self._process.pid)
        self._api.close()

    @property
    def output(self) -> str:
        """Returns the executable's standard output and error, which on Lambda are its log."""
        return self.log.read_text(errors="replace")

    def invoke(self, event: Any, timeout_seconds: float = TIMEOUT_SECONDS) -> Answer:
        """Sends an event. Returns the answer, which may be an error."""
        request_id = self._api.submit(json.dumps(event).encode(), timeout_seconds)
        answered, answer = self._next_answer(timeout_seconds)
        assert answered == request_id, f"an answer to {answered or 'the start'} instead of {request_id}: {answer}"
        return answer

    def call(self, event: Any) -> Any:
        """Sends an event, which must succeed. Returns the response's body."""
        answer = self.invoke(event)
        assert answer.kind == "response", f"{answer}\n{self.output}"
        return answer.body

    def failure(self, event: Any) -> str:
        """Sends an event, which must fail. Returns the error's text."""
        answer = self.invoke(event)
        assert answer.kind == "error", f"{answer}\n{self.output}"
        return answer.text

    def start_failure(self) -> str:
        """Waits for the start, which must fail. Returns the texts of its answer and of its log."""
        assert self._process.wait(timeout=TIMEOUT_SECONDS) != 0, "a wrong start ends with an exit code"
        said = self.output
        while True:
            try:
                said += self._api.answers.get(timeout=0.2)[1].text
            except queue.Empty:
                return said

    def _next_answer(self, timeout_seconds: float) -> tuple[str, Answer]:
        until = time.monotonic() + timeout_seconds
        while time.monotonic() < until:
            try:
                answered, answer = self._api.answers.get(timeout=0.2)
            except queue.Empty:
                assert self._process.poll() is None, f"it ended with {self._process.returncode}:\n{self.output}"
                continue
            self.answers.append(answer)
            return answered, answer
        raise TimeoutError(f"no answer within {timeout_seconds} s:\n{self.output}")


def _lambda_environment(function_arn: str, runtime_api: str) -> dict[str, str]:
    """https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html"""
    name = function_arn.rsplit(":", 1)[1]
    return {
        "AWS_LAMBDA_RUNTIME_API": runtime_api,
        "AWS_LAMBDA_FUNCTION_NAME": name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": "2026/11/22/[$LATEST]0",
        "_HANDLER": "bootstrap",
        "LAMBDA_TASK_ROOT": "/var/task",
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
    }
