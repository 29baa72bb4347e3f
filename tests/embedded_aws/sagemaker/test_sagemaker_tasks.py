"""Step Functions' optimized integration of SageMaker: ``sagemaker:createTrainingJob.sync`` and its siblings."""

import json
from typing import Any

import numpy as np
import pytest

from tests.embedded_aws.sagemaker.conftest import ACCOUNT, REGION, Aws, wait_for

PCA = {"feature_dim": 3, "num_components": 2, "mini_batch_size": 10}
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "states.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
RULE = f"arn:aws:events:{REGION}:{ACCOUNT}:rule/StepFunctionsGetEventsForSageMakerTrainingJobsRule"
ON_RULE = {"Action": ["events:PutTargets", "events:PutRule", "events:DescribeRule"], "Resource": RULE}


@pytest.fixture(scope="module")
def data(aws: Aws) -> str:
    return aws.put_matrix("tasks/part.pbr", np.random.default_rng(5).random((50, 3)))


def machine(aws: Aws, name: str, action: str, parameters: dict[str, Any], *statements: dict[str, Any]) -> str:
    """Create a state machine of one task; its role may pass the execution role, and what the statements say."""
    passing = {"Action": "iam:PassRole", "Resource": aws.role}
    role = aws.role_named(f"tasks-{name}", passing, *statements, trust=TRUST)
    task = {
        "Type": "Task",
        "Resource": f"arn:aws:states:::sagemaker:{action}",
        "Parameters": parameters,
        "End": True,
    }
    definition = json.dumps({"StartAt": "Task", "States": {"Task": task}})
    created = aws.stepfunctions.create_state_machine(name=name, definition=definition, roleArn=role)
    return str(created["stateMachineArn"])


def training(aws: Aws, name: str, data: str, *statements: dict[str, Any]) -> str:
    """Create a state machine that trains PCA in a job of the machine's name."""
    return machine(aws, name, "createTrainingJob.sync", aws.job_request(name, "pca", data, PCA), *statements)


def may(*actions: str) -> dict[str, Any]:
    return {"Action": [f"sagemaker:{action}" for action in actions], "Resource": "*"}


JOBS = may("CreateTrainingJob", "DescribeTrainingJob", "StopTrainingJob")


def started(aws: Aws, machine_arn: str) -> str:
    return str(aws.stepfunctions.start_execution(stateMachineArn=machine_arn)["executionArn"])


def ended(aws: Aws, machine_arn: str) -> dict[str, Any]:
    execution = started(aws, machine_arn)
    found: dict[str, Any] = wait_for(
        lambda: aws.stepfunctions.describe_execution(executionArn=execution), lambda seen: seen["status"] != "RUNNING"
    )
    return found


def test_the_output_is_the_description_of_the_job_that_has_ended(aws: Aws, data: str) -> None:
    execution = ended(aws, training(aws, "sync-ends", data, JOBS, ON_RULE))
    assert execution["status"] == "SUCCEEDED", execution
    job = json.loads(execution["output"])
    assert (job["TrainingJobName"], job["TrainingJobStatus"]) == ("sync-ends", "Completed")
    assert job["ModelArtifacts"]["S3ModelArtifacts"].endswith("/sync-ends/output/model.tar.gz")


def test_a_job_that_fails_fails_the_task_with_its_description(aws: Aws, data: str) -> None:
    aws.faults("TrainingJob@sync-fails:failed=no luck")
    execution = ended(aws, training(aws, "sync-fails", data, JOBS, ON_RULE))
    assert (execution["status"], execution["error"]) == ("FAILED", "States.TaskFailed")
    assert json.loads(execution["cause"])["FailureReason"].endswith("no luck")


def test_an_error_of_a_request_has_the_name_of_the_java_sdks_first_version(aws: Aws, data: str) -> None:
    aws.faults("CreateTrainingJob@sync-throttled:throttle*1", "CreateTrainingJob@sync-limited:limit*1")
    errors = [
        ended(aws, training(aws, name, data, JOBS, ON_RULE))["error"] for name in ("sync-throttled", "sync-limited")
    ]
    assert errors == ["SageMaker.AmazonSageMakerException", "SageMaker.ResourceLimitExceededException"]


@pytest.mark.parametrize(
    ("name", "statements", "missing"),
    [
        ("without-describe", [may("CreateTrainingJob"), ON_RULE], "sagemaker:DescribeTrainingJob"),
        ("without-rule", [JOBS], "events:DescribeRule"),
    ],
)
def test_a_permission_that_the_role_lacks_fails_the_task(
    aws: Aws, data: str, name: str, statements: list[dict[str, Any]], missing: str
) -> None:
    execution = ended(aws, training(aws, name, data, *statements))
    assert execution["error"] == "SageMaker.AmazonSageMakerException"
    assert missing in execution["cause"]


def test_an_execution_that_is_stopped_stops_its_job(aws: Aws, data: str) -> None:
    aws.faults("TrainingJob@sync-stopped:slow=60")
    execution = started(aws, training(aws, "sync-stopped", data, JOBS, ON_RULE))
    jobs = wait_for(
        lambda: aws.sagemaker.list_training_jobs(NameContains="sync-stopped"),
        lambda found: found["TrainingJobSummaries"],
    )
    assert len(jobs["TrainingJobSummaries"]) == 1
    aws.stepfunctions.stop_execution(executionArn=execution)
    assert aws.ended("sync-stopped")["TrainingJobStatus"] == "Stopped"


def test_without_sync_the_task_ends_when_sagemaker_has_responded(aws: Aws, data: str) -> None:
    request = aws.job_request("no-sync", "pca", data, PCA)
    execution = ended(aws, machine(aws, "no-sync", "createTrainingJob", request, JOBS))
    assert json.loads(execution["output"])["TrainingJobArn"].endswith(":training-job/no-sync")
    assert aws.ended("no-sync")["TrainingJobStatus"] == "Completed"


def test_no_other_operation_has_sync(aws: Aws) -> None:
    execution = ended(aws, machine(aws, "sync-model", "createModel.sync", {"ModelName": "m"}, may("CreateModel")))
    assert (execution["error"], "createModel.sync" in execution["cause"]) == ("States.Runtime", True)
