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
    """Wrap ministack's application so that every handler can call :func:`break_off`."""
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
    """Close the current request's connection without a response.

    Returns
    -------
    bool
        False if there is no connection, because Step Functions calls handlers directly, without a signed request.
    """
    connection = _current.get()
    if connection is None or "x-amz-date" not in headers:
        return False
    connection.broken = True
    return True


async def _close(send: Any) -> None:
    # ASGI has no message for this. `send` is a method of hypercorn's stream, which closes the connection if the stream
    # ends without a response.
    stream = send.__self__
    stream.closed = True
    await stream.send(StreamClosed(stream_id=stream.stream_id))
