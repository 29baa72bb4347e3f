"""K-means of rows in memory: Lloyd's algorithm from several k-means++ starts at once.

scikit-learn's KMeans runs one start after the other, and on a few thousand rows its set-up takes as long as its work.
Here, a pass over the rows is two matrix products for all starts together.
"""

import numpy as np

TOLERANCE = 1e-4
"""As scikit-learn's: the squared shift of all centroids, relative to the mean variance of the columns."""

_MAX_PASSES = 300
_TRIAL_PASSES = 8
_BATCH = 2**18  # distances that a pass holds: they stay in a processor's cache


class Lloyd:
    """Lloyd's algorithm over rows (n, c), of which each may count by a weight (n,).

    It computes in float32, with the rows centered: about six digits of the distances between rows and centroids. A
    centroid without rows stays where it is.
    """

    def __init__(self, rows: np.ndarray, weights: np.ndarray | None = None) -> None:
        self._mean = rows.mean(axis=0, dtype=np.float64)
        self._rows = (rows - self._mean).astype(np.float32)
        self._weights = np.ones(len(rows), np.float32) if weights is None else weights.astype(np.float32)
        self._squares = np.einsum("ij,ij->i", self._rows, self._rows)
        self._variance = float(self._rows.var(axis=0).mean())
        with_ones = np.column_stack([self._rows, np.ones(len(rows), np.float32)])
        self._points = np.ascontiguousarray(with_ones.T)  # (c + 1, n)
        self._weighted = with_ones * self._weights[:, None]  # (n, c + 1)
        self._buffer = np.empty((0, len(rows)), np.float32)

    def starts(self, clusters: int, count: int, random: np.random.Generator) -> np.ndarray:
        """Choose `count` times k rows that lie far from one another: (count, k, c) first centroids.

        This is k-means++ of Arthur and Vassilvitskii (2007). The first j of k centroids are a start for j clusters.
        """
        chosen = np.empty((count, clusters, self._rows.shape[1]))
        squared = np.full((count, len(self._rows)), np.inf, np.float32)
        odds = np.broadcast_to(self._weights, squared.shape)
        for cluster in range(clusters):
            cumulative = np.cumsum(odds, axis=1, dtype=np.float64)
            drawn = random.random(count) * cumulative[:, -1]
            picks = [int(np.searchsorted(row, at, side="right")) for row, at in zip(cumulative, drawn, strict=True)]
            picked = self._rows[np.minimum(picks, len(self._rows) - 1)]  # beyond the end if all odds are zero
            chosen[:, cluster] = picked + self._mean
            distances = self._scores(picked)
            distances += self._squares
            np.minimum(squared, np.maximum(distances, 0, out=distances), out=squared)
            odds = squared * self._weights
        return chosen

    def best(self, starts: np.ndarray, *, tolerance: float = TOLERANCE) -> np.ndarray:
        """Return the centroids (k, c) with the lowest inertia that Lloyd's algorithm finds from starts (s, k, c).

        After a few passes, the better third of the starts goes on until the centroids rest; the others would seldom
        become the best.
        """
        centroids = (starts - self._mean).astype(np.float32)
        if len(centroids) > 1:
            batch = max(1, _BATCH // (centroids.shape[1] * len(self._rows)))
            batches = [centroids[first : first + batch] for first in range(0, len(centroids), batch)]
            tried = [self._move(each, _TRIAL_PASSES, tolerance) for each in batches]
            inertia = np.concatenate([each[1] for each in tried])
            survivors = np.argsort(inertia, kind="stable")[: -(-len(centroids) // 3)]
            centroids = np.concatenate([each[0] for each in tried])[survivors]
        ends, inertia = self._move(centroids, _MAX_PASSES, tolerance)
        best: np.ndarray = ends[inertia.argmin()] + self._mean
        return best

    def _move(self, centroids: np.ndarray, passes: int, tolerance: float) -> tuple[np.ndarray, np.ndarray]:
        """Move the centroids (s, k, c) of each start until they rest; return them and each start's inertia (s,)."""
        centroids, inertia = centroids.copy(), np.empty(len(centroids))
        moving = np.arange(len(centroids))
        for _ in range(passes):
            before = centroids[moving]
            centroids[moving], inertia[moving] = self._pass(before)
            shift = ((centroids[moving] - before) ** 2).sum(axis=(1, 2))
            moving = moving[shift > tolerance * self._variance]
            if not len(moving):
                break
        return centroids, inertia

    def _pass(self, centroids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the means (s, k, c) of the rows nearest to each centroid, and the inertia (s,) before the move."""
        starts, clusters, columns = centroids.shape
        scores = self._scores(centroids.swapaxes(0, 1).reshape(-1, columns))
        by_cluster = scores.reshape(clusters, starts, -1)
        lowest = by_cluster.min(axis=0)
        np.equal(by_cluster, lowest, out=by_cluster)  # from here on, 1 if the row belongs to the centroid, else 0
        sums = (scores @ self._weighted).reshape(clusters, starts, columns + 1).swapaxes(0, 1)
        counts = sums[..., columns:]
        means = np.where(counts > 0, sums[..., :columns] / np.maximum(counts, 1), centroids)
        return means, lowest @ self._weights + self._weights @ self._squares

    def _scores(self, centroids: np.ndarray) -> np.ndarray:
        """Return |c|² - 2 p·c (m, n) for centroids (m, c): squared distances without the rows' own squares.

        The next call overwrites the result: new memory for each pass would take longer than the products.
        """
        if len(self._buffer) < len(centroids):
            self._buffer = np.empty((len(centroids), len(self._rows)), np.float32)
        factors = np.column_stack([-2 * centroids, np.einsum("ij,ij->i", centroids, centroids)])
        scores: np.ndarray = np.matmul(factors, self._points, out=self._buffer[: len(centroids)])
        return scores
