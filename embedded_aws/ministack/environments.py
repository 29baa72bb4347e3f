"""Limits how many execution environments of functions exist, and how long idle ones are kept."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from ministack.core import lambda_runtime
from ministack.services import lambda_svc

LIMIT = 24
"""Largest number of environments of all functions together; each uses some tens of megabytes."""
_CHECKS_PER_IDLE_TIME = 4


def apply(idle_seconds: float) -> None:
    """Keep at most :data:`LIMIT` environments, and end each that was idle for ``idle_seconds``.

    An invocation that finds all environments busy waits for one. An environment is busy for at most its function's
    timeout, so the wait ends even if the busy functions themselves wait for other functions.
    """
    environments = Environments()
    lambda_svc.acquire_worker = environments.acquire
    lambda_svc.release_worker = environments.release
    # ministack's own reaper never ends a function's last idle environment.
    lambda_svc.reap_idle_workers = lambda: 0
    threading.Thread(
        target=environments.end_idle_forever, args=(idle_seconds,), daemon=True, name="idle-environments"
    ).start()


class Environments:
    """The execution environments of all functions."""

    def __init__(self) -> None:
        self._free = threading.Semaphore(LIMIT)

    def acquire(self, *function: Any, **options: Any) -> tuple[Any, str]:
        """Return an environment for an invocation of a function, and how it was found.

        The parameters are those of ``lambda_runtime.acquire_worker``.
        """
        self._free.acquire()
        try:
            found: tuple[Any, str] = lambda_runtime.acquire_worker(*function, **options)
        except BaseException:
            self._free.release()
            raise
        # The new environment starts its process only when it is invoked.
        lambda_runtime.kill_workers(_remove_idle(lambda idle: idle[: max(0, _count() - LIMIT)]))
        return found

    def release(self, environment: Any) -> None:
        """Return an environment to its pool; None means that the environment failed and was ended."""
        if environment is not None:
            environment.last_used = time.time()
        lambda_runtime.release_worker(environment)
        self._free.release()

    @staticmethod
    def end_idle_forever(idle_seconds: float) -> None:
        """End environments that were idle for ``idle_seconds``; never return."""
        while True:
            time.sleep(idle_seconds / _CHECKS_PER_IDLE_TIME)
            lambda_runtime.kill_workers(_remove_idle(partial(_unused_since, time.time() - idle_seconds)))


def _unused_since(moment: float, idle: list[Any]) -> list[Any]:
    return [each for each in idle if each.last_used < moment]


def _count() -> int:
    return sum(len(pool) for pool in list(lambda_runtime._workers.values()))


def _remove_idle(choose: Callable[[list[Any]], list[Any]]) -> list[Any]:
    """Remove the idle environments that ``choose`` selects, given least recently used first, from their pools."""
    with lambda_runtime._lock:
        pools = lambda_runtime._workers
        idle = [each for pool in pools.values() for each in pool if not each.in_use]
        chosen = choose(sorted(idle, key=lambda each: each.last_used))
        for name, pool in list(pools.items()):
            pool[:] = [each for each in pool if each not in chosen]
            if not pool:
                del pools[name]
    return chosen
