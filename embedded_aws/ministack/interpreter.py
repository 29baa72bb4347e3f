"""Step Functions' interpreter: runs the states of an execution so that they can be stopped, as on AWS.

ministack runs a state machine in threads that cannot be stopped: after StopExecution, the branches of a Parallel state
continue, and a failed branch waits for the others. Here, every thread of an execution runs in a :class:`Scope`, which
is checked before each state and ends waits when it is stopped.
"""

from __future__ import annotations

import contextvars
import copy
import json
import logging
import queue
import sys
import threading
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from ministack.services import stepfunctions as sfn

from embedded_aws.ministack.authorization import authorize_task

Path = tuple[tuple[str, int], ...]
Context = dict[str, Any]

logger = logging.getLogger("states")

_DATA_LIMIT = 262_144  # bytes of a state's input or output
_INLINE_MAP_CONCURRENCY = 40
_DISTRIBUTED_MAP_WORKERS = 64

current_scope: ContextVar[Scope | None] = ContextVar("current_scope", default=None)


def seconds_held(state: str, execution: dict[str, Any]) -> float:
    """Return for how many seconds a fault delays an execution in a state; replaced by ``fault_points.connect``."""
    return 0.0


class Stopped(Exception):  # noqa: N818 - no error
    """The execution has ended, or the branch or iteration that this thread runs was stopped."""


@dataclass
class Progress:
    """The position of a branch or iteration: in ``state`` with input ``data``, or finished with result ``data``."""

    state: str
    data: Any
    finished: bool = False


@dataclass
class Run:
    """One attempt of an execution, from its start or a redrive to its end.

    Attributes
    ----------
    execution
        ministack's record of the execution.
    role_arn
        The state machine's role, under which its tasks are authorised.
    progress
        The position of each branch and iteration.
    resumed
        The positions at which a redrive continues: those at the end of the previous attempt.
    """

    execution: dict[str, Any]
    definition: dict[str, Any]
    role_arn: str
    progress: dict[Path, Progress] = field(default_factory=dict)
    resumed: dict[Path, Progress] = field(default_factory=dict)

    def resumable(self) -> dict[Path, Progress]:
        """Return the positions at which a redrive continues: those in the states that were entered last."""

        def is_current(path: Path) -> bool:
            for depth, (state, _) in enumerate(path):
                above = self.progress.get(path[:depth])
                if above is None or above.finished or above.state != state:
                    return False
            return True

        return {path: progress for path, progress in list(self.progress.items()) if is_current(path)}

    def forget(self, path: Path, state: str) -> None:
        """Delete the positions of a state's branches and iterations, because the state is entered again."""
        depth = len(path)
        # A copy, because other branches add their progress at the same time.
        keys = list(self.progress)
        old = [each for each in keys if len(each) > depth and each[:depth] == path and each[depth][0] == state]
        for each in old:
            del self.progress[each]


class Scope:
    """A part of an execution that is stopped as a whole: the execution itself, a branch, or an iteration.

    Attributes
    ----------
    last_event
        The id of the last event of this part or, before its first event, of its parent; 0 if there is none.
    """

    def __init__(self, run: Run, path: Path = (), parent: Scope | None = None) -> None:
        self.run = run
        self.path = path
        self.last_event: int = parent.last_event if parent is not None and parent.run is run else 0
        self._event = threading.Event()
        self._children: list[Scope] = []
        if parent is not None:
            parent._adopt(self)

    @property
    def stopped(self) -> bool:
        """Whether no further state may start."""
        return self._event.is_set()

    def stop(self) -> None:
        """Prevent further states from starting, in this scope and its children, and end their waits."""
        self._event.set()
        for child in self._children:
            child.stop()

    def check(self) -> None:
        """Raise :class:`Stopped` if this part of the execution has been stopped."""
        if self.stopped:
            raise Stopped

    def sleep(self, seconds: float) -> None:
        """Wait, or raise :class:`Stopped` as soon as the scope is stopped."""
        if self._event.wait(seconds):
            raise Stopped

    def _adopt(self, child: Scope) -> None:
        self._children.append(child)
        if self.stopped:
            child.stop()


