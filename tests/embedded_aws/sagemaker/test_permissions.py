"""The embedded SageMaker under IAM: callers, PassRole, and execution roles whose policies decide."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from botocore.exceptions import ClientError

from tests.embedded_aws.sagemaker.conftest import ACCOUNT, BUCKET, IMAGES, REGION, Aws, policy, variant

PCA = {"feature_dim": 3, "num_components": 2, "mini_batch_size": 10}
JOBS = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:training-job"


@pytest.fixture(scope="module")
def data(aws: Aws) -> str:
    return aws.put_matrix("permissions/part.pbr", np.random.default_rng(5).random((50, 3)))


def denial(call: Callable[..., Any], **request: Any) -> str:
    with pytest.raises(ClientError) as refused:
        call(**request)
    answer = refused.value.response
    assert answer["Error"]["Code"] == "AccessDeniedException"
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 400
    return answer["Error"]["Message"]


def test_policies_bind_to_names(aws: Aws, data: str) -> None:
    user = aws.as_user(
        "by-name",
        {"Action": "sagemaker:*", "Resource": [f"{JOBS}/mine-*"]},
        {"Action": "iam:PassRole", "Resource": aws.role},
    )
    user.create_training_job(**aws.job_request("mine-1", "pca", data, PCA))
    message = denial(user.create_training_job, **aws.job_request("yours-1", "pca", data, PCA))
    assert message == (
        f"User: arn:aws:iam::{ACCOUNT}:user/by-name is not authorized to perform: sagemaker:CreateTrainingJob on "
        f"resource: {JOBS}/yours-1 because no identity-based policy allows the sagemaker:CreateTrainingJob action"
    )
    user.describe_training_job(TrainingJobName="mine-1")
    denial(user.describe_training_job, TrainingJobName="yours-1")
    denial(user.list_training_jobs)
    user.add_tags(ResourceArn=f"{JOBS}/mine-1", Tags=[{"Key": "a", "Value": "b"}])
    denial(user.list_tags, ResourceArn=f"{JOBS}/yours-1")
    aws.ended("mine-1")


def test_a_caller_needs_pass_role_for_sagemaker(aws: Aws, data: str) -> None:
    everything = {"Action": "sagemaker:*", "Resource": "*"}
    without = aws.as_user("no-pass-role", everything)
    message = denial(without.create_training_job, **aws.job_request("not-passed", "pca", data, PCA))
    assert f"is not authorized to perform: iam:PassRole on resource: {aws.role}" in message
    denial(without.create_model, ModelName="np", ExecutionRoleArn=aws.role, PrimaryContainer={"Image": IMAGES["pca"]})
    passing = {"Action": "iam:PassRole", "Resource": aws.role}
    lambda_only = {"StringEquals": {"iam:PassedToService": "lambda.amazonaws.com"}}
    elsewhere = aws.as_user("passes-to-lambda", everything, passing | {"Condition": lambda_only})
    denial(elsewhere.create_training_job, **aws.job_request("not-passed", "pca", data, PCA))
    sagemaker_only = {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
    allowed = aws.as_user("passes-to-sagemaker", everything, passing | {"Condition": sagemaker_only})
    allowed.create_training_job(**aws.job_request("passed", "pca", data, PCA))
    assert aws.ended("passed")["TrainingJobStatus"] == "Completed"


def test_a_role_that_does_not_trust_sagemaker_is_refused(aws: Aws, data: str) -> None:
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }
    role = aws.role_named("for-lambda", trust=trust)
    for arn in (role, f"arn:aws:iam::{ACCOUNT}:role/nobody"):
        with pytest.raises(ClientError, match=f"Could not assume role {arn}") as refused:
            aws.sagemaker.create_training_job(**aws.job_request("untrusted", "pca", data, PCA, RoleArn=arn))
        assert refused.value.response["Error"]["Code"] == "ValidationException"


def test_tagging_on_creation_needs_add_tags(aws: Aws) -> None:
    user = aws.as_user(
        "no-add-tags",
        {"Action": "sagemaker:CreateModel", "Resource": "*"},
        {"Action": "iam:PassRole", "Resource": aws.role},
    )
    request = {"ModelName": "untagged", "ExecutionRoleArn": aws.role, "PrimaryContainer": {"Image": IMAGES["pca"]}}
    assert "sagemaker:AddTags" in denial(user.create_model, **request, Tags=[{"Key": "a", "Value": "b"}])
    user.create_model(**request)


def test_conditions_on_request_and_resource_tags_hold(aws: Aws) -> None:
    user = aws.as_user(
        "by-tag",
        {
            "Action": ["sagemaker:CreateModel", "sagemaker:AddTags"],
            "Resource": "*",
            "Condition": {"StringEquals": {"aws:RequestTag/team": "maps"}},
        },
        {
            "Action": "sagemaker:DeleteModel",
            "Resource": "*",
            "Condition": {"StringEquals": {"aws:ResourceTag/team": "maps"}},
        },
        {"Action": "iam:PassRole", "Resource": aws.role},
    )

    def request(name: str) -> dict[str, Any]:
        return {"ModelName": name, "ExecutionRoleArn": aws.role, "PrimaryContainer": {"Image": IMAGES["pca"]}}

    denial(user.create_model, **request("by-tag-1"))
    denial(user.create_model, **request("by-tag-1"), Tags=[{"Key": "team", "Value": "other"}])
    aws.sagemaker.create_model(**request("by-tag-1"))
    denial(user.delete_model, ModelName="by-tag-1")
    aws.sagemaker.create_model(**request("by-tag-2"), Tags=[{"Key": "team", "Value": "maps"}])
    user.delete_model(ModelName="by-tag-2")


def test_creating_an_endpoint_needs_the_permission_on_its_configuration_too(aws: Aws) -> None:
    aws.sagemaker.create_model(
        ModelName="conf-model", ExecutionRoleArn=aws.role, PrimaryContainer={"Image": IMAGES["pca"]}
    )
    aws.sagemaker.create_endpoint_config(EndpointConfigName="conf", ProductionVariants=[variant("conf-model")])
    user = aws.as_user(
        "endpoint-only",
        {"Action": "sagemaker:CreateEndpoint", "Resource": f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:endpoint/*"},
    )
    message = denial(user.create_endpoint, EndpointName="conf", EndpointConfigName="conf")
    assert ":endpoint-config/conf " in message


def test_invoking_needs_the_permission_on_the_endpoint(aws: Aws) -> None:
    aws.iam.create_user(UserName="invoker")
    key = aws.iam.create_access_key(UserName="invoker")["AccessKey"]
    runtime = aws.cloud.client(
        "sagemaker-runtime", aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"]
    )
    message = denial(runtime.invoke_endpoint, EndpointName="secret", Body=b"1")
    assert f"sagemaker:InvokeEndpoint on resource: arn:aws:sagemaker:{REGION}:{ACCOUNT}:endpoint/secret " in message


LIST = {"Action": "s3:ListBucket", "Resource": f"arn:aws:s3:::{BUCKET}"}
READ = {"Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{BUCKET}/permissions/*"}
WRITE = {"Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{BUCKET}/models/*"}


@pytest.mark.parametrize("permissions", [[], [{**LIST, "Condition": {"StringLike": {"s3:prefix": "models/*"}}}]])
def test_a_job_whose_role_may_not_list_the_output_bucket_is_refused(
    aws: Aws, data: str, permissions: list[dict[str, Any]]
) -> None:
    role = aws.role_named(f"unlisted-{len(permissions)}", READ, WRITE, *permissions)
    request = aws.job_request(f"unlisted-{len(permissions)}", "pca", data, PCA, RoleArn=role)
    with pytest.raises(ClientError, match="Access denied to OutputDataConfig S3 bucket") as refused:
        aws.sagemaker.create_training_job(**request)
    assert refused.value.response["Error"]["Code"] == "ValidationException"


def test_a_job_whose_role_may_not_list_the_data_fails(aws: Aws, data: str) -> None:
    aws.s3.create_bucket(Bucket="models-only")
    role = aws.role_named("without-list", READ, {"Action": "s3:ListBucket", "Resource": "arn:aws:s3:::models-only"})
    output = {"S3OutputPath": "s3://models-only/models"}
    job = aws.train("without-list", "pca", data, PCA, RoleArn=role, OutputDataConfig=output)
    assert job["FailureReason"].startswith("ClientError: Data download failed:AccessDenied (403)")


@pytest.mark.parametrize(
    ("missing", "permissions", "reason"),
    [
        ("read", [LIST, WRITE], "ClientError: Data download failed:AccessDenied (403)"),
        ("write", [LIST, READ], "ClientError: Artifact upload failed:AccessDenied (403)"),
    ],
)
def test_a_job_can_do_only_what_its_role_may(
    aws: Aws, data: str, missing: str, permissions: list[dict[str, Any]], reason: str
) -> None:
    role = aws.role_named(f"without-{missing}", *permissions)
    job = aws.train(f"without-{missing}", "pca", data, PCA, RoleArn=role)
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith(reason)


def test_a_job_whose_role_may_not_log_completes_without_logs(aws: Aws, data: str) -> None:
    role = aws.role_named("silent", LIST, READ, WRITE)
    assert aws.train("silent", "pca", data, PCA, RoleArn=role)["TrainingJobStatus"] == "Completed"
    streams = aws.logs.describe_log_streams(logGroupName="/aws/sagemaker/TrainingJobs", logStreamNamePrefix="silent/")[
        "logStreams"
    ]
    assert streams == []


def test_an_endpoint_whose_role_may_not_read_the_artifact_fails(aws: Aws) -> None:
    artifact = aws.put_model("private/model.tar.gz", [np.zeros((2, 2), np.float32)])
    role = aws.role_named("blind", LIST)
    aws.sagemaker.create_model(
        ModelName="blind",
        ExecutionRoleArn=role,
        PrimaryContainer={"Image": IMAGES["kmeans"], "ModelDataUrl": artifact},
    )
    aws.sagemaker.create_endpoint_config(EndpointConfigName="blind", ProductionVariants=[variant("blind")])
    aws.sagemaker.create_endpoint(EndpointName="blind", EndpointConfigName="blind")
    endpoint = aws.settled("blind")
    assert endpoint["EndpointStatus"] == "Failed"
    assert "AccessDenied (403)" in endpoint["FailureReason"]
    aws.sagemaker.delete_endpoint(EndpointName="blind")


def test_a_volume_key_needs_a_grant(aws: Aws, data: str) -> None:
    key = aws.kms.create_key()["KeyMetadata"]["Arn"]
    everything = {"Action": ["sagemaker:*", "iam:PassRole"], "Resource": "*"}
    resources = {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1, "VolumeKmsKeyId": key}
    request = aws.job_request("volume-key", "pca", data, PCA, ResourceConfig=resources)
    assert "kms:DescribeKey" in denial(aws.as_user("no-key", everything).create_training_job, **request)

    artifact = aws.put_model("volume-key/model.tar.gz", [np.eye(3, 4)])
    name = "encrypted"
    container = {"Image": IMAGES["kmeans"], "ModelDataUrl": artifact}
    aws.sagemaker.create_model(ModelName=name, ExecutionRoleArn=aws.role, PrimaryContainer=container)
    config = {"EndpointConfigName": name, "ProductionVariants": [variant(name, InstanceType="ml.m5.large")]}
    aws.sagemaker.create_endpoint_config(**config, KmsKeyId=key)
    endpoint = {"EndpointName": name, "EndpointConfigName": name}
    describing = {"Action": "kms:DescribeKey", "Resource": key}
    conditional = {"Bool": {"kms:GrantIsForAWSResource": "true"}}
    granting = {"Action": "kms:CreateGrant", "Resource": key}
    half = aws.as_user("half-key", everything, describing, granting | {"Condition": conditional})
    assert "kms:CreateGrant" in denial(half.create_endpoint, **endpoint)
    aws.as_user("whole-key", everything, describing, granting).create_endpoint(**endpoint)
    assert aws.settled(name)["EndpointStatus"] == "InService"
    aws.sagemaker.delete_endpoint(EndpointName=name)


def test_an_output_key_needs_encrypt_and_a_data_key(aws: Aws, data: str) -> None:
    key = aws.kms.create_key()["KeyMetadata"]["Arn"]
    output = {"S3OutputPath": f"s3://{BUCKET}/models", "KmsKeyId": key}
    granted: list[str] = []
    data_access = {"Action": ["s3:*", "logs:*", "cloudwatch:PutMetricData"], "Resource": "*"}
    for number, missing in enumerate(("kms:GenerateDataKey", "kms:Encrypt")):
        keys = [{"Action": granted, "Resource": key}] if granted else []
        role = aws.role_named(f"output-key-{number}", data_access, *keys)
        ended = aws.train(f"output-key-{number}", "pca", data, PCA, RoleArn=role, OutputDataConfig=output)
        assert ended["TrainingJobStatus"] == "Failed"
        assert missing in ended["FailureReason"]
        granted.append(missing)
    role = aws.role_named("output-key", data_access, {"Action": granted, "Resource": key})
    ended = aws.train("output-key", "pca", data, PCA, RoleArn=role, OutputDataConfig=output)
    assert ended["TrainingJobStatus"] == "Completed"


def test_a_permissions_boundary_limits_the_role(aws: Aws, data: str) -> None:
    boundary = aws.iam.create_policy(
        PolicyName="boundary", PolicyDocument=policy({"Action": ["s3:Get*", "s3:List*", "logs:*"], "Resource": "*"})
    )["Policy"]["Arn"]
    role = aws.role_named("bounded", {"Action": ["s3:*", "logs:*", "cloudwatch:*"], "Resource": "*"})
    aws.iam.put_role_permissions_boundary(RoleName="bounded", PermissionsBoundary=boundary)
    ended = aws.train("bounded", "pca", data, PCA, RoleArn=role)
    assert "s3:PutObject" in ended["FailureReason"]
    aws.iam.delete_role_permissions_boundary(RoleName="bounded")
    assert aws.train("unbounded", "pca", data, PCA, RoleArn=role)["TrainingJobStatus"] == "Completed"
