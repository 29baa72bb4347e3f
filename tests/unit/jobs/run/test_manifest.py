"""The manifest: its steps come from the execution's history, its seconds from SageMaker's descriptions."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from contract.payloads import Launched, PublishEvent
from contract.run_settings import RunSettings
from jobs.run.manifest import Manifest, describe_run, steps
from jobs.segments.refine import RefinementSummary

START = datetime(2026, 1, 1, tzinfo=UTC)


def entered(name: str, seconds: float) -> dict[str, Any]:
    return {"timestamp": START + timedelta(seconds=seconds), "stateEnteredEventDetails": {"name": name}}


def exited(name: str, seconds: float) -> dict[str, Any]:
    return {"timestamp": START + timedelta(seconds=seconds), "stateExitedEventDetails": {"name": name}}


HISTORY = [
    {"timestamp": START},
    entered("Prepare", 0),
    exited("Prepare", 5),
    entered("DescribePcaTraining", 6),
    exited("DescribePcaTraining", 7),
    entered("DescribePcaTraining", 17),
    exited("DescribePcaTraining", 18),
    entered("TearDownPca", 120),
    exited("TearDownPca", 121),
    entered("TearDownKMeans", 300),
    exited("TearDownKMeans", 301),
    entered("Publish", 302),
    {"timestamp": START + timedelta(seconds=303)},
]


def training(stage: str) -> dict[str, Any]:
    return {
        "TrainingJobName": f"s-r-{stage}",
        "ResourceConfig": {"InstanceType": "ml.c4.xlarge", "InstanceCount": 2},
        "AlgorithmSpecification": {"TrainingImage": stage},
        "HyperParameters": {"feature_dim": "34"},
        "ModelArtifacts": {"S3ModelArtifacts": f"s3://b/{stage}/model.tar.gz"},
        "BillableTimeInSeconds": 23,
    }


REFINEMENT = RefinementSummary(sagemaker_msd=0.108, refined_msd=0.105, rows_moved=700, passes=2)


def endpoint(stage: str, in_service: float) -> dict[str, Any]:
    return {
        "EndpointName": f"s-r-{stage}",
        "LastModifiedTime": (START + timedelta(seconds=in_service)).isoformat(),
    }


def launched(stage: str) -> Launched:
    return {"name": f"s-r-{stage}", "instance_type": "ml.t2.medium"}


@pytest.fixture
def event() -> PublishEvent:
    return {
        "run_id": "r",
        "input": {"bucket": "b", "key": "incoming/x.csv", "version_id": "v", "etag": "e", "size": 10},
        "execution": {"Id": "arn:e"},
        "pca_training": training("pca"),
        "pca_endpoint": endpoint("pca", 100),
        "pca_hosting_launch": launched("pca"),
        "kmeans_training": training("kmeans"),
        "kmeans_endpoint": endpoint("kmeans", 250),
        "kmeans_hosting_launch": launched("kmeans"),
        "kmeans_artifacts": "s3://b/kmeans/model.tar.gz",
    }


@pytest.fixture
def manifest(event: PublishEvent, settings: RunSettings) -> Manifest:
    return describe_run(event, sha256="00", refinement=REFINEMENT, history=HISTORY, settings=settings)


def test_the_refinement_is_reported_as_it_was_measured(manifest: Manifest) -> None:
    assert manifest["refinement"] == REFINEMENT


def test_a_step_lasts_from_its_first_entry_to_its_last_exit() -> None:
    by_name = {step["name"]: step for step in steps(HISTORY)}
    assert list(by_name) == ["Prepare", "DescribePcaTraining", "TearDownPca", "TearDownKMeans", "Publish"]
    assert by_name["DescribePcaTraining"]["seconds"] == 12


def test_a_step_that_still_runs_ends_with_the_last_event() -> None:
    assert steps(HISTORY)[-1]["seconds"] == 1


def test_billable_seconds_are_summed_over_instances(manifest: Manifest) -> None:
    assert manifest["billable_training_seconds"] == 2 * 23 * 2


def test_endpoint_seconds_run_from_in_service_to_the_start_of_the_teardown(manifest: Manifest) -> None:
    assert manifest["endpoints"][0]["seconds"] == 20
    assert manifest["endpoint_seconds"] == 20 + 50


def test_the_manifest_names_the_csv_the_execution_and_what_it_used(manifest: Manifest) -> None:
    assert manifest["input"] == {
        "uri": "s3://b/incoming/x.csv",
        "version_id": "v",
        "etag": "e",
        "bytes": 10,
        "sha256": "00",
    }
    assert manifest["execution"] == {"arn": "arn:e", "redrives": 0}
    assert manifest["endpoints"][1]["instance_type"] == "ml.t2.medium"
    assert manifest["training_jobs"][0]["name"] == "s-r-pca"
    assert manifest["run_seconds"] == 303
    assert manifest["waited_for_room_seconds"] == 0


def test_the_time_spent_waiting_for_room_is_no_time_of_the_run(event: PublishEvent, settings: RunSettings) -> None:
    waits = [
        entered("WaitForRoomForPcaTraining", 10),
        exited("WaitForRoomForPcaTraining", 70.5),
        entered("WaitForRoomForPcaTraining", 71),
        exited("WaitForRoomForPcaTraining", 91),
    ]
    history = [*HISTORY[:3], *waits, *HISTORY[3:]]
    manifest = describe_run(event, sha256="00", refinement=REFINEMENT, history=history, settings=settings)
    assert manifest["waited_for_room_seconds"] == 80.5
    assert manifest["run_seconds"] == 303 - 80.5
