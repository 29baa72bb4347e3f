"""K-means' artifact, distances and elbow."""

import numpy as np
import pytest

from jobs.sagemaker.artifacts import ArtifactError
from jobs.sagemaker.ndarray import save
from jobs.segments.kmeans import ElbowPoint, centroids_from_artifact, choose_k, distances, elbow
from tests.unit.jobs.segments.test_pca import artifact


def curve(*means: float, first: int = 5) -> list[ElbowPoint]:
    return [ElbowPoint(first + i, mean) for i, mean in enumerate(means)]


class TestReading:
    def test_centroids_come_as_trained(self) -> None:
        trained = np.arange(6, dtype=np.float32).reshape(3, 2)
        np.testing.assert_array_equal(centroids_from_artifact(artifact(save([trained]))), trained)

    def test_another_algorithms_artifact_is_refused(self) -> None:
        with pytest.raises(ArtifactError, match="not a KMeans artifact"):
            centroids_from_artifact(artifact(save({"s": np.ones(2)})))


class TestDistances:
    def test_are_euclidean(self) -> None:
        np.testing.assert_allclose(distances(np.array([[0, 0], [3, 4]]), np.array([[0, 0], [3, 0]])), [[0, 3], [5, 4]])

    def test_of_a_row_on_its_centroid_are_zero_and_never_nan(self) -> None:
        rows = np.random.default_rng(0).normal(size=(50, 7)) * 1e4
        assert np.nanmax(np.diag(distances(rows, rows))) < 1e-2
        assert np.isfinite(distances(rows, rows)).all()


class TestElbow:
    ROWS = np.repeat(np.array([[0, 0], [0, 9], [9, 0], [9, 9]]), 50, axis=0) + np.random.default_rng(0).normal(
        scale=0.3, size=(200, 2)
    )

    def test_more_clusters_bring_rows_nearer(self) -> None:
        means = [point.mean_distance for point in elbow(self.ROWS, range(1, 7), seed=1)]
        assert means == sorted(means, reverse=True)

    def test_the_planted_number_of_clusters_is_chosen(self) -> None:
        assert choose_k(elbow(self.ROWS, range(1, 9), seed=1)) == 4

    def test_the_same_seed_gives_the_same_curve(self) -> None:
        assert elbow(self.ROWS, [3], seed=5) == elbow(self.ROWS, [3], seed=5)

    def test_more_clusters_than_distinct_rows_are_left_out(self) -> None:
        rows = np.repeat(np.eye(3), 4, axis=0)
        assert [point.k for point in elbow(rows, range(2, 6), seed=0)] == [2, 3]


class TestChoosing:
    def test_the_sharpest_bend_is_chosen(self) -> None:
        assert choose_k(curve(10, 5, 4.5, 4.2, 4)) == 6

    @pytest.mark.parametrize(("means", "k"), [([4, 3, 2, 1], 6), ([1, 1, 1], 6), ([2, 1], 5), ([1], 5)])
    def test_a_curve_without_a_bend_gives_its_middle(self, means: list[float], k: int) -> None:
        assert choose_k(curve(*means)) == k

    def test_an_empty_curve_is_refused(self) -> None:
        with pytest.raises(ValueError, match="empty elbow curve"):
            choose_k([])
