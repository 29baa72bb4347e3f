"""Two censuses of one series, one after the other, in the deployed stack."""

import pytest

from contract.layout import SeriesLayout
from embedded_aws.cloud.deploy import Outputs
from embedded_aws.cloud.instance import Cloud
from tests.local.runs import Run, Runs, small_census

SERIES = SeriesLayout("planted")


@pytest.fixture(scope="module")
def runs(cloud: Cloud, stack: Outputs) -> Runs:
    return Runs(cloud, stack)


@pytest.fixture(scope="module")
def both(runs: Runs) -> list[Run]:
    """Run a census, then the next one: two of its regions took the figures of another group."""
    first = small_census().decode().splitlines()
    moved = list(first)
    for row, donor in ((1, 2), (2, 3)):
        moved[row] = ",".join(first[row].split(",")[:3] + first[donor].split(",")[3:])
    ended = []
    for name, lines in (("planted/2012.csv", first), ("planted/2017.csv", moved)):
        run = runs.upload(name, ("\n".join(lines) + "\n").encode())
        assert runs.end(run)["status"] == "SUCCEEDED"
        ended.append(run)
    return ended


def test_the_first_run_has_no_predecessor(runs: Runs, both: list[Run]) -> None:
    assert "first run of the series 'planted'" in runs.read_json(both[0].files.changes)["reason"]


def test_the_second_run_finds_the_regions_that_moved(runs: Runs, both: list[Run]) -> None:
    changes = runs.read_json(both[1].files.changes)
    assert (changes["reason"], changes["previous_run_id"]) == (None, both[0].run_id)
    assert {mover["id"] for mover in changes["movers"] if mover["clear"]} == {"1001", "1002"}
    assert {segment["status"] for segment in changes["segments"]} == {"kept"}


def test_the_history_lists_both_and_latest_points_to_the_second(runs: Runs, both: list[Run]) -> None:
    history = runs.read_json(SERIES.history)
    assert [entry["run_id"] for entry in history["runs"]] == [run.run_id for run in both]
    assert [entry["vintage"] for entry in history["runs"]] == [2012, 2017]
    assert runs.read_json(SERIES.latest)["run_id"] == both[1].run_id
