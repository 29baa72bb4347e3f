"""Compares our process host with multiprocessing's forkserver by the time to start a function's process.

Both have loaded the same libraries (`embedded_aws.processes.server.PRELOADED`) before the first measured start. A start
lasts until the new process's id is known. Decision 27 quotes the result.
"""

import json
import multiprocessing
import os
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from statistics import median
from typing import Any

from embedded_aws.processes.client import ForkHost
from embedded_aws.processes.server import PRELOADED

STARTS = 40
_VARIABLES = {"LAMBDA_TASK_ROOT": "/tmp", "_HANDLER": "none.handler"}


def main() -> None:
    """Print the row as JSON, as ``make bench`` expects it."""
    os.environ |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOADED))

    def fork_server() -> None:
        ours, theirs = context.Pipe()
        process = context.Process(target=_say_id, args=(theirs,))
        process.start()
        ours.recv()
        process.join()

    began = time.perf_counter()
    fork_server()
    first = time.perf_counter() - began
    host = ForkHost()
    # The host loads its libraries between requests. It has loaded them after the time that the forkserver needed.
    time.sleep(first)

    def fork_host() -> None:
        process = host.start_environment(_VARIABLES, memory_mb=512)
        process.kill()
        process.wait()

    starts: list[tuple[float, float]] = [(_seconds(fork_host), _seconds(fork_server)) for _ in range(STARTS)]
    host.stop()
    seconds, reference = (median(column) for column in zip(*starts, strict=True))
    row: dict[str, Any] = {
        "name": "start a function's process",
        "reference": f"multiprocessing's forkserver (first start: {first:.1f} s)",
        "rows": STARTS,
        "seconds": seconds,
        "reference_seconds": reference,
        "ratio": reference / seconds,
    }
    print(json.dumps([row]))


def _say_id(connection: Connection) -> None:
    connection.send(os.getpid())


def _seconds(start: Callable[[], None]) -> float:
    began = time.perf_counter()
    start()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
