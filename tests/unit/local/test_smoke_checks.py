"""Each check of a smoke test finds what it is for."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from local.follow import Snapshot
from local.results import CHANGES, LABELED, MANIFEST, SEGMENTS, RunFiles
from local.smoke_checks import Observed, check, costs

JOB = {"instance_type": "ml.c4.xlarge", "billable_seconds": 36}
ENDPOINT = {"instance_type": "ml.t2.medium", "instance_count": 2, "torn_down": "2026-11-28T10:06:00+00:00"}
MANIFEST_DOCUMENT = {
    "training_jobs": [JOB],
    "endpoints": [ENDPOINT],
    "steps": [{"name": "LaunchPcaEndpoint", "start": "2026-11-28T10:00:00+00:00"}],
}
ROWS = [(1001, 0.1, 0, 0.4), (1003, 0.2, 0, 0.001), (1005, 0.9, 1, 0.5)]


def labeled(rows: list[tuple[int, float, int, float]]) -> str:
    lines = [f"{number},S,C,{component},{label},{margin}" for number, component, label, margin in rows]
    return "\n".join(["CensusId,State,County,c_1,label,margin", *lines])


QUIET = [{"AlarmName": "leak-found", "StateValue": "OK"}]
Observe = Callable[..., Observed]


@pytest.fixture
def observe(tmp_path: Path) -> Observe:
    """Returns a run with the given rows; the other results are the same in every run."""

    def make(rows: list[tuple[int, float, int, float]] = ROWS, segments: Any = None, **changes: Any) -> Observed:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        (folder / LABELED).write_text(labeled(rows))
        (folder / SEGMENTS).write_text(json.dumps(segments or {"rows": 3}))
        (folder / MANIFEST).write_text(json.dumps(MANIFEST_DOCUMENT))
        (folder / CHANGES).write_text("{}")
        evidence = {"alarms": QUIET, "events": [{"id": 1, "type": "TaskStateEntered"}]}
        snapshot = Snapshot("SUCCEEDED", [], 12.0)
        return replace(Observed("run", snapshot, RunFiles(folder), frozenset({"report.html"}), [], evidence), **changes)

    return make


def failures(seen: Observed, rehearsed: Observed) -> dict[str, str]:
    return {row.subject: row.finding for row in check(seen, rehearsed) if row.verdict == "failed"}


def test_the_same_run_passes(observe: Observe) -> None:
    assert failures(observe(), observe()) == {}


def test_other_numbers_for_the_same_segments_pass(observe: Observe) -> None:
    swapped = [(number, component, 1 - label, margin) for number, component, label, margin in ROWS]
    assert failures(observe(swapped), observe()) == {}


def test_a_component_that_differs_by_more_than_the_tolerance_fails(observe: Observe) -> None:
    moved = [(1001, 0.1002, 0, 0.4), *ROWS[1:]]
    assert failures(observe(moved), observe()) == {"components": "differ by at most 2.0e-04; 1e-04 is allowed"}


def test_another_label_fails_unless_the_row_is_on_a_border(observe: Observe) -> None:
    border = [ROWS[0], (1003, 0.2, 1, 0.001), ROWS[2]]
    inside = [*ROWS[:2], (1005, 0.9, 0, 0.5)]
    assert failures(observe(border), observe()) == {}
    assert failures(observe(inside, **{}), observe())["labels"].endswith("1 others are not on a border")


def test_other_rows_fail(observe: Observe) -> None:
    assert "components" in failures(observe(ROWS[:2]), observe())


def test_a_missing_file_an_alarm_and_what_was_left_fail(observe: Observe) -> None:
    alarms = [*QUIET, {"AlarmName": "run-failed", "StateValue": "ALARM"}]
    seen = observe(written=frozenset(), leftovers=["endpoint x"], evidence={"alarms": alarms, "events": []})
    assert failures(seen, observe()) == {
        "files": "1 missing: report.html",
        "alarms": "run-failed",
        "SageMaker": "endpoint x",
    }


def test_alarms_that_could_not_be_listed_fail(observe: Observe) -> None:
    assert failures(observe(evidence={"alarms": [], "events": []}), observe())["alarms"] == "none is listed"


def test_a_document_with_another_type_breaks_the_contract(observe: Observe) -> None:
    found = failures(observe(segments={"rows": "3"}), observe())
    assert found == {"contracts": "1 missing: segments.json: rows: number; 1 more: segments.json: rows: string"}


def test_a_failed_run_names_the_error_and_has_no_cost(observe: Observe) -> None:
    seen = observe(snapshot=Snapshot("FAILED", [], 3.0, "QuotaFull", "no room"))
    assert failures(seen, observe()) == {"run": "FAILED: QuotaFull: no room"}
    assert costs(seen) == []


def test_the_cost_counts_instances_from_their_launch_and_transitions(observe: Observe) -> None:
    assert costs(observe())[:3] == [
        "training, ml.c4.xlarge: 36 s = 0.0100 x the price of its hour",
        "hosting, ml.t2.medium: 720 s = 0.2000 x the price of its hour",
        "Step Functions: 1 state transitions",
    ]
