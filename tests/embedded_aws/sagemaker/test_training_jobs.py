"""Training jobs through plain boto3: their states, their descriptions, and the requests that are refused."""

import json
import math
import os
import re
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from botocore.exceptions import ClientError

from tests.embedded_aws.sagemaker.conftest import BUCKET, IMAGES, Aws, channel, wait_for

PCA = {"feature_dim": 5, "num_components": 3, "mini_batch_size": 100}
RANDOM = np.random.default_rng(7)
MATRIX = RANDOM.random((300, 5)).astype(np.float32) * [1, 2, 3, 4, 5]


@pytest.fixture(scope="module")
def data(aws: Aws) -> str:
    for part in range(3):
        aws.put_matrix(f"train/part-{part}.pbr", MATRIX[part::3])
    return f"s3://{BUCKET}/train/"


def refusal(call: Callable[..., Any], **request: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as refused:
        call(**request)
    error = refused.value.response["Error"]
    return error["Code"], error["Message"]


def test_a_completed_job_is_described_in_full(aws: Aws, data: str) -> None:
    job = aws.train("whole-life", "pca", data, PCA, Tags=[{"Key": "team", "Value": "maps"}])

    assert job["TrainingJobStatus"] == job["SecondaryStatus"] == "Completed"
    steps = [step["Status"] for step in job["SecondaryStatusTransitions"]]
    assert steps == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    for step, following in zip(job["SecondaryStatusTransitions"], job["SecondaryStatusTransitions"][1:], strict=False):
        assert step["StartTime"] <= step["EndTime"] == following["StartTime"]
    assert job["ModelArtifacts"]["S3ModelArtifacts"] == f"s3://{BUCKET}/models/whole-life/output/model.tar.gz"
    assert job["TrainingJobArn"] == "arn:aws:sagemaker:us-east-1:000000000000:training-job/whole-life"
    assert job["CreationTime"] <= job["TrainingStartTime"] <= job["TrainingEndTime"] <= job["LastModifiedTime"]
    assert job["BillableTimeInSeconds"] == job["TrainingTimeInSeconds"] >= 1
    metrics = {metric["MetricName"]: metric["Value"] for metric in job["FinalMetricDataList"]}
    assert metrics["train:progress"] == 100
    assert metrics["train:throughput"] > 0
    assert aws.sagemaker.list_tags(ResourceArn=job["TrainingJobArn"])["Tags"] == [{"Key": "team", "Value": "maps"}]


def test_the_artifact_holds_the_components_smallest_first(aws: Aws, data: str) -> None:
    job = aws.train("artifact", "pca", data, PCA)

    model = aws.read_model(job["ModelArtifacts"]["S3ModelArtifacts"])
    centred = MATRIX.astype(float) - MATRIX.mean(axis=0, dtype=float)
    _, singular, vectors = np.linalg.svd(centred)
    np.testing.assert_allclose(model["s"], singular[2::-1], rtol=1e-6)
    np.testing.assert_allclose(np.abs(model["v"]), np.abs(vectors[2::-1].T), atol=1e-5)
    np.testing.assert_allclose(model["mean"], MATRIX.mean(axis=0)[np.newaxis], rtol=1e-5)
    assert {array.dtype for array in model.values()} == {np.dtype(np.float32)}


def test_boto3_waiters_follow_a_job(aws: Aws, data: str) -> None:
    aws.sagemaker.create_training_job(**aws.job_request("awaited", "pca", data, PCA))
    waiter = aws.sagemaker.get_waiter("training_job_completed_or_stopped")
    waiter.wait(TrainingJobName="awaited", WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    assert aws.sagemaker.describe_training_job(TrainingJobName="awaited")["TrainingJobStatus"] == "Completed"


def test_the_container_logs_and_publishes_metrics_under_the_role(aws: Aws, data: str) -> None:
    aws.train("logged", "kmeans", data, {"feature_dim": 5, "k": 3})

    group = "/aws/sagemaker/TrainingJobs"
    (stream,) = aws.logs.describe_log_streams(logGroupName=group, logStreamNamePrefix="logged/")["logStreams"]
    assert stream["logStreamName"].startswith("logged/algo-1-")
    events = aws.logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"])["events"]
    text = "\n".join(event["message"] for event in events)
    assert "#quality_metric: host=algo-1, train msd <loss>=" in text
    assert "#progress_metric: host=algo-1, completed 100 % of epochs" in text
    published = aws.cloudwatch.list_metrics(Namespace="/aws/sagemaker/TrainingJobs", MetricName="train:msd")["Metrics"]
    assert [{"Name": "Host", "Value": "logged/algo-1"}] in [metric["Dimensions"] for metric in published]


def test_the_same_job_gives_the_same_model(aws: Aws, data: str) -> None:
    settings = {"feature_dim": 5, "k": 4}
    jobs = [
        aws.train("repeatable", "kmeans", data, settings, OutputDataConfig={"S3OutputPath": f"s3://{BUCKET}/{region}"})
        for region in ("first",)
    ]
    again = aws.cloud.client("sagemaker", region_name="eu-west-1")
    again.create_training_job(
        **aws.job_request(
            "repeatable", "kmeans", data, settings, OutputDataConfig={"S3OutputPath": f"s3://{BUCKET}/second"}
        )
    )
    wait_for(
        lambda: again.describe_training_job(TrainingJobName="repeatable"),
        lambda job: job["TrainingJobStatus"] == "Completed",
    )
    first = aws.read_model(jobs[0]["ModelArtifacts"]["S3ModelArtifacts"])[0]
    second = aws.read_model(f"s3://{BUCKET}/second/repeatable/output/model.tar.gz")[0]
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("instances", [1, 2, 4])
@pytest.mark.parametrize("distribution", ["ShardedByS3Key", "FullyReplicated"])
def test_more_instances_give_the_same_pca(aws: Aws, data: str, instances: int, distribution: str) -> None:
    name = f"hosts-{instances}-{distribution.lower()}"
    job = aws.train(
        name,
        "pca",
        data,
        PCA,
        InputDataConfig=[channel("train", data, S3DataDistributionType=distribution)],
        ResourceConfig={"InstanceType": "ml.c4.xlarge", "InstanceCount": instances, "VolumeSizeInGB": 1},
    )
    model = aws.read_model(job["ModelArtifacts"]["S3ModelArtifacts"])
    centred = MATRIX.astype(float) - MATRIX.mean(axis=0, dtype=float)
    np.testing.assert_allclose(model["s"], np.linalg.svd(centred, compute_uv=False)[2::-1], rtol=1e-6)
    assert job["BillableTimeInSeconds"] == instances * job["TrainingTimeInSeconds"]


def test_csv_manifest_and_gzip_give_the_same_pca_as_recordio(aws: Aws, data: str) -> None:
    import gzip

    csv = "\n".join(",".join(map(repr, row)) for row in MATRIX.astype(np.float32).tolist()).encode()
    aws.s3.put_object(Bucket=BUCKET, Key="forms/all.csv", Body=csv)
    aws.s3.put_object(Bucket=BUCKET, Key="forms/all.csv.gz", Body=gzip.compress(csv))
    manifest = [{"prefix": data}, "part-0.pbr", "part-1.pbr", "part-2.pbr"]
    aws.s3.put_object(Bucket=BUCKET, Key="forms/train.manifest", Body=json.dumps(manifest))
    forms = {
        "csv": channel("train", f"s3://{BUCKET}/forms/all.csv", "text/csv;label_size=0"),
        "gzip": channel("train", f"s3://{BUCKET}/forms/all.csv.gz", "text/csv;label_size=0")
        | {"CompressionType": "Gzip"},
        "manifest": channel("train", f"s3://{BUCKET}/forms/train.manifest", S3DataType="ManifestFile"),
    }
    # The prefix of the plain CSV matches the compressed one too.
    aws.s3.copy_object(Bucket=BUCKET, Key="plain/all.csv", CopySource={"Bucket": BUCKET, "Key": "forms/all.csv"})
    forms["csv"] = channel("train", f"s3://{BUCKET}/plain/", "text/csv;label_size=0")
    expected = np.linalg.svd(MATRIX.astype(float) - MATRIX.mean(axis=0, dtype=float), compute_uv=False)[2::-1]
    for form, train in forms.items():
        job = aws.train(f"form-{form}", "pca", data, PCA, InputDataConfig=[train])
        assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
        np.testing.assert_allclose(aws.read_model(job["ModelArtifacts"]["S3ModelArtifacts"])["s"], expected, rtol=1e-5)


def test_a_test_channel_is_scored(aws: Aws, data: str) -> None:
    channels = [channel("train", data), channel("test", data)]
    pca = aws.train("tested-pca", "pca", data, PCA, InputDataConfig=channels)
    kmeans = aws.train(
        "tested-kmeans",
        "kmeans",
        data,
        {"feature_dim": 5, "k": 3, "eval_metrics": '["msd","ssd"]', "epochs": 3, "mini_batch_size": 50},
        InputDataConfig=channels,
    )
    assert {metric["MetricName"] for metric in pca["FinalMetricDataList"]} >= {"test:mse"}
    metrics = {metric["MetricName"]: metric["Value"] for metric in kmeans["FinalMetricDataList"]}
    assert metrics["test:ssd"] == pytest.approx(metrics["test:msd"] * len(MATRIX))
    assert metrics.keys() >= {"train:msd", "train:ssd"}


@pytest.mark.parametrize(
    ("algorithm", "hyperparameters", "reason"),
    [
        ("pca", PCA | {"colour": "red"}, "Additional hyperparameters are not allowed ('colour' was unexpected)"),
        ("pca", {"feature_dim": 5, "num_components": 3}, "'mini_batch_size' is a required hyperparameter"),
        ("pca", PCA | {"num_components": 6}, "num_components (6) must be smaller than or equal to feature_dim (5)"),
        ("pca", PCA | {"feature_dim": 4}, "feature_dim = 4 does not match the dimension of the data, which is 5"),
        ("pca", PCA | {"algorithm_mode": "fast"}, "The value 'fast' is not valid for the 'algorithm_mode'"),
        ("pca", PCA | {"subtract_mean": "maybe"}, "The value 'maybe' is not valid for the 'subtract_mean'"),
        ("pca", PCA | {"extra_components": "-2"}, "The value '-2' is not valid for the 'extra_components'"),
        ("kmeans", {"feature_dim": 5, "k": 1}, "The value '1' is not valid for the 'k' hyperparameter"),
        ("kmeans", {"feature_dim": 5, "k": 301}, "k (301) is larger than the number of training rows (300)"),
        ("kmeans", {"feature_dim": 5, "k": 3, "eval_metrics": '["mad"]'}, "is not valid for the 'eval_metrics'"),
        ("kmeans", {"feature_dim": 5, "k": 3, "init_method": "x"}, "is not valid for the 'init_method'"),
        ("kmeans", {"feature_dim": 5, "k": 3, "local_lloyd_tol": "-1"}, "is not valid for the 'local_lloyd_tol'"),
        ("kmeans", {"feature_dim": 5, "k": 3, "half_life_time_size": "x"}, "for the 'half_life_time_size'"),
    ],
)
def test_bad_hyperparameters_fail_the_job(
    aws: Aws, data: str, algorithm: str, hyperparameters: dict[str, Any], reason: str
) -> None:
    job = aws.train(f"bad-{time.time_ns()}", algorithm, data, hyperparameters)
    assert job["TrainingJobStatus"] == job["SecondaryStatus"] == "Failed"
    assert reason in job["FailureReason"]
    assert job["FailureReason"].startswith(("ClientError: ", "AlgorithmError: "))
    assert "FinalMetricDataList" not in job


@pytest.mark.parametrize(
    ("train", "reason"),
    [
        (channel("train", f"s3://{BUCKET}/nothing/"), "ClientError: Data download failed:NoSuchKey"),
        (channel("train", "s3://no-such-bucket/x/"), "ClientError: Data download failed:"),
        (channel("train", f"s3://{BUCKET}/broken/"), "broken/part.pbr"),
        (channel("train", f"s3://{BUCKET}/nan/"), "NaN or infinite"),
        (channel("train", f"s3://{BUCKET}/train/", "text/csv"), "has a label column"),
        (channel("train", f"s3://{BUCKET}/train/", "image/png"), "No iterator has been registered for ContentType"),
        (channel("train", f"s3://{BUCKET}/train/", S3DataType="AugmentedManifestFile"), "AugmentedManifestFile"),
        (channel("other", f"s3://{BUCKET}/train/"), "Missing required channel 'train'"),
    ],
)
def test_data_that_cant_be_trained_on_fails_the_job(aws: Aws, data: str, train: Any, reason: str) -> None:
    aws.s3.put_object(Bucket=BUCKET, Key="broken/part.pbr", Body=b"no recordIO")
    aws.put_matrix("nan/part.pbr", np.full((4, 5), np.nan))
    job = aws.train(f"unreadable-{time.time_ns()}", "pca", data, PCA, InputDataConfig=[train])
    assert job["TrainingJobStatus"] == "Failed"
    assert reason in job["FailureReason"]


def test_an_image_that_is_not_built_in_fails_the_job(aws: Aws, data: str) -> None:
    specification = {"TrainingImage": IMAGES["pca"].replace("pca:1", "xgboost:1"), "TrainingInputMode": "File"}
    job = aws.train("foreign", "pca", data, PCA, AlgorithmSpecification=specification)
    assert "trains only the built-in pca and kmeans" in job["FailureReason"]


def test_a_stopped_job_ends_stopped_and_can_not_be_stopped_again(aws: Aws, data: str) -> None:
    aws.faults("TrainingJob@halted:stuck")
    aws.sagemaker.create_training_job(**aws.job_request("halted", "pca", data, PCA))
    aws.sagemaker.stop_training_job(TrainingJobName="halted")
    assert aws.sagemaker.describe_training_job(TrainingJobName="halted")["TrainingJobStatus"] == "Stopping"
    job = aws.ended("halted")
    assert job["TrainingJobStatus"] == job["SecondaryStatus"] == "Stopped"
    code, message = refusal(aws.sagemaker.stop_training_job, TrainingJobName="halted")
    assert (code, message) == (
        "ValidationException",
        "The request was rejected because the training job is in status Stopped.",
    )


def test_a_job_over_its_maximum_runtime_is_stopped(aws: Aws, data: str) -> None:
    aws.faults("TrainingJob@overtime:stuck")
    job = aws.train("overtime", "pca", data, PCA, StoppingCondition={"MaxRuntimeInSeconds": 1})
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")


def test_a_job_without_a_free_core_stays_starting_and_its_time_is_not_billed(aws: Aws, data: str) -> None:
    aws.faults(f"s3.GetObject@{data.removeprefix('s3://')}:slow=1")
    names = [f"crowd{number}" for number in range(2 * (os.cpu_count() or 1) + 1)]
    for name in names:
        aws.sagemaker.create_training_job(**aws.job_request(name, "pca", data, PCA))
    jobs = [aws.ended(name) for name in names]
    aws.faults()

    assert {job["TrainingJobStatus"] for job in jobs} == {"Completed"}
    last = max(jobs, key=lambda job: job["TrainingStartTime"])
    starting, downloading, *_ = last["SecondaryStatusTransitions"]
    assert (starting["Status"], downloading["Status"]) == ("Starting", "Downloading")
    assert starting["EndTime"] == last["TrainingStartTime"]
    trained = [
        step["StartTime"] for job in jobs for step in job["SecondaryStatusTransitions"] if step["Status"] == "Uploading"
    ]
    assert last["TrainingStartTime"] >= min(trained)
    waited = (last["TrainingStartTime"] - last["CreationTime"]).total_seconds()
    whole = (last["TrainingEndTime"] - last["CreationTime"]).total_seconds()
    assert last["TrainingTimeInSeconds"] <= math.ceil(whole - waited)


def test_a_name_is_never_used_twice(aws: Aws, data: str) -> None:
    request = aws.job_request("unique", "pca", data, PCA)
    aws.sagemaker.create_training_job(**request)
    code, message = refusal(aws.sagemaker.create_training_job, **request)
    assert code == "ResourceInUse"
    assert "must be unique" in message
    aws.ended("unique")
    assert refusal(aws.sagemaker.create_training_job, **request)[0] == "ResourceInUse"


def test_an_unknown_job_is_not_found(aws: Aws) -> None:
    expected = ("ValidationException", "Requested resource not found.")
    assert refusal(aws.sagemaker.describe_training_job, TrainingJobName="nobody") == expected
    assert refusal(aws.sagemaker.stop_training_job, TrainingJobName="nobody") == expected


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        (
            {"TrainingJobName": "-bad-"},
            "at 'trainingJobName' failed to satisfy constraint: Member must satisfy regular",
        ),
        ({"TrainingJobName": "a" * 64}, "Member must have length less than or equal to 63"),
        (
            {"ResourceConfig": {"InstanceType": "ml.t2.medium", "InstanceCount": 1, "VolumeSizeInGB": 1}},
            "Value 'ml.t2.medium' at 'resourceConfig.instanceType' failed to satisfy constraint: Member must satisfy "
            "enum value set: [",
        ),
        (
            {"ResourceConfig": {"InstanceType": "ml.c4.xlarge", "InstanceCount": -1, "VolumeSizeInGB": 1}},
            "at 'resourceConfig.instanceCount' failed to satisfy constraint: Member must have value greater than",
        ),
        ({"RoleArn": "x" * 30}, "at 'roleArn' failed to satisfy constraint: Member must satisfy regular expression"),
        ({"InputDataConfig": [channel("train", "http://x")]}, "at 'inputDataConfig.1.member.dataSource.s3DataSource"),
    ],
)
def test_a_request_that_breaks_the_model_is_refused_in_awss_words(
    aws: Aws, data: str, change: dict[str, Any], constraint: str
) -> None:
    lenient = aws.cloud.client("sagemaker", config=_unchecked())
    code, message = refusal(lenient.create_training_job, **aws.job_request("refused", "pca", data, PCA, **change))
    assert code == "ValidationException"
    assert re.match(r"\d validation errors? detected: Value ", message)
    assert constraint in message


