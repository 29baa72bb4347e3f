"""What SageMaker's k-means learned, distances to it, and how many clusters the data asks for."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from jobs.sagemaker.artifacts import ArtifactError, parameters

ELBOW_ROWS = 10_000  # more change the curve's third digit only, and cost seconds


@dataclass(frozen=True)
class ElbowPoint:
    """How close rows lie to their centroids with k clusters: mean Euclidean distance, scaled units."""

    k: int
    mean_distance: float


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


def elbow(points: np.ndarray, ks: Iterable[int], *, seed: int = 0) -> list[ElbowPoint]:
    """Cluster points (rows, c) by each of `ks` and report the mean distance to the own centroid.

    Beyond 10,000 rows an even sample is clustered. A k above the number of distinct rows is left out.
    """
    from sklearn.cluster import KMeans  # noqa: PLC0415 - a second to import, which only this function needs

    rows = np.asarray(points, dtype=np.float64)
    if len(rows) > ELBOW_ROWS:
        rows = rows[np.linspace(0, len(rows) - 1, ELBOW_ROWS).astype(int)]
    most = len(np.unique(rows, axis=0))
    curve = []
    for k in ks:
        if k <= most:
            model = KMeans(n_clusters=k, n_init=4, random_state=seed).fit(rows)
            curve.append(ElbowPoint(k, float(distances(rows, model.cluster_centers_).min(axis=1).mean())))
    return curve


def choose_k(curve: Sequence[ElbowPoint]) -> int:
    """Pick the elbow: the k whose point lies furthest below the straight line between the curve's ends.

    The "kneedle" rule of Satopaa et al. (2011), "Finding a Kneedle in a Haystack", on one fixed range.
    A straight (or empty of bends) curve has no elbow: then the middle k.

    Raises
    ------
    ValueError
        The curve has no point.
    """
    if not curve:
        raise ValueError("cannot choose the number of clusters from an empty elbow curve")
    ks = np.array([point.k for point in curve], dtype=np.float64)
    means = np.array([point.mean_distance for point in curve])
    if len(curve) < 3 or means[0] <= means[-1]:
        return curve[(len(curve) - 1) // 2].k
    across = (ks - ks[0]) / (ks[-1] - ks[0])
    down = (means - means[-1]) / (means[0] - means[-1])
    below = 1 - across - down
    return curve[int(below.argmax())].k if below.max() > 1e-9 else curve[(len(curve) - 1) // 2].k
