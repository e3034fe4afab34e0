"""Finds mistakes that asl-validator misses: fields that do not exist, or not in the state's query language.

usage: definition.py FILE        (a definition as expand.py writes it)

https://states-language.net/spec.html, https://docs.aws.amazon.com/step-functions/latest/dg/transforming-data.html
"""

import json
import sys
from pathlib import Path

COMMON = {"Comment", "Type", "QueryLanguage"}
FLOW = {"Next", "End"}
PATHS = {"InputPath", "OutputPath", "Parameters", "ResultPath", "ResultSelector"}
JSONATA = {"Arguments", "Output", "Assign"}
ATTEMPTS = {"Retry", "Catch"}
TIMES = {"TimeoutSeconds", "HeartbeatSeconds"}
MAP = {
    "ItemProcessor", "ItemSelector", "MaxConcurrency", "ToleratedFailurePercentage", "ToleratedFailureCount", "Label",
}
# By type: fields in either language, fields of JSONPath alone, fields of JSONata alone.
FIELDS = {
    "Pass": (FLOW, PATHS | {"Result"}, {"Output", "Assign"}),
    "Task": (FLOW | ATTEMPTS | TIMES | {"Resource", "Credentials"}, PATHS | {"TimeoutSecondsPath"}, JSONATA),
    "Wait": (
        FLOW | {"Seconds", "Timestamp"}, {"InputPath", "OutputPath", "SecondsPath", "TimestampPath"}, {"Output", "Assign"},
    ),
    "Choice": ({"Choices", "Default"}, {"InputPath", "OutputPath"}, {"Output", "Assign"}),
    "Map": (FLOW | ATTEMPTS | MAP, PATHS | {"ItemsPath"}, {"Items", "Output", "Assign"}),
    "Succeed": (set(), {"InputPath", "OutputPath"}, {"Output"}),
    "Fail": ({"Error", "Cause"}, {"ErrorPath", "CausePath"}, set()),
}
RETRY = {"Comment", "ErrorEquals", "IntervalSeconds", "MaxAttempts", "BackoffRate", "MaxDelaySeconds", "JitterStrategy"}
CATCH = {"Comment", "ErrorEquals", "Next", "ResultPath", "Output", "Assign"}


def findings(machine, where, language):
    """Returns what is wrong in the states of one machine and of the machines inside it."""
    for name, state in machine["States"].items():
        here, own = f"{where}{name}", state.get("QueryLanguage", language)
        if state.get("Type") not in FIELDS:
            yield f"{here}: a state of type {state.get('Type')} is not expected here"
            continue
        both, paths, jsonata = FIELDS[state["Type"]]
        allowed = COMMON | both | (jsonata if own == "JSONata" else paths)
        yield from (f"{here}: {field} is no field of a {own} {state['Type']}" for field in state if field not in allowed)
        for kind, fields in (("Retry", RETRY), ("Catch", CATCH)):
            for entry in state.get(kind, []):
                yield from (f"{here}: {field} is no field of {kind}" for field in entry if field not in fields)
        if state["Type"] == "Task" and "Retry" not in state:
            yield f"{here}: a task without Retry"
        if "ItemProcessor" in state:
            yield from findings(state["ItemProcessor"], f"{here}/", language)


def main(path):
    machine = json.loads(Path(path).read_text())
    found = list(findings(machine, "", machine.get("QueryLanguage", "JSONPath")))
    print("\n".join(found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
