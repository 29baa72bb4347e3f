"""Protects the server's routes that are not part of AWS, such as the route that deletes all state."""

from __future__ import annotations

import hmac
import json
from typing import Any

from ministack import app

_PREFIXES = ("/_ministack/", "/_localstack/", "/_embedded/", "/_aws/")
# Health checks, and the URLs that responses of AWS operations contain; on AWS, these are presigned URLs.
_OPEN = (
    "/_ministack/health",
    "/_ministack/ready",
    "/_localstack/health",
    "/_ministack/cfn-response/",
    "/_ministack/cfn-signal/",
    "/_ministack/lambda-code/",
    "/_ministack/lambda-layers/",
)


def require_token(token: str) -> None:
    """Respond with 403 to requests for these routes that lack the header ``Authorization: Bearer <token>``."""
    inner = app.app

    async def application(scope: Any, receive: Any, send: Any) -> None:
        path = scope.get("path", "")
        if path.startswith(_PREFIXES) and not path.startswith(_OPEN) and not _has_token(scope, token):
            await _refuse(send, path)
        else:
            await inner(scope, receive, send)

    app.app = application


def _has_token(scope: Any, token: str) -> bool:
    given = dict(scope.get("headers", ())).get(b"authorization", b"")
    return hmac.compare_digest(given, f"Bearer {token}".encode())


async def _refuse(send: Any, path: str) -> None:
    needed = "Authorization: Bearer <admin_token of cloud.json>"
    body = json.dumps({"message": f"{path} needs the header {needed}"}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
