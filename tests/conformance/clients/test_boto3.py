"""Plain boto3 with its waiters drives the embedded SageMaker."""

import json
from collections.abc import Iterator
from typing import Any

import boto3
import numpy as np
import pytest
from botocore.exceptions import ClientError, WaiterError

CLIENT = "boto3"


@pytest.fixture
def sagemaker() -> Any:
    return boto3.client("sagemaker")


@pytest.fixture
def train(sagemaker: Any, role: str, bucket: str, images: dict[str, str], matrix: Any) -> Any:
    """Start a training job on ``text/csv;label_size=0`` under an S3 prefix."""
    lines = "\n".join(",".join(f"{value:.6f}" for value in row) for row in matrix)
    boto3.client("s3").put_object(Bucket=bucket, Key="csv/train/part-0.csv", Body=lines.encode())

    def start(name: str, algorithm: str, **hyperparameters: str) -> str:
        sagemaker.create_training_job(
            TrainingJobName=name,
            AlgorithmSpecification={"TrainingImage": images[algorithm], "TrainingInputMode": "File"},
            RoleArn=role,
            HyperParameters={"feature_dim": "6", "mini_batch_size": "200"} | hyperparameters,
            InputDataConfig=[
                {
                    "ChannelName": "train",
                    "ContentType": "text/csv;label_size=0",
                    "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{bucket}/csv/train/"}},
                }
            ],
            OutputDataConfig={"S3OutputPath": f"s3://{bucket}/models"},
            ResourceConfig={"InstanceType": "ml.c4.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 10},
            StoppingCondition={"MaxRuntimeInSeconds": 3600},
            Tags=[{"Key": "team", "Value": "census"}],
        )
        return name

    return start


@pytest.fixture
def hosted(sagemaker: Any, role: str, images: dict[str, str], train: Any, nothing_left: None) -> Iterator[str]:
    """An endpoint of a k-means model, deleted in the end."""
    name = "boto3-hosted"
    artifacts = _artifacts(sagemaker, train)
    sagemaker.create_model(
        ModelName=name,
        PrimaryContainer={"Image": images["kmeans"], "ModelDataUrl": artifacts},
        ExecutionRoleArn=role,
    )
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[_variant(name)])
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=name)
    yield name
    sagemaker.delete_endpoint(EndpointName=name)
    sagemaker.get_waiter("endpoint_deleted").wait(EndpointName=name)
    for config in sagemaker.list_endpoint_configs()["EndpointConfigs"]:
        sagemaker.delete_endpoint_config(EndpointConfigName=config["EndpointConfigName"])
    sagemaker.delete_model(ModelName=name)


def _artifacts(sagemaker: Any, train: Any) -> str:
    """The artifact of one k-means job, trained once."""
    name = "boto3-kmeans"
    if not sagemaker.list_training_jobs(NameContains=name)["TrainingJobSummaries"]:
        train(name, "kmeans", k="3")
        sagemaker.get_waiter("training_job_completed_or_stopped").wait(TrainingJobName=name)
    uri: str = sagemaker.describe_training_job(TrainingJobName=name)["ModelArtifacts"]["S3ModelArtifacts"]
    return uri


def _variant(model: str, name: str = "AllTraffic") -> dict[str, Any]:
    return {
        "VariantName": name,
        "ModelName": model,
        "InstanceType": "ml.t2.medium",
        "InitialInstanceCount": 1,
        "InitialVariantWeight": 1,
    }


