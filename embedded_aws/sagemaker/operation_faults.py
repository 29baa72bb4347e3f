"""Faults of SageMaker's operations: which error each kind causes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

from embedded_aws.faults.spec import OPERATION_FAULTS, Fault, Faults
from embedded_aws.sagemaker.errors import AwsError, Response, access_denied, limit_exceeded

BREAKING = ("reset", "lost")
"""The kinds that break the connection before or after the operation is done."""


async def strike(faults: Faults, operation: str, name: str, types: Sequence[str] = ()) -> Fault | None:
    """Apply the fault of an operation, if there is one: wait, or raise its error.

    Parameters
    ----------
    name
        The name of the resource that the request is about.
    types
        The instance types that the request asks for.

    Returns
    -------
    Fault or None
        The fault that has struck; the caller must break the connection if its kind is in :data:`BREAKING`.

    Raises
    ------
    AwsError
        The injected error.
    """
    fault = faults.strike(operation, name, *OPERATION_FAULTS, instance_types=types)
    if fault is None:
        return None
    if fault.kind == "slow":
        await asyncio.sleep(fault.seconds)
    elif fault.kind not in BREAKING:
        raise _error(fault, operation, name, types)
    return fault


def _error(fault: Fault, operation: str, name: str, types: Sequence[str]) -> AwsError:
    if fault.kind == "denied":
        return access_denied(
            f"User is not authorized to perform: sagemaker:{operation} on resource: {name} because no identity-based "
            f"policy allows the sagemaker:{operation} action"
        )
    errors = {
        "throttle": AwsError("ThrottlingException", "Rate exceeded"),
        "error": AwsError("InternalFailure", "We encountered an internal error. Please try again.", 500),
        "unavailable": AwsError("ServiceUnavailable", "The service is currently unavailable.", 503),
        "unsupported": AwsError("ValidationException", f"Unsupported instance type {fault.value}"),
        "invalid": AwsError("ValidationException", fault.value or "injected by a fault"),
    }
    if fault.kind in errors:
        return errors[fault.kind]
    usage = "training job" if operation == "CreateTrainingJob" else "endpoint"
    quota = used = int(fault.kind == "in_use")
    return limit_exceeded(fault.value or next(iter(types), "") or "ml.t2.medium", usage, 1, quota, used)


def broken_connection() -> Response:
    """Return the error that the SDK inside Step Functions reports when the connection breaks."""
    body = {"__type": "SdkClientException", "message": "Unable to execute HTTP request: Connection reset"}
    return 500, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(body).encode()
