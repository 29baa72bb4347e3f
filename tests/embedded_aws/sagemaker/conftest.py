"""A running embedded AWS for the tests of its SageMaker, and helpers that speak to it as any client would."""

import io
import json
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from embedded_aws.cloud.instance import Cloud
from embedded_aws.sagemaker.call_counts import render
from jobs.sagemaker import ndarray, recordio

ACCOUNT = "000000000000"
REGION = "us-east-1"
IMAGES = {name: f"382416733822.dkr.ecr.{REGION}.amazonaws.com/{name}:1" for name in ("pca", "kmeans")}
RECORDIO = "application/x-recordio-protobuf"
BUCKET = "sagemaker-data"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
_CALLS: list[dict[str, Any]] = []


def policy(*statements: dict[str, Any]) -> str:
    """Write a policy document of these statements."""
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **item} for item in statements]})


@dataclass
class Aws:
    """Clients of the embedded AWS as its administrator, and shorthands for what the tests do often."""

    cloud: Cloud
    role: str
    clients: dict[str, Any] = field(default_factory=dict)

    def __getattr__(self, service: str) -> Any:
        """Return the client of a service, such as `aws.sagemaker`."""
        name = service.replace("_", "-")
        if name not in self.clients:
            self.clients[name] = self.cloud.client(name)
        return self.clients[name]

    def faults(self, *specs: str) -> list[dict[str, Any]]:
        """Put faults in force."""
        return list(self.cloud.request("PUT", "/_embedded/faults", list(specs)))

    def put_matrix(self, key: str, matrix: np.ndarray) -> str:
        """Store a float32 matrix as recordIO and return its URI."""
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=recordio.encode(matrix.astype(np.float32)))
        return f"s3://{BUCKET}/{key}"

    def job_request(
        self, name: str, algorithm: str, uri: str, hyperparameters: dict[str, Any], **changes: Any
    ) -> dict[str, Any]:
        """Write the body of CreateTrainingJob, with members changed where wanted."""
        return {
            "TrainingJobName": name,
            "RoleArn": self.role,
            "AlgorithmSpecification": {"TrainingImage": IMAGES[algorithm], "TrainingInputMode": "File"},
            "HyperParameters": {key: str(value) for key, value in hyperparameters.items()},
            "InputDataConfig": [channel("train", uri)],
            "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/models"},
            "ResourceConfig": {"InstanceType": "ml.c4.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 1},
            "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
        } | changes

    def train(self, *args: Any, **changes: Any) -> dict[str, Any]:
        """Run a training job to its end and return its description."""
        request = self.job_request(*args, **changes)
        self.sagemaker.create_training_job(**request)
        return self.ended(request["TrainingJobName"])

    def ended(self, name: str) -> dict[str, Any]:
        """Wait for a job's end and return its description."""
        job: dict[str, Any] = wait_for(
            lambda: self.sagemaker.describe_training_job(TrainingJobName=name),
            lambda job: job["TrainingJobStatus"] not in ("InProgress", "Stopping"),
        )
        return job

    def put_model(self, key: str, arrays: Any) -> str:
        """Store an artifact made of these arrays and return its URI."""
        content = ndarray.save(arrays)
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
            member = tarfile.TarInfo("model_algo-1")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=buffer.getvalue())
        return f"s3://{BUCKET}/{key}"

    def read_model(self, uri: str) -> Any:
        """Read the arrays of an artifact."""
        key = uri.removeprefix(f"s3://{BUCKET}/")
        body = self.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        with tarfile.open(fileobj=io.BytesIO(body)) as archive:
            member = archive.extractfile("model_algo-1")
            assert member is not None
            return ndarray.load(member.read())

    def create_endpoint(self, name: str, algorithm: str, artifact: str, **config: Any) -> None:
        """Create a model, a configuration and an endpoint of one name."""
        self.sagemaker.create_model(
            ModelName=name,
            ExecutionRoleArn=self.role,
            PrimaryContainer={"Image": IMAGES[algorithm], "ModelDataUrl": artifact},
        )
        self.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant(name, **config)])
        self.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)

    def settled(self, name: str) -> dict[str, Any]:
        """Wait until an endpoint is neither Creating nor Updating and return its description."""
        endpoint: dict[str, Any] = wait_for(
            lambda: self.sagemaker.describe_endpoint(EndpointName=name),
            lambda endpoint: endpoint["EndpointStatus"] not in ("Creating", "Updating"),
        )
        return endpoint

    def role_named(self, name: str, *statements: dict[str, Any], trust: dict[str, Any] = TRUST) -> str:
        """Make a role with these permissions and return its ARN."""
        arn: str = self.iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
        if statements:
            self.iam.put_role_policy(RoleName=name, PolicyName="permissions", PolicyDocument=policy(*statements))
        return arn

    def as_user(self, name: str, *statements: dict[str, Any]) -> Any:
        """Return a SageMaker client of a new user with these permissions."""
        self.iam.create_user(UserName=name)
        self.iam.put_user_policy(UserName=name, PolicyName="permissions", PolicyDocument=policy(*statements))
        key = self.iam.create_access_key(UserName=name)["AccessKey"]
        return self.cloud.client(
            "sagemaker",
            aws_access_key_id=key["AccessKeyId"],
            aws_secret_access_key=key["SecretAccessKey"],
            aws_session_token=None,
        )


def channel(name: str, uri: str, content_type: str = RECORDIO, **source: Any) -> dict[str, Any]:
    """Write one entry of InputDataConfig."""
    return {
        "ChannelName": name,
        "ContentType": content_type,
        "DataSource": {
            "S3DataSource": {
                "S3DataType": "S3Prefix",
                "S3Uri": uri,
                "S3DataDistributionType": "ShardedByS3Key",
                **source,
            }
        },
    }


def variant(model: str, **changes: Any) -> dict[str, Any]:
    """Write one production variant."""
    return {
        "VariantName": "AllTraffic",
        "ModelName": model,
        "InstanceType": "ml.t2.medium",
        "InitialInstanceCount": 1,
    } | changes


def wait_for(look: Any, is_right: Any, seconds: float = 60.0) -> Any:
    """Look again and again until it is right."""
    deadline = time.monotonic() + seconds
    while not is_right(seen := look()):
        assert time.monotonic() < deadline, f"still {seen} after {seconds} s"
        time.sleep(0.05)
    return seen


@contextmanager
def aws_at(pace: str, folder: Path) -> Iterator[Aws]:
    """Start an embedded AWS with IAM on, a bucket and an execution role."""
    with Cloud.start(folder, pace=pace) as cloud:
        aws = Aws(cloud, "")
        aws.role = aws.role_named(
            "execution",
            {"Action": ["s3:GetObject", "s3:PutObject"], "Resource": f"arn:aws:s3:::{BUCKET}/*"},
            {"Action": "s3:ListBucket", "Resource": f"arn:aws:s3:::{BUCKET}"},
            {"Action": ["logs:*", "cloudwatch:PutMetricData"], "Resource": "*"},
        )
        aws.s3.create_bucket(Bucket=BUCKET)
        yield aws
        _CALLS.extend(cloud.request("GET", "/_embedded/operations"))


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    with aws_at("training=0.1,hosting=0.1,updating=0.1", tmp_path_factory.mktemp("cloud")) as aws:
        yield aws


@pytest.fixture(autouse=True)
def _no_faults_left(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "aws" in request.fixturenames:
        request.getfixturevalue("aws").faults()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print which SageMaker operations these tests touched."""
    if _CALLS:
        terminalreporter.section("SageMaker operations touched")
        terminalreporter.write_line(render(_CALLS))
