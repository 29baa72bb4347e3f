"""One embedded AWS for all clients, who know of it only what ``.local/env`` exports."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import botocore.client
import numpy as np
import pytest

from tests.conformance.clients.touched import SERVICES, Touched

ROOT = Path(__file__).parents[3]
PYTHON = ROOT / ".venv" / "bin" / "python"
# The SDK and the waiters look every 5 to 120 seconds, and our jobs take less than one.
HASTE = 50

_TOUCHED = Touched()
_POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": ["s3:GetObject", "s3:ListBucket", "s3:PutObject"], "Resource": "*"},
        {"Effect": "Allow", "Action": ["logs:*", "cloudwatch:PutMetricData", "ecr:*"], "Resource": "*"},
    ],
}
_TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.failed:
        _TOUCHED.failed.add(report.nodeid)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if _TOUCHED.tests:
        terminalreporter.section("SageMaker operations that clients touched, in calls")
        for line in _TOUCHED.table():
            terminalreporter.line(line)


@pytest.fixture(scope="session")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Start the embedded AWS, and return the variables that lead to it."""
    if not PYTHON.exists():
        pytest.fail(f"{PYTHON.relative_to(ROOT)} is missing; run make setup")
    command = [str(PYTHON), "-m", "tests.conformance.clients.serve", str(tmp_path_factory.mktemp("cloud"))]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdin is not None
        line = server.stdout.readline()
        if not line:
            pytest.fail("the embedded AWS did not start; its error is above")
        yield json.loads(line)
        server.stdin.close()


@pytest.fixture(scope="session", autouse=True)
def _environment(exports: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Export them, and nothing else of the user's own AWS settings."""
    nowhere = str(tmp_path_factory.mktemp("home") / "none")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
            patch.setenv(name, nowhere)
        for name, value in exports.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="session")
def role(_environment: None) -> str:
    """The ARN of a role that SageMaker may assume."""
    iam = boto3.client("iam")
    arn: str = iam.create_role(RoleName="trainer", AssumeRolePolicyDocument=json.dumps(_TRUST))["Role"]["Arn"]
    iam.put_role_policy(RoleName="trainer", PolicyName="data", PolicyDocument=json.dumps(_POLICY))
    return arn


@pytest.fixture(scope="session")
def bucket(_environment: None) -> str:
    """A bucket for inputs and artifacts."""
    boto3.client("s3").create_bucket(Bucket="conformance-data")
    return "conformance-data"


@pytest.fixture(scope="session")
def images() -> dict[str, str]:
    """Image URIs of the session's region, from the table that the stack uses."""
    region = "us-east-1"
    entry = json.loads((ROOT / "infra" / "algorithm_images.json").read_text())[region]
    return {name: f"{entry[name]}.dkr.ecr.{region}.{entry['domain']}/{name}:1" for name in ("pca", "kmeans")}


@pytest.fixture(scope="session")
def matrix() -> Any:
    """400 x 6: three well separated groups, in few directions."""
    rng = np.random.default_rng(7)
    centers = rng.normal(scale=4, size=(3, 6))
    return (centers[np.arange(400) % 3] + rng.normal(scale=0.3, size=(400, 6))).astype(np.float32)


@pytest.fixture
def touched(request: pytest.FixtureRequest) -> Any:
    """Note a call of this test: ``touched(operation)``."""
    return lambda operation: _TOUCHED.add(request.module.CLIENT, operation, request.node.nodeid)


class HastyClock:
    """The module ``time``, for those who wait: a second of theirs passes fifty times as fast."""

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)

    @staticmethod
    def time() -> float:
        return time.time() * HASTE

    @staticmethod
    def sleep(seconds: float) -> None:
        time.sleep(seconds / HASTE)


@pytest.fixture(autouse=True)
def _watched(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, touched: Any) -> None:
    """Note every call to SageMaker that botocore makes in this process, and let waiting pass faster."""
    base: Any = botocore.client.BaseClient
    call = base._make_api_call
    in_process = request.module.CLIENT != "AWS CLI"

    def noted(self: Any, operation: str, parameters: Any) -> Any:
        if in_process and self.meta.service_model.service_name in SERVICES:
            touched(operation)
        return call(self, operation, parameters)

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", noted)
    monkeypatch.setattr("botocore.waiter.time", HastyClock())
    if request.module.CLIENT == "SageMaker SDK":
        monkeypatch.setattr("sagemaker.session.time", HastyClock())


@pytest.fixture
def nothing_left() -> Iterator[None]:
    """Check that the test leaves no endpoint, configuration, model or running job."""
    yield
    sagemaker = boto3.client("sagemaker")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_TOUCHED, "paused", True)
        # The SDK's and the CLI's last call starts an endpoint's deletion, and does not wait for it.
        for endpoint in sagemaker.list_endpoints(StatusEquals="Deleting")["Endpoints"]:
            sagemaker.get_waiter("endpoint_deleted").wait(EndpointName=endpoint["EndpointName"])
        assert sagemaker.list_endpoints()["Endpoints"] == []
        assert sagemaker.list_endpoint_configs()["EndpointConfigs"] == []
        assert sagemaker.list_models()["Models"] == []
        assert sagemaker.list_training_jobs(StatusEquals="InProgress")["TrainingJobSummaries"] == []
