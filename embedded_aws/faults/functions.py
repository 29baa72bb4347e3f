"""Faults of functions' processes: the process is killed, times out or runs out of memory during an invocation.

``lambda.<function>[@text]:kill[=calls][*times]``, and likewise ``timeout`` and ``oom``, kills the function's process
after it has made ``calls`` calls to AWS (1 by default). The last call is carried out, but the function does not get the
response. ``timeout`` is reported as if the function had reached its time limit, without waiting for it.
``<function>`` is the end of the function's name: ``lambda.launch_training`` matches
``census-segmentation-launch-training``. ``@text`` must occur in the function's name or event.
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
class Strike:
    """A fault that takes effect once an invocation has made a number of calls."""

    environment: Environment
    fault: Fault
    calls_left: int
    struck: bool = False


class FunctionFaults:
    """Selects the invocations to which a fault applies, and kills their processes after the specified call."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._strikes: list[Strike] = []
        self._lock = threading.Lock()

    def arm(self, environment: Environment, event: Any) -> Strike | None:
        """Return the strike that applies to an invocation that is about to begin, if any."""
        invocation = f"{environment.func_name} {json.dumps(event, default=str)}"
        for target in _targets(environment.func_name):
            fault = self._faults.strike(target, invocation, *_KINDS)
            if fault is not None:
                strike = Strike(environment, fault, int(fault.value or 1))
                with self._lock:
                    self._strikes.append(strike)
                return strike
        return None

    def disarm(self, strike: Strike) -> None:
        """Remove a strike at the end of its invocation; if it did not take effect, it does not count."""
        with self._lock:
            self._strikes.remove(strike)
        if not strike.struck:
            strike.fault.struck -= 1
            if strike.fault.left is not None:
                strike.fault.left += 1

    def has_called(self, user_agent: str) -> None:
        """Count a call that was carried out, and kill the calling process if it was the last one allowed."""
        if not self._strikes or not (found := _APP_ID.search(user_agent)):
            return
        with self._lock:
            strikes = [each for each in self._strikes if each.environment.app_id == found[1]]
        for strike in strikes:
            strike.calls_left -= 1
            if strike.calls_left == 0:
                strike.struck = True
                strike.environment.kill_process()


def _targets(function: str) -> Iterator[str]:
    """Yield the targets that match a function: its name, and each part of it that follows a hyphen."""
    parts = function.split("-")
    for start in range(len(parts)):
        yield f"lambda.{'-'.join(parts[start:])}"
        yield f"lambda.{'_'.join(parts[start:])}"
