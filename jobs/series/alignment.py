"""Numbers a run's segments like those of the run before in its series, before its rows are labeled."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Self

import numpy as np

from jobs.census.problems import InvalidCensus, Problem
from jobs.sagemaker.artifacts import ArtifactError
from jobs.segments.assign import SegmentModel
from jobs.segments.document import SegmentsDocument
from jobs.segments.scaling import Scaling
from jobs.series.columns import ColumnMatch, match_columns
from jobs.series.history import HistoryEntry
from jobs.series.numbering import number_segments

UNREADABLE = (ArtifactError, ValueError, KeyError, TypeError, IndexError)
"""What reading a damaged file of another run raises."""

__all__ = ["UNREADABLE", "Aligned", "Alignment", "ModelFiles", "Predecessor", "adopt", "align"]


@dataclass(frozen=True)
class ModelFiles:
    """The contents of the files that describe a run's model."""

    segments: bytes
    scaler: bytes
    pca_artifact: bytes
    kmeans_artifact: bytes


@dataclass(frozen=True)
class Predecessor:
    """The run to align with.

    Attributes
    ----------
    entry
        Its entry in history.json; None if there is no such run.
    files
        The files of its model, or the reason why there are none.
    """

    entry: HistoryEntry | None
    files: ModelFiles | str


@dataclass(frozen=True)
class Alignment:
    """The content of alignment.json: how a run's segments are numbered within its series.

    Attributes
    ----------
    series, vintage
        The series, and the year that the run's file describes.
    numbers
        The number of the segment of each centroid, in the order of the artifact.
    previous
        The history's entry of the run to compare with; None if there is none.
    reason
        Why the run is not compared; None if it is.
    distances
        For each segment that continues one of the previous run, by its number: how far its centroid moved, in standard
        deviations.
    previous_numbers
        The number of the segment of each centroid of the previous run's model; None if that model cannot label the
        rows of this run.
    is_applied
        Whether the previous run's model is this run's own.
    """

    series: str
    vintage: int | None
    numbers: Sequence[int]
    previous: HistoryEntry | None = None
    reason: str | None = None
    distances: Mapping[int, float] = field(default_factory=dict)
    previous_numbers: Sequence[int] | None = None
    is_applied: bool = False

    def to_json(self) -> bytes:
        """Write alignment.json."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, text: bytes) -> Self:
        """Read alignment.json."""
        document = json.loads(text)
        distances = {int(number): distance for number, distance in document.pop("distances").items()}
        return cls(**document, distances=distances)


@dataclass(frozen=True)
class Aligned:
    """An alignment, and the previous run's model if it can label the rows of this run.

    The model's features have the names that this run's file gives them.
    """

    alignment: Alignment
    previous_model: SegmentModel | None = None


def align(
    predecessor: Predecessor, model: SegmentModel, *, series: str, vintage: int | None, next_number: int
) -> Aligned:
    """Give each segment of a run its number.

    A segment has the number of the previous run's segment that it continues, and a new segment the next number that no
    run of the series has used. A damaged predecessor never fails the run: its segments are then all new.

    Parameters
    ----------
    predecessor
        The run to align with, or why there is none.
    model
        The run's own model.
    series, vintage
        Written to alignment.json.
    next_number
        The first number that no run of the series has used; 0 in the first run.
    """
    clusters = len(model.centroids)
    unaligned = Alignment(series, vintage, list(range(next_number, next_number + clusters)), predecessor.entry)
    if predecessor.entry is None or isinstance(predecessor.files, str):
        return Aligned(replace(unaligned, reason=str(predecessor.files)))
    run_id = predecessor.entry["run_id"]
    try:
        before = _Before.read(predecessor.files)
    except UNREADABLE as error:
        reason = f"The files of the previous run {run_id} cannot be read: {type(error).__name__}: {error}."
        return Aligned(replace(unaligned, reason=reason))
    columns = match_columns(before.model.scaling.features, model.scaling.features)
    if not columns.names:
        reason = f"The file has no feature of the previous run {run_id}, so nothing can be compared."
        return Aligned(replace(unaligned, reason=reason))
    numbering = number_segments(
        _columns(before.model, list(columns.names)),
        _columns(model, list(columns.names.values())),
        previous_numbers=before.numbers,
        spread=np.array([before.spread[name] for name in columns.names]),
        next_number=next_number,
    )
    aligned = replace(unaligned, numbers=numbering.numbers.tolist(), distances=numbering.distances)
    if not columns.is_complete:
        return Aligned(aligned)
    return Aligned(replace(aligned, previous_numbers=before.numbers), _renamed(before.model, columns))


def adopt(
    predecessor: Predecessor, scaling: Scaling, *, series: str, vintage: int | None
) -> tuple[Alignment, SegmentModel]:
    """Take the model of the previous run as the run's own.

    Parameters
    ----------
    predecessor
        The run whose model is applied, or why there is none.
    scaling
        Of the run's own file.
    series, vintage
        Written to alignment.json.

    Raises
    ------
    InvalidCensus
        If there is no such run, its files cannot be used, or the file lacks a feature of its model.
    """
    entry, files = predecessor.entry, predecessor.files
    if entry is None or isinstance(files, str):
        raise _cannot_apply(str(files))
    try:
        before = _Before.read(files)
    except UNREADABLE as error:
        reason = f"The files of the run {entry['run_id']} cannot be read: {type(error).__name__}: {error}."
        raise _cannot_apply(reason) from error
    columns = match_columns(before.model.scaling.features, scaling.features)
    if not columns.is_complete:
        lacking = ", ".join(columns.missing)
        raise _cannot_apply(f"The file has no column with differing values for {lacking}.")
    distances = dict.fromkeys(before.numbers, 0.0)
    alignment = Alignment(
        series, vintage, before.numbers, entry, distances=distances, previous_numbers=before.numbers, is_applied=True
    )
    return alignment, _renamed(before.model, columns)


def _cannot_apply(reason: str) -> InvalidCensus:
    message = f"the mode is 'apply', but the model of the previous run cannot be applied: {reason}"
    remedy = "upload the file without the metadata mode=apply, or set mode to 'train', to train a model"
    return InvalidCensus([Problem("no_model", message, remedy)], {"no_model": 1})


@dataclass(frozen=True)
class _Before:
    """A previous run's model, the number of each centroid, and each feature's standard deviation over its rows."""

    model: SegmentModel
    numbers: list[int]
    spread: Mapping[str, float]

    @classmethod
    def read(cls, files: ModelFiles) -> "_Before":
        document: SegmentsDocument = json.loads(files.segments)
        model = SegmentModel.of(files.scaler, files.pca_artifact, files.kmeans_artifact)
        by_centroid = {segment["centroid"]: segment["label"] for segment in document["segments"]}
        stds, features = [each["std"] for each in document["feature_summaries"]], model.scaling.features
        if len(stds) != len(features):
            raise ValueError(f"segments.json has {len(stds)} features and scaler.json {len(features)}")
        numbers = [by_centroid[index] for index in range(len(model.centroids))]
        return cls(model, numbers, dict(zip(features, stds, strict=True)))


def _columns(model: SegmentModel, names: list[str]) -> np.ndarray:
    """Return the centroids (k, d) in the original units of the named features."""
    return model.centroid_features[:, model.scaling.positions(names)]


def _renamed(model: SegmentModel, columns: ColumnMatch) -> SegmentModel:
    features = tuple(columns.names[name] for name in model.scaling.features)
    return replace(model, scaling=replace(model.scaling, features=features))
