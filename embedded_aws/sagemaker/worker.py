"""The worker process, which forks containers.

:mod:`embedded_aws.processes.server` forks it with the libraries that containers need. Each byte on its control socket
comes with the descriptor of a new container's socket. The first message on that socket is the task, a `TrainingTask`
or a `HostingTask`. Every message is a pickle, preceded by its length as a 64-bit integer.
"""

from __future__ import annotations

import gc
import logging
import os
import pickle
import signal
import socket
import struct
from typing import Any

from embedded_aws.sagemaker import hosting_container, role_session, training_container
from embedded_aws.sagemaker.tasks import TrainingTask

_LENGTH = struct.Struct("<Q")


class Channel:
    """A container's end of its socket."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def receive(self) -> Any:
        """Wait for a message.

        Raises
        ------
        EOFError
            If the server has closed the connection.
        """
        (length,) = _LENGTH.unpack(self._read(_LENGTH.size))
        return pickle.loads(self._read(length))  # noqa: S301 from our own parent

    def send(self, *message: Any) -> None:
        """Send a message: a tuple that begins with the kind of message."""
        data = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
        self._connection.sendall(_LENGTH.pack(len(data)) + data)

    def _read(self, size: int) -> bytes:
        buffer = bytearray(size)
        view = memoryview(buffer)
        while view:
            received = self._connection.recv_into(view)
            if not received:
                raise EOFError("the server closed the connection")
            view = view[received:]
        return bytes(buffer)


def run_container(channel: Channel) -> None:
    """Receive the task and execute it."""
    task = channel.receive()
    channel.send("started", os.getpid())
    if isinstance(task, TrainingTask):
        training_container.run(task, channel.send)
    else:
        hosting_container.run(task, channel)


def _warm_up() -> None:
    """Load the service models before forking, so that containers share them."""
    role_session.warm_up()
    gc.collect()
    gc.freeze()


def _serve(control: socket.socket) -> None:
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        if not message:
            return
        if os.fork() == 0:
            control.close()
            _be_a_container(socket.socket(fileno=descriptors[0]))
        os.close(descriptors[0])


def _be_a_container(connection: socket.socket) -> None:
    status = 0
    try:
        run_container(Channel(connection))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        status = 0  # the endpoint was deleted or the server has ended
    except Exception:
        logging.getLogger("sagemaker").exception("a container failed")
        status = 1
    os._exit(status)


def main(descriptor: int) -> None:
    """Warm up, then fork containers until the server closes the control socket."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # No process waits for a container's exit status; the server notices its end by the closed socket.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s [%(name)s] %(message)s")
    control = socket.socket(fileno=descriptor)
    _warm_up()
    _serve(control)
