"""Permissions boundaries and VPCs in the embedded AWS: what does not exist or is not allowed is refused, as on AWS."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError

from embedded_aws.cloud.instance import Cloud
from tests.cloud import Workshop, eventually
from tests.embedded_aws.test_customer_keys import allow, caller

TRUST = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "lambda.amazonaws.com"}}
INTERFACES = ("CreateNetworkInterface", "DescribeNetworkInterfaces", "DeleteNetworkInterface")


def policy(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def create_stack(cloud: Cloud, resource: dict[str, Any]) -> str:
    """Create a stack with one resource; return the reason why it failed, or nothing."""
    cloudformation, name = cloud.client("cloudformation"), f"stack-{uuid.uuid4().hex[:8]}"
    cloudformation.create_stack(
        StackName=name,
        TemplateBody=json.dumps({"Resources": {"Only": resource}}),
        Capabilities=["CAPABILITY_NAMED_IAM"],
    )

    def ended() -> bool:
        status = cloudformation.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"]
        return not str(status).endswith("IN_PROGRESS")

    eventually(ended)
    events = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
    return next((event["ResourceStatusReason"] for event in events if event["ResourceStatus"] == "CREATE_FAILED"), "")


def role_resource(**properties: Any) -> dict[str, Any]:
    return {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": policy(TRUST), **properties}}


def function_resource(role: str, subnet: str) -> dict[str, Any]:
    return {
        "Type": "AWS::Lambda::Function",
        "Properties": {
            "Role": role,
            "Runtime": "python3.12",
            "Handler": "index.handler",
            "Code": {"ZipFile": "def handler(event, context): pass"},
            "VpcConfig": {"SubnetIds": [subnet], "SecurityGroupIds": ["sg-00000001"]},
        },
    }


def test_a_templates_role_keeps_its_path_and_boundary(cloud: Cloud) -> None:
    iam, name = cloud.client("iam"), f"boundary-{uuid.uuid4().hex[:8]}"
    document = json.dumps(policy(allow("s3:*", "*")))
    boundary = iam.create_policy(PolicyName=name, PolicyDocument=document)["Policy"]["Arn"]
    assert create_stack(cloud, role_resource(RoleName=name, Path="/deep/", PermissionsBoundary=boundary)) == ""
    role = iam.get_role(RoleName=name)["Role"]
    assert role["PermissionsBoundary"]["PermissionsBoundaryArn"] == boundary
    assert role["Arn"].endswith(f":role/deep/{name}")


def test_a_boundary_that_does_not_exist_fails_the_stack(cloud: Cloud) -> None:
    reason = create_stack(cloud, role_resource(PermissionsBoundary="arn:aws:iam::000000000000:policy/Absent"))
    assert "does not exist or is not attachable" in reason


def test_a_function_in_a_subnet_that_does_not_exist_fails_the_stack(cloud: Cloud, workshop: Workshop) -> None:
    role = workshop.role(allow([f"ec2:{operation}" for operation in INTERFACES], "*"))
    assert create_stack(cloud, function_resource(role, "subnet-00000001")) == ""
    assert "subnet-0dead" in create_stack(cloud, function_resource(role, "subnet-0dead"))


def test_a_function_whose_role_may_not_create_network_interfaces_fails_the_stack(
    cloud: Cloud, workshop: Workshop
) -> None:
    reason = create_stack(cloud, function_resource(workshop.role(), "subnet-00000001"))
    assert "does not have permissions to call CreateNetworkInterface on EC2" in reason


@pytest.mark.parametrize(
    ("subnet", "allowed", "reason"),
    [
        ("subnet-00000001", False, "cannot attach network interfaces"),
        ("subnet-0dead", True, "subnet-0dead"),
    ],
)
def test_a_model_that_cannot_be_attached_to_its_vpc_is_refused(
    cloud: Cloud, workshop: Workshop, subnet: str, allowed: bool, reason: str
) -> None:
    role = workshop.role(*([allow("ec2:*", "*")] if allowed else []), service="sagemaker")
    with pytest.raises(ClientError, match=reason):
        cloud.client("sagemaker").create_model(
            ModelName=f"model-{uuid.uuid4().hex[:8]}",
            ExecutionRoleArn=role,
            PrimaryContainer={
                "Image": "382416733822.dkr.ecr.us-east-1.amazonaws.com/pca:1",
                "ModelDataUrl": "s3://b/k",
            },
            VpcConfig={"Subnets": [subnet], "SecurityGroupIds": ["sg-00000001"]},
        )


def test_a_simulation_considers_path_boundary_and_every_resource(cloud: Cloud) -> None:
    iam, name = cloud.client("iam"), f"simulated-{uuid.uuid4().hex[:8]}"
    inner = policy(allow("s3:GetObject", "arn:aws:s3:::one/*"))
    boundary = iam.create_policy(PolicyName=name, PolicyDocument=json.dumps(inner))["Policy"]["Arn"]
    role = iam.create_role(
        RoleName=name, Path="/deep/", AssumeRolePolicyDocument=json.dumps(policy(TRUST)), PermissionsBoundary=boundary
    )["Role"]["Arn"]
    iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=json.dumps(policy(allow("s3:*", "*"))))
    resources = ["arn:aws:s3:::one/key", "arn:aws:s3:::two/key"]
    found = iam.simulate_principal_policy(PolicySourceArn=role, ActionNames=["s3:GetObject"], ResourceArns=resources)
    decisions = {result["EvalResourceName"]: result["EvalDecision"] for result in found["EvaluationResults"]}
    assert decisions == {resources[0]: "allowed", resources[1]: "implicitDeny"}


def test_quotas_are_those_that_faults_set(cloud: Cloud) -> None:
    faults = "/_embedded/faults"
    cloud.request("POST", faults, ["Endpoint:quota=ml.t2.medium/3", "CreateTrainingJob:unsupported=ml.m5.large"])
    try:
        pages = cloud.client("service-quotas").get_paginator("list_service_quotas").paginate(ServiceCode="sagemaker")
        values = {quota["QuotaName"]: quota["Value"] for page in pages for quota in page["Quotas"]}
    finally:
        cloud.request("DELETE", faults)
    assert values["ml.t2.medium for endpoint usage"] == 3
    assert "ml.m5.large for training job usage" not in values
    assert values["ml.m5.large for endpoint usage"] > 3


def test_reading_quotas_needs_a_permission(cloud: Cloud) -> None:
    with pytest.raises(ClientError, match="not authorized to perform: servicequotas:ListServiceQuotas"):
        caller(cloud, "service-quotas", allow("s3:*", "*")).list_service_quotas(ServiceCode="sagemaker")