def run_states(states: dict[str, Any], start: str, data: Any, context: Context, scope: Scope) -> Any:
    """Run states until one ends, and return its output.

    Raises
    ------
    Stopped
        If the scope is stopped, before the next state starts.
    """
    run, path = scope.run, scope.path
    name: str | None = start
    before = run.resumed.pop(path, None)
    if before is not None:
        run.progress[path] = before
        if before.finished:
            return before.data
        name, data = before.state, before.data
    while name is not None:
        run.progress[path] = Progress(name, data)
        data, name = _run_state(name, states, data, context, scope)
    run.progress[path] = Progress("", data, finished=True)
    return data


def _run_state(name: str, states: dict[str, Any], data: Any, context: Context, scope: Scope) -> tuple[Any, str | None]:
    scope.check()
    state = states.get(name)
    if state is None:
        raise sfn._ExecutionError("States.Runtime", f"State '{name}' not found")
    kind = state.get("Type")
    execution = scope.run.execution
    context["State"] = {"Name": name, "EnteredTime": sfn.now_iso(), "RetryCount": 0}
    entered = {"name": name, "input": _text(data)}
    add_event(execution, f"{kind}StateEntered", {"stateEnteredEventDetails": entered})
    scope.sleep(seconds_held(name, execution))
    following: str | None = None
    if kind == "Fail":
        raise sfn._ExecutionError(*sfn._fail_state_error(state, data, context))
    if kind == "Succeed":
        data = sfn._apply_output_path(state, sfn._apply_input_path(state, data, context), context)
    elif kind in ("Task", "Parallel", "Map"):
        run = {"Task": sfn._execute_task, "Parallel": sfn._execute_parallel, "Map": sfn._execute_map}[kind]
        data, following = run(state, data, execution, context)
    elif kind in ("Pass", "Choice", "Wait"):
        plain = {"Pass": sfn._execute_pass, "Choice": sfn._execute_choice, "Wait": sfn._execute_wait}[kind]
        data, following = plain(state, data, context)
    else:
        raise sfn._ExecutionError("States.Runtime", f"Unknown state type: {kind}")
    output = _text(data)
    if len(output.encode()) > _DATA_LIMIT:
        cause = f"The state/task '{name}' returned a result with a size exceeding the maximum number of bytes"
        raise sfn._ExecutionError("States.DataLimitExceeded", f"{cause} service limit.")
    add_event(execution, f"{kind}StateExited", {"stateExitedEventDetails": {"name": name, "output": output}})
    return data, following


def _text(data: Any) -> str:
    """Return data as JSON for the history, which repeats it at each state; equal texts are kept in memory once."""
    return sys.intern(json.dumps(data))


def run_parallel(state: dict[str, Any], raw: Any, execution: dict[str, Any], context: Context) -> tuple[Any, Any]:
    """Run the branches of a Parallel state; if one fails, stop the others and fail the state at once."""
    name, scope = context["State"]["Name"], _scope()
    data = sfn._apply_parameters(state, sfn._apply_input_path(state, raw, context), context)
    add_event(execution, "ParallelStateStarted")

    def branch(position: int, definition: dict[str, Any], part: Scope) -> Any:
        # Each branch needs its own context object, because branches enter states at the same time.
        return run_states(definition["States"], definition["StartAt"], copy.deepcopy(data), dict(context), part)

    results = _run_together(name, branch, state.get("Branches", []), scope)
    add_event(execution, "ParallelStateSucceeded")
    return _result(state, raw, results, context)


