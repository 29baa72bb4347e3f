"""A pytest plug-in that deploys a synthesized CDK stack into an embedded AWS and lets a test use it.

Installing ``census-segmentation[rehearsal]`` registers the plug-in; docs/rehearsal.md describes it.

Examples
--------
>>> def test_stack(rehearsal: Rehearsal) -> None:
...     outputs = rehearsal.deploy(Path("cdk.out"))
...     assert rehearsal.execute(outputs["Machine"])["status"] == "SUCCEEDED"
...     assert not rehearsal.permissions(outputs.stack_name).refused
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from embedded_aws.cloud.instance import Cloud
from embedded_aws.permissions import DECISIONS, Report, collect, compare, read

if TYPE_CHECKING:
    from embedded_aws.cloud.deploy import Outputs

__all__ = ["Rehearsal", "rehearsal"]

_FAULTS = "/_embedded/faults"


@dataclass(frozen=True)
class Rehearsal:
    """An embedded AWS for tests.

    Attributes
    ----------
    cloud
        The running embedded AWS; ``cloud.environment()`` has the variables that let any AWS client use it.
    """

    cloud: Cloud

    def synthesize(self, app: Path, outdir: Path, context: Mapping[str, Any] | None = None) -> Path:
        """Run a CDK app without the CDK command line, which adds seconds, and return its cloud assembly.

        Assets are not bundled: functions use the packages of this environment in place of their layers.

        Parameters
        ----------
        app
            The Python file that ``cdk.json`` starts; it runs in its own folder.
        outdir
            The folder to write.
        context
            Context for the app, as in ``cdk synth --context``.

        Raises
        ------
        RuntimeError
            If the app fails; the message is what it printed.
        """
        everything = {"aws:cdk:bundling-stacks": [], **(context or {})}
        variables = {"CDK_OUTDIR": str(outdir), "CDK_CONTEXT_JSON": json.dumps(everything), "CDK_VALIDATION": "false"}
        done = subprocess.run(
            [sys.executable, app.name],
            cwd=app.parent,
            env=os.environ | variables,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{app} failed with exit code {done.returncode}:\n{done.stderr or done.stdout}")
        return outdir

    def deploy(self, assembly: Path, stack_name: str | None = None) -> "Outputs":
        """Deploy a stack of a synthesized cloud assembly, such as ``cdk.out``, and return its outputs by name.

        Raises
        ------
        embedded_aws.cloud.deploy.DeployError
            If a resource fails; the message names it with the reason.
        """
        from embedded_aws.cloud.deploy import deploy  # noqa: PLC0415 - imports boto3, which most test runs do not need

        return deploy(self.cloud, assembly, stack_name)

    def client(self, service: str, **options: Any) -> Any:
        """Return a boto3 client of the embedded AWS with an administrator's credentials."""
        return self.cloud.client(service, **options)

    def execute(self, state_machine_arn: str, given: Any = None, *, seconds: float = 120) -> dict[str, Any]:
        """Start an execution with `given` as its input and return its description once it has ended.

        Raises
        ------
        TimeoutError
            If it is still running after this number of seconds.
        """
        states = self.client("stepfunctions")
        arn = states.start_execution(stateMachineArn=state_machine_arn, input=json.dumps(given or {}))["executionArn"]
        deadline = time.monotonic() + seconds
        while (execution := states.describe_execution(executionArn=arn))["status"] == "RUNNING":
            if time.monotonic() > deadline:
                raise TimeoutError(f"{arn} is still running after {seconds:g} s")
            time.sleep(0.1)
        return dict(execution)

    def add_faults(self, *specs: str) -> None:
        """Inject faults until the end of the test, such as ``CreateTrainingJob:throttle*2``.

        Raises
        ------
        embedded_aws.cloud.instance.CloudError
            If a spec is invalid; the message says what is allowed.
        """
        self.cloud.request("POST", _FAULTS, specs)

    def permissions(self, stack_name: str, reasons: Mapping[str, Mapping[str, str]] | None = None) -> Report:
        """Compare what the roles of a stack are granted with the requests that IAM has decided so far.

        Parameters
        ----------
        reasons
            Role (or ``*``) -> action -> why it is granted although no test uses it.
        """
        with tempfile.TemporaryDirectory() as directory:
            collect(self.client, self.cloud.directory / DECISIONS, stack_name, Path(directory))
            return compare(*read([Path(directory)]), reasons or {})


@pytest.fixture(scope="session")
def _rehearsed_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """Run one embedded AWS for the whole test session."""
    with Cloud.start(tmp_path_factory.mktemp("rehearsal")) as cloud:
        yield cloud


@pytest.fixture
def rehearsal(_rehearsed_cloud: Cloud) -> Iterator[Rehearsal]:
    """Provide an embedded AWS that keeps its stacks from test to test and its faults for one test only."""
    yield Rehearsal(_rehearsed_cloud)
    _rehearsed_cloud.request("DELETE", _FAULTS)
