"""A census CSV lands in the bucket; what comes out, checked against the recorded run."""

import csv
import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from contract.layout import LATEST, RunLayout
from embedded_aws.cloud.deploy import Outputs
from embedded_aws.cloud.instance import Cloud
from jobs.sagemaker import ndarray
from jobs.sagemaker.recordio import decode, decode_labels, encode
from jobs.sagemaker.requests import RECORDIO
from jobs.segments.kmeans import centroids_from_artifact
from tests.local.runs import Run, Runs, object_created
from tests.reference import CENSUS_2015, GOLDEN, needs_recorded_run

pytestmark = needs_recorded_run

AFTER_COMPONENTS = ["label", "distance", "segment", "runner_up", "margin", "stability", "previous_model_label"]


@dataclass(frozen=True)
class Result:
    """A finished run of the real file, and its files."""

    runs: Runs
    run: Run

    @property
    def files(self) -> RunLayout:
        return self.run.files

    def read(self, key: str) -> bytes:
        return self.runs.read(key)

    def json(self, key: str) -> Any:
        return self.runs.read_json(key)


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    return dict(json.loads(GOLDEN.read_text()))


@pytest.fixture(scope="module")
def result(cloud: Cloud, stack: Outputs) -> Result:
    runs = Runs(cloud, stack)
    run = runs.upload("Census Data.csv", CENSUS_2015.read_bytes())
    ended = runs.end(run)
    assert ended["status"] == "SUCCEEDED", ended
    return Result(runs, run)


@pytest.fixture(scope="module")
def labeled(result: Result) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(result.read(result.files.labeled_counties).decode(), newline="")))


def test_incomplete_rows_are_dropped_and_named(result: Result, golden: dict[str, Any]) -> None:
    document = result.json(result.files.segments)
    assert document["rows"] == {"read": 3220, "dropped": 2, "labeled": 3218}
    assert [region["name"] for region in document["dropped_regions"]] == golden["input"]["incomplete"]
    assert len(document["features"]) == 34


def test_the_smallest_number_of_components_for_80_percent_is_kept(result: Result, golden: dict[str, Any]) -> None:
    pca = result.json(result.files.segments)["pca"]
    assert (pca["num_components"], pca["components_kept"]) == (33, 7)
    assert pca["explained_variance"][6] == pytest.approx(golden["pca"]["explained_variance_top7"], abs=1e-5)


def test_the_recorded_counties_lie_where_they_were_recorded(
    labeled: list[dict[str, str]], golden: dict[str, Any]
) -> None:
    """Each component's sign is arbitrary, but the same for every county."""
    by_name = {f"{row['State']}-{row['County']}": [float(row[f"c_{i}"]) for i in range(1, 8)] for row in labeled}
    recorded = golden["pca"]["top7_projections"]
    ours, theirs = np.array([by_name[name] for name in recorded]), np.array(list(recorded.values()))
    signs = np.sign((ours * theirs).sum(axis=0))
    assert ours * signs == pytest.approx(theirs, abs=1e-4)


def test_every_county_is_labeled_close_to_its_centroid(result: Result, labeled: list[dict[str, str]]) -> None:
    kmeans = result.json(result.files.segments)["kmeans"]
    squared = [float(row["distance"]) ** 2 for row in labeled]
    assert np.mean(squared) == pytest.approx(kmeans["mean_squared_distance"], rel=1e-5)
    assert kmeans["mean_squared_distance"] <= 0.1060


def test_the_segments_sizes_are_those_of_the_labels(result: Result, labeled: list[dict[str, str]]) -> None:
    segments = result.json(result.files.segments)["segments"]
    for segment in segments:
        assert segment["size"] == sum(row["label"] == str(segment["label"]) for row in labeled)
        assert {row["segment"] for row in labeled if row["label"] == str(segment["label"])} == {segment["name"]}
    assert sum(segment["size"] for segment in segments) == len(labeled) == 3218


