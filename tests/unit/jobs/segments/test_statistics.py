"""Statistics of shards: small, mergeable, and the same as of the whole."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from jobs.segments import statistics
from jobs.segments.rows import BORDER_ROWS, EXEMPLARS, Certainty, Rows
from jobs.segments.scaling import Scaling
from jobs.segments.statistics import SegmentStatistics
from tests.census_run import Run, regions_of, segment_table


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    rng = np.random.default_rng(7)
    rows = 600
    share = rng.uniform(0, 100, rows)
    return pd.DataFrame(
        {
            "CensusId": range(1, rows + 1),
            "State": rng.choice(["Ohio", "New\nMexico", "Perú"], rows),
            "County": [f'County {i}, "quoted" <b>' for i in range(rows)],
            "TotalPop": rng.integers(100, 9_000_000, rows),
            "Poverty": share,
            "Income": 90_000 - 600 * share + rng.normal(0, 3000, rows),
            "Walk": rng.uniform(0, 30, rows),
        }
    )


@pytest.fixture(scope="module")
def whole(table: pd.DataFrame) -> Run:
    return segment_table(table, kept=2, clusters=3, shard=600)


def assert_same_rows(one: Rows, other: Rows) -> None:
    np.testing.assert_array_equal(one.index, other.index)
    np.testing.assert_array_equal(one.labels, other.labels)
    np.testing.assert_allclose(one.distances, other.distances)
    np.testing.assert_array_equal(one.components, other.components)
    assert (one.ids, one.states, one.counties) == (other.ids, other.states, other.counties)


def assert_same(one: SegmentStatistics, other: SegmentStatistics) -> None:
    for name in ("counts", "histogram", "whole", "sample_features", "unstable"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    for name in ("sums", "squares", "squared_distances"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name))
    for name in ("nearest", "farthest", "sample"):
        assert_same_rows(getattr(one, name), getattr(other, name))


class TestMerging:
    @pytest.mark.parametrize("shard", [1, 7, 250])
    def test_shards_merge_to_the_statistics_of_the_whole(self, table: pd.DataFrame, whole: Run, shard: int) -> None:
        parts = segment_table(table, kept=2, clusters=3, shard=shard).statistics
        assert_same(parts, whole.statistics)
        assert parts.listed is not None
        assert whole.statistics.listed is not None
        assert_same_rows(parts.listed, whole.statistics.listed)

    def test_a_sample_of_samples_is_the_sample_of_the_whole(
        self, table: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(statistics, "SAMPLE_ROWS", 50)
        one, other = (segment_table(table, kept=2, clusters=3, shard=shard).statistics for shard in (600, 77))
        assert len(one.sample) == 50
        assert_same(one, other)

    def test_the_sample_is_spread_evenly(self, table: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(statistics, "SAMPLE_ROWS", 100)
        sample = segment_table(table, kept=2, clusters=3).statistics.sample
        assert sample.index.mean() == pytest.approx(300, abs=60)

    def test_no_part_is_refused(self) -> None:
        with pytest.raises(ValueError, match="no shard"):
            SegmentStatistics.merge([])


class TestContent:
    def test_counts_sums_and_squares_are_those_of_the_rows(self, whole: Run) -> None:
        for label in range(3):
            rows = whole.scaled[whole.labels == label].astype(float)
            assert whole.statistics.counts[label] == len(rows)
            np.testing.assert_allclose(whole.statistics.sums[label], rows.sum(axis=0))
            np.testing.assert_allclose(whole.statistics.squares[label], (rows**2).sum(axis=0))

    def test_every_row_is_in_one_bin_of_every_feature(self, whole: Run) -> None:
        np.testing.assert_array_equal(
            whole.statistics.histogram.sum(axis=2), np.repeat(whole.statistics.counts[:, None], 4, axis=1)
        )

    def test_histograms_are_those_of_numpy(self, whole: Run) -> None:
        expected, _ = np.histogram(whole.scaled[:, 1], bins=50, range=(0, 1))
        assert np.abs(whole.statistics.histogram[:, 1].sum(axis=0) - expected).sum() <= 2  # float32 on an edge

    def test_exemplars_are_the_nearest_and_the_farthest_rows(self, whole: Run) -> None:
        listed = whole.statistics.listed
        assert listed is not None
        for label in range(3):
            own = np.sort(listed.distances[listed.labels == label])
            for rows, expected in ((whole.statistics.nearest, own), (whole.statistics.farthest, own[::-1])):
                np.testing.assert_allclose(rows.distances[rows.labels == label], expected[:EXEMPLARS])

    def test_whole_numbers_are_recognised_despite_float32(self, whole: Run) -> None:
        assert whole.statistics.whole.tolist() == [True, False, False, False]

    def test_a_segment_without_rows_is_counted_as_empty(self, whole: Run) -> None:
        empty = SegmentStatistics.of_shard(
            scaled=whole.scaled[:3],
            components=whole.components[:3],
            labels=np.array([0.0, 0.0, 2.0]),
            distances=np.ones(3),
            certainty=Certainty(np.array([2, 2, 0]), np.array([0.1, 0.2, 0.3]), np.array([1, 0.5, 0.89])),
            regions=regions_of("abc", "abc", "abc"),
            scaling=whole.scaling,
            clusters=4,
            first_row=0,
        )
        assert empty.counts.tolist() == [2, 0, 1, 0]
        assert empty.unstable.tolist() == [[0, 0, 1, 0], [0] * 4, [1, 0, 0, 0], [0] * 4]

    def test_border_rows_have_the_smallest_margins_between_two_segments(self, whole: Run) -> None:
        listed, borders = whole.statistics.listed, whole.statistics.borders
        assert listed is not None
        pairs = [np.sort(np.stack([rows.labels, rows.runners_up]), axis=0).T for rows in (listed, borders)]
        for pair in np.unique(pairs[0], axis=0):
            of_all = np.sort(listed.margins[(pairs[0] == pair).all(axis=1)])
            np.testing.assert_array_equal(borders.margins[(pairs[1] == pair).all(axis=1)], of_all[:BORDER_ROWS])

    def test_a_large_run_lists_no_rows(self, whole: Run) -> None:
        large = replace(whole.scaling, rows_kept=statistics.MAX_LISTED_ROWS + 1)
        part = SegmentStatistics.of_shard(
            scaled=whole.scaled[:2],
            components=whole.components[:2],
            labels=np.zeros(2),
            distances=np.ones(2),
            certainty=Certainty(np.zeros(2), np.ones(2), np.ones(2)),
            regions=regions_of("ab", "ab", "ab"),
            scaling=large,
            clusters=1,
            first_row=0,
        )
        assert part.listed is None
        assert SegmentStatistics.merge([part, part]).listed is None


class TestPacking:
    def test_bytes_bring_everything_back(self, whole: Run) -> None:
        back = SegmentStatistics.from_bytes(whole.statistics.to_bytes())
        assert_same(back, whole.statistics)
        assert back.listed is not None

    def test_unlisted_rows_stay_unlisted(self, whole: Run) -> None:
        back = SegmentStatistics.from_bytes(replace(whole.statistics, listed=None).to_bytes())
        assert back.listed is None


class TestScaling:
    def test_scaler_json_is_read(self) -> None:
        text = (
            '{"features": ["A", "B"], "minimum": [0, 5], "maximum": [10, 25], "scaled_mean": [0.1, 0.2],'
            ' "rows": {"read": 9, "dropped": 2, "kept": 7}, "constant_features": [{"name": "C", "value": 1}],'
            ' "dropped_regions": [{"row": 3, "id": "1", "name": "Ohio-X", "empty_columns": ["A"]}]}'
        )
        scaling = Scaling.from_json(text)
        assert scaling.rows_kept == 7
        assert scaling.constant_features[0]["name"] == "C"
        np.testing.assert_allclose(scaling.inverse_transform(np.array([0.5, 0.25])), [5, 10])
