"""The bodies of SageMaker requests, checked against botocore's own model of the service."""

from dataclasses import replace

import botocore.session
import pytest
from botocore.validate import ParamValidator

from jobs.sagemaker import requests

RUN = {"run_id": "census-abc", "execution_arn": "arn:aws:states:us-east-1:123456789012:execution:s:census-abc"}


@pytest.fixture(scope="module")
def service():
    return botocore.session.get_session().get_service_model("sagemaker")


def training(settings, stage, **changes):
    size = {"rows": 3218, "features": 34, "clusters": 8} | changes
    return requests.training_job(settings, stage, name="job", instance_type="ml.c4.xlarge", **RUN, **size)


def bodies(settings):
    yield "CreateTrainingJob", training(settings, "pca")
    yield "CreateTrainingJob", training(settings, "kmeans")
    yield "CreateModel", requests.model(settings, "pca", artifacts="s3://b/model.tar.gz", **RUN)
    config = requests.endpoint_config(settings, "pca", name="e", instance_type="ml.t2.medium", **RUN)
    yield "CreateEndpointConfig", config
    yield "CreateEndpoint", requests.endpoint(settings, name="e", **RUN)


@pytest.mark.parametrize("change", [{}, {"training_instance_count": 2}, {"kms_key_arn": "arn:aws:kms:::key/k"}])
def test_every_body_is_one_that_the_service_model_takes(settings, service, change):
    for operation, body in bodies(replace(settings, **change)):
        report = ParamValidator().validate(body, service.operation_model(operation).input_shape)
        assert not report.has_errors(), report.generate_report()


def test_everything_carries_the_tags_the_janitor_looks_for(settings):
    for _, body in bodies(settings):
        assert {tag["Key"]: tag["Value"] for tag in body["Tags"]} == {
            "segmentation:stack": settings.deployment_id,
            "segmentation:run": RUN["run_id"],
            "segmentation:execution": RUN["execution_arn"],
        }


def test_pca_learns_one_component_fewer_than_there_are_features(settings):
    assert training(settings, "pca")["HyperParameters"] == {
        "feature_dim": "34",
        "num_components": "33",
        "mini_batch_size": "500",
    }


def test_pcas_mini_batch_is_no_larger_than_an_instances_share(settings):
    two = replace(settings, training_instance_count=2)
    assert training(two, "pca", rows=300)["HyperParameters"]["mini_batch_size"] == "150"


def test_kmeans_learns_from_the_projected_shards(settings):
    body = training(settings, "kmeans", features=7)
    source = body["InputDataConfig"][0]["DataSource"]["S3DataSource"]
    assert source["S3Uri"] == "s3://results-bucket/runs/census-abc/projected/"
    assert body["HyperParameters"]["k"] == "8"
    assert body["HyperParameters"]["feature_dim"] == "7"


@pytest.mark.parametrize(("instances", "distribution"), [(1, "FullyReplicated"), (2, "ShardedByS3Key")])
def test_several_instances_share_the_shards_and_encrypt_what_they_say(settings, instances, distribution):
    body = training(replace(settings, training_instance_count=instances), "pca")
    assert body["InputDataConfig"][0]["DataSource"]["S3DataSource"]["S3DataDistributionType"] == distribution
    assert body["EnableInterContainerTrafficEncryption"] is (instances > 1)


def test_a_customer_key_encrypts_volumes_and_outputs(settings):
    key = "arn:aws:kms:us-east-1:123456789012:key/k"
    keyed = replace(settings, kms_key_arn=key)
    body = training(keyed, "pca")
    assert body["OutputDataConfig"]["KmsKeyId"] == body["ResourceConfig"]["VolumeKmsKeyId"] == key
    assert requests.endpoint_config(keyed, "pca", name="e", instance_type="ml.t2.medium", **RUN)["KmsKeyId"] == key
