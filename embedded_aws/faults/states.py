"""Faults of state machines' states: an execution is delayed in a state."""

from __future__ import annotations

from typing import Any

from embedded_aws.faults.spec import Faults


def seconds_held(faults: Faults, state: str, execution: dict[str, Any]) -> float:
    """Return for how many seconds an execution is delayed in a state that it has entered.

    The target of such a fault is ``State.<name>``; its ``@name`` must occur in the execution's ARN or input.
    """
    fault = faults.strike(f"State.{state}", f"{execution['executionArn']} {execution['input']}")
    return fault.seconds if fault is not None else 0.0
