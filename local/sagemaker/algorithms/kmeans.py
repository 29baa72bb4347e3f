"""The k-means container's twin: many centers by mini-batches, shrunk to k by local Lloyd's.

As documented ("How K-Means Clustering Works"): `extra_center_factor` × k centers start at random rows or by k-means++;
each mini-batch moves them, older batches counting for less by `half_life_time_size`; at the end local Lloyd's reduces
them to k, best of `local_lloyd_num_trials`. What is ours: the k centers are then polished by Lloyd's on a sample of the
rows, beside as many fresh starts on it, and the best of all is kept. docs/fidelity.md says why.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.cluster import KMeans, kmeans_plusplus
from sklearn.exceptions import ConvergenceWarning

Array = npt.NDArray[np.float64]

_EXTRA_CENTER_FACTOR = 10
_NUM_TRIALS = 10
# Rows that the last stage sees: all of a county or tract file, a uniform sample of more.
SAMPLE_ROWS = 65_536
# scikit-learn keeps its seeds below this.
_SEED_LIMIT = 2**31 - 1


@dataclass
class KMeansResult:
    """The centers (k × d, float32) and what the log tells of them."""

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
    _centers: Array | None = None
    _weights: Array | None = None

    def __post_init__(self) -> None:
        self._random = np.random.default_rng(self.seed)
        self._sample = _Reservoir(SAMPLE_ROWS, self._random)
        self._epoch = 0

    def add(self, rows: npt.NDArray[np.floating]) -> None:
        """Add n × features rows to the current epoch."""
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
        assert self._centers is not None
        assert self._weights is not None
        used = self._weights > 0
        centers, weights = self._centers[used], self._weights[used]
        trials = self.settings["local_lloyd_num_trials"] or _NUM_TRIALS
        shrunk = [self._lloyd(centers, weights, self.settings["local_lloyd_init_method"]) for _ in range(trials)]
        best = min(shrunk, key=lambda model: float(model.inertia_))
        sample = self._sample.rows()
        polished = [self._lloyd(sample, None, best.cluster_centers_)]
        polished += [self._lloyd(sample, None, self.settings["local_lloyd_init_method"]) for _ in range(trials)]
        final = min(polished, key=lambda model: float(model.inertia_))
        total = float(weights.sum())
        return KMeansResult(
            centers=final.cluster_centers_.astype(np.float32),
            attempts=[float(model.inertia_) / total for model in shrunk],
            shrunk_from=len(self._centers),
            train_msd=float(best.inertia_) / total,
        )

    def _batch(self, rows: Array) -> None:
        if self._centers is None:
            self._centers = self._initial_centers(rows)
            self._weights = np.zeros(len(self._centers))
        assert self._weights is not None
        half_life = self.settings["half_life_time_size"]
        if half_life:
            self._weights *= 0.5 ** (len(rows) / half_life)
        nearest = assign(rows, self._centers)[0]
        counts = np.bincount(nearest, minlength=len(self._centers)).astype(float)
        sums = np.stack(
            [np.bincount(nearest, column, minlength=len(self._centers)) for column in rows.T], axis=1
        )
        total = self._weights + counts
        moved = counts > 0
        self._centers[moved] = (
            self._centers[moved] * self._weights[moved, np.newaxis] + sums[moved]
        ) / total[moved, np.newaxis]
        self._weights = total

    def _initial_centers(self, rows: Array) -> Array:
        wanted = self.settings["k"] * (self.settings["extra_center_factor"] or _EXTRA_CENTER_FACTOR)
        count = min(wanted, len(rows))
        if self.settings["init_method"] == "random":
            return rows[self._random.choice(len(rows), count, replace=False)].copy()
        centers: Array = kmeans_plusplus(rows, count, random_state=self._next_seed())[0]
        return centers.copy()

    def _lloyd(self, rows: npt.NDArray[Any], weights: Array | None, init: Any) -> KMeans:
        model = KMeans(
            self.settings["k"],
            init="k-means++" if isinstance(init, str) and init == "kmeans++" else init,
            n_init=1,
            max_iter=self.settings["local_lloyd_max_iter"],
            tol=self.settings["local_lloyd_tol"],
            random_state=self._next_seed(),
        )
        with warnings.catch_warnings():
            # Fewer distinct rows than k: k-means then repeats centers, as the container does.
            warnings.simplefilter("ignore", ConvergenceWarning)
            return model.fit(rows, sample_weight=weights)

    def _next_seed(self) -> int:
        return int(self._random.integers(_SEED_LIMIT))


def assign(
    rows: npt.NDArray[np.floating], centers: npt.NDArray[np.floating]
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.floating]]:
    """Return the index of each row's nearest center and its Euclidean distance, both (n,).

    Ranks by |c|² - 2x·c, which leaves out the row's own square: one matrix product for all distances. The distance
    itself is then taken from the difference, as the short formula loses digits near a center.
    """
    scores = np.einsum("ij,ij->i", centers, centers) - 2 * (rows @ centers.T)
    nearest = scores.argmin(axis=1)
    difference = rows - centers[nearest]
    return nearest, np.sqrt(np.einsum("ij,ij->i", difference, difference))


class _Reservoir:
    """A uniform sample of at most `size` rows of a stream: each row gets a random key, the smallest keys stay."""

    def __init__(self, size: int, random: np.random.Generator) -> None:
        self._size = size
        self._random = random
        self._rows: npt.NDArray[Any] | None = None
        self._keys: Array = np.empty(0)

    def add(self, rows: npt.NDArray[Any]) -> None:
        keys = self._random.random(len(rows))
        if len(self._keys) >= self._size:
            below = keys < self._keys.max()
            rows, keys = rows[below], keys[below]
        if not len(rows) and self._rows is not None:
            return
        self._rows = rows.copy() if self._rows is None else np.concatenate([self._rows, rows])
        self._keys = np.concatenate([self._keys, keys])
        if len(self._keys) > self._size:
            # Sorted positions keep the stream's order, so that a sample of everything is the data itself.
            kept = np.sort(np.argpartition(self._keys, self._size)[: self._size])
            self._rows, self._keys = self._rows[kept], self._keys[kept]

    def rows(self) -> npt.NDArray[Any]:
        assert self._rows is not None
        return self._rows
