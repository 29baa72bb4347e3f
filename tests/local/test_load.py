"""Twenty-five CSVs at once in an account with small quotas: every run succeeds in its turn, and nothing is left."""

import itertools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from embedded_aws.cloud.deploy import Outputs
from embedded_aws.cloud.instance import Cloud
from infra.settings import Settings
from tests.local.memory import Memory
from tests.local.runs import Runs, small_census

CSVS = 25
QUOTAS = ("Endpoint:quota=2", "TrainingJob:quota=1")


@pytest.fixture(scope="module")
def runs(cloud: Cloud, stack: Outputs) -> Runs:
    return Runs(cloud, stack)


def most_at_a_time(executions: list[dict[str, Any]]) -> int:
    """Return the largest number of executions that were in progress at the same time."""
    changes = [(each["startDate"], 1) for each in executions] + [(each["stopDate"], -1) for each in executions]
    running = list(itertools.accumulate(change for _, change in sorted(changes)))
    return max(running)


@pytest.mark.timeout(600)
def test_twenty_five_csvs_at_once_all_succeed_under_small_quotas(
    runs: Runs, record_property: Callable[[str, object], None]
) -> None:
    rows = {number: 40 + 8 * number for number in range(CSVS)}
    bodies = {number: small_census(rows=rows[number], seed=number) for number in range(CSVS)}
    before = set(runs.leftovers())
    runs.add_faults(*QUOTAS)

    with Memory(runs.cloud.pid) as memory:
        began = time.monotonic()
        with ThreadPoolExecutor(CSVS) as pool:
            dropped = list(pool.map(lambda number: runs.upload(f"load{number:02}.csv", bodies[number]), range(CSVS)))
        with ThreadPoolExecutor(4) as pool:
            ended = list(pool.map(lambda run: runs.end(run, 550), dropped))
        seconds = time.monotonic() - began

    quota_refusals = {fault["target"]: fault["struck"] for fault in runs.faults_on("") if fault["fault"] == "quota"}
    runs.clear_faults()

    assert [execution["status"] for execution in ended] == ["SUCCEEDED"] * CSVS
    assert most_at_a_time(ended) == Settings().max_concurrent_runs
    # Two runs at a time have at most two endpoints, but one of them may have to wait for the only training instance.
    assert quota_refusals["TrainingJob"] > 0
    waiting = [run for run in dropped if any(state.startswith("WaitForRoomFor") for state in runs.entered(run))]
    assert waiting
    for number, run in enumerate(dropped):
        assert runs.has_correct_labels(run, rows[number]), run.run_id
    assert set(runs.leftovers()) == before
    assert runs.read_json("latest.json")["run_id"] in {run.run_id for run in dropped}
    record_property("seconds", round(seconds, 1))
    record_property("peak_memory_mb", round(memory.peak))
    print(
        f"{CSVS} CSVs at once: {seconds:.1f} s, {memory.peak:,.0f} MB at most; {len(waiting)} runs waited for room,"
        f" refused {quota_refusals}"
    )
