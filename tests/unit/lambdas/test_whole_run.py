"""A run, handler by handler, from the dropped CSV to the published result."""

import csv
import io
import json
import os
import tarfile
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from contract.layout import LATEST, RunLayout
from contract.names import ARTIFACT_TAG, METRICS, METRICS_NAMESPACE, Stage
from contract.run_settings import VARIABLE
from embedded_aws.sagemaker.inference import load_model
from jobs.sagemaker import ndarray, recordio
from jobs.segments.kmeans import centroids_from_artifact
from lambdas import adopt, align, choose_clusters, fresh_starts, label, prepare, project, publish, refine, stability
from lambdas.support import runtime
from tests.local.runs import groups_and_labels, small_census
from tests.unit.lambdas.conftest import Invoke
from tests.unit.lambdas.fake_aws import FakeAws

RUN = "census-abc"
FILES = RunLayout(RUN)
RESULTS = "results-bucket"
SOURCE = {"bucket": "incoming-bucket", "key": "incoming/census.csv", "version_id": "v1", "etag": "e", "size": 1}
EXECUTION = "arn:aws:states:us-east-1:123456789012:execution:census-segmentation:census-abc"
ROWS, GROUPS = 64, 8
START = datetime(2026, 1, 1, tzinfo=UTC)


def artifact(arrays: Any) -> bytes:
    """Pack arrays as SageMaker's algorithms pack their models."""
    content, packed = ndarray.save(arrays), io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        member = tarfile.TarInfo("model_algo-1")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


class Stages:
    """Trains and hosts the two models in numpy, and calls the handlers between them."""

    def __init__(self, aws: FakeAws, invoke: Invoke, *, run_id: str = RUN, key: str = SOURCE["key"]) -> None:  # type: ignore[assignment]
        self.aws, self.invoke = aws, invoke
        self.run_id, self.files, self.source = run_id, RunLayout(run_id), {**SOURCE, "key": key}

    def prepare(self, body: bytes | None = None) -> dict[str, Any]:
        self.aws.objects[SOURCE["bucket"], self.source["key"]] = small_census(ROWS) if body is None else body  # type: ignore[index]
        prepared = self.invoke(prepare.handler, run_id=self.run_id, input=self.source)
        self.vintage = prepared["vintage"]
        return prepared

    def shards(self) -> list[dict[str, Any]]:
        return list(json.loads(self.aws.objects[RESULTS, self.files.shards]))

    def put(self, stage: str, arrays: Any) -> str:
        key = f"runs/{self.run_id}/models/{stage}/model.tar.gz"
        self.aws.objects[RESULTS, key] = artifact(arrays)
        return f"s3://{RESULTS}/{key}"

    def host(self, stage: Stage, model: bytes) -> None:
        """Answer requests as the twin of SageMaker's container does."""
        twin = load_model(stage, model)

        def respond(body: bytes) -> bytes:
            return recordio.encode_labels(
                {name: np.atleast_2d(values.T).T for name, values in twin.predict(recordio.decode(body)).items()}
            )

        self.aws.endpoints[stage] = respond

    def project(self) -> dict[str, Any]:
        rows = np.concatenate(
            [recordio.decode(self.aws.objects[RESULTS, self.files.train_part(s["part"])]) for s in self.shards()]
        )
        mean = rows.mean(axis=0)
        _, s, vt = np.linalg.svd(rows - mean, full_matrices=False)
        v = vt[::-1].T
        self.pca = self.put("pca", {"s": s[::-1].copy(), "v": v, "mean": mean[None, :]})
        self.host("pca", self.aws.objects[RESULTS, f"runs/{self.run_id}/models/pca/model.tar.gz"])
        (result,) = [
            self.invoke(project.handler, run_id=self.run_id, shard=shard, endpoint="pca", artifacts=self.pca)
            for shard in self.shards()
        ]
        return result

    def label(self) -> dict[str, Any]:
        points = np.concatenate(
            [recordio.decode(self.aws.objects[RESULTS, self.files.projected_part(s["part"])]) for s in self.shards()]
        )
        trained = np.stack([points[group::GROUPS].mean(axis=0) for group in range(GROUPS)]).astype(np.float32)
        self.kmeans = self.put("kmeans", [trained])
        self.invoke(fresh_starts.handler, run_id=self.run_id, clusters=GROUPS)
        self.refined: str = self.invoke(refine.handler, run_id=self.run_id, artifacts=self.kmeans)["artifacts"]
        self.align()
        self.invoke(stability.handler, run_id=self.run_id, artifacts=self.refined)
        self.host("kmeans", self.aws.objects[RESULTS, self.files.refined_model])
        (result,) = [
            self.invoke(label.handler, run_id=self.run_id, shard=shard, endpoint="kmeans", artifacts=self.refined)
            for shard in self.shards()
        ]
        return result

    def align(self) -> dict[str, Any]:
        return self.invoke(
            align.handler,
            run_id=self.run_id,
            input=self.source,
            vintage=self.vintage,
            pca_artifacts=self.pca,
            kmeans_artifacts=self.refined,
        )

    def apply(self, body: bytes | None = None) -> dict[str, Any]:
        """Run a file whose mode is ``apply``."""
        self.prepare(body)
        self.invoke(adopt.handler, run_id=self.run_id, input=self.source, vintage=self.vintage)
        for shard in self.shards():
            self.invoke(label.handler, run_id=self.run_id, shard=shard)
        execution = {"Id": EXECUTION, "RedriveCount": 0}
        return self.invoke(publish.handler, run_id=self.run_id, input=self.source, execution=execution)

    def until_labeled(self, body: bytes | None = None) -> None:
        self.prepare(body)
        self.project()
        self.invoke(choose_clusters.handler, run_id=self.run_id)
        self.label()

    def publish(self) -> dict[str, Any]:
        self.aws.history = [
            {"timestamp": START, "type": "ExecutionStarted", "id": 1},
            *(
                {"timestamp": START + timedelta(seconds=second), key: {"name": name}}
                for second, key, name in (
                    (1, "stateEnteredEventDetails", "TearDownPca"),
                    (100, "stateExitedEventDetails", "TearDownPca"),
                    (120, "stateEnteredEventDetails", "TearDownKMeans"),
                    (200, "stateEnteredEventDetails", "Publish"),
                )
            ),
        ]
        return self.invoke(
            publish.handler,
            run_id=self.run_id,
            input=self.source,
            execution={"Id": EXECUTION, "RedriveCount": 0},
            kmeans_artifacts=self.refined,
            **_described("pca", self.pca),
            **_described("kmeans", self.kmeans),
        )


