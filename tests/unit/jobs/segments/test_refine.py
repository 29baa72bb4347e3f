"""Refined centroids: judged by scikit-learn's KMeans on all rows in memory."""

from collections.abc import Iterator

import numpy as np
import pytest
from sklearn.cluster import KMeans

from jobs.segments.kmeans import nearest
from jobs.segments.refine import canonical_order, fresh_start, refine

ROWS = np.concatenate(
    [
        np.random.default_rng(i).normal(center, 0.8, size=(300, 3))
        for i, center in enumerate(((0, 0, 0), (4, 0, 0), (0, 4, 0), (0, 0, 4), (4, 4, 0)))
    ]
).astype(np.float32)


def blocks() -> Iterator[np.ndarray]:
    return (ROWS[start : start + 200] for start in range(0, len(ROWS), 200))


@pytest.mark.parametrize("seed", range(5))
def test_poor_centroids_end_where_the_best_of_many_starts_does(seed: int) -> None:
    poor = ROWS[np.random.default_rng(seed).choice(300, 5)].astype(float)  # all in one cluster
    refined = refine(blocks, poor, fresh_start(ROWS, 5, restarts=10), ROWS)

    best = KMeans(5, n_init=50, random_state=0).fit(ROWS.astype(float))
    assert refined.refined_msd == pytest.approx(best.inertia_ / len(ROWS), rel=1e-4)
    assert refined.sagemaker_msd == pytest.approx(nearest(ROWS, poor)[1].mean())
    assert refined.rows_moved > 0


def test_the_training_jobs_centroids_are_kept_where_they_are_better() -> None:
    best = KMeans(5, n_init=50, random_state=0).fit(ROWS.astype(float)).cluster_centers_
    poor = ROWS[:5].astype(float)
    refined = refine(blocks, best, poor, ROWS)
    np.testing.assert_allclose(refined.centroids, canonical_order(best), atol=1e-6)
    assert refined.rows_moved == 0


def test_the_training_jobs_centroids_are_moved_before_they_are_compared() -> None:
    best, four = (KMeans(k, n_init=50, random_state=0).fit(ROWS.astype(float)) for k in (5, 4))
    fresh = np.vstack([four.cluster_centers_, np.full(3, 1e6)])  # the last one never gets a row
    moved = best.cluster_centers_ + 1.7
    before = [nearest(ROWS, centroids)[1].mean() for centroids in (best.cluster_centers_, fresh, moved)]
    assert before == sorted(before)

    refined = refine(blocks, moved, fresh, ROWS)
    assert refined.refined_msd == pytest.approx(best.inertia_ / len(ROWS), rel=1e-4)


def test_the_number_of_passes_does_not_depend_on_where_the_rows_lie() -> None:
    fresh = fresh_start(ROWS[::10], 5, restarts=10)

    def passes(shift: float) -> int:
        shifted = ROWS + np.float32(shift)
        return refine(lambda: iter([shifted]), shifted[:5].astype(float), fresh + shift, shifted[::10]).passes

    assert passes(1024) == passes(0)


def test_a_sample_is_enough_to_start_from() -> None:
    sample = ROWS[::10]
    refined = refine(blocks, ROWS[:5].astype(float), fresh_start(sample, 5, restarts=10), sample)
    best = KMeans(5, n_init=50, random_state=0).fit(ROWS.astype(float))
    assert refined.refined_msd == pytest.approx(best.inertia_ / len(ROWS), rel=1e-4)


def test_the_number_of_passes_is_how_often_all_rows_were_read() -> None:
    passes = 0

    def counted() -> Iterator[np.ndarray]:
        nonlocal passes
        passes += 1
        return blocks()

    sample = ROWS[::10]
    refined = refine(counted, ROWS[:5].astype(float), fresh_start(sample, 5, restarts=10), sample)
    assert refined.passes == passes > 2


def test_centroids_are_numbered_along_the_first_component() -> None:
    unordered = np.array([[3.0, 0], [1, 5], [2, 9], [1, 4]])
    np.testing.assert_array_equal(canonical_order(unordered), [[1, 4], [1, 5], [2, 9], [3, 0]])


def test_as_few_rows_as_clusters_are_their_own_centroids() -> None:
    few = ROWS[:3]
    fresh = fresh_start(few, 4, restarts=5)
    refined = refine(lambda: iter([few]), np.zeros((4, 3)), fresh, few)
    assert refined.centroids.shape == (4, 3)
    assert refined.refined_msd == pytest.approx(0, abs=1e-9)


def test_a_centroid_without_rows_stays_where_it_was() -> None:
    far = np.array([[0.0, 0, 0], [1e6, 1e6, 1e6]])
    few = np.zeros((2, 3), np.float32)
    assert refine(lambda: iter([few]), far, far, few).centroids[1].tolist() == far[1].tolist()


def test_a_centroid_with_one_row_moves_to_it() -> None:
    rows = np.array([[0, 0], [10, 10]], np.float32)
    near = np.array([[1.0, 1], [9, 9]])
    assert refine(lambda: iter([rows]), near, near, rows).centroids.tolist() == rows.tolist()
