"""Run the scenarios in the embedded AWS's interpreter: ``python -m tests.interpreter.ours TABLE HISTORIES``.

The interpreter is the one of :mod:`embedded_aws.ministack`; only the innermost step, the call of a function or of
SageMaker, is replaced by the scenario's responses.
"""

import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

from ministack.services import stepfunctions as sfn

from embedded_aws.ministack import executions, states_language
from embedded_aws.ministack.interpreter import current_scope

_ROLE = "arn:aws:iam::000000000000:role/machine"


class Script:
    """Plays the responses of all scenarios, and keeps the input of each task."""

    def __init__(self, scenarios: dict[str, Any]) -> None:
        self._left = {name: {state: list(each) for state, each in given.items()} for name, given in scenarios.items()}
        self._lock = threading.Lock()
        self.inputs: dict[str, dict[str, list[Any]]] = {name: {} for name in scenarios}

    def invoke(self, _resource: str, given: Any) -> Any:
        """Return the next response of the current state."""
        scope = current_scope.get()
        assert scope is not None
        state = scope.run.progress[scope.path].state
        execution = scope.run.execution
        while (parent := execution.get("mapRunArn")) is not None:
            execution = sfn._executions[sfn._map_runs[parent]["executionArn"]]
        with self._lock:
            self.inputs[execution["name"]].setdefault(state, []).append(given)
            left = self._left[execution["name"]][state]
            response = left.pop(0) if len(left) > 1 else left[0]
        if "Throw" in response:
            raise sfn._ExecutionError(response["Throw"]["Error"], response["Throw"]["Cause"])
        return response["Return"]


def main(table: Path, histories: Path) -> None:
    """Read the table of scenarios, run each as one execution, and write their histories."""
    given = json.loads(table.read_text())
    executions.apply()
    states_language.apply()
    script = Script(given["scenarios"])
    sfn._invoke_resource = script.invoke
    sfn._s3_object_text = lambda _bucket, _key: json.dumps(given["shards"])
    sfn._SFN_WAIT_SCALE = 0.0
    machine = {"name": "census", "definition": json.dumps(given["definition"]), "roleArn": _ROLE}
    arn = json.loads(sfn._create_state_machine(machine)[2])["stateMachineArn"]
    found: dict[str, Any] = {}
    for name in given["scenarios"]:
        request = {"stateMachineArn": arn, "name": name, "input": json.dumps(given["input"])}
        started = json.loads(sfn._start_execution(request)[2])["executionArn"]
        execution = sfn._executions[started]
        while execution["status"] == "RUNNING":
            time.sleep(0.005)
        keys = ("status", "error", "cause", "output", "events")
        found[name] = {key: execution.get(key) for key in keys} | {"inputs": script.inputs[name]}
    histories.write_text(json.dumps(found))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
