"""The twin of the k-means container: trains many centers with mini-batches, then reduces them to k.

As documented in "How K-Means Clustering Works", `extra_center_factor` x k centers are initialized with random rows or
by k-means++. Each mini-batch moves them, and earlier batches have less weight according to `half_life_time_size`. At
the end, local Lloyd's algorithm clusters these centers, weighted by their rows, into k. The best of
`local_lloyd_num_trials` attempts is the model. As in SageMaker, the rows are not read again, so the model depends on
the seed; docs/fidelity.md shows the distributions.
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


@dataclass
class KMeansResult:
    """The model and the figures that the training job logs.

    Attributes
    ----------
    centers
        (k, d) the model, in float32.
    attempts
        The mean squared distance of the weighted centers at the end of each attempt of local Lloyd's algorithm.
    shrunk_from
        The number of centers before the reduction to k.
    train_msd
        The lowest of `attempts`; SageMaker reports it as ``train:msd``.
    """

    centers: npt.NDArray[np.float32]
    attempts: list[float]
    shrunk_from: int
    train_msd: float


@dataclass
class KMeansTrainer:
    """Trains k centers on rows that are added in portions of any size, for any number of epochs.

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
        self._epoch = 0

    def add(self, rows: npt.NDArray[np.floating]) -> None:
        """Add n x features rows to the current epoch."""
        if self._epoch == 0:
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
        """Finish an epoch, including its last mini-batch, which may be incomplete."""
        if self._pending_rows:
            self._batch(np.concatenate(self._pending).astype(np.float64))
        self._pending, self._pending_rows = [], 0
        self._epoch += 1

    def finish(self) -> KMeansResult:
        """Reduce the centers to k."""
        used = self._weights > 0
        centers, weights = self._centers[used], self._weights[used]
        trials = self.settings["local_lloyd_num_trials"] or _NUM_TRIALS
        shrunk = [self._local_lloyd(centers, weights) for _ in range(trials)]
        best = min(shrunk, key=lambda trial: trial.inertia)
        total = float(weights.sum())
        return KMeansResult(
            centers=best.centers.astype(np.float32),
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
        settings, k = self.settings, self.settings["k"]
        if len(rows) < k:
            start = rows[np.resize(np.arange(len(rows)), k)]
        elif settings["local_lloyd_init_method"] == "random":
            start = rows[self._random.choice(len(rows), k, replace=False)]
        else:
            start = kmeans_plusplus(rows, weights, k, self._random)
        return lloyd(rows, weights, start, max_iter=settings["local_lloyd_max_iter"], tol=settings["local_lloyd_tol"])
