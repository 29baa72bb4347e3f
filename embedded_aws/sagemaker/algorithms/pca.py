"""The twin of the PCA container: computes principal components from sums over shards, in float64 and constant memory.

As in the built-in algorithm, each host sums over its mini-batches, the sums are merged, and the components are those
of the merged covariance. The mode `regular` keeps the features x features second moment. The mode `randomized` keeps
only its product with a random matrix (features x sketch), from which Nyström's formula recovers the leading components.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

_MIN_EXTRA = 10
# Rows that are converted to float64 at a time, in a buffer that fits into a processor's second-level cache.
_BLOCK_ROWS = 1024


@dataclass(frozen=True)
class PcaResult:
    """The arrays of the artifact: `s` (n,) ascending, `v` (features, n) in the same order, `mean` (1, features)."""

    s: npt.NDArray[np.float32]
    v: npt.NDArray[np.float32]
    mean: npt.NDArray[np.float32]

    def arrays(self) -> dict[str, npt.NDArray[np.float32]]:
        """Return the arrays, by their names in `model_algo-1`."""
        return {"s": self.s, "v": self.v, "mean": self.mean}


class PcaSums:
    """Sums over rows, from which the components are computed; sums of different shards or hosts can be merged.

    The mean is subtracted from the sums at the end, and not from each row. Where it is so large that float64 loses
    digits of the variance in this way, rounding the rows to float32 has already lost about as many.

    Parameters
    ----------
    features
        Columns of the data.
    sketch
        features x p random matrix for the randomized mode; None for the regular one.
    """

    def __init__(self, features: int, sketch: Array | None = None) -> None:
        self.rows = 0
        self._sketch = sketch
        self._sum = np.zeros(features)
        self._buffer = np.empty((_BLOCK_ROWS, features))
        self._ones = np.ones(_BLOCK_ROWS)
        self._moment = np.zeros((features, features if sketch is None else sketch.shape[1]))

    def add(self, rows: npt.NDArray[np.float32]) -> None:
        """Add n x features rows."""
        for start in range(0, len(rows), _BLOCK_ROWS):
            portion = rows[start : start + _BLOCK_ROWS]
            block = self._buffer[: len(portion)]
            block[...] = portion
            self._sum += self._ones[: len(portion)] @ block
            right = block if self._sketch is None else block @ self._sketch
            self._moment += block.T @ right
        self.rows += len(rows)

    def merge(self, other: PcaSums) -> None:
        """Add another host's sums; both must have the same sketch."""
        self.rows += other.rows
        self._sum += other._sum
        self._moment += other._moment

    def solve(self, components: int, *, subtract_mean: bool = True) -> PcaResult:
        """Return the leading components.

        Parameters
        ----------
        components
            The number of components, at most the number of features.
        subtract_mean
            Whether the data is centered first; if not, the mean in the result is zero.
        """
        mean = self._sum / self.rows if subtract_mean else np.zeros_like(self._sum)
        # Σ(x-m)(x-m)ᵀ = Σxxᵀ - n·m·mᵀ
        moment = self._moment - self.rows * np.outer(mean, mean if self._sketch is None else mean @ self._sketch)
        eigenvalues, vectors = _eigen(moment, self._sketch)
        singular = np.sqrt(np.maximum(eigenvalues[-components:], 0.0))
        return PcaResult(
            s=singular.astype(np.float32),
            v=vectors[:, -components:].astype(np.float32),
            mean=mean[np.newaxis].astype(np.float32),
        )


def sketch_matrix(features: int, components: int, extra: int, seed: int) -> Array:
    """Return the random matrix of the randomized mode, with orthonormal columns.

    Parameters
    ----------
    features
        The number of rows.
    components, extra
        Their sum is the number of columns, at most `features`; an `extra` of -1 means max(10, components).
    seed
        Seed of the random numbers.
    """
    columns = min(features, components + (max(_MIN_EXTRA, components) if extra < 0 else extra))
    random = np.random.default_rng(seed).standard_normal((features, columns))
    return np.linalg.qr(random)[0]


def _eigen(moment: Array, sketch: Array | None) -> tuple[Array, Array]:
    """Return ascending eigenvalues, and eigenvectors as columns, of `moment` or of the matrix that it sketches."""
    if sketch is None:
        values, vectors = np.linalg.eigh((moment + moment.T) / 2)
        return values, vectors
    # Nyström's method with the stabilizing shift of Tropp et al., "Fixed-rank approximation of a positive-semidefinite
    # matrix from streaming data" (2017), algorithm 3.
    nudge = np.finfo(float).eps * max(np.linalg.norm(moment), np.finfo(float).tiny)
    nudged = moment + nudge * sketch
    core = sketch.T @ nudged
    values, vectors = np.linalg.eigh((core + core.T) / 2)
    root = nudged @ (vectors / np.sqrt(np.maximum(values, nudge)))
    left, singular, _ = np.linalg.svd(root, full_matrices=False)
    order = np.argsort(singular)
    return np.maximum(singular[order] ** 2 - nudge, 0.0), left[:, order]
