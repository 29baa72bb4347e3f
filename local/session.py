"""The stack in an embedded AWS of its own: started, deployed, given CSVs, checked for leftovers, stopped."""

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from contract import layout
from local.errors import Trouble
from local.follow import Step
from local.synth import ROOT, SynthError, synth

if TYPE_CHECKING:
    from embedded_aws.cloud.instance import Cloud

UP: Final = Path(os.environ.get("CENSUS_HOME", ROOT / ".local"))
"""Where the embedded AWS that stays keeps its files."""
CDK_OUT: Final = ROOT / "cdk.out"
SERVER_LOG: Final = UP / "last-run.log"
_OUTPUTS: Final = "outputs.json"
_FAULT_ERROR: Final = "FaultSpecError: "
_SETTING_ERROR: Final = "cdk.json: segmentation."


@dataclass(frozen=True)
class Options:
    """What the user chose for an embedded AWS.

    Attributes
    ----------
    port
        0 takes a free one.
    pace
        How long jobs and endpoints take, as :meth:`embedded_aws.sagemaker.pace.Pace.parse` reads it.
    faults
        What goes wrong, as :mod:`embedded_aws.faults.spec` reads it.
    settings
        The stack's settings that differ from cdk.json.
    """

    port: int = 0
    pace: str = ""
    faults: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Stack:
    """The stack, deployed in an embedded AWS."""

    cloud: "Cloud"
    incoming_bucket: str
    results_bucket: str
    state_machine_arn: str

    @classmethod
    def of_outputs(cls, cloud: "Cloud", outputs: Mapping[str, str]) -> "Stack":
        """Read the outputs that the template gives."""
        return cls(cloud, outputs["IncomingBucket"], outputs["ResultsBucket"], outputs["StateMachineArn"])

    @classmethod
    def find(cls, directory: Path) -> "Stack | None":
        """Find the stack that `up` has deployed, if it still runs.

        Raises
        ------
        Trouble
            If the embedded AWS runs but does not respond.
        """
        from embedded_aws.cloud.instance import Cloud, CloudError  # noqa: PLC0415

        try:
            cloud = Cloud.find(directory)
        except CloudError as error:
            raise Trouble(f"{error}; python -m local down ends it") from error
        if cloud is None:
            return None
        try:
            return cls.of_outputs(cloud, json.loads((directory / _OUTPUTS).read_text()))
        except (OSError, ValueError, KeyError):
            return None

    def client(self, service: str) -> Any:
        """Return a boto3 client with the administrator's credentials; a second call gives the same."""
        return _client(self.cloud.endpoint_url, service, self.cloud.client)

    def execution_arn(self, run_id: str) -> str:
        """Return the ARN of a run's execution."""
        return f"{self.state_machine_arn.replace(':stateMachine:', ':execution:')}:{run_id}"

    def upload(self, csv: Path) -> str:
        """Put a CSV into the incoming bucket, which starts a run, and return that run's id."""
        key = layout.INCOMING_PREFIX + csv.name
        with csv.open("rb") as body:
            put = self.client("s3").put_object(Bucket=self.incoming_bucket, Key=key, Body=body)
        return layout.run_id(self.incoming_bucket, key, put.get("VersionId") or put["ETag"].strip('"'))

    def runs(self) -> list[dict[str, Any]]:
        """List the executions, the latest first."""
        pages = self.client("stepfunctions").get_paginator("list_executions")
        found = [run for page in pages.paginate(stateMachineArn=self.state_machine_arn) for run in page["executions"]]
        return sorted(found, key=lambda run: run["startDate"], reverse=True)

    def latest_run(self) -> str | None:
        """Return the id of the last successful run, if there is one."""
        s3 = self.client("s3")
        try:
            body = s3.get_object(Bucket=self.results_bucket, Key=layout.LATEST)["Body"].read()
        except s3.exceptions.NoSuchKey:
            return None
        return str(json.loads(body)["run_id"])

    def leftovers(self) -> list[str]:
        """Name every endpoint, endpoint config and model that exists, and every training job that still runs."""
        sagemaker = self.client("sagemaker")
        found = [
            f"{kind} {item[f'{name}Name']}"
            for kind, name, operation, listed in (
                ("endpoint", "Endpoint", "list_endpoints", "Endpoints"),
                ("endpoint config", "EndpointConfig", "list_endpoint_configs", "EndpointConfigs"),
                ("model", "Model", "list_models", "Models"),
            )
            for page in sagemaker.get_paginator(operation).paginate()
            for item in page[listed]
        ]
        for status in ("InProgress", "Stopping"):
            for page in sagemaker.get_paginator("list_training_jobs").paginate(StatusEquals=status):
                found += [f"training job {job['TrainingJobName']}" for job in page["TrainingJobSummaries"]]
        return found


_CLIENTS: dict[tuple[str, str], Any] = {}


