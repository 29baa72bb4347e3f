"""Breaks a client's connection on purpose, as an injected fault."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from hypercorn.protocol.events import StreamClosed
from ministack import app


@dataclass
class _Connection:
    """The connection of the request being served."""

    broken: bool = False


_current: ContextVar[_Connection | None] = ContextVar("sagemaker_connection", default=None)


def install() -> None:
    """Wrap ministack's application, so that `break_off` works in every handler."""
    inner = app.app

    async def application(scope: Any, receive: Any, send: Any) -> None:
        connection = _Connection()
        _current.set(connection)

        async def send_unless_broken(message: Any) -> None:
            if not connection.broken:
                await send(message)

        await inner(scope, receive, send_unless_broken)
        if connection.broken:
            await _close(send)

    app.app = application


def break_off(headers: dict[str, str]) -> bool:
    """Let the present request's connection close without an answer.

    Returns
    -------
    bool
        False where there is no connection: Step Functions calls handlers directly, without a signed request.
    """
    connection = _current.get()
    if connection is None or "x-amz-date" not in headers:
        return False
    connection.broken = True
    return True


async def _close(send: Any) -> None:
    # ASGI has no word for it; hypercorn's stream, whose method `send` is, closes its connection when told that the
    # stream has ended without an answer.
    stream = send.__self__
    stream.closed = True
    await stream.send(StreamClosed(stream_id=stream.stream_id))
