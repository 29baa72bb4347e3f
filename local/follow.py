"""An execution's history, folded into the steps a person thinks in.

A state machine has many states for one step: launch a job, describe it, wait, describe it again. Here they
become one step that says what is being waited for, when it began and when it ended.
"""

import json
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

Outcome = Literal["running", "done", "failed"]
Status = Literal["RUNNING", "SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED", "PENDING_REDRIVE"]

POLL_SECONDS: Final = 0.2
_MODELS: Final = {"pca": "PCA", "kmeans": "k-means"}
_STEPS: Final[tuple[tuple[re.Pattern[str], str, str], ...]] = tuple(
    (re.compile(pattern), name, waiting_for)
    for pattern, name, waiting_for in (
        (r"TearDown(Pca|KMeans)$|^Is(Pca|KMeans)TornDown$", "Tear down {}", "its endpoint, config and model to go"),
        (r"TearDownFailed(Pca|KMeans)$|^IsFailed(Pca|KMeans)TornDown$", "Clean up {}", "what it had begun to go"),
        (r"(Pca|KMeans)Training", "Train {}", "the training job"),
        (r"(Pca|KMeans)Endpoint", "Host {}", "the endpoint to come into service"),
        (r"^Prepare$", "Prepare", "the CSV to be checked, cleaned and scaled"),
        (r"^Project$", "Project", "PCA's endpoint to project every row"),
        (r"^ChooseClusters$", "Choose k", "the curve of mean distances"),
        (r"^Label$", "Label", "k-means' endpoint to label every row"),
        (r"^Publish$", "Publish", "the result and its report to be written"),
        (r"^RecordFailure$", "Record the failure", "failure.json to be written"),
    )
)
_STAGE_OF_NAME: Final = re.compile(r"-(pca|kmeans)(-\d+)?$")


@dataclass
class Step:
    """One step of a run.

    Attributes
    ----------
    name, waiting_for
        What it is, and what it waits for, in words.
    started, ended
        In seconds since the epoch; `ended` is ``None`` while it runs.
    note
        What is known of it now: a status, a retry.
    failed
        Whether it ended in an error.
    """

    name: str
    waiting_for: str
    started: float
    ended: float | None = None
    note: str = ""
    failed: bool = False

    @property
    def outcome(self) -> Outcome:
        """Say how it stands."""
        if self.failed:
            return "failed"
        return "running" if self.ended is None else "done"

    def seconds(self, now: float | None = None) -> float:
        """Return how long it took, or has taken by `now`."""
        end = self.ended if self.ended is not None else (time.time() if now is None else now)
        return max(0.0, end - self.started)


def step_of(state: str) -> tuple[str, str] | None:
    """Return the name of a state's step and what that waits for; ``None`` for a state that only passes on."""
    for pattern, name, waiting_for in _STEPS:
        if match := pattern.search(state):
            model = next((group for group in match.groups() if group), "")
            return name.format(_MODELS.get(model.lower(), "")), waiting_for
    return None


