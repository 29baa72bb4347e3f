"""What the command line prints: lines for logs, tables for people, one line per error."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from local import progress, show, terminal
from local.errors import UserError, explain_unexpected
from local.results import RunFiles
from local.steps import Step

SEGMENTS: Any = {
    "rows": {"read": 10, "dropped": 1, "labeled": 9},
    "dropped_regions": [{"row": 4, "id": "15005", "name": "Hawaii-Kalawao", "empty_columns": ["ChildPoverty"]}],
    "constant_features": [{"name": "Year", "value": 2015.0}],
    "pca": {"num_components": 5, "components_kept": 2, "explained_variance": [0.5, 0.82, 0.9, 0.95, 1.0]},
    "kmeans": {"k": 2, "steadier_k": None, "elbow": []},
    "segments": [
        {"label": 0, "name": "long commutes", "size": 3, "population": 1200, "representatives": ["Ohio-Adams"]},
        {"label": 1, "name": "high [poverty]", "size": 6, "population": None, "representatives": ["Iowa-Linn"]},
    ],
}


def printed(capsys: pytest.CaptureFixture[str], what: show.RenderableType) -> str:
    terminal.console().print(what)
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
    assert dropped == "1 row was left out because of empty cells: Hawaii-Kalawao (ChildPoverty)"
    assert constant == "columns with a single value were left out of the model: Year (always 2015)"


def test_a_much_steadier_number_of_segments_is_recommended() -> None:
    elbow = [{"k": 8, "adjusted_rand": 0.85}, {"k": 6, "adjusted_rand": 0.94}]
    *_, sentence = show.warnings(SEGMENTS | {"kmeans": {"k": 8, "steadier_k": 6, "elbow": elbow}})
    assert sentence.startswith("6 segments are much steadier than 8")
    assert "0.94" in sentence
    assert "0.85" in sentence


def test_of_many_dropped_rows_the_first_five_are_named() -> None:
    many = SEGMENTS | {
        "rows": {"read": 500, "dropped": 300, "labeled": 200},
        "dropped_regions": [{"name": f"State-{n}", "empty_columns": ["Income"]} for n in range(100)],
        "constant_features": [],
    }
    (line,) = show.warnings(many)
    assert line.startswith("300 rows were left out")
    assert line.endswith("State-4 (Income); and 295 more")


def test_a_complete_file_has_no_warnings() -> None:
    assert show.warnings(SEGMENTS | {"rows": {"dropped": 0}, "constant_features": []}) == []


def test_each_step_gets_one_line_when_it_begins_and_one_when_it_ends(capsys: pytest.CaptureFixture[str]) -> None:
    step = Step("Prepare", "the CSV to be checked", started=100.0)
    with progress.screen("lines") as screen:
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
    with progress.screen("lines") as screen:
        screen.show([Step("Prepare", "x", started=1.0, ended=2.0, note="InvalidCensus", failed=True)])
    assert "Prepare: failed in 1.0 s (InvalidCensus)" in capsys.readouterr().out


def test_a_silent_screen_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.screen("silent") as screen:
        screen.show([Step("Prepare", "x", started=1.0)])
    assert capsys.readouterr().out == ""


def test_output_to_a_file_has_no_colors(capsys: pytest.CaptureFixture[str]) -> None:
    show.print_notes(terminal.console(), ["read this"])
    assert capsys.readouterr().out == "note read this\n"


def test_no_color_is_honored_on_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    show.print_notes(terminal.console(), ["read this"])
    assert re.search(r"\x1b\[3\dm", capsys.readouterr().out)
    monkeypatch.setenv("NO_COLOR", "1")
    show.print_notes(terminal.console(), ["read this"])
    assert not re.search(r"\x1b\[3\dm", capsys.readouterr().out)


def test_the_time_is_shown_for_each_part() -> None:
    assert show.timing({"start": 1.0, "synth": 0.25, "total": 3.0}) == "3.0 s in total: start 1.0 s · synth 0.2 s"


def test_an_error_is_one_line_whatever_its_cause_says() -> None:
    assert str(UserError("first\n  second\tthird")) == "first second third"


def test_an_unexpected_error_is_logged_and_the_log_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "deep" / "error.log"
    monkeypatch.setattr("local.errors.LOG", log)
    error = ZeroDivisionError("nobody\nexpected this")
    assert str(explain_unexpected(error)) == f"unexpected ZeroDivisionError: nobody (the details are in {log})"
    assert "expected this" in log.read_text()


def test_a_folder_without_results_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"segments\.json is missing; .* does not contain the results of a"):
        _ = RunFiles(tmp_path).segments


HOSTILE = "Adams\x9b31m\x1b[2J\u202eoihO\u2066"
ESCAPED = r"Adams\x9b31m\x1b[2J\u202eoihO\u2066"


def test_control_characters_and_bidi_overrides_in_names_are_shown_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    segment = SEGMENTS["segments"][0] | {"name": HOSTILE, "representatives": [HOSTILE]}
    run = {"name": HOSTILE, "status": "FAILED", "startDate": datetime(2026, 1, 1, tzinfo=UTC)}
    step = Step("Prepare", "x", started=1.0, ended=2.0, note=HOSTILE, failed=True)
    for what in (
        show.segment_table(SEGMENTS | {"segments": [segment]}),
        show.run_table([run]),
        show.step_table([step]),
        show.paths([Path(HOSTILE)]),
        "\n".join(show.warnings(SEGMENTS | {"dropped_regions": [{"name": HOSTILE, "empty_columns": [HOSTILE]}]})),
    ):
        text = printed(capsys, what)
        assert ESCAPED in text
        assert all(character.isprintable() or character == "\n" for character in text)


def test_errors_and_single_lines_are_printed_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    error = UserError(f"no county {HOSTILE}", details=(HOSTILE,))
    assert str(error) == f"no county {ESCAPED}"
    assert error.details == (ESCAPED,)
    terminal.print_line(f"{HOSTILE}\nDoña Ana\xa0County")
    assert capsys.readouterr().out == f"{ESCAPED}\nDoña Ana\xa0County\n"


def test_a_live_table_shows_names_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.screen("live") as screen:
        screen.show([Step("Prepare", "x", started=1.0, ended=2.0, note=HOSTILE, failed=True)])
    assert ESCAPED in capsys.readouterr().out


CHANGES: Any = {
    "reason": None,
    "verdict": "Nothing changed beyond noise: 1 of 9 regions.",
    "warnings": ["The periods overlap."],
    "columns": {"meaning": ["Citizen is called VotingAgeCitizen in the current file."]},
    "segments": [{"number": 3, "name": "long commutes"}, {"number": 8, "name": "high [poverty]"}],
    "movers": [{"name": "Ohio-Adams", "before": 3, "now": 8, "cause": "place"}],
}


def test_changes_show_the_verdict_the_warnings_and_who_moved(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, show.changes(CHANGES))
    for part in (CHANGES["verdict"], "The periods overlap.", "VotingAgeCitizen", "Ohio-Adams", "high [poverty]"):
        assert part in text
    assert "the place" in text


def test_a_run_that_was_not_compared_shows_the_reason(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, show.changes(CHANGES | {"reason": "This is the first run."})) == "This is the first run.\n"


def test_without_movers_there_is_no_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert "Before" not in printed(capsys, show.changes(CHANGES | {"movers": []}))
