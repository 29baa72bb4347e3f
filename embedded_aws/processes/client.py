"""Starts :mod:`embedded_aws.processes.server`, and controls the processes that it forks."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

_PAGE = resource.getpagesize()


class ForkHost:
    """The process of :mod:`embedded_aws.processes.server`, which this starts and owns."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lock = threading.Lock()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "embedded_aws.processes.server"],
                stdin=theirs.fileno(),
                # One thread per process, because there are more processes than cores if several runs overlap.
                env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            )

    def start_environment(self, variables: Mapping[str, str], memory_mb: int) -> EnvironmentProcess:
        """Fork an execution environment with exactly these environment variables."""
        ours, theirs = socket.socketpair()
        reader, writer = os.pipe()
        try:
            self._ask("environment", theirs.fileno(), writer)
        finally:
            theirs.close()
            os.close(writer)
        ours.sendall(json.dumps(dict(variables)).encode() + b"\n")
        return EnvironmentProcess(ours, os.fdopen(reader, "rb"), memory_mb, variables)

    def start_worker(self, descriptor: int) -> None:
        """Fork SageMaker's worker, which reads its commands from this socket, once the libraries are loaded.

        Raises
        ------
        OSError
            If the host has ended.
        """
        self._ask("worker", descriptor)

    def _ask(self, kind: str, *descriptors: int) -> None:
        with self._lock:
            socket.send_fds(self._control, [kind.encode()], descriptors)

    def stop(self) -> None:
        """End the host and every environment that it has forked."""
        self._control.close()
        self.process.terminate()
        try:
            self.process.wait(2)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class EnvironmentProcess:
    """A forked execution environment with the part of the interface of :class:`subprocess.Popen` that ministack uses.

    Parameters
    ----------
    owner
        The socket on which the host reports the id and the exit status of the process.
    stdout
        The standard output and error of the function.
    memory_mb
        The function's memory size; a process that uses more is killed, as on AWS.
    variables
        The process's environment variables.
    """

    def __init__(self, owner: socket.socket, stdout: BinaryIO, memory_mb: int, variables: Mapping[str, str]) -> None:
        self.variables = variables
        self.stdout = stdout
        self.returncode: int | None = None
        self._owner = owner
        self._memory_bytes = memory_mb * 1024 * 1024
        self._messages = owner.makefile("rb")
        self._lock = threading.Lock()
        self._peak_bytes = 0
        self.pid: int = json.loads(self._messages.readline() or b'{"pid": 0}')["pid"]
        self._shared_bytes = self._anonymous_bytes()  # memory shared with the host, which the function did not allocate

    def poll(self) -> int | None:
        """Return the exit code once the process has ended; kill the process if it uses too much memory."""
        if self.returncode is None and self._allocated_bytes() > self._memory_bytes:
            self.kill()
        return self._collect(0)

    def peak_mb(self) -> int:
        """Return the highest measured memory use in MiB, without the libraries that were loaded before the fork."""
        self._allocated_bytes()
        return -(-self._peak_bytes // 1024**2)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the process's end, or raise :class:`subprocess.TimeoutExpired`."""
        code = self._collect(timeout)
        if code is None:
            raise subprocess.TimeoutExpired("function", timeout or 0.0)
        return code

    def kill(self) -> None:
        """Kill the environment and every process that it has started."""
        if self.returncode is None and self.pid:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    terminate = kill  # AWS sends no SIGTERM to an environment without extensions either

    def _collect(self, timeout: float | None) -> int | None:
        with self._lock:
            if self.returncode is None and select.select([self._owner], [], [], timeout)[0]:
                line = self._messages.readline()
                # The host ended without a message, so the kernel has killed its children.
                status = json.loads(line)["status"] if line else signal.SIGKILL.value
                self.returncode = os.waitstatus_to_exitcode(status)
                self._messages.close()
                self._owner.close()
            return self.returncode

    def _allocated_bytes(self) -> int:
        allocated = self._anonymous_bytes() - self._shared_bytes
        self._peak_bytes = max(self._peak_bytes, allocated)
        return allocated

    def _anonymous_bytes(self) -> int:
        """Return the anonymous memory of the process, including memory shared with the host."""
        try:
            resident, shared = Path(f"/proc/{self.pid}/statm").read_text().split()[1:3]
        except (OSError, ValueError):  # ended, or not Linux
            return 0
        return (int(resident) - int(shared)) * _PAGE