class TestTrainingJobs:
    def test_a_job_completes_and_is_described(self, sagemaker: Any, train: Any, bucket: str) -> None:
        train("boto3-pca", "pca", num_components="3")
        sagemaker.get_waiter("training_job_completed_or_stopped").wait(TrainingJobName="boto3-pca")
        job = sagemaker.describe_training_job(TrainingJobName="boto3-pca")
        assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Completed", "Completed")
        assert job["ModelArtifacts"]["S3ModelArtifacts"] == f"s3://{bucket}/models/boto3-pca/output/model.tar.gz"
        assert [step["Status"] for step in job["SecondaryStatusTransitions"]] == [
            "Starting",
            "Downloading",
            "Training",
            "Uploading",
            "Completed",
        ]
        assert all(step["StartTime"] <= step["EndTime"] for step in job["SecondaryStatusTransitions"])
        assert job["CreationTime"] <= job["TrainingStartTime"] <= job["TrainingEndTime"]
        assert job["BillableTimeInSeconds"] >= 1

    def test_a_name_is_never_used_twice(self, train: Any) -> None:
        train("boto3-once", "pca", num_components="3")
        with pytest.raises(ClientError) as caught:
            train("boto3-once", "pca", num_components="3")
        assert caught.value.response["Error"]["Code"] == "ResourceInUse"

    def test_a_running_job_is_stopped(self, sagemaker: Any, train: Any) -> None:
        train("boto3-stopped", "pca", num_components="3")
        sagemaker.stop_training_job(TrainingJobName="boto3-stopped")
        sagemaker.get_waiter("training_job_completed_or_stopped").wait(TrainingJobName="boto3-stopped")
        job = sagemaker.describe_training_job(TrainingJobName="boto3-stopped")
        assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "Stopped")

    def test_the_waiter_ends_at_once_when_a_job_fails(self, sagemaker: Any, train: Any) -> None:
        train("boto3-failed", "pca", num_components="3", no_such="1")
        with pytest.raises(WaiterError, match="terminal failure state"):
            sagemaker.get_waiter("training_job_completed_or_stopped").wait(TrainingJobName="boto3-failed")
        assert "no_such" in sagemaker.describe_training_job(TrainingJobName="boto3-failed")["FailureReason"]

    def test_lists_are_paged_filtered_and_sorted(self, sagemaker: Any, train: Any) -> None:
        names = [train(f"boto3-page-{number}", "pca", num_components="3") for number in range(5)]
        pages = sagemaker.get_paginator("list_training_jobs").paginate(
            NameContains="boto3-page", SortBy="Name", SortOrder="Descending", PaginationConfig={"PageSize": 2}
        )
        listed = [[job["TrainingJobName"] for job in page["TrainingJobSummaries"]] for page in pages]
        assert listed == [[names[4], names[3]], [names[2], names[1]], [names[0]]]
        for name in names:
            sagemaker.get_waiter("training_job_completed_or_stopped").wait(TrainingJobName=name)
        completed = sagemaker.list_training_jobs(NameContains="boto3-page", StatusEquals="Completed", MaxResults=100)
        assert len(completed["TrainingJobSummaries"]) == 5

    def test_tags_are_added_listed_and_deleted(self, sagemaker: Any, train: Any) -> None:
        train("boto3-tagged", "pca", num_components="3")
        arn = sagemaker.describe_training_job(TrainingJobName="boto3-tagged")["TrainingJobArn"]
        sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "stage", "Value": "test"}, {"Key": "team", "Value": "new"}])
        sagemaker.delete_tags(ResourceArn=arn, TagKeys=["stage"])
        assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "team", "Value": "new"}]

    def test_its_log_is_in_cloudwatch(self, sagemaker: Any, train: Any) -> None:
        train("boto3-logged", "kmeans", k="2")
        sagemaker.get_waiter("training_job_completed_or_stopped").wait(TrainingJobName="boto3-logged")
        logs = boto3.client("logs")
        (stream,) = logs.describe_log_streams(
            logGroupName="/aws/sagemaker/TrainingJobs", logStreamNamePrefix="boto3-logged/algo-1-"
        )["logStreams"]
        events = logs.get_log_events(
            logGroupName="/aws/sagemaker/TrainingJobs", logStreamName=stream["logStreamName"], startFromHead=True
        )["events"]
        assert any("train msd <loss>=" in event["message"] for event in events)


