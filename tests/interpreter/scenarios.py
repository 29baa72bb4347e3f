"""The scenarios: what each task of the state machine returns or raises, so that every path of the machine is taken.

A scenario gives each state the list of its responses, in the order of the invocations of that state during the whole
execution, retries included; the last one is repeated. A response is ``{"Return": …}`` or ``{"Throw": {"Error": …,
"Cause": …}}``, as in Step Functions Local's mocked responses.
"""

import copy
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from contract.names import CAPACITY_MESSAGES, QUOTA_FULL
from infra.definition import State, all_states, machines

Responses = dict[str, list[dict[str, Any]]]

BUCKET, SHARDS_KEY = "results", "runs/r/shards.json"
SHARDS = [{"index": 0}, {"index": 1}, {"index": 2}]
"""What the distributed maps read, in place of the shards that Prepare lists."""

INPUT = {"run_id": "r", "input": {"bucket": "incoming", "key": "incoming/census.csv", "version": "1"}}

_PREPARED = {"rows": 3220, "features": 34, "shards": len(SHARDS), "shards_key": SHARDS_KEY, "vintage": 2015}
_PAYLOADS: dict[str, Any] = {
    "Prepare": {**_PREPARED, "mode": "train"},
    "ChooseClusters": {"clusters": 8},
    "FreshStarts": {"clusters": 8},
    "Align": {"kept": 8},
    "Adopt": {"segments": 8},
    "LabelByPreviousModelShard": {"rows": 1000},
    "PublishApplied": {"labels": "runs/r/labels.csv", "rows": 3220},
    "Refine": {"artifacts": "s3://results/refined/model.tar.gz"},
    "Stability": {"refits": 20},
    "ProjectShard": {"components": 7},
    "LabelShard": {"rows": 1000},
    "Publish": {"labels": "runs/r/labels.csv", "rows": 3220},
}
"""The payload that each function returns; a new function's state needs one here."""

_ARTIFACTS = {"S3ModelArtifacts": "s3://results/trained/model.tar.gz"}


def by_function(payload: Any) -> dict[str, Any]:
    """Return the response of a function's invocation."""
    return {"Return": {"StatusCode": 200, "Payload": payload}}


def error(name: str, cause: str = "its cause") -> dict[str, Any]:
    """Return the response of a task that fails."""
    return {"Throw": {"Error": name, "Cause": cause}}


def description(state: str, status: str, **more: Any) -> dict[str, Any]:
    """Return SageMaker's description of what a ``Describe…`` state asks for."""
    kind = "TrainingJob" if state.endswith("Training") else "Endpoint"
    return {"Return": {f"{kind}Name": f"census-{state}", f"{kind}Status": status, **more}}


def ready(state: str) -> dict[str, Any]:
    """Return SageMaker's description of a completed job, or of an endpoint in service."""
    if state.endswith("Training"):
        return description(state, "Completed", ModelArtifacts=_ARTIFACTS)
    return description(state, "InService")


def in_progress(state: str) -> dict[str, Any]:
    """Return SageMaker's description of a job or an endpoint that is not ready yet."""
    return description(state, "InProgress" if state.endswith("Training") else "Creating")


def successful(definition: Mapping[str, Any]) -> Responses:
    """Return the responses of a run without any failure, and of RecordFailure, which always raises an error."""
    responses: Responses = {}
    for name, state in all_states(definition).items():
        if state["Type"] != "Task":
            continue
        if name.startswith("Describe"):
            responses[name] = [ready(name)]
        elif name.startswith("Launch"):
            responses[name] = [by_function({"name": f"census-{name}", "instance_type": "ml.m5.large"})]
        elif name.startswith("TearDown"):
            responses[name] = [by_function({"pending": []})]
        elif name == "RecordFailure":
            responses[name] = [error("FirstError", "the error that came first")]
        else:
            responses[name] = [by_function(_PAYLOADS[name])]
    return responses


def scenarios(definition: Mapping[str, Any]) -> dict[str, Responses]:
    """Return every scenario: its name, and the responses of all tasks."""
    success = successful(definition)
    tasks = {name: state for name, state in all_states(definition).items() if state["Type"] == "Task"}
    waited_for = [name.removeprefix("Describe") for name in tasks if name.startswith("Describe")]
    found: dict[str, Responses] = {"success": {}, "success without training": _APPLY}
    for changes in (_failures(tasks), _retries(tasks, success), _waits(waited_for), _teardowns(tasks), _resumptions()):
        found |= dict(changes)
    return {name: {**success, **changed} for name, changed in found.items()}


_APPLY: Responses = {"Prepare": [by_function({**_PREPARED, "mode": "apply"})]}
_OF_APPLY = ("Adopt", "LabelByPreviousModelShard", "PublishApplied")
# Of these states, the other scenarios fail one without which the state is never entered.
_NEEDS_A_FAILURE = ("RecordFailure", "TearDownFailedPca", "TearDownFailedKMeans")


def _with_entry(state: str, responses: list[dict[str, Any]]) -> Responses:
    """Return the changed responses of a state, and those that lead to it if a successful run does not enter it."""
    entry: Responses = _APPLY if state in _OF_APPLY else {}
    if state in _NEEDS_A_FAILURE:
        entry = {"Prepare": [error("InvalidCensus")]}
    return {**entry, state: responses}


