"""Assigns rows to centers, and finds centers with k-means++ and Lloyd's algorithm."""

from __future__ import annotations

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
    """Choose k rows as initial centers by the k-means++ of Arthur and Vassilvitskii (2007).

    There is one candidate per center, as in the paper. With the best of several candidates, the attempts of local
    Lloyd's algorithm differ less than the recorded run's ten.
    """
    chosen = np.empty(k, np.intp)
    squared = np.full(len(rows), np.inf)
    odds = weights
    for position in range(k):
        cumulative = np.cumsum(odds)
        drawn = np.searchsorted(cumulative, random.random() * cumulative[-1], side="right")
        chosen[position] = min(drawn, len(rows) - 1)  # beyond the end if every row has been chosen
        difference = rows - rows[chosen[position]]
        squared = np.minimum(squared, np.einsum("ij,ij->i", difference, difference))
        odds = squared * weights
    return rows[chosen]


def lloyd(rows: Array, weights: Array, centers: Array, *, max_iter: int, tol: float) -> Clustering:
    """Move centers to the weighted means of their rows until they converge; a center without rows stays.

    Parameters
    ----------
    rows, weights
        n x d rows and their n weights.
    centers
        k x d centers to start from.
    max_iter
        The maximum number of moves.
    tol
        The centers have converged when the sum of their squared moves is at most this share of the mean variance of the
        features, as in scikit-learn.
    """
    threshold = tol * float(rows.var(axis=0).mean())
    for _ in range(max_iter):
        before = centers
        sums, totals = sums_by_center(rows, weights, _nearest(rows, before), len(before))
        centers = np.divide(sums, totals[:, np.newaxis], out=before.copy(), where=totals[:, np.newaxis] > 0)
        if np.square(centers - before).sum() <= threshold:
            break
    return Clustering(centers, float(weights @ assign(rows, centers)[1] ** 2))


def _nearest(rows: npt.NDArray[np.floating], centers: npt.NDArray[np.floating]) -> npt.NDArray[np.intp]:
    scores = rows @ (-2 * centers.T)
    scores += np.einsum("ij,ij->i", centers, centers)
    nearest: npt.NDArray[np.intp] = scores.argmin(axis=1)
    return nearest
