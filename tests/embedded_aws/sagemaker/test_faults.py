"""Injected faults: what a client sees, which requests they affect, and how often."""

import json
import os
import signal
import time
from typing import Any

import numpy as np
import psutil
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError

from embedded_aws.cloud.instance import CloudError
from embedded_aws.faults.spec import FaultSpecError, parse
from tests.embedded_aws.sagemaker.conftest import BUCKET, IMAGES, Aws, variant, wait_for

PCA = {"feature_dim": 3, "num_components": 2, "mini_batch_size": 10}
ONCE = Config(retries={"total_max_attempts": 1})
OPERATIONS = ["CreateEndpoint", "InvokeEndpoint", "CreateTrainingJob"]


@pytest.fixture(scope="module")
def impatient(aws: Aws) -> Any:
    return aws.cloud.client("sagemaker", config=ONCE)


@pytest.fixture(scope="module")
def data(aws: Aws) -> str:
    return aws.put_matrix("faults/part.pbr", np.random.default_rng(5).random((50, 3)))


@pytest.mark.parametrize(
    ("fault", "code", "status"),
    [
        ("throttle", "ThrottlingException", 400),
        ("error", "InternalFailure", 500),
        ("unavailable", "ServiceUnavailable", 503),
        ("denied", "AccessDeniedException", 400),
        ("invalid=no such thing", "ValidationException", 400),
        ("limit", "ResourceLimitExceeded", 400),
    ],
)
def test_an_operation_responds_with_the_injected_error_the_given_number_of_times(
    aws: Aws, impatient: Any, fault: str, code: str, status: int
) -> None:
    aws.faults(f"ListModels:{fault}*2")
    for _ in range(2):
        with pytest.raises(ClientError) as refused:
            impatient.list_models()
        assert refused.value.response["Error"]["Code"] == code
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    impatient.list_models()
    (state,) = aws.cloud.request("GET", "/_embedded/faults")
    assert (state["struck"], state["left"]) == (2, 0)


def test_boto3s_own_retries_get_past_a_passing_fault(aws: Aws) -> None:
    aws.faults("ListModels:throttle*1", "ListEndpoints:reset*1")
    assert aws.sagemaker.list_models()["ResponseMetadata"]["RetryAttempts"] == 1
    assert aws.sagemaker.list_endpoints()["ResponseMetadata"]["RetryAttempts"] == 1


def test_a_fault_affects_only_the_names_it_matches(aws: Aws, impatient: Any) -> None:
    aws.faults("DescribeModel@kmeans:throttle")
    with pytest.raises(ClientError, match="Could not find model"):
        impatient.describe_model(ModelName="some-pca")
    with pytest.raises(ClientError, match="Rate exceeded"):
        impatient.describe_model(ModelName="some-kmeans-2")


def test_a_reset_connection_has_no_effect_and_a_lost_response_has_the_whole_effect(aws: Aws, impatient: Any) -> None:
    request = {"ExecutionRoleArn": aws.role, "PrimaryContainer": {"Image": IMAGES["pca"]}}
    aws.faults("CreateModel@reset:reset", "CreateModel@lost:lost")
    for name in ("reset-model", "lost-model"):
        with pytest.raises(ConnectionClosedError):
            impatient.create_model(ModelName=name, **request)
    with pytest.raises(ClientError, match="Could not find model"):
        impatient.describe_model(ModelName="reset-model")
    assert impatient.describe_model(ModelName="lost-model")["ModelName"] == "lost-model"


