"""Lambda: runs Python functions with AWS's own runtime client."""

from __future__ import annotations

import array
import compileall
import fcntl
import os
import signal
import subprocess
import termios
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ministack.core import lambda_runtime
from ministack.services import lambda_svc

from embedded_aws.faults.functions import FunctionFaults
from embedded_aws.ministack import authorization, templates
from embedded_aws.processes.client import EnvironmentProcess, ForkHost
from embedded_aws.processes.peers import is_of_this_user

# Thread-local, because ministack writes an invocation's REPORT line in the thread that ran the invocation.
_last_invocation = threading.local()

_INHERITED = frozenset({"PATH", "LANG", "LC_ALL", "TMPDIR", "AWS_ENDPOINT_URL", "AWS_CA_BUNDLE"})
# If IAM is not enforced, these are the administrator's credentials.
_CREDENTIALS = frozenset({"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"})


def apply(host: ForkHost) -> None:
    """Run Python functions as ministack runs custom runtimes, in processes that ``host`` forks."""
    run_python_functions_under_the_runtime_api()
    give_functions_the_variables_lambda_sets()
    prepare_code_once_per_version()
    log_under_the_functions_role()
    report_memory_used()
    keep_dead_letter_queues_of_templates()
    fork_instead_of_starting_an_interpreter(host)


class _OwnProcessesOnly:
    """Mixin of a request handler that closes connections from other users' processes without a response."""

    def handle(self: Any) -> None:
        """Serve the connection; see ``socketserver.BaseRequestHandler``."""
        if is_of_this_user(self.connection):
            super().handle()  # type: ignore[misc]


class PythonEnvironment(lambda_runtime.ProvidedWorker):  # type: ignore[misc]
    """ministack's custom-runtime environment, with AWS's error types and messages if the function's process ends."""

    faults: FunctionFaults | None = None
    _last_process: EnvironmentProcess | None = None

    def invoke(self, event: Any, request_id: str, **keywords: Any) -> dict[str, Any]:
        """Run one invocation; see ``ProvidedWorker.invoke``."""
        invocation = self.faults.begin(self, event) if self.faults else None
        try:
            result = self._invoke(event, request_id, **keywords)
        finally:
            if self.faults and invocation:
                self.faults.end(invocation)
            if process := self._proc or self._last_process:
                _last_invocation.peak_mb = process.peak_mb()
        payload = result.get("error_payload")
        if not isinstance(payload, dict) or payload.get("errorType") not in ("Runtime.ExitError", "Sandbox.Timedout"):
            return result
        reason = payload["errorMessage"]
        if invocation and invocation.has_struck("timeout"):
            payload["errorType"] = "Sandbox.Timedout"
            reason = f"Task timed out after {self.config['Timeout']}.00 seconds"
        elif payload["errorType"] == "Runtime.ExitError":
            reason = f"Runtime exited with error: {self._end()}"
        payload["errorMessage"] = f"RequestId: {request_id} Error: {reason}"
        return result

    @property
    def app_id(self) -> str | None:
        """The id that the process puts into the user agent of its requests."""
        process = self._proc
        return process.variables["AWS_SDK_UA_APP_ID"] if process is not None else None

    def _build_handler_class(self, *args: Any) -> type:
        handler: type = super()._build_handler_class(*args)
        return type("OwnRuntimeAPIHandler", (_OwnProcessesOnly, handler), {})

    def kill_process(self) -> None:
        """Kill the process; the invocation then fails as if the process had ended by itself."""
        process = self._proc
        if process is not None:
            process.kill()

    def _invoke(self, event: Any, request_id: str, **keywords: Any) -> dict[str, Any]:
        try:
            result: dict[str, Any] = super().invoke(event, request_id, **keywords)
        except (lambda_runtime.ProvidedInitTimeout, lambda_runtime.ProvidedRuntimeError):
            raise
        except RuntimeError as error:
            return self._failed_initialisation(error)
        return result

    def _failed_initialisation(self, error: RuntimeError) -> dict[str, Any]:
        """Return the response for a function whose module cannot be loaded; as on AWS, it has the exception's class."""
        payload = self._init_error
        if not isinstance(payload, dict):
            payload = {"errorType": "Runtime.ExitError", "errorMessage": str(error)}
        # ministack has put the output so far into the message of its exception.
        log = "\n".join(filter(None, [str(error), self._drain_stderr()]))
        self._teardown()
        return {"status": "error", "error": str(error), "error_payload": payload, "log": log}

    def _teardown(self) -> None:
        if self._proc is not None:
            self._last_process = self._proc
        super()._teardown()

    def _drain_stderr_bounded(self, *_: float, **__: float) -> str:
        """Return the output so far without waiting for further output, which may never come.

        When the response arrives, the pipe already contains the output that the function wrote before it. The thread
        that empties the pipe needs a few milliseconds at most.
        """
        process = self._proc
        for _attempt in range(20):
            time.sleep(0.001)
            if process is None or process.stdout.closed or not _readable_bytes(process.stdout.fileno()):
                break
        time.sleep(0.001)
        return str(self._drain_stderr())

    def _end(self) -> str:
        code = self._last_process.returncode if self._last_process else None
        if code is None or code == -signal.SIGKILL:
            return "signal: killed"
        return f"exit status {code}" if code >= 0 else f"signal: {signal.strsignal(-code)}"


