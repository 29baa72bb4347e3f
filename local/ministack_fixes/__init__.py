"""Where ministack 1.5.33 departs from AWS in what the stack relies on, mended.

Each module mends one service; each function in it says what AWS does. All of it reaches into
ministack's private names, hence the exact pin, and the tests that fail loudly if those move.
"""

from __future__ import annotations

from local.function_processes import FunctionHost
from local.ministack_fixes import events, functions, object_events, workflows


def apply(host: FunctionHost) -> None:
    """Mend ministack in this process; functions' processes are forked by ``host``."""
    functions.apply(host)
    workflows.apply()
    events.apply()
    object_events.apply()
