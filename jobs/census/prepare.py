"""Read a census CSV, refuse or clean it, scale it to 0..1, and write it as shards for SageMaker.

The source is streamed twice: the first pass validates everything and finds each column's range, the second scales and
writes. Memory holds one block of text and one shard, so it doesn't grow with the rows.

What the columns are, without naming a feature: State and County name a region; the first of CensusId, CountyId,
CensusTract, TractId, GEOID and FIPS, in this order and whatever their case, keeps regions apart (text: leading zeros
stay), else the row's number does; a column in which no cell is a number is descriptive and left out; all others are
features. A row with any empty cell is dropped and reported; a column with one value is kept out of the model and
reported. A negative number is refused: no census measure is negative, and the American Community Survey writes
-666666666 and the like for missing values. So are marks such as NA, thousands separators, percent and currency signs:
each could be read in two ways, and the remedy is said.
"""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from contract.layout import Shard
from contract.names import MAX_SHARD_BYTES
from jobs.census.cells import Index
from jobs.census.problems import InvalidCensus, Problem
from jobs.census.scaler import ConstantFeature, DroppedRegion, IgnoredColumn, RowCounts, Scaler, Source
from jobs.census.survey import Column, Survey, any_of
from jobs.census.table import CensusTable
from jobs.sagemaker import recordio

__all__ = ["InvalidCensus", "Prepared", "Problem", "Sink", "SourceChanged", "prepare", "rows_per_shard"]

_REGIONS_HEADER = b"id,state,county\n"


class Writer(Protocol):
    """What a sink's file can do."""

    def write(self, data: bytes, /) -> Any:
        """Append bytes."""


class Sink(Protocol):
    """Where prepared files go."""

    def open(self, name: str) -> AbstractContextManager[Writer]:
        """Open a file by its name under the run's prepared prefix; left by an exception, it must not appear."""


class SourceChanged(RuntimeError):  # noqa: N818 - it says what happened
    """The second pass read other bytes than the first: the caller didn't pin the object's version."""


@dataclass(frozen=True)
class Prepared:
    """What was prepared, and from what.

    Attributes
    ----------
    features
        The names of the columns in the shards, in order.
    minimum, maximum, scaled_mean
        Per feature, the first two in the column's own unit, the last between 0 and 1.
    rows_read, rows_dropped
        Rows of the file, and those among them with an empty cell.
    dropped_regions
        The first hundred of these: ``{"row", "id", "name", "empty_columns"}``.
    constant_features
        Columns with one value, kept out of the model: ``{"name", "value"}``.
    ignored_columns
        Other columns kept out of the model: ``{"name", "reason"}``.
    source
        The file: ``sha256`` and ``bytes`` as stored, ``encoding``, ``compression``, ``delimiter``, ``decimal_mark``,
        ``id_column`` (``None`` where the row's number is the id).
    shards
        In the order of the rows.
    """

    features: list[str]
    minimum: list[float]
    maximum: list[float]
    scaled_mean: list[float]
    rows_read: int
    rows_dropped: int
    dropped_regions: list[DroppedRegion]
    constant_features: list[ConstantFeature]
    ignored_columns: list[IgnoredColumn]
    source: Source
    shards: list[Shard]

    @property
    def rows_kept(self) -> int:
        """Rows in the shards."""
        return self.rows_read - self.rows_dropped

    def scaler(self) -> Scaler:
        """Return the content of scaler.json."""
        return Scaler(
            features=self.features,
            minimum=self.minimum,
            maximum=self.maximum,
            scaled_mean=self.scaled_mean,
            dropped_regions=self.dropped_regions,
            constant_features=self.constant_features,
            ignored_columns=self.ignored_columns,
            source=self.source,
            rows=RowCounts(read=self.rows_read, dropped=self.rows_dropped, kept=self.rows_kept),
        )


