"""What the command line prints: lines for logs, tables for people, one line for trouble."""

import re
from pathlib import Path
from typing import Any

import pytest

from local import show
from local.errors import Trouble, unforeseen
from local.follow import Step
from local.results import RunFiles

SEGMENTS: Any = {
    "rows": {"read": 10, "dropped": 1, "labeled": 9},
    "dropped_regions": [{"row": 4, "id": "15005", "name": "Hawaii-Kalawao", "empty_columns": ["ChildPoverty"]}],
    "constant_features": [{"name": "Year", "value": 2015.0}],
    "pca": {"num_components": 5, "components_kept": 2, "explained_variance": [0.5, 0.82, 0.9, 0.95, 1.0]},
    "segments": [
        {"label": 0, "name": "long commutes", "size": 3, "population": 1200, "representatives": ["Ohio-Adams"]},
        {"label": 1, "name": "high [poverty]", "size": 6, "population": None, "representatives": ["Iowa-Linn"]},
    ],
}


def printed(capsys: pytest.CaptureFixture[str], what: show.RenderableType) -> str:
    show.console().print(what)
    return capsys.readouterr().out


def test_segments_are_listed_largest_first(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, show.segment_table(SEGMENTS))
    assert text.index("Iowa-Linn") < text.index("Ohio-Adams")
    assert "9 of 10 rows labeled" in text
    assert "2 of 5 components kept, explaining 82.0% of the variance" in text


def test_brackets_in_a_name_are_printed_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert "high [poverty]" in printed(capsys, show.segment_table(SEGMENTS))


def test_dropped_rows_and_constant_columns_are_named() -> None:
    dropped, constant = show.warnings(SEGMENTS)
    assert dropped == "1 row was left out for empty cells: Hawaii-Kalawao (ChildPoverty)"
    assert constant == "columns that never change, kept out of the model: Year (always 2015)"


def test_of_many_dropped_rows_the_first_five_are_named() -> None:
    many = SEGMENTS | {
        "rows": {"read": 500, "dropped": 300, "labeled": 200},
        "dropped_regions": [{"name": f"State-{n}", "empty_columns": ["Income"]} for n in range(100)],
        "constant_features": [],
    }
    (said,) = show.warnings(many)
    assert said.startswith("300 rows were left out")
    assert said.endswith("State-4 (Income); and 295 more")


def test_a_complete_file_has_no_warnings() -> None:
    assert show.warnings(SEGMENTS | {"rows": {"dropped": 0}, "constant_features": []}) == []


def test_lines_tell_when_a_step_begins_and_ends_once_each(capsys: pytest.CaptureFixture[str]) -> None:
    step = Step("Prepare", "the CSV to be checked", started=100.0)
    with show.screen("lines") as screen:
        screen.show([step])
        screen.show([step])
        step.ended = 101.5
        screen.show([step])
        screen.show([step, Step("Publish", "the report", started=102.0, ended=103.0)])
    lines = [line.split("] ", 1)[1] for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        "Prepare: waiting for the CSV to be checked",
        "Prepare: done in 1.5 s",
        "Publish: waiting for the report",
        "Publish: done in 1.0 s",
    ]


def test_lines_name_the_error_of_a_failed_step(capsys: pytest.CaptureFixture[str]) -> None:
    with show.screen("lines") as screen:
        screen.show([Step("Prepare", "x", started=1.0, ended=2.0, note="InvalidCensus", failed=True)])
    assert "Prepare: failed in 1.0 s (InvalidCensus)" in capsys.readouterr().out


def test_a_silent_screen_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with show.screen("silent") as screen:
        screen.show([Step("Prepare", "x", started=1.0)])
    assert capsys.readouterr().out == ""


def test_nothing_is_coloured_where_the_output_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    show.notes(show.console(), ["mind this"])
    assert capsys.readouterr().out == "note mind this\n"


def test_no_color_is_honoured_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    show.notes(show.console(), ["mind this"])
    assert re.search(r"\x1b\[3\dm", capsys.readouterr().out)
    monkeypatch.setenv("NO_COLOR", "1")
    show.notes(show.console(), ["mind this"])
    assert not re.search(r"\x1b\[3\dm", capsys.readouterr().out)


def test_the_time_is_told_part_by_part() -> None:
    assert show.timing({"start": 1.0, "synth": 0.25, "total": 3.0}) == "3.0 s in all: start 1.0 s · synth 0.2 s"


def test_trouble_is_one_line_whatever_the_cause_says() -> None:
    assert str(Trouble("first\n  second\tthird")) == "first second third"


def test_an_unforeseen_error_goes_to_a_log_that_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "deep" / "error.log"
    monkeypatch.setattr("local.errors.LOG", log)
    error = ZeroDivisionError("nobody\nforesaw this")
    assert str(unforeseen(error)) == f"unexpected ZeroDivisionError: nobody (the details are in {log})"
    assert "foresaw this" in log.read_text()


def test_a_folder_without_results_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(Trouble, match=r"segments\.json is missing; .* doesn't hold the results of a finished run"):
        _ = RunFiles(tmp_path).segments
