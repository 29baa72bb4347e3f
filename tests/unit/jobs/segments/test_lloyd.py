"""K-means of rows in memory: judged by scikit-learn's KMeans with ten times as many starts."""

import numpy as np
import pytest
from sklearn.cluster import KMeans

from jobs.segments.kmeans import nearest
from jobs.segments.lloyd import Lloyd

RANDOM = np.random.default_rng(0)
CENTERS = RANDOM.normal(scale=3, size=(9, 4))
ROWS = CENTERS[RANDOM.integers(9, size=900)] + RANDOM.normal(size=(900, 4))
WEIGHTS = RANDOM.integers(1, 5, size=900)


def inertia(rows: np.ndarray, centroids: np.ndarray, weights: np.ndarray) -> float:
    return float(nearest(rows, centroids)[1] @ weights)


@pytest.mark.parametrize("clusters", [3, 6, 9])
@pytest.mark.parametrize("weights", [WEIGHTS, np.ones(900)], ids=["weighted", "not weighted"])
def test_the_inertia_is_that_of_many_more_starts(clusters: int, weights: np.ndarray) -> None:
    fit = Lloyd(ROWS, weights)
    found = fit.best(fit.starts(clusters, 20, np.random.default_rng(1)))
    best = KMeans(clusters, n_init=200, random_state=0).fit(ROWS, sample_weight=weights)
    assert inertia(ROWS, found, weights) == pytest.approx(best.inertia_, rel=2e-3)


def test_a_weight_counts_as_that_many_rows() -> None:
    starts = ROWS[None, :5]
    repeated = Lloyd(np.repeat(ROWS, WEIGHTS, axis=0)).best(starts, tolerance=0)
    np.testing.assert_allclose(Lloyd(ROWS, WEIGHTS).best(starts, tolerance=0), repeated, atol=1e-5)


def test_rows_far_from_the_origin_are_clustered_as_precisely() -> None:
    far = Lloyd(ROWS + 1e5).best(ROWS[None, :5] + 1e5, tolerance=0)
    np.testing.assert_allclose(far - 1e5, Lloyd(ROWS).best(ROWS[None, :5], tolerance=0), atol=1e-4)


def test_the_first_centroids_are_different_rows() -> None:
    starts = Lloyd(ROWS).starts(9, 4, np.random.default_rng(0))
    assert starts.shape == (4, 9, 4)
    for start in starts:
        assert len(np.unique(start.round(4), axis=0)) == 9
        assert nearest(start, ROWS)[1] == pytest.approx(0, abs=1e-6)


def test_a_row_that_counts_nothing_is_no_first_centroid() -> None:
    weights = np.zeros(900)
    weights[:10] = 1
    starts = Lloyd(ROWS, weights).starts(3, 20, np.random.default_rng(0))
    assert nearest(starts.reshape(-1, 4), ROWS[:10])[1] == pytest.approx(0, abs=1e-6)


def test_equal_rows_can_be_clustered() -> None:
    fit = Lloyd(np.ones((20, 3)))
    np.testing.assert_array_equal(fit.best(fit.starts(4, 3, np.random.default_rng(0))), np.ones((4, 3)))


def test_a_centroid_without_rows_stays_where_it_is() -> None:
    starts = np.array([[ROWS.mean(axis=0), np.full(4, 1e3)]])
    assert Lloyd(ROWS).best(starts)[1] == pytest.approx(starts[0, 1])
