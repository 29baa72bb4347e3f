"""Step Functions: starts, stops, times out, redrives and describes executions, and publishes their status."""

from __future__ import annotations

import contextvars
import json
import logging
import os
import threading
from collections.abc import Callable
from typing import Any

from ministack.core.responses import error_response_json, get_account_id, get_region, json_response
from ministack.services import eventbridge
from ministack.services import stepfunctions as sfn

from embedded_aws.ministack import interpreter
from embedded_aws.ministack.interpreter import Run, Scope, Stopped, add_event, current_scope, run_states

_REDRIVABLE = ("FAILED", "ABORTED", "TIMED_OUT")
_EVENTS = {
    "SUCCEEDED": ("ExecutionSucceeded", "executionSucceededEventDetails"),
    "FAILED": ("ExecutionFailed", "executionFailedEventDetails"),
    "TIMED_OUT": ("ExecutionTimedOut", "executionTimedOutEventDetails"),
    "ABORTED": ("ExecutionAborted", "executionAbortedEventDetails"),
}
_STATUS_EVENT_LIMIT = 248 * 1024  # largest input or output, in bytes, that EventBridge's event contains

logger = logging.getLogger("states")

_longest_sleep: contextvars.ContextVar[float] = contextvars.ContextVar("longest_sleep", default=float("inf"))

_scopes: dict[str, Scope] = {}
_lock = threading.RLock()


def apply() -> None:
    """Correct Step Functions in this process."""
    run_executions_in_scopes()
    limit_wait_states()
    start_the_same_execution_once()
    stop_everything_an_execution_runs()
    redrive_executions()
    report_what_can_be_redriven()


def run_executions_in_scopes() -> None:
    """Stop all threads of an execution on StopExecution and TimeoutSeconds, and sibling branches on a failure."""
    sfn._run_execution = _run_execution
    sfn._run_parallel_branches = interpreter.run_parallel
    sfn._run_map_items = interpreter.run_map
    sfn._add_event = add_event
    sfn._scaled_sleep = _scaled_sleep
    sfn._emit_execution_status_event = _emit_status


def _run_execution(arn: str) -> None:
    execution = sfn._executions[arn]
    machine = sfn._state_machines[execution["stateMachineArn"]]
    _drive(Run(execution, json.loads(machine["definition"]), machine["roleArn"]))


def _drive(run: Run) -> None:
    """Run an execution to its end."""
    execution, definition = run.execution, run.definition
    scope = Scope(run)
    _scopes[execution["executionArn"]] = scope
    current_scope.set(scope)
    timer = None
    if seconds := definition.get("TimeoutSeconds"):
        timer = threading.Timer(seconds, contextvars.copy_context().run, (_time_out, scope))
        timer.daemon = True
        timer.start()
    try:
        given = json.loads(execution["input"])
        context = {
            "QueryLanguage": definition.get("QueryLanguage", "JSONPath"),
            "Execution": {
                "Id": execution["executionArn"],
                "Input": given,
                "Name": execution["name"],
                "RoleArn": run.role_arn,
                "StartTime": execution["startDate"],
                **_redrive_context(execution),
            },
            "StateMachine": {
                "Id": execution["stateMachineArn"],
                "Name": execution["stateMachineArn"].rsplit(":", 1)[-1],
            },
            "variables": {},
        }
        output = run_states(definition["States"], definition["StartAt"], given, context, scope)
        _end(scope, "SUCCEEDED", output=json.dumps(output))
    except Stopped:
        pass
    except sfn._ExecutionError as error:
        _end(scope, "FAILED", error=error.error, cause=error.cause)
    except Exception as error:
        logger.exception("execution %s", execution["executionArn"])
        _end(scope, "FAILED", error="States.Runtime", cause=str(error))
    finally:
        if timer is not None:
            timer.cancel()