class TestEndpoints:
    def test_every_answer_type_agrees(self, hosted: str, matrix: Any) -> None:
        runtime = boto3.client("sagemaker-runtime")
        body = ",".join(map(str, matrix[0]))

        def ask(accept: str) -> tuple[str, bytes]:
            answer = runtime.invoke_endpoint(EndpointName=hosted, ContentType="text/csv", Accept=accept, Body=body)
            assert answer["InvokedProductionVariant"] == "AllTraffic"
            return answer["ContentType"], answer["Body"].read()

        kind, content = ask("application/json")
        (prediction,) = json.loads(content)["predictions"]
        assert kind == "application/json"
        assert prediction["closest_cluster"] in (0.0, 1.0, 2.0)
        kind, content = ask("application/jsonlines")
        assert json.loads(content) == pytest.approx(prediction)
        kind, content = ask("text/csv")
        assert [float(cell) for cell in content.decode().split(",")] == pytest.approx(list(prediction.values()))

    def test_a_body_that_the_model_cannot_take_is_a_model_error(self, hosted: str) -> None:
        runtime = boto3.client("sagemaker-runtime")
        with pytest.raises(runtime.exceptions.ModelError) as caught:
            runtime.invoke_endpoint(EndpointName=hosted, ContentType="text/csv", Body="1,2,3")
        response: Any = caught.value.response
        assert response["ResponseMetadata"]["HTTPStatusCode"] == 424
        assert response["OriginalStatusCode"] == 400

    def test_an_endpoint_is_updated_to_another_configuration(self, sagemaker: Any, hosted: str) -> None:
        sagemaker.create_endpoint_config(EndpointConfigName="boto3-next", ProductionVariants=[_variant(hosted, "Next")])
        sagemaker.update_endpoint(EndpointName=hosted, EndpointConfigName="boto3-next")
        assert sagemaker.describe_endpoint(EndpointName=hosted)["EndpointStatus"] == "Updating"
        sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=hosted)
        endpoint = sagemaker.describe_endpoint(EndpointName=hosted)
        assert endpoint["EndpointConfigName"] == "boto3-next"
        assert [variant["VariantName"] for variant in endpoint["ProductionVariants"]] == ["Next"]

    def test_weights_of_a_variant_are_updated(self, sagemaker: Any, hosted: str) -> None:
        sagemaker.update_endpoint_weights_and_capacities(
            EndpointName=hosted, DesiredWeightsAndCapacities=[{"VariantName": "AllTraffic", "DesiredWeight": 3}]
        )
        sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=hosted)
        (variant,) = sagemaker.describe_endpoint(EndpointName=hosted)["ProductionVariants"]
        assert variant["CurrentWeight"] == 3

    def test_an_endpoint_cannot_be_deleted_while_it_is_created(self, sagemaker: Any, hosted: str) -> None:
        sagemaker.create_endpoint(EndpointName="boto3-young", EndpointConfigName=hosted)
        with pytest.raises(ClientError, match="Cannot update in-progress endpoint"):
            sagemaker.delete_endpoint(EndpointName="boto3-young")
        sagemaker.get_waiter("endpoint_in_service").wait(EndpointName="boto3-young")
        sagemaker.delete_endpoint(EndpointName="boto3-young")
        sagemaker.get_waiter("endpoint_deleted").wait(EndpointName="boto3-young")

    def test_names_and_parts_are_described(self, sagemaker: Any, hosted: str) -> None:
        assert sagemaker.describe_model(ModelName=hosted)["ModelName"] == hosted
        config = sagemaker.describe_endpoint_config(EndpointConfigName=hosted)
        assert config["ProductionVariants"][0]["ModelName"] == hosted
        assert [found["EndpointName"] for found in sagemaker.list_endpoints(NameContains="boto3")["Endpoints"]] == [
            hosted
        ]

    @pytest.mark.parametrize(
        ("operation", "parameters", "message"),
        [
            ("describe_endpoint", {"EndpointName": "none"}, "Could not find endpoint"),
            ("delete_endpoint", {"EndpointName": "none"}, "Could not find endpoint"),
            ("describe_endpoint_config", {"EndpointConfigName": "none"}, "Could not find endpoint configuration"),
            ("delete_endpoint_config", {"EndpointConfigName": "none"}, "Could not find endpoint configuration"),
            ("describe_model", {"ModelName": "none"}, "Could not find model"),
            ("delete_model", {"ModelName": "none"}, "Could not find model"),
            ("describe_training_job", {"TrainingJobName": "none"}, "Requested resource not found"),
        ],
    )
    def test_what_is_not_there_is_a_validation_exception(
        self, sagemaker: Any, operation: str, parameters: dict[str, str], message: str
    ) -> None:
        with pytest.raises(ClientError, match=message) as caught:
            getattr(sagemaker, operation)(**parameters)
        assert caught.value.response["Error"]["Code"] == "ValidationException"

    def test_an_unknown_endpoint_cannot_be_invoked(self) -> None:
        with pytest.raises(ClientError, match=r"Endpoint none of account .* not found") as caught:
            boto3.client("sagemaker-runtime").invoke_endpoint(EndpointName="none", Body=b"1")
        assert caught.value.response["Error"]["Code"] == "ValidationError"

    def test_an_operation_that_the_twin_lacks_is_an_error_of_aws(self, sagemaker: Any) -> None:
        with pytest.raises(ClientError) as caught:
            sagemaker.list_notebook_instances()
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] in (400, 404, 501)
        assert "Traceback" not in str(caught.value)


def test_planted_groups_are_found_through_plain_http_bodies(hosted: str, matrix: Any) -> None:
    body = {"instances": [{"features": row.tolist()} for row in matrix]}
    answer = boto3.client("sagemaker-runtime").invoke_endpoint(
        EndpointName=hosted, ContentType="application/json", Body=json.dumps(body)
    )
    found = [int(entry["closest_cluster"]) for entry in json.loads(answer["Body"].read())["predictions"]]
    for group in range(3):
        assert len(np.unique(np.array(found)[group::3])) == 1
