"""Renders SageMaker's responses and errors in the formats of its two APIs."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

Response = tuple[int, dict[str, str], bytes]

_JSON = "application/x-amz-json-1.1"


@dataclass
class AwsError(Exception):
    """An error response: code, message, HTTP status and further members of its body."""

    code: str
    message: str
    status: int = 400
    members: dict[str, object] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"

    def to_control_plane(self) -> Response:
        """Return the response of the control plane (JSON 1.1), which has the code as `__type`."""
        # The member is called `Message` in exceptions that SageMaker's model defines, `message` in common exceptions.
        member = "Message" if self.code in _MODELLED else "message"
        body = {"__type": self.code, member: self.message, **self.members}
        return self.status, {"Content-Type": _JSON, "x-amzn-errortype": self.code}, json.dumps(body).encode()

    def to_runtime(self) -> Response:
        """Return the response of the runtime (REST JSON), which has the code in a header."""
        body = {"Message": self.message, **self.members}
        # Because of the lower-case name, the gateway does not replace the type with that of the control plane.
        headers = {"content-type": "application/json", "x-amzn-errortype": self.code}
        return self.status, headers, json.dumps(body).encode()


_MODELLED = frozenset({"ResourceInUse", "ResourceLimitExceeded", "ResourceNotFound", "ConflictException"})


def validation(message: str) -> AwsError:
    """Return a ValidationException."""
    return AwsError("ValidationException", message)


def access_denied(message: str) -> AwsError:
    """Return an AccessDeniedException, for which SageMaker responds with status 400."""
    return AwsError("AccessDeniedException", message)


def limit_exceeded(instance_type: str, usage: str, count: int, limit: int = 0, used: int = 0) -> AwsError:
    """Return the error of a request for more instances than the account's quota."""
    return AwsError(
        "ResourceLimitExceeded",
        f"The account-level service limit '{instance_type} for {usage} usage' is {limit} Instances, with current "
        f"utilization of {used} Instances and a request delta of {count} Instances. Please use AWS Service Quotas to "
        "request an increase for this quota. If AWS Service Quotas is not available, contact AWS support to request "
        "an increase for this quota.",
    )


def unknown_operation() -> Response:
    """Return the response to an operation that the service does not have."""
    body = json.dumps({"__type": "UnknownOperationException"}).encode()
    return 400, {"Content-Type": _JSON, "x-amzn-errortype": "UnknownOperationException"}, body


def success(body: dict[str, object] | None) -> Response:
    """Return a successful response of the control plane; without output, its body is empty."""
    return 200, {"Content-Type": _JSON}, b"" if body is None else json.dumps(body).encode()