def test_labeled_counties_keep_the_files_order_and_ids(labeled: list[dict[str, str]]) -> None:
    header = ["CensusId", "State", "County", *(f"c_{i}" for i in range(1, 8)), *AFTER_COMPONENTS]
    assert list(labeled[0]) == header
    original = list(csv.DictReader(CENSUS_2015.open(newline="", encoding="utf-8-sig")))
    complete = [row["CensusId"] for row in original if all(row.values())]
    assert [row["CensusId"] for row in labeled] == complete


def test_the_endpoint_labels_by_the_refined_centroids_as_scikit_learn_does(
    result: Result, labeled: list[dict[str, str]]
) -> None:
    from sklearn.metrics import pairwise_distances_argmin_min

    refined = centroids_from_artifact(result.read(result.files.refined_model))
    components = np.array([[row[f"c_{i}"] for i in range(1, 8)] for row in labeled], dtype=float)
    nearest, distances = pairwise_distances_argmin_min(components, refined)
    assert [int(row["label"]) for row in labeled] == nearest.tolist()
    assert [float(row["distance"]) for row in labeled] == pytest.approx(distances, abs=1e-5)
    assert (np.diff(refined[:, 0]) > 0).all()


def test_the_manifest_compares_sagemakers_centroids_with_the_refined_ones(result: Result) -> None:
    refinement = result.json(result.files.manifest)["refinement"]
    kmeans = result.json(result.files.segments)["kmeans"]
    assert refinement["refined_msd"] == pytest.approx(kmeans["mean_squared_distance"], rel=1e-5)
    assert refinement["refined_msd"] < refinement["sagemaker_msd"]
    assert 0 < refinement["rows_moved"] < 3218


def test_every_county_has_a_runner_up_a_margin_and_a_stability(result: Result, labeled: list[dict[str, str]]) -> None:
    kmeans = result.json(result.files.segments)["kmeans"]
    unstable = sum(float(row["stability"]) < 0.9 for row in labeled)
    assert kmeans["stability"]["unstable_rows"] == unstable
    assert 0.10 < unstable / len(labeled) < 0.25
    assert all(row["runner_up"] != row["label"] and 0 <= float(row["margin"]) <= 1 for row in labeled)
    assert kmeans["steadier_k"] == 6


def test_segments_json_holds_what_the_contract_says(result: Result) -> None:
    document = result.json(result.files.segments)
    assert {"run_id", "rows", "dropped_regions", "features", "pca", "kmeans", "segments"} <= document.keys()
    makeup = document["pca"]["makeup"]
    assert [each["component"] for each in makeup] == [f"c_{i}" for i in range(1, 8)]
    assert set(makeup[0]["weights"]) == set(document["features"])
    assert [point["k"] for point in document["kmeans"]["elbow"]] == list(range(5, 13))
    for segment in document["segments"]:
        assert len(segment["centroid_components"]) == 7
        assert set(segment["centroid_features"]) == set(document["features"])
        assert segment["representatives"]


def test_the_manifest_says_what_was_read_and_what_it_took(result: Result) -> None:
    manifest = result.json(result.files.manifest)
    assert manifest["input"]["bytes"] == CENSUS_2015.stat().st_size
    assert manifest["input"]["etag"] == "066d37f43f7762f1eb409b1660fe9763"
    assert {job["instance_type"] for job in manifest["training_jobs"]} == {"ml.c4.xlarge"}
    assert {endpoint["instance_type"] for endpoint in manifest["endpoints"]} == {"ml.t2.medium"}
    assert manifest["billable_training_seconds"] > 0
    assert manifest["endpoint_seconds"] > 0
    assert manifest["steps"][0]["name"] == "Prepare"
    assert all(step["end"] >= step["start"] for step in manifest["steps"])


def test_latest_points_to_the_run(result: Result) -> None:
    latest = result.json(LATEST)
    assert latest["run_id"] == result.run.run_id
    for uri in latest["files"].values():
        assert result.read(uri.removeprefix(f"s3://{result.runs.results}/"))


