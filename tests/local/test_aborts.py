"""StopExecution in every state of the machine: the janitor then removes everything the run created."""

import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.local.faults import deployed
from tests.local.runs import Run, Runs, eventually, small_census

pytestmark = pytest.mark.timeout(600)

CASES_AT_A_TIME = 10
_PHASES = {"Pca": "pca", "KMeans": "kmeans"}
APPLY = ("Apply", "Adopt", "LabelByPreviousModel", "LabelByPreviousModelShard", "PublishApplied")
"""The states of a run that applies an earlier run's model."""


def states_of(definition: Mapping[str, Any]) -> Iterator[str]:
    """Yield the name of every state, including those inside Parallel and Map states."""
    for name, state in definition["States"].items():
        yield name
        for inner in (*state.get("Branches", ()), *filter(None, [state.get("ItemProcessor")])):
            yield from states_of(inner)


@dataclass(frozen=True)
class Way:
    """How a run is brought into a state: by itself, or by faults, a bad file, an action, a redrive, or its mode."""

    faults: tuple[str, ...] = ()
    body: bytes = field(default_factory=small_census, repr=False)
    meanwhile: Callable[[Runs, Run], None] | None = None
    redriven: bool = False
    applies: bool = False


def _ways() -> dict[str, Way]:
    refused = Way(body=b"")
    ways = {
        "NotePrepareFailure": refused,
        "NoteTearDownKMeansFailure": Way(("ListModels@{run}-*-kmeans:denied",)),
        "NotePublishFailure": Way(("s3.PutObject@{run}-*/segments.json:denied",)),
        "CleanUp": refused,
        "RecordFailure": refused,
        "Resume": Way(body=b"", redriven=True),
        "NoteApplyFailure": Way(("s3.PutObject@{run}-*/segments.json:denied",), applies=True),
        **dict.fromkeys(APPLY, Way(applies=True)),
    }
    for phase, stage in _PHASES.items():
        of_stage = f"@{{run}}-*-{stage}"
        ways |= {
            f"Note{phase}Failure": Way((f"CreateTrainingJob{of_stage}:denied",)),
            f"{phase}TrainingFailed": Way((f"TrainingJob{of_stage}:failed=why",)),
            f"{phase}TrainingTimedOut": Way((f"TrainingJob{of_stage}:stuck",)),
            f"{phase}TrainingEnded": Way(
                (f"TrainingJob{of_stage}:stuck", f"State.WaitFor{phase}Training@{{run}}-:slow=3*1"),
                meanwhile=_stop_training(stage, f"State.WaitFor{phase}Training"),
            ),
            f"{phase}EndpointFailed": Way((f"Endpoint{of_stage}:failed=why",)),
            f"{phase}EndpointTimedOut": Way((f"Endpoint{of_stage}:stuck",)),
            f"{phase}EndpointEnded": Way(
                (f"Endpoint{of_stage}:stuck_deleting", f"State.WaitFor{phase}Endpoint@{{run}}-:slow=6*1"),
                meanwhile=_delete_endpoint(stage, f"State.WaitFor{phase}Endpoint"),
            ),
            **_waits_for_room(f"{phase}Training", f"CreateTrainingJob{of_stage}"),
            **_waits_for_room(f"{phase}Endpoint", f"CreateEndpoint{of_stage}"),
            f"StartTearDownFailed{phase}": refused,
            f"TearDownFailed{phase}": refused,
            f"IsFailed{phase}TornDown": refused,
            f"Failed{phase}TornDown": refused,
            f"WaitForTearDownFailed{phase}": Way((f"InvokeEndpoint{of_stage}:denied",)),
        }
    return ways


def _waits_for_room(launched: str, operation: str) -> dict[str, Way]:
    full = Way((f"{operation}:in_use",))
    return {f"WaitForRoomFor{launched}": full, f"MayWaitFor{launched}": full, f"{launched}HasNoRoom": full}


def _stop_training(stage: str, held: str) -> Callable[[Runs, Run], None]:
    def stop(runs: Runs, run: Run) -> None:
        await_fault(runs, held, run)
        runs.client("sagemaker").stop_training_job(TrainingJobName=f"{runs.stack}-{run.run_id}-{stage}")

    return stop