def run_map(state: dict[str, Any], raw: Any, execution: dict[str, Any], context: Context) -> tuple[Any, Any]:
    """Run the iterations of an inline Map state; if one fails, stop the others and fail the state at once."""
    processor = state.get("ItemProcessor") or state.get("Iterator") or {}
    if (processor.get("ProcessorConfig") or {}).get("Mode") == "DISTRIBUTED":
        return _run_distributed_map(state, raw, execution, context, processor)
    name, scope = context["State"]["Name"], _scope()
    data = sfn._apply_input_path(state, raw, context)
    items = _items(state, data, context)
    add_event(execution, "MapStateStarted", {"mapStateStartedEventDetails": {"length": len(items)}})

    def iterate(position: int, item: Any, part: Scope) -> Any:
        details = {"name": name, "index": position}
        add_event(execution, "MapIterationStarted", {"mapIterationStartedEventDetails": details})
        own = _item_context(context, position, item)
        given = _item_input(state, data, item, own)
        output = run_states(processor["States"], processor["StartAt"], given, own, part)
        add_event(execution, "MapIterationSucceeded", {"mapIterationSucceededEventDetails": details})
        return output

    limit = int(state.get("MaxConcurrency") or 0) or _INLINE_MAP_CONCURRENCY
    results = _run_together(name, iterate, items, scope, min(limit, _INLINE_MAP_CONCURRENCY))
    add_event(execution, "MapStateSucceeded")
    return _result(state, raw, results, context)


def _run_distributed_map(
    state: dict[str, Any], raw: Any, execution: dict[str, Any], context: Context, processor: dict[str, Any]
) -> tuple[Any, Any]:
    """Run each item as a child execution of a Map Run."""
    name, scope = context["State"]["Name"], _scope()
    data = sfn._apply_input_path(state, raw, context)
    authorize_task(scope.run.role_arn, "states:StartExecution", execution["stateMachineArn"])
    items = (
        sfn._read_map_items(state["ItemReader"], data, context)
        if state.get("ItemReader")
        else _items(state, data, context)
    )
    map_run = MapRun(state, execution, len(items))
    details = {"mapRunStartedEventDetails": {"mapRunArn": map_run.arn}}
    add_event(execution, "MapRunStarted", details)

    def run_item(position: int, item: Any, part: Scope) -> Any:
        done = part.run.resumed.get(part.path)
        if done is not None and done.finished:  # redriven: only items that have not succeeded run again
            return run_states({}, "", None, context, part)
        own = _item_context(context, position, item)
        child = map_run.start_child(_item_input(state, data, item, own))
        own["Execution"] = {
            "Id": child["executionArn"],
            "Input": json.loads(child["input"]),
            "Name": child["name"],
            "RoleArn": scope.run.role_arn,
            "StartTime": child["startDate"],
        }
        child_run = Run(child, processor, scope.run.role_arn)
        child_scope = Scope(child_run, (), part)
        token = current_scope.set(child_scope)
        try:
            output = run_states(processor["States"], processor["StartAt"], json.loads(child["input"]), own, child_scope)
        except sfn._ExecutionError as error:
            map_run.end_child(child, "FAILED", error=error.error, cause=error.cause)
            if map_run.too_many_failures():
                cause = "The specified tolerated failure threshold was exceeded"
                raise sfn._ExecutionError("States.ExceedToleratedFailureThreshold", cause) from error
            return None
        except Stopped:
            map_run.end_child(child, "ABORTED")
            raise
        finally:
            current_scope.reset(token)
        map_run.end_child(child, "SUCCEEDED", output=json.dumps(output))
        part.run.progress[part.path] = Progress("", output, finished=True)
        return output

    limit = int(state.get("MaxConcurrency") or 0) or _DISTRIBUTED_MAP_WORKERS
    try:
        results = _run_together(name, run_item, items, scope, min(limit, _DISTRIBUTED_MAP_WORKERS))
    except sfn._ExecutionError as error:
        map_run.end("FAILED")
        why = {"mapRunFailedEventDetails": {"error": error.error, "cause": error.cause}}
        add_event(execution, "MapRunFailed", why)
        raise
    except Stopped:
        map_run.end("ABORTED")
        raise
    map_run.end("SUCCEEDED")
    add_event(execution, "MapRunSucceeded")
    return _result(state, raw, results, context)


