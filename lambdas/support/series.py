"""Reads the series that a run belongs to, and the run before it."""

from collections.abc import Callable
from typing import TypeVar

from botocore.exceptions import ClientError

from contract.layout import RunLayout, SeriesLayout
from jobs.series.alignment import ModelFiles, Predecessor
from jobs.series.comparison import PreviousRun
from jobs.series.history import (
    History,
    HistoryEntry,
    append,
    find_run,
    is_complete,
    predecessor,
    read_history,
    to_json,
)
from lambdas.support.errors import NO_OBJECT, code_of
from lambdas.support.storage import JSON, Bucket, read_uri

PREVIOUS_RUN, NO_RUN = "previous", "none"
"""The values of the setting ``align_to`` that are no run's id."""

_Files = TypeVar("_Files")


def current_history(content: bytes | None, series: str) -> tuple[History, str | None]:
    """Read history.json; if it is damaged, return an empty one and the reason."""
    try:
        return read_history(content, series), None
    except ValueError as error:
        reason = f"The history of the series {series!r} cannot be read, so it starts again with this run: {error}."
        return read_history(None, series), reason


def read_predecessor(results: Bucket, series: str, run_id: str, align_to: str) -> Predecessor:
    """Read the model of the run to align with: the one before this run in its series, or the one that is set.

    A missing or damaged file of the previous run does not fail this one: it is the reason why the two are not compared.
    """
    if align_to == NO_RUN:
        return Predecessor(None, f"The setting align_to is {NO_RUN!r}, so the run is not compared.")
    history, damage = current_history(results.read_if_present(SeriesLayout(series).history), series)
    entry = predecessor(history, run_id) if align_to == PREVIOUS_RUN else find_run(history, align_to)
    if entry is None and history["runs"] and align_to != PREVIOUS_RUN:
        return Predecessor(None, f"align_to is {align_to!r}, which is no successful run of the series {series!r}.")
    if entry is None:
        return Predecessor(None, damage or f"This is the first run of the series {series!r}.")
    try:
        return Predecessor(entry, if_present(entry, lambda: _model_files(results, entry)))
    except (KeyError, TypeError) as error:
        reason = f"The history of the series {series!r} does not describe its last run: {error!r}."
        return Predecessor(None, reason)


def other_runs(results: Bucket, series: str, run_id: str) -> list[HistoryEntry]:
    """Read the runs of a series without this one, oldest first; entries that lack a field are left out."""
    history, _ = current_history(results.read_if_present(SeriesLayout(series).history), series)
    return [entry for entry in history["runs"] if entry["run_id"] != run_id and is_complete(entry)]


def if_present(entry: HistoryEntry, read: Callable[[], _Files]) -> _Files | str:
    """Return the files of a previous run; if one was deleted, say so."""
    try:
        return read()
    except ClientError as error:
        if code_of(error) not in NO_OBJECT:
            raise
        return f"Files of the previous run {entry['run_id']} were deleted: {error}"


def add_to_series(results: Bucket, series: str, entry: HistoryEntry, latest: bytes) -> None:
    """Add a run to the history of its series, and replace the series' latest.json unless a later run has done so.

    Runs that end at the same time are all added, and latest.json then describes the one that was added last.
    """
    files = SeriesLayout(series)

    def add(content: bytes | None) -> tuple[None, bytes]:
        return None, to_json(append(current_history(content, series)[0], entry))

    def describe_if_last(_: bytes | None) -> tuple[None, bytes | None]:
        # latest.json was read before the history: if a later run replaces it in the meantime, the write fails.
        last = current_history(results.read_if_present(files.history), series)[0]["runs"][-1:]
        return None, latest if [run["run_id"] for run in last] == [entry["run_id"]] else None

    results.update(files.history, add, JSON)
    results.update(files.latest, describe_if_last, JSON)


def results_of(results: Bucket, entry: HistoryEntry) -> PreviousRun:
    """Read the files in which a previous run describes its rows."""
    files = RunLayout(entry["run_id"])
    return PreviousRun(
        labeled_counties=results.read(files.labeled_counties),
        segments=results.read(files.segments),
        scaler=results.read(files.scaler),
    )


def _model_files(results: Bucket, entry: HistoryEntry) -> ModelFiles:
    models = entry["models"]
    return ModelFiles(
        segments=results.read(RunLayout(entry["run_id"]).segments),
        scaler=read_uri(models["scaler"]),
        pca_artifact=read_uri(models["pca"]),
        kmeans_artifact=read_uri(models["kmeans"]),
    )
