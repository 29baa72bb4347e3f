"""Measures the memory of a process and of all processes that it has started."""

from threading import Event, Thread

import psutil


class Memory:
    """The peak of the proportional set size of a process and all its descendants, in MB."""

    def __init__(self, pid: int) -> None:
        self.peak = 0.0
        self._process = psutil.Process(pid)
        self._stop = Event()
        self._thread = Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Memory":
        self.peak = self.now()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(2):
            self.peak = max(self.peak, self.now())

    def now(self) -> float:
        """Return the memory in use at this moment, in MB."""
        held = 0
        for process in [self._process, *self._process.children(recursive=True)]:
            try:
                held += process.memory_full_info().pss
            except (psutil.Error, OSError):  # the process has ended
                continue
        return held / 2**20
