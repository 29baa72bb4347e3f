"""A running embedded AWS: started, found again, talked to, stopped.

Example
-------
>>> cloud = Cloud.start(Path(".local"))
>>> cloud.client("s3").list_buckets()["Buckets"]
[]
>>> cloud.stop()
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import secrets
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from embedded_aws.cloud.certificates import write_certificates, write_private
from embedded_aws.cloud.server import (
    BUSY_DIRECTORY_EXIT,
    BUSY_PORT_EXIT,
    IDLE_SECONDS,
    SETTINGS_VARIABLE,
    ServerSettings,
    pid_of_server,
)
from embedded_aws.permissions import DECISIONS, collect_all

if TYPE_CHECKING:
    import boto3

RECORDS_VARIABLE = "EMBEDDED_AWS_RECORDS"
ACCOUNT = "000000000000"
REGION = "us-east-1"
_START_SECONDS = 60.0
_STOP_SECONDS = 10.0
_HEALTH = "/_ministack/health"
_RECORD = "cloud.json"


class CloudError(Exception):
    """The embedded AWS cannot be started or reached; the message gives the reason in one line."""


@dataclass
class Cloud:
    """A running embedded AWS.

    Attributes
    ----------
    directory
        The directory of its log, certificates and records.
    endpoint_url
        The endpoint of every service.
    ca_bundle
        The certificate authority that signed the endpoint's certificate.
    admin_token
        The token that requests for the server's own routes must present.
    """

    directory: Path
    endpoint_url: str
    ca_bundle: Path
    access_key: str
    secret_key: str
    admin_token: str
    pid: int
    region: str = REGION
    account: str = ACCOUNT
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False, compare=False)
    _client_lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    @classmethod
    def start(
        cls,
        directory: Path,
        *,
        port: int = 0,
        auth: bool = True,
        record_calls: bool = True,
        wait_scale: float = 0.02,
        longest_wait: float = 0.3,
        idle_seconds: float = IDLE_SECONDS,
        region: str = REGION,
        pace: str = "",
        faults: Iterable[str] = (),
        detached: bool = False,
    ) -> Cloud:
        """Start an embedded AWS, and return once it responds to requests.

        Parameters
        ----------
        directory
            Created if necessary; holds the log, the certificates and the records of one cloud at a time.
        port
            The port of 127.0.0.1 to listen on; 0 selects a free one.
        auth
            Whether IAM policies are enforced.
        record_calls
            Whether calls and IAM's decisions are recorded.
        wait_scale
            Real seconds per second that a state machine waits.
        longest_wait
            The maximum duration of a Wait state in real seconds, whatever the scale.
        idle_seconds
            How long a function's execution environment is kept while it is idle.
        detached
            Whether the server continues after this process ends; otherwise, it ends with this process in any case.
        pace
            How long SageMaker's jobs and endpoints take, as :meth:`embedded_aws.sagemaker.pace.Pace.parse` reads it.
        faults
            The faults to inject, as :mod:`embedded_aws.faults.spec` reads them.

        Raises
        ------
        CloudError
            If the port is in use, or the server ends or does not respond; nothing is left running.
        """
        directory = directory.resolve()
        running = cls.find(directory)
        if running is not None:
            raise CloudError(f"an embedded AWS is running already at {running.endpoint_url} (pid {running.pid})")
        directory.mkdir(parents=True, exist_ok=True)
        ca_bundle = write_certificates(directory)
        settings = ServerSettings(
            directory=str(directory),
            port=port or _free_port(),
            account=ACCOUNT,
            region=region,
            access_key=f"AKIA{secrets.token_hex(8).upper()}",
            secret_key=secrets.token_hex(20),
            admin_token=secrets.token_hex(20),
            auth=auth,
            wait_scale=wait_scale,
            longest_wait=longest_wait,
            idle_seconds=idle_seconds,
            record_calls=record_calls,
            sagemaker={"pace": pace, "faults": list(faults)},
        )
        process = _spawn(settings, directory / "server.log", detached=detached)
        cloud = cls(
            directory=directory,
            endpoint_url=f"https://127.0.0.1:{settings.port}",
            ca_bundle=ca_bundle,
            access_key=settings.access_key,
            secret_key=settings.secret_key,
            admin_token=settings.admin_token,
            pid=process.pid,
            region=region,
            _process=process,
        )
        try:
            cloud._await_health()
            cloud._write_sdk_defaults()
            cloud._write_record()
        except BaseException:
            cloud.stop()
            raise
        return cloud

    @classmethod
    def find(cls, directory: Path) -> Cloud | None:
        """Return the cloud that runs with this directory, or None.

        Raises
        ------
        CloudError
            If its process exists but does not respond, for example because it was stopped with SIGSTOP.
        """
        cloud = cls.recorded(directory)
        if cloud is not None and not cloud._healthy(timeout=5):
            raise CloudError(f"the embedded AWS at {cloud.endpoint_url} does not answer (pid {cloud.pid})")
        return cloud

    @classmethod
    def recorded(cls, directory: Path) -> Cloud | None:
        """Return the cloud whose process runs with this directory, whether or not it responds, or None."""
        directory = directory.resolve()
        try:
            facts = json.loads((directory / _RECORD).read_text())
            cloud = cls(**{**facts, "directory": Path(facts["directory"]), "ca_bundle": Path(facts["ca_bundle"])})
        except (OSError, ValueError, TypeError, KeyError):
            return None
        return cloud if cloud.pid == pid_of_server(directory) else None

    @cached_property
    def session(self) -> boto3.Session:
        """A boto3 session with the administrator's credentials."""
        import boto3  # noqa: PLC0415  # slow to import, and not needed to start

        return boto3.Session(
            aws_access_key_id=self.access_key, aws_secret_access_key=self.secret_key, region_name=self.region
        )

    def client(self, service: str, **options: Any) -> Any:
        """Return a boto3 client with the administrator's credentials; boto3 documents ``options``."""
        with self._client_lock:  # boto3 sessions are not thread-safe
            return self.session.client(
                service,  # type: ignore[call-overload]
                **{"endpoint_url": self.endpoint_url, "verify": str(self.ca_bundle), **options},
            )

    def environment(self) -> dict[str, str]:
        """Return the environment variables that make any AWS client use this cloud."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_CA_BUNDLE": str(self.ca_bundle),
            "NODE_EXTRA_CA_CERTS": str(self.ca_bundle),
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            # For some operations, SDKs prefix the host (runtime.…), which is impossible for an IP address.
            "AWS_DISABLE_HOST_PREFIX_INJECTION": "true",
            "SAGEMAKER_USER_CONFIG_OVERRIDE": str(self._sdk_defaults),
        }

    def write_exports(self) -> Path:
        """Write the file ``env``, which a shell can source, into the directory, and return its path."""
        path = self.directory / "env"
        lines = [f"export {name}='{value}'" for name, value in self.environment().items()]
        write_private(path, ("\n".join(lines) + "\n").encode())
        return path

    def request(self, method: str, path: str, body: Any = None) -> Any:
        """Send a JSON request to one of the server's own routes, and return the JSON response."""
        data = None if body is None else json.dumps(body).encode()
        with self._connection(timeout=30) as connection:
            headers = {"content-type": "application/json", "authorization": f"Bearer {self.admin_token}"}
            connection.request(method, path, data, headers)
            response = connection.getresponse()
            content = response.read()
        if response.status >= 400:
            raise CloudError(f"{method} {path} answered {response.status}: {content.decode(errors='replace')[:300]}")
        return json.loads(content) if content else None

    def stop(self) -> None:
        """Stop the server and every process that it has started; a second call does nothing.

        If ``EMBEDDED_AWS_RECORDS`` names a directory, IAM's decisions about the roles of the deployed stacks are first
        written there, for :mod:`embedded_aws.permissions`.
        """
        records = os.environ.get(RECORDS_VARIABLE)
        if records and self._healthy(timeout=5):
            collect_all(self.client, self.directory / DECISIONS, Path(records))
        if self._process is not None:
            _end(self._process)
        else:
            _end_pid(self.pid)
        if pid_of_server(self.directory) is None:  # otherwise the record belongs to another server
            (self.directory / _RECORD).unlink(missing_ok=True)

    def __enter__(self) -> Cloud:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _await_health(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        # The timeout is short, because another server that uses the port may never respond after ours has ended.
        while not self._healthy(timeout=1.0):
            code = self._process.poll() if self._process else None
            if code == BUSY_DIRECTORY_EXIT:
                raise CloudError(f"another embedded AWS is using {self.directory}; stop it, or use another directory")
            if code == BUSY_PORT_EXIT:
                raise CloudError(f"port {self._port} of 127.0.0.1 is busy; choose another, or 0 for a free one")
            if code is not None:
                raise CloudError(f"the embedded AWS ended on start: {self._last_words()}")
            if time.monotonic() > deadline:
                raise CloudError(f"the embedded AWS didn't answer within {_START_SECONDS:.0f} s: {self._last_words()}")
            time.sleep(0.02)

    def _healthy(self, timeout: float) -> bool:
        try:
            with self._connection(timeout) as connection:
                connection.request("GET", _HEALTH)
                return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False

    @contextlib.contextmanager
    def _connection(self, timeout: float) -> Iterator[http.client.HTTPSConnection]:
        context = ssl.create_default_context(cafile=str(self.ca_bundle))
        connection = http.client.HTTPSConnection("127.0.0.1", self._port, timeout=timeout, context=context)
        try:
            yield connection
        finally:
            connection.close()

    @property
    def _port(self) -> int:
        return int(self.endpoint_url.rsplit(":", 1)[1])

    def _last_words(self) -> str:
        log = self.directory / "server.log"
        lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
        return f"{lines[-1] if lines else 'it said nothing'} (log: {log})"

    @property
    def _sdk_defaults(self) -> Path:
        return self.directory / "sagemaker.yaml"

    def _write_sdk_defaults(self) -> None:
        """Write the SageMaker SDK's defaults file, without which the SDK calls STS in AWS despite the endpoint.

        The SDK calls STS to name its bucket after the account, and to report its use.
        """
        bucket = f"sagemaker-{self.region}-{self.account}"
        modules = {"Session": {"DefaultS3Bucket": bucket}, "TelemetryOptOut": True}
        defaults = {"SchemaVersion": "1.0", "SageMaker": {"PythonSDK": {"Modules": modules}}}
        self._sdk_defaults.write_text(json.dumps(defaults) + "\n")  # JSON is YAML

    def _write_record(self) -> None:
        facts = {
            name: str(value) if isinstance(value, Path) else value
            for name, value in vars(self).items()
            if name in _RECORDED
        }
        write_private(self.directory / _RECORD, (json.dumps(facts, indent=1) + "\n").encode())


_RECORDED = frozenset(
    {"directory", "endpoint_url", "ca_bundle", "access_key", "secret_key", "admin_token", "pid", "region", "account"}
)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _spawn(settings: ServerSettings, log: Path, *, detached: bool) -> subprocess.Popen[bytes]:
    # The user's own AWS settings must reach neither the server nor the functions.
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MINISTACK_"))}
    variables[SETTINGS_VARIABLE] = settings.to_json()
    root = str(Path(__file__).resolve().parents[2])
    variables["PYTHONPATH"] = os.pathsep.join(filter(None, [root, variables.get("PYTHONPATH")]))
    output: IO[bytes]
    write_private(log, b"")
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "embedded_aws.cloud.server"],
            stdin=subprocess.DEVNULL if detached else subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=variables,
            start_new_session=True,  # Ctrl-C must not stop the server; the caller does that
        )


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        process.send_signal(signal.SIGCONT)  # a stopped process receives SIGTERM only when it continues
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if process.stdin is not None:
        process.stdin.close()


def _end_pid(pid: int) -> None:
    """Stop a server that another process started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
            os.kill(pid, signal.SIGCONT)  # a stopped process receives SIGTERM only when it continues
        deadline = time.monotonic() + _STOP_SECONDS
        while time.monotonic() < deadline:
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                return
            time.sleep(0.02)
