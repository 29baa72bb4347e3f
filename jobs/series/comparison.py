"""Compares a run that is being published with the run before it in its series."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jobs.sagemaker import recordio
from jobs.sagemaker.artifacts import ArtifactError
from jobs.segments.assign import SegmentModel
from jobs.segments.document import SegmentsDocument
from jobs.segments.statistics import SegmentStatistics
from jobs.series.baseline import resampling_baseline
from jobs.series.changes import Changes, RunSide, SegmentSummary, compare, not_compared
from jobs.series.columns import ColumnMatch, match_columns
from jobs.series.drift import Distribution, FeatureDrift, drift
from jobs.series.history import History, HistoryEntry, next_number
from jobs.series.labeled import LabeledRows
from jobs.series.numbering import Numbering, number_segments
from jobs.series.vintages import overlap_warning

__all__ = ["Comparison", "CurrentRun", "PreviousRun", "Series", "compare_runs", "place_in_series"]


@dataclass(frozen=True)
class PreviousRun:
    """The previous run of the series, as its files are stored.

    Attributes
    ----------
    entry
        Its entry in history.json.
    next_number
        The first number that no run of the series has used.
    labeled_counties, segments, scaler, pca_artifact, kmeans_artifact
        The contents of its files.
    """

    entry: HistoryEntry
    next_number: int
    labeled_counties: bytes
    segments: bytes
    scaler: bytes
    pca_artifact: bytes
    kmeans_artifact: bytes


@dataclass(frozen=True)
class CurrentRun:
    """The run that is being published.

    Attributes
    ----------
    document, statistics, model
        What it learned of its rows.
    vintage
        The year that its file describes.
    has_ids
        Whether the file has an id column; without one its regions are found by their names.
    scaled
        For each shard its scaled features as recordIO, in the order of the rows; read once.
    """

    document: SegmentsDocument
    statistics: SegmentStatistics
    model: SegmentModel
    vintage: int | None
    has_ids: bool
    scaled: Iterable[bytes]


@dataclass(frozen=True)
class Comparison:
    """What changed, and the number within the series of each of the run's labels (k,)."""

    changes: Changes
    numbers: NDArray[np.intp]


@dataclass(frozen=True)
class Series:
    """The series that a run belongs to, as it was before the run.

    Attributes
    ----------
    name, vintage
        The series, and the year that the run's file describes.
    history
        The runs before this one.
    previous
        The run to compare with, or the reason why there is none.
    """

    name: str
    vintage: int | None
    history: History
    previous: PreviousRun | str


def place_in_series(series: Series, current: CurrentRun) -> Comparison:
    """Compare a run with the one before it, or number its segments as new ones and say why there is no comparison."""
    if isinstance(series.previous, PreviousRun):
        return compare_runs(series.previous, current)
    return _without_comparison(current, series.previous, None, next_number(series.history))


def _without_comparison(current: CurrentRun, reason: str, previous_run_id: str | None, first: int) -> Comparison:
    numbers = first + np.arange(len(current.model.centroids), dtype=np.intp)
    return Comparison(not_compared(current.document["run_id"], previous_run_id, reason), numbers)