def run_python_functions_under_the_runtime_api() -> None:
    """Report the exception's class as the errorType of a failed function, so that Retry and Catch can match it.

    ministack runs Python functions with its own script, which reports every error as ``Runtime.HandlerError``. For
    custom runtimes, it keeps the whole error that the runtime client posts.
    """
    class_for, execute = lambda_runtime._worker_class_for, lambda_svc._execute_function_warm

    def worker_class_for(config: dict[str, Any]) -> type:
        return PythonEnvironment if _is_python(config) else class_for(config)

    def execute_warm(func: dict[str, Any], event: Any, request_id: str) -> dict[str, Any]:
        runs_here = _is_python(func.get("config") or func)
        run = lambda_svc._execute_function_provided_warm if runs_here else execute
        result: dict[str, Any] = run(func, event, request_id)
        return result

    lambda_runtime._worker_class_for = worker_class_for
    lambda_svc._execute_function_warm = execute_warm


def give_functions_the_variables_lambda_sets() -> None:
    """Give a function its own environment variables and those that Lambda sets, but not those of this process."""
    original: Callable[..., dict[str, str]] = lambda_svc._provided_worker_env

    def variables(config: dict[str, Any], code_dir: str, port: int) -> dict[str, str]:
        given = original(config, code_dir, port)
        own = (config.get("Environment") or {}).get("Variables") or {}
        leaked = [
            name
            for name, value in given.items()
            if os.environ.get(name) == value and name not in _INHERITED | _CREDENTIALS | set(own)
        ]
        for name in leaked:
            del given[name]
        given |= {
            "AWS_REGION": given.get("AWS_REGION") or lambda_svc.get_region(),
            "AWS_DEFAULT_REGION": given.get("AWS_DEFAULT_REGION") or lambda_svc.get_region(),
            "AWS_EXECUTION_ENV": f"AWS_Lambda_{config.get('Runtime')}",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{config.get('FunctionName')}",
            # Appears in the user agent of every request, which identifies the environment that sent it.
            "AWS_SDK_UA_APP_ID": uuid.uuid4().hex,
            "TZ": ":UTC",
            "PYTHONDONTWRITEBYTECODE": "1",  # the code is read-only on AWS
        }
        return given

    lambda_svc._provided_worker_env = variables


def prepare_code_once_per_version() -> None:
    """Compile a package's modules when it is unpacked, so that cold starts load the compiled files.

    ministack requires a custom runtime's executable, so this writes one. It is never started, because the fork host
    forks the environment instead.
    """
    original: Callable[[bytes], str] = lambda_svc._provided_runtime_code_dir

    def code_dir(code_zip: bytes) -> str:
        directory = Path(original(code_zip))
        bootstrap = directory / "bootstrap"
        with lambda_svc._provided_code_lock:
            if not bootstrap.exists():
                compileall.compile_dir(directory, quiet=2, workers=1)
                bootstrap.write_text("#!/bin/sh\nexit 1\n")
                bootstrap.chmod(0o755)
        return str(directory)

    lambda_svc._provided_runtime_code_dir = code_dir


def log_under_the_functions_role() -> None:
    """Write a function's output to CloudWatch Logs only if its role allows it, as on AWS."""
    original: Callable[..., None] = lambda_svc._emit_lambda_logs

    def emit(func: dict[str, Any], *args: Any, **keywords: Any) -> None:
        config = func.get("config") or func
        region, account = config["FunctionArn"].split(":")[3:5]
        group = (config.get("LoggingConfig") or {}).get("LogGroup") or f"/aws/lambda/{config['FunctionName']}"
        stream = f"arn:aws:logs:{region}:{account}:log-group:{group}:log-stream:{config.get('Version', '$LATEST')}"
        try:
            for action in ("logs:CreateLogStream", "logs:PutLogEvents"):
                authorization.check_role(config["Role"], action, stream)
        except authorization.Denied as denied:
            lambda_svc.logger.warning("no logs of %s: %s", config["FunctionName"], denied)
        else:
            original(func, *args, **keywords)

    lambda_svc._emit_lambda_logs = emit


def report_memory_used() -> None:
    """Report in REPORT lines the memory that the function allocated; ministack cannot measure a forked process."""
    original: Callable[[dict[str, Any]], int] = lambda_svc._probe_peak_memory_mb

    def peak_mb(func: dict[str, Any]) -> int:
        return getattr(_last_invocation, "peak_mb", 0) if _is_python(func.get("config") or func) else original(func)

    lambda_svc._probe_peak_memory_mb = peak_mb


def keep_dead_letter_queues_of_templates() -> None:
    """Give a template's function its DeadLetterConfig, which ministack's CloudFormation leaves out."""

    def keep(name: str, properties: dict[str, Any]) -> None:
        lambda_svc._functions[name]["config"]["DeadLetterConfig"] = properties.get("DeadLetterConfig", {})

    templates.extend("AWS::Lambda::Function", keep)


def fork_instead_of_starting_an_interpreter(host: ForkHost) -> None:
    """Let ``host`` fork the environments of Python functions; other runtimes start as before."""

    def start(command: list[str], *, env: dict[str, str], **keywords: Any) -> Any:
        if env.get("AWS_EXECUTION_ENV", "").startswith("AWS_Lambda_python"):
            return host.start_environment(env, int(env["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]))
        return subprocess.Popen(command, env=env, **keywords)

    lambda_runtime.subprocess = SimpleNamespace(**{**vars(subprocess), "Popen": start})


def _readable_bytes(descriptor: int) -> int:
    count = array.array("i", [0])
    fcntl.ioctl(descriptor, termios.FIONREAD, count)
    return count[0]


def _is_python(config: dict[str, Any]) -> bool:
    return str(config.get("Runtime", "")).startswith("python")
