"""The process of the embedded AWS: ministack with our corrections and our SageMaker, behind one TLS port.

:mod:`embedded_aws.cloud.instance` starts it and passes the settings as JSON in the variable ``EMBEDDED_AWS_SETTINGS``.
ministack reads most of its own settings from the environment when it is imported, so they are set before that.
"""

from __future__ import annotations

import asyncio
import ctypes
import fcntl
import json
import os
import shutil
import signal
import socket
import sys
import threading
import time
import traceback
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from embedded_aws.cloud.certificates import CA, CERTIFICATE, KEY
from embedded_aws.permissions import DECISIONS

SETTINGS_VARIABLE = "EMBEDDED_AWS_SETTINGS"
LOCK = "server.lock"  # in the directory; locked for as long as the server's process exists
_TEMPORARY = ("tmp", "objects")  # directories that exist while the server runs: unpacked functions, S3's objects
IDLE_SECONDS = 60.0  # Lambda keeps idle environments for some minutes, which AWS does not document
_MALLOPT = {-3: 32 * 1024**2, -1: 64 * 1024**2}  # M_MMAP_THRESHOLD, M_TRIM_THRESHOLD (man 3 mallopt)
BUSY_PORT_EXIT = 98  # EADDRINUSE
BUSY_DIRECTORY_EXIT = 16  # EBUSY


@dataclass(frozen=True)
class ServerSettings:
    """The settings of a server.

    Attributes
    ----------
    directory
        The directory of its files: certificates, unpacked functions, records.
    port
        The port of 127.0.0.1 that it listens on.
    access_key, secret_key
        The administrator's credentials.
    admin_token
        The token that requests for routes that are not part of AWS must present.
    auth
        Whether IAM policies are enforced.
    wait_scale
        Real seconds per second that a state machine waits.
    longest_wait
        The maximum duration of a Wait state in real seconds, whatever the scale.
    idle_seconds
        How long a function's execution environment is kept while it is idle.
    record_calls
        Whether CloudTrail records calls, and IAM's decisions are written to ``decisions.jsonl``.
    sagemaker
        The pace and the faults of the embedded SageMaker, as ``embedded_aws.ministack.installation`` takes them.
    """

    directory: str
    port: int
    account: str
    region: str
    access_key: str
    secret_key: str
    admin_token: str
    auth: bool = True
    wait_scale: float = 0.02
    longest_wait: float = 0.3
    idle_seconds: float = IDLE_SECONDS
    record_calls: bool = True
    sagemaker: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """Return the settings as JSON, for the environment variable."""
        return json.dumps(asdict(self))


def main() -> None:
    """Serve until SIGTERM or, if standard input is a pipe from the owner, until the pipe is closed."""
    settings = ServerSettings(**json.loads(os.environ.pop(SETTINGS_VARIABLE)))
    _keep_freed_memory()
    os.umask(0o077)  # other users must not read files of this process and its children
    lock = _lock(Path(settings.directory))  # closing the file would release the lock
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", settings.port))
    except OSError:
        sys.exit(BUSY_PORT_EXIT)
    # Clients can connect from now on, and get a response once the imports are complete.
    listener.listen(512)
    _set_environment(settings)
    from embedded_aws.processes.client import ForkHost  # noqa: PLC0415  # after the environment is set

    host = ForkHost()
    code = 0
    try:
        application = _install(settings, host)
        # Not asyncio.run: it would wait for every request still being served.
        asyncio.new_event_loop().run_until_complete(_serve(application, listener, Path(settings.directory)))
    except BaseException:
        traceback.print_exc()
        code = 1
    host.stop()
    for name in _TEMPORARY:
        shutil.rmtree(Path(settings.directory, name), ignore_errors=True)
    lock.close()
    sys.stdout.flush()
    sys.stderr.flush()
    # Exit without waiting for the threads of running executions.
    os._exit(code)


def _keep_freed_memory() -> None:
    """Keep up to 64 MiB of freed memory in this process (glibc only).

    Otherwise the kernel must map and zero new memory for each copy of a large request body, which takes a fifth of the
    processor time of a PutObject.
    """
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
        for parameter, value in _MALLOPT.items():
            mallopt(parameter, value)


def _lock(directory: Path) -> IO[str]:
    """Lock the directory until this process ends; exit if another server holds it."""
    lock = (directory / LOCK).open("a+")
    deadline = time.monotonic() + 1.0  # pid_of_server also holds the lock for a moment
    while True:
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except OSError:
            if time.monotonic() > deadline:
                sys.exit(BUSY_DIRECTORY_EXIT)
            time.sleep(0.02)
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock


