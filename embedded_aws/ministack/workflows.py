"""Step Functions: starts, stops, times out and redrives executions, and runs tasks with the state machine's role."""

from __future__ import annotations

import contextvars
import json
import logging
import os
import re
import threading
from collections.abc import Callable
from typing import Any

from ministack import app
from ministack.core import iam_actions
from ministack.core.responses import _service_model, error_response_json, get_account_id, get_region, json_response
from ministack.services import eventbridge
from ministack.services import stepfunctions as sfn

from embedded_aws.ministack import authorization, interpreter
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
    tell_what_can_be_redriven()
    fail_on_paths_that_lead_nowhere()
    leave_runtime_errors_uncaught()
    name_errors_as_the_java_sdk_does()
    run_tasks_under_the_role()
    bind_permissions_to_map_runs()


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
            answer = original(data)
            scope = _scopes.get(str(data.get("executionArn")))
            if scope is not None and scope.run.execution["status"] == "ABORTED":
                scope.stop()
        return answer

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


def tell_what_can_be_redriven() -> None:
    """Let DescribeExecution report redrives, and omit the output of an execution that has not succeeded."""
    original: Callable[[dict[str, Any]], Any] = sfn._describe_execution

    def describe_execution(data: dict[str, Any]) -> Any:
        answer = original(data)
        execution = sfn._executions.get(str(data.get("executionArn")))
        if execution is None:
            return answer
        description = {key: value for key, value in json.loads(answer[2]).items() if value is not None}
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


def fail_on_paths_that_lead_nowhere() -> None:
    """Fail a state with States.Runtime if a JSONPath other than that of IsPresent finds nothing, as on AWS."""
    resolve, evaluate = sfn._resolve_path, sfn._evaluate_rule

    def strict(path: str, data: Any) -> Any:
        found = resolve(path, data)
        if found is None and not _exists(path, data):
            shown = json.dumps(data)[:1000]
            raise sfn._ExecutionError(
                "States.Runtime", f"The JSONPath '{path}' could not be found in the input '{shown}'"
            )
        return found

    def evaluate_rule(rule: dict[str, Any], data: Any, ctx: Any = None) -> bool:
        if "IsPresent" not in rule:
            return bool(evaluate(rule, data, ctx))
        path = rule["Variable"]
        present = _exists(path[1:], ctx or {}) if path.startswith("$$") else _exists(path, data)
        return present is rule["IsPresent"]

    sfn._resolve_path = strict
    sfn._evaluate_rule = evaluate_rule


def _exists(path: str, data: Any) -> bool:
    tokens = sfn._parse_jsonpath_tokens(path) if path.startswith("$") else []
    if tokens is None:
        return False
    for kind, value in tokens:
        if kind == "wildcard":
            return True  # the result is a list, which may be empty
        has_field = kind == "field" and isinstance(data, dict) and value in data
        has_index = kind == "index" and isinstance(data, list) and value < len(data)
        if not (has_field or has_index):
            return False
        data = data[value]
    return True


def leave_runtime_errors_uncaught() -> None:
    """Let no Retry or Catch match States.Runtime, and match States.DataLimitExceeded only by its name, as on AWS."""
    original: Callable[[list[str], str], bool] = sfn._error_matches

    def error_matches(error_equals: list[str], error: str) -> bool:
        if error in ("States.Runtime", "States.DataLimitExceeded"):
            return error in error_equals and error == "States.DataLimitExceeded"
        return original(error_equals, error)

    sfn._error_matches = error_matches


def name_errors_as_the_java_sdk_does() -> None:
    """Name an SDK task's error after the Java SDK's exception: its own if modelled, otherwise the service's."""
    original: Callable[[str, str], str] = sfn._prefix_sdk_error

    def prefix_sdk_error(service: str, code: str) -> str:
        prefix = sfn._AWS_SDK_ERROR_PREFIX.get(service)
        model = _service_model(sfn._AWS_SDK_SERVICE_MAP.get(service, {}).get("service_key", service))
        if prefix is None or model is None or code.startswith("States."):
            return original(service, code)
        code = re.split(r"[#.]", code)[-1]
        modelled = {shape.name: shape.metadata.get("error", {}).get("code") for shape in model.error_shapes}
        for name, wire in modelled.items():
            if code in (name, wire):
                stem = name.removesuffix("Exception").removesuffix("Fault")
                return f"{prefix}.{stem}Exception"
        return f"{prefix}.{prefix}Exception"

    sfn._prefix_sdk_error = prefix_sdk_error


def run_tasks_under_the_role() -> None:
    """Check the state machine's role for function invocations, SDK calls and reading the items of a Map."""
    call_lambda, call_service, read_text = sfn._call_lambda, app.call_service_handler_sync, sfn._s3_object_text

    def checked_call_lambda(func_ref: str, event: Any) -> Any:
        scope = current_scope.get()
        if scope is not None:
            arn = func_ref
            if not arn.startswith("arn:"):
                arn = f"arn:aws:lambda:{get_region()}:{get_account_id()}:function:{func_ref}"
            authorization.authorize_task(scope.run.role_arn, "lambda:InvokeFunction", arn, "Lambda.AWSLambdaException")
        try:
            return call_lambda(func_ref, event)
        except sfn._ExecutionError as error:
            # Throttling is not an error of the function.
            if error.error == "Lambda.Unknown" and "TooManyRequestsException" in str(error.cause):
                raise sfn._ExecutionError("Lambda.TooManyRequestsException", error.cause) from error
            raise

    def checked_call_service(  # noqa: PLR0917 - as the original
        handler: Any,
        method: str,
        path: str,
        headers: dict[str, str],
        body: Any,
        query: Any,
        timeout: float | None = None,
    ) -> Any:
        scope = current_scope.get()
        if scope is not None:
            service = headers.get("host", "").split(".")[0]
            raw = body.encode() if isinstance(body, str) else body
            action = iam_actions.extract_iam_action(service, method, path, headers, raw, query)
            resource = iam_actions.extract_resource_arn(
                service, method, path, headers, raw, query, get_region(), get_account_id()
            )
            try:
                authorization.check_role(scope.run.role_arn, action, resource)
            except authorization.Denied as denied:
                return 400, {}, json.dumps({"__type": "AccessDeniedException", "message": str(denied)}).encode()
        return call_service(handler, method, path, headers, body, query, timeout)

    def checked_read_text(bucket: str, key: str) -> str:
        scope = current_scope.get()
        if scope is not None:
            arn = f"arn:aws:s3:::{bucket}/{key}"
            authorization.authorize_task(scope.run.role_arn, "s3:GetObject", arn, "States.ItemReaderFailed")
        return str(read_text(bucket, key))

    sfn._call_lambda = checked_call_lambda
    app.call_service_handler_sync = checked_call_service
    sfn._s3_object_text = checked_read_text


def bind_permissions_to_map_runs() -> None:
    """Evaluate policies for operations on a Map Run with its ARN as the resource."""
    original: Callable[..., str] = iam_actions.extract_resource_arn

    def extract_resource_arn(service: str, method: str, path: str, headers: Any, body: bytes, *rest: Any) -> str:
        if service == "states" and (arn := iam_actions._safe_json_field(body, "mapRunArn")):
            return str(arn)
        return original(service, method, path, headers, body, *rest)

    iam_actions.extract_resource_arn = extract_resource_arn
