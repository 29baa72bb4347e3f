"""The manifest: steps from the history, seconds from what SageMaker said."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

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


def described(stage: str, in_service: float) -> dict[str, Any]:
    return {
        f"{stage}_training": {
            "TrainingJobName": f"s-r-{stage}",
            "ResourceConfig": {"InstanceType": "ml.c4.xlarge", "InstanceCount": 2},
            "AlgorithmSpecification": {"TrainingImage": stage},
            "HyperParameters": {"feature_dim": "34"},
            "ModelArtifacts": {"S3ModelArtifacts": f"s3://b/{stage}/model.tar.gz"},
            "BillableTimeInSeconds": 23,
        },
        f"{stage}_endpoint": {
            "EndpointName": f"s-r-{stage}",
            "LastModifiedTime": (START + timedelta(seconds=in_service)).isoformat(),
        },
        f"{stage}_hosting_launch": {"instance_type": "ml.t2.medium"},
    }


REFINEMENT = RefinementSummary(sagemaker_msd=0.108, refined_msd=0.105, rows_moved=700, passes=2)


@pytest.fixture
def manifest(settings: RunSettings) -> Manifest:
    state = {
        "run_id": "r",
        "input": {"bucket": "b", "key": "incoming/x.csv", "version_id": "v", "etag": "e", "size": 10},
        "execution": {"Id": "arn:e"},
        **described("pca", 100),
        **described("kmeans", 250),
    }
    return describe_run(state, sha256="00", refinement=REFINEMENT, history=HISTORY, settings=settings)


def test_the_refinement_is_reported_as_it_was_measured(manifest: Manifest) -> None:
    assert manifest["refinement"] == REFINEMENT


def test_a_step_lasts_from_when_it_was_first_entered_to_when_it_was_last_left() -> None:
    by_name = {step["name"]: step for step in steps(HISTORY)}
    assert list(by_name) == ["Prepare", "DescribePcaTraining", "TearDownPca", "TearDownKMeans", "Publish"]
    assert by_name["DescribePcaTraining"]["seconds"] == 12


def test_the_step_that_writes_the_manifest_lasts_until_now() -> None:
    assert steps(HISTORY)[-1]["seconds"] == 1


def test_billable_seconds_count_every_instance(manifest: Manifest) -> None:
    assert manifest["billable_training_seconds"] == 2 * 23 * 2


def test_an_endpoint_costs_from_its_service_to_its_teardown(manifest: Manifest) -> None:
    assert manifest["endpoints"][0]["seconds"] == 20
    assert manifest["endpoint_seconds"] == 20 + 50


def test_the_manifest_says_what_was_read_and_what_served(manifest: Manifest) -> None:
    document = manifest
    assert document["input"] == {
        "uri": "s3://b/incoming/x.csv",
        "version_id": "v",
        "etag": "e",
        "bytes": 10,
        "sha256": "00",
    }
    assert document["endpoints"][1]["instance_type"] == "ml.t2.medium"
    assert document["training_jobs"][0]["name"] == "s-r-pca"
    assert document["run_seconds"] == 303