class MapRun:
    """A Map Run as ListMapRuns, DescribeMapRun and ListExecutions(mapRunArn) report it."""

    def __init__(self, state: dict[str, Any], execution: dict[str, Any], total: int) -> None:
        region, account, machine = (execution["stateMachineArn"].split(":")[part] for part in (3, 4, 6))
        self._label = f"{machine}/{state.get('Label') or sfn.new_uuid()}"
        self._prefix = f"arn:aws:states:{region}:{account}"
        self.arn = f"{self._prefix}:mapRun:{self._label}:{sfn.new_uuid()}"
        self._lock = threading.Lock()
        self._tolerated_count = state.get("ToleratedFailureCount")
        self._tolerated_percentage = state.get("ToleratedFailurePercentage")
        kinds = "pending running succeeded failed timedOut aborted total resultsWritten"
        kinds += " failuresNotRedrivable pendingRedrive"
        counts = {**dict.fromkeys(kinds.split(), 0), "total": total, "pending": total}
        self.record = {
            "mapRunArn": self.arn,
            "executionArn": execution["executionArn"],
            "status": "RUNNING",
            "startDate": sfn.now_iso(),
            "maxConcurrency": int(state.get("MaxConcurrency") or 0),
            "toleratedFailurePercentage": float(self._tolerated_percentage or 0),
            "toleratedFailureCount": int(self._tolerated_count or 0),
            "itemCounts": dict(counts),
            "executionCounts": dict(counts),
            "redriveCount": 0,
            "_stateMachineArn": f"{self._prefix}:stateMachine:{self._label}",
        }
        sfn._map_runs[self.arn] = self.record

    def start_child(self, given: Any) -> dict[str, Any]:
        """Record a child execution as RUNNING and return its record."""
        name = sfn.new_uuid()
        child = {
            "executionArn": f"{self._prefix}:execution:{self._label}:{name}",
            "stateMachineArn": self.record["_stateMachineArn"],
            "name": name,
            "status": "RUNNING",
            "startDate": sfn.now_iso(),
            "stopDate": None,
            "input": json.dumps(given),
            "output": None,
            "mapRunArn": self.arn,
            "events": [],
        }
        sfn._executions[child["executionArn"]] = child
        self._count("pending", -1)
        self._count("running", 1)
        return child

    def end_child(self, child: dict[str, Any], status: str, **facts: Any) -> None:
        """Record how a child execution ended."""
        child.update(status=status, stopDate=sfn.now_iso(), **facts)
        self._count("running", -1)
        self._count(status.lower(), 1)

    def too_many_failures(self) -> bool:
        """Return whether more items have failed than the state tolerates; without a threshold, it tolerates none."""
        counts = self.record["itemCounts"]
        limits = []
        if self._tolerated_count is not None:
            limits.append(counts["failed"] > int(self._tolerated_count))
        if self._tolerated_percentage is not None:
            limits.append(counts["failed"] * 100 > float(self._tolerated_percentage) * counts["total"])
        return any(limits) if limits else True

    def end(self, status: str) -> None:
        """Record how the Map Run ended."""
        self.record.update(status=status, stopDate=sfn.now_iso())

    def _count(self, kind: str, step: int) -> None:
        with self._lock:
            for counts in (self.record["itemCounts"], self.record["executionCounts"]):
                counts[kind] += step


_INTEGRATION = "arn:aws:states:::"
_events_lock = threading.Lock()


