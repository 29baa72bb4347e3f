"""The process host: loads the large libraries, and forks functions' environments and SageMaker's worker.

A cold start takes about a second of processor time, so a dozen of them on two cores would take longer than the run.
Because the host loads libraries such as numpy once, a forked process starts in milliseconds. AWS's own runtime client
(``awslambdaric``) still runs each function in a separate process, with its own environment variables and credentials.

:mod:`embedded_aws.processes.client` starts the host with a socket as its standard input. Each datagram on this socket
requests one process:

``environment``
    has two descriptors: a socket to the environment's owner, and the pipe for its output. On this socket, the owner
    sends the environment's variables, and the host sends ``{"pid": …}`` at once and ``{"status": …}`` (a wait status)
    when the process has ended.
``worker``
    has the descriptor of the control socket of :mod:`embedded_aws.sagemaker.worker`.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import gc
import importlib
import importlib.abc
import json
import os
import select
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from functools import partial

PRELOADED = (
    "boto3",
    "aws_lambda_powertools",
    "simplejson",
    "snapshot_restore_py",
    "concurrent.futures.thread",
    "http.client",
    "smart_open",
    "numpy",
    "numpy.random",
    "altair",
)
SERVICES = ("s3", "sagemaker", "sagemaker-runtime", "stepfunctions", "sns", "events")

_IN_NO_LAYER = frozenset({"pandas", "scipy", "sklearn"})
_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Serve fork requests until the owner closes the socket; then end every environment."""
    die_with_parent()
    _look_like_lambda()
    control = socket.socket(fileno=os.dup(0))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    wake_reader, wake_writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.set_wakeup_fd(wake_writer)
    children: dict[int, socket.socket] = {}
    to_load: list[Callable[[], object]] = [partial(importlib.import_module, name) for name in PRELOADED]
    to_load.insert(1, _share_service_models)
    try:
        while True:
            # Requests have priority: the next library is loaded only if no request is waiting.
            ready, _, _ = select.select([control.fileno(), wake_reader], [], [], 0 if to_load else None)
            if wake_reader in ready:
                os.read(wake_reader, 4096)
                _report_ended(children)
            if control.fileno() in ready:
                kind, descriptors, _, _ = socket.recv_fds(control, 16, 2)
                if kind == b"environment":
                    _start_environment(descriptors, children, control)
                elif kind == b"worker":  # started after the libraries, to share them
                    to_load.append(partial(_start_worker, descriptors[0], children, control))
                else:
                    return
            elif to_load and not ready:
                with contextlib.suppress(ImportError):  # a function that needs the library reports the error
                    to_load.pop(0)()
                gc.collect()
                gc.freeze()  # so that the collector does not write to the shared pages
    finally:
        for pid in children:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        for pid in children:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)


def die_with_parent() -> None:
    """Let the kernel kill this process when its parent ends (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class _Hidden(importlib.abc.MetaPathFinder):
    """Hides packages that this environment has and no function's layer."""

    def find_spec(self, fullname: str, *_: object) -> None:
        if fullname.partition(".")[0] in _IN_NO_LAYER:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)


def _look_like_lambda() -> None:
    """Prevent functions from importing modules of this checkout, or packages that only its tests use."""
    sys.path[:] = [entry for entry in sys.path if entry not in ("", _ROOT)]
    sys.meta_path.insert(0, _Hidden())
    for name in [name for name in sys.modules if name.partition(".")[0] == "embedded_aws"]:
        del sys.modules[name]


def _share_service_models() -> None:
    """Find and parse botocore's models of the services that functions use once, for all environments."""
    import boto3  # noqa: PLC0415
    from botocore import loaders  # noqa: PLC0415

    parse = functools.cache(loaders.JSONFileLoader().load_file)
    loaders.JSONFileLoader.load_file = lambda _, path: parse(path)  # type: ignore[method-assign,assignment]
    find = loaders.Loader.list_available_services
    found: dict[tuple[str, ...], list[str]] = {}

    def list_available_services(loader: loaders.Loader, type_name: str) -> list[str]:
        """Look into a thousand directories only once for each kind of model."""
        key = (type_name, *loader.search_paths)
        if key not in found:
            found[key] = find(loader, type_name)
        return found[key]

    loaders.Loader.list_available_services = list_available_services  # type: ignore[method-assign,assignment]
    for service in SERVICES:
        boto3.Session().client(
            service,  # type: ignore[call-overload]
            region_name="us-east-1",
            endpoint_url="https://localhost",
            aws_access_key_id="-",
            aws_secret_access_key="-",  # noqa: S106 - it signs nothing
        )


def _report_ended(children: dict[int, socket.socket]) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        owner = children.pop(pid, None)
        if owner is not None:
            with contextlib.suppress(OSError), owner:
                owner.sendall(json.dumps({"status": status}).encode() + b"\n")


def _start_environment(descriptors: list[int], children: dict[int, socket.socket], control: socket.socket) -> None:
    owner, output = socket.socket(fileno=descriptors[0]), descriptors[1]
    pid = _fork(partial(_be_environment, owner, output), children, control)
    os.close(output)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.setpgid(pid, pid)
    children[pid] = owner
    with contextlib.suppress(OSError):
        owner.sendall(json.dumps({"pid": pid}).encode() + b"\n")


def _start_worker(descriptor: int, children: dict[int, socket.socket], control: socket.socket) -> None:
    _fork(partial(_be_worker, descriptor), children, control)
    os.close(descriptor)


def _fork(run: Callable[[], None], children: dict[int, socket.socket], control: socket.socket) -> int:
    """Fork a process without the host's sockets and signal handlers that calls `run` and ends; return its id."""
    if pid := os.fork():
        return pid
    status = 1
    try:
        die_with_parent()
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        for other in (control, *children.values()):
            other.close()
        run()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _be_worker(descriptor: int) -> None:
    sys.path.insert(0, _ROOT)
    importlib.import_module("embedded_aws.sagemaker.worker").main(descriptor)


def _be_environment(owner: socket.socket, output: int) -> None:
    os.setpgid(0, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    with owner, owner.makefile("rb") as request:
        variables: dict[str, str] = json.loads(request.readline())
    _run_function(variables)


def _run_function(variables: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(variables)
    root = variables["LAMBDA_TASK_ROOT"]
    os.chdir(root)
    sys.path.insert(0, root)
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed()
    sys.argv = ["bootstrap", variables["_HANDLER"]]
    # Not preloaded, because it reads the address of the Runtime API from the environment when it is imported.
    importlib.import_module("awslambdaric.__main__").main(sys.argv)


if __name__ == "__main__":
    main()