def test_nothing_is_left_in_sagemaker(result: Result) -> None:
    assert result.runs.leftovers(result.run.run_id) == []
    assert set(result.runs.training_jobs(result.run).values()) == {"Completed"}


def test_a_repeated_event_starts_nothing(result: Result) -> None:
    answer = result.runs.invoke("start-run", object_created(result.run, result.runs.incoming))
    assert answer == {"run_id": result.run.run_id, "started": False}


@pytest.fixture
def recorded_endpoint(result: Result, golden: dict[str, Any]) -> Iterator[str]:
    """An endpoint that serves the recorded centroids, put into the artifact of the run's own k-means job."""
    sagemaker, s3 = result.runs.client("sagemaker"), result.runs.client("s3")
    manifest, name = result.json(result.files.manifest), "recorded-centroids"
    trained = next(job for job in manifest["training_jobs"] if job["stage"] == "kmeans")
    key = f"{result.files.models}kmeans/{name}/output/model.tar.gz"
    s3.put_object(Bucket=result.runs.results, Key=key, Body=_artifact(golden["kmeans"]["centroids"]))
    sagemaker.create_model(
        ModelName=name,
        ExecutionRoleArn=manifest["settings"]["execution_role_arn"],
        PrimaryContainer={"Image": trained["image"], "ModelDataUrl": f"s3://{result.runs.results}/{key}"},
    )
    variant = {"VariantName": "all", "ModelName": name, "InstanceType": "ml.t2.medium", "InitialInstanceCount": 1}
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=name, WaiterConfig={"Delay": 1})
    yield name
    sagemaker.delete_endpoint(EndpointName=name)
    sagemaker.delete_endpoint_config(EndpointConfigName=name)
    sagemaker.delete_model(ModelName=name)


def _artifact(centroids: list[list[float]]) -> bytes:
    packed = ndarray.save([np.array(centroids, dtype=np.float32)])
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        entry = tarfile.TarInfo("model_algo-1")
        entry.size = len(packed)
        tar.addfile(entry, io.BytesIO(packed))
    return buffer.getvalue()


def test_the_recorded_centroids_give_the_recorded_sizes(
    result: Result, golden: dict[str, Any], recorded_endpoint: str
) -> None:
    """The counties as our run projected them, turned to the recorded signs, at an endpoint with those centroids."""
    points = decode(result.read(result.files.projected_part("part-00000")))
    autauga = np.array(golden["pca"]["top7_projections"]["Alabama-Autauga"])
    turned = points * np.sign(points[0] * autauga).astype(np.float32)
    answer = result.runs.client("sagemaker-runtime").invoke_endpoint(
        EndpointName=recorded_endpoint, ContentType=RECORDIO, Accept=RECORDIO, Body=encode(turned)
    )
    found = decode_labels(answer["Body"].read(), "closest_cluster", "distance_to_cluster")
    recorded = golden["kmeans"]
    assert np.bincount(found["closest_cluster"].astype(int).ravel(), minlength=8).tolist() == recorded["cluster_sizes"]
    assert found["closest_cluster"][0] == recorded["autauga"]["closest_cluster"]
    assert found["distance_to_cluster"][0] == pytest.approx(recorded["autauga"]["distance_to_cluster"], abs=1e-4)


def test_the_same_file_shuffled_and_under_another_key_has_the_same_labels(
    result: Result, labeled: list[dict[str, str]]
) -> None:
    heading, *rows = CENSUS_2015.read_bytes().splitlines(keepends=True)
    order = np.random.default_rng(0).permutation(len(rows))
    shuffled = result.runs.upload("Shuffled.csv", b"".join([heading, *(rows[place] for place in order)]))
    assert result.runs.end(shuffled)["status"] == "SUCCEEDED"

    text = result.runs.read(shuffled.files.labeled_counties).decode()
    again = {row["CensusId"]: row["label"] for row in csv.DictReader(io.StringIO(text, newline=""))}
    same = sum(again[row["CensusId"]] == row["label"] for row in labeled)
    assert same >= 0.99 * len(labeled)