def add_event(execution: dict[str, Any], kind: str, details: dict[str, Any] | None = None) -> dict[str, Any]:
    """Add an event to an execution's history, or raise :class:`Stopped` if the current scope is stopped."""
    scope = current_scope.get()
    if scope is not None:
        scope.check()
    with _events_lock:
        events = execution["events"]
        number = len(events) + 1
        # The previous event is the last one of the same branch, not necessarily the last one in the history.
        previous = (scope.last_event if scope is not None else 0) or number - 1
        event = {"timestamp": sfn.now_iso(), "type": kind, "id": number, "previousEventId": previous}
        event.update({name: _with_integration(each) for name, each in (details or {}).items()})
        events.append(event)
        if scope is not None:
            scope.last_event = number
    return event


def _with_integration(details: dict[str, Any]) -> dict[str, Any]:
    """Return the details of a task's event with the integration in two parts, such as ``lambda`` and ``invoke``.

    https://docs.aws.amazon.com/step-functions/latest/apireference/API_TaskSucceededEventDetails.html
    """
    resource = str(details.get("resource", ""))
    if not resource.startswith(_INTEGRATION):
        return details
    kind, _, action = resource.removeprefix(_INTEGRATION).rpartition(":")
    return {**details, "resourceType": kind, "resource": action}


def _run_together(
    state: str,
    work: Callable[[int, Any, Scope], Any],
    items: Sequence[Any],
    scope: Scope,
    limit: int = 0,
) -> list[Any]:
    """Run ``work`` on every item in threads; if one raises an error, stop all threads and raise it."""
    scope.run.forget(scope.path, state)
    whole = Scope(scope.run, scope.path, scope)
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    ended: queue.SimpleQueue[tuple[int, Any, BaseException | None]] = queue.SimpleQueue()
    for position in range(len(items)):
        waiting.put(position)

    def serve() -> None:
        while True:
            try:
                position = waiting.get_nowait()
            except queue.Empty:
                return
            part = Scope(scope.run, (*scope.path, (state, position)), whole)
            current_scope.set(part)
            try:
                part.check()
                ended.put((position, work(position, items[position], part), None))
            except BaseException as error:
                ended.put((position, None, error))

    for _ in range(min(limit or len(items), len(items))):
        # ministack keeps the account and region in context variables, which threads do not inherit.
        threading.Thread(target=contextvars.copy_context().run, args=(serve,), daemon=True).start()
    results: list[Any] = [None] * len(items)
    for _ in items:
        position, value, error = ended.get()
        if error is not None:
            whole.stop()
            raise error if isinstance(error, sfn._ExecutionError | Stopped) else _unexpected(error)
        results[position] = value
    return results


def _unexpected(error: BaseException) -> BaseException:
    logger.error("an error of the embedded AWS itself", exc_info=error)
    found: BaseException = sfn._ExecutionError("States.Runtime", f"{type(error).__name__}: {error}")
    found.__cause__ = error
    return found


def _scope() -> Scope:
    scope = current_scope.get()
    if scope is None:
        raise RuntimeError("states run in executions only")
    return scope


def _items(state: dict[str, Any], data: Any, context: Context) -> list[Any]:
    items = sfn._resolve_path_or_ctx(state.get("ItemsPath", "$"), data, context)
    if not isinstance(items, list):
        message = f"The value of ItemsPath {state.get('ItemsPath', '$')!r} is not an array"
        raise sfn._ExecutionError("States.Runtime", message)
    return items


def _item_context(context: Context, position: int, item: Any) -> Context:
    return {**copy.deepcopy(context), "Map": {"Item": {"Index": position, "Value": item}}}


def _item_input(state: dict[str, Any], data: Any, item: Any, context: Context) -> Any:
    selector = state.get("ItemSelector") or state.get("Parameters")
    return sfn._resolve_params_obj(selector, data, context) if selector else copy.deepcopy(item)


def _result(state: dict[str, Any], raw: Any, results: list[Any], context: Context) -> tuple[Any, Any]:
    selected = sfn._apply_result_selector(state, results)
    output = sfn._apply_output_path(state, sfn._apply_result_path(state, raw, selected), context)
    return output, sfn._next_or_end(state)
