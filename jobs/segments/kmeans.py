"""The centroids of a k-means artifact, and the distances of rows to them."""

import numpy as np

from jobs.sagemaker.artifacts import ArtifactError, pack, parameters


def centroids_from_artifact(artifact: bytes) -> np.ndarray:
    """Read a KMeans training job's model.tar.gz: centroids (k, components), float64.

    Raises
    ------
    ArtifactError
        The artifact is another algorithm's, or broken.
    """
    arrays = parameters(artifact)
    if not isinstance(arrays, list) or len(arrays) != 1 or arrays[0].ndim != 2:
        raise ArtifactError("not a KMeans artifact: expected one unnamed k x features array")
    return np.asarray(arrays[0], dtype=np.float64)


def artifact_of(centroids: np.ndarray) -> bytes:
    """Return centroids (k, components) as a model.tar.gz that the built-in KMeans image hosts: one float32 array."""
    return pack([np.ascontiguousarray(centroids, dtype=np.float32)])


def distances(points: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """Euclidean distances (rows, k) of points (rows, c) to centroids (k, c)."""
    rows = np.asarray(points, dtype=np.float64)
    squared: np.ndarray = rows @ centroids.T
    squared *= -2  # in place from here on: with many centroids, memory is what takes the time
    squared += (rows**2).sum(axis=1)[:, None]
    squared += (centroids**2).sum(axis=1)
    np.maximum(squared, 0, out=squared)
    np.sqrt(squared, out=squared)
    return squared


def nearest(points: np.ndarray, centroids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each point's nearest centroid (n,) and its squared distance to it (n,), float64.

    Ranks by |c|² - 2 p·c, which leaves out the point's own square: one matrix product for all distances.
    """
    rows = np.asarray(points, dtype=np.float64)
    scores = rows @ (-2 * centroids.T)
    scores += np.einsum("ij,ij->i", centroids, centroids)
    labels: np.ndarray = scores.argmin(axis=1)
    squared = scores[np.arange(len(rows)), labels] + np.einsum("ij,ij->i", rows, rows)
    return labels, np.maximum(squared, 0)
