"""The embedded AWS's interpreter and LocalStack's take the same path through the state machine, with the same data."""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from infra.definition import all_states, state_machine_definition
from tests.infra.synthesis import ROOT, template_of
from tests.interpreter import scenarios
from tests.interpreter.histories import inputs, outcome, steps

JUDGE = ROOT / ".venv-stepfunctions/bin/python"
DEFINITION = state_machine_definition(template_of())
SCENARIOS = scenarios.scenarios(DEFINITION)
# https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html#error-handling-error-representation
NO_CHOICE = {"resumed at no phase"}
"""LocalStack ends with States.Runtime, and AWS documents States.NoChoiceMatched."""
PHASES_OF_SHARDS = {"ProjectShard": "Pca", "LabelShard": "KMeans", "LabelByPreviousModelShard": "Apply"}
"""The phase of each state in a distributed map."""
FAILING_MAPS = {
    name
    for name in SCENARIOS
    if name.partition(" ")[0].rstrip(":") in PHASES_OF_SHARDS and name.endswith(("fails", "is used up"))
}
"""LocalStack has an internal error; AWS documents States.ExceedToleratedFailureThreshold, which the phase catches."""


@pytest.fixture(scope="module")
def histories(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, Any]]:
    """The histories of all scenarios by the number of the scenario: ours, and LocalStack's."""
    folder = tmp_path_factory.mktemp("interpreter")
    table = {
        "definition": scenarios.quick(DEFINITION),
        "role": "arn:aws:iam::000000000000:role/machine",
        "input": scenarios.INPUT,
        "bucket": scenarios.BUCKET,
        "key": scenarios.SHARDS_KEY,
        "shards": scenarios.SHARDS,
        "scenarios": {str(number): responses for number, responses in enumerate(SCENARIOS.values())},
    }
    file = folder / "table.json"
    file.write_text(json.dumps(table))
    found: list[dict[str, Any]] = []
    ours, judge = folder / "ours.json", folder / "judge.json"
    for command, result in (
        ([sys.executable, "-m", "tests.interpreter.ours"], ours),
        ([str(JUDGE), str(Path(__file__).with_name("judge.py"))], judge),
    ):
        ran = subprocess.run([*command, str(file), str(result)], cwd=ROOT, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr[-4000:]
        found.append(json.loads(result.read_text()))
    return found[0], found[1]


def history(histories: tuple[dict[str, Any], dict[str, Any]], scenario: str) -> tuple[Any, Any]:
    number = str(list(SCENARIOS).index(scenario))
    return histories[0][number], histories[1][number]


def disagreements(ours: Mapping[str, list[Any]], judged: Mapping[str, list[Any]], whole: Callable[[str], bool]) -> Any:
    """Return the first difference between lists with the same key.

    Of a key that is not ``whole``, one list may be the beginning of the other: when a branch of a Parallel state fails,
    the other branches end wherever they are. LocalStack's last entry may then be half computed, and is left out.
    """
    for key in {**ours, **judged}:
        one, other = ours.get(key, []), judged.get(key, [])
        if one == other:
            continue
        if whole(key) and len(one) != len(other):
            return key, len(one), len(other)
        for mine, theirs in zip(one, other if whole(key) else other[:-1], strict=False):
            if mine != theirs:
                return key, mine, theirs
    return None


@pytest.mark.parametrize("scenario", [name for name in SCENARIOS if name not in NO_CHOICE | FAILING_MAPS])
def test_both_interpreters_agree(scenario: str, histories: tuple[dict[str, Any], dict[str, Any]]) -> None:
    ours, judged = history(histories, scenario)
    assert outcome(ours) == outcome(judged)
    succeeded, start = ours["status"] == "SUCCEEDED", DEFINITION["StartAt"]
    resumed = scenario.startswith("resumed")
    found = disagreements(
        steps(ours, DEFINITION), steps(judged, DEFINITION), lambda branch: succeeded or resumed or branch == start
    )
    assert found is None
    outside = set(DEFINITION["States"])
    found = disagreements(inputs(ours), inputs(judged), lambda state: succeeded or resumed or state in outside)
    assert found is None


@pytest.mark.parametrize("scenario", sorted(FAILING_MAPS))
def test_a_map_that_fails_ends_as_aws_documents(
    scenario: str, histories: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    ours, judged = history(histories, scenario)
    phase = PHASES_OF_SHARDS[scenario.partition(" ")[0].rstrip(":")]
    errors = [
        data["error"]["Error"]
        for _, name, data in steps(ours, DEFINITION)[DEFINITION["StartAt"]]
        if name == f"Note{phase}Failure"
    ]
    assert errors[0] == "States.ExceedToleratedFailureThreshold"
    assert outcome(ours)["error"] == "FirstError"
    assert "Custom Error Names MUST NOT begin with the prefix 'States.'" in judged["cause"]
    found = disagreements(steps(ours, DEFINITION), steps(judged, DEFINITION), lambda _: False)
    # They agree up to the failure of the map, after which LocalStack ends.
    assert found is None


@pytest.mark.parametrize("scenario", sorted(NO_CHOICE))
def test_a_choice_without_a_match_ends_as_aws_documents(
    scenario: str, histories: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    ours, judged = history(histories, scenario)
    assert outcome(ours)["error"] == "States.NoChoiceMatched"
    assert outcome(judged)["error"] == "States.Runtime"
    assert disagreements(steps(ours, DEFINITION), steps(judged, DEFINITION), lambda _: True) is None


def test_the_scenarios_enter_every_state(histories: tuple[dict[str, Any], dict[str, Any]]) -> None:
    entered = {
        event["stateEnteredEventDetails"]["name"]
        for execution in histories[0].values()
        for event in execution["events"]
        if "stateEnteredEventDetails" in event
    }
    of_maps = set(PHASES_OF_SHARDS)
    assert entered | of_maps == set(all_states(DEFINITION))
    assert of_maps <= set().union(*(execution["inputs"] for execution in histories[0].values()))


def test_a_difference_would_be_noticed(histories: tuple[dict[str, Any], dict[str, Any]]) -> None:
    ours, judged = history(histories, "success")
    changed = steps(judged, DEFINITION)
    branch = DEFINITION["StartAt"]
    kind, name, data = changed[branch][-1]
    changed[branch][-1] = (kind, name, {**data, "more": 1})
    assert disagreements(steps(ours, DEFINITION), changed, lambda _: True) == (
        branch,
        (kind, name, data),
        (kind, name, {**data, "more": 1}),
    )