def _described(stage: str, artifacts: str) -> dict[str, Any]:
    return {
        f"{stage}_training": {
            "TrainingJobName": f"job-{stage}",
            "ResourceConfig": {"InstanceType": "ml.c4.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 10},
            "AlgorithmSpecification": {"TrainingImage": stage},
            "HyperParameters": {"feature_dim": "6"},
            "ModelArtifacts": {"S3ModelArtifacts": artifacts},
            "BillableTimeInSeconds": 30,
        },
        f"{stage}_endpoint": {"EndpointName": f"endpoint-{stage}", "LastModifiedTime": START.isoformat()},
        f"{stage}_hosting_launch": {"name": f"endpoint-{stage}", "instance_type": "ml.t2.medium"},
    }


@pytest.fixture
def stages(aws: FakeAws, invoke: Invoke) -> Stages:
    return Stages(aws, invoke)


@pytest.fixture
def published(stages: Stages, metrics: Any) -> Stages:
    stages.until_labeled()
    metrics()
    stages.publish()
    return stages


class TestPrepare:
    def test_it_returns_what_the_later_states_need(self, stages: Stages) -> None:
        sizes = {"rows": ROWS, "features": 6, "shards": 1, "shards_key": FILES.shards}
        assert stages.prepare() == {**sizes, "vintage": None, "mode": "train"}

    def test_prepared_files_are_artifacts_that_expire(self, stages: Stages, aws: FakeAws) -> None:
        stages.prepare()
        tags = {key: aws.options[RESULTS, key].get("Tagging") for bucket, key in aws.objects if bucket == RESULTS}
        # The scaler stays: the next run of the series applies this run's model to its own rows.
        assert tags.pop(FILES.scaler) is None
        assert set(tags.values()) == {"{}={}".format(*ARTIFACT_TAG).replace(":", "%3A")}

    def test_a_refused_file_writes_its_problems_and_nothing_else(self, stages: Stages, aws: FakeAws) -> None:
        with pytest.raises(Exception, match="row 2") as refused:
            stages.prepare(b"State,County,A,B\nAlabama,Autauga,x,1\n" + b"Alabama,Autauga,1,2\n" * 20)
        assert type(refused.value).__name__ == "InvalidCensus"
        assert [key for bucket, key in aws.objects if bucket == RESULTS] == [FILES.problems]
        assert json.loads(aws.objects[RESULTS, FILES.problems])["summary"] in str(refused.value)

    def test_more_components_than_the_file_has_columns_are_refused(
        self, stages: Stages, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(VARIABLE, json.dumps({**json.loads(os.environ[VARIABLE]), "num_components": 7}))
        with pytest.raises(Exception, match="7 components need at least 7"):
            stages.prepare()

    def test_fewer_rows_than_clusters_are_refused(self, stages: Stages) -> None:
        with pytest.raises(Exception, match="8"):
            stages.prepare(small_census(7))
        assert stages.prepare(small_census(8))["rows"] == 8

    def test_a_deleted_object_is_refused_with_the_remedy(self, stages: Stages, invoke: Invoke) -> None:
        with pytest.raises(Exception, match=r"deleted before it was read.*upload it again"):
            invoke(prepare.handler, run_id=RUN, input=SOURCE)

    def test_another_error_of_s3_keeps_its_name(self, stages: Stages, aws: FakeAws) -> None:
        aws.refusals["GetObject", "incoming"] = ("AccessDenied", "no")
        with pytest.raises(Exception, match="GetObject: no") as refused:
            stages.prepare()
        assert type(refused.value).__name__ == "AccessDenied"


class TestProject:
    def test_the_largest_components_are_kept_in_order(self, stages: Stages, aws: FakeAws) -> None:
        stages.prepare()
        result = stages.project()
        points = recordio.decode(aws.objects[RESULTS, FILES.projected_part("part-00000")])
        assert result == {"components": points.shape[1]}
        assert 1 < points.shape[1] < 6
        assert (np.diff(points.var(axis=0)) < 0).all()

    def test_a_response_with_too_few_rows_is_an_error(self, stages: Stages, aws: FakeAws) -> None:
        stages.prepare()
        stages.project()
        aws.endpoints["pca"] = lambda _body: recordio.encode_labels({"projection": np.zeros((3, 6), np.float32)})
        (shard,) = stages.shards()
        with pytest.raises(Exception, match=r"3 of the 64 rows of part-00000") as refused:
            stages.invoke(project.handler, run_id=RUN, shard=shard, endpoint="pca", artifacts=stages.pca)
        assert type(refused.value).__name__ == "IncompleteAnswer"


class TestChooseClusters:
    def test_the_curve_holds_every_number_that_auto_may_choose(self, stages: Stages, aws: FakeAws) -> None:
        stages.prepare()
        stages.project()
        assert stages.invoke(choose_clusters.handler, run_id=RUN) == {"clusters": 8}
        assert [point["k"] for point in json.loads(aws.objects[RESULTS, FILES.elbow])] == list(range(5, 13))


class TestLabel:
    def test_of_what_the_shards_share_only_what_a_redrive_may_change_is_read_again(
        self, stages: Stages, aws: FakeAws
    ) -> None:
        stages.until_labeled()
        (shard,) = stages.shards()
        aws.calls.clear()
        stages.invoke(label.handler, run_id=RUN, shard=shard, endpoint="kmeans", artifacts=stages.refined)
        read = {parameters["Key"] for parameters in aws.called("GetObject")}
        own = {FILES.train_part(shard["part"]), FILES.projected_part(shard["part"]), FILES.regions}
        assert read == own | {FILES.alignment, FILES.stability}

    def test_it_returns_the_number_of_labeled_rows(self, stages: Stages) -> None:
        stages.prepare()
        stages.project()
        assert stages.label() == {"rows": ROWS}


class TestRefine:
    def test_the_refined_artifact_is_written_in_canonical_order_and_returned(
        self, stages: Stages, aws: FakeAws
    ) -> None:
        stages.prepare()
        stages.project()
        stages.label()
        assert stages.refined == f"s3://{RESULTS}/{FILES.refined_model}"
        first = centroids_from_artifact(aws.objects[RESULTS, FILES.refined_model])[:, 0]
        assert first.tolist() == sorted(first)
        summary = json.loads(aws.objects[RESULTS, FILES.refinement])
        assert summary["refined_msd"] <= summary["sagemaker_msd"]


class TestPublish:
    def test_each_planted_group_is_one_segment(self, published: Stages, aws: FakeAws) -> None:
        labeled = aws.objects[RESULTS, FILES.labeled_counties]
        assert len(groups_and_labels(labeled)) == GROUPS
        rows = list(csv.DictReader(io.StringIO(labeled.decode())))
        assert [row["CensusId"] for row in rows] == [str(1001 + number) for number in range(ROWS)]
        assert all(row["segment"] for row in rows)

    def test_the_documents_agree_on_the_rows(self, published: Stages, aws: FakeAws) -> None:
        segments = json.loads(aws.objects[RESULTS, FILES.segments])
        assert sum(segment["size"] for segment in segments["segments"]) == ROWS
        latest = json.loads(aws.objects[RESULTS, LATEST])
        assert (latest["run_id"], latest["rows_labeled"], latest["rows_dropped"]) == (RUN, ROWS, 0)
        assert latest["segments"] == GROUPS

    def test_latest_json_moves_after_everything_else_is_written(self, published: Stages, aws: FakeAws) -> None:
        written = [each["Key"] for name, each in aws.calls if name in ("PutObject", "CompleteMultipartUpload")]
        assert written[-1] == LATEST
        assert set(json.loads(aws.objects[RESULTS, LATEST])["files"].values()) == {
            f"s3://{RESULTS}/{key}"
            for key in (FILES.labeled_counties, FILES.segments, FILES.report, FILES.manifest, FILES.changes)
        }
        assert {FILES.labeled_counties, FILES.segments, FILES.report, FILES.manifest, FILES.changes} <= set(written)

    def test_the_event_and_the_message_say_the_same(self, published: Stages, aws: FakeAws) -> None:
        (event,) = aws.events
        assert (event["Source"], event["DetailType"]) == ("census.segmentation", "Census Segmented")
        assert json.loads(event["Detail"]) == json.loads(aws.objects[RESULTS, LATEST])
        (message,) = aws.messages
        assert message["Subject"] == f"Census run {RUN}: 64 rows labeled"
        assert message["Message"].startswith("s3://incoming-bucket/incoming/census.csv")
        for segment in json.loads(aws.objects[RESULTS, FILES.segments])["segments"]:
            assert f"{segment['size']:,}  {segment['name']}" in message["Message"]

    def test_both_models_stay_for_the_next_run_of_the_series(self, published: Stages, aws: FakeAws) -> None:
        assert not [name for name, _ in aws.calls if name == "PutObjectTagging"]

    def test_the_runs_metrics_are_counted(self, published: Stages, metrics: Any) -> None:
        counted = metrics()
        assert counted["RowsLabeled"] == ROWS
        assert counted["RowsDropped"] == 0
        assert counted["BillableTrainingSeconds"] == 60
        assert counted["RunSeconds"] > 0
        assert counted.keys() <= set(METRICS)
        assert METRICS_NAMESPACE == "CensusSegmentation"  # alarms and dashboards of others use it

    def test_an_event_that_eventbridge_does_not_take_fails_the_run(self, published: Stages, aws: FakeAws) -> None:
        aws.refusals["PutEvents", ""] = ("ThrottlingException", "slow down")
        with pytest.raises(Exception, match="slow down") as refused:
            published.publish()
        assert type(refused.value).__name__ == "ThrottlingException"

    def test_an_event_that_eventbridge_refuses_in_its_response_fails_the_run(
        self, published: Stages, aws: FakeAws
    ) -> None:
        aws.refused_events = ("InternalFailure", "try again")
        with pytest.raises(Exception, match=r"^PutEvents: try again$") as refused:
            published.publish()
        assert type(refused.value).__name__ == "InternalFailure"


def test_functions_that_apply_the_models_themselves_call_no_endpoint(
    stages: Stages, aws: FakeAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, json.dumps({**json.loads(os.environ[VARIABLE]), "inference": "function"}))
    runtime.settings.cache_clear()
    stages.until_labeled()
    stages.publish()
    assert aws.called("InvokeEndpoint") == []
    assert len(groups_and_labels(aws.objects[RESULTS, FILES.labeled_counties])) == GROUPS
