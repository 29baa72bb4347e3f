"""A hundred copies of the recorded run's file at once, and five hundred files in a minute: none is lost."""

import hashlib
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from embedded_aws.cloud.deploy import deploy
from embedded_aws.cloud.instance import Cloud
from local.synth import synth
from tests.local.memory import Memory
from tests.local.runs import Run, Runs, small_census
from tests.reference import CENSUS_2015, needs_census

COPIES, FILES = 100, 500
REFUSED_EVERY = 2
UPLOADS_AT_A_TIME = 16
WAITS_FOR = 6_000
# The runs in progress need more memory than one run; the files that wait need hardly any.
PEAK_RATIO = 2.0

pytestmark = pytest.mark.timeout(WAITS_FOR)


def dropped_at_once(runs: Runs, bodies: list[bytes]) -> list[Run]:
    """Upload the files from many threads and return their runs."""
    with ThreadPoolExecutor(UPLOADS_AT_A_TIME) as pool:
        return list(pool.map(lambda at: runs.upload(f"m{at:03}.csv", bodies[at]), range(len(bodies))))


def ended(runs: Runs, dropped: list[Run]) -> Counter[tuple[str, str]]:
    """Wait until all runs have ended; count their statuses and errors."""
    executions = [runs.end(run, WAITS_FOR) for run in dropped]
    return Counter((execution["status"], execution.get("error", "")) for execution in executions)


def labeled(file: bytes) -> str:
    """Digest all columns but the label by the previous run's model, which the first runs of a series do not have."""
    lines = file.decode().splitlines()
    assert lines[0].endswith(",previous_model_label")
    return hashlib.sha256("\n".join(line.rpartition(",")[0] for line in lines).encode()).hexdigest()


@needs_census
def test_a_hundred_copies_of_the_real_file_at_once_all_succeed_alike(
    tmp_path: Path, assembly: Path, record_property: Callable[[str, object], None]
) -> None:
    with Cloud.start(tmp_path / "cloud") as cloud:
        runs = Runs(cloud, deploy(cloud, assembly))
        with Memory(cloud.pid) as memory:
            began = time.monotonic()
            dropped = dropped_at_once(runs, [CENSUS_2015.read_bytes()] * COPIES)
            found = ended(runs, dropped)
            seconds = time.monotonic() - began
        record_property("seconds", round(seconds, 1))
        record_property("peak_memory_mb", round(memory.peak))
        print(f"{COPIES} real files at once: {seconds:.0f} s, {memory.peak:,.0f} MB at most; {dict(found)}")

        assert found == {("SUCCEEDED", ""): COPIES}
        assert len({labeled(runs.read(run.files.labeled_counties)) for run in dropped}) == 1
        assert runs.leftovers() == []
        assert runs.latest_run() in {run.run_id for run in dropped}


def test_of_five_hundred_files_none_is_lost_and_memory_stays_bounded(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Every other file is no census. As many files as may be in progress show how much memory is needed at least."""
    at_a_time = 4
    settings = {"inference": "function", "refine_restarts": 2, "stability_refits": 2, "max_concurrent_runs": at_a_time}
    good = small_census()
    bodies = [b"" if at % REFUSED_EVERY == 0 else good for at in range(FILES)]
    with Cloud.start(tmp_path / "cloud", wait_scale=0.01) as cloud:
        runs = Runs(cloud, deploy(cloud, synth(tmp_path / "out", {"segmentation": settings})))
        with Memory(cloud.pid) as few:
            ended(runs, [runs.upload(f"few{at}.csv", good) for at in range(at_a_time)])
        with Memory(cloud.pid) as memory:
            began = time.monotonic()
            dropped = dropped_at_once(runs, bodies)
            uploaded = time.monotonic() - began
            found = ended(runs, dropped)
            seconds = time.monotonic() - began
        record_property("seconds", round(seconds, 1))
        record_property("peak_memory_mb", round(memory.peak))
        print(
            f"{FILES} files, uploaded in {uploaded:.0f} s: {seconds:.0f} s, {memory.peak:,.0f} MB at most"
            f" ({few.peak:,.0f} MB with {at_a_time} files); {dict(found)}"
        )

        refused = FILES // REFUSED_EVERY
        assert found == {("SUCCEEDED", ""): FILES - refused, ("FAILED", "InvalidCensus"): refused}
        assert memory.peak < PEAK_RATIO * few.peak
        assert runs.is_queue_empty()
        assert runs.leftovers() == []
