"""Turns a census CSV into scaled shards for SageMaker, or refuses it.

The source is streamed twice: the first pass validates everything and finds the range of each column, the second pass
scales and writes. Memory holds one block of text and one shard, so it does not grow with the number of rows.

Columns: State and County name a region. The first of CensusId, CountyId, CensusTract, TractId, GEOID and FIPS, in this
order and in upper or lower case, identifies it; it is read as text, so leading zeros stay. Without any of them, the
number of the row identifies the region. A column in which no cell is a number is a description and is left out. All
other columns are features.

Rows with an empty cell are dropped and reported. Columns with a single value are left out of the model and reported.
Negative numbers are refused, because no census measure is negative and the American Community Survey uses numbers such
as -666666666 for missing values. Marks such as NA, thousands separators, and percent and currency signs are refused
with a remedy, because each can be read in two ways.
"""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from contract.names import MAX_SHARD_BYTES
from contract.payloads import Shard
from jobs.census.cells import Index
from jobs.census.problems import InvalidCensus, Problem
from jobs.census.scaler import ConstantFeature, CorrectedColumn, DroppedRegion, IgnoredColumn, RowCounts, Scaler, Source
from jobs.census.survey import Column, Survey, any_of
from jobs.census.table import CensusTable
from jobs.sagemaker import recordio

__all__ = ["InvalidCensus", "Prepared", "Problem", "Sink", "SourceChanged", "prepare", "rows_per_shard"]

_REGIONS_HEADER = b"id,state,county\n"


class Writer(Protocol):
    """A file of a sink."""

    def write(self, data: bytes, /) -> Any:
        """Append bytes."""


class Sink(Protocol):
    """The destination of prepared files."""

    def open(self, name: str) -> AbstractContextManager[Writer]:
        """Open a file by its name under the prefix of prepared files; after an exception, it must not appear."""


class SourceChanged(RuntimeError):  # noqa: N818 - the name says what happened
    """The second pass read different bytes than the first, because the caller did not pin the object's version."""


@dataclass(frozen=True)
class Prepared:
    """The result of preparing a file.

    Attributes
    ----------
    features
        The names of the columns in the shards, in order.
    minimum, maximum, scaled_mean
        Per feature; the first two in the unit of the column, the last between 0 and 1.
    rows_read, rows_dropped
        The number of rows in the file, and of those with an empty cell.
    dropped_regions
        The first hundred dropped rows: ``{"row", "id", "name", "empty_columns"}``.
    constant_features
        Columns with a single value, left out of the model: ``{"name", "value"}``.
    ignored_columns
        Other columns left out of the model: ``{"name", "reason"}``.
    corrected_columns
        Columns that lost their decimal points, and were divided to restore them: ``{"name", "divided_by"}``.
    source
        The file: ``sha256`` and ``bytes`` as stored, ``encoding``, ``compression``, ``delimiter``, ``decimal_mark``,
        ``id_column`` (``None`` if the number of the row is the id).
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
    corrected_columns: list[CorrectedColumn]
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
            corrected_columns=self.corrected_columns,
            source=self.source,
            rows=RowCounts(read=self.rows_read, dropped=self.rows_dropped, kept=self.rows_kept),
        )


def prepare(
    open_source: Callable[[], BinaryIO],
    sink: Sink,
    *,
    minimum_rows: int,
    components: int | None = None,
    correct_shares: bool = False,
) -> Prepared:
    """Validate, clean, scale and shard a census CSV.

    Parameters
    ----------
    open_source
        Opens the same bytes anew at each call; called twice.
    sink
        Receives ``train/part-00000.pbr`` and so on, ``regions.csv``, ``scaler.json`` and, last, ``shards.json``. The
        same source always results in the same bytes.
    minimum_rows
        The number of complete rows that the clustering needs: k, or the largest k that is tried.
    components
        The number of PCA's components; ``None`` means one fewer than there are features.
    correct_shares
        Whether percentages that lost their decimal points are corrected instead of refused.

    Returns
    -------
    Prepared
        What was written.

    Raises
    ------
    InvalidCensus
        If the file cannot be used; nothing is written.
    SourceChanged
        If the second pass reads a different file than the first.
    """
    with closing(open_source()) as stream:
        survey = Survey(CensusTable(stream))
    features = survey.judge(minimum_rows, components, correct_shares=correct_shares)
    with closing(open_source()) as stream:
        scaled_mean, shards = _write_shards(CensusTable(stream), survey, features, sink)
    prepared = Prepared(
        features=[column.name for column in features],
        minimum=[column.minimum / column.divisor for column in features],
        maximum=[column.maximum / column.divisor for column in features],
        scaled_mean=scaled_mean,
        rows_read=survey.rows_read,
        rows_dropped=survey.rows_read - survey.rows_kept,
        dropped_regions=survey.dropped_regions,
        constant_features=survey.constant_features(),
        ignored_columns=survey.ignored_columns(),
        corrected_columns=survey.corrected_columns(),
        source=survey.source,
        shards=shards,
    )
    for name, document in (("scaler.json", prepared.scaler()), ("shards.json", shards)):
        with sink.open(name) as file:
            file.write((json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode())
    return prepared


def rows_per_shard(features: int) -> int:
    """Return how many rows fit the request and the response of either model, for any number of kept components."""
    one = np.zeros(1, np.float32)
    response_of_pca = recordio.encode_labels({"projection": np.zeros((1, features - 1), np.float32)})
    response_of_kmeans = recordio.encode_labels({"closest_cluster": one, "distance_to_cluster": one})
    row = max(recordio.frame_bytes(features, np.float32), len(response_of_pca), len(response_of_kmeans))
    return max(1, MAX_SHARD_BYTES // row)


class _Shards:
    """Collects scaled rows and writes a shard whenever one is full."""

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
        """Write the collected rows, if there are any."""
        if not self._filled:
            return
        first_row = self.written[-1]["first_row"] + self.written[-1]["rows"] if self.written else 0
        shard = Shard(
            part=f"part-{len(self.written):05d}",
            rows=self._filled,
            first_row=first_row,
            regions_start=self._regions_start,
            regions_end=self._regions_end,
        )
        with self._sink.open(f"train/{shard['part']}.pbr") as file:
            file.write(recordio.encode(self._rows[: self._filled]))
        self.written.append(shard)
        self._filled, self._regions_start = 0, self._regions_end


def _write_shards(
    table: CensusTable, survey: Survey, features: list[Column], sink: Sink
) -> tuple[list[float], list[Shard]]:
    """Scale and write every complete row; return the mean of each scaled feature, and the shards."""
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
        written = sum(shard["rows"] for shard in shards.written)
        if (table.text.sha256, written) != (survey.source["sha256"], survey.rows_kept):
            raise SourceChanged("the CSV changed while it was read; open the same version of the object both times")
    return (sums / written).tolist(), shards.written
