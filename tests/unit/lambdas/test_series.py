"""Publish, for runs that follow one another in a series."""

import json
from typing import Any

import pytest

from contract.layout import LATEST, SeriesLayout
from tests.local.runs import small_census
from tests.unit.lambdas.conftest import Invoke
from tests.unit.lambdas.fake_aws import FakeAws
from tests.unit.lambdas.test_whole_run import GROUPS, RESULTS, ROWS, Stages

COUNTIES = SeriesLayout("counties")


class SeriesOfRuns:
    """Runs files of one series, one after the other."""

    def __init__(self, aws: FakeAws, invoke: Invoke) -> None:
        self.aws, self.invoke = aws, invoke

    def run(self, run_id: str, key: str, body: bytes | None = None) -> dict[str, Any]:
        """Run a file and return its changes.json."""
        stages = Stages(self.aws, self.invoke, run_id=run_id, key=key)
        stages.until_labeled(body)
        stages.publish()
        self.files = stages.files
        return self.read(stages.files.changes)

    def read(self, key: str) -> dict[str, Any]:
        return dict(json.loads(self.aws.objects[RESULTS, key]))


@pytest.fixture
def series(aws: FakeAws, invoke: Invoke) -> SeriesOfRuns:
    return SeriesOfRuns(aws, invoke)


def events(aws: FakeAws) -> list[str]:
    return [event["DetailType"] for event in aws.events]


class TestTheFirstRun:
    def test_it_says_that_it_is_the_first(self, series: SeriesOfRuns, aws: FakeAws) -> None:
        changes = series.run("one", "incoming/counties/2015.csv")
        assert changes["reason"] == "This is the first run of the series 'counties'."
        assert events(aws) == ["Census Segmented"]

    def test_it_begins_the_history(self, series: SeriesOfRuns) -> None:
        series.run("one", "incoming/counties/2015.csv")
        (entry,) = series.read(COUNTIES.history)["runs"]
        assert (entry["run_id"], entry["vintage"], entry["rows"]) == ("one", 2015, ROWS)
        assert [segment["number"] for segment in entry["segments"]] == list(range(GROUPS))
        assert series.read(COUNTIES.latest) == series.read(LATEST)

    def test_the_vintage_in_the_metadata_wins(self, series: SeriesOfRuns, aws: FakeAws) -> None:
        aws.options["incoming-bucket", "incoming/counties/2015.csv"] = {"Metadata": {"vintage": "2014"}}
        series.run("one", "incoming/counties/2015.csv")
        assert series.read(COUNTIES.history)["runs"][0]["vintage"] == 2014

    def test_another_folder_is_another_series(self, series: SeriesOfRuns) -> None:
        series.run("one", "incoming/counties/2015.csv")
        assert "first run" in series.run("two", "incoming/tracts/2016.csv")["reason"]
        assert "'default'" in series.run("three", "incoming/2016.csv")["reason"]


class TestTheSecondRun:
    def test_the_same_file_again_changed_nothing(self, series: SeriesOfRuns, aws: FakeAws) -> None:
        series.run("one", "incoming/counties/2015.csv")
        changes = series.run("two", "incoming/counties/2017.csv")
        assert (changes["reason"], changes["previous_run_id"]) == (None, "one")
        assert changes["verdict"] == "Nothing changed: every region is in the same segment as before."
        assert (changes["previous_vintage"], changes["vintage"]) == (2015, 2017)
        assert "share 3 of 5 years" in changes["warnings"][0]
        assert {segment["status"] for segment in changes["segments"]} == {"kept"}

    def test_consumers_are_told(self, series: SeriesOfRuns, aws: FakeAws) -> None:
        series.run("one", "incoming/counties/2015.csv")
        changes = series.run("two", "incoming/counties/2017.csv")
        assert events(aws) == ["Census Segmented", "Census Segmented", "Census Changed"]
        detail = json.loads(aws.events[-1]["Detail"])
        assert (detail["run_id"], detail["previous_run_id"], detail["series"]) == ("two", "one", "counties")
        assert detail["verdict"] == changes["verdict"]
        assert detail["changes"] == f"s3://{RESULTS}/{series.files.changes}"

    def test_a_publish_that_is_repeated_compares_with_the_same_run(
        self, series: SeriesOfRuns, aws: FakeAws, invoke: Invoke
    ) -> None:
        series.run("one", "incoming/counties/2015.csv")
        first = series.run("two", "incoming/counties/2017.csv")
        assert series.run("two", "incoming/counties/2017.csv") == first
        assert [run["run_id"] for run in series.read(COUNTIES.history)["runs"]] == ["one", "two"]


class TestAPredecessorThatCannotBeUsed:
    @pytest.mark.parametrize("lost", ["segments", "labeled_counties", "scaler"])
    def test_a_file_that_was_deleted_is_named_and_the_run_succeeds(
        self, series: SeriesOfRuns, aws: FakeAws, lost: str
    ) -> None:
        series.run("one", "incoming/counties/2015.csv")
        del aws.objects[RESULTS, getattr(series.files, lost)]
        changes = series.run("two", "incoming/counties/2017.csv")
        assert "previous run one were deleted" in changes["reason"]
        assert changes["agreement"] is None
        assert series.read(COUNTIES.latest)["run_id"] == "two"
        numbers = [segment["number"] for segment in series.read(COUNTIES.history)["runs"][1]["segments"]]
        assert numbers == list(range(GROUPS, 2 * GROUPS))

    def test_a_damaged_model_is_named(self, series: SeriesOfRuns, aws: FakeAws) -> None:
        series.run("one", "incoming/counties/2015.csv")
        aws.objects[RESULTS, f"{series.files.model('pca')}model.tar.gz"] = b"damaged"
        assert "ArtifactError" in series.run("two", "incoming/counties/2017.csv")["reason"]

    @pytest.mark.parametrize("content", [b"{", b"[]", b'{"series": "counties", "runs": [{}]}'])
    def test_a_damaged_history_starts_again(self, series: SeriesOfRuns, aws: FakeAws, content: bytes) -> None:
        aws.objects[RESULTS, COUNTIES.history] = content
        changes = series.run("one", "incoming/counties/2015.csv")
        assert "starts again with this run" in changes["reason"]
        assert [run["run_id"] for run in series.read(COUNTIES.history)["runs"]] == ["one"]

    def test_a_file_of_another_schema_is_not_compared(self, series: SeriesOfRuns) -> None:
        series.run("one", "incoming/counties/2015.csv")
        other = small_census(ROWS).replace(b"Measure", b"Figure")
        assert "has no feature of the previous run one" in series.run("two", "incoming/counties/b.csv", other)["reason"]

    def test_an_error_of_s3_that_is_no_missing_file_fails_the_run(self, series: SeriesOfRuns, aws: FakeAws) -> None:
        aws.refusals["GetObject", "series/"] = ("AccessDenied", "no")
        with pytest.raises(Exception, match="no") as refused:
            series.run("one", "incoming/counties/2015.csv")
        assert type(refused.value).__name__ == "AccessDenied"
