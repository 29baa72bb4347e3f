"""Brings the histories of both interpreters into one form, in which they can be compared."""

import json
import re
from collections.abc import Mapping
from typing import Any

from infra.definition import machines

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)")


def outcome(execution: Mapping[str, Any]) -> dict[str, Any]:
    """Return how an execution ended: status, error, cause, output."""
    found = {key: execution.get(key) for key in ("status", "error", "cause")}
    succeeded = execution["status"] == "SUCCEEDED"
    return {**found, "output": _data(execution["output"]) if succeeded else None}


def steps(execution: Mapping[str, Any], definition: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return what happened in the definition and in each of its branches: states entered and left, with their data.

    The branches of a Parallel state run at the same time, so only the order within each of them is defined. The states
    of a distributed map are in the histories of its child executions, and are left out here.
    """
    place = {name: machine["StartAt"] for machine in machines(definition) for name in machine["States"]}
    found: dict[str, list[Any]] = {start: [] for start in place.values()}
    for event in execution["events"]:
        for kind, key in (("entered", "stateEnteredEventDetails"), ("exited", "stateExitedEventDetails")):
            if key in event:
                name = event[key]["name"]
                found[place[name]].append((kind, name, _data(event[key]["input" if kind == "entered" else "output"])))
    return found


def inputs(execution: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return the inputs of each task's invocations by its state, except those of the maps' child executions."""
    return {
        state: [_data(json.dumps(each)) for each in given]
        for state, given in execution["inputs"].items()
        if not state.endswith("Shard")
    }


def _data(text: str) -> Any:
    return json.loads(_TIME.sub("a time", text))