def test_a_quota_refuses_one_instance_type_only(aws: Aws, impatient: Any, data: str) -> None:
    aws.faults("CreateTrainingJob:quota=ml.c4.xlarge", "CreateEndpoint:quota=ml.t2.medium")
    with pytest.raises(ClientError) as refused:
        impatient.create_training_job(**aws.job_request("quota-1", "pca", data, PCA))
    error = refused.value.response["Error"]
    assert error["Code"] == "ResourceLimitExceeded"
    assert error["Message"].startswith("The account-level service limit 'ml.c4.xlarge for training job usage' is 0")
    other = {"InstanceType": "ml.m4.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 1}
    assert aws.train("quota-2", "pca", data, PCA, ResourceConfig=other)["TrainingJobStatus"] == "Completed"

    artifact = aws.put_model("faults/kmeans.tar.gz", [np.zeros((2, 2), np.float32)])
    with pytest.raises(ClientError, match=r"ml\.t2\.medium for endpoint usage"):
        aws.create_endpoint("quota-3", "kmeans", artifact)
    aws.create_endpoint("quota-4", "kmeans", artifact, InstanceType="ml.m4.xlarge")
    assert aws.settled("quota-4")["EndpointStatus"] == "InService"
    aws.sagemaker.delete_endpoint(EndpointName="quota-4")


def test_an_unsupported_instance_type_is_a_validation_error(aws: Aws, impatient: Any, data: str) -> None:
    aws.faults("CreateTrainingJob:unsupported=ml.c4.xlarge")
    with pytest.raises(ClientError, match=r"Unsupported instance type ml\.c4\.xlarge") as refused:
        impatient.create_training_job(**aws.job_request("unsupported-1", "pca", data, PCA))
    assert refused.value.response["Error"]["Code"] == "ValidationException"
    other = {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1}
    assert aws.train("unsupported-2", "pca", data, PCA, ResourceConfig=other)["TrainingJobStatus"] == "Completed"


def test_a_key_for_the_volumes_of_a_type_with_local_storage_is_refused(aws: Aws, impatient: Any, data: str) -> None:
    key = aws.cloud.client("kms").create_key()["KeyMetadata"]["Arn"]
    local = {"InstanceType": "ml.g5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 1, "VolumeKmsKeyId": key}
    with pytest.raises(ClientError, match=r"VolumeKmsKeyId is not supported for instance type ml\.g5\.xlarge"):
        impatient.create_training_job(**aws.job_request("local-1", "pca", data, PCA, ResourceConfig=local))
    aws.sagemaker.create_model(
        ModelName="local", ExecutionRoleArn=aws.role, PrimaryContainer={"Image": "1.dkr.ecr.x.amazonaws.com/pca:1"}
    )
    variant = {"VariantName": "all", "ModelName": "local", "InstanceType": "ml.m5d.large", "InitialInstanceCount": 1}
    with pytest.raises(ClientError, match=r"KmsKeyId is not supported for instance type ml\.m5d\.large"):
        impatient.create_endpoint_config(EndpointConfigName="local", KmsKeyId=key, ProductionVariants=[variant])


def test_a_quota_of_instances_counts_what_runs(aws: Aws, impatient: Any, data: str) -> None:
    aws.faults(
        "TrainingJob:quota=ml.c4.xlarge/1", "TrainingJob@counted-1:slow=2", "Endpoint@counted:quota=ml.m5.xlarge/1"
    )
    aws.sagemaker.create_training_job(**aws.job_request("counted-1", "pca", data, PCA))
    with pytest.raises(ClientError, match="is 1 Instances, with current utilization of 1 Instances") as refused:
        impatient.create_training_job(**aws.job_request("counted-2", "pca", data, PCA))
    assert refused.value.response["Error"]["Code"] == "ResourceLimitExceeded"
    aws.ended("counted-1")
    assert aws.train("counted-2", "pca", data, PCA)["TrainingJobStatus"] == "Completed"

    artifact = aws.put_model("counted/model.tar.gz", [np.eye(3, 4)])
    with pytest.raises(ClientError, match="request delta of 2 Instances"):
        aws.create_endpoint("counted-two", "kmeans", artifact, InitialInstanceCount=2, InstanceType="ml.m5.xlarge")
    # A type that no other test uses: the endpoints that other tests left running count too.
    aws.create_endpoint("counted-one", "kmeans", artifact, InstanceType="ml.m5.xlarge")
    aws.settled("counted-one")
    aws.sagemaker.delete_endpoint(EndpointName="counted-one")


def test_a_missing_resource_is_reported_by_either_code(aws: Aws, impatient: Any) -> None:
    for expected in ("ValidationException", "ResourceNotFound"):
        aws.faults(f"SageMaker:not_found={expected}")
        for call, name in (("model", "ModelName"), ("endpoint", "EndpointName"), ("training_job", "TrainingJobName")):
            with pytest.raises(ClientError) as missing:
                getattr(impatient, f"describe_{call}")(**{name: "nobody"})
            assert missing.value.response["Error"]["Code"] == expected


def test_a_new_resource_is_invisible_within_the_lag(aws: Aws, impatient: Any) -> None:
    artifact = aws.put_model("lag/model.tar.gz", [np.eye(3, 4)])
    aws.faults("SageMaker@lagging:lag=30")
    with pytest.raises(ClientError, match="Could not find model"):  # when the configuration is created
        aws.create_endpoint("lagging", "kmeans", artifact)
    assert impatient.list_models(NameContains="lagging")["Models"] == []
    with pytest.raises(ClientError, match="already existing model"):
        aws.create_endpoint("lagging", "kmeans", artifact)
    aws.faults()
    assert impatient.list_models(NameContains="lagging")["Models"]
    impatient.delete_model(ModelName="lagging")


@pytest.mark.parametrize(
    "spec", ["SageMaker:lag=soon", "SageMaker:not_found=Gone", "TrainingJob:quota=many", "SageMaker:throttle"]
)
def test_a_condition_that_does_not_exist_is_refused(spec: str) -> None:
    with pytest.raises(FaultSpecError, match=r"SageMaker|quota"):
        parse(spec, [])


def test_jobs_fail_for_capacity_or_a_reason(aws: Aws, data: str) -> None:
    aws.faults("TrainingJob@short:capacity=ml.c4.xlarge*1", "TrainingJob@doomed:failed=AlgorithmError: told to")
    short = aws.train("short-1", "pca", data, PCA)
    assert short["FailureReason"].startswith("CapacityError: Unable to provision requested ML compute capacity")
    assert aws.train("short-2", "pca", data, PCA)["TrainingJobStatus"] == "Completed"
    assert aws.train("doomed", "pca", data, PCA)["FailureReason"] == "AlgorithmError: told to"


def test_endpoints_fail_get_stuck_and_are_slow(aws: Aws) -> None:
    artifact = aws.put_model("faults/kmeans.tar.gz", [np.zeros((2, 2), np.float32)])
    aws.faults(
        "Endpoint@fails:failed=told to",
        "Endpoint@capacity:capacity",
        "Endpoint@stuck:stuck",
        "Endpoint@slow:slow=0.7",
        "Endpoint@lingers:stuck_deleting",
    )
    for name in ("fails", "capacity", "stuck", "slow", "lingers"):
        aws.create_endpoint(name, "kmeans", artifact)
    assert aws.settled("fails")["FailureReason"] == "told to"
    assert "InsufficientInstanceCapacity" in aws.settled("capacity")["FailureReason"]
    slow = aws.settled("slow")
    assert (slow["LastModifiedTime"] - slow["CreationTime"]).total_seconds() >= 0.7
    aws.settled("lingers")
    aws.sagemaker.delete_endpoint(EndpointName="lingers")
    aws.sagemaker.delete_endpoint(EndpointName="slow")
    wait_for(
        lambda: aws.sagemaker.list_endpoints(NameContains="slow")["Endpoints"],
        lambda left: not left,
    )
    statuses = {
        item["EndpointName"]: item["EndpointStatus"]
        for item in aws.sagemaker.list_endpoints(MaxResults=100)["Endpoints"]
    }
    assert (statuses["stuck"], statuses["lingers"]) == ("Creating", "Deleting")
    aws.cloud.request("DELETE", "/_embedded/faults")
    assert aws.settled("stuck")["EndpointStatus"] == "InService"
    wait_for(
        lambda: aws.sagemaker.list_endpoints(NameContains="lingers")["Endpoints"],
        lambda left: not left,
    )


def test_invocations_fail_with_the_injected_error(aws: Aws) -> None:
    artifact = aws.put_model("faults/kmeans.tar.gz", [np.zeros((2, 2), np.float32)])
    aws.create_endpoint("moody", "kmeans", artifact)
    aws.settled("moody")
    runtime = aws.cloud.client("sagemaker-runtime", config=ONCE)
    aws.faults("InvokeEndpoint:model_error=tired*1", "InvokeEndpoint:not_ready*1", "InvokeEndpoint:throttle*1")
    seen = []
    for _ in range(3):
        with pytest.raises(ClientError) as refused:
            runtime.invoke_endpoint(EndpointName="moody", ContentType="text/csv", Body="1,2")
        answer = refused.value.response
        seen.append((answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]))
    assert sorted(seen) == [("ModelError", 424), ("ModelNotReadyException", 429), ("ThrottlingException", 400)]
    runtime.invoke_endpoint(EndpointName="moody", ContentType="text/csv", Body="1,2")
    aws.faults("InvokeEndpoint:reset*1")
    with pytest.raises(ConnectionClosedError):
        runtime.invoke_endpoint(EndpointName="moody", ContentType="text/csv", Body="1,2")
    aws.sagemaker.delete_endpoint(EndpointName="moody")


@pytest.mark.parametrize(
    ("fault", "code"), [("slowdown", "SlowDown"), ("error", "InternalError"), ("denied", "AccessDenied")]
)
def test_s3_fails_for_the_keys_that_the_fault_matches(aws: Aws, fault: str, code: str) -> None:
    s3 = aws.cloud.client("s3", config=ONCE)
    aws.faults(f"s3.PutObject@faults/struck:{fault}*1")
    s3.put_object(Bucket=BUCKET, Key="faults/spared", Body=b"x")
    with pytest.raises(ClientError) as refused:
        s3.put_object(Bucket=BUCKET, Key="faults/struck", Body=b"x")
    assert refused.value.response["Error"]["Code"] == code
    s3.put_object(Bucket=BUCKET, Key="faults/struck", Body=b"x")


def test_a_connection_to_s3_is_reset_once(aws: Aws) -> None:
    s3 = aws.cloud.client("s3", config=ONCE)
    s3.put_object(Bucket=BUCKET, Key="faults/read", Body=b"x")
    aws.faults("s3.PutObject:reset*1")
    with pytest.raises(ConnectionClosedError):
        s3.put_object(Bucket=BUCKET, Key="faults/reset", Body=b"x")
    with pytest.raises(ClientError, match="Not Found"):
        s3.head_object(Bucket=BUCKET, Key="faults/reset")


def test_step_functions_sees_unmodelled_errors_and_broken_connections_as_sagemakers(aws: Aws) -> None:
    role = aws.role_named(
        "for-states",
        {"Action": "sagemaker:*", "Resource": "*"},
        trust={
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Allow", "Principal": {"Service": "states.amazonaws.com"}, "Action": "sts:AssumeRole"}
            ],
        },
    )
    definition = {
        "StartAt": "Describe",
        "States": {
            "Describe": {
                "Type": "Task",
                "Resource": "arn:aws:states:::aws-sdk:sagemaker:describeEndpoint",
                "Parameters": {"EndpointName": "nobody"},
                "End": True,
            }
        },
    }
    machine = aws.stepfunctions.create_state_machine(name="describer", definition=json.dumps(definition), roleArn=role)[
        "stateMachineArn"
    ]

    def error_of_a_run() -> str:
        run = aws.stepfunctions.start_execution(stateMachineArn=machine)["executionArn"]
        ended = wait_for(
            lambda: aws.stepfunctions.describe_execution(executionArn=run), lambda seen: seen["status"] != "RUNNING"
        )
        return str(ended["error"])

    assert error_of_a_run() == "SageMaker.SageMakerException"  # its model has no ValidationException
    aws.faults("DescribeEndpoint:reset*1")
    assert error_of_a_run() == "SageMaker.SageMakerException"


