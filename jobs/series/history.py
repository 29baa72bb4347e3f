"""series/<name>/history.json: the successful runs of a series, oldest first."""

import json
from typing import TypedDict

__all__ = ["History", "HistoryEntry", "SegmentEntry", "append", "next_number", "predecessor", "read_history"]


class SegmentEntry(TypedDict):
    """A segment: `label` is what the run's files call it, `number` what it is called in its series."""

    label: int
    number: int
    name: str
    size: int


class HistoryEntry(TypedDict):
    """A run: `vintage` is the year that its file describes, `models` the S3 URI of each stage's model.tar.gz."""

    run_id: str
    vintage: int | None
    input: str
    rows: int
    models: dict[str, str]
    segments: list[SegmentEntry]


class History(TypedDict):
    """The content of history.json."""

    series: str
    runs: list[HistoryEntry]


def read_history(content: bytes | None, series: str) -> History:
    """Read history.json; a series without one has no run yet.

    Raises
    ------
    ValueError
        When the content is not the history of this series.
    """
    if content is None:
        return History(series=series, runs=[])
    try:
        document = json.loads(content)
        history = History(series=document["series"], runs=document["runs"])
    except (KeyError, TypeError) as error:
        raise ValueError(f"history.json of {series!r} lacks {error}") from error
    if history["series"] != series:
        raise ValueError(f"history.json is of series {history['series']!r}; expected {series!r}")
    return history


def predecessor(history: History, run_id: str) -> HistoryEntry | None:
    """Return the last run before this one; a run that is published again does not follow itself."""
    others = [entry for entry in history["runs"] if entry["run_id"] != run_id]
    return others[-1] if others else None


def next_number(history: History) -> int:
    """Return the first segment number that no run of the series has used."""
    return 1 + max((segment["number"] for run in history["runs"] for segment in run["segments"]), default=-1)


def append(history: History, entry: HistoryEntry) -> History:
    """Return the history with this run at its end, once."""
    others = [each for each in history["runs"] if each["run_id"] != entry["run_id"]]
    return History(series=history["series"], runs=[*others, entry])
