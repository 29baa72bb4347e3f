"""Assigns rows to centers, and finds centers with scikit-learn's k-means++ and Lloyd's algorithm.

Every endpoint and every PCA job imports this module, but only a k-means job needs scikit-learn, whose import takes a
second. The process that forks containers imports it in advance, so that a job does not wait for it.
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

    Centers are compared by |c|² - 2x·c, which omits |x|² and needs one matrix product for all rows. The distance to
    the nearest center is then computed from the difference, because that formula is inaccurate near a center.
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
    """Choose k rows as initial centers with scikit-learn's k-means++.

    As in Arthur and Vassilvitskii (2007), there is one candidate per center. scikit-learn's default is the best of
    several candidates, with which the attempts of local Lloyd's algorithm differ less than the recorded run's ten.
    """
    from sklearn.cluster import kmeans_plusplus as choose  # noqa: PLC0415 - see the module's docstring

    centers: Array = choose(rows, k, sample_weight=weights, random_state=_seed(random), n_local_trials=1)[0]
    return centers


def lloyd(rows: Array, weights: Array, centers: Array, *, max_iter: int, tol: float) -> Clustering:
    """Move centers to the weighted means of their rows until they converge, with scikit-learn's KMeans.

    Parameters
    ----------
    rows, weights
        n x d rows and their n weights.
    centers
        k x d centers to start from.
    max_iter, tol
        As in scikit-learn; `tol` is relative to the mean variance of the features.
    """
    from sklearn.cluster import KMeans  # noqa: PLC0415

    if len(rows) < len(centers):  # accepted by the container, but not by scikit-learn: some centers have no row
        return Clustering(centers, float(weights @ assign(rows, centers)[1] ** 2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # duplicate rows may lead to fewer clusters than k, which is not an error
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