def _delete_endpoint(stage: str, held: str) -> Callable[[Runs, Run], None]:
    def delete(runs: Runs, run: Run) -> None:
        await_fault(runs, held, run)
        name, sagemaker = f"{runs.stack}-{run.run_id}-{stage}", runs.client("sagemaker")

        def is_up() -> bool:
            return bool(sagemaker.describe_endpoint(EndpointName=name)["EndpointStatus"] == "InService")

        eventually(is_up, 5, f"{name} isn't up", every=0.1)
        sagemaker.delete_endpoint(EndpointName=name)

    return delete


def await_fault(runs: Runs, target: str, run: Run) -> None:
    """Wait until a fault of a run has occurred; fail if the run ends before that."""

    def struck() -> bool:
        mine = [fault for fault in runs.faults_on(run.run_id.split("-")[0]) if fault["target"] == target]
        if any(fault["struck"] for fault in mine):
            return True
        found = runs.describe(run)
        assert not found or found["status"] == "RUNNING", f"{target} isn't on the way: {found}"
        return False

    eventually(struck, 240, f"{target} hasn't struck", every=0.5)


@dataclass(frozen=True)
class Abort:
    """How a run that was stopped in a state ended."""

    run: Run
    status: str
    input_there: bool


def _abort_in(runs: Runs, number: int, state: str) -> Abort | str:
    # No hexadecimal name: "a07-" may stand in another run's version id, and its fault would hold that run too.
    name, way, hold = f"stop{number:02}", _ways().get(state, Way()), f"State.{state}"
    held = f"{hold}@{name}-:slow=300"
    faults = [fault.format(run=name) for fault in way.faults]
    runs.add_faults(*faults, *(() if way.redriven else (held,)))
    run = (runs.upload_to_series if way.applies else runs.upload)(f"{name}.csv", way.body)
    try:
        if way.redriven:
            assert runs.end(run)["status"] == "FAILED"
            runs.add_faults(held)
            runs.client("stepfunctions").redrive_execution(executionArn=run.execution_arn)
        if way.meanwhile is not None:
            way.meanwhile(runs, run)
        await_fault(runs, hold, run)
    except AssertionError as never:
        through = runs.entered(run)[-8:] if runs.describe(run) else "nothing: it never began"
        return f"the run never got there: {never}; it came through {through}"
    runs.client("stepfunctions").stop_execution(executionArn=run.execution_arn, error="Test", cause=state)
    return Abort(run, runs.end(run)["status"], runs.input_is_there(run))


@pytest.fixture(scope="module")
def runs() -> Iterator[Runs]:
    with deployed() as runs:
        runs.train_for_series()
        yield runs


@pytest.fixture(scope="module")
def states(runs: Runs) -> list[str]:
    """Every state of the deployed machine."""
    described = runs.client("stepfunctions").describe_state_machine(stateMachineArn=runs.machine)
    return list(states_of(json.loads(described["definition"])))


@pytest.fixture(scope="module")
def aborts(runs: Runs, states: list[str]) -> dict[str, Abort | str]:
    """Stop a run in each state, remove the faults, and run the janitor."""
    # The runs that wait for a time limit start first.
    ordered = sorted(states, key=lambda state: "TimedOut" not in state)
    with ThreadPoolExecutor(CASES_AT_A_TIME) as pool:
        found = list(pool.map(lambda numbered: _abort_in(runs, *numbered), enumerate(ordered)))
    runs.clear_faults()
    runs.is_swept("", 90)
    return dict(zip(ordered, found, strict=True))


def test_names_of_states_are_unique(states: list[str]) -> None:
    assert len(states) == len(set(states)) > 50


def test_every_way_leads_to_a_state_that_exists(states: list[str]) -> None:
    assert set(_ways()) - set(states) == set()


def test_runs_were_stopped_in_every_state(aborts: dict[str, Abort | str]) -> None:
    never = {state: found for state, found in aborts.items() if isinstance(found, str)}
    assert never == {}
    assert {found.status for found in aborts.values() if isinstance(found, Abort)} == {"ABORTED"}


def test_nothing_is_left_after_the_janitor_wherever_a_run_was_stopped(
    runs: Runs, aborts: dict[str, Abort | str]
) -> None:
    left = runs.leftovers()
    assert {
        state: mine
        for state, found in aborts.items()
        if isinstance(found, Abort) and (mine := [each for each in left if found.run.run_id in each])
    } == {}
    assert left == []


def test_no_input_is_lost(aborts: dict[str, Abort | str]) -> None:
    assert [state for state, found in aborts.items() if isinstance(found, Abort) and not found.input_there] == []
