"""The SageMaker SDK 2, unmodified, drives the whole life of PCA and k-means on the embedded SageMaker."""

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import mxnet as mx
import numpy as np
import pytest
import sagemaker
from sagemaker import PCA, KMeans
from sagemaker.amazon.kmeans import KMeansModel
from sagemaker.deserializers import JSONDeserializer, JSONLinesDeserializer
from sagemaker.exceptions import UnexpectedStatusException
from sagemaker.serializers import CSVSerializer, JSONLinesSerializer, JSONSerializer

CLIENT = "SageMaker SDK"
TRAINED_ON = "ml.c4.xlarge"
HOSTED_ON = "ml.t2.medium"


@pytest.fixture(scope="module")
def session() -> Any:
    return sagemaker.Session()


@pytest.fixture
def estimator(session: Any, role: str) -> Any:
    def make(kind: Any, count: int = 1, **hyperparameters: Any) -> Any:
        return kind(
            role=role,
            instance_count=count,
            instance_type=TRAINED_ON,
            sagemaker_session=session,
            **hyperparameters,
        )

    return make


@pytest.fixture
def deployed(nothing_left: None) -> Iterator[Any]:
    """Deploy an estimator or model; delete all that this made, with the SDK's own calls."""
    predictors = []

    def deploy(source: Any) -> Any:
        predictor = source.deploy(initial_instance_count=1, instance_type=HOSTED_ON)
        predictors.append(predictor)
        return predictor

    yield deploy
    for predictor in predictors:
        predictor.delete_model()
        predictor.delete_endpoint()


def artifact(uri: str, into: Path) -> Any:
    """What MXNet reads from a job's model.tar.gz."""
    bucket, key = uri.removeprefix("s3://").split("/", 1)
    body = boto3.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as archive:
        member = archive.extractfile("model_algo-1")
        assert member is not None
        (into / "model_algo-1").write_bytes(member.read())
    return mx.nd.load(str(into / "model_algo-1"))


def label(records: Any, name: str) -> Any:
    return np.array([record.label[name].float32_tensor.values for record in records])


class TestPca:
    def test_whole_life(self, estimator: Any, deployed: Any, matrix: Any, tmp_path: Path, capsys: Any) -> None:
        # when a job is fit on a record set: recordIO behind a manifest
        pca = estimator(PCA, num_components=4)
        pca.fit(pca.record_set(matrix))

        # then the container's log lines were streamed while it ran
        log = capsys.readouterr().out
        assert "#throughput_metric: host=algo-1, train throughput=" in log
        assert "#progress_metric: host=algo-1, completed 100" in log
        assert "Training seconds: " in log
        assert "Billable seconds: " in log

        # and MXNet reads the artifact: components ascending
        model = artifact(pca.model_data, tmp_path)
        assert {name: array.shape for name, array in model.items()} == {"s": (4,), "v": (6, 4), "mean": (1, 6)}
        singular = np.linalg.svd(matrix - matrix.mean(axis=0), compute_uv=False)[:4]
        np.testing.assert_allclose(model["s"].asnumpy(), singular[::-1], rtol=1e-4)

        # when deployed, then every serializer of the SDK gets the same projection
        predictor = deployed(pca)
        expected = (matrix[:10] - model["mean"].asnumpy()) @ model["v"].asnumpy()
        projected = label(predictor.predict(matrix[:10]), "projection")
        np.testing.assert_allclose(projected, expected, atol=1e-4)
        assert predictor.predict(matrix[0])[0].label["projection"].float32_tensor.values == pytest.approx(
            expected[0], abs=1e-4
        )

        predictor.deserializer = JSONDeserializer()
        for serializer, body in [
            (JSONSerializer(), {"instances": [{"features": row.tolist()} for row in matrix[:10]]}),
            (
                JSONSerializer(),
                {"instances": [{"data": {"features": {"values": row.tolist()}}} for row in matrix[:10]]},
            ),
            (CSVSerializer(), matrix[:10]),
        ]:
            predictor.serializer = serializer
            answer = [entry["projection"] for entry in predictor.predict(body)["projections"]]
            np.testing.assert_allclose(answer, expected, atol=1e-4)

        predictor.serializer = JSONLinesSerializer()
        predictor.deserializer = JSONLinesDeserializer()
        answer = [
            entry["projection"] for entry in predictor.predict([{"features": row.tolist()} for row in matrix[:10]])
        ]
        np.testing.assert_allclose(answer, expected, atol=1e-4)

    def test_a_sharded_job_of_two_instances_is_attached_to_by_name(
        self, estimator: Any, session: Any, matrix: Any, tmp_path: Path
    ) -> None:
        pca = estimator(PCA, count=2, num_components=3, algorithm_mode="regular", extra_components=3)
        pca.fit(pca.record_set(matrix), mini_batch_size=100)

        again = PCA.attach(pca.latest_training_job.name, sagemaker_session=session)
        assert (again.num_components, again.algorithm_mode, again.extra_components) == (3, "regular", 3)
        assert again.model_data == pca.model_data

        # each instance saw half of the rows, and together they found what one finds in all
        model = artifact(again.model_data, tmp_path)
        mean = matrix.mean(axis=0)
        np.testing.assert_allclose(model["mean"].asnumpy()[0], mean, atol=1e-5)
        singular = np.linalg.svd(matrix - mean, compute_uv=False)[:3]
        np.testing.assert_allclose(model["s"].asnumpy(), singular[::-1], rtol=1e-4)

    def test_a_job_that_fails_says_why(self, estimator: Any, matrix: Any) -> None:
        pca = estimator(PCA, num_components=7)  # of six features
        with pytest.raises(UnexpectedStatusException, match="num_components"):
            pca.fit(pca.record_set(matrix))


