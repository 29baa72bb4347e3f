"""Statistics of labeled rows, whose size does not grow with the number of rows.

Label reduces each shard to a `SegmentStatistics`, and Publish merges them. Only the list of rows for the map and the
table grows, and it is kept for at most `MAX_LISTED_ROWS` rows.
"""

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any, Self

import numpy as np

from jobs.segments.alignment import contingency
from jobs.segments.rows import NUMBERS, Certainty, Regions, Rows
from jobs.segments.sampling import candidates, spread
from jobs.segments.scaling import Scaling

HISTOGRAM_BINS = 50  # the notebook's commute histograms
SAMPLE_ROWS = 4_096  # silhouettes compare every pair of rows, which takes half a second for 4,096
MAX_LISTED_ROWS = 100_000  # browsers become slow with more
STABLE = 0.9  # rows that keep their segment in fewer of the refits are reported as uncertain

_WHOLE_TOLERANCE = 0.01  # float32 features differ from the original by about 1e-7 of their range
_FLOAT32_ERROR = 1.2e-7
_FIRST_ROWS = 256


@dataclass(frozen=True)
class SegmentStatistics:
    """Mergeable statistics of labeled rows; features are in scaled units (0..1).

    Segments are in the order of the centroids in the artifact.

    Attributes
    ----------
    counts
        (k,) rows per segment.
    sums, squares
        (k, d) sums and sums of squares of the features.
    histogram
        (k, d, HISTOGRAM_BINS) rows in equal bins over 0..1.
    squared_distances
        (k,) sums of the squared distances of the rows to their centroid.
    whole
        (d,) True where every value is a whole number in original units.
    unstable
        (k, k) rows that keep their segment in fewer than STABLE of the refits, by centroid and runner-up.
    nearest, farthest
        The rows nearest to and farthest from each centroid.
    borders
        The rows with the smallest margin between each pair of segments.
    sample, sample_features
        An even sample of all rows, which does not depend on the shards, and its scaled features.
    listed
        All rows, or None if the run has more than MAX_LISTED_ROWS.
    """

    counts: np.ndarray
    sums: np.ndarray
    squares: np.ndarray
    histogram: np.ndarray
    squared_distances: np.ndarray
    whole: np.ndarray
    unstable: np.ndarray
    nearest: Rows
    farthest: Rows
    borders: Rows
    sample: Rows
    sample_features: np.ndarray
    listed: Rows | None

    @classmethod
    def of_shard(
        cls,
        *,
        scaled: np.ndarray,
        components: np.ndarray,
        labels: np.ndarray,
        distances: np.ndarray,
        certainty: Certainty,
        regions: Regions,
        scaling: Scaling,
        clusters: int,
        first_row: int,
        previous_labels: np.ndarray | None = None,
    ) -> Self:
        """Reduce one shard.

        Parameters
        ----------
        scaled
            (n, d) the scaled features.
        components
            (n, c) the kept components, largest first.
        labels, distances
            (n,) as the k-means endpoint returned them.
        certainty
            Of the same rows.
        regions
            The rows' names.
        scaling
            Of the whole run; its `rows_kept` decides whether the rows are listed.
        clusters
            k, the number of segments.
        first_row
            The number of the shard's first row in the run, from 0.
        previous_labels
            (n,) the segments' numbers by the previous run's model, if there is one.
        """
        labels = np.asarray(labels).astype(np.int64)
        rows = Rows(
            index=first_row + np.arange(len(labels), dtype=np.int64),
            labels=labels,
            distances=np.asarray(distances, dtype=np.float64),
            components=np.asarray(components, dtype=np.float32),
            runners_up=certainty.runners_up.astype(np.int64),
            margins=certainty.margins,
            stabilities=certainty.stabilities,
            previous_labels=np.full(len(labels), -1) if previous_labels is None else previous_labels,
            regions=regions,
        )
        values = np.asarray(scaled, dtype=np.float64)
        member = (labels == np.arange(clusters)[:, None]).astype(np.float64)  # (k, n)
        chosen = candidates(_hashes(rows.index), SAMPLE_ROWS, scaling.rows_kept)
        chosen = chosen[_even_sample(rows.index[chosen])]
        return cls(
            counts=np.bincount(labels, minlength=clusters),
            sums=member @ values,
            squares=member @ values**2,
            histogram=_histogram(values, labels, clusters),
            squared_distances=member @ rows.distances**2,
            whole=_whole(values, scaling),
            unstable=_unstable(rows, clusters),
            nearest=rows.exemplars(nearest=True),
            farthest=rows.exemplars(nearest=False),
            borders=rows.on_borders(),
            sample=rows.take(chosen),
            sample_features=np.asarray(scaled, dtype=np.float32)[chosen],
            listed=rows if scaling.rows_kept <= MAX_LISTED_ROWS else None,
        )

    @classmethod
    def merge(cls, parts: Iterable["SegmentStatistics"]) -> "SegmentStatistics":
        """Merge the statistics of shards, given in the order of their rows.

        Raises
        ------
        ValueError
            If there is no part.
        """
        waiting = iter(parts)
        first = next(waiting, None)
        if first is None:
            raise ValueError("no statistics to merge: the run has no shard")
        return reduce(_merge, waiting, first)

    def to_bytes(self) -> bytes:
        """Serialize to .npz, without anything that has to be pickled."""
        arrays: dict[str, np.ndarray] = {name: getattr(self, name) for name in _ARRAYS}
        for name in _ROWS:
            rows: Rows | None = getattr(self, name)
            if rows is not None:
                arrays |= _pack(name, rows)
        packed = io.BytesIO()
        np.savez(packed, allow_pickle=False, **arrays)
        return packed.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read what `to_bytes` wrote."""
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            fields: dict[str, Any] = {name: arrays[name] for name in _ARRAYS}
            for name in _ROWS:
                fields[name] = _unpack(name, arrays) if f"{name}.index" in arrays else None
            return cls(**fields)

    @property
    def rows(self) -> int:
        """Number of labeled rows."""
        return int(self.counts.sum())

    @property
    def mean_squared_distance(self) -> float:
        """Mean squared distance of the rows to their centroids, which k-means minimizes."""
        return float(self.squared_distances.sum() / max(self.rows, 1))


_ARRAYS = ("counts", "sums", "squares", "histogram", "squared_distances", "whole", "unstable", "sample_features")
_ROWS = ("nearest", "farthest", "borders", "sample", "listed")


def _merge(one: SegmentStatistics, other: SegmentStatistics) -> SegmentStatistics:
    sample = one.sample.join(other.sample)
    chosen = _even_sample(sample.index)
    listed = None
    if one.listed is not None and other.listed is not None:
        listed = one.listed.join(other.listed)
    return SegmentStatistics(
        counts=one.counts + other.counts,
        sums=one.sums + other.sums,
        squares=one.squares + other.squares,
        histogram=one.histogram + other.histogram,
        squared_distances=one.squared_distances + other.squared_distances,
        whole=one.whole & other.whole,
        unstable=one.unstable + other.unstable,
        nearest=one.nearest.join(other.nearest).exemplars(nearest=True),
        farthest=one.farthest.join(other.farthest).exemplars(nearest=False),
        borders=one.borders.join(other.borders).on_borders(),
        sample=sample.take(chosen),
        sample_features=np.concatenate([one.sample_features, other.sample_features])[chosen],
        listed=listed,
    )


def _histogram(values: np.ndarray, labels: np.ndarray, clusters: int) -> np.ndarray:
    columns = values.shape[1]
    bins = np.clip((values * HISTOGRAM_BINS).astype(np.int64), 0, HISTOGRAM_BINS - 1)
    cell = (labels[:, None] * columns + np.arange(columns)) * HISTOGRAM_BINS + bins
    size = clusters * columns * HISTOGRAM_BINS
    return np.bincount(cell.ravel(), minlength=size).reshape(clusters, columns, HISTOGRAM_BINS)


def _whole(values: np.ndarray, scaling: Scaling) -> np.ndarray:
    """Return which columns (d,) of scaled values (n, d) have whole numbers only in original units."""
    whole = np.ones(values.shape[1], dtype=bool)
    # Most columns are excluded by their first rows, which leaves few to look at in full.
    for rows in (values[:_FIRST_ROWS], values):
        span = scaling.range[whole]
        original = rows[:, whole] * span + scaling.minimum[whole]
        tolerance = np.maximum(_WHOLE_TOLERANCE, _FLOAT32_ERROR * span)
        whole[whole] = (np.abs(original - np.rint(original)) <= tolerance).all(axis=0)
    return whole


def _unstable(rows: Rows, clusters: int) -> np.ndarray:
    found = rows.stabilities < STABLE
    return contingency(rows.labels[found], rows.runners_up[found], clusters)


def _even_sample(index: np.ndarray) -> np.ndarray:
    """Return the positions of the SAMPLE_ROWS rows with the smallest hashes of their indexes, in row order.

    The hash depends only on the index of the row in the run, so merging the samples of shards gives the sample of the
    whole run.
    """
    return np.sort(np.argsort(_hashes(index))[:SAMPLE_ROWS])


def _hashes(index: np.ndarray) -> np.ndarray:
    return spread(index.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15))


def _pack(name: str, rows: Rows) -> dict[str, np.ndarray]:
    packed: dict[str, np.ndarray] = {f"{name}.{column}": getattr(rows, column) for column in NUMBERS}
    packed[f"{name}.regions"] = np.frombuffer(b"".join(line + b"\n" for line in rows.regions.lines), dtype=np.uint8)
    return packed


def _unpack(name: str, arrays: Mapping[str, np.ndarray]) -> Rows:
    columns: dict[str, Any] = {column: arrays[f"{name}.{column}"] for column in NUMBERS}
    return Rows(**columns, regions=Regions.read(arrays[f"{name}.regions"].tobytes()))
