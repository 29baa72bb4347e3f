"""What changed from one run to the next, on the real files and on a vintage whose changes are known."""

import json
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest

from tests.census_run import Run
from tests.reference import CENSUS_2015, CENSUS_2017, needs_census, needs_census_2017
from tests.unit.jobs.series.series_runs import (
    Comparison,
    compare,
    compare_tables,
    later_vintage,
    previous_run,
    run_of,
)


@cache
def run_2015() -> Run:
    return run_of(pd.read_csv(CENSUS_2015))


@cache
def run_2017() -> Run:
    return run_of(pd.read_csv(CENSUS_2017, dtype={"CountyId": str}))


@cache
def moved_on_purpose() -> tuple[Comparison, list[str]]:
    before = run_2015()
    later, ids = later_vintage(before.table, pd.Series(before.labels))
    return compare_tables(before, run_of(later), vintages=(2015, 2020)), ids


@pytest.fixture(scope="module")
def again() -> Comparison:
    shuffled = pd.read_csv(CENSUS_2015).sample(frac=1, random_state=5).reset_index(drop=True)
    return compare_tables(run_2015(), run_of(shuffled, seed=9))


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return compare_tables(run_2015(), run_2017(), vintages=(2015, 2017))


@needs_census
class TestTheSameFileAgain:
    def test_nothing_changed_beyond_noise(self, again: Comparison) -> None:
        changes = again.changes
        assert changes.agreement is not None
        assert changes.agreement.adjusted_rand >= changes.agreement.baseline
        assert changes.verdict.startswith("Nothing changed")

    def test_every_segment_keeps_its_number(self, again: Comparison) -> None:
        assert {segment.status for segment in again.changes.segments} == {"kept"}

    def test_no_place_moved_by_the_previous_model_and_no_feature_drifted(self, again: Comparison) -> None:
        assert again.changes.agreement is not None
        assert again.changes.agreement.moved_places == 0
        assert max(feature.psi for feature in again.changes.features) < 1e-3
        assert max(feature.beyond_range for feature in again.changes.features) == 0


@needs_census
@needs_census_2017
class TestThe2017FileAfterThe2015File:
    def test_all_columns_and_regions_match(self, comparison: Comparison) -> None:
        changes = comparison.changes
        assert changes.columns["renamed"] == {"Citizen": "VotingAgeCitizen"}
        assert len(changes.columns["matched"]) == 34
        assert (changes.columns["missing"], changes.columns["new"]) == ([], [])
        # 3,218 rows of 2015 and all 3,220 of 2017 are complete.
        complete = len(run_2015().table)
        assert changes.regions["compared"] == complete
        assert changes.regions["gone"] == []

    def test_the_verdict_names_segments_that_stayed_and_places_that_moved(self, comparison: Comparison) -> None:
        assert {segment.status for segment in comparison.changes.segments} == {"kept"}
        assert comparison.changes.verdict.startswith("The segments are the same within noise")
        assert "places moved between them" in comparison.changes.verdict

    def test_the_periods_overlap(self, comparison: Comparison) -> None:
        assert any("share 3 of 5 years" in warning for warning in comparison.changes.warnings)

    def test_the_transition_matrix_counts_every_county_once(self, comparison: Comparison) -> None:
        changes = comparison.changes
        counts = np.array(changes.transitions["counts"])
        assert counts.sum() == changes.regions["compared"]
        stayed = sum(
            counts[row, changes.transitions["to"].index(number)]
            for row, number in enumerate(changes.transitions["from"])
            if number in changes.transitions["to"]
        )
        assert counts.sum() - stayed == changes.movers_count

    def test_incomes_rose_and_unemployment_fell(self, comparison: Comparison) -> None:
        features = {feature.feature: feature for feature in comparison.changes.features}
        assert features["Income"].mean_shift > 0.1
        assert features["Unemployment"].mean_shift < -0.3

    def test_the_drift_of_a_segment_is_in_standard_deviations_of_the_previous_file(
        self, comparison: Comparison
    ) -> None:
        before = run_2015().table
        for segment in comparison.changes.segments:
            shifts = [abs(drift["shift"]) for drift in segment.drift]
            assert len(shifts) > 1
            assert shifts == sorted(shifts, reverse=True)
            for drift in segment.drift:
                shift = (drift["now"] - drift["before"]) / before[drift["feature"]].std(ddof=0)
                assert drift["shift"] == pytest.approx(shift, rel=1e-3)

    def test_movers_are_listed_by_certainty_places_first(self, comparison: Comparison) -> None:
        movers = comparison.changes.movers
        by_place = [mover for mover in movers if mover.cause == "place"]
        assert list(movers[: len(by_place)]) == by_place
        assert {mover.cause for mover in movers[len(by_place) :]} == {"model"}
        certainties = [mover.certainty for mover in by_place]
        assert all(
            mover.certainty
            == pytest.approx(
                min(mover.margin_before, mover.margin_now) * min(mover.stability_before, mover.stability_now), abs=1e-5
            )
            for mover in movers
        )
        assert certainties == sorted(certainties, reverse=True)
        assert comparison.changes.agreement is not None
        assert comparison.changes.agreement.moved_places == len(by_place)


