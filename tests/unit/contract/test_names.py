"""Names and limits: derived from the deployment's id, and written in one place."""

import ast
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from contract import layout, names

ROOT = Path(__file__).parents[3]
SHARED = {
    names.STACK_TAG,
    names.RUN_TAG,
    names.EXECUTION_TAG,
    names.METRICS_NAMESPACE,
    *names.ARTIFACT_TAG[:1],
    *names.CAPACITY_MESSAGES,
    layout.LATEST,
    names.MAX_SHARD_BYTES,
}


def test_a_shard_fits_the_body_of_a_request() -> None:
    assert names.MAX_SHARD_BYTES < names.MAX_REQUEST_BYTES


@pytest.mark.parametrize("stage", names.STAGES)
def test_a_stages_pattern_covers_the_names_of_its_attempts_and_no_other_stages(stage: names.Stage) -> None:
    covered = [
        names.resource_name("census", "run-a1", each, attempt)
        for each in names.STAGES
        for attempt in (1, 2)
        if fnmatchcase(names.resource_name("census", "run-a1", each, attempt), names.resource_pattern("census", stage))
    ]
    assert covered == [f"census-run-a1-{stage}", f"census-run-a1-{stage}-2"]


def test_a_function_is_named_by_its_deployment_and_module() -> None:
    assert names.function_name("census", "start_run") == "census-start-run"


@pytest.mark.parametrize("room", ["infra", "lambdas", "jobs"])
def test_what_rooms_share_is_written_in_the_contract_only(room: str) -> None:
    repeated = [
        f"{file.relative_to(ROOT)}: {value!r}"
        for file in sorted((ROOT / room).rglob("*.py"))
        for value in _constants(file)
        if value in SHARED or str(value).startswith((layout.RUNS_PREFIX, layout.INCOMING_PREFIX))
    ]
    assert repeated == []


def _constants(file: Path) -> Iterator[object]:
    """Yield a module's numbers and strings."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str | int):
            yield node.value
