"""Executions of a state machine, waited for."""

import json
import time
from typing import Any


def run(client: Any, machine: str, event: Any, timeout_seconds: float = 300) -> dict[str, Any]:
    """Starts an execution and waits for its end; answers what DescribeExecution says."""
    execution = client.start_execution(stateMachineArn=machine, input=json.dumps(event))["executionArn"]
    until = time.monotonic() + timeout_seconds
    while time.monotonic() < until:
        described = client.describe_execution(executionArn=execution)
        if described["status"] != "RUNNING":
            return described
        time.sleep(0.2)
    raise TimeoutError(f"{execution} runs for more than {timeout_seconds} s")


def output(described: dict[str, Any]) -> Any:
    """The output of an execution that must have succeeded."""
    assert described["status"] == "SUCCEEDED", {name: described.get(name) for name in ("status", "error", "cause")}
    return json.loads(described["output"])