@pytest.mark.parametrize(
    ("spec", "hint"),
    [
        ("CreateEndpoint", "write Target[@name]:fault"),
        ("CreateEndpont:throttle", "there is no 'CreateEndpont'; there are"),
        ("CreateEndpoint:explode", "can't have 'explode'; it can have denied, error"),
        ("CreateEndpoint:model_error", "can't have 'model_error'"),
        ("CreateEndpoint:quota", "'quota' needs a value"),
        ("CreateEndpoint:throttle=3", "'throttle' takes no value"),
        ("Endpoint:slow=long", "is not a number of seconds"),
        ("s3.PutObject:capacity", "it can have denied, error"),
    ],
)
def test_the_error_for_an_invalid_fault_suggests_a_valid_one(spec: str, hint: str) -> None:
    with pytest.raises(FaultSpecError) as refused:
        parse(spec, OPERATIONS)
    assert hint in str(refused.value)


def test_a_spec_has_target_name_fault_value_and_times() -> None:
    fault = parse("CreateTrainingJob@-pca:quota=ml.c4.xlarge*3", OPERATIONS)
    assert (fault.target, fault.match, fault.kind, fault.value, fault.left) == (
        "CreateTrainingJob",
        "-pca",
        "quota",
        "ml.c4.xlarge",
        3,
    )
    assert parse("InvokeEndpoint:model_error", OPERATIONS).left is None


