"""Where ministack 1.5.33 departs from AWS in what the stack relies on, mended.

Each module mends one service; each function in it says what AWS does. All of it reaches into
ministack's private names, hence the exact pin, and the tests that fail loudly if those move.
"""

from __future__ import annotations

from pathlib import Path

from embedded_aws.cloud.processes import ForkHost
from embedded_aws.ministack import decisions, events, functions, metrics, object_events, objects, workflows


def apply(host: ForkHost, record: Path | None) -> None:
    """Mend ministack in this process.

    Parameters
    ----------
    host
        Forks functions' processes.
    record
        Where IAM's decisions are written, if anywhere.
    """
    if record is not None:
        decisions.record(record)
    functions.apply(host)
    workflows.apply()
    events.apply()
    object_events.apply()
    objects.apply()
    metrics.apply()
