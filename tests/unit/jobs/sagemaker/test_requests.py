"""The bodies of SageMaker requests, checked against botocore's own model of the service."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Literal

import botocore.session
import pytest
from botocore.model import ServiceModel
from botocore.validate import ParamValidator

from contract.run_settings import RunSettings
from jobs.sagemaker import requests

RUN: dict[str, Any] = {
    "run_id": "census-abc",
    "execution_arn": "arn:aws:states:us-east-1:123456789012:execution:s:census-abc",
}


@pytest.fixture(scope="module")
def service() -> ServiceModel:
    return botocore.session.get_session().get_service_model("sagemaker")


def training(settings: RunSettings, stage: Literal["pca", "kmeans"], **changes: int) -> dict[str, Any]:
    size: dict[str, Any] = {"rows": 3218, "features": 34, "shards": 4, "clusters": 8} | changes
    return requests.training_job(settings, stage, name="job", instance_type="ml.c4.xlarge", **RUN, **size)


def bodies(settings: RunSettings) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "CreateTrainingJob", training(settings, "pca")
    yield "CreateTrainingJob", training(settings, "kmeans")
    yield "CreateModel", requests.model(settings, "pca", artifacts="s3://b/model.tar.gz", **RUN)
    config = requests.endpoint_config(settings, "pca", name="e", instance_type="ml.t2.medium", **RUN)
    yield "CreateEndpointConfig", config
    yield "CreateEndpoint", requests.endpoint(settings, name="e", **RUN)


@pytest.mark.parametrize("change", [{}, {"training_instance_count": 2}, {"kms_key_arn": "arn:aws:kms:::key/k"}])
def test_every_body_is_one_that_the_service_model_takes(
    settings: RunSettings, service: ServiceModel, change: dict[str, Any]
) -> None:
    for operation, body in bodies(replace(settings, **change)):
        shape = service.operation_model(operation).input_shape
        assert shape is not None
        report = ParamValidator().validate(body, shape)
        assert not report.has_errors(), report.generate_report()


def test_everything_carries_the_tags_the_janitor_looks_for(settings: RunSettings) -> None:
    for _, body in bodies(settings):
        assert {tag["Key"]: tag["Value"] for tag in body["Tags"]} == {
            "segmentation:stack": settings.deployment_id,
            "segmentation:run": RUN["run_id"],
            "segmentation:execution": RUN["execution_arn"],
        }


def test_pca_learns_one_component_fewer_than_there_are_features(settings: RunSettings) -> None:
    assert training(settings, "pca")["HyperParameters"] == {
        "feature_dim": "34",
        "num_components": "33",
        "mini_batch_size": "500",
    }


def test_pcas_mini_batch_is_no_larger_than_an_instances_share(settings: RunSettings) -> None:
    two = replace(settings, training_instance_count=2)
    assert training(two, "pca", rows=300)["HyperParameters"]["mini_batch_size"] == "150"


def test_kmeans_learns_from_the_projected_shards(settings: RunSettings) -> None:
    body = training(settings, "kmeans", features=7)
    source = body["InputDataConfig"][0]["DataSource"]["S3DataSource"]
    assert source["S3Uri"] == "s3://results-bucket/runs/census-abc/projected/"
    assert body["HyperParameters"]["k"] == "8"
    assert body["HyperParameters"]["feature_dim"] == "7"


def test_jobs_and_models_have_the_network_that_the_settings_give_them(settings: RunSettings) -> None:
    vpc = replace(settings, network_isolation=False, vpc_subnet_ids=["subnet-1"], vpc_security_group_ids=["sg-1"])
    for body in (training(vpc, "pca"), requests.model(vpc, "pca", artifacts="s3://b/model.tar.gz", **RUN)):
        assert body["EnableNetworkIsolation"] is False
        assert body["VpcConfig"] == {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}
    isolated = training(settings, "pca")
    assert isolated["EnableNetworkIsolation"] is True
    assert "VpcConfig" not in isolated


@pytest.mark.parametrize(("instances", "distribution"), [(1, "FullyReplicated"), (2, "ShardedByS3Key")])
def test_several_instances_share_the_shards_and_encrypt_what_they_say(
    settings: RunSettings, instances: int, distribution: str
) -> None:
    body = training(replace(settings, training_instance_count=instances), "pca")
    assert body["InputDataConfig"][0]["DataSource"]["S3DataSource"]["S3DataDistributionType"] == distribution
    assert body["EnableInterContainerTrafficEncryption"] is (instances > 1)


def test_no_more_instances_are_paid_for_than_there_are_shards(settings: RunSettings) -> None:
    four = replace(settings, training_instance_count=4)
    body = training(four, "pca", shards=3, rows=300)
    assert body["ResourceConfig"]["InstanceCount"] == 3
    assert body["HyperParameters"]["mini_batch_size"] == "100"
    one = training(four, "pca", shards=1)
    assert one["ResourceConfig"]["InstanceCount"] == 1
    assert one["InputDataConfig"][0]["DataSource"]["S3DataSource"]["S3DataDistributionType"] == "FullyReplicated"


def test_a_customer_key_encrypts_volumes_and_outputs(settings: RunSettings) -> None:
    key = "arn:aws:kms:us-east-1:123456789012:key/k"
    keyed = replace(settings, kms_key_arn=key)
    body = training(keyed, "pca")
    assert body["OutputDataConfig"]["KmsKeyId"] == body["ResourceConfig"]["VolumeKmsKeyId"] == key
    assert requests.endpoint_config(keyed, "pca", name="e", instance_type="ml.t2.medium", **RUN)["KmsKeyId"] == key
