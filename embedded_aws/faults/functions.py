"""Faults of functions' processes: the process is killed, times out or runs out of memory during an invocation.

``lambda.<function>[@text]:kill[=calls][*times]``, and likewise ``timeout`` and ``oom``, kills the function's process
after it has made ``calls`` calls to AWS (1 by default). The last call is carried out, but the function does not get the
response. ``timeout`` is reported as if the function had reached its time limit, without waiting for it.
``<function>`` is the end of the function's name: ``lambda.launch_training`` matches
``census-segmentation-launch-training``. ``@text`` must occur in the function's name or event, or in a message that it
receives from a queue, in which case the receiving call is the first one.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from embedded_aws.faults.spec import Fault, Faults

_KINDS = ("kill", "timeout", "oom")
_APP_ID = re.compile(r"\bapp/([0-9a-f]{32})\b")


class Environment(Protocol):
    """A function's execution environment."""

    func_name: str
    """The function's name."""

    @property
    def app_id(self) -> str | None:
        """Return the id in the user agent of the process's requests, or None if there is no process."""

    def kill_process(self) -> None:
        """Kill the process, if there is one."""


@dataclass
class Invocation:
    """An invocation in progress, and the fault that takes effect once it has made a number of calls."""

    environment: Environment
    fault: Fault | None = None
    calls_left: int = 0
    struck: bool = False

    def has_struck(self, kind: str) -> bool:
        """Return whether a fault of this kind has taken effect."""
        return self.struck and self.fault is not None and self.fault.kind == kind


class FunctionFaults:
    """Selects the invocations to which a fault applies, and kills their processes after the specified call."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._invocations: list[Invocation] = []
        self._lock = threading.Lock()

    def begin(self, environment: Environment, event: Any) -> Invocation:
        """Return the invocation that is about to begin, with the fault that applies to its event, if any."""
        invocation = Invocation(environment)
        self._select(invocation, json.dumps(event, default=str))
        with self._lock:
            self._invocations.append(invocation)
        return invocation

    def end(self, invocation: Invocation) -> None:
        """Forget an invocation that has ended; if its fault did not take effect, it does not count."""
        with self._lock:
            self._invocations.remove(invocation)
        fault = invocation.fault
        if fault is not None and not invocation.struck:
            fault.struck -= 1
            if fault.left is not None:
                fault.left += 1

    def has_called(self, user_agent: str, received: str = "") -> None:
        """Count a call that was carried out, and kill the calling process if it was the last one allowed.

        Parameters
        ----------
        received
            The response, if the call received messages from a queue.
        """
        if not self._invocations or not (found := _APP_ID.search(user_agent)):
            return
        with self._lock:
            calling = [each for each in self._invocations if each.environment.app_id == found[1]]
        for invocation in calling:
            if received and invocation.fault is None:
                self._select(invocation, received)
            invocation.calls_left -= 1
            if invocation.fault is not None and invocation.calls_left == 0:
                invocation.struck = True
                invocation.environment.kill_process()

    def _select(self, invocation: Invocation, text: str) -> None:
        """Select the fault that applies to a function's event or to a message that it has received, if any."""
        name = invocation.environment.func_name
        for target in _targets(name):
            fault = self._faults.strike(target, f"{name} {text}", *_KINDS)
            if fault is not None:
                invocation.fault, invocation.calls_left = fault, int(fault.value or 1)
                return


def _targets(function: str) -> Iterator[str]:
    """Yield the targets that match a function: its name, and each part of it that follows a hyphen."""
    parts = function.split("-")
    for start in range(len(parts)):
        yield f"lambda.{'-'.join(parts[start:])}"
        yield f"lambda.{'_'.join(parts[start:])}"