def compare_runs(previous: PreviousRun, current: CurrentRun) -> Comparison:
    """Compare two runs of a series; where the previous run's files cannot be used, say why instead.

    A damaged predecessor never fails the run: its labels are complete without it.
    """
    run_id = previous.entry["run_id"]
    if current.statistics.listed is None:
        reason = f"The file has {current.statistics.rows:,} rows; runs with more than 100,000 are not compared."
        return _without_comparison(current, reason, run_id, previous.next_number)
    try:
        before = _Before.read(previous)
    except (ArtifactError, ValueError, KeyError, TypeError, IndexError) as error:
        reason = f"The files of the previous run {run_id} cannot be read: {type(error).__name__}: {error}."
        return _without_comparison(current, reason, run_id, previous.next_number)
    columns = match_columns(before.document["features"], current.document["features"])
    if not columns.names:
        reason = f"The file has no feature of the previous run {run_id}, so nothing can be compared."
        return _without_comparison(current, reason, run_id, previous.next_number)
    numbering = _number(before, current, columns, previous.next_number)
    spread = {each["feature"]: each["std"] for each in before.document["feature_summaries"]}
    warning = overlap_warning(previous.entry["vintage"], current.vintage)
    changes = compare(
        RunSide(
            run_id,
            previous.entry["vintage"],
            before.rows,
            before.numbers,
            _summaries(before.document, before.numbers, {name: name for name in columns.names}),
        ),
        RunSide(
            current.document["run_id"],
            current.vintage,
            LabeledRows.of(current.statistics.listed, has_ids=current.has_ids),
            numbering.numbers,
            _summaries(current.document, numbering.numbers, columns.names),
        ),
        columns=columns,
        drifts=_drifts(before.document, current, columns),
        spread=spread,
        distances=numbering.distances,
        previous_view=_previous_view(before.model, current, columns),
        baseline=resampling_baseline(current.statistics.sample.components, len(current.model.centroids)),
        warnings=[warning] if warning else [],
    )
    return Comparison(changes, numbering.numbers)


@dataclass(frozen=True)
class _Before:
    """The previous run's files, read."""

    document: SegmentsDocument
    model: SegmentModel
    rows: LabeledRows
    numbers: NDArray[np.intp]

    @classmethod
    def read(cls, previous: PreviousRun) -> "_Before":
        document: SegmentsDocument = json.loads(previous.segments)
        model = SegmentModel.of(previous.scaler, previous.pca_artifact, previous.kmeans_artifact)
        has_ids = json.loads(previous.scaler)["source"]["id_column"] is not None
        by_label = {segment["label"]: segment["number"] for segment in previous.entry["segments"]}
        rows = LabeledRows.read(previous.labeled_counties, model.centroids, has_ids=has_ids)
        if document["features"] != list(model.scaling.features):
            raise ValueError("segments.json and scaler.json have other features")
        for summary in document["feature_summaries"]:
            Distribution.of_summary(summary)
        return cls(document, model, rows, np.array([by_label[label] for label in range(len(model.centroids))]))


def _number(before: _Before, current: CurrentRun, columns: ColumnMatch, next_number: int) -> Numbering:
    spread = {each["feature"]: each["std"] for each in before.document["feature_summaries"]}
    return number_segments(
        _centroids(before.document, columns.names.keys()),
        _centroids(current.document, columns.names.values()),
        previous_numbers=before.numbers.tolist(),
        spread=np.array([spread[name] for name in columns.names]),
        next_number=next_number,
    )


def _centroids(document: SegmentsDocument, features: Iterable[str]) -> NDArray[np.float64]:
    names = list(features)
    return np.array([[segment["centroid_features"][name] for name in names] for segment in document["segments"]])


def _summaries(document: SegmentsDocument, numbers: NDArray[np.intp], names: Mapping[str, str]) -> list[SegmentSummary]:
    return [
        SegmentSummary(
            number=int(numbers[segment["label"]]),
            name=segment["name"],
            size=segment["size"],
            means={before: segment["mean_features"][now] for before, now in names.items()},
        )
        for segment in document["segments"]
    ]


def _drifts(previous: SegmentsDocument, current: CurrentRun, columns: ColumnMatch) -> list[FeatureDrift]:
    before = {each["feature"]: Distribution.of_summary(each) for each in previous["feature_summaries"]}
    now = {each["feature"]: Distribution.of_summary(each) for each in current.document["feature_summaries"]}
    values = current.model.scaling.inverse_transform(current.statistics.sample_features)
    place = {name: index for index, name in enumerate(current.document["features"])}
    return [
        drift(name, former, before[former], now[name], values[:, place[name]]) for former, name in columns.names.items()
    ]


def _previous_view(model: SegmentModel, current: CurrentRun, columns: ColumnMatch) -> NDArray[np.intp] | None:
    """Label the current rows (n,) by the previous model; None where a feature of it is missing."""
    if not columns.is_complete:
        return None
    shards = (recordio.decode(shard) for shard in current.scaled)
    return np.concatenate(
        [model.label(model.rescale(rows, current.model.scaling, columns.names)).labels for rows in shards]
    )