def pid_of_server(directory: Path) -> int | None:
    """Return the process id of the server that uses a directory, or None if there is none.

    A lock of this kind belongs to one process: it is released when that process ends for any reason, it is kept while
    the process is stopped, and the processes that the server forks do not inherit it.
    """
    try:
        with (directory / LOCK).open("r+") as lock:
            try:
                fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return int(lock.read() or 0)
    except FileNotFoundError:
        pass
    return None


def _set_environment(settings: ServerSettings) -> None:
    directory = Path(settings.directory)
    temporary, objects = (directory / name for name in _TEMPORARY)
    for each in (temporary, objects):
        shutil.rmtree(each, ignore_errors=True)  # of a server that was killed
        each.mkdir()
    os.environ |= {
        "AUTH": str(settings.auth).lower(),
        "AWS_ACCESS_KEY_ID": settings.access_key,
        "AWS_SECRET_ACCESS_KEY": settings.secret_key,
        "AWS_CA_BUNDLE": str(directory / CA),
        "AWS_ENDPOINT_URL": f"https://127.0.0.1:{settings.port}",
        "AWS_DEFAULT_REGION": settings.region,
        "BIND_HOST": "127.0.0.1",
        "CLOUDTRAIL_RECORDING": str(int(settings.record_calls)),
        "GATEWAY_PORT": str(settings.port),
        "IOT_MTLS_ENABLED": "0",
        "LAMBDA_ASYNC_RETRY_BASE_SECONDS": str(60 * settings.wait_scale),
        "LAMBDA_ASYNC_RETRY_MAX_SECONDS": str(300 * settings.wait_scale),
        "LONGEST_WAIT_SECONDS": str(settings.longest_wait),
        "LOG_LEVEL": os.environ.get("LOG_LEVEL", "INFO"),
        "MINISTACK_ACCOUNT_ID": settings.account,
        "MINISTACK_REGION": settings.region,
        "MINISTACK_SSL_CERT": str(directory / CERTIFICATE),
        "MINISTACK_SSL_KEY": str(directory / KEY),
        "S3_DATA_DIR": str(objects),
        "S3_PERSIST": "1",
        "SFN_WAIT_SCALE": str(settings.wait_scale),
        "SFTP_ENABLED": "0",
        "TMPDIR": str(temporary),
        "USE_SSL": "1",
    }


def _install(settings: ServerSettings, host: Any) -> Any:
    from embedded_aws.ministack.installation import install  # noqa: PLC0415

    record = Path(settings.directory, DECISIONS) if settings.record_calls else None
    return install(host, record, settings.admin_token, settings.idle_seconds, **settings.sagemaker)


def _release_connections_that_clients_close() -> None:
    """Let hypercorn release a connection when its client closes it, instead of after the keep-alive timeout.

    Every TLS connection has a buffer of 256 KiB, and every environment of a function has connections of its own.
    """
    from hypercorn.asyncio.tcp_server import TCPServer  # noqa: PLC0415

    read_until_closed = TCPServer._read_data

    async def read_data(self: Any) -> None:
        await read_until_closed(self)
        await self.idle_task.stop()

    TCPServer._read_data = read_data  # type: ignore[method-assign]


async def _serve(application: Any, listener: socket.socket, directory: Path) -> None:
    from hypercorn.asyncio import serve  # noqa: PLC0415
    from hypercorn.config import Config  # noqa: PLC0415

    _release_connections_that_clients_close()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGINT, stop.set)
    _watch_owner(loop, stop)
    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.certfile, config.keyfile = str(directory / CERTIFICATE), str(directory / KEY)
    config.keep_alive_timeout = 75
    config.backlog = 512
    config.accesslog = None
    serving = asyncio.create_task(serve(application, config, shutdown_trigger=asyncio.Event().wait))
    stopping = asyncio.create_task(stop.wait())
    # No graceful shutdown, because it would wait for idle connections and there is nothing to save.
    done, _ = await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if serving in done:
        serving.result()


def _watch_owner(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """Stop when the process that started this one has ended, which closes the pipe at standard input."""
    if not _is_pipe(0):
        return

    def wait() -> None:
        while os.read(0, 4096):
            pass
        loop.call_soon_threadsafe(stop.set)

    threading.Thread(target=wait, daemon=True, name="owner-watch").start()


def _is_pipe(descriptor: int) -> bool:
    import stat  # noqa: PLC0415

    return stat.S_ISFIFO(os.fstat(descriptor).st_mode)


if __name__ == "__main__":
    main()
