"""The state machine and the handlers agree on every field that they exchange."""

import copy
import importlib
import re
from collections.abc import Iterator
from typing import Any, get_type_hints

import pytest

from infra.definition import all_states, state_machine_definition
from tests.infra.synthesis import KMS, template_of

TASKS = {
    "Prepare": "prepare",
    "LaunchPcaTraining": "launch_training",
    "LaunchPcaEndpoint": "launch_endpoint",
    "ProjectShard": "project",
    "LaunchKMeansTraining": "launch_training",
    "LaunchKMeansEndpoint": "launch_endpoint",
    "LabelShard": "label",
    "ChooseClusters": "choose_clusters",
    "FreshStarts": "fresh_starts",
    "Refine": "refine",
    "Align": "align",
    "Adopt": "adopt",
    "LabelByPreviousModelShard": "label",
    "PublishApplied": "publish",
    "Stability": "stability",
    "Publish": "publish",
    "RecordFailure": "record_failure",
    **{f"TearDown{name}": "teardown" for name in ("Pca", "KMeans", "FailedPca", "FailedKMeans")},
}


@pytest.fixture(scope="module", params=[{}, KMS], ids=["fixed clusters", "clusters chosen"])
def definition(request: pytest.FixtureRequest) -> dict[str, Any]:
    return state_machine_definition(template_of(**request.param))


def disagreements(definition: dict[str, Any]) -> Iterator[str]:
    """Yield what a state sends that its function does not take, lacks, or selects though it is not returned."""
    for name, state in all_states(definition).items():
        if not state.get("Resource", "").endswith(":lambda:invoke"):
            continue
        hints = get_type_hints(importlib.import_module(f"lambdas.{TASKS[name]}").handler)
        event, result = hints["event"], hints["return"]
        sent = {key.removesuffix(".$") for key in state["Parameters"]["Payload"]}
        yield from (f"{name} sends {key!r}" for key in sent - set(get_type_hints(event)))
        yield from (f"{name} does not send {key!r}" for key in event.__required_keys__ - sent)
        yield from (
            f"{name} selects {key!r}" for key in _selected(state["ResultSelector"]) - set(get_type_hints(result))
        )


def _selected(selector: dict[str, Any]) -> set[str]:
    """Return the fields of the result that a ResultSelector reads."""
    paths = [value for key, value in selector.items() if key.endswith(".$")]
    return {match.group(1) for path in paths if (match := re.match(r"\$\.Payload\.(\w+)", path))}


def test_every_state_sends_what_its_function_takes_and_selects_what_it_returns(definition: dict[str, Any]) -> None:
    assert list(disagreements(definition)) == []


def test_every_function_that_the_machine_calls_is_compared(definition: dict[str, Any]) -> None:
    called = {name for name, each in all_states(definition).items() if "lambda:invoke" in each.get("Resource", "")}
    assert called == set(TASKS)
    for name in called:
        function = all_states(definition)[name]["Parameters"]["FunctionName"]
        camel = "".join(word.capitalize() for word in TASKS[name].split("_"))
        assert f"Functions{camel}" in function


def test_every_result_is_used(definition: dict[str, Any]) -> None:
    """A field that no state selects is a field that nobody needs."""
    selected: dict[str, set[str]] = {}
    for name, handler in TASKS.items():
        state = all_states(definition)[name]
        selected.setdefault(handler, set()).update(_selected(state["ResultSelector"]))
    for handler, fields in selected.items():
        if handler != "publish":  # its result is the execution's output
            returned = get_type_hints(importlib.import_module(f"lambdas.{handler}").handler)["return"]
            assert fields == set(get_type_hints(returned)), handler


def test_a_payload_field_that_is_renamed_on_one_side_is_found(definition: dict[str, Any]) -> None:
    renamed = copy.deepcopy(definition)
    payload = all_states(renamed)["TearDownPca"]["Parameters"]["Payload"]
    payload["model"] = payload.pop("stage")
    assert set(disagreements(renamed)) == {"TearDownPca sends 'model'", "TearDownPca does not send 'stage'"}


def test_a_selected_field_that_is_renamed_on_one_side_is_found(definition: dict[str, Any]) -> None:
    renamed = copy.deepcopy(definition)
    all_states(renamed)["LabelShard"]["ResultSelector"]["rows.$"] = "$.Payload.labeled"
    assert list(disagreements(renamed)) == ["LabelShard selects 'labeled'"]
