"""Starts and talks to the processes in which training jobs and endpoints run, as on SageMaker each in its own.

A warm parent process has imported numpy, scikit-learn and botocore and forks one child a container, so that a container
starts in milliseconds, its memory is its own, and stopping it is killing it. The server's event loop only waits.
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
    """The container's process ended without an answer."""


class Container:
    """One running process, for one training job or one variant of an endpoint."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._turn = asyncio.Lock()
        self._pid: int | None = None

    async def start(self, task: Task) -> None:
        """Hand the container what to do; it answers with its process id first."""
        await self._send(task)
        self._pid = (await self.receive())[1]

    async def receive(self) -> tuple[Any, ...]:
        """Wait for the next message.

        Raises
        ------
        ContainerDiedError
            When the process has ended.
        """
        try:
            (length,) = _LENGTH.unpack(await self._reader.readexactly(_LENGTH.size))
            message: tuple[Any, ...] = pickle.loads(await self._reader.readexactly(length))  # noqa: S301 our own child
        except (asyncio.IncompleteReadError, ConnectionError) as ended:
            raise ContainerDiedError("the container's process has ended") from ended
        return message

    async def ask(self, request: Any, seconds: float) -> tuple[Any, ...]:
        """Send a request and wait for its answer; one at a time, as a container has one worker.

        Parameters
        ----------
        request
            What the container reads.
        seconds
            How long it may take, once it is its turn. A container that takes longer is ended: its late answer would
            be taken for that of the next request.

        Raises
        ------
        ContainerDiedError
            When the process has ended, or is ended now.
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
        """End the process at once; no-op when it has ended."""
        self._writer.close()
        if self._pid is not None:
            try:
                os.kill(self._pid, signal.SIGKILL)
            except ProcessLookupError:
                logger.debug("container %s had already ended", self._pid)
            self._pid = None


class ContainerHost:
    """Has containers forked by the warm process (`embedded_aws.sagemaker.worker`).

    Parameters
    ----------
    start_worker
        Starts that process, given the descriptor of its control socket.
    """

    def __init__(self, start_worker: Callable[[int], None]) -> None:
        self._start_worker = start_worker
        self._control: socket.socket | None = None

    def warm_up(self) -> socket.socket:
        """Start the warm process unless it has been, and return its control socket; what is sent there waits for it."""
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
            When the warm process, or the container at once, has ended.
        """
        ours, theirs = socket.socketpair()
        try:
            socket.send_fds(self.warm_up(), [b"f"], [theirs.fileno()])
        except OSError:
            ours.close()
            self._control = None  # the next launch starts another
            raise ContainerDiedError("the process that starts containers has ended") from None
        finally:
            theirs.close()
        reader, writer = await asyncio.open_connection(sock=ours, limit=_STREAM_LIMIT)
        container = Container(reader, writer)
        await container.start(task)
        return container
