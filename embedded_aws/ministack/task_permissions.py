"""Checks the state machine's role for what its tasks do: function invocations, SDK calls, the items of a Map."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ministack import app
from ministack.core import iam_actions
from ministack.core.responses import get_account_id, get_region
from ministack.services import stepfunctions as sfn

from embedded_aws.ministack import authorization
from embedded_aws.ministack.interpreter import current_scope


def apply() -> None:
    """Check the permissions of tasks in this process."""
    run_tasks_under_the_role()
    bind_permissions_to_map_runs()


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
