"""Groups the events of an execution's history into the steps that are shown to a user.

A state machine has many states per step: it launches a job, describes it, waits, and describes it again. These states
become one step with a start, an end and a note of what it is waiting for.
"""

import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

from contract.names import ROOM_STATE

Outcome = Literal["running", "done", "failed"]
WAITING_FOR_ROOM: Final = "waiting for room under a quota"
"""The note of a step whose launch waits until other jobs or endpoints of the account have ended."""
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
        (r"^ChooseClusters$", "Choose k", "the quality of a clustering for each number of clusters"),
        (r"^FreshStarts$", "Fresh starts", "k-means++ starts on a sample of the rows"),
        (r"^Refine$", "Refine", "the centroids to be refined over all rows"),
        (r"^Align$", "Align", "the segments to be numbered like those of the previous run"),
        (r"^Adopt$", "Adopt", "the previous run's model to be read"),
        (r"^LabelByPreviousModel$", "Label", "the previous run's model to label every row"),
        (r"^Stability$", "Stability", "bootstrap refits of the segments"),
        (r"^Label$", "Label", "k-means' endpoint to label every row"),
        (r"^Publish(Applied)?$", "Publish", "the result and its report to be written"),
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
        Its name, and what it waits for, in words.
    started, ended
        Seconds since the epoch; `ended` is ``None`` while the step runs.
    note
        SageMaker's status of a job or endpoint, or the name of an error.
    failed
        Whether the step ended with an error.
    """

    name: str
    waiting_for: str
    started: float
    ended: float | None = None
    note: str = ""
    failed: bool = False

    @property
    def outcome(self) -> Outcome:
        """Whether the step is running, done or failed."""
        if self.failed:
            return "failed"
        return "running" if self.ended is None else "done"

    def seconds(self, now: float | None = None) -> float:
        """Return the seconds that the step took, or has taken until `now`."""
        end = self.ended if self.ended is not None else (time.time() if now is None else now)
        return max(0.0, end - self.started)


def step_of(state: str) -> tuple[str, str] | None:
    """Return the name of a state's step and what the step waits for; ``None`` for states such as Pass and Choice."""
    for pattern, name, waiting_for in _STEPS:
        if match := pattern.search(state):
            model = next((group for group in match.groups() if group), "")
            return name.format(_MODELS.get(model.lower(), "")), waiting_for
    return None


@dataclass
class StepLog:
    """The steps of a command, shown whenever one of them changes.

    Attributes
    ----------
    show
        Called with all steps, in the order in which they began.
    """

    show: Callable[[list[Step]], None]
    _own: list[Step] = field(default_factory=list)
    _of_execution: list[Step] = field(default_factory=list)

    @contextmanager
    def step(self, name: str, waiting_for: str) -> Iterator[None]:
        """Record a step that lasts as long as the block; an exception marks it as failed."""
        step = Step(name, waiting_for, time.time())
        self._own.append(step)
        self._show()
        try:
            yield
        except BaseException:
            step.failed = True
            raise
        finally:
            step.ended = time.time()
            self._show()

    def include(self, steps: list[Step]) -> None:
        """Show the steps of an execution among those of the command."""
        self._of_execution = steps
        self._show()

    def seconds(self, name: str) -> float:
        """Return the seconds that a step took; 0 if it never began."""
        return round(sum(step.seconds() for step in self._own if step.name == name), 3)

    def _show(self) -> None:
        self.show(sorted([*self._own, *self._of_execution], key=lambda step: step.started))


@dataclass
class History:
    """The steps of one execution, from the events read so far.

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
        """Add events in the order of their ids; events added before are ignored."""
        for event in events:
            if event["id"] > self.last_event:
                self._add_event(event)
                self.last_event = event["id"]

    def close(self, moment: float, *, cut_short: bool) -> None:
        """End the steps that still run, because the execution has ended.

        Parameters
        ----------
        moment
            When the execution ended, in seconds since the epoch.
        cut_short
            Whether the execution was aborted or timed out, which fails every running step. Otherwise, only steps
            with an error have failed: Step Functions cancels the other branches when one branch fails.
        """
        for name, step in self._steps.items():
            if step.ended is None:
                step.ended = moment
                step.failed = cut_short or bool(self._states_inside[name] & self._failing)

    def _add_event(self, event: Mapping[str, Any]) -> None:
        kind, moment = event["type"], epoch_seconds(event["timestamp"])
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
        if state.startswith(ROOM_STATE.format("")):
            step.note = WAITING_FOR_ROOM
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
        """Note the status that SageMaker reported for a job or an endpoint."""
        output = _json(_details(event).get("output", ""))
        job, endpoint = output.get("TrainingJobName"), output.get("EndpointName")
        if not (match := _STAGE_OF_NAME.search(str(job or endpoint or ""))):
            return
        model = _MODELS[match.group(1)]
        status = output.get("SecondaryStatus") or output.get("TrainingJobStatus") or output.get("EndpointStatus")
        if (step := self._steps.get(f"{'Train' if job else 'Host'} {model}")) is not None and status:
            step.note = str(status)

    def _note_error(self, state: str, event: Mapping[str, Any]) -> None:
        """Note the error; the step has failed if no later attempt succeeds before the state is exited."""
        self._failing.add(state)
        if (found := step_of(state)) is not None and found[0] in self._steps:
            self._steps[found[0]].note = str(_details(event).get("error", event["type"]))


def epoch_seconds(moment: datetime | float) -> float:
    """Return a moment in seconds since the epoch."""
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