@dataclass
class History:
    """The steps of one execution, as far as its events have been seen.

    Example
    -------
    >>> history = History()
    >>> history.add([{"id": 1, "type": "TaskStateEntered", "timestamp": moment,
    ...               "stateEnteredEventDetails": {"name": "Prepare"}}])
    >>> history.steps[0].name
    'Prepare'
    """

    last_event: int = 0
    _steps: dict[str, Step] = field(default_factory=dict)
    _states_inside: dict[str, set[str]] = field(default_factory=dict)
    _state_of_event: dict[int, str] = field(default_factory=dict)
    _failing: set[str] = field(default_factory=set)

    @property
    def steps(self) -> list[Step]:
        """The steps in the order in which they began."""
        return sorted(self._steps.values(), key=lambda step: step.started)

    def add(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Take in further events, in order of their ids; those seen before are passed over."""
        for event in events:
            if event["id"] > self.last_event:
                self._take(event)
                self.last_event = event["id"]

    def close(self, moment: float, *, cut_short: bool) -> None:
        """End what is still open: the execution is over.

        Parameters
        ----------
        moment
            When it ended, in seconds since the epoch.
        cut_short
            Whether it was aborted or ran out of time: then what is open has failed. Else only what ended in an
            error has; the rest was let go when another branch failed.
        """
        for name, step in self._steps.items():
            if step.ended is None:
                step.ended = moment
                step.failed = cut_short or bool(self._states_inside[name] & self._failing)

    def _take(self, event: Mapping[str, Any]) -> None:
        kind, moment = event["type"], _seconds(event["timestamp"])
        state = _state_name(event) or self._state_of_event.get(event.get("previousEventId", 0), "")
        self._state_of_event[event["id"]] = state
        if kind == "FailStateEntered":
            self._enter(state, moment)
            self._failing.add(state)
            self._leave(state, moment)
        elif kind.endswith("StateEntered") and kind != "ParallelStateEntered":
            self._enter(state, moment)
        elif kind.endswith(("StateExited", "StateAborted")) and not kind.startswith("Parallel"):
            self._leave(state, moment)
        elif kind in {"TaskSucceeded", "LambdaFunctionSucceeded"}:
            self._failing.discard(state)
            self._note_status(event)
        elif kind in {"TaskFailed", "TaskTimedOut", "LambdaFunctionFailed", "LambdaFunctionTimedOut"}:
            self._note_error(state, event)

    def _enter(self, state: str, moment: float) -> None:
        if (found := step_of(state)) is None:
            return
        name, waiting_for = found
        step = self._steps.setdefault(name, Step(name, waiting_for, moment))
        step.ended, step.failed = None, False
        self._states_inside.setdefault(name, set()).add(state)

    def _leave(self, state: str, moment: float) -> None:
        if (found := step_of(state)) is None or found[0] not in self._steps:
            return
        name = found[0]
        self._states_inside[name].discard(state)
        if not self._states_inside[name]:
            self._steps[name].ended = moment
            self._steps[name].failed = state in self._failing

    def _note_status(self, event: Mapping[str, Any]) -> None:
        """Keep the status that SageMaker gave a job or an endpoint, told by its name."""
        said = _json(_details(event).get("output", ""))
        job, endpoint = said.get("TrainingJobName"), said.get("EndpointName")
        if not (match := _STAGE_OF_NAME.search(str(job or endpoint or ""))):
            return
        model = _MODELS[match.group(1)]
        status = said.get("SecondaryStatus") or said.get("TrainingJobStatus") or said.get("EndpointStatus")
        if (step := self._steps.get(f"{'Train' if job else 'Host'} {model}")) is not None and status:
            step.note = str(status)

    def _note_error(self, state: str, event: Mapping[str, Any]) -> None:
        """Keep the error; the step has failed if its state is left without another attempt that succeeds."""
        self._failing.add(state)
        if (found := step_of(state)) is not None and found[0] in self._steps:
            self._steps[found[0]].note = str(_details(event).get("error", event["type"]))


@dataclass(frozen=True)
class Snapshot:
    """An execution at one moment.

    Attributes
    ----------
    status
        As Step Functions gives it.
    steps
        In the order in which they began.
    seconds
        How long it took, or has taken.
    error, cause
        Of a failed execution, else empty.
    """

    status: Status
    steps: list[Step]
    seconds: float
    error: str = ""
    cause: str = ""


class Follower:
    """Follows one execution; each :meth:`look` asks only for the events since the last one.

    Parameters
    ----------
    stepfunctions
        A boto3 client.
    execution_arn
        The execution, which need not exist yet.
    """

    def __init__(self, stepfunctions: Any, execution_arn: str) -> None:
        self._client = stepfunctions
        self.execution_arn = execution_arn
        self._history = History()

    def look(self) -> Snapshot | None:
        """Return the execution as it is now, or ``None`` before it exists."""
        try:
            execution = self._client.describe_execution(executionArn=self.execution_arn)
        except self._client.exceptions.ExecutionDoesNotExist:
            return None
        self._history.add(self._new_events())
        started = _seconds(execution["startDate"])
        stopped = _seconds(execution["stopDate"]) if execution.get("stopDate") else None
        if execution["status"] != "RUNNING":
            cut_short = execution["status"] in {"ABORTED", "TIMED_OUT"}
            self._history.close(stopped or time.time(), cut_short=cut_short)
        return Snapshot(
            execution["status"],
            self._history.steps,
            (stopped or time.time()) - started,
            execution.get("error", ""),
            execution.get("cause", ""),
        )

    def watch(self, seen: Callable[[Snapshot], None], *, appear_within: float = 60.0) -> Snapshot:
        """Look again and again until the execution is over.

        Parameters
        ----------
        seen
            Called with every snapshot.
        appear_within
            Seconds to wait for the execution to begin.

        Raises
        ------
        TimeoutError
            When it hasn't begun in time.
        """
        deadline = time.monotonic() + appear_within
        while True:
            if (snapshot := self.look()) is not None:
                seen(snapshot)
                if snapshot.status != "RUNNING":
                    return snapshot
            elif time.monotonic() > deadline:
                raise TimeoutError(f"no run began within {appear_within:.0f} s of the upload")
            time.sleep(POLL_SECONDS)

    def _new_events(self) -> list[Mapping[str, Any]]:
        """Read the history backwards up to the last event seen, and return it forwards."""
        found: list[Mapping[str, Any]] = []
        token: dict[str, str] = {}
        while True:
            page = self._client.get_execution_history(
                executionArn=self.execution_arn, maxResults=200, reverseOrder=True, **token
            )
            found += [event for event in page["events"] if event["id"] > self._history.last_event]
            reached = page["events"] and page["events"][-1]["id"] <= self._history.last_event + 1
            if reached or "nextToken" not in page:
                return found[::-1]
            token = {"nextToken": page["nextToken"]}


def _seconds(moment: datetime | float) -> float:
    return moment.timestamp() if isinstance(moment, datetime) else float(moment)


def _state_name(event: Mapping[str, Any]) -> str:
    details = event.get("stateEnteredEventDetails") or event.get("stateExitedEventDetails") or {}
    return str(details.get("name", ""))


def _details(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the part named after the event's type: ``TaskFailed`` has ``taskFailedEventDetails``."""
    kind = event["type"]
    found: Mapping[str, Any] = event.get(f"{kind[0].lower()}{kind[1:]}EventDetails", {})
    return found


def _json(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