@needs_census
class TestAVintageWithKnownChanges:
    def test_the_counties_that_were_moved_are_found(self) -> None:
        comparison, ids = moved_on_purpose()
        found = {mover.id for mover in comparison.changes.movers if mover.clear}
        hits = len(found & set(ids))
        assert hits / len(ids) >= 0.9
        assert hits / len(found) >= 0.9

    def test_gone_new_and_incomparable_regions_are_listed(self) -> None:
        regions = moved_on_purpose()[0].changes.regions
        assert len(regions["gone"]) == 5
        assert [name.split("-")[1] for name in regions["new"]] == ["New One", "New Two", "New Three"]
        assert len(regions["not_comparable_previous"]) == 8
        assert len(regions["not_comparable_current"]) == 9

    def test_the_renamed_columns_are_found(self) -> None:
        columns = moved_on_purpose()[0].changes.columns
        assert columns["renamed"] == {"Citizen": "VotingAgeCitizen", "IncomePerCap": "income_per_capita"}

    def test_the_known_drift_is_measured(self) -> None:
        changes = moved_on_purpose()[0].changes
        before = run_2015().table["Income"]
        shift = {feature.feature: feature.mean_shift for feature in changes.features}["Income"]
        assert shift == pytest.approx(0.04 * before.mean() / before.std(), abs=0.03)

    def test_changes_json_holds_finite_numbers_only(self) -> None:
        document = json.loads(moved_on_purpose()[0].changes.to_json())
        assert document["reason"] is None
        assert document["movers_count"] == len(document["movers"])


@needs_census
class TestAPredecessorThatCannotBeUsed:
    @pytest.mark.parametrize(
        ("damage", "reason"),
        [
            ({"segments": b"{"}, "JSONDecodeError"),
            ({"segments": b"{}"}, "KeyError"),
            ({"scaler": b"not json"}, "JSONDecodeError"),
            ({"kmeans_artifact": b"broken"}, "ArtifactError"),
        ],
    )
    def test_a_damaged_model_is_named_and_every_segment_is_new(self, damage: dict[str, bytes], reason: str) -> None:
        previous = previous_run(run_2015())
        comparison = compare(replace(previous, model=replace(previous.model, **damage)), run_2015())
        assert not comparison.changes.is_compared
        assert reason in (comparison.changes.reason or "")
        assert comparison.changes.previous_run_id == "before"
        assert comparison.numbers == list(range(8, 16))

    @pytest.mark.parametrize(
        ("damage", "reason"),
        [
            ({"segments": b"{}"}, "KeyError"),
            ({"labeled_counties": b"a,b\n1,2\n"}, "no column State"),
            ({"labeled_counties": b"\xff"}, "UnicodeDecodeError"),
        ],
    )
    def test_damaged_results_are_named_and_the_segments_keep_their_numbers(
        self, damage: dict[str, bytes], reason: str
    ) -> None:
        previous = previous_run(run_2015())
        comparison = compare(replace(previous, results=replace(previous.results, **damage)), run_2015())
        assert not comparison.changes.is_compared
        assert reason in (comparison.changes.reason or "")
        assert comparison.numbers == list(range(8))

    def test_artifacts_of_another_algorithm_are_refused(self) -> None:
        previous = previous_run(run_2015())
        swapped = replace(previous.model, kmeans_artifact=previous.model.pca_artifact)
        changes = compare(replace(previous, model=swapped), run_2015()).changes
        assert "not a KMeans artifact" in (changes.reason or "")

    def test_a_file_without_a_common_column_is_not_compared(self) -> None:
        table = run_2015().table
        other = table.rename(columns={name: f"Other{name}" for name in table.columns[3:]})
        comparison = compare_tables(run_of(other), run_2015())
        assert "no feature" in (comparison.changes.reason or "")

    def test_a_missing_column_leaves_out_the_previous_models_view_only(self) -> None:
        comparison = compare_tables(run_2015(), run_of(run_2015().table.drop(columns="Walk")))
        assert comparison.changes.is_compared
        assert comparison.changes.columns["missing"] == ["Walk"]
        assert comparison.changes.agreement is not None
        assert comparison.changes.agreement.moved_places is None
        assert {mover.cause for mover in comparison.changes.movers} <= {None}
