"""Stability, runner-up and margin of rows: what lies between segments is uncertain, and what lies inside is not."""

import numpy as np
import pytest

from jobs.segments.refine import canonical_order, fresh_start
from jobs.segments.stability import Stability, bootstrap, runners_up

RANDOM = np.random.default_rng(0)
# Two tight clusters, and a band of rows that can be cut anywhere.
TIGHT = np.concatenate([RANDOM.normal(-10, 0.2, (100, 2)), RANDOM.normal(-20, 0.2, (100, 2))])
BAND = np.stack([RANDOM.uniform(0, 10, 200), RANDOM.normal(0, 0.2, 200)], axis=1)
ROWS = np.concatenate([TIGHT, BAND]).astype(np.float32)
CENTROIDS = canonical_order(fresh_start(ROWS, 4, restarts=20))
LABELS = np.linalg.norm(ROWS[:, None] - CENTROIDS, axis=2).argmin(axis=1)


@pytest.fixture(scope="module")
def stability() -> Stability:
    return Stability.of(ROWS, CENTROIDS)


def test_rows_of_tight_clusters_keep_their_segment_and_rows_on_a_border_do_not(stability: Stability) -> None:
    shares = stability.of_rows(ROWS, LABELS)
    border = np.abs(BAND[:, 0] - 5) < 0.1
    assert (shares[: len(TIGHT)] == 1).all()
    assert (shares[len(TIGHT) :][border] < 0.95).all()


def test_segments_have_a_stability_of_their_own(stability: Stability) -> None:
    assert stability.segments[:2] == pytest.approx([1, 1])
    assert (stability.segments[2:] < 1).all()
    assert 0.8 < stability.adjusted_rand < 1


def test_nothing_is_lost_in_the_file(stability: Stability) -> None:
    read = Stability.from_bytes(stability.to_bytes())
    np.testing.assert_array_equal(read.refits, stability.refits)
    np.testing.assert_array_equal(read.segments, stability.segments)
    assert (read.adjusted_rand, read.sample_rows) == (stability.adjusted_rand, len(ROWS))


def test_the_refits_are_the_same_each_time() -> None:
    np.testing.assert_array_equal(list(bootstrap(ROWS, [4], refits=2)), list(bootstrap(ROWS, [4], refits=2)))


def test_fewer_rows_than_clusters_can_be_refitted() -> None:
    assert Stability.of(ROWS[:2], CENTROIDS, refits=3).refits.shape == (3, 4, 2)


def test_the_runner_up_is_the_second_nearest_and_the_margin_is_relative() -> None:
    centroids = np.array([[0.0], [4.0], [20.0]])
    second, margin = runners_up(np.array([[1.0], [2.0], [4.0], [30.0]]), centroids, np.array([0, 0, 1, 2]))
    assert second.tolist() == [1, 1, 0, 1]
    assert margin == pytest.approx([0.5, 0, 1, (26 - 10) / 36])


def test_a_row_on_two_equal_centroids_has_no_margin() -> None:
    second, margin = runners_up(np.zeros((1, 2)), np.zeros((2, 2)), np.array([1]))
    assert (second.item(), margin.item()) == (0, 0)
