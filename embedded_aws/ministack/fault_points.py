"""Connects the faults of S3, functions and states to the places in ministack where they take effect."""

from __future__ import annotations

from typing import Any

from ministack import app
from ministack.core.iam_actions import _s3_action
from ministack.services import s3

from embedded_aws.faults.functions import FunctionFaults
from embedded_aws.faults.s3 import operation_of, perform_with_faults
from embedded_aws.faults.spec import Faults
from embedded_aws.faults.states import seconds_held
from embedded_aws.ministack import connections, interpreter
from embedded_aws.ministack.functions import PythonEnvironment


def connect(faults: Faults) -> None:
    """Apply faults to the operations of S3, the processes of functions and the states of state machines."""
    connections.install()
    _connect_s3(faults)
    _connect_functions(FunctionFaults(faults))
    interpreter.seconds_held = lambda state, execution: seconds_held(faults, state, execution)


def _connect_s3(faults: Faults) -> None:
    inner = s3.handle_request

    async def handle_request(
        method: str, path: str, headers: dict[str, str], body: bytes, query_params: dict[str, Any], **details: Any
    ) -> Any:
        return await perform_with_faults(
            faults,
            operation_of(method, _s3_action(method, path, query_params) or ""),
            path.lstrip("/"),
            lambda: inner(method, path, headers, body, query_params, **details),
            lambda: connections.break_off(headers),
        )

    s3.handle_request = handle_request


def _connect_functions(function_faults: FunctionFaults) -> None:
    PythonEnvironment.faults = function_faults
    dispatch = app._dispatch_service_request

    async def dispatch_and_strike(  # noqa: PLR0917 - the signature of the original
        method: str, path: str, headers: dict[str, str], body: bytes, query_params: Any, request_id: str
    ) -> Any:
        response = await dispatch(method, path, headers, body, query_params, request_id)
        receives = headers.get("x-amz-target") == "AmazonSQS.ReceiveMessage"
        received = bytes(response[2]).decode() if receives else ""
        function_faults.has_called(headers.get("user-agent", ""), received)
        return response

    app._dispatch_service_request = dispatch_and_strike