def prepare(
    open_source: Callable[[], BinaryIO], sink: Sink, *, minimum_rows: int, components: int | None = None
) -> Prepared:
    """Validate, clean, scale and shard a census CSV.

    Parameters
    ----------
    open_source
        Opens the same bytes anew at each call; called twice.
    sink
        Takes ``train/part-00000.pbr`` …, ``regions.csv``, ``scaler.json`` and, last, ``shards.json``. The same source
        always gives the same bytes.
    minimum_rows
        How many complete rows the clustering needs: k, or the largest k that is tried.
    components
        PCA's components; ``None`` means one fewer than there are features.

    Returns
    -------
    Prepared
        What was written.

    Raises
    ------
    InvalidCensus
        When the file can't be used; nothing is written.
    SourceChanged
        When the second pass meets another file than the first.
    """
    with closing(open_source()) as stream:
        survey = Survey(CensusTable(stream))
    features = survey.judge(minimum_rows, components)
    with closing(open_source()) as stream:
        scaled_mean, shards = _write_shards(CensusTable(stream), survey, features, sink)
    prepared = Prepared(
        features=[column.name for column in features],
        minimum=[column.minimum for column in features],
        maximum=[column.maximum for column in features],
        scaled_mean=scaled_mean,
        rows_read=survey.rows_read,
        rows_dropped=survey.rows_read - survey.rows_kept,
        dropped_regions=survey.dropped_regions,
        constant_features=survey.constant_features(),
        ignored_columns=survey.ignored_columns(),
        source=survey.source,
        shards=shards,
    )
    for name, document in (("scaler.json", prepared.scaler()), ("shards.json", [asdict(shard) for shard in shards])):
        with sink.open(name) as file:
            file.write((json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode())
    return prepared


def rows_per_shard(features: int) -> int:
    """Return how many rows fit a request of either model and its answer, whatever number of components is kept."""
    one = np.zeros(1, np.float32)
    answer_of_pca = recordio.encode_labels({"projection": np.zeros((1, features - 1), np.float32)})
    answer_of_kmeans = recordio.encode_labels({"closest_cluster": one, "distance_to_cluster": one})
    row = max(recordio.frame_bytes(features, np.float32), len(answer_of_pca), len(answer_of_kmeans))
    return max(1, MAX_SHARD_BYTES // row)


class _Shards:
    """Gathers scaled rows and writes a shard whenever one is full."""

    def __init__(self, features: int, sink: Sink, regions: Writer) -> None:
        self._sink = sink
        self._regions = regions
        self._rows = np.empty((rows_per_shard(features), features), np.float32)
        self._filled = 0
        self._regions_start = self._regions_end = len(_REGIONS_HEADER)
        self.written: list[Shard] = []
        regions.write(_REGIONS_HEADER)

    def add(self, rows: NDArray[np.float32], regions: bytes, line_lengths: Index) -> None:
        """Append scaled rows and their lines of regions.csv."""
        self._regions.write(regions)
        done = 0
        while done < len(rows):
            take = min(len(rows) - done, len(self._rows) - self._filled)
            self._rows[self._filled : self._filled + take] = rows[done : done + take]
            self._regions_end += int(line_lengths[done : done + take].sum())
            self._filled += take
            done += take
            if self._filled == len(self._rows):
                self.flush()

    def flush(self) -> None:
        """Write what is gathered, if anything."""
        if not self._filled:
            return
        first_row = sum(shard.rows for shard in self.written[-1:]) + (self.written[-1].first_row if self.written else 0)
        shard = Shard(
            part=f"part-{len(self.written):05d}",
            rows=self._filled,
            first_row=first_row,
            regions_start=self._regions_start,
            regions_end=self._regions_end,
        )
        with self._sink.open(f"train/{shard.part}.pbr") as file:
            file.write(recordio.encode(self._rows[: self._filled]))
        self.written.append(shard)
        self._filled, self._regions_start = 0, self._regions_end


def _write_shards(
    table: CensusTable, survey: Survey, features: list[Column], sink: Sink
) -> tuple[list[float], list[Shard]]:
    """Scale and write every complete row; return the features' means of what was written, and the shards."""
    sums = np.zeros(len(features))
    with sink.open("regions.csv") as regions:
        shards = _Shards(len(features), sink, regions)
        for cells in table:
            numbers = {column.index: cells.numbers(column.index, table.decimal_mark) for column in features}
            incomplete = any_of(numbers[i].empty if i in numbers else cells.empty(i) for i in table.header.named)
            complete = np.arange(len(cells)) if incomplete is None else np.flatnonzero(~incomplete)
            rows = np.empty((len(complete), len(features)), np.float32)
            for place, column in enumerate(features):
                values = numbers[column.index].values
                scaled = column.scaled(values if incomplete is None else values[complete])
                sums[place] += scaled.sum()
                rows[:, place] = scaled
            shards.add(rows, *cells.csv_lines(table.header.region_columns, complete))
        shards.flush()
        written = sum(shard.rows for shard in shards.written)
        if (table.text.sha256, written) != (survey.source["sha256"], survey.rows_kept):
            raise SourceChanged("the CSV changed while it was read; open one version of the object, both times")
    return (sums / written).tolist(), shards.written