class TestKMeans:
    def test_whole_life(self, estimator: Any, deployed: Any, matrix: Any, tmp_path: Path, capsys: Any) -> None:
        kmeans = estimator(KMeans, k=3)
        kmeans.fit(kmeans.record_set(matrix))
        assert "#quality_metric: host=algo-1, train msd <loss>=" in capsys.readouterr().out

        # MXNet reads one unnamed array
        (centroids,) = artifact(kmeans.model_data, tmp_path)
        assert centroids.shape == (3, 6)

        distances = np.linalg.norm(matrix[:, None] - centroids.asnumpy()[None], axis=2)
        predictor = deployed(kmeans)
        records = predictor.predict(matrix)
        np.testing.assert_array_equal(label(records, "closest_cluster")[:, 0], distances.argmin(axis=1))
        np.testing.assert_allclose(label(records, "distance_to_cluster")[:, 0], distances.min(axis=1), atol=1e-4)
        # the three planted groups are found
        assert np.bincount(distances.argmin(axis=1)).tolist() in ([134, 133, 133], [133, 134, 133], [133, 133, 134])

        predictor.serializer, predictor.deserializer = CSVSerializer(), JSONDeserializer()
        predictions = predictor.predict(matrix[:5])["predictions"]
        assert [entry["closest_cluster"] for entry in predictions] == distances[:5].argmin(axis=1).tolist()

    def test_a_finished_job_tells_its_metrics_and_gives_a_model(
        self, estimator: Any, session: Any, role: str, deployed: Any, matrix: Any
    ) -> None:
        kmeans = estimator(KMeans, k=2, epochs=2, init_method="kmeans++", eval_metrics=["msd", "ssd"])
        kmeans.fit(kmeans.record_set(matrix), logs=False)
        metrics = session.describe_training_job(kmeans.latest_training_job.name)["FinalMetricDataList"]
        assert {"train:msd", "train:ssd"} <= {metric["MetricName"] for metric in metrics}

        predictor = deployed(KMeansModel(kmeans.model_data, role, sagemaker_session=session))
        assert label(predictor.predict(matrix[:3]), "closest_cluster").shape == (3, 1)
