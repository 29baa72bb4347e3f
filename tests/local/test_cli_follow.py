"""An execution's history as steps, which the command line shows while a run goes on."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from local.follow import Follower, Snapshot
from local.steps import History, step_of

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def entered(state: str, second: float, kind: str = "Task") -> dict[str, Any]:
    return {
        "type": f"{kind}StateEntered",
        "timestamp": NOON + timedelta(seconds=second),
        "stateEnteredEventDetails": {"name": state},
    }


def exited(state: str, second: float, kind: str = "Task") -> dict[str, Any]:
    return {
        "type": f"{kind}StateExited",
        "timestamp": NOON + timedelta(seconds=second),
        "stateExitedEventDetails": {"name": state},
    }


def event(kind: str, second: float, **details: str) -> dict[str, Any]:
    name = f"{kind[0].lower()}{kind[1:]}EventDetails"
    return {"type": kind, "timestamp": NOON + timedelta(seconds=second), name: details}


def numbered(*events: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"id": number, "previousEventId": number - 1, **event} for number, event in enumerate(events, 1)]


def history_of(*events: dict[str, Any]) -> History:
    history = History()
    history.add(numbered(*events))
    return history


@pytest.mark.parametrize(
    ("state", "step"),
    [
        ("Prepare", "Prepare"),
        ("LaunchPcaTraining", "Train PCA"),
        ("DescribeKMeansTraining", "Train k-means"),
        ("WaitForPcaEndpoint", "Host PCA"),
        ("IsKMeansEndpointReady", "Host k-means"),
        ("Project", "Project"),
        ("ChooseClusters", "Choose k"),
        ("FreshStarts", "Fresh starts"),
        ("Refine", "Refine"),
        ("Align", "Align"),
        ("Stability", "Stability"),
        ("Label", "Label"),
        ("StartTearDownPca", "Tear down PCA"),
        ("IsKMeansTornDown", "Tear down k-means"),
        ("TearDownFailedPca", "Clean up PCA"),
        ("IsFailedKMeansTornDown", "Clean up k-means"),
        ("Publish", "Publish"),
        ("RecordFailure", "Record the failure"),
    ],
)
def test_a_state_belongs_to_a_step(state: str, step: str) -> None:
    found = step_of(state)
    assert found is not None
    assert found[0] == step


@pytest.mark.parametrize("state", ["Pca", "KMeans", "NoteTearDownKMeansFailure", "NotePcaFailure", "Resume", "CleanUp"])
def test_a_pass_or_choice_state_belongs_to_no_step(state: str) -> None:
    assert step_of(state) is None


def test_launching_describing_and_waiting_are_one_step() -> None:
    history = history_of(
        entered("LaunchPcaTraining", 0),
        exited("LaunchPcaTraining", 1),
        entered("DescribePcaTraining", 1),
        exited("DescribePcaTraining", 2),
        entered("WaitForPcaTraining", 2, "Wait"),
        exited("WaitForPcaTraining", 5, "Wait"),
        entered("DescribePcaTraining", 5),
        exited("DescribePcaTraining", 6),
    )
    assert [(step.name, step.outcome, step.seconds()) for step in history.steps] == [("Train PCA", "done", 6.0)]


def test_a_step_runs_while_one_of_its_states_does() -> None:
    history = history_of(
        entered("LaunchPcaTraining", 0),
        exited("LaunchPcaTraining", 1),
        entered("WaitForPcaTraining", 1, "Wait"),
    )
    (step,) = history.steps
    assert step.outcome == "running"
    assert step.seconds(now=(NOON + timedelta(seconds=9)).timestamp()) == 9.0


def test_steps_of_parallel_branches_run_beside_each_other() -> None:
    history = history_of(
        entered("KMeans", 0, "Parallel"),
        entered("LaunchKMeansTraining", 0),
        entered("TearDownPca", 0.5),
        entered("ChooseClusters", 1),
        exited("TearDownPca", 2),
    )
    outcomes = {step.name: step.outcome for step in history.steps}
    assert outcomes == {"Train k-means": "running", "Tear down PCA": "done", "Choose k": "running"}


def test_a_running_step_shows_the_status_that_sagemaker_reports() -> None:
    described = '{"TrainingJobName": "census-x-pca", "TrainingJobStatus": "InProgress", "SecondaryStatus": "Training"}'
    history = history_of(
        entered("DescribePcaTraining", 0),
        event("TaskSucceeded", 1, output=described),
        exited("DescribePcaTraining", 1),
    )
    assert history.steps[0].note == "Training"


def test_the_status_of_a_later_attempt_counts_for_the_same_step() -> None:
    described = '{"EndpointName": "census-x-kmeans-2", "EndpointStatus": "Creating"}'
    history = history_of(entered("DescribeKMeansEndpoint", 0), event("TaskSucceeded", 1, output=described))
    assert history.steps[0].note == "Creating"


def test_a_step_that_was_retried_with_success_is_done() -> None:
    history = history_of(
        entered("LaunchPcaEndpoint", 0),
        event("TaskFailed", 1, error="ThrottlingException", cause="slow down"),
        event("TaskSucceeded", 3, output="{}"),
        exited("LaunchPcaEndpoint", 3),
    )
    assert history.steps[0].outcome == "done"


def test_a_step_that_is_left_after_an_error_has_failed_and_names_it() -> None:
    history = history_of(
        entered("Prepare", 0),
        event("TaskFailed", 1, error="InvalidCensus", cause="no column State"),
        exited("Prepare", 1),
    )
    assert (history.steps[0].outcome, history.steps[0].note) == ("failed", "InvalidCensus")


def test_a_step_that_ends_in_a_fail_state_has_failed() -> None:
    history = history_of(
        entered("DescribePcaTraining", 0),
        exited("DescribePcaTraining", 1),
        entered("PcaTrainingFailed", 1, "Fail"),
    )
    assert [(step.name, step.outcome) for step in history.steps] == [("Train PCA", "failed")]


def test_a_step_that_runs_when_the_execution_is_aborted_has_failed() -> None:
    history = history_of(entered("Label", 0, "Map"))
    history.close(NOON.timestamp() + 4, cut_short=True)
    assert (history.steps[0].outcome, history.steps[0].seconds()) == ("failed", 4.0)


def test_a_branch_that_was_cancelled_because_another_failed_has_not_failed() -> None:
    history = history_of(
        entered("TearDownPca", 0),
        entered("LaunchKMeansTraining", 0),
        event("TaskFailed", 1, error="AccessDeniedException", cause=""),
    )
    history.close(NOON.timestamp() + 2, cut_short=False)
    assert {step.name: step.outcome for step in history.steps} == {
        "Tear down PCA": "done",
        "Train k-means": "failed",
    }


def test_events_added_before_are_ignored() -> None:
    events = numbered(entered("Prepare", 0), exited("Prepare", 1), entered("Publish", 2))
    history = History()
    history.add(events[:2])
    history.add(events)
    assert [step.name for step in history.steps] == ["Prepare", "Publish"]


class FakeStates:
    """Step Functions' two calls over a history that grows by a few events per look, in pages of two."""

    exceptions = SimpleNamespace(ExecutionDoesNotExist=KeyError)

    def __init__(self, events: Iterable[dict[str, Any]], *, appears_after: int = 0, per_look: int = 3) -> None:
        self._events = list(events)
        self._appears_after, self._per_look = appears_after, per_look
        self.looks = 0
        self.events_sent = 0

    def describe_execution(self, **request: Any) -> dict[str, Any]:
        self.looks += 1
        if self.looks <= self._appears_after:
            raise KeyError(request["executionArn"])
        done = len(self._visible()) == len(self._events)
        stopped = {"stopDate": self._events[-1]["timestamp"]} if done else {}
        return {"status": "SUCCEEDED" if done else "RUNNING", "startDate": NOON, **stopped}

    def get_execution_history(self, **request: Any) -> dict[str, Any]:
        assert request["reverseOrder"]
        backwards, start = self._visible()[::-1], int(request.get("nextToken", 0))
        page = backwards[start : start + 2]
        self.events_sent += len(page)
        more = {"nextToken": str(start + 2)} if start + 2 < len(backwards) else {}
        return {"events": page, **more}

    def _visible(self) -> list[dict[str, Any]]:
        return self._events[: self._per_look * (self.looks - self._appears_after)]


