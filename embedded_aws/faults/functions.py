"""Faults of functions' processes: killed, out of time or out of memory, in the middle of what they do.

``lambda.<function>[@text]:kill[=calls][*times]``, likewise ``timeout`` and ``oom``: once the function has made
so many calls to AWS (1 by default), and the last of them has been carried out, its process is killed
before it gets the answer. ``timeout`` is reported as if the function's time were up, without waiting.
``<function>`` is the end of its name: ``lambda.launch_training`` is ``census-segmentation-launch-training``; ``@text``
is looked for in its name and its event.
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
        """Return what the process adds to the user agent of its requests; None while there is no process."""

    def kill_process(self) -> None:
        """Kill the process, if there is one."""


@dataclass
class Strike:
    """A fault that waits for an invocation to have made its calls."""

    environment: Environment
    fault: Fault
    calls_left: int
    struck: bool = False


class FunctionFaults:
    """Which invocations are to be struck, and when."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._strikes: list[Strike] = []
        self._lock = threading.Lock()

    def arm(self, environment: Environment, event: Any) -> Strike | None:
        """Return the strike that an invocation which now begins is to suffer, if any."""
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
        """Forget a strike; one that had no occasion doesn't count."""
        with self._lock:
            self._strikes.remove(strike)
        if not strike.struck:
            strike.fault.struck -= 1
            if strike.fault.left is not None:
                strike.fault.left += 1

    def has_called(self, user_agent: str) -> None:
        """Note that a call has been carried out, and kill its caller if that was the last it may make."""
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
    """Yield the targets that name a function: its name, and every end of it, with - or _."""
    parts = function.split("-")
    for start in range(len(parts)):
        yield f"lambda.{'-'.join(parts[start:])}"
        yield f"lambda.{'_'.join(parts[start:])}"
