"""Assigning rows to centers, and what scikit-learn does with them: k-means++ and Lloyd's algorithm.

Every endpoint and every PCA job imports this module; only a k-means job needs scikit-learn, whose import takes a
second. The process that forks containers imports it in advance, so a job doesn't wait for it.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Clustering:
    """Centers (k x d) and the weighted sum of squared distances to them."""

    centers: Array
    inertia: float


def assign(
    rows: npt.NDArray[np.floating], centers: npt.NDArray[np.floating]
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.floating]]:
    """Return the index of each row's nearest center and its Euclidean distance, both (n,).

    Ranks by |c|² - 2x·c, which leaves out the row's own square: one matrix product for all distances. The distance
    itself is then taken from the difference, as the short formula loses digits near a center.
    """
    nearest = _nearest(rows, centers)
    difference = rows - centers[nearest]
    return nearest, np.sqrt(np.einsum("ij,ij->i", difference, difference))


def sums_by_center(rows: Array, weights: Array, nearest: npt.NDArray[np.intp], k: int) -> tuple[Array, Array]:
    """Return the weighted sum of the rows of each center (k x d), and each center's weight (k,)."""
    columns = [np.bincount(nearest, column * weights, minlength=k) for column in rows.T]
    totals = np.bincount(nearest, weights, minlength=k)
    return np.stack(columns, axis=1, dtype=np.float64), totals.astype(np.float64)


def kmeans_plusplus(rows: Array, weights: Array, k: int, random: np.random.Generator) -> Array:
    """Choose k rows as first centers, far from one another, by scikit-learn's k-means++.

    One candidate per center, as Arthur and Vassilvitskii (2007) describe it. scikit-learn's default tries several and
    keeps the best: the attempts of local Lloyd's would then differ less from one another than the recorded run's ten.
    """
    from sklearn.cluster import kmeans_plusplus as choose  # noqa: PLC0415 - see the module's docstring

    centers: Array = choose(rows, k, sample_weight=weights, random_state=_seed(random), n_local_trials=1)[0]
    return centers


def lloyd(rows: Array, weights: Array, centers: Array, *, max_iter: int, tol: float) -> Clustering:
    """Move centers to the weighted means of their rows until they rest, by scikit-learn's KMeans.

    Parameters
    ----------
    rows, weights
        n x d rows and their n weights.
    centers
        k x d centers to start from.
    max_iter, tol
        As scikit-learn's: `tol` is relative to the mean variance of the features.
    """
    from sklearn.cluster import KMeans  # noqa: PLC0415

    if len(rows) < len(centers):  # scikit-learn refuses what the container takes: some centers stay without a row
        return Clustering(centers, float(weights @ assign(rows, centers)[1] ** 2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of duplicate rows: fewer clusters than k are no fault of the job
        fitted = KMeans(len(centers), init=centers, n_init=1, max_iter=max_iter, tol=tol).fit(
            rows, sample_weight=weights
        )
    return Clustering(fitted.cluster_centers_, float(fitted.inertia_))


def _seed(random: np.random.Generator) -> int:
    return int(random.integers(2**31))


def _nearest(rows: npt.NDArray[np.floating], centers: npt.NDArray[np.floating]) -> npt.NDArray[np.intp]:
    scores = rows @ (-2 * centers.T)
    scores += np.einsum("ij,ij->i", centers, centers)
    nearest: npt.NDArray[np.intp] = scores.argmin(axis=1)
    return nearest