@pytest.mark.parametrize(
    ("match", "name", "strikes"),
    [
        ("", "anything", True),
        ("-pca", "stack-run-pca-2", True),
        ("run-*-pca", "stack-run-abc-pca", True),
        ("run-*-pca", "stack-run-abc-kmeans", False),
        ("run-*/labeled/", "bucket/runs/run-abc/labeled/part-00000.csv", True),
    ],
)
def test_a_star_in_a_name_stands_for_any_text(match: str, name: str, strikes: bool) -> None:
    spec = f"CreateEndpoint@{match}:throttle" if match else "CreateEndpoint:throttle"
    assert parse(spec, OPERATIONS).is_for(name) is strikes


def test_faults_are_added_to_those_in_force(aws: Aws) -> None:
    aws.faults("ListModels:slow=0.01")
    aws.cloud.request("POST", "/_embedded/faults", ["State.Publish@run-:slow=1"])
    in_force = aws.cloud.request("GET", "/_embedded/faults")
    assert [(fault["target"], fault["match"]) for fault in in_force] == [("ListModels", ""), ("State.Publish", "run-")]
    aws.cloud.request("DELETE", "/_embedded/faults")


def test_the_control_route_keeps_the_present_faults_when_it_refuses_new_ones(aws: Aws) -> None:
    aws.faults("ListModels:slow=0.01")
    with pytest.raises(CloudError, match="there is no 'Nothing'"):
        aws.faults("ListTags:throttle", "Nothing:throttle")
    assert [fault["target"] for fault in aws.cloud.request("GET", "/_embedded/faults")] == ["ListModels"]
    aws.cloud.request("DELETE", "/_embedded/faults")
    assert aws.cloud.request("GET", "/_embedded/faults") == []
    with pytest.raises(CloudError, match="there are faults and operations"):
        aws.cloud.request("GET", "/_embedded/nothing")