LONG_WAIT = numbered(
    *(
        happened
        for second in range(50)
        for happened in (
            entered("WaitForPcaTraining", second, "Wait"),
            exited("WaitForPcaTraining", second + 1, "Wait"),
        )
    )
)


def test_a_follower_reads_every_event_and_ends_with_the_execution(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("local.follow.POLL_SECONDS", 0)
    seen: list[Snapshot] = []
    last = Follower(FakeStates(LONG_WAIT), "arn:run").watch(seen.append)
    assert last.status == "SUCCEEDED"
    assert [step.seconds() for step in last.steps] == [50.0]
    assert len(seen) > 30


def test_a_follower_requests_only_new_events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("local.follow.POLL_SECONDS", 0)
    states = FakeStates(LONG_WAIT)
    Follower(states, "arn:run").watch(lambda _: None)
    assert states.events_sent <= 2 * len(LONG_WAIT)


def test_a_follower_waits_for_a_run_to_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("local.follow.POLL_SECONDS", 0)
    states = FakeStates(LONG_WAIT[:2], appears_after=5)
    assert Follower(states, "arn:run").watch(lambda _: None).status == "SUCCEEDED"


def test_waiting_for_a_run_that_never_begins_ends_with_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("local.follow.POLL_SECONDS", 0)
    with pytest.raises(TimeoutError, match="no run began"):
        Follower(FakeStates([], appears_after=10**9), "arn:run").watch(lambda _: None, appear_within=0.05)
