"""The routes that inspect and control the embedded SageMaker; they are not part of AWS.

``GET|PUT|POST|DELETE /_embedded/faults``: PUT replaces the faults in force with a JSON list of fault specs, POST adds
to them, and DELETE removes those of a list or, without a body, all. ``GET|DELETE /_embedded/operations``: call counts.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from embedded_aws.faults.spec import Faults, FaultSpecError
from embedded_aws.sagemaker.call_counts import CallCounts
from embedded_aws.sagemaker.errors import Response

PREFIX = "/_embedded/"


@dataclass
class ControlRoute:
    """The two routes."""

    faults: Faults
    calls: CallCounts

    def respond(self, method: str, path: str, body: bytes) -> Response:
        """Return the response to a request whose path starts with :data:`PREFIX`."""
        route = path.removeprefix(PREFIX)
        if route == "operations" and method == "GET":
            return _json(200, self.calls.to_json())
        if route == "operations" and method == "DELETE":
            self.calls.clear()
            return _json(200, [])
        if route == "faults" and method in ("GET", "PUT", "POST", "DELETE"):
            return self._faults(method, body)
        return _json(404, {"message": f"there is no {method} {path}; there are faults and operations"})

    def _faults(self, method: str, body: bytes) -> Response:
        try:
            if method == "PUT":
                self.faults.replace(_specs(body))
            elif method == "POST":
                self.faults.add(_specs(body))
            elif method == "DELETE" and body:
                self.faults.remove(_specs(body))
            elif method == "DELETE":
                self.faults.replace([])
        except FaultSpecError as error:
            return _json(400, {"message": str(error)})
        return _json(200, self.faults.to_json())


def _specs(body: bytes) -> list[str]:
    try:
        specs = json.loads(body)
    except ValueError:
        specs = None
    if not isinstance(specs, list) or not all(isinstance(spec, str) for spec in specs):
        raise FaultSpecError('expected a JSON list of faults, such as ["CreateEndpoint:throttle*3"]')
    return specs


def _json(status: int, content: Any) -> Response:
    return status, {"Content-Type": "application/json"}, json.dumps(content).encode()