def test_calls_are_counted_by_operation_and_outcome(aws: Aws, impatient: Any) -> None:
    def counted(operation: str) -> dict[str, Any]:
        entries = aws.cloud.request("GET", "/_embedded/operations")
        return next((entry for entry in entries if entry["operation"] == operation), {"ok": 0, "errors": {}})

    before = counted("ListEndpointConfigs")
    aws.faults("ListEndpointConfigs:throttle*1")
    with pytest.raises(ClientError):
        impatient.list_endpoint_configs()
    impatient.list_endpoint_configs()
    after = counted("ListEndpointConfigs")
    assert after["ok"] == before["ok"] + 1
    assert after["errors"]["ThrottlingException"] == before["errors"].get("ThrottlingException", 0) + 1


def test_a_slow_operation_takes_its_time(aws: Aws) -> None:
    aws.faults("ListModels:slow=0.5*1")
    start = time.monotonic()
    aws.sagemaker.list_models()
    assert time.monotonic() - start >= 0.5


def test_a_killed_container_is_a_model_error_not_a_hang(aws: Aws) -> None:
    """When the container's process has died, its endpoint responds with a 5xx error of the model."""
    artifact = aws.put_model("faults/kmeans.tar.gz", [np.zeros((2, 2), np.float32)])

    def processes() -> set[int]:
        return {process.pid for process in psutil.Process(aws.cloud.pid).children(recursive=True)}

    before = processes()
    aws.sagemaker.create_model(
        ModelName="mortal",
        ExecutionRoleArn=aws.role,
        PrimaryContainer={"Image": IMAGES["kmeans"], "ModelDataUrl": artifact},
    )
    aws.sagemaker.create_endpoint_config(EndpointConfigName="mortal", ProductionVariants=[variant("mortal")])
    aws.sagemaker.create_endpoint(EndpointName="mortal", EndpointConfigName="mortal")
    aws.settled("mortal")
    (container,) = processes() - before
    os.kill(container, signal.SIGKILL)
    runtime = aws.cloud.client("sagemaker-runtime", config=ONCE)
    with pytest.raises(ClientError) as refused:
        runtime.invoke_endpoint(EndpointName="mortal", ContentType="text/csv", Body="1,2")
    response: Any = refused.value.response
    assert response["OriginalStatusCode"] == 500
    aws.sagemaker.delete_endpoint(EndpointName="mortal")
