"""Publish, for runs that follow one another in a series."""

import csv
import io
import json
import os
from collections.abc import Callable
from typing import Any, cast

import pytest

from contract.layout import LATEST, RunLayout, SeriesLayout
from contract.run_settings import VARIABLE
from jobs.segments.explain import explain_county, features_of, read_counties
from jobs.segments.scaling import Scaling
from lambdas.support import runtime
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

    def rows(self) -> list[dict[str, str]]:
        """Return the rows of the last run's labeled_counties.csv."""
        return list(csv.DictReader(io.StringIO(self.aws.objects[RESULTS, self.files.labeled_counties].decode())))

    def labels(self) -> set[str]:
        return {row["label"] for row in self.rows()}

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


class TestNumbers:
    """The centroids are in canonical order; a group that moves to the end of that order keeps its number."""

    @pytest.fixture
    def moved(self, series: SeriesOfRuns) -> SeriesOfRuns:
        """Two runs; in the second one, every county of group 0 lies halfway between all other groups."""
        series.run("one", "incoming/counties/2015.csv")
        self.before = {row["CensusId"]: row["label"] for row in series.rows()}
        header, *lines = small_census(ROWS).decode().splitlines()
        halfway = [str(50 * (number + 1)) for number in range(6)]
        later = [",".join([*line.split(",")[:3], *halfway]) if "Group 0" in line else line for line in lines]
        self.changes = series.run("two", "incoming/counties/2017.csv", "\n".join([header, *later, ""]).encode())
        return series

    def test_a_segment_that_stays_keeps_its_number_and_a_new_one_takes_an_unused_one(self, moved: SeriesOfRuns) -> None:
        (vanished,) = {label for key, label in self.before.items() if (int(key) - 1001) % GROUPS == 0}
        for row in moved.rows():
            expected = str(GROUPS) if "Group 0" in row["County"] else self.before[row["CensusId"]]
            assert row["label"] == expected
        statuses = {segment["number"]: segment["status"] for segment in self.changes["segments"]}
        assert (statuses[GROUPS], statuses[int(vanished)]) == ("new", "vanished")
        assert moved.read(COUNTIES.history)["next_number"] == GROUPS + 1

    def test_every_file_calls_a_segment_by_its_number(self, moved: SeriesOfRuns) -> None:
        segments = moved.read(moved.files.segments)["segments"]
        assert [segment["centroid"] for segment in segments] == list(range(GROUPS))
        assert [segment["label"] for segment in segments] != list(range(GROUPS))
        by_label = {str(segment["label"]): segment for segment in segments}
        for label, segment in by_label.items():
            own = [row for row in moved.rows() if row["label"] == label]
            assert segment["size"] == len(own)
            assert {row["segment"] for row in own} == {segment["name"]}
            assert {place["id"] for place in segment["typical"]} <= {row["CensusId"] for row in own}
        assert {row["runner_up"] for row in moved.rows()} <= set(by_label)
        assert {str(segment["closest_segment"]) for segment in segments} <= set(by_label)

    def test_the_report_counts_each_segments_own_rows(self, moved: SeriesOfRuns) -> None:
        page = moved.aws.objects[RESULTS, moved.files.report].decode()
        data = json.loads(page.partition('id="data">')[2].partition("</script>")[0])
        sizes = {segment["label"]: segment["size"] for segment in moved.read(moved.files.segments)["segments"]}
        for histogram in data["histograms"]:
            assert {each["label"]: sum(each["rows"]) for each in histogram["segments"]} == sizes
        assert data["rows"]["label"] == [int(row["label"]) for row in moved.rows()]
        assert data["rows"]["runnerUp"] == [int(row["runner_up"]) for row in moved.rows()]

    def test_a_county_is_explained_by_its_own_segment(self, moved: SeriesOfRuns) -> None:
        counties = read_counties(moved.aws.objects[RESULTS, moved.files.labeled_counties].decode())
        scaling = Scaling.from_json(moved.aws.objects[RESULTS, moved.files.scaler])
        shard = moved.aws.objects[RESULTS, moved.files.train_part("part-00000")]
        explained = explain_county(
            counties[0], features_of(0, scaling, [shard]), cast("Any", moved.read(moved.files.segments))
        )
        assert explained.county.label == GROUPS
        assert explained.distance == pytest.approx(counties[0].distance, abs=1e-3)

    def test_a_number_is_never_used_again(self, moved: SeriesOfRuns, aws: FakeAws) -> None:
        series = moved
        aws.objects[RESULTS, series.files.segments] = b"{"
        series.run("three", "incoming/counties/2018.csv")
        assert series.labels() == {str(number) for number in range(GROUPS + 1, 2 * GROUPS + 1)}


