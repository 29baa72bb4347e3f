"""series/<name>/history.json: the successful runs of a series, oldest first."""

import json
from typing import TypedDict

__all__ = [
    "History",
    "HistoryEntry",
    "SegmentEntry",
    "append",
    "find_run",
    "is_complete",
    "predecessor",
    "read_history",
    "reserve",
]


class SegmentEntry(TypedDict):
    """A segment: `number` is its number within the series, which the run's files call its label."""

    number: int
    name: str
    size: int


class HistoryEntry(TypedDict):
    """A run.

    `vintage` is the year that its file describes; `models` has the S3 URIs of the scaler.json and of the two
    model.tar.gz (``pca`` and ``kmeans``) that labeled its rows.
    """

    run_id: str
    vintage: int | None
    input: str
    rows: int
    models: dict[str, str]
    segments: list[SegmentEntry]


class History(TypedDict):
    """The content of history.json; `next_number` is the first segment number that no run of the series has used."""

    series: str
    next_number: int
    runs: list[HistoryEntry]


def read_history(content: bytes | None, series: str) -> History:
    """Read history.json; a series without one has no run yet.

    Raises
    ------
    ValueError
        If the content is not the history of this series.
    """
    if content is None:
        return History(series=series, next_number=0, runs=[])
    try:
        document = json.loads(content)
        runs: list[HistoryEntry] = document["runs"]
        used = [segment["number"] for run in runs for segment in run["segments"]]
        history = History(
            series=document["series"],
            next_number=max([document["next_number"], *(number + 1 for number in used)]),
            runs=runs,
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"history.json of {series!r} lacks {error}") from error
    if history["series"] != series:
        raise ValueError(f"history.json is of series {history['series']!r}; expected {series!r}")
    return history


def predecessor(history: History, run_id: str) -> HistoryEntry | None:
    """Return the last run before this one; a run that is published again does not follow itself."""
    others = [entry for entry in history["runs"] if entry["run_id"] != run_id]
    return others[-1] if others else None


def is_complete(entry: HistoryEntry) -> bool:
    """Say whether an entry and its segments, as they were read, have all their fields."""
    segments = entry["segments"]
    return entry.keys() >= HistoryEntry.__required_keys__ and all(
        segment.keys() >= SegmentEntry.__required_keys__ for segment in segments
    )


def find_run(history: History, run_id: str) -> HistoryEntry | None:
    """Return the run with this id, if it is in the history."""
    return next((entry for entry in history["runs"] if entry["run_id"] == run_id), None)


def reserve(history: History, numbers: int) -> History:
    """Return the history with the next `numbers` segment numbers used, so that no other run uses them."""
    return {**history, "next_number": history["next_number"] + numbers}


def to_json(history: History) -> bytes:
    """Write history.json."""
    return json.dumps(history, ensure_ascii=False, indent=1).encode()


def append(history: History, entry: HistoryEntry) -> History:
    """Return the history with this run at its end, once."""
    others = [each for each in history["runs"] if each["run_id"] != entry["run_id"]]
    used = [segment["number"] + 1 for segment in entry["segments"]]
    next_number = max([history["next_number"], *used])
    return History(series=history["series"], next_number=next_number, runs=[*others, entry])
