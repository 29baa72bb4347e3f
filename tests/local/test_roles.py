"""Every permission is needed: when one is removed from a role, a run fails with AccessDenied."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from embedded_aws.cloud.deploy import Outputs
from embedded_aws.cloud.instance import Cloud
from tests.local.runs import Runs

# The owner of the role, and the permission that it loses.
LOSSES = [
    ("prepare", "s3:GetObjectVersion"),
    ("prepare", "s3:PutObject"),
    ("launch-training", "sagemaker:CreateTrainingJob"),
    ("launch-training", "iam:PassRole"),
    ("launch-endpoint", "sagemaker:CreateEndpoint"),
    ("project", "sagemaker:InvokeEndpoint"),
    ("label", "s3:PutObject"),
    ("publish", "states:GetExecutionHistory"),
    ("SageMaker", "s3:GetObject"),
    ("SageMaker", "s3:PutObject"),
    ("state machine", "sagemaker:DescribeTrainingJob"),
    ("state machine", "lambda:InvokeFunction"),
]


@pytest.fixture(scope="module")
def runs(cloud: Cloud, stack: Outputs) -> Runs:
    return Runs(cloud, stack)


def role_of(runs: Runs, owner: str) -> str:
    """Return the name of the role that a function, SageMaker or the state machine takes."""
    if owner == "state machine":
        arn: str = runs.client("stepfunctions").describe_state_machine(stateMachineArn=runs.machine)["roleArn"]
    else:
        function = "launch-training" if owner == "SageMaker" else owner
        found = runs.client("lambda").get_function_configuration(FunctionName=f"{runs.stack}-{function}")
        settings = json.loads(found["Environment"]["Variables"]["RUN_SETTINGS"])
        arn = settings["execution_role_arn"] if owner == "SageMaker" else found["Role"]
    return arn.rsplit("/", 1)[-1]


@contextmanager
def without(runs: Runs, role: str, action: str) -> Iterator[None]:
    """Remove an action from a role's policies while the context lasts."""
    iam, taken = runs.client("iam"), {}
    for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        document = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        left = [less for each in document["Statement"] if (less := _less(each, action))]
        if left != document["Statement"]:
            taken[name] = document
            iam.put_role_policy(
                RoleName=role, PolicyName=name, PolicyDocument=json.dumps(document | {"Statement": left})
            )
    assert taken, f"{role} doesn't have {action}"
    try:
        yield
    finally:
        for name, document in taken.items():
            iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(document))


def _less(statement: dict[str, Any], action: str) -> dict[str, Any] | None:
    actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
    left = [each for each in actions if each != action]
    return statement | {"Action": left} if left else None


@pytest.mark.parametrize(("owner", "action"), LOSSES)
def test_a_run_without_a_permission_fails_with_access_denied(runs: Runs, owner: str, action: str) -> None:
    with without(runs, role_of(runs, owner), action):
        run = runs.upload(f"without {action}.csv")
        ended = runs.end(run)
    assert ended["status"] == "FAILED"
    assert "AccessDenied" in ended["error"] or "AccessDenied" in ended["cause"] or "not authorized" in ended["cause"]
    assert runs.input_is_there(run)
    assert runs.is_swept(run.run_id)


def test_a_run_with_all_its_permissions_passes(runs: Runs) -> None:
    """The same CSV, after every role has its permissions back."""
    run = runs.upload("with all permissions.csv")
    assert runs.end(run)["status"] == "SUCCEEDED"