def test_every_missing_member_is_named(aws: Aws) -> None:
    lenient = aws.cloud.client("sagemaker", config=_unchecked())
    code, message = refusal(lenient.create_training_job, TrainingJobName="x")
    assert code == "ValidationException"
    assert message == (
        "2 validation errors detected: "
        "Value null at 'roleArn' failed to satisfy constraint: Member must not be null; "
        "Value null at 'outputDataConfig' failed to satisfy constraint: Member must not be null"
    )


@pytest.mark.parametrize("member", ["AlgorithmSpecification", "ResourceConfig", "StoppingCondition"])
def test_a_member_that_only_other_kinds_of_jobs_may_omit_is_required(aws: Aws, data: str, member: str) -> None:
    request = aws.job_request("incomplete", "pca", data, PCA)
    del request[member]
    code, message = refusal(aws.cloud.client("sagemaker", config=_unchecked()).create_training_job, **request)
    assert code == "ValidationException"
    assert member in message


def test_lists_are_paged_filtered_and_sorted(aws: Aws, data: str) -> None:
    names = [f"listed-{letter}" for letter in "cab"]
    for name in names:
        aws.sagemaker.create_training_job(**aws.job_request(name, "pca", data, PCA))
    for name in names:
        aws.ended(name)

    def listed(**filters: Any) -> list[str]:
        pages = aws.sagemaker.get_paginator("list_training_jobs").paginate(NameContains="listed-", **filters)
        return [job["TrainingJobName"] for page in pages for job in page["TrainingJobSummaries"]]

    assert listed() == names  # oldest first is this operation's default
    assert listed(MaxResults=1) == names
    assert listed(SortOrder="Descending") == names[::-1]
    assert listed(SortBy="Name") == sorted(names)
    assert listed(StatusEquals="Failed") == []
    assert listed(StatusEquals="Completed", SortBy="Status", MaxResults=2) == sorted(names)
    hour = timedelta(hours=1)
    created = aws.sagemaker.describe_training_job(TrainingJobName=names[1])["CreationTime"]
    assert listed(CreationTimeAfter=created - hour, LastModifiedTimeBefore=created + hour) == names
    assert listed(CreationTimeBefore=created - hour) == listed(LastModifiedTimeAfter=created + hour) == []
    code, message = refusal(aws.sagemaker.list_training_jobs, NextToken="bm9uc2Vuc2U=")
    assert (code, message) == ("ValidationException", "Invalid pagination token")


def test_a_page_skips_nothing_when_the_listed_are_deleted_meanwhile(aws: Aws) -> None:
    names = [f"vanishing-{number}" for number in range(6)]
    for name in names:
        aws.sagemaker.create_model(ModelName=name, ExecutionRoleArn=aws.role, PrimaryContainer={"Image": IMAGES["pca"]})
    seen: list[str] = []
    token: dict[str, str] = {}
    while True:
        page = aws.sagemaker.list_models(NameContains="vanishing-", MaxResults=2, **token)
        for model in page["Models"]:
            seen.append(model["ModelName"])
            aws.sagemaker.delete_model(ModelName=model["ModelName"])
        if "NextToken" not in page:
            break
        token = {"NextToken": page["NextToken"]}
    assert sorted(seen) == names


def _unchecked() -> Any:
    from botocore.config import Config

    return Config(parameter_validation=False)
