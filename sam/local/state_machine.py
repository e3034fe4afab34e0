"""Starts executions of a state machine and waits for them."""

import json
import time
from typing import Any


def run(client: Any, machine: str, event: Any, timeout_seconds: float = 300) -> dict[str, Any]:
    """Starts an execution and waits for its end. Returns DescribeExecution's answer."""
    execution = client.start_execution(stateMachineArn=machine, input=json.dumps(event))["executionArn"]
    return wait(client, execution, timeout_seconds)


def executions(client: Any, machine: str) -> set[str]:
    """Returns the ARNs of all executions, no matter who started them."""
    pages = client.get_paginator("list_executions").paginate(stateMachineArn=machine)
    return {each["executionArn"] for page in pages for each in page["executions"]}


def started_by_others(client: Any, machine: str, before: set[str], timeout_seconds: float = 120) -> dict[str, Any]:
    """Waits until a new execution has started and ended."""
    until = time.monotonic() + timeout_seconds
    while time.monotonic() < until:
        for execution in executions(client, machine) - before:
            return wait(client, execution, timeout_seconds)
        time.sleep(0.5)
    raise TimeoutError(f"nobody starts {machine} within {timeout_seconds} s")


def wait(client: Any, execution: str, timeout_seconds: float) -> dict[str, Any]:
    """Waits for the end of an execution. Returns DescribeExecution's answer."""
    until = time.monotonic() + timeout_seconds
    while time.monotonic() < until:
        described = client.describe_execution(executionArn=execution)
        if described["status"] != "RUNNING":
            return described
        time.sleep(0.2)
    raise TimeoutError(f"{execution} runs for more than {timeout_seconds} s")


def output(described: dict[str, Any]) -> Any:
    """Returns the output of an execution, which must have succeeded."""
    assert described["status"] == "SUCCEEDED", {name: described.get(name) for name in ("status", "error", "cause")}
    return json.loads(described["output"])


def map_runs(client: Any, execution: str) -> list[dict[str, int]]:
    """Returns the number of items in each Map Run of an execution, by result."""
    listed = client.list_map_runs(executionArn=execution)["mapRuns"]
    return [client.describe_map_run(mapRunArn=each["mapRunArn"])["itemCounts"] for each in listed]


def failed_items(client: Any, execution: str) -> dict[str, str]:
    """Returns the accounts whose item failed, with the cause, as the Map Runs show them."""
    failed = {}
    for run in client.list_map_runs(executionArn=execution)["mapRuns"]:
        children = client.list_executions(mapRunArn=run["mapRunArn"], statusFilter="FAILED")["executions"]
        for child in children:
            described = client.describe_execution(executionArn=child["executionArn"])
            failed[json.loads(described["input"])["event"]["account"]] = f"{described.get('error')}: {described.get('cause')}"
    return failed
