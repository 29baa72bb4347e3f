"""Routes of the embedded AWS itself, not of AWS: faults in force and the record of SageMaker calls.

`GET|PUT|POST|DELETE /_embedded/faults` (PUT a JSON list of fault specs; POST one to add to those in force),
`GET|DELETE /_embedded/operations`. They ask for no credentials: the gateway listens on this machine only.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from ministack import app

from embedded_aws.faults.spec import Faults, FaultSpecError
from embedded_aws.sagemaker.operations import Ledger

_PREFIX = "/_embedded/"
Answer = tuple[int, dict[str, str], bytes]


@dataclass
class ControlRoute:
    """The two routes."""

    faults: Faults
    ledger: Ledger

    def install(self) -> None:
        """Answer beside ministack's own administrative route."""
        inner = app._handle_admin_config_request

        async def handle_admin_config_request(path: str, method: str, body: bytes) -> Any:
            if path.startswith(_PREFIX):
                return self.answer(method, path.removeprefix(_PREFIX), body)
            return await inner(path, method, body)

        app._handle_admin_config_request = handle_admin_config_request

    def answer(self, method: str, route: str, body: bytes) -> Answer:
        """Answer one request to a path below the prefix."""
        if route == "operations" and method == "GET":
            return _json(200, self.ledger.to_json())
        if route == "operations" and method == "DELETE":
            self.ledger.clear()
            return _json(200, [])
        if route == "faults" and method in ("GET", "PUT", "POST", "DELETE"):
            return self._faults(method, body)
        return _json(404, {"message": f"there is no {method} {_PREFIX}{route}; there are faults and operations"})

    def _faults(self, method: str, body: bytes) -> Answer:
        try:
            if method == "PUT":
                self.faults.replace(_specs(body))
            elif method == "POST":
                self.faults.add(_specs(body))
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


def _json(status: int, content: Any) -> Answer:
    return status, {"Content-Type": "application/json"}, json.dumps(content).encode()
