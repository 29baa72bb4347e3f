"""Compares a run that is being published with the run before it in its series."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from jobs.segments.document import SegmentsDocument
from jobs.segments.scaling import Scaling
from jobs.segments.statistics import MAX_LISTED_ROWS, SegmentStatistics
from jobs.series.alignment import UNREADABLE, Alignment
from jobs.series.baseline import resampling_baseline
from jobs.series.changes import Changes, RunSide, SegmentSummary, compare, not_compared
from jobs.series.columns import ColumnMatch, match_columns
from jobs.series.drift import Distribution, FeatureDrift, drift
from jobs.series.labeled import LabeledRows
from jobs.series.vintages import overlap_warning

__all__ = ["CurrentRun", "PreviousRun", "compare_runs"]


@dataclass(frozen=True)
class PreviousRun:
    """The contents of the files in which the previous run of the series describes its rows."""

    labeled_counties: bytes
    segments: bytes
    scaler: bytes


@dataclass(frozen=True)
class CurrentRun:
    """The run that is being published.

    Attributes
    ----------
    document, statistics, scaling
        What it learned of its rows.
    has_ids
        Whether the file has an id column; without one its regions are found by their names.
    """

    document: SegmentsDocument
    statistics: SegmentStatistics
    scaling: Scaling
    has_ids: bool


def compare_runs(alignment: Alignment, previous: PreviousRun | str, current: CurrentRun) -> Changes:
    """Compare two runs of a series; if that is not possible, say why instead.

    A damaged predecessor never fails the run: its labels are complete without it.

    Parameters
    ----------
    alignment
        How the current run's segments were numbered.
    previous
        The run to compare with, or the reason why its files are missing.
    """
    entry, listed = alignment.previous, current.statistics.listed
    run_id = entry["run_id"] if entry else None
    not_possible = partial(not_compared, current.document["run_id"], run_id)
    if entry is None or alignment.reason is not None:
        return not_possible(str(alignment.reason))
    if isinstance(previous, str):
        return not_possible(previous)
    if listed is None:
        rows = f"{current.statistics.rows:,}"
        return not_possible(f"The file has {rows} rows; runs with more than {MAX_LISTED_ROWS:,} are not compared.")
    try:
        before = _Before.read(previous)
    except UNREADABLE as error:
        return not_possible(f"The files of the previous run {run_id} cannot be read: {type(error).__name__}: {error}.")
    columns = match_columns(before.document["features"], current.document["features"])
    warning = overlap_warning(entry["vintage"], alignment.vintage)
    return compare(
        RunSide(
            entry["run_id"],
            entry["vintage"],
            before.rows,
            _summaries(before.document, {name: name for name in columns.names}),
        ),
        RunSide(
            current.document["run_id"],
            alignment.vintage,
            LabeledRows.of(listed, np.array(alignment.numbers), has_ids=current.has_ids),
            _summaries(current.document, columns.names),
        ),
        columns=columns,
        drifts=_drifts(before.document, current, columns),
        spread={each["feature"]: each["std"] for each in before.document["feature_summaries"]},
        distances=alignment.distances,
        previous_view=None if alignment.previous_numbers is None else listed.previous_labels,
        baseline=resampling_baseline(current.statistics.sample.components, len(alignment.numbers)),
        warnings=[warning] if warning else [],
    )


@dataclass(frozen=True)
class _Before:
    """The previous run's description of its rows, read."""

    document: SegmentsDocument
    rows: LabeledRows

    @classmethod
    def read(cls, previous: PreviousRun) -> "_Before":
        document: SegmentsDocument = json.loads(previous.segments)
        has_ids = json.loads(previous.scaler)["source"]["id_column"] is not None
        for summary in document["feature_summaries"]:
            Distribution.of_summary(summary)
        return cls(document, LabeledRows.read(previous.labeled_counties, has_ids=has_ids))


def _summaries(document: SegmentsDocument, names: Mapping[str, str]) -> list[SegmentSummary]:
    return [
        SegmentSummary(
            number=segment["label"],
            name=segment["name"],
            size=segment["size"],
            means={before: segment["mean_features"][now] for before, now in names.items()},
        )
        for segment in document["segments"]
    ]


def _drifts(previous: SegmentsDocument, current: CurrentRun, columns: ColumnMatch) -> list[FeatureDrift]:
    before = {each["feature"]: Distribution.of_summary(each) for each in previous["feature_summaries"]}
    now = {each["feature"]: Distribution.of_summary(each) for each in current.document["feature_summaries"]}
    values = current.scaling.inverse_transform(current.statistics.sample_features)
    places = current.scaling.positions(columns.names.values())
    return [
        drift(name, former, before[former], now[name], values[:, place])
        for (former, name), place in zip(columns.names.items(), places, strict=True)
    ]