def _failures(tasks: Iterable[str]) -> Iterator[tuple[str, Responses]]:
    """Each task fails with an error that no Retry names: each phase's Catch, maps that fail, failed clean-ups."""
    for state in tasks:
        yield f"{state} fails", _with_entry(state, [error("NoRetryNamesIt")])
    both = {state: [error("TeardownTimedOut")] for state in ("TearDownFailedPca", "TearDownFailedKMeans")}
    yield "both clean-ups fail", {"Prepare": [error("InvalidCensus")], **both}


def _retries(tasks: Mapping[str, State], success: Responses) -> Iterator[tuple[str, Responses]]:
    """Each Retry of each task: one error less than it allows, which succeeds, and one more, which fails."""
    for state, task in tasks.items():
        for number, retry in enumerate(task["Retry"], 1):
            # LocalStack's mocked responses cannot raise the errors whose names Step Functions reserves.
            named = [each for each in retry["ErrorEquals"] if not each.startswith("States.")]
            attempts = retry["MaxAttempts"]
            errors = [error(named[attempt % len(named)]) for attempt in range(attempts)]
            yield f"{state}: retry {number} succeeds", _with_entry(state, [*errors, *success[state]])
            yield f"{state}: retry {number} is used up", _with_entry(state, [*errors, error(named[0])])


def _waits(waited_for: Iterable[str]) -> Iterator[tuple[str, Responses]]:
    """Each loop that waits for a job or an endpoint, or for room under a quota."""
    for what in waited_for:
        launch, describe = f"Launch{what}", f"Describe{what}"
        launched = by_function({"name": f"census-{what}", "instance_type": "ml.m5.large"})
        full = error(QUOTA_FULL, "1 of 1 instances are in use")
        yield f"{what} takes a while", {describe: [in_progress(describe)] * 3 + [ready(describe)]}
        yield f"{what} takes too long", {describe: [in_progress(describe)]}
        yield f"{what} has room after a while", {launch: [full, full, full, launched]}
        yield f"{what} never has room", {launch: [full]}
        for message in CAPACITY_MESSAGES:
            no_instance = description(describe, "Failed", FailureReason=f"{message}: no ml.m5.large")
            yield f"{what}: {message}, then another type", {describe: [no_instance, ready(describe)]}
        failed = description(describe, "Failed", FailureReason="AlgorithmError: NaN in row 7")
        yield f"{what} has failed", {describe: [failed]}
        yield f"{what} has failed without a reason", {describe: [description(describe, "Failed")]}
        ended = "Stopped" if what.endswith("Training") else "Deleting"
        yield f"{what} was stopped", {describe: [description(describe, ended)]}


def _teardowns(tasks: Iterable[str]) -> Iterator[tuple[str, Responses]]:
    """Each teardown that finds resources pending before there are none."""
    for state in tasks:
        if state.startswith("TearDown"):
            pending, done = by_function({"pending": ["endpoint"]}), by_function({"pending": []})
            yield f"{state} waits", _with_entry(state, [pending, pending, done])


def _resumptions() -> Iterator[tuple[str, Responses]]:
    """RecordFailure returns the phase at which a redriven run resumes."""
    first = [error("InvalidCensus"), by_function(_PAYLOADS["Prepare"])]
    yield "resumed at Prepare", {"Prepare": first, "RecordFailure": [by_function({"phase": "Prepare"})]}
    publish = [error("NoSuchKey"), by_function(_PAYLOADS["Publish"])]
    for phase in ("Pca", "KMeans", "TearDownKMeans", "Publish"):
        yield f"resumed at {phase}", {"Publish": publish, "RecordFailure": [by_function({"phase": phase})]}
    adopt = [error("NoSuchKey"), by_function(_PAYLOADS["Adopt"])]
    yield "resumed at Apply", {**_APPLY, "Adopt": adopt, "RecordFailure": [by_function({"phase": "Apply"})]}
    unknown = [by_function({"phase": "Lunch"})]
    yield "resumed at no phase", {"Publish": publish, "RecordFailure": unknown}


def quick(definition: Mapping[str, Any]) -> dict[str, Any]:
    """Return the definition without waiting time and without random numbers; everything else stays as deployed.

    Wait states still compute their seconds, but wait for none; retries wait for at most a second; ``$random()``
    becomes 0.5, because the two engines would draw different numbers. The maps pass one shard at a time, so that the
    order in which the shards get the scripted responses is fixed.
    """
    changed = copy.deepcopy(dict(definition))
    changed.pop("TimeoutSeconds", None)
    for machine in machines(changed):
        for state in machine["States"].values():
            for retry in state.get("Retry", ()):
                retry |= {"IntervalSeconds": 1, "BackoffRate": 1}
                retry.pop("MaxDelaySeconds", None)
            if state["Type"] == "Wait":
                state["Seconds"] = re.sub(r"^{%(.*)%}$", r"{% 0 * (\1) %}", state["Seconds"], flags=re.DOTALL)
                if "Output" in state:
                    state["Output"] = state["Output"].replace("$random()", "0.5")
            if state["Type"] == "Map":
                state["MaxConcurrency"] = 1
                state["ItemReader"]["Parameters"]["Bucket"] = BUCKET
    return changed
