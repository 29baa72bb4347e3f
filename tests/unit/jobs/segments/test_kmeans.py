"""K-means' artifact and distances to its centroids."""

import numpy as np
import pytest

from jobs.sagemaker.artifacts import ArtifactError
from jobs.sagemaker.ndarray import save
from jobs.segments.kmeans import centroids_from_artifact, distances, nearest
from tests.unit.jobs.segments.test_pca import artifact


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

    def test_the_nearest_is_that_of_all_distances(self) -> None:
        random = np.random.default_rng(0)
        rows, centroids = random.normal(size=(200, 3)), random.normal(size=(5, 3))
        labels, squared = nearest(rows, centroids)
        every = distances(rows, centroids)
        np.testing.assert_array_equal(labels, every.argmin(axis=1))
        np.testing.assert_allclose(squared, every.min(axis=1) ** 2)
