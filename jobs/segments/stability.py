"""How certain the labels are: bootstrap refits of k-means, aligned with the final centroids.

A refit clusters as many rows as the sample has, drawn from it with replacement, from ten fresh k-means++ starts. It
never starts from the final centroids: a warm start stays near them, and so overestimates the stability. The refits'
centroids are few numbers, so they can be applied to every row of a run, however many rows there are.
"""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from jobs.segments.alignment import adjusted_rand, align, contingency, jaccard
from jobs.segments.kmeans import nearest
from jobs.segments.lloyd import Lloyd
from jobs.segments.refine import SEED
from jobs.segments.rows import Certainty

REFITS = 100
FRESH_STARTS = 10
_BLOCK = 256  # rows whose distances to all centroids of all refits are held at a time: they stay in the cache


@dataclass(frozen=True)
class Stability:
    """Bootstrap refits of one run, aligned with its final centroids.

    Attributes
    ----------
    refits
        (r, k, c) float64: centroid j of every refit is the one that corresponds to segment j.
    segments
        (k,) mean Jaccard coefficient of each segment and the most similar cluster of a refit, after Hennig (2007):
        above 0.85 is highly stable, below 0.6 is not to be relied on. NaN for a segment without a row in the sample.
    adjusted_rand
        Mean adjusted Rand index of the refits' labels and the final ones, over the sample.
    sample_rows
        The number of rows that were resampled.
    """

    refits: np.ndarray
    segments: np.ndarray
    adjusted_rand: float
    sample_rows: int

    @classmethod
    def of(cls, sample: np.ndarray, centroids: np.ndarray, *, refits: int = REFITS, seed: int = SEED) -> Self:
        """Refit a sample (n, c) and align each refit with the final centroids (k, c)."""
        clusters = len(centroids)
        labels = nearest(sample, centroids)[0]
        aligned, similar, agreeing = [], [], []
        for (refit,) in bootstrap(sample, [clusters], refits=refits, seed=seed):
            table = contingency(labels, nearest(sample, refit)[0], clusters)
            aligned.append(refit[align(table)])
            similar.append(jaccard(table))
            agreeing.append(adjusted_rand(table))
        return cls(np.stack(aligned), np.mean(similar, axis=0), float(np.mean(agreeing)), len(sample))

    def of_rows(self, rows: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Return the share (n,) of refits in which each row (n, c) keeps its label (n,): its own centroid is nearest.

        Float32 is enough: it decides differently only where two centroids are equally far, to six digits.
        """
        refits, clusters, columns = self.refits.shape
        centroids = self.refits.swapaxes(0, 1).reshape(-1, columns)
        factors = np.column_stack([-2 * centroids, np.einsum("ij,ij->i", centroids, centroids)]).astype(np.float32)
        points = np.column_stack([rows, np.ones(len(rows))]).astype(np.float32)
        shares = np.empty(len(rows))
        for label in np.unique(labels):
            for found in _blocks(np.flatnonzero(labels == label)):
                scores = (factors @ points[found].T).reshape(clusters, refits, -1)  # |c|² - 2 p·c
                shares[found] = (scores[label] <= scores.min(axis=0)).mean(axis=0)
        return shares

    def certainty(self, rows: np.ndarray, labels: np.ndarray, centroids: np.ndarray) -> Certainty:
        """Return how certain the labels (n,) of rows (n, c) are, given the final centroids (k, c)."""
        return Certainty(*runners_up(rows, centroids, labels), self.of_rows(rows, labels))

    def to_bytes(self) -> bytes:
        """Pack into an .npz."""
        packed = io.BytesIO()
        np.savez(
            packed,
            allow_pickle=False,
            refits=self.refits,
            segments=self.segments,
            adjusted_rand=self.adjusted_rand,
            sample_rows=self.sample_rows,
        )
        return packed.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Unpack what `to_bytes` packed."""
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return cls(arrays["refits"], arrays["segments"], float(arrays["adjusted_rand"]), int(arrays["sample_rows"]))


def _blocks(positions: np.ndarray) -> list[np.ndarray]:
    return [positions[start : start + _BLOCK] for start in range(0, len(positions), _BLOCK)]


def bootstrap(
    sample: np.ndarray, ks: Sequence[int], *, refits: int, starts: int = FRESH_STARTS, seed: int = SEED
) -> Iterator[list[np.ndarray]]:
    """Cluster `refits` resamples of a sample (n, c): for each resample, centroids (k, c) for each of `ks`.

    A row that is drawn several times counts by a weight, so that each refit sees the 63 % of distinct rows only. The
    ks of a resample share their k-means++ starts, so that chance changes all of them alike.
    """
    random = np.random.default_rng(seed)
    for _ in range(refits):
        weights = np.bincount(random.integers(len(sample), size=len(sample)), minlength=len(sample))
        drawn = np.flatnonzero(weights)
        rows = np.asarray(sample[drawn], dtype=np.float64)
        fit = Lloyd(rows, weights[drawn])
        first = fit.starts(max(ks), starts, random)
        yield [fit.best(first[:, :k]) if len(rows) > k else np.resize(rows, (k, rows.shape[1])) for k in ks]


def runners_up(rows: np.ndarray, centroids: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the runner-up (n,) and the margin (n,) of rows (n, c), as `Certainty` has them.

    Parameters
    ----------
    centroids
        (k, c); with one centroid only, each row is its own runner-up and has the margin 1.
    labels
        (n,) the rows' own labels.
    """
    if len(centroids) == 1:
        return labels, np.ones(len(rows))
    squared = (rows.astype(np.float64) ** 2).sum(axis=1)[:, None] - 2 * rows @ centroids.T + (centroids**2).sum(axis=1)
    own = np.arange(len(rows)), labels
    first = np.sqrt(np.maximum(squared[own], 0))
    squared[own] = np.inf
    second_choice = squared.argmin(axis=1)
    second = np.sqrt(np.maximum(squared[np.arange(len(rows)), second_choice], 0))
    total = first + second
    return second_choice, np.divide(second - first, total, out=np.zeros(len(rows)), where=total > 0)
