"""Models, endpoint configurations, endpoints and tags through plain boto3."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from botocore.exceptions import ClientError

from embedded_aws.cloud.instance import Cloud
from embedded_aws.sagemaker.endpoint_lives import STUCK_SECONDS
from tests.embedded_aws.sagemaker.conftest import ACCOUNT, BUCKET, IMAGES, REGION, Aws, aws_at, variant, wait_for

CENTERS = [np.array([[0, 0], [10, 0]], np.float32)]
OTHER_CENTERS = [np.array([[10, 0], [0, 0]], np.float32)]


@pytest.fixture(scope="module")
def artifact(aws: Aws) -> str:
    return aws.put_model("hosting/kmeans.tar.gz", CENTERS)


def refusal(call: Callable[..., Any], **request: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as refused:
        call(**request)
    error = refused.value.response["Error"]
    return error["Code"], error["Message"]


def arn(kind: str, name: str) -> str:
    return f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:{kind}/{name}"


def cluster_of(aws: Aws, endpoint: str, row: str, **options: Any) -> tuple[float, str]:
    answer = aws.sagemaker_runtime.invoke_endpoint(
        EndpointName=endpoint, ContentType="text/csv", Accept="text/csv", Body=row, **options
    )
    return float(answer["Body"].read().split(b",")[0]), answer["InvokedProductionVariant"]


def test_an_endpoint_is_created_serves_and_is_deleted(aws: Aws, artifact: str) -> None:
    aws.create_endpoint("born", "kmeans", artifact)
    creating = aws.sagemaker.describe_endpoint(EndpointName="born")
    assert creating["EndpointStatus"] == "Creating"
    assert "ProductionVariants" not in creating

    aws.sagemaker.get_waiter("endpoint_in_service").wait(EndpointName="born", WaiterConfig={"Delay": 1})
    endpoint = aws.sagemaker.describe_endpoint(EndpointName="born")
    assert endpoint["EndpointArn"] == arn("endpoint", "born")
    assert endpoint["EndpointConfigName"] == "born"
    (summary,) = endpoint["ProductionVariants"]
    assert summary["VariantName"] == "AllTraffic"
    assert summary["CurrentInstanceCount"] == summary["DesiredInstanceCount"] == 1
    assert summary["CurrentWeight"] == summary["DesiredWeight"] == 1.0
    assert summary["DeployedImages"][0]["SpecifiedImage"] == IMAGES["kmeans"]
    assert cluster_of(aws, "born", "9,1") == (1.0, "AllTraffic")
    streams = aws.logs.describe_log_streams(logGroupName="/aws/sagemaker/Endpoints/born")["logStreams"]
    assert streams[0]["logStreamName"].startswith("AllTraffic/i-")

    aws.sagemaker.delete_endpoint(EndpointName="born")
    assert aws.sagemaker.describe_endpoint(EndpointName="born")["EndpointStatus"] == "Deleting"
    aws.sagemaker.get_waiter("endpoint_deleted").wait(EndpointName="born", WaiterConfig={"Delay": 1})
    # Deleting an endpoint leaves what it was made of.
    aws.sagemaker.describe_endpoint_config(EndpointConfigName="born")
    aws.sagemaker.delete_endpoint_config(EndpointConfigName="born")
    aws.sagemaker.describe_model(ModelName="born")
    aws.sagemaker.delete_model(ModelName="born")


def test_an_endpoint_that_loses_its_config_while_it_is_created_hangs_for_an_hour(tmp_path: Path) -> None:
    hour = 2.0
    with aws_at(f"hosting=0.1,time_scale={hour / STUCK_SECONDS}", tmp_path) as aws:
        aws.create_endpoint("robbed", "kmeans", aws.put_model("kmeans.tar.gz", CENTERS))
        aws.sagemaker.delete_endpoint_config(EndpointConfigName="robbed")
        robbed = aws.settled("robbed")
    assert robbed["EndpointStatus"] == "Failed"
    assert "was deleted while the endpoint was being created" in robbed["FailureReason"]
    assert (robbed["LastModifiedTime"] - robbed["CreationTime"]).total_seconds() > hour


def test_an_endpoint_in_progress_can_be_neither_deleted_nor_updated_nor_invoked(aws: Aws, artifact: str) -> None:
    aws.faults("Endpoint@hasty:slow=1")
    aws.create_endpoint("hasty", "kmeans", artifact)
    in_progress = ("ValidationException", f'Cannot update in-progress endpoint "{arn("endpoint", "hasty")}".')
    assert refusal(aws.sagemaker.delete_endpoint, EndpointName="hasty") == in_progress
    assert refusal(aws.sagemaker.update_endpoint, EndpointName="hasty", EndpointConfigName="hasty") == in_progress
    assert refusal(aws.sagemaker_runtime.invoke_endpoint, EndpointName="hasty", Body=b"1,1") == (
        "ValidationError",
        f"Endpoint hasty of account {ACCOUNT} not found.",
    )
    assert aws.settled("hasty")["EndpointStatus"] == "InService"
    aws.sagemaker.delete_endpoint(EndpointName="hasty")


def test_what_exists_can_not_be_created_again(aws: Aws, artifact: str) -> None:
    aws.create_endpoint("twice", "kmeans", artifact)
    sagemaker = aws.sagemaker
    assert refusal(
        sagemaker.create_model, ModelName="twice", ExecutionRoleArn=aws.role, PrimaryContainer={"Image": IMAGES["pca"]}
    ) == ("ValidationException", f'Cannot create already existing model "{arn("model", "twice")}".')
    assert refusal(
        sagemaker.create_endpoint_config, EndpointConfigName="twice", ProductionVariants=[variant("twice")]
    ) == (
        "ValidationException",
        f'Cannot create already existing endpoint configuration "{arn("endpoint-config", "twice")}".',
    )
    assert refusal(sagemaker.create_endpoint, EndpointName="twice", EndpointConfigName="twice") == (
        "ValidationException",
        f'Cannot create already existing endpoint "{arn("endpoint", "twice")}".',
    )


def test_what_does_not_exist_is_not_found(aws: Aws) -> None:
    sagemaker = aws.sagemaker
    for kind, call, member in (
        ("model", sagemaker.describe_model, "ModelName"),
        ("model", sagemaker.delete_model, "ModelName"),
        ("endpoint-config", sagemaker.describe_endpoint_config, "EndpointConfigName"),
        ("endpoint-config", sagemaker.delete_endpoint_config, "EndpointConfigName"),
        ("endpoint", sagemaker.describe_endpoint, "EndpointName"),
        ("endpoint", sagemaker.delete_endpoint, "EndpointName"),
    ):
        words = "endpoint configuration" if kind == "endpoint-config" else kind
        assert refusal(call, **{member: "nobody"}) == (
            "ValidationException",
            f'Could not find {words} "{arn(kind, "nobody")}".',
        )
    missing_model = refusal(
        sagemaker.create_endpoint_config, EndpointConfigName="x", ProductionVariants=[variant("nobody")]
    )
    assert missing_model == ("ValidationException", f'Could not find model "{arn("model", "nobody")}".')
    missing_config = refusal(sagemaker.create_endpoint, EndpointName="x", EndpointConfigName="nobody")
    assert missing_config[1] == f'Could not find endpoint configuration "{arn("endpoint-config", "nobody")}".'


def test_an_artifact_that_is_not_there_fails_the_endpoint_with_its_reason(aws: Aws) -> None:
    aws.create_endpoint("no-model", "kmeans", f"s3://{BUCKET}/hosting/nothing.tar.gz")
    endpoint = aws.settled("no-model")
    assert endpoint["EndpointStatus"] == "Failed"
    assert endpoint["FailureReason"].startswith(
        f'Failed to download model data for container "container_1" from URL: "s3://{BUCKET}/hosting/nothing.tar.gz"'
    )
    aws.sagemaker.delete_endpoint(EndpointName="no-model")


def test_an_artifact_of_another_algorithm_fails_the_endpoint(aws: Aws, artifact: str) -> None:
    aws.create_endpoint("wrong-model", "pca", artifact)
    endpoint = aws.settled("wrong-model")
    assert endpoint["EndpointStatus"] == "Failed"
    assert "did not pass the ping health check" in endpoint["FailureReason"]
    aws.sagemaker.delete_endpoint(EndpointName="wrong-model")


def test_updating_swaps_the_model_and_a_failed_update_keeps_the_old_one(aws: Aws, artifact: str) -> None:
    aws.create_endpoint("changing", "kmeans", artifact)
    aws.settled("changing")
    other = aws.put_model("hosting/other.tar.gz", OTHER_CENTERS)
    for name, url in (("changed", other), ("broken", f"s3://{BUCKET}/hosting/nothing.tar.gz")):
        aws.sagemaker.create_model(
            ModelName=name,
            ExecutionRoleArn=aws.role,
            PrimaryContainer={"Image": IMAGES["kmeans"], "ModelDataUrl": url},
        )
        aws.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant(name)])

    aws.sagemaker.update_endpoint(EndpointName="changing", EndpointConfigName="changed")
    assert aws.sagemaker.describe_endpoint(EndpointName="changing")["EndpointStatus"] == "Updating"
    assert cluster_of(aws, "changing", "9,1")[0] == 1.0  # the old model serves meanwhile
    assert aws.settled("changing")["EndpointConfigName"] == "changed"
    assert cluster_of(aws, "changing", "9,1")[0] == 0.0

    aws.sagemaker.update_endpoint(EndpointName="changing", EndpointConfigName="broken")
    rolled_back = aws.settled("changing")
    assert rolled_back["EndpointStatus"] == "InService"
    assert rolled_back["EndpointConfigName"] == "changed"
    assert "Failed to download model data" in rolled_back["FailureReason"]
    assert cluster_of(aws, "changing", "9,1")[0] == 0.0


def test_two_variants_share_traffic_by_weight_and_can_be_reweighed(aws: Aws, artifact: str) -> None:
    other = aws.put_model("hosting/variant.tar.gz", OTHER_CENTERS)
    for name, url in (("blue", artifact), ("green", other)):
        aws.sagemaker.create_model(
            ModelName=name,
            ExecutionRoleArn=aws.role,
            PrimaryContainer={"Image": IMAGES["kmeans"], "ModelDataUrl": url},
        )
    variants = [
        variant("blue", VariantName="blue", InitialVariantWeight=1),
        variant("green", VariantName="green", InitialVariantWeight=0),
    ]
    aws.sagemaker.create_endpoint_config(EndpointConfigName="mixed", ProductionVariants=variants)
    aws.sagemaker.create_endpoint(EndpointName="mixed", EndpointConfigName="mixed")
    aws.settled("mixed")
    assert {cluster_of(aws, "mixed", "9,1") for _ in range(5)} == {(1.0, "blue")}
    assert cluster_of(aws, "mixed", "9,1", TargetVariant="green") == (0.0, "green")
    assert refusal(aws.sagemaker_runtime.invoke_endpoint, EndpointName="mixed", TargetVariant="red", Body=b"1,1") == (
        "ValidationError",
        "Variant red not found on Endpoint mixed",
    )

    weights = [{"VariantName": "blue", "DesiredWeight": 0}, {"VariantName": "green", "DesiredWeight": 3}]
    aws.sagemaker.update_endpoint_weights_and_capacities(EndpointName="mixed", DesiredWeightsAndCapacities=weights)
    summaries = {item["VariantName"]: item for item in aws.settled("mixed")["ProductionVariants"]}
    assert (summaries["blue"]["CurrentWeight"], summaries["green"]["CurrentWeight"]) == (0, 3)
    assert {cluster_of(aws, "mixed", "9,1")[1] for _ in range(5)} == {"green"}
    unknown = [{"VariantName": "red", "DesiredWeight": 1}]
    code, message = refusal(
        aws.sagemaker.update_endpoint_weights_and_capacities,
        EndpointName="mixed",
        DesiredWeightsAndCapacities=unknown,
    )
    assert code == "ValidationException"
    assert 'Could not find variant "red"' in message
    aws.sagemaker.delete_endpoint(EndpointName="mixed")


def test_lists_show_what_is_there_newest_first(aws: Aws, artifact: str) -> None:
    for number in range(3):
        aws.create_endpoint(f"shown-{number}", "kmeans", artifact)
    for number in range(3):
        aws.settled(f"shown-{number}")
    newest_first = ["shown-2", "shown-1", "shown-0"]
    for operation, member, name in (
        ("list_endpoints", "Endpoints", "EndpointName"),
        ("list_endpoint_configs", "EndpointConfigs", "EndpointConfigName"),
        ("list_models", "Models", "ModelName"),
    ):
        paginator = aws.sagemaker.get_paginator(operation)
        pages = paginator.paginate(NameContains="shown-", PaginationConfig={"PageSize": 2})
        assert [item[name] for page in pages for item in page[member]] == newest_first
    in_service = aws.sagemaker.list_endpoints(NameContains="shown-", StatusEquals="InService", SortOrder="Ascending")
    assert [item["EndpointName"] for item in in_service["Endpoints"]] == newest_first[::-1]
    assert aws.sagemaker.list_endpoints(NameContains="shown-", StatusEquals="Failed")["Endpoints"] == []
    for name in newest_first:
        aws.sagemaker.delete_endpoint(EndpointName=name)


def test_tags_are_added_listed_and_deleted(aws: Aws) -> None:
    model = aws.sagemaker.create_model(
        ModelName="tagged",
        ExecutionRoleArn=aws.role,
        PrimaryContainer={"Image": IMAGES["pca"]},
        Tags=[{"Key": "a", "Value": "1"}],
    )["ModelArn"]
    aws.sagemaker.add_tags(ResourceArn=model, Tags=[{"Key": "b", "Value": "2"}, {"Key": "a", "Value": "3"}])
    pages = aws.sagemaker.get_paginator("list_tags").paginate(ResourceArn=model)
    tags = {tag["Key"]: tag["Value"] for page in pages for tag in page["Tags"]}
    assert tags == {"a": "3", "b": "2"}
    aws.sagemaker.delete_tags(ResourceArn=model, TagKeys=["a", "unknown"])
    assert aws.sagemaker.list_tags(ResourceArn=model)["Tags"] == [{"Key": "b", "Value": "2"}]
    many = [{"Key": f"k{number}", "Value": ""} for number in range(50)]
    assert refusal(aws.sagemaker.add_tags, ResourceArn=model, Tags=many)[0] == "ValidationException"
    missing = arn("model", "nobody")
    assert refusal(aws.sagemaker.list_tags, ResourceArn=missing)[0] == "ValidationException"


def test_accounts_regions_see_only_their_own(aws: Aws) -> None:
    aws.sagemaker.create_model(ModelName="here", ExecutionRoleArn=aws.role, PrimaryContainer={"Image": IMAGES["pca"]})
    elsewhere = aws.cloud.client("sagemaker", region_name="eu-central-1")
    assert elsewhere.list_models(NameContains="here")["Models"] == []
    assert refusal(elsewhere.describe_model, ModelName="here")[0] == "ValidationException"


def test_an_unknown_operation_is_answered_as_one(aws: Aws) -> None:
    assert refusal(aws.sagemaker.list_clusters)[0] == "UnknownOperationException"


def test_many_jobs_and_endpoints_at_once_all_succeed(aws: Aws) -> None:
    matrix = np.random.default_rng(1).random((200, 4))
    uri = aws.put_matrix("many/part.pbr", matrix)
    names = [f"many-{number}" for number in range(12)]
    for name in names:
        settings = {"feature_dim": 4, "num_components": 2, "mini_batch_size": 100}
        aws.sagemaker.create_training_job(**aws.job_request(name, "pca", uri, settings))
    jobs = {name: aws.ended(name) for name in names}
    assert {job["TrainingJobStatus"] for job in jobs.values()} == {"Completed"}
    for name in names:
        aws.create_endpoint(name, "pca", jobs[name]["ModelArtifacts"]["S3ModelArtifacts"])
    assert {aws.settled(name)["EndpointStatus"] for name in names} == {"InService"}
    for name in names:
        aws.sagemaker.delete_endpoint(EndpointName=name)
    wait_for(lambda: aws.sagemaker.list_endpoints(NameContains="many-")["Endpoints"], lambda left: not left)


def test_the_gateway_answers_while_a_job_trains(aws: Aws) -> None:
    matrix = np.random.default_rng(2).random((60_000, 10))
    uri = aws.put_matrix("long/part.pbr", matrix)
    settings = {"feature_dim": 10, "k": 10, "local_lloyd_max_iter": 20}
    aws.sagemaker.create_training_job(**aws.job_request("long", "kmeans", uri, settings))
    answers = 0
    while aws.sagemaker.describe_training_job(TrainingJobName="long")["TrainingJobStatus"] == "InProgress":
        aws.sagemaker.list_endpoints(MaxResults=1)
        answers += 1
    assert answers > 3


def test_resetting_the_cloud_ends_and_forgets_everything(tmp_path: Path) -> None:
    with Cloud.start(tmp_path, pace="hosting=60", auth=False) as cloud:
        sagemaker = cloud.client("sagemaker")
        sagemaker.create_model(
            ModelName="gone",
            ExecutionRoleArn=f"arn:aws:iam::{ACCOUNT}:role/any",
            PrimaryContainer={"Image": IMAGES["pca"]},
        )
        sagemaker.create_endpoint_config(EndpointConfigName="gone", ProductionVariants=[variant("gone")])
        sagemaker.create_endpoint(EndpointName="gone", EndpointConfigName="gone")
        cloud.request("POST", "/_ministack/reset")
        assert sagemaker.list_endpoints()["Endpoints"] == []
        assert sagemaker.list_models()["Models"] == []
        operations = [entry["operation"] for entry in cloud.request("GET", "/_embedded/operations")]
        assert operations == ["ListEndpoints", "ListModels"]
