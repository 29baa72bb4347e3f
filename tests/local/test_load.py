"""Twenty-five CSVs at once: 25 runs, each with its own correct result, and no resource left."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Thread

import psutil
import pytest

from embedded_aws.cloud.deploy import Outputs
from embedded_aws.cloud.instance import Cloud
from tests.local.runs import Runs, small_census

CSVS = 25


class Memory:
    """The peak of the proportional set size of a process and all its descendants, in MB."""

    def __init__(self, pid: int) -> None:
        self.peak = 0.0
        self._process = psutil.Process(pid)
        self._stop = Event()
        self._thread = Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Memory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(2):
            self.peak = max(self.peak, self._now())

    def _now(self) -> float:
        held = 0
        for process in [self._process, *self._process.children(recursive=True)]:
            try:
                held += process.memory_full_info().pss
            except (psutil.Error, OSError):  # it has ended meanwhile
                continue
        return held / 2**20


@pytest.fixture(scope="module")
def runs(cloud: Cloud, stack: Outputs) -> Runs:
    return Runs(cloud, stack)


@pytest.mark.timeout(400)
def test_twenty_five_csvs_at_once_all_succeed(runs: Runs, record_property: Callable[[str, object], None]) -> None:
    rows = {number: 40 + 8 * number for number in range(CSVS)}
    bodies = {number: small_census(rows=rows[number], seed=number) for number in range(CSVS)}
    before = set(runs.leftovers())

    with Memory(runs.cloud.pid) as memory:
        began = time.monotonic()
        with ThreadPoolExecutor(CSVS) as pool:
            dropped = list(pool.map(lambda number: runs.upload(f"load{number:02}.csv", bodies[number]), range(CSVS)))
        with ThreadPoolExecutor(4) as pool:
            ended = list(pool.map(lambda run: runs.end(run, 350), dropped))
        seconds = time.monotonic() - began

    assert [execution["status"] for execution in ended] == ["SUCCEEDED"] * CSVS
    for number, run in enumerate(dropped):
        assert runs.has_correct_labels(run, rows[number]), run.run_id
    assert set(runs.leftovers()) == before
    assert runs.read_json("latest.json")["run_id"] in {run.run_id for run in dropped}
    record_property("seconds", round(seconds, 1))
    record_property("peak_memory_mb", round(memory.peak))
    print(f"{CSVS} CSVs at once: {seconds:.1f} s, {memory.peak:,.0f} MB at most")
