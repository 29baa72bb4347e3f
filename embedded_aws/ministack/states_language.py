"""Amazon States Language: paths that find nothing, errors that cannot be caught, and the names of SDK errors."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from typing import Any

from jsonata.timebox import Timebox
from ministack.services import stepfunctions as sfn

from embedded_aws.ministack.service_models import service_model


def apply() -> None:
    """Correct the language in this process."""
    fail_on_paths_that_lead_nowhere()
    leave_runtime_errors_uncaught()
    name_errors_as_the_java_sdk_does()
    limit_expressions_by_processor_time()


def limit_expressions_by_processor_time() -> None:
    """Count processor time toward the second that an expression may take.

    In elapsed time, an expression that waited for a processor on a busy machine would fail its execution.
    """
    Timebox.current_milli_time = staticmethod(lambda: round(time.thread_time() * 1000))


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
        model = service_model(sfn._AWS_SDK_SERVICE_MAP.get(service, {}).get("service_key", service))
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
