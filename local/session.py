"""Starts and stops an embedded AWS that has the stack deployed."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from local.account import Account
from local.disk import START_BYTES, require_space, require_writable
from local.errors import UserError
from local.stack import OUTPUTS, Stack
from local.steps import StepLog
from local.synth import ROOT, SynthError, synth

if TYPE_CHECKING:
    from embedded_aws.cloud.instance import Cloud

UP: Final = Path(os.environ.get("CENSUS_HOME", ROOT / ".local"))
"""Where the embedded AWS that `up` starts keeps its files."""
CDK_OUT: Final = Path(os.environ.get("CENSUS_ASSEMBLY", ROOT / "cdk.out"))
SERVER_LOG: Final = UP / "last-run.log"
START, SYNTH, DEPLOY, STOP = "Start", "Synthesize", "Deploy", "Stop"
_FAULT_ERROR: Final = "FaultSpecError: "
_SETTING_ERROR: Final = "cdk.json: segmentation."


@dataclass(frozen=True)
class Options:
    """The user's choices for an embedded AWS.

    Attributes
    ----------
    port
        The port to listen on; 0 selects a free one.
    pace
        How long jobs and endpoints take, as :meth:`embedded_aws.sagemaker.pace.Pace.parse` reads it.
    faults
        Faults to inject, as :mod:`embedded_aws.faults.spec` reads them.
    settings
        The stack's settings that differ from cdk.json.
    """

    port: int = 0
    pace: str = ""
    faults: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)


def start(options: Options, log: StepLog, home: Path, *, detached: bool = False) -> Stack:
    """Start an embedded AWS and deploy the stack into it; if that fails, nothing is left running.

    The embedded AWS starts while the stack is synthesized, because neither needs the other.

    Parameters
    ----------
    options
        The user's choices.
    log
        Records the steps.
    home
        Where the embedded AWS keeps its files.
    detached
        Whether the embedded AWS outlives this process, to be found by :meth:`Stack.find`.

    Raises
    ------
    UserError
        If the port is busy, the disk is full, a setting or a fault is invalid, or the deployment fails.
    """
    from embedded_aws.cloud.deploy import DeployError, deploy  # noqa: PLC0415 - boto3 is slow to import
    from embedded_aws.cloud.instance import CloudError  # noqa: PLC0415

    require_writable(home)
    require_space(home, START_BYTES)
    # cdk.out holds the assembly that `cdk synth` writes, so settings that differ from cdk.json need another folder.
    assembly = home / "cdk.out" if options.settings else CDK_OUT
    with ThreadPoolExecutor(1) as pool:
        starting = pool.submit(_start_cloud, options, log, home, detached)
        try:
            with log.step(SYNTH, "the CDK app to write its template"):
                synth(assembly, {"segmentation": dict(options.settings)} if options.settings else {})
            import boto3  # noqa: F401, PLC0415 - while the embedded AWS starts, which takes as long

            cloud = starting.result()
            with log.step(DEPLOY, "CloudFormation to create the stack"):
                outputs = deploy(cloud, assembly)
            if detached:
                (home / OUTPUTS).write_text(json.dumps(dict(outputs.values)))
            return Stack.of_outputs(cloud, outputs.values)
        except BaseException as error:
            _stop(starting)
            if isinstance(error, CloudError | SynthError | DeployError):
                raise UserError(_in_terms_of_options(str(error), home)) from error
            raise


@contextmanager
def running(options: Options, log: StepLog) -> Iterator[Stack]:
    """Run an embedded AWS with the stack for the duration of a block.

    However the block ends, the embedded AWS is stopped and its files, which include keys, are deleted.

    Raises
    ------
    UserError
        As for :func:`start`.
    """
    with ExitStack() as cleanup:
        home = Path(tempfile.mkdtemp(prefix="census-aws-"))
        cleanup.callback(_keep_log_only, home)
        stack = start(options, log, home)
        # Called even if the next line cannot print, as when the terminal was closed; a second call does nothing.
        cleanup.callback(stack.cloud.stop)
        try:
            yield stack
        finally:
            with log.step(STOP, "the embedded AWS to stop"):
                stack.cloud.stop()


@contextmanager
def embedded_account(options: Options) -> Iterator[Account]:
    """Run an embedded AWS that is bootstrapped but has no stack, and return its account, for the duration of a block.

    Raises
    ------
    UserError
        If the port is busy, the disk is full or a fault is invalid.
    """
    from embedded_aws.cloud.deploy import bootstrap  # noqa: PLC0415 - boto3 is slow to import
    from embedded_aws.cloud.instance import CloudError  # noqa: PLC0415

    with ExitStack() as cleanup:
        home = Path(tempfile.mkdtemp(prefix="census-aws-"))
        cleanup.callback(_keep_log_only, home)
        require_space(home, START_BYTES)
        try:
            cloud = _start_cloud(options, StepLog(lambda _steps: None), home, detached=False)
        except CloudError as error:
            raise UserError(_in_terms_of_options(str(error), home)) from error
        cleanup.callback(cloud.stop)
        bootstrap(cloud, buckets=[f"cdk-hnb659fds-assets-{cloud.account}-{cloud.region}"])
        yield Account.embedded(cloud)


@contextmanager
def account_of(profile: str | None, region: str | None, embedded: Options | None) -> Iterator[Account]:
    """Provide the account of a profile, or of an embedded AWS with these options, for the duration of a block.

    Raises
    ------
    UserError
        As for :meth:`Account.of_profile` or :func:`embedded_account`.
    """
    if embedded is None:
        yield Account.of_profile(profile, region)
    else:
        with embedded_account(embedded) as account:
            yield account


def _in_terms_of_options(message: str, home: Path) -> str:
    """Reword an error for a user who knows the command line's options and not the modules behind them."""
    if _FAULT_ERROR in message:
        return "--fault: " + message.partition(_FAULT_ERROR)[2].partition(" (log: ")[0]
    if message.startswith(_SETTING_ERROR):
        return f"invalid setting: {message.removeprefix(_SETTING_ERROR)}"
    return message.replace(str(home.resolve() / "server.log"), str(SERVER_LOG))


def _keep_log_only(home: Path) -> None:
    """Delete an embedded AWS's files but the server's log, which explains unexpected errors."""
    with suppress(OSError):
        SERVER_LOG.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(home / "server.log", SERVER_LOG)
    shutil.rmtree(home, ignore_errors=True)


def _start_cloud(options: Options, log: StepLog, home: Path, detached: bool) -> "Cloud":
    from embedded_aws.cloud.instance import Cloud  # noqa: PLC0415

    with log.step(START, "the embedded AWS to respond"):
        return Cloud.start(home, port=options.port, detached=detached, pace=options.pace, faults=list(options.faults))


def _stop(starting: "Future[Cloud]") -> None:
    """Stop the embedded AWS, even while it is starting; if the start failed, there is nothing to stop."""
    wait([starting])
    if starting.exception() is None:
        starting.result().stop()
