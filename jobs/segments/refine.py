"""Refining SageMaker's centroids: Lloyd's algorithm over all rows, from several starts, the best result kept.

SageMaker's k-means reads the rows in mini-batches and never returns to them, so its centroids differ from run to run.
Lloyd's over all rows, from its centroids and from the best of many k-means++ starts on a sample, ends in the same place
each time: the seed is constant, and the sample does not depend on the order of the file.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypedDict

import numpy as np

from jobs.segments.alignment import agreement, contingency
from jobs.segments.kmeans import nearest
from jobs.segments.lloyd import Lloyd

SEED = 20190308
"""Any constant serves: with the same rows, the same seed and enough starts, every run has the same result."""

_MAX_PASSES = 100
# A pass that moves no centroid by more than this share of the rows' standard deviation is the last one. On the
# sample, Lloyd's goes on until nothing moves; over a large file, that could take hundreds of passes.
_TOLERANCE = 1e-3
# The mean squared distances of the best local optima of the real file differ by a few millionths.
_EQUALLY_GOOD = 1e-3

Blocks = Callable[[], Iterable[np.ndarray]]
"""Starts a pass over all rows, in blocks of (n, c)."""


class RefinementSummary(TypedDict):
    """The content of refinement.json: the measures of a `Refinement`."""

    sagemaker_msd: float
    refined_msd: float
    rows_moved: int
    passes: int


@dataclass(frozen=True)
class Refinement:
    """Refined centroids, and how they compare with those they were refined from.

    Attributes
    ----------
    centroids
        (k, c) in canonical order.
    sagemaker_msd, refined_msd
        Mean squared distance of all rows to the nearest centroid, before and after.
    rows_moved
        Rows whose segment differs before and after, once the segments are aligned.
    passes
        How often all rows were read.
    """

    centroids: np.ndarray
    sagemaker_msd: float
    refined_msd: float
    rows_moved: int
    passes: int

    def summary(self) -> RefinementSummary:
        """Return the content of refinement.json."""
        return RefinementSummary(
            sagemaker_msd=self.sagemaker_msd,
            refined_msd=self.refined_msd,
            rows_moved=self.rows_moved,
            passes=self.passes,
        )


def fresh_start(sample: np.ndarray, clusters: int, *, restarts: int, seed: int = SEED) -> np.ndarray:
    """Return the best centroids (k, c) of `restarts` k-means++ starts on a sample (n, c).

    A sample with fewer rows than clusters has each row as a centroid, some of them repeated.
    """
    if len(sample) <= clusters:
        return np.resize(sample, (clusters, sample.shape[1])).astype(np.float64)
    fit = Lloyd(sample)
    best = fit.best(fit.starts(clusters, restarts, np.random.default_rng(seed)), tolerance=0)
    return _Pass.of([sample], best).means  # with the digits of float64


def refine(blocks: Blocks, sagemaker: np.ndarray, fresh: np.ndarray, sample: np.ndarray) -> Refinement:
    """Refine SageMaker's centroids over all rows.

    SageMaker's centroids first move by Lloyd's on the sample, as the fresh start's did. If they are then better than
    the fresh start's by more than 0.1 %, they move over all rows; otherwise the fresh start's do, because they are the
    same in every run. Up to SAMPLE_ROWS rows, the sample is all rows.

    Parameters
    ----------
    blocks
        Starts a pass over the components of all rows; memory holds one block.
    sagemaker
        (k, c) the training job's centroids.
    fresh
        (k, c) the best fresh start's.
    sample
        (n, c) an even sample of the rows.
    """
    polished = Lloyd(sample).best(sagemaker[None], tolerance=0) if len(sample) > len(sagemaker) else sagemaker
    is_better = _Pass.of([sample], polished).msd < (1 - _EQUALLY_GOOD) * _Pass.of([sample], fresh).msd
    start = polished if is_better else fresh
    last, passes = _lloyd(blocks, start)
    centroids = canonical_order(last.centroids)
    before, table = 0.0, np.zeros((len(centroids), len(centroids)), dtype=np.int64)
    for block in blocks():
        old, squared = nearest(block, sagemaker)
        before += float(squared.sum())
        table += contingency(old, nearest(block, centroids)[0], len(centroids))
    rows = int(table.sum())
    return Refinement(
        centroids=centroids,
        sagemaker_msd=before / rows,
        refined_msd=last.msd,
        rows_moved=rows - agreement(table),
        passes=passes + 1,
    )


def canonical_order(centroids: np.ndarray) -> np.ndarray:
    """Sort centroids (k, c) by their first component, ascending; ties by the next one.

    The components' signs are fixed (see `PcaModel`), so the same centroids get the same numbers in every run.
    """
    return centroids[np.lexsort(centroids.T[::-1])]


@dataclass(frozen=True)
class _Pass:
    """What one pass over the rows finds.

    Attributes
    ----------
    centroids
        (k, c) those that the rows were assigned to.
    means
        (k, c) of the rows of each centroid; a centroid without a row stays where it is.
    msd
        Mean squared distance to the nearest centroid.
    deviation
        Root mean square of the components' standard deviations, over all rows.
    """

    centroids: np.ndarray
    means: np.ndarray
    msd: float
    deviation: float

    @classmethod
    def of(cls, blocks: Iterable[np.ndarray], centroids: np.ndarray) -> "_Pass":
        clusters = len(centroids)
        counts, sums = np.zeros(clusters), np.zeros(centroids.shape)
        squared_distances, squares = 0.0, 0.0
        for block in blocks:
            labels, squared = nearest(block, centroids)
            counts += np.bincount(labels, minlength=clusters)
            sums += np.stack([np.bincount(labels, column, minlength=clusters) for column in block.T], axis=1)
            squared_distances += float(squared.sum())
            squares += float(np.einsum("ij,ij->", block, block, dtype=np.float64))
        rows = counts.sum()
        variance = squares / rows - float(((sums.sum(axis=0) / rows) ** 2).sum())
        return cls(
            centroids=centroids,
            means=np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], centroids),
            msd=squared_distances / rows,
            deviation=math.sqrt(max(variance, 0.0) / centroids.shape[1]),
        )


def _lloyd(blocks: Blocks, start: np.ndarray) -> tuple[_Pass, int]:
    """Repeat passes until the centroids rest; return the last pass, and how many there were."""
    centroids = np.asarray(start, dtype=np.float64)
    passes = 0
    while True:
        found, passes = _Pass.of(blocks(), centroids), passes + 1
        rest = np.abs(found.means - centroids).max() <= _TOLERANCE * found.deviation
        if rest or passes == _MAX_PASSES:
            return found, passes
        centroids = found.means
