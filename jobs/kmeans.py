"""What SageMaker's k-means learned, distances to it, and how many clusters the data asks for."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from jobs.artifacts import ArtifactError, parameters

ELBOW_ROWS = 10_000  # more change the curve's third digit only, and cost seconds
ELBOW_STARTS = 5
ELBOW_ITERATIONS = 100


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
    squared = (rows**2).sum(axis=1)[:, None] + (centroids**2).sum(axis=1) - 2 * rows @ centroids.T
    lengths: np.ndarray = np.sqrt(np.maximum(squared, 0))
    return lengths


def elbow(points: np.ndarray, ks: Iterable[int], *, seed: int = 0) -> list[ElbowPoint]:
    """Cluster points (rows, c) by each of `ks` and report the mean distance to the own centroid.

    Lloyd's algorithm from k-means++ starts, the best of five: as close as scikit-learn's, which takes longer to import
    than this to run. Beyond 10,000 rows an even sample is clustered. A k above the number of distinct rows is left out.
    """
    rows = np.asarray(points, dtype=np.float64)
    if len(rows) > ELBOW_ROWS:
        rows = rows[np.linspace(0, len(rows) - 1, ELBOW_ROWS).astype(int)]
    most = len(np.unique(rows, axis=0))
    random = np.random.default_rng(seed)
    return [ElbowPoint(k, _best_mean_distance(rows, k, random)) for k in ks if k <= most]


def _best_mean_distance(rows: np.ndarray, k: int, random: np.random.Generator) -> float:
    """Mean distance to the own centroid in the tightest (by squares) of several clusterings."""
    nearest = [distances(rows, _lloyd(rows, _spread(rows, k, random))).min(axis=1) for _ in range(ELBOW_STARTS)]
    return float(min(nearest, key=lambda distance: float((distance**2).sum())).mean())


def _spread(rows: np.ndarray, k: int, random: np.random.Generator) -> np.ndarray:
    """Choose k rows far from each other: k-means++ (Arthur and Vassilvitskii 2007)."""
    chosen = [int(random.integers(len(rows)))]
    squared = ((rows - rows[chosen[0]]) ** 2).sum(axis=1)
    while len(chosen) < k:
        chosen.append(int(random.choice(len(rows), p=squared / squared.sum())))
        squared = np.minimum(squared, ((rows - rows[chosen[-1]]) ** 2).sum(axis=1))
    return rows[chosen]


def _lloyd(rows: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """Move centroids (k, c) to their rows' means until no row changes sides; an abandoned one stays."""
    labels = np.full(len(rows), -1)
    for _ in range(ELBOW_ITERATIONS):
        # the nearest centroid is where x.c - |c|^2 / 2 is largest: |x|^2 is the same for all
        nearest = (rows @ centroids.T - (centroids**2).sum(axis=1) / 2).argmax(axis=1)
        if (nearest == labels).all():
            break
        labels = nearest
        member = (labels == np.arange(len(centroids))[:, None]).astype(np.float64)
        counts = member.sum(axis=1, keepdims=True)
        centroids = np.where(counts > 0, member @ rows / np.maximum(counts, 1), centroids)
    return centroids


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