def _redrive_context(execution: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that the context object has only in a redriven execution."""
    if not execution.get("redriveCount"):
        return {}
    return {"RedriveCount": execution["redriveCount"], "RedriveTime": execution["redriveDate"]}


def _time_out(scope: Scope) -> None:
    _end(scope, "TIMED_OUT")


def _end(scope: Scope, status: str, **facts: Any) -> None:
    """End an execution if it is still running."""
    execution = scope.run.execution
    with _lock:
        if scope.stopped or execution["status"] != "RUNNING":
            return
        execution.update(status=status, stopDate=sfn.now_iso(), **facts)
        kind, details = _EVENTS[status]
        token = current_scope.set(None)
        add_event(execution, kind, {details: {key: value for key, value in facts.items() if value is not None}})
        current_scope.reset(token)
        scope.stop()
    _emit_status(execution)


def _scaled_sleep(seconds: float) -> None:
    """Sleep for a state's scaled time, or until the scope is stopped."""
    scope = current_scope.get()
    if scope is not None:
        scope.sleep(min(seconds * sfn._SFN_WAIT_SCALE, _longest_sleep.get()))


def limit_wait_states() -> None:
    """Limit Wait states, but not the waits before retries, to ``LONGEST_WAIT_SECONDS``.

    A definition that waits for minutes before it first polls a training job would otherwise wait far longer than the
    job takes in the embedded AWS.
    """
    longest = float(os.environ.get("LONGEST_WAIT_SECONDS", "inf"))
    original = sfn._execute_wait

    def execute_wait(state: dict[str, Any], data: Any, context: dict[str, Any] | None = None) -> Any:
        token = _longest_sleep.set(longest)
        try:
            return original(state, data, context)
        finally:
            _longest_sleep.reset(token)

    sfn._execute_wait = execute_wait


def start_the_same_execution_once() -> None:
    """Return the running execution if StartExecution repeats its name and input; otherwise, names must be unique."""
    original: Callable[[dict[str, Any]], Any] = sfn._start_execution

    def start_execution(data: dict[str, Any]) -> Any:
        machine = sfn._state_machines.get(str(data.get("stateMachineArn")))
        if machine is not None and data.get("name"):
            arn = f"arn:aws:states:{get_region()}:{get_account_id()}:execution:{machine['name']}:{data['name']}"
            known = sfn._executions.get(arn)
            if known and known["status"] == "RUNNING" and known["input"] == data.get("input", "{}"):
                return json_response({"executionArn": arn, "startDate": known["startDate"]})
        return original(data)

    sfn._start_execution = start_execution


def stop_everything_an_execution_runs() -> None:
    """Let StopExecution also stop branches, iterations and child executions, and end their waits, as on AWS."""
    original: Callable[[dict[str, Any]], Any] = sfn._stop_execution

    def stop_execution(data: dict[str, Any]) -> Any:
        with _lock:
            response = original(data)
            scope = _scopes.get(str(data.get("executionArn")))
            if scope is not None and scope.run.execution["status"] == "ABORTED":
                scope.stop()
        return response

    sfn._stop_execution = stop_execution


def redrive_executions() -> None:
    """Let RedriveExecution continue an execution where it failed, with the same ARN, input and definition.

    As on AWS, branches and iterations that succeeded keep their results, those that failed or were aborted continue
    at the state that they had reached, and the retry count of a failed state is reset.
    """
    original = sfn.handle_request

    async def handle_request(
        method: str, path: str, headers: dict[str, str], body: bytes, query_params: dict[str, Any]
    ) -> Any:
        if headers.get("x-amz-target", "").endswith(".RedriveExecution"):
            return sfn._finalize_response(_redrive(json.loads(body or b"{}")))
        return await original(method, path, headers, body, query_params)

    sfn.handle_request = handle_request


def _redrive(data: dict[str, Any]) -> Any:
    arn = str(data.get("executionArn"))
    execution = sfn._executions.get(arn)
    if execution is None:
        return error_response_json("ExecutionDoesNotExist", f"Execution Does Not Exist: '{arn}'", 400)
    with _lock:
        status, reason = redrive_status(execution)
        scope = _scopes.get(arn)
        if status != "REDRIVABLE" or scope is None:
            return error_response_json("ExecutionNotRedrivable", reason, 400)
        now = sfn.now_iso()
        count = execution.get("redriveCount", 0) + 1
        execution.update(status="RUNNING", stopDate=None, output=None, redriveCount=count, redriveDate=now)
        execution.pop("error", None)
        execution.pop("cause", None)
        add_event(execution, "ExecutionRedriven", {"executionRedrivenEventDetails": {"redriveCount": count}})
        old = scope.run
        run = Run(execution, old.definition, old.role_arn, resumed=old.resumable())
    _emit_status(execution)
    threading.Thread(target=contextvars.copy_context().run, args=(_drive, run), daemon=True).start()
    return json_response({"redriveDate": now})


def redrive_status(execution: dict[str, Any]) -> tuple[str, str | None]:
    """Return the redrive status of an execution and, if it cannot be redriven, the reason."""
    status = execution["status"]
    if execution.get("mapRunArn"):
        return "REDRIVABLE_BY_MAP_RUN", None
    if status in _REDRIVABLE:
        return "REDRIVABLE", None
    return "NOT_REDRIVABLE", f"Execution is {status} and cannot be redriven"


def report_what_can_be_redriven() -> None:
    """Let DescribeExecution report redrives, and omit the output of an execution that has not succeeded."""
    original: Callable[[dict[str, Any]], Any] = sfn._describe_execution

    def describe_execution(data: dict[str, Any]) -> Any:
        response = original(data)
        execution = sfn._executions.get(str(data.get("executionArn")))
        if execution is None:
            return response
        description = {key: value for key, value in json.loads(response[2]).items() if value is not None}
        if execution["status"] != "SUCCEEDED":
            description.pop("output", None)
            description.pop("outputDetails", None)
        status, reason = redrive_status(execution)
        description |= {"redriveCount": execution.get("redriveCount", 0), "redriveStatus": status}
        if reason:
            description["redriveStatusReason"] = reason
        if execution.get("redriveDate"):
            description["redriveDate"] = execution["redriveDate"]
        return json_response(description)

    sfn._describe_execution = describe_execution


def _emit_status(execution: dict[str, Any]) -> None:
    """Publish "Step Functions Execution Status Change", which includes redrives and the status TIMED_OUT."""
    if execution.get("sync") or execution.get("mapRunArn"):
        return
    status = execution["status"]
    redrivable, reason = redrive_status(execution)
    given, output = _within_limit(execution["input"]), _within_limit(execution.get("output"))
    detail = {
        "executionArn": execution["executionArn"],
        "stateMachineArn": execution["stateMachineArn"],
        "name": execution["name"],
        "status": status,
        "startDate": sfn._iso_to_epoch_ms(execution["startDate"]),
        "stopDate": sfn._iso_to_epoch_ms(execution.get("stopDate")),
        "input": given,
        "inputDetails": {"included": given is not None},
        "output": output if status == "SUCCEEDED" else None,
        "outputDetails": {"included": output is not None} if status == "SUCCEEDED" else None,
        "stateMachineVersionArn": None,
        "stateMachineAliasArn": None,
        "redriveCount": execution.get("redriveCount", 0),
        "redriveDate": sfn._iso_to_epoch_ms(execution.get("redriveDate")),
        "redriveStatus": redrivable,
        "redriveStatusReason": reason,
        "error": execution.get("error"),
        "cause": execution.get("cause"),
    }
    entry = {
        "Source": "aws.states",
        "DetailType": "Step Functions Execution Status Change",
        "Detail": json.dumps(detail),
        "Resources": [execution["executionArn"]],
    }
    eventbridge._put_events({"Entries": [entry]}, allow_aws_source=True)


def _within_limit(payload: str | None) -> str | None:
    return payload if payload is not None and len(payload.encode()) <= _STATUS_EVENT_LIMIT else None
