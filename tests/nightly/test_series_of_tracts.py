"""Census tracts, made from counties by splitting, as a series: the same file twice, with few and with many rows."""

import csv
import io
from dataclasses import dataclass
from typing import Any

import pytest

from embedded_aws.cloud.deploy import Outputs
from embedded_aws.cloud.instance import Cloud
from local import synthetic_census as sample
from local.follow import Follower
from tests.local.runs import Run, Runs

FEW, MANY = 25_000, 100_000  # runs with more rows are not compared
WAITS_FOR = 3_000
# Four times the rows may take four times as long; twice that is the noise of a busy machine. Quadratic growth: 16.
LINEAR = 2 * MANY / FEW
# A step that takes a smaller part of the smaller run than this is compared with this part instead.
SMALLEST_SHARE = 0.05

pytestmark = pytest.mark.timeout(2 * WAITS_FOR)


@dataclass(frozen=True)
class Second:
    """The second run of a series: what it published, and the seconds of each step."""

    runs: Runs
    run: Run
    file: bytes
    seconds: dict[str, float]

    def changes(self) -> dict[str, Any]:
        """Return changes.json."""
        return dict(self.runs.read_json(self.run.files.changes))

    def rows(self) -> list[dict[str, str]]:
        """Return the rows of labeled_counties.csv."""
        return list(csv.DictReader(io.StringIO(self.runs.read(self.run.files.labeled_counties).decode())))


@pytest.fixture(scope="module")
def seconds(cloud: Cloud, stack: Outputs) -> dict[int, Second]:
    """Run each file twice in a series of its own; give the second run of each, by number of rows."""
    runs = Runs(cloud, stack)
    found = {}
    for rows in (FEW, MANY):
        body = b"".join(sample.stream(rows))
        for year in (2012, 2017):
            run = runs.upload(f"tracts-{rows}/{year}.csv", body)
            assert runs.end(run, WAITS_FOR)["status"] == "SUCCEEDED"
        ended = Follower(cloud.client("stepfunctions"), run.execution_arn).watch(lambda _: None)
        taken = {step.name: step.ended - step.started for step in ended.steps if step.ended is not None}
        found[rows] = Second(runs, run, body, taken)
    return found


@pytest.mark.parametrize("rows", [FEW, MANY])
def test_the_same_tracts_again_are_aligned_and_none_moved(seconds: dict[int, Second], rows: int) -> None:
    changes = seconds[rows].changes()
    assert changes["reason"] is None
    assert changes["verdict"] == "Nothing changed: every region is in the same segment as before."
    assert {segment["status"] for segment in changes["segments"]} == {"kept"}
    complete = len(seconds[rows].rows())
    assert complete > 0.99 * rows
    assert changes["regions"]["compared"] == complete
    assert all(row["label"] == row["previous_model_label"] for row in seconds[rows].rows())


def test_ids_come_through_as_they_are_in_the_file(seconds: dict[int, Second]) -> None:
    read = csv.DictReader(io.StringIO(seconds[FEW].file.decode()))
    id_column = (read.fieldnames or [""])[0]
    complete = [row[id_column] for row in read if all(row.values())]
    published = seconds[FEW].rows()
    assert [next(iter(row.values())) for row in published] == complete
    assert len(set(complete)) == len(complete)


def test_the_report_has_no_map_and_says_why(seconds: dict[int, Second]) -> None:
    report = seconds[FEW].runs.read(seconds[FEW].run.files.report).decode()
    assert "No map: it knows US counties by their five-digit FIPS codes" in report
    assert 'id="topology"' not in report
    assert '<section id="changes"' in report


def test_no_step_grows_worse_than_linearly(seconds: dict[int, Second]) -> None:
    few, many = seconds[FEW].seconds, seconds[MANY].seconds
    least = SMALLEST_SHARE * sum(few.values())
    growth = {name: many[name] / max(few[name], least) for name in few}
    print(
        f"{MANY:,} rows take so many times as long as {FEW:,}:", {name: round(each, 2) for name, each in growth.items()}
    )
    assert set(many) == set(few)
    assert max(growth.values()) < LINEAR
