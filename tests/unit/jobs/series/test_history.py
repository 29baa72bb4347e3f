"""The runs of a series."""

import json

import pytest

from jobs.series.history import HistoryEntry, SegmentEntry, append, is_complete, predecessor, read_history, reserve


def entry(run_id: str, *numbers: int) -> HistoryEntry:
    segments = [SegmentEntry(number=number, name="a", size=1) for number in numbers]
    return HistoryEntry(run_id=run_id, vintage=None, input="s3://in/a.csv", rows=3, models={}, segments=segments)


def test_a_series_without_a_history_has_no_predecessor() -> None:
    history = read_history(None, "tracts")
    assert predecessor(history, "run") is None
    assert history["next_number"] == 0


def test_the_last_run_is_the_predecessor_and_numbers_of_all_runs_are_used() -> None:
    history = append(append(read_history(None, "tracts"), entry("one", 0, 9)), entry("two", 0, 1))
    found = predecessor(history, "three")
    assert found is not None
    assert found["run_id"] == "two"
    assert history["next_number"] == 10


def test_reserved_numbers_stay_used_when_a_run_is_added() -> None:
    history = append(reserve(read_history(None, "tracts"), 12), entry("one", 3))
    assert history["next_number"] == 12


def test_a_history_that_understates_the_numbers_in_use_is_corrected() -> None:
    history = append(read_history(None, "tracts"), entry("one", 4))
    assert read_history(json.dumps({**history, "next_number": 1}).encode(), "tracts")["next_number"] == 5


def test_a_run_that_is_published_again_stands_once_and_does_not_follow_itself() -> None:
    history = append(append(read_history(None, "tracts"), entry("one")), entry("two"))
    again = append(history, entry("two", 5))
    assert [run["run_id"] for run in again["runs"]] == ["one", "two"]
    found = predecessor(again, "two")
    assert found is not None
    assert found["run_id"] == "one"


def test_a_history_comes_back_from_json() -> None:
    history = append(read_history(None, "tracts"), entry("one", 2))
    assert read_history(json.dumps(history).encode(), "tracts") == history


def test_an_entry_of_an_older_or_damaged_history_may_be_incomplete() -> None:
    whole = entry("one", 2)
    assert is_complete(whole)
    assert not is_complete({"run_id": "one", "segments": []})  # type: ignore[typeddict-item]
    assert not is_complete({**whole, "segments": [{"number": 2}]})  # type: ignore[typeddict-item]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"{", "Expecting property name"),
        (b"[]", "history.json of 'tracts' lacks list indices must be integers"),
        (b"{}", "history.json of 'tracts' lacks 'runs'"),
        (
            b'{"series": "other", "runs": [], "next_number": 0}',
            "history.json is of series 'other'; expected 'tracts'",
        ),
    ],
)
def test_a_history_that_is_damaged_or_of_another_series_is_refused(content: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_history(content, "tracts")
