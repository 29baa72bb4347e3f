"""How many clusters the data asks for: the elbow, the stability and the silhouette for each k."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from jobs.segments.alignment import adjusted_rand, contingency
from jobs.segments.kmeans import nearest
from jobs.segments.refine import SEED, fresh_start
from jobs.segments.silhouettes import mean_silhouette
from jobs.segments.stability import bootstrap

CURVE_ROWS = 4_096
"""More rows change the curve's third digit only, and cost seconds."""

STEADINESS = 0.05
"""How much lower an adjusted Rand index has to be to count as less steady: twice its standard error, or more."""

_RESTARTS = 10
CURVE_REFITS = 40
_REFIT_STARTS = 6
_SILHOUETTE_ROWS = 2_048
_NEIGHBOURS = 2


@dataclass(frozen=True)
class ElbowPoint:
    """The quality of a clustering into k clusters.

    Attributes
    ----------
    mean_distance
        Mean Euclidean distance of the rows to their centroids, in component space.
    adjusted_rand
        Mean adjusted Rand index of the clustering and its bootstrap refits: 1 if each refit finds the same clusters.
    silhouette
        Mean silhouette of the rows, -1 to 1; None where it is not defined.
    """

    k: int
    mean_distance: float
    adjusted_rand: float
    silhouette: float | None


def elbow(points: np.ndarray, ks: Iterable[int], *, refits: int = CURVE_REFITS, seed: int = SEED) -> list[ElbowPoint]:
    """Cluster the first CURVE_ROWS of the points (n, c) by each of `ks`, and measure the result.

    `refits` bootstrap refits measure how steady each k is. A k above the number of distinct points is left out.
    """
    rows = np.asarray(points[:CURVE_ROWS], dtype=np.float64)
    distinct = len(np.unique(rows, axis=0))
    found = {k: nearest(rows, fresh_start(rows, k, restarts=_RESTARTS, seed=seed)) for k in ks if k <= distinct}
    if not found:
        return []
    similarities = _similarities(rows, {k: labels for k, (labels, _) in found.items()}, refits, seed)
    return [
        ElbowPoint(
            k,
            float(np.sqrt(squared).mean()),
            similarities[k],
            mean_silhouette(rows[:_SILHOUETTE_ROWS], labels[:_SILHOUETTE_ROWS], k),
        )
        for k, (labels, squared) in found.items()
    ]


def choose_k(curve: Sequence[ElbowPoint]) -> int:
    """Choose the sharpest bend among the steady ks.

    A k is steady if its adjusted Rand index is at most STEADINESS below the curve's highest. Among those, the k is
    chosen whose mean distance lies furthest below the straight line between the ends of the whole curve: the "kneedle"
    rule of Satopaa et al. (2011), "Finding a Kneedle in a Haystack". Of equals, the steadiest one is chosen.

    Raises
    ------
    ValueError
        The curve has no point.
    """
    if not curve:
        raise ValueError("cannot choose the number of clusters from an empty elbow curve")
    steadiest = max(point.adjusted_rand for point in curve)
    bends = {point.k: bend for point, bend in zip(curve, _bends(curve), strict=True)}
    steady = [point for point in curve if point.adjusted_rand >= steadiest - STEADINESS]
    return max(steady, key=lambda point: (round(bends[point.k], 9), point.adjusted_rand)).k


def steadier_neighbour(curve: Sequence[ElbowPoint], k: int) -> ElbowPoint | None:
    """Return the steadiest k within 2 of `k` if it is steadier by more than STEADINESS, else None."""
    near = [point for point in curve if abs(point.k - k) <= _NEIGHBOURS]
    own = next((point for point in near if point.k == k), None)
    if own is None:
        return None
    best = max(near, key=lambda point: point.adjusted_rand)
    return best if best.adjusted_rand > own.adjusted_rand + STEADINESS else None


def _similarities(rows: np.ndarray, labelings: dict[int, np.ndarray], refits: int, seed: int) -> dict[int, float]:
    """Return the mean adjusted Rand index of each k's labels (n,) and those of its bootstrap refits."""
    indices: dict[int, list[float]] = {k: [] for k in labelings}
    for refitted in bootstrap(rows, list(labelings), refits=refits, starts=_REFIT_STARTS, seed=seed):
        for (k, labels), centroids in zip(labelings.items(), refitted, strict=True):
            indices[k].append(adjusted_rand(contingency(labels, nearest(rows, centroids)[0], k)))
    return {k: float(np.mean(found)) for k, found in indices.items()}


def _bends(curve: Sequence[ElbowPoint]) -> list[float]:
    """How far each point lies below the line between the curve's ends, both axes scaled to 0..1."""
    ks = np.array([point.k for point in curve], dtype=np.float64)
    means = np.array([point.mean_distance for point in curve])
    if len(curve) < 3 or means[0] <= means[-1]:
        return [0.0] * len(curve)
    across = (ks - ks[0]) / (ks[-1] - ks[0])
    down = (means - means[-1]) / (means[0] - means[-1])
    below: list[float] = (1 - across - down).tolist()
    return below