class TestThePreviousModelsView:
    def test_the_first_run_has_none(self, series: SeriesOfRuns) -> None:
        series.run("one", "incoming/counties/2015.csv")
        assert {row["previous_model_label"] for row in series.rows()} == {""}

    def test_the_same_file_is_seen_as_it_was_labeled(self, series: SeriesOfRuns) -> None:
        series.run("one", "incoming/counties/2015.csv")
        before = [row["label"] for row in series.rows()]
        series.run("two", "incoming/counties/2017.csv")
        assert [row["previous_model_label"] for row in series.rows()] == before

    def test_a_file_that_lacks_a_feature_has_none(self, series: SeriesOfRuns) -> None:
        series.run("one", "incoming/counties/2015.csv")
        fewer = "\n".join(line.rpartition(",")[0] for line in small_census(ROWS).decode().splitlines())
        changes = series.run("two", "incoming/counties/2017.csv", f"{fewer}\n".encode())
        assert changes["columns"]["missing"] == ["Measure5"]
        assert {row["previous_model_label"] for row in series.rows()} == {""}


class TestTheRunToAlignWith:
    @pytest.fixture
    def set_to(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
        def change(align_to: str) -> None:
            given = {**json.loads(os.environ[VARIABLE]), "align_to": align_to}
            monkeypatch.setenv(VARIABLE, json.dumps(given))
            runtime.settings.cache_clear()

        return change

    def test_none_compares_with_no_run_and_labels_like_a_first_run(
        self, series: SeriesOfRuns, set_to: Callable[[str], None]
    ) -> None:
        series.run("one", "incoming/counties/2015.csv")
        set_to("none")
        changes = series.run("two", "incoming/counties/2017.csv")
        assert changes["reason"] == "The setting align_to is 'none', so the run is not compared."
        assert series.labels() == {str(number) for number in range(GROUPS)}

    def test_a_run_can_be_named(self, series: SeriesOfRuns, set_to: Callable[[str], None]) -> None:
        series.run("one", "incoming/counties/2015.csv")
        series.run("two", "incoming/counties/2016.csv")
        set_to("one")
        assert series.run("three", "incoming/counties/2017.csv")["previous_run_id"] == "one"

    def test_an_unknown_run_is_named_and_the_segments_are_new(
        self, series: SeriesOfRuns, set_to: Callable[[str], None]
    ) -> None:
        series.run("one", "incoming/counties/2015.csv")
        set_to("other")
        changes = series.run("two", "incoming/counties/2017.csv")
        assert "'other', which is no successful run of the series 'counties'" in changes["reason"]
        assert series.labels() == {str(number) for number in range(GROUPS, 2 * GROUPS)}


class TestApply:
    KEY = "incoming/counties/2017.csv"

    def apply(self, series: SeriesOfRuns, run_id: str, body: bytes | None = None, mode: str = "apply") -> Stages:
        series.aws.options["incoming-bucket", self.KEY] = {"Metadata": {"mode": mode}}
        stages = Stages(series.aws, series.invoke, run_id=run_id, key=self.KEY)
        stages.apply(body)
        series.files = stages.files
        return stages

    @pytest.fixture
    def trained(self, series: SeriesOfRuns) -> SeriesOfRuns:
        series.run("one", "incoming/counties/2015.csv")
        return series

    def test_the_same_file_gets_the_same_rows_bit_for_bit(self, trained: SeriesOfRuns) -> None:
        before = trained.rows()
        self.apply(trained, "two")
        shown = [{**row, "previous_model_label": ""} for row in trained.rows()]
        assert shown == before
        assert [row["previous_model_label"] for row in trained.rows()] == [row["label"] for row in before]

    def test_the_documents_say_whose_model_it_was(self, trained: SeriesOfRuns) -> None:
        before = trained.read(trained.files.segments)
        self.apply(trained, "two")
        manifest, segments = (trained.read(key) for key in (trained.files.manifest, trained.files.segments))
        assert (manifest["applied_run_id"], manifest["training_jobs"], manifest["endpoints"]) == ("one", [], [])
        assert segments["segments"] == before["segments"]
        changes = trained.read(trained.files.changes)
        assert changes["verdict"].startswith("Nothing changed")
        assert {segment["distance"] for segment in changes["segments"]} == {0.0}
        entries = trained.read(COUNTIES.history)["runs"]
        assert entries[1]["models"] == entries[0]["models"]

    def test_a_row_of_another_file_is_labeled_by_the_old_ranges(self, trained: SeriesOfRuns) -> None:
        labels = {row["CensusId"]: row["label"] for row in trained.rows()}
        header, *lines = small_census(ROWS).decode().splitlines()
        few = [line for line in lines if "Group 0" in line or "Group 5" in line]
        added = [f"{line},{number}" for number, line in enumerate(few)]
        body = "\n".join([f"{header},Added", *added, ""])
        varying = header.split(",")[3:]
        constant = [f"{line.rpartition(',')[0]},1" for line in lines]
        with pytest.raises(Exception, match="no column with differing values for Measure5") as refused:
            self.apply(trained, "two", "\n".join([header, *constant, ""]).encode())
        assert type(refused.value).__name__ == "InvalidCensus"
        self.apply(trained, "three", body.encode())
        assert {row["CensusId"]: row["label"] for row in trained.rows()}.items() <= labels.items()
        assert trained.read(trained.files.segments)["features"] == varying
        assert trained.read(trained.files.changes)["regions"]["gone_count"] == ROWS - len(few)

    def test_the_run_after_it_aligns_with_it(self, trained: SeriesOfRuns) -> None:
        self.apply(trained, "two")
        changes = trained.run("three", "incoming/counties/2019.csv")
        assert (changes["previous_run_id"], changes["movers_count"]) == ("two", 0)
        assert {segment["status"] for segment in changes["segments"]} == {"kept"}

    def test_without_a_run_before_it_is_refused(self, series: SeriesOfRuns) -> None:
        with pytest.raises(
            Exception, match=r"the mode is 'apply'.*first run of the series.*to train a model$"
        ) as refused:
            self.apply(series, "one")
        assert type(refused.value).__name__ == "InvalidCensus"
        assert series.read(RunLayout("one").problems)["totals"] == {"no_model": 1}

    @pytest.mark.parametrize("lost", ["segments", "scaler", "stability"])
    def test_with_a_lost_file_it_is_refused(self, trained: SeriesOfRuns, lost: str) -> None:
        del trained.aws.objects[RESULTS, getattr(trained.files, lost)]
        with pytest.raises(Exception, match="Files of the previous run one were deleted"):
            self.apply(trained, "two")

    def test_another_mode_is_refused(self, trained: SeriesOfRuns) -> None:
        with pytest.raises(Exception, match="the metadata mode is 'aply'; expected train or apply"):
            self.apply(trained, "two", mode="aply")


class TestRunsThatEndTogether:
    def interrupt(self, aws: FakeAws, key: str, change: Callable[[], None]) -> None:
        """Call `change` right after the next GetObject of `key`, as if another run wrote in between."""
        original = aws._GetObject
        pending = [change]

        def read_then_change(**parameters: Any) -> dict[str, Any]:
            try:
                return original(**parameters)
            finally:
                if parameters["Key"] == key and pending:
                    pending.pop()()

        aws._GetObject = read_then_change  # type: ignore[method-assign]

    def publish_two_after_three_interrupts(self, series: SeriesOfRuns, aws: FakeAws, invoke: Invoke, key: str) -> None:
        """Publish run "two" after "one"; run "three" publishes right after "two" has read `key`."""
        series.run("one", "incoming/counties/2015.csv")
        two, three = (Stages(aws, invoke, run_id=run, key=f"incoming/counties/{run}.csv") for run in ("two", "three"))
        two.until_labeled()
        three.until_labeled()
        self.interrupt(aws, key, lambda: (three.publish(), None)[1])
        two.publish()

    def test_both_stand_in_the_history_and_latest_describes_the_one_that_was_added_last(
        self, series: SeriesOfRuns, aws: FakeAws, invoke: Invoke
    ) -> None:
        self.publish_two_after_three_interrupts(series, aws, invoke, COUNTIES.history)
        assert [run["run_id"] for run in series.read(COUNTIES.history)["runs"]] == ["one", "three", "two"]
        assert series.read(COUNTIES.latest)["run_id"] == "two"

    def test_latest_is_not_set_back_to_a_run_that_was_added_before(
        self, series: SeriesOfRuns, aws: FakeAws, invoke: Invoke
    ) -> None:
        self.publish_two_after_three_interrupts(series, aws, invoke, COUNTIES.latest)
        assert [run["run_id"] for run in series.read(COUNTIES.history)["runs"]] == ["one", "two", "three"]
        assert series.read(COUNTIES.latest)["run_id"] == "three"

    def test_the_history_is_written_before_publish_only_to_reserve_numbers_of_new_segments(
        self, series: SeriesOfRuns, aws: FakeAws, invoke: Invoke
    ) -> None:
        def written_until_labeled(run: str, body: bytes | None = None) -> int:
            aws.calls.clear()
            Stages(aws, invoke, run_id=run, key=f"incoming/counties/{run}.csv").until_labeled(body)
            return sum(put["Key"] == COUNTIES.history for put in aws.called("PutObject"))

        assert written_until_labeled("one") == 0
        series.run("one", "incoming/counties/one.csv")
        assert written_until_labeled("two") == 0
        assert written_until_labeled("three", small_census(ROWS).replace(b"Measure", b"Figure")) == 1

    def test_new_segments_of_both_have_numbers_of_their_own(
        self, series: SeriesOfRuns, aws: FakeAws, invoke: Invoke
    ) -> None:
        series.run("one", "incoming/counties/2015.csv")
        other = small_census(ROWS).replace(b"Measure", b"Figure")
        for run in ("two", "three"):
            Stages(aws, invoke, run_id=run, key=f"incoming/counties/{run}.csv").until_labeled(other)
        two, three = (series.read(RunLayout(run).alignment)["numbers"] for run in ("two", "three"))
        assert (two, three) == (list(range(GROUPS, 2 * GROUPS)), list(range(2 * GROUPS, 3 * GROUPS)))


class TestAPredecessorThatCannotBeUsed:
    @pytest.mark.parametrize("lost", ["segments", "scaler"])
    def test_a_file_that_was_deleted_is_named_and_every_segment_is_new(
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
        assert series.labels() == {str(number) for number in numbers}

    def test_without_the_previous_rows_the_segments_keep_their_numbers(
        self, series: SeriesOfRuns, aws: FakeAws
    ) -> None:
        series.run("one", "incoming/counties/2015.csv")
        del aws.objects[RESULTS, series.files.labeled_counties]
        changes = series.run("two", "incoming/counties/2017.csv")
        assert "previous run one were deleted" in changes["reason"]
        assert series.labels() == {str(number) for number in range(GROUPS)}

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
