"""Faults of S3's operations."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from embedded_aws.faults.spec import Faults

# Some S3 operations have an IAM action of a different name.
_OPERATION_OF_ACTION = {
    "ListBucket": "ListObjectsV2",
    "GetObjectVersion": "GetObject",
    "DeleteObjectVersion": "DeleteObject",
}
_ERRORS = {
    "slowdown": (503, "SlowDown", "Please reduce your request rate."),
    "error": (500, "InternalError", "We encountered an internal error. Please try again."),
    "denied": (403, "AccessDenied", "Access Denied"),
}


async def perform_with_faults(
    faults: Faults,
    operation: str,
    name: str,
    perform: Callable[[], Awaitable[Any]],
    break_connection: Callable[[], object],
) -> Any:
    """Perform an operation, or apply a fault to it, and return the response.

    Parameters
    ----------
    name
        Bucket and key, separated by a slash.
    break_connection
        Closes the connection, so that the returned response is not sent.
    """
    fault = faults.strike(f"s3.{operation}", name)
    if fault is None:
        return await perform()
    if fault.kind == "slow":
        await asyncio.sleep(fault.seconds)
        return await perform()
    if fault.kind == "lost":
        await perform()
    if fault.kind in ("reset", "lost"):
        break_connection()
    return _error(*_ERRORS.get(fault.kind, _ERRORS["error"]))


def operation_of(method: str, action: str) -> str:
    """Return an operation's name, such as ``ListObjectsV2``, given its HTTP method and IAM action."""
    if method == "HEAD" and action in ("GetObject", "GetObjectVersion"):
        return "HeadObject"
    return _OPERATION_OF_ACTION.get(action, action)


def _error(status: int, code: str, message: str) -> tuple[int, dict[str, str], bytes]:
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{code}</Code><Message>{message}</Message><RequestId>injected</RequestId></Error>"
    )
    return status, {"Content-Type": "application/xml"}, text.encode()
