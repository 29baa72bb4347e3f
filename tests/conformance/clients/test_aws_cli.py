"""The AWS CLI drives the embedded SageMaker."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore import xform_name

CLIENT = "AWS CLI"
AWS = Path(sys.executable).with_name("aws")
_OPERATIONS = {
    xform_name(operation, "-"): operation
    for service in ("sagemaker", "sagemaker-runtime")
    for operation in boto3.client(service, region_name="us-east-1").meta.service_model.operation_names
}
_WAITED = {"endpoint-in-service": "DescribeEndpoint", "endpoint-deleted": "DescribeEndpoint"}


@pytest.fixture
def aws(touched: Any) -> Any:
    def run(*arguments: Any, expect: int = 0) -> Any:
        service, command = arguments[:2]
        if service.startswith("sagemaker"):
            touched(_OPERATIONS.get(command) or _WAITED.get(arguments[2], "DescribeTrainingJob"))
        words = [argument if isinstance(argument, str) else json.dumps(argument) for argument in arguments]
        done = subprocess.run([AWS, *words], capture_output=True, text=True, check=False, env=os.environ)
        assert done.returncode == expect, done.stderr
        if expect:
            return done.stderr
        return json.loads(done.stdout) if done.stdout.startswith("{") else done.stdout

    return run


@pytest.fixture
def table(matrix: Any, tmp_path: Path) -> Path:
    path = tmp_path / "part-0.csv"
    path.write_text("\n".join(",".join(map(str, row)) for row in matrix))
    return path


@pytest.mark.usefixtures("nothing_left")
def test_whole_life(aws: Any, role: str, bucket: str, images: dict[str, str], table: Path) -> None:
    # given a CSV, copied with the CLI
    aws("s3", "cp", str(table), f"s3://{bucket}/cli/part-0.csv")

    # when a job is trained
    source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{bucket}/cli/"}
    channel = {
        "ChannelName": "train",
        "ContentType": "text/csv;label_size=0",
        "DataSource": {"S3DataSource": source},
    }
    aws(
        *("sagemaker", "create-training-job", "--training-job-name", "cli-pca"),
        *("--algorithm-specification", f"TrainingImage={images['pca']},TrainingInputMode=File"),
        *("--role-arn", role, "--input-data-config", [channel]),
        *("--output-data-config", f"S3OutputPath=s3://{bucket}/models"),
        *("--resource-config", "InstanceType=ml.c4.xlarge,InstanceCount=1,VolumeSizeInGB=10"),
        *("--stopping-condition", "MaxRuntimeInSeconds=600"),
        *("--hyper-parameters", "feature_dim=6,mini_batch_size=100,num_components=2"),
    )
    # The CLI's waiters pause for 30 to 120 seconds between polls: what they wait for is done before they look.
    _until(lambda: aws("sagemaker", "describe-training-job", "--training-job-name", "cli-pca")["TrainingEndTime"])
    aws("sagemaker", "wait", "training-job-completed-or-stopped", "--training-job-name", "cli-pca")
    job = aws("sagemaker", "describe-training-job", "--training-job-name", "cli-pca")
    assert job["TrainingJobStatus"] == "Completed"

    # and deployed
    artifact = job["ModelArtifacts"]["S3ModelArtifacts"]
    container = {"Image": images["pca"], "ModelDataUrl": artifact}
    aws(
        *("sagemaker", "create-model", "--model-name", "cli", "--execution-role-arn", role),
        *("--primary-container", container),
    )
    variant = "VariantName=All,ModelName=cli,InstanceType=ml.t2.medium,InitialInstanceCount=1"
    aws(
        *("sagemaker", "create-endpoint-config", "--endpoint-config-name", "cli"),
        *("--production-variants", variant),
    )
    aws("sagemaker", "create-endpoint", "--endpoint-name", "cli", "--endpoint-config-name", "cli")
    _until(
        lambda: aws("sagemaker", "describe-endpoint", "--endpoint-name", "cli")["EndpointStatus"] == "InService" or None
    )
    aws("sagemaker", "wait", "endpoint-in-service", "--endpoint-name", "cli")
    assert [found["EndpointName"] for found in aws("sagemaker", "list-endpoints")["Endpoints"]] == ["cli"]

    # then it projects every row of a file
    answer = table.with_name("answer.json")
    aws(
        *("sagemaker-runtime", "invoke-endpoint", "--endpoint-name", "cli", "--content-type", "text/csv"),
        *("--accept", "application/json", "--body", f"fileb://{table}", str(answer)),
    )
    projections = json.loads(answer.read_text())["projections"]
    assert [len(entry["projection"]) for entry in projections] == [2] * 400

    # and is deleted
    aws("sagemaker", "delete-endpoint", "--endpoint-name", "cli")
    _until(lambda: not aws("sagemaker", "list-endpoints")["Endpoints"] or None)
    aws("sagemaker", "wait", "endpoint-deleted", "--endpoint-name", "cli")
    aws("sagemaker", "delete-endpoint-config", "--endpoint-config-name", "cli")
    aws("sagemaker", "delete-model", "--model-name", "cli")


def test_an_error_is_one_line_with_aws_code_and_message(aws: Any) -> None:
    error = aws("sagemaker", "describe-endpoint", "--endpoint-name", "none", expect=255)
    assert "An error occurred (ValidationException) when calling the DescribeEndpoint operation" in error
    assert 'Could not find endpoint "arn:aws:sagemaker:us-east-1:000000000000:endpoint/none".' in error


def _until(reached: Any, seconds: float = 60) -> None:
    """Ask until there is an answer; a missing key is none."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if reached() is not None:
                return
        except KeyError:
            pass
        assert time.monotonic() < deadline, "it took too long"
