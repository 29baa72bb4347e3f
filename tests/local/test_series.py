"""Two censuses of one series, one after the other, in the deployed stack."""

import csv
import io
import random

import pytest

from contract.layout import SeriesLayout
from embedded_aws.cloud.deploy import Outputs
from embedded_aws.cloud.instance import Cloud
from tests.local.runs import Run, Runs, small_census
from tests.reference import CENSUS_2015, needs_census

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


def finished(runs: Runs, run: Run) -> Run:
    assert runs.end(run)["status"] == "SUCCEEDED"
    return run


def labeled(runs: Runs, run: Run) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(runs.read(run.files.labeled_counties).decode(), newline="")))


def test_labels_are_the_numbers_of_the_series_and_the_previous_model_labels_every_row(
    runs: Runs, both: list[Run]
) -> None:
    first, second = ({row["CensusId"]: row for row in labeled(runs, run)} for run in both)
    moved = {key for key in first if first[key]["label"] != second[key]["label"]}
    assert moved == {"1001", "1002"}
    assert all(row["previous_model_label"] == row["label"] for row in second.values())
    assert {row["previous_model_label"] for row in first.values()} == {""}


@pytest.fixture(scope="module")
def trained(runs: Runs) -> Run:
    return finished(runs, runs.upload("applied/2012.csv"))


@pytest.fixture(scope="module")
def applied(runs: Runs, trained: Run) -> Run:
    return finished(runs, runs.upload("applied/2017.csv", mode="apply"))


class TestTheModelOfThePreviousRun:
    def test_labels_every_row_of_the_same_file_bit_for_bit_alike(self, runs: Runs, trained: Run, applied: Run) -> None:
        rows = [{**row, "previous_model_label": ""} for row in labeled(runs, applied)]
        assert rows == labeled(runs, trained)

    def test_is_applied_without_training_and_hosting(self, runs: Runs, trained: Run, applied: Run) -> None:
        assert len(runs.training_jobs(trained)) == 2
        assert runs.training_jobs(applied) == {}
        assert not [name for name in runs.entered(applied) if "Launch" in name or "TearDown" in name]
        manifest = runs.read_json(applied.files.manifest)
        assert (manifest["applied_run_id"], manifest["billable_training_seconds"]) == (trained.run_id, 0)

    def test_is_the_one_that_the_next_run_is_compared_with(self, runs: Runs, trained: Run, applied: Run) -> None:
        assert runs.read_json(applied.files.changes)["verdict"].startswith("Nothing changed")
        entries = runs.read_json(SeriesLayout("applied").history)["runs"]
        assert [entry["run_id"] for entry in entries] == [trained.run_id, applied.run_id]

    def test_is_missed_by_a_first_run_which_is_refused(self, runs: Runs) -> None:
        ended = runs.end(runs.upload("unknown/2017.csv", mode="apply"))
        assert (ended["status"], ended["error"]) == ("FAILED", "InvalidCensus")
        assert "first run of the series 'unknown'" in ended["cause"]


@needs_census
def test_the_same_file_shuffled_and_under_another_key_has_not_changed(runs: Runs) -> None:
    header, *lines = CENSUS_2015.read_text().splitlines()
    random.Random(4).shuffle(lines)
    finished(runs, runs.upload("same/first.csv", CENSUS_2015.read_bytes()))
    again = finished(runs, runs.upload("same/second.csv", "\n".join([header, *lines, ""]).encode()))
    changes = runs.read_json(again.files.changes)
    assert changes["reason"] is None
    assert changes["verdict"].startswith("Nothing changed")
    assert changes["verdict"] in runs.read(again.files.report).decode()
    assert changes["agreement"]["adjusted_rand"] >= changes["agreement"]["baseline"]
    assert changes["agreement"]["moved_places"] == 0
    assert {segment["status"] for segment in changes["segments"]} == {"kept"}
