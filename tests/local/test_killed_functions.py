"""Every function is killed, times out or runs out of memory, once or always, after each of its calls to AWS.

``make test`` ends most functions in one of these ways, by turns; ``make nightly`` ends each in all of them.
"""

from collections.abc import Iterator

import pytest

from tests.local.faults import EVERY_CASE, Case, Outcome, deployed, run_matrix
from tests.local.runs import Runs, eventually

# All cases run together, when the first test needs an outcome.
pytestmark = pytest.mark.timeout(600)

ENDS = {"kill": "Runtime.ExitError", "timeout": "Sandbox.Timedout", "oom": "Runtime.ExitError"}
# Further calls to AWS after which a function is killed, so that each of its steps is the last one in some run.
STEPS = {
    "prepare": (2, 3, 4, 5, 6),
    "launch_training": (2,),
    "launch_endpoint": (2, 3, 4),
    "project": (2, 3, 4),
    "choose_clusters": (2, 3),
    "fresh_starts": (2, 3),
    "refine": (2, 5, 6),
    "align": (2, 4, 6),
    "stability": (2, 4),
    "label": (2, 4, 6, 8),
    "publish": (3, 6, 9, 12, 15),
    "teardown": (5, 6, 7),
}
_ANY = "{name}-"
# The event types in the state machine's history.
_SECOND_STAGE = {
    "launch_training": "kmeans*{name}-",
    "launch_endpoint": "kmeans*{name}-",
    "teardown": "{name}-*kmeans",
}


def cases() -> Iterator[Case]:
    for turn, (function, steps) in enumerate(STEPS.items()):
        target = f"lambda.{function}"
        every_way = EVERY_CASE or function == "prepare"
        for kind in ENDS if every_way else (list(ENDS)[turn % len(ENDS)],):
            yield Case(target, f"{kind}*1", "", None, where=_ANY)
            yield Case(target, kind, "", ENDS[kind], where=_ANY, janitor=function == "teardown")
        for step in steps:
            yield Case(target, f"kill={step}*1", "", None, where=_ANY)
    for function, second in _SECOND_STAGE.items():
        for fault, error in {"kill*1": None, "kill": ENDS["kill"]}.items():
            janitor = function == "teardown" and error is not None
            yield Case(f"lambda.{function}", fault, "kmeans", error, where=second, janitor=janitor)
    for kind, end in ENDS.items():
        # This run is refused anyway. It ends with the refusal, unless the function that records it is always killed.
        yield Case("lambda.record_failure", f"{kind}*1", "", "InvalidCensus", where=_ANY, body=b"")
        yield Case("lambda.record_failure", kind, "", end, where=_ANY, body=b"")
        yield Case("lambda.adopt", f"{kind}*1", "", None, where=_ANY, applies=True)
        yield Case("lambda.adopt", kind, "", end, where=_ANY, applies=True)
        # The event is received again.
        yield Case("lambda.start_run", f"{kind}*1", "", None, where="{name}.csv")


CASES = list(cases())


@pytest.fixture(scope="module")
def runs() -> Iterator[Runs]:
    with deployed() as runs:
        runs.receive_again_after(1)
        runs.train_for_series()
        yield runs


@pytest.fixture(scope="module")
def outcomes(runs: Runs) -> dict[str, Outcome]:
    return {outcome.case.label: outcome for outcome in run_matrix(runs, CASES)}


def test_every_function_of_the_stack_is_killed(runs: Runs) -> None:
    pages = runs.client("lambda").get_paginator("list_functions").paginate()
    functions = {item["FunctionName"].removeprefix(f"{runs.stack}-") for page in pages for item in page["Functions"]}
    killed = {case.operation.removeprefix("lambda.").replace("_", "-") for case in CASES}
    assert functions - killed == {"sweep"}  # below


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.label)
def test_the_run_recovers_or_fails_with_nothing_left(outcomes: dict[str, Outcome], case: Case) -> None:
    assert outcomes[case.label].complaints() == []


def test_a_refusal_that_could_not_be_recorded_still_left_its_problems(outcomes: dict[str, Outcome], runs: Runs) -> None:
    run = outcomes["lambda.record_failure-kill-"].run
    assert "problems.json" in runs.written(run)


def test_nothing_was_trained_on_half_prepared_files(outcomes: dict[str, Outcome], runs: Runs) -> None:
    for kind in ENDS:
        run = outcomes[f"lambda.prepare-{kind}-"].run
        assert runs.training_jobs(run) == {}
        assert not [state for state in runs.entered(run) if state.startswith("Launch")]


# The first call receives the event, and the second counts the runs in progress; the third would start the run.
@pytest.mark.parametrize("calls", [1, 2])
@pytest.mark.parametrize("kind", ENDS)
def test_an_event_that_always_ends_start_run_blocks_those_behind_it_for_a_few_attempts_only(
    outcomes: dict[str, Outcome], runs: Runs, kind: str, calls: int
) -> None:
    name = f"start-{kind}-{calls}"
    fault = f"lambda.start_run@{name}.csv:{kind}={calls}"
    runs.add_faults(fault)
    first, behind = runs.upload(f"{name}.csv"), runs.upload(f"behind-{kind}-{calls}.csv")

    def behind_is_started() -> bool:
        runs.invoke("start-run", {"wait_seconds": 0}, kind="Event")  # as the schedule does
        return runs.describe(behind) is not None

    eventually(behind_is_started, 120, "the event behind it is blocked", every=0.5)
    (struck,) = (fault["struck"] for fault in runs.faults_on(f"{name}.csv"))
    runs.remove_faults(fault)
    (given_up,) = runs.messages_to(runs.outputs["GivenUpUrl"])
    assert given_up["detail"]["object"]["key"] == first.key
    assert struck == 5
    assert runs.describe(first) is None
    assert runs.end(behind)["status"] == "SUCCEEDED"

    runs.announce(given_up)

    assert runs.end(first)["status"] == "SUCCEEDED"


@pytest.mark.parametrize("kind", ENDS)
def test_a_janitor_whose_process_dies_is_invoked_again(outcomes: dict[str, Outcome], runs: Runs, kind: str) -> None:
    """Lambda repeats an asynchronous invocation that failed."""
    name = f"jan-{kind}"
    runs.add_faults(f"State.Project@{name}:slow=60")
    run = runs.upload(f"{name}.csv")
    eventually(lambda: any(fault["struck"] for fault in runs.faults_on(name)), 60)
    runs.add_faults(f"lambda.sweep@{run.run_id}:{kind}=3*1")

    runs.client("stepfunctions").stop_execution(executionArn=run.execution_arn)

    def endpoint_is_gone() -> bool:
        return not [each for each in runs.leftovers(run.run_id) if each.startswith("Endpoint ")]

    eventually(endpoint_is_gone, 60, "the endpoint is still there", every=0.2)
    assert [fault["struck"] for fault in runs.faults_on(run.run_id)] == [1]
    assert runs.is_swept(run.run_id)
