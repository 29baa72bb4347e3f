"""Starts containers, the processes in which training jobs and endpoints run, and exchanges messages with them.

A worker process that has imported numpy and botocore forks one process per container. A container
therefore starts in milliseconds, has its own memory, and can be stopped by killing it. The server only waits for it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import pickle
import signal
import socket
import struct
from collections.abc import Callable
from typing import Any

from embedded_aws.sagemaker.tasks import HostingTask, TrainingTask

_LENGTH = struct.Struct("<Q")
_STREAM_LIMIT = 1 << 24

logger = logging.getLogger("sagemaker")

Task = TrainingTask | HostingTask


class ContainerDiedError(Exception):
    """The container's process ended without a response."""


class Container:
    """One running process, for one training job or one variant of an endpoint."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._turn = asyncio.Lock()
        self._pid: int | None = None

    async def start(self, task: Task) -> None:
        """Send the container its task, and wait until it has sent its process id."""
        await self._send(task)
        self._pid = (await self.receive())[1]

    async def receive(self) -> tuple[Any, ...]:
        """Wait for the next message.

        Raises
        ------
        ContainerDiedError
            If the process has ended.
        """
        try:
            (length,) = _LENGTH.unpack(await self._reader.readexactly(_LENGTH.size))
            message: tuple[Any, ...] = pickle.loads(await self._reader.readexactly(length))  # noqa: S301 our own child
        except (asyncio.IncompleteReadError, ConnectionError) as ended:
            raise ContainerDiedError("the container's process has ended") from ended
        return message

    async def ask(self, request: Any, seconds: float) -> tuple[Any, ...]:
        """Send a request and wait for the response; a container handles one request at a time.

        Parameters
        ----------
        request
            The message to send.
        seconds
            The time limit, which begins when the request is sent. A container that exceeds it is killed, because its
            late response would be taken as the response to the next request.

        Raises
        ------
        ContainerDiedError
            If the process has ended or was killed because of the time limit.
        """
        async with self._turn:
            try:
                async with asyncio.timeout(seconds):
                    await self._send(request)
                    return await self.receive()
            except TimeoutError as late:
                self.kill()
                raise ContainerDiedError(f"the container did not answer in {seconds} s") from late

    async def _send(self, message: Any) -> None:
        data = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
        try:
            self._writer.write(_LENGTH.pack(len(data)) + data)
            await self._writer.drain()
        except ConnectionError as ended:
            raise ContainerDiedError("the container's process has ended") from ended

    def kill(self) -> None:
        """Kill the process; do nothing if it has already ended."""
        self._writer.close()
        if self._pid is not None:
            try:
                os.kill(self._pid, signal.SIGKILL)
            except ProcessLookupError:
                logger.debug("container %s had already ended", self._pid)
            self._pid = None


class ContainerHost:
    """Starts containers by means of the worker process (:mod:`embedded_aws.sagemaker.worker`).

    Parameters
    ----------
    start_worker
        Starts the worker process, given the descriptor of its control socket.
    """

    def __init__(self, start_worker: Callable[[int], None]) -> None:
        self._start_worker = start_worker
        self._control: socket.socket | None = None

    def warm_up(self) -> socket.socket:
        """Start the worker process if it is not running, and return its control socket, which can be used at once."""
        if self._control is None:
            ours, theirs = socket.socketpair()
            with theirs:
                self._start_worker(theirs.fileno())
            self._control = ours
        return self._control

    async def launch(self, task: Task) -> Container:
        """Start a container for a task.

        Raises
        ------
        ContainerDiedError
            If the worker process has ended, or the container ended on start.
        """
        ours, theirs = socket.socketpair()
        try:
            socket.send_fds(self.warm_up(), [b"f"], [theirs.fileno()])
        except OSError:
            ours.close()
            self._control = None  # the next launch starts a new worker process
            raise ContainerDiedError("the process that starts containers has ended") from None
        finally:
            theirs.close()
        reader, writer = await asyncio.open_connection(sock=ours, limit=_STREAM_LIMIT)
        container = Container(reader, writer)
        await container.start(task)
        return container
