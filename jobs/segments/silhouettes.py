"""Silhouettes: how clearly each segment is separated from the others (Rousseeuw 1987).

The silhouette of a row is (b - a) / max(a, b), where a is its mean distance to the other rows of its segment and b its
mean distance to the rows of the nearest other segment. scikit-learn computes the same, but takes longer to import than
this takes to run.
"""

import numpy as np

from jobs.segments.kmeans import distances
from jobs.segments.rows import Rows

_BLOCK = 512  # rows whose distances to all others are held in memory at a time


def mean_silhouettes(sample: Rows, clusters: int) -> tuple[list[float | None], float | None]:
    """Return the mean silhouette of each segment and of all rows.

    Parameters
    ----------
    sample
        The rows to compare, each with every other.
    clusters
        k, the number of segments; labels are 0..k-1.

    Returns
    -------
    tuple
        One mean per segment, None where the sample has none of its rows; and the mean over the sample. All are None
        if fewer than two segments have rows, or if every row is a segment of its own.
    """
    values = _silhouettes(sample.components, sample.labels, clusters)
    if values is None:
        return [None] * clusters, None
    means = [
        float(values[sample.labels == label].mean()) if (sample.labels == label).any() else None
        for label in range(clusters)
    ]
    return means, float(values.mean())


def mean_silhouette(points: np.ndarray, labels: np.ndarray, clusters: int) -> float | None:
    """Return the mean silhouette of points (n, c) with labels (n,); None where it is not defined."""
    values = _silhouettes(points, labels, clusters)
    return None if values is None else float(values.mean())


def _silhouettes(points: np.ndarray, labels: np.ndarray, clusters: int) -> np.ndarray | None:
    """(n,) silhouettes of points (n, c); None if fewer than two clusters have points, or each point is a cluster."""
    if not 2 <= len(np.unique(labels)) < len(points):
        return None
    points = points.astype(np.float64)
    member = (labels[:, None] == np.arange(clusters)).astype(np.float64)  # (n, k)
    counts = member.sum(axis=0)
    sums = np.concatenate(
        [distances(points[start : start + _BLOCK], points) @ member for start in range(0, len(points), _BLOCK)]
    )
    own = np.arange(len(points)), labels
    within = sums[own] / np.maximum(counts[labels] - 1, 1)  # a row's distance to itself does not count
    to_others = np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)
    to_others[own] = np.inf
    nearest_other = to_others.min(axis=1)
    larger = np.maximum(within, nearest_other)
    values = np.divide(nearest_other - within, larger, out=np.zeros(len(points)), where=larger > 0)
    return np.where(counts[labels] > 1, values, 0.0)  # by definition, for the only row of a segment
