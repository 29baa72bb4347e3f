"""Faults of S3, put around ministack's own handler."""

from __future__ import annotations

import asyncio
from typing import Any

from ministack.core.iam_actions import _s3_action
from ministack.services import s3

from embedded_aws.faults import connections
from embedded_aws.faults.spec import Fault, Faults

# S3's IAM actions name some operations otherwise than its API does.
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


def install(faults: Faults) -> None:
    """Let faults whose target is `s3.<operation>` strike."""
    inner = s3.handle_request

    async def handle_request(
        method: str, path: str, headers: dict[str, str], body: bytes, query_params: dict[str, Any], **details: Any
    ) -> Any:
        operation = _operation(method, _s3_action(method, path, query_params) or "")
        fault = faults.strike(f"s3.{operation}", path.lstrip("/"))
        if fault is not None and fault.kind == "slow":
            await asyncio.sleep(fault.seconds)
        elif fault is not None and fault.kind != "lost":
            return _answer(fault, headers)
        answer = await inner(method, path, headers, body, query_params, **details)
        return _answer(fault, headers) if fault is not None and fault.kind == "lost" else answer

    s3.handle_request = handle_request


def _operation(method: str, action: str) -> str:
    if method == "HEAD" and action in ("GetObject", "GetObjectVersion"):
        return "HeadObject"
    return _OPERATION_OF_ACTION.get(action, action)


def _answer(fault: Fault, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
    if fault.kind in ("reset", "lost"):
        connections.break_off(headers)
    status, code, message = _ERRORS.get(fault.kind, _ERRORS["error"])
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{code}</Code><Message>{message}</Message><RequestId>injected</RequestId></Error>"
    )
    return status, {"Content-Type": "application/xml"}, text.encode()
