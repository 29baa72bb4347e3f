"""The k-means container's twin: many centers by mini-batches, shrunk to k by local Lloyd's.

As documented ("How K-Means Clustering Works"): `extra_center_factor` x k centers start at random rows or by k-means++;
each mini-batch moves them, older batches counting for less by `half_life_time_size`; at the end local Lloyd's reduces
them to k, best of `local_lloyd_num_trials`. What is ours: the k centers are then polished by Lloyd's on a sample of the
rows, beside as many fresh starts on it, and the best of all is kept. docs/fidelity.md says why.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from embedded_aws.sagemaker.algorithms.lloyd import Clustering, assign, kmeans_plusplus, lloyd, sums_by_center

Array = npt.NDArray[np.float64]

_EXTRA_CENTER_FACTOR = 10
_NUM_TRIALS = 10
# Rows that the last stage sees: all of a county file, a uniform sample of more. At this size a sample's centers cost
# about k / SAMPLE_ROWS, a twentieth of a percent at k = 8, more than those of all rows.
SAMPLE_ROWS = 16_384


@dataclass
class KMeansResult:
    """The centers (k x d, float32) and what the log tells of them."""

    centers: npt.NDArray[np.float32]
    attempts: list[float]
    shrunk_from: int
    train_msd: float


@dataclass
class KMeansTrainer:
    """Takes rows in any portions, for any number of epochs, and returns k centers.

    Parameters
    ----------
    settings
        As `hyperparameters.read(KMEANS, …)` returns them.
    seed
        Seed of all random choices.
    """

    settings: dict[str, Any]
    seed: int
    rows: int = 0
    _pending: list[npt.NDArray[np.floating]] = field(default_factory=list)
    _pending_rows: int = 0
    _centers: Array = field(default_factory=lambda: np.empty((0, 0)))
    _weights: Array = field(default_factory=lambda: np.empty(0))

    def __post_init__(self) -> None:
        self._random = np.random.default_rng(self.seed)
        self._sample = _Reservoir(SAMPLE_ROWS, self._random)
        self._epoch = 0

    def add(self, rows: npt.NDArray[np.floating]) -> None:
        """Add n x features rows to the current epoch."""
        if self._epoch == 0:
            self._sample.add(rows)
            self.rows += len(rows)
        self._pending.append(rows)
        self._pending_rows += len(rows)
        size = self.settings["mini_batch_size"]
        if self._pending_rows >= size:
            together = np.concatenate(self._pending)
            full = len(together) // size * size
            for start in range(0, full, size):
                self._batch(together[start : start + size].astype(np.float64))
            rest = together[full:].copy()
            self._pending, self._pending_rows = [rest], len(rest)

    def end_epoch(self) -> None:
        """Finish an epoch: its last, incomplete mini-batch counts too."""
        if self._pending_rows:
            self._batch(np.concatenate(self._pending).astype(np.float64))
        self._pending, self._pending_rows = [], 0
        self._epoch += 1

    def finish(self) -> KMeansResult:
        """Shrink to k centers and polish them."""
        used = self._weights > 0
        centers, weights = self._centers[used], self._weights[used]
        trials = self.settings["local_lloyd_num_trials"] or _NUM_TRIALS
        shrunk = [self._local_lloyd(centers, weights) for _ in range(trials)]
        best = min(shrunk, key=lambda trial: trial.inertia)
        sample = self._sample.rows().astype(np.float64)
        ones = np.ones(len(sample))
        polished = [self._lloyd(sample, ones, best.centers), *(self._local_lloyd(sample, ones) for _ in range(trials))]
        final = min(polished, key=lambda trial: trial.inertia)
        total = float(weights.sum())
        return KMeansResult(
            centers=final.centers.astype(np.float32),
            attempts=[trial.inertia / total for trial in shrunk],
            shrunk_from=len(self._centers),
            train_msd=best.inertia / total,
        )

    def _batch(self, rows: Array) -> None:
        if not len(self._centers):
            self._centers = self._initial_centers(rows)
            self._weights = np.zeros(len(self._centers))
        half_life = self.settings["half_life_time_size"]
        if half_life:
            self._weights *= 0.5 ** (len(rows) / half_life)
        nearest = assign(rows, self._centers)[0]
        sums, counts = sums_by_center(rows, np.ones(len(rows)), nearest, len(self._centers))
        total = self._weights + counts
        moved = counts > 0
        before = self._centers[moved] * self._weights[moved, np.newaxis]
        self._centers[moved] = (before + sums[moved]) / total[moved, np.newaxis]
        self._weights = total

    def _initial_centers(self, rows: Array) -> Array:
        wanted = self.settings["k"] * (self.settings["extra_center_factor"] or _EXTRA_CENTER_FACTOR)
        count = min(wanted, len(rows))
        if self.settings["init_method"] == "random":
            chosen = self._random.choice(len(rows), count, replace=False)
            start: Array = rows[chosen].copy()
            return start
        return kmeans_plusplus(rows, np.ones(len(rows)), count, self._random)

    def _local_lloyd(self, rows: Array, weights: Array) -> Clustering:
        k = self.settings["k"]
        if len(rows) < k:
            start = rows[np.resize(np.arange(len(rows)), k)]
        elif self.settings["local_lloyd_init_method"] == "random":
            start = rows[self._random.choice(len(rows), k, replace=False)]
        else:
            start = kmeans_plusplus(rows, weights, k, self._random)
        return self._lloyd(rows, weights, start)

    def _lloyd(self, rows: Array, weights: Array, start: Array) -> Clustering:
        settings = self.settings
        return lloyd(rows, weights, start, max_iter=settings["local_lloyd_max_iter"], tol=settings["local_lloyd_tol"])


class _Reservoir:
    """A uniform sample of at most `size` rows of a stream: each row gets a random key, the smallest keys stay."""

    def __init__(self, size: int, random: np.random.Generator) -> None:
        self._size = size
        self._random = random
        self._rows: npt.NDArray[Any] = np.empty((0, 0), np.float32)
        self._keys: Array = np.empty(0)

    def add(self, rows: npt.NDArray[Any]) -> None:
        keys = self._random.random(len(rows))
        if len(self._keys) >= self._size:
            below = keys < self._keys.max()
            rows, keys = rows[below], keys[below]
        self._rows = np.concatenate([self._rows, rows]) if len(self._keys) else rows.copy()
        self._keys = np.concatenate([self._keys, keys])
        if len(self._keys) > self._size:
            # Sorted positions keep the stream's order, so that a sample of everything is the data itself.
            kept = np.sort(np.argpartition(self._keys, self._size)[: self._size])
            self._rows, self._keys = self._rows[kept], self._keys[kept]

    def rows(self) -> npt.NDArray[Any]:
        return self._rows
