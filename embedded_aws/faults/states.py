"""Faults of states: an execution held in a state, put around the interpreter's note that the state was entered."""

from __future__ import annotations

from typing import Any

from embedded_aws.faults.spec import Faults
from embedded_aws.ministack import interpreter


def install(faults: Faults) -> None:
    """Let faults whose target is `State.<name>` strike; `@name` is looked for in the execution's ARN and input."""
    note = interpreter.add_event

    def add_event(execution: dict[str, Any], kind: str, details: dict[str, Any] | None = None) -> dict[str, Any]:
        noted = note(execution, kind, details)
        if details is not None and (entered := details.get("stateEnteredEventDetails")):
            whose = f"{execution['executionArn']} {execution['input']}"
            fault = faults.strike(f"State.{entered['name']}", whose)
            scope = interpreter.current_scope.get()
            if fault is not None and scope is not None:
                scope.sleep(fault.seconds)
        return noted

    interpreter.add_event = add_event