def _client(endpoint_url: str, service: str, make: Callable[[str], Any]) -> Any:
    """Return a client made before, if there is one: boto3 takes a tenth of a second to make one."""
    if (endpoint_url, service) not in _CLIENTS:
        _CLIENTS[endpoint_url, service] = make(service)
    return _CLIENTS[endpoint_url, service]


@dataclass
class Journal:
    """The steps of a command so far, told to whoever shows them.

    Attributes
    ----------
    show
        Called with all steps whenever one changes.
    """

    show: Callable[[list[Step]], None]
    steps: list[Step] = field(default_factory=list)
    _others: list[Step] = field(default_factory=list)

    @contextmanager
    def step(self, name: str, waiting_for: str) -> Iterator[Step]:
        """Note a step while the block runs; an exception marks it as failed."""
        step = Step(name, waiting_for, time.time())
        self.steps.append(step)
        self._show()
        try:
            yield step
        except BaseException:
            step.failed = True
            raise
        finally:
            step.ended = time.time()
            self._show()

    def include(self, others: list[Step]) -> None:
        """Show steps that another keeps among one's own."""
        self._others = others
        self._show()

    def _show(self) -> None:
        self.show(sorted([*self.steps, *self._others], key=lambda step: step.started))

    def seconds(self, name: str) -> float:
        """Return how long a step took, 0 for one that never began."""
        return round(sum(step.seconds() for step in self.steps if step.name == name), 3)


START, SYNTH, DEPLOY, STOP = "Start", "Synthesize", "Deploy", "Stop"


def start(options: Options, journal: Journal, home: Path, *, detached: bool = False) -> Stack:
    """Start an embedded AWS and deploy the stack into it; when that fails, nothing is left running.

    The cloud starts while the stack is synthesized: neither needs the other.

    Parameters
    ----------
    options
        What the user chose.
    journal
        Where the steps are noted.
    home
        Where the cloud keeps its files.
    detached
        Whether the cloud outlives this process, to be found by :meth:`Stack.find`.

    Raises
    ------
    Trouble
        When the port is busy, a setting or a fault is wrong, or the deployment fails.
    """
    from embedded_aws.cloud.deploy import DeployError, deploy  # noqa: PLC0415 - imports boto3, which --help doesn't need
    from embedded_aws.cloud.instance import CloudError  # noqa: PLC0415

    # Settings that differ from cdk.json must not end up in cdk.out, which stands for the plain synth.
    assembly = home / "cdk.out" if options.settings else CDK_OUT
    with ThreadPoolExecutor(1) as pool:
        starting = pool.submit(_start_cloud, options, journal, home, detached)
        try:
            with journal.step(SYNTH, "the CDK app to write its template"):
                synth(assembly, {"segmentation": dict(options.settings)} if options.settings else {})
            cloud = starting.result()
            with journal.step(DEPLOY, "CloudFormation to create the stack"):
                outputs = deploy(cloud, assembly)
            if detached:
                (home / _OUTPUTS).write_text(json.dumps(dict(outputs.values)))
            return Stack.of_outputs(cloud, outputs.values)
        except BaseException as error:
            _stop(starting)
            if isinstance(error, CloudError | SynthError | DeployError):
                raise Trouble(_plain(str(error), home)) from error
            raise


def _plain(message: str, home: Path) -> str:
    """Say it in the words of the command line: its options, and the log that outlives the cloud."""
    if _FAULT_ERROR in message:
        return "--fault: " + message.partition(_FAULT_ERROR)[2].partition(" (log: ")[0]
    if message.startswith(_SETTING_ERROR):
        return f"a setting can't be: {message.removeprefix(_SETTING_ERROR)}"
    return message.replace(str(home.resolve() / "server.log"), str(SERVER_LOG))


@contextmanager
def running(options: Options, journal: Journal) -> Iterator[Stack]:
    """Have the stack in an embedded AWS of its own for a while, and stop it at the end, however that comes."""
    home = Path(tempfile.mkdtemp(prefix="census-aws-"))
    try:
        stack = start(options, journal, home)
        try:
            yield stack
        finally:
            with journal.step(STOP, "the embedded AWS to stop"):
                stack.cloud.stop()
    finally:
        _keep_log(home)
        shutil.rmtree(home, ignore_errors=True)


def _keep_log(home: Path) -> None:
    """Keep the server's log of the latest run, for when something went wrong that nobody foresaw."""
    with suppress(OSError):
        SERVER_LOG.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(home / "server.log", SERVER_LOG)


def _start_cloud(options: Options, journal: Journal, home: Path, detached: bool) -> "Cloud":
    from embedded_aws.cloud.instance import Cloud  # noqa: PLC0415

    with journal.step(START, "the embedded AWS to answer"):
        return Cloud.start(home, port=options.port, detached=detached, pace=options.pace, faults=list(options.faults))


def _stop(starting: "Future[Cloud]") -> None:
    """Stop the cloud, even one that is still starting; one that failed to start has told so already."""
    wait([starting])
    if starting.exception() is None:
        starting.result().stop()
